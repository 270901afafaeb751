"""propchange's control point on devices of other stacks: its API and the bytes on the wire."""

from __future__ import annotations

import sys

import pytest


@pytest.fixture
def control_point(start, stack, peers_folder):
    """It asks for two seconds, and renews after one what is granted for longer (GUPnP grants
    300, whatever is asked for)."""
    program = peers_folder / "sub_propchange.py"
    program = start(*stack.network, sys.executable, program, stack.address, "2")
    program.read("ready")
    return program


def test_the_initial_event_a_change_a_renewal_and_the_unsubscribe(peer_device, control_point, wire):
    subscribed = control_point.ask(f"subscribe {peer_device.description_url} Bench", "subscribed")
    sid = subscribed["subscribed"]
    initial = control_point.read("notify")
    assert (initial["notify"], initial["initial"]) == (0, True)
    assert initial["changes"] == {"Value": "0"}

    peer_device.set("21.5")
    change = control_point.read("notify")
    assert (change["notify"], change["initial"]) == (1, False)
    assert change["changes"] == {"Value": "21.5"}

    assert control_point.read("renewed") == {"renewed": sid}
    peer_device.set('<"&ä')
    assert control_point.read("notify")["changes"] == {"Value": '<"&ä'}

    control_point.ask("unsubscribe Bench", "unsubscribed")
    peer_device.set("nobody hears this")
    # Another subscription, so that there is something to wait for.
    control_point.ask(f"subscribe {peer_device.description_url} Bench", "subscribed")
    assert control_point.read("notify")["changes"] == {"Value": "nobody hears this"}

    # The same, as it stood on the wire: what the device answered and sent.
    first = wire.answer(wire.request("SUBSCRIBE", nt="upnp:event"))
    assert (first.status, first.fields["SID"]) == (200, sid)
    renewal = wire.request("SUBSCRIBE", sid=sid)
    assert wire.answer(renewal).status == 200
    gone = wire.answer(wire.request("UNSUBSCRIBE", sid=sid))
    assert gone.status == 200
    notifies = [message for message in wire.messages if message.fields.get("SID") == sid]
    notifies = [message for message in notifies if message.method == "NOTIFY"]
    assert [message.fields["SEQ"] for message in notifies] == ["0", "1", "2"]
    assert [wire.answer(message).status for message in notifies] == [200, 200, 200]
    assert all(message.number < gone.number for message in notifies)
    assert control_point.ask("unsubscribe Bench", "unsubscribed")
