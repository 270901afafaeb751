"""Text from the network, made safe to show.

What a device sends must not move the cursor, colour the line, ring the bell or turn the reading
order around, and must not break one line into two.
"""

from __future__ import annotations

import re

__all__ = ["escape", "escape_json"]

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

_JOINERS = "\u200c\u200d"
"""Writing systems and emoji need them, and they only join what stands beside them."""

# Every character that a terminal could act on is among the unprintable ones; this finds a
# candidate fast, and isprintable() decides.
_CANDIDATE = re.compile(r"[^\x20-\x7e]")


def escape(text: str) -> str:
    r"""``text`` with every control and formatting character as ``\n``, ``\x1b`` or ``\u202e``.

    Backslashes stay as they are: this is for reading, JSON Lines are for taking back.
    """
    return _CANDIDATE.sub(_escaped, text)


def escape_json(document: str) -> str:
    r"""The same for JSON that was written without ``ensure_ascii``, as its own ``\u`` escapes."""
    return _CANDIDATE.sub(_escaped_in_json, document)


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    if _is_harmless(character):
        return character
    code = ord(character)
    if code <= 0xFF:
        return _SHORT.get(character) or f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _escaped_in_json(found: re.Match[str]) -> str:
    character = found[0]
    if _is_harmless(character):
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def _is_harmless(character: str) -> bool:
    # Spaces other than the ASCII one count as unprintable; the line and paragraph separators do
    # break lines.
    if character.isprintable() or character in _JOINERS:
        return True
    return character.isspace() and ord(character) > 0x9F and character not in "\u2028\u2029"
