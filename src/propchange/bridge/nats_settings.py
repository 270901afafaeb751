"""How the collectors reach NATS, and the names and the bounds of what they keep there."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from propchange.bridge.configuration import ConfigurationError, no_url
from propchange.core.record import Record

USER_VARIABLE = "PROPCHANGE_NATS_USER"
PASSWORD_VARIABLE = "PROPCHANGE_NATS_PASSWORD"  # noqa: S105 - the name of a variable
TOKEN_VARIABLE = "PROPCHANGE_NATS_TOKEN"  # noqa: S105 - the name of a variable


@dataclass(slots=True, eq=False, repr=False)
class NatsSettings(Record):
    """The table ``[nats]``. ``servers`` are URLs: ``nats://host:port``, or ``tls://`` for TLS.
    ``name`` is that of the collector, which no other one has."""

    servers: tuple[str, ...]
    name: str
    segment: str = ""
    """Collectors with one segment share the devices. Those of different ones see different devices,
    and none waits for the other."""

    stream: str = "propchange"
    """The name of the stream of events, and the first part of its subjects. The buckets are named
    after it: ``propchange-leases``, ``propchange-claims``, ``propchange-state``."""

    replicas: int = 1
    """Servers that keep each message. With 3, one may be lost."""

    max_age: float = 86_400.0
    """Seconds for which the stream keeps an event."""

    max_bytes: int = 1_073_741_824
    """Bytes of the stream. Above that, the oldest events are removed."""

    state_bytes: int = 268_435_456
    """Bytes of the bucket of states, and of the bucket of claims; a state takes about 1 kB. Above
    that, the store refuses new services."""

    memory: bool = False
    """Keep it all in the memory of the server. A restart of the server loses it, and the collectors
    write the state again."""

    credentials: str | None = None
    """The path of a credentials file."""

    ca_file: str | None = None
    certificate: str | None = None
    key: str | None = None
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)


_STREAM = re.compile(r"[A-Za-z0-9_-]{1,64}")

_MOST_SECONDS = 31_536_000.0
"""A year."""

_SCHEMES = ("nats", "tls", "ws", "wss")


def nats_settings(
    urls: str | Sequence[str],
    table: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    name: str,
    segment: str | None = None,
) -> NatsSettings:
    """The settings of the table ``[nats]``, with the secrets of the environment. ``urls``: one or
    several servers, separated by commas. Raises ConfigurationError."""
    servers = urls.split(",") if isinstance(urls, str) else urls
    settings = NatsSettings(tuple(each.strip() for each in servers), name)
    for server in settings.servers:
        _check_server(server)
    for key, value in table.items():
        if key != "url":
            setattr(settings, key, value)
    if segment is not None:
        settings.segment = segment
    settings.user = environment.get(USER_VARIABLE) or None
    settings.password = environment.get(PASSWORD_VARIABLE) or None
    settings.token = environment.get(TOKEN_VARIABLE) or None
    if (settings.user is None) != (settings.password is None):
        raise ConfigurationError(f"set both {USER_VARIABLE} and {PASSWORD_VARIABLE}, or none")
    if not _STREAM.fullmatch(settings.stream):
        raise ConfigurationError(
            f"[nats] stream has letters, digits, _ and -, at most 64, and is not "
            f"{settings.stream!r}"
        )
    if settings.replicas not in (1, 3, 5):
        raise ConfigurationError(f"[nats] replicas is 1, 3 or 5, not {settings.replicas}")
    if not 1 <= settings.max_age <= _MOST_SECONDS:
        raise ConfigurationError(f"[nats] max_age is 1 s to a year, not {settings.max_age!r}")
    for key in ("max_bytes", "state_bytes"):
        if getattr(settings, key) < 1_048_576:
            raise ConfigurationError(f"[nats] {key} is at least 1048576 (1 MiB)")
    if settings.key and not settings.certificate:
        raise ConfigurationError("[nats] key needs certificate, the file with the certificate")
    return settings


def _check_server(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"NATS: {no_url(url, error)}") from None
    if parts.password is not None or parts.username is not None:
        raise ConfigurationError(
            "NATS: a password or token in the URL can be read by everybody on this machine (ps); "
            f"give {USER_VARIABLE} and {PASSWORD_VARIABLE}, or {TOKEN_VARIABLE}, in the environment"
        )
    if parts.scheme not in _SCHEMES or not host:
        raise ConfigurationError(f"NATS: give nats://host[:port], not {url!r}")
