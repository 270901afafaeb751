"""The exceptions of propchange.

::

    PropchangeError
    ├── ProtocolError(status, clause)
    │   ├── LocalProtocolError      we, or the caller, broke a rule
    │   └── RemoteProtocolError     the peer did
    ├── SubscriptionError
    │   ├── SubscriptionRefused(status)
    │   └── SubscriptionLost(reason)
    ├── DeliveryError
    ├── DescriptionError            a device or service document that cannot be used
    ├── ConnectionFailed            mapped from the operating system's errors
    └── TimedOut

None of them inherits from an exception of a runtime or of a library.
"""

from __future__ import annotations

from propchange.printable import printable

__all__ = [
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


class DeliveryError(PropchangeError):
    """An event message did not reach its subscriber."""


class DescriptionError(PropchangeError):
    """A device or service description that cannot be used."""


class ConnectionFailed(PropchangeError):
    """No connection to the peer was made, or it broke before the answer was complete."""


class TimedOut(PropchangeError):
    """The peer did not answer in time."""
