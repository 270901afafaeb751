"""Malformed XML of peers is mended if it has only one possible meaning, and else refused."""

from __future__ import annotations

import pyexpat
from collections.abc import Callable
from types import MappingProxyType
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core import tolerance
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.tolerance import TOLERANCES
from propchange.core.values.lastchange import parse_lastchange
from propchange.core.wire import mending
from propchange.core.wire.mending import mend, problem, read_tree
from propchange.core.wire.propertyset import parse_propertyset, read_propertyset
from propchange.core.wire.xml import Element, MalformedXML, parse_tree
from propchange.errors import RemoteProtocolError
from tests.work import seconds

T = TypeVar("T")

DECLARED = b'<?xml version="1.0" encoding="utf-8"?>'


def shape(element: Element) -> tuple[object, ...]:
    return (element.name, element.attributes, element.text, list(map(shape, element.children)))


def read(document: bytes | str) -> tuple[object, ...]:
    """What is read of ``document``, as well-formed XML."""
    data = document if isinstance(document, bytes) else document.encode()
    return shape(read_tree(data, DEFAULT_LIMITS)[0])


def names(document: bytes | str) -> set[str]:
    """The rows of the table that were applied to ``document``, apart from the namespace."""
    data = document if isinstance(document, bytes) else document.encode()
    rows = {problem(name): name for role, name in TOLERANCES if name.startswith("xml-")}
    return {rows[each] for each in read_tree(data, DEFAULT_LIMITS)[1]} - {"xml-namespace"}


def refusal(document: bytes | str) -> str:
    data = document if isinstance(document, bytes) else document.encode()
    with pytest.raises(RemoteProtocolError) as caught:
        read_tree(data, DEFAULT_LIMITS)
    assert caught.value.status == 400
    return str(caught.value)


def outcome_of(call: Callable[[], T]) -> T | None:
    """The result of ``call``; None if it refuses its bytes with 400."""
    try:
        return call()
    except RemoteProtocolError as error:
        if error.status != 400:
            raise
        return None


# --- what is mended: a document, what it is read as, the rows that were applied ---------------

