"""The judge of NOTIFY, and the response that carries its verdict."""

from __future__ import annotations

import pytest

from propchange.core.subscriber.judge import (
    Notification,
    SubscriberPolicy,
    granted_sid,
    judge_notify,
    notify_response,
)
from propchange.core.wire.messages import Response
from propchange.core.wire.refusals import (
    Refusal,
)
from tests.core.judging import (
    EMPTY,
    HOST,
    LISTENER,
    NT,
    NTS,
    SEQ,
    SID,
    Header,
    notify,
    request,
    status,
)

# --- repeated headers ---


@pytest.mark.parametrize("name", [b"HOST", b"SID", b"NT", b"NTS", b"SEQ"])
def test_a_repeated_header_of_an_event_is_answered_400(name: bytes) -> None:
    good = dict([HOST, NT, NTS, SID, SEQ])
    repeated = [(key, value) for key, value in good.items() if key.upper() == name]
    verdict = notify(NT, NTS, SID, SEQ, *repeated)
    assert verdict == Refusal(400, f"{name.decode()} came more than once", "UDA 2.0 §2.1")


def test_a_long_method_is_not_told_in_full() -> None:
    verdict = judge_notify(request("X" * 1000), LISTENER)
    assert isinstance(verdict, Refusal)
    assert verdict.reason == f"'{'X' * 40}' was sent where NOTIFY is expected"


# --- NOTIFY ---


def test_a_good_event_is_a_notification() -> None:
    verdict = notify(NT, NTS, SID, SEQ)
    assert verdict == Notification(sid="uuid:1", seq=7, body=b"<x/>")
    assert isinstance(verdict, Notification)


@pytest.mark.clause("NOT-04")
@pytest.mark.parametrize("value", [b"text/xml", b'text/xml; charset="utf-8"', b"text/html", b""])
def test_any_content_type_is_taken(value: bytes) -> None:
    assert status(notify(NT, NTS, SID, SEQ, (b"CONTENT-TYPE", value))) == 200


@pytest.mark.clause("RSP-02")
@pytest.mark.parametrize("headers", [(NT,), (NTS,), ()])
@pytest.mark.parametrize("sid", [(), (SID,)])
def test_a_missing_nt_or_nts_is_answered_400(
    headers: tuple[Header, ...], sid: tuple[Header, ...]
) -> None:
    assert notify(SEQ, *headers, *sid) == Refusal(400, "NT or NTS is missing", "UDA 2.0 §4.3.2")


@pytest.mark.clause("RSP-03")
@pytest.mark.parametrize("value", [b"", b"upnp:events", b"UPNP:event", b"upnp:propchange"])
def test_a_wrong_nt_is_answered_412(value: bytes) -> None:
    refusal = Refusal(412, "NT is not upnp:event", "UDA 2.0 §4.3.2")
    assert notify((b"NT", value), NTS, SID, SEQ) == refusal


@pytest.mark.clause("RSP-03")
@pytest.mark.parametrize("value", [b"", b"upnp:propchanged", b"upnp:PropChange", b"upnp:event"])
def test_a_wrong_nts_is_answered_412(value: bytes) -> None:
    refusal = Refusal(412, "NTS is not upnp:propchange", "UDA 2.0 §4.3.2")
    assert notify(NT, (b"NTS", value), SID, SEQ) == refusal


@pytest.mark.clause("RSP-03")
@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ((), "the SID is missing or empty"),
        (((b"SID", b""),), "the SID is missing or empty"),
        (((b"SID", b"x" * 257),), "the SID is longer than 256 bytes"),
        (((b"SID", b"\x01"),), "the SID has characters that are not printable ASCII"),
    ],
)
def test_a_missing_sid_is_answered_412(headers: tuple[Header, ...], reason: str) -> None:
    assert notify(NT, NTS, SEQ, *headers) == Refusal(412, reason, "UDA 2.0 §4.3.2")


@pytest.mark.clause("RSP-04")
@pytest.mark.parametrize("value", [b"", b"-1", b"x", b"4294967296"])
def test_a_seq_that_is_no_number_is_answered_400(value: bytes) -> None:
    assert notify(NT, NTS, SID, (b"SEQ", value)) == Refusal(
        400, "SEQ is a decimal number from 0 to 4294967295", "UDA 2.0 §4.3.2"
    )


@pytest.mark.parametrize("value", [b"", b"-1", b"x", b"4294967296"])
def test_a_policy_may_take_any_seq(value: bytes) -> None:
    verdict = notify(NT, NTS, SID, (b"SEQ", value), policy=SubscriberPolicy(any_seq=True))
    assert verdict == Notification("uuid:1", None, b"<x/>")


