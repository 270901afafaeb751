"""XML that comes from a peer: one expat parser with everything dangerous refused.

No document type declaration, hence no entities of one's own and nothing external; UTF-8, UTF-16
or a single-byte encoding; bounded depth and number of elements. Whatever expat fails on is a
:class:`RemoteProtocolError` with status 400.
"""

from __future__ import annotations

import pyexpat
import re
from collections.abc import Iterator
from typing import NoReturn

from propchange.errors import RemoteProtocolError

from .limits import Limits

__all__ = ["Element", "local_name", "malformed", "new_parser", "parse_document", "parse_tree"]

_ENCODING = re.compile(
    r"utf-?8|utf-?16(le|be)?|(us-)?ascii|iso-?8859-?\d{1,2}|latin-?1|(windows-|cp)125\d|koi8-[ru]",
    re.IGNORECASE,
)
_PADDING = b"\0 \t\r\n"


def malformed(message: str) -> RemoteProtocolError:
    """The error for a document that is answered 400."""
    return RemoteProtocolError(message, status=400, clause="UDA 2.0 §4.3.2")


def local_name(name: str) -> str:
    """``name`` without its namespace prefix: any prefix is as good as another (UDA 2.0 §2.7)."""
    return name.rpartition(":")[2] if ":" in name else name


def _refuse_doctype(*_: object) -> NoReturn:
    raise malformed("a document type declaration is not accepted")


def _judge_declaration(version: str, encoding: str | None, standalone: int) -> None:
    if encoding is not None and not _ENCODING.fullmatch(encoding):
        raise malformed(f"the encoding {encoding[:40]!r} is not accepted")


def new_parser() -> pyexpat.XMLParserType:
    """A guarded expat parser for one document. Set the other callbacks, then hand it to
    :func:`parse_document`."""
    parser = pyexpat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.XmlDeclHandler = _judge_declaration
    return parser


def parse_document(parser: pyexpat.XMLParserType, document: bytes) -> None:
    """Run a whole document through ``parser``; trailing NULs and white space around it do not
    count. Raises RemoteProtocolError with status 400."""
    if document[-1:] != b">" or document[:1] != b"<":
        document = _stripped(document)
    try:
        parser.Parse(document, True)
    except (pyexpat.ExpatError, ValueError, LookupError) as error:
        raise malformed(f"malformed XML: {error}") from None


def _stripped(document: bytes) -> bytes:
    if document[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in document[:2]:
        # Half of each character may be a NUL there.
        end = len(document) - len(document) % 2
        while end and document[end - 2 : end].strip(_PADDING) == b"":
            end -= 2
        return document[:end]
    return document.rstrip(_PADDING).lstrip(b" \t\r\n")


class Element:
    """One element of a parsed document.

    ``name`` is the local name, ``namespace`` the namespace's URI ("" for none, or for a prefix
    that nothing declares); ``attributes`` maps the names as written, without ``xmlns``; ``text``
    is the character data directly inside, without that of the children.
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
        """The first child of that local name."""
        for child in self.children:
            if child.name == name:
                return child
        return None

    def all(self, name: str) -> Iterator[Element]:
        """The children of that local name, in order."""
        return (child for child in self.children if child.name == name)


def parse_tree(document: bytes, limits: Limits) -> Element:
    """The root of a whole document. Raises RemoteProtocolError with status 400, also for more
    than ``limits.xml_depth`` levels or ``limits.xml_elements`` elements and attributes."""
    root: Element | None = None
    path: list[Element] = []
    scopes: list[dict[str, str]] = [{}]
    count = 0
    parser = new_parser()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal root, count
        count += 1 + len(attributes)
        if count > limits.xml_elements:
            raise malformed("too many elements")
        if len(path) >= limits.xml_depth:
            raise malformed("elements nested too deeply")
        scope = scopes[-1]
        if attributes:
            declared = {key[6:]: attributes.pop(key) for key in _declarations(attributes)}
            if declared:
                scope = scope | declared
        scopes.append(scope)
        prefix, _, local = name.rpartition(":")
        element = Element(local, scope.get(prefix, ""), attributes)
        if path:
            path[-1].children.append(element)
        else:
            root = element
        path.append(element)

    def end(name: str) -> None:
        path.pop()
        scopes.pop()

    def text(data: str) -> None:
        path[-1].text += data

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    parse_document(parser, document)
    assert root is not None  # expat refuses a document without a root
    return root


def _declarations(attributes: dict[str, str]) -> list[str]:
    return [key for key in attributes if key == "xmlns" or key.startswith("xmlns:")]
