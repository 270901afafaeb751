"""Prints what control points do with a hosted device, for ``propchange host``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta

from propchange import ActionError, Limits, RemoteProtocolError, Request, Response
from propchange.cli.lines import CalledLine, GrantedFor, Source, StatusLine, now
from propchange.cli.output import LineFormat, Writer
from propchange.core import (
    Disowned,
    Endpoint,
    Expired,
    InitialEventDelivered,
    Merged,
    MessageAbandoned,
    Refused,
    Renewed,
    Subscribed,
    Unsubscribed,
)
from propchange.driver.reporting import LineRate
from propchange.upnp.actions import Action, Argument
from propchange.upnp.plain_values import plain
from propchange.upnp.service import Service
from propchange.upnp.soap import parse_answer, parse_call

_LINES = replace(Limits(), log_lines=1_000, log_line_seconds=0.1)
"""Lines of one status: a thousand at once, then ten a second, so that a peer cannot fill a disk.
Tests of control points with a thousand subscriptions see each one."""

_SIDS_KEPT = 8_192
"""SIDs whose service is remembered, twice as many as a publisher has subscriptions."""


class PublisherPrinter:
    """Prints the outcomes of a publisher to ``writer`` in ``form``.

    ``sources`` has the source of each event path, ``controls`` the source and the service of
    each control path. Give :meth:`tap` to the host. While the reader of ``writer`` stalls, lines
    are left out."""

    def __init__(self, writer: Writer, form: LineFormat) -> None:
        self._writer = writer
        self._form = form
        self._rate = LineRate(_LINES)
        self.sources: dict[str, Source] = {}
        self.controls: dict[str, tuple[Source, Service]] = {}
        self._asked: Request | None = None
        self._sids: dict[str, Source] = {}

    def tap(self, passing: object) -> None:
        """For ``host(…, tap=…)``."""
        match passing:
            case Request(target=target):
                # The actions of a device of a file answer at once: the next response is the answer.
                self._asked = passing if target.partition("?")[0] in self.controls else None
            case Response() if self._asked is not None:
                asked, self._asked = self._asked, None
                self._print_call(asked, passing)
            case Subscribed(sid, path, callbacks, peer, duration):
                self._remember(sid, path)
                reason = f"by {_host(peer)}, with events to {' '.join(callbacks)}, SID {sid}"
                self._print(sid, "subscribed", reason, duration)
            case Renewed(sid, duration):
                self._print(sid, "renewed", f"SID {sid}", duration)
            case InitialEventDelivered(sid):
                self._print(sid, "delivered", f"the initial event, SID {sid}")
            case Unsubscribed(sid):
                self._print(sid, "unsubscribed", f"SID {sid}")
                self._sids.pop(sid, None)
            case Expired(sid):
                self._print(sid, "expired", f"it was not renewed, SID {sid}")
                self._sids.pop(sid, None)
            case Disowned(sid):
                self._print(sid, "disowned", f"an event was answered 412, SID {sid}")
                self._sids.pop(sid, None)
            case MessageAbandoned(sid, seq, reason):
                self._print(sid, "undelivered", f"the event with SEQ {seq}: {reason}, SID {sid}")
            case Merged(sid, seq, updates):
                reason = f"{updates} events into SEQ {seq}: the subscriber is behind, SID {sid}"
                self._print(sid, "merged", reason)
            case Refused(path, peer, status, reason, clause):
                where = f" ({clause})" if clause else ""
                self._refuse(self.sources.get(path), peer, status, f"{reason}{where}")

    def _print_call(self, request: Request, response: Response) -> None:
        source, service = self.controls[request.target.partition("?")[0]]
        error: ActionError | None = None
        answered: Mapping[str, str] = {}
        try:
            call = parse_call(request.body)
            try:
                answered = parse_answer(response.body, response.status, call.action).texts
            except ActionError as fault:
                error = fault
        except (ActionError, RemoteProtocolError) as unread:
            # It is no call, or has no answer of SOAP: HTTP has refused it.
            reason = f"{request.method} to the controlURL: {unread}"
            self._refuse(source, request.peer, response.status, reason)
            return
        action = service.actions.get(call.action, Action(call.action))
        results = None if error else _values(action.outputs, answered)
        arguments = _values(action.inputs, call.texts)
        left_out = None if self._writer.is_full else self._rate.admit("called")
        if left_out is not None:
            peer = _host(request.peer)
            line = CalledLine(now(), source, peer, call.action, arguments, results, error, left_out)
            self._writer.put(self._form.called(line))

    def _refuse(
        self, source: Source | None, peer: Endpoint | None, status: int, reason: str
    ) -> None:
        self._put(source, "refused", f"{_host(peer)} was answered {status}: {reason}")

    def _remember(self, sid: str, path: str) -> None:
        if path in self.sources:
            self._sids[sid] = self.sources[path]
            if len(self._sids) > _SIDS_KEPT:
                del self._sids[next(iter(self._sids))]

    def _print(self, sid: str, status: str, reason: str, duration: int | None = None) -> None:
        grant = None
        if duration is not None:
            grant = GrantedFor(sid, duration, now() + timedelta(seconds=duration))
        self._put(self._sids.get(sid), status, reason, grant)

    def _put(
        self, source: Source | None, status: str, reason: str, grant: GrantedFor | None = None
    ) -> None:
        if self._writer.is_full:
            return
        left_out = self._rate.admit(status)
        if left_out is not None:
            line = StatusLine(now(), source, status, reason + left_out, grant)
            self._writer.put(self._form.status(line))


def _host(peer: Endpoint | None) -> str:
    return peer.host if peer else "an unknown peer"


def _values(
    arguments: Iterable[Argument], texts: Mapping[str, str]
) -> dict[str, str | int | float | bool]:
    """``texts`` of a message, typed as ``arguments`` declare them if JSON has the type."""
    variables = {argument.name: argument.variable for argument in arguments}
    values: dict[str, str | int | float | bool] = {}
    for name, text in texts.items():
        values[name] = text
        if name in variables:
            with contextlib.suppress(ValueError):
                values[name] = plain(variables[name].parse(text), text)
    return values
