"""The addresses that a hosted device listens on.

A device that uses all interfaces listens on ``0.0.0.0`` and ``::``, so a new address of this
machine needs nothing. A device that uses one address listens on that. A device that uses one
interface by its name listens on each address of it, with the same port. The addresses are read
every ``Limits.link_seconds``: a new one gets a socket, and one that has gone loses it.
"""

from __future__ import annotations

from propchange.core.limits import Limits
from propchange.core.wire.messages import Endpoint
from propchange.driver.chosen_addresses import ChosenAddresses
from propchange.driver.descriptors import fit
from propchange.driver.listener import Listener
from propchange.driver.machine import seconds_to_next_look
from propchange.driver.reporting import Warnings, logger_named
from propchange.driver.runtime import Runtime, Tasks, sleep
from propchange.driver.sockets import ADDRESS_GONE, SAME_PORT_ATTEMPTS, cannot_listen, scoped_host
from propchange.errors import ConnectionFailed


class ListeningAddresses:
    """Opens ``listener`` on the addresses of ``chosen``. Call :meth:`open`, then :meth:`close`, and
    after that close the listener."""

    def __init__(
        self, runtime: Runtime, listener: Listener, chosen: ChosenAddresses, limits: Limits
    ) -> None:
        self._runtime = runtime
        self._listener = listener
        self._chosen = chosen
        self._limits = fit(limits)
        self._tasks = Tasks(runtime)
        self._warnings = Warnings(logger_named("propchange.http"), limits)
        self._read_seconds = 0.0  # the time that the last reading took
        self._last: tuple[Endpoint, ...] = ()  # the endpoints of the last call with any

    async def open(self, port: int) -> None:
        """Listen on ``port`` (0: any free one). Waits while the chosen interface has no address.
        Raises ConnectionFailed if it cannot listen, or if there is no such interface."""
        self._chosen.check()
        if not self._chosen.is_interface:
            host = self._chosen.host
            try:
                await self._listener.open(host, (port,))
            except OSError as error:
                raise ConnectionFailed(cannot_listen(host, (port,), error)) from error
            return
        while not await self._open_all(port):
            self._warnings.warn(
                "waits", f"the device waits for an address of {self._chosen.interface}"
            )
            await self._rest()
        self._tasks.start(self._follow())

    async def close(self) -> None:
        """Stop reading the addresses."""
        await self._tasks.close()

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The addresses with the port that control points can reach, the one to advertise first."""
        port, host = self._listener.port, self._chosen.host
        if host is not None:
            return self._listener.endpoints
        listening = {endpoint.host for endpoint in self._listener.endpoints}
        hosts = tuple(
            each
            for each in self._chosen.by_rank()
            if each in listening or ("::" if ":" in each else "0.0.0.0") in listening
        )
        # While there is no address, use the last ones.
        self._last = tuple(Endpoint(each, port) for each in hosts) or self._last
        return self._last or (Endpoint("127.0.0.1", port),)

    async def _open_all(self, port: int) -> bool:
        """Listen on all addresses of the interface, with the same port. Returns whether it listens
        on any."""
        taken = OSError()
        listener = self._listener
        for _ in range(1 if port else SAME_PORT_ATTEMPTS):
            try:
                for host in self._wanted():
                    await self._open_one(host, listener.port if listener.hosts else port)
            except OSError as error:
                taken = error
                for opened in tuple(listener.hosts):
                    await listener.leave(opened)
            else:
                return bool(listener.hosts)
        raise ConnectionFailed(cannot_listen(self._chosen.interface, (port,), taken)) from taken

    async def _open_one(self, host: str, port: int) -> bool:
        try:
            await self._listener.open(host, (port,))
        except OSError as error:
            # The system cannot use a new IPv6 address until it knows that no other machine has it.
            if error.errno not in ADDRESS_GONE:
                raise
            self._warnings.info(("unusable", host), f"{host} cannot be listened on yet: {error}")
            return False
        return True

    def _wanted(self) -> tuple[str, ...]:
        begun = self._runtime.now()
        try:
            addresses = self._chosen.read()
        except OSError as error:
            self._warnings.warn("addresses", f"the addresses of this machine: {error}")
            return tuple(filter(None, self._listener.hosts))
        finally:
            self._read_seconds = self._runtime.now() - begun
        hosts = tuple(dict.fromkeys(scoped_host(each.endpoint) for each in addresses))
        most = self._limits.listening_addresses
        if len(hosts) > most:
            have = f"{self._chosen.interface} has {len(hosts)} addresses"
            self._warnings.warn("many", f"{have}: the device listens on {most} of them")
        return hosts[:most]

    async def _rest(self) -> None:
        await sleep(self._runtime, seconds_to_next_look(self._read_seconds, self._limits))

    async def _follow(self) -> None:
        while True:
            await self._rest()
            await self.look()

    async def look(self) -> None:
        """Listen on the new addresses, and no longer on those that have gone."""
        wanted, port = self._wanted(), self._listener.port
        for host in tuple(self._listener.hosts):
            if host is not None and host not in wanted:
                self._warnings.info(("gone", host), f"{host} has gone: its socket is closed")
                await self._listener.leave(host)
        for host in wanted:
            if host in self._listener.hosts:
                continue
            try:
                if await self._open_one(host, port):
                    self._warnings.info(("new", host), f"the device listens on {host} too")
            except OSError as error:
                self._warnings.warn(("listen", host), cannot_listen(host, (port,), error))
