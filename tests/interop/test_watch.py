"""`propchange watch` on a device of another stack."""

from __future__ import annotations

import pytest


def test_watch_shows_the_initial_event_and_the_changes(
    peer_device, stack, start, propchange_command
):
    watch = start(
        *stack.network,
        propchange_command,
        "watch",
        peer_device.description_url,
        "--json",
        "--count",
        "3",
    )
    events = [watch.read("changes")]
    for value in ("21.5", '<"&ä'):
        peer_device.set(value)
        events.append(watch.read("changes"))

    assert [event["changes"] for event in events] == [
        {"Value": "0"},
        {"Value": "21.5"},
        {"Value": '<"&ä'},
    ]
    assert [event["seq"] for event in events] == [0, 1, 2]
    assert [event["initial"] for event in events] == [True, False, False]
    assert watch.wait() == 0


# async-upnp-client is left out: it sends without waiting for the answer, so SEQ overtakes SEQ.
@pytest.mark.parametrize("stack", ["gupnp", "libupnp"], indirect=True)
def test_watch_keeps_up_with_a_burst(peer_device, stack, start, propchange_command):
    """All events are seen in order; libupnp keeps ten waiting, so the burst is paced."""
    watch = start(
        *stack.network, propchange_command, "watch", peer_device.description_url, "--json"
    )
    watch.read("changes")
    fired = peer_device.program.ask("burst 200 2000", "fired")["fired"]
    events = [watch.read("changes") for _ in range(fired)]

    values = [int(event["changes"]["Value"]) for event in events]
    assert [event["seq"] for event in events] == list(range(1, fired + 1))
    assert values == sorted(values)
