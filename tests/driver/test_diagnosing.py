"""Probe connections of a diagnosis: to the device, and to our own listener."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest

from propchange import Limits
from propchange.core.diagnosis.facts import Facts, Probe, Reach
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import LocalAddress
from propchange.core.subscriber.connection_history import ConnectionHistory
from propchange.core.subscriber.events import Status
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.driver.diagnosing import Diagnoses
from propchange.driver.listener import Listener
from propchange.driver.machine import Machine
from propchange.driver.runtime import Armed
from propchange.twisted.runtime import TwistedRuntime

QUICK = {"diagnosis_seconds": 0.4}


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def diagnoses(driven: Any, callers: ConnectionHistory | None = None, **limits: Any) -> Diagnoses:
    callers = ConnectionHistory(Limits()) if callers is None else callers
    requests = driven.requests(**limits)
    return Diagnoses(requests, callers, Machine(), SubscriberPolicy())


async def probe_device(
    driven: Any, url: str, source: Endpoint | None = None, **limits: Any
) -> Probe:
    probe: Probe = await driven.run(diagnoses(driven, **limits).probe_device(url, source))
    return probe


async def test_a_device_that_accepts_is_told(driven: Any, wire: Any) -> None:
    door = wire.listen()
    url = f"http://127.0.0.1:{door.port}/event"
    assert await probe_device(driven, url) == Probe(f"127.0.0.1:{door.port}", Reach.ACCEPTED)
    assert (await (await door.accept()).some()) == b""
    bound = await probe_device(driven, url, Endpoint("127.0.0.1", 0))
    assert bound.reach is Reach.ACCEPTED


async def test_a_device_that_refuses_is_told(driven: Any) -> None:
    port = closed_port()
    assert await probe_device(driven, f"http://127.0.0.1:{port}/") == Probe(
        f"127.0.0.1:{port}", Reach.REFUSED
    )


@pytest.mark.slow
async def test_a_device_that_is_silent_is_told_in_bounded_time(driven: Any, deaf_port: int) -> None:
    assert await probe_device(driven, f"http://127.0.0.1:{deaf_port}/", **QUICK) == Probe(
        f"127.0.0.1:{deaf_port}", Reach.SILENT, "for 0.4 s"
    )


async def test_a_name_that_nobody_knows_is_told(driven: Any) -> None:
    probe = await probe_device(driven, "http://nas.invalid/")
    assert (probe.where, probe.reach) == ("nas.invalid:80", Reach.UNRESOLVED)
    assert probe.detail or isinstance(driven.runtime, TwistedRuntime)  # which says nothing


@pytest.mark.parametrize(
    ("number", "reach", "words"),
    [
        (errno.ENETUNREACH, Reach.UNREACHABLE, os.strerror(errno.ENETUNREACH)),
        (errno.EMFILE, Reach.SHORTAGE, os.strerror(errno.EMFILE)),
        (errno.EPERM, Reach.UNREACHABLE, os.strerror(errno.EPERM)),
        (errno.EHOSTUNREACH, Reach.SILENT, os.strerror(errno.EHOSTUNREACH)),
        (errno.ECONNRESET, Reach.REFUSED, os.strerror(errno.ECONNRESET)),
        (errno.ECONNREFUSED, Reach.REFUSED, ""),
    ],
)
async def test_what_the_system_says_is_told_apart(
    driven: Any, number: int, reach: Reach, words: str
) -> None:
    def connect(*_: object, failed: Callable[[OSError], None], **__: object) -> Armed:
        return driven.runtime.call_soon(lambda: failed(OSError(number, "x")))

    found = diagnoses(driven)
    driven.runtime.connect = connect
    probe = await driven.run(found.probe_device("http://127.0.0.1:1/", None))
    assert (probe.reach, probe.detail) == (reach, words)


async def test_a_source_of_the_other_family_reaches_nobody(driven: Any) -> None:
    probe = await probe_device(driven, "http://127.0.0.1:1/", Endpoint("::1", 0))
    assert probe.reach is Reach.UNRESOLVED


# --- the own listener ---


async def listening(driven: Any, probes: Diagnoses, callers: ConnectionHistory) -> Listener:
    def respond(request: Request) -> Response:
        answer = probes.answer(request)
        assert answer is not None
        return answer

    listener = Listener(driven.runtime, respond, limits=DEFAULT_LIMITS, history=callers)
    await driven.run(listener.open())
    return listener


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_the_own_listener_is_known_and_the_probe_is_nobody_s_connection(
    driven: Any, host: str
) -> None:
    callers = ConnectionHistory(Limits())
    probes = diagnoses(driven, callers)
    listener = await listening(driven, probes, callers)
    where = Endpoint(host, listener.port)
    assert await driven.run(probes.probe_listener(where)) == Probe(str(where), Reach.ACCEPTED)
    assert len(callers) == 0
    assert not callers.ours
    assert not probes.asked
    await driven.run(listener.close())


async def test_another_program_at_the_address_is_told(driven: Any, raw_device: Any) -> None:
    probes = diagnoses(driven, **QUICK)
    async with raw_device() as device:
        where = Endpoint("127.0.0.1", device.port)
        for answer, detail in ((device.reply(404), "status 404"), (b"", ""), (None, "")):
            device.answers["NOTIFY"] = answer
            assert await driven.run(probes.probe_listener(where)) == Probe(
                str(where), Reach.SOMEBODY_ELSE, detail
            )


async def test_an_address_where_nobody_listens_is_told(driven: Any) -> None:
    callers = ConnectionHistory(Limits())
    where = Endpoint("127.0.0.1", closed_port())
    assert (
        await driven.run(diagnoses(driven, callers).probe_listener(where))
    ).reach is Reach.REFUSED
    assert not callers.ours


@pytest.mark.slow
async def test_an_own_address_that_is_silent_is_told_in_bounded_time(
    driven: Any, deaf_port: int
) -> None:
    where = Endpoint("127.0.0.1", deaf_port)
    probe = await driven.run(diagnoses(driven, **QUICK).probe_listener(where))
    assert probe == Probe(str(where), Reach.SILENT, "for 0.4 s")


# --- the facts ---

HERE = Endpoint("192.0.2.5", 9000)
OWN = (LocalAddress("192.0.2.5", 0, ip_network("192.0.2.0/24"), "eth0", 2),)


async def facts_of(driven: Any, *known: Facts, source: Endpoint | None = None) -> Facts:
    """The facts of a diagnosis whose protocol knows each of ``known`` in turn."""
    machine = Machine(
        in_container=lambda: True, source_towards=lambda device: f"towards {device.host}"
    )
    probes = Diagnoses(
        driven.requests(**QUICK), ConnectionHistory(Limits()), machine, SubscriberPolicy()
    )
    diagnosis = await driven.run(
        probes.diagnose(iter(known).__next__, listening=[HERE], own=lambda: OWN, source=source)
    )
    facts: Facts = diagnosis.facts
    return facts


async def test_what_was_found_of_an_address_that_is_tried_no_more_counts_for_nothing(
    driven: Any,
) -> None:
    url = f"http://127.0.0.1:{closed_port()}/"
    after = Facts(event_url=url, status=Status.DEAF)
    before = replace(after, advertised=Endpoint("127.0.0.1", closed_port()))
    for last, reach in ((before, Reach.REFUSED), (after, None)):
        found = await facts_of(driven, before, before, last)
        assert found.device_probe is not None
        assert found.device_probe.reach is Reach.REFUSED
        assert (found.self_connect and found.self_connect.reach) is reach


async def test_the_surroundings_are_seen_from_where_everything_is_sent(driven: Any) -> None:
    url = f"http://127.0.0.1:{closed_port()}/"
    facts = Facts(event_url=url, status=Status.DEAF, device="192.0.2.1")
    nowhere = replace(facts, device=None)
    for known, source, seen in (
        (facts, None, "towards 192.0.2.1"),
        (facts, Endpoint("127.0.0.1", 0), "127.0.0.1"),
        (nowhere, None, None),
    ):
        found = await facts_of(driven, known, known, known, source=source)
        assert (found.listening, found.own, found.in_container) == ((HERE,), OWN, True)
        assert found.source == seen
