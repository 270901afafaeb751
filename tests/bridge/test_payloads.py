"""Payloads: JSON that every reader reads exactly, bounded, and as the schemas in docs say."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.bridge import service_state
from propchange.bridge.payloads import (
    PAYLOAD_BYTES,
    VALUE_CHARACTERS,
    availability_payload,
    plain_values,
    read_availability,
    read_instance,
    state_payload,
    variable_payload,
)
from propchange.bridge.service_state import GONE, ServiceState
from propchange.core.subscriber.events import Change, Changes, Event, Status

_DOCS = Path(__file__).parents[2] / "docs"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
TEXTS = st.text(max_size=30)
VALUES = st.one_of(
    TEXTS, st.integers(-(2**64), 2**64), st.booleans(), st.floats(allow_nan=True), st.none()
)


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((_DOCS / "schemas" / f"{name}.json").read_text("utf-8"))
    return found


_TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "number": (int, float),
    "integer": int,
    "boolean": bool,
    "object": dict,
    "null": type(None),
}


def problems(value: Any, wanted: dict[str, Any], at: str = "") -> list[str]:
    """How ``value`` differs from a schema, by the keywords that ours use."""
    found = []
    types = wanted.get("type", [])
    names = [types] if isinstance(types, str) else types
    fits = [
        isinstance(value, _TYPES[each]) and (each == "boolean" or not isinstance(value, bool))
        for each in names
    ]
    if names and not any(fits):
        found.append(f"{at}: {value!r} is no {types}")
    if "enum" in wanted and value not in wanted["enum"]:
        found.append(f"{at}: {value!r}")
    if "const" in wanted and value != wanted["const"]:
        found.append(f"{at}: {value!r}")
    if "maxLength" in wanted and len(value) > wanted["maxLength"]:
        found.append(f"{at} is too long")
    if isinstance(value, (int, float)) and value < wanted.get("minimum", value):
        found.append(f"{at} is too small")
    if isinstance(value, dict):
        properties, more = wanted.get("properties", {}), wanted.get("additionalProperties", {})
        found += [f"{at} has no {each}" for each in wanted.get("required", []) if each not in value]
        for name, each in value.items():
            if name in properties:
                found += problems(each, properties[name], f"{at}/{name}")
            elif more is False:
                found.append(f"{at}/{name} is not in the schema")
            else:
                found += problems(each, more, f"{at}/{name}")
    if "if" in wanted and not problems(value, wanted["if"]):
        found += problems(value, wanted["then"], at)
    return found


def new_state() -> ServiceState:
    return ServiceState("1", "1", "Desk", "Lamp 2", "Lamp", "urn:x:serviceId:Lamp", "urn:x:Lamp:1")


def event(*pairs: tuple[str, object, str], initial: bool = False) -> Event:
    details = tuple(Change(name, value, None, None, None, text) for name, value, text in pairs)
    return Event(None, "uuid:9", 3, Changes(), details, is_initial=initial)


@given(st.lists(st.tuples(TEXTS, VALUES, TEXTS), max_size=8), TEXTS)
def test_each_state_fits_its_schema_and_is_strict_json(
    pairs: list[tuple[str, object, str]], name: str
) -> None:
    state = new_state()
    state.device_name = name
    assert problems(json.loads(state_payload(state, "attic")), schema("state")) == []
    state.receive(event(*pairs), NOON)
    payload = state_payload(state, "attic")
    read = json.loads(payload, parse_constant=pytest.fail)
    assert problems(read, schema("state")) == []
    assert not re.search(rb"[\x00-\x1f]", payload)
    assert read["values"].keys() == state.values.keys()
    for _, value in plain_values(state):
        assert problems(json.loads(variable_payload(value)), schema("variable")) == []
        assert variable_payload(value), "an empty payload would clear the topic"


@given(TEXTS | st.text(min_size=600, max_size=700), st.sampled_from([*Status]))
def test_each_availability_fits_its_schema(reason: str, status: Status) -> None:
    for payload in (
        availability_payload("attic", reason, status.value),
        availability_payload("attic", None, status.value),
        availability_payload("attic", reason, GONE),
        availability_payload("attic", reason),
    ):
        read = json.loads(payload)
        assert problems(read, schema("availability")) == []
        assert read_availability(payload) == ("attic", read["state"] == "online")
        of_bridge = json.loads(availability_payload("attic", reason, instance="1"))
        assert problems(of_bridge, schema("bridge-availability")) == []


def test_an_integer_that_some_readers_would_round_is_a_text() -> None:
    state = new_state()
    exact = 2**53 - 1
    state.receive(event(("A", exact, str(exact)), ("B", exact + 1, str(exact + 1))), NOON)
    values = json.loads(state_payload(state, "attic"))["values"]
    assert values == {"A": exact, "B": "9007199254740992"}


def test_long_values_are_left_out_and_counted_and_no_payload_is_larger_than_the_cap() -> None:
    state = new_state()
    long = "x" * VALUE_CHARACTERS
    pairs: list[tuple[str, object, str]] = [(f"V{n}", long, long) for n in range(20)]
    state.receive(event(*pairs, ("Longer", long + "x", long + "x"), ("A", 1, "1")), NOON)
    payload = state_payload(state, "attic")
    read = json.loads(payload)
    assert len(payload) <= PAYLOAD_BYTES
    assert read["values"]["A"] == 1
    assert len(read["values"]) + read["left_out"] == 22
    assert "Longer" not in read["values"]


def test_the_variables_of_a_service_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_state, "VARIABLES_KEPT", 10)
    state = new_state()
    for number in range(100):
        state.receive(event((f"V{number}", number, str(number))), NOON)
    assert (len(state.values), len(state.texts), state.left_out) == (10, 10, 90)
    state.receive(event(("A", 1, "1"), initial=True), NOON)
    assert (state.values, state.left_out) == ({"A": 1}, 0)


@given(st.binary(max_size=40) | st.sampled_from([b"[]", b'{"state":[]}', b"[" * 100_000]))
def test_what_others_publish_as_an_availability_is_none(payload: bytes) -> None:
    assert read_availability(payload) is None
    assert read_instance(payload) is None


def test_the_page_shows_a_state_that_fits_its_schema_and_links_each_schema() -> None:
    page = (_DOCS / "mqtt.md").read_text("utf-8")
    example = page.partition("```json\n")[2].partition("```")[0]
    assert problems(json.loads(example), schema("state")) == []
    for each in (_DOCS / "schemas").glob("*.json"):
        assert f"(schemas/{each.name})" in page or each.name.startswith(("home", "nats", "event"))
        assert schema(each.stem)["$schema"].endswith("/draft/2020-12/schema")
