"""The store of the collectors in NATS JetStream: three buckets and a stream.

A bucket is a stream with one message for each key, as clients of NATS expect it. A write has the
header ``Nats-Expected-Last-Subject-Sequence``, and the server refuses it if the last message of the
subject is another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable
from importlib.util import find_spec
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import AuthorizationError, Error, NoRespondersError
from nats.js.api import (
    ConsumerConfig,
    DeliverPolicy,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import APIError, NotFoundError

from propchange.bridge.collector_limits import CollectorLimits
from propchange.bridge.configuration import ConfigurationError
from propchange.bridge.json_objects import number_of
from propchange.bridge.nats_settings import NatsSettings
from propchange.bridge.shared_state import DUPLICATE
from propchange.bridge.store import Answer, Ask, Operation, Outcome, Place
from propchange.bridge.tls import tls_context

_EXPECTED = "Nats-Expected-Last-Subject-Sequence"
_ID = "Nats-Msg-Id"
_TERM = "Propchange-Term"
_SESSION = "Propchange-Session"
_REMOVED = "KV-Operation"

_WRONG_SEQUENCE = frozenset({10071, 10164})
"""Error codes of a write that does not follow the expected message."""

_NAME_IN_USE = 10058
"""Error code: the stream exists, with other settings."""

_NO_STREAM = 10059
"""Error code: there is no such stream."""

_NO_STORAGE = frozenset({10023, 10047})
"""Error codes of a server, or of an account, that has not the bytes that a stream may take."""

_HEADER_BYTES = 2_048
"""Bytes of a message for its headers: the server counts them too. The longest has the SID."""

_DISABLED = frozenset({10076, 10039})
"""Error codes of a server, or of an account, without JetStream."""

_ANSWER_SECONDS = 2.0
"""Seconds to wait for an answer of the server."""

_PING_SECONDS = 2
"""Seconds between two pings. A server that does not answer two of them is away: less than the
duration of a lease."""

_RECONNECT_SECONDS = 0.25

_DUPLICATES_SECONDS = 120.0
"""Seconds for which the server recognises a message that is sent again. Later it is recognised by
the last message of the subject."""

_NO_JETSTREAM = "JetStream is not enabled on the NATS server: start it with -js"
_NOT_READY = (
    "the NATS server is there, and JetStream does not answer: it is starting, or it is not enabled "
    "(start the server with -js)"
)

_SAFE = re.compile(r"[^A-Za-z0-9_-]")


def token(part: str) -> str:
    """``part`` as one token of a subject and of a key: other characters than letters, digits, ``_``
    and ``-`` are written as ``=`` and two hexadecimal digits for each byte. Two parts never have
    one token."""

    def escaped(found: re.Match[str]) -> str:
        octets = found[0].encode("utf-8", "surrogatepass")
        return "".join(f"={octet:02X}" for octet in octets)

    return _SAFE.sub(escaped, part) or "="


class NatsRefused(Exception):
    """The server does not let this collector do its work. The message is for the operator."""


class NatsStore:
    """The store of one collector. ``away`` is called when the server is lost, ``connected`` when
    there is a connection again, and ``back`` when leases and claims are watched again; ``shown``
    with each lease and claim. In a cluster that looks for a leader, ``connected`` and ``back`` are
    seconds apart. Raises ConfigurationError if a
    file of the settings cannot be used."""

    def __init__(
        self,
        settings: NatsSettings,
        limits: CollectorLimits,
        *,
        away: Callable[[], object],
        connected: Callable[[], object],
        back: Callable[[], object],
        shown: Callable[[Place, str, int, bytes], object],
        say: Callable[[str], object],
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._away = away
        self._connected = connected
        self._back = back
        self._shown = shown
        self._say = say
        self._options = _connect_options(settings)
        self._client = Client()
        self._said = ""
        self._names = {
            Place.LEASES: f"{settings.stream}-leases",
            Place.CLAIMS: f"{settings.stream}-claims",
            Place.STATE: f"{settings.stream}-state",
        }
        self._watches: list[Any] = []
        self._watching: asyncio.Task[None] | None = None

    # --- the connection ---

    async def connect(self) -> None:
        """Connect, and make what is not there yet. Keeps trying while the server is away. Raises
        NatsRefused if it refuses."""
        while True:
            # A connection that tries again by itself would not say why it fails.
            first, errors = Client(), list[Exception]()

            async def note(error: Exception, errors: list[Exception] = errors) -> None:
                errors.append(error)

            try:
                await first.connect(
                    allow_reconnect=False,
                    max_reconnect_attempts=1,
                    reconnect_time_wait=0,
                    error_cb=note,
                    **self._options,
                )
                await first.close()
                break
            except (OSError, Error, TimeoutError) as error:
                said = errors[0] if errors else error
                if _is_refusal(said):
                    raise NatsRefused(self._refused(said)) from error
                self.say(f"no connection to NATS ({_words(said)}); it is tried again")
                await asyncio.sleep(1)
        try:
            await self._client.connect(
                ping_interval=_PING_SECONDS,
                max_outstanding_pings=2,
                reconnect_time_wait=_RECONNECT_SECONDS,  # type: ignore[arg-type] # a part of a second
                max_reconnect_attempts=-1,
                disconnected_cb=self._disconnected,
                reconnected_cb=self._reconnected,
                error_cb=self._error,
                **self._options,
            )
            await self._begin()
        except BaseException:
            await self.close()
            raise

    def _refused(self, error: BaseException) -> str:
        return (
            f"NATS refuses this collector ({_words(error)}): give a credentials file in the table "
            "[nats], or PROPCHANGE_NATS_USER and PROPCHANGE_NATS_PASSWORD, or PROPCHANGE_NATS_TOKEN"
        )

    async def _begin(self) -> None:
        """Make what is not there, and watch. Keeps trying while JetStream starts."""
        while True:
            try:
                await self._make()
                await self._watch()
                break
            except (Error, TimeoutError) as error:
                if isinstance(error, APIError) and error.err_code in _DISABLED:
                    raise NatsRefused(_NO_JETSTREAM) from error
                self.say(_not_made(error) if isinstance(error, APIError) else _NOT_READY)
                await asyncio.sleep(self._limits.retry_seconds)
        self._said = ""
        self._back()

    async def close(self) -> None:
        """Close the connection."""
        if self._watching is not None:
            self._watching.cancel()
        with contextlib.suppress(Error, TimeoutError):
            await self._client.close()

    async def _disconnected(self) -> None:
        self._away()
        if not self._client.is_closed:
            self.say("the connection to NATS is lost; what comes from devices waits")

    async def _reconnected(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
        self._connected()
        self._watching = asyncio.get_running_loop().create_task(self._begin_again())

    async def _begin_again(self) -> None:
        try:
            await self._begin()
        except NatsRefused as error:
            self.say(str(error))
        else:
            self._say("NATS is back")

    def _begin_soon(self) -> None:
        """A stream or bucket is not there any more: make it again."""
        if self._watching is None or self._watching.done():
            self._away()
            self.say("a stream or bucket is not there any more; it is made again")
            self._watching = asyncio.get_running_loop().create_task(self._begin_again())

    async def _error(self, error: Exception) -> None:
        if not isinstance(error, OSError) and _is_refusal(error):
            self.say(self._refused(error))

    @property
    def message_bytes(self) -> int:
        """Bytes of the largest message that the server takes, without headers."""
        most = self._client.max_payload
        return most - min(_HEADER_BYTES, most // 2)

    def say(self, line: str) -> None:
        """Print ``line``, unless it was the last one."""
        if line != self._said:
            self._said = line
            self._say(line)

    # --- buckets and streams ---

    async def _make(self) -> None:
        settings = self._settings
        manager = self._client.jetstream(timeout=_ANSWER_SECONDS)
        common: dict[str, Any] = {
            "storage": StorageType.MEMORY if settings.memory else StorageType.FILE,
            "num_replicas": settings.replicas,
            "retention": RetentionPolicy.LIMITS,
            "max_consumers": -1,
            "max_msgs": -1,
        }
        configs = [
            StreamConfig(
                name=settings.stream,
                subjects=[f"{settings.stream}.*.*"],
                max_age=settings.max_age,
                max_bytes=settings.max_bytes,
                discard=DiscardPolicy.OLD,
                duplicate_window=min(_DUPLICATES_SECONDS, settings.max_age),
                **common,
            )
        ]
        for place, name in self._names.items():
            leases = place is Place.LEASES
            configs.append(
                StreamConfig(
                    name=f"KV_{name}",
                    subjects=[f"$KV.{name}.>"],
                    max_msgs_per_subject=1,
                    max_bytes=settings.state_bytes,
                    max_age=self._limits.lease_seconds if leases else 0,
                    duplicate_window=self._limits.lease_seconds if leases else _DUPLICATES_SECONDS,
                    discard=DiscardPolicy.NEW,
                    allow_rollup_hdrs=True,
                    deny_delete=True,
                    **common,
                )
            )
        for config in configs:
            try:
                await manager.add_stream(config)
            except APIError as error:
                if error.err_code != _NAME_IN_USE:
                    raise
                await self._check(manager, config)

    async def _check(self, manager: Any, config: StreamConfig) -> None:
        """The stream exists with other settings. They are used, except for the leases."""
        there = (await manager.stream_info(config.name)).config
        if there.max_age != config.max_age and config.name == f"KV_{self._names[Place.LEASES]}":
            raise NatsRefused(
                f"the bucket {self._names[Place.LEASES]} keeps leases for {there.max_age:g} s, and "
                f"this collector expects {config.max_age:g} s: collectors of different versions "
                "or another program use it; end them and delete the bucket"
            )

    def subject(self, place: Place, key: str) -> str:
        """The subject of a key."""
        if place is Place.EVENTS:
            return f"{self._settings.stream}.{key}"
        return f"$KV.{self._names[place]}.{key}"

    def _stream(self, place: Place) -> str:
        return self._settings.stream if place is Place.EVENTS else f"KV_{self._names[place]}"

    # --- what others write ---

    async def _watch(self) -> None:
        """Watch leases and claims. Returns when the present leases were shown."""
        jetstream = self._client.jetstream(timeout=_ANSWER_SECONDS)
        watches, self._watches = self._watches, []
        for watch in watches:
            with contextlib.suppress(Error, TimeoutError):
                await watch.unsubscribe()
        for place in (Place.LEASES, Place.CLAIMS):
            shown = asyncio.Event()
            watch = await jetstream.subscribe(
                self.subject(place, ">"),
                stream=self._stream(place),
                cb=self._show(place, shown),
                ordered_consumer=True,
                config=ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT),
            )
            self._watches.append(watch)
            if place is Place.LEASES and (await watch.consumer_info()).num_pending:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_ANSWER_SECONDS):
                        await shown.wait()

    def _show(self, place: Place, shown: asyncio.Event) -> Callable[[Msg], Awaitable[None]]:
        prefix = len(self.subject(place, ""))

        async def show(message: Msg) -> None:
            metadata = message.metadata
            removed = _REMOVED in (message.headers or {})
            value = b"" if removed else message.data
            self._shown(place, message.subject[prefix:], metadata.sequence.stream, value)
            if not metadata.num_pending:
                shown.set()

        return show

    # --- operations ---

    async def perform(self, operation: Operation) -> Answer:
        """Do ``operation``. Raises nothing: what fails is an answer."""
        try:
            if operation.ask is Ask.GET:
                return await self._get(operation)
            if operation.ask is Ask.LIST:
                return await self._list(operation.place)
            return await self._write(operation)
        except NotFoundError as error:
            if error.err_code != _NO_STREAM:
                return Answer(Outcome.DONE)
            self._begin_soon()
            return Answer(Outcome.UNKNOWN, reason=_words(error))
        except NoRespondersError:
            self._begin_soon()
            return Answer(Outcome.UNKNOWN, reason="JetStream does not answer")
        except (Error, OSError, TimeoutError, ValueError) as error:
            return Answer(Outcome.UNKNOWN, reason=_words(error))

    async def _get(self, operation: Operation) -> Answer:
        manager = self._client.jsm(timeout=_ANSWER_SECONDS)
        subject = self.subject(operation.place, operation.key)
        # From the leader of the stream, not from a copy that may be behind.
        message = await manager.get_msg(self._stream(operation.place), subject=subject)
        headers = message.headers or {}
        value = b"" if _REMOVED in headers else message.data or b""
        term = headers.get(_TERM, "")
        return Answer(
            Outcome.DONE,
            message.seq or 0,
            value,
            number_of(int(term)) if term.isdecimal() and len(term) <= 16 else 0,
            headers.get(_ID, ""),
        )

    async def _list(self, place: Place) -> Answer:
        """The headers of all keys, without their values."""
        jetstream = self._client.jetstream(timeout=_ANSWER_SECONDS)
        if not (await jetstream.stream_info(self._stream(place))).state.messages:
            return Answer(Outcome.DONE)
        config = ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT, headers_only=True)
        reading = await jetstream.subscribe(
            self.subject(place, ">"),
            stream=self._stream(place),
            ordered_consumer=True,
            config=config,
        )
        prefix, listed = len(self.subject(place, "")), list[tuple[str, str]]()
        try:
            while True:
                message = await reading.next_msg(_ANSWER_SECONDS)
                session = (message.headers or {}).get(_SESSION, "")
                listed.append((message.subject[prefix:], session))
                if not message.metadata.num_pending:
                    return Answer(Outcome.DONE, listed=tuple(listed))
        finally:
            with contextlib.suppress(Error, TimeoutError):
                await reading.unsubscribe()

    async def _write(self, operation: Operation) -> Answer:
        headers = {_EXPECTED: str(operation.revision)}
        if operation.ask is Ask.DELETE:
            headers[_REMOVED] = "PURGE"
            headers["Nats-Rollup"] = "sub"
        if operation.place is Place.EVENTS:
            headers[_ID] = operation.message_id
            headers[_TERM] = str(operation.term)
        if operation.session:
            headers[_SESSION] = operation.session
        answer = await self._client.request(
            self.subject(operation.place, operation.key),
            operation.value,
            timeout=_ANSWER_SECONDS,
            headers=headers,
        )
        said = json.loads(answer.data)
        error = said.get("error")
        if error is None:
            id = DUPLICATE if said.get("duplicate") else ""
            return Answer(Outcome.DONE, said["seq"], message_id=id)
        if error.get("err_code") in _WRONG_SEQUENCE:
            return Answer(Outcome.CONFLICT)
        reason = str(error.get("description"))
        self.say(f"NATS does not take {operation.place.value} ({reason}); it is tried again")
        return Answer(Outcome.FAILED, reason=reason)


def _connect_options(settings: NatsSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "servers": list(settings.servers),
        "name": f"propchange collector {settings.name}",
        "connect_timeout": 2,
    }
    if settings.credentials:
        _check_credentials(settings.credentials)
        options["user_credentials"] = settings.credentials
    for key in ("user", "password", "token"):
        if (value := getattr(settings, key)) is not None:
            options[key] = value
    if settings.ca_file or any(each.startswith("tls:") for each in settings.servers):
        options["tls"] = tls_context("nats", settings.ca_file, settings.certificate, settings.key)
    return options


def _check_credentials(path: str) -> None:
    try:
        with open(path, "rb"):
            pass
    except OSError as error:
        raise ConfigurationError(f"[nats] credentials {path!r}: {error}") from error
    if find_spec("nkeys") is None:
        raise ConfigurationError(
            "[nats] credentials needs nkeys, which signs with them: pip install 'nats-py[nkeys]'"
        )


def _is_refusal(error: BaseException) -> bool:
    words = str(error).lower()
    return (
        isinstance(error, AuthorizationError) or "authorization" in words or "permission" in words
    )


def _not_made(error: APIError) -> str:
    said = f"NATS does not make the stream or a bucket ({error.description}); it is tried again"
    if error.err_code in _NO_STORAGE:
        said += (
            ". They may take max_bytes + 3 * state_bytes of the table [nats]: lower these, or give "
            "the server more (max_file_store)"
        )
    return said


def _words(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
