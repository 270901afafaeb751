"""A thermometer for control points of this machine, with Twisted.

usage: python twisted_thermometer.py PORT

PORT 0 is any free one. Without `interface`, the network finds it too.
"""

import sys

from twisted.internet import defer, task

from propchange import Device, Service, StateVariable
from propchange.twisted import host


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)  # on the wire: Temperature
    alarm = StateVariable("boolean", initial=False)


async def main(port: int) -> None:
    thermometer = Thermometer()
    hosted = host(Device("Workbench", services=[thermometer]), port=port, interface="127.0.0.1")
    await hosted.open()
    print(hosted.description_url, flush=True)
    await hosted.subscribed()  # a subscriber has had the initial event
    thermometer.temperature = 20.5  # one event; does not wait for subscribers
    with thermometer.batch():  # one event with both
        thermometer.temperature = 31.0
        thermometer.alarm = True
    await hosted.drain(timeout=5)
    await hosted.close()


if len(sys.argv) < 2:
    sys.exit(__doc__)
task.react(lambda _: defer.ensureDeferred(main(int(sys.argv[1]))))
