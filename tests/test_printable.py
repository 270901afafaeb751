"""Whatever characters a peer sends, a text for people does what its words say and nothing else."""

from __future__ import annotations

import dataclasses
import inspect
import logging
import unicodedata
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

import propchange.errors
from propchange.core.multicast.reception import NotBelieved
from propchange.core.publisher.outcomes import PublisherOutcome
from propchange.core.subscriber.events import Cause, Event, Status, StatusChange
from propchange.core.subscriber.outcomes import SubscriberOutcome
from propchange.core.wire.messages import Endpoint
from propchange.driver.publisher_reporting import report_publisher
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.subscriber_reporting import report_subscriber
from propchange.errors import ActionError, DescriptionError, PropchangeError, RemoteProtocolError
from propchange.printable import printable
from propchange.upnp.description import parse_description
from propchange.upnp.scpd import parse_scpd
from propchange.upnp.ssdp import read_datagram

HOSTILE = "a\x1b[2J\x07\x9b31m\u202e\u2066\u2028\u2029\u0085\r\n\u200f\ufeff\ud800\tz"

_JOINERS = "\u200c\u200d"


def is_safe(text: str) -> bool:
    """No control, format, separator or surrogate character; the joiners of scripts may stay."""
    return all(
        unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Zl", "Zp") or each in _JOINERS
        for each in text
    )


@given(st.text(st.characters()))
def test_what_is_printable_stays_and_nothing_else(text: str) -> None:
    shown = printable(text)
    assert is_safe(shown)
    if is_safe(text) and text.isprintable():
        assert shown == text
    assert printable(shown) == shown


def test_writing_systems_and_emoji_stay_as_they_are() -> None:
    for text in (
        "Küche",
        "居間",
        "\u062d\u062c\u0631",
        "👩\u200d💻",
        "\u0645\u06cc\u200c\u062e",
        "a\u00a0b",
    ):
        assert printable(text) == text


ERRORS = [
    error
    for _, error in inspect.getmembers(propchange.errors, inspect.isclass)
    if issubclass(error, PropchangeError)
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error.__name__)
def test_the_text_of_every_error_is_safe(error: Any) -> None:
    options = {"status": 500} if "Refused" in error.__name__ else {}
    code = (701,) if error is ActionError else ()
    made = error(*code, HOSTILE, **options)
    assert is_safe(str(made))
    assert all(is_safe(each) for each in made.args if each not in code)
    assert is_safe(getattr(made, "reason", ""))
    assert is_safe(getattr(made, "description", ""))


# --- log lines ---


def made(kind: Any) -> Any:
    """An outcome with hostile texts wherever it has texts."""
    hints = inspect.get_annotations(kind, eval_str=True)
    fields = getattr(kind, "_fields", None) or [each.name for each in dataclasses.fields(kind)]
    values = {}
    for name in fields:
        hint = str(hints.get(name, "str"))
        values[name] = (
            Endpoint(HOSTILE, 1)
            if "Endpoint" in hint
            else Status.DEAF
            if "Status" in hint
            else Cause.REFUSED
            if "Cause" in hint
            else {HOSTILE: HOSTILE}
            if "Mapping" in hint or "Changes" in hint
            else NotBelieved.UNREADABLE
            if "NotBelieved" in hint
            else True
            if "bool" in hint
            else 7
            if "int" in hint or "float" in hint
            else _Record()
            if name == "subscription"
            else HOSTILE
        )
    return kind(**values)


class _Record:
    event_url = f"http://10.0.0.1/{HOSTILE}"
    device_host = HOSTILE

    def __repr__(self) -> str:
        return HOSTILE


OUTCOMES = [
    kind for kind in {*get_args(SubscriberOutcome), *get_args(PublisherOutcome)} if kind != Event
]


@pytest.mark.parametrize("kind", sorted(OUTCOMES, key=str), ids=lambda kind: kind.__name__)
def test_the_line_of_every_outcome_is_safe(kind: Any, caplog: pytest.LogCaptureFixture) -> None:
    report: Any = report_publisher if kind in get_args(PublisherOutcome) else report_subscriber
    with caplog.at_level(logging.DEBUG, logger="propchange.printable"):
        report(made(kind), Warnings(logger_named("propchange.printable")))
    assert len(caplog.messages) == 1
    assert is_safe(caplog.messages[0])


