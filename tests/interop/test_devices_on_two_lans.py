"""propchange's control point on a host with two interfaces finds and follows devices of other makes
on both: over IPv4 and IPv6, on asyncio and on Twisted."""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from lab.fixtures import Start
from lab.peers import PEERS, WEB
from lab.programs import Program
from lab.two_lans import TwoLans
from tests.interop import soap
from tests.interop.conftest import Stack, daemon
from tests.interop.lans import RUNTIMES, lans_fixture, see, start_here_fixture  # noqa: F401 - fixtures
from tests.interop.seeing import Seer
from tests.interop.ssdp_wire import SsdpWire

LIBUPNP_UDN = "uuid:6a0c1d58-0b7e-4f0e-9d56-5d1b6f3c2a10"
GUPNP_UDN = "uuid:6a0c1d58-0b7e-4f0e-9d56-5d1b6f3c2a11"
ASYNC_UDN = "uuid:6a0c1d58-0b7e-4f0e-9d56-5d1b6f3c2a12"

pytestmark = pytest.mark.xdist_group("two LANs")


@pytest.fixture(scope="module")
def seers(lans: TwoLans, start_here: Start) -> dict[str, Seer]:
    """Control points on ``here``, one on each runtime, that have begun before the devices."""
    seers = {runtime: see(start_here, lans.here, runtime) for runtime in RUNTIMES}
    for seer in seers.values():
        seer.started()
    return seers


@pytest.fixture(params=RUNTIMES)
def seer(request: pytest.FixtureRequest, seers: dict[str, Seer]) -> Seer:
    return seers[request.param]


# --- the devices ---


class BenchDevice(NamedTuple):
    """A device with one evented variable, Value."""

    program: Program
    udn: str
    url: str
    """How its locations begin."""


@pytest.fixture(scope="module")
def async_bench(
    lans: TwoLans, seers: dict[str, Seer], start_here: Start, async_upnp_client: Stack
) -> BenchDevice:
    """At home, on async-upnp-client."""
    program = PEERS / "pub_async_upnp_client.py"
    bench = start_here(*lans.third.prefix, sys.executable, program, "10.77.0.3", "49152", ASYNC_UDN)
    bench.read("ready")
    return BenchDevice(bench, ASYNC_UDN, "http://10.77.0.3:49152/")


@pytest.fixture(scope="module")
def gupnp_bench(
    lans: TwoLans,
    seers: dict[str, Seer],
    start_here: Start,
    gupnp: Stack,
    tmp_path_factory: pytest.TempPathFactory,
) -> BenchDevice:
    """At the office, on GUPnP, with link-local IPv6 alone."""
    address = lans.far.link_local()
    web = tmp_path_factory.mktemp("web")
    shutil.copytree(WEB, web, dirs_exist_ok=True)
    description = web / "desc.xml"
    description.write_text(description.read_text().replace(LIBUPNP_UDN, GUPNP_UDN))
    bench = start_here(*lans.far.prefix, gupnp.device[0], address, "49160", web)
    bench.read("ready")
    url = f"http://[{address}%eth1]:49160/"
    return BenchDevice(bench, GUPNP_UDN, url)


@pytest.fixture(scope="module")
def libupnp_bench(
    lans: TwoLans,
    seers: dict[str, Seer],
    start_here: Start,
    libupnp: Stack,
) -> BenchDevice:
    """At the office, on libupnp, with IPv4."""
    bench = start_here(*lans.far.prefix, libupnp.device[0], "eth0", "49170", WEB)
    bench.read("ready")
    return BenchDevice(bench, LIBUPNP_UDN, "http://10.78.0.4:49170/")


BENCHES = ("async_bench", "gupnp_bench", "libupnp_bench")


