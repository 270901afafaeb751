"""The URL of a hosted device on a web server that is not propchange's."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple, Self

from propchange.core.local_addresses import LocalAddress, address_of
from propchange.core.wire.headers import parse_host
from propchange.core.wire.urls import with_zone, zone_in
from propchange.upnp.service_declaration import are_path_segments

DESCRIPTION_PATH = "/description.xml"

_EXAMPLE = "http://192.168.1.5:8000/upnp"


class HostedURL(NamedTuple):
    """Where control points find a hosted device: its description is at ``url``/description.xml.

    ``host`` is a name or an address, without brackets. ``zone`` is the interface of a link-local
    IPv6 address, "" if none was given; it is not sent. ``prefix`` is the path, without a slash at
    its end: "" or "/upnp".
    """

    host: str
    port: int
    prefix: str
    zone: str = ""

    @classmethod
    def of(cls, url: str) -> Self:
        """Read ``url``. Raises TypeError or ValueError if it cannot be the URL of a device."""
        if not isinstance(url, str):
            raise TypeError(f"the url of a device is a str such as {_EXAMPLE!r}, not {url!r}")
        scheme, separator, rest = url.partition("://")
        if scheme.lower() == "https":
            raise ValueError(
                f"{url!r} cannot be the url of a device: control points read descriptions by http; "
                "give an https URL of the description as secure_location"
            )
        zone = zone_in(url)
        authority, _, path = with_zone(url, "").partition("://")[2].partition("/")
        segments = path.removesuffix("/").split("/") if path else []
        usable = scheme.lower() == "http" and separator and rest and "@" not in authority
        if not usable or not are_path_segments(segments):
            raise ValueError(
                f"{url!r} cannot be the url of a device: it is an absolute http URL such as "
                f"{_EXAMPLE!r}, without a user name, a query, a fragment, escapes and empty "
                "segments"
            )
        try:
            host, port = parse_host(authority.encode())
        except ValueError as error:
            raise ValueError(f"{url!r} cannot be the url of a device: {error}") from None
        if segments and segments[-1] == DESCRIPTION_PATH[1:]:
            raise ValueError(
                f"{url!r} cannot be the url of a device: leave out {DESCRIPTION_PATH}, which is "
                "added to it"
            )
        here = cls(host, port, "".join(f"/{each}" for each in segments), zone)
        here._check_host(url)
        return here

    def _check_host(self, url: str) -> None:
        address = address_of(self.host)
        if address is not None and (address.is_unspecified or address.is_multicast):
            raise ValueError(
                f"{url!r} cannot be the url of a device: {self.host} is no address to connect to; "
                "name an address of this machine, or the address or name by which control points "
                "reach it"
            )

    @property
    def authority(self) -> str:
        """The host and the port, as in HOST."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def description_url(self) -> str:
        """The URL of the device description."""
        authority = self.authority.removesuffix(":80") if self.port == 80 else self.authority
        return f"http://{authority}{self.prefix}{DESCRIPTION_PATH}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        address = address_of(self.host)
        return self.host == "localhost" if address is None else address.is_loopback

    def is_for(self, address: LocalAddress, own: Collection[LocalAddress]) -> bool:
        """Whether the device is announced from ``address``. ``own`` are the addresses of this
        machine. A URL with one of them is announced from that one. A URL with a name, or with an
        address of another machine such as a proxy, is announced from each address of its family."""
        literal = address_of(self.host)
        if literal is None:
            return True
        if any(each.host == str(literal) for each in own):
            zones = ("", address.interface, str(address.interface_index))
            return address.host == str(literal) and self.zone in zones
        return address.network.version == literal.version


class HostedPaths:
    """The paths of a device below ``prefix``, by the paths at which requests for them may come in.

    A web server that mounts an application may leave the prefix as it is, or take any number of
    segments from its beginning. Raises ValueError if a request could be for two of ``paths``."""

    def __init__(self, prefix: str, paths: Iterable[str]) -> None:
        segments = prefix.split("/")[1:]
        self._paths: dict[str, str] = {}
        for path in paths:
            for taken in range(len(segments) + 1):
                target = "/".join(("", *segments[taken:])) + path
                other = self._paths.setdefault(target, prefix + path)
                if other != prefix + path:
                    raise ValueError(
                        f"a request for {target} could be for {prefix}{path} and for {other}, "
                        f"because a web server may take {'/'.join(segments[:taken])} from the "
                        "path: choose other paths for the service, or another url"
                    )

    def path_of(self, target: str) -> str:
        """``target`` with the path of the device that it stands for. A target of no path of the
        device is returned unchanged."""
        received, mark, query = target.partition("?")
        return self._paths.get(received, received) + mark + query
