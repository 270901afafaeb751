"""The configuration of the bridge: a TOML file, the command line, and secrets in the environment.

A key that the bridge does not know is an error. Otherwise a misspelt key would have no effect.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote, urlsplit

from propchange.bridge.topics import PART_CHARACTERS, part
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.record import Record

PASSWORD_VARIABLE = "PROPCHANGE_MQTT_PASSWORD"  # noqa: S105 - a name
USERNAME_VARIABLE = "PROPCHANGE_MQTT_USERNAME"

_PORT, _TLS_PORT = 1883, 8883

_MOST_SECONDS = 86_400.0
"""A day."""

_MOST_SUBSCRIPTIONS = 65_536
"""Subscriptions of one bridge that can be asked for. One process carries about 20,000, see
docs/collectors.md."""

DEFAULT_DURATION = 300
"""Seconds for which the bridge subscribes. It renews after half of them at most, and notices by
then that a device has gone without a goodbye. That is one request a minute for about two
services."""

_LONGEST_DURATION = 31_536_000
"""A year."""


class ConfigurationError(ValueError):
    """The configuration cannot be used. The message says where, and what to do."""


@dataclass(slots=True, eq=False, repr=False)
class BrokerSettings(Record):
    """The broker, and how to connect to it. ``ca_file`` has the certificates that are trusted; None
    for those of the system. ``certificate`` and ``key`` are files of this client."""

    host: str
    port: int
    tls: bool
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    certificate: str | None = None
    key: str | None = None

    @property
    def name(self) -> str:
        """The broker in a line for the operator."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(slots=True, eq=False, repr=False)
class BridgeSettings(Record):
    """The tables ``[bridge]`` and ``[home_assistant]``. ``forget_after`` is in seconds.
    ``home_assistant_prefix`` is the first part of the topics of Home Assistant, and
    ``home_assistant_forget_after`` the seconds for which a device that has gone stays in it after
    its topics were cleared.
    """

    bridge_id: str
    base: str = "propchange"
    distinct: bool = False
    forget_after: float = 3.0
    commands: bool = False
    home_assistant: bool = False
    home_assistant_prefix: str = "homeassistant"
    home_assistant_forget_after: float = 0.0


_TABLES: dict[str, dict[str, type | tuple[type, ...]]] = {
    "bridge": {
        "id": str,
        "base": str,
        "commands": bool,
        "devices": list,
        "distinct": bool,
        "duration": int,
        "exclude": list,
        "forget_after": (int, float),
        "interface": str,
        "subscriptions": int,
    },
    "home_assistant": {"enabled": bool, "forget_after": (int, float), "prefix": str},
    "nats": {
        "url": (str, list),
        "segment": str,
        "stream": str,
        "replicas": int,
        "max_age": (int, float),
        "max_bytes": int,
        "state_bytes": int,
        "memory": bool,
        "credentials": str,
        "ca_file": str,
        "certificate": str,
        "key": str,
    },
    "mqtt": {"url": str, "username": str, "ca_file": str, "certificate": str, "key": str},
}
"""The tables, their keys, and the types of the values."""

_CALLED: dict[object, str] = {
    str: "a string",
    bool: "true or false",
    list: "a list of strings",
    (int, float): "a number",
    int: "a whole number",
    (str, list): "a string or a list of strings",
}


