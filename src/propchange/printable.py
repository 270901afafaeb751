"""Texts for people: escapes what peers have sent, and lists names.

A peer chooses names, values, headers and URLs. On a terminal, control characters in them could move
the cursor, colour a line, ring the bell, reverse the reading order, or break a line into two.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# A fast search for candidates. isprintable() decides: it is False for every character that makes a
# terminal do something.
_CANDIDATE = re.compile(r"[^\x20-\x7e]")


def printable(text: str) -> str:
    r"""``text`` with every control and formatting character, line separator and surrogate as
    ``\n``, ``\x1b`` or ``\u202e``.

    Backslashes are not escaped, so the original text cannot be restored.
    """
    if text.isprintable():
        return text
    return _CANDIDATE.sub(
        lambda found: found[0] if is_harmless(found[0]) else _escaped(found), text
    )


def is_harmless(character: str) -> bool:
    """Whether a terminal or a reader of lines shows ``character`` and does nothing else."""
    # Writing systems and emoji need the two joiners, which only join the characters beside them.
    if character.isprintable() or character in "\u200c\u200d":
        return True
    # isprintable() is False for every space but the ASCII one. Of these, the line and paragraph
    # separators break lines.
    return character.isspace() and ord(character) > 0x9F and character not in "\u2028\u2029"


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def listed(names: Iterable[str], most: int | None = None, *, without: str = "none") -> str:
    """``names`` for a sentence. If there are more than ``most``: the first ones, and the number of
    the others. ``without`` any name it is that word."""
    every = list(names)
    named = ", ".join(every[:most]) or without
    more = 0 if most is None else len(every) - most
    return f"{named} and {more} more" if more > 0 else named
