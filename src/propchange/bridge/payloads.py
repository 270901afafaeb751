"""The payloads of the bridge: JSON in UTF-8. ``docs/schemas`` has their schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from propchange.bridge.json_objects import json_object
from propchange.bridge.service_state import ServiceState
from propchange.bridge.topics import part
from propchange.printable import printable

PAYLOAD_BYTES = 131_072
"""Bytes of one payload. Values are left out of the state until it fits, the longest first. Brokers
of clouds take 128 KiB. Bounds what a device makes a broker keep and send to each of its clients."""

VALUE_CHARACTERS = 16_384
"""Characters of one value. A longer value is left out, since a part of a value is not true. Bounds
the same."""

REASON_CHARACTERS = 500
"""Characters of a reason. A device has a part in its words."""

_EXACT = 2**53 - 1
"""The largest integer that each reader of JSON reads exactly. JavaScript, and so Node-RED, rounds
a larger one without a word. Beyond it an integer is a text."""

Plain = str | int | float | bool


def state_payload(state: ServiceState, bridge_id: str) -> bytes:
    """The state of a service."""
    values = dict(plain_values(state))
    left_out = state.left_out + len(state.values) - len(values)
    while True:
        payload = encode(
            {
                "bridge": bridge_id,
                **service_members(state),
                "values": values,
                "left_out": left_out,
            }
        )
        if len(payload) <= PAYLOAD_BYTES or not values:
            return payload
        del values[max(values, key=lambda name: len(name) + len(state.texts[name]))]
        left_out += 1


def service_members(state: ServiceState) -> dict[str, Any]:
    """Which service it is, and the SID, the SEQ and the time of its last event."""
    return {
        "device": state.device_name,
        "model": state.device_model,
        "udn": state.udn,
        "root_udn": state.root_udn,
        "service": state.service,
        "service_id": state.service_id,
        "service_type": state.service_type,
        "sid": state.sid,
        "seq": state.seq,
        "time": None if state.time is None else time_text(state.time),
    }


def plain_values(state: ServiceState) -> list[tuple[str, Plain]]:
    """The name and the JSON value of each variable whose value is not too long."""
    return [
        (name, exact_value(value, state.texts[name]))
        for name, value in state.values.items()
        if len(state.texts[name]) <= VALUE_CHARACTERS and len(name) <= VALUE_CHARACTERS
    ]


def exact_value(value: Plain, text: str) -> Plain:
    """``value``; ``text`` for an integer that some readers of JSON would round."""
    return text if isinstance(value, int) and abs(value) > _EXACT else value


def variable_payload(value: Plain) -> bytes:
    """The value of one variable. It is JSON, so the empty text is not an empty payload, which would
    delete what is retained."""
    return encode(value)


def availability_payload(
    bridge_id: str, reason: str | None = None, status: str = "", instance: str = ""
) -> bytes:
    """The availability of a service, or of the bridge: offline with a ``reason``, online without
    one. ``status`` is that of the service, ``instance`` names the process of the bridge."""
    members: dict[str, str] = {"state": "online" if reason is None else "offline"}
    if reason is not None:
        members["reason"] = printable(reason)[:REASON_CHARACTERS]
    if status:
        members["status"] = status
    members["bridge"] = bridge_id
    if instance:
        members["instance"] = instance
    return encode(members)


def read_availability(payload: bytes) -> tuple[str, bool] | None:
    """The id of the bridge that has written an availability, and whether it is online. None for
    another payload."""
    members = _members(payload)
    bridge_id, state = members.get("bridge"), members.get("state")
    if not isinstance(bridge_id, str) or part(bridge_id) != bridge_id:
        return None  # no bridge has such an id
    if isinstance(state, str) and state in {"online", "offline"}:
        return bridge_id, state == "online"
    return None


def read_instance(payload: bytes) -> str | None:
    """The process that has written the availability of a bridge; None if it does not say."""
    instance = _members(payload).get("instance")
    return instance if isinstance(instance, str) else None


def _members(payload: bytes) -> Mapping[str, object]:
    return {} if len(payload) > PAYLOAD_BYTES else json_object(payload)


def time_text(time: datetime) -> str:
    """``time`` in UTC, as RFC 3339 with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(value: object) -> bytes:
    """``value`` as JSON in UTF-8. Control characters are escaped."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")
