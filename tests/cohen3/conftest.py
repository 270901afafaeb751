"""What the tests of Cohen3's names share: the two ends that its classes talk to, and from the tests
of the Twisted front a reactor and a web server in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urljoin

import pytest

from propchange import cohen3 as event
from propchange.cohen3 import event_server
from tests.twisted.conftest import Messages, connect, messages, reactor, serve

__all__ = ["connect", "messages", "reactor", "serve"]  # fixtures


class Coherence:
    """Plays Cohen3's central object."""

    hostname = "127.0.0.1"
    web_server_port = 8080

    def __init__(self) -> None:
        self.resources: dict[str, Any] = {}

    def add_web_resource(self, name: str, resource: Any) -> None:
        self.resources[name] = resource


class ControlPoint:
    def __init__(self) -> None:
        self.coherence = Coherence()
        self.events: list[event.Event] = []

    def propagate(self, one: event.Event) -> None:
        self.events.append(one)


@pytest.fixture
def control_point() -> ControlPoint:
    return ControlPoint()


class DeviceService:
    """Plays Cohen3's ServiceServer."""

    id = "RenderingControl"
    backend = None

    def __init__(self) -> None:
        self.subscribers: dict[str, Any] = {}
        self.reactor: Any = None
        self.sent: list[Any] = []

    def get_subscribers(self) -> dict[str, Any]:
        return self.subscribers

    def new_subscriber(self, subscriber: dict[str, Any]) -> None:
        if self.reactor is not None:
            self.sent.append(
                event.send_notification(subscriber, Messages.body, reactor=self.reactor)
            )
        self.subscribers[subscriber["sid"]] = subscriber


class ClientService:
    """Plays Cohen3's Service of a control point."""

    def __init__(
        self, event_url: str = "http://127.0.0.1:8080/RenderingControl/subscribe", timeout: int = 0
    ) -> None:
        self.event_url = event_url
        self.sid: str | None = None
        self.timeout = timeout
        self.told_timeouts: list[int] = []
        self.processed: list[Any] = []
        self.event_connection: Any = None

    def get_base_url(self) -> bytes:
        return urljoin(self.event_url, "/").encode()

    def get_event_sub_url(self) -> str:
        return self.event_url

    def get_sid(self) -> str | None:
        return self.sid

    def set_sid(self, sid: str | None) -> None:
        self.sid = sid

    def set_timeout(self, timeout: int) -> None:
        self.timeout = timeout
        self.told_timeouts.append(timeout)

    def process_event(self, one: Any) -> None:
        self.processed.append(one)


@pytest.fixture
def device_service() -> DeviceService:
    return DeviceService()


@pytest.fixture
def service() -> ClientService:
    return ClientService()


@pytest.fixture(autouse=True)
def fresh_globals() -> Iterator[None]:
    """The module's globals are those of a fresh import in each test."""
    kept = event.hostname, event.web_server_port, event_server.current
    event.hostname = event.web_server_port = event_server.current = None
    yield
    event.hostname, event.web_server_port, event_server.current = kept
