"""A thermometer of ours, and a device whose answers the test defines."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from propchange import ActionError, Device, Service, StateVariable, action
from propchange.blocking import HostedDevice, host


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)

    @action
    def set_temperature(self, temperature: float) -> None:
        if temperature > 1_000:
            raise ActionError(601)
        self.temperature = temperature

    @action(returns="Temperature")
    async def get_temperature(self) -> float:
        return self.temperature


class Hosted:
    """The thermometer on the network, and what the control points have sent it."""

    def __init__(self) -> None:
        self.thermometer = Thermometer()
        self.methods: list[str] = []
        self.hosted: HostedDevice = host(
            Device("Workbench", services=[self.thermometer]),
            interface="127.0.0.1",
            announce=False,
            tap=self._note,
        )

    def _note(self, item: object) -> None:
        method = getattr(item, "method", "")
        if method:
            self.methods.append(method)

    @property
    def url(self) -> str:
        return self.hosted.description_url

    def set(self, *values: float) -> None:
        """Assign each of the values, and wait until its event was delivered."""
        for value in values:
            self.hosted.run(setattr, self.thermometer, "temperature", value)
            assert self.hosted.drain(20)


DESCRIPTION = b"""<root xmlns="urn:schemas-upnp-org:device-1-0"><device>
<deviceType>urn:schemas-upnp-org:device:Basic:1</deviceType><friendlyName>Raw</friendlyName>
<UDN>uuid:raw</UDN><serviceList><service>
<serviceType>urn:example-org:service:Thermometer:1</serviceType>
<serviceId>urn:example-org:serviceId:Thermometer</serviceId>
<SCPDURL>/scpd.xml</SCPDURL><controlURL>/control</controlURL><eventSubURL>/event</eventSubURL>
</service></serviceList></device></root>"""

SCPD = b"""<scpd xmlns="urn:schemas-upnp-org:service-1-0"><serviceStateTable>
<stateVariable sendEvents="yes"><name>Temperature</name><dataType>r4</dataType></stateVariable>
</serviceStateTable></scpd>"""


class RawDevice(ThreadingHTTPServer):
    """A device that sends no events. ``answers`` maps a method to a status; None: no answer until
    the end of the test. ``methods`` are those of the requests so far."""

    daemon_threads = True

    def __init__(self) -> None:
        self.answers: dict[str, int | None] = {"SUBSCRIBE": 200, "UNSUBSCRIBE": 200}
        self.methods: list[str] = []
        self.arrived = threading.Condition()
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), _RawAnswers)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/description.xml"

    def wait_for(self, method: str) -> None:
        with self.arrived:
            assert self.arrived.wait_for(lambda: method in self.methods, 20), self.methods

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # the peer has gone


class _RawAnswers(BaseHTTPRequestHandler):
    server: RawDevice

    def do_GET(self) -> None:
        body = SCPD if self.path == "/scpd.xml" else DESCRIPTION
        self.send_response(200)
        self.send_header("CONTENT-LENGTH", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_SUBSCRIBE(self) -> None:
        with self.server.arrived:
            self.server.methods.append(self.command)
            self.server.arrived.notify_all()
        status = self.server.answers[self.command]
        if status is None:
            self.server.over.wait()
            return
        self.send_response(status)
        self.send_header("SID", "uuid:1")
        self.send_header("TIMEOUT", "Second-1800")
        self.send_header("CONTENT-LENGTH", "0")
        self.end_headers()

    do_UNSUBSCRIBE = do_SUBSCRIBE

    def log_message(self, *_: object) -> None:
        pass
