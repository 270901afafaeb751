"""How the collectors reach NATS, and the names and the bounds of what they keep there."""

from __future__ import annotations

from dataclasses import dataclass, field

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
