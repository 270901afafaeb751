"""A dimmable light, which control points find, switch, dim and watch, with Twisted.

usage: python twisted_dimmable_light.py [INTERFACE]
"""

import sys

from twisted.internet import defer, task

from propchange import Device, action
from propchange.twisted import host
from propchange.upnp.standard import Dimming, SwitchPower


class Power(SwitchPower):
    @action
    def set_target(self, new_target_value: bool) -> None:
        self.target = self.status = new_target_value  # an event, after the answer
        print("on" if self.status else "off", flush=True)


class Level(Dimming, without=["StepDelta", "RampRate", "RampTime", "IsRamping", "RampPaused"]):
    @action
    def set_load_level_target(self, new_load_level_target: int) -> None:
        self.load_level_target = self.load_level_status = new_load_level_target
        print(f"{self.load_level_status} %", flush=True)


async def main(interface: str | None) -> None:
    kind = "urn:schemas-upnp-org:device:DimmableLight:1"
    light = Device("Desk lamp", type=kind, services=[Power(), Level()])
    async with host(light, interface=interface) as hosted:
        print(hosted.description_url, flush=True)
        await defer.Deferred()  # until Ctrl-C


task.react(lambda _: defer.ensureDeferred(main(next(iter(sys.argv[1:]), None))))
