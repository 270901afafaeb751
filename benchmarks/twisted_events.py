"""The Twisted front against bare twisted.web and against Cohen3, in one run.

    python -m benchmarks.twisted_events [--rounds N] [--cohen3 PYTHON]

Receiving: propchange.cohen3.EventServer, in a stock ``twisted.web`` site, against a bare
resource that answers 200, each with 64 kept-alive connections that send NOTIFY. Sending:
send_notification to 100 subscribers against Cohen3's, both in the environment of Cohen3 that
tests/compat builds (Twisted 21.7). The contestants take turns; only the ratios count. Exits
with 1 when a ratio is too small, and leaves sending out when there is no such environment.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CONNECTIONS = 64
SUBSCRIBERS = 100
EVENTS = 20
SECONDS = 1.5
RECEIVING_AT_LEAST = 0.7
SENDING_AT_LEAST = 1.3

BODY = (
    b'<?xml version="1.0"?>\n'
    b'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">\n'
    b"<e:property><Volume>30</Volume></e:property>\n</e:propertyset>"
)


# --- the contestants, each a process of its own ---


def serve(which: str) -> None:
    from twisted.internet import reactor
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    root = Resource()
    if which == "bare":

        class Bare(Resource):
            isLeaf = True

            def render_NOTIFY(self, request: Any) -> bytes:
                return b""

        root.putChild(b"events", Bare())
    port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
    number = port.getHost().port
    if which == "ours":
        from propchange.twisted.event import EventServer

        class ControlPoint:
            hostname = "127.0.0.1"
            web_server_port = number
            events = 0

            @property
            def coherence(self) -> Any:
                return self

            def add_web_resource(self, name: str, resource: Any) -> None:
                root.putChild(name.encode(), resource)

            def propagate(self, event: Any) -> None:
                assert event["Volume"] == "30"
                self.events += 1

        EventServer(ControlPoint())
    print(number, flush=True)
    reactor.run()


def send(which: str, port: int) -> None:
    if which == "ours":
        from propchange.twisted import install

        install()
    from coherence.upnp.core import event
    from twisted.internet import defer, reactor, threads

    subscribers = [
        {
            "sid": f"uuid:{number}",
            "callback": f"http://127.0.0.1:{port}/{number}",
            "seq": 0,
            "timeout": "Second-1800",
            "created": time.time(),
        }
        for number in range(SUBSCRIBERS)
    ]

    async def main() -> None:
        while await threads.deferToThread(sys.stdin.readline):
            began, cpu = time.perf_counter(), time.process_time()
            for _ in range(EVENTS):
                sent = [event.send_notification(s, BODY)[0] for s in subscribers]
                await defer.DeferredList(sent)
            took = time.perf_counter() - began
            cost = time.process_time() - cpu
            print(json.dumps({"seconds": took, "cpu": cost}), flush=True)
        reactor.stop()

    reactor.callWhenRunning(lambda: defer.ensureDeferred(main()))
    reactor.run()


# --- the other ends ---


class Client(asyncio.Protocol):
    def __init__(self, request: bytes) -> None:
        self.request = request
        self.answers = 0
        self.bad = 0
        self.stopped = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.answers += 1
        self.bad += not data.startswith(b"HTTP/1.1 200")
        if not self.stopped:
            self.transport.write(self.request)


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def receive(process: subprocess.Popen[str], port: int) -> tuple[float, float]:
    """NOTIFY/s, and CPU-µs each."""
    head = (
        f"NOTIFY /events HTTP/1.1\r\nHOST: 127.0.0.1:{port}\r\n"
        'CONTENT-TYPE: text/xml; charset="utf-8"\r\nNT: upnp:event\r\nNTS: upnp:propchange\r\n'
        f"SID: uuid:one\r\nSEQ: 1\r\nCONTENT-LENGTH: {len(BODY)}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    clients = []
    for _ in range(CONNECTIONS):
        _, client = await loop.create_connection(
            lambda: Client(head.encode() + BODY), "127.0.0.1", port
        )
        clients.append(client)
    await asyncio.sleep(0.3)  # warm
    before = sum(client.answers for client in clients)
    began, cpu = time.perf_counter(), cpu_seconds(process)
    await asyncio.sleep(SECONDS)
    answers = sum(client.answers for client in clients) - before
    rate = answers / (time.perf_counter() - began)
    cost = (cpu_seconds(process) - cpu) / answers * 1e6
    for client in clients:
        client.stopped = True
        client.transport.close()
    bad = sum(client.bad for client in clients)
    if bad:
        raise SystemExit(f"{bad} answers were not 200")
    return rate, cost


class Sink(asyncio.Protocol):
    """Answers 200 to each NOTIFY; they come whole, and one at a time."""

    taken = 0
    buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if self.buffer.endswith(b"</e:propertyset>"):
            self.buffer = b""
            Sink.taken += 1
            self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def start(python: str, *words: str) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(root / "src"), str(root)])
    return subprocess.Popen(
        [python, "-W", "ignore", str(Path(__file__).resolve()), *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )


def medians(samples: dict[str, list[tuple[float, float]]]) -> list[list[float]]:
    return [
        [statistics.median(values) for values in zip(*taken, strict=True)]
        for taken in samples.values()
    ]


def compare_receiving(rounds: int) -> float:
    samples: dict[str, list[tuple[float, float]]] = {"bare": [], "ours": []}
    for _ in range(rounds):
        for which, taken in samples.items():
            process = start(sys.executable, "serve", which)
            assert process.stdout is not None
            port = int(process.stdout.readline())
            taken.append(asyncio.run(receive(process, port)))
            process.kill()
            process.communicate()
    (bare, bare_cpu), (ours, our_cpu) = medians(samples)
    print(f"receiving, {CONNECTIONS} connections, NOTIFY/s: ", end="")
    print(f"bare twisted.web {bare:,.0f} ({bare_cpu:.0f} CPU-µs), ", end="")
    print(f"EventServer {ours:,.0f} ({our_cpu:.0f} CPU-µs): {ours / bare:.2f} ", end="")
    print(f"(at least {RECEIVING_AT_LEAST})")
    return ours / bare


async def time_sending(python: str, which: str, rounds: int) -> list[tuple[float, float]]:
    """(deliveries/s, CPU-µs a delivery) of each round but the first."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Sink, "127.0.0.1", 0, backlog=1024)
    process = start(python, "send", which, str(server.sockets[0].getsockname()[1]))
    assert process.stdin is not None
    assert process.stdout is not None
    found = []
    total = SUBSCRIBERS * EVENTS
    for number in range(rounds + 1):
        Sink.taken = 0
        process.stdin.write("go\n")
        process.stdin.flush()
        began = time.perf_counter()
        told = json.loads(await loop.run_in_executor(None, process.stdout.readline))
        while Sink.taken < total and time.perf_counter() < began + 30:  # noqa: ASYNC110 - see below
            await asyncio.sleep(0.001)  # Cohen3 does not wait for the answers
        took = time.perf_counter() - began
        if Sink.taken != total:
            raise SystemExit(f"{which}: {Sink.taken} of {total} arrived")
        if number:
            found.append((total / took, told["cpu"] / total * 1e6))
    process.kill()
    process.communicate()
    server.close()
    return found


