"""The URL that a control point puts into CALLBACK, and how a request for it is recognised.

A program may set its host and its port (``callback_host``, ``callback_port``), one path for all
subscriptions (``shared_path``), or the whole URL (``callback_url``). Each of these becomes a
:class:`CallbackURL`. The host and the port that are not set are those of the connection that
carries the SUBSCRIBE; :mod:`.callback_address` chooses that connection.

With ``callback_url`` a web server or a proxy may stand in front. It may take a prefix from the path
or add one, write characters as ``%xx``, leave out the query or end the path with a slash. So a
request is recognised by the token and the segments behind it. The token is a secret, the prefix is
not. Without a token the SID names the subscription, and any path is accepted: the web server passes
on only what its own routes let through.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import unquote

from propchange.core.local_addresses import address_of
from propchange.core.wire.headers import parse_host
from propchange.core.wire.messages import Endpoint

TOKEN = "{token}"  # noqa: S105 - a place, not a secret
"""The place of the token in ``callback_url``."""

_EXAMPLE = f"http://192.168.1.5:8000/events/{TOKEN}"
_URL = re.compile(
    r"http://(?P<authority>[^/?#]*)(?P<path>(?:/[^?#]*)?)(?P<query>\?[^#]*)?",
    re.IGNORECASE | re.ASCII,
)
_BRACES = re.compile(r"\{[^{}]*\}|[{}]")
_TEXT = re.compile(r"(?:[A-Za-z0-9._~:/?@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")


class CallbackURL(NamedTuple):
    """The URL in CALLBACK, as far as the settings name it."""

    host: str | None = None
    """None: the address that the SUBSCRIBE leaves from."""
    port: int | None = None
    """None: the port of the listener."""
    authority: str = ""
    """Host and port as CALLBACK has them; empty unless both are set."""
    before: str = "/"
    """The path, up to the token if there is one."""
    after: str = ""
    """The path and the query behind the token."""
    has_token: bool = True
    """Whether each SUBSCRIBE has an unguessable path of its own."""
    is_whole: bool = False
    """Whether ``callback_url`` was set: something in front may change the path of a request."""

    def path(self, token: str) -> str:
        """The path and query of the subscription with ``token``; the shared path if there is no
        token in it."""
        return f"{self.before}{token if self.has_token else ''}{self.after}"

    def path_of(self, target: str) -> str:
        """The path and query in CALLBACK that led to a request for ``target``. Any other target is
        returned unchanged, or as a path that no subscription has."""
        if not self.is_whole:
            return target
        if not self.has_token:
            return self.path("")
        behind = _segments(self.after)
        segments = _segments(target)
        first = len(segments) - len(behind) - 1
        if first < 0 or segments[first + 1 :] != behind:
            return target
        return self.path(segments[first])

    def is_shared(self, path: str) -> bool:
        """Whether ``path`` is the one path of all subscriptions."""
        return not self.has_token and path == self.before + self.after

    def endpoint(self, local: Endpoint) -> Endpoint:
        """The endpoint in CALLBACK if the SUBSCRIBE leaves from ``local``, which has the port of
        the listener."""
        host = self.host or local.host
        return Endpoint(host, self.port or local.port, local.scope if host == local.host else 0)


def callback_of_parts(host: str | None, port: int | None, shared_path: str | None) -> CallbackURL:
    """The form of ``callback_host``, ``callback_port`` and ``shared_path``. Raises ValueError for a
    host that no device can call, and for a number that is no port."""
    if port is not None and not 0 < port < 65_536:
        raise ValueError(f"a port is from 1 to 65535, not {port}")
    authority = ""
    if host is not None:
        literal = f"[{host}]" if ":" in host else host
        if not _is_callable(literal):
            raise ValueError(
                f"{host!r} as callback_host is no address or name that a device can call; "
                "give one without a port, a zone or brackets"
            )
        authority = f"{literal}:{port}" if port is not None else ""
    if shared_path is None:
        return CallbackURL(host, port, authority)
    return CallbackURL(host, port, authority, before=shared_path, has_token=False)


def callback_of_url(url: str) -> CallbackURL:
    """The form of ``callback_url``: an absolute http URL, with ``{token}`` once or not at all as a
    whole segment of the path. Raises ValueError for any other text, TypeError for what is no
    text."""
    if not isinstance(url, str):
        raise TypeError(f"callback_url is a str such as {_EXAMPLE}, not {url!r}")
    match = _URL.fullmatch(url)
    if match is None:
        raise _no_callback_url(url, "it begins with http:// and has no #fragment")
    authority, path, query = match["authority"], match["path"] or "/", match["query"] or ""
    if not _is_callable(authority):
        reason = (
            "a device calls an address or a name, without a user, a zone or a wildcard address, "
            "and a port from 1 to 65535"
        )
        raise _no_callback_url(url, reason)
    if TOKEN in unquote(url) and TOKEN not in url:
        raise _no_callback_url(url, f"{TOKEN} is written with braces and not as %7B…%7D")
    if (braces := _BRACES.search(url.replace(TOKEN, ""))) is not None:
        raise _no_callback_url(url, f"{TOKEN} is what can stand in braces, not {braces[0]}")
    before, token, after = path.partition(TOKEN)
    if not _TEXT.fullmatch(before + after + query):
        reason = f"{TOKEN} is in the path once; other characters than those of URLs are %xx"
        raise _no_callback_url(url, reason)
    if token and not (before.endswith("/") and after[:1] in ("", "/")):
        raise _no_callback_url(url, f"{TOKEN} is a whole segment of the path, between slashes")
    host, port = parse_host(authority.encode())
    return CallbackURL(host, port, authority, before, after + query, bool(token), is_whole=True)


def _is_callable(authority: str) -> bool:
    """Whether a device can call ``authority``, a host and perhaps a port."""
    try:
        address = address_of(parse_host(authority.encode())[0])
    except ValueError:
        return False
    return address is None or not (address.is_unspecified or address.is_multicast)


def _no_callback_url(url: str, reason: str) -> ValueError:
    return ValueError(f"{url!r} is no callback_url: {reason}; write it as {_EXAMPLE}")


def _segments(target: str) -> list[str]:
    """The segments of the path of ``target``, decoded. Empty ones are left out: a web server may
    add a slash."""
    return [unquote(each) for each in target.partition("?")[0].split("/") if each]
