"""XML that comes from a peer."""

from __future__ import annotations

import codecs
import re
import sys
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire.xml import (
    FORBIDDEN,
    Element,
    check_carried,
    escape_text,
    local_name,
    parse_document,
    parse_tree,
    quote_attribute,
    unescape_text,
)
from propchange.errors import RemoteProtocolError


def tree(document: bytes | str, limits: Limits = DEFAULT_LIMITS) -> Element:
    return parse_tree(document.encode() if isinstance(document, str) else document, limits)


def shape(element: Element) -> tuple[object, ...]:
    return (
        element.name,
        element.namespace,
        element.attributes,
        element.text,
        [shape(child) for child in element.children],
    )


def refusal(document: bytes | str, limits: Limits = DEFAULT_LIMITS) -> str:
    """The sentence of a refusal, whose status is always 400."""
    with pytest.raises(RemoteProtocolError) as caught:
        tree(document, limits)
    assert caught.value.status == 400
    return str(caught.value)


def status(document: bytes) -> int | None:
    try:
        tree(document)
    except RemoteProtocolError as error:
        return error.status
    return None


# --- the tree ----------------------------------------------------------------------------


def test_a_tree_has_names_attributes_and_text() -> None:
    root = tree('<a x="1" y="&lt;2">one<b/>two<c>three</c> four</a>')
    assert shape(root) == (
        "a",
        "",
        {"x": "1", "y": "<2"},
        "onetwo four",
        [("b", "", {}, "", []), ("c", "", {}, "three", [])],
    )
    assert repr(root) == "<Element a>"


def test_children_are_found_by_local_name() -> None:
    root = tree('<a xmlns:p="urn:p"><b>1</b><p:c>2</p:c><p:b>3</p:b></a>')
    assert [child.text for child in root.all("b")] == ["1", "3"]
    found = root.find("b")
    assert found is not None
    assert found.text == "1"
    assert root.find("d") is None


def test_namespaces_are_resolved_from_the_inside_out() -> None:
    root = tree(
        '<a xmlns="urn:1" xmlns:p="urn:2" p:z="9"><b/><p:c/><q:d/>'
        '<e xmlns="urn:3" xmlns:p="urn:4"><f/><p:g/></e><h xmlns=""/><i/></a>'
    )
    namespaces = {}

    def collect(element: Element) -> None:
        namespaces[element.name] = element.namespace
        for child in element.children:
            collect(child)

    collect(root)
    assert namespaces == {
        "a": "urn:1",
        "b": "urn:1",
        "c": "urn:2",
        "d": "",  # nothing declares the prefix; the document is used all the same
        "e": "urn:3",
        "f": "urn:3",
        "g": "urn:4",
        "h": "",
        "i": "urn:1",
    }
    assert root.attributes == {"p:z": "9"}


def test_cdata_comments_and_processing_instructions_leave_the_text_whole() -> None:
    root = tree("<a>one <!-- <b/> --><![CDATA[<two> & ]]><?pi data?>three&#x21;</a>")
    assert root.text == "one <two> & three!"


@pytest.mark.clause("XML-07")
def test_any_prefix_is_as_good_as_another() -> None:
    assert local_name("e:propertyset") == local_name("propertyset") == "propertyset"


# --- around the document -----------------------------------------------------------------


@pytest.mark.clause("XML-10")
@pytest.mark.parametrize("before", [b"", b"\n", b" \r\n\t", codecs.BOM_UTF8])
@pytest.mark.parametrize(
    "declaration", [b"", b'<?xml version="1.0"?>', b"<?xml version='1.0' ?>\n"]
)
@pytest.mark.parametrize("after", [b"", b"\0", b"\r\n", b"\n\0", b"\0\0 \n\0\0", b"<!-- x -->\0"])
def test_what_stands_around_a_document_does_not_count(
    before: bytes, declaration: bytes, after: bytes
) -> None:
    assert tree(before + declaration + b"<a>x</a>" + after).text == "x"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"\0",
        b" \r\n",
        b"\0\0\0",
        codecs.BOM_UTF8,
        codecs.BOM_UTF16_LE,
        codecs.BOM_UTF16_BE + b"\0",
        b"text",
        b"<a>",
        b"<a></b>",
        b"<a/><b/>",
        b"<a/>text",
        b"\0<a/>",
        b"<a>\0</a>",
        b"<a b='1' b='2'/>",
        b"<a b=1/>",
        b"<a>&unknown;</a>",
        b"<a>&#0;</a>",
        b"<a>&#xD800;</a>",
        b"<a>\x01</a>",
        b"<a>\xef\xbf\xbf</a>",
        b"<a>]]></a>",
        b"<a><!-- -- --></a>",
        b"<1/>",
        b"{}",
        b"<!-- only -->",
        b"<?xml version='1.0'?>",
        b"<a/><?xml version='1.0'?>",
    ],
)
def test_what_is_not_well_formed_is_400(document: bytes) -> None:
    assert refusal(document)


