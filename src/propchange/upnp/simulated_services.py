"""Standard services that are simulated: their actions change the state variables and nothing else.
``propchange host`` and ``propchange demo`` host them.

An action that sets variables has no method here: :func:`setters` makes it. An optional action that
cannot be answered from the variables is left out; a required one is answered 501.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn

from propchange.errors import ActionError
from propchange.upnp.action_methods import ActionMethod, action
from propchange.upnp.actions import ErrorCode
from propchange.upnp.instances import ServiceInstance
from propchange.upnp.service import Service
from propchange.upnp.standard import (
    AVTransport,
    ConnectionManager,
    ContentDirectory,
    Dimming,
    RenderingControl,
    SwitchPower,
    WANCommonInterfaceConfig,
    WANIPConnection,
)
from propchange.upnp.tied_action import ADDRESSING, ARGUMENT_TYPE, CHANNEL, INSTANCE

_TIME = re.compile(r"[0-9]+:[0-5][0-9]:[0-5][0-9](\.[0-9]+)?")

Key = str | tuple[str, str]
"""A variable, or a variable and a channel."""


def change(service: Service, values: Mapping[Any, object], number: int = 0) -> None:
    """Assign ``values``, by variable or by (variable, channel), to the instance ``number`` of
    ``service``, in one event. Variables that the service does not have are left out. Raises
    ActionError 501 for a value that a variable does not allow; nothing has changed then."""
    target: Service | ServiceInstance = service.instance(number) if service.instances else service
    try:
        with service.batch():
            for key, value in values.items():
                if (key if isinstance(key, str) else key[0]) in service:
                    target[key] = value
    except ValueError as error:
        raise ActionError(501, f"Action Failed: {error}") from None


def setters(
    service: type[Service], without: Collection[str] = ()
) -> dict[str, ActionMethod[..., Any]]:
    """Methods, by the name of the attribute, for the actions that the class ``service`` declares,
    does not implement and that only set variables: all their arguments are in arguments, each of a
    variable, besides InstanceID and Channel. Actions of the variables ``without`` are left out."""
    made: dict[str, ActionMethod[..., Any]] = {}
    for attribute in dir(service):
        method = getattr(service, attribute)
        if not isinstance(method, ActionMethod) or method.declared is None:
            continue
        names = {
            each.name: each.variable.name
            for each in method.action.inputs
            if each.name not in ADDRESSING
        }
        settable = all(
            name not in without and not name.startswith(ARGUMENT_TYPE) for name in names.values()
        )
        if names and settable and not method.action.outputs:
            made[attribute] = action(_setter(names))
    return made


def _setter(names: Mapping[str, str]) -> Callable[..., None]:
    """A method that assigns its arguments to variables. ``names``: argument -> variable."""

    def assign(self: Service, **values: Any) -> None:
        number, channel = values.get(INSTANCE, 0), values.get(CHANNEL)
        assigned: dict[Key, object] = {
            name if channel is None else (name, channel): values[argument]
            for argument, name in names.items()
        }
        if isinstance(self, RenderingControl):
            self.check_instance(number, channel)
        elif isinstance(self, AVTransport):
            self.check_instance(number)
        change(self, assigned, number)

    return assign


def refusal(code: int, description: str = "") -> ActionMethod[..., Any]:
    """An action that always answers with this error."""

    def refuse(self: Service, **arguments: Any) -> NoReturn:
        raise ActionError(code, description)

    return action(refuse)


class SimulatedTransport(AVTransport):
    """A player that plays nothing. A track has no end, and the position does not move."""

    @action
    def set_av_transport_uri(
        self, instance_id: int, current_uri: str, current_uri_meta_data: str
    ) -> None:
        """Load the resource, stopped."""
        self.check_instance(instance_id)
        tracks = 1 if current_uri else 0
        change(
            self,
            {
                "AVTransportURI": current_uri,
                "AVTransportURIMetaData": current_uri_meta_data,
                "CurrentTrackURI": current_uri,
                "CurrentTrackMetaData": current_uri_meta_data,
                "NumberOfTracks": tracks,
                "CurrentTrack": tracks,
                "RelativeTimePosition": "0:00:00",
                "AbsoluteTimePosition": "0:00:00",
                "TransportState": "STOPPED" if current_uri else "NO_MEDIA_PRESENT",
            },
            instance_id,
        )

    @action
    def play(self, instance_id: int, speed: str) -> None:
        """Play, if there is a medium."""
        self._leave(instance_id, "NO_MEDIA_PRESENT")
        change(self, {"TransportPlaySpeed": speed, "TransportState": "PLAYING"}, instance_id)

    @action
    def stop(self, instance_id: int) -> None:
        """Stop, if there is a medium."""
        self._leave(instance_id, "NO_MEDIA_PRESENT")
        change(self, {"TransportState": "STOPPED"}, instance_id)

    @action
    def pause(self, instance_id: int) -> None:
        """Pause, if it plays."""
        self._leave(instance_id, "NO_MEDIA_PRESENT", "STOPPED")
        change(self, {"TransportState": "PAUSED_PLAYBACK"}, instance_id)

    @action
    def seek(self, instance_id: int, unit: str, target: str) -> None:
        """Go to a track or to a time."""
        self._leave(instance_id, "NO_MEDIA_PRESENT")
        if unit == "TRACK_NR":
            self._go_to_track(instance_id, int(target) if target.isdecimal() else 0)
        elif unit in ("REL_TIME", "ABS_TIME"):
            if not _TIME.fullmatch(target):
                raise ActionError(711, "Illegal seek target")
            position = {"RelativeTimePosition": target, "AbsoluteTimePosition": target}
            change(self, position, instance_id)
        else:
            raise ActionError(710, "Seek mode not supported")

    @action
    def next(self, instance_id: int) -> None:
        """Go to the next track, if there is one."""
        self._go_to_track(instance_id, self._track(instance_id) + 1)

    @action
    def previous(self, instance_id: int) -> None:
        """Go to the track before, if there is one."""
        self._go_to_track(instance_id, self._track(instance_id) - 1)

    def _track(self, instance_id: int) -> int:
        track: int = self.check_instance(instance_id)["CurrentTrack"]
        return track

    def _leave(self, instance_id: int, *states: str) -> None:
        """Raises ActionError in one of ``states``, and for an invalid instance."""
        if self.check_instance(instance_id)["TransportState"] in states:
            raise ActionError(701, "Transition not available")

    def _go_to_track(self, instance_id: int, track: int) -> None:
        if not 1 <= track <= self.check_instance(instance_id)["NumberOfTracks"]:
            raise ActionError(711, "Illegal seek target")
        position = {"RelativeTimePosition": "0:00:00", "AbsoluteTimePosition": "0:00:00"}
        change(self, {"CurrentTrack": track, **position}, instance_id)


class SimulatedRendering(RenderingControl):
    """The settings of a renderer."""

    @action
    def set_volume(self, instance_id: int, channel: str, desired_volume: int) -> None:
        """Set the volume of a channel that exists."""
        self.check_instance(instance_id, channel)
        change(self, {("Volume", channel): desired_volume}, instance_id)

    @action
    def set_mute(self, instance_id: int, channel: str, desired_mute: bool) -> None:
        """Mute a channel that exists, or not."""
        self.check_instance(instance_id, channel)
        change(self, {("Mute", channel): desired_mute}, instance_id)

    @action
    def select_preset(self, instance_id: int, preset_name: str) -> None:
        """Set the initial values of all variables, in the present channels."""
        instance = self.check_instance(instance_id)
        if preset_name not in self.preset_name_list.split(","):
            raise ActionError(701, "Invalid Name")
        initial = {
            name: variable.initial
            for name, variable in self.variables.items()
            if variable.evented == "LastChange" and name != "PresetNameList"
        }
        change(self, initial, instance.number)


class SimulatedDirectory(ContentDirectory):
    """A library without objects. It has the update IDs only."""

    browse = refusal(ErrorCode.ACTION_FAILED)  # there are no objects


class SimulatedSwitch(SwitchPower):
    """A switch that obeys at once."""

    @action
    def set_target(self, new_target_value: bool) -> None:
        """Switch."""
        change(self, {"Target": new_target_value, "Status": new_target_value})


class SimulatedDimming(Dimming):
    """A dimmer that obeys at once. It has no ramps but StartRampToLevel, which takes no time."""

    @action
    def set_load_level_target(self, new_load_level_target: int) -> None:
        """Set the level."""
        level = new_load_level_target
        change(self, {"LoadLevelTarget": level, "LoadLevelStatus": level})

    @action
    def start_ramp_to_level(self, new_load_level_target: int, new_ramp_time: int) -> None:
        """Set the level."""
        level = new_load_level_target
        change(self, {"LoadLevelTarget": level, "LoadLevelStatus": level})

    @action
    def step_up(self) -> None:
        """Make it lighter by StepDelta."""
        self._step(1)

    @action
    def step_down(self) -> None:
        """Make it darker by StepDelta."""
        self._step(-1)

    def _step(self, sign: int) -> None:
        if "StepDelta" not in self:
            raise ActionError(602)
        status = self.variables["LoadLevelStatus"]
        step = sign * self["StepDelta"]
        level = min(status.maximum or 100, max(status.minimum or 0, self[status.name] + step))
        change(self, {"LoadLevelTarget": level, "LoadLevelStatus": level})


class SimulatedConnection(WANIPConnection):
    """A gateway without port mappings."""

    @action
    def request_connection(self) -> None:
        """Connect."""
        change(self, {"ConnectionStatus": "Connected"})

    @action
    def request_termination(self) -> None:
        """Disconnect."""
        change(self, {"ConnectionStatus": "Disconnected"})

    @action
    def force_termination(self) -> None:
        """Disconnect."""
        change(self, {"ConnectionStatus": "Disconnected"})

    get_generic_port_mapping_entry = refusal(713, "SpecifiedArrayIndexInvalid")
    get_specific_port_mapping_entry = refusal(714, "NoSuchEntryInArray")
    add_port_mapping = refusal(ErrorCode.ACTION_FAILED)
    delete_port_mapping = refusal(714, "NoSuchEntryInArray")


SIMULATED: Final[Mapping[str, type[Service]]] = MappingProxyType(
    {
        "AVTransport:1": SimulatedTransport,
        "ConnectionManager:1": ConnectionManager,
        "ContentDirectory:1": SimulatedDirectory,
        "Dimming:1": SimulatedDimming,
        "RenderingControl:1": SimulatedRendering,
        "SwitchPower:1": SimulatedSwitch,
        "WANCommonInterfaceConfig:1": WANCommonInterfaceConfig,
        "WANIPConnection:1": SimulatedConnection,
    }
)
"""The standard services by name and version."""
