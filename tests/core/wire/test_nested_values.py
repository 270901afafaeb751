"""XML inside of values. The forms of it are tested with the propertyset."""

from __future__ import annotations

from dataclasses import replace

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.wire.nested_values import read_nested_values
from propchange.errors import RemoteProtocolError

DOCUMENT = b"<r xmlns:n='urn:n'><a><v>1</v></a><n:b><v> <n:w/></v><n:x>2<y/></n:x></n:b><c/></r>"


def test_a_value_knows_its_parent() -> None:
    assert read_nested_values(DOCUMENT, 3, DEFAULT_LIMITS) == (
        (0, "a", "v", "1"),
        (1, "n:b", "v", ' <n:w xmlns:n="urn:n"/>'),
        (1, "n:b", "x", "2"),
    )


def test_values_may_be_at_any_level() -> None:
    assert [
        (each.parent, each.text) for each in read_nested_values(DOCUMENT, 2, DEFAULT_LIMITS)
    ] == [
        (0, "<v>1</v>"),
        (0, '<v xmlns:n="urn:n"> <n:w/></v><n:x xmlns:n="urn:n">2<y/></n:x>'),
        (0, ""),
    ]


def test_the_declarations_that_are_added_are_bounded() -> None:
    limits = replace(DEFAULT_LIMITS, body_bytes=16)
    assert read_nested_values(DOCUMENT, 3, limits)
    with pytest.raises(RemoteProtocolError, match="too much XML in a value") as caught:
        read_nested_values(DOCUMENT, 2, limits)
    assert caught.value.status == 400


def test_the_declarations_that_are_added_are_bounded_by_the_length_of_the_document() -> None:
    def document(elements: int) -> bytes:
        return f"<r xmlns='{'u' * 1_000}'><v>{'<a/>' * elements}</v></r>".encode()

    (value,) = read_nested_values(document(10), 2, DEFAULT_LIMITS)
    assert value.text.count("u" * 1_000) == 10
    with pytest.raises(RemoteProtocolError, match="too much XML in a value"):
        read_nested_values(document(100), 2, DEFAULT_LIMITS)