MENDED: dict[str, tuple[bytes | str, str, set[str]]] = {
    # Bytes.
    "a byte of Latin-1": (DECLARED + b"<a>Caf\xe9</a>", "<a>Café</a>", {"xml-encoding"}),
    "a byte of Latin-1 without a declaration": (b"<a>Caf\xe9</a>", "<a>Café</a>", {"xml-encoding"}),
    "a byte of Latin-1 in an attribute": (b"<a b='\xe9'/>", "<a b='é'/>", {"xml-encoding"}),
    "a byte of Latin-1 in CDATA": (
        b"<a><![CDATA[<\xe9>]]></a>", "<a>&lt;é></a>", {"xml-encoding"}),
    "quotes of windows-1252": (
        b"<a>\x93x\x94 \x80</a>", "<a>\u201cx\u201d \u20ac</a>", {"xml-encoding"}),
    "a byte that windows-1252 has not": (b"<a>\x81</a>", "<a>\ufffd</a>", {"xml-encoding"}),
    "two bytes of Latin-1 that begin like UTF-8": (
        b"<a>\xc3\xa9</a>".replace(b"\xa9", b"\xa9\xe9\x80"), "<a>é\ufffd</a>", {"xml-encoding"}),
    "Latin-1 throughout": (b"<a>\xe9\x92 \xe9</a>", "<a>é\u2019 é</a>", {"xml-encoding"}),
    "Latin-1 with letters that begin surrogates and NULs": (
        b"<a>\xed\xc0 \xed\xe9</a>", "<a>\xed\xc0 \xed\xe9</a>", {"xml-encoding"}),
    "a title cut in the middle of a character": (
        "<a>ü €</a>".encode().replace(b"\xac<", b"<"), "<a>ü \ufffd</a>", {"xml-encoding"}),
    "declared ASCII": (
        '<?xml version="1.0" encoding="us-ascii"?><a>ü</a>', "<a>ü</a>", {"xml-declaration"}),
    "a byte that the declared encoding has not": (
        b'<?xml version="1.0" encoding="windows-1253"?><a>\xe1\xff</a>', "<a>\u03b1\ufffd</a>",
        {"xml-encoding"}),
    "declared Latin-1 with an ampersand": (
        b'<?xml version="1.0" encoding="ISO-8859-1"?><a>\xe9 & x</a>', "<a>é &amp; x</a>",
        {"xml-ampersand"}),
    "declared UTF-16": (
        '<?xml version="1.0" encoding="utf-16"?><a>ü</a>', "<a>ü</a>", {"xml-declaration"}),
    "declared UTF-8 in UTF-16": (
        '<?xml version="1.0" encoding="utf-8"?><a>ü</a>'.encode("utf-16"), "<a>ü</a>",
        {"xml-declaration"}),
    "the byte order mark of UTF-16 before UTF-8": (
        b"\xff\xfe" + DECLARED + b"<a>x</a>", "<a>x</a>", {"xml-declaration"}),
    "the other byte order mark": (
        b"\xfe\xff" + "<a>xx</a>".encode("utf-16-le"), "<a>xx</a>", {"xml-declaration"}),
    "two byte order marks": (b"\xef\xbb\xbf" * 2 + b"<a>x</a>", "<a>x</a>", {"xml-before"}),
    "half a character behind UTF-16": (
        "<a>x</a>".encode("utf-16") + b"x", "<a>x</a>", {"xml-behind"}),
    "half a character of UTF-16": (
        "<a>\ud800</a>".encode("utf-16-be", "surrogatepass"), "<a>\ufffd</a>",
        {"xml-character"}),
    "an encoding with another spelling": (
        '<?xml version="1.0" encoding="utf_8"?><a>ü</a>', "<a>ü</a>", {"xml-declaration"}),
    "an encoding with a blank": (
        '<?xml version="1.0" encoding=" UTF 8 "?><a>ü</a>', "<a>ü</a>", {"xml-declaration"}),
    "another spelling of Latin-1": (
        b'<?xml version="1.0" encoding="ISO8859-1"?><a>\xe9</a>', "<a>é</a>", {"xml-declaration"}),
    "another spelling of windows-1252": (
        b'<?xml version="1.0" encoding="win-1252"?><a>\x80</a>', "<a>€</a>", {"xml-declaration"}),
    "an attribute that is named like a declaration": (
        "<a encoding='iso-8859-1'>ü & ö</a>", "<a encoding='iso-8859-1'>ü &amp; ö</a>",
        {"xml-ampersand"}),
    "an empty encoding": (
        '<?xml version="1.0" encoding=""?><a>ü</a>', "<a>ü</a>", {"xml-declaration"}),
    # The declaration.
    "a declaration in upper case": (
        '<?XML VERSION="1.0" ENCODING="UTF-8"?><a>x</a>', "<a>x</a>", {"xml-declaration"}),
    "a declaration without quotes": (
        "<?xml version=1.0 encoding=utf-8?><a>x</a>", "<a>x</a>", {"xml-declaration"}),
    "a declaration that does not end": (
        '<?xml version="1.0"><a>x</a>', "<a>x</a>", {"xml-declaration"}),
    "two declarations": (DECLARED * 2 + b"<a>x</a>", "<a>x</a>", {"xml-declaration"}),
    "a declaration inside": ('<a><?xml version="1.0"?>x</a>', "<a>x</a>", {"xml-declaration"}),
    # Before and behind.
    "the size of a chunk before": (b"1f3\r\n" + DECLARED + b"<a>x</a>", "<a>x</a>", {"xml-before"}),
    "NULs before": (b"\0\0<a>x</a>", "<a>x</a>", {"xml-before"}),
    "text between the declaration and the root": (
        DECLARED + b"x < y <a>x</a>", "<a>x</a>", {"xml-before"}),
    "bytes behind": (b"<a>x</a>\n\x9c\xe4\x60\x28", "<a>x</a>", {"xml-behind"}),
    "text behind a comment": ("<a>x</a><!-- - --> x", "<a>x</a>", {"xml-behind"}),
    "the rest of a longer document": (
        "<a><b>1</b></a>b>x <c></c></a>", "<a><b>1</b></a>", {"xml-behind"}),
    "an end tag behind": ("<a>x</a></a>", "<a>x</a>", {"xml-behind"}),
    "a < behind": ("<a>x</a> < ", "<a>x</a>", {"xml-behind"}),
    "a declaration behind": (b"<a>x</a>" + DECLARED, "<a>x</a>", {"xml-declaration"}),
    # Characters that are not escaped.
    "an ampersand": ("<a>R&N &amp; B & C&Dd; &</a>", "<a>R&amp;N &amp; B &amp; C&amp;Dd; &amp;</a>",
        {"xml-ampersand"}),
    "an ampersand in an attribute": (
        """<a b='x?a=1&b="2"'/>""", '<a b="x?a=1&amp;b=&quot;2&quot;"/>', {"xml-ampersand"}),
    "references that are none": ("<a>&#; &#x; &#xG; &a b;</a>",
        "<a>&amp;#; &amp;#x; &amp;#xG; &amp;a b;</a>", {"xml-ampersand"}),
    "a reference without a semicolon": ("<a>&amp &lt</a>", "<a>&amp;amp &amp;lt</a>",
        {"xml-ampersand"}),
    "entities of HTML": ("<a>&nbsp;&eacute;&hearts;&LT;&AMP;&#X41;</a>", "<a>\xa0é♥&lt;&amp;A</a>",
        {"xml-html-entity"}),
    "a < in text": ("<a>1 < 2 <3 <- << <!- <=</a>",
        "<a>1 &lt; 2 &lt;3 &lt;- &lt;&lt; &lt;!- &lt;=</a>", {"xml-less-than"}),
    "a < in an attribute": ("<a b='<c>&lt;'/>", "<a b='&lt;c>&lt;'/>", {"xml-less-than"}),
    "the end of a section in text": ("<a>x]]>y</a>", "<a>x]]&gt;y</a>", {"xml-less-than"}),
    # Characters that XML cannot carry.
    "control characters": (
        "<a b='\x01'>\x02\x1f\ufffe\uffff</a>", "<a b='\ufffd'>" + "\ufffd" * 4 + "</a>",
        {"xml-character"}),
    "NUL inside": (b"<a>x\0y</a>", "<a>x\ufffdy</a>", {"xml-character"}),
    "references to characters that are none": (
        "<a>&#0;&#x1F;&#xFFFE;&#x110000;&#9999999999999;&#xD800;&#0065;</a>",
        "<a>" + "\ufffd" * 6 + "A</a>", {"xml-character"}),
    "half a character in UTF-8": (b"<a>\xed\xa0\x80</a>", "<a>\ufffd</a>", {"xml-character"}),
    "NUL of Java": (b"<a>\xc0\x80</a>", "<a>\ufffd</a>", {"xml-character"}),
    "surrogates in UTF-8": (
        b"<a>\xed\xa0\xbc\xed\xbe\xb5</a>", "<a>\U0001f3b5</a>", {"xml-surrogates"}),
    "surrogates in references": (
        "<a b='&#xD83C;&#xDFB5;'>&#55356;&#57269;</a>", "<a b='\U0001f3b5'>\U0001f3b5</a>",
        {"xml-surrogates"}),
    # Tags.
    "an attribute twice": ('<a b="1" b="1"/>', '<a b="1"/>', {"xml-attribute"}),
    "a namespace twice": ('<a xmlns="u" xmlns="v"/>', '<a xmlns="u"/>', {"xml-attribute"}),
    "attributes without quotes": ("<a b=1 c=/x/y><d e=2/></a>", '<a b="1" c="/x/y"><d e="2"/></a>',
        {"xml-attribute"}),
    "attributes without white space": (
        """<a b="1"c='2'/>""", '<a b="1" c="2"/>', {"xml-attribute"}),
    "an end tag in another case": ("<friendlyName>x</friendlyname>",
        "<friendlyName>x</friendlyName>", {"xml-end-tag"}),
    "an end tag with another prefix": (
        "<e:a xmlns:e='u'><e:b>x</b></a>", "<e:a xmlns:e='u'><e:b>x</e:b></e:a>",
        {"xml-end-tag"}),
    "a comment with hyphens": ("<a><!-- x -- y --->x</a>", "<a>x</a>", {"xml-comment"}),
    "an instruction without a name": ("<a><? x ?>x<?y?></a>", "<a>x</a>", {"xml-comment"}),
    # Several at once.
    "many": (
        b"x" + DECLARED + b"<a b='1'c=\"&\"><?p?>\r\n\xe9<<![CDATA[&\r]]></A>\x01",
        "<a b='1' c='&amp;'>\né&lt;&amp;\n</a>",
        {"xml-before", "xml-attribute", "xml-ampersand", "xml-encoding", "xml-less-than",
         "xml-end-tag", "xml-behind"}),
}  # fmt: skip


