"""Remote devices and their services, read from their descriptions."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from propchange.core.local_addresses import address_of
from propchange.core.subscriber.events import Convert
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.record import STANDARD_MERGES
from propchange.core.subscriber.requests import friendly_name
from propchange.core.values.merging import Merge
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.messages import Endpoint
from propchange.core.wire.urls import scoped
from propchange.driver.action_calls import (
    REQUEST_ERRORS,
    Callee,
    CallForm,
    call_seconds,
    with_prefix,
)
from propchange.driver.device_access import ControlAccess
from propchange.driver.requests import (
    DOCUMENT_REDIRECTS,
    ELSEWHERE,
    Answer,
    Requests,
    locate,
    on_link_of,
)
from propchange.driver.runtime import Future, settle
from propchange.errors import DescriptionError, PropchangeError, RemoteProtocolError, TimedOut
from propchange.printable import listed, printable
from propchange.upnp.action_methods import ActionMethod
from propchange.upnp.actions import Action
from propchange.upnp.class_fit import ClassFit, class_outputs, device_inputs
from propchange.upnp.description import (
    Base,
    DeviceDescription,
    ServiceDescription,
    parse_description,
)
from propchange.upnp.redescription import ServiceKey, keyed_services
from propchange.upnp.remote_state import S_co, action_of, actions_of, remote_instance, type_of_class
from propchange.upnp.scpd import ServiceContents, parse_scpd
from propchange.upnp.service import Service
from propchange.upnp.service_names import ServiceNames


class NoDocument(DescriptionError):
    """The answer to a GET has no document: its status is not 200, or the answer is not HTTP."""


class Documents:
    """Reads descriptions of devices and of services, with the headers that ``policy`` asks for.

    ``source`` is the endpoint to connect from, None for any address.
    """

    def __init__(self, requests: Requests, policy: SubscriberPolicy) -> None:
        self._requests = requests
        self._headers = friendly_name(policy)
        self.limits = requests.limits
        self.source: Endpoint | None = None

    async def read(
        self,
        url: str,
        redirects: Collection[int] = DOCUMENT_REDIRECTS,
        giver: Endpoint | None = None,
        seconds: float | None = None,
    ) -> Answer:
        """The answer with the document at ``url``, and its URL after redirects. ``giver`` is the
        host that gave the URL, in a description; None: the program. It takes ``seconds`` at most,
        ``Limits.request_seconds`` if None.

        Raises DescriptionError if the answer is not HTTP or has another status than 200, and if
        the URL may not be asked (:func:`.judge_url_host`); ConnectionFailed, TimedOut, and
        ValueError for a URL that is not http://."""
        try:
            answer = await self._requests.fetch(
                url,
                headers=self._headers,
                source=self.source,
                redirects=redirects,
                seconds=seconds,
                giver=giver,
            )
        except RemoteProtocolError as error:
            raise NoDocument(f"{url} was not answered in HTTP: {error}") from error
        if answer.response.status != 200:
            refused = f"; {answer.refused}" if answer.refused else ""
            raise NoDocument(f"{url} was answered with {answer.response.status}{refused}")
        return answer

    async def document(self, url: str) -> tuple[bytes, str]:
        """The document at a URL of the program, and its URL after redirects. Raises as
        :meth:`read`."""
        answer = await self.read(url)
        return answer.response.body, answer.url

    async def description(
        self,
        url: str,
        redirects: Collection[int] = DOCUMENT_REDIRECTS,
        giver: Endpoint | None = None,
    ) -> DeviceDescription:
        """The description at ``url``, which the host ``giver`` gave; None: the program. If the URLs
        do not work with the URLBase as it is written, it is read as a folder, or ignored, if they
        work then. Raises as :meth:`read`, and DescriptionError for another document."""
        answer = await self.read(url, redirects, giver)

        def judge(url: str) -> None:
            try:
                endpoint = scoped(locate(url), answer.peer.scope)
            except ValueError:
                return  # Nothing is sent to such a URL: it is https, or has an unknown zone.
            # A name is judged after it was looked up, before each request.
            if address_of(endpoint.host) is not None:
                self._requests.judge(endpoint, answer.peer)

        body, limits = answer.response.body, self.limits
        # So the URL is the same, however the program has written the zone.
        url = on_link_of(answer.url, answer.peer.scope)
        parse = partial(parse_description, body, url, limits, host=answer.peer, judge=judge)
        written = parse()
        if not written.url_base:
            return written
        others = (Base.AS_FOLDER,) if not written.url_base.endswith("/") else ()
        return await self._working([written, *(parse(base=b) for b in (*others, Base.IGNORED))])

    async def _working(self, readings: Sequence[DeviceDescription]) -> DeviceDescription:
        """The first of ``readings`` of one description whose URLs work; the first one if none does.
        The URL that is tried is that of a service description, of the first service that has one in
        each reading."""
        first = readings[0]
        for services in zip(*(each.all_services() for each in readings), strict=True):
            urls = [each.scpd_url for each in services]
            if all(urls) and len(set(urls)) > 1:
                tried: set[str] = set()
                for reading, url in zip(readings, urls, strict=True):
                    if url not in tried and await self._is_there(url, first.host):
                        return reading
                    tried.add(url)
                return first
        return first

    async def _is_there(self, url: str, giver: Endpoint | None) -> bool:
        try:
            await self.read(url, giver=giver)
        except (PropchangeError, ValueError):
            return False
        return True

    async def relayed_description(self, url: str) -> DeviceDescription:
        """The description at a URL from an announcement of any network. A literal address was
        judged before. A name is judged by its present address."""
        named = address_of(locate(url).host) is None
        return await self.description(url, giver=ELSEWHERE if named else None)

    async def announced_description(self, url: str) -> DeviceDescription:
        """The description at a URL that an announcement gave. Redirects are not followed: the URL
        was judged, and the target of a redirect was not."""
        return await self.description(url, ())


