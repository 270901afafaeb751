"""The methods of a service that are its actions: :func:`action` and :class:`ActionMethod`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from types import MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    Literal,
    Never,
    NoReturn,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    overload,
)

from propchange.core.record import Record
from propchange.core.values.state_variables import StateVariable, wire_name
from propchange.errors import RemoteProtocolError
from propchange.printable import listed
from propchange.upnp.actions import Action
from propchange.upnp.tied_action import TiedAction

if TYPE_CHECKING:
    from collections.abc import Generator

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

Related = StateVariable[Any] | str
"""A related state variable, or its name on the wire."""

Declared = Literal["required", "optional"]


@dataclass(slots=True, eq=False, repr=False)
class NamedArgument(Record):
    """An argument with the wire name ``name`` and its related state variable."""

    variable: Related
    name: str


def argument(variable: Related, *, name: str) -> NamedArgument:
    """For ``@action(arguments={"parameter": argument(variable, name="ObjectID")})``: an argument
    whose name on the wire is not the CamelCase of the parameter's name."""
    return NamedArgument(variable, name)


class HasActions(Protocol):
    """An object with actions as attributes: a service, at the device or at the control point."""

    def _call_action(
        self, method: ActionMethod[Any, R], args: tuple[Any, ...], keywords: dict[str, Any], /
    ) -> Awaitable[R]:
        """Run the action, or call it at the device."""


class Returned(Generic[R_co]):
    """An awaitable of a result that is there already."""

    __slots__ = ("_result",)

    def __init__(self, result: R_co) -> None:
        self._result = result

    def __repr__(self) -> str:
        return f"<the result {self._result!r}, to be awaited>"

    def __await__(self) -> Generator[Any, Any, R_co]:
        return self._result
        yield  # makes it a generator


