"""``propchange demo``: two simulated devices, and a control point that prints their events.

The devices use real sockets of this machine. ``propchange watch`` takes the URLs that the demo
prints, in another terminal, or with ``--lan`` on another machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys

import click

from propchange import ControlPoint, Device, HostedDevice, Service, StateVariable, host
from propchange.cli.event_printer import EventPrinter, Wanted
from propchange.cli.exit_status import CommandFailed, run
from propchange.cli.lines import Source
from propchange.cli.names import Names
from propchange.cli.options import Seconds
from propchange.cli.output import output
from propchange.driver.machine import Interfaces
from propchange.upnp.simulated_services import SimulatedRendering, SimulatedTransport
from propchange.upnp.standard import ConnectionManager, RenderingControl

_LOOPBACK = "127.0.0.1"

_MODEL = "propchange demo"

_STEP_SECONDS = 0.8

_TRACKS = tuple(
    f"http://media.example/{name}.flac"
    for name in ("clair-de-lune", "gymnopedie-1", "the-lark-ascending", "spiegel-im-spiegel")
)


_STATES = ("STOPPED", "PLAYING", "PAUSED_PLAYBACK", "NO_MEDIA_PRESENT")

_LEFT_OUT = [
    name
    for name in RenderingControl().variables
    if name not in ("LastChange", "PresetNameList", "Mute", "Volume")
    and not name.startswith("A_ARG_TYPE_")
]


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    """A temperature in degrees Celsius, and an alarm when it is too warm."""

    temperature = StateVariable("r4", initial=21.0)
    alarm = StateVariable("boolean", initial=False)

    def step(self, randomness: random.Random) -> None:
        """Change the temperature, with a pull towards 21.5 °C, and the alarm in the same event."""
        pull = (21.5 - self.temperature) * 0.2
        with self.batch():
            self.temperature = round(self.temperature + pull + randomness.gauss(0, 1), 1)
            self.alarm = self.temperature >= 23.0


class Player(SimulatedTransport):
    """What the simulated media renderer plays."""

    transport_state = StateVariable("string", initial="PLAYING", allowed=_STATES)
    number_of_tracks = StateVariable("ui4", initial=len(_TRACKS))
    current_track = StateVariable("ui4", initial=1)
    current_track_uri = StateVariable("string", initial=_TRACKS[0], name="CurrentTrackURI")

    def step(self, randomness: random.Random) -> None:
        """Go to the next track, or stay, while it plays and has more than one."""
        if self.transport_state == "PLAYING" and randomness.random() < 0.7:
            track = self.current_track % self.number_of_tracks + 1
            with self.batch():
                self.current_track = track
                if self.number_of_tracks == len(_TRACKS):
                    self.current_track_uri = _TRACKS[track - 1]


class Sound(SimulatedRendering, without=_LEFT_OUT):
    """The volume of the simulated media renderer."""

    volume = StateVariable("ui2", initial=30, minimum=0, maximum=100, step=1)

    def step(self, randomness: random.Random) -> None:
        """Turn the knob, or press the button that mutes."""
        if randomness.random() < 0.3:
            self.mute = not self.mute
        else:
            by = randomness.randint(1, 8) * randomness.choice((1, -1))
            self.volume = min(100, max(0, self.volume + by))


@click.command()
@click.option(
    "--seconds",
    type=Seconds(),
    help="End after this many seconds. Without it, Ctrl-C ends the demo.",
)
@click.option(
    "--lan",
    is_flag=True,
    help="Host the devices where other machines find and reach them, instead of on the loopback "
    "interface. The URLs are printed.",
)
def demo(seconds: float | None, lan: bool) -> None:
    """Simulate two devices and print their events.

    A control point subscribes to a thermometer and a media renderer over real sockets of this
    machine. The renderer obeys the actions of other control points, such as SetVolume and Pause. If
    the output is not a terminal, demo prints JSON Lines, as watch does.
    """
    sys.exit(run(_demo(seconds, lan=lan), endless=seconds is None))


async def _demo(seconds: float | None, *, lan: bool) -> None:
    """Run the demo for ``seconds``, or without an end. ``lan``: at an address that other machines
    can reach. Raises CommandFailed if there is no such address."""
    address = Interfaces().default_address() if lan else _LOOPBACK
    if lan and address == _LOOPBACK:
        raise CommandFailed(
            "this machine has no address that other machines could reach; connect it to a network, "
            "or leave --lan out"
        )
    writer, form = output(sys.stdout, json=False)
    printer = EventPrinter(writer, form)
    async with (
        writer,
        contextlib.AsyncExitStack() as running,
        printer.saying_what_was_closed(),
        ControlPoint(interface=address, tap=printer.tap) as control_point,
    ):
        thermometer, player, sound = Thermometer(), Player(), Sound()
        manager = ConnectionManager()
        manager.sink_protocol_info = "http-get:*:audio/mpeg:*"
        devices = (
            Device("Thermometer", services=[thermometer], model_name=_MODEL),
            Device(
                "Media renderer",
                services=[player, sound, manager],
                type="urn:schemas-upnp-org:device:MediaRenderer:1",
                model_name=_MODEL,
            ),
        )
        printer.begin(
            Source(device.friendly_name, service.service_type.split(":")[3])
            for device in devices
            for service in device.services
        )
        wanted: Wanted = []
        names = Names()
        for device in devices:
            hosted = await running.enter_async_context(
                host(device, interface=None if lan else address)
            )
            remote = await control_point.device(hosted.description_url)
            wanted += [(source, each.subscribe()) for each, source in names.of(remote).items()]
            printer.status(Source(device.friendly_name, ""), "hosted", hosted.description_url)
            for service in (thermometer, player, sound):
                if service in device.services:
                    running.callback(asyncio.create_task(_simulate(service, hosted)).cancel)

        async def found() -> Wanted:
            return wanted

        await printer.run([(Source("demo", ""), found())], seconds)


async def _simulate(service: Thermometer | Player | Sound, hosted: HostedDevice) -> None:
    await hosted.subscribed()
    randomness = random.Random()  # noqa: S311 - a simulation
    while True:
        await asyncio.sleep(_STEP_SECONDS)
        service.step(randomness)
