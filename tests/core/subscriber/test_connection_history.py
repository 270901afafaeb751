"""Who has come to the listener is remembered, and bounded."""

from __future__ import annotations

import dataclasses

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.connection_history import AddressHistory, ConnectionHistory
from propchange.core.wire.messages import Endpoint
from propchange.core.wire.refusals import Part

DEVICE = Endpoint("10.0.0.1", 50_000)


def history(number: int = 3) -> ConnectionHistory:
    return ConnectionHistory(dataclasses.replace(DEFAULT_LIMITS, history_addresses=number))


def test_what_comes_from_an_address_is_counted_with_its_time() -> None:
    known = history()
    known.connected(DEVICE, 1.0)
    known.connected(DEVICE._replace(port=50_001), 2.0)
    known.turned_away(DEVICE, 2.5)
    known.ended_empty(DEVICE, 3.0)
    known.refused(DEVICE, "/path", 412, "no such path", 4.0)

    assert known.of("10.0.0.1") == AddressHistory(
        connections=2,
        connected_at=2.0,
        turned_away=1,
        turned_away_at=2.5,
        empty=1,
        empty_at=3.0,
        refusals=1,
        refused_at=4.0,
        refused_status=412,
        refused_target="/path",
        refused_reason="no such path",
        refused_part=Part.FRAMING,
        refused_port=50_000,
    )
    assert known.of("10.0.0.2") is None


def test_what_cannot_be_parsed_behind_a_refused_message_leaves_the_first_reason() -> None:
    known = history()
    known.refused(DEVICE, "/path", 400, "unclosed token", 1.0, part=Part.BODY)
    known.refused(DEVICE, "", 400, "a line does not end with CR LF", 1.0)
    found = known.of(DEVICE.host)
    assert found is not None
    assert (found.refusals, found.refused_reason) == (1, "unclosed token")
    known.refused(DEVICE._replace(port=50_001), "", 400, "no HTTP", 2.0)
    assert (found.refusals, found.refused_reason) == (2, "no HTTP")


def test_who_was_refused_at_a_path_is_found_whatever_its_address() -> None:
    known = history()
    known.connected(DEVICE, 1.0)
    known.refused(Endpoint("10.0.0.9", 1), "/path", 412, "another source", 2.0)

    found = known.refused_for("/path")
    assert found is not None
    assert (found[0], found[1].refused_status) == ("10.0.0.9", 412)
    assert known.refused_for("/other") is None


def test_a_flood_of_addresses_makes_only_the_one_that_stays_away_forgotten() -> None:
    known = history(3)
    for host in ("a", "b", "c", "a", "d"):
        known.connected(Endpoint(host, 1), 0.0)

    assert len(known) == 3
    assert known.of("b") is None
    assert known.of("a") is not None


def test_what_this_program_sends_to_itself_is_nobody_s() -> None:
    known = history()
    known.ours.add(DEVICE.port)
    known.connected(DEVICE, 1.0)
    known.ended_empty(DEVICE, 2.0)

    assert known.of(DEVICE.host) is None
