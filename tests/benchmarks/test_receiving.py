"""Receiving is measured with propchange and with other libraries, and a lost event is noticed."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks import network, receivers, receiving
from benchmarks.programs import compiler
from benchmarks.receivers import Receiver
from benchmarks.receiving import Flow, flows
from benchmarks.results import COST, RATE, Incorrect
from lab.fixtures import missing
from tests.benchmarks.test_publishers import in_network, own_network  # noqa: F401 - a fixture
from tests.benchmarks.test_run import run

pytestmark = [
    pytest.mark.skipif(compiler() is None, reason="the load is written in C"),
    pytest.mark.xdist_group("receivers"),
    pytest.mark.timeout(300),
]


def receive(receiver: Receiver, body: receivers.Body = "plain") -> None:
    """Measure a short round on two connections, and one with a connection for each event."""
    with flows([receiver], body, 2) as (ready, wrong):
        if wrong:
            missing(wrong[receiver.name])
        flow = ready[receiver.name]
        kept, closing = flow.round(0.05, "keep"), flow.round(0.05, "close")
    assert min(kept[RATE], kept[COST], closing[RATE], closing[COST]) > 0
    assert closing["opened"] > 2


@pytest.mark.parametrize("body", ["plain", "last-change"])
def test_propchange_receives_every_event(body: receivers.Body) -> None:
    receive(receivers.ours(body)[0], body)


@pytest.mark.slow
@pytest.mark.parametrize("body", ["plain", "last-change"])
def test_the_floors_and_the_other_libraries_receive_every_event(
    body: receivers.Body,
    own_network: None,  # noqa: F811 - the fixture
) -> None:
    def all_of_them() -> None:
        for receiver in [*receivers.ours(body)[1:], *receivers.others(body)]:
            receive(receiver, body)

    in_network(all_of_them)


@pytest.mark.slow
def test_receivers_on_twisted_receive_every_event() -> None:
    for receiver in receivers.twisted_receivers(with_cohen3=False):
        receive(receiver)


class Answering(socketserver.StreamRequestHandler):
    """Answers each NOTIFY with ``answer``."""

    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

    def handle(self) -> None:
        while self.rfile.readline():
            length = 0
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                if line.startswith(b"CONTENT-LENGTH:"):
                    length = int(line[15:])
            self.rfile.read(length)
            self.note()
            self.wfile.write(self.answer)

    def note(self) -> None:
        """An event came."""


class Refusing(Answering):
    answer = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


class Forgetful:
    """A receiver that answers as ``answering`` does, whose application counts what it likes."""

    name = "forgetful"
    address = "127.0.0.1"

    def __init__(self, answering: type[Answering], counts: Callable[[], dict[str, Any]]) -> None:
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), answering)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.count = counts

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def cpu(self) -> float:
        return 0.0

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@contextlib.contextmanager
def flow_to(receiver: Any) -> Iterator[Flow]:
    with flows([receiver], "plain", 2) as (ready, wrong):
        assert not wrong
        yield ready["forgetful"]


def test_an_application_that_misses_an_event_has_no_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(receiving, "_SETTLE_SECONDS", 0.2)
    receiver = Forgetful(Answering, lambda: {"events": 2, "disorder": 0})
    with flow_to(receiver) as flow, pytest.raises(Incorrect, match="the application has 2 of"):
        flow.round(0.02, "keep")


def test_an_application_with_a_wrong_value_has_no_figures() -> None:
    class Counting(Answering):
        def note(self) -> None:
            events.append(1)

    events: list[int] = []
    receiver = Forgetful(Counting, lambda: {"events": len(events), "disorder": len(events) > 2})
    with flow_to(receiver) as flow, pytest.raises(Incorrect, match="did not have the next value"):
        flow.round(0.02, "keep")


def test_a_receiver_that_answers_500_has_no_figures() -> None:
    receiver = Forgetful(Refusing, lambda: {"events": 2, "disorder": 0})
    with flow_to(receiver) as flow, pytest.raises(Incorrect, match="were not answered 200"):
        flow.round(0.02, "keep")


def test_a_library_that_is_not_there_is_named_with_the_reason() -> None:
    assert network.reason() is not None
    contestants = [each for each in receivers.others("plain") if each.name.startswith("libupnp")]
    with flows(contestants, "plain", 1) as (ready, wrong):
        assert not ready
        assert "no " in wrong[contestants[0].name]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "titles"),
    [
        ("receiving", ["on 1 connection,", "on 64 connections", "for each event", "LastChange"]),
        ("subscribing", ["endpoint of its own", "few endpoints", "renewals on kept connections"]),
        ("idle", ["bytes each", "with ControlPoint"]),
        ("twisted", ["receiving on Twisted", "of a Service on Twisted"]),
    ],
)
def test_a_short_run_measures_each_row_of_a_family(family: str, titles: list[str]) -> None:
    done = run("--only", family, "--without-peers")
    assert "NO FIGURES" not in done.stdout, done.stdout
    assert "Traceback" not in done.stderr, done.stderr
    for title in titles:
        assert title in done.stdout, done.stdout
