"""As act_propchange.py, on Twisted."""

from __future__ import annotations

import sys

from act_propchange import answer
from acting_device import DEVICES
from bench_device import host_options
from command_lines import tell
from twisted.internet import reactor, stdio
from twisted.protocols.basic import LineOnlyReceiver

from propchange import Device
from propchange.twisted import HostedDevice, host


class Commands(LineOnlyReceiver):
    delimiter = b"\n"

    def __init__(self, hosted: HostedDevice, device: Device) -> None:
        self._hosted = hosted
        self._device = device

    def connectionMade(self) -> None:
        tell(ready=self._hosted.description_url)

    def lineReceived(self, line: bytes) -> None:
        command, _, rest = line.decode().partition(" ")
        if command == "quit":
            self.transport.loseConnection()
        else:
            answer(self._device, command, rest)

    def connectionLost(self, reason: object = None) -> None:
        self._hosted.close().addBoth(lambda _: reactor.stop())


def main(name: str, text: str = "{}") -> None:
    device = DEVICES[name]()
    hosted = host(device, **host_options(text))
    hosted.open().addCallback(lambda _: stdio.StandardIO(Commands(hosted, device)))
    reactor.run()


main(*sys.argv[1:])
