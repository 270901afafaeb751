"""``help()`` in an interactive session."""

from __future__ import annotations

import inspect
import pydoc
import re
import sys
import typing
from typing import Any

import pytest

import propchange
import propchange.blocking
import propchange.twisted


def lines_of(thing: object) -> list[str]:
    """The help on ``thing``, in lines of a terminal of 80 columns."""
    text = pydoc.plain(pydoc.render_doc(thing))
    return [line[at : at + 80] for line in text.splitlines() for at in range(0, len(line) or 1, 80)]


@pytest.mark.parametrize(
    "host", [propchange.host, propchange.twisted.host, propchange.blocking.host]
)
def test_the_help_of_host_fits_a_screen_and_has_each_option(host: Any) -> None:
    assert len(lines_of(host)) <= 40
    text = "\n".join(lines_of(propchange.host))
    for name in list(inspect.signature(propchange.host).parameters)[1:]:
        assert f"``{name}``" in text or f"``{name}=" in text


def test_the_first_screen_of_a_control_point_has_each_option_and_each_method() -> None:
    """Behind it are the contracts of the methods."""
    first = "\n".join(lines_of(propchange.ControlPoint)[:40])
    for name in inspect.signature(propchange.ControlPoint).parameters:
        assert f"``{name}``" in first or f"``{name}=" in first
    for name in dir(propchange.ControlPoint):
        member = inspect.getattr_static(propchange.ControlPoint, name)
        if not name.startswith("_") and not isinstance(member, property):
            assert f":meth:`{name}`" in first
    assert "Method resolution order" in first


@pytest.mark.parametrize(
    ("thing", "most"),
    [(propchange.ControlPoint, 175), (propchange.blocking.ControlPoint, 160)],
)
def test_the_help_of_a_control_point_has_a_paragraph_for_each_method(
    thing: object, most: int
) -> None:
    """What takes pages is on a page."""
    # From Python 3.13 on, a long signature has a line for each argument.
    signatures = 20 if sys.version_info >= (3, 13) else 0
    assert len(lines_of(thing)) <= most + signatures
    assert "typing.Generic" not in "\n".join(lines_of(thing))


@pytest.mark.parametrize(
    "function",
    [
        propchange.host,
        propchange.ControlPoint.__init__,
        propchange.twisted.host,
        propchange.twisted.ControlPoint.__init__,
        propchange.blocking.host,
        propchange.blocking.ControlPoint.__init__,
    ],
)
def test_a_program_can_read_the_types_of_the_options(function: Any) -> None:
    assert typing.get_type_hints(function)["return"] is not None
    assert "limits" in inspect.signature(function).parameters


def test_a_subclass_has_the_signature_of_its_own() -> None:
    class Point(propchange.ControlPoint):
        def __init__(self, name: str) -> None:
            super().__init__(friendly_name=name)

    assert str(inspect.signature(Point)) == "(name: 'str') -> 'None'"


@pytest.mark.parametrize(
    "public", ["Service", "Device", "StateVariable", "Subscription", "Limits", "ControlPoint"]
)
def test_the_help_of_a_class_has_no_internals(public: str) -> None:
    """No private name, no method that only propchange calls, no defaults of all caps."""
    lines = pydoc.plain(pydoc.render_doc(getattr(propchange, public))).splitlines()
    # Those of dataclasses are Python's own.
    private = [
        line
        for line in lines
        if re.search(r"(?<![\w.])_(?!dataclass_|replace\(self)[a-z]\w*", line)
    ]
    assert private == []
    assert not [line for line in lines if "For :class:`." in line]
    assert sum("16384" in line for line in lines) <= 1


@pytest.mark.parametrize("service", [propchange.Service, propchange.twisted.Service])
def test_the_help_of_a_service_has_what_a_program_calls(service: Any) -> None:
    """Not what a host calls to publish it."""
    called = {name for name in dir(service) if not name.startswith("_")}
    own = set() if service is propchange.Service else {
        *("close", "drained", "id", "listen", "resource", "subscribed", "subscriptions")
    }  # fmt: skip
    assert called - own == {
        *("actions", "add_instance", "batch", "evented", "from_scpd", "hosted", "instance"),
        *("instances", "missing_actions", "on_action", "remove_instance", "scpd", "service_id"),
        *("service_type", "values", "variables"),
    }
