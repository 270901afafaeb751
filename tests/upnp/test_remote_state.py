"""An object of a service class at the control point's end: its values and calls are the device's,
and nothing that the class does on the device's side runs."""

from __future__ import annotations

import abc
import copy
import functools
import gc
import pickle
from collections.abc import Awaitable, Mapping
from typing import Any, ClassVar

import pytest

from propchange.core.values.state_variables import StateVariable
from propchange.upnp.action_methods import ActionMethod, action
from propchange.upnp.remote_state import remote_instance
from propchange.upnp.service import Service

ran: list[str] = []


class Noting(abc.ABCMeta):
    """Notes each call of a class: no object is made by a call."""

    def __call__(cls, *args: Any, **keywords: Any) -> Any:
        ran.append("__call__ of the metaclass")
        return super().__call__(*args, **keywords)


def note(name: str) -> Any:
    return lambda *args, **keywords: ran.append(name)


class Oven(Service, metaclass=Noting, type="urn:example-org:service:Oven:1"):
    temperature = StateVariable("ui2", maximum=300)
    door = StateVariable("string", name="OvenDoor")
    RINGS: ClassVar[int] = 4

    class Colour:
        pass

    def __new__(cls, *args: Any, **keywords: Any) -> Any:
        ran.append("__new__")
        return super().__new__(cls)

    def __init__(self) -> None:
        ran.append("__init__")
        super().__init__()
        self.hardware = open

    def __init_subclass__(cls, **keywords: Any) -> None:
        ran.append("__init_subclass__")
        super().__init_subclass__(**keywords)

    @action
    def set_temperature(self, temperature: int) -> None:
        ran.append("set_temperature")

    def read_sensor(self) -> float:
        ran.append("read_sensor")
        return 0.0

    async def heat(self) -> None:
        ran.append("heat")

    @property
    def power(self) -> int:
        ran.append("power")
        return 1

    @power.setter
    def power(self, value: int) -> None:
        ran.append("power =")

    @functools.cached_property
    def serial(self) -> int:
        ran.append("serial")
        return 1

    @abc.abstractmethod
    def abstract(self) -> None: ...

    @staticmethod
    def celsius(fahrenheit: float) -> float:
        return (fahrenheit - 32) / 1.8

    _read_variable = note("_read_variable")
    _assign_variable = note("_assign_variable")
    _call_action = note("_call_action")
    on_action = note("on_action")

    def __repr__(self) -> str:
        ran.append("__repr__")
        return "?"

    __str__ = __format__ = __del__ = __getattr__ = note("special")
    __enter__ = __exit__ = __aenter__ = __call__ = __reduce__ = __getstate__ = note("special")
    __len__ = __bool__ = __iter__ = __eq__ = __copy__ = __deepcopy__ = note("special")
    __setattr__ = __delattr__ = __getitem__ = __setitem__ = __contains__ = note("special")
    __int__ = __index__ = __float__ = __dir__ = __await__ = note("special")
    __hash__ = note("__hash__")