@pytest.mark.clause("RSP-04")
def test_a_missing_seq_is_taken() -> None:
    assert notify(NT, NTS, SID) == Notification("uuid:1", None, b"<x/>")


def test_a_missing_seq_is_answered_400_when_the_table_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("propchange.core.subscriber.judge._SEQ_MAY_MISS", False)
    assert notify(NT, NTS, SID) == Refusal(400, "SEQ is missing", "UDA 2.0 §4.3.2")
    assert status(notify(NT, NTS, SID, SEQ)) == 200


@pytest.mark.clause("AMB-5")
def test_what_is_malformed_is_answered_before_what_is_wrong() -> None:
    wrong = (b"NT", b"wrong")
    assert status(notify(wrong, NTS, (b"SID", b""), (b"SEQ", b"x"))) == 400
    assert status(notify(wrong, (b"SID", b""))) == 400


@pytest.mark.clause("SUB-25")
def test_an_event_with_lower_case_names_is_taken() -> None:
    headers = [(name.lower(), b"  " + value + b"\t") for name, value in (NT, NTS, SID, SEQ)]
    assert notify(*headers) == Notification("uuid:1", 7, b"<x/>")


# --- policies ---


@pytest.mark.clause("V6-07")
@pytest.mark.parametrize(
    "host",
    ["fe80::1%eth0", "[::1]", "tv.example:80", "0.0.0.0", "::", "", "a b", "http://tv"],
)
def test_a_callback_host_is_something_that_a_device_can_call(host: str) -> None:
    with pytest.raises(ValueError, match="no address or name that a device can call"):
        SubscriberPolicy(callback_host=host)


@pytest.mark.parametrize("host", ["192.0.2.7", "fd00::1", "tv.example", "TV"])
def test_a_callback_host_is_a_name_or_an_address(host: str) -> None:
    assert SubscriberPolicy(callback_host=host, callback_port=65_535).callback_host == host


@pytest.mark.parametrize("port", [0, -1, 65_536])
def test_a_callback_port_is_a_port(port: int) -> None:
    with pytest.raises(ValueError, match="a port is from 1 to 65535"):
        SubscriberPolicy(callback_port=port)


@pytest.mark.clause("SUB-13")
@pytest.mark.parametrize("name", ["", " ", "a\r\nNT: x", "a\0"])
def test_a_friendly_name_is_what_a_header_can_carry(name: str) -> None:
    with pytest.raises(ValueError, match="is no name that a header can carry"):
        SubscriberPolicy(friendly_name=name)


def test_a_policy_has_the_values_of_the_design() -> None:
    assert (
        LISTENER.uda,
        LISTENER.duration,
        LISTENER.hosts,
        LISTENER.require_device_source,
        LISTENER.friendly_name,
        LISTENER.callback_host,
        LISTENER.callback_port,
        LISTENER.shared_path,
    ) == ("1.1", 1800, frozenset(), False, "propchange", None, None, None)


def test_a_subscriber_asks_for_a_second_at_least() -> None:
    assert SubscriberPolicy(duration=1).duration == 1
    with pytest.raises(ValueError, match=r"^a duration is at least 1 second, not 0$"):
        SubscriberPolicy(duration=0)


# --- responses ---


@pytest.mark.clause("RSP-01")
def test_an_event_is_answered_200_without_a_body() -> None:
    response = notify_response(request("NOTIFY"))
    assert (response.status, list(response.headers), response.body) == (200, [EMPTY], b"")
    assert notify_response(request("NOTIFY")) is response


# --- what an answer grants ---


@pytest.mark.clause("REN-12")
@pytest.mark.parametrize(
    ("status_code", "sid", "granted", "renewed"),
    [
        (200, b"uuid:new", "uuid:new", "uuid:new"),
        (200, None, None, "uuid:old"),
        (200, b"", None, "uuid:old"),
        (200, b"uuid:\xff", None, "uuid:old"),
        (412, b"uuid:new", None, None),
        (201, b"uuid:new", None, None),
    ],
)
def test_a_renewal_keeps_its_sid_unless_the_answer_has_another_usable_one(
    status_code: int, sid: bytes | None, granted: str | None, renewed: str | None
) -> None:
    response = Response(status_code, () if sid is None else ((b"SID", sid),))
    assert granted_sid(response) == granted
    assert granted_sid(response, "uuid:old") == renewed
