"""A device whose temperature is that of a sensor, which writes one number a line.

usage: python sensor_device.py PATH [INTERFACE]

PATH is a serial port such as /dev/ttyUSB0, a pipe, or /dev/stdin. A thread reads it, since such a
file has no asynchronous reads. For GPIO, call `measured` of the loop in the same way.
"""

import asyncio
import contextlib
import sys

from propchange import Device, Service, StateVariable, host


class Sensor(Service, type="urn:example-org:service:TemperatureSensor:1"):
    # A sensor may measure a thousand times a second. Subscribers get ten values, and the last one.
    temperature = StateVariable("r4", minimum=-50.0, maximum=150.0, minimum_interval=0.1)
    connected = StateVariable("boolean")


async def main(path: str, interface: str | None = None) -> None:
    sensor = Sensor()
    loop = asyncio.get_running_loop()

    def measured(line: str) -> None:
        try:
            sensor.temperature = float(line)
        except ValueError as error:  # a torn line, or a value that no thermometer has
            print(f"left out: {error}", file=sys.stderr, flush=True)

    def read() -> None:
        with open(path, encoding="ascii", errors="replace") as port:
            for line in port:  # in a thread: a service is assigned in the thread of its loop
                loop.call_soon_threadsafe(measured, line)

    async with host(Device("Boiler", services=[sensor]), interface=interface) as hosted:
        print(hosted.description_url, flush=True)
        sensor.connected = True
        await asyncio.to_thread(read)
        sensor.connected = False  # subscribers see that the value is an old one
        print("the sensor is gone", flush=True)
        await hosted.drain(timeout=5)


if len(sys.argv) < 2:
    sys.exit(__doc__)
with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main(*sys.argv[1:3]))
