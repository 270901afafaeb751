"""What a device announces of itself, and when."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.discovery.advertisement import AdvertisementKind
from propchange.core.discovery.announcements import OutgoingMessage
from propchange.core.local_addresses import LocalAddress
from propchange.core.wire.messages import Endpoint
from tests.core.discovery.announcing_device import (
    LAN,
    LINK_LOCAL,
    TARGETS,
    ULA,
    WIFI,
    AnnouncingDevice,
    address,
    many,
)

ALIVE, BYEBYE = AdvertisementKind.ALIVE, AdvertisementKind.BYEBYE
UPDATE = AdvertisementKind.UPDATE


def kinds(messages: list[OutgoingMessage]) -> list[str]:
    """The sets of messages, as runs of one kind from one BOOTID."""
    runs = [f"{each.kind.value} {each.boot_id}" for each in messages]
    return [run for number, run in enumerate(runs) if number == 0 or runs[number - 1] != run]


def times(device: AnnouncingDevice, kind: AdvertisementKind) -> list[float]:
    return [when for when, message in device.sent if message.kind is kind]


def test_a_device_that_joins_is_announced_three_times_within_two_seconds() -> None:
    device = AnnouncingDevice(LAN)
    messages = device.run(2)
    assert [message.target for message in messages] == list(TARGETS) * 3
    assert {message.kind for message in messages} == {ALIVE}
    assert {message.boot_id for message in messages} == {7}
    assert device.run(400) == []


@pytest.mark.parametrize("random", [0.0, 0.3, 0.999])
def test_the_first_announcement_waits_for_a_random_tenth_of_a_second(random: float) -> None:
    device = AnnouncingDevice(LAN, random=random)
    device.run(2)
    assert times(device, ALIVE)[0] == pytest.approx(random * 0.1)


def test_sets_are_some_hundred_milliseconds_apart() -> None:
    device = AnnouncingDevice(LAN)
    device.run(3)
    starts = [when for when, message in device.sent if message.target is TARGETS[0]]
    assert len(starts) == 3
    assert all(0.2 <= after - before < 0.6 for before, after in pairwise(starts))


@pytest.mark.parametrize("random", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("max_age", [5, 60, 1_800, 86_400])
def test_it_is_announced_again_twice_before_max_age_has_passed(random: float, max_age: int) -> None:
    device = AnnouncingDevice(LAN, max_age=max_age, random=random)
    device.run(max_age * 3)
    for target in TARGETS:
        sent = [when for when, message in device.sent if message.target == target]
        assert max(after - before for before, after in pairwise(sent)) < max_age * 0.66
        assert len(sent) <= 3 + 3 * 4 + 1


@pytest.mark.parametrize("number", [0, 50, 600])
def test_a_large_set_is_spread_and_its_root_device_comes_first(number: int) -> None:
    targets = many(number)
    device = AnnouncingDevice(LAN, targets=targets)
    device.run(3)
    first = device.sent[: len(targets)]
    assert [message.target for _, message in first] == list(targets)
    assert first[-1][0] - first[0][0] <= 0.5
    assert max(Counter(round(when, 6) for when, _ in device.sent).values()) == 1


def test_a_set_that_the_loop_delays_is_not_made_up_for_in_a_burst() -> None:
    device = AnnouncingDevice(LAN, targets=many(500))
    device.run(0.2)
    device.now += 60
    device.announcements.handle_deadline(device.now)
    assert len(device.announcements.take_messages()) < 100


@pytest.mark.clause("V6-12")
def test_one_message_leaves_by_all_addresses_at_the_same_time() -> None:
    own = (LAN, WIFI, LINK_LOCAL, ULA)
    device = AnnouncingDevice(*own)
    device.run(2)
    for number in range(0, len(device.sent), len(own)):
        group = device.sent[number : number + len(own)]
        assert len({(when, message.target) for when, message in group}) == 1
        assert [message.address for _, message in group] == list(own)


@pytest.mark.parametrize("byebye_first", [True, False])
def test_a_device_that_crashed_says_goodbye_first(byebye_first: bool) -> None:
    device = AnnouncingDevice(LAN, byebye_first=byebye_first)
    assert kinds(device.run(2)) == ["ssdp:byebye 7", "ssdp:alive 7"][not byebye_first :]
    assert len(times(device, BYEBYE)) == len(TARGETS) * byebye_first
    assert times(device, ALIVE)[0] < 0.3


# --- changes of the addresses ---


@pytest.mark.clause("CP-13", "NLS-02")
def test_a_new_interface_raises_bootid_and_the_old_one_hears_of_it_before() -> None:
    device = AnnouncingDevice(LAN)
    device.run(10)
    assert device.announcements.heard_boot_id == 7
    at_once = device.become(LAN, WIFI)
    assert (device.announcements.heard_boot_id, device.announcements.boot_id) == (8, 7)
    assert (at_once[0].kind, at_once[0].target) == (UPDATE, TARGETS[0])
    messages = at_once + device.run(2)
    assert kinds(messages) == ["ssdp:update 7", "ssdp:alive 8"]
    updates = [message for message in messages if message.kind is UPDATE]
    assert {(each.address, each.next_boot_id) for each in updates} == {(LAN, 8)}
    assert {each.target for each in updates} == set(TARGETS)
    alive = Counter(each.address for each in messages if each.kind is ALIVE)
    assert alive == {LAN: 3 * len(TARGETS), WIFI: 3 * len(TARGETS)}


@pytest.mark.parametrize("number", [1, 100, 600])
def test_a_device_is_announced_on_a_new_interface_within_a_second(number: int) -> None:
    device = AnnouncingDevice(LAN, targets=many(number))
    device.run(10)
    changed = device.now - 1_000
    device.become(LAN, WIFI)
    device.run(3)
    first = next(when for when, message in device.sent if message.address == WIFI)
    assert first - changed < 1


def test_uda_1_0_has_no_update() -> None:
    device = AnnouncingDevice(LAN, uda="1.0")
    device.run(10)
    assert kinds(device.become(LAN, WIFI) + device.run(2)) == ["ssdp:alive 8"]


def test_an_interface_that_goes_is_said_goodbye_to_if_nothing_is_left_there() -> None:
    device = AnnouncingDevice(LAN, WIFI, LINK_LOCAL)
    device.run(10)
    messages = device.become(LAN) + device.run(2)
    gone = [message for message in messages if message.kind is BYEBYE]
    assert Counter((each.address, each.boot_id) for each in gone) == {
        (WIFI, 7): len(TARGETS),
        (LINK_LOCAL, 7): len(TARGETS),
    }
    assert kinds(messages) == ["ssdp:byebye 7", "ssdp:update 7", "ssdp:alive 8"]
    assert {each.address for each in messages if each.kind is not BYEBYE} == {LAN}


def test_another_address_of_the_same_link_is_no_goodbye() -> None:
    device = AnnouncingDevice(LAN)
    device.run(10)
    other = address("192.168.1.6/24")
    messages = device.become(other) + device.run(2)
    assert kinds(messages) == ["ssdp:alive 8"]
    assert {each.address for each in messages} == {other}


def test_an_alias_that_goes_is_no_goodbye_on_its_interface() -> None:
    device = AnnouncingDevice(LAN, address("10.9.0.5/24", "eth0:1", 2))
    device.run(10)
    assert kinds(device.become(LAN) + device.run(2)) == ["ssdp:update 7", "ssdp:alive 8"]


def test_an_address_that_comes_back_has_a_higher_bootid() -> None:
    device = AnnouncingDevice(LAN)
    device.run(10)
    device.become()
    device.run(10)
    assert kinds(device.become(LAN) + device.run(2)) == ["ssdp:alive 8"]


def test_without_a_network_nothing_is_sent_until_there_is_one() -> None:
    device = AnnouncingDevice()
    assert device.run(1_000) == []
    device.become(LAN)
    assert kinds(device.run(2)) == ["ssdp:alive 7"]
    device.become()
    assert device.run(10_000) == []


def test_a_second_change_during_the_updates_builds_on_the_first() -> None:
    device = AnnouncingDevice(LAN)
    device.run(10)
    first = device.become(LAN, WIFI)
    second = device.become(LAN, WIFI, LINK_LOCAL) + device.run(2)
    assert kinds(first + second) == ["ssdp:update 7", "ssdp:update 8", "ssdp:alive 9"]
    assert {each.next_boot_id for each in second if each.kind is UPDATE} == {9}


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.11, 0.15, 0.18, 0.25, 0.4])
def test_a_second_change_at_any_time_builds_on_the_bootid_that_was_heard(seconds: float) -> None:
    device = AnnouncingDevice(LAN, random=0.9)
    device.run(10)
    device.become(LAN, WIFI)
    device.run(seconds)
    device.become(LAN)
    device.run(3)
    believed = 7
    assert device.announcements.heard_boot_id == 9
    for _, message in device.sent:
        if message.address == LAN and message.kind is UPDATE:
            assert believed in (message.boot_id, message.next_boot_id)
            assert message.next_boot_id is not None
            believed = message.next_boot_id
        elif message.address == LAN:
            assert message.boot_id == believed
    assert believed == device.boot_id == 9


def test_an_address_that_comes_during_the_first_set_is_announced_with_the_others() -> None:
    device = AnnouncingDevice(LAN, random=0.9)
    device.run(0.05)
    device.become(LAN, WIFI)
    messages = device.run(2)
    assert kinds(messages) == ["ssdp:alive 7"]
    assert Counter(each.address for each in messages) == {LAN: 12, WIFI: 12}


def test_after_the_highest_bootid_a_goodbye_comes_before_the_lower_one() -> None:
    device = AnnouncingDevice(LAN, boot_id=2**31 - 1)
    device.run(10)
    device.boot_id = 0
    messages = device.become(LAN, WIFI) + device.run(2)
    assert kinds(messages) == [f"ssdp:byebye {2**31 - 1}", "ssdp:alive 1"]


def test_the_same_addresses_in_another_order_are_no_change() -> None:
    device = AnnouncingDevice(LAN, WIFI)
    device.run(10)
    assert device.become(WIFI, LAN) + device.run(10) == []


def test_an_interface_that_flaps_raises_bootid_at_a_bounded_rate() -> None:
    device = AnnouncingDevice(LAN)
    device.run(10)
    for number in range(600):  # a minute
        device.become(*((LAN, WIFI) if number % 2 else (LAN,)))
        device.run(0.1)
    assert device.boot_id - 7 <= 4 + 60 / 5 + 1
    device.become(LAN, WIFI)
    device.run(30)
    assert device.sent[-1][1].boot_id == device.boot_id
    assert {message.address for _, message in device.sent[-2:]} == {LAN, WIFI}


LINKS = [LAN, WIFI, LINK_LOCAL, ULA, address("192.168.1.6/24")]


@given(
    st.lists(st.tuples(st.sets(st.sampled_from(LINKS)), st.floats(0, 8)), max_size=12),
    st.sampled_from(["1.0", "1.1", "2.0"]),
)
def test_whatever_comes_and_goes_bootid_never_falls_and_each_address_ends_announced(
    steps: list[tuple[set[LocalAddress], float]], uda: str
) -> None:
    device = AnnouncingDevice(LAN, uda=uda)
    present: set[LocalAddress] = {LAN}
    known: dict[LocalAddress, int] = {}  # what a control point behind each address believes
    ends: list[tuple[int, set[LocalAddress]]] = []  # how many messages before addresses went
    for addresses, seconds in [*steps, ({LAN}, 0.0)]:
        before = len(device.sent)
        gone = present - addresses
        ends.append((before, gone))
        device.become(*addresses)
        present = addresses
        for _, message in device.sent[before:]:
            assert message.address in present or (
                message.kind is BYEBYE and message.address in gone
            )
        device.run(seconds)
    device.run(40)
    last = 0
    for number, (_, message) in enumerate(device.sent):
        while ends and ends[0][0] <= number:
            for gone_address in ends.pop(0)[1]:
                known.pop(gone_address, None)
        assert message.boot_id >= last
        last = message.boot_id
        believed = known.get(message.address)
        if message.kind is BYEBYE:
            known.pop(message.address, None)
        elif message.kind is UPDATE:
            assert message.next_boot_id is not None
            assert believed in (message.boot_id, message.next_boot_id)
            known[message.address] = message.next_boot_id
        else:
            # No control point may think that the device has started again.
            assert uda == "1.0" or believed in (None, message.boot_id)
            known[message.address] = message.boot_id
    assert known[LAN] == device.announcements.boot_id == device.boot_id


# --- the end ---


def test_a_device_that_leaves_says_goodbye_twice_on_each_address() -> None:
    device = AnnouncingDevice(LAN, WIFI)
    device.run(10)
    messages = device.end()
    assert kinds(messages) == ["ssdp:byebye 7"]
    assert Counter((each.address, each.target) for each in messages) == {
        (own, target): 2 for own in (LAN, WIFI) for target in TARGETS
    }
    assert device.announcements.ended
    assert device.announcements.next_deadline() is None


@pytest.mark.parametrize("number", [1, 600])
def test_the_goodbye_is_said_within_half_a_second(number: int) -> None:
    device = AnnouncingDevice(LAN, targets=many(number))
    device.run(10)
    device.end()
    assert times(device, BYEBYE)[-1] - times(device, BYEBYE)[0] < 0.5


def test_a_device_that_was_never_announced_leaves_at_once() -> None:
    for leave in (AnnouncingDevice.end, lambda device: device.announcements.hasten_end()):
        device = AnnouncingDevice(LAN)
        assert not leave(device)
        assert device.announcements.ended
        assert device.announcements.take_messages() == []


def test_nothing_follows_the_goodbye() -> None:
    device = AnnouncingDevice(LAN)
    device.run(10)
    device.hear("ssdp:all")
    device.end()
    device.announcements.end(device.now)
    device.announcements.hasten_end()
    assert device.become(LAN, WIFI) == []
    assert device.search("ssdp:all") == []
    assert device.run(10_000) == []


def test_a_program_without_time_says_goodbye_at_once() -> None:
    device = AnnouncingDevice(LAN, WIFI)
    device.run(10)
    device.announcements.end(device.now)
    device.announcements.take_messages()
    device.announcements.hasten_end()
    messages = device.announcements.take_messages()
    assert Counter((each.kind, each.address) for each in messages) == {
        (BYEBYE, LAN): len(TARGETS),
        (BYEBYE, WIFI): len(TARGETS),
    }
    assert device.announcements.ended


@pytest.mark.parametrize("in_haste", [True, False])
def test_an_address_that_waits_to_be_announced_is_said_goodbye_to(in_haste: bool) -> None:
    """It may have answered searches."""
    device = AnnouncingDevice(LAN, address_changes=1, address_change_seconds=60.0)
    device.run(60)
    device.become(LAN, WIFI)
    device.run(5)
    device.become(LAN, WIFI, ULA)
    assert device.search("ssdp:all", own=(ULA,), source=Endpoint("fd00::77", 50_000))
    if in_haste:
        device.announcements.hasten_end()
        sent = device.announcements.take_messages()
    else:
        sent = device.end()
    assert {message.address for message in sent} == {LAN, WIFI, ULA}
    assert {message.kind for message in sent} == {BYEBYE}


# --- a carrier that comes back ---


def test_a_device_is_announced_again_when_a_carrier_is_back_with_the_same_bootid() -> None:
    device = AnnouncingDevice(LAN, WIFI)
    device.run(60)
    device.plug_in()
    messages = device.run(2)
    assert kinds(messages) == ["ssdp:alive 7"]
    assert Counter(message.address for message in messages) == {
        LAN: 3 * len(TARGETS),
        WIFI: 3 * len(TARGETS),
    }
    assert device.run(400) == []


def test_a_carrier_that_comes_and_goes_causes_a_bounded_number_of_announcements() -> None:
    device = AnnouncingDevice(LAN, address_changes=2, address_change_seconds=30.0)
    device.run(60)
    sent = []
    for _ in range(200):
        device.plug_in()
        sent += device.run(0.5)
    assert len(sent) <= (2 + 100 / 30 + 1) * 3 * len(TARGETS)
    assert device.run(60)[-1].target is TARGETS[-1]  # the last one is announced too


def test_a_change_of_addresses_takes_the_place_of_an_announcement_that_waits() -> None:
    device = AnnouncingDevice(LAN, address_changes=1, address_change_seconds=30.0)
    device.run(60)
    device.plug_in()
    device.run(5)
    device.plug_in()
    device.become(LAN, WIFI)
    device.plug_in()
    assert kinds(device.run(60)) == ["ssdp:update 7", "ssdp:alive 8"]
    assert device.run(300) == []


def test_a_carrier_that_is_back_during_a_change_disturbs_no_update() -> None:
    device = AnnouncingDevice(LAN)
    device.run(60)
    device.become(LAN, WIFI)
    device.plug_in()
    assert kinds(device.run(10)) == ["ssdp:update 7", "ssdp:alive 8"]


def test_a_device_that_is_not_announced_is_not_announced_again() -> None:
    device = AnnouncingDevice()
    device.plug_in()
    assert device.run(10) == []
    device = AnnouncingDevice(LAN)
    device.run(60)
    device.announcements.end(device.now)
    device.plug_in()
    assert kinds(device.run(10)) == ["ssdp:byebye 7"]
    device.plug_in()
    assert device.run(10) == []