class DescribedService(Generic[S_co]):
    """A service of a :class:`DescribedDevice`. ``driver`` is that of the control point.

    ``service_class`` is the class by which the program uses the service; :class:`.Service` if there
    is none. ``plain`` is the same service without a class, which keeps the service description.
    """

    def __init__(
        self,
        driver: Any,
        device: DescribedDevice[Any],
        description: ServiceDescription,
        service_class: type[Service] = Service,
        plain: DescribedService[Service] | None = None,
    ) -> None:
        self._driver = driver
        self._class = service_class
        self._plain: DescribedService[Any] = self if plain is None else plain
        self._description = description
        self._contents: ServiceContents | None = None
        self._fit = ClassFit(service_class)
        self._readers: list[Future[ServiceContents | Exception | None]] | None = None
        self._with_classes: dict[type[Service], Any] = {}
        self._control: Any = None
        self.device = device
        """The device of this service."""

    @property
    def description(self) -> ServiceDescription:
        """Its part of the description of the device."""
        return self._plain._description

    @property
    def problems(self) -> tuple[str, ...]:
        """Sentences about what was mended or left out in the service description, and where it
        differs from the class, once it was read. ``description.problems`` of the device is about
        the device description."""
        contents = self._plain._contents
        if contents is None:
            return self._fit.problems
        self._compare(contents)
        return (*contents.problems, *self._fit.problems)

    @property
    def control(self) -> S_co:
        """An object of the class whose ``@action`` methods call the device. It has no values:
        those are in the ``state`` of a subscription. ``await
        device[SwitchPower].control.set_target(True)``."""
        if self._control is None:
            self._control = remote_instance(self._class, ControlAccess(self, self._class))
        control: S_co = self._control
        return control

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            # ``device[SwitchPower].set_target(True)``, for a program without a type checker. The
            # type of a service cannot have the methods of any class. ``control`` has them.
            if name[:1] != "_" and name in actions_of(self._class):
                return getattr(self.control, name)
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self
            )

    @property
    def _variables(self) -> Mapping[str, StateVariable[Any]]:
        """The variables of the service description; empty if it was not read."""
        contents = self._plain._contents
        return {} if contents is None else contents.variables

    def _typed(self, service_class: type[Service]) -> Any:
        """This service, read by ``service_class``, which is for services of its type."""
        self.description.check_type(type_of_class(service_class), service_class.__name__)
        return self._with_class(service_class)

    def _with_class(self, service_class: type[Service]) -> Any:
        """This service, read by ``service_class``: one object for each class."""
        plain = self._plain
        service = plain._with_classes.get(service_class)
        if service is None:
            make = type(self)
            service = make(self._driver, self.device, self.description, service_class, plain)
            plain._with_classes[service_class] = service
        return service

    def _described_by(self, description: ServiceDescription) -> DescribedService[S_co]:
        """The same service in a description that was read again. Its own description is not read
        yet."""
        anew = DescribedService[S_co](self._driver, self.device, description, self._class)
        anew._fit = self._fit
        return anew

    def _take_contents(self, anew: DescribedService[Any]) -> None:
        """Take the service description that ``anew``, the same service, has read."""
        self._plain._contents = anew._contents or self._plain._contents

    @property
    def service_type(self) -> str:
        """``urn:<domain>:service:<name>:<version>``."""
        return self.description.service_type

    @property
    def service_id(self) -> str:
        """The serviceId."""
        return self.description.service_id

    @property
    def name(self) -> str:
        """The short name, such as ``AVTransport``."""
        return self.description.name

    @property
    def unique_name(self) -> str:
        """The shortest name that no other service of the root device has, for ``device[…]``: the
        short name; else the serviceId; else one of these behind the UDN of its device."""
        return self.device._names.short.get(self.description, self.name)

    @property
    def full_name(self) -> str:
        """The UDN of its device and the serviceId, ``uuid:…/urn:…``, which no other service of the
        network has. If another one has them nevertheless, the event URL."""
        return self.device._names.telling(self.description)

    @property
    def event_url(self) -> str:
        """The event URL; empty if the service has no eventing (SUB-03)."""
        return self.description.event_url

    @property
    def control_url(self) -> str:
        """The URL that calls of actions are sent to; empty if the service has none."""
        return self.description.control_url

    @property
    def _owes_event(self) -> bool:
        """False if the service description was read and declares no evented variable. The device
        then owes no initial event."""
        contents = self._plain._contents
        return contents is None or any(each.evented for each in contents.variables.values())

    @property
    def _merges(self) -> Mapping[str, Merge]:
        """Variable -> how its texts are merged: by the class, else as standard services need."""
        variables = self._class._class_variables.items()
        merges = {name: each.merge for name, each in variables if each.merge is not None}
        return {**STANDARD_MERGES, **merges}

    def _url_to_subscribe(self, *, polled: bool) -> str:
        """The event URL. If there is none, and the values are ``polled``: the URL of the
        description, which is then read again and again, until it has an event URL."""
        if self.event_url:
            return self.event_url
        if polled:
            return self.device.url
        called = f"{self.unique_name} of {self.device.friendly_name}"
        if problem := self.description.event_url_problem:
            raise DescriptionError(f"{called} cannot be subscribed to: {problem}")
        raise DescriptionError(f"{called} sends no events (its eventSubURL is empty)")

    async def _read_contents(
        self, host: Endpoint | None = None, seconds: float | None = None
    ) -> ServiceContents:
        """The service description, which is read once. ``host`` is the host of the description that
        names it; None: that of the device. Calls at the same time share one reading. It takes
        ``seconds`` at most; None: ``Limits.request_seconds``.

        Raises DescriptionError, ConnectionFailed or TimedOut."""
        plain, runtime, now = self._plain, self._driver.runtime, self._driver.now
        until = math.inf if seconds is None else now() + seconds
        while plain._contents is None:
            left = None if seconds is None else max(until - now(), 0.001)
            if plain._readers is None:
                await plain._share_reading(host, left)
                continue
            reader: Future[ServiceContents | Exception | None] = runtime.future()
            plain._readers.append(reader)
            late = TimedOut(f"the service description was not read within {seconds} s")
            alarm = left and runtime.call_later(left, partial(settle, reader, late))
            try:
                read = await reader
            finally:
                if alarm:
                    alarm.cancel()
            if isinstance(read, Exception):
                raise read
        self._compare(plain._contents)
        return plain._contents

    async def _share_reading(self, host: Endpoint | None, seconds: float | None) -> None:
        """Read the service description. The readers get the error if it cannot be read. If the
        reading is cancelled, or its ``seconds`` are over, they get None, and one of them reads
        again."""
        outcome: Exception | None = None
        self._readers = []
        documents, url = self._driver.documents, self.description.scpd_url
        began = self._driver.now()
        try:
            if not url:
                raise DescriptionError(f"{self._called} has no service description")
            giver = host or self.device.description.host
            answer = await documents.read(url, giver=giver, seconds=seconds)
            self._contents = parse_scpd(answer.response.body, self._driver.limits)
        except (PropchangeError, ValueError) as error:
            # The runtime's timer may be early by a little.
            over = seconds is not None and self._driver.now() - began > 0.9 * seconds
            outcome = None if over else error
            raise
        finally:
            readers, self._readers = self._readers, None
            for reader in readers:
                settle(reader, outcome)

    def _compare(self, contents: ServiceContents) -> None:
        """Compare the service description with the class. Warn of the differences, once."""
        if self._fit.compare(contents):
            problems = "; ".join(self._fit.problems)
            kind = ("class", self.full_name, self._class.__name__)
            self._driver.warnings.warn(kind, f"{self._called} does not fit its class: {problems}")

    async def _read_variables(self) -> Mapping[str, StateVariable[Any]]:
        return (await self._read_contents()).variables

    async def _read_actions(self) -> Mapping[str, Action]:
        return (await self._read_contents()).actions

    async def _call(
        self,
        action: str | ActionMethod[Any, Any],
        args: tuple[Any, ...],
        keywords: dict[str, Any],
    ) -> Any:
        """Call an action, with its wire name and its arguments by their wire names, or by a method
        of a class and its parameters."""
        driver, now = self._driver, self._driver.now
        driver.check_open()
        method = action if isinstance(action, ActionMethod) else None
        timeout = None if method is not None else keywords.pop("timeout", None)
        if method is not None:
            method = action_of(self._class, method)
            name, values = method.action.name, method.inputs_of(*args, **keywords)
        elif isinstance(action, str):
            if args:
                raise TypeError(f"give the arguments of {action} by their names: Name=value")
            name, values = action, keywords
        else:
            raise TypeError(
                "an action is its name, or a method with @action of a class, such as "
                f"Oven.set_temperature, not {action!r}"
            )
        seconds = call_seconds(timeout, driver.limits)
        until = now() + seconds
        try:
            actions = (await self._read_contents(seconds=seconds)).actions
        except REQUEST_ERRORS as error:
            raise with_prefix(error, f"{name} of {self._called} (it was not sent)") from error
        declared = actions.get(name)
        if declared is None:
            there = listed(map(printable, actions))
            raise LookupError(f"{self._called} has no action {name!r}; there are: {there}")
        if method is not None:
            values = device_inputs(values, declared)
        texts = declared.write_inputs(values)
        if not self.description.control_url:
            problem = self.description.control_url_problem or "it has no controlURL"
            raise DescriptionError(f"{name} of {self._called} cannot be called: {problem}")
        answer, problems = await driver.calls.call(
            Callee(
                self,
                self.service_type,
                self.description.control_url,
                self.device.description.host,
                self.device._call_form,
            ),
            name,
            texts,
            until=until,
            seconds=seconds,
        )
        outputs, mistakes = declared.read_outputs(answer)
        for problem in (*problems, *mistakes):
            key = ("answer", self.full_name, name, problem)
            driver.warnings.warn(key, f"the answer to {name} of {self._called}: {problem}")
        if method is None:
            return outputs
        outputs = class_outputs(outputs, method.action)
        if mistakes and any(outputs.get(each.name) is None for each in method.action.outputs):
            raise RemoteProtocolError(f"{name} of {self._called}: {'; '.join(mistakes)}")
        return method.result_of(outputs)

    async def _read_conversions(self, host: Endpoint | None = None) -> Convert | None:
        """The types of the variables, from the service description; from the class if that cannot
        be read; None without a class. ``host`` is that of :meth:`_read_contents`."""
        try:
            variables = (await self._read_contents(host)).variables
        except (PropchangeError, ValueError) as error:
            declared = self._class._class_variables
            said = f"have the types of {self._class.__name__}" if declared else "stay texts"
            self._driver.warnings.warn(
                ("types", self.full_name),
                f"the values of {self.name} {said} ({self.full_name}): {error}",
            )
            return {name: each.data_type.parse for name, each in declared.items()} or None
        return {name: variable.data_type.parse for name, variable in variables.items()}

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._called}>"

    @property
    def _called(self) -> str:
        """The service and its device, for people."""
        return f"{self.name} of {self.device.friendly_name!r} {self.full_name}"