@pytest.mark.parametrize("name", MENDED)
def test_a_document_with_one_meaning_is_read_and_its_problems_are_named(name: str) -> None:
    document, meant, rows = MENDED[name]
    data = document if isinstance(document, bytes) else document.encode("utf-8", "surrogatepass")
    with pytest.raises(MalformedXML):
        parse_tree(data, DEFAULT_LIMITS)
    assert read(data) == shape(parse_tree(meant.encode(), DEFAULT_LIMITS))
    assert names(data) == rows


@pytest.mark.parametrize("name", MENDED)
def test_a_mended_document_is_well_formed_and_mended_no_further(name: str) -> None:
    document, _, _ = MENDED[name]
    data = document if isinstance(document, bytes) else document.encode("utf-8", "surrogatepass")
    mended, problems = mend(data)
    assert problems
    parse_tree(mended, DEFAULT_LIMITS)
    assert read_tree(mended, DEFAULT_LIMITS)[1] in ((), (problem("xml-namespace"),))


def test_each_row_of_the_table_has_a_document_here() -> None:
    rows = {name for _, name in TOLERANCES if name.startswith("xml-")}
    assert set.union(*(applied for _, _, applied in MENDED.values())) == rows - {"xml-namespace"}


# --- namespaces --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "declared"),
    [
        ("<a xmlns='u'><b/></a>", True),
        ("<e:a xmlns:e='u'><b/></e:a>", True),
        ("<a xmlns=''/>", True),
        ("<a/>", False),
        ("<e:a/>", False),
        ("<a xmlns='u'><r:b/></a>", False),
    ],
)
def test_a_namespace_that_is_missing_is_a_problem(document: str, declared: bool) -> None:
    assert read_tree(document.encode(), DEFAULT_LIMITS)[1] == (
        () if declared else (problem("xml-namespace"),)
    )


