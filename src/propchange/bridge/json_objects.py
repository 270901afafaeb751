"""Reads JSON that anybody may have written: on a broker, or in a store of NATS."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

READ_BYTES = 1_048_576
"""Bytes of the longest JSON that is read. Discovery messages are the longest that a bridge writes,
with a quarter of it. Bounds what anybody there can make a bridge parse."""

LARGEST_NUMBER = 2**53
"""The largest number that is read. A term grows by one with each owner. Python cannot write an
integer of 4,301 digits, to which somebody else's term could grow."""

_TEXT_CHARACTERS = 4_096
"""Characters of the longest text that is read."""

_SURROGATE = re.compile("[\ud800-\udfff]")


def json_object(payload: bytes) -> Mapping[str, Any]:
    """The JSON object in ``payload``; empty if there is none."""
    if len(payload) > READ_BYTES:
        return {}
    try:
        read = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def member_object(value: object) -> Mapping[str, Any]:
    """``value`` if it is an object, else the empty one."""
    return value if isinstance(value, Mapping) else {}


def text_of(value: object) -> str:
    """``value`` if it is a text that can be written as UTF-8, at most so long; else the empty
    one."""
    if not isinstance(value, str) or len(value) > _TEXT_CHARACTERS:
        return ""
    return "" if _SURROGATE.search(value) else value


def number_of(value: object) -> int:
    """``value`` if it is an integer from 0 to :data:`LARGEST_NUMBER`, else 0."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_NUMBER:
        return value
    return 0
