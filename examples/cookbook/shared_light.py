"""One light and two switches: each switch shows the state of the light, and toggles it.

usage: python shared_light.py

The light and both control points run in this process, over real sockets of the loopback interface.
"""

import asyncio

from propchange import ControlPoint, Device, Subscription, action, host
from propchange.upnp.standard import SwitchPower


class Light(SwitchPower):
    @action
    def set_target(self, new_target_value: bool) -> None:
        self.target = self.status = new_target_value  # an event to both, after the answer


async def show(switches: dict[str, Subscription[SwitchPower]]) -> None:
    for name, switch in switches.items():
        event = await anext(switch)
        print(f"  the {name} shows {'on' if event.changes[SwitchPower.status] else 'off'}")


async def main() -> None:
    here = "127.0.0.1"
    async with (
        host(Device("Lamp", services=[Light()]), interface=here) as hosted,
        ControlPoint(interface=here) as hall,
        ControlPoint(interface=here) as bedroom,
    ):
        light_of_hall = (await hall.device(hosted.description_url))[SwitchPower]
        light_of_bedroom = (await bedroom.device(hosted.description_url))[SwitchPower]
        async with light_of_hall.subscribe() as first, light_of_bedroom.subscribe() as second:
            switches = {"hall": first, "bedroom": second}
            print("at the start")
            await show(switches)
            for name, switch in switches.items():
                print(f"somebody presses the switch of the {name}")
                await switch.state.set_target(not switch.state.status)
                await show(switches)


asyncio.run(main())