@pytest.fixture(params=BENCHES)
def bench(request: pytest.FixtureRequest) -> BenchDevice:
    found: BenchDevice = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def light(
    lans: TwoLans, seers: dict[str, Seer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """At home, the light of gupnp-tools, with IPv4 and IPv6."""
    folder = tmp_path_factory.mktemp("network-light")
    command = ("xvfb-run", "-a", "gupnp-network-light", "-i", "eth0", "-p", "49180")
    with daemon(lans.near, folder, *command, package="gupnp-tools"):
        yield


@pytest.fixture(scope="module")
def renderer(
    lans: TwoLans, seers: dict[str, Seer], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """At the office, GMediaRender."""
    folder = tmp_path_factory.mktemp("gmediarender")
    where = ("-I", "eth0", "-p", "49190", "-f", "GMediaRender", "--gstout-audiosink=fakesink")
    with daemon(lans.far, folder, "gmediarender", *where, package="gmediarender"):
        yield


# --- finding, subscribing, events ---


def test_each_device_is_found_on_its_interface_and_evented(bench: BenchDevice, seer: Seer) -> None:
    seer.found(bench.url, bench.udn)
    url = seer.program.ask(f"subscribe {bench.udn} Bench", "subscribing")["subscribing"]
    assert url.startswith(bench.url)
    seer.event(bench.udn, Value="0")
    bench.program.ask("set bright", "set")
    seer.event(bench.udn, Value="bright")
    bench.program.ask("set 0", "set")
    seer.event(bench.udn, Value="0")


def test_a_light_is_one_device_with_an_address_of_each_ip_version(
    lans: TwoLans, light: None, seer: Seer
) -> None:
    seer.found("http://10.77.0.2:")
    told = seer.found(f"http://[{lans.near.link_local()}%eth0]:").told
    # Both are of one device, and neither is said to be at the other interface.
    assert {url.partition("%")[2].partition("]")[0] for url in told["locations"]} == {"", "eth0"}

    udn = told["udn"]
    seer.program.ask(f"subscribe {udn} SwitchPower", "subscribing")
    lit = seer.event(udn).told["event"]["Status"]
    url = next(url for url in told["locations"] if url.startswith("http://10."))
    soap.invoke(lans.here.namespace, url, "SwitchPower", "SetTarget", newTargetValue=int(not lit))
    seer.event(udn, Status=not lit)


def test_a_media_renderer_as_debian_ships_it_is_found_and_evented(
    renderer: None, seer: Seer
) -> None:
    udn = seer.found("http://10.78.0.4:49190/").told["udn"]
    seer.program.ask(f"subscribe {udn} RenderingControl", "subscribing")
    assert "Volume" in seer.event(udn).told["event"]


# --- their end ---


def test_a_pulled_plug_is_noticed_by_the_renewal_and_by_the_expiry_of_what_was_announced(
    lans: TwoLans, async_bench: BenchDevice, libupnp_bench: BenchDevice, start: Start
) -> None:
    """Two seconds are granted and announced at most. On the other interface, events continue."""
    bounds = {"duration_most_seconds": 2, "connect_seconds": 1, "request_seconds": 1}
    ages = {"max_age_most_seconds": 4, "max_age_margin_seconds": 1}
    followers = [see(start, lans.here, runtime, **bounds, **ages) for runtime in RUNTIMES]
    for follower in followers:
        for bench in (async_bench, libupnp_bench):
            follower.found(bench.url, bench.udn)
            follower.program.ask(f"subscribe {bench.udn} Bench", "subscribing")
            follower.event(bench.udn, Value="0")
    pulled = time.monotonic()
    lans.third.unplug()
    for follower in followers:
        follower.status(async_bench.udn, "resubscribing", "lost", "subscribing", since=pulled)
        follower.gone(async_bench.udn, since=pulled)
    libupnp_bench.program.ask("set still", "set")
    for follower in followers:
        follower.event(libupnp_bench.udn, Value="still", since=pulled)
    back = time.monotonic()
    lans.third.plug_in()
    async_bench.program.ask("set back", "set")
    for follower in followers:
        follower.event(async_bench.udn, Value="back", since=back)
    libupnp_bench.program.ask("set 0", "set")
    async_bench.program.ask("set 0", "set")


def test_a_goodbye_is_noticed_at_once(
    lans: TwoLans, seers: dict[str, Seer], bench: BenchDevice, record_property: Callable[..., None]
) -> None:
    for seer in seers.values():
        seer.found(bench.url, bench.udn)
    with contextlib.closing(SsdpWire(lans.here.namespace)) as wire:
        left = time.monotonic()
        bench.program.stop()
        said = wire.wait(
            lambda each: each.kind == "ssdp:byebye" and each.udn == bench.udn,
            f"byebye of {bench.udn}",
        )
    for runtime, seer in seers.items():
        gone = seer.gone(bench.udn, since=left)
        record_property(f"{runtime}: seconds from the byebye", round(gone.at - said.at, 3))
        print(f"{runtime}: gone {gone.at - said.at:.3f} s after the byebye")


# --- interfaces ---


def test_a_device_on_an_interface_that_comes_later_is_found_and_followed(
    lans: TwoLans, libupnp: Stack, start: Start
) -> None:
    """It is also followed when the interface has gone and comes again, to its goodbye."""
    lans.unplug_from_office()
    device = start(*lans.far.prefix, libupnp.device[0], "eth0", "49175", WEB)
    device.read("ready")
    newcomers = {runtime: see(start, lans.here, runtime) for runtime in RUNTIMES}
    for seer in newcomers.values():
        seer.started()
    came = time.monotonic()
    lans.plug_into_office()
    for runtime, seer in newcomers.items():
        found = seer.found("http://10.78.0.4:49175/", LIBUPNP_UDN, since=came)
        print(f"{runtime}: found {found.at - came:.2f} s after the interface came")
        seer.program.ask(f"subscribe {LIBUPNP_UDN} Bench", "subscribing")
        seer.event(LIBUPNP_UDN, Value="0")
    lans.unplug_from_office()
    lans.plug_into_office()
    back = time.monotonic()
    device.ask("set back", "set")
    for seer in newcomers.values():
        seer.event(LIBUPNP_UDN, since=back, Value="back")
        seer.found("http://10.78.0.4:49175/", LIBUPNP_UDN, since=back)
    device.stop()
    for seer in newcomers.values():
        seer.gone(LIBUPNP_UDN, since=back)
