"""What advertisements mean: appeared, changed, gone, rebooted, returned, moved."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.discovery.advertised import (
    AdvertisedDevice,
    AdvertisementIgnored,
    DeviceAppeared,
    DeviceChanged,
    DeviceEmbedded,
    DeviceGone,
    DeviceMoved,
    DeviceReturned,
    GoneBy,
    PresenceOutcome,
    PresenceState,
    SearchWanted,
)
from propchange.core.discovery.advertisement import ROOT_DEVICE, Advertisement, AdvertisementKind
from propchange.core.discovery.presence import PRESENCE, Presence, PresenceInput
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.local_addresses import OnLink
from propchange.core.wire.messages import Endpoint
from propchange.errors import LocalProtocolError
from tests.core.transition_rows import check_transitions

UDN = "uuid:00000000-0000-0000-0000-00000000000a"
EMBEDDED = "uuid:00000000-0000-0000-0000-00000000000b"
DEVICE = "192.168.1.20"
URL = f"http://{DEVICE}:8123/d.xml"
OTHER_URL = f"http://{DEVICE}:9999/d.xml"
RENDERER = "urn:schemas-upnp-org:device:MediaRenderer:1"
SERVICE = "urn:schemas-upnp-org:service:AVTransport:1"
ON_LINK = (OnLink(ip_network("192.168.0.0/16")), OnLink(ip_network("2001:db8::/64"), 2))
BYEBYE = AdvertisementKind.BYEBYE


class LAN:
    """Presence, on a clock that the test owns, with what it has told."""

    def __init__(self, **options: Any) -> None:
        self.limits: Limits = options.setdefault("limits", DEFAULT_LIMITS)
        self.presence = Presence(**options)
        self.now = 1000.0

    def say(
        self,
        kind: AdvertisementKind = AdvertisementKind.ALIVE,
        *,
        link: str = "eth0",
        source: str = DEVICE,
        udn: str = UDN,
        target: str = ROOT_DEVICE,
        location: str = URL,
        **fields: Any,
    ) -> list[PresenceOutcome]:
        """One advertisement, and what comes of it at once."""
        advertisement = Advertisement(
            kind=kind,
            udn=udn,
            target=target,
            location="" if kind is BYEBYE else location,
            **fields,
        )
        self.presence.receive(
            advertisement, link=link, source=Endpoint(source, 1900), on_link=ON_LINK, now=self.now
        )
        return self.presence.take_outcomes()

    def announce(self, **fields: Any) -> list[PresenceOutcome]:
        """A whole set, and what comes of it once it has settled."""
        outcomes = []
        for target in (ROOT_DEVICE, UDN, RENDERER, SERVICE):
            outcomes += self.say(target=target, **fields)
        return outcomes + self.wait(1.0)

    def close(self, link: str) -> list[PresenceOutcome]:
        """The interface ``link`` goes."""
        self.presence.close_link(link, self.now)
        return self.presence.take_outcomes()

    def wait(self, seconds: float) -> list[PresenceOutcome]:
        """Let time pass, from deadline to deadline as a runtime does."""
        end = self.now + seconds
        while (due := self.presence.next_deadline()) is not None and due <= end:
            self.now = due
            self.presence.handle_deadline(due)
        self.now = end
        return self.presence.take_outcomes()

    def follow(self, url: str = URL) -> AdvertisedDevice:
        device = self.presence.follow(UDN, self.now)
        self.presence.relocated(device, url)
        return device

    @property
    def known(self) -> list[str]:
        return [device.udn for device in self.presence.devices]


def kinds(outcomes: list[PresenceOutcome]) -> list[str]:
    return [type(outcome).__name__ for outcome in outcomes]


# --- the table ---

ROWS = """
    EXPECTED  HEARD    PRESENT
    EXPECTED  LEFT     GONE
    PRESENT   HEARD    PRESENT
    PRESENT   LEFT     GONE
    PRESENT   EXPIRED  GONE
    GONE      HEARD    PRESENT
    GONE      LEFT     GONE
