"""The device description, both ways (UDA 2.0 §2.3)."""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from urllib.parse import quote, urljoin, urlsplit, urlunsplit

from propchange.core.discovery.advertisement import udn_key
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.record import Record
from propchange.core.values.data_types import shown
from propchange.core.wire.messages import Endpoint
from propchange.core.wire.urls import with_zone, zone_in
from propchange.core.wire.xml import Element
from propchange.errors import DescriptionError
from propchange.printable import printable
from propchange.upnp.device import Device, DeviceTree, PlacedDevice, place_device
from propchange.upnp.markup import DECLARATION, child_text, parse_root, spec_version, text_element
from propchange.upnp.service_names import ServiceNames

_NAMESPACE = "urn:schemas-upnp-org:device-1-0"
_TEXTS = {
    "deviceType": "device_type",
    "friendlyName": "friendly_name",
    "manufacturer": "manufacturer",
    "manufacturerURL": "manufacturer_url",
    "modelDescription": "model_description",
    "modelName": "model_name",
    "modelNumber": "model_number",
    "modelURL": "model_url",
    "serialNumber": "serial_number",
}
"""Element -> attribute of :class:`.Device` and :class:`DeviceDescription`, in the order of UDA."""


# --- writing ---


def build_description(
    device: Device, *, udn: str, uda: str = "1.1", prefix: str = "/", config_id: int | None = None
) -> bytes:
    """The description of a root device, as the architecture ``uda`` ("1.0", "1.1" or "2.0")
    wants it.

    ``udn`` is that of the root. The URLs of the services are ``prefix`` and the paths of
    :func:`propchange.upnp.device.place_device`: relative ones (SUB-05), and the eventSubURL of
    a service without evented variables is empty (SUB-02). ``config_id`` (0 to 16777215) goes
    into the description from UDA 1.1 on.
    """
    if config_id is not None and not 0 <= config_id < 2**24:
        raise ValueError(f"a configId is from 0 to 16777215, not {config_id}")
    numbered = config_id is not None and uda != "1.0"
    parts = [
        DECLARATION,
        f'<root xmlns="{_NAMESPACE}"',
        f' configId="{config_id}">' if numbered else ">",
        spec_version(uda),
    ]
    _add_device(parts, place_device(device, udn), prefix)
    parts.append("</root>\n")
    return "".join(parts).encode()


def _add_device(parts: list[str], placed: PlacedDevice, prefix: str) -> None:
    device = placed.device
    parts.append("<device>")
    texts = {element: getattr(device, name) for element, name in _TEXTS.items()}
    for element, text in {**texts, "UDN": placed.udn, "UPC": device.upc}.items():
        if text:
            parts.append(text_element(element, text))
    if placed.services:
        parts.append("<serviceList>")
        for service in placed.services:
            event_path = service.event_path
            parts += (
                "<service>",
                text_element("serviceType", service.service.service_type),
                text_element("serviceId", service.service_id),
                text_element("SCPDURL", prefix + service.scpd_path),
                text_element("controlURL", prefix + service.control_path),
                text_element("eventSubURL", prefix + event_path if event_path else ""),
                "</service>",
            )
        parts.append("</serviceList>")
    if placed.devices:
        parts.append("<deviceList>")
        for embedded in placed.devices:
            _add_device(parts, embedded, prefix)
        parts.append("</deviceList>")
    if device.presentation_url:
        parts.append(text_element("presentationURL", device.presentation_url))
    parts.append("</device>")


