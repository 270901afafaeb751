"""The propertyset, the body of an event message: reading and writing (UDA 2.0 §4.3.2).

There are four ways to read one; each returns the same pairs where it applies.

1. *Plain*. Nearly every device sends the same form: ASCII, the prefix ``e``, one variable in each
   property, no markup in values. One regular expression per property reads it, without a
   parser. It must not match a body that expat refuses or reads differently. So it excludes a
   carriage return in a value, which expat makes a line feed, and ``>``, which could end ``]]>``.
   A body that does not match in full goes to the next way; so a wrong guess costs time, not
   correctness. It saves 3.1 us; an event takes 15 us of processor time with its socket.
2. *One pass of expat*, for every other body: any prefix and namespace, any encoding. Its callbacks
   count elements and depth, since a small body can have many of both.
3. *A second pass*, if the first has found elements inside of a value (:mod:`.nested_values`). Some
   devices send XML there without escaping it.
4. *Repeated*. Most devices send the same variable again and again, in plain bodies that differ in
   its text alone. :class:`RepeatedBody` keeps what is around the text. It saves another 0.4 us.
"""

from __future__ import annotations

import pyexpat
import re
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire.mending import problem, read_leniently
from propchange.core.wire.nested_values import read_nested_values
from propchange.core.wire.xml import (
    check_carried,
    escape_text,
    local_name,
    parse_document,
    unescape_text,
)
from propchange.errors import RemoteProtocolError

_CLAUSE = "UDA 2.0 §4.3.2"
_OPEN = '<?xml version="1.0"?>\n<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">\n'
_CLOSE = "</e:propertyset>"
_ESCAPED = re.compile("[&<>\r]")
# The plain form: see the module's docstring for what these expressions must not match.
_PLAIN_BYTES = 16_384
_PLAIN_TEXT = r"[\t\n -%'-;=?-~]*(?:&(?:amp|lt|gt|quot|apos);[\t\n -%'-;=?-~]*)*"
_PLAIN_PROPERTY = (
    r"<e:property>[ \t\r\n]*<([A-Za-z_][A-Za-z0-9_.-]{0,254})>"
    rf"({_PLAIN_TEXT})"
    r"</\1>[ \t\r\n]*</e:property>[ \t\r\n]*"
    r"(</e:propertyset>[ \t\r\n\0]*\Z)?"
)
_PLAIN_FIRST = re.compile(
    r'(?:<\?xml version="1\.0"(?: encoding="(?:utf-8|UTF-8)")?\?>[ \t\r\n]*)?'
    r'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">[ \t\r\n]*' + _PLAIN_PROPERTY
)
_PLAIN_NEXT = re.compile(_PLAIN_PROPERTY)
_PLAIN_VALUE = re.compile(_PLAIN_TEXT.encode("ascii"))


Pairs = tuple[tuple[str, str], ...]
"""(variable, text) pairs."""


def parse_propertyset(body: bytes, limits: Limits) -> Pairs:
    """The (variable, text) pairs of a propertyset, in the order of the document.

    Lenient: any prefix and namespace (UDA 2.0 §2.7), and several variables in one property. Unknown
    elements beside ``property`` or in the text of a value are ignored. A value that is XML instead
    of text is returned as the text of that XML. A variable that occurs twice is twice in the
    result. A body that is not well-formed is mended, see :mod:`.mending`.

    Raises RemoteProtocolError with status 400 for anything but a propertyset, and beyond
    ``limits.xml_depth``, ``xml_elements`` and ``variable_name_characters``.
    """
    return read_propertyset(body, limits)[0]


def read_propertyset(body: bytes, limits: Limits) -> tuple[Pairs, tuple[str, ...]]:
    """:func:`parse_propertyset`, and the problems that were mended, in sentences."""
    plain = _parse_plain(body, limits)
    if plain is not None:
        return plain, ()
    (pairs, declared), problems = read_leniently(body, partial(_parse_with_expat, limits), limits)
    return pairs, problems if declared else (*problems, problem("xml-namespace"))


def _parse_with_expat(limits: Limits, body: bytes) -> tuple[Pairs, bool]:
    """The pairs of a propertyset in any form; and whether its namespaces are declared."""
    changes: list[tuple[str, str]] = []
    pieces: list[str] = []
    depth = count = 0
    inside = nested = False
    declared = True
    expected = ""  # the name of a property with the prefix of the root element
    most_elements = limits.xml_elements
    longest_name = limits.variable_name_characters

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count, inside, nested, declared, expected
        depth += 1
        count += 1
        if attributes:
            count += len(attributes)
        if count > most_elements:
            raise RemoteProtocolError("too many elements", status=400, clause=_CLAUSE)
        if depth == 3:
            pieces.clear()
            if len(name) > longest_name:
                raise RemoteProtocolError("a name is too long", status=400, clause=_CLAUSE)
        elif depth == 2:
            inside = name == "e:property" or local_name(name) == "property"
            if inside and name != expected:
                declared = declared and _declares(attributes, name.rpartition(":")[0])
        elif depth == 1:
            if local_name(name) != "propertyset":
                raise RemoteProtocolError("not a propertyset", status=400, clause=_CLAUSE)
            expected = f"{name[:-11]}property"
            declared = _declares(attributes, name[:-12])
        else:
            nested = nested or inside
            if depth > limits.xml_depth:
                raise RemoteProtocolError("nested too deeply", status=400, clause=_CLAUSE)

    def end(name: str) -> None:
        nonlocal depth
        if depth == 3 and inside:
            changes.append((local_name(name) if ":" in name else name, "".join(pieces)))
        depth -= 1

    parse_document(body, start, end, pieces.append)
    if nested:
        found = [
            (value.name, value.text)
            for value in read_nested_values(body, 3, limits)
            if local_name(value.parent_name) == "property"
        ]
        return tuple(found), declared
    return tuple(changes), declared


