"""XML of peers: a guarded expat parser, and escaping.

The parser refuses a document type declaration, so there are no entities and no external parts. It
accepts UTF-8, UTF-16 and single-byte encodings. Depth and number of elements are bounded. Any
failure of expat becomes :class:`MalformedXML`, and :mod:`.mending` may then mend the document.
"""

from __future__ import annotations

import pyexpat
import re
from collections.abc import Callable, Iterator
from typing import NoReturn

from propchange.core.limits import Limits
from propchange.errors import RemoteProtocolError

ENCODINGS = re.compile(
    r"utf-?8|utf-16(le|be)?|(us-)?ascii|"
    r"iso-8859-([2-9]|1[013-6]?)|latin-?1|(windows-|cp)125[0-8]|koi8-[ru]",
    re.IGNORECASE,
)
"""The encodings that are accepted, by their names."""
# Devices use this spelling, which expat does not know.
_UTF_8_MISSPELT = re.compile(rb"""<\?xml[^>]{1,80}encoding=["']utf8["']""", re.IGNORECASE)
# From this size on, expat's buffer for text costs less than a call for each piece: 16 us less of
# 177 us for a LastChange of 2 kB.
_BUFFERED_BYTES = 512
_SPACE = b" \t\r\n"
_PADDING = b"\0" + _SPACE
# Python 3.11 takes 3 ms to compile this class if it lists the other characters.
FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
"""A character that XML 1.0 cannot carry, not even escaped."""

DOCTYPE_REFUSED = "a document type declaration is not accepted"