class FakeAccess:
    """A device with a table of values."""

    called = "Oven of Kitchen"
    service_type = "urn:example-org:service:Oven:2"
    service_id = "urn:x:serviceId:Oven"

    def __init__(self) -> None:
        self.table: dict[str, Any] = {"Temperature": 180, "OvenDoor": "open", "Colour": "red"}
        self.calls: list[Any] = []

    def read(self, variable: StateVariable[Any]) -> Any:
        return self.read_named(variable.name)

    def read_named(self, name: str) -> Any:
        if name not in self.table:
            raise LookupError(f"no event has brought {name} yet")
        return self.table[name]

    def read_instance(self, number: int, name: str, channel: str | None) -> Any:
        return (number, name, channel)

    def values(self) -> Mapping[str, Any]:
        return self.table

    def instances(self) -> tuple[int, ...]:
        return (0, 3)

    def call(
        self, method: ActionMethod[Any, Any], args: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Awaitable[Any]:
        self.calls.append((method, args, keywords))
        return "answer"  # type: ignore[return-value]  # the object returns it untouched


@pytest.fixture
def access() -> FakeAccess:
    return FakeAccess()


@pytest.fixture
def oven(access: FakeAccess) -> Any:
    ran.clear()
    return remote_instance(Oven, access)


@pytest.fixture(autouse=True)
def _nothing_runs() -> Any:
    yield
    gc.collect()
    assert ran == []


def test_it_is_an_instance_of_the_class_and_no_code_of_the_class_has_run(oven: Any) -> None:
    assert isinstance(oven, Oven)
    assert type(oven).__name__ == "Oven"
    assert repr(oven) == str(oven) == f"{oven}"
    assert repr(oven) == "<Oven at the control point's end: Oven of Kitchen>"


def test_attributes_read_the_values_of_the_device(oven: Any, access: FakeAccess) -> None:
    assert (oven.temperature, oven.door) == (180, "open")
    access.table["Temperature"] = 20
    assert oven.temperature == oven["Temperature"] == 20
    assert oven["Colour"] == "red"
    assert list(oven) == list(access.table)
    assert "OvenDoor" in oven
    assert "Door" not in oven
    assert oven.values is access.table
    assert (oven.service_type, oven.service_id) == (access.service_type, access.service_id)


def test_a_missing_value_is_a_lookup_error(oven: Any, access: FakeAccess) -> None:
    access.table.clear()
    for read in (lambda: oven.temperature, lambda: oven["Temperature"], lambda: oven["Any"]):
        with pytest.raises(LookupError, match="no event has brought"):
            read()
    with pytest.raises(LookupError):
        getattr(oven, "temperature", 0)
    assert oven


def test_an_action_calls_the_device(oven: Any, access: FakeAccess) -> None:
    assert oven.set_temperature(200) == "answer"
    assert oven.set_temperature(temperature=200) == "answer"
    assert access.calls == [
        (Oven.set_temperature, (200,), {}),
        (Oven.set_temperature, (), {"temperature": 200}),
    ]


def test_instances_and_channels_are_read(oven: Any) -> None:
    assert oven.instances == (0, 3)
    assert oven.instance(3)["Volume", "LF"] == (3, "Volume", "LF")
    with pytest.raises(LookupError, match="Oven of Kitchen has no instance 1; there are: 0, 3"):
        oven.instance(1)
    with pytest.raises(TypeError, match="the state of the device"):
        oven.instance(3)["Volume"] = 5


@pytest.mark.parametrize("name", ["temperature", "door", "Temperature", "power", "new", "_new"])
def test_an_attribute_cannot_be_assigned_or_deleted(
    oven: Any, access: FakeAccess, name: str
) -> None:
    before = dict(access.table)
    with pytest.raises(AttributeError):
        setattr(oven, name, 5)
    with pytest.raises(AttributeError):
        delattr(oven, name)
    with pytest.raises(TypeError):
        oven[name] = 5
    assert access.table == before


def test_the_error_of_an_assignment_names_the_action_that_does_it(oven: Any) -> None:
    with pytest.raises(AttributeError) as raised:
        oven.temperature = 200
    assert str(raised.value) == (
        "Temperature is the state of the device and cannot be assigned; "
        "call an action: set_temperature"
    )
    with pytest.raises(TypeError, match=r"OvenDoor is the state .*; only an action can change it"):
        oven["OvenDoor"] = "open"


DEVICE_SIDE = [
    "read_sensor", "heat", "power", "serial", "abstract", "on_action", "batch", "scpd", "variables",
    "evented", "hosted", "missing_actions", "add_instance", "remove_instance",
]  # fmt: skip


@pytest.mark.parametrize("name", DEVICE_SIDE)
def test_what_is_for_the_device_is_not_there_and_the_error_says_what_is(
    oven: Any, name: str
) -> None:
    with pytest.raises(AttributeError) as raised:
        getattr(oven, name)
    assert str(raised.value) == (
        f"Oven.{name} is for the device's side and does not run at the control point's; "
        "state variables and actions are there: door, temperature, set_temperature"
    )


def test_what_init_sets_is_not_there(oven: Any) -> None:
    with pytest.raises(AttributeError, match=r"has no 'hardware': .* nothing that __init__ sets"):
        _ = oven.hardware


def test_every_name_of_a_service_is_there_or_is_refused(oven: Any) -> None:
    """A method that Service gets later is refused, unless somebody decides."""
    there = set()
    for name in dir(Service):
        if not name.startswith("_"):
            try:
                getattr(oven, name)
            except AttributeError:
                continue
            there.add(name)
    assert there == {
        "instance",
        "instances",
        "service_id",
        "service_type",
        "values",
    }


def test_special_methods_of_the_class_do_not_run(oven: Any) -> None:
    assert bool(oven) is True
    assert {oven: 1}[oven] == 1
    assert oven not in (1, None)
    for use in (len, int, float, copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises((AttributeError, TypeError)):
            use(oven)
    with pytest.raises((AttributeError, TypeError)):
        oven()
    with pytest.raises((AttributeError, TypeError)), oven:
        pass
    assert dir(oven) == sorted(
        ["door", "instance", "instances", "service_id", "service_type", "set_temperature",
         "temperature", "values"]
    )  # fmt: skip


def test_no_exception_is_printed_when_an_object_is_deleted(
    access: FakeAccess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python prints an exception of __del__."""
    printed: list[Any] = []
    monkeypatch.setattr("sys.unraisablehook", printed.append)
    ran.clear()
    oven = remote_instance(Oven, access)
    assert oven.temperature == 180
    del oven
    gc.collect()
    assert printed == []


def test_constants_nested_classes_and_static_methods_are_as_in_the_class(oven: Any) -> None:
    assert oven.RINGS == 4
    assert oven.Colour is Oven.Colour
    assert oven.celsius(212) == 100


def test_an_object_at_the_control_point_makes_no_other_object_of_its_class(oven: Any) -> None:
    with pytest.raises(TypeError, match=r"is made by subscription.state"):
        type(oven)()
    with pytest.raises(TypeError, match=r"is made by subscription.state"):
        type(oven)(1)
    assert set(ran) == {"__call__ of the metaclass"}
    ran.clear()


def test_a_class_gives_one_class_for_the_other_end_and_its_subclass_another() -> None:
    class Base(Service, type="urn:x:service:Base:1"):
        base = StateVariable("ui4")

    class More(Base):
        own = StateVariable("ui4")

        @action
        def add(self, own: int) -> None: ...

    base, again, more = (remote_instance(each, FakeAccess()) for each in (Base, Base, More))
    assert type(base) is type(again)
    assert type(more) is not type(base)
    assert isinstance(more, More)
    assert not isinstance(base, More)
    with pytest.raises(LookupError):
        _ = more.own


def test_an_object_without_a_class_reads_by_name(access: FakeAccess) -> None:
    plain = remote_instance(Service, access)
    assert plain["Temperature"] == 180
    with pytest.raises(AttributeError, match=r"state\['Name'\] reads a variable"):
        _ = plain.temperature  # type: ignore[attr-defined]  # the error is the point
    with pytest.raises(TypeError, match="Temperature is the state of the device"):
        plain["Temperature"] = 5


def test_a_class_of_the_twisted_front_has_no_reactor_and_no_publication_there(
    access: FakeAccess,
) -> None:
    from propchange.twisted import Service as TwistedService

    class Kiln(TwistedService, type="urn:example-org:service:Oven:1"):
        temperature = StateVariable("ui2")

    kiln = remote_instance(Kiln, access)
    assert isinstance(kiln, TwistedService)
    assert kiln.temperature == 180
    for name in ("resource", "listen", "subscriptions", "close", "subscribed", "_reactor"):
        with pytest.raises(AttributeError, match=f"Kiln.{name} is for the device's side"):
            getattr(kiln, name)