@given(st.binary(max_size=40) | st.text("<>/a&;#x[]!?-'\"= ", max_size=40).map(str.encode))
def test_any_bytes_are_a_document_or_400(document: bytes) -> None:
    assert status(document) in (None, 400)


# --- encodings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "codec", "text"),
    [
        ("utf-8", "utf-8", "grün 🎵"),
        ("UTF-8", "utf-8", "grün 🎵"),
        ("utf8", "utf-8", "grün 🎵"),
        ("UTF8", "utf-8", "grün 🎵"),
        ("us-ascii", "ascii", "green"),
        ("ascii", "ascii", "green"),
        ("iso-8859-1", "latin-1", "grün"),
        ("ISO-8859-15", "iso-8859-15", "5 €"),
        ("latin1", "latin-1", "grün"),
        ("windows-1252", "cp1252", "5 €"),
        ("cp1251", "cp1251", "привет"),
        ("koi8-r", "koi8-r", "привет"),
    ],
)
def test_single_byte_encodings_and_utf_8_are_read(declared: str, codec: str, text: str) -> None:
    document = f'<?xml version="1.0" encoding="{declared}"?><a>{text}</a>'
    assert tree(document.encode(codec) + b"\n\0").text == text


@pytest.mark.parametrize("bom", [True, False])
@pytest.mark.parametrize("declared", ["", '<?xml version="1.0" encoding="utf-16"?>'])
@pytest.mark.parametrize("order", ["le", "be"])
@pytest.mark.parametrize("after", ["", "\0", "\n", " \r\n\0\0"])
def test_utf_16_is_read_with_and_without_a_bom(
    order: str, declared: str, after: str, *, bom: bool
) -> None:
    if not bom and not declared:
        # Nothing says then what the document is; half of its bytes do.
        after = ""
    document = ("\ufeff" if bom else "") + declared + "<a>grün 🎵</a>" + after
    assert tree(document.encode("utf-16-" + order)).text == "grün 🎵"


def test_utf_16_with_half_a_character_is_400() -> None:
    document = "<a>x</a>".encode("utf-16")
    assert refusal(document[:-1])
    assert refusal(document + b"x")
    assert refusal("<a>\ud800</a>".encode("utf-16", "surrogatepass"))
    assert refusal("<a>\udc00</a>".encode("utf-16-be", "surrogatepass"))


@pytest.mark.parametrize(
    "encoding",
    [
        "utf-7",
        "utf-32",
        "UTF-32LE",
        "ucs-4",
        "shift_jis",
        "gb2312",
        "big5",
        "euc-jp",
        "iso-2022-jp",
        "idna",
        "punycode",
        "unicode_escape",
        "raw_unicode_escape",
        "rot13",
        "zip",
        "cp037",
        "x-unknown",
        "utf8mb4",
        "iso-8859-12",
        "iso-8859-17",
        "cp1259",
    ],
)
def test_another_encoding_is_400_whatever_python_knows(encoding: str) -> None:
    document = f'<?xml version="1.0" encoding="{encoding}"?><a>x</a>'
    assert "encoding" in refusal(document)


def test_utf_32_and_utf_7_are_400() -> None:
    assert refusal("<a>x</a>".encode("utf-32"))
    assert refusal("<a>x</a>".encode("utf-32-be"))
    assert refusal("<a>x</a>".encode("utf-32-le"))
    assert tree("<a>+ADw-b/+AD4-</a>").text == "+ADw-b/+AD4-"


@pytest.mark.parametrize(
    "document",
    [
        b'<?xml version="1.0" encoding="utf-8"?><a>\xfc</a>',
        b"<a>\xc0\xbc</a>",
        b"<a>\xed\xa0\x80</a>",
        b'<?xml version="1.0" encoding="us-ascii"?><a>\xfc</a>',
        b'<?xml version="1.0" encoding="utf-16"?><a>x</a>',
        b'<?xml version="1.0" encoding="windows-1253"?><a>\xff</a>',
        '<?xml version="1.0" encoding="utf-8"?><a>x</a>'.encode("utf-16"),
    ],
)
def test_a_declaration_that_lies_is_400(document: bytes) -> None:
    assert refusal(document)


# --- bombs -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "document",
    [
        '<!DOCTYPE a [<!ENTITY b "b">]><a>&b;</a>',
        '<!DOCTYPE a [<!ENTITY % b SYSTEM "http://192.0.2.9/">%b;]><a/>',
        '<!DOCTYPE a SYSTEM "http://192.0.2.9/a.dtd"><a/>',
        '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "<!DOCTYPE a><a/>",
        '<?xml version="1.0" standalone="yes"?><!DOCTYPE a [<!ATTLIST a b CDATA "c">]><a/>',
        '<!DOCTYPE a [<!ENTITY b "'
        + "x" * 100
        + '"><!ENTITY c "'
        + "&b;" * 100
        + '"><!ENTITY d "'
        + "&c;" * 100
        + '">]><a>&d;</a>',
    ],
)
def test_a_document_type_declaration_is_400(document: str) -> None:
    assert "document type" in refusal(document)
    assert "document type" in refusal(document.encode("utf-16"))


