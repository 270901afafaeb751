"""Cohen3's send_notification, in its environment: its own, or that of propchange.cohen3.

    python publish_notifications.py propchange|cohen3

On start: {"ready": name}. ``targets [[ADDRESS, PORT, PATH], …]`` makes the subscribers, and
``burst EVENTS 0`` sends so many events to each: {"fired": EVENTS, "last": TEXT}, when they are
written (Cohen3) or answered (propchange).
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "src")]

if sys.argv[1] == "propchange":
    from propchange.twisted import install

    install()

from coherence.upnp.core import event  # noqa: E402 - behind install()
from twisted.internet import defer, reactor, stdio  # noqa: E402 - behind sys.path
from twisted.protocols.basic import LineReceiver  # noqa: E402 - behind sys.path

BODY = (
    '<?xml version="1.0"?>\n<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">\n'
    "<e:property><Temperature>{}</Temperature></e:property>\n</e:propertyset>"
)


def tell(**told: Any) -> None:
    print(json.dumps(told), flush=True)


class Commands(LineReceiver):
    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def __init__(self) -> None:
        self._subscribers: list[dict[str, Any]] = []
        self._number = 0

    def lineReceived(self, line: bytes) -> None:
        command, _, rest = line.decode().partition(" ")
        if command == "targets":
            self._subscribers = [
                {
                    "sid": f"uuid:{number}",
                    "callback": f"http://{address}:{port}{path}",
                    "seq": 0,
                    "timeout": "Second-1800",
                    "created": time.time(),
                }
                for number, (address, port, path) in enumerate(json.loads(rest))
            ]
            tell(targets=len(self._subscribers))
        else:
            defer.ensureDeferred(self._burst(int(rest.split()[0])))

    async def _burst(self, events: int) -> None:
        for _ in range(events):
            self._number += 1
            text = f"{10.0 + self._number % 64 / 8:.3f}"
            body = BODY.format(text).encode()
            sent = [event.send_notification(each, body)[0] for each in self._subscribers]
            await defer.DeferredList(sent)
        tell(fired=events, last=text)

    def connectionLost(self, reason: Any = None) -> None:
        reactor.callLater(0, reactor.stop)


tell(ready=sys.argv[1])
stdio.StandardIO(Commands())
reactor.run()
