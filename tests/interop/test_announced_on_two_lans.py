"""A device that propchange hosts on a host with two interfaces is found on both, by control points
of other makes and by propchange's: over IPv4 and IPv6, at once, and gone at once at its byebye."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from lab.fixtures import Start
from lab.networks import Host
from lab.peers import PEERS
from lab.programs import Program
from lab.two_lans import TwoLans
from tests.interop.conftest import Stack, build, daemon
from tests.interop.lans import RUNTIMES, lans_fixture, see, start_here_fixture  # noqa: F401 - fixtures
from tests.interop.seeing import Seer
from tests.interop.ssdp_wire import SsdpWire
from tests.interop.wire import Message, Wire

pytestmark = pytest.mark.xdist_group("two LANs")

_HOST = {"asyncio": PEERS / "host_propchange.py", "twisted": PEERS / "host_twisted.py"}


class Finder(NamedTuple):
    """A control point, and how the locations begin at which it has to find the device."""

    name: str
    seer: Seer
    at: tuple[str, ...]


class Hosted(NamedTuple):
    """A device of propchange's on ``here``; ``began`` is when it was on the network."""

    program: Program
    udn: str
    port: int
    began: float

    def subscribe(self, seer: Seer) -> None:
        """Let a control point of propchange subscribe. The embedded device has such a service
        too, so the name is a whole one."""
        service = f"{self.udn}/urn:propchange-test:serviceId:Bench"
        seer.program.ask(f"subscribe {self.udn} {service}", "subscribing")

    def set(self, value: str) -> None:
        assert self.program.ask(f"set {value}", "set") == {"set": value}


@pytest.fixture
def host_device(start: Start, lans: TwoLans) -> Callable[..., Hosted]:
    """``host_device(runtime, **options)`` hosts it; ``options`` are arguments of host(). It has a
    UDN of its own unless they say otherwise."""

    def host_device(runtime: str, **options: object) -> Hosted:
        options = {"udn": f"uuid:{uuid.uuid4()}"} | options
        command = (sys.executable, _HOST[runtime], json.dumps(options))
        program = start(*lans.here.prefix, *command)
        told = program.read("ready")
        at = next(line.at for line in program.lines if "ready" in line.told)
        return Hosted(program, told["udn"], told["ready"], at)

    return host_device


@pytest.fixture
def state_directory(tmp_path: Path) -> str:
    return str(tmp_path / "state")


@pytest.fixture(scope="module")
def propchange_finders_running(lans: TwoLans, start_here: Start) -> dict[str, Finder]:
    """propchange on asyncio at home, and on Twisted at the office."""
    six, six_office = lans.here.link_local("eth0"), lans.here.link_local("eth1")
    home = ("http://10.77.0.1:", f"http://[{six}%eth0]:")
    office = ("http://10.78.0.1:", f"http://[{six_office}%eth0]:")
    return {
        "home": Finder("propchange", see(start_here, lans.near, "asyncio"), home),
        "office": Finder("propchange.twisted", see(start_here, lans.far, "twisted"), office),
    }


@pytest.fixture
def propchange_finders(
    propchange_finders_running: dict[str, Finder],
) -> dict[str, Finder]:
    """At work, and without a subscription."""
    for finder in propchange_finders_running.values():
        finder.seer.started()
        finder.seer.program.ask("leave", "left")
    return propchange_finders_running


@pytest.fixture(scope="module")
def finders(
    lans: TwoLans,
    start_here: Start,
    propchange_finders_running: dict[str, Finder],
    async_upnp_client: Stack,
) -> list[Finder]:
    """All of them, at work before the device comes."""

    def started(name: str, host: Host, *command: object, at: tuple[str, ...]) -> Finder:
        return Finder(name, Seer(start_here(*host.prefix, *map(str, command))), at)

    home, office = ("http://10.77.0.1:",), ("http://10.78.0.1:",)
    six, six_office = (f"http://[{lans.here.link_local(each)}" for each in ("eth0", "eth1"))
    python, libupnp = sys.executable, build("pupnp", "libupnp") / "see_pupnp"
    gssdp, on_async = PEERS / "see_gssdp.py", PEERS / "see_async_upnp_client.py"
    third, far = (f"{host.link_local()}%eth0" for host in (lans.third, lans.far))
    finders = [
        *propchange_finders_running.values(),
        started("gssdp-discover", lans.near, python, gssdp, "eth0", at=home),
        started("gssdp-discover", lans.far, python, gssdp, "eth0", at=office),
        started("libupnp", lans.third, libupnp, "eth0", at=home),
        started("async", lans.third, python, on_async, "10.77.0.3", third, at=(*home, six)),
        started("async", lans.far, python, on_async, "10.78.0.4", far, at=(*office, six_office)),
    ]
    for finder in finders:
        finder.seer.started()
    return finders


