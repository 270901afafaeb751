"""propchange on Twisted; see telling.py."""

from __future__ import annotations

import sys
import urllib.request
from dataclasses import replace

from telling import tell
from twisted.internet import reactor, stdio
from twisted.internet.protocol import Protocol

from propchange import Event, Limits
from propchange.core.subscriber.events import StatusChange
from propchange.twisted import ControlPoint
from propchange.upnp.description import parse_description


def on_event(event: Event) -> None:
    tell(event=dict(event.changes), seq=event.seq, initial=event.is_initial)


def on_status(change: StatusChange) -> None:
    tell(status=change.status.value, cause=change.cause.value, why=change.reason)


class UntilStdinEnds(Protocol):
    def connectionLost(self, reason: object = None) -> None:
        reactor.stop()


def main(description_url: str, duration: int) -> None:
    # By its event URL alone: no discovery and no description lead it to another address.
    with urllib.request.urlopen(description_url, timeout=5) as answer:
        description = parse_description(answer.read(), description_url)
    limits = replace(Limits(), duration_most_seconds=float(duration))
    control_point = ControlPoint(limits=limits, duration=duration, discovery=False)
    control_point.listen()
    event_url = description.service("Bench").event_url
    control_point.subscribe(event_url, on_event, on_status=on_status, device=description.udn)
    tell(ready=event_url)
    stdio.StandardIO(UntilStdinEnds())
    reactor.run()


main(sys.argv[1], int(sys.argv[2]))