@pytest.mark.parametrize(
    ("body", "declared"),
    [
        ("<propertyset xmlns='u'><property><V>ü</V></property></propertyset>", True),
        ("<e:propertyset xmlns:e='u'><e:property><V>ü</V></e:property></e:propertyset>", True),
        ("<a:propertyset xmlns:a='u'><b:property xmlns:b='v'><V>ü</V></b:property></a:propertyset>",
         True),
        ("<propertyset><property><V>ü</V></property></propertyset>", False),
        ("<e:propertyset><e:property><V>ü</V></e:property></e:propertyset>", False),
        ("<propertyset xmlns='u'><e:property><V>ü</V></e:property></propertyset>", False),
        ("<propertyset xmlns:e='u'><property><V>ü</V></property></propertyset>", False),
    ],
)  # fmt: skip
def test_a_propertyset_without_its_namespace_is_read(body: str, declared: bool) -> None:
    pairs, problems = read_propertyset(body.encode(), DEFAULT_LIMITS)
    assert pairs == (("V", "ü"),)
    assert problems == (() if declared else (problem("xml-namespace"),))


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ("", "no XML"),
        ("text", "no XML"),
        ("< 5", "no XML"),
        ("<a", "start tag of 'a' is not well-formed"),
        ("<a>&", "cut off"),
        ("<a>x &", "cut off"),
        ("<a>&<b>", "cut off"),
        ("<a>&<!-- x", "cut off"),
        ("<a>&<![CDATA[x", "cut off"),
        ("<a>&<?x", "cut off"),
        ("<a>&</a", "end tag of 'a' is not well-formed"),
        ("</a>", "ends nothing"),
        ("<a>&<b></a>", "the end tag of 'b' is 'a'"),
        ("<a><2V>1</2V></a>", "an end tag has no name"),
        ("<a>I </3 you</a>", "an end tag has no name"),
        ("<a>x</ a>", "an end tag has no name"),
        ("<a>&<b></c></a>", "the end tag of 'b' is 'c'"),
        ("<a>Tom <Living Room</a>", "start tag of 'Living' is not well-formed"),
        ('<a b="1" b="2"/>', "'a' has two values of 'b'"),
        ('<a b="x><c d="y"/></a>', "not well-formed"),
        ("<a>&</a><b/>", "a second document"),
        ("<a>&</a> x <a/>", "a second document"),
        ("<a>&</a> x <p:a/>", "a second document"),
        ("<a:>&</a:>", "no local name"),
        (b"<a>\xe9</a>".replace(b"<a", b'<?xml version="1.0" encoding="utf-7"?><a'), "'utf-7'"),
        (b'<?xml version="1.0" encoding="shift_jis"?><a>&</a>', "'shift_jis'"),
        ("<a>&</a>".encode("utf-32"), "no XML"),
    ],
)
def test_a_document_that_could_mean_two_things_is_refused(
    document: bytes | str, reason: str
) -> None:
    assert reason in refusal(document)