def test_depth_is_bounded() -> None:
    limits = replace(DEFAULT_LIMITS, xml_depth=5)
    assert tree("<a>" * 5 + "</a>" * 5, limits).name == "a"
    assert "deep" in refusal("<a>" * 6 + "</a>" * 6, limits)
    assert "deep" in refusal("<a>" * 200_000)


def test_elements_and_attributes_are_bounded_together() -> None:
    limits = replace(DEFAULT_LIMITS, xml_elements=10)
    assert len(tree("<a>" + "<b/>" * 9 + "</a>", limits).children) == 9
    assert "too many" in refusal("<a>" + "<b/>" * 10 + "</a>", limits)
    nine = " ".join(f'b{number}=""' for number in range(9))
    assert len(tree(f"<a {nine}/>", limits).attributes) == 9
    assert "too many" in refusal(f'<a {nine} c=""/>', limits)
    assert "too many" in refusal(f'<a {nine} xmlns:p=""/>', limits)


@pytest.mark.timeout(20)
def test_no_document_within_the_limits_takes_more_than_its_share_of_time() -> None:
    room = DEFAULT_LIMITS.body_bytes
    scattered = "<a>" + "x" * (room - 200_000) + "<b/>x" * 19_000 + "</a>"
    assert len(tree(scattered).children) == 19_000
    names = " ".join(f'xmlns:p{number}="u"' for number in range(9_000))
    declaring = f"<a {names}>" + '<b xmlns:q="u"/>' * 5_000 + "</a>"
    assert len(tree(declaring).children) == 5_000
    entities = "<a>" + "&lt;" * 250_000 + "</a>"
    assert tree(entities).text == "<" * 250_000


# --- one document, three callbacks -------------------------------------------------------


def test_a_document_is_told_in_order() -> None:
    told: list[object] = []
    parse_document(
        b'<p:a b="1">x<c/></p:a>',
        lambda name, attributes: told.append((name, attributes)),
        told.append,
        told.append,
    )
    assert told == [("p:a", {"b": "1"}), "x", ("c", {}), "c", "p:a"]


def test_what_a_callback_raises_comes_through() -> None:
    def start(name: str, attributes: dict[str, str]) -> None:
        raise KeyError(name)

    with pytest.raises(KeyError, match="a"):
        parse_document(b"<a><b/></a>", start, len, len)


def test_long_text_comes_in_few_pieces() -> None:
    pieces: list[str] = []
    parse_document(
        b"<a>" + b"&lt;b&gt;\n" * 100 + b"</a>", lambda *_: None, lambda _: None, pieces.append
    )
    assert "".join(pieces) == "<b>\n" * 100
    assert len(pieces) == 1


@pytest.mark.parametrize("text", ["", "a\t\n\r ~\x7f\x85\ud7ff\ue000\ufffd\U00010000\U0010ffff"])
def test_what_xml_can_carry(text: str) -> None:
    check_carried(text, "it")


@pytest.mark.parametrize("character", ["\0", "\x08", "\x0b", "\x1f", "\ud800", "\ufffe", "\uffff"])
def test_what_xml_cannot_carry(character: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"it holds {character!r}, which")):
        check_carried(f"a{character}\0", "it")


def test_a_character_is_refused_exactly_if_xml_has_no_such_character() -> None:
    def is_char(code: int) -> bool:  # the production Char of XML 1.0 §2.2
        return (
            code in (0x9, 0xA, 0xD)
            or 0x20 <= code <= 0xD7FF
            or 0xE000 <= code <= 0xFFFD
            or code >= 0x10000
        )

    every = range(sys.maxunicode + 1)
    found = FORBIDDEN.findall("".join(map(chr, every)))
    assert found == [chr(code) for code in every if not is_char(code)]


SPECIAL = "a & b < c > d \" e ' f \t g \n h \r i &lt; &amp;quot;"


@given(st.text("<>&\"'\t\n\r abc;#&ltgquoam13"))
@example(SPECIAL)
def test_text_and_attributes_are_read_as_they_were_before_they_were_escaped(text: str) -> None:
    document = f'<a b="{quote_attribute(text)}">{escape_text(text)}</a>'
    root = parse_tree(document.encode(), DEFAULT_LIMITS)
    assert (root.attributes["b"], root.text) == (text, text)


@given(st.text("<>&\"' abc;#&ltgquoam13"))
@example(SPECIAL)
def test_named_references_are_replaced_once(text: str) -> None:
    assert unescape_text(escape_text(text.replace("\r", ""))) == text.replace("\r", "")
    assert unescape_text("&quot;&apos;&amp;lt;") == "\"'&lt;"
