"""Mends malformed XML of peers that has only one possible meaning.

Devices send documents that expat refuses: bytes of another encoding than the declared one, an
ampersand or a ``<`` that is not escaped, characters that XML cannot carry, something before or
behind the document.

:func:`read_leniently` first gives the document to expat unchanged. So a well-formed document is
never changed and costs nothing more. If expat refuses the document, :func:`mend` writes it anew,
and it is parsed once more with all guards of :mod:`.xml`: a document type declaration is refused
in any place, and so is a document that is too deep or has too many elements.

Each deviation is a row of :mod:`propchange.core.tolerance`. The rows that were applied are returned
as problems, one sentence each. A document with two possible meanings is refused. So is a document
that is cut off, because its rest is lost.

The cost is linear in the length of the document. Each search for the end of a tag, a comment or the
like either succeeds, and reading continues there, or it ends the mending.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from html.entities import name2codepoint
from typing import TypeVar

from propchange.core.limits import Limits
from propchange.core.tolerance import TOLERANCES, Role
from propchange.core.wire.xml import (
    DOCTYPE_REFUSED,
    ENCODINGS,
    FORBIDDEN,
    Element,
    MalformedXML,
    encoding_refused,
    escape_text,
    local_name,
    parse_tree,
)
from propchange.errors import RemoteProtocolError

T = TypeVar("T")

_SPACE = " \t\r\n"
_PADDING = "\0" + _SPACE
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_HEAD_BYTES = 512
"""Bytes at the beginning of a document that are searched for its encoding and declaration."""

_DECLARED = re.compile(rb"""encoding[ \t\r\n]*+=[ \t\r\n]*+["']?([^"'?]{0,64}+)""", re.IGNORECASE)
# Declared encodings that are read as UTF-8. UTF-16 is one of them, because a document that is
# really in UTF-16 is recognised before its declaration is read.
_AS_UTF_8 = re.compile(r"(utf-?8|utf-?16(le|be)?|(us-)?ascii)?")

_SPELT_OTHERWISE = re.compile("^(?:iso8859|(win)-?(?=125))")

# An ASCII letter, "_", ":" or a character from U+00A1 on that is no surrogate; "-", "." and digits
# may follow. Each class lists what is not in it: Python 3.11 takes 1 ms to compile a wide range.
_NAME = "[^\0-9;-@\\[-^`{-\xa0\ud800-\udfff][^\0-,/;-@\\[-^`{-\xa0\ud800-\udfff]*+"
_START_TAG = re.compile(f"<({_NAME})")
_END_TAG = re.compile(f"</({_NAME})([ \t\n]*+>)?")
_PADDED = re.compile("[\0 \t\n]*+")
_INSTRUCTION = re.compile(rf"<\?({_NAME})(?=[ \t\n?])")
_ATTRIBUTE = re.compile(
    rf"([ \t\n]*+)({_NAME})[ \t\n]*+=[ \t\n]*+"
    r"""(?:"([^"]*+)"|'([^']*+)'|([^ \t\n"'<>=`]++))"""
)
_TAG_END = re.compile(r"[ \t\n]*+(/?)>")
_REFERENCE = re.compile("&(?:#([0-9]++);|#([xX])([0-9A-Fa-f]++);|([A-Za-z][A-Za-z0-9]{1,31}+);)?")
_ENTITIES_OF_XML = frozenset({"amp", "lt", "gt", "quot", "apos"})
_ENTITIES_OF_HTML = {
    **{name: chr(code) for name, code in name2codepoint.items()},
    "AMP": "&",
    "LT": "<",
    "GT": ">",
    "QUOT": '"',
}
_HIGHEST = 0x10FFFF

# Bytes that are not UTF-8 are decoded to these characters first ("surrogateescape").
_RAW = re.compile("[\udc80-\udcff]+")
_BEYOND_ASCII = re.compile("[^\0-\x7f\udc80-\udcff]")
_RAW_PIECE = re.compile(
    rb"((?:\xed[\xa0-\xaf][\x80-\xbf]\xed[\xb0-\xbf][\x80-\xbf])++)"  # two surrogates
    rb"|(\xed[\xa0-\xbf][\x80-\xbf]|\xc0\x80)"  # half a character, or NUL
    rb"|([\xc2-\xf4][\x80-\xbf]{1,2}+)"  # a character that is cut off
    rb"|[\x80-\xbf\xc1\xf5-\xff]++|[\xc0\xc2-\xf4]"
)
_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def problem(name: str, role: Role = "subscriber") -> str:
    """The sentence for the deviation ``name`` of the table of tolerances, for the side that reads
    the document. Raises MalformedXML if the table does not accept the deviation."""
    row = TOLERANCES[role, name]
    if not row.accepted:
        raise MalformedXML(row.deviation)
    return f"{row.deviation}: {row.result}"


def read_leniently(
    document: bytes, read: Callable[[bytes], T], limits: Limits
) -> tuple[T, tuple[str, ...]]:
    """The result of ``read`` for ``document``, or for the mended document if ``read`` raises
    MalformedXML, and the problems that were mended.

    Raises MalformedXML if the document cannot be mended or is longer than ``limits.mended_bytes``.
    Other exceptions of ``read`` pass through.
    """
    try:
        return read(document), ()
    except MalformedXML as error:
        if len(document) > limits.mended_bytes:
            raise
        first = error
    try:
        mended, problems = mend(document)
        return read(mended), problems
    except MalformedXML as error:
        raise MalformedXML(f"{first.args[0]}; it cannot be mended: {error.args[0]}") from None


def read_tree(document: bytes, limits: Limits) -> tuple[Element, tuple[str, ...]]:
    """The root element of ``document``, and the problems that were mended. Raises as
    :func:`.parse_tree`."""
    undeclared: set[str] = set()
    root, problems = read_leniently(document, lambda it: parse_tree(it, limits, undeclared), limits)
    return root, (*problems, problem("xml-namespace")) if undeclared else problems


def mend(document: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The mended ``document``, in UTF-8 and without a declaration, and a problem for each kind of
    deviation.

    Use it for a document that is not well-formed. The result may still be malformed. Raises
    RemoteProtocolError with status 400 for a document type declaration and an encoding that is not
    accepted, and MalformedXML for a document that cannot be mended.
    """
    return _Mending().mend(document)


class _Mending:
    """The mending of one document."""

    def __init__(self) -> None:
        self._problems: dict[str, str] = {}
        self._parts: list[str] = []
        self._open: list[str] = []
        self._text = ""
        self._begin = 0  # where the first markup is
        self._root = ""
        self._latin = False  # whether no byte beyond ASCII is UTF-8

    def mend(self, document: bytes) -> tuple[bytes, tuple[str, ...]]:
        text = self._decode(document)
        self._text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip(_PADDING)
        self._read_document()
        if not self._problems:
            # Only the declaration is left out without a problem.
            self._note("xml-declaration")
        return "".join(self._parts).encode("utf-8"), tuple(self._problems.values())

    def _note(self, name: str) -> None:
        if name not in self._problems:
            self._problems[name] = problem(name)

    # --- the encoding ---

    def _decode(self, document: bytes) -> str:
        marked = ""
        for bom, codec in _BOMS:
            if document.startswith(bom):
                document, marked = document[len(bom) :], codec
                break
        wide = _wide_codec(document)
        if wide:
            return self._decode_wide(document, wide)
        if marked.startswith("utf-16"):
            self._note("xml-declaration")
            marked = ""
        declared = "" if marked else self._declared(document)
        if not _AS_UTF_8.fullmatch(declared):
            try:
                return document.decode(declared)
            except UnicodeDecodeError:
                self._note("xml-encoding")
                return document.decode(declared, "replace")
        text = document.decode("utf-8", "surrogateescape")
        self._latin = _BEYOND_ASCII.search(text) is None
        return text

    def _decode_wide(self, document: bytes, codec: str) -> str:
        if len(document) % 2:
            # The last byte is half a character: behind the root element, or in a document that is
            # cut off, which is refused later.
            self._note("xml-behind")
            document = document[:-1]
        try:
            return document.decode(codec)
        except UnicodeDecodeError:
            self._note("xml-character")
            return document.decode(codec, "replace")

    def _declared(self, document: bytes) -> str:
        """The name of the declared encoding in lower case, "" without one."""
        head = document[:_HEAD_BYTES]
        begin = head.find(b"<")
        # Without a declaration, an attribute of the root element may have such a name too.
        declaration = head[begin : head.find(b">", begin) + 1]
        found = _DECLARED.search(declaration) if declaration.startswith(b"<?") else None
        if found is None:
            return ""
        written = found[1].decode("latin-1").strip()
        name = written.lower().replace("_", "-").replace(" ", "-")
        name = _SPELT_OTHERWISE.sub(lambda found: "windows-" if found[1] else "iso-8859", name)
        if name and not _AS_UTF_8.fullmatch(name) and not ENCODINGS.fullmatch(name):
            raise RemoteProtocolError(encoding_refused(written), status=400)
        return name

    # --- the document ---

    def _read_document(self) -> None:
        text, parts = self._text, self._parts
        position = self._begin = text.find("<")
        if text[: max(position, 0)].strip(_SPACE):
            self._note("xml-before")
        while True:
            if position < 0:
                raise MalformedXML("the document is cut off, or is no XML")
            position = self._read_markup(position)
            if parts and not self._open:
                self._read_behind(position)
                return
            following = text.find("<", position)
            run = text[position : following if following >= 0 else len(text)]
            if self._open:
                run = self._mended(run)
                if "]]>" in run:
                    self._note("xml-less-than")
                parts.append(run.replace(">", "&gt;"))
            elif run.strip(_SPACE):
                self._note("xml-before")
            position = following

    def _read_markup(self, position: int) -> int:
        """Read the markup that begins with the ``<`` at ``position``. Returns the position behind
        it."""
        text = self._text
        kind = text[position + 1 : position + 2]
        if kind == "?":
            return self._skip_instruction(position)
        if text.startswith("<!--", position):
            return self._skip_comment(position)
        if text.startswith("<![CDATA[", position) and self._open:
            end = self._find("]]>", position + 9)
            self._parts.append(escape_text(self._carried(text[position + 9 : end])))
            return end + 3
        if kind == "!":
            self._refuse_declaration(position)
        elif kind == "/":
            found = _END_TAG.match(text, position)
            if found is None:  # to take it as text could hide the end of an element
                raise MalformedXML("an end tag has no name")
            self._close(found[1], whole=found[2] is not None)
            return found.end()
        elif (found := _START_TAG.match(text, position)) is not None:
            return self._read_start_tag(found)
        # It cannot be markup.
        if self._open:
            self._note("xml-less-than")
            self._parts.append("&lt;")
        else:
            self._note("xml-before")
        return position + 1

    def _find(self, end: str, position: int) -> int:
        found = self._text.find(end, position)
        if found < 0:
            raise MalformedXML(f"the document is cut off: there is no {end}")
        return found

    def _refuse_declaration(self, position: int) -> None:
        following = self._text[position + 2 : position + 3]
        if following.isalpha() or following == "[":
            raise RemoteProtocolError(DOCTYPE_REFUSED, status=400)

    def _skip_instruction(self, position: int) -> int:
        found = _INSTRUCTION.match(self._text, position)
        if found is not None and found[1].lower() == "xml":
            if position != self._begin:
                self._note("xml-declaration")
            # A declaration often ends without the question mark. It has no > inside.
            return self._find(">", position) + 1
        if found is None:
            self._note("xml-comment")
        return self._find("?>", position) + 2

    def _skip_comment(self, position: int) -> int:
        end = self._find("-->", position + 4)
        if "--" in self._text[position + 4 : end] or self._text[end - 1] == "-":
            self._note("xml-comment")
        return end + 3

    def _close(self, name: str, *, whole: bool) -> None:
        if not whole or not self._open:
            raise MalformedXML(f"the end tag of {name[:80]!r} is not well-formed or ends nothing")
        opened = self._open.pop()
        if name != opened:
            if local_name(name).lower() != local_name(opened).lower():
                raise MalformedXML(f"the end tag of {opened[:80]!r} is {name[:80]!r}")
            self._note("xml-end-tag")
        self._parts.append(f"</{opened}>")

    def _read_start_tag(self, found: re.Match[str]) -> int:
        name, position, text = found[1], found.end(), self._text
        attributes: dict[str, str] = {}
        while (end := _TAG_END.match(text, position)) is None:
            attribute = _ATTRIBUTE.match(text, position)
            if attribute is None:
                raise MalformedXML(f"the start tag of {name[:80]!r} is not well-formed")
            space, key, double, single, bare = attribute.groups()
            position = attribute.end()
            value = double if double is not None else single
            if not space or value is None:
                self._note("xml-attribute")
            if value is None:
                value = bare
                if value.endswith("/") and text.startswith(">", position):
                    value, position = value[:-1], position - 1
            value = self._mended(value).replace('"', "&quot;")
            if "<" in value:
                self._note("xml-less-than")
                value = value.replace("<", "&lt;")
            if key in attributes:
                # The namespace does not count.
                if value != attributes[key] and not key.startswith("xmlns"):
                    raise MalformedXML(f"{name[:80]!r} has two values of {key[:80]!r}")
                self._note("xml-attribute")
            else:
                attributes[key] = value
        inside = "".join(f' {key}="{value}"' for key, value in attributes.items())
        self._parts.append(f"<{name}{inside}{end[1]}>")
        if not end[1]:
            self._open.append(name)
        if len(self._parts) == 1:
            self._root = name
        return end.end()

    def _read_behind(self, position: int) -> None:
        """Skip everything behind the root element. A second document is refused."""
        text, root = self._text, local_name(self._root)
        while (position := _padding_end(text, position)) < len(text):
            if text.startswith("<!--", position):
                position = self._skip_comment(position)
            elif text.startswith("<?", position):
                position = self._skip_instruction(position)
            else:
                break
        begin = position
        while position < len(text):
            self._note("xml-behind")
            if text.startswith("<!", position):
                self._refuse_declaration(position)
            found = _START_TAG.match(text, position)
            # The rest of an older, longer document in the buffer of the device is no second
            # document.
            if found is not None and (position == begin or local_name(found[1]) == root):
                raise MalformedXML(f"a second document is behind the root element {root[:80]!r}")
            following = text.find("<", position + 1)
            position = following if following > 0 else len(text)

    # --- text ---

    def _mended(self, text: str) -> str:
        """``text`` with well-formed references and characters."""
        text = self._carried(text, whole=False)
        if "&" in text:
            text = _REFERENCE.sub(self._reference, text)
        return self._carried(text)

    def _reference(self, found: re.Match[str]) -> str:
        decimal, x, hexadecimal, name = found.groups()
        if name is not None:
            if name in _ENTITIES_OF_XML:
                return found[0]
            if name in _ENTITIES_OF_HTML:
                self._note("xml-html-entity")
                return escape_text(_ENTITIES_OF_HTML[name])
        digits = decimal or hexadecimal
        if digits is None:
            self._note("xml-ampersand")
            return f"&amp;{found[0][1:]}"
        digits = digits.lstrip("0") or "0"
        code = int(digits, 10 if decimal else 16) if len(digits) < 9 else _HIGHEST + 1
        if 0xD800 <= code < 0xE000:
            return chr(code)  # perhaps one half of a character
        if code > _HIGHEST or FORBIDDEN.match(chr(code)) is not None:
            self._note("xml-character")
            return "\ufffd"
        if x == "X":
            self._note("xml-html-entity")
            return f"&#x{digits};"
        return found[0]

    def _carried(self, text: str, *, whole: bool = True) -> str:
        """``text`` with characters that XML can carry. Unless ``whole``, only bytes that are not
        UTF-8 are decoded."""
        if FORBIDDEN.search(text) is None:
            return text
        text = _RAW.sub(self._decode_raw, text)
        if whole:
            text, pairs = _PAIR.subn(_combined, text)
            if pairs:
                self._note("xml-surrogates")
            text, forbidden = FORBIDDEN.subn("\ufffd", text)
            if forbidden:
                self._note("xml-character")
        return text

    def _decode_raw(self, found: re.Match[str]) -> str:
        raw = found[0].encode("ascii", "surrogateescape")
        if self._latin and b"\xed" not in raw and b"\xc0" not in raw:
            # No surrogate and no NUL of Java can be in these bytes. This shorter way takes a tenth
            # of the time for a long text.
            self._note("xml-encoding")
            return raw.decode("cp1252", "replace")
        return "".join(map(self._decode_piece, _RAW_PIECE.finditer(raw)))

    def _decode_piece(self, found: re.Match[bytes]) -> str:
        pair, half, cut_off = found.groups()
        if pair is not None:
            self._note("xml-surrogates")
            return _PAIR.sub(_combined, pair.decode("utf-8", "surrogatepass"))
        if half is not None:
            self._note("xml-character")
            return "\ufffd"
        self._note("xml-encoding")
        if cut_off is not None and not self._latin:
            return "\ufffd"
        return found[0].decode("cp1252", "replace")


def _combined(found: re.Match[str]) -> str:
    return found[0].encode("utf-16-le", "surrogatepass").decode("utf-16-le")


def _padding_end(text: str, position: int) -> int:
    found = _PADDED.match(text, position)
    return position if found is None else found.end()


def _wide_codec(document: bytes) -> str:
    """The codec of a document in UTF-16, recognised by the NULs of its ASCII markup; "" for any
    other document."""
    head = document[:_HEAD_BYTES].rstrip(b"\0")
    units = len(head) // 2
    low, high = head[: 2 * units : 2].count(0), head[1 : 2 * units : 2].count(0)
    if max(low, high) * 2 <= units or low == high:
        return ""
    return "utf-16-be" if low > high else "utf-16-le"
