from __future__ import annotations

import ast
import dataclasses
import inspect

import pytest

from propchange.core import limits as module
from propchange.core.limits import DEFAULT_LIMITS, Limits


def test_limits_are_a_value_that_cannot_be_changed_only_replaced() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        DEFAULT_LIMITS.connections = 1
    other = dataclasses.replace(DEFAULT_LIMITS, connections=1)
    assert other.connections == 1
    assert Limits() == DEFAULT_LIMITS


def test_limits_show_only_what_differs_from_the_defaults() -> None:
    assert repr(DEFAULT_LIMITS) == "Limits()"
    changed = dataclasses.replace(DEFAULT_LIMITS, connections=1, idle_seconds=2.5)
    assert repr(changed) == "Limits(connections=1, idle_seconds=2.5)"


def test_every_limit_is_more_than_nothing() -> None:
    assert all(value > 0 for value in dataclasses.asdict(DEFAULT_LIMITS).values())


def test_every_limit_says_what_it_is_for() -> None:
    (tree,) = (
        node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.ClassDef)
    )
    after = zip(tree.body, tree.body[1:], strict=False)
    explained = {
        field.target.id
        for field, text in after
        if isinstance(field, ast.AnnAssign)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    }
    assert explained == {field.name for field in dataclasses.fields(Limits)}


@pytest.mark.clause("FAIL-03")
def test_the_times_that_uda_gives_are_the_defaults() -> None:
    assert DEFAULT_LIMITS.attempt_seconds == 30
    assert DEFAULT_LIMITS.request_seconds == 30
    assert DEFAULT_LIMITS.message_seconds == 60


@pytest.mark.parametrize("descriptors", [16, 64, 256, 1_024, 4_096, 1_048_576])
def test_connections_fit_into_the_file_descriptors_of_the_process(descriptors: int) -> None:
    limits = DEFAULT_LIMITS.within(descriptors)
    of_addresses = (
        limits.listening_addresses  # a listener each
        + 2 * limits.announced_addresses  # of the address and of its group
        + 2 * limits.discovery_links  # one that listens, one that searches
        + 2 * limits.multicast_places  # of a device and of a control point
    )
    assert limits.connections + limits.delivery_connections <= descriptors * 7 // 8
    assert of_addresses <= max(descriptors // 8, 7)
    assert limits.within(descriptors) == limits
    assert all(value > 0 for value in dataclasses.asdict(limits).values())
    assert limits.connections_per_address <= limits.connections
    assert limits.connections_per_delivery_endpoint <= limits.delivery_connections
    failing_and_new = limits.unproven_delivery_connections + limits.failing_delivery_connections
    assert failing_and_new <= limits.connecting_deliveries <= limits.delivery_connections
    for name, value in dataclasses.asdict(limits).items():
        assert value <= getattr(DEFAULT_LIMITS, name)


def test_limits_that_fit_stay_as_they_are() -> None:
    assert DEFAULT_LIMITS.within(20_000) is DEFAULT_LIMITS
    few = dataclasses.replace(
        DEFAULT_LIMITS,
        delivery_connections=2,
        connections=4,
        listening_addresses=1,
        announced_addresses=1,
        discovery_links=1,
        multicast_places=1,
    )
    assert few.within(64) is few
    more = dataclasses.replace(few, discovery_links=2)
    assert more.within(64) == few


def test_each_subscription_may_have_a_delivery_connection() -> None:
    assert DEFAULT_LIMITS.delivery_connections >= DEFAULT_LIMITS.subscriptions


def test_limits_that_bound_each_other_are_in_order() -> None:
    limits = DEFAULT_LIMITS
    assert limits.connections_per_address < limits.connections
    assert limits.subscriptions_per_address < limits.subscriptions
    assert limits.connections_per_delivery_endpoint < limits.delivery_connections
    assert limits.connect_seconds < limits.attempt_seconds < limits.message_seconds
    assert limits.backoff_first_seconds < limits.backoff_most_seconds
    # A CALLBACK with every URL at its longest still fits into a header.
    assert limits.callback_urls * (limits.callback_url_bytes + 2) < limits.header_bytes
