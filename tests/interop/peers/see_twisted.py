"""As see_propchange.py, on Twisted."""

from __future__ import annotations

import json
import sys
from typing import Any

from command_lines import limits_and_options, tell
from twisted.internet import reactor, stdio
from twisted.internet.defer import Deferred
from twisted.protocols.basic import LineOnlyReceiver

from propchange import Event
from propchange.core.subscriber.events import StatusChange
from propchange.twisted import ControlPoint, RemoteDevice, Subscription


async def see(control_point: ControlPoint) -> None:
    async for sighting in control_point.devices():
        tell(sighting=sighting.kind.value, udn=sighting.udn, locations=sighting.locations)


async def subscribe(control_point: ControlPoint, udn: str, name: str) -> None:
    def on_event(event: Event) -> None:
        tell(event=dict(event.changes), udn=udn, seq=event.seq)

    def on_status(change: StatusChange) -> None:
        tell(status=change.status.value, udn=udn, cause=change.cause.value, why=change.reason)

    device = await control_point.device(udn=udn)
    kept.append((device, device[name].subscribe(on_event, on_status=on_status)))
    tell(subscribing=device[name].event_url)


kept: list[tuple[RemoteDevice, Subscription]] = []
"""A device is followed while the program has its object."""


async def leave() -> None:
    for _, subscription in kept:
        await subscription.close()
    tell(left=len(kept))
    kept.clear()


class Commands(LineOnlyReceiver):
    delimiter = b"\n"

    def __init__(self, control_point: ControlPoint) -> None:
        self._control_point = control_point

    def lineReceived(self, line: bytes) -> None:
        command, *words = line.decode().split(" ")
        done = leave() if command == "leave" else subscribe(self._control_point, *words)
        Deferred.fromCoroutine(done)

    def connectionLost(self, reason: object = None) -> None:
        self._control_point.close().addBoth(lambda _: reactor.stop())


def main(text: str = "{}") -> None:
    limits, options = limits_and_options(json.loads(text))
    arguments: dict[str, Any] = {"discovery": True} | options
    control_point = ControlPoint(limits=limits, **arguments)
    tell(ready=control_point.listen())
    Deferred.fromCoroutine(see(control_point))
    stdio.StandardIO(Commands(control_point))
    reactor.run()


main(*sys.argv[1:])
