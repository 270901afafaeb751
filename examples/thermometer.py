"""A thermometer on the network."""

import asyncio

from propchange import Device, Service, StateVariable, host


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)  # on the wire: Temperature
    alarm = StateVariable("boolean", initial=False)


async def main() -> None:
    thermometer = Thermometer()
    async with host(Device("Workbench", services=[thermometer]), port=8123) as hosted:
        print(hosted.description_url, flush=True)
        await hosted.subscribed()  # a subscriber has had the initial event
        thermometer.temperature = 20.5  # one event; does not wait for subscribers
        with thermometer.batch():  # one event with both
            thermometer.temperature = 31.0
            thermometer.alarm = True
        await hosted.drain(timeout=5)


asyncio.run(main())
