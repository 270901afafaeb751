"""Run a command whenever the external IP address of a router changes. Without asyncio.

usage: python external_address.py ROUTER [COMMAND …]

ROUTER is the URL of its description, or its UDN. The command gets the address as its last argument.
A router that refuses subscriptions, or whose events do not arrive, is asked once a minute.
"""

import contextlib
import subprocess
import sys

from propchange.blocking import ControlPoint

CONNECTIONS = ("WANIPConnection", "WANPPPConnection")  # of any version


def main(router: str, *command: str) -> None:
    with ControlPoint() as control_point:
        where = {"description_url" if "://" in router else "udn": router}
        device = control_point.device(**where)
        found = [service for service in device.services if service.name in CONNECTIONS]
        if not found:
            sys.exit(f"{device.friendly_name} has no {' and no '.join(CONNECTIONS)}")
        address = None
        for event in found[0].subscribe(poll=True, poll_interval=60):
            new = event.changes.get("ExternalIPAddress")
            if new and new != address:  # a fresh subscription brings the same address again
                address = new
                print(f"{address}{' (polled)' if event.polled else ''}", flush=True)
                if command:
                    subprocess.run([*command, address], check=False)


if len(sys.argv) < 2:
    sys.exit(__doc__)
with contextlib.suppress(KeyboardInterrupt):
    main(*sys.argv[1:])
