"""XML inside of values: writes it as the text that the value should have been.

Some peers send XML as the value of a variable or an argument without escaping it. Reading such a
document takes a second pass of expat. The first pass does not keep what is needed for it, because
that would cost every ordinary document.
"""

from __future__ import annotations

from typing import NamedTuple

from propchange.core.limits import Limits
from propchange.core.wire.xml import escape_text, local_name, parse_document, quote_attribute
from propchange.errors import RemoteProtocolError


class NestedValue(NamedTuple):
    """The ``text`` of one value.

    ``name`` is the local name of its element. ``parent`` is the number of its parent among all
    elements of that level, from 0; ``parent_name`` is the name of the parent as written.
    """

    parent: int
    parent_name: str
    name: str
    text: str


def read_nested_values(document: bytes, level: int, limits: Limits) -> tuple[NestedValue, ...]:
    """The elements of ``level`` as values, in the order of ``document``. The root element is level
    1, and ``level`` is 2 or more.

    The first pass must have checked the form and the limits of ``document``. A value that has only
    elements becomes XML text. The namespace declarations that it uses and that stand outside of it
    are added. If a value has text too, the text is the value and the elements are ignored as
    unknown (UDA 2.0 §2.7).

    Raises RemoteProtocolError with status 400 if more than ``limits.body_bytes`` characters of
    declarations would be added, or 32 times as many as the document has: one long declaration
    outside and many short elements inside would be an attack.
    """
    reader = _NestedValues(level, min(limits.body_bytes, 32 * len(document)))
    parse_document(document, reader.start, reader.end, reader.text)
    return tuple(reader.values)


class _NestedValues:
    """The second pass over one document. ``spare`` is how many characters of declarations may be
    added."""

    def __init__(self, level: int, spare: int) -> None:
        self.values: list[NestedValue] = []
        self._level = level
        self._spare = spare
        self._parents = -1  # the number of the last parent
        self._path: list[str] = []
        self._declared: list[dict[str, str]] = []
        self._texts: list[str] = []  # the value, if it is text
        self._parts: list[str] = []  # the value, if it is XML
        self._needed: dict[str, str] = {}
        self._slot = -1  # where in the parts the declarations go; -1: no element yet

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        self._declared.append(
            {key[6:]: uri for key, uri in attributes.items() if key.startswith("xmlns")}
        )
        below = len(self._path) - self._level
        if below == -1:
            self._parents += 1
        elif below == 0:
            self._texts.clear()
            self._parts.clear()
            self._slot = -1
        elif below > 0:
            parts = self._parts
            parts.append(f"<{name}")
            if below == 1:
                self._needed = {}
                self._slot = len(parts)
                parts.append("")
            self._look_up(name)
            for key, value in attributes.items():
                parts.append(f' {key}="{quote_attribute(value)}"')
                if ":" in key:
                    self._look_up(key)
            parts.append(">")

    def _look_up(self, name: str) -> None:
        """Store the namespace of the prefix of ``name``, if it is declared outside of the value."""
        prefix = name.rpartition(":")[0]
        if not any(prefix in declared for declared in self._declared[self._level :]):
            for declared in self._declared[: self._level]:
                if prefix in declared:
                    self._needed[prefix] = declared[prefix]

    def end(self, name: str) -> None:
        below = len(self._path) - self._level
        parts = self._parts
        if below > 0:
            # Only a start tag ends with ">": text has it escaped.
            if parts[-1] == ">":
                parts[-1] = "/>"
            else:
                parts.append(f"</{name}>")
            if below == 1:
                self._declare()
        elif below == 0:
            text = "".join(self._texts)
            value = text if self._slot < 0 or text.strip() else "".join(parts)
            found = NestedValue(self._parents, self._path[-2], local_name(name), value)
            self.values.append(found)
        self._path.pop()
        self._declared.pop()

    def _declare(self) -> None:
        declarations = "".join(
            f' {"xmlns:" + prefix if prefix else "xmlns"}="{quote_attribute(uri)}"'
            for prefix, uri in self._needed.items()
        )
        self._spare -= len(declarations)
        if self._spare < 0:
            raise RemoteProtocolError("too much XML in a value", status=400)
        self._parts[self._slot] = declarations

    def text(self, piece: str) -> None:
        if len(self._path) == self._level:
            self._texts.append(piece)
        self._parts.append(escape_text(piece))
