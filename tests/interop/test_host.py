"""Control points of other stacks on a device that propchange hosts.

The device is a process of its own, in the network of the stack; what is counted and compared is
what the control point says it has read.
"""

from __future__ import annotations

import re
import subprocess
import sys
from urllib.parse import urljoin, urlsplit

import pytest


@pytest.fixture
def hosted(start, stack, peers_folder):
    """The hosted thermometer: Temperature, Alarm and Room."""
    program = peers_folder / "pub_propchange.py"
    return start(*stack.network, sys.executable, program, stack.address, str(stack.duration or 60))


@pytest.fixture
def subscribe(stack, hosted, peer_control_point):
    """``subscribe(count)`` makes the peer subscribe; gives the changes of the initial events."""

    def subscribe(count: int = 1) -> list[dict[str, str]]:
        description_url = hosted.read("ready")["ready"]
        fetch = [*stack.network, "curl", "--silent", "--show-error", "--fail", description_url]
        description = subprocess.run(fetch, capture_output=True, text=True, check=True).stdout
        found = re.search(r"<eventSubURL>(.*?)</eventSubURL>", description)
        assert found is not None
        url = urlsplit(urljoin(description_url, found[1]))
        command = f"subscribe http://{url.netloc}/ {url.path} {count} {description_url}"
        assert peer_control_point.ask(command, "subscribing")["subscribing"] == count
        return [peer_control_point.read("notify")["changes"] for _ in range(count)]

    return subscribe


def test_the_initial_event_has_every_variable_and_later_ones_what_changed(
    hosted, peer_control_point, subscribe
):
    (initial,) = subscribe()
    assert float(initial.pop("Temperature")) == 20.0
    assert initial == {"Alarm": "0", "Room": ""}

    hosted.ask('assign {"temperature": 20.5}', "drained")
    assert peer_control_point.read("notify")["changes"] == {"Temperature": "20.5"}
    hosted.ask('assign {"temperature": 31.5, "alarm": true}', "drained")
    changes = {"Temperature": "31.5", "Alarm": "1"}
    assert peer_control_point.read("notify")["changes"] == changes
    hosted.ask(r'assign {"room": "<\"&ä"}', "drained")
    assert peer_control_point.read("notify")["changes"] == {"Room": '<"&ä'}


def test_as_many_events_arrive_as_were_published(hosted, peer_control_point, subscribe):
    subscriptions, changes = 20, 30
    subscribe(subscriptions)
    for number in range(changes):
        hosted.ask(f'assign {{"temperature": {100 + number}}}', "drained")

    # It answers an event message before it counts the event.
    counted = peer_control_point.ask_until("count", "notifies", subscriptions * (1 + changes))
    assert counted["lost"] == 0


def test_a_control_point_renews_and_goes_on_hearing(
    stack, hosted, peer_control_point, subscribe, wire
):
    subscribe()
    granted = wire.answer(wire.request("SUBSCRIBE", nt="upnp:event"))
    sid = granted.fields["SID"]
    for _ in range(2):
        seen = wire.mark()
        if not stack.duration:
            assert peer_control_point.ask("renew", "renewed")["renewed"] == [sid]
        renewal = wire.request("SUBSCRIBE", after=seen, sid=sid)
        answer = wire.answer(renewal)
        assert "CALLBACK" not in renewal.fields
        assert (answer.status, answer.fields["SID"]) == (200, sid)
        assert answer.fields["TIMEOUT"] == granted.fields["TIMEOUT"]

    hosted.ask('assign {"temperature": 30}', "drained")
    assert float(peer_control_point.read("notify")["changes"]["Temperature"]) == 30.0
    assert wire.request("NOTIFY", sid=sid, seq="1")
    assert peer_control_point.ask("count", "lost")["lost"] == 0


def test_after_its_unsubscribe_a_control_point_hears_no_more(
    hosted, peer_control_point, subscribe, wire
):
    subscribe()
    peer_control_point.ask("unsubscribe", "unsubscribed")
    hosted.ask_until("subscriptions", "subscriptions", 0)
    hosted.ask('assign {"temperature": 30}', "drained")

    assert peer_control_point.ask("count", "notifies")["notifies"] == 1
    assert wire.answer(wire.request("UNSUBSCRIBE")).status == 200
    assert [message.method for message in wire.messages].count("NOTIFY") == 1