# --- reading ---


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ServiceDescription(Record):
    """A service in a device description. ``service_type`` and ``service_id`` are as the device
    wrote them. ``scpd_url`` is the URL of the service description, ``control_url`` that of the
    actions, ``event_url`` that of SUBSCRIBE. The URLs are absolute. ``event_url`` is empty if the
    service has no eventing (SUB-03), the others if the device gives none. A URL that cannot be used
    is empty too; ``event_url_problem`` and ``control_url_problem`` are then a sentence with the
    reason. ``udn`` is the UDN of the device with this service."""

    service_type: str
    service_id: str
    scpd_url: str
    control_url: str
    event_url: str
    udn: str = ""
    event_url_problem: str = ""
    control_url_problem: str = ""

    @property
    def name(self) -> str:
        """The short name: the part between ``service:`` and the version in the type. If the type
        is no such URN, the last part of the serviceId."""
        parts = self.service_type.split(":")
        if len(parts) >= 5 and parts[-3] == "service":
            return parts[-2]
        return self.id_tail or self.service_type

    def check_type(self, service_type: str, wanted_by: str) -> None:
        """Raise LookupError unless this service has ``service_type``, the type of the class
        ``wanted_by``, in this version or a later one."""
        fitting, _ = ServiceNames((self,)).of_type(service_type)
        if not fitting:
            raise LookupError(
                f"the class {wanted_by} is for {service_type} or a later version, "
                f"and this service is {shown(self.service_type)}"
            )

    @property
    def id_tail(self) -> str:
        """The part behind the last colon of the serviceId."""
        return self.service_id.rpartition(":")[2]


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class DeviceDescription(DeviceTree[ServiceDescription], Record):
    """A device description. Texts that the device left out are empty. ``services`` and ``devices``
    are its own ones, without those of embedded devices. ``config_id`` is its configId, None
    without one.

    ``url`` is the URL of the description, ``host`` the endpoint that answered there; None for a
    document that was not fetched. ``url_base`` is the URLBase that relative URLs were resolved
    against, "" if that was ``url``. ``uda`` is the version in the specVersion. ``problems`` has a
    sentence for each kind of deviation that was mended and for each part that was dropped; the root
    has those of the whole tree. ``description["Thermometer"]`` is :meth:`service`; iterating yields
    :meth:`all_services`.
    """

    url: str
    udn: str
    friendly_name: str
    device_type: str
    services: tuple[ServiceDescription, ...] = ()
    devices: tuple[DeviceDescription, ...] = ()
    manufacturer: str = ""
    manufacturer_url: str = ""
    model_description: str = ""
    model_name: str = ""
    model_number: str = ""
    model_url: str = ""
    serial_number: str = ""
    presentation_url: str = ""
    uda: str = ""
    config_id: int | None = None
    problems: tuple[str, ...] = ()
    host: Endpoint | None = None
    url_base: str = ""

    def find_device(self, udn: str) -> DeviceDescription | None:
        """The device of the tree with this UDN, in upper or lower case. None without one."""
        key = udn_key(udn)
        return next((each for each in self.all_devices() if udn_key(each.udn) == key), None)

    def has_event_urls_of(self, other: DeviceDescription) -> bool:
        """Whether the services have the same event URLs in ``other``, which may have another URL
        itself. A subscription by one description is then valid by the other."""
        mine, others = (
            {(udn_key(s.udn), s.service_id, s.event_url) for s in each.all_services()}
            for each in (self, other)
        )
        return mine == others

    def services_named(self, name: str) -> tuple[ServiceDescription, ...]:
        """The services of the tree with this name, in the order of the document.

        A name is the full type; else the serviceId; else the short name in the type or the tail of
        the serviceId; else the event URL; each of the first three also behind the UDN of the device
        and a slash; else the full type in a later version, which does all that an earlier one does
        (UDA 2.0 §2.3). A service that stands in the document several times counts once.
        """
        return ServiceNames(self.all_services()).named(name)

    def service(self, name: str) -> ServiceDescription:
        """The one service of the tree with this name: see :meth:`services_named`.

        Raises ``KeyError`` if there is no such service, with the services that there are, and if
        there are several, with names that tell them apart.
        """
        names = ServiceNames(self.all_services())
        found = names.named(name)
        if len(found) == 1:
            return found[0]
        called = self.friendly_name or self.url
        if found:
            reason = (
                f"{called} has {len(found)} services with the name {name!r}; give one of these "
                f"names: {_listed(map(names.telling, found))}"
            )
        else:
            reason = f"{called} has no service {name!r}; there are: {_listed(names.short.values())}"
        raise KeyError(printable(reason))

    def service_of_type(self, service_type: str, wanted_by: str) -> ServiceDescription:
        """The one service of the tree with this type, in this version or a later one. ``wanted_by``
        is the name of the class that has the type.

        Raises LookupError if there is none, with the services that there are; if there is one in an
        earlier version only; and if there are several, with names that tell them apart.
        """
        names = ServiceNames(self.all_services())
        found, earlier = names.of_type(service_type)
        if len(found) == 1:
            return found[0]
        called = self.friendly_name or self.url
        if found:
            first = names.telling(found[0])
            reason = (
                f"{called} has {len(found)} services for the class {wanted_by}; take one of them "
                f"with device[{first!r}].typed({wanted_by}); they are: "
                f"{_listed(map(names.telling, found))}"
            )
        elif earlier:
            reason = (
                f"the class {wanted_by} is for {service_type} or a later version; {called} has "
                f"{_listed(dict.fromkeys(each.service_type for each in earlier))}, "
                f"which needs a class of that version"
            )
        else:
            reason = (
                f"{called} has no service {service_type} for the class {wanted_by}; there are: "
                f"{_listed(names.short.values())}"
            )
        raise LookupError(printable(reason))

    def __getitem__(self, name: str) -> ServiceDescription:
        return self.service(name)

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return name in tuple(self.all_services())
        return bool(self.services_named(name))

    def __iter__(self) -> Iterator[ServiceDescription]:
        return self.all_services()


