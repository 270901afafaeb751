"""The table of accepted deviations is what happens."""

from __future__ import annotations

from dataclasses import fields

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


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.role}-{row.name}")
def test_a_row_says_what_happens_and_where_it_comes_from(row: Tolerance) -> None:
    assert row.role in ("publisher", "subscriber")
    assert row.deviation
    assert row.result
    assert row.source
    # What is refused has a status, or is treated like something that is not there.
    assert row.accepted or row.result in ("400", "412", "as if TIMEOUT were absent")


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.switch], ids=lambda row: f"{row.role}-{row.name}"
)
def test_a_switch_is_a_field_of_the_policy_of_that_role(row: Tolerance) -> None:
    policy = PublisherPolicy if row.role == "publisher" else SubscriberPolicy
    assert row.switch in {field.name for field in fields(policy)}


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
    assert not accepts("publisher", "timeout-infinite")
    assert accepts("subscriber", "timeout-infinite")
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
    ("name", "request_"),
    [
        ("nt-missing", _subscribe(CALLBACK)),
        ("nt-propchange", _subscribe(CALLBACK, (b"NT", b"upnp:propchange"))),
        ("callback-bare", _subscribe(NT, (b"CALLBACK", b"http://127.0.0.1:49152/"))),
        ("callback-repeated", _subscribe(NT, CALLBACK, CALLBACK)),
        ("callback-commas", _subscribe(NT, (CALLBACK[0], CALLBACK[1] + b", " + CALLBACK[1]))),
        ("callback-some-bad", _subscribe(NT, (CALLBACK[0], CALLBACK[1] + b"<http://8.8.8.8>"))),
        ("callback-off-link", _subscribe(NT, (b"CALLBACK", b"<http://8.8.8.8/>"))),
        ("renewal-with-callback", _subscribe(CALLBACK, (b"SID", b"uuid:1"))),
        ("trailing-nul", _subscribe(CALLBACK, (b"NT", b"upnp:event\x00"))),
        ("request-body", _subscribe(NT, CALLBACK, body=b"x")),
    ],
)
def test_a_publisher_takes_the_requests_that_the_table_accepts(
    name: str, request_: Request
) -> None:
    verdict = judge_subscribe(request_, PublisherPolicy(), DEFAULT_LIMITS, ())
    assert isinstance(verdict, Refusal) is not accepts("publisher", name)


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("seq-missing", None),
        ("seq-junk", (b"SEQ", b"one")),
        ("seq-leading-zeros", (b"SEQ", b"001")),
        ("content-type", (b"CONTENT-TYPE", b"application/octet-stream")),
    ],
)
def test_a_subscriber_takes_the_events_that_the_table_accepts(
    name: str, header: tuple[bytes, bytes] | None
) -> None:
    headers = [
        (b"HOST", b"127.0.0.1"),
        NT,
        (b"NTS", b"upnp:propchange"),
        (b"SID", b"1"),
        *([header] if header else []),
    ]
    verdict = judge_notify(Request("NOTIFY", "/", headers, local=LOOPBACK), SubscriberPolicy())
    assert isinstance(verdict, Refusal) is not accepts("subscriber", name)


def test_a_sid_without_uuid_and_a_seq_with_zeros_are_read() -> None:
    assert accepts("subscriber", "sid-without-uuid")
    assert parse_sid(b"1") == "1"
    assert accepts("subscriber", "seq-leading-zeros")
    assert parse_seq(b"01") == 1
