"""Which delivery URLs a device calls, on hosts with several addresses, and with new ones."""

from __future__ import annotations

import sys

import pytest

DEVICES = {
    "asyncio": """
import asyncio, json
from propchange import Device, Service, StateVariable, host

class Lamp(Service, type="urn:example-org:service:Lamp:1"):
    on = StateVariable("boolean")

async def main():
    async with host(Device("Lamp", services=[Lamp()]), port=8123) as hosted:
        print(json.dumps({"ready": hosted.port}), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
""",
    "twisted": """
import json
from twisted.internet import reactor
from propchange import StateVariable
from propchange.twisted import Service

class Lamp(Service, type="urn:example-org:service:Lamp:1"):
    on = StateVariable("boolean")

lamp = Lamp()
reactor.callWhenRunning(lambda: print(json.dumps({"ready": lamp.listen(8123)}), flush=True))
reactor.run()
""",
}

SUBSCRIBE = """
import http.client, json, re, sys
for line in sys.stdin:
    device, callback = line.split()
    connection = http.client.HTTPConnection(device, 8123, timeout=5)
    connection.request("GET", "/description.xml")
    found = re.search(b"<eventSubURL>([^<]*)<", connection.getresponse().read())
    path = "/" + found[1].decode().lstrip("/") if found else "/"
    connection.request("SUBSCRIBE", path, headers={"CALLBACK": f"<{callback}>", "NT": "upnp:event"})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    print(json.dumps({"status": answer.status}), flush=True)
"""


@pytest.fixture(params=DEVICES)
def home(network, start, request):
    """A device's host with two addresses and a control point's host with two; and a function that
    SUBSCRIBEs to an address of the device with a delivery URL, and returns the status."""
    switch = network.switch("home")
    device, control = network.host("device"), network.host("control")
    network.plug(device, switch, "eth0", "10.77.0.2/24", "10.77.0.4/24")
    network.plug(control, switch, "eth0", "10.77.0.3/24", "10.78.0.3/24")
    device.ip("link set lo up")
    hosted = start(*device.prefix, sys.executable, "-c", DEVICES[request.param])
    hosted.read("ready")
    subscriber = start(*control.prefix, sys.executable, "-c", SUBSCRIBE)

    def subscribe(address: str, callback: str) -> int:
        return int(subscriber.ask(f"{address} {callback}", "status")["status"])

    return device, subscribe


@pytest.mark.parametrize("port", [22, 8123])
@pytest.mark.parametrize("address", ["10.77.0.2", "10.77.0.4"])
@pytest.mark.slow
def test_no_address_of_the_devices_own_machine_is_called_for_another_host(
    home, address: str, port: int
) -> None:
    _, subscribe = home
    assert subscribe("10.77.0.2", f"http://{address}:{port}/") == 412
    assert subscribe("10.77.0.2", "http://10.77.0.3:49152/") == 200


@pytest.mark.slow
def test_a_subscribe_to_an_address_that_is_new_is_granted_at_once(home) -> None:
    device, subscribe = home
    assert subscribe("10.77.0.2", "http://10.77.0.3:49152/") == 200
    device.ip("addr add 10.78.0.2/24 dev eth0")
    assert subscribe("10.78.0.2", "http://10.78.0.3:49152/") == 200