class ActionMethod(Generic[P, R_co]):
    """An action of a service class. On an instance it is a function with the parameters of the
    method, which returns an awaitable of the result: a ``def`` method has run when that function
    returns. On the class it is the ActionMethod. Made by :func:`action`.

    ``function`` is the function below ``@action``, ``attribute`` its name in the class, or "".
    ``declared`` is "required" or "optional" for an action of a standard without an implementation,
    else None. The other options are as they were given.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        arguments: Mapping[str, Related | NamedArgument] | None = None,
        returns: Related | Mapping[str, Related] | None = None,
        retval: bool = False,
        declared: Declared | None = None,
    ) -> None:
        given: object = function
        if not callable(given) or isinstance(given, staticmethod | classmethod | type):
            hint = f": write @action(name={given!r})" if isinstance(given, str) else ""
            raise TypeError(f"@action is for a function or method, not {function!r}{hint}")
        if inspect.isgeneratorfunction(given) or inspect.isasyncgenfunction(given):
            raise TypeError(f"the action {function!r} is a generator; it must return its result")
        if not isinstance(arguments, Mapping | None):
            raise TypeError(f"arguments maps parameters to state variables, not {arguments!r}")
        if declared not in (None, "required", "optional"):
            raise ValueError(f'declared is "required" or "optional", not {declared!r}')
        self.function = function
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__name__ = getattr(function, "__name__", type(function).__name__)
        self.__qualname__ = getattr(function, "__qualname__", self.__name__)
        self.attribute = ""
        self.given_name = name
        self.arguments = arguments
        self.returns = returns
        self.retval = retval
        self.declared: Declared | None = declared
        self.tied: TiedAction | None = None
        """How its parameters are tied to arguments. The class of the service sets it."""

    def __set_name__(self, owner: type, attribute: str) -> None:
        self.attribute = attribute

    def __repr__(self) -> str:
        return f"<ActionMethod {self.called}>"

    @property
    def called(self) -> str:
        """The name of the function, for errors."""
        return self.attribute or str(getattr(self.function, "__name__", self.function))

    @property
    def default_name(self) -> str:
        """The name on the wire, unless an action of a base class or a description says otherwise:
        ``name``, or the CamelCase of the method's name. Raises TypeError for a function without a
        name."""
        if self.given_name:
            return self.given_name
        own = self.attribute or getattr(self.function, "__name__", "")
        if not own.isidentifier():
            raise TypeError(f"the action {self.function!r} needs a name=")
        return wire_name(own)

    @property
    def action(self) -> Action:
        """The description of the action in the class that has the method. Raises LookupError if
        that class is no service, or has no state variables that the arguments fit."""
        return self._described.action

    @property
    def _described(self) -> TiedAction:
        if self.tied is None:
            raise LookupError(
                f"{self.called} is tied to no state variables, because its class has none or is no "
                "service: call the action by its name"
            )
        return self.tied

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: HasActions, owner: type) -> Callable[P, Awaitable[R_co]]: ...
    def __get__(
        self, instance: HasActions | None, owner: type
    ) -> Self | Callable[P, Awaitable[R_co]]:
        if instance is None:
            return self
        service = instance

        def call(*args: P.args, **keywords: P.kwargs) -> Awaitable[R_co]:
            return service._call_action(self, args, keywords)

        # For help() and inspect.signature().
        call.__name__, call.__qualname__ = self.__name__, self.__qualname__
        call.__doc__, call.__module__ = self.__doc__, self.__module__
        call.__wrapped__ = MethodType(self.function, service)  # type: ignore[attr-defined]  # it is
        return call

    def __set__(self, instance: object, value: Never) -> NoReturn:
        raise AttributeError(f"{self.called} is an action of {instance!r} and cannot be assigned")

    def run(
        self, service: object, args: tuple[Any, ...], keywords: dict[str, Any]
    ) -> Awaitable[R_co]:
        """Run the function with these parameters. The result of a ``def`` method is there at
        once."""
        result = self.function(service, *args, **keywords)
        return result if isinstance(result, Awaitable) else Returned(result)

    def inputs_of(self, *args: P.args, **keywords: P.kwargs) -> dict[str, object]:
        """The values of the in arguments by their wire names, of a call with these parameters.
        Raises TypeError as the call would."""
        return self.inputs_from(args, keywords)

    def inputs_from(self, args: tuple[Any, ...], keywords: Mapping[str, Any]) -> dict[str, object]:
        """As :meth:`inputs_of`."""
        tied = self._described
        try:
            bound = inspect.signature(self.function).bind(None, *args, **keywords)
        except TypeError as error:
            parameters = listed(tied.parameters.values())
            raise TypeError(f"{self.called}: {error}; its parameters are: {parameters}") from None
        bound.apply_defaults()
        return {
            each.name: bound.arguments[tied.parameters[each.name]] for each in tied.action.inputs
        }

    def result_of(self, outputs: Mapping[str, Any]) -> R_co:
        """What the method returns, of the out arguments of a device's answer: None, the value, or
        the mapping. The device may declare other data types: see :meth:`.StateVariable.typed`.

        Raises RemoteProtocolError if the value is missing, TypeError if it is of another kind."""
        described = self.action.outputs
        kinds = {each.name: each.variable for each in described}
        outputs = {
            name: kinds[name].typed(value) if name in kinds else value
            for name, value in outputs.items()
        }
        result: Any = None
        if len(described) > 1:
            result = outputs
        elif described:
            name = described[0].name
            if name not in outputs:
                raise RemoteProtocolError(
                    f"the answer to {self.action.name} lacks the out argument {name}"
                )
            result = outputs[name]
        returned: R_co = result
        return returned


class ActionDecorator(Protocol):
    """The result of :func:`action` with options."""

    @overload
    def __call__(
        self, method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
    ) -> ActionMethod[P, R]: ...
    @overload
    def __call__(self, method: Callable[Concatenate[Any, P], R], /) -> ActionMethod[P, R]: ...
    @overload
    def __call__(self, method: Callable[[], R], /) -> ActionMethod[[], R]: ...


@overload
def action(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
) -> ActionMethod[P, R]: ...
@overload
def action(method: Callable[Concatenate[Any, P], R], /) -> ActionMethod[P, R]: ...
@overload
def action(method: Callable[..., Any], /) -> ActionMethod[..., Any]: ...
@overload
def action(
    *,
    name: str | None = None,
    arguments: Mapping[str, Related | NamedArgument] | None = None,
    returns: Related | Mapping[str, Related] | None = None,
    retval: bool = False,
    declared: Declared | None = None,
) -> ActionDecorator: ...
def action(method: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a method of a :class:`.Service` one of its actions (UDA 2.0 §2.5, §3)::

        class Oven(Service, type="urn:example-org:service:Oven:1"):
            temperature = StateVariable("ui2", maximum=300)
            door = StateVariable("string", allowed=["open", "closed"])

            @action(returns=temperature)
            async def set_temperature(self, temperature: int) -> int: ...

            @action(arguments={"wanted": door}, returns={"NowDoor": door})
            def move_door(self, wanted: str) -> str: ...

    The parameters are the in arguments. Each has a related state variable, which gives it its data
    type, range and allowed values: the method is called with values that fit. Without
    ``arguments=`` it is found by name, in any case and without underscores: the variable
    of that name, or ``A_ARG_TYPE_`` and that name, or the variable whose name is left without New,
    Desired, Current or Requested in front. The argument's name on the wire is then spelled like the
    variable's.

    - ``name``: the name of the action on the wire. The default is the CamelCase of the method's.
    - ``arguments``: parameter -> state variable, or its name on the wire. The argument's name on
      the wire is the CamelCase of the parameter's; :func:`argument` gives another.
    - ``returns``: the out arguments: one state variable, whose name it has, or a mapping of names
      on the wire to variables. The method returns None without an out argument, the value of a
      single one, and a mapping of names to values for several.
    - ``retval``: the first out argument is the return value of the action (UDA 2.0 §2.5).
    - ``declared``: "required" or "optional" for an action of a standard that the class does not
      implement. The method has no body.

    The method may be an ``async def``. It refuses by ``raise ActionError(701, "why")``. In a
    subclass, ``@action`` above a method with the name of an inherited action implements that
    action; the options that are not given are inherited.

    A function that is no method has no ``self``; give it to a service by ``actions=``.

    The class raises TypeError for a parameter that fits no state variable.
    """
    if method is not None:
        return ActionMethod[Any, Any](method)

    def decorate(function: Callable[..., Any]) -> ActionMethod[Any, Any]:
        return ActionMethod(function, **options)

    return decorate
