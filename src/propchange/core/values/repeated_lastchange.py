"""Reads a LastChange that differs from an earlier one in the texts of its values alone."""

from __future__ import annotations

import re
from collections.abc import Sequence

from propchange.core.limits import Limits
from propchange.core.values.lastchange import is_master, parse_plain_lastchange

# The characters of a value that an XML parser returns as they are. See lastchange.py.
_UNESCAPED = re.compile(r"[ !#-%'-;=?-~]*")


class RepeatedLastChange:
    """A LastChange of one instance, whose values are left open. Made by :meth:`learn`.

    Most devices send the same variables of one instance again and again. In the plain form a
    quotation mark only delimits an attribute. So two texts with the same pieces around the values
    have the same elements, and differ in the values alone.

    ``instance`` is the InstanceID. ``keys`` has for each value, in the order of the text: its key
    (variable, instance, channel), the variable, the channel, and whether it is the value of the
    variable for :attr:`.Event.changes`. ``distinct`` are the keys, each once.
    """

    __slots__ = ("_around", "_places", "distinct", "instance", "keys")

    def __init__(
        self,
        instance: int,
        channels: Sequence[tuple[str, str | None]],
        around: list[str],
        places: tuple[int, ...],
    ) -> None:
        self.instance = instance
        self.keys = tuple(
            ((name, instance, channel), name, channel, not instance and is_master(channel))
            for name, channel in channels
        )
        self.distinct = frozenset(key for key, _, _, _ in self.keys)
        self._around = around
        self._places = places

    @classmethod
    def learn(cls, text: str, limits: Limits) -> RepeatedLastChange | None:
        """Make one from ``text``. None unless it is plain and has one instance."""
        found = parse_plain_lastchange(text, limits)
        if found is None or len({entry.instance for entry in found.entries}) != 1:
            return None
        around = text.split('"')
        places = tuple(
            place
            for place in range(1, len(around), 2)
            if around[place - 1].endswith(" val=")
            and not around[place - 1].endswith("InstanceID val=")
        )
        if len(places) != len(found.entries):
            return None
        for place in places:
            around[place] = ""
        channels = [(entry.variable, entry.channel) for entry in found.entries]
        return cls(found.entries[0].instance or 0, channels, around, places)

    def read(self, text: str) -> list[str] | None:
        """The texts of the values, one for each of ``keys``. None if ``text`` differs in more than
        that, or if a value has a reference."""
        pieces = text.split('"')
        if len(pieces) != len(self._around):
            return None
        texts = []
        for place in self._places:
            texts.append(pieces[place])
            pieces[place] = ""
        if pieces != self._around or _UNESCAPED.fullmatch("".join(texts)) is None:
            return None
        return texts
