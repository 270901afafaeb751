"""A thermometer on the network, with Twisted.

usage: python twisted_thermometer.py PORT

PORT 0 is any free one.
"""

import sys

from twisted.internet import defer, task

from propchange import StateVariable
from propchange.twisted import Service


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)  # on the wire: Temperature
    alarm = StateVariable("boolean", initial=False)


async def main(port: int) -> None:
    thermometer = Thermometer()
    port = thermometer.listen(port, interface="127.0.0.1")  # or put .resource into your own site
    print(f"http://127.0.0.1:{port}/", flush=True)
    await thermometer.subscribed()  # a subscriber has had the initial event
    thermometer.temperature = 20.5  # one event; does not wait for subscribers
    with thermometer.batch():  # one event with both
        thermometer.temperature = 31.0
        thermometer.alarm = True
    await thermometer.drained()
    await thermometer.close()


if len(sys.argv) < 2:
    sys.exit(__doc__)
task.react(lambda _: defer.ensureDeferred(main(int(sys.argv[1]))))
