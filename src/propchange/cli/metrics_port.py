"""The option ``--metrics-port``: metrics for Prometheus, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from ipaddress import ip_address
from typing import Any, NamedTuple

import click

from propchange.asyncio.runtime import AsyncioRuntime
from propchange.cli.exit_status import CommandFailed
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.driver.listener import Listener
from propchange.driver.sockets import cannot_listen

_FRESH_SECONDS = 0.5
"""Seconds in which each scrape gets the same text. So a flood of scrapes costs no more than two a
second."""


class MetricsAddress(NamedTuple):
    """Where metrics are served. ``host`` is None for all addresses of this machine."""

    host: str | None
    port: int


def _address(text: str) -> MetricsAddress:
    """``9464``, ``0.0.0.0:9464`` or ``[::1]:9464`` as an address. Raises click.BadParameter."""
    host, _, port = text.rpartition(":")
    literal = {"": "127.0.0.1", "localhost": "127.0.0.1"}.get(host, host.strip("[]"))
    with contextlib.suppress(ValueError):
        address = ip_address(literal)
        if port.isascii() and port.isdecimal() and int(port) <= 65_535:
            return MetricsAddress(None if address.is_unspecified else str(address), int(port))
    raise click.BadParameter(
        f"{text!r} is neither a port nor an address of this machine and a port, such as 9464, "
        "0.0.0.0:9464 or [::1]:9464"
    )


metrics_port_option = click.option(
    "--metrics-port",
    metavar="[HOST:]P",
    type=_address,
    help="Serve metrics for Prometheus at http://127.0.0.1:P/metrics, or at another address of "
    "this machine; 0.0.0.0 is each of them. They are numbers alone, without names or addresses.",
)


@contextlib.asynccontextmanager
async def metrics_served(where: MetricsAddress | None, *of: Any) -> AsyncIterator[None]:
    """Serve the metrics of ``of``, which :func:`propchange.metrics.collector` takes, at ``where``;
    None: not at all. A ``partial`` in ``of`` makes such an object. Raises CommandFailed if the port
    is taken, or prometheus-client is missing."""
    if where is None:
        yield
        return
    try:
        served = ServedMetrics(*of)
    except ImportError as error:
        raise CommandFailed(
            "--metrics-port needs prometheus-client: pip install 'propchange[metrics]'"
        ) from error
    listener = Listener(AsyncioRuntime(), served.respond)
    try:
        try:
            await listener.open(where.host, (where.port,))
        except OSError as error:
            sentence = cannot_listen(where.host, (where.port,), error)
            raise CommandFailed(f"--metrics-port: {sentence}") from error
        at = Endpoint(where.host or "127.0.0.1", listener.port)
        click.echo(f"propchange: metrics are at http://{at}/metrics", err=True)
        yield
    finally:
        await listener.close()


class ServedMetrics:
    """Answers scrapes with the metrics of ``of`` and of this process. HOST is not checked, because
    Prometheus may know this machine by any name, and there is nothing but numbers."""

    def __init__(self, *of: Any) -> None:
        from prometheus_client import CollectorRegistry, ProcessCollector, exposition

        from propchange.metrics import collector

        self._registry = CollectorRegistry()
        made = [each() if isinstance(each, partial) else each for each in of]
        self._registry.register(collector(*made))
        ProcessCollector(registry=self._registry)
        self._text = exposition.generate_latest
        self._type = exposition.CONTENT_TYPE_LATEST.encode()
        self._last: bytes = b""
        self._last_at = -_FRESH_SECONDS

    def respond(self, request: Request) -> Response:
        """The answer to a request."""
        if request.target.partition("?")[0] != "/metrics":
            return _plain(404, b"the metrics are at /metrics\n", request)
        if request.method not in ("GET", "HEAD"):
            return _plain(405, b"the method is GET\n", request, (b"ALLOW", b"GET, HEAD"))
        now = asyncio.get_running_loop().time()
        if now >= self._last_at + _FRESH_SECONDS:
            self._last, self._last_at = self._text(self._registry), now
        return _plain(200, self._last, request, (b"CONTENT-TYPE", self._type))


def _plain(
    status: int,
    body: bytes,
    request: Request,
    header: tuple[bytes, bytes] = (b"CONTENT-TYPE", b"text/plain"),
) -> Response:
    length = (b"CONTENT-LENGTH", str(len(body)).encode())
    sent = b"" if request.method == "HEAD" else body
    return Response(status, (header, length), sent, close=not request.keep_alive)