def compare_sending(python: str, rounds: int) -> float:
    samples: dict[str, list[tuple[float, float]]] = {"theirs": [], "ours": []}
    for _ in range(rounds):
        for which, taken in samples.items():
            taken += asyncio.run(time_sending(python, which, 1))
    (theirs, their_cpu), (ours, our_cpu) = medians(samples)
    print(f"sending, {SUBSCRIBERS} subscribers, deliveries/s: ", end="")
    print(f"Cohen3 {theirs:,.0f} ({their_cpu:.0f} CPU-µs), ", end="")
    print(f"send_notification {ours:,.0f} ({our_cpu:.0f} CPU-µs): {ours / theirs:.2f} ", end="")
    print(f"(at least {SENDING_AT_LEAST})")
    return ours / theirs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cohen3", help="the Python of an environment with Cohen3")
    options = parser.parse_args()
    ratios = [compare_receiving(options.rounds) / RECEIVING_AT_LEAST]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "propchange"
    found = sorted(cache.glob("cohen3-????????????????/bin/python"), key=os.path.getmtime)
    python = options.cohen3 or (str(found[-1]) if found else None)
    if python is None:
        print("sending: no environment with Cohen3; `pytest tests/compat` builds one")
    else:
        ratios.append(compare_sending(python, options.rounds) / SENDING_AT_LEAST)
    sys.exit(min(ratios) < 1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        serve(sys.argv[2])
    elif sys.argv[1:2] == ["send"]:
        send(sys.argv[2], int(sys.argv[3]))
    else:
        main()
