"""The header fields of GENA, byte by byte."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.headers import (
    EVENT_NT,
    LARGEST_SEQ,
    PROPCHANGE_NTS,
    format_seq,
    format_statevar,
    format_timeout,
    is_infinite,
    next_seq,
    parse_callback,
    parse_host,
    parse_seq,
    parse_sid,
    parse_statevar,
    parse_timeout,
    server_token,
)

# --- NT, NTS ---


@pytest.mark.clause("NOT-07")
def test_the_words_of_eventing_are_those_of_the_architecture() -> None:
    assert EVENT_NT == b"upnp:event"
    assert PROPCHANGE_NTS == b"upnp:propchange"


# --- TIMEOUT ---


@pytest.mark.clause("SUB-20")
@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"Second-1", 1.0),
        (b"Second-300", 300.0),
        (b"Second-0300", 300.0),
        (b"Second-1800", 1800.0),
        (b"second-300", 300.0),
        (b"SECOND-300", 300.0),
        (b"Second-4294967295", 4294967295.0),
    ],
)
def test_a_timeout_in_seconds_is_read_by_both_roles(
    value: bytes, seconds: float, lenient: bool
) -> None:
    assert parse_timeout(value, lenient=lenient) == seconds


@pytest.mark.clause("AMB-7")
@pytest.mark.clause("SUB-22")
@pytest.mark.parametrize("lenient", [False, True])
@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"Second-",
        b"Second-0",
        b"Second-000",
        b"Second--5",
        b"Second-+5",
        b"Second-infinite",
        b"infinite",
        b"Second- 300",
        b"Second-300 ",
        b"Second-300,Second-300",
        b"Second-1e3",
        b"Second-.5",
        b"Seconds-300",
        b"Minute-5",
        b"Second-0:00:00",
        b"Second-0:60:00",
        b"Second-0:00:60",
        b"Second-30:00",
        b"Second-1234567:00:00",
        b"banana",
        b"\xff\x00",
    ],
)
def test_a_timeout_that_says_nothing_usable_counts_as_absent(
    value: bytes | None, lenient: bool
) -> None:
    assert parse_timeout(value, lenient=lenient) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"300", 300.0),
        (b"300.5", 300.5),
        (b"Second-1800.0", 1800.0),
        (b"Second-1800.", 1800.0),
        (b"Second-0.25", 0.25),
        (b"Second-0:30:00", 1800.0),
        (b"Second-1:02:03", 3723.0),
        (b"Second-1:2:3", 3723.0),
        (b"Second-0:00:01.5", 1.0),
        (b"1:00:59", 3659.0),
        (b"Second-999999:59:59", 3599999999.0),
    ],
)
def test_only_a_subscriber_reads_the_timeouts_that_devices_get_wrong(
    value: bytes, seconds: float
) -> None:
    assert parse_timeout(value, lenient=True) == seconds
    assert parse_timeout(value) is None


def test_a_timeout_beyond_32_bits_is_cut_to_the_largest() -> None:
    assert parse_timeout(b"Second-4294967296") == 4294967295.0
    assert parse_timeout(b"Second-" + b"9" * 5000) == 4294967295.0


@given(st.from_regex(rb"[0-9]*", fullmatch=True) | st.binary(), st.booleans())
def test_the_usual_form_of_a_timeout_is_read_like_the_same_one_in_capitals(
    rest: bytes, lenient: bool
) -> None:
    usual = parse_timeout(b"Second-" + rest, lenient=lenient)
    assert usual == parse_timeout(b"SECOND-" + rest, lenient=lenient)


@given(st.binary())
def test_no_bytes_make_reading_a_timeout_fail(value: bytes) -> None:
    for lenient in (False, True):
        seconds = parse_timeout(value, lenient=lenient)
        assert seconds is None or 0 < seconds <= 4294967295


@pytest.mark.clause("CP-05")
@pytest.mark.parametrize("value", [b"Second-infinite", b"second-INFINITE", b"infinite"])
def test_infinite_is_recognised(value: bytes) -> None:
    assert is_infinite(value)


@pytest.mark.parametrize("value", [None, b"", b"Second-1800", b"infinitely", b"Second-"])
def test_what_ends_is_not_infinite(value: bytes | None) -> None:
    assert not is_infinite(value)


@pytest.mark.clause("SUB-46")
def test_a_granted_duration_is_written_as_seconds() -> None:
    assert format_timeout(1) == b"Second-1"
    assert format_timeout(1800) == b"Second-1800"


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_duration_of_nothing_is_not_written(seconds: int) -> None:
    with pytest.raises(ValueError, match=rf"^a duration is at least 1 second, not {seconds}$"):
        format_timeout(seconds)


@given(st.integers(min_value=1, max_value=4294967295))
def test_a_written_timeout_is_read_back(seconds: int) -> None:
    assert parse_timeout(format_timeout(seconds)) == seconds


# --- SID ---


@pytest.mark.parametrize("value", [b"uuid:0badcafe-1-2", b"no uuid at all", b"RINCON_1_sub~7"])
def test_a_sid_is_taken_as_the_peer_wrote_it(value: bytes) -> None:
    assert parse_sid(value) == value.decode()


@pytest.mark.parametrize("value", [None, b""])
def test_an_empty_sid_is_refused(value: bytes | None) -> None:
    with pytest.raises(ValueError, match=r"^the SID is missing or empty$"):
        parse_sid(value)


def test_a_sid_may_be_as_long_as_the_limit_and_no_longer() -> None:
    assert len(parse_sid(b"x" * 256)) == 256
    with pytest.raises(ValueError, match=r"^the SID is longer than 256 bytes$"):
        parse_sid(b"x" * 257)
    limits = replace(DEFAULT_LIMITS, sid_bytes=4)
    assert parse_sid(b"uuid", limits) == "uuid"
    with pytest.raises(ValueError, match=r"^the SID is longer than 4 bytes$"):
        parse_sid(b"uuid:", limits)


@pytest.mark.parametrize("value", [b"uuid:\x00", b"uuid:\n1", b"uuid:\x7f", b"uuid:\xe9", b"\xff"])
def test_a_sid_that_is_not_printable_ascii_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"^the SID has characters that are not printable ASCII$"):
        parse_sid(value)


# --- SEQ ---


@pytest.mark.clause("SEQ-06")
@pytest.mark.parametrize(
    ("value", "seq"),
    [
        (None, None),
        (b"0", 0),
        (b"00", 0),
        (b"7", 7),
        (b"007", 7),
        (b"4294967295", 4294967295),
        (b"04294967295", 4294967295),
        (b"0" * 11, 0),
        (b"0" * 16_000 + b"12", 12),
    ],
)
def test_a_seq_is_read_without_its_leading_zeros(value: bytes | None, seq: int | None) -> None:
    assert parse_seq(value) == seq


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"-1",
        b"+1",
        b"1.0",
        b" 1",
        b"1_0",
        b"x",
        b"0x1",
        b"1, 2",
        "٣".encode(),
        b"4294967296",
        b"9999999999",
        b"10000000000",
        b"9" * 5000,
    ],
)
def test_a_seq_that_is_no_number_of_32_bits_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"^SEQ is a decimal number from 0 to 4294967295$"):
        parse_seq(value)


@pytest.mark.clause("SEQ-05")
@pytest.mark.parametrize(("seq", "value"), [(0, b"0"), (10, b"10"), (4294967295, b"4294967295")])
def test_a_seq_is_written_in_decimal(seq: int, value: bytes) -> None:
    assert format_seq(seq) == value


@pytest.mark.parametrize("seq", [-1, 4294967296])
def test_a_seq_that_32_bits_do_not_hold_is_not_written(seq: int) -> None:
    with pytest.raises(ValueError, match=rf"^SEQ is a number from 0 to 4294967295, not {seq}$"):
        format_seq(seq)


@pytest.mark.clause("SEQ-02")
def test_a_seq_rises_by_one() -> None:
    assert next_seq(0) == 1
    assert next_seq(1) == 2
    assert next_seq(4294967294) == 4294967295


@pytest.mark.clause("SEQ-03")
def test_the_largest_seq_is_followed_by_1() -> None:
    assert LARGEST_SEQ == 4294967295
    assert next_seq(4294967295) == 1


@given(st.integers(min_value=0, max_value=LARGEST_SEQ), st.integers(min_value=0, max_value=9))
def test_a_written_seq_is_read_back(seq: int, zeros: int) -> None:
    assert parse_seq(b"0" * zeros + format_seq(seq)) == seq


# --- CALLBACK ---


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        (b"<http://a>", ("http://a",)),
        (b"<http://a><http://b/x?y>", ("http://a", "http://b/x?y")),
        (b" <http://a>\t <http://b> ", ("http://a", "http://b")),
        (b"<http://a>,<http://b>, ", ("http://a", "http://b")),
        (b"<>", ("",)),
        (b"<http://\xe9>", ("http://\xe9",)),
    ],
)
def test_a_callback_is_the_texts_inside_its_brackets(value: bytes, urls: tuple[str, ...]) -> None:
    assert parse_callback(value, DEFAULT_LIMITS) == urls


@pytest.mark.clause("SUB-71")
@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" ",
        b",",
        b"http://a",
        b"<http://a",
        b"http://a>",
        b"x<http://a>",
        b"<http://a>x",
        b"<http://a>x<http://b>",
        b"<<http://a>>",
        b"<http://a>>",
        b"<http://a><http://b",
        b"<http://a>\x00",
    ],
)
def test_a_callback_with_anything_outside_of_brackets_is_refused(value: bytes) -> None:
    with pytest.raises(
        ValueError, match=r"^CALLBACK is not a list of URLs, each inside its own < and >$"
    ):
        parse_callback(value, DEFAULT_LIMITS)


@pytest.mark.clause("CSX-05")
def test_a_callback_has_as_many_urls_as_the_limit_and_no_more() -> None:
    assert parse_callback(b"<a>" * 6, DEFAULT_LIMITS) == ("a",) * 6
    with pytest.raises(ValueError, match=r"^CALLBACK has more than 6 URLs$"):
        parse_callback(b"<a>" * 7, DEFAULT_LIMITS)
    with pytest.raises(ValueError, match=r"^CALLBACK has more than 1 URLs$"):
        parse_callback(b"<a><b>", replace(DEFAULT_LIMITS, callback_urls=1))


# --- STATEVAR ---


@pytest.mark.clause("SUB-23")
@pytest.mark.parametrize(
    ("value", "names"),
    [
        (b"A", ("A",)),
        (b"A,B,C", ("A", "B", "C")),
        (b" A ,\tB\t", ("A", "B")),
        (b"B,A,B", ("B", "A")),
        ("Größe".encode(), ("Größe",)),
    ],
)
def test_a_statevar_is_its_names_each_once(value: bytes, names: tuple[str, ...]) -> None:
    assert parse_statevar(value, DEFAULT_LIMITS) == names


@pytest.mark.clause("AMB-4")
@pytest.mark.parametrize("value", [None, b"", b" ", b",", b"A,", b",A", b"A,,B", b"A, ,B", b"\xff"])
def test_a_statevar_that_is_no_list_of_names_is_none(value: bytes | None) -> None:
    assert parse_statevar(value, DEFAULT_LIMITS) is None


def test_a_statevar_has_as_many_names_as_the_limit_and_no_more() -> None:
    names = [f"V{index}" for index in range(257)]
    assert parse_statevar(",".join(names[:256]).encode(), DEFAULT_LIMITS) == tuple(names[:256])
    assert parse_statevar(",".join(names).encode(), DEFAULT_LIMITS) is None


@pytest.mark.clause("SUB-51")
def test_names_are_written_with_commas() -> None:
    assert format_statevar(["A"]) == b"A"
    assert format_statevar(("A", "Größe")) == "A,Größe".encode()


# --- HOST ---


@pytest.mark.clause("SUB-07")
@pytest.mark.parametrize(
    ("value", "host", "port"),
    [
        (b"192.168.1.2", "192.168.1.2", 80),
        (b"192.168.1.2:", "192.168.1.2", 80),
        (b"192.168.1.2:80", "192.168.1.2", 80),
        (b"192.168.1.2:1", "192.168.1.2", 1),
        (b"192.168.1.2:65535", "192.168.1.2", 65535),
        (b"192.168.1.2:008123", "192.168.1.2", 8123),
        (b"TV.Local:8080", "tv.local", 8080),
        (b"my_tv-2~", "my_tv-2~", 80),
        (b"[FE80::1]", "fe80::1", 80),
        (b"[fe80:0:0:0:0:0:0:1]:49152", "fe80::1", 49152),
        (b"[::1]:", "::1", 80),
    ],
)
def test_a_host_is_an_address_or_name_and_a_port(value: bytes, host: str, port: int) -> None:
    assert parse_host(value) == (host, port)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b":80",
        b"::1",
        b"a b",
        b"a/b",
        b"user@a",
        b"a,b",
        b"a\x00",
        b"\xe9",
        b"fe80]:80",
        b"x[::1]",
    ],
)
def test_a_host_that_is_neither_address_nor_name_is_refused(value: bytes) -> None:
    with pytest.raises(
        ValueError, match=r"^it is not an address or a name, with or without a port$"
    ):
        parse_host(value)


@pytest.mark.clause("V6-07")
@pytest.mark.parametrize(
    "value",
    [
        b"[",
        b"[]",
        b"[::1",
        b"[::1]80",
        b"[::1]x:80",
        b"[fe80::1%eth0]",
        b"[fe80::1%25eth0]:80",
        b"[1.2.3.4]",
        b"[name]",
        b"[::1]]",
    ],
)
def test_brackets_hold_an_ipv6_address_without_a_zone(value: bytes) -> None:
    with pytest.raises(
        ValueError, match=r"^there is no IPv6 address without a zone in the brackets$"
    ):
        parse_host(value)


@pytest.mark.parametrize(
    "value",
    [
        b"a:0",
        b"a:65536",
        b"a:100000",
        b"a:-1",
        b"a:+1",
        b"a:x",
        b"a: 80",
        b"a:80:80",
        b"fe80::1",
        b"[::1]:0",
        b"[::1]:65536",
    ],
)
def test_a_port_is_a_number_from_1_to_65535(value: bytes) -> None:
    with pytest.raises(ValueError, match=r"^the port is not a number from 1 to 65535$"):
        parse_host(value)


@given(st.binary(max_size=80))
def test_a_host_is_read_or_refused(value: bytes) -> None:
    try:
        host, port = parse_host(value)
    except ValueError:
        return
    assert host
    assert 1 <= port <= 65535


# --- SERVER ---


@pytest.mark.clause("SUB-44")
def test_server_has_three_tokens() -> None:
    assert server_token("1.1", "propchange/0.1", "Linux/6.1") == "Linux/6.1 UPnP/1.1 propchange/0.1"
    assert server_token("2.0", "a/b", "c/d/e") == "c/d/e UPnP/2.0 a/b"


@pytest.mark.parametrize(
    ("product", "os"),
    [
        ("propchange", "Linux/6"),
        ("propchange/", "Linux/6"),
        ("/1", "Linux/6"),
        ("prop change/1", "Linux/6"),
        ("propchange/1 ", "Linux/6"),
        ("propchange/1", "Linux"),
        ("propchange/1", "Linux/\r\nX"),
        ("propchange/1\n", "Linux/6"),
        ("propchänge/1", "Linux/6"),
    ],
)
def test_a_token_is_a_name_and_a_version(product: str, os: str) -> None:
    with pytest.raises(ValueError, match=r"is not name/version in printable ASCII without spaces$"):
        server_token("1.1", product, os)
