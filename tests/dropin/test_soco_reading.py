"""SoCo reads the same from an event as from the message that it came in."""

from __future__ import annotations

import errno

import aiohttp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from soco.events_base import parse_event_xml

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.event_queue import MergedEvent
from propchange.core.subscriber.events import Event
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.values.lastchange import LastChangeEntry, format_lastchange
from propchange.core.wire.messages import Response
from propchange.core.wire.propertyset import parse_propertyset
from propchange.dropin.soco.event_body import body_of, read
from propchange.dropin.soco.failures import as_aiohttp
from propchange.errors import ConnectionFailed, DescriptionError, RemoteProtocolError, TimedOut

RCS = "urn:schemas-upnp-org:metadata-1-0/RCS/"
AVT = "urn:schemas-upnp-org:metadata-1-0/AVT/"
URL = "http://192.0.2.5:1400/MediaRenderer/RenderingControl/Event"

names = st.from_regex(r"\A[A-Z][A-Za-z0-9]{0,12}\Z").filter(lambda name: name != "LastChange")
texts = st.text(
    st.characters(
        min_codepoint=0x20, exclude_categories=("Cs",), exclude_characters="\x7f\ufffe\uffff"
    ),
    max_size=30,
).filter(lambda text: not text.startswith("<DIDL") and not any("\x7f" <= c <= "\x9f" for c in text))


def entry(name: str, channel: str, text: str) -> LastChangeEntry:
    """A variable has channels, or has none. No other variable has its name."""
    return LastChangeEntry(0, f"{name}_", channel if name < "N" else None, text)


entries = st.lists(
    st.builds(entry, names, st.sampled_from(["Master", "LF", "RF"]), texts),
    min_size=1,
    max_size=6,
    unique_by=lambda each: (each.variable, each.channel),
)


def escaped(text: str, how: int) -> str:
    """``text`` as the text of an element, in one of the forms that devices use."""
    if how == 1 and "]]>" not in text:
        return f"<![CDATA[{text}]]>"
    if how == 2:
        return "".join(f"&#{ord(each)};" for each in text)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def message(pairs: list[tuple[str, str]], how: int, prefix: str) -> bytes:
    inside = "".join(
        f"<{prefix}property>\n <{name}>{escaped(text, how)}</{name}></{prefix}property>"
        for name, text in pairs
    )
    space = f"xmlns:{prefix[:-1]}" if prefix else "xmlns"
    root = f'<{prefix}propertyset {space}="urn:schemas-upnp-org:event-1-0">'
    return f'<?xml version="1.0"?>{root}{inside}</{prefix}propertyset>'.encode()


def event_of(body: bytes) -> Event:
    record = SubscriptionRecord(
        URL,
        persistent=True,
        describable=False,
        device=None,
        convert=None,
        duration_wanted=1800,
        limits=DEFAULT_LIMITS,
        begun_at=0.0,
    )
    return record.decode(0, parse_propertyset(body, DEFAULT_LIMITS), initial=False)


@given(
    st.lists(st.tuples(names, texts), max_size=4, unique_by=lambda pair: pair[0]),
    st.none() | st.tuples(st.sampled_from([RCS, AVT]), entries),
    st.integers(0, 2),
    st.sampled_from(["e:", "ev:"]),
)
@example([("A", "")], None, 0, "e:")
@example([("A", " a\tb\n")], None, 2, "e:")
def test_soco_reads_the_same_from_the_event_as_from_the_message(pairs, change, how, prefix) -> None:
    if change is not None:
        pairs = [*pairs, ("LastChange", format_lastchange(*change))]
    body = message(pairs, how, prefix)
    again = body_of(event_of(body), "RenderingControl", DEFAULT_LIMITS)
    assert parse_event_xml(again) == parse_event_xml(body.decode())


@given(st.sampled_from([RCS, AVT]), entries, entries)
def test_of_merged_events_soco_reads_the_last_state(namespace, older, newer) -> None:
    """Events are merged when a program is behind."""
    events = [
        event_of(
            message([("A", name), ("LastChange", format_lastchange(namespace, each))], 0, "e:")
        )
        for name, each in (("old", older), ("new", newer))
    ]
    together = MergedEvent(events[0])
    together.add(events[1], 100_000)
    found = parse_event_xml(body_of(together.event(), "AVTransport", DEFAULT_LIMITS))
    folded = {(each.variable, each.channel): each for each in (*older, *newer)}
    pairs = [("A", "new"), ("LastChange", format_lastchange(namespace, folded.values()))]
    expected = parse_event_xml(message(pairs, 0, "e:").decode())
    assert found == expected


def test_a_lastchange_that_was_mended_is_read_too() -> None:
    text = f'<Event xmlns="{RCS}"><InstanceID val="0"><Volume channel="Master" val="7 & 8"/>'
    text += "</InstanceID></Event>"
    event = event_of(message([("LastChange", text)], 0, "e:"))
    body = body_of(event, "RenderingControl", DEFAULT_LIMITS)
    with pytest.raises(Exception, match="not well-formed"):
        parse_event_xml(body)
    found = read(parse_event_xml, event, body, "RenderingControl", DEFAULT_LIMITS)
    assert found == {"volume": {"Master": "7 & 8"}}


def test_a_lastchange_without_a_change_has_none() -> None:
    event = event_of(message([("A", "1"), ("LastChange", f'<Event xmlns="{RCS}"/>')], 0, "e:"))
    body = body_of(event, "RenderingControl", DEFAULT_LIMITS)
    found = read(parse_event_xml, event, body, "RenderingControl", DEFAULT_LIMITS)
    assert found == {"a": "1"}


def test_what_nobody_can_read_raises_as_soco_does() -> None:
    event = event_of(message([("LastChange", "<Event")], 0, "e:"))
    body = body_of(event, "RenderingControl", DEFAULT_LIMITS)
    with pytest.raises(Exception, match="unclosed token"):
        read(parse_event_xml, event, body, "RenderingControl", DEFAULT_LIMITS)


def _caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("result", "expected", "words"),
    [
        (Response(412, ()), aiohttp.ClientResponseError, "412, message='Precondition Failed'"),
        (Response(799, ()), aiohttp.ClientResponseError, "799"),
        (TimedOut("no answer within 10 s"), TimeoutError, "no answer within 10 s"),
        (
            _caused(ConnectionFailed("x"), OSError(errno.EHOSTUNREACH, "No route to host")),
            aiohttp.ClientConnectorError,
            r"Cannot connect to host 192\.0\.2\.5:1400 ssl:default \[No route to host\]",
        ),
        (_caused(ConnectionFailed("slow"), TimeoutError()), TimeoutError, "slow"),
        (ConnectionFailed("it broke"), aiohttp.ServerDisconnectedError, "it broke"),
        (RemoteProtocolError("no HTTP"), aiohttp.ClientResponseError, "no HTTP"),
        (DescriptionError("elsewhere"), aiohttp.ClientError, "elsewhere"),
    ],
)
def test_a_failure_is_the_exception_that_aiohttp_raises(result, expected, words) -> None:
    error = as_aiohttp(result, "SUBSCRIBE", URL)
    with pytest.raises(expected, match=words):
        raise error
    assert isinstance(error, aiohttp.ClientError | TimeoutError)
    if isinstance(result, Exception):
        assert error.__cause__ is result