@given(text=st.text(st.characters(), max_size=40))
def test_whatever_is_logged_a_line_is_one_line(text: str) -> None:
    lines: list[str] = []
    logger = logger_named("propchange.printable")
    handler = logging.Handler()
    handler.setFormatter(logging.Formatter("%(message)s"))
    handler.emit = lambda record: lines.append(handler.format(record))  # type: ignore[method-assign] # a test's
    logger.addHandler(handler)
    try:
        logger.warning("%s and %r", text, text)
        logger.warning(text)
        try:
            raise ValueError(text)
        except ValueError:
            logger.exception("it failed: %s", text)
    finally:
        logger.removeHandler(handler)
    assert is_safe(lines[0])
    assert is_safe(lines[1])
    assert all(is_safe(line) for line in lines[2].split("\n"))


def test_a_line_has_a_bounded_length(caplog: pytest.LogCaptureFixture) -> None:
    logger_named("propchange.printable").warning("%s", "\x1b" * 1_000_000)
    (message,) = caplog.messages
    assert len(message) <= 2_001


def test_a_line_without_anything_odd_keeps_its_arguments(caplog: pytest.LogCaptureFixture) -> None:
    logger_named("propchange.printable").warning("%s is %d", "it", 7)
    (record,) = caplog.records
    assert record.args == ("it", 7)


# --- what peers send ---

XML = "a\x9b\u202e\u2028\u2066z"
"""What XML lets through."""

TYPE = f"urn:example-org:service:{XML}:1"
DESCRIPTION = f"""<root xmlns="urn:schemas-upnp-org:device-1-0"><URLBase>ftp://{XML}</URLBase><device>
<friendlyName>{XML}</friendlyName><UDN>uuid:{XML}</UDN><serviceList><service>
<serviceType>{TYPE}</serviceType><serviceId>{XML}</serviceId>
<SCPDURL>ftp://{XML}</SCPDURL><controlURL>{XML}:{XML}</controlURL>
<eventSubURL>http://{XML}/</eventSubURL></service></serviceList></device></root>""".encode()


def test_the_problems_of_a_description_are_safe() -> None:
    read = parse_description(DESCRIPTION, "http://10.0.0.1/d.xml")
    assert len(read.problems) == 3
    assert all(map(is_safe, read.problems))
    assert is_safe(read[XML].event_url_problem)
    with pytest.raises(KeyError) as unknown:
        read.service("Nothing")
    assert is_safe(str(unknown.value.args[0]))


def test_the_problems_of_a_service_description_are_safe() -> None:
    document = f"""<scpd xmlns="urn:schemas-upnp-org:service-1-0"><serviceStateTable>
    <stateVariable><name>A{XML}</name><dataType>{XML}</dataType></stateVariable>
    <stateVariable><name>A{XML}</name><dataType>ui1</dataType></stateVariable>
    </serviceStateTable></scpd>""".encode()
    problems = parse_scpd(document).problems
    assert problems
    assert all(map(is_safe, problems))


@pytest.mark.parametrize("document", [XML, f"<{XML}/>", f"<root>&{XML};</root>", "\x1b[2J"])
def test_the_error_of_an_unreadable_document_is_safe(document: str) -> None:
    for read in (lambda it: parse_description(it, f"http://x/{XML}"), parse_scpd):
        with pytest.raises(DescriptionError) as failed:
            read(document.encode())
        assert is_safe(str(failed.value))


@given(st.binary(max_size=60))
def test_the_error_of_an_unreadable_datagram_is_safe(data: bytes) -> None:
    for datagram in (data, b"NOTIFY * HTTP/1.1\r\nNTS: " + data + b"\r\nUSN: " + data):
        errors = []
        try:
            read_datagram(datagram)
        except RemoteProtocolError as error:
            errors.append(error)
        assert all(is_safe(str(error)) for error in errors)


def test_a_status_says_its_reason_safely() -> None:
    change = StatusChange(None, Status.DEAF, Cause.REFUSED, printable(HOSTILE))
    assert is_safe(str(change))


def test_every_logger_of_the_package_escapes_its_lines() -> None:
    """A module that takes its logger from elsewhere would write what peers send as it came."""
    package = Path(propchange.errors.__file__).parent
    for module in package.rglob("*.py"):
        if module.name in ("reporting.py", "exit_status.py"):
            continue
        assert "getLogger(" not in module.read_text("utf-8"), module