@pytest.fixture
def ssdp(lans: TwoLans) -> Iterator[SsdpWire]:
    """The datagrams on both interfaces of ``here``."""
    with contextlib.closing(SsdpWire(lans.here.namespace)) as wire:
        yield wire


@pytest.fixture
def http_here(lans: TwoLans) -> Iterator[Wire]:
    """The HTTP messages on both interfaces of ``here``."""
    with contextlib.closing(Wire(lans.here.namespace)) as wire:
        yield wire


# --- it comes and goes ---


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_each_control_point_finds_the_device_at_once_and_sees_it_go(
    runtime: str, finders: list[Finder], host_device: Callable[..., Hosted], ssdp: SsdpWire
) -> None:
    device = host_device(runtime)
    for finder in finders:
        for at in finder.at:
            line = finder.seer.found(at, device.udn, since=device.began - 1)
            print(f"{finder.name}: found at {at} after {line.at - device.began:.2f} s")

    device.program.ask("quit", "left")
    said = ssdp.wait(lambda each: each.kind == "ssdp:byebye", "byebye", since=device.began)
    for finder in finders:
        line = finder.seer.gone(device.udn, since=said.at - 0.1)
        print(f"{finder.name}: gone {line.at - said.at:.3f} s after the byebye")


def test_control_points_that_start_later_find_the_device_by_a_search(
    lans: TwoLans, start: Start, ssdp: SsdpWire, host_device: Callable[..., Hosted]
) -> None:
    device = host_device("asyncio")
    gssdp = PEERS / "see_gssdp.py"
    later = [
        (own, seer)
        for host, own in ((lans.near, "10.77.0.1"), (lans.far, "10.78.0.1"))
        for seer in (
            Seer(start(*host.prefix, sys.executable, gssdp, "eth0")),
            see(start, host, "asyncio" if host is lans.near else "twisted"),
        )
    ]
    for own, seer in later:
        seer.started()
        seer.found(f"http://{own}:", device.udn)
        # An announcement may have come before the answer, which waits for a part of MX.
        answer = ssdp.wait(
            lambda each, own=own: (
                each.kind == "answer" and each.source == own and each.udn == device.udn
            ),
            f"an answer from {own}",
        )
        assert own.rpartition(".")[0] == answer.destination.rpartition(".")[0]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_control_point_on_the_same_machine_finds_the_device_and_sees_it_go(
    runtime: str, lans: TwoLans, start: Start, host_device: Callable[..., Hosted]
) -> None:
    seer = see(start, lans.here, runtime)
    seer.started()
    device = host_device(runtime)
    seer.found("http://10.7", device.udn)
    since = time.monotonic()
    device.program.ask("quit", "left")
    seer.gone(device.udn, since=since)


def test_a_control_point_in_the_same_program_finds_the_device_and_sees_it_go(
    lans: TwoLans, start: Start, state_directory: str
) -> None:
    udn = f"uuid:{uuid.uuid4()}"
    command = (sys.executable, PEERS / "host_and_see.py", udn, state_directory)
    seer = Seer(start(*lans.here.prefix, *command))
    seer.found("http://10.7", udn)
    since = time.monotonic()
    seer.program.ask("close", "closed")
    seer.gone(udn, since=since)


def test_the_site_is_told_the_address_that_the_site_reaches(
    ssdp: SsdpWire, host_device: Callable[..., Hosted]
) -> None:
    device = host_device("asyncio")
    for source, interface in (("fd77::1", "eth0"), ("fd78::1", "eth1")):
        message = ssdp.wait(
            lambda each, source=source: each.source == source and each.udn == device.udn,
            f"an announcement from {source}",
        )
        assert (message.interface, message.destination) == (interface, "ff05::c")
        assert message.fields["HOST"] == "[FF05::C]:1900"
        assert message.fields["LOCATION"].startswith(f"http://[{source}]:{device.port}/")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_subscriber_on_each_interface_has_the_events(
    runtime: str, propchange_finders: dict[str, Finder], host_device: Callable[..., Hosted]
) -> None:
    device = host_device(runtime)
    for finder in propchange_finders.values():
        finder.seer.found(finder.at[0], device.udn, since=device.began - 1)
        device.subscribe(finder.seer)
        finder.seer.event(device.udn, since=device.began, Value="0")
    device.set("bright")
    for finder in propchange_finders.values():
        finder.seer.event(device.udn, since=device.began, Value="bright")