BREAKS = {
    "an ampersand": "&",
    "a byte": "\udce9",
    "a control character": "\x01",
    "nothing": "",
}


@pytest.mark.parametrize("broken", BREAKS)
@pytest.mark.parametrize(
    "document",
    [
        "{}<!DOCTYPE a><a/>",
        "<!DOCTYPE a [<!ENTITY b 'c'>]><a>{}&b;</a>",
        "<!DOCTYPE a SYSTEM 'http://192.0.2.9/a.dtd'><a>{}</a>",
        "<a>{}<!DOCTYPE a></a>",
        "<a>{}<!ENTITY b 'c'></a>",
        "<a>{}</a>{}<!DOCTYPE a>",
        "<a>{}<!doctype a></a>",
        "<a>{}</a> x <![x[",
    ],
)
def test_a_document_type_declaration_is_refused_whatever_is_mended(
    document: str, broken: str
) -> None:
    data = document.replace("{}", BREAKS[broken]).encode("utf-8", "surrogateescape")
    said = refusal(data)
    if BREAKS[broken]:
        assert "document type" in said


def test_the_guards_hold_for_a_mended_document() -> None:
    limits = Limits(xml_depth=5, xml_elements=10)
    with pytest.raises(RemoteProtocolError, match="deep"):
        read_tree(b"<a>" * 6 + b"&" + b"</a>" * 6, limits)
    with pytest.raises(RemoteProtocolError, match="too many"):
        read_tree(b"<a>&" + b"<b/>" * 10 + b"</a>", limits)


def test_both_causes_are_said_when_mending_does_not_help() -> None:
    said = refusal("<a>\nR&N")
    assert said.startswith("malformed XML: ")
    assert "line 2" in said
    assert said.endswith("; it cannot be mended: the document is cut off, or is no XML")


