"""As host_propchange.py, on Twisted."""

from __future__ import annotations

import sys

from bench_device import Bench, bench_device, host_options
from command_lines import tell
from twisted.internet import reactor, stdio
from twisted.protocols.basic import LineOnlyReceiver

from propchange.twisted import HostedDevice, host


class Commands(LineOnlyReceiver):
    delimiter = b"\n"

    def __init__(self, hosted: HostedDevice, bench: Bench) -> None:
        self._hosted = hosted
        self._bench = bench

    def connectionMade(self) -> None:
        tell(ready=self._hosted.port, udn=self._hosted.udn)

    def lineReceived(self, line: bytes) -> None:
        command, _, rest = line.decode().partition(" ")
        if command == "quit":
            self.transport.loseConnection()
            return
        self._bench.value = rest
        tell(set=rest)

    def connectionLost(self, reason: object = None) -> None:
        self._hosted.close().addCallback(lambda _: tell(left=True)).addBoth(
            lambda _: reactor.stop()
        )


def main(text: str = "{}") -> None:
    options = host_options(text)
    bench = Bench()
    hosted = host(bench_device(bench), **options)
    hosted.open().addCallback(lambda _: stdio.StandardIO(Commands(hosted, bench)))
    reactor.run()


main(*sys.argv[1:])
