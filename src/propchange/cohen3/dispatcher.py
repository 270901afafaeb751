"""The event dispatcher and the logger that the classes of :mod:`propchange.cohen3` are.

Cohen3's classes have them from other packages. Here is what programs use of those. An *event* in
this module is a name that listeners are bound to, not a UPnP event.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

from propchange.driver.reporting import LineRate, logger_named

Listener = Callable[..., object]

_logger_of = cache(logger_named)  # logger_named takes a lock, and each event needs a logger


@cache
def _rate_of(category: str) -> LineRate:
    return LineRate()


class BindError(Exception):
    """There is no event of that name, or the listener is not bound to it."""


def _of_logger(name: str) -> property:
    return property(lambda self: getattr(self.logger, name))


def _bounded(name: str) -> Callable[..., None]:
    """The method ``name`` of a logger. :class:`.LineRate` bounds the lines of one template."""
    level = logging.ERROR if name == "exception" else getattr(logging, name.upper())

    def log(self: Logger, message: object, *args: object, **options: Any) -> None:
        logger = self.logger
        if not logger.isEnabledFor(level):
            return
        left_out = _rate_of(self.logCategory).admit((level, message))
        if left_out is not None:
            getattr(logger, name)(f"{message}{left_out}", *args, **options)

    return log


class Logger:
    """Logs to the standard logger whose name is :attr:`logCategory`, by the methods that a logger
    of :mod:`logging` has. Peers cause most of these lines. So ``Limits.log_lines`` lines with the
    same template are logged at once, and then one every ``Limits.log_line_seconds``."""

    logCategory: ClassVar[str] = "default"
    """The name of the logger, the same for all objects of a class."""

    @property
    def logger(self) -> logging.Logger:
        """The logger of this class."""
        return _logger_of(self.logCategory)

    log = _of_logger("log")
    debug = _of_logger("debug")
    info = msg = _bounded("info")
    warning = warn = _bounded("warning")
    error = _bounded("error")
    critical = fatal = _bounded("critical")
    exception = _bounded("exception")


class EventDispatcher:
    """Calls what is bound to the events that were registered.

    A method called ``on_<event>`` is bound from the start. Listeners are called in the order in
    which they were bound. A true result ends the chain. An exception is logged and does not.
    """

    def __init__(self) -> None:
        self.event_dispatcher_event_callbacks: dict[str, list[Listener]] = {}

    def register_event(self, *event_names: str) -> None:
        """Make events that can be bound to, without the listeners of an event of the same name."""
        for name in event_names:
            own = getattr(self, f"on_{name}", None)
            self.event_dispatcher_event_callbacks[name] = [] if own is None else [own]

    def bind(self, **listeners: Listener) -> None:
        """``bind(event=listener)``. Raises BindError for an event that is not there."""
        for name, listener in listeners.items():
            self._bound_to(name).append(listener)

    def unbind(self, **listeners: Listener) -> None:
        """Undo :meth:`bind`. Raises BindError for what is not bound."""
        for name, listener in listeners.items():
            try:
                self._bound_to(name).remove(listener)
            except ValueError:
                raise BindError(f"{listener!r} is not bound to {name}") from None

    def unbind_all(self, *event_names: str) -> None:
        """Unbind all listeners of these events."""
        for name in event_names:
            self._bound_to(name).clear()

    def dispatch_event(self, event: str, *args: object, **kwargs: object) -> None:
        """Call the listeners of ``event`` with the other arguments. Raises KeyError for an event
        that was not registered."""
        for listener in tuple(self.event_dispatcher_event_callbacks[event]):  # it may unbind itself
            try:
                if listener(*args, **kwargs):
                    break
            except Exception:  # noqa: BLE001 - it is logged
                category = getattr(self, "logCategory", "event")
                logger_named(category).exception("a listener of %s raised", event)

    def dispatch_request(self, event: str, request: Any, data: bytes) -> None:
        """Dispatch a request of ``twisted.web`` as ``event(command, headers, data)``."""
        if self.event_dispatcher_event_callbacks[event]:
            command = {"method": request.method, "path": request.path}
            # A copy: listeners may change it.
            self.dispatch_event(event, command, request.requestHeaders.copy(), data)

    def _bound_to(self, name: str) -> list[Listener]:
        try:
            return self.event_dispatcher_event_callbacks[name]
        except KeyError:
            raise BindError(f"there is no event called {name}") from None