class Base(enum.Enum):
    """How the URLBase of a description is used."""

    AS_WRITTEN = enum.auto()
    """Relative URLs are resolved against it (RFC 3986 §5)."""
    AS_FOLDER = enum.auto()
    """The same, with a slash behind its path. Some devices leave it out."""
    IGNORED = enum.auto()
    """Relative URLs are resolved against the URL of the description. Some devices keep the address
    that they had once."""


JudgeURL = Callable[[str], object]
"""Judges where a URL of a description leads. Raises ValueError with a sentence to refuse it."""


def parse_description(
    document: bytes,
    url: str,
    limits: Limits = DEFAULT_LIMITS,
    *,
    host: Endpoint | None = None,
    judge: JudgeURL | None = None,
    base: Base = Base.AS_WRITTEN,
) -> DeviceDescription:
    """Read the description that was fetched from ``url``, at the endpoint ``host``. Lenient:
    elements may be missing or in any namespace, and URLs may be absolute or relative to ``URLBase``
    or to ``url`` (SUB-05).

    ``judge`` judges each URL that requests are sent to: URLBase, eventSubURL, SCPDURL, controlURL.
    A refused URL is dropped. By default only a URLBase on loopback is refused, unless ``url`` is
    there too.

    ``base`` says how the URLBase is used. ``problems`` of the result is about the mended deviations
    and the dropped parts. Raises :exc:`.DescriptionError` if the document has no device.
    """
    root, mended = parse_root(document, limits, f"the description at {url}", "root")
    device = root.find("device")
    if device is None:
        raise DescriptionError(f"the description at {url} has no device element")
    reading = _Reading(url, limits, judge)
    reading.choose_base(child_text(root, "URLBase"), base)
    uda = ""
    if (version := root.find("specVersion")) is not None:
        uda = f"{child_text(version, 'major') or 1}.{child_text(version, 'minor') or 0}"
    config_id = root.attributes.get("configId", "").strip()
    return replace(
        reading.device(device),
        uda=uda,
        config_id=int(config_id) if re.fullmatch("[0-9]{1,9}", config_id) else None,
        problems=tuple(map(printable, (*mended, *reading.problems))),
        host=host,
        url_base=reading.base if reading.base != url else "",
    )


