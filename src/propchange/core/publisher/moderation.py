"""Moderation: when the change of one state variable may be sent (UDA 2.0 §4.3.1, §4.3.2).

A variable that changes often would fill the network with events: the position of a track, a
temperature, the level of a sound. A service description can therefore limit a variable in two ways.
``maximumRate``, here ``minimum_interval``, is the shortest time between two events with this
variable. ``minimumDelta`` is the smallest move of its value that is worth an event. UDA leaves much
of it open. What this module does:

- The interval is the time between events of the publisher, not of one subscription. The first
  change after a quiet interval is sent at once. A change within the interval is held until its end,
  and then the *current* value is sent. Intermediate values are lost, the final value never.
- An initial event does not start the interval, because only one subscriber gets it. It may
  contain a value that the other subscribers get later, so call :meth:`Moderation.shown` for it.
- A held change is not added to an event that is sent earlier for other variables. UDA allows that,
  and asks for the interval in the same sentence; the interval is what a subscriber can measure. A
  publisher that adds it nevertheless calls :meth:`Moderation.evented`.
- A variable that changes and changes back within the interval is not sent, unless an initial event
  has shown the value in between.
- The delta is that of UDA 1.1 and later: a move of *at least* that much, up or down, from the value
  that was sent last. Before the first event the first initial event counts as that. A smaller move
  is not sent, even if it is the last one.
- Initial events and the results of actions are not moderated.

Nothing here reads a clock: each call has the time as its argument ``now``, in seconds.
"""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation

# Enough digits for the exact difference of any two numbers of the data types. The application's own
# decimal context, which may raise for a rounded result, is not used.
_CONTEXT = Context(prec=2_100, traps=[InvalidOperation])


class Moderation:
    """The moderation of one variable. ``minimum_interval`` is in seconds, ``minimum_delta`` is a
    number; None leaves a rule out.

    Call :meth:`changed` for each new text, and :meth:`flush` at the time :attr:`due` while that is
    not None. Texts are those of the wire. For a variable with a merge rule, the text is the merged
    one while a change is held. ``now`` never goes back.
    """

    __slots__ = ("_apart", "_delta", "_evented_at", "_interval", "_known", "_text", "due")

    def __init__(
        self, minimum_interval: float | None, minimum_delta: Decimal | float | str | None
    ) -> None:
        self._interval = minimum_interval
        self._delta = None if minimum_delta is None else Decimal(str(minimum_delta))
        self._known: str | None = None
        self._text = ""
        self._evented_at: float | None = None
        # A subscriber has had an initial event with another text than the one evented last.
        self._apart = False
        self.due: float | None = None
        """When the held change must be sent; None while no change is held."""

    def changed(self, text: str, now: float) -> bool:
        """Note a new ``text``. True: the caller sends it now, and it counts as evented. False: it
        is not to be sent, or not before :attr:`due`."""
        self._text = text
        self.due = None
        if not self._is_worth_an_event(text):
            return False
        if self._interval is not None and self._evented_at is not None:
            due = self._evented_at + self._interval
            if now < due:
                self.due = due
                return False
        self.evented(text, now)
        return True

    def flush(self, now: float) -> bool:
        """True: the caller sends the current value now, and it counts as evented. False when no
        change is held, or before :attr:`due`."""
        if self.due is None or now < self.due:
            return False
        self.evented(self._text, now)
        return True

    def evented(self, text: str, now: float) -> None:
        """Note that ``text``, the current value, was sent to all subscribers at ``now`` though
        neither :meth:`changed` nor :meth:`flush` said so. The interval starts again, and no change
        is held."""
        self._known = text
        self._evented_at = now
        self._apart = False
        self.due = None

    def shown(self, text: str) -> None:
        """Note that an initial event with ``text``, the current value, went to one subscriber."""
        if self._known is None:
            self._known = text
        elif text != self._known:
            self._apart = True

    def _is_worth_an_event(self, text: str) -> bool:
        if self._known is None:
            return True
        if self._delta is None:
            return self._apart or text != self._known
        try:
            here = _CONTEXT.create_decimal(text)
            return (
                _CONTEXT.subtract(here, _CONTEXT.create_decimal(self._known)).copy_abs()
                >= self._delta
            )
        except InvalidOperation:
            return text != self._known
