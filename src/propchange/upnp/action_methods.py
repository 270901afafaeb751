"""The methods of a service that are its actions: :func:`action` and :class:`ActionMethod`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import (
    Any,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    cast,
    overload,
)

from propchange.core.values.state_variables import StateVariable
from propchange.upnp.actions import Action

P = ParamSpec("P")
R = TypeVar("R")

Related = StateVariable[Any] | str
"""A related state variable, or its name on the wire."""


@dataclass(frozen=True, slots=True)
class NamedArgument:
    """An argument with the wire name ``name`` and its related state variable."""

    variable: Related
    name: str


def argument(variable: Related, *, name: str) -> NamedArgument:
    """For ``@action(arguments={"parameter": argument(variable, name="ObjectID")})``: an argument
    whose name on the wire is not the CamelCase of the parameter's name."""
    return NamedArgument(variable, name)


class HasActions(Protocol):
    """The methods of an object that has actions as attributes: a service, at either end."""

    def call_action(
        self, method: ActionMethod[Any, R], args: tuple[Any, ...], keywords: dict[str, Any], /
    ) -> Awaitable[R]:
        """Run the action, or call it at the device."""


class ActionMethod(Generic[P, R]):
    """An action of a service class. On an instance it is a function with the parameters of the
    method, which returns an awaitable of the result. On the class it is the ActionMethod.

    ``action`` is its :class:`.Action` in the class that has the method. ``declared`` is
    "required" or "optional" for an action of a standard that the class does not implement, else
    None. ``function`` is the function below ``@action``.
    """

    action: Action
    function: Callable[..., Any]
    declared: Literal["required", "optional"] | None

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        arguments: Mapping[str, Related | NamedArgument] | None = None,
        returns: Related | Mapping[str, Related] | None = None,
        retval: bool = False,
        declared: Literal["required", "optional"] | None = None,
    ) -> None:
        self.function = function
        self.declared = declared

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: HasActions, owner: type) -> Callable[P, Awaitable[R]]: ...
    def __get__(self, instance: HasActions | None, owner: type) -> Self | Callable[P, Awaitable[R]]:
        if instance is None:
            return self
        service = instance

        def call(*args: P.args, **keywords: P.kwargs) -> Awaitable[R]:
            return service.call_action(self, args, keywords)

        return call

    def inputs_of(self, *args: P.args, **keywords: P.kwargs) -> dict[str, object]:
        """The values of the in arguments by their wire names, of a call with these parameters.
        Raises TypeError as the call would."""
        raise NotImplementedError

    def result_of(self, outputs: Mapping[str, Any]) -> R:
        """What the method returns, of the out arguments of a device's answer: None, the value, or
        the mapping."""
        raise NotImplementedError


class ActionDecorator(Protocol):
    """The result of :func:`action` with options."""

    @overload
    def __call__(
        self, method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
    ) -> ActionMethod[P, R]: ...
    @overload
    def __call__(self, method: Callable[Concatenate[Any, P], R], /) -> ActionMethod[P, R]: ...
    @overload
    def __call__(self, method: Callable[..., Any], /) -> ActionMethod[..., Any]: ...


@overload
def action(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]], /
) -> ActionMethod[P, R]: ...
@overload
def action(method: Callable[Concatenate[Any, P], R], /) -> ActionMethod[P, R]: ...
@overload
def action(
    *,
    name: str | None = None,
    arguments: Mapping[str, Related | NamedArgument] | None = None,
    returns: Related | Mapping[str, Related] | None = None,
    retval: bool = False,
    declared: Literal["required", "optional"] | None = None,
) -> ActionDecorator: ...
def action(method: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a method of a service one of its actions."""
    if method is not None:
        return ActionMethod[Any, Any](method)
    return cast(ActionDecorator, lambda function: ActionMethod[Any, Any](function, **options))