def test_a_device_of_the_command_is_found_at_once_and_goes_when_it_is_ended(
    lans: TwoLans, finders: list[Finder], start: Start, propchange_command: Path
) -> None:
    device = start(*lans.here.prefix, propchange_command, "host", "examples/renderer.toml")
    told = device.read("description_url")
    began = next(line.at for line in device.lines if "description_url" in line.told)
    path = told["description_url"].partition("://")[2].partition(":")[2]
    udn = told["udn"]
    for finder in finders:
        for at in finder.at:
            line = finder.seer.found(at, udn, since=began - 1)
            assert any(location.endswith(path) for location in line.told["locations"])
            print(f"{finder.name}: found at {at} after {line.at - began:.2f} s")
    ended = time.monotonic()
    device.stop()
    for finder in finders:
        finder.seer.gone(udn, since=ended)


# --- GUPnP's universal control point ---


@pytest.fixture(scope="module")
def universal(lans: TwoLans, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """gupnp-universal-cp at home, with IPv4 and IPv6, as Debian ships it."""
    folder = tmp_path_factory.mktemp("universal-cp")
    command = ("xvfb-run", "-a", "gupnp-universal-cp", "-i", "eth0")
    with (
        contextlib.closing(SsdpWire(lans.here.namespace)) as wire,
        daemon(lans.near, folder, *command, package="gupnp-tools"),
    ):
        wire.wait(lambda each: each.kind == "M-SEARCH", "search of gupnp-universal-cp")
        yield


def is_request(message: Message, *, method: str, source: str) -> bool:
    return message.method == method and message.source.startswith(source)


@pytest.mark.usefixtures("universal")
def test_the_universal_control_point_reads_the_device_and_subscribes(
    lans: TwoLans,
    host_device: Callable[..., Hosted],
    http_here: Wire,
    state_directory: str,
) -> None:
    """It subscribes again after a byebye and a return at the same port. So it saw the byebye."""
    options: dict[str, Any] = {"state_directory": state_directory}
    six = lans.near.link_local()
    for runtime in RUNTIMES:
        mark = http_here.mark()
        device = host_device(runtime, **options)
        options |= {"port": device.port, "udn": device.udn}
        for source in ("10.77.0.2:", f"[{six}]:"):
            wanted = partial(is_request, method="GET", source=source)
            read = http_here.wait(wanted, f"GET from {source}", after=mark)
            assert http_here.answer(read).status == 200
        # It subscribes once, over either.
        subscribe = http_here.request("SUBSCRIBE", after=mark)
        sid = http_here.answer(subscribe).fields["SID"]
        notify = http_here.request("NOTIFY", after=mark, sid=sid, seq="0")
        assert http_here.answer(notify).status == 200
        device.program.stop()


RENDERER = """
name = "Kitchen radio"
type = "urn:schemas-upnp-org:device:MediaRenderer:1"
[[services]]
standard = "RenderingControl:1"
[[services]]
standard = "AVTransport:1"
[[services]]
standard = "ConnectionManager:1"
"""


def test_the_av_control_point_of_gupnp_follows_a_renderer_of_the_command(
    lans: TwoLans, start: Start, tmp_path: Path, propchange_command: Path, http_here: Wire
) -> None:
    description = tmp_path / "renderer.toml"
    description.write_text(RENDERER)
    device = start(*lans.here.prefix, propchange_command, "host", description)
    urls = device.read("event_urls")["event_urls"]
    command = ("xvfb-run", "-a", "gupnp-av-cp", "-i", "eth0")
    with daemon(lans.near, tmp_path, *command, package="gupnp-tools"):
        for service in ("RenderingControl", "AVTransport"):
            target = urlsplit(urls[service]).path
            subscribe = http_here.wait(
                lambda each, target=target: each.start == f"SUBSCRIBE {target} HTTP/1.1",
                f"SUBSCRIBE to {service}",
            )
            sid = http_here.answer(subscribe).fields["SID"]
            assert http_here.answer(http_here.request("NOTIFY", sid=sid, seq="0")).status == 200
            if service == "RenderingControl":
                volume = sid
        device.tell("RenderingControl.Volume=13")
        changed = http_here.request("NOTIFY", sid=volume, seq="1")
        assert b'&lt;Volume channel="Master" val="13"/&gt;' in changed.body
        assert http_here.answer(changed).status == 200
        # It has asked for the state of the renderer by actions.
        for action in ("GetVolume", "GetTransportInfo"):
            called = http_here.wait(
                lambda each, action=action: f'#{action}"' in each.fields.get("SOAPACTION", ""),
                f"call of {action}",
            )
            assert http_here.answer(called).status == 200


# --- what changes while it runs ---


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_interface_that_comes_and_goes_is_announced_and_the_other_one_continues(
    runtime: str,
    lans: TwoLans,
    finders: list[Finder],
    propchange_finders: dict[str, Finder],
    host_device: Callable[..., Hosted],
) -> None:
    home, office = propchange_finders["home"], propchange_finders["office"]
    at_office = [each for each in finders if each.at[0] == office.at[0]]
    lans.unplug_from_office()
    device = host_device(runtime)
    home.seer.found(home.at[0], device.udn, since=device.began - 1)
    device.subscribe(home.seer)
    home.seer.event(device.udn, since=device.began, Value="0")

    came = time.monotonic()
    lans.plug_into_office()
    for finder in at_office:
        line = finder.seer.found("http://10.78.0.1:", device.udn, since=came)
        print(f"{finder.name}: found {line.at - came:.2f} s after the interface came")
    device.subscribe(office.seer)
    office.seer.event(device.udn, since=came, Value="0")
    device.set("both")
    for finder in (home, office):
        finder.seer.event(device.udn, since=came, Value="both")

    went = time.monotonic()
    lans.unplug_from_office()
    device.set("one")
    home.seer.event(device.udn, since=went, Value="one")
    time.sleep(1)  # while that is announced at home
    lans.plug_into_office()
    back = time.monotonic()
    device.set("again")
    office.seer.event(device.udn, since=back, Value="again")
    home.seer.event(device.udn, since=back, Value="again")
    # At home it was one subscription all the time.
    told = [line.told for line in home.seer.program.lines if line.at > came]
    assert not [each for each in told if each.get("status")]
    assert [each["seq"] for each in told if "event" in each] == [1, 2, 3]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_control_points_that_start_while_the_cable_is_out_find_the_device_when_it_is_back(
    runtime: str,
    lans: TwoLans,
    start: Start,
    host_device: Callable[..., Hosted],
) -> None:
    """The addresses have not changed meanwhile."""
    device = host_device(runtime)
    lans.here.unplug("eth1")
    six = lans.far.link_local()
    on_async = PEERS / "see_async_upnp_client.py"
    newcomers = [
        see(start, lans.far, runtime),
        Seer(start(*lans.far.prefix, sys.executable, PEERS / "see_gssdp.py", "eth0")),
        Seer(start(*lans.far.prefix, sys.executable, on_async, "10.78.0.4", f"{six}%eth0")),
    ]
    for seer in newcomers:
        seer.started()
    time.sleep(2)  # their searches are over
    back = time.monotonic()
    lans.here.plug_in("eth1")
    for seer in newcomers:
        line = seer.found("http://10.78.0.1:", device.udn, since=back)
        print(f"found {line.at - back:.2f} s after the cable was back")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_another_address_is_announced_and_subscriptions_continue(
    runtime: str,
    lans: TwoLans,
    propchange_finders: dict[str, Finder],
    host_device: Callable[..., Hosted],
) -> None:
    home, office = propchange_finders["home"], propchange_finders["office"]
    device = host_device(runtime)
    for finder in (home, office):
        finder.seer.found(finder.at[0], device.udn, since=device.began - 1)
        device.subscribe(finder.seer)
        finder.seer.event(device.udn, since=device.began, Value="0")

    changed = time.monotonic()
    lans.here.ip("addr del 10.77.0.1/24 dev eth0")
    lans.here.ip("addr add 10.77.0.11/24 dev eth0")
    try:
        line = home.seer.found("http://10.77.0.11:", device.udn, since=changed)
        print(f"found at the new address {line.at - changed:.2f} s after the change")
        device.set("moved")
        for finder in (home, office):
            finder.seer.event(device.udn, since=changed, Value="moved")
    finally:
        lans.here.ip("addr del 10.77.0.11/24 dev eth0")
        lans.here.ip("addr add 10.77.0.1/24 dev eth0")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_an_excluded_interface_hears_nothing_of_the_device(
    runtime: str,
    propchange_finders: dict[str, Finder],
    host_device: Callable[..., Hosted],
    ssdp: SsdpWire,
) -> None:
    device = host_device(runtime, exclude=["eth1"])
    home = propchange_finders["home"]
    for at in home.at:
        home.seer.found(at, device.udn, since=device.began - 1)
    device.program.stop()
    home.seer.gone(device.udn, since=device.began)
    sent = [each for each in ssdp.datagrams if each.udn == device.udn]
    assert {each.interface for each in sent} == {"eth0"}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_device_that_crashes_and_returns_is_followed(
    runtime: str,
    propchange_finders: dict[str, Finder],
    host_device: Callable[..., Hosted],
    state_directory: str,
) -> None:
    """No byebye: the BOOTID, which is higher, says that it has restarted."""
    device = host_device(runtime, state_directory=state_directory)
    for finder in propchange_finders.values():
        finder.seer.found(finder.at[0], device.udn, since=device.began - 1)
        device.subscribe(finder.seer)
        finder.seer.event(device.udn, since=device.began, Value="0")
    device.program.kill()
    again = host_device(runtime, state_directory=state_directory, udn=device.udn)
    for finder in propchange_finders.values():
        line = finder.seer.event(device.udn, since=again.began, Value="0")
        print(f"{finder.name}: subscribed afresh after {line.at - again.began:.2f} s")