def read_configuration(text: str, name: str) -> dict[str, dict[str, Any]]:
    """The tables of the configuration ``text`` of the file ``name``, each with the keys that the
    file gives. Raises ConfigurationError."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{name} is not TOML: {error}") from error
    tables: dict[str, dict[str, Any]] = {table: {} for table in _TABLES}
    for table, keys in document.items():
        if table not in _TABLES or not isinstance(keys, dict):
            there = ", ".join(f"[{each}]" for each in _TABLES)
            raise ConfigurationError(f"{name}: there is no table {table!r}; there are {there}")
        for key, value in keys.items():
            tables[table][key] = _checked(f"{name}: [{table}] {key}", table, key, value)
    return tables


def _checked(where: str, table: str, key: str, value: object) -> object:
    known = _TABLES[table]
    if key not in known:
        hint = ""
        if "password" in key or "secret" in key or "token" in key:
            hint = f"; a password is given by the environment variable {PASSWORD_VARIABLE}"
        raise ConfigurationError(f"{where} is not known; there are {', '.join(known)}{hint}")
    wanted = known[key]
    fits = isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))
    if isinstance(value, list):
        fits = fits and all(isinstance(each, str) for each in value)
    if not fits:
        raise ConfigurationError(f"{where} is {_CALLED[wanted]}, not {_shown(value)}")
    return value


def _shown(value: object) -> str:
    """``value`` in an error, unless it may have a URL with a password."""
    shown = repr(value)
    return shown if "@" not in shown else f"a value of the type {type(value).__name__}"


def no_url(url: str, error: ValueError) -> str:
    """Why ``url`` is none, without what may be a password in it."""
    if "@" not in url:
        return f"{url!r} is no URL: {error}"
    return f"…@{url.rpartition('@')[2]} is no URL; a user name or password cannot have / ? # [ ]"


def bridge_settings(
    tables: Mapping[str, Mapping[str, Any]],
    *,
    bridge_id: str | None = None,
    distinct: bool | None = None,
    commands: bool | None = None,
    home_assistant: bool | None = None,
    default_id: str,
) -> BridgeSettings:
    """The settings of the tables ``[bridge]`` and ``[home_assistant]``. What the command line gives
    comes first. Raises ConfigurationError."""
    table, offered = tables["bridge"], tables["home_assistant"]
    settings = BridgeSettings(bridge_id or table.get("id") or default_id)
    for key in ("base", "distinct", "forget_after", "commands"):
        if key in table:
            setattr(settings, key, table[key])
    if distinct is not None:
        settings.distinct = distinct
    if commands is not None:
        settings.commands = commands
    settings.home_assistant = offered.get("enabled", False)
    if home_assistant is not None:
        settings.home_assistant = home_assistant
    settings.home_assistant_prefix = offered.get("prefix", settings.home_assistant_prefix)
    settings.home_assistant_forget_after = offered.get(
        "forget_after", settings.home_assistant_forget_after
    )
    for what, text in (
        ("the id of a bridge", settings.bridge_id),
        ("base", settings.base),
        ("[home_assistant] prefix", settings.home_assistant_prefix),
    ):
        if not text or part(text) != text:
            raise ConfigurationError(
                f"{what} is one part of a topic: up to {PART_CHARACTERS} characters without space "
                f"and without / + # ~, and not {text!r}"
            )
    for what, seconds in (
        ("forget_after", settings.forget_after),
        ("[home_assistant] forget_after", settings.home_assistant_forget_after),
    ):
        if not 0 <= seconds <= _MOST_SECONDS:
            raise ConfigurationError(f"{what} is a number of seconds up to a day, not {seconds!r}")
    return settings


def bridge_duration(table: Mapping[str, Any], given: int | None = None) -> int:
    """The seconds for which the bridge subscribes: ``given`` on the command line, or ``duration``
    of the table ``[bridge]``. Raises ConfigurationError."""
    duration: int = given if given is not None else table.get("duration", DEFAULT_DURATION)
    if not 1 <= duration <= _LONGEST_DURATION:
        raise ConfigurationError(
            f"duration is a whole number of seconds, 1 to {_LONGEST_DURATION}, not {duration}"
        )
    return duration


def bridge_limits(table: Mapping[str, Any]) -> Limits:
    """The limits of the control point for ``subscriptions`` of the table ``[bridge]``. Raises
    ConfigurationError."""
    wanted = table.get("subscriptions", DEFAULT_LIMITS.own_subscriptions)
    if not 1 <= wanted <= _MOST_SUBSCRIPTIONS:
        raise ConfigurationError(
            f"[bridge] subscriptions is 1 to {_MOST_SUBSCRIPTIONS}, not {wanted}"
        )
    if wanted <= DEFAULT_LIMITS.own_subscriptions:
        return replace(DEFAULT_LIMITS, own_subscriptions=wanted)
    # As many devices for a subscription as by default, and connections from all of them.
    times = wanted / DEFAULT_LIMITS.own_subscriptions
    grown = ("followed_devices", "known_devices", "announced_hosts", "connections")
    more = {name: int(getattr(DEFAULT_LIMITS, name) * times) for name in grown}
    return replace(DEFAULT_LIMITS, own_subscriptions=wanted, **more)


def broker_settings(
    url: str, table: Mapping[str, Any], environment: Mapping[str, str]
) -> BrokerSettings:
    """The broker at ``url``, ``mqtt://[user@]host[:port]`` or ``mqtts://…``. Raises
    ConfigurationError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"the broker: {no_url(url, error)}") from None
    if parts.password is not None:
        raise ConfigurationError(
            "the broker: a password in the URL can be read by everybody on this machine (ps); give "
            f"it in the environment variable {PASSWORD_VARIABLE}, and the user name in the URL"
        )
    if parts.scheme not in ("mqtt", "mqtts") or not host:
        raise ConfigurationError(
            f"the broker: give mqtt://host[:port], or mqtts://host[:port] for TLS, not {url!r}"
        )
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ConfigurationError(f"the broker: nothing can follow host and port, as in {url!r}")
    tls = parts.scheme == "mqtts"
    files = {key: table[key] for key in ("ca_file", "certificate", "key") if key in table}
    if files and not tls:
        raise ConfigurationError(
            f"the broker: {', '.join(files)} is for TLS: give the URL as mqtts://…"
        )
    if "key" in files and "certificate" not in files:
        raise ConfigurationError("[mqtt] key needs certificate, the file with the certificate")
    username = unquote(parts.username) if parts.username else table.get("username")
    username = username or environment.get(USERNAME_VARIABLE) or None
    password = environment.get(PASSWORD_VARIABLE) or None
    if password is not None and username is None:
        raise ConfigurationError(
            f"{PASSWORD_VARIABLE} is set, and there is no user name: give it in the URL "
            f"(mqtt://user@host), as [mqtt] username, or in {USERNAME_VARIABLE}"
        )
    default = _TLS_PORT if tls else _PORT
    return BrokerSettings(host, port or default, tls, username, password, **files)
