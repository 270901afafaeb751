"""A media renderer of Cohen3, in its environment; its variable is CurrentConnectionIDs.

    python publish_cohen3.py PORT

Lines are those of publish_async_upnp_client. It listens on 127.0.0.1.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

# Cohen3 prints as it likes.
answers, sys.stdout = sys.stdout, open(os.devnull, "w")  # noqa: SIM115 - as long as the process

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "compat" / "cohen3"))

from coherence import base  # noqa: E402 - behind sys.path
from coherence.upnp.devices.media_renderer import MediaRenderer  # noqa: E402 - behind sys.path
from fake_player import FakePlayer  # noqa: E402 - behind sys.path
from twisted.internet import reactor, stdio  # noqa: E402 - behind sys.path
from twisted.protocols.basic import LineOnlyReceiver  # noqa: E402 - behind sys.path


def tell(**told: Any) -> None:
    print(json.dumps(told), flush=True, file=answers)


class Commands(LineOnlyReceiver):
    delimiter = b"\n"

    def __init__(self, server: Any) -> None:
        self._server = server

    def lineReceived(self, line: bytes) -> None:
        _, count, pace = line.split()
        self._fire(int(count), int(count), int(pace) / 1e6)

    def _fire(self, count: int, left: int, pace: float) -> None:
        while left:
            text = str(time.monotonic_ns())
            self._server.set_variable(0, "CurrentConnectionIDs", text)
            left -= 1
            if pace and left:
                reactor.callLater(pace, self._fire, count, left, pace)
                return
        tell(fired=count, last=text)

    def connectionLost(self, reason: Any = None) -> None:
        reactor.callLater(0, reactor.stop)


def main(port: int) -> None:
    base.get_host_address = lambda: "127.0.0.1"
    base.socket.gethostname = lambda: "localhost"
    coherence = base.Coherence({"unittest": "yes", "logmode": "error", "serverport": port})
    device = MediaRenderer(coherence, FakePlayer, no_thread_needed=True)
    url = f"http://127.0.0.1:{port}/{str(device.uuid)[5:]}/ConnectionManager/subscribe"

    def ready() -> None:
        stdio.StandardIO(Commands(device.connection_manager_server))
        tell(ready="Cohen3 0.9.3", event_url=url)

    reactor.callLater(0.5, ready)
    reactor.run()


main(int(sys.argv[1]))