class _Reading:
    """One description being read."""

    def __init__(self, url: str, limits: Limits, judge: JudgeURL | None) -> None:
        self.url = url
        self.base = url
        self.judge = judge
        self._zone = zone_in(url)
        self._most = limits.url_bytes
        # Each URL repeats a long URLBase. Without a bound for all URLs together, they could take
        # some dozen times the memory of the document.
        self._spare = limits.body_bytes
        self.problems: list[str] = []

    def choose_base(self, url_base: str, use: Base) -> None:
        if not url_base:
            return
        try:
            if use is Base.IGNORED:
                raise ValueError("it leads nowhere")
            base = self._absolute(url_base, self.url)
            if use is Base.AS_FOLDER and (folder := _as_folder(base)) != base:
                self.problems.append(
                    f"the URLBase was read as {folder}: otherwise it leads nowhere"
                )
                base = folder
            if self.judge is not None:
                self.judge(base)
            elif _is_local(base) and not _is_local(self.url):
                # Seen in firmware that was built, or started, before it had an address.
                raise ValueError(f"{base} is not reachable from here")
        except ValueError as error:
            self.problems.append(f"the URLBase was ignored: {error}")
            return
        self.base = base

    def device(self, element: Element) -> DeviceDescription:
        udn = child_text(element, "UDN")
        services = tuple(
            service
            for listing in element.all("serviceList")
            for child in listing.all("service")
            if (service := self.service(child, udn)) is not None
        )
        devices = tuple(
            self.device(child)
            for listing in element.all("deviceList")
            for child in listing.all("device")
        )
        return DeviceDescription(
            url=self.url,
            udn=udn,
            services=services,
            devices=devices,
            presentation_url=self.absolute(element, "presentationURL", udn, judge=None),
            config_id=None,
            problems=(),
            host=None,
            **{name: child_text(element, tag) for tag, name in _TEXTS.items()},
        )

    def service(self, element: Element, udn: str) -> ServiceDescription | None:
        service_type = child_text(element, "serviceType")
        service_id = child_text(element, "serviceId")
        called = service_type or service_id
        if not called:
            self.problems.append("a service without a serviceType and a serviceId was dropped")
            return None
        event_url, event_problem = self.explained(element, "eventSubURL", called)
        scpd_url = self.absolute(element, "SCPDURL", called, self.judge)
        control_url, control_problem = self.explained(element, "controlURL", called)
        return ServiceDescription(
            service_type=service_type,
            service_id=service_id,
            scpd_url=scpd_url,
            control_url=control_url,
            event_url=event_url,
            udn=udn,
            event_url_problem=event_problem,
            control_url_problem=control_problem,
        )

    def explained(self, element: Element, child: str, called: str) -> tuple[str, str]:
        """An absolute URL, and the sentence with the reason if it cannot be used."""
        known = len(self.problems)
        url = self.absolute(element, child, called, self.judge)
        return url, printable("".join(self.problems[known:]))

    def absolute(self, element: Element, child: str, called: str, judge: JudgeURL | None) -> str:
        text = child_text(element, child)
        if not text:
            return ""
        try:
            if self._spare <= 0:
                raise ValueError("all URLs of the description together are too long")
            url = self._absolute(text, self.base)
            if judge is not None:
                judge(url)
        except ValueError as error:
            self.problems.append(f"the {child} of {shown(called)} was dropped: {error}")
            return ""
        self._spare -= len(url)
        return url

    def _absolute(self, text: str, base: str) -> str:
        # A link-local host is on the link of the description. A zone in the text is that of
        # another machine.
        return with_zone(_absolute(text, base, self._most), self._zone)


def _absolute(text: str, base: str, most: int) -> str:
    """``text`` as an absolute URL of safe characters, at most ``most`` of them. Raises
    ``ValueError`` with the reason."""
    if len(text) > most:
        raise ValueError(f"it is longer than {most} characters")
    if _NULL_URL.search(text) is not None:
        raise ValueError(f"{shown(text)} means that there is none")
    try:
        parts = urlsplit(urljoin(base, text))
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{shown(text)} is no URL ({error})") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{shown(text)} is no http URL")
    if not parts.hostname or port == 0 or not re.fullmatch(r"[!-?A-~]+", parts.netloc):
        raise ValueError(f"{shown(text)} has no usable host and port")
    # What stands in the path goes into a request line: no white space, nothing beyond ASCII.
    path = quote(parts.path or "/", safe="!$%&'()*+,-./:;=@_~")
    query = quote(parts.query, safe="!$%&'()*+,-./:;=?@_~")
    url = urlunsplit((parts.scheme, parts.netloc, path, query, ""))
    if len(url) > most:
        raise ValueError(f"it is longer than {most} characters")
    return url


_MOST_NAMES = 64
"""Names of services in the text of an error."""


def _listed(names: Iterable[str]) -> str:
    """``names`` for the text of an error."""
    first = list(islice(names, _MOST_NAMES + 1))
    more = ", …" if len(first) > _MOST_NAMES else ""
    return (", ".join(first[:_MOST_NAMES]) or "none") + more


# The text that a program prints for a missing string, as the whole URL or as its end. A Hue bridge
# has the event URL "(null)".
_NULL_URL = re.compile(
    r"^(null|nil|none|undefined)$|(^|/)(\(|%28)(null|nil|none)(\)|%29)/?$", re.IGNORECASE
)


def _as_folder(url: str) -> str:
    parts = urlsplit(url)
    path = parts.path if parts.path.endswith("/") else f"{parts.path}/"
    return urlunsplit(parts._replace(path=path, query=""))


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return address.is_loopback or address.is_unspecified
