"""Plays a row on a stage with a subscriber, and compares what comes back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from exchange import (
    Advance,
    Has,
    LastSeq,
    Message,
    Quiet,
    Receive,
    Reply,
    Sees,
    Send,
    Status,
    Told,
    Unsubscribe,
    Wait,
    check_answer,
    check_head,
    filled,
)
from subscriber_messages import SubscriberRow, notify

from propchange.core.subscriber.events import Event, StatusChange
from propchange.core.subscriber.events import Status as SubscriptionStatus


class Request(NamedTuple):
    """A request that reached the device, from the address ``source``."""

    message: Message
    source: str


class Stage(Protocol):
    """A subscriber, the wire to it, and the device that it has subscribed to."""

    names: dict[str, str]
    told: list[Told | Status]

    def next_request(self, step: Receive) -> Request: ...
    def reply(self, data: bytes, *, ends: bool) -> None: ...
    def send(self, step: Send, data: bytes, body: bytes) -> tuple[list[Message], bool]:
        """Send ``data``, and ``body`` after 100 Continue; the answers, and whether the connection
        has ended behind them."""

    def wait(self, seconds: float) -> None: ...
    def is_quiet(self, seconds: float) -> bool: ...
    def unsubscribe(self) -> None: ...
    def set_last_seq(self, seq: int) -> None: ...
    def reduced(self, told: tuple[Told | Status, ...]) -> tuple[Told | Status, ...]:
        """What of ``told`` the application can get on this front."""

    def wait_for_told(self, count: int) -> None: ...
    def shown(self, expected: Mapping[str, Any]) -> Mapping[str, Any]:
        """What of ``expected`` the subscription shows, once it is as expected or in vain."""


class Player:
    """One row on one stage. ``feed``: each message of the device "whole", "bytes" one by one, or
    "followed" by the next message in the same piece."""

    def __init__(self, row: SubscriberRow, stage: Stage, feed: str) -> None:
        self._row = row
        self._stage = stage
        self._feed = feed
        self._asker = ""

    def play(self) -> None:
        for step in self._row.steps:
            self._play(step)
        assert self._stage.is_quiet(0.0), "nobody expects another request"
        assert not self._stage.told, f"nobody expects {self._stage.told}"

    def _play(self, step: Any) -> None:
        stage = self._stage
        match step:
            case Receive():
                self._receive(step)
            case Reply(data, ends):
                stage.reply(filled(data, stage.names), ends=ends)
            case Send():
                self._send(step)
            case Sees(told):
                wanted = stage.reduced(told)
                stage.wait_for_told(len(wanted))
                assert tuple(stage.told) == wanted, f"{stage.told} is not {wanted}"
                stage.told.clear()
            case Has(expected):
                found = stage.shown(expected)
                assert found == {key: expected[key] for key in found}
            case Wait(seconds) | Advance(seconds):
                stage.wait(seconds)
            case Quiet(seconds):
                assert stage.is_quiet(seconds)
            case Unsubscribe():
                stage.unsubscribe()
            case LastSeq(seq):
                stage.set_last_seq(seq)
            case _:
                raise NotImplementedError(step)

    def _receive(self, step: Receive) -> None:
        """The request is exactly that of ``step``. All of a subscription come from one address."""
        message, asker = self._stage.next_request(step)
        assert message.body == b"", "the request has a body"
        names = self._stage.names
        callback = message.headers.get("CALLBACK")
        if callback is not None:
            inside = re.fullmatch(r"<(http://[^<>\s]+)>", callback)
            assert inside, callback
            parts = urlsplit(inside[1])
            names |= {"callback": inside[1], "here": parts.netloc, "path": parts.path}
            self._asker = asker
            if step.headers.get("CALLBACK") == "<{callback}>":
                assert parts.hostname == asker, "events cannot come to there"
        assert asker == self._asker, "not the pair of interfaces of the subscription"
        check_head(step, message, names)

    def _send(self, step: Send) -> None:
        stage, expected = self._stage, step.answers
        data, body = filled(step.data, stage.names), b""
        if step.waits:
            head, blank, body = data.partition(b"\r\n\r\n")
            data = head + blank
        followed = self._feed == "followed" and not expected[-1].ends and not step.ends
        if followed:
            behind = filled(
                notify(path="/nobody", HOST="{listener}", SID="uuid:nobody"), stage.names
            )
            data, body = (data, body + behind) if body else (data + behind, body)
        answers, ended = stage.send(step, data, body)
        if followed:
            assert answers.pop().line.startswith("HTTP/1.1 412 ")
        assert len(answers) == len(expected), answers
        for want, answer in zip(expected, answers, strict=True):
            check_answer(want, answer, stage.names, never=NEVER)
        assert ended == expected[-1].ends


NEVER = ("SID", "SEQ", "NT", "NTS", "TRANSFER-ENCODING")
"""What no answer to a NOTIFY has."""


# --- what the application of a control point sees ---


def told_of(outcome: object) -> Told | Status | None:
    """What an exchange calls an outcome; None for what it does not speak of."""
    if isinstance(outcome, Event):
        changes = {change.variable: change.text for change in outcome.details}
        return Told(outcome.seq, changes, outcome.is_initial)
    if isinstance(outcome, StatusChange) and outcome.status is not SubscriptionStatus.CLOSED:
        return Status(outcome.status.value, outcome.cause.value, outcome.http_status)
    return None


def shown(record: Any) -> dict[str, Any]:
    """What a subscription shows."""
    granted = record.duration_granted
    return {
        "values": dict(record.values),
        "sid": record.sid,
        "gaps": record.gaps,
        "renewals": record.renewals,
        "granted": "infinite" if granted == inf else granted,
        "accepted": record.accepted,
        "reliable": record.sequence.reliable,
        "foreign": sorted(record.foreign_sources),
        "status": record.status.value,
    }


def continue_from(record: Any, seq: int) -> None:
    """As if ``seq`` had been the SEQ of the last of very many events."""
    record.sequence._advance(seq, 0)