@pytest.mark.parametrize("name", [name for _, name in TOLERANCES if name.startswith("xml-")])
def test_a_row_that_the_table_does_not_accept_is_not_mended(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = TOLERANCES["subscriber", name]._replace(accepted=False)
    changed = MappingProxyType({**TOLERANCES, ("subscriber", name): row})
    monkeypatch.setattr(mending, "TOLERANCES", changed)
    assert tolerance.TOLERANCES["subscriber", name].accepted
    if name == "xml-namespace":
        assert row.deviation in refusal("<a/>")
    for document, _, rows in MENDED.values():
        if rows == {name}:
            data = (
                document
                if isinstance(document, bytes)
                else document.encode("utf-8", "surrogatepass")
            )
            assert row.deviation in refusal(data)


# --- any document ------------------------------------------------------------------------------

_PIECES = st.sampled_from(
    [
        b"<a>", b"</a>", b"<b c='1'>", b"</b>", b"<b/>", b"<e:c d=\"2\" d=\"2\">", b"</c>", b"x",
        b"&", b"&amp;", b"&nbsp;", b"&#xD83C;&#xDFB5;", b"&#0;", b"<", b">", b"]]>", b"\xe9", b"\0",
        b"\xc3\xa9", b"\xed\xa0\xbc", b"\x01", b"<!-- x -->", b"<!-- -- -->", b"<?x y?>", b"<?",
        b"<![CDATA[x]]>", b"<!DOCTYPE a>", DECLARED, b"\xef\xbb\xbf", b"\xff\xfe", b"\r\n", b"'",
        b'"', b"=", b" b=1", b"</A>", b"\xe2\x82",
    ]
)  # fmt: skip
_DOCUMENTS = st.lists(_PIECES, max_size=20).map(b"".join)
_ENCLOSED = _DOCUMENTS.map(lambda inside: b"<r>" + inside + b"</r>")


@given(_DOCUMENTS | _ENCLOSED | st.binary(max_size=60))
def test_a_mended_document_is_well_formed_or_refused(document: bytes) -> None:
    outcome = outcome_of(lambda: mend(document))
    if outcome is None:
        return
    mended, problems = outcome
    assert problems
    parser = pyexpat.ParserCreate()
    try:
        parser.Parse(mended, True)
    except pyexpat.ExpatError:
        with pytest.raises(RemoteProtocolError):
            read_tree(document, DEFAULT_LIMITS)
    assert b"<!" not in mended


@given(_DOCUMENTS | _ENCLOSED | st.binary(max_size=60))
def test_a_well_formed_document_is_never_changed(document: bytes) -> None:
    try:
        strict = shape(parse_tree(document, DEFAULT_LIMITS))
    except RemoteProtocolError:
        return
    root, problems = read_tree(document, DEFAULT_LIMITS)
    assert shape(root) == strict
    assert set(problems) <= {problem("xml-namespace")}


@given(_DOCUMENTS | _ENCLOSED)
def test_any_body_is_an_event_or_400(document: bytes) -> None:
    for body in (document, b"<propertyset><property><V>" + document + b"</V></property>"):
        outcome_of(lambda body=body: parse_propertyset(body, DEFAULT_LIMITS))


@given(st.text(max_size=40))
def test_any_text_in_a_value_is_a_last_change_or_400(text: str) -> None:
    for value in (text, f"<Event><InstanceID val='0'><A val='{text}'/></InstanceID></Event>"):
        outcome_of(lambda value=value: parse_lastchange(value))


# --- its cost ----------------------------------------------------------------------------------

LINEAR: dict[str, Callable[[int], bytes]] = {
    "ampersands": lambda n: b"<a>" + b"&" * n + b"</a>",
    "references that do not end": lambda n: b"<a>" + b"&#1" * n + b"</a>",
    "digits of a reference": lambda n: b"<a>&#" + b"1" * n + b";</a>",
    "letters of a reference": lambda n: b"<a>&" + b"a" * n + b"</a>",
    "surrogates": lambda n: b"<a>" + b"&#xD83C;" * n + b"</a>",
    "bytes": lambda n: b"<a>" + b"\xe9" * n + b"</a>",
    "bytes and characters": lambda n: b"<a>" + b"\xe9\xc3\xa9" * n + b"</a>",
    "control characters": lambda n: b"<a>" + b"\x01" * n + b"</a>",
    "less-than signs": lambda n: b"<a>" + b"< " * n + b"</a>",
    "less-than signs before": lambda n: b"< " * n + b"<a/>",
    "less-than signs behind": lambda n: b"<a/>" + b"x< " * n,
    "names behind": lambda n: b"<a/>x" + b"<b" * n,
    "declarations": lambda n: b"<a>&" + b"<?xml?>" * n + b"</a>",
    "declarations before": lambda n: b"<?xml?>" * n + b"<a/>",
    "comments behind": lambda n: b"<a>&</a>" + b"<!---->" * n,
    "white space behind": lambda n: b"<a>&</a>" + b"<?b?> \n" * n + b"x",
    "comments": lambda n: b"<a>&" + b"<!-- -- -->" * n + b"</a>",
    "comments that do not end": lambda n: b"<a>&" + b"<!--" * n + b"</a>",
    "instructions that do not end": lambda n: b"<a>&" + b"<?a" * n + b"</a>",
    "sections that do not end": lambda n: b"<a>&" + b"<![CDATA[" * n + b"</a>",
    "attributes": lambda n: b"<a " + b" ".join(b"b%d=1" % i for i in range(n)) + b"/>",
    "attributes that do not end": lambda n: b"<a " + b'b="' * n + b"/>",
    "an attribute many times": lambda n: b"<a " + b"b='1'" * n + b"/>",
    "white space in a tag": lambda n: b"<a>&<b" + b" " * n + b"c/></a>",
    "elements": lambda n: b"<a>&" + b"<b c=1/>" * n + b"</a>",
    "a long name": lambda n: b"<a>&<" + b"b" * n + b"></A></a>",
    "deep": lambda n: b"&" + b"<a>" * n,
    "NULs": lambda n: b"<a>&</a>" + b"\0" * n,
    "before": lambda n: b"x" * n + b"<a/>",
    "white space before": lambda n: b" \n" * n + b"x<a>&</a>",
}


@pytest.mark.parametrize("name", LINEAR)
def test_mending_costs_as_much_as_the_document_is_long(name: str) -> None:
    build = LINEAR[name]

    def cost(n: int) -> float:
        document = build(n)

        return seconds(lambda: outcome_of(lambda: read_tree(document, DEFAULT_LIMITS)))

    # Quadratic cost would be 64 times as much.
    assert cost(16_000) < 24 * max(cost(2_000), 1e-4)


def test_a_long_document_is_read_and_not_mended() -> None:
    limits = Limits(mended_bytes=100)
    well_formed = b"<a>" + b"x" * 100 + b"</a>"
    assert read_tree(well_formed, limits)[0].text == "x" * 100
    assert read_tree(b"<a>" + b"&" * 92 + b"</a>", limits)[0].text == "&" * 92
    with pytest.raises(MalformedXML) as raised:
        read_tree(b"<a>" + b"&" * 94 + b"</a>", limits)
    assert raised.value.status == 400
    with pytest.raises(MalformedXML):
        parse_propertyset(
            b"<e:propertyset xmlns:e='u'><e:property><A>" + b"&" * 94 + b"</A></e:property>"
            b"</e:propertyset>",
            limits,
        )


def test_a_name_has_the_ascii_characters_of_xml_and_every_other_one_but_surrogates() -> None:
    letters = "_:" + "".join(chr(code) for code in range(128) if chr(code).isalpha())
    beyond = {0xA1, 0xD7FF, 0xE000, 0xFFFF, 0x10000, 0x10FFFF}
    others = {*range(0x100), 0xD800, 0xDC80, 0xDFFF, *beyond}
    for code in sorted(others):
        begins = chr(code) in letters or 0xA1 <= code < 0xD800 or code >= 0xE000
        follows = begins or chr(code) in "-.0123456789"
        assert (mending._START_TAG.fullmatch(f"<{chr(code)}") is not None) == begins, hex(code)
        assert (mending._START_TAG.fullmatch(f"<a{chr(code)}") is not None) == follows, hex(code)
