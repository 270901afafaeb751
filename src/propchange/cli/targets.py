"""The targets of ``watch`` and ``call``: URLs, UDNs and addresses, and how to find them."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from urllib.parse import urlsplit

from propchange import (
    ConnectionFailed,
    ControlPoint,
    DescriptionError,
    Limits,
    PropchangeError,
    RemoteDevice,
    RemoteProtocolError,
    RemoteService,
    Sighting,
    SightingKind,
    Subscription,
    SubscriptionRefused,
    TimedOut,
)
from propchange.cli.event_printer import EventPrinter, Wanted
from propchange.cli.exit_status import CommandFailed
from propchange.cli.lines import Source
from propchange.cli.multicast_printing import print_multicast
from propchange.cli.names import Names
from propchange.cli.options import NO_NETWORK
from propchange.core.record import Record
from propchange.core.wire.messages import Endpoint
from propchange.core.wire.urls import scoped
from propchange.driver.remote import NoDocument
from propchange.driver.requests import locate

_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+(%[^][%/?#]+)?\]|[A-Za-z0-9._-]+):[0-9]{1,5}")

_MORE_SECONDS = 1.0
"""Seconds after the first root device of an address in which others may announce themselves."""

_SILENT_SECONDS = 3.0
"""Seconds of a search after which it is printed. A device on the network has answered by then."""

_WATCH_SILENT_SECONDS = 0.5
"""The same for ``watch``, which goes on without an end."""

_FIRST_WAIT, _LONGEST_WAIT = 1.0, 30.0
"""Seconds between attempts to find a target, with ``--wait``. The first wait is doubled up to the
longest."""


@dataclass(slots=True, eq=False, repr=False)
class Target(Record):
    """The URL of a description, a UDN, or host:port; for ``watch`` also an event URL."""

    text: str

    @property
    def is_udn(self) -> bool:
        """Whether the target is the UDN of a device."""
        return self.text[:5].lower() == "uuid:"

    @property
    def is_authority(self) -> bool:
        """Whether the target is host:port."""
        return not self.is_udn and _AUTHORITY.fullmatch(self.text) is not None

    @property
    def is_searched(self) -> bool:
        """Whether the target needs discovery."""
        return self.is_udn or self.is_authority

    @property
    def source(self) -> Source:
        """The name of the target in the output before its description is read: for a URL, the two
        halves of it."""
        if self.is_searched:
            return Source(self.text, "", self.text if self.is_udn else "")
        try:
            parts = urlsplit(self.text)
        except ValueError:  # the search for it says what is wrong
            return Source(self.text, "/")
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        return Source(parts.netloc, path or "/")

    def check(self) -> None:
        """Raise ValueError if the text is no target."""
        if self.is_udn:
            if not self.text[5:].strip():
                raise ValueError(f"{self.text!r} is no UDN: it looks like uuid:<a UUID>")
        elif "://" in self.text:
            locate(self.text)
        elif not self.is_authority:
            raise ValueError(
                f"{self.text!r} is no target: give the http URL of a description, a UDN (uuid:…) "
                "or host:port"
            )
        else:
            locate(f"http://{self.text}/")


@dataclass(slots=True, eq=False, repr=False)
class _Waiting(Record):
    """The wait before the next attempt to find a target, and the reason that was printed last."""

    seconds: float
    said: str = ""


class Finding:
    """Finds targets. ``services`` are the names of the wanted services; if empty, all that send
    events. ``wait``: keep trying, and print the reason; None: only for a UDN.

    A URL that has no description is an event URL if a SUBSCRIBE to it is granted. A device that is
    starting may answer anything at the URL of its description. So with ``wait``, a URL that is
    neither is read again. ``minimum_interval`` is that of the subscriptions; ``multicast``: print
    the multicast events of the devices too."""

    def __init__(
        self,
        control_point: ControlPoint,
        services: Sequence[str],
        *,
        wait: bool | None,
        printer: EventPrinter | None = None,
        minimum_interval: float | None = None,
        multicast: bool = False,
    ) -> None:
        self._control_point = control_point
        self._services = services
        self._wait = wait
        self._printer = printer
        self._minimum_interval = minimum_interval
        self._multicast = multicast
        self._names = Names()
        self._waiting: dict[Source, _Waiting] = {}
        # The targets that are tried as event URLs, and the errors of reading them as descriptions.
        self._no_descriptions: dict[Source, tuple[Target, Exception]] = {}

    async def find(self, target: Target) -> Wanted:
        """Subscriptions for ``target``.

        Raises CommandFailed or a PropchangeError with a sentence for the user, unless it waits."""
        waits = self._waits(target)
        while True:
            try:
                return await self._described(target, persistent=waits)
            except ValueError as error:
                raise CommandFailed(str(error), status=2) from error
            except PropchangeError as error:
                # A target that waits for a service waits for its description.
                if _may_be_event_url(target, error) and not (waits and self._services):
                    self._check_no_services(target, error)
                    self._no_descriptions[target.source] = (target, error)
                    is_read = isinstance(error, DescriptionError)
                    if is_read and not isinstance(error, NoDocument) and self._printer is not None:
                        said = f"{error}; so it is taken as an event URL"
                        self._printer.problem(target.source, said)
                    subscription = self._control_point.subscribe_url(
                        target.text, wait=True, minimum_interval=self._minimum_interval
                    )
                    return [(target.source, subscription)]
                if not waits:
                    raise
                await self._pause(target, str(error))

    async def find_again(self, source: Source, error: Exception) -> Wanted:
        """Subscriptions instead of that for ``source``, which has failed with ``error``. Raises the
        error to print, unless ``source`` is a URL without a description and waits."""
        if source not in self._no_descriptions:
            raise error
        target, no_description = self._no_descriptions.pop(source)
        tried = str(error)
        if isinstance(error, SubscriptionRefused):
            tried = f"SUBSCRIBE was answered with {error.status}"
        neither = (
            f"{target.text} is neither the URL of a device description ({no_description}) nor an "
            f"event URL ({tried}); propchange discover prints the URLs of descriptions"
        )
        if not self._waits(target):
            raise CommandFailed(neither) from error
        await self._pause(target, neither)
        return await self.find(target)

    def _waits(self, target: Target) -> bool:
        return target.is_udn if self._wait is None else self._wait

    async def _pause(self, target: Target, reason: str) -> None:
        """Print why ``target`` is not found, unless that was printed last, and wait."""
        waiting = self._waiting.setdefault(target.source, _Waiting(_FIRST_WAIT))
        if self._printer is not None and reason != waiting.said:
            waiting.said = reason
            self._printer.status(target.source, "waiting", f"{reason}; it is tried again")
        await asyncio.sleep(waiting.seconds)
        waiting.seconds = min(2 * waiting.seconds, _LONGEST_WAIT)

    @property
    def limits(self) -> Limits:
        """The limits of the control point."""
        return self._control_point.limits

    async def find_persistent(self, target: Target) -> Wanted:
        """Subscriptions for ``target`` that keep trying. A URL that cannot be read as a description
        is taken as an event URL, and its diagnosis gives the reason. Raises as :meth:`find`."""
        try:
            return await self._described(target, persistent=True)
        except ValueError as error:
            raise CommandFailed(str(error), status=2) from error
        except PropchangeError as error:
            if target.is_searched:
                raise
            if _may_be_event_url(target, error):
                self._check_no_services(target, error)
            subscription = self._control_point.subscribe_url(target.text, wait=False)
            return [(target.source, subscription)]

    def _check_no_services(self, target: Target, error: PropchangeError) -> None:
        if self._services:
            raise CommandFailed(
                f"--service needs the URL of a device description, and {target.text} is not "
                f"the URL of a device description: {error}"
            ) from error

    async def _described(self, target: Target, *, persistent: bool) -> Wanted:
        """Subscriptions for the descriptions of ``target``."""
        say = None
        # Later searches print why the one before has failed.
        if self._printer is not None and target.source not in self._waiting:
            say = partial(self._printer.status, target.source, "waiting")
        devices = await find_devices(self._control_point, target, say, silent=_WATCH_SILENT_SECONDS)
        wanted: Wanted = []
        for device in devices:
            sources = self._names.of(device)
            wanted += [
                (sources[service], self._subscription(service, wait=not persistent))
                for service in chosen(device, self._services)
            ]
            if self._printer is not None:
                named = self._names.of_device(device)
                for problem in device.description.problems:
                    self._printer.problem(named, problem)
                if self._multicast:
                    events = device.multicast_events()
                    self._printer.start(print_multicast(self._printer, events, named))
        return wanted

    def _subscription(self, service: RemoteService, *, wait: bool) -> Subscription:
        return service.subscribe(wait=wait, minimum_interval=self._minimum_interval)


async def find_devices(
    control_point: ControlPoint,
    target: Target,
    say: Callable[[str], None] | None = None,
    *,
    silent: float = _SILENT_SECONDS,
) -> list[RemoteDevice]:
    """The root devices of ``target``: one, or for host:port all at this address. ``say`` is called
    with a sentence if nothing was found in ``silent`` seconds.

    Raises ValueError for a text that is no target, and as ``ControlPoint.device``."""
    if not target.is_searched or say is None:
        return await _devices(control_point, target)
    saying = asyncio.create_task(_say_searching(control_point, say, silent))
    try:
        return await _devices(control_point, target, saying.cancel)
    finally:
        saying.cancel()


async def _say_searching(
    control_point: ControlPoint, say: Callable[[str], None], silent: float
) -> None:
    links = ", ".join(control_point.discovery_links)
    if not links:
        say(NO_NETWORK)
        return
    await asyncio.sleep(silent)
    say(f"searching for it from {links}; it has not answered yet")


async def _devices(
    control_point: ControlPoint, target: Target, found_one: Callable[[], object] = lambda: None
) -> list[RemoteDevice]:
    target.check()
    if target.is_udn:
        return [await control_point.device(udn=target.text)]
    if not target.is_authority:
        return [await control_point.device(target.text)]
    wanted = locate(f"http://{target.text}/")
    found: dict[str, Sighting] = {}
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(control_point.limits.find_seconds) as limit:
            async for sighting in control_point.devices():
                at = any(_is_at(wanted, each) for each in sighting.locations)
                if sighting.kind is not SightingKind.GONE and at:
                    if not found:
                        found_one()
                        limit.reschedule(asyncio.get_running_loop().time() + _MORE_SECONDS)
                    found[sighting.udn] = sighting
    if not found:
        raise TimedOut(
            f"no device announces a description at {target.text}; give the URL of its "
            "description, which propchange discover prints"
        )
    return [await sighting.device() for sighting in found.values()]


def _is_at(wanted: Endpoint, location: str) -> bool:
    """Whether ``location`` is at ``wanted``, which may be link-local and without a zone: then on
    any link."""
    try:
        announced = locate(location)
    except ValueError:  # its interface has gone
        return False
    return scoped(wanted, announced.scope) == announced


def _may_be_event_url(target: Target, error: PropchangeError) -> bool:
    """Whether ``target`` may be an event URL: ``error`` is about an answer of its host."""
    read = isinstance(error, DescriptionError | RemoteProtocolError | ConnectionFailed)
    return read and not target.is_searched and not isinstance(error.__cause__, OSError)


def chosen(device: RemoteDevice, names: Sequence[str]) -> list[RemoteService]:
    """The services of ``device`` with these names; without names, all that send events. A name that
    several services have means all of them that send events. Raises CommandFailed for a service
    that ``device`` has not, or that sends no events."""
    evented = [service for service in device.services if service.event_url]
    if not names and not evented:
        there = ", ".join(service.unique_name for service in device.services) or "none"
        said = [f"no service of {device.friendly_name} sends events", f"there are: {there}"]
        problems = [service.description.event_url_problem for service in device.services]
        raise CommandFailed("; ".join([*said, *filter(None, problems)]))
    wanted: dict[RemoteService, None] = dict.fromkeys(() if names else evented)
    try:
        for name in names:
            found = device.services_named(name) or (device[name],)
            wanted |= dict.fromkeys([each for each in found if each in evented] or found)
    except LookupError as error:
        raise CommandFailed(str(error.args[0])) from error
    for service in wanted:
        if service not in evented:
            others = ", ".join(other.unique_name for other in evented) or "none"
            problem = service.description.event_url_problem
            why = f"cannot be subscribed to: {problem}" if problem else "sends no events"
            raise CommandFailed(
                f"{service.unique_name} of {device.friendly_name} {why}; services that do: {others}"
            )
    return list(wanted)
