"""A service of propchange.twisted with one evented variable.

    python -m benchmarks.peers.publish_twisted

On start: {"ready": version, "event_url": …}. ``publish EVENTS AT_ONCE`` assigns so many values and
waits for their deliveries: {"fired": EVENTS, "last": TEXT}.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor, stdio
from twisted.internet.defer import Deferred
from twisted.protocols.basic import LineOnlyReceiver

import twisted
from benchmarks import wire
from benchmarks.peers.lines import tell
from propchange import StateVariable
from propchange.twisted import Service


class Thermometer(Service, type=wire.SERVICE_TYPE):
    temperature = StateVariable("r4", initial=10.0)


class Commands(LineOnlyReceiver):
    delimiter = b"\n"

    def __init__(self, thermometer: Thermometer) -> None:
        self._thermometer = thermometer
        self._number = 0

    def lineReceived(self, line: bytes) -> None:
        _, events, at_once = line.split()
        Deferred.fromCoroutine(self._publish(int(events), int(at_once)))

    async def _publish(self, events: int, at_once: int) -> None:
        thermometer = self._thermometer
        for _ in range(events // at_once):
            for _ in range(at_once):
                self._number += 1
                thermometer.temperature = 10.0625 + self._number % 64 / 8
            await thermometer.drained()
        tell(fired=events, last=f"{thermometer.temperature:g}")

    def connectionLost(self, reason: Any = None) -> None:
        reactor.callLater(0, reactor.stop)


def main() -> None:
    thermometer = Thermometer()
    port = thermometer.listen(interface="127.0.0.1")
    tell(ready=f"Twisted {twisted.__version__}", event_url=f"http://127.0.0.1:{port}/")
    stdio.StandardIO(Commands(thermometer))
    reactor.run()


if __name__ == "__main__":
    main()
