"""Actions of a service class: how methods are tied to state variables, and how they are run."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pydoc
from collections.abc import Awaitable
from decimal import Decimal
from typing import Any

import pytest

from propchange import ActionError, Response, Service, StateVariable, action, argument
from propchange.errors import RemoteProtocolError
from propchange.upnp.action_methods import ActionMethod, Returned
from propchange.upnp.actions import Action

TYPE = "urn:example-org:service:Oven:1"


class Oven(Service, type=TYPE):
    temperature = StateVariable("ui2", maximum=300)
    door = StateVariable("string", allowed=["open", "closed"])

    @action
    def switch_off(self) -> None:
        self.temperature = 0

    @action(returns=temperature)
    async def set_temperature(self, temperature: int) -> int:
        self.temperature = temperature
        return self.temperature

    @action(arguments={"wanted": door}, returns={"NowDoor": door, "NowTemperature": temperature})
    def move_door(self, wanted: str) -> dict[str, object]:
        if wanted == self.door:
            raise ActionError(701, "The door is there already")
        self.door = wanted
        return {"NowDoor": wanted, "NowTemperature": self.temperature}


class Renderer(Service, type="urn:example-org:service:Renderer:1"):
    """As a standard does, it declares actions that a device implements or answers by its values."""

    _invalid_instance = 702
    _invalid_channel = 703

    volume = StateVariable("ui2", maximum=100, evented="LastChange", channel="Master")
    track = StateVariable("string", evented="LastChange")
    position = StateVariable("string", initial="0:00", evented=False)
    presets = StateVariable("string", initial="Factory")
    a_arg_type_instance_id = StateVariable("ui4", evented=False, name="A_ARG_TYPE_InstanceID")
    a_arg_type_channel = StateVariable("string", evented=False, name="A_ARG_TYPE_Channel")

    @action(returns={"CurrentVolume": volume}, declared="required")
    def get_volume(self, instance_id: int, channel: str) -> int: ...

    @action(declared="required")
    def set_volume(self, instance_id: int, channel: str, desired_volume: int) -> None: ...

    @action(returns={"Track": track, "Position": position}, declared="optional")
    def get_position(self, instance_id: int) -> dict[str, object]: ...

    @action(returns={"Presets": presets}, declared="optional")
    def list_presets(self) -> str: ...

    @action(declared="optional")
    def next(self, instance_id: int) -> None: ...


class Player(Renderer):
    @action
    def set_volume(self, instance_id: int, channel: str, desired_volume: int) -> None:
        self.instance(instance_id)["Volume", channel] = desired_volume


def described(each: Action) -> list[tuple[str, str, str]]:
    return [(a.direction, a.name, a.variable.name) for a in each.arguments]


# --- what a class declares ---


def test_arguments_have_the_names_and_the_variables_of_the_parameters() -> None:
    assert list(Oven().actions) == ["SwitchOff", "SetTemperature", "MoveDoor"]
    assert described(Oven.switch_off.action) == []
    assert described(Oven.set_temperature.action) == [
        ("in", "Temperature", "Temperature"),
        ("out", "Temperature", "Temperature"),
    ]
    assert described(Oven.move_door.action) == [
        ("in", "Wanted", "Door"),
        ("out", "NowDoor", "Door"),
        ("out", "NowTemperature", "Temperature"),
    ]
    assert described(Renderer.set_volume.action) == [
        ("in", "InstanceID", "A_ARG_TYPE_InstanceID"),
        ("in", "Channel", "A_ARG_TYPE_Channel"),
        ("in", "DesiredVolume", "Volume"),
    ]


@pytest.mark.parametrize(
    ("parameter", "variable", "name"),
    [
        ("target", "Target", "Target"),
        ("current_uri", "CurrentURI", "CurrentURI"),
        ("object_id", "A_ARG_TYPE_ObjectID", "ObjectID"),
        ("new_target", "Target", "NewTarget"),
        ("desired_mute", "Mute", "DesiredMute"),
        ("current_mute", "Mute", "CurrentMute"),
        ("requested_count", "Count", "RequestedCount"),
        ("av_transport_uri", "AVTransportURI", "AVTransportURI"),
    ],
)
def test_a_parameter_is_tied_by_its_name(parameter: str, variable: str, name: str) -> None:
    function = eval(f"lambda {parameter}: None")
    made = Service(
        type=TYPE,
        variables=[StateVariable("string", name=variable), StateVariable("string", name="Other")],
        actions={"Do": function},
    )
    assert described(made.actions["Do"]) == [("in", name, variable)]


def test_a_variable_of_the_whole_name_comes_before_one_of_a_part_of_it() -> None:
    names = ["CurrentMute", "Mute", "A_ARG_TYPE_Mute"]
    variables = [StateVariable("boolean", name=name) for name in names]
    made = Service(
        type=TYPE,
        variables=variables,
        actions={"A": lambda current_mute: None, "B": lambda mute: None},
    )
    assert described(made.actions["A"]) == [("in", "CurrentMute", "CurrentMute")]
    assert described(made.actions["B"]) == [("in", "Mute", "Mute")]


def test_an_argument_may_have_another_name_on_the_wire() -> None:
    class Directory(Service, type=TYPE):
        object_id = StateVariable("string", name="A_ARG_TYPE_ObjectID")

        @action(
            name="X_Browse",
            arguments={"container": argument(object_id, name="ObjectID")},
            returns="A_ARG_TYPE_ObjectID",
            retval=True,
        )
        def browse(self, container: str) -> str:
            return container

    found = Directory().actions["X_Browse"]
    assert described(found) == [
        ("in", "ObjectID", "A_ARG_TYPE_ObjectID"),
        ("out", "A_ARG_TYPE_ObjectID", "A_ARG_TYPE_ObjectID"),
    ]
    assert [each.retval for each in found.arguments] == [False, True]
    assert Directory()._invoke_action("X_Browse", {"ObjectID": "0"}) == "0"


def declare(**attributes: Any) -> type[Service]:
    variables: dict[str, Any] = {
        "target": StateVariable("boolean"),
        "status": StateVariable("boolean", name="TARGET"),
    }
    return type(Service)("Light", (Service,), {**variables, **attributes}, type=TYPE)


def lamp(**options: Any) -> ActionMethod[Any, Any]:
    return action(**options)(lambda self, target: None)


def returns_int(self: Any) -> int:
    return 3


def returns_none(self: Any) -> None: ...


def takes_text(self: Any, target: str) -> None: ...


@pytest.mark.parametrize(
    ("attributes", "problem"),
    [
        ({"dim": action(lambda self, level: None)}, "'level' of the action dim fits no state var"),
        ({"dim": action(lambda self, level: None)}, "there are: Target, TARGET"),
        ({"dim": lamp(arguments={"level": "Target"})}, "no parameter level.*there are: target"),
        ({"dim": lamp(arguments={"target": "Level"})}, "state variable Level, which the service"),
        ({"dim": lamp(arguments={"target": 3})}, "a StateVariable or the name of one, not 3"),
        ({"dim": lamp(returns="Level")}, "state variable Level"),
        ({"dim": lamp(returns=StateVariable("ui1"))}, "of a StateVariable without a name, which"),
        ({"dim": lamp(retval=True)}, "retval=True, and no returns="),
        ({"dim": action(lambda: None)}, "needs self as its first parameter"),
        ({"dim": action(lambda *, target: None)}, "needs self as its first parameter"),
        ({"dim": action(lambda self, target, /: None)}, "its parameter target takes none"),
        ({"dim": action(lambda self, *target: None)}, "parameter \\*target takes none"),
        ({"batch": action(lambda self: None)}, "'batch' is a name of Service itself"),
        ({"dim": action(returns_int)}, "dim returns a value, and has no out argument for it"),
        (
            {"dim": action(returns="Target")(returns_int)},
            "dim is annotated with -> int, and its out argument Target \\(boolean\\) takes True",
        ),
        (
            {"dim": action(returns={"A": "Target", "B": "Target"})(returns_int)},
            "dim is annotated with -> int, and must return a mapping of A, B",
        ),
        (
            {"dim": action(returns="Target")(returns_none)},
            "dim is annotated with -> None, and has the out argument Target",
        ),
        (
            {"dim": action(takes_text)},
            "its parameter target is annotated with str, and gets values of Target .*: bool",
        ),
        (
            {"dim": action(lambda self: None), "bright": action(name="Dim")(lambda self: None)},
            "two actions of Light are called Dim, dim and bright",
        ),
        (
            {"dim": action(arguments={"a": "Target", "b": argument("Target", name="A")})(
                lambda self, a, b: None
            )},
            "two in arguments of Dim are called A",
        ),
    ],
)  # fmt: skip
def test_a_wrong_declaration_is_an_error_of_the_class(
    attributes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(TypeError, match=problem):
        declare(**attributes)


@pytest.mark.parametrize(
    ("data_type", "parameter", "result"),
    [
        ("ui2", "int", "int"),
        ("ui2", "float", "int"),
        ("r4", "float", "int"),
        ("r4", float, Decimal),
        ("fixed.14.4", "decimal.Decimal", "int"),
        ("boolean", "int", "bool"),
        ("dateTime", "datetime.date", "datetime.datetime"),
        ("uuid", "UUID", "str"),
        ("string", "Mode", "Mode"),
        ("string", "str | None", "Mapping[str, object]"),
        ("string", "str", "dict[str, object]"),
        ("string", Any, Any),
    ],
)
def test_annotations_may_be_of_every_type_that_fits_the_values(
    data_type: str, parameter: object, result: object
) -> None:
    def put(self: Any, level: Any) -> Any: ...

    put.__annotations__.update({"level": parameter, "return": result})
    declare(level=StateVariable.of(data_type), put=action(returns="Level")(put))


@pytest.mark.parametrize(
    ("data_type", "parameter"),
    [
        ("ui2", "str"),
        ("ui2", bool),
        ("r4", "int"),
        ("boolean", "str"),
        ("date", "datetime.datetime"),
        ("bin.hex", "str"),
        ("uuid", "str"),
        ("string", "bytes"),
    ],
)
def test_a_parameter_is_not_annotated_with_another_type_than_that_of_its_values(
    data_type: str, parameter: object
) -> None:
    def put(self: Any, level: Any) -> Any: ...

    put.__annotations__["level"] = parameter
    with pytest.raises(TypeError, match="its parameter level is annotated with"):
        declare(level=StateVariable.of(data_type), put=action(put))


def test_an_action_does_not_take_the_name_of_a_variable_away() -> None:
    with pytest.raises(TypeError, match="'volume' is a state variable and an action of Louder"):

        class Louder(Player):
            @action
            def volume(self) -> None: ...

    with pytest.raises(TypeError, match="'next' is a state variable and an action of Other"):

        class Other(Player):
            next = StateVariable("string")


def test_a_misspelt_action_of_a_standard_is_no_action_of_its_own() -> None:
    def put(self: Any, instance_id: int, channel: str, desired_volume: int) -> None: ...

    for name in ("set_volum", "set_volmue", "set_volune"):
        with pytest.raises(
            TypeError, match=f"Louder.{name} is almost set_volume, an action of its"
        ):
            type(Service)("Louder", (Renderer,), {name: action(put)})
    for name in ("get_volumes", "set_volume_2", "SetVolume", "x_set_volume", "louder"):
        type(Service)("Louder", (Renderer,), {name: action(put)})
    type(Service)("Louder", (Renderer,), {"set_volum": action(name="X_Put")(put)})
    type(Service)("Louder", (Player,), {"set_volum": action(put)})  # set_volume is implemented


def test_arguments_are_a_mapping() -> None:
    with pytest.raises(TypeError, match="arguments maps parameters to state variables, not 'Tar"):
        lamp(arguments="Target")


def test_a_generator_is_no_action() -> None:
    def several() -> Any:
        yield 1

    async def also() -> Any:
        yield 1

    for function in (several, also):
        with pytest.raises(TypeError, match="is a generator; it must return its result"):
            action(function)


def test_a_name_is_given_by_its_keyword() -> None:
    with pytest.raises(TypeError, match=r"not 'SetTarget': write @action\(name='SetTarget'\)"):
        action("SetTarget")


def test_a_parameter_that_fits_two_variables_needs_arguments() -> None:
    two = [StateVariable("boolean", name=name) for name in ("TARGET", "tarGet")]
    with pytest.raises(TypeError, match="fits the state variables TARGET and tarGet"):
        Service(type=TYPE, variables=two, actions={"Do": lambda target: None})


@pytest.mark.parametrize("function", [3, staticmethod(len), property(len), int])
def test_only_functions_are_actions(function: Any) -> None:
    with pytest.raises(TypeError, match="@action is for a function or method"):
        action(function)


def test_an_action_of_a_standard_is_required_or_optional() -> None:
    with pytest.raises(ValueError, match='declared is "required" or "optional", not \'maybe\''):
        lamp(declared="maybe")


def test_a_name_that_xml_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be the name of an XML element"):
        declare(dim=lamp(name="a b"))


# --- subclasses ---


def test_a_subclass_inherits_name_arguments_and_out_arguments() -> None:
    class Quiet(Oven):
        @action
        def move_door(self, wanted: str) -> dict[str, object]:
            return {"NowDoor": wanted, "NowTemperature": 7}

    assert Quiet.move_door.action == Oven.move_door.action
    assert Quiet()._invoke_action("MoveDoor", {"Wanted": "open"})["NowTemperature"] == 7


def test_a_subclass_that_replaces_a_variable_has_its_range_in_the_actions() -> None:
    class Small(Player):
        volume = StateVariable("ui2", maximum=31)

    action = Small().actions["SetVolume"]
    assert action.inputs[2].variable.maximum == 31
    with pytest.raises(ActionError, match="601"):
        action.read_inputs({"InstanceID": "0", "Channel": "Master", "DesiredVolume": "32"})


def test_a_plain_method_does_not_replace_an_action_unnoticed() -> None:
    with pytest.raises(TypeError, match=r"Mute\.set_volume.*of Renderer: write @action above it"):

        class Mute(Renderer):
            def set_volume(self, instance_id: int, channel: str, desired_volume: int) -> None:
                pass


def test_a_subclass_implements_an_action_with_its_parameters() -> None:
    with pytest.raises(TypeError, match="needs a parameter desired_volume; it has: instance_id, c"):

        class Wrong(Renderer):
            @action
            def set_volume(self, instance_id: int, channel: str) -> None:
                pass

    with pytest.raises(TypeError, match="has the parameter more, which is no in argument"):

        class Further(Renderer):
            @action
            def next(self, instance_id: int, more: int) -> None:
                pass


def test_an_action_may_be_implemented_by_a_method_of_another_name() -> None:
    class Loud(Renderer):
        @action(name="SetVolume")
        def change(self, instance_id: int, channel: str, desired_volume: int) -> None:
            self.volume = desired_volume

    loud = Loud()
    loud._invoke_action("SetVolume", {"InstanceID": 0, "Channel": "Master", "DesiredVolume": 4})
    assert loud.volume == 4
    assert loud.missing_actions() == ()


def test_an_action_of_a_mixin_is_one_of_the_service() -> None:
    class Stops:
        @action
        def next(self, instance_id: int) -> None:
            self.stopped = instance_id

    class Stopping(Stops, Player):
        pass

    stopping = Stopping()
    stopping._invoke_action("Next", {"InstanceID": 0})
    assert stopping.stopped == 0
    assert "Next" in stopping.actions


def test_a_method_may_be_wrapped() -> None:
    def logged(function: Any) -> Any:
        def wrapper(*args: Any, **keywords: Any) -> Any:
            return function(*args, **keywords)

        return wrapper

    class Wrapped(Renderer):
        @action
        @logged
        def set_volume(self, instance_id: int, channel: str, desired_volume: int) -> None:
            self.volume = desired_volume

    wrapped = Wrapped()
    wrapped._invoke_action("SetVolume", {"InstanceID": 0, "Channel": "Master", "DesiredVolume": 9})
    assert wrapped.volume == 9


def test_an_attribute_that_is_no_function_takes_an_action_away() -> None:
    class Silent(Player):
        list_presets = None

    assert "ListPresets" not in Silent().actions


def test_without_takes_the_actions_of_a_variable_away() -> None:
    class Short(Player, without=["Position"]):
        pass

    assert list(Short().actions) == ["GetVolume", "SetVolume", "ListPresets"]
    with pytest.raises(ActionError, match="602"):
        Short()._find_action("GetPosition")
    assert Short().missing_actions() == ()


def test_an_action_that_lost_its_variable_may_be_declared_anew() -> None:
    class Other(Player, without=["Position"]):
        where = StateVariable("string")

        @action(returns=where)
        def get_position(self, instance_id: int) -> str:
            return "here"

    assert described(Other().actions["GetPosition"])[1] == ("out", "Where", "Where")


def test_a_required_action_that_lost_its_variable_is_missing() -> None:
    class Bare(Player, without=["Volume"]):
        pass

    with pytest.raises(
        ValueError,
        match=r"Bare \(urn.*\) lacks required actions of its standard: GetVolume, SetVolume \(with"
        r"out= leaves out Volume, which they need\)",
    ):
        Bare()._check_actions()


# --- what is implemented ---


def test_a_description_lists_what_is_implemented_and_what_the_values_answer() -> None:
    assert list(Renderer().actions) == ["GetVolume", "GetPosition", "ListPresets"]
    assert list(Player().actions) == ["GetVolume", "SetVolume", "GetPosition", "ListPresets"]


def test_required_actions_that_nothing_implements_are_named() -> None:
    assert Renderer().missing_actions() == ("SetVolume",)
    with pytest.raises(ValueError, match="lacks required actions of its standard: SetVolume") as e:
        Renderer()._check_actions()
    assert "    def set_volume(self, instance_id, channel, desired_volume): ..." in str(e.value)
    Player()._check_actions()


def test_a_service_that_answers_every_post_itself_lacks_nothing() -> None:
    renderer = Renderer(on_action=lambda request: None)
    assert renderer.missing_actions() == ()
    renderer._check_actions()
    assert list(renderer.actions) == ["GetVolume", "SetVolume", "GetPosition", "ListPresets"]


@pytest.mark.parametrize(("name", "code"), [("Stop", 401), ("Next", 602), ("SetVolume", 602)])
def test_an_action_without_a_method_has_the_error_code_of_uda(name: str, code: int) -> None:
    renderer = Renderer()
    for attempt in (renderer._find_action, lambda name: renderer._invoke_action(name, {})):
        with pytest.raises(ActionError) as caught:
            attempt(name)
        assert caught.value.code == code
    assert Player()._find_action("SetVolume") == Player.set_volume.action


# --- running ---


def test_an_action_is_run_with_its_arguments_as_keywords() -> None:
    oven = Oven()
    assert oven._invoke_action("MoveDoor", {"Wanted": "closed"}) == {
        "NowDoor": "closed",
        "NowTemperature": 0,
    }
    with pytest.raises(ActionError, match="701: The door is there already"):
        oven._invoke_action("MoveDoor", {"Wanted": "closed"})
    result = oven._invoke_action("SetTemperature", {"Temperature": 180})
    assert asyncio.run(as_coroutine(result)) == 180


async def as_coroutine(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def test_the_program_calls_the_methods_too() -> None:
    oven = Oven()
    done = oven.switch_off()
    assert isinstance(done, Returned)
    assert asyncio.run(as_coroutine(oven.set_temperature(90))) == 90
    oven.switch_off()
    assert oven.temperature == 0
    assert asyncio.run(as_coroutine(oven.move_door(wanted="closed")))["NowDoor"] == "closed"


def test_help_shows_the_parameters_and_the_docstring_of_an_action() -> None:
    class Toaster(Service, type=TYPE):
        heat = StateVariable("ui1")

        @action(returns=heat)
        async def set_heat(self, heat: int) -> int:
            """Heat up. Returns the heat until now."""
            return heat

    for each in (Toaster.set_heat, Toaster().set_heat):
        assert "Heat up. Returns the heat until now." in pydoc.plain(pydoc.render_doc(each))
        assert "set_heat" in pydoc.plain(pydoc.render_doc(each)).splitlines()[2]
    assert "Heat up." in pydoc.plain(pydoc.render_doc(Toaster))
    assert str(inspect.signature(Toaster().set_heat)) == "(heat: 'int') -> 'int'"
    assert "set_heat" in repr(Toaster().set_heat)
    assert "set_volume" in repr(Player().set_volume)
    partial = action(name="Put")(functools.partial(lambda self, heat: None))
    assert "partial" in pydoc.plain(pydoc.render_doc(partial))


def test_a_result_that_is_not_awaited_says_so() -> None:
    assert repr(Player().get_volume(0, "Master")) == "<the result 0, to be awaited>"


def test_an_action_cannot_be_assigned() -> None:
    with pytest.raises(AttributeError, match="switch_off is an action"):
        Oven().switch_off = print


def test_the_values_answer_a_declared_action() -> None:
    player = Player()
    player.volume = 20
    player.instance(0)["Volume", "LF"] = 10
    player.add_instance(2)["Track"] = "two"
    player.track = "one"
    volume = {"InstanceID": 0, "Channel": "Master"}
    assert player._invoke_action("GetVolume", volume) == 20
    assert player._invoke_action("GetVolume", {"InstanceID": 0, "Channel": "LF"}) == 10
    assert player._invoke_action("GetPosition", {"InstanceID": 2}) == {
        "Track": "two",
        "Position": "0:00",
    }
    assert player._invoke_action("ListPresets", {}) == "Factory"
    assert asyncio.run(as_coroutine(player.get_volume(0, "LF"))) == 10
    for inputs, code in (
        ({"InstanceID": 1, "Channel": "Master"}, 702),
        ({"InstanceID": 0, "Channel": "RF"}, 703),
    ):
        with pytest.raises(ActionError) as caught:
            player._invoke_action("GetVolume", inputs)
        assert caught.value.code == code


def test_the_values_of_a_service_without_instances_answer_for_instance_0() -> None:
    class Plain(Service, type=TYPE):
        level = StateVariable("ui1", initial=3)
        number = StateVariable("ui4", name="A_ARG_TYPE_InstanceID")

        @action(returns=level, declared="required")
        def get_level(self, instance_id: int) -> int: ...

    assert Plain()._invoke_action("GetLevel", {"InstanceID": 0}) == 3
    with pytest.raises(ActionError, match="601: there is no instance 1"):
        Plain()._invoke_action("GetLevel", {"InstanceID": 1})


def test_a_method_may_ask_the_declared_one() -> None:
    class Polite(Player):
        @action
        async def get_volume(self, instance_id: int, channel: str) -> int:
            return await super().get_volume(instance_id, channel) + 1

        @action
        def next(self, instance_id: int) -> None:
            super().next(instance_id)

    assert asyncio.run(as_coroutine(Polite().get_volume(0, "Master"))) == 1
    with pytest.raises(ActionError, match="602"):
        Polite().next(0)


# --- a service that declares no action ---


class Thermometer(Service, type=TYPE):
    temperature = StateVariable("r4", initial=20.0)
    alarm = StateVariable("boolean")
    serial = StateVariable("string", initial="secret", evented=False)


def test_a_service_without_actions_has_one_that_answers_with_its_evented_variables() -> None:
    thermometer = Thermometer()
    thermometer.temperature = 21.5
    assert described(thermometer.actions["GetValues"]) == [
        ("out", "Temperature", "Temperature"),
        ("out", "Alarm", "Alarm"),
    ]
    assert thermometer._invoke_action("GetValues", {}) == {"Temperature": 21.5, "Alarm": False}
    assert b"<actionList><action><name>GetValues</name>" in thermometer.scpd()
    thermometer._check_actions()


def test_the_values_of_a_last_change_are_those_of_instance_0() -> None:
    class Deck(Service, type=TYPE):
        track = StateVariable("string", initial="one", evented="LastChange")
        volume = StateVariable("ui2", initial=3, evented="LastChange", channel="Master")

    assert Deck()._invoke_action("GetValues", {}) == {"Track": "one", "Volume": 3}


def test_a_service_that_has_an_action_has_no_further_one() -> None:
    assert "GetValues" not in Oven().actions
    assert list(Service(type=TYPE, actions={"Stop": lambda: None}).actions) == ["Stop"]


@pytest.mark.parametrize(
    "service",
    [
        Service(type=TYPE),
        Service(type=TYPE, variables=[StateVariable("ui1", name="A", evented=False)]),
        Thermometer(on_action=lambda request: Response(500)),
        Service.from_scpd(
            b"<scpd><serviceStateTable><stateVariable><name>A</name><dataType>i4</dataType>"
            b"</stateVariable></serviceStateTable></scpd>",
            type=TYPE,
        ),
    ],
    ids=["no variables", "nothing evented", "on_action", "a document"],
)
def test_a_service_may_be_without_actions(service: Service) -> None:
    assert service.actions == {}
    assert b"actionList" not in service.scpd()


# --- at run time ---


def test_functions_are_actions_of_a_service_made_at_run_time() -> None:
    calls: list[object] = []

    @action(arguments={"on": "Target"})
    def set_target(on: bool) -> None:
        calls.append(on)

    @action(returns="Target")
    def get_target() -> bool:
        return True

    service = Service(
        type=TYPE,
        variables=[StateVariable("boolean", name="Target")],
        actions=[set_target, get_target],
    )
    assert list(service.actions) == ["SetTarget", "GetTarget"]
    service._invoke_action("SetTarget", {"On": True})
    assert calls == [True]
    assert service._invoke_action("GetTarget", {}) is True


def test_a_function_implements_an_action_that_the_class_declares() -> None:
    volumes: list[int] = []

    def set_volume(instance_id: int, channel: str, desired_volume: int) -> None:
        volumes.append(desired_volume)

    renderer = Renderer(actions={"SetVolume": set_volume, "Next": action(lambda **given: given)})
    renderer._check_actions()
    renderer._invoke_action("SetVolume", {"InstanceID": 0, "Channel": "Master", "DesiredVolume": 4})
    renderer.set_volume(0, "Master", desired_volume=5)
    assert volumes == [4, 5]
    assert renderer._invoke_action("Next", {"InstanceID": 0}) == {"InstanceID": 0}


@pytest.mark.parametrize(
    ("actions", "problem"),
    [
        ("SetTarget", "actions is a list of functions"),
        (action(lambda self: None), "actions is a list of functions"),
        (3, "actions is a list of functions"),
        ([3], "@action is for a function"),
        ([lambda: None], "needs a name="),
    ],
)
def test_actions_are_functions(actions: Any, problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        Service(type=TYPE, actions=actions)


def test_two_functions_are_not_one_action() -> None:
    one = [action(name="A")(lambda: None), action(name="A")(lambda: None)]
    with pytest.raises(ValueError, match="two actions are called A"):
        Service(type=TYPE, actions=one)


# --- services made of a service description ---


class Dimming(Service, type=TYPE):
    load = StateVariable("ui1", maximum=100)
    ramp = StateVariable("ui4", evented=False, name="A_ARG_TYPE_RampTime")

    @action(
        name="SetLoad",
        arguments={"new": argument(load, name="newLoadlevel"), "ramp": argument(ramp, name="Time")},
    )
    def set(self, new: int, ramp: int) -> None: ...

    @action(returns={"RetLoad": load}, retval=True)
    def get_load(self) -> int:
        return 0


SCPD = Dimming().scpd()


class Plug(Service, type=TYPE):
    """It has the variables of its service description."""

    @action
    def set_load(self, new_load_level: int, time: int) -> None:
        self["Load"] = new_load_level + time

    @action(name="GETLOAD")
    async def read(self) -> int:
        return self["Load"]


def test_functions_implement_the_actions_of_a_service_description() -> None:
    calls: list[object] = []
    service = Service.from_scpd(
        SCPD,
        type=TYPE,
        actions={
            "SetLoad": lambda newLoadlevel, Time: calls.append((newLoadlevel, Time))
        },  # as on the wire
    )
    assert service.scpd() == SCPD
    assert list(service.actions) == ["SetLoad", "GetLoad"]
    service._invoke_action("SetLoad", {"newLoadlevel": 3, "Time": 4})
    assert calls == [(3, 4)]
    with pytest.raises(ActionError, match="602"):
        service._find_action("GetLoad")
    with pytest.raises(ActionError, match="401"):
        service._find_action("Stop")
    assert service.missing_actions() == ()


def test_methods_implement_the_actions_of_a_service_description() -> None:
    plug = Plug.from_scpd(SCPD)
    plug._invoke_action("SetLoad", {"newLoadlevel": 3, "Time": 4})
    assert asyncio.run(as_coroutine(plug._invoke_action("GetLoad", {}))) == 7
    plug.set_load(1, 1)
    assert asyncio.run(as_coroutine(plug.read())) == 2


def test_a_method_without_variables_needs_a_service_description() -> None:
    with pytest.raises(TypeError, match="'new_load_level' of the action set_load fits no state"):
        Plug()


def test_a_class_without_variables_may_get_them_at_run_time() -> None:
    class Level(Service, type=TYPE):
        @action
        def set_level(self, level: int) -> None:
            self["Level"] = level

    made = Level(variables=[StateVariable("ui1", name="Level")])
    made._invoke_action("SetLevel", {"Level": 3})
    assert made["Level"] == 3


def test_a_function_may_take_all_arguments_by_name() -> None:
    service = Service.from_scpd(SCPD, type=TYPE, actions={"SetLoad": lambda **given: given})
    inputs = {"newLoadlevel": 3, "Time": 4}
    assert service._invoke_action("SetLoad", inputs) == inputs
    log: dict[str, object] = {}
    service = Service.from_scpd(SCPD, type=TYPE, actions={"SetLoad": log.update})
    service._invoke_action("SetLoad", inputs)
    assert log == inputs


def test_a_function_may_say_which_argument_a_parameter_is() -> None:
    @action(
        name="SetLoad", arguments={"a": "Load", "b": argument("A_ARG_TYPE_RampTime", name="Time")}
    )
    def set_load(a: int, b: int) -> list[int]:
        return [a, b]

    service = Service.from_scpd(SCPD, type=TYPE, actions=[set_load])
    assert service._invoke_action("SetLoad", {"newLoadlevel": 3, "Time": 4}) == [3, 4]


@pytest.mark.parametrize(
    ("actions", "kind", "problem"),
    [
        (
            {"Stop": print},
            ValueError,
            "has no action Stop; there are: SetLoad, GetLoad",
        ),
        (
            {"SetLoad": lambda level: None},
            TypeError,
            "parameter newLoadlevel; it has: level",
        ),
        (
            {"GetLoad": lambda level: None},
            TypeError,
            "parameter level, which is no in argument of the action GetLoad; there are: none",
        ),
    ],
)
def test_a_function_that_does_not_fit_the_service_description_is_refused(
    actions: Any, kind: type[Exception], problem: str
) -> None:
    with pytest.raises(kind, match=problem):
        Service.from_scpd(SCPD, type=TYPE, actions=actions)


def test_a_method_that_the_service_description_lacks_is_refused() -> None:
    class More(Plug):
        @action
        def stop(self) -> None: ...

    with pytest.raises(ValueError, match="the service description has no action Stop"):
        More.from_scpd(SCPD)


def test_a_class_with_variables_of_its_own_implements_a_service_description() -> None:
    class Own(Service, type=TYPE):
        count = StateVariable("ui4", name="A_ARG_TYPE_Mine", evented=False)

        @action(arguments={"level": argument(count, name="newLoadlevel"), "time": count})
        def set_load(self, level: int, time: int) -> None:
            self.given = level, time

        @action(declared="optional")
        def bounce(self) -> None: ...

    own = Own.from_scpd(SCPD)
    own._invoke_action("SetLoad", {"newLoadlevel": 3, "Time": 4})
    assert own.given == (3, 4)
    assert list(own.actions) == ["SetLoad", "GetLoad"]


# --- at the control point ---


def test_parameters_become_in_arguments_and_out_arguments_a_result() -> None:
    assert Oven.move_door.inputs_of("open") == {"Wanted": "open"}
    assert Renderer.set_volume.inputs_of(0, desired_volume=3, channel="LF") == {
        "InstanceID": 0,
        "Channel": "LF",
        "DesiredVolume": 3,
    }
    assert Oven.switch_off.result_of({}) is None
    assert Oven.set_temperature.result_of({"Temperature": 7}) == 7
    outputs = {"NowDoor": "open", "NowTemperature": 7}
    assert Oven.move_door.result_of(outputs) == outputs


def test_wrong_parameters_are_named() -> None:
    with pytest.raises(TypeError, match="argument 'door'; its parameters are: wanted"):
        Oven.move_door.inputs_of("open", door="open")


def test_an_answer_without_the_value_is_the_fault_of_the_device() -> None:
    with pytest.raises(RemoteProtocolError, match="SetTemperature lacks the out argument Temp"):
        Oven.set_temperature.result_of({})


def test_a_method_of_no_service_has_no_description() -> None:
    class NoService:
        @action
        def dim(self) -> None: ...

    with pytest.raises(
        LookupError, match=r"dim is tied to no state variables.*: call the action by its name"
    ):
        _ = NoService.dim.action
    assert repr(NoService.dim) == "<ActionMethod dim>"
