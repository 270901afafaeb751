"""Looks up the names of hosts, and remembers their last addresses.

The resolver of the system blocks, and may be silent for 30 seconds. So each name is looked up in
its own thread, once for all coroutines that wait for it. A resolver that fails or is silent shows
nothing about the host. The addresses of the last answer are then used again.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from threading import Thread

from propchange.core.limits import Limits
from propchange.core.local_addresses import address_of
from propchange.core.wire.messages import Endpoint
from propchange.driver.runtime import Runtime, Signal
from propchange.driver.sockets import endpoint_of

Found = list[Endpoint] | OSError


class HostNames:
    """Looks up the names of hosts. In the end call :meth:`close`."""

    def __init__(self, runtime: Runtime, limits: Limits) -> None:
        self._runtime = runtime
        self._limits = limits
        self._asked: dict[str, _Lookup] = {}
        self._last: dict[str, list[Endpoint]] = {}

    async def addresses(self, named: Endpoint, seconds: float) -> list[Endpoint]:
        """The addresses of ``named``, whose host may be an IP literal, each with its port.

        Waits for the resolver for at most ``seconds``; for at most ``Limits.lookup_seconds`` if the
        name had addresses before. Raises OSError, mostly ``socket.gaierror``, without an address.
        """
        if address_of(named.host) is not None:
            return [named]
        name = named.host
        last = self._last.get(name)
        if last is not None:
            seconds = min(seconds, self._limits.lookup_seconds)
        found = await self._ask(name, seconds)
        if isinstance(found, OSError):
            if last is None:
                raise found
            found = last
        else:
            self._remember(name, found)
        return [each._replace(port=named.port) for each in found]

    def worked(self, named: Endpoint, endpoint: Endpoint) -> None:
        """Note that ``named`` was reached at ``endpoint``: of the remembered addresses, this one is
        then tried first."""
        if (last := self._last.get(named.host)) is not None:
            last.sort(key=lambda each: each.host != endpoint.host)

    def close(self) -> None:
        """Stop waiting for answers."""
        for lookup in self._asked.values():
            lookup.settle(OSError("closed"))
        self._asked.clear()

    async def _ask(self, name: str, seconds: float) -> Found:
        lookup = self._asked.get(name)
        if lookup is None:
            if len(self._asked) >= self._limits.lookups:
                return socket.gaierror(socket.EAI_AGAIN, "too many names are being looked up")
            lookup = self._asked[name] = _Lookup(self._runtime)
            lookup.start(name, lambda: self._asked.pop(name, None))
        if lookup.found is None:
            await lookup.answered.wait(seconds)
        if lookup.found is not None:
            return lookup.found
        reason = f"the resolver did not answer within {seconds:.2g} s"
        return socket.gaierror(socket.EAI_AGAIN, reason)

    def _remember(self, name: str, found: list[Endpoint]) -> None:
        self._last.pop(name, None)
        self._last[name] = found
        if len(self._last) > self._limits.known_names:
            del self._last[next(iter(self._last))]


class _Lookup:
    """One name that is being looked up."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.found: Found | None = None
        self.answered = Signal(runtime)

    def start(self, name: str, ended: Callable[[], object]) -> None:
        """Look ``name`` up. ``ended`` is called in the loop's thread."""

        def settle(found: Found) -> None:
            ended()
            self.settle(found)

        def ask() -> None:
            found: Found
            try:
                answers = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
                found = [endpoint_of(address) for _, _, _, _, address in answers]
            except UnicodeError as error:  # not a valid name
                found = socket.gaierror(socket.EAI_NONAME, str(error))
            except OSError as error:
                found = error
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._runtime.call_from_thread(lambda: settle(found))

        # A daemon thread, because a silent resolver must not delay the end of the program.
        Thread(target=ask, name="propchange-lookup", daemon=True).start()

    def settle(self, found: Found) -> None:
        """Give ``found`` to the coroutines that wait."""
        if self.found is None:
            self.found = found
            self.answered.set()
