"""Cohen3 as a device or as a control point, for the tests: runs in the environment of Cohen3.

    python programs.py renderer|controller shipped|swapped PORT

With ``swapped``, coherence.upnp.core.event is propchange.cohen3. Commands come as lines on
stdin, answers go as JSON Lines to stdout; a program ends with its stdin.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

# Cohen3 prints as it likes.
answers, sys.stdout = sys.stdout, sys.stderr

ROLE, WHICH, PORT = sys.argv[1], sys.argv[2], int(sys.argv[3])

if WHICH == "swapped":
    import propchange.twisted

    propchange.twisted.install()

from coherence import base  # noqa: E402 - after install()
from coherence.upnp.core import event, service  # noqa: E402 - behind install()
from coherence.upnp.devices.control_point import ControlPoint  # noqa: E402 - behind install()
from coherence.upnp.devices.media_renderer import MediaRenderer  # noqa: E402 - behind install()
from fake_player import FakePlayer  # noqa: E402 - behind install()
from twisted.internet import reactor, stdio  # noqa: E402 - behind install()
from twisted.protocols.basic import LineReceiver  # noqa: E402 - behind install()

RENDERING_CONTROL = "urn:schemas-upnp-org:service:RenderingControl:2"


def tell(**what: Any) -> None:
    print(json.dumps(what, default=str), flush=True, file=answers)


class Commands(LineReceiver):
    """``name argument`` calls the method ``do_name``, whose result, or that of its Deferred, is
    told under the name."""

    delimiter = b"\n"

    def __init__(self, program: Any) -> None:
        self.program = program

    def lineReceived(self, line: bytes) -> None:
        name, _, argument = line.decode().partition(" ")
        try:
            result = getattr(self.program, f"do_{name}")(argument)
        except Exception as error:  # noqa: BLE001 - the test is to see it
            result = f"{type(error).__name__}: {error}"
        if hasattr(result, "addBoth"):
            result.addBoth(lambda told: tell(**{name: plain(told)}))
        else:
            tell(**{name: plain(result)})

    def connectionLost(self, reason: Any = None) -> None:
        reactor.callLater(0, reactor.stop)


def plain(told: Any) -> Any:
    if hasattr(told, "status"):
        return told.status
    return str(told) if hasattr(told, "getErrorMessage") else told


class Renderer:
    def __init__(self, coherence: Any) -> None:
        self.device = MediaRenderer(coherence, FakePlayer, no_thread_needed=True)
        self.coherence = coherence
        reactor.callLater(0.3, self.ready)

    def ready(self) -> None:
        uuid = str(self.device.uuid)
        self.server = self.device.rendering_control_server
        self.server.set_variable(0, "Volume", 50)
        path = f"{uuid[5:]}/description-2.xml"
        tell(
            ready=f"{self.coherence.urlbase}{path}",
            usn=f"{uuid}::upnp:rootdevice",
            event_url=f"{self.coherence.urlbase}{uuid[5:]}/RenderingControl/subscribe",
        )

    def do_volume(self, value: str) -> Any:
        self.server.set_variable(0, "Volume", int(value))
        return self.server.get_variable("Volume").value

    def do_subscribers(self, _: str) -> Any:
        return list(self.server.get_subscribers().values())

    def do_expire(self, _: str) -> Any:
        """Let every subscription be older than it may be; then what Cohen3 does in a while."""
        for subscriber in self.server.get_subscribers().values():
            subscriber["created"] = time.time() - 100_000
        self.server.check_subscribers()
        return len(self.server.get_subscribers())


class Controller:
    def __init__(self, coherence: Any) -> None:
        self.coherence = coherence
        self.control_point = ControlPoint(coherence, auto_client=["MediaRenderer"])
        self.service: Any = None
        self.control_point.bind(control_point_client_detected=self.detected)
        tell(ready=True)

    def detected(self, client: Any, udn: str) -> None:
        tell(detected=udn)

    def do_find(self, argument: str) -> Any:
        """LOCATION USN, as SSDP would tell them."""
        location, usn = argument.split(" ")
        self.coherence.ssdp_server.register(
            "remote", usn, "upnp:rootdevice", location, host="127.0.0.1"
        )
        return usn

    def rendering_control(self) -> Any:
        for device in self.coherence.get_devices():
            for one in device.get_services():
                if one.get_type() == RENDERING_CONTROL:
                    return one
        return None

    def do_state(self, _: str) -> Any:
        one = self.rendering_control()
        if one is None:
            return None
        volume = one.get_state_variable("Volume")
        change = one.get_state_variable("LastChange")
        return {
            "sid": one.get_sid(),
            "volume": None if volume is None else volume.value,
            "last_change": None if change is None else change.value,
            "updated": one.last_time_updated is not None,
            "known": one.get_sid() in service.subscribers,
        }

    def do_renew(self, _: str) -> Any:
        return event.subscribe(self.rendering_control())

    def do_unsubscribe(self, _: str) -> Any:
        one = self.rendering_control()
        done = event.unsubscribe(one)
        service.subscribers.pop(one.get_sid(), None)
        one.subscription_id = None
        return done

    def do_sid(self, sid: str) -> Any:
        """Pretend to have that SID."""
        self.rendering_control().subscription_id = sid
        return sid

    def do_shutdown(self, _: str) -> Any:
        return self.coherence.shutdown(force=True).addCallback(lambda _: True)


def main() -> None:
    base.get_host_address = lambda: "127.0.0.1"
    base.socket.gethostname = lambda: "localhost"
    coherence = base.Coherence({"unittest": "yes", "logmode": "warning", "serverport": PORT})
    program = {"renderer": Renderer, "controller": Controller}[ROLE](coherence)
    stdio.StandardIO(Commands(program))
    reactor.run()


main()