"""


def test_the_table_has_these_rows_and_any_other_pair_raises() -> None:
    check_transitions(PRESENCE, PresenceState, PresenceInput, ROWS)


# --- appearing ---


@pytest.mark.clause("CP-06")
def test_a_set_sent_thrice_on_two_links_is_one_appearance() -> None:
    lan = LAN()
    outcomes = []
    for _ in range(3):
        for target in (ROOT_DEVICE, UDN, RENDERER, SERVICE):
            for link in ("eth0", "wlan0"):
                outcomes += lan.say(link=link, target=target)
    outcomes += lan.wait(60)
    assert kinds(outcomes) == ["DeviceAppeared"]
    device = outcomes[0].device  # type: ignore[union-attr] # all but one kind have a device
    assert (device.udn, device.location, device.is_root) == (UDN, URL, True)
    assert list(device.types) == [RENDERER, SERVICE]
    assert device.is_present
    assert "PRESENT" in repr(device)


def test_an_answer_to_a_search_counts_as_an_advertisement_does() -> None:
    lan = LAN()
    lan.say(AdvertisementKind.RESPONSE, target=UDN)
    assert kinds(lan.wait(1)) == ["DeviceAppeared"]
    assert lan.known == [UDN]


def test_a_location_that_needs_a_zone_is_the_last_choice() -> None:
    lan = LAN()
    lan.presence.receive(
        Advertisement(
            kind=AdvertisementKind.ALIVE, udn=UDN, target=UDN, location="http://[fe80::1]/d"
        ),
        link="eth0/6",
        source=Endpoint("fe80::1", 1900, 3),
        on_link=(),
        now=lan.now,
    )
    lan.say(link="eth0/4")
    device = lan.presence.device(UDN)
    assert device is not None
    assert device.locations == (URL, "http://[fe80::1%3]/d")


def test_what_is_announced_later_changes_it_once() -> None:
    lan = LAN()
    lan.announce(config_id=1, server="Linux/6 UPnP/1.1 x/1", secure_location="https://h/d")
    assert lan.say(target="urn:schemas-upnp-org:service:ConnectionManager:1") == []
    lan.say(target=UDN, config_id=2, location=OTHER_URL)
    (changed,) = lan.wait(1)
    assert isinstance(changed, DeviceChanged)
    device = changed.device
    assert device.locations == (OTHER_URL, URL)
    assert (device.config_id, device.server) == (2, "Linux/6 UPnP/1.1 x/1")
    assert device.secure_location == "https://h/d"
    assert lan.announce(config_id=2) == []


def test_a_udn_in_other_letters_is_the_same_device() -> None:
    lan = LAN()
    lan.announce()
    assert lan.say(udn=UDN.upper(), target=UDN.upper()) == []
    assert lan.known == [UDN]
    assert lan.presence.device(UDN.upper()) is lan.presence.device(UDN)


def test_a_byebye_of_a_stranger_is_nothing() -> None:
    lan = LAN()
    assert lan.say(BYEBYE) == []
    assert lan.say(AdvertisementKind.UPDATE, boot_id=1, next_boot_id=2) == []


def test_of_what_was_ignored_some_is_kept_and_of_all_else_everything() -> None:
    lan = LAN(limits=replace(DEFAULT_LIMITS, outcomes=2, known_devices=100))
    presence = lan.presence

    def say(number: int, location: str) -> None:
        udn = f"uuid:{number}"
        advertisement = Advertisement(
            kind=AdvertisementKind.ALIVE, udn=udn, target=ROOT_DEVICE, location=location
        )
        source = Endpoint(DEVICE, 1900)
        presence.receive(advertisement, link="eth0", source=source, on_link=ON_LINK, now=0.0)

    for number in range(5):
        say(number, URL)
        say(number, "http://8.8.8.8/d")
    presence.handle_deadline(100.0)
    kinds = [type(outcome) for outcome in presence.take_outcomes()]
    assert kinds == [*2 * [AdvertisementIgnored], *5 * [DeviceAppeared]]


def test_a_location_off_the_link_is_ignored_with_the_reason() -> None:
    lan = LAN()
    (ignored,) = lan.say(location="http://8.8.8.8/d")
    assert isinstance(ignored, AdvertisementIgnored)
    assert (ignored.source, ignored.udn) == (DEVICE, UDN)
    assert "not on the link" in ignored.reason
    assert lan.presence.device(UDN) is None
    assert LAN(off_link_locations=True).say(location="http://8.8.8.8/d") == []


# --- leaving ---


@pytest.mark.clause("CP-07")
@pytest.mark.clause("CP-11")
@pytest.mark.parametrize("target", [ROOT_DEVICE, UDN, RENDERER, SERVICE])
def test_a_byebye_for_any_announced_target_means_that_the_device_is_gone(target: str) -> None:
    lan = LAN()
    lan.announce()
    outcomes = lan.say(BYEBYE, target=target)
    assert [(type(o), o.by) for o in outcomes if isinstance(o, DeviceGone)] == [
        (DeviceGone, GoneBy.BYEBYE)
    ]
    assert lan.say(BYEBYE, target=SERVICE) == []
    assert lan.known == []
    assert kinds(lan.wait(10_000)) == ["SearchWanted"]


@pytest.mark.clause("CP-11")
def test_a_byebye_on_one_link_says_nothing_about_another() -> None:
    lan = LAN()
    lan.announce(link="eth0")
    lan.announce(link="wlan0")
    assert lan.say(BYEBYE, link="tun0") == []
    assert lan.say(BYEBYE, link="wlan0") == []
    assert kinds(lan.wait(1)) == ["DeviceChanged"]
    assert lan.known == [UDN]
    assert kinds(lan.say(BYEBYE, link="eth0")) == ["DeviceGone"]


def test_on_an_interface_that_has_gone_nobody_can_say_goodbye_and_nobody_must() -> None:
    lan = LAN()
    lan.announce(link="eth0")
    lan.announce(link="wlan0", location=OTHER_URL)
    assert lan.close("tun0") == []
    assert lan.close("eth0") == []
    (changed,) = lan.wait(1)
    assert isinstance(changed, DeviceChanged)
    assert changed.device.locations == (OTHER_URL,)
    assert kinds(lan.say(BYEBYE, link="wlan0")) == ["DeviceGone"]


def test_a_followed_device_that_is_heard_on_another_interface_only_is_said_to_have_moved() -> None:
    lan = LAN()
    device = lan.follow()
    lan.announce(link="eth0")
    lan.announce(link="wlan0", location=OTHER_URL)
    assert lan.close("eth0") == [DeviceMoved(device)]


@pytest.mark.parametrize("again", ["eth0", "eth0 again"])
def test_a_device_whose_only_interface_goes_and_comes_stays_and_its_goodbye_counts(
    again: str,
) -> None:
    """An interface that comes again may have another number."""
    lan = LAN()
    lan.announce(link="eth0")
    assert lan.close("eth0") == []
    assert lan.known == [UDN]
    lan.announce(link=again)
    lan.announce(link="wlan0")
    assert lan.say(BYEBYE, link="wlan0") == []
    assert kinds(lan.say(BYEBYE, link=again)) == ["DeviceGone"]


def test_a_goodbye_counts_on_any_interface_if_the_only_one_of_the_device_has_gone() -> None:
    lan = LAN()
    lan.announce(link="eth0")
    lan.close("eth0")
    assert kinds(lan.say(BYEBYE, link="eth0 again")) == ["DeviceGone"]


def test_a_device_whose_only_interface_has_gone_expires() -> None:
    lan = LAN()
    lan.announce(link="eth0", max_age=100.0)
    lan.close("eth0")
    (gone,) = lan.wait(100 + lan.limits.max_age_margin_seconds)
    assert isinstance(gone, DeviceGone)
    assert gone.by is GoneBy.EXPIRY


@pytest.mark.clause("CP-11")
def test_a_followed_device_that_leaves_the_link_of_its_url_is_said_to_have_moved() -> None:
    lan = LAN()
    device = lan.follow()
    lan.announce(link="eth0")
    lan.announce(link="wlan0", location="http://192.168.2.20/d")
    assert lan.say(BYEBYE, link="eth0") == [DeviceMoved(device)]
    assert device.location == "http://192.168.2.20/d"


@pytest.mark.clause("CP-12")
def test_a_device_is_gone_when_all_its_advertisements_have_expired_and_not_before() -> None:
    lan = LAN()
    lan.say(target=SERVICE, max_age=1000.0)
    lan.announce(max_age=100.0)
    assert lan.wait(1000 + lan.limits.max_age_margin_seconds - 2) == []
    (gone,) = lan.wait(1)
    assert isinstance(gone, DeviceGone)
    assert gone.by is GoneBy.EXPIRY


@pytest.mark.clause("CP-12")
def test_a_device_stays_as_long_as_it_announces_itself() -> None:
    lan = LAN()
    for _ in range(10):
        outcomes = lan.announce(max_age=100.0)
        lan.wait(100)
    assert outcomes == []
    assert lan.known == [UDN]


def test_each_link_expires_by_itself() -> None:
    lan = LAN()
    lan.announce(link="eth0", max_age=100.0)
    lan.announce(link="wlan0", max_age=1000.0)
    assert kinds(lan.wait(500)) == ["DeviceChanged"]
    assert kinds(lan.wait(1000)) == ["DeviceGone"]


def test_an_advertisement_without_max_age_or_with_an_endless_one_expires_too() -> None:
    lan = LAN()
    lan.announce()
    assert kinds(lan.wait(lan.limits.max_age_seconds + 60)) == ["DeviceGone"]
    lan.announce(max_age=9_999_999_999.0)
    assert kinds(lan.wait(lan.limits.max_age_most_seconds + 60)) == ["DeviceGone"]


def test_a_device_that_leaves_before_it_was_reported_is_reported_as_gone_alone() -> None:
    lan = LAN()
    lan.say()
    assert kinds(lan.say(BYEBYE)) == ["DeviceGone"]
    assert lan.wait(10) == []


# --- rebooting ---


@pytest.mark.clause("CP-08")
@pytest.mark.clause("CP-09")
@pytest.mark.parametrize("boot_id", [8, 6], ids=["higher", "lower"])
def test_another_bootid_that_was_not_announced_is_a_reboot(boot_id: int) -> None:
    lan = LAN()
    lan.announce(boot_id=7)
    outcomes = lan.announce(boot_id=boot_id)
    assert kinds(outcomes) == ["DeviceRebooted", "DeviceChanged"]
    assert f"BOOTID is {boot_id} and was 7" in str(outcomes[0])
    assert lan.announce(boot_id=boot_id) == []


@pytest.mark.clause("CP-09")
def test_another_bootid_from_another_address_is_a_reboot_too() -> None:
    lan = LAN()
    lan.announce(boot_id=7)
    elsewhere = "http://192.168.1.21/d"
    assert "DeviceRebooted" in kinds(lan.announce(boot_id=8, location=elsewhere))


@pytest.mark.parametrize(
    ("first", "second"),
    [({"boot_id": 7}, {"boot_id": 8}), ({"nls": "a"}, {"nls": "b"})],
    ids=["BOOTID", "NLS"],
)
def test_a_device_with_a_stack_per_address_does_not_reboot_all_the_time(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    """Each of the two has a BOOTID, or a signature, of its own, as no device should."""
    lan = LAN()
    elsewhere = "http://192.168.1.21:8123/d?x"
    reboots = []
    for _ in range(5):
        reboots.append(kinds(lan.announce(**first)).count("DeviceRebooted"))
        reboots.append(kinds(lan.announce(**second, location=elsewhere)).count("DeviceRebooted"))
    assert sum(reboots) == 1
    # It does reboot now, which is heard from both.
    outcomes = lan.announce(boot_id=20) + lan.announce(boot_id=30, location=elsewhere)
    assert kinds(outcomes).count("DeviceRebooted") == ("boot_id" in first)


@pytest.mark.clause("CP-10")
def test_an_update_from_one_address_is_for_those_with_the_same_bootid() -> None:
    lan = LAN()
    same, other = "http://192.168.1.21/d", "http://192.168.1.22/d"
    for boot_id, location in ((7, URL), (7, same), (8, other), (7, URL), (7, same)):
        lan.announce(boot_id=boot_id, location=location)
    lan.say(AdvertisementKind.UPDATE, boot_id=7, next_boot_id=9)
    for boot_id, location in ((9, URL), (9, same), (8, other)):
        assert "DeviceRebooted" not in kinds(lan.announce(boot_id=boot_id, location=location))


def test_few_addresses_are_remembered_per_link() -> None:
    lan = LAN()
    for number in range(1, 30):
        lan.say(boot_id=number, location=f"http://[2001:db8::{number}]", link="eth0/6")
        lan.say(boot_id=1, location=f"http://192.168.1.{number}")
    device = lan.presence.device(UDN)
    assert device is not None
    limit = lan.limits.locations_per_link
    assert all(len(heard.identities) <= limit for heard in device.links.values())


@pytest.mark.clause("CP-13")
def test_a_reboot_heard_on_two_links_is_one() -> None:
    lan = LAN()
    lan.announce(link="eth0", boot_id=7)
    lan.announce(link="wlan0", boot_id=7)
    assert kinds(lan.say(link="wlan0", boot_id=8)) == ["DeviceRebooted"]
    assert lan.say(link="eth0", boot_id=8) == []


def test_a_bootid_that_is_left_out_of_some_messages_is_no_reboot() -> None:
    lan = LAN()
    lan.announce(boot_id=7)
    lan.announce()
    assert lan.announce(boot_id=7) == []
    lan.announce(udn=EMBEDDED)
    assert "DeviceRebooted" not in kinds(lan.announce(udn=EMBEDDED, boot_id=3))


@pytest.mark.clause("CP-10")
def test_a_bootid_that_was_announced_on_that_link_is_none() -> None:
    lan = LAN()
    lan.announce(boot_id=7)
    for _ in range(3):
        assert lan.say(AdvertisementKind.UPDATE, boot_id=7, next_boot_id=9) == []
    assert lan.announce(boot_id=9) == []
    assert kinds(lan.announce(boot_id=7)) == ["DeviceRebooted", "DeviceChanged"]


@pytest.mark.clause("CP-10")
def test_announced_on_one_link_it_is_a_reboot_on_another() -> None:
    lan = LAN()
    lan.announce(link="eth0", boot_id=7)
    lan.announce(link="wlan0", boot_id=7)
    lan.say(AdvertisementKind.UPDATE, link="wlan0", boot_id=7, next_boot_id=9)
    assert lan.say(link="wlan0", boot_id=9) == []
    assert kinds(lan.say(link="eth0", boot_id=9)) == ["DeviceRebooted"]


def test_an_update_on_a_link_where_the_device_is_not_known_is_left_to_its_alive() -> None:
    lan = LAN()
    lan.announce(link="eth0", boot_id=7)
    lan.say(AdvertisementKind.UPDATE, link="wlan0", boot_id=7, next_boot_id=9)
    assert lan.say(link="wlan0", boot_id=9) == []


def test_an_update_shows_a_reboot_that_was_missed() -> None:
    lan = LAN()
    lan.announce(boot_id=3)
    outcomes = lan.say(AdvertisementKind.UPDATE, boot_id=7, next_boot_id=8, nls="1")
    assert kinds(outcomes) == ["DeviceRebooted"]
    assert kinds(lan.wait(1)) == ["DeviceChanged"]
    assert lan.announce(boot_id=8) == []


def test_an_update_may_tell_of_a_new_location() -> None:
    lan = LAN()
    device = lan.follow()
    lan.announce(boot_id=3)
    update = AdvertisementKind.UPDATE
    assert lan.say(update, boot_id=3, next_boot_id=4, location=OTHER_URL) == [DeviceMoved(device)]
    assert kinds(lan.wait(1)) == ["DeviceChanged"]


@pytest.mark.clause("NLS-03")
def test_another_signature_of_a_device_without_bootid_is_a_reboot() -> None:
    lan = LAN()
    lan.announce(nls="one")
    outcomes = lan.announce(nls="two")
    assert kinds(outcomes) == ["DeviceRebooted", "DeviceChanged"]
    assert "network location signature" in str(outcomes[0])
    assert lan.announce(nls="two") == []
    assert lan.announce() == []
    assert lan.announce(nls="two") == []


@pytest.mark.clause("NLS-03")
def test_where_there_is_a_bootid_the_signature_alone_says_nothing() -> None:
    lan = LAN()
    lan.announce(nls="one", boot_id=1)
    assert lan.announce(nls="two", boot_id=1) == []


# --- followed devices ---


@pytest.mark.clause("CP-07")
def test_a_followed_device_that_is_back_after_its_byebye_has_returned_once() -> None:
    lan = LAN()
    device = lan.follow()
    lan.announce(boot_id=7)
    assert lan.say(BYEBYE) == [DeviceGone(device, GoneBy.BYEBYE)]
    assert lan.say(BYEBYE) == []
    assert lan.known == []
    assert lan.announce(boot_id=8) == [DeviceReturned(device), DeviceAppeared(device)]
    assert lan.announce(boot_id=8) == []


def test_a_followed_device_that_said_goodbye_is_searched_for_a_little_later() -> None:
    lan = LAN()
    device = lan.follow()
    lan.announce()
    lan.say(BYEBYE)
    assert lan.wait(lan.limits.byebye_check_seconds - 0.1) == []
    assert lan.wait(0.2) == [SearchWanted(device)]
    assert lan.wait(1000) == []


def test_a_followed_device_that_was_not_heard_yet_is_searched_for() -> None:
    lan = LAN()
    lan.presence.greet(UDN, lan.now)
    device = lan.presence.follow(UDN, lan.now)
    lan.presence.greet(UDN, lan.now)
    assert lan.presence.take_outcomes() == [SearchWanted(device)]
    lan.announce()
    lan.presence.greet(UDN, lan.now)
    assert lan.presence.take_outcomes() == []


def test_a_device_that_nobody_follows_is_searched_for_once_after_its_goodbye() -> None:
    """The goodbye may be forged, and the next ssdp:alive a quarter of an hour away."""
    lan = LAN()
    lan.announce()
    device = lan.presence.device(UDN)
    assert kinds(lan.say(BYEBYE)) == ["DeviceGone"]
    assert lan.wait(1.9) == []
    assert lan.wait(0.2) == [SearchWanted(device)]
    # The answer to a search for a UDN names nothing else.
    lan.say(AdvertisementKind.RESPONSE, target=UDN)
    (appeared,) = lan.wait(1)
    assert isinstance(appeared, DeviceAppeared)
    assert appeared.device.is_root
    assert list(appeared.device.types) == [RENDERER, SERVICE]
    lan.say(BYEBYE)
    assert kinds(lan.announce()) == ["DeviceAppeared"]
    assert lan.wait(100) == []


def test_a_goodbye_of_a_device_that_was_not_reported_causes_no_search() -> None:
    lan = LAN()
    lan.say()
    lan.say(BYEBYE)
    assert lan.wait(100) == []


def test_after_many_goodbyes_there_is_one_search_for_all_devices() -> None:
    lan = LAN()
    udns = many(30)
    for udn in udns:
        lan.say(udn=udn)
    lan.wait(1)
    for udn in udns:
        lan.say(BYEBYE, udn=udn)
    assert lan.wait(100) == [SearchWanted(None)]


def test_however_often_goodbye_is_said_for_others_the_searches_are_rare() -> None:
    lan = LAN()
    outcomes: list[PresenceOutcome] = []
    for number in range(300):
        udn = f"uuid:{number}"
        outcomes += [*lan.say(udn=udn), *lan.wait(0.5), *lan.say(BYEBYE, udn=udn)]
    outcomes += lan.wait(100)
    most = lan.limits.search_burst * (300 * 0.5 / lan.limits.search_refill_seconds + 1)
    assert 1 <= kinds(outcomes).count("SearchWanted") <= most


def test_a_device_that_is_back_by_itself_is_not_searched_for() -> None:
    lan = LAN()
    lan.follow()
    lan.announce()
    lan.say(BYEBYE)
    lan.say()
    assert kinds(lan.wait(60)) == ["DeviceAppeared"]


def test_searches_are_rare_however_often_goodbye_is_said() -> None:
    lan = LAN()
    lan.follow()
    searches = 0
    for _ in range(100):
        lan.say()
        lan.say(BYEBYE)
        searches += kinds(lan.wait(3)).count("SearchWanted")
    most = lan.limits.search_burst + 300 / lan.limits.search_refill_seconds
    assert 3 <= searches <= most


@pytest.mark.clause("CP-07")
def test_a_followed_device_that_was_never_heard_can_say_goodbye() -> None:
    lan = LAN()
    device = lan.follow()
    assert lan.say(BYEBYE) == [DeviceGone(device, GoneBy.BYEBYE)]


@pytest.mark.clause("CP-13")
def test_a_new_location_is_a_claim_and_told_once() -> None:
    lan = LAN()
    device = lan.follow()
    lan.announce()
    assert lan.announce(location=OTHER_URL) == [DeviceMoved(device), DeviceChanged(device)]
    lan.presence.relocated(device, OTHER_URL)
    # A host with two addresses announces both in turn, and moves nowhere.
    for location in (URL, OTHER_URL) * 3:
        assert lan.announce(location=location) == []


def test_a_device_that_is_first_heard_elsewhere_than_it_was_read_has_perhaps_moved() -> None:
    lan = LAN()
    device = lan.follow(OTHER_URL)
    assert lan.say() == [DeviceMoved(device)]


def test_few_locations_are_remembered_per_link_the_latest_ones() -> None:
    lan = LAN()
    device = lan.follow()
    urls = [f"http://{DEVICE}:{port}/d" for port in range(1, 11)]
    for url in urls:
        lan.say(location=url)
    assert device.locations == tuple(urls[: -lan.limits.locations_per_link - 1 : -1])


@pytest.mark.parametrize("boot_id", [7, None], ids=["restart", "same"])
def test_a_host_that_announces_locations_of_another_s_device_does_not_hide_its_own(
    boot_id: int | None,
) -> None:
    lan = LAN()
    lan.announce(boot_id=1)
    for number in range(100):
        there = f"http://192.168.9.66:8000/{number}"
        boot = boot_id and boot_id + number
        lan.say(source="192.168.9.66", location=there, boot_id=boot)
    device = lan.presence.device(UDN)
    assert device is not None
    assert URL in device.locations
    assert len(device.locations) <= lan.limits.locations_per_link


def test_a_followed_device_that_restarts_elsewhere_is_at_its_new_location_alone() -> None:
    lan = LAN()
    device = lan.follow()
    lan.announce(boot_id=1)
    lan.announce(boot_id=2, source="192.168.1.6", location=OTHER_URL)
    assert device.locations == (OTHER_URL,)


def test_a_failed_subscription_searches_and_tries_again_when_the_device_is_heard_of() -> None:
    lan = LAN()
    device = lan.follow()
    lan.announce()
    lan.presence.subscription_failed(UDN, lan.now)
    assert lan.presence.take_outcomes() == [SearchWanted(device)]
    assert lan.say(AdvertisementKind.RESPONSE) == [DeviceReturned(device)]
    assert lan.say() == []
    lan.presence.subscription_failed(UDN, lan.now)
    assert lan.presence.take_outcomes() == [SearchWanted(device)]
    assert lan.say() == []  # too soon after the last time
    lan.wait(lan.limits.search_refill_seconds)
    assert lan.say() == [DeviceReturned(device)]


def test_searches_for_failing_subscriptions_are_rare() -> None:
    lan = LAN()
    lan.follow()
    searches = 0
    for _ in range(300):
        lan.presence.subscription_failed(UDN, lan.now)
        searches += kinds(lan.wait(1)).count("SearchWanted")
    most = lan.limits.search_burst + 300 / lan.limits.search_refill_seconds
    assert 3 <= searches <= most


def test_a_failed_subscription_may_be_better_off_at_another_known_location() -> None:
    lan = LAN()
    device = lan.follow()
    lan.announce()
    lan.announce(location=OTHER_URL)
    lan.presence.subscription_failed(UDN, lan.now)
    assert lan.presence.take_outcomes() == [SearchWanted(device), DeviceMoved(device)]


def test_a_device_whose_subscription_was_granted_is_not_tried_again() -> None:
    lan = LAN()
    lan.follow()
    lan.presence.subscription_failed(UDN, lan.now)
    lan.presence.subscription_granted(UDN)
    lan.presence.subscription_granted(EMBEDDED)
    lan.presence.take_outcomes()
    assert lan.say() == []


def test_nobody_searches_for_a_device_that_nobody_follows() -> None:
    lan = LAN()
    lan.announce()
    lan.presence.subscription_failed(UDN, lan.now)
    lan.presence.subscription_failed(EMBEDDED, lan.now)
    assert lan.wait(100) == []


@pytest.mark.clause("CP-11")
def test_what_is_embedded_in_a_followed_device_speaks_for_it() -> None:
    lan = LAN()
    lan.announce(udn=EMBEDDED)
    device = lan.presence.follow(UDN, lan.now)
    lan.presence.relocated(device, URL, [UDN, EMBEDDED])
    assert lan.presence.device(EMBEDDED) is device
    lan.say(udn=EMBEDDED)
    assert not device.is_root
    lan.wait(1)
    assert lan.known == [UDN]
    assert kinds(lan.say(BYEBYE, udn=EMBEDDED)) == ["DeviceGone"]
    lan.presence.unfollow(device)
    assert lan.presence.device(EMBEDDED) is None


def test_a_device_that_is_found_to_be_embedded_is_no_device_of_its_own_any_more() -> None:
    lan = LAN()
    lan.announce(udn=EMBEDDED)
    lan.say(udn="uuid:silent")  # it has not appeared yet
    own = lan.presence.device(EMBEDDED)
    device = lan.follow()
    lan.presence.relocated(device, URL, [EMBEDDED, "uuid:silent"])
    assert lan.presence.take_outcomes() == [DeviceEmbedded(own, device)]
    assert {RENDERER, SERVICE} <= set(device.types)
    # It appears for what its embedded devices announce, and goes by a byebye of theirs.
    lan.say(udn=EMBEDDED)
    assert kinds(lan.wait(1)) == ["DeviceAppeared"]
    assert kinds(lan.say(BYEBYE, udn=EMBEDDED)) == ["DeviceGone"]


def test_a_root_device_elsewhere_is_embedded_in_none_whatever_a_description_says() -> None:
    lan = LAN()
    lan.announce(udn=EMBEDDED, location=OTHER_URL)
    own = lan.presence.device(EMBEDDED)
    device = lan.follow()
    lan.presence.relocated(device, URL, [EMBEDDED])
    assert lan.presence.device(EMBEDDED) is own
    assert lan.presence.take_outcomes() == []


def test_a_root_device_that_was_described_as_embedded_elsewhere_appears_all_the_same() -> None:
    lan = LAN()
    device = lan.follow()
    lan.presence.relocated(device, URL, [EMBEDDED])
    lan.say(udn=EMBEDDED)  # at the same location: it counts for the device
    assert lan.presence.device(EMBEDDED) is device
    lan.announce(udn=EMBEDDED, location=OTHER_URL)
    assert EMBEDDED in lan.known


def test_the_first_device_that_embeds_another_one_keeps_it() -> None:
    lan = LAN()
    device, other = lan.follow(), lan.presence.follow("uuid:other", lan.now)
    lan.presence.relocated(device, URL, [EMBEDDED])
    lan.presence.relocated(other, OTHER_URL, [EMBEDDED])
    assert lan.presence.device(EMBEDDED) is device


def test_an_embedded_device_that_is_followed_itself_stays_one() -> None:
    lan = LAN()
    device = lan.presence.follow(UDN, lan.now)
    own = lan.presence.follow(EMBEDDED, lan.now)
    lan.presence.relocated(device, URL, [EMBEDDED])
    assert lan.presence.device(EMBEDDED) is own


def test_the_last_follower_leaves_a_present_device_among_the_others() -> None:
    lan = LAN()
    first = lan.follow()
    second = lan.follow()
    assert first is second
    lan.announce()
    lan.presence.unfollow(first)
    assert first.followers == 1
    lan.presence.unfollow(first)
    assert lan.known == [UDN]
    assert kinds(lan.say(BYEBYE)) == ["DeviceGone"]
    assert lan.presence.device(UDN) is None


def test_the_last_follower_of_a_device_that_is_not_there_forgets_it() -> None:
    lan = LAN()
    device = lan.follow()
    lan.presence.unfollow(device)
    assert lan.presence.device(UDN) is None
    lan.announce()
    device = lan.follow()
    lan.say(BYEBYE)
    lan.presence.unfollow(device)
    assert lan.presence.device(UDN) is None
    assert lan.wait(100) == []


# --- hostile hosts ---


def many(number: int) -> list[str]:
    return [f"uuid:{n:032x}" for n in range(1, number + 1)]


def test_a_host_that_announces_udns_without_end_displaces_nobody() -> None:
    lan = LAN(limits=replace(DEFAULT_LIMITS, known_devices=50, devices_per_source=10))
    device = lan.follow()
    lan.announce()
    for udn in many(1000):
        lan.say(udn=udn, source="192.168.1.66", location="http://192.168.1.66/d")
    for udn in many(1000)[-10:]:
        lan.presence.confirm(udn)
    (ignored,) = lan.say(udn="uuid:x", source="192.168.1.66")
    assert isinstance(ignored, AdvertisementIgnored)
    assert "too many devices announce themselves from there" in ignored.reason
    lan.wait(1)
    assert len(lan.known) == 11
    assert device.is_present
    # Another host is not locked out.
    lan.say(udn="uuid:y", source="192.168.1.30")
    assert kinds(lan.wait(1)) == ["DeviceAppeared"]


def test_hosts_that_lie_about_their_address_displace_themselves_alone() -> None:
    lan = LAN(limits=replace(DEFAULT_LIMITS, known_devices=50))
    device = lan.follow()
    lan.announce(udn="uuid:honest", source="192.168.200.1")
    lan.presence.confirm("uuid:honest")
    for number, udn in enumerate(many(1000)):
        source = f"192.168.{number // 250}.{number % 250 + 1}"
        lan.say(udn=udn, source=source)
        lan.wait(0.1)
        assert len(lan.known) <= 50
    # A device that comes during the flood is shown, and stays once its description was read.
    assert "DeviceAppeared" in kinds(lan.announce(udn="uuid:late", source="192.168.200.2"))
    lan.presence.confirm("uuid:late")
    for number, udn in enumerate(many(1000)):
        lan.say(udn=f"{udn}-again", source=f"192.168.{number // 250}.{number % 250 + 1}")
    assert {"uuid:honest", "uuid:late"} <= set(lan.known)
    # The one that is followed is heard all the same.
    lan.announce()
    assert device.is_present


def test_a_displaced_device_that_was_shown_is_gone() -> None:
    lan = LAN(limits=replace(DEFAULT_LIMITS, known_devices=1))
    lan.announce(udn="uuid:a")
    lan.presence.confirm("uuid:unknown")
    outcomes = lan.announce(udn="uuid:b")
    assert kinds(outcomes) == ["DeviceGone", "DeviceAppeared"]
    assert outcomes[0].by is GoneBy.DISPLACED
    lan.presence.confirm("uuid:b")
    (ignored,) = lan.say(udn="uuid:c")
    assert isinstance(ignored, AdvertisementIgnored)
    assert ignored.reason == "too many devices are known already"
    # There is room again once others have left.
    lan.say(BYEBYE, udn="uuid:b")
    assert lan.say(udn="uuid:c") == []


def test_a_device_that_a_flood_has_displaced_is_searched_for_after_it() -> None:
    lan = LAN(limits=replace(DEFAULT_LIMITS, known_devices=20))
    lan.announce()
    outcomes = []
    for number in range(200):
        outcomes += lan.say(udn=f"uuid:{number}", source=f"192.168.2.{number}")
        outcomes += lan.wait(0.5)
    assert UDN in [each.device.udn for each in outcomes if isinstance(each, DeviceGone)]
    searches = [each.device for each in outcomes if isinstance(each, SearchWanted)]
    assert None in searches
    assert len(searches) <= lan.limits.search_burst + 100 / lan.limits.search_refill_seconds
    assert lan.wait(lan.limits.search_refill_seconds) == [SearchWanted(None)]
    assert kinds(lan.announce()) == ["DeviceGone", "DeviceAppeared"]


def test_a_device_that_was_followed_and_read_is_not_displaced_later() -> None:
    lan = LAN(limits=replace(DEFAULT_LIMITS, known_devices=1))
    device = lan.follow()
    lan.announce()
    lan.presence.confirm(UDN)
    lan.presence.unfollow(device)
    (ignored,) = lan.say(udn="uuid:c")
    assert isinstance(ignored, AdvertisementIgnored)
    assert device.is_present


def test_of_two_devices_of_one_host_each_leaves_by_itself() -> None:
    lan = LAN()
    lan.announce(udn="uuid:a")
    lan.announce(udn="uuid:b")
    lan.say(BYEBYE, udn="uuid:a")
    assert lan.known == ["uuid:b"]


def test_what_is_kept_of_one_device_is_bounded() -> None:
    lan = LAN(limits=replace(DEFAULT_LIMITS, types_per_device=5))
    for number in range(100):
        lan.say(target=f"urn:x:service:S{number}:1")
    device = lan.presence.device(UDN)
    assert device is not None
    assert len(device.types) == 5


def test_a_control_point_follows_a_bounded_number_of_devices() -> None:
    lan = LAN(limits=replace(DEFAULT_LIMITS, followed_devices=1))
    device = lan.follow()
    assert lan.follow() is device
    with pytest.raises(LocalProtocolError, match="follows 1 devices at most"):
        lan.presence.follow(EMBEDDED, lan.now)
    lan.presence.unfollow(device)
    lan.presence.unfollow(device)
    assert lan.presence.follow(EMBEDDED, lan.now)


SAID = st.tuples(
    st.sampled_from(list(AdvertisementKind)),
    st.sampled_from([UDN, EMBEDDED, "uuid:c"]),
    st.sampled_from(["eth0", "wlan0"]),
    st.sampled_from([URL, OTHER_URL, "http://8.8.8.8/"]),
    st.sampled_from([None, 1, 2]),
    st.sampled_from([None, "a", "b"]),
    st.sampled_from([0.0, 0.1, 40.0, 3000.0]),
    st.sampled_from(["", "follow", "unfollow", "failed", "granted"]),
)


@given(st.lists(SAID, max_size=60))
def test_nothing_that_is_said_breaks_it(said: list[tuple[Any, ...]]) -> None:
    lan = LAN()
    held: list[AdvertisedDevice] = []
    for kind, udn, link, location, boot_id, nls, seconds, wish in said:
        if wish == "follow":
            held.append(lan.presence.follow(udn, lan.now))
            lan.presence.relocated(held[-1], URL, [EMBEDDED])
        elif wish == "unfollow" and held:
            lan.presence.unfollow(held.pop())
        elif wish == "failed":
            lan.presence.subscription_failed(udn, lan.now)
        elif wish == "granted":
            lan.presence.subscription_granted(udn)
        lan.say(
            kind, udn=udn, link=link, location=location, boot_id=boot_id, nls=nls, next_boot_id=2
        )
        lan.wait(seconds)
    for device in held:
        lan.presence.unfollow(device)
    # Everything expires, and nothing is left.
    lan.wait(10_000)
    assert lan.known == []
    assert lan.presence.next_deadline() is None
    assert not lan.presence._of_source
    assert not lan.presence._devices


# --- BOOTIDs, for multicast events ---


def test_the_boot_id_of_each_address_that_announces_a_device_is_kept() -> None:
    lan = LAN()
    lan.say(boot_id=1)
    lan.say(boot_id=2, source="192.168.1.21")
    lan.say()  # without a BOOTID
    lan.say(AdvertisementKind.UPDATE, boot_id=1, next_boot_id=5)
    device = lan.presence.device(UDN)
    assert device is not None
    assert device.boot_ids == {"192.168.1.21": 2, DEVICE: 5}
    lan.presence.follow(UDN, lan.now)
    lan.say(BYEBYE)
    assert device.boot_ids == {"192.168.1.21": 2, DEVICE: 5}


def test_the_addresses_whose_boot_id_is_kept_are_bounded() -> None:
    lan = LAN(limits=replace(DEFAULT_LIMITS, boot_ids_per_device=3))
    for number in range(9):
        lan.say(boot_id=number, source=f"192.168.1.{number}")
    device = lan.presence.device(UDN)
    assert device is not None
    assert device.boot_ids == {f"192.168.1.{number}": number for number in (6, 7, 8)}


def test_a_followed_device_is_searched_for_when_its_boot_id_is_wanted_within_the_limits() -> None:
    lan = LAN(limits=replace(DEFAULT_LIMITS, search_burst=2))
    lan.say(boot_id=1)
    lan.presence.ask(UDN, lan.now)
    assert lan.presence.take_outcomes() == []
    device = lan.presence.follow(UDN, lan.now)
    for _ in range(5):
        lan.presence.ask(UDN, lan.now)
    assert lan.presence.take_outcomes() == [SearchWanted(device)] * 2
    lan.presence.ask("uuid:unknown", lan.now)
    assert lan.presence.take_outcomes() == []
