"""The wording of durations and statuses in a diagnosis."""

from __future__ import annotations

__all__ = ["duration_in_words", "refusal_in_words"]

_REFUSALS = {
    400: "it calls the request malformed",
    401: "it wants to know who asks",
    403: "it does not admit this machine; look for a list of allowed addresses in its settings",
    404: "nothing is there; the event URL is wrong, or has moved since the description was read",
    405: "nothing at this URL takes subscriptions; read the event URL from the description again",
    412: "it will not send events to {callback}; many devices call only addresses of their own "
    "network",
    500: "it failed; start the device again if that goes on",
    501: "it has no eventing at this URL",
    503: "it has no room for another subscription; close other control points, or start it again",
}
"""The meaning of the answers to SUBSCRIBE (UDA 2.0 table 4-4, and experience with devices)."""


def refusal_in_words(status: int, callback: str | None, *, named: bool) -> str:
    """The meaning of ``status`` as an answer to SUBSCRIBE. ``callback`` is the address in CALLBACK.
    ``named``: HOST was a name."""
    if status == 400 and named:
        return f"{_REFUSALS[400]}; many devices take no names in HOST, so use its IP address"
    if status in _REFUSALS:
        return _REFUSALS[status].format(callback=callback)
    if 500 <= status < 600:
        return _REFUSALS[500]
    return "it does not want this subscription"


def duration_in_words(seconds: float) -> str:
    """A duration in the largest unit of which it has at least two."""
    for unit, length in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
