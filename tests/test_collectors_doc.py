"""docs/collectors.md: the configuration is read, and the payloads are those of the collectors."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from propchange.bridge.collector_limits import DEFAULT_COLLECTOR_LIMITS as LIMITS
from propchange.bridge.configuration import bridge_limits, read_configuration
from propchange.bridge.nats_settings import (
    PASSWORD_VARIABLE,
    TOKEN_VARIABLE,
    USER_VARIABLE,
    NatsSettings,
    nats_settings,
)
from propchange.bridge.nats_store import token
from propchange.bridge.store import Place
from tests.bridge.collector_world import World

PAGE = (Path(__file__).parent.parent / "docs" / "collectors.md").read_text("utf-8")
SHOWN = {
    name: json.loads(text)
    for name, text in re.findall(r"<!-- payload: (\w+) -->\n```json\n(.*?)\n```", PAGE, re.DOTALL)
}


def test_the_configuration_of_the_page_is_read_and_names_each_key() -> None:
    (text,) = re.findall(r"<!-- configuration -->\n```toml\n(.*?)\n```", PAGE, re.DOTALL)
    tables = read_configuration(text, "the page")
    settings = nats_settings(tables["nats"]["url"], tables["nats"], {}, name="cellar")
    assert settings.replicas == 3
    assert bridge_limits(tables["bridge"]).own_subscriptions == 10_000
    fields = set(NatsSettings.__dataclass_fields__) - {"name", "servers", "memory"}
    assert fields - {"user", "password", "token"} == set(tables["nats"]) - {"url"}
    for variable in (USER_VARIABLE, PASSWORD_VARIABLE, TOKEN_VARIABLE):
        assert variable in PAGE


def test_the_payloads_of_the_page_have_the_members_that_collectors_write() -> None:
    world = World(["a"], ["uuid:1"])
    world.run(3)
    owner, event = (each.body for each in world.store.messages)
    assert set(SHOWN["owner"]) == set(owner)
    assert set(SHOWN["event"]) == set(event)
    there = world.store.at(Place.STATE, "uuid:1")
    assert there is not None
    written: dict[str, Any] = json.loads(there.value)
    assert set(SHOWN["state"]) >= set(written)


def test_the_numbers_of_the_page_are_the_limits() -> None:
    for said in (
        f"{LIMITS.waiting_events} of each service, {LIMITS.waiting_in_all:,} in all",
        f"{LIMITS.waiting_characters // 2**20} MiB of values",
        f"forgotten {LIMITS.lease_seconds:g} s after its last renewal",
        f"more than {100 * LIMITS.fair_share:g} % of the mean",
        f"lived for {LIMITS.settle_seconds:g} s",
        f"deleted {LIMITS.forget_seconds:g} s after the device has gone",
    ):
        assert said in PAGE, said
    assert f"`a.b` is `{token('a.b')}`" in PAGE
