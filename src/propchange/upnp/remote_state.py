"""A service class at the control point's end: an object of the class that has the values of a
device, and whose actions call the device.

The object is an instance of a subclass that is made for it. So ``isinstance`` holds, and the
attributes are those of the class. Nothing that the program wrote for the device's side runs: not
``__init__``, which may open hardware, and no method, property or special method. State variables
are read from a :class:`DeviceAccess`, and ``@action`` methods call the device through it.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Awaitable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, cast

from propchange.core.values.state_variables import StateVariable
from propchange.upnp.action_methods import ActionMethod
from propchange.upnp.instances import ServiceInstance
from propchange.upnp.service import Service

if TYPE_CHECKING:
    import typing_extensions

    # A type checker has its own copy of typing_extensions. The package does not need it.
    S_co = typing_extensions.TypeVar("S_co", bound=Service, default=Service, covariant=True)
else:
    S_co = TypeVar("S_co", bound=Service, covariant=True)

S = TypeVar("S", bound=Service)


def type_of_class(service_class: object) -> str:
    """The service type of a class of services. Raises TypeError for a class without a type, and for
    anything else."""
    if not isinstance(service_class, type) or not issubclass(service_class, Service):
        raise TypeError(
            f"a service is found by its name or by a subclass of propchange.Service, "
            f"not by {service_class!r}"
        )
    if service_class._class_type is None:
        raise TypeError(
            f"{service_class.__name__} has no service type to be found by: "
            f"class {service_class.__name__}(Service, type=…), or use the name of the service"
        )
    return service_class._class_type


class DeviceAccess(Protocol):
    """How an object at the control point's end reads values and calls actions."""

    @property
    def called(self) -> str:
        """The service and its device, for people."""

    @property
    def service_type(self) -> str:
        """The type of the device's service."""

    @property
    def service_id(self) -> str:
        """Its serviceId."""

    def read(self, variable: StateVariable[Any]) -> Any:
        """The current value of a variable of the class. Raises LookupError without one."""

    def read_named(self, name: str) -> Any:
        """The current value by the name on the wire. Raises LookupError without one."""

    def read_instance(self, number: int, name: str, channel: str | None) -> Any:
        """The value of an instance. ``channel`` None: the channel of the attribute of the class.
        Raises LookupError."""

    def values(self) -> Mapping[str, Any]:
        """The current values, by the names on the wire."""

    def instances(self) -> tuple[int, ...]:
        """The InstanceIDs that are known."""

    def call(
        self, method: ActionMethod[Any, Any], args: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Awaitable[Any]:
        """Call the action at the device."""


def remote_instance(service_class: type[S], access: DeviceAccess) -> S:
    """An object of ``service_class`` at the control point's end."""
    made = vars(service_class).get("_remote_class")
    if made is None:
        made = _remote_class(service_class)
        # On the class itself, so that both are collected together.
        type.__setattr__(service_class, "_remote_class", made)
    instance = object.__new__(made)
    object.__setattr__(instance, "_access", access)
    return cast(S, instance)


class _RemoteState:
    """The first base of a class at the control point's end. It is in front of the program's class
    and takes the place of the methods of :class:`.Service`."""

    __slots__ = ()

    _access: DeviceAccess

    # The program's class may define these too. Its methods must not run.
    __getattribute__ = object.__getattribute__
    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__
    __format__ = object.__format__

    def __new__(cls, *args: object, **keywords: object) -> NoReturn:
        raise TypeError(f"{cls.__name__} at the control point's end is made by subscription.state")

    def __init_subclass__(cls, **keywords: object) -> None:
        # Do not call __init_subclass__ of the program: its author has defined no subclass.
        pass

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at the control point's end: {self._access.called}>"

    __str__ = __repr__

    def __dir__(self) -> list[str]:
        return sorted({*_public(type(self)), *(n for n in vars(_RemoteState) if n[0] != "_")})

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{self!r} cannot be copied or pickled")

    # --- values ---

    def __getitem__(self, name: str) -> Any:
        variable = _class_of(self)._class_variables.get(name)
        if variable is None:
            return self._access.read_named(name)
        return self._access.read(variable)

    def __contains__(self, name: object) -> bool:
        return name in self._access.values()

    def __iter__(self) -> Iterator[str]:
        return iter(self._access.values())

    def _read_variable(self, variable: StateVariable[Any]) -> Any:
        return self._access.read(variable)

    @property
    def values(self) -> Mapping[str, Any]:
        return self._access.values()

    @property
    def instances(self) -> tuple[int, ...]:
        return self._access.instances()

    def instance(self, number: int) -> ServiceInstance:
        known = self.instances
        if number not in known:
            named = ", ".join(map(str, known)) or "none"
            raise LookupError(f"{self._access.called} has no instance {number}; there are: {named}")
        return ServiceInstance(self, number, self._access.read_instance, self._refuse_instance)

    @property
    def service_type(self) -> str:
        return self._access.service_type

    @property
    def service_id(self) -> str:
        return self._access.service_id

    # --- actions ---

    def _call_action(
        self, method: ActionMethod[Any, Any], args: tuple[Any, ...], keywords: dict[str, Any], /
    ) -> Awaitable[Any]:
        return self._access.call(method, args, keywords)

    # --- the device's state cannot be assigned ---

    def _assign_variable(self, variable: StateVariable[Any], value: object) -> NoReturn:
        raise AttributeError(self._unassignable(variable))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        variable = _class_of(self)._class_attributes.get(name)
        if variable is not None:
            raise AttributeError(self._unassignable(variable))
        raise AttributeError(f"{self!r} takes no attributes: {name!r} was not assigned")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{self!r} has no attributes to delete")

    def __setitem__(self, name: str, value: object) -> NoReturn:
        variable = _class_of(self)._class_variables.get(name)
        if variable is None:
            raise TypeError(f"{name} is the state of the device and cannot be assigned")
        raise TypeError(self._unassignable(variable))

    def _refuse_instance(self, number: int, name: str, channel: str | None, value: Any) -> NoReturn:
        self[name] = value

    def _unassignable(self, variable: StateVariable[Any]) -> str:
        setting = ", ".join(
            attribute
            for attribute, method in actions_of(_class_of(self)).items()
            if any(each.variable.name == variable.name for each in method.action.inputs)
        )
        call = f"call an action: {setting}" if setting else "only an action can change it"
        return f"{variable.name} is the state of the device and cannot be assigned; {call}"

    def __getattr__(self, name: str) -> NoReturn:
        # Also after a _DeviceSide has raised.
        raise AttributeError(_unknown(type(self), name))


class _DeviceSide:
    """Replaces an attribute of the program's class that is for the device's side. Reading it raises
    AttributeError."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, instance: object, owner: type) -> NoReturn:
        # After a TypeError of a special method, such as __len__, Python treats it as missing.
        kind = TypeError if self._name.startswith("__") else AttributeError
        raise kind(_unknown(owner, self._name))


_KEPT = (StateVariable, ActionMethod, staticmethod)


def _remote_class(service_class: type[Service]) -> type:
    """The class of the objects of ``service_class`` at the control point's end."""
    namespace: dict[str, Any] = {
        "__module__": service_class.__module__,
        "__qualname__": service_class.__qualname__,
        "__doc__": service_class.__doc__,
        "__slots__": (),
    }
    for name in dir(service_class):
        if name in vars(_RemoteState) or name in namespace:
            continue
        provider, member = _static(service_class, name)
        if provider is object or isinstance(member, _KEPT) or name.startswith("__annot"):
            continue
        if hasattr(type(member), "__get__") and name not in ("__dict__", "__weakref__"):
            namespace[name] = _DeviceSide(name)
    bases = (_RemoteState, service_class)
    return types.new_class(service_class.__name__, bases, exec_body=lambda ns: ns.update(namespace))


def _static(cls: type, name: str) -> tuple[type, Any]:
    """The class that has the attribute ``name``, and the attribute, without a descriptor's call."""
    for each in cls.__mro__:
        if name in vars(each):
            return each, vars(each)[name]
    return object, None


def actions_of(service_class: type[Service]) -> Mapping[str, ActionMethod[Any, Any]]:
    """Attribute -> action method, of ``service_class`` and its ancestors, each with the description
    that it has in this class. Methods whose class lacks the state variables are left out."""
    actions: dict[str, ActionMethod[Any, Any]] | None = vars(service_class).get("_remote_actions")
    if actions is not None:
        return actions
    actions = {}
    tied = {each.called: each for each in service_class._class_actions.tied.values()}
    for name in dir(service_class):
        method = _static(service_class, name)[1]
        if not isinstance(method, ActionMethod):
            continue
        described = tied.get(name, method.tied)
        if described is not method.tied:
            # It is inherited from a class with other variables, or from one that is no service.
            method = copy.copy(method)
            method.tied = described
        if described is not None:
            actions[name] = method
    type.__setattr__(service_class, "_remote_actions", actions)
    return actions


def action_of(
    service_class: type[Service], method: ActionMethod[Any, Any]
) -> ActionMethod[Any, Any]:
    """``method`` with the description that it has in ``service_class``, if that has it."""
    if _static(service_class, method.attribute)[1] is not method:
        return method
    return actions_of(service_class).get(method.attribute, method)


def _class_of(instance: object) -> type[Service]:
    """The class of an object at the control point's end."""
    return cast(type[Service], type(instance))


def _public(remote_class: type) -> list[str]:
    """The attributes that the object has for its class."""
    service_class = cast(type[Service], remote_class)
    return [*service_class._class_attributes, *actions_of(service_class)]


def _unknown(remote_class: type, name: str) -> str:
    """The text of the error for an attribute that does not exist at the control point's end."""
    called = remote_class.__name__
    there = ", ".join(_public(remote_class)) or (
        "none, but state['Name'] reads a variable; device[Oven] has those of a class Oven"
    )
    if any(name in vars(each) for each in remote_class.__mro__):
        return (
            f"{called}.{name} is for the device's side and does not run at the control point's; "
            f"state variables and actions are there: {there}"
        )
    return (
        f"{called} at the control point's end has no {name!r}: it has state variables and actions, "
        f"and nothing that __init__ sets; there are: {there}"
    )