# XML reads a carriage return as a line feed, unless it is a reference.
_REFERENCES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\r", "&#13;"))
# In an attribute, XML reads white space as blanks, unless it is a reference.
_ATTRIBUTE_REFERENCES = (*_REFERENCES, ('"', "&quot;"), ("\n", "&#10;"), ("\t", "&#9;"))
# The ampersand is last: otherwise &amp;lt; is unescaped twice.
_NAMED_REFERENCES = (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&apos;", "'"), ("&amp;", "&"))


class MalformedXML(RemoteProtocolError):
    """A document that is not well-formed. :mod:`.mending` may mend it."""

    def __init__(self, message: str) -> None:
        super().__init__(message, status=400)


def escape_text(text: str) -> str:
    """``text``, escaped for the place between two tags."""
    return _replace(text, _REFERENCES)


def quote_attribute(value: str) -> str:
    """``value``, escaped for the double quotes of an attribute."""
    return _replace(value, _ATTRIBUTE_REFERENCES)


def unescape_text(text: str) -> str:
    """``text`` with its named references replaced by their characters, once."""
    return _replace(text, _NAMED_REFERENCES)


def _replace(text: str, pairs: tuple[tuple[str, str], ...]) -> str:
    for old, new in pairs:
        text = text.replace(old, new)
    return text


def check_carried(text: str, name: str) -> None:
    """Raises ValueError when ``text`` holds a character that XML 1.0 cannot carry. ``name`` is
    what the error calls the text."""
    found = FORBIDDEN.search(text)
    if found is not None:
        raise ValueError(f"{name} holds {found[0]!r}, which XML 1.0 cannot carry")


def local_name(name: str) -> str:
    """``name`` without its prefix, which has no meaning of its own (UDA 2.0 §2.7).

    Raises RemoteProtocolError with status 400 for a name that ends in a colon. expat reads it,
    but no local name is left (Namespaces in XML 1.0 §3).
    """
    local = name.rpartition(":")[2]
    if not local:
        raise RemoteProtocolError(f"the element {name[:40]!a} has no local name", status=400)
    return local


def parse_document(
    document: bytes,
    start: Callable[[str, dict[str, str]], object],
    end: Callable[[str], object],
    text: Callable[[str], object],
) -> None:
    """Parse a whole document with a guarded expat.

    ``start`` is called with the name, as written, and the attributes of each element, ``end`` with
    the name, ``text`` with each piece of character data. A BOM, white space around the document
    and NULs behind it are ignored. Exceptions of the three functions pass through. Raises
    MalformedXML for a document that expat refuses, and RemoteProtocolError with status 400 for a
    document type declaration.
    """
    if not document or document[-1] in _PADDING or document[0] in _SPACE:
        document = _stripped(document)
    misspelt = _UTF_8_MISSPELT.match(document)
    parser = pyexpat.ParserCreate("utf-8" if misspelt else None)
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parser.XmlDeclHandler = _judge_declaration
    if len(document) > _BUFFERED_BYTES:
        parser.buffer_text = True
    try:
        parser.Parse(document, True)
    except (pyexpat.ExpatError, ValueError) as error:
        raise MalformedXML(f"malformed XML: {error}") from None


def _stripped(document: bytes) -> bytes:
    """``document`` without white space and NULs around it; b"" if nothing is left."""
    if b"\0" in document[:2] or document[:2] in (b"\xff\xfe", b"\xfe\xff"):
        # UTF-16: the last other byte may be the first half of a character.
        end = len(document.rstrip(_PADDING))
        return document[: end + end % 2]
    return document.rstrip(_PADDING).lstrip(_SPACE)


def _refuse_doctype(*_: object) -> NoReturn:
    raise RemoteProtocolError(DOCTYPE_REFUSED, status=400)


def _judge_declaration(version: str, encoding: str | None, standalone: int) -> None:
    # Expat would look up any other name among the codecs of Python.
    if encoding is not None and not ENCODINGS.fullmatch(encoding):
        raise MalformedXML(encoding_refused(encoding))


def encoding_refused(encoding: str) -> str:
    """The sentence about a declared encoding that is not accepted."""
    return f"the encoding {encoding[:40]!r} is not accepted"


class Element:
    """One element of a parsed document.

    ``name`` is the local name. ``namespace`` is the URI of its namespace, "" without one and for an
    undeclared prefix. ``attributes`` maps names, as written, to values, without namespace
    declarations. ``text`` is the character data of the element itself, without that of its
    children.
    """

    __slots__ = ("attributes", "children", "name", "namespace", "text")

    def __init__(self, name: str, namespace: str, attributes: dict[str, str]) -> None:
        self.name = name
        self.namespace = namespace
        self.attributes = attributes
        self.children: list[Element] = []
        self.text = ""

    def __repr__(self) -> str:
        return f"<Element {self.name}>"

    def find(self, name: str) -> Element | None:
        """The first child with this local name. None without one."""
        return next(self.all(name), None)

    def all(self, name: str) -> Iterator[Element]:
        """The children with this local name, in order."""
        return (child for child in self.children if child.name == name)


def parse_tree(document: bytes, limits: Limits, undeclared: set[str] | None = None) -> Element:
    """The root element of a whole document. The prefixes without a declared namespace are added to
    ``undeclared``; "" if the root element has no prefix and no namespace.

    Raises RemoteProtocolError with status 400 as :func:`parse_document`, for more than
    ``limits.xml_depth`` levels, and for more than ``limits.xml_elements`` elements and attributes.
    """
    top = Element("", "", {})
    path = [top]
    texts: list[list[str]] = [[]]
    declared: list[dict[str, str]] = [{}]
    count = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1 + len(attributes)
        if count > limits.xml_elements:
            raise RemoteProtocolError("too many elements or attributes", status=400)
        if len(path) > limits.xml_depth:
            raise RemoteProtocolError("elements nested too deeply", status=400)
        declarations = {}
        for key in [key for key in attributes if key.startswith("xmlns")]:
            declarations[key[6:]] = attributes.pop(key)
        declared.append(declarations)
        local = local_name(name)
        prefix = name[: -len(local) - 1]
        # Search from the innermost element. A merged dict per element would be an attack: many
        # declarations copied for many elements.
        found = (names[prefix] for names in reversed(declared) if prefix in names)
        namespace = next(found, None)
        if namespace is None and undeclared is not None and (prefix or len(path) == 1):
            undeclared.add(prefix)
        element = Element(local, namespace or "", attributes)
        path[-1].children.append(element)
        path.append(element)
        texts.append([])

    def end(name: str) -> None:
        path.pop().text = "".join(texts.pop())
        declared.pop()

    def text(piece: str) -> None:
        texts[-1].append(piece)

    parse_document(document, start, end, text)
    return top.children[0]
