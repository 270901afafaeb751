"""A signature with many options is short for people, and whole for programs."""

from __future__ import annotations

import inspect

from propchange.core.limits import Limits
from propchange.core.short_signature import short_in_help


@short_in_help
def cook(meal: str, *, heat: int = 3, minutes: float = 12.0) -> bool:
    return bool(meal and heat and minutes)


def test_the_text_of_a_signature_leaves_out_each_option() -> None:
    signature = inspect.signature(cook)
    assert str(signature) == signature.format(max_width=80) == "(meal: 'str', **options) -> 'bool'"


def test_a_program_reads_each_option() -> None:
    signature = inspect.signature(cook)
    assert list(signature.parameters) == ["meal", "heat", "minutes"]
    assert signature.bind("soup", heat=2).arguments == {"meal": "soup", "heat": 2}
    assert cook("soup")


def test_the_text_of_the_signature_of_limits_leaves_out_each_cap() -> None:
    signature = inspect.signature(Limits)
    assert str(signature).startswith("(**options)")
    assert "connections" in signature.parameters
