"""The exception tree: its drawing, and the text of each exception."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
import re
from pathlib import Path

import pytest

from propchange import errors

DRAWING = inspect.cleandoc(errors.__doc__ or "")


def drawn_tree() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Class name -> (name of the class above it, arguments), as the docstring draws them."""
    tree: dict[str, tuple[str, tuple[str, ...]]] = {}
    above: dict[int, str] = {}
    for line in DRAWING.splitlines():
        drawn = re.match(r"    ([ │├└─]*)(\w+)(?:\(([\w, ]+)\))?(?: {2,}.*)?$", line)
        if drawn is None:
            continue
        depth = len(drawn[1])
        above[depth] = drawn[2]
        parent = above[depth - 4] if depth else "Exception"
        tree[drawn[2]] = (parent, tuple(drawn[3].split(", ")) if drawn[3] else ())
    return tree


def test_the_docstring_draws_every_exception_below_its_base() -> None:
    tree = drawn_tree()
    assert sorted(tree) == sorted(errors.__all__)
    assert {name: base for name, (base, _) in tree.items()} == {
        name: getattr(errors, name).__base__.__name__ for name in errors.__all__
    }


def test_the_docstring_draws_the_attributes_that_an_exception_adds() -> None:
    for name, (_, drawn) in drawn_tree().items():
        own = getattr(errors, name).__dict__.get("__init__")
        added = inspect.signature(own).parameters if own else {}
        assert drawn == tuple(p for p in added if p not in {"self", "message", "args"}), name


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.PropchangeError("why"), "why"),
        (errors.ProtocolError("no NT"), "no NT"),
        (errors.ProtocolError("no NT", clause="UDA 2.0 §4.1.2"), "no NT (UDA 2.0 §4.1.2)"),
        (errors.LocalProtocolError("no SID", status=412), "no SID"),
        (
            errors.RemoteProtocolError("no SEQ", status=400, clause="UDA 2.0 §4.3.2"),
            "no SEQ (UDA 2.0 §4.3.2)",
        ),
        (errors.SubscriptionError("gone"), "gone"),
        (errors.SubscriptionRefused("http://h/e: 503", status=503), "http://h/e: 503"),
        (errors.SubscriptionLost("the device has restarted"), "the device has restarted"),
        (errors.ActionError(701, "The door is blocked"), "701: The door is blocked"),
        (errors.ActionError(402), "402: Invalid Args"),
        (errors.ActionError(715), "715"),
        (errors.DeliveryError("no connection"), "no connection"),
        (errors.DescriptionError("no root element"), "no root element"),
        (errors.ConnectionFailed("no connection to h:80"), "no connection to h:80"),
        (errors.TimedOut("h:80 did not answer"), "h:80 did not answer"),
    ],
)
def test_the_text_of_each_exception(error: errors.PropchangeError, text: str) -> None:
    assert str(error) == text
    assert isinstance(error, errors.PropchangeError)


def test_the_attributes_of_exceptions_are_what_was_given() -> None:
    error = errors.RemoteProtocolError("m", status=400, clause="c")
    assert (error.status, error.clause) == (400, "c")
    assert (errors.ProtocolError("m").status, errors.ProtocolError("m").clause) == (0, "")
    assert errors.SubscriptionRefused("m", status=503).status == 503
    assert errors.SubscriptionLost("why").reason == "why"


def test_an_action_error_has_a_code_and_a_description() -> None:
    error = errors.ActionError(701, "line\nline")
    assert (error.code, error.description) == (701, r"line\nline")
    assert errors.ActionError(601).description == "Argument Value Out of Range"
    assert errors.ActionError(899).description == ""


def test_an_action_error_can_be_copied_and_pickled() -> None:
    for again in (
        copy.copy(errors.ActionError(701, "why")),
        pickle.loads(pickle.dumps(errors.ActionError(701, "why"))),
    ):
        assert (again.code, again.description, str(again)) == (701, "why", "701: why")


@pytest.mark.parametrize("code", ["701", None, True, 7.01])
def test_the_code_of_an_action_error_is_an_int(code: object) -> None:
    with pytest.raises(TypeError, match="is an int such as 701"):
        errors.ActionError(code)  # type: ignore[arg-type]  # the error is the point


@pytest.mark.slow
def test_an_error_of_a_task_reaches_its_caller_as_itself_on_each_python() -> None:
    """Python 3.11.3 and earlier, as in Debian 12, make an ExceptionGroup of what is raised inside
    of ``except*``. The command would then print a traceback instead of its line."""
    inside = [
        f"{path.name}:{statement.lineno}"
        for path in Path(inspect.getfile(errors)).parent.rglob("*.py")
        for tried in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(tried, ast.TryStar)
        for handler in tried.handlers
        for statement in ast.walk(handler)
        if isinstance(statement, ast.Raise)
    ]
    assert inside == []
