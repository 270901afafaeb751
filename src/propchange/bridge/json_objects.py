"""Reads JSON that anybody may have written: on a broker, or in a store of NATS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def json_object(payload: bytes) -> Mapping[str, Any]:
    """The JSON object in ``payload``; empty if there is none."""
    try:
        read = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def member_object(value: object) -> Mapping[str, Any]:
    """``value`` if it is an object, else the empty one."""
    return value if isinstance(value, Mapping) else {}


def text_of(value: object) -> str:
    """``value`` if it is a text, else the empty one."""
    return value if isinstance(value, str) else ""


def number_of(value: object) -> int:
    """``value`` if it is an integer, else 0."""
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
