"""Plays a row on a stage, and holds what comes back against it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from xml.etree import ElementTree

from publisher_exchanges import (
    Advance,
    Answer,
    Ask,
    Change,
    Close,
    NextSeq,
    Notify,
    Quiet,
    Reply,
    Row,
    Wait,
    unsubscribe,
)

NAMESPACE = "{urn:schemas-upnp-org:event-1-0}"
DATE = r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"


@dataclass
class Message:
    """A message as it came: its first line, its header lines, its body."""

    first_line: str
    lines: list[tuple[str, str]]
    body: bytes

    @classmethod
    def of(cls, head: bytes, body: bytes) -> Message:
        first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        pairs = [line.split(": ", 1) for line in lines]
        return cls(first, [(name, value) for name, value in pairs], body)

    @property
    def headers(self) -> dict[str, str]:
        headers = {name.upper(): value for name, value in self.lines}
        assert len(headers) == len(self.lines), f"a header came twice: {self.lines}"
        return headers


@dataclass
class Arrived:
    """A NOTIFY at a callback, from the address ``source``. ``answered``: the answer to SUBSCRIBE
    was there before it; ``ended``: and the end of that connection too."""

    message: Message
    callback: str
    source: str
    answered: bool
    ended: bool
    carrier: Any


class Stage(Protocol):
    """A publisher, the wire to it, and its subscribers' callbacks."""

    names: dict[str, str]
    has_date: bool

    def send(self, data: bytes, *, fresh: bool, pieces: bool, ends: bool) -> None: ...
    def read_answer(self) -> Message: ...
    def ended(self) -> bool: ...
    def close(self) -> None: ...
    def next_notify(self, callback: str) -> Arrived: ...
    def is_quiet(self) -> bool: ...
    def reply(self, arrived: Arrived, data: bytes) -> None: ...
    def change(self, path: str, values: dict[str, str]) -> None: ...
    def advance(self, seconds: float) -> None: ...
    def set_next_seq(self, sid: str, seq: int) -> None: ...


class Player:
    """One row on one stage. ``feed``: each request "whole", "bytes" one by one, or "followed" by
    the next message in the same piece."""

    def __init__(self, row: Row, stage: Stage, feed: str) -> None:
        self._row = row
        self._stage = stage
        self._feed = feed
        self._sids: list[str] = []
        self._waiting: list[Arrived] = []
        self._ahead: Arrived | None = None

    def play(self) -> None:
        steps = self._row.steps
        for number, step in enumerate(steps):
            following = steps[number + 1] if number + 1 < len(steps) else None
            self._play(step, following)

    def _play(self, step: Any, following: Any) -> None:
        stage = self._stage
        match step:
            case Ask():
                self._ask(step, following if isinstance(following, Notify) else None)
            case Notify():
                self._notified(step)
            case Reply(reply):
                stage.reply(self._waiting.pop(0), self._filled(reply))
            case Change(values, path):
                stage.change(self._filled(path).decode(), dict(values))
            case Advance(seconds) | Wait(seconds):
                stage.advance(seconds)
            case Quiet():
                assert stage.is_quiet(), "a NOTIFY has come"
            case Close():
                stage.close()
            case NextSeq(seq):
                stage.set_next_seq(self._sids[-1], seq)

    def _filled(self, text: str) -> bytes:
        names = {f"sid{number}": sid for number, sid in enumerate(self._sids, 1)}
        names["sid"] = self._sids[-1] if self._sids else "uuid:nobody"
        for name, value in {**self._stage.names, **names}.items():
            text = text.replace(f"{{{name}}}", value)
        return text.encode("latin-1")

    # --- asking ---

    def _ask(self, step: Ask, following: Notify | None) -> None:
        stage = self._stage
        requests, answers = step.requests, step.answers
        if self._feed == "followed" and not answers[-1].ends and not step.ends_stream:
            requests += (unsubscribe("uuid:of-nobody"),)
            answers += (Answer("412 Precondition Failed"),)
        data = b"".join(self._filled(each) for each in requests)
        pieces = self._feed == "bytes"
        if step.continues:
            head, blank, data = data.partition(b"\r\n\r\n")
            stage.send(head + blank, fresh=step.fresh, pieces=pieces, ends=False)
            assert stage.read_answer().first_line == "HTTP/1.1 100 Continue"
        stage.send(data, fresh=step.fresh, pieces=pieces, ends=step.ends_stream)
        if following is not None and len(step.answers) == 1:
            # Before the answer is looked at: it has to be there by then.
            self._ahead = stage.next_notify(following.to)
            assert self._ahead.answered, "the initial event came before the answer"
            if answers[0].ends:
                assert self._ahead.ended, "the initial event came before the end of the stream"
        for expected in answers:
            self._answered(expected, stage.read_answer())
        if answers[-1].ends:
            assert stage.ended(), "the connection goes on"

    def _answered(self, expected: Answer, answer: Message) -> None:
        assert answer.first_line == f"HTTP/{expected.version} {expected.status}"
        headers = answer.headers
        uda = re.escape(self._row.uda)
        patterns = {"SERVER": rf"[!-~]+/[!-~]+ UPnP/{uda} [!-~]+/[!-~]+", "CONTENT-LENGTH": "0"}
        if self._stage.has_date:
            patterns["DATE"] = DATE
        if expected.ends and expected.version == "1.1":
            patterns["CONNECTION"] = "close"
        for name, pattern in {**patterns, **expected.headers}.items():
            assert name in headers, f"{name} is missing: {headers}"
            value = self._filled(pattern).decode("latin-1")
            assert re.fullmatch(value, headers[name]), (name, headers[name])
        for name in ("CONTENT-TYPE", "TRANSFER-ENCODING", "NT", *expected.without):
            assert name not in headers, f"{name}: {headers[name]}"
        assert "infinite" not in headers.get("TIMEOUT", "")
        assert answer.body == b""
        if "SID" in headers and headers["SID"] not in self._sids:
            self._sids.append(headers["SID"])

    # --- events ---

    def _notified(self, expected: Notify) -> None:
        arrived = self._ahead or self._stage.next_notify(expected.to)
        self._ahead = None
        message = arrived.message
        assert arrived.source == self._stage.names["address"]
        assert message.first_line == f"NOTIFY {expected.target} HTTP/1.1"
        assert message.headers == {
            "HOST": self._filled(expected.host or f"{{{expected.to}}}").decode(),
            "CONTENT-TYPE": 'text/xml; charset="utf-8"' if self._row.uda != "1.0" else "text/xml",
            "NT": "upnp:event",
            "NTS": "upnp:propchange",
            "SID": self._filled(expected.sid).decode(),
            "SEQ": str(expected.seq),
            "CONTENT-LENGTH": str(len(message.body)),
        }
        properties = read_propertyset(message.body)
        assert dict(properties) == dict(expected.values)
        assert len(properties) == len(expected.values), "a variable came twice"
        if expected.reply is None:
            self._waiting.append(arrived)
        else:
            self._stage.reply(arrived, self._filled(expected.reply))
            if expected.hangs_up:
                self._stage.reply(arrived, b"")


def read_propertyset(body: bytes) -> Sequence[tuple[str, str]]:
    """The variables of a propertyset that is exactly as UDA has it."""
    body.decode("utf-8")
    root = ElementTree.fromstring(body)
    assert root.tag == f"{NAMESPACE}propertyset"
    assert len(root) >= 1
    pairs = []
    for each in root:
        assert each.tag == f"{NAMESPACE}property"
        (variable,) = each
        assert not variable.tag.startswith("{")
        assert len(variable) == 0
        pairs.append((variable.tag, variable.text or ""))
    return pairs
