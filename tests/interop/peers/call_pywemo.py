"""pywemo, with a WeMo switch.

    python call_pywemo.py DESCRIPTION-URL

On start, one line: {"ready": class of the device, "actions": {SERVICE: {ACTION: [arguments]}}}. A
command a line:
    switch STATE   by its action, {"switched": STATE}
    state          asks the device, {"state": 0 or 1}
Unasked: {"event": TYPE, "value": TEXT}.
"""

from __future__ import annotations

import sys
import threading

import command_lines
import pywemo

LOCK = threading.Lock()


def tell(**told: object) -> None:
    """Events come in a thread of their own."""
    with LOCK:
        command_lines.tell(**told)


def main(url: str) -> None:
    device = pywemo.device_from_description(url)
    if device is None:
        tell(error="no WeMo device", why=url)
        return
    registry = pywemo.SubscriptionRegistry()
    registry.start()
    registry.register(device)
    registry.on(device, None, lambda device, event, value: tell(event=event, value=value))
    tell(
        ready=type(device).__name__,
        actions={
            service.name: {
                each.name: [*each.args, *each.returns] for each in service.actions.values()
            }
            for service in device.services.values()
        },
    )
    for line in sys.stdin:
        command, _, rest = line.strip("\n").partition(" ")
        if command == "switch":
            device.set_state(int(rest))
            tell(switched=rest)
        elif command == "state":
            tell(state=device.get_state(force_update=True))
        else:
            tell(error="no such command", why=command)
    registry.unregister(device)
    registry.stop()


main(sys.argv[1])