def _declares(attributes: Mapping[str, str], prefix: str) -> bool:
    return (f"xmlns:{prefix}" if prefix else "xmlns") in attributes


def _parse_plain(body: bytes, limits: Limits) -> Pairs | None:
    """The pairs of a propertyset in the plain form. None for any other body."""
    if len(body) > _PLAIN_BYTES or not body.isascii():
        return None
    text = body.decode("ascii")
    changes: list[tuple[str, str]] = []
    match = _PLAIN_FIRST.match(text)
    while match is not None:
        name, value, close = match.groups()
        changes.append((name, unescape_text(value) if "&" in value else value))
        if close is not None:
            # The root element and its declaration of the prefix count too.
            return tuple(changes) if 2 * len(changes) + 2 <= limits.xml_elements else None
        match = _PLAIN_NEXT.match(text, match.end())
    return None


class RepeatedBody:
    """A body in the plain form with one variable, whose text is left open. Made by :meth:`learn`.

    ``variable`` is its name. Everything around the text is as in a body that was read. So a body
    with the same bytes around a plain text is in the plain form too.
    """

    __slots__ = ("_after", "_around", "_before", "variable")

    def __init__(self, before: bytes, variable: str, after: bytes) -> None:
        self.variable = sys.intern(variable)
        self._before = before
        self._after = after
        self._around = len(before) + len(after)

    @classmethod
    def learn(cls, body: bytes, limits: Limits) -> RepeatedBody | None:
        """Make one from ``body``, which was read. None unless it is plain and has one variable."""
        if len(body) > _PLAIN_BYTES or not body.isascii() or limits.xml_elements < 4:
            return None
        match = _PLAIN_FIRST.match(body.decode("ascii"))
        if match is None or match[3] is None:
            return None
        return cls(body[: match.start(2)], match[1], body[match.end(2) :])

    def read(self, body: bytes) -> str | None:
        """The text of the variable. None if ``body`` differs in more than that."""
        size = len(body)
        if (
            not self._around <= size <= _PLAIN_BYTES
            or not body.startswith(self._before)
            or not body.endswith(self._after)
        ):
            return None
        text = body[len(self._before) : size - len(self._after)]
        if _PLAIN_VALUE.fullmatch(text) is None:
            return None
        if b"&" in text:
            return unescape_text(text.decode("ascii"))
        return text.decode("ascii")


def format_propertyset(changes: Iterable[tuple[str, str]]) -> bytes:
    """The propertyset of ``changes``, (variable, text) pairs, in UTF-8.

    Raises ValueError without a change, for a variable that occurs twice, for a name that is no XML
    name, and for a text with characters that XML 1.0 cannot carry.
    """
    changes = tuple(changes)
    names = set()
    for name, text in changes:
        check_variable_name(name)
        if name in names:
            raise ValueError(f"{name} stands twice in one propertyset ({_CLAUSE})")
        names.add(name)
        check_carried(text, name)
    if not names:
        raise ValueError(f"a propertyset holds at least one variable ({_CLAUSE})")
    return write_propertyset(changes)


def write_propertyset(changes: Iterable[tuple[str, str]]) -> bytes:
    """:func:`format_propertyset` for names and texts that have been checked."""
    parts = [_OPEN]
    for name, text in changes:
        if _ESCAPED.search(text) is not None:
            text = escape_text(text)
        parts.append(f"<e:property><{name}>{text}</{name}></e:property>\n")
    parts.append(_CLOSE)
    return "".join(parts).encode()


def check_variable_name(name: str, limits: Limits = DEFAULT_LIMITS) -> None:
    """Raises ValueError for a ``name`` that cannot be the name of a state variable: it is no XML
    name without a prefix (UDA 2.0 §4.3.2), or longer than ``limits.variable_name_characters``."""
    if len(name) > limits.variable_name_characters:
        most = limits.variable_name_characters
        raise ValueError(f"the name {name[:40]!r}... is longer than {most} characters")
    _check_xml_name(name)


# A LastChange is made of many elements with few names. It saves 3.0 of the 29 us that an assignment
# to a variable of LastChange takes without the socket.
@lru_cache(maxsize=1024)
def _check_xml_name(name: str) -> None:
    names: list[str] = []
    parser = pyexpat.ParserCreate()
    parser.StartElementHandler = lambda found, _: names.append(found)
    try:
        parser.Parse(f"<{name}/>", True)
    except (pyexpat.ExpatError, ValueError):
        names.clear()
    if names != [name] or ":" in name:
        raise ValueError(f"{name!r} cannot be the name of an XML element")
