"""Moderation: when the change of one state variable may go out (UDA 2.0 §4.3.2).

A pure schedule with an argument ``now``. What was decided where the architecture leaves it open:

- The interval is a period between events of the publisher, not of one subscription. The first
  change after a quiet interval goes out at once; a change within it is held until its end, and
  then the *current* value goes out. Nothing else is lost with an interval: the final value
  always arrives.
- An initial event does not start the interval: it goes to one subscriber. It has to be told,
  though (:meth:`Moderation.told`), for its value may be one that is being held.
- A held change is not put into an event that goes out earlier for other variables. UDA allows
  it and demands the interval in the same breath; the interval is the one that peers can measure.
  A publisher that does otherwise says so with :meth:`Moderation.evented`.
- A variable that changed and changed back within the interval sends nothing, unless an initial
  event has carried the value in between.
- The delta is the one of UDA 1.1 and later: a move of *at least* that much, up or down, from the
  value evented last, the first initial event standing in for one. A smaller move is not evented,
  even if it is the last.
- Initial events and the values that actions return are not moderated.
"""

from __future__ import annotations

from decimal import Context, Decimal, InvalidOperation

__all__ = ["Moderation"]

# Enough digits for the exact difference of any two numbers of the data types; no trap of the
# program's own decimal context may go off.
_CONTEXT = Context(prec=2_100, traps=[InvalidOperation])


class Moderation:
    """The moderation of one variable: ``minimum_interval`` in seconds (UDA's maximumRate),
    ``minimum_delta`` a number; None for a rule that does not apply.

    Call :meth:`changed` with each new text (of a variable whose waiting changes are merged: with
    what the merging gave). While :attr:`due` is not None, call :meth:`flush` at
    that time. Texts are those of the wire; ``now`` never goes back.
    """

    __slots__ = ("_apart", "_delta", "_evented_at", "_interval", "_known", "_text", "due")

    def __init__(
        self,
        minimum_interval: float | None,
        minimum_delta: Decimal | float | str | None,
    ) -> None:
        self._interval = minimum_interval
        self._delta = None if minimum_delta is None else Decimal(str(minimum_delta))
        self._known: str | None = None
        self._text = ""
        self._evented_at: float | None = None
        # Somebody had an initial event with another text than the one evented last.
        self._apart = False
        self.due: float | None = None
        """When the change that is held must go out; None while none is held."""

    def changed(self, text: str, now: float) -> bool:
        """The variable now has ``text``. True: it goes out now, in the event that the caller
        makes, and counts as evented. False: it does not, or not before :attr:`due`."""
        self._text = text
        self.due = None
        if not self._worth_telling(text):
            return False
        if self._interval is not None and self._evented_at is not None:
            due = self._evented_at + self._interval
            if now < due:
                self.due = due
                return False
        self.evented(text, now)
        return True

    def flush(self, now: float) -> bool:
        """True: the current value goes out now, in the event that the caller makes, and counts
        as evented. False when nothing is held, or :attr:`due` is yet to come."""
        if self.due is None or now < self.due:
            return False
        self.evented(self._text, now)
        return True

    def evented(self, text: str, now: float) -> None:
        """``text``, the current value, went out to all subscribers at ``now`` by another way than
        :meth:`changed` and :meth:`flush`: the interval starts again, and nothing is held."""
        self._known = text
        self._evented_at = now
        self._apart = False
        self.due = None

    def told(self, text: str) -> None:
        """An initial event carried ``text``, the current value, to one subscriber."""
        if self._known is None:
            self._known = text
        elif text != self._known:
            self._apart = True

    def _worth_telling(self, text: str) -> bool:
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
