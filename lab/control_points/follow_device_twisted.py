"""propchange on Twisted, with the description and discovery; see telling.py."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from telling import tell
from twisted.internet import stdio, task
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol

from propchange import Event, Limits
from propchange.core.subscriber.events import StatusChange
from propchange.twisted import ControlPoint


def on_event(event: Event) -> None:
    tell(event=dict(event.changes), seq=event.seq, initial=event.is_initial)


def on_status(change: StatusChange) -> None:
    tell(status=change.status.value, cause=change.cause.value, why=change.reason)


class UntilStdinEnds(Protocol):
    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def connectionLost(self, reason: object = None) -> None:
        self.ended.callback(None)


async def main(reactor: Any, description_url: str, duration: str) -> None:
    limits = replace(Limits(), duration_most_seconds=float(duration))
    control_point = ControlPoint(limits=limits, duration=int(duration))
    control_point.listen()
    device = await control_point.device(description_url)
    subscription = device["Bench"].subscribe(on_event, on_status=on_status)
    tell(ready=subscription.event_url)
    waiting = UntilStdinEnds()
    stdio.StandardIO(waiting)
    await waiting.ended
    await control_point.close()


task.react(lambda *arguments: Deferred.fromCoroutine(main(*arguments)), sys.argv[1:])
