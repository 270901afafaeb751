"""As call_propchange.py, on Twisted."""

from __future__ import annotations

import json
import sys

from call_propchange import ERRORS, described, given, tell_answer, tell_error
from command_lines import tell
from twisted.internet import reactor, stdio
from twisted.internet.defer import Deferred
from twisted.protocols.basic import LineOnlyReceiver

from propchange import Event
from propchange.twisted import ControlPoint, RemoteDevice, Subscription


class Commands(LineOnlyReceiver):
    delimiter = b"\n"

    def __init__(self, control_point: ControlPoint) -> None:
        self._control_point = control_point
        self._device: RemoteDevice
        self._kept: list[Subscription] = []

    def lineReceived(self, line: bytes) -> None:
        command, _, rest = line.decode().partition(" ")
        Deferred.fromCoroutine(self.answer(command, rest)).addErrback(
            lambda failure: tell(error=command, why=failure.getTraceback())
        )

    async def answer(self, command: str, rest: str) -> None:
        words = rest.split("\t")
        if command == "device":
            self._device = await self._control_point.device(rest)
            tell(device=[each.service_type for each in self._device.services])
        elif command == "actions":
            tell(actions=described(await self._device[rest].actions()))
        elif command == "watch":
            self._kept.append(self._device[rest].subscribe(self.on_event))
            tell(watching=rest)
        elif command == "call":
            service = self._device[words[0]]
            try:
                action = (await service.actions()).get(words[1])
                values = given(action, json.loads(words[2]))
                tell_answer(await service.call(words[1], **values))
            except ERRORS as error:
                tell_error(error)
        else:
            tell(error="no such command", why=command)

    def on_event(self, event: Event) -> None:
        tell(event=dict(event.changes), initial=event.is_initial)

    def connectionLost(self, reason: object = None) -> None:
        self._control_point.close().addBoth(lambda _: reactor.stop())


def main(address: str) -> None:
    control_point = ControlPoint(callback_host=address, discovery=False)
    tell(ready=control_point.listen())
    stdio.StandardIO(Commands(control_point))
    reactor.run()


main(*sys.argv[1:])
