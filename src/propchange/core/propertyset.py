"""The body of an event message, both ways (UDA 2.0 §4.3.2)."""

from __future__ import annotations

import pyexpat
import re
from collections.abc import Iterable
from functools import lru_cache

from .guarded_xml import local_name, malformed, new_parser, parse_document
from .limits import Limits

__all__ = ["check_variable_name", "format_propertyset", "parse_propertyset"]

_OPEN = '<?xml version="1.0"?>\n<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">\n'
_CLOSE = "</e:propertyset>\n"
_MARKUP = re.compile("[&<>\r]")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def parse_propertyset(body: bytes, limits: Limits) -> tuple[tuple[str, str], ...]:
    """The (variable, text) pairs of a propertyset in the order of the document.

    Read liberally: any prefix or namespace (UDA 2.0 §2.7), several variables in one property,
    elements that are not known ignored, a value that is XML itself given back as XML text. A
    variable that comes twice is in the result twice. Raises RemoteProtocolError with status 400.
    """
    changes: list[tuple[str, str]] = []
    pieces: list[str] = []
    depth = count = 0
    inside = nested = False
    most = limits.xml_elements
    parser = new_parser()

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, count, inside, nested
        depth += 1
        count += 1
        if depth == 3:
            pieces.clear()
        elif depth == 2:
            inside = local_name(name) == "property"
        elif depth == 1:
            if local_name(name) != "propertyset":
                raise malformed("the body is no propertyset")
        else:
            nested = nested or inside
            if depth > limits.xml_depth:
                raise malformed("elements nested too deeply")
        if count > most:
            raise malformed("too many elements")

    def end(name: str) -> None:
        nonlocal depth
        if depth == 3 and inside:
            changes.append((local_name(name), "".join(pieces)))
        depth -= 1

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = pieces.append
    parse_document(parser, body)
    return tuple(changes)


def format_propertyset(changes: Iterable[tuple[str, str]]) -> bytes:
    """The propertyset that carries ``changes``, (variable, text) pairs, in UTF-8.

    Raises ValueError for no change at all, a variable that comes twice, a name that is no XML
    name, or a text with characters that XML 1.0 cannot carry (UDA 2.0 §4.3.2).
    """
    parts = [_OPEN]
    names = set()
    for name, text in changes:
        check_variable_name(name)
        if name in names:
            raise ValueError(f"{name} stands twice in one propertyset")
        names.add(name)
        parts.append(f"<e:property><{name}>{_escaped(text)}</{name}></e:property>\n")
    if not names:
        raise ValueError("a propertyset carries at least one variable")
    parts.append(_CLOSE)
    return "".join(parts).encode()


def _escaped(text: str) -> str:
    unfit = _NOT_XML.search(text)
    if unfit:
        raise ValueError(f"XML 1.0 cannot carry the character {unfit[0]!r}")
    if _MARKUP.search(text):
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        # A bare carriage return would be read as a line feed.
        text = text.replace("\r", "&#13;")
    return text


@lru_cache(maxsize=1024)
def check_variable_name(name: str) -> None:
    """Raises ValueError when ``name`` cannot be the name of a state variable: it becomes the
    name of an XML element without a prefix."""
    names: list[str] = []
    parser = pyexpat.ParserCreate()
    parser.StartElementHandler = lambda found, _: names.append(found)
    try:
        parser.Parse(f"<{name}/>", True)
    except (pyexpat.ExpatError, UnicodeEncodeError):
        names.clear()
    if names != [name] or ":" in name:
        raise ValueError(f"{name!r} cannot be an XML element name")
