"""``propchange discover`` and ``watch uuid:…``, with a device that announces itself on loopback."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urljoin

import pytest

from propchange import Device, Service, StateVariable, host
from propchange.asyncio.remote import Sighting
from propchange.cli.discover import _Devices
from propchange.cli.lines import DeviceLine, now
from propchange.cli.options import nothing_found
from propchange.cli.output import Writer
from propchange.cli.terminal import TerminalLines
from propchange.driver.sightings import SightingKind
from propchange.upnp.description import DeviceDescription, ServiceDescription
from tests.asyncio.announcing import Announcer

TYPE = "urn:example-org:device:Bench:1"
HOSTILE = "Bench\x85[bold]\u202e"


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)


class Silent(Service, type="urn:example-org:service:Silent:1"):
    level = StateVariable("ui1", evented=False)


@pytest.fixture
def bench(loop: Any) -> Iterator[Any]:
    """A device that answers searches on the loopback interface."""
    device = Device(
        HOSTILE, services=[Thermometer(), Silent()], udn=f"uuid:{uuid.uuid4()}", type=TYPE
    )
    hosting = host(device, interface="127.0.0.1")
    hosted = loop.run(hosting.__aenter__())
    announcing = Announcer(device, hosted.description_url)
    loop.run(announcing.__aenter__())
    yield SimpleNamespace(udn=device.udn, url=hosted.description_url, announcer=announcing)
    loop.run(announcing.__aexit__())
    loop.run(hosting.__aexit__(None, None, None))


def of(bench: Any, out: str) -> list[dict[str, Any]]:
    return [told for told in map(json.loads, out.splitlines()) if told["udn"] == bench.udn]


@pytest.mark.slow
def test_a_device_is_found_with_the_services_that_send_events(bench: Any, propchange: Any) -> None:
    ran = propchange("discover", "--interface", "127.0.0.1", "--seconds", "1")

    (found,) = of(bench, ran.out)
    assert (ran.status, ran.err) == (0, "")
    assert found.pop("time")
    assert found == {
        "kind": "appeared",
        "udn": bench.udn,
        "friendly_name": HOSTILE,
        "device_type": TYPE,
        "description_url": bench.url,
        "locations": [bench.url],
        "evented": ["Thermometer"],
        "services": [
            {
                "service": name,
                "udn": bench.udn,
                "service_id": f"urn:example-org:serviceId:{name}",
                "service_type": f"urn:example-org:service:{name}:1",
                "event_url": event_path and urljoin(bench.url, event_path),
            }
            for name, event_path in (("Thermometer", "/Thermometer/event"), ("Silent", None))
        ],
        "types": [
            TYPE,
            "urn:example-org:service:Thermometer:1",
            "urn:example-org:service:Silent:1",
        ],
        "problem": None,
        "problems": [],
    }
    # Nothing that a terminal would act on has left as it came.
    assert "\x85" not in ran.out
    assert "\u202e" not in ran.out


@pytest.mark.slow
def test_a_type_is_searched_for_and_others_are_left_out(bench: Any, propchange: Any) -> None:
    words = ("discover", "--interface", "127.0.0.1", "--seconds", "0.8", "--type")
    assert of(bench, propchange(*words, TYPE).out)
    assert TYPE in bench.announcer.searches
    ran = propchange(*words, "urn:example-org:device:NoSuchThing:1")
    assert (ran.status, ran.out) == (1, "")
    assert "no device with the type urn:example-org:device:NoSuchThing:1 has answered" in ran.err
    assert "searched from 127.0.0.1" in ran.err


@pytest.mark.slow
def test_a_description_that_cannot_be_had_is_said(bench: Any, propchange: Any) -> None:
    bench.announcer.location = bench.url + "/nothing"
    ran = propchange("discover", "--interface", "127.0.0.1", "--seconds", "0.8")

    (found,) = of(bench, ran.out)
    assert found["friendly_name"] is None
    assert "was answered with 404" in found["problem"]


def test_without_an_interface_for_multicast_that_is_said() -> None:
    assert "no interface of this machine" in nothing_found(5.0, None, ())
    endless = nothing_found(0, None, ("192.0.2.1",))
    assert endless.startswith("no device has answered (searched from 192.0.2.1)")


def sighting(kind: SightingKind, **more: Any) -> Sighting:
    fields: dict[str, Any] = {
        "udn": "uuid:a",
        "types": (TYPE,),
        "locations": ("http://192.0.2.9/d",),
        "is_root": True,
        "server": None,
        "_driver": None,
    }
    return Sighting(kind, **(fields | more))


DESCRIBED = DeviceDescription(
    "http://192.0.2.9/d",
    "uuid:a",
    HOSTILE,
    TYPE,
    services=(ServiceDescription("urn:x:service:A:1", "urn:x:serviceId:A", "", "", "http://e/"),),
)


@pytest.mark.parametrize(
    ("kind", "description", "error", "lines"),
    [
        (
            SightingKind.APPEARED,
            DESCRIBED,
            None,
            [
                "Bench\\x85[bold]\\u202e  Bench:1",
                "    http://192.0.2.9/d",
                "    uuid:a",
                "    sends events: A",
            ],
        ),
        (
            SightingKind.CHANGED,
            None,
            "no connection\x1b",
            [
                "changed: uuid:a  Bench:1",
                "    http://192.0.2.9/d",
                "    uuid:a",
                "    the description cannot be read: no connection\\x1b",
            ],
        ),
        (
            SightingKind.GONE,
            DESCRIBED,
            None,
            ["gone: Bench\\x85[bold]\\u202e  Bench:1", "    uuid:a"],
        ),
        (
            SightingKind.APPEARED,
            DeviceDescription("http://192.0.2.9/d", "uuid:a", "", TYPE),
            None,
            ["uuid:a  Bench:1", "    http://192.0.2.9/d", "    uuid:a", "    sends no events"],
        ),
    ],
)
def test_a_terminal_gets_lines_for_people(
    kind: SightingKind,
    description: DeviceDescription | None,
    error: str | None,
    lines: list[str],
) -> None:
    form = TerminalLines(io.StringIO())
    assert form.device(DeviceLine(now(), sighting(kind), description, error)).splitlines() == lines


class Sighted:
    """A control point that sees what the test says."""

    def __init__(self, *sightings: Sighting, more: float = 0.0) -> None:
        self._sightings = sightings
        self._more = more

    async def devices(self, _: str | None) -> AsyncIterator[Sighting]:
        for each in self._sightings:
            yield each
            await asyncio.sleep(self._more)


class Lines:
    """Keeps the lines as they are printed."""

    def __init__(self) -> None:
        self.lines: list[DeviceLine] = []

    def device(self, line: DeviceLine) -> str:
        if line.time.year > 1970:
            self.lines.append(line)
        return f"{line.sighting.types} {line.description}"


async def discovered(*sightings: Sighting, more: float = 0.0) -> list[DeviceLine]:
    form: Any = Lines()
    point: Any = Sighted(*sightings, more=more)
    devices = _Devices(point, Writer(None), form)
    await devices.see(None)
    await devices.finish()
    return form.lines


class Described(Sighting):
    __slots__ = ()

    async def description(self) -> DeviceDescription:
        return DESCRIBED


def described(kind: SightingKind, **more: Any) -> Sighting:
    seen = sighting(kind, **more)
    return Described(**{name: getattr(seen, name) for name in seen.__dataclass_fields__})


@pytest.mark.slow
async def test_a_device_is_printed_once_when_it_has_announced_all_of_its_types() -> None:
    appeared, changed, gone = SightingKind.APPEARED, SightingKind.CHANGED, SightingKind.GONE
    lines = await discovered(
        described(appeared), described(changed, types=(TYPE, "urn:x:service:A:1"))
    )
    assert [(line.sighting.kind, len(line.sighting.types)) for line in lines] == [(appeared, 2)]

    # What changes nothing of what is printed is not printed.
    server = described(changed, server="another")
    types = described(changed, types=("urn:x:service:A:1",))
    lines = await discovered(described(appeared), server, types, server, described(gone), more=0.6)
    assert [line.sighting.kind for line in lines] == [appeared, changed, changed, gone]
    assert [line.sighting.types for line in lines[:2]] == [(TYPE,), ("urn:x:service:A:1",)]

    # A device that leaves before it was printed is not printed at all.
    assert await discovered(described(appeared), described(gone)) == []


@pytest.mark.slow
def test_watch_takes_a_udn(bench: Any, propchange: Any) -> None:
    words = ("--interface", "127.0.0.1", "--service", "Thermometer", "--count", "1")
    ran = propchange("watch", bench.udn, *words)

    (event,) = [told for told in map(json.loads, ran.out.splitlines()) if "changes" in told]
    assert (ran.status, ran.err) == (0, "")
    assert event["changes"] == {"Temperature": 20.0}


@pytest.mark.slow
def test_a_reader_that_has_gone_is_no_device_that_is_missing() -> None:
    command = Path(sys.executable).with_name("propchange")
    words = ("discover", "--interface", "127.0.0.1", "--seconds", "30", "--type", "NoSuchThing")
    discovering = subprocess.Popen(
        [command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert discovering.stdout is not None
    discovering.stdout.close()
    assert discovering.stderr is not None
    assert discovering.stderr.read() == ""
    assert discovering.wait(20) == 0
    discovering.stderr.close()


@pytest.mark.parametrize("command", [["discover"], ["watch", "--all"]])
def test_an_excluded_name_that_no_interface_has_is_said(
    propchange: Any, command: list[str]
) -> None:
    ran = propchange(*command, "--seconds", "0.1", "--exclude", "nosuch0", "--exclude", "127.0.0.1")
    assert ran.err.splitlines()[0].startswith(
        "propchange: exclude takes names, and 127.0.0.1 is an address of "
    )
    assert "exclude names 'nosuch0', and there is no such interface now; there are: " in ran.err


def test_one_interface_cannot_be_wanted_and_excluded(propchange: Any) -> None:
    ran = propchange("discover", "--interface", "nosuch0", "--exclude", "nosuch0")
    assert (ran.status, ran.err) == (2, "propchange: interface and exclude both name nosuch0\n")
