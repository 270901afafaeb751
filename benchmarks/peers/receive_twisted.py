"""Receiving on Twisted.

    python -m benchmarks.peers.receive_twisted bare|cohen3|EventServer|ControlPoint

bare: a resource of twisted.web that answers 200 to NOTIFY. EventServer: that of propchange.cohen3,
beneath twisted.web. cohen3: that of Cohen3 itself, in its environment. All three are at /events of
a site. ControlPoint: that of propchange.twisted. Lines are those of receive_propchange.
"""

from __future__ import annotations

import http.client
import sys
from pathlib import Path
from typing import Any

from twisted.internet import defer, reactor, stdio
from twisted.protocols.basic import LineOnlyReceiver
from twisted.web.resource import Resource
from twisted.web.server import Site

import twisted

# Cohen3 prints as it likes, and runs where this folder is no package.
sys.path.insert(0, str(Path(__file__).parent))

from lines import VALUES, Tally, tell

TALLY = Tally()
NAMES = {"bare": "twisted.web", "cohen3": "Cohen3", "EventServer": "propchange.cohen3"}


class Commands(LineOnlyReceiver):
    """``count`` and ``subscribe``."""

    delimiter = b"\n"

    def __init__(self, subscribe: Any) -> None:
        self._subscribe = subscribe

    def lineReceived(self, line: bytes) -> None:
        command, *words = line.decode().split()
        if command == "subscribe":
            self._subscribe(words[0], int(words[1]))
        else:
            TALLY.tell()

    def connectionLost(self, reason: Any = None) -> None:
        reactor.callLater(0, reactor.stop)


def subscribe_by_hand(port: int) -> Any:
    """Subscribes for a resource at /events, and waits for the answers."""

    def subscribe(base_url: str, count: int) -> None:
        device = http.client.HTTPConnection(base_url.removeprefix("http://"))
        for _ in range(count):
            callback = f"<http://127.0.0.1:{port}/events>"
            headers = {"CALLBACK": callback, "NT": "upnp:event", "TIMEOUT": "Second-1800"}
            device.request("SUBSCRIBE", "/event", headers=headers)
            device.getresponse().read()
        device.close()
        tell(subscribed=count)

    return subscribe


def subscribe_by(control_point: Any) -> Any:
    """Subscribes as a program of propchange does."""

    async def subscribe(base_url: str, count: int) -> None:
        device = await control_point.device(f"{base_url}/description.xml")
        for _ in range(count):
            device["Thermometer"].subscribe(consumer())
        tell(subscribed=count)

    return lambda *words: defer.Deferred.fromCoroutine(subscribe(*words))


def consumer() -> Any:
    """What is called with the events of one subscription."""
    values, number = VALUES["Temperature"], 0

    def on_event(event: Any) -> None:
        nonlocal number
        if event.changes["Temperature"] != values[number & 63]:
            TALLY.disorder += 1
        number += 1
        TALLY.events += 1

    return on_event


class Bare(Resource):
    isLeaf = True

    def render_NOTIFY(self, request: Any) -> bytes:
        TALLY.events += 1
        return b""


class CoherencePoint:
    """As much of Cohen3's control point as an EventServer uses."""

    hostname = "127.0.0.1"

    def __init__(self, root: Resource, port: int) -> None:
        self.web_server_port = port
        self._root = root
        self._numbers: dict[Any, int] = {}

    @property
    def coherence(self) -> Any:
        return self

    def add_web_resource(self, name: str, resource: Any) -> None:
        self._root.putChild(name.encode(), resource)

    def propagate(self, event: Any) -> None:
        sid = event.get_sid()
        number = self._numbers.get(sid, 0)
        if float(event["Temperature"]) != VALUES["Temperature"][number & 63]:
            TALLY.disorder += 1
        self._numbers[sid] = number + 1
        TALLY.events += 1


def main(which: str) -> None:
    version = f"Twisted {twisted.__version__}"
    if which == "ControlPoint":
        from propchange.twisted import ControlPoint

        control_point = ControlPoint()
        control_point.listen()
        tell(ready=f"propchange.twisted, {version}")
        stdio.StandardIO(Commands(subscribe_by(control_point)))
        reactor.run()
        return
    root = Resource()
    port = reactor.listenTCP(0, Site(root), interface="127.0.0.1", backlog=1024)
    number = port.getHost().port
    if which == "bare":
        root.putChild(b"events", Bare())
    elif which == "EventServer":
        from propchange.twisted.event import EventServer

        EventServer(CoherencePoint(root, number))
    else:
        from coherence.upnp.core.event import EventServer

        EventServer(CoherencePoint(root, number))
    tell(ready=f"{NAMES[which]}, {version}")
    stdio.StandardIO(Commands(subscribe_by_hand(number)))
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1])
