"""The exceptions of propchange.

::

    PropchangeError
    ├── ProtocolError(status, clause)
    │   ├── LocalProtocolError      we, or the caller, broke a rule
    │   └── RemoteProtocolError     the peer did
    ├── SubscriptionError
    │   ├── SubscriptionRefused(status)
    │   └── SubscriptionLost(reason)
    ├── ActionError(code, description)  the device refused an action
    ├── DeliveryError
    ├── DescriptionError            a device or service document that cannot be used
    ├── ConnectionFailed            mapped from the operating system's errors
    └── TimedOut

None of them inherits from an exception of a runtime or of a library.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from propchange.printable import printable

__all__ = [
    "ActionError",
    "ConnectionFailed",
    "DeliveryError",
    "DescriptionError",
    "LocalProtocolError",
    "PropchangeError",
    "ProtocolError",
    "RemoteProtocolError",
    "SubscriptionError",
    "SubscriptionLost",
    "SubscriptionRefused",
    "TimedOut",
]

ACTION_ERRORS: Mapping[int, str] = MappingProxyType(
    {
        401: "Invalid Action",
        402: "Invalid Args",
        501: "Action Failed",
        600: "Argument Value Invalid",
        601: "Argument Value Out of Range",
        602: "Optional Action Not Implemented",
        603: "Out of Memory",
        604: "Human Intervention Required",
        605: "String Argument Too Long",
    }
)
"""The error codes of actions that UDA defines, with their descriptions (UDA 2.0 §3.2.2)."""


class PropchangeError(Exception):
    """Base of the exceptions of propchange. Bad arguments raise TypeError or ValueError.

    Texts of a peer in the message are escaped: control characters, line separators, and characters
    that change the reading order."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(printable(each) if isinstance(each, str) else each for each in args))


class ProtocolError(PropchangeError):
    """A rule of UPnP eventing, or of the HTTP below it, was broken.

    ``status`` is the HTTP status that answers the message (0 where no answer is possible);
    ``clause`` names the rule ("UDA 2.0 §4.1.2"), or is empty.
    """

    def __init__(self, message: str, *, status: int = 0, clause: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.clause = clause

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} ({self.clause})" if self.clause else message


class LocalProtocolError(ProtocolError):
    """This side, or the program that drives it, broke a rule."""


class RemoteProtocolError(ProtocolError):
    """The peer broke a rule."""


class SubscriptionError(PropchangeError):
    """A subscription could not be made or kept."""


class SubscriptionRefused(SubscriptionError):
    """The device answered SUBSCRIBE with ``status``, which is not 200."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


class SubscriptionLost(SubscriptionError):
    """A granted subscription has ended, and the subscriber did not end it. ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = printable(reason)


class ActionError(PropchangeError):
    """A device did not carry out an action; its answer is a UPnP error (UDA 2.0 §3.2.2).

    ``code`` is the errorCode: 401 to 605 are those of UDA, 700 to 799 those of the standard of the
    service, 800 to 899 the vendor's. ``description`` is the errorDescription, for people. If it is
    empty, it is the description that UDA gives to the code, if any. A device raises it from the
    method of an action; a control point raises it for the device's answer.
    Raises ``TypeError`` for a code that is no int.
    """

    def __init__(self, code: int, description: str = "") -> None:
        if isinstance(code, bool) or not isinstance(code, int):
            raise TypeError(f"the code of an ActionError is an int such as 701, not {code!r}")
        self.code = int(code)
        self.description = printable(description or ACTION_ERRORS.get(code, ""))
        super().__init__(self.code, self.description)

    def __str__(self) -> str:
        return f"{self.code}: {self.description}" if self.description else str(self.code)


class DeliveryError(PropchangeError):
    """An event message did not reach its subscriber."""


class DescriptionError(PropchangeError):
    """A device or service description that cannot be used."""


class ConnectionFailed(PropchangeError):
    """No connection to the peer was made, or it broke before the answer was complete."""


class TimedOut(PropchangeError):
    """The peer did not answer in time."""