R = TypeVar("R", bound=DescribedService[Any])


class DescribedDevice(Generic[R]):
    """A root device with its embedded devices. ``driver`` is that of the control point.

    ``device["Thermometer"]`` is the service with this name: its type, its serviceId, the short name
    in either, its event URL, or the UDN of its device, a slash and one of the first three. Raises
    LookupError for an unknown name, with the names of all services, and for a name that several
    services have, with names that tell them apart. :meth:`services_named` gives all of these.
    ``device[Thermometer]`` is the service of a class: see :class:`propchange.RemoteDevice`.
    """

    _service_type: type[R]

    def __init__(self, driver: Any, description: DeviceDescription) -> None:
        self._driver = driver
        self._by_key: dict[ServiceKey, R] = {}
        self.services: tuple[R, ...] = ()
        self._call_form = CallForm()
        self._relocate(description)

    @property
    def udn(self) -> str:
        """The unique device name, ``uuid:…``."""
        return self.description.udn

    @property
    def friendly_name(self) -> str:
        """The name for people."""
        return self.description.friendly_name

    @property
    def device_type(self) -> str:
        """``urn:<domain>:device:<name>:<version>``."""
        return self.description.device_type

    @property
    def url(self) -> str:
        """The URL of the description. With discovery it changes when the device moves."""
        return self.description.url

    def _relocate(self, description: DeviceDescription) -> None:
        """Set the description, which may have another URL. The services stay the same objects."""
        known, self._by_key = self._by_key, {}
        self.description = description
        self._names = ServiceNames(description.all_services())
        for key, described in keyed_services(description):
            service = known.get(key)
            if service is None:
                service = self._service_type(self._driver, self, described)
            service._description = described
            self._by_key[key] = service
        self.services = tuple(self._by_key.values())

    def services_named(self, name: str) -> tuple[R, ...]:
        """All services with this name, in the order of the description."""
        return self._of(self.description.services_named(name))

    def __getitem__(self, wanted: Any, /) -> Any:
        if isinstance(wanted, str):
            return self._of((self.description.service(wanted),))[0]
        service_type = type_of_class(wanted)
        found = self.description.service_of_type(service_type, wanted.__name__)
        return self._of((found,))[0]._with_class(wanted)

    def _of(self, found: tuple[ServiceDescription, ...]) -> tuple[R, ...]:
        wanted = set(map(id, found))
        return tuple(each for each in self.services if id(each.description) in wanted)

    def __contains__(self, wanted: object) -> bool:
        if isinstance(wanted, type):
            fitting, _ = self._names.of_type(type_of_class(wanted))
            return bool(fitting)
        return wanted in self.description

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.friendly_name!r} {self.udn}>"
