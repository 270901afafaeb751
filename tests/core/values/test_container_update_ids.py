from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.values.merging import (
    CONTAINERS,
    ContainerFold,
    format_container_update_ids,
    parse_container_update_ids,
)


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ("", []),
        ("7,1", [("7", "1")]),
        ("7,1,8,2", [("7", "1"), ("8", "2")]),
        (" 7 , 1 ", [("7", "1")]),
        (r"a\,b,1,c\\,2", [("a,b", "1"), ("c\\", "2")]),
        ("7,", [("7", "")]),
    ],
)
def test_a_list_is_read_in_pairs(text, pairs) -> None:
    assert parse_container_update_ids(text) == pairs


@pytest.mark.parametrize(
    ("text", "reason"), [("7", "not 1 values"), ("7,1,8", "not 3"), ("7,1\\", "ends in a backsl")]
)
def test_what_is_no_list_of_pairs_is_refused(text, reason) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_container_update_ids(text)


@given(st.lists(st.tuples(st.text("a,\\b"), st.text("1,\\2")), max_size=5))
def test_what_is_written_is_read_again(pairs) -> None:
    assert parse_container_update_ids(format_container_update_ids(pairs)) == pairs


def test_lists_are_folded_by_container() -> None:
    assert CONTAINERS("7,1,8,1", "7,2,9,1") == "8,1,7,2,9,1"


@pytest.mark.clause("EVT-03")
@pytest.mark.clause("LC-12")
def test_a_new_subscriber_is_told_the_last_list() -> None:
    rule = CONTAINERS.rule("", DEFAULT_LIMITS)
    assert rule.current() == ""
    rule.record("7,1", 1)
    rule.record("8,1", 2)
    assert rule.current() == "8,1"
    assert rule.since(0) == "7,1,8,1"


def test_the_fold_is_shown_by_its_name() -> None:
    assert repr(CONTAINERS) == repr(ContainerFold()) == "CONTAINERS"


def test_a_list_that_grows_pair_by_pair_keeps_each_container_once_with_its_newest_place() -> None:
    text = ""
    for container, update in [("a", "1"), ("b", "2"), ("a", "3"), ("c,d", "4"), ("e\\", "5")]:
        text = CONTAINERS(text, format_container_update_ids([(container, update)]))
    assert parse_container_update_ids(text) == [("b", "2"), ("a", "3"), ("c,d", "4"), ("e\\", "5")]
