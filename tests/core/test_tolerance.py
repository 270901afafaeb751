"""The code does with each deviation what the table of deviations says."""

from __future__ import annotations

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.judge import PublisherPolicy, judge_subscribe
from propchange.core.subscriber.judge import SubscriberPolicy, judge_notify
from propchange.core.tolerance import TOLERANCES, Role, Tolerance, accepts
from propchange.core.wire.headers import is_infinite, parse_seq, parse_sid, parse_timeout
from propchange.core.wire.messages import Endpoint, Request
from propchange.core.wire.refusals import Refusal

ROWS = list(TOLERANCES.values())

LOOPBACK = Endpoint("127.0.0.1", 80)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.role}-{row.name}")
def test_a_row_is_found_by_its_role_and_name(row: Tolerance) -> None:
    assert TOLERANCES[row.role, row.name] is row
    assert accepts(row.role, row.name) is row.accepted


def test_a_deviation_that_is_not_in_the_table_is_an_error() -> None:
    with pytest.raises(KeyError):
        accepts("publisher", "good manners")


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        TOLERANCES["publisher", "x"] = ROWS[0]  # type: ignore[index]  # it is read-only


@pytest.mark.parametrize("role", ["publisher", "subscriber"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("timeout-case", b"second-300"),
        ("timeout-decimal", b"Second-300.0"),
        ("timeout-clock", b"Second-0:05:00"),
        ("timeout-bare", b"300"),
    ],
)
def test_a_timeout_is_read_as_the_table_says(name: str, value: bytes, role: Role) -> None:
    read = parse_timeout(value, lenient=role == "subscriber")
    assert read == (300.0 if accepts(role, name) else None)


def test_infinite_is_absent_for_a_publisher_and_known_to_a_subscriber() -> None:
    assert parse_timeout(b"Second-infinite") is None
    assert is_infinite(b"Second-infinite")


def _subscribe(*headers: tuple[bytes, bytes], body: bytes = b"") -> Request:
    return Request(
        "SUBSCRIBE",
        "/",
        ((b"HOST", b"127.0.0.1"), *headers),
        body,
        local=LOOPBACK,
        peer=Endpoint("127.0.0.1", 50000),
    )


NT = (b"NT", b"upnp:event")
CALLBACK = (b"CALLBACK", b"<http://127.0.0.1:49152/>")


@pytest.mark.parametrize(
    ("accepted", "request_"),
    [
        (accepts("publisher", "nt-missing"), _subscribe(CALLBACK)),
        (accepts("publisher", "nt-propchange"), _subscribe(CALLBACK, (b"NT", b"upnp:propchange"))),
        (False, _subscribe(NT, (b"CALLBACK", b"http://127.0.0.1:49152/"))),
        (True, _subscribe(NT, CALLBACK, CALLBACK)),
        (True, _subscribe(NT, (CALLBACK[0], CALLBACK[1] + b", " + CALLBACK[1]))),
        (False, _subscribe(NT, (CALLBACK[0], CALLBACK[1] + b"<http://8.8.8.8>"))),
        (False, _subscribe(NT, (b"CALLBACK", b"<http://8.8.8.8/>"))),
        (False, _subscribe(CALLBACK, (b"SID", b"uuid:1"))),
        (False, _subscribe(CALLBACK, (b"NT", b"upnp:event\x00"))),
        (True, _subscribe(NT, CALLBACK, body=b"x")),
    ],
)
def test_a_publisher_takes_the_requests_that_the_table_accepts(
    accepted: bool, request_: Request
) -> None:
    verdict = judge_subscribe(request_, PublisherPolicy(), DEFAULT_LIMITS, ())
    assert isinstance(verdict, Refusal) is not accepted


@pytest.mark.parametrize(
    ("accepted", "header"),
    [
        (accepts("subscriber", "seq-missing"), None),
        (False, (b"SEQ", b"one")),
        (True, (b"SEQ", b"001")),
        (True, (b"CONTENT-TYPE", b"application/octet-stream")),
    ],
)
def test_a_subscriber_takes_the_events_that_the_table_accepts(
    accepted: bool, header: tuple[bytes, bytes] | None
) -> None:
    headers = [
        (b"HOST", b"127.0.0.1"),
        NT,
        (b"NTS", b"upnp:propchange"),
        (b"SID", b"1"),
        *([header] if header else []),
    ]
    verdict = judge_notify(Request("NOTIFY", "/", headers, local=LOOPBACK), SubscriberPolicy())
    assert isinstance(verdict, Refusal) is not accepted


def test_a_sid_without_uuid_and_a_seq_with_zeros_are_read() -> None:
    assert parse_sid(b"1") == "1"
    assert parse_seq(b"01") == 1
