from __future__ import annotations

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.backlog import Accumulate, Replace
from propchange.core.publisher.records import (
    EndpointLoad,
    EventedVariable,
    PublishedService,
    Route,
    Subscription,
    evented_variable,
)
from propchange.core.publisher.states import PublisherState
from propchange.core.values.merging import CONTAINERS, FoldRule
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.messages import DeliveryAddress, DeliveryURL, Endpoint


def service_of(**variables: EventedVariable) -> PublishedService:
    return PublishedService("/evt", variables, DEFAULT_LIMITS)


def joined(older: str, newer: str) -> str:
    return f"{older},{newer}"


@pytest.mark.clause("SUB-01")
@pytest.mark.clause("EVT-02")
def test_a_service_without_evented_variables_cannot_be_published() -> None:
    with pytest.raises(ValueError, match=r"the service at /evt has no evented variable"):
        service_of()


@pytest.mark.clause("XML-09")
def test_a_name_that_cannot_be_an_xml_element_is_refused() -> None:
    with pytest.raises(ValueError, match="'1st' cannot be"):
        PublishedService("/evt", {"1st": EventedVariable("")}, DEFAULT_LIMITS)


def test_a_first_value_that_xml_cannot_carry_is_refused() -> None:
    with pytest.raises(ValueError, match=r"XML 1\.0 cannot carry"):
        service_of(A=EventedVariable("\x1b"))


def test_the_first_texts_are_checked_against_xml_and_against_the_fold() -> None:
    service_of(A=EventedVariable("with\nlines\tand <markup> & ümlauts"))
    with pytest.raises(ValueError, match=r"XML 1\.0 cannot carry"):
        service_of(A=EventedVariable("\ufffe"))
    with pytest.raises(ValueError, match="holds pairs"):
        service_of(Pairs=EventedVariable("7", merge=CONTAINERS))


def test_a_fold_is_a_merge_rule_of_its_own() -> None:
    rule = EventedVariable("7,1", merge=CONTAINERS).rule(DEFAULT_LIMITS)
    assert isinstance(rule, FoldRule)
    assert rule.current() == "7,1"


def test_a_variable_replaces_unless_it_is_given_a_merge_rule() -> None:
    replacing = EventedVariable("first").rule(DEFAULT_LIMITS)
    accumulating = EventedVariable("first", merge=joined).rule(DEFAULT_LIMITS)
    assert isinstance(replacing, Replace)
    assert isinstance(accumulating, Accumulate)
    assert (replacing.current(), accumulating.current()) == ("first", "first")
    for version in range(1, 33):
        accumulating.record(str(version), version)
    # Twice what waits unmerged is remembered text by text.
    assert accumulating.since(1).startswith("2,")
    accumulating.record("33", 33)
    assert accumulating.since(1).startswith("1,2,")


@pytest.mark.parametrize(
    ("variable", "has_one"),
    [
        (EventedVariable("0"), False),
        (EventedVariable("0", minimum_interval=0.2), True),
        (EventedVariable("0", minimum_delta=5), True),
    ],
)
def test_a_variable_is_moderated_when_it_has_an_interval_or_a_delta(variable, has_one) -> None:
    assert (variable.moderation() is not None) is has_one
    assert list(service_of(A=variable).moderations) == (["A"] if has_one else [])


def test_moderation_learns_what_an_initial_event_has_told() -> None:
    service = service_of(A=EventedVariable("0", minimum_delta=5), B=EventedVariable("0"))
    assert service.initial_event(None).changes == (("A", "0"), ("B", "0"))
    assert not service.moderations["A"].changed("4", 1.0)
    assert service.moderations["A"].changed("5", 1.0)


def test_moderation_learns_nothing_of_a_variable_that_was_not_wanted() -> None:
    service = service_of(A=EventedVariable("0", minimum_delta=5), B=EventedVariable("0"))
    service.initial_event(frozenset({"B"}))
    assert service.moderations["A"].changed("1", 1.0)


def test_a_subscription_begins_before_its_initial_event() -> None:
    service = service_of(A=EventedVariable("0"))
    urls = [
        DeliveryURL(f"http://10.0.0.2:{port}/", Endpoint("10.0.0.2", port), f"10.0.0.2:{port}", "/")
        for port in (1, 2)
    ]
    routes = tuple(
        Route(DeliveryAddress("uuid:1", url, None, "1.1"), EndpointLoad(url.endpoint, ()))
        for url in urls
    )
    subscription = Subscription(
        "uuid:1",
        service,
        routes,
        peer=Endpoint("10.0.0.2", 5),
        duration=1800,
        expires=1900.0,
        wanted=None,
    )
    assert subscription.callbacks == ("http://10.0.0.2:1/", "http://10.0.0.2:2/")
    assert (subscription.state, subscription.seq) == (PublisherState.ANSWERING, 0)
    assert not subscription.heard
    assert repr(subscription) == "<Subscription uuid:1 ANSWERING SEQ 0>"


def test_a_variable_of_a_service_is_declared_with_its_moderation_and_its_level() -> None:
    door = StateVariable("i4", name="Door", multicast=True, minimum_interval=2, minimum_delta=3)
    assert evented_variable(door, "1") == EventedVariable(
        "1", minimum_interval=2, minimum_delta=3, merge=door.merge
    )
    assert evented_variable(door, "1", multicast=True).level == "upnp:/general"
    still = StateVariable("i4", name="Still")
    assert evented_variable(still, "1", multicast=True).level is None
