"""What a control point finds out before it believes a multicast event."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.discovery.advertisement import Advertisement, AdvertisementKind
from propchange.core.discovery.presence import Presence
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import OnLink
from propchange.core.multicast.message import MulticastMessage, MulticastScope, ServiceIdentity
from propchange.core.multicast.reception import (
    MulticastEvent,
    MulticastOutcome,
    MulticastReception,
    MulticastRefused,
    NotBelieved,
)
from propchange.core.multicast.verification import (
    BootIdWanted,
    DescriptionWanted,
    MulticastFilter,
    MulticastVerification,
    Wanted,
)
from propchange.core.wire.messages import Endpoint
from propchange.core.wire.propertyset import format_propertyset
from propchange.core.wire.urls import endpoint_of_url

DOOR = ServiceIdentity(
    "uuid:Door", "urn:example.org:service:Door:2", "urn:example-org:serviceId:Door"
)
DEVICE, STRANGER = Endpoint("10.0.0.1", 50_000), Endpoint("10.0.0.66", 50_000)
SIX = Endpoint("fe80::1", 50_000, 3)
LOCATION = "http://10.0.0.1:80/d.xml"
ALL = MulticastFilter()


def locate(url: str) -> Endpoint:
    if "%4]" in url:
        raise ValueError("there is no interface 4")
    return endpoint_of_url(url, int)


class ControlPoint:
    """A control point with its discovery, and a clock that the test moves."""

    def __init__(self, *wanted: MulticastFilter, limits: Limits = DEFAULT_LIMITS) -> None:
        self.now = 100.0
        self.outcomes: list[MulticastOutcome] = []
        self.reception = MulticastReception(limits, self.outcomes.append)
        self.presence = Presence(limits=limits)
        self.verification = MulticastVerification(
            self.reception, limits, self.presence.device, locate
        )
        for each in wanted:
            self.verification.want(each)

    def announce(
        self,
        boot_id: int | None = 7,
        *,
        source: Endpoint = DEVICE,
        location: str = LOCATION,
        udn: str = "uuid:door",
        kind: AdvertisementKind = AdvertisementKind.ALIVE,
        next_boot_id: int | None = None,
    ) -> None:
        """The device announces itself."""
        said = Advertisement(
            kind=kind,
            udn=udn,
            target=udn,
            location=location,
            boot_id=boot_id,
            next_boot_id=next_boot_id,
        )
        on_link = (OnLink(ip_network("10.0.0.0/24")), OnLink(ip_network("fe80::/64"), 3))
        self.presence.receive(said, link="eth0", source=source, on_link=on_link, now=self.now)
        self.verification.heard(udn, self.now)

    def receive(
        self,
        seq: int = 0,
        *,
        source: Endpoint | None = DEVICE,
        boot_id: int = 7,
        level: str = "upnp:/info",
        usn: str = DOOR.usn,
        svcid: str = DOOR.service_id,
    ) -> list[Wanted]:
        """A datagram arrives. Returns what is to be found out."""
        body = format_propertyset([("Bell", str(seq))])
        message = MulticastMessage(usn, svcid, seq, level, boot_id, body)
        request = message.request(MulticastScope.IPV4)
        request.peer = source
        self.verification.receive(request, self.now)
        return self.verification.take_wanted()

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.verification.handle_deadline(self.now)

    def describe(self, wanted: Wanted, *, found: bool = True, **options: Any) -> None:
        """The description at the wanted URL was read."""
        assert isinstance(wanted, DescriptionWanted)
        if found:
            known = [each for each in self.reception.expected if each.identity == DOOR]
            if known:
                self.reception.add_source(DOOR.udn, wanted.source)
            else:
                self.expect(sources=[wanted.source], **options)
        self.verification.described(wanted, self.now, found=found)

    def expect(self, sources: Any = (DEVICE.host,)) -> None:
        self.reception.expect(DOOR, variables=["Bell"], sources=sources, convert={"Bell": int})

    def told(self) -> list[object]:
        """The values of the events and the reasons of the refusals since the last call."""
        told: list[object] = [
            each.changes["Bell"] if isinstance(each, MulticastEvent) else each.reason
            for each in self.outcomes
            if isinstance(each, MulticastEvent | MulticastRefused)
        ]
        self.outcomes.clear()
        return told


@pytest.fixture
def known() -> ControlPoint:
    """A control point that wants all events, and follows and believes the door."""
    point = ControlPoint(ALL)
    point.presence.follow("uuid:door", point.now)
    point.announce()
    point.expect()
    return point


# --- a device that nobody has described ---


@pytest.mark.clause("MC-23")
def test_the_first_event_of_a_device_waits_for_its_description() -> None:
    point = ControlPoint(ALL)
    point.announce()
    (wanted,) = point.receive(0)
    assert wanted == DescriptionWanted("uuid:door", DOOR.service_id, LOCATION, "10.0.0.1")
    assert point.receive(1) == []
    assert point.told() == []
    point.describe(wanted)
    assert point.told() == [0, 1]
    assert point.receive(2) == []
    assert point.told() == [2]
    assert point.verification.next_deadline() is None


def test_an_event_waits_for_the_announcement_of_its_device() -> None:
    point = ControlPoint(ALL)
    assert point.receive(0) == []
    assert point.verification.next_deadline() == 103.0
    point.wait(1)
    point.announce(udn="uuid:another")
    point.announce()
    (wanted,) = point.verification.take_wanted()
    point.describe(wanted)
    assert point.told() == [0]


@pytest.mark.clause("MC-23")
def test_an_event_of_a_device_that_does_not_announce_itself_is_refused_in_the_end() -> None:
    point = ControlPoint(ALL)
    point.receive(0)
    point.wait(2.9)
    assert point.told() == []
    point.wait(0.1)
    assert point.told() == [NotBelieved.UNKNOWN_SERVICE]
    assert point.verification.next_deadline() is None


@pytest.mark.clause("MC-23")
def test_a_device_is_described_only_at_the_address_that_the_event_came_from() -> None:
    point = ControlPoint(ALL)
    point.announce()
    assert point.receive(0, source=STRANGER) == []
    point.wait(5)
    assert point.told() == [NotBelieved.UNKNOWN_SERVICE]
    (wanted,) = point.receive(1, source=DEVICE)
    point.describe(wanted)
    assert point.told() == [1]


def test_a_description_without_the_service_is_not_read_again_for_each_event() -> None:
    point = ControlPoint(ALL)
    point.announce()
    (wanted,) = point.receive(0)
    point.describe(wanted, found=False)
    assert point.receive(1) == []
    assert point.told() == [NotBelieved.UNKNOWN_SERVICE]
    point.now += DEFAULT_LIMITS.multicast_read_seconds
    assert point.receive(2) == [wanted]


def test_the_descriptions_that_are_read_are_bounded() -> None:
    point = ControlPoint(ALL, limits=replace(DEFAULT_LIMITS, multicast_services=2))
    point.announce()
    wanted = [point.receive(0, svcid=f"urn:{number}") for number in range(4)]
    assert list(map(len, wanted)) == [1, 1, 0, 0]
    for (each,) in wanted[:2]:
        point.describe(each, found=False)
    point.now += DEFAULT_LIMITS.multicast_read_seconds
    assert len(point.receive(0, svcid="urn:4")) == 1


def test_a_description_that_comes_when_nobody_wants_events_any_more_does_nothing() -> None:
    point = ControlPoint(ALL)
    point.announce()
    (wanted,) = point.receive(0)
    point.verification.unwant(ALL)
    assert point.verification.next_deadline() is None
    point.describe(wanted, found=False)
    assert point.told() == []
    assert point.verification._reads == {}


# --- the addresses of a device ---


@pytest.mark.clause("MC-23")
def test_another_address_is_one_of_the_device_if_the_device_is_described_there(
    known: ControlPoint,
) -> None:
    known.announce(source=SIX, location="http://[fe80::1]:80/d.xml")
    (wanted,) = known.receive(0, source=SIX)
    assert wanted == DescriptionWanted(
        "uuid:door", DOOR.service_id, "http://[fe80::1%3]:80/d.xml", "fe80::1%3"
    )
    known.describe(wanted)
    assert known.told() == [0]
    # The same address on another link is another host.
    assert known.receive(1, source=SIX._replace(scope=4)) == []
    assert known.told() == []
    assert known.receive(1, source=DEVICE) == []
    assert known.told() == [1]


@pytest.mark.clause("MC-23")
def test_a_host_that_announces_itself_in_the_name_of_a_device_is_not_believed(
    known: ControlPoint,
) -> None:
    known.announce(source=STRANGER, location="http://10.0.0.66:80/d.xml")
    (wanted,) = known.receive(0, source=STRANGER)
    known.describe(wanted, found=False)
    assert known.told() == [NotBelieved.UNKNOWN_SOURCE]
    known.receive(0)
    assert known.told() == [0]


# --- BOOTID ---


@pytest.mark.clause("MC-23", "MC-11")
def test_a_device_that_restarts_is_believed_once_it_has_announced_its_boot_id(
    known: ControlPoint,
) -> None:
    known.receive(5)
    assert known.receive(0, boot_id=8) == [BootIdWanted("uuid:door")]
    assert known.told() == [5]
    known.announce(7)  # an answer from before
    assert known.verification.take_wanted() == []
    assert known.told() == []
    known.announce(8)
    assert known.told() == [0]
    assert known.receive(6, boot_id=7) == [BootIdWanted("uuid:door")]
    known.wait(5)
    assert known.told() == [NotBelieved.OTHER_BOOT_ID]


@pytest.mark.clause("MC-23")
def test_an_update_announces_the_next_boot_id(known: ControlPoint) -> None:
    known.announce(7, kind=AdvertisementKind.UPDATE, next_boot_id=9)
    assert known.receive(0, boot_id=9) == []
    assert known.told() == [0]


@pytest.mark.clause("MC-23")
def test_no_other_host_changes_the_boot_id_of_a_device(known: ControlPoint) -> None:
    for boot_id in range(100, 200):
        known.announce(boot_id, source=STRANGER)
        known.announce(boot_id, source=STRANGER, kind=AdvertisementKind.BYEBYE)
    known.receive(0)
    assert known.told() == [0]
    known.receive(1, boot_id=199)
    known.wait(5)
    assert known.told() == [NotBelieved.OTHER_BOOT_ID]


def test_an_address_that_has_announced_nothing_may_have_any_boot_id_of_its_device() -> None:
    point = ControlPoint(ALL)
    point.announce()
    point.expect(sources=["10.0.0.2"])
    point.receive(0, source=Endpoint("10.0.0.2", 5))
    assert point.told() == [0]


def test_a_device_without_boot_ids_in_its_announcements_is_believed() -> None:
    point = ControlPoint(ALL)
    point.announce(None)
    point.expect()
    point.receive(0, boot_id=1)
    assert point.told() == [0]


@pytest.mark.clause("MC-23")
def test_a_device_that_was_never_heard_is_searched_for_before_it_is_believed() -> None:
    point = ControlPoint(MulticastFilter(devices=frozenset({"uuid:door"})))
    point.expect()
    assert point.receive(0) == [BootIdWanted("uuid:door")]
    point.presence.follow("uuid:door", point.now)
    assert point.receive(1) == [BootIdWanted("uuid:door")]
    assert point.told() == []
    point.announce()
    assert point.told() == [0, 1]


def test_the_announcement_of_a_root_device_counts_for_the_devices_that_it_embeds() -> None:
    point = ControlPoint(ALL)
    root = point.presence.follow("uuid:house", point.now)
    point.presence.relocated(root, LOCATION, ["uuid:house", "uuid:door"])
    point.expect()
    assert point.receive(0) == [BootIdWanted("uuid:door")]
    point.announce(udn="uuid:house")
    assert point.told() == [0]


# --- what a program wants ---


@pytest.mark.parametrize(
    ("wanted", "is_wanted"),
    [
        (MulticastFilter(), True),
        (MulticastFilter(devices=frozenset({"uuid:door"})), True),
        (MulticastFilter(devices=frozenset({"uuid:window"})), False),
        (MulticastFilter(service_id=DOOR.service_id), True),
        (MulticastFilter(service_id="urn:example-org:serviceId:Doo"), False),
        (MulticastFilter(service_type="Door"), True),
        (MulticastFilter(service_type="urn:example.org:service:Door:1"), True),
        (MulticastFilter(service_type="urn:example-org:service:Door:2"), True),
        (MulticastFilter(service_type="urn:example.org:service:Door:3"), False),
        (MulticastFilter(service_type="Window"), False),
        (MulticastFilter(levels=frozenset({"upnp:/fault", "upnp:/info"})), True),
        (MulticastFilter(levels=frozenset({"upnp:/fault"})), False),
    ],
)
def test_only_what_is_wanted_is_found_out_about(wanted: MulticastFilter, is_wanted: bool) -> None:
    point = ControlPoint(wanted)
    point.announce()
    assert bool(point.receive(0)) is is_wanted
    assert point.told() == ([] if is_wanted else [NotBelieved.UNKNOWN_SERVICE])


def test_a_service_that_nobody_wants_any_more_is_not_expected(known: ControlPoint) -> None:
    door = MulticastFilter(service_type="Door")
    known.verification.want(door)
    known.verification.unwant(ALL)
    known.receive(0)
    assert known.told() == [0]
    known.verification.unwant(door)
    assert known.reception.expected == ()
    known.receive(1)
    assert known.told() == [NotBelieved.UNKNOWN_SERVICE]


def test_an_event_from_no_address_is_refused(known: ControlPoint) -> None:
    assert known.receive(0, source=None) == []
    assert known.told() == [NotBelieved.UNKNOWN_SOURCE]


# --- forged datagrams ---


@pytest.mark.slow
def test_any_number_of_forged_datagrams_fills_nothing(known: ControlPoint) -> None:
    """They name devices that exist and that do not, and come from everywhere."""
    asked = 0
    for number in range(20_000):
        source = Endpoint(f"10.0.{number % 250}.{number // 250}", 5)
        usn = f"uuid:{number if number % 2 else 'door'}::urn:x:service:Door:1"
        asked += len(known.receive(number, source=source, usn=usn, boot_id=number))
    held = known.verification._held
    assert len(held) <= DEFAULT_LIMITS.held_datagrams
    assert asked <= 2
    assert known.verification._reads.keys() <= {("uuid:door", DOOR.service_id, "10.0.0.1")}
    known.receive(0)
    assert known.told()[-1] == 0


def test_forged_datagrams_of_unknown_devices_leave_room_for_one_that_is_known() -> None:
    point = ControlPoint(ALL)
    point.announce()
    for number in range(1_000):
        point.receive(number, source=STRANGER, usn=f"uuid:{number}::urn:x:service:Door:1")
    (wanted,) = point.receive(0)
    point.describe(wanted)
    assert point.told()[-1] == 0


def admitted(point: ControlPoint, source: Endpoint, count: int) -> int:
    return sum(point.verification.admits(source, point.now) for _ in range(count))


def test_a_flood_from_elsewhere_leaves_the_events_of_a_device_alone(known: ControlPoint) -> None:
    limits = DEFAULT_LIMITS
    strangers = [Endpoint(f"10.0.1.{number}", 5) for number in range(200)]
    assert sum(admitted(known, each, 100) for each in strangers) == limits.other_datagrams
    assert admitted(known, DEVICE, 20_000) == limits.device_datagrams
    assert set(known.told()) == {NotBelieved.TOO_MANY}
    known.now += 1
    per_second = 1 / limits.device_datagram_seconds
    assert admitted(known, DEVICE, 20_000) == pytest.approx(per_second, abs=1)


def test_each_address_of_a_device_has_a_bucket_until_nobody_wants_events(
    known: ControlPoint,
) -> None:
    known.reception.add_source(DOOR.udn, "fe80::1%3")
    most = DEFAULT_LIMITS.device_datagrams
    assert [admitted(known, each, 2 * most) for each in (DEVICE, SIX)] == [most, most]
    known.verification.unwant(ALL)
    assert known.verification._buckets == {}
    assert not known.reception.is_source(DEVICE)


def test_a_device_that_is_described_meanwhile_gets_a_bucket_of_its_own() -> None:
    point = ControlPoint(ALL)
    admitted(point, STRANGER, 1_000)
    assert not point.verification.admits(DEVICE, point.now)
    point.expect()
    assert point.verification.admits(DEVICE, point.now)


@pytest.mark.clause("MC-16", "MC-19")
def test_a_copy_from_another_address_is_no_news_and_not_worth_a_warning(
    known: ControlPoint,
) -> None:
    """A device sends each event to several groups, from an address of each scope."""
    known.receive(0)
    for source in (SIX, STRANGER):
        assert known.receive(0, source=source) == []
    assert known.told() == [0]
    known.receive(1, source=SIX)
    known.receive(1)
    known.wait(5)
    assert known.told() == [1]
    assert known.receive(1, source=SIX, boot_id=8) == []
    known.wait(5)
    assert known.told() == [NotBelieved.UNKNOWN_SOURCE]


def test_a_location_on_an_interface_that_has_gone_is_not_read() -> None:
    point = ControlPoint(ALL)
    point.announce(source=SIX._replace(scope=4), location="http://[fe80::1]:80/d.xml")
    device = point.presence.device("uuid:door")
    assert device is not None
    (heard,) = device.links.values()
    heard.locations["http://[fe80::1%4]:80/d.xml"] = None
    assert point.receive(0, source=SIX._replace(scope=4)) == []


def test_one_host_does_not_take_the_room_of_all_others() -> None:
    """It announces devices without end, which all send events."""
    point = ControlPoint(ALL, limits=replace(DEFAULT_LIMITS, services_per_source=3))
    described = 0
    for number in range(10):
        udn = f"uuid:{number}"
        point.announce(udn=udn, source=STRANGER, location=f"http://10.0.0.66:80/{number}")
        usn = f"{udn}::{DOOR.service_type}"
        for wanted in point.receive(0, source=STRANGER, usn=usn):
            assert isinstance(wanted, DescriptionWanted)
            identity = replace(DOOR, udn=wanted.udn)
            point.reception.expect(identity, variables=["Bell"], sources=[wanted.source])
            point.verification.described(wanted, point.now, found=True)
            described += 1
    assert described == 3
    point.announce()
    (wanted,) = point.receive(0)
    point.describe(wanted)
    assert point.told()[-1] == 0


# --- whatever happens ---

STEPS = st.lists(
    st.sampled_from(
        [
            "event",
            "event",
            "announce",
            "restart",
            "describe",
            "wait",
            "long wait",
            "stranger announces",
            "stranger says goodbye",
            "stranger sends",
            "forged boot id",
            "forged device",
            "junk description",
        ]
    ),
    max_size=60,
)
FORGED = 10_000


@given(STEPS)
def test_whatever_happens_no_forged_event_is_told_and_the_next_true_one_is(
    steps: list[str],
) -> None:
    point = ControlPoint(ALL)
    boot_id, seq = 7, 0
    wanted: list[Wanted] = []

    def event() -> None:
        nonlocal seq
        wanted.extend(point.receive(seq, boot_id=boot_id))
        seq += 1

    def describe_all() -> None:
        while wanted:
            each = wanted.pop(0)
            # The search is answered by the device, a description is read where it was announced.
            if isinstance(each, BootIdWanted):
                point.announce(boot_id)
            elif each.source == DEVICE.host:
                point.describe(each)
            else:
                point.describe(each, found=False)
            wanted.extend(point.verification.take_wanted())

    for step in steps:
        match step:
            case "event":
                event()
            case "announce":
                point.announce(boot_id)
            case "restart":
                boot_id, seq = boot_id + 1, 0
            case "describe":
                describe_all()
            case "junk description" if wanted and isinstance(wanted[0], DescriptionWanted):
                point.describe(wanted.pop(0), found=False)
            case "wait":
                point.wait(0.5)
            case "long wait":
                point.wait(60)
            case "stranger announces":
                point.announce(99, source=STRANGER, location="http://10.0.0.66:80/d.xml")
            case "stranger says goodbye":
                point.announce(None, source=STRANGER, kind=AdvertisementKind.BYEBYE)
            case "stranger sends":
                wanted.extend(point.receive(FORGED, source=STRANGER, boot_id=boot_id))
            case "forged boot id":
                wanted.extend(point.receive(FORGED, boot_id=boot_id + 50))
            case "forged device":
                usn = f"uuid:none::{DOOR.service_type}"
                wanted.extend(point.receive(FORGED, usn=usn))
        wanted.extend(point.verification.take_wanted())
    assert FORGED not in point.told()
    # The device announces itself, what is asked for is answered, and an event follows.
    point.wait(60)
    point.announce(boot_id)
    wanted.extend(point.verification.take_wanted())
    describe_all()
    point.told()
    event()
    describe_all()
    assert point.told()[-1:] == [seq - 1]
    assert point.verification.next_deadline() is None
