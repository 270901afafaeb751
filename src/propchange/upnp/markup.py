"""The XML of device and service descriptions: shared functions to write and to read it."""

from __future__ import annotations

from propchange.core.limits import Limits
from propchange.core.values.data_types import shown
from propchange.core.wire.mending import read_tree
from propchange.core.wire.xml import Element, check_carried, escape_text
from propchange.errors import DescriptionError, RemoteProtocolError

DECLARATION = '<?xml version="1.0" encoding="utf-8"?>\n'


def check_text(text: str, what: str) -> str:
    """Give ``text`` back. Raises ``TypeError`` when it is not a str and ``ValueError`` when it
    holds a character that XML 1.0 cannot carry; ``what`` names it in the message."""
    if not isinstance(text, str):
        raise TypeError(f"{what} must be a str, not {type(text).__name__}")
    check_carried(text, what)
    return text


def text_element(name: str, text: str) -> str:
    """One element with escaped text in it."""
    return f"<{name}>{escape_text(text)}</{name}>"


def spec_version(uda: str) -> str:
    """The ``specVersion`` element for "1.0", "1.1" or "2.0"; ``ValueError`` for anything else."""
    if uda not in ("1.0", "1.1", "2.0"):
        raise ValueError(f"there is no UPnP Device Architecture {uda!r}; known: 1.0, 1.1, 2.0")
    major, minor = uda.split(".")
    return f"<specVersion><major>{major}</major><minor>{minor}</minor></specVersion>"


def parse_root(
    document: bytes, limits: Limits, what: str, name: str
) -> tuple[Element, tuple[str, ...]]:
    """The root element, whose name must be ``name``, and the problems that were mended. Raises
    :exc:`DescriptionError`; ``what`` names the document in its text."""
    try:
        root, problems = read_tree(document, limits)
    except RemoteProtocolError as error:
        # Without the clause, which is that of event messages.
        raise DescriptionError(f"{what} cannot be read: {error.args[0]}") from error
    if root.name != name:
        raise DescriptionError(
            f"{what} is not what it should be: its outermost element is "
            f"{shown(root.name)}, not {name!r}"
        )
    return root, problems


def child_text(element: Element, name: str) -> str:
    """The stripped text of the first child of that local name; "" if there is none. A child in the
    name space of ``element`` is preferred to those of vendors."""
    children = list(element.all(name))
    own = [child for child in children if child.namespace == element.namespace]
    return next((child.text.strip() for child in own or children), "")
