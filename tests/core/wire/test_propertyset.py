"""The body of an event message: written and read."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire.propertyset import (
    check_variable_name,
    format_propertyset,
    parse_propertyset,
)
from propchange.core.wire.xml import parse_tree
from propchange.errors import RemoteProtocolError
from tests.work import memory

NAMESPACE = "urn:schemas-upnp-org:event-1-0"


def parsed(body: str | bytes, limits: Limits = DEFAULT_LIMITS) -> tuple[tuple[str, str], ...]:
    return parse_propertyset(body.encode() if isinstance(body, str) else body, limits)


def inside(properties: str, more: str = "") -> str:
    return f'<e:propertyset xmlns:e="{NAMESPACE}"{more}>{properties}</e:propertyset>'


def one(value: str, more: str = "") -> str:
    """The text of the one variable whose element holds ``value``."""
    (change,) = parsed(inside(f"<e:property><V>{value}</V></e:property>", more))
    assert change[0] == "V"
    return change[1]


def refusal(body: str | bytes, limits: Limits = DEFAULT_LIMITS) -> str:
    with pytest.raises(RemoteProtocolError) as caught:
        parsed(body, limits)
    assert caught.value.status == 400
    return str(caught.value)


def status(body: bytes) -> int | None:
    try:
        parsed(body)
    except RemoteProtocolError as error:
        return error.status
    return None


# --- reading -----------------------------------------------------------------------------


def test_variables_come_in_the_order_of_the_document() -> None:
    body = inside(
        "<e:property><Volume>12</Volume></e:property><e:property><Mute>0</Mute></e:property>"
    )
    assert parsed('<?xml version="1.0"?>\n' + body) == (("Volume", "12"), ("Mute", "0"))


@pytest.mark.clause("XML-07")
@pytest.mark.parametrize(
    "body",
    [
        '<propertyset xmlns="N"><property><V>x</V></property></propertyset>',
        '<propertyset xmlns="N"><property><V xmlns="">x</V></property></propertyset>',
        '<s:propertyset xmlns:s="N"><s:property><V>x</V></s:property></s:propertyset>',
        '<a:propertyset xmlns:a="N"><b:property xmlns:b="N"><V>x</V></b:property></a:propertyset>',
        '<e:propertyset xmlns:e="N"><e:property><e:V>x</e:V></e:property></e:propertyset>',
        '<e:propertyset xmlns:e="urn:other"><e:property><V>x</V></e:property></e:propertyset>',
        "<e:propertyset><e:property><V>x</V></e:property></e:propertyset>",
        "<propertyset><property><V>x</V></property></propertyset>",
    ],
)
def test_any_prefix_will_do_and_so_will_a_wrong_namespace(body: str) -> None:
    assert parsed(body.replace('"N"', f'"{NAMESPACE}"')) == (("V", "x"),)


@pytest.mark.clause("XML-10")
def test_several_variables_may_share_a_property() -> None:
    body = inside("<e:property>\n<A>1</A>\n<B>2</B>\n</e:property>\n<e:property><C/></e:property>")
    assert parsed(body) == (("A", "1"), ("B", "2"), ("C", ""))


@pytest.mark.clause("XML-10")
@pytest.mark.parametrize("after", [b"\0", b"\r\n", b"\n\0\0", b" \0 "])
def test_nuls_and_white_space_behind_it_do_not_count(after: bytes) -> None:
    body = inside("<e:property><V>x</V></e:property>").encode()
    assert parsed(body + after) == (("V", "x"),)


@pytest.mark.clause("XML-05")
@pytest.mark.clause("XML-08")
def test_unknown_elements_attributes_comments_and_instructions_are_ignored() -> None:
    body = inside(
        "<!-- c --><?pi?><x:other xmlns:x='u'><V>no</V><V><W/></V></x:other>text"
        "<e:property a='1'><!-- c --><V b='2'>x<!-- c -->y<?pi?></V>text</e:property><Properties/>",
        " c='3'",
    )
    assert parsed(body) == (("V", "xy"),)


def test_unknown_elements_beside_a_value_of_xml_are_ignored() -> None:
    body = inside("<x:y><V><W/></V></x:y><e:property><V><a/></V></e:property><z><V/></z>")
    assert parsed(body) == (("V", "<a/>"),)


def test_a_variable_that_comes_twice_is_given_twice() -> None:
    body = inside("<e:property><V>1</V></e:property><e:property><V>2</V></e:property>")
    assert parsed(body) == (("V", "1"), ("V", "2"))


def test_nothing_changed_is_no_error() -> None:
    assert parsed(inside("")) == ()
    assert parsed(inside("<e:property/>")) == ()
    assert parsed(inside("<e:property>text</e:property>")) == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""),
        (" x ", " x "),
        ("a\r\nb\rc", "a\nb\nc"),
        ("&lt;a b=&quot;1&quot;/&gt; &amp;amp;", '<a b="1"/> &amp;'),
        ("<![CDATA[<a>&amp;</a>]]>", "<a>&amp;</a>"),
        ("a<![CDATA[b]]>&#99;<!-- no -->d", "abcd"),
        ("&#13;&#x1F3B5;", "\r🎵"),
        ("x" * 100_000, "x" * 100_000),
    ],
)
def test_the_text_of_a_value_is_unescaped(value: str, text: str) -> None:
    assert one(value) == text


def test_utf_16_is_read() -> None:
    body = inside("<e:property><V>grün</V></e:property>")
    assert parsed(body.encode("utf-16")) == (("V", "grün"),)


@pytest.mark.clause("RSP-02")
@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "\0",
        "V=1",
        "<root/>",
        '<e:properties xmlns:e="urn:schemas-upnp-org:event-1-0"/>',
        "<property><V>1</V></property>",
        "<propertyset>",
        "<propertyset><property><V>1</property></propertyset>",
        "<propertyset/><propertyset/>",
        "<!DOCTYPE propertyset><propertyset/>",
        '<?xml version="1.0" encoding="utf-7"?><propertyset/>',
        "<PropertySet/>",
    ],
)
def test_anything_but_a_propertyset_is_400(body: str) -> None:
    assert refusal(body)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_propertyset_or_400(body: bytes) -> None:
    text = body.decode("latin-1")
    assert status(body) in (None, 400)
    assert status(inside(f"<e:property>{text}</e:property>").encode()) in (None, 400)


def test_depth_is_bounded() -> None:
    limits = replace(DEFAULT_LIMITS, xml_depth=5)
    body = inside("<e:property><V><a><b/></a></V></e:property>")
    assert parsed(body, limits) == (("V", "<a><b/></a>"),)
    assert "deep" in refusal(body.replace("<b/>", "<b><c/></b>"), limits)
    assert "deep" in refusal(inside("<x>" * 200_000))


def test_elements_and_attributes_are_bounded_together() -> None:
    limits = replace(DEFAULT_LIMITS, xml_elements=10)
    # The propertyset itself has one attribute.
    assert len(parsed(inside("<e:property>" + "<V/>" * 7 + "</e:property>"), limits)) == 7
    assert "too many" in refusal(inside("<e:property>" + "<V/>" * 8 + "</e:property>"), limits)
    seven = " ".join(f'a{number}=""' for number in range(7))
    assert parsed(inside(f"<x {seven}/>"), limits) == ()
    assert "too many" in refusal(inside(f'<x {seven} b=""/>'), limits)


# --- XML as a value ----------------------------------------------------------------------


@pytest.mark.clause("XML-05")
def test_an_element_in_the_text_of_a_value_is_unknown_and_ignored() -> None:
    assert one("x &lt; y<a b='1'>no<c/></a>&amp;") == "x < y&"


@pytest.mark.clause("XML-10")
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("<a/>", "<a/>"),
        ("<a></a>", "<a/>"),
        ("<a> </a>", "<a> </a>"),
        ("\n <a>1</a>\n<b>2</b> ", "\n <a>1</a>\n<b>2</b> "),
        ("<a>&lt;</a>&#32;<b/>", "<a>&lt;</a> <b/>"),
        ("<a b='\"'/>", '<a b="&quot;"/>'),
        (
            "<a b='&lt;&amp;&gt;&#10;&#9;&#13;'>&#13;&gt;</a>",
            '<a b="&lt;&amp;&gt;&#10;&#9;&#13;">&#13;&gt;</a>',
        ),
        ("<a><!-- c --><?pi?><![CDATA[<&]]></a>", "<a>&lt;&amp;</a>"),
        (
            '<a xmlns="urn:a" xmlns:p="urn:p" p:b="1"><p:c/></a>',
            '<a xmlns="urn:a" xmlns:p="urn:p" p:b="1"><p:c/></a>',
        ),
        ("<p:a xml:lang='de'/>", '<p:a xml:lang="de"/>'),
    ],
)
def test_xml_instead_of_text_is_given_back_as_its_text(value: str, text: str) -> None:
    assert one(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("<a/>", '<a xmlns="urn:d"/>'),
        ("<a xmlns=''/>", '<a xmlns=""/>'),
        ("<p:a/>", '<p:a xmlns:p="urn:p"/>'),
        ("<p:a><b/></p:a>", '<p:a xmlns:p="urn:p" xmlns="urn:d"><b/></p:a>'),
        ("<p:a xmlns:p='urn:q'><p:b/></p:a>", '<p:a xmlns:p="urn:q"><p:b/></p:a>'),
        ("<p:a/><b/>", '<p:a xmlns:p="urn:p"/><b xmlns="urn:d"/>'),
        ("<p:a p:x='1'/><p:b/>", '<p:a xmlns:p="urn:p" p:x="1"/><p:b xmlns:p="urn:p"/>'),
        (
            "<e:a><x:b xmlns:x='urn:x' p:c='1'/></e:a>",
            f'<e:a xmlns:e="{NAMESPACE}" xmlns:p="urn:p"><x:b xmlns:x="urn:x" p:c="1"/></e:a>',
        ),
        # Declared inside for one branch only, outside for the other.
        (
            "<e:a><b xmlns='urn:i'><c/></b><c/></e:a>",
            f'<e:a xmlns:e="{NAMESPACE}" xmlns="urn:d"><b xmlns="urn:i"><c/></b><c/></e:a>',
        ),
    ],
)
def test_a_value_keeps_the_namespaces_that_are_declared_around_it(value: str, text: str) -> None:
    assert one(value, ' xmlns="urn:d" xmlns:p="urn:p"') == text


def test_the_nearest_declaration_around_a_value_counts() -> None:
    body = inside(
        '<e:property xmlns="urn:2"><V><a/></V><W xmlns="urn:3"><a/></W></e:property>',
        ' xmlns="urn:1"',
    )
    assert parsed(body) == (("V", '<a xmlns="urn:2"/>'), ("W", '<a xmlns="urn:3"/>'))


def test_a_last_change_that_is_not_escaped_can_be_read() -> None:
    body = inside(
        "<e:property><LastChange>"
        '<Event xmlns="urn:schemas-upnp-org:metadata-1-0/AVT/"><InstanceID val="0">'
        '<AVTransportURI val="http://192.0.2.1/a?b=1&amp;c=2"/></InstanceID></Event>'
        "</LastChange></e:property><e:property><Plain>a &lt; b</Plain></e:property>"
    )
    (_, last_change), plain = parsed(body)
    assert plain == ("Plain", "a < b")
    event = parse_tree(last_change.encode(), DEFAULT_LIMITS)
    assert (event.name, event.namespace) == ("Event", "urn:schemas-upnp-org:metadata-1-0/AVT/")
    assert event.children[0].children[0].attributes["val"] == "http://192.0.2.1/a?b=1&c=2"


def test_one_long_declaration_for_many_elements_is_400() -> None:
    limits = replace(DEFAULT_LIMITS, body_bytes=2_000)
    uri = f' xmlns:p="{"u" * 400}"'
    four = inside("<e:property><V>" + "<p:a/>" * 4 + "</V></e:property>", uri)
    assert len(parsed(four, limits)[0][1]) > 1_600
    assert "too much" in refusal(four.replace("<p:a/>", "<p:a/><p:a/>", 1), limits)


# --- writing -----------------------------------------------------------------------------


@pytest.mark.clause("XML-01")
@pytest.mark.clause("XML-02")
@pytest.mark.clause("XML-04")
@pytest.mark.clause("NOT-10")
def test_a_propertyset_is_written_in_utf_8_and_escaped() -> None:
    assert (
        format_propertyset([("Volume", "12"), ("URI", "a<b>&c]]>\r\n\tü")])
        == (
            '<?xml version="1.0"?>\n'
            '<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">\n'
            "<e:property><Volume>12</Volume></e:property>\n"
            "<e:property><URI>a&lt;b&gt;&amp;c]]&gt;&#13;\n\tü</URI></e:property>\n"
            "</e:propertyset>"
        ).encode()
    )


@pytest.mark.clause("XML-03")
def test_a_variable_cannot_be_written_twice() -> None:
    with pytest.raises(ValueError, match="Volume stands twice"):
        format_propertyset([("Volume", "1"), ("Volume", "2")])


@pytest.mark.clause("XML-02")
def test_nothing_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="at least one variable"):
        format_propertyset([])


@pytest.mark.parametrize("character", ["\0", "\x0b", "\ud800", "\uffff"])
def test_a_text_that_xml_cannot_carry_is_refused(character: str) -> None:
    with pytest.raises(ValueError, match="Title holds"):
        format_propertyset([("Title", f"a{character}b")])


@pytest.mark.clause("XML-09")
@pytest.mark.parametrize(
    "name", ["Volume", "X_Vendor", "A_ARG_TYPE_x", "_a", "a.b-c", "Größe", "音"]
)
def test_a_name_of_an_element_is_a_name_of_a_variable(name: str) -> None:
    check_variable_name(name)
    assert parsed(format_propertyset([(name, "1")])) == ((name, "1"),)


@pytest.mark.clause("XML-09")
@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "1a", "-a", "a b", " a", "a ", "a:b", ":a", "a/", "a><b", "a x='1'", "a\0"),
        *("a&amp;", "\ud800", "a\n", "!--a--", "?a"),
    ],
)
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name"):
        check_variable_name(name)
    with pytest.raises(ValueError, match="cannot be the name"):
        format_propertyset([(name, "1")])


# --- both ways ---------------------------------------------------------------------------

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True)
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff")
    | st.sampled_from("<>&\"'\r\n\t ]"),
    max_size=20,
).filter(lambda text: not any(ord(c) < 32 and c not in "\t\n\r" for c in text))


@given(st.dictionaries(NAMES, TEXTS, min_size=1, max_size=5))
def test_what_is_written_is_read(changes: dict[str, str]) -> None:
    assert parsed(format_propertyset(changes.items())) == tuple(changes.items())


@given(st.dictionaries(NAMES, TEXTS, min_size=1, max_size=3))
def test_a_propertyset_as_a_value_of_another_is_read_again(changes: dict[str, str]) -> None:
    """Not escaped, it comes back as XML that means the same."""
    _, _, root = format_propertyset(changes.items()).decode().partition("\n")
    assert parsed(one(root)) == tuple(changes.items())


# --- long names ---


def test_a_name_that_is_too_long_is_refused_and_not_remembered() -> None:
    check_variable_name("A" * 1_024)
    with pytest.raises(ValueError, match=r"the name 'A{40}'\.\.\. is longer than 1024 characters"):
        check_variable_name("A" * 1_025)

    def check_many() -> None:
        for number in range(50):
            with contextlib.suppress(ValueError):
                check_variable_name("A" * 100_000 + str(number))

    assert memory(check_many) < 1_000_000


@pytest.mark.parametrize("length", [32, 255, 256, 1_024])
def test_a_long_name_of_a_variable_is_read(length: int) -> None:
    name = "A" * length
    body = f"<e:propertyset xmlns:e='{NAMESPACE}'><e:property><{name}>1</{name}></e:property>"
    assert parsed(body + "</e:propertyset>") == ((name, "1"),)
    assert parsed(format_propertyset([(name, "1")])) == ((name, "1"),)


def test_a_name_of_a_variable_that_is_too_long_is_400() -> None:
    name = "A" * 1_025
    body = f"<e:propertyset xmlns:e='{NAMESPACE}'><e:property><{name}>1</{name}></e:property>"
    with pytest.raises(RemoteProtocolError, match="a name is too long") as raised:
        parsed(body + "</e:propertyset>")
    assert raised.value.status == 400
