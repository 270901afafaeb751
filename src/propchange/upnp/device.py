"""A device: its services, its embedded devices, and the UDN, serviceId and path of each."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Self, TypeVar

from propchange.core.multicast.message import ServiceIdentity
from propchange.core.record import Record
from propchange.upnp.markup import check_text
from propchange.upnp.service import Service

_TYPE = re.compile(r"urn:[^:\s]+:device:[^:\s]+:[0-9]+")

S = TypeVar("S")


class DeviceTree(Generic[S]):
    """A device with ``services`` and embedded ``devices`` of the same kind."""

    __slots__ = ()

    services: tuple[S, ...]
    devices: tuple[Any, ...]

    def all_devices(self) -> Iterator[Self]:
        """This device and all embedded devices, in the order of the description."""
        yield self
        for device in self.devices:
            yield from device.all_devices()

    def all_services(self) -> Iterator[S]:
        """The services of :meth:`all_devices`, in the order of the description."""
        for device in self.all_devices():
            yield from device.services


class Device(DeviceTree[Service]):
    """A device to be hosted: a root device, or a device that is embedded in another.

    ``udn`` is the unique device name, with or without ``uuid:`` in front. It should be the same at
    each start of the device (UDA 2.0 §1.1.4). By default the host makes one, and the UDNs of
    embedded devices are derived from it. The other texts are those of the description (UDA 2.0
    §2.3); the description leaves out empty ones. Host it with :func:`propchange.host`.

    Raises ``TypeError`` or ``ValueError`` for texts that cannot be sent. Raises ``ValueError`` for
    a service or device that is in the tree twice, and for two services with the same serviceId.
    """

    def __init__(
        self,
        friendly_name: str,
        *,
        services: Iterable[Service] = (),
        devices: Iterable[Device] = (),
        type: str = "urn:schemas-upnp-org:device:Basic:1",
        udn: str | None = None,
        manufacturer: str = "propchange",
        manufacturer_url: str = "",
        model_description: str = "",
        model_name: str = "propchange",
        model_number: str = "",
        model_url: str = "",
        serial_number: str = "",
        upc: str = "",
        presentation_url: str = "",
    ) -> None:
        if not _TYPE.fullmatch(type):
            raise ValueError(
                f"{type!r} is not the type of a device: "
                "it looks like urn:schemas-upnp-org:device:Basic:1"
            )
        self.device_type = type
        self.udn = None if udn is None else normal_udn(udn)
        self.friendly_name = check_text(friendly_name, "friendly_name")
        self.manufacturer = check_text(manufacturer, "manufacturer")
        self.manufacturer_url = check_text(manufacturer_url, "manufacturer_url")
        self.model_description = check_text(model_description, "model_description")
        self.model_name = check_text(model_name, "model_name")
        self.model_number = check_text(model_number, "model_number")
        self.model_url = check_text(model_url, "model_url")
        self.serial_number = check_text(serial_number, "serial_number")
        self.upc = check_text(upc, "upc")
        self.presentation_url = check_text(presentation_url, "presentation_url")
        for name in ("friendly_name", "manufacturer", "model_name"):
            if not getattr(self, name).strip():
                raise ValueError(f"a device needs a {name}")
        self.services = _parts("services", services, Service)
        self.devices = _parts("devices", devices, Device)
        _check_tree(self)

    def __repr__(self) -> str:
        return f"<Device {self.friendly_name!r} {self.device_type}>"


def check_device(device: object) -> None:
    """Raises TypeError if ``device`` is no Device, with the correct call in the text."""
    if isinstance(device, Device):
        return
    kind = device if isinstance(device, type) else type(device)
    if issubclass(kind, Service):
        raise TypeError(
            f"a service is hosted in a device: give Device('a name for people', services=[…]) "
            f"with the {kind.__name__} in it, not the {kind.__name__} alone"
        )
    raise TypeError(_is_not(device, Device))


def check_actions(device: Device) -> None:
    """Raises ValueError if services of ``device`` or its embedded devices lack actions that their
    standards require. It names all of them."""
    problems = []
    for service in device.all_services():
        try:
            service._check_actions()
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))


_Part = TypeVar("_Part", Service, "Device")


def _parts(name: str, parts: Iterable[_Part], kind: type[_Part]) -> tuple[_Part, ...]:
    """The services or devices of a device. Raises TypeError for anything but a list of them."""
    if isinstance(parts, Service | Device | type | str):
        raise TypeError(f"{name} is a list, such as {name}=[…], not {parts!r} alone")
    for part in (parts := tuple(parts)):
        if not isinstance(part, kind):
            raise TypeError(_is_not(part, kind))
    return parts


def _is_not(given: object, kind: type) -> str:
    if isinstance(given, type) and issubclass(given, kind):
        return f"{given.__name__} is a class: give an instance of it, such as {given.__name__}(…)"
    return f"{given!r} is not a {kind.__name__}"


_DESCRIPTION_PATH = "description.xml"
"""Where the host puts the description; a path that no service may have."""


class PlacedService(NamedTuple):
    """A service with its identity in its root device. Its three paths are relative to a path that
    the host chooses. The service gives them, or they are made of ``segment``."""

    service: Service
    service_id: str
    segment: str
    udn: str

    @property
    def scpd_path(self) -> str:
        """The path of the service description."""
        return self.service._paths.get("scpd") or f"{self.segment}/scpd.xml"

    @property
    def control_path(self) -> str:
        """The path that actions are POSTed to."""
        return self.service._paths.get("control") or f"{self.segment}/control"

    @property
    def subscription_path(self) -> str:
        """The path for SUBSCRIBE that the service would have with evented variables."""
        return self.service._paths.get("event") or f"{self.segment}/event"

    @property
    def event_path(self) -> str:
        """The path for SUBSCRIBE; empty for a service without evented variables (SUB-02)."""
        return self.subscription_path if self.service.evented else ""

    @property
    def paths(self) -> tuple[str, str, str]:
        """The three paths."""
        return self.scpd_path, self.control_path, self.subscription_path

    @property
    def identity(self) -> ServiceIdentity | None:
        """What its multicast events name it by; None for a service without multicast variables."""
        if not any(each.multicast for each in self.service.variables.values()):
            return None
        return ServiceIdentity(self.udn, self.service.service_type, self.service_id)


@dataclass(slots=True, eq=False, repr=False)
class PlacedDevice(DeviceTree[PlacedService], Record):
    """A device with its UDN, its placed services and its placed embedded devices."""

    device: Device
    udn: str
    services: tuple[PlacedService, ...]
    devices: tuple[PlacedDevice, ...]

    def all_paths(self) -> Iterator[str]:
        """The paths of the description and of all services, each with a slash in front."""
        yield f"/{_DESCRIPTION_PATH}"
        for service in self.all_services():
            yield from (f"/{path}" for path in service.paths)


def normal_udn(udn: str) -> str:
    """``udn`` with ``uuid:`` in front. Raises ``ValueError`` for a text that a USN cannot carry."""
    bare = udn[5:] if udn[:5].lower() == "uuid:" else udn
    if not re.fullmatch(r"[!-~]+", bare):
        raise ValueError(f"{udn!r} is not a UDN: it looks like uuid:<a UUID>")
    return f"uuid:{bare}"


def place_device(device: Device, udn: str) -> PlacedDevice:
    """Give every device under the root ``device`` its UDN, and every service its serviceId and
    path. The result depends on the tree and on ``udn`` only.

    ``udn`` is the UDN of the root; ``device.udn`` is ignored. No two services have the same
    serviceId or path (SUB-04): a given serviceId stays, default ones are numbered from the second
    on, and so are default paths. An embedded device without a UDN gets one that is derived from
    ``udn`` and its position. Raises ``ValueError`` if an embedded device has the UDN of the root,
    and for a given path that is given twice or is that of the description.
    """
    root_udn = normal_udn(udn)
    if any(embedded.udn == root_udn for embedded in device.all_devices() if embedded is not device):
        raise ValueError(f"an embedded device of {device!r} has the UDN of the root, {root_udn}")
    ids = _number_ids(device)
    taken = _given_paths(device)
    segments: set[str] = set()

    def place(device: Device, udn: str, position: str) -> PlacedDevice:
        services = []
        for service in device.services:
            service_id = ids[id(service)]
            placed = PlacedService(service, service_id, "", udn)
            while True:
                placed = placed._replace(segment=_free(_segment(service_id), segments))
                kinds = zip(("scpd", "control", "event"), placed.paths, strict=True)
                if not any(path in taken for kind, path in kinds if kind not in service._paths):
                    break
            services.append(placed)
        devices = []
        for number, embedded in enumerate(device.devices, 1):
            place_of_it = f"{position}/{number}"
            derived = uuid.uuid5(uuid.NAMESPACE_URL, f"{root_udn}{place_of_it}")
            devices.append(place(embedded, embedded.udn or f"uuid:{derived}", place_of_it))
        return PlacedDevice(device, udn, tuple(services), tuple(devices))

    return place(device, root_udn, "")


def _given_paths(root: Device) -> set[str]:
    """The paths that the services of ``root`` give. Raises ValueError for a path that is given
    twice, or that is the path of the description."""
    owners = {_DESCRIPTION_PATH: "the description of the device"}
    for service in root.all_services():
        for kind, path in service._paths.items():
            if path in owners:
                raise ValueError(
                    f"{kind}_path={path!r} of {service!r} is the path of {owners[path]} already: "
                    "each URL of a device has its own path"
                )
            owners[path] = repr(service)
    return set(owners)


def _check_tree(root: Device) -> None:
    seen: set[int] = set()
    for device in root.all_devices():
        for part in (device, *device.services):
            if id(part) in seen:
                raise ValueError(f"{part!r} is in the device {root.friendly_name!r} twice")
            seen.add(id(part))
    own_ids = [service.service_id for service in root.all_services() if service._has_own_id]
    udns = [device.udn for device in root.all_devices() if device.udn is not None]
    for called, names in (("services have the serviceId", own_ids), ("devices have the UDN", udns)):
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two {called} {name}")


def _number_ids(root: Device) -> dict[int, str]:
    services = list(root.all_services())
    ids = {id(s): s.service_id for s in services if s._has_own_id}
    taken = set(ids.values())
    # First each service that can have the plain id, so that a number never takes another's name.
    for service in services:
        if id(service) not in ids and service.service_id not in taken:
            ids[id(service)] = _free(service.service_id, taken)
    for service in services:
        if id(service) not in ids:
            ids[id(service)] = _free(service.service_id, taken)
    return ids


def _free(name: str, taken: set[str]) -> str:
    """``name``, with a number if it is in ``taken``. The result is added to ``taken``."""
    number = 1
    candidate = name
    while candidate in taken:
        number += 1
        candidate = f"{name}{number}"
    taken.add(candidate)
    return candidate


def _segment(service_id: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._~-]", "-", service_id.rpartition(":")[2])
    # A segment of dots alone would be taken for a step in the path.
    return plain if plain.strip(".") else "service"
