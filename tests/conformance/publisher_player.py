"""Plays a row on a stage with a publisher, and compares what comes back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from xml.etree import ElementTree

from exchange import (
    Advance,
    Answer,
    Change,
    End,
    LastSeq,
    Message,
    Quiet,
    Receive,
    Reply,
    Send,
    Wait,
    check_answer,
    check_head,
    filled,
)
from publisher_messages import PublisherRow, unsubscribe

NAMESPACE = "{urn:schemas-upnp-org:event-1-0}"
DATE = r"~(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"


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

    def __init__(self, row: PublisherRow, stage: Stage, feed: str) -> None:
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
            case Send():
                self._send(step, following if isinstance(following, Receive) else None)
            case Receive():
                self._receive(step)
            case Reply():
                self._reply(self._waiting.pop(0), step)
            case Change(values, path):
                stage.change(filled(path, self._names).decode(), dict(values))
            case Advance(seconds) | Wait(seconds):
                stage.advance(seconds)
            case Quiet():
                assert stage.is_quiet(), "a NOTIFY has come"
            case End():
                stage.close()
            case LastSeq(seq):
                stage.set_next_seq(self._sids[-1], seq + 1)
            case _:
                raise NotImplementedError(step)

    @property
    def _names(self) -> dict[str, str]:
        sids = {f"sid{number}": sid for number, sid in enumerate(self._sids, 1)}
        return {**self._stage.names, **sids, "sid": (self._sids or ["uuid:nobody"])[-1]}

    # --- asking ---

    def _send(self, step: Send, following: Receive | None) -> None:
        stage = self._stage
        data, answers = filled(step.data, self._names), step.answers
        if self._feed == "followed" and not answers[-1].ends and not step.ends:
            data += filled(unsubscribe("uuid:of-nobody"), self._names)
            answers += (Answer(412),)
        pieces = self._feed == "bytes"
        if step.waits:
            head, blank, data = data.partition(b"\r\n\r\n")
            stage.send(head + blank, fresh=step.fresh, pieces=pieces, ends=False)
            assert stage.read_answer().line == "HTTP/1.1 100 Continue"
        stage.send(data, fresh=step.fresh, pieces=pieces, ends=step.ends)
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
        uda = re.escape(self._row.uda)
        always = {"SERVER": rf"~[!-~]+/[!-~]+ UPnP/{uda} [!-~]+/[!-~]+"}
        if self._stage.has_date:
            always["DATE"] = DATE
        never = ("CONTENT-TYPE", "TRANSFER-ENCODING", "NT")
        check_answer(expected, answer, self._names, always=always, never=never)
        headers = answer.headers
        assert "infinite" not in headers.get("TIMEOUT", "")
        if "SID" in headers and headers["SID"] not in self._sids:
            self._sids.append(headers["SID"])

    # --- events ---

    def _receive(self, expected: Receive) -> None:
        arrived = self._ahead or self._stage.next_notify(expected.to)
        self._ahead = None
        message = arrived.message
        assert arrived.source == self._stage.names["address"]
        content_type = 'text/xml; charset="utf-8"' if self._row.uda != "1.0" else "text/xml"
        length = str(len(message.body))
        names = {**self._names, "content-type": content_type, "length": length}
        check_head(expected, message, names)
        properties = read_propertyset(message.body)
        assert expected.variables is not None
        assert dict(properties) == dict(expected.variables)
        assert len(properties) == len(expected.variables), "a variable came twice"
        if expected.reply is None:
            self._waiting.append(arrived)
        else:
            self._reply(arrived, expected.reply)

    def _reply(self, arrived: Arrived, reply: Reply) -> None:
        if reply.data:
            self._stage.reply(arrived, filled(reply.data, self._names))
        if reply.ends:
            self._stage.reply(arrived, b"")


def read_propertyset(body: bytes) -> Sequence[tuple[str, str]]:
    """The variables of a propertyset, which must have exactly the form of UDA."""
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
