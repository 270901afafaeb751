"""A service of a device: its type, its state variables and their values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Self, TypeVar

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.messages import Request, Response
from propchange.core.wire.propertyset import check_variable_name
from propchange.upnp.action_methods import ActionMethod, Returned
from propchange.upnp.actions import Action, ErrorCode
from propchange.upnp.scpd import build_scpd, parse_scpd
from propchange.upnp.service_actions import (
    ClassActions,
    DescribedActions,
    GivenActions,
    ServiceActions,
    class_actions,
)
from propchange.upnp.service_declaration import (
    check_path,
    check_service_id,
    declared_variables,
    default_service_id,
    is_misspelt,
)
from propchange.upnp.service_values import ServiceValues

R = TypeVar("R")

OnAction = Callable[[Request], Response | Awaitable[Response]]


class Service(ServiceValues):
    """A service of a device: its state variables, which it publishes, and its actions.

    Usually it is a subclass, with the variables as attributes::

        class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
            temperature = StateVariable("r4", initial=20.0)

    It can also be made at run time, by ``Service(type=…, variables=[StateVariable("r4",
    name="Temperature")])`` or :meth:`from_scpd`. Its values are then read and assigned by
    ``service["Temperature"]``. ``variables`` are added to those of the class.

    An assignment raises ``TypeError`` or ``ValueError`` for a value that the variable does not
    accept; nothing has changed then. An assignment to a new attribute with the misspelt name of a
    variable raises ``AttributeError``. Before the service is hosted, an assignment only sets the
    value. Afterwards it is one event, unless the value is equal to the present one or the variable
    is not evented.

    Variables with ``evented="LastChange"`` are sent in the variable LastChange, which is declared
    automatically and evented at most once per 0.2 s; see :meth:`instance`. A subclass removes
    inherited variables with ``without=["Loudness", …]`` in its class line.

    Its actions are the methods with :func:`propchange.action`. ``actions`` has further functions,
    without ``self``: a list of functions with ``@action``, or a mapping of names on the wire to
    functions. They may implement actions that the class declares. A service that declares no
    action has one that answers with its evented variables, ``GetValues``, because some control
    points ignore devices with a service without actions.

    ``id`` is the serviceId. The default is derived from the type, and numbered if the device has
    several services of that name. ``event_path``, ``control_path`` and ``scpd_path`` are the paths
    of the eventSubURL, the controlURL and the SCPDURL, such as ``"MediaServer/Queue/Event"``,
    for control points that know the paths of one make. The default is derived from the serviceId.
    The type, the serviceId and the paths can stand in the class line of a subclass.

    ``on_action`` answers the POSTs to the controlURL, instead of the actions. It is a
    function or, in a subclass, a method. It takes the :class:`propchange.Request` and returns a
    :class:`propchange.Response` or an awaitable of one.

    Raises ``TypeError`` without a type. Raises ``ValueError`` for a malformed type, id or path, for
    a variable without a name, and for two variables with the same name.
    """

    on_action: OnAction | None = None

    _class_type: ClassVar[str | None] = None
    _class_id: ClassVar[str | None] = None
    _class_without: ClassVar[frozenset[str]] = frozenset()
    _class_variables: ClassVar[Mapping[str, StateVariable[Any]]] = MappingProxyType({})
    _class_attributes: ClassVar[Mapping[str, StateVariable[Any]]] = MappingProxyType({})
    _class_actions: ClassVar[ClassActions] = ClassActions()
    _class_paths: ClassVar[Mapping[str, str]] = MappingProxyType({})
    _invalid_instance: ClassVar[int] = ErrorCode.VALUE_OUT_OF_RANGE
    """The error code for an unknown InstanceID, of actions that answer themselves."""
    _invalid_channel: ClassVar[int] = ErrorCode.VALUE_OUT_OF_RANGE
    """As before, for a channel that the variable does not have."""

    def __init_subclass__(
        cls,
        *,
        type: str | None = None,
        id: str | None = None,
        without: Iterable[str] = (),
        event_path: str | None = None,
        control_path: str | None = None,
        scpd_path: str | None = None,
        **keywords: Any,
    ) -> None:
        super().__init_subclass__(**keywords)
        without = tuple(without)
        if type is not None:
            default_service_id(type)
            cls._class_type = type
        if id is not None:
            cls._class_id = check_service_id(id)
        paths = _paths(event_path, control_path, scpd_path)
        cls._class_paths = MappingProxyType({**cls._class_paths, **paths})
        inherited = cls._class_variables
        unknown = [name for name in without if name not in inherited]
        if unknown:
            raise TypeError(f"{cls.__name__} inherits no {' and no '.join(unknown)} to leave out")
        cls._class_without = cls._class_without | frozenset(without)
        cls._class_variables = MappingProxyType(
            declared_variables(cls, cls._class_without, _RESERVED)
        )
        attributes = {name: getattr(cls, name) for name in dir(cls)}
        cls._class_attributes = MappingProxyType(
            {name: each for name, each in attributes.items() if isinstance(each, StateVariable)}
        )
        variables = cls._class_variables
        cls._class_actions = class_actions(cls, variables, cls._class_without, _RESERVED)

    def __init__(
        self,
        *,
        type: str | None = None,
        variables: Iterable[StateVariable[Any]] = (),
        actions: GivenActions | DescribedActions = (),
        id: str | None = None,
        on_action: OnAction | None = None,
        event_path: str | None = None,
        control_path: str | None = None,
        scpd_path: str | None = None,
    ) -> None:
        service_type = self._class_type if type is None else type
        if service_type is None:
            raise TypeError(
                "a service needs a type: class Thermometer(Service, type=…) or Service(type=…)"
            )
        self.__default_id = default_service_id(service_type)
        self.__type = service_type
        self.__id = self._class_id if id is None else check_service_id(id)
        declared = dict(self._class_variables)
        for variable in variables:
            name = variable.name
            if not name:
                raise ValueError("a variable that is no attribute of a class needs a name=")
            check_variable_name(name)
            if name in declared:
                raise ValueError(f"two variables of {service_type} are called {name}")
            declared[name] = variable
        super().__init__(service_type, declared)
        self.__document: bytes | None = None
        self.__paths = {**self._class_paths, **_paths(event_path, control_path, scpd_path)}
        self.__actions = ServiceActions(
            self._class_actions,
            self.variables,
            actions,
            invalid_instance=self._invalid_instance,
            invalid_channel=self._invalid_channel,
        )
        if on_action is not None:
            self.on_action = on_action

    @classmethod
    def from_scpd(
        cls,
        document: bytes,
        *,
        type: str | None = None,
        actions: GivenActions = (),
        id: str | None = None,
        on_action: OnAction | None = None,
        event_path: str | None = None,
        control_path: str | None = None,
        scpd_path: str | None = None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> Self:
        """Make a service with the state variables and actions of a service description (SCPD). The
        document is served unchanged.

        ``actions`` implement its actions, by their names: ``actions={"SetTarget": function}``. So
        do the methods with ``@action`` of a subclass. The parameters have the names of the in
        arguments, in any case and without underscores; or the function takes ``**arguments``. An
        action that nothing implements is answered with UPnP error 602.

        Raises :exc:`.DescriptionError` for a document that cannot be used, ValueError for a
        function whose action is not in it, and TypeError for parameters that do not fit."""
        contents = parse_scpd(document, limits)
        service = cls(
            type=type,
            variables=contents.variables.values(),
            actions=DescribedActions(actions, contents.actions),
            id=id,
            on_action=on_action,
            event_path=event_path,
            control_path=control_path,
            scpd_path=scpd_path,
        )
        service.__document = document
        return service

    def __setattr__(self, name: str, value: object) -> None:
        variable = self._class_attributes.get(name)
        if variable is not None:
            # As StateVariable.__set__, without another call.
            self._assign_variable(variable, value)
            return
        if name[0] != "_":
            self.__refuse_misspelt(name)
        object.__setattr__(self, name, value)

    def __refuse_misspelt(self, name: str) -> None:
        """Raises AttributeError if ``name`` is no attribute yet, and is almost that of a variable.
        Otherwise the assignment would send no event, and nothing would show why."""
        if hasattr(type(self), name) or name in self.__dict__:
            return
        for known in self._class_attributes:
            if is_misspelt(name, known):
                raise AttributeError(
                    f"{type(self).__name__} has no state variable {name!r}; was {known!r} meant?"
                )

    def __repr__(self) -> str:
        return f"<{self.__class__.__name__} {self.__type}>"

    @property
    def service_type(self) -> str:
        """``urn:<domain>:service:<name>:<version>``."""
        return self.__type

    @property
    def service_id(self) -> str:
        """The given serviceId, or the default of the type. If the device has several services of
        that name, its description has a numbered one."""
        return self.__default_id if self.__id is None else self.__id

    @property
    def _has_own_id(self) -> bool:
        """Whether the serviceId was given. It is then not numbered."""
        return self.__id is not None

    def scpd(self, uda: str = "1.1") -> bytes:
        """The service description (SCPD): the document of :meth:`from_scpd`, or one made of the
        variables and actions, for the architecture ``uda`` ("1.0", "1.1" or "2.0")."""
        return self.__document or build_scpd(self.variables.values(), self.actions.values(), uda)

    @property
    def actions(self) -> Mapping[str, Action]:
        """Wire name -> action, as the service description lists them: the actions with a method,
        and declared actions that the present values answer."""
        return self.__actions.listed(self.on_action is not None)

    def _find_action(self, name: str) -> Action:
        """The action ``name``. Raises :exc:`.ActionError` 401 for an unknown one, 602 for one
        without a method (UDA 2.0 §3.2.2)."""
        return self.__actions.find(name)

    def missing_actions(self) -> tuple[str, ...]:
        """The names of the required actions of the standard that nothing implements; none for a
        service with ``on_action``."""
        return () if self.on_action is not None else tuple(self.__actions.missing())

    def _check_actions(self) -> None:
        """Raises ValueError if required actions are missing. It names them all, and says how to
        implement one."""
        if self.on_action is None:
            self.__actions.check(f"{self.__class__.__name__} ({self.__type})")

    def _invoke_action(self, name: str, inputs: Mapping[str, Any]) -> Any:
        """Run the action ``name`` with the values of its in arguments by wire name. The result is
        what the method returns: an awaitable if it is an ``async def``. Raises
        :exc:`.ActionError` 401 for an unknown action and 602 for one without a method (UDA 2.0
        §3.2.2), and what the method raises."""
        return self.__actions.invoke(self, name, inputs)

    def _call_action(
        self, method: ActionMethod[Any, R], args: tuple[Any, ...], keywords: dict[str, Any], /
    ) -> Awaitable[R]:
        """For the methods with ``@action``: run the method of this object."""
        if method.declared is None:
            return method.run(self, args, keywords)
        inputs = method.inputs_from(args, keywords)
        result = self.__actions.invoke_declared(self, method, inputs)
        return result if isinstance(result, Awaitable) else Returned(result)

    @property
    def _paths(self) -> Mapping[str, str]:
        """The paths that were given: "event", "control" and "scpd" -> path without a slash in
        front."""
        return MappingProxyType(self.__paths)


_RESERVED = frozenset(name for name in dir(Service) if not name.startswith("__"))


def _paths(event: str | None, control: str | None, scpd: str | None) -> dict[str, str]:
    """The paths that were given, by what they are for."""
    given = {"event": event, "control": control, "scpd": scpd}
    return {name: check_path(path, name) for name, path in given.items() if path is not None}


del Service.__annotations__  # those of private attributes, which help() would print
