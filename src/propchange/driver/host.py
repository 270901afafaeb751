"""A device on the network: its listener, its documents, its control URLs and its event URLs.

The device publishes its services by a :class:`.Publication`.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import lru_cache
from ipaddress import ip_address

from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress, is_loopback, own_address
from propchange.core.multicast.publication import MulticastPolicy
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.publisher.outcomes import Refused
from propchange.core.wire.messages import (
    Endpoint,
    HeaderPairs,
    Request,
    Response,
)
from propchange.core.wire.refusals import Refusal
from propchange.driver.action_running import ActionRun, RunningActions
from propchange.driver.announcing import NOT_ANNOUNCED, AnnouncementPolicy, Announcing
from propchange.driver.boot_id import BootId
from propchange.driver.chosen_addresses import ChosenAddresses
from propchange.driver.delivery_pool import DeliveryPool
from propchange.driver.listener import Listener
from propchange.driver.listening_addresses import ListeningAddresses
from propchange.driver.passed_requests import PassedRequests, with_changes, with_target
from propchange.driver.publication import Publication, Tap
from propchange.driver.publisher_reporting import report_publisher
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.runtime import Runtime, Signal
from propchange.errors import ActionError
from propchange.upnp.control import ActionCall
from propchange.upnp.device import PlacedDevice
from propchange.upnp.hosted_documents import Asked, HostedDocuments
from propchange.upnp.hosted_url import DESCRIPTION_PATH, HostedPaths, HostedURL

# RFC 9110 §5.6.7. strftime() writes the names in the language of the program, and email.utils takes
# 2 ms and 1 MB to import.
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def http_date() -> bytes:
    """The value of DATE."""
    return _date_at(int(time.time()))


@lru_cache(maxsize=1)  # a tenth of the work of an answer; it changes once a second
def _date_at(seconds: int) -> bytes:
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(seconds)
    date = f"{_DAYS[weekday]}, {day:02} {_MONTHS[month - 1]} {year:04}"
    return f"{date} {hour:02}:{minute:02}:{second:02} GMT".encode("ascii")


class DeviceHost:
    """A placed device on the network: its documents, its control URLs, its event URLs. ``chosen``
    are the addresses of this machine that it uses.

    Call :meth:`open`, and in the end :meth:`close`. ``announcing`` says how it announces itself.
    ``multicast`` says where multicast events go, ``boot_id`` returns the BOOTID.UPNP.ORG of the
    device.

    ``url`` is where control points find the device, if a web server of the program or a proxy is
    between them and this object. With ``listens=False`` the web server gives the requests to
    :attr:`passed`, and there is no listener.
    """

    def __init__(
        self,
        runtime: Runtime,
        placed: PlacedDevice,
        *,
        policy: PublisherPolicy,
        limits: Limits,
        chosen: ChosenAddresses,
        announcing: AnnouncementPolicy = NOT_ANNOUNCED,
        tap: Tap | None = None,
        multicast: MulticastPolicy | None = None,
        boot_id: Callable[[], int] | None = None,
        url: HostedURL | None = None,
        listens: bool = True,
    ) -> None:
        self._placed = placed
        self._url = url
        self._prefix = "" if url is None else url.prefix
        self._paths = None if url is None else HostedPaths(url.prefix, placed.all_paths())
        self._chosen = chosen
        self._tap = tap
        self._boot_id = BootId(placed.udn, announcing.state_directory)
        self._warnings = Warnings(logger_named("propchange.publisher"), limits)
        self._documents = HostedDocuments(
            placed, policy, http_date, limits, self._request_refused, prefix=self._prefix
        )
        self._actions = RunningActions(runtime, self._documents.control, limits)
        self._pool = DeliveryPool(runtime, limits=limits)
        self.publication = Publication(
            runtime,
            self._pool,
            policy=policy,
            limits=limits,
            interfaces=chosen.interfaces,
            date=http_date,
            tap=tap,
            multicast=multicast,
            boot_id=boot_id or self._heard_boot_id,
            addresses=chosen.read,
        )
        server = (b"SERVER", policy.server.encode("latin-1", "replace"))

        def headers() -> HeaderPairs:
            return ((b"DATE", http_date()), server)

        self._listener: Listener | None = None
        self._addresses: ListeningAddresses | None = None
        if listens:
            self._listener = Listener(
                runtime,
                self._respond,
                limits=limits,
                sent=self._sent,
                lost=self._lost,
                headers=headers,
                known=self.publication.addresses,
                excluded=chosen.excludes,
            )
            self._addresses = ListeningAddresses(runtime, self._listener, chosen, limits)
        self.passed = PassedRequests(
            runtime,
            self._respond,
            limits=limits,
            sent=self._sent,
            lost=self._lost,
            headers=headers,
            known=self.publication.addresses,
            excluded=self._came_to_excluded,
        )
        self._announcing = None
        if announcing.announce:
            self._announcing = Announcing(
                runtime,
                placed,
                uda=policy.uda,
                server=policy.server,
                config_id=self._documents.config_id,
                policy=announcing,
                boot_id=self._boot_id,
                addresses=chosen.read,
                location=self._location,
                longest_location=url and url.description_url,
                hops=None if multicast is None else multicast.hops,
                date=http_date,
                limits=limits,
            )
        self._closing = False
        self._close_ended = Signal(runtime)

    @property
    def port(self) -> int:
        """The TCP port that it listens on. Raises RuntimeError if it does not listen."""
        if self._listener is None:
            raise RuntimeError("listen=False: this device opens no port; its web server has one")
        return self._listener.port

    @property
    def description_urls(self) -> tuple[str, ...]:
        """The URLs of the device description: that of the given URL, and one for each address that
        it listens on. The first has an address that other machines can reach if there is one."""
        urls = [] if self._url is None else [self._url.description_url]
        if self._addresses is not None:
            urls += map(self._description_url, self._addresses.endpoints)
        return tuple(dict.fromkeys(urls))

    def _description_url(self, endpoint: Endpoint) -> str:
        return f"http://{endpoint}{self._prefix}{DESCRIPTION_PATH}"

    async def open(self, port: int) -> None:
        """Publish the services, and listen on ``port`` (0: any free one) of the chosen addresses.
        Raises ConnectionFailed if it cannot listen, RuntimeError if a service is published
        already."""
        try:
            for placed in self._placed.all_services():
                path = f"{self._prefix}/{placed.subscription_path}"
                evented = bool(placed.event_path)
                self.publication.add(placed.service, path if evented else "", placed.identity)
                if not evented:
                    self.publication.protocol.add_silent(path)
            if self._addresses is not None:
                await self._addresses.open(port)
            else:
                self._chosen.check()
                self._warn_of_unchosen_url()
        except BaseException:
            self.publication.stop()
            raise
        if self._announcing is not None and not self._is_loopback():
            self._announcing.start()

    def _warn_of_unchosen_url(self) -> None:
        assert self._url is not None
        own = own_address(self._url.host, self._chosen.interfaces.addresses())
        if own is not None and not self._chosen.has(own):
            self._warnings.warn(
                "url",
                f"the device is not announced: {self._url.host} in url is an address of "
                f"{own.interface}, and interface or exclude leave that out",
            )

    def _heard_boot_id(self) -> int:
        """The BOOTID for multicast events: a receiver takes the one that it has heard of."""
        announced = 0 if self._announcing is None else self._announcing.boot_id
        return announced or self._boot_id.current

    def _is_loopback(self) -> bool:
        """Whether it can be reached on the loopback interface alone."""
        if self._url is not None:
            return self._url.is_loopback
        assert self._listener is not None
        return all(ip_address(each.host).is_loopback for each in self._listener.endpoints)

    def _came_to_excluded(self, local: Endpoint) -> bool:
        address = self._chosen.interfaces.address_at(local)
        return address is not None and self._chosen.leaves_out(address)

    def _location(self, address: LocalAddress) -> str | None:
        """The URL of the description for the link of ``address``; None if the device is not to be
        announced from there, or does not listen there."""
        if self._url is not None:
            is_there = self._url.is_for(address, self._chosen.interfaces.addresses())
            return self._url.description_url if is_there else None
        assert self._listener is not None
        every = "::" if ":" in address.host else "0.0.0.0"
        for endpoint in self._listener.endpoints:
            if endpoint.host == every or endpoint._replace(port=0) == address.endpoint:
                return self._description_url(address.endpoint._replace(port=endpoint.port))
        return None

    async def close(self) -> None:
        """Leave the network. Undelivered events are dropped: await :meth:`Publication.drained`
        before. Safe to call again; a call waits for the end of another one."""
        self.publication.stop()
        while self._closing:
            await self._close_ended.wait()
        self._closing = True
        async with AsyncExitStack() as ending:  # the last runs first; each runs if others raise
            ending.callback(self._end_closing)
            ending.push_async_callback(self.passed.close)
            if self._listener is not None:
                ending.push_async_callback(self._listener.close)
            ending.push_async_callback(self._actions.close)
            if self._addresses is not None:
                ending.push_async_callback(self._addresses.close)
            ending.push_async_callback(self._pool.close)
            ending.callback(self._boot_id.end)
            if self._announcing is not None:
                ending.push_async_callback(self._announcing.close)

    def _end_closing(self) -> None:
        self._closing = False
        self._close_ended.set()

    def _respond(self, request: Request) -> Response | Awaitable[Response]:
        if self._tap is not None:
            self._tap(request)
        response = self._answer(request)
        if self._tap is None:
            return response
        if isinstance(response, Response):
            self._tap(response)
            return response
        return self._tapped(response, self._tap)

    def _answer(self, request: Request) -> Response | Awaitable[Response]:
        if self._paths is not None:
            request = with_target(request, self._paths.path_of(request.target))
            if self._is_from_proxy(request.peer):
                request = with_changes(request, peer=None)
        answer = self._documents.respond(request)
        if answer is None:
            return self.publication.receive_request(request)
        if isinstance(answer, ActionCall):
            return self._actions.run(answer)
        if isinstance(answer, Asked):
            return self._actions.ask_program(answer)
        return answer

    def _is_from_proxy(self, peer: Endpoint | None) -> bool:
        """Whether ``peer`` is a proxy on this machine, so that the address of the control point is
        not known. The URL of the device does not lead to loopback."""
        assert self._url is not None
        return peer is not None and not self._url.is_loopback and is_loopback(peer)

    def _request_refused(self, request: Request, why: Refusal | ActionError) -> None:
        """Log why a request for a document or to a controlURL is refused: an error of an action on
        the info level."""
        where, peer = request.target.partition("?")[0], request.peer
        if isinstance(why, Refusal):
            status, reason, clause, _ = why
            report_publisher(Refused(where, peer, status, reason, clause), self._warnings)
        else:
            who = peer.host if peer else "an unknown peer"
            line = f"a call by {who} at {where} was answered with the error {why}"
            self._warnings.info(("call refused", who, why.code), line)

    def _sent(self, response: Response) -> None:
        if isinstance(response.receipt, ActionRun):
            response.receipt.release()
        else:
            self.publication.response_sent(response)

    def _lost(self, response: Response) -> None:
        if isinstance(response.receipt, ActionRun):
            response.receipt.release()
        else:
            self.publication.response_lost(response)

    async def _tapped(self, answer: Awaitable[Response], tap: Tap) -> Response:
        response = await answer
        tap(response)
        return response
