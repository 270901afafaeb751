"""The discovery methods of a control point, which are the same on both runtimes."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.wire.messages import Request, Response
from propchange.core.wire.refusals import EMPTY
from propchange.driver.control_point import SubscriberDriver
from propchange.driver.links import EVERYTHING
from propchange.driver.passed_bodies import PassedBodies
from propchange.driver.reading import Reading, read_in_loop
from propchange.driver.sightings import S, Sightings

if TYPE_CHECKING:
    from propchange.core.subscriber.stats import ControlPointStats


def check_listening(listen: bool, policy: SubscriberPolicy, port: object) -> None:
    """Raises ValueError for ``listen=False`` without ``callback_url``, and with a ``port``."""
    if listen:
        return
    if policy.callback_url is None:
        raise ValueError(
            "listen=False needs callback_url, the URL at which your web server passes requests to "
            'receive(): callback_url="http://192.168.1.5:8000/events/{token}"'
        )
    if port != 0:
        raise ValueError("with listen=False no port is opened: the port belongs into callback_url")


class ControlPointView:
    """The methods that control points of both runtimes have."""

    def __repr__(self) -> str:
        try:
            driver = self._begun()
        except RuntimeError:
            return f"<{type(self).__name__}: not entered yet>"
        state = f"port {driver.port}" if driver.port else "not listening yet"
        if driver.callback_url is not None:
            state = f"events at {driver.callback_url}"
        if driver.closed:
            state = "closed"
        return f"<{type(self).__name__}: {state}, {len(driver.subscriptions)} subscriptions>"

    def _begun(self) -> SubscriberDriver:
        """The driver. Raises RuntimeError if there is none yet."""
        raise NotImplementedError

    def _opened(self) -> SubscriberDriver:
        driver = self._begun()
        driver.check_open()
        return driver

    def receive(self, request: Request) -> Response:
        """Answer a request that a web server of the program has received, for
        ``listen=False`` and ``callback_url``: docs/control-point-options.md.
        Its event is dispatched afterwards. Raises RuntimeError in another
        thread than that of the loop."""
        try:
            driver = self._begun()
        except RuntimeError:
            return Response(503, (EMPTY,), close=True)
        return driver.receive(request)

    @property
    def _passed_bodies(self) -> PassedBodies | None:
        try:
            return self._begun().passed.bodies
        except RuntimeError:
            return None

    @property
    def _has_ended(self) -> bool:
        return self._begun().closed

    def stats(self) -> ControlPointStats:
        """What this control point has counted, and the present numbers. After
        :meth:`close` too. It looks at each subscription: a few milliseconds for
        a thousand. Call it in the thread of the loop; for Prometheus there is
        :mod:`propchange.metrics`. Raises RuntimeError before the control point
        is entered."""
        return self._numbers(self._begun())

    @staticmethod
    def _numbers(driver: SubscriberDriver) -> ControlPointStats:
        waiting = sum(subscription._unread for subscription in driver.subscriptions.values())
        return driver.protocol.counts.stats(driver.now(), waiting=waiting)

    def _read_stats(self) -> Reading[ControlPointStats] | None:
        """:meth:`stats` in any thread; None before it is entered."""
        try:
            driver = self._begun()
        except RuntimeError:
            return None
        thread = threading.get_ident() if driver.closed else driver.passed.thread
        return read_in_loop(driver.runtime, thread, partial(self._numbers, driver))

    def _sightings(self, of: type[S], type: str | None) -> Sightings[S]:
        return self._opened().discovery.sightings(partial(of._of, self._opened()), type)

    def search(self, target: str = EVERYTHING) -> None:
        """Ask all devices, or those of one type or UDN, to answer now (M-SEARCH):
        :meth:`devices` yields them. Raises RuntimeError without discovery if
        :meth:`receive_ssdp` was not called yet, ValueError if no header can
        carry ``target``."""
        self._opened().discovery.search(target)

    def receive_ssdp(
        self, message: Mapping[str, str] | str | bytes, source: str, local: str = ""
    ) -> None:
        """For a program that receives SSDP itself: an advertisement, or an answer
        to a search, as a datagram or as its headers. ``source`` is the address
        that it came from, ``local`` an address of the interface that received
        it, empty if that is not known. From then on devices are followed, as
        with ``discovery``: docs/control-point-options.md."""
        self._begun().discovery.receive(message, source, local)

    @property
    def discovery_links(self) -> tuple[str, ...]:
        """The addresses from which discovery listens and searches now. Empty if no
        interface can do multicast, and without discovery."""
        return self._begun().discovery.addresses
