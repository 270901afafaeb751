"""Why a request to a device brought no answer, and what the system's word for it means."""

from __future__ import annotations

import enum
import errno

__all__ = ["Failure", "failure_of_errno"]


class Failure(enum.Enum):
    """Why a request brought no answer, as far as the runtime can tell."""

    SILENCE = enum.auto()
    """Nothing came in time, or nothing better is known."""
    BROKEN = enum.auto()
    """The connection ended before there was an answer, or what came was none: somebody is there."""
    REFUSED = enum.auto()
    """The host is there, and nothing listens on that port: the device's process has gone."""
    UNREACHABLE = enum.auto()
    """There is no way to the host, or it does not answer at all."""
    NO_SOURCE = enum.auto()
    """``OutgoingRequest.source`` is not an address of this machine (any more)."""
    DESCRIPTION = enum.auto()
    """For DESCRIBE: there was an answer, and the service cannot be found by it."""


_FAILURES = {
    errno.ECONNREFUSED: Failure.REFUSED,
    errno.EHOSTUNREACH: Failure.UNREACHABLE,
    errno.EHOSTDOWN: Failure.UNREACHABLE,
    errno.ENETUNREACH: Failure.UNREACHABLE,
    errno.ENETDOWN: Failure.UNREACHABLE,
    errno.ETIMEDOUT: Failure.UNREACHABLE,
    errno.EADDRNOTAVAIL: Failure.NO_SOURCE,
}


def failure_of_errno(number: int | None, *, bound: bool) -> Failure:
    """What an error of the system (its errno, None where there is none) says when a connection
    could not be made. ``bound``: from a given address, which may be missing then."""
    failure = _FAILURES.get(number or 0, Failure.SILENCE)
    return Failure.SILENCE if failure is Failure.NO_SOURCE and not bound else failure
