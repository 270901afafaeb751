"""The body of an event message, as a subscriber reads it."""

from __future__ import annotations

from collections.abc import Mapping

from exchange import Has, Sees, Send, Told, answers
from subscriber_messages import SubscriberRow, begin, notify, propertyset, row

_NS = 'xmlns:e="urn:schemas-upnp-org:event-1-0"'


def _read(
    name: str,
    clauses: str,
    body: bytes | str,
    changes: Mapping[str, str],
    not_on: Mapping[str, str] | None = None,
) -> SubscriberRow:
    """``body`` is an event with these texts."""
    data = body if isinstance(body, bytes) else body.encode()
    steps = (*begin(), Send(notify(data, 1)), Sees((Told(1, changes),)), Has({"gaps": 0}))
    return row(name, clauses, *steps, not_on=not_on or {})


def _inside(text: str) -> str:
    return f'<?xml version="1.0"?>\n<e:propertyset {_NS}>{text}</e:propertyset>'


_T = "<Temperature>21</Temperature>"
_P = f"<e:property>{_T}</e:property>"
_IS_21 = {"Temperature": "21"}
_LAST_CHANGE = (
    '<Event xmlns="urn:schemas-upnp-org:metadata-1-0/RCS/"><InstanceID val="0">'
    '<Volume channel="Master" val="30"/></InstanceID></Event>'
)
_ESCAPED = _LAST_CHANGE.replace("<", "&lt;").replace('"', "&quot;")
_TEXT_ALONE = {"event": "an event of Cohen3's has the text of LastChange alone"}

_LIBERAL = (
    _read("a propertyset of several variables is one event", "XML-01",
        propertyset(Temperature="21", Alarm="1", Name="x"),
        {"Temperature": "21", "Alarm": "1", "Name": "x"}),
    _read("any prefix is as good as e:", "XML-07",
        f'<u:propertyset {_NS.replace(":e", ":u")}><u:property>{_T}</u:property></u:propertyset>',
        _IS_21),
    _read("a default namespace is as good as a prefix", "XML-07 XML-10",
        f'<propertyset xmlns="urn:schemas-upnp-org:event-1-0"><property>{_T}</property>'
        "</propertyset>", _IS_21),
    _read("a prefix that nothing declares is read over", "XML-07 XML-10",
        f"<e:propertyset><e:property>{_T}</e:property></e:propertyset>", _IS_21),
    _read("no prefix at all is read over", "XML-10",
        f"<propertyset><property>{_T}</property></propertyset>", _IS_21),
    _read("a variable in a namespace counts by its local name", "XML-07",
        _inside('<e:property><v:Temperature xmlns:v="urn:v">21</v:Temperature></e:property>'),
        _IS_21),
    _read("unknown elements beside the properties are ignored with what is in them",
        "XML-05 XML-08",
        _inside(f"<x><No>1</No></x>{_P}<e:extension>1</e:extension>"),
        _IS_21),
    _read("unknown elements beside the properties are ignored with properties in them",
        "XML-05 XML-08",
        _inside(f"<x><e:property><No>1</No></e:property></x>{_P}"),
        _IS_21),
    _read("an unknown element inside of a value is ignored with what is in it", "XML-05",
        _inside('<e:property><Temperature>21<note unit="C">hot<b/></note></Temperature>'
                "</e:property>"), _IS_21),
    _read("unknown attributes are ignored wherever they are", "XML-05",
        f'<e:propertyset {_NS} version="1"><e:property id="1" e:x="2"><Temperature unit="C" '
        'xmlns:x="urn:x" x:y="z">21</Temperature></e:property></e:propertyset>', _IS_21),
    _read("comments are ignored wherever they are", "XML-05",
        f"<!-- 1 --><e:propertyset {_NS}><!-- 2 --><e:property><!-- 3 --><Temperature>2<!-- 4 -->1"
        "</Temperature></e:property></e:propertyset><!-- 5 -->", _IS_21),
    _read("processing instructions are ignored wherever they are", "XML-05",
        f'<?xml version="1.0"?><?style x?><e:propertyset {_NS}><?a b?><e:property><?c d?>'
        "<Temperature>2<?e f?>1</Temperature></e:property></e:propertyset><?g h?>", _IS_21),
    _read("text between the elements is ignored", "XML-05",
        _inside(f"\n  x <e:property> y {_T} z </e:property> &amp; "), _IS_21),
    _read("several variables in one property are all read", "XML-10",
        _inside(f"<e:property>{_T}<Alarm>1</Alarm></e:property>"),
        {"Temperature": "21", "Alarm": "1"}),
    _read("of a variable that comes twice the last is its value", "XML-10",
        _inside(f"<e:property><Temperature>20.5</Temperature></e:property>{_P}"), _IS_21),
    _read("a variable that nobody knows is told as text", "XML-06",
        propertyset(Vendor_x="1"), {"Vendor_x": "1"}),
    _read("names are case-sensitive", "XML-09",
        propertyset(temperature="20", Temperature="21"),
        {"temperature": "20", "Temperature": "21"}),
    _read("names and values may have any letters", "XML-09",
        propertyset(Größe="10 µm ≤ \U0001f321"), {"Größe": "10 µm ≤ \U0001f321"}),
    _read("an empty value is the empty text", "XML-10",
        _inside("<e:property><Name></Name></e:property><e:property><Uri/></e:property>"),
        {"Name": "", "Uri": ""}),
    _read("white space in a value stays", "XML-10", propertyset(Name="  a\n b "),
        {"Name": "  a\n b "}),
    _read("references are resolved once", "XML-10",
        propertyset(Name="&lt;a&gt; &amp;amp; &quot;&apos; &#65;&#x42;"),
        {"Name": "<a> &amp; \"' AB"}),
    _read("a CDATA section is text", "XML-10", propertyset(Name="<![CDATA[<a>&amp;]]>"),
        {"Name": "<a>&amp;"}),
    _read("a propertyset without a property is an event without changes", "XML-10",
        _inside(""), {}, {"event": "nothing is propagated of it"}),
    _read("a property without a variable changes nothing", "XML-10",
        _inside(f"<e:property/>{_P}"), _IS_21),
    _read("LastChange is told in its parts", "LC-03 LC-08",
        propertyset(LastChange=_ESCAPED), {"LastChange": _LAST_CHANGE, "Volume": "30"},
        _TEXT_ALONE),
    _read("LastChange as nested XML is as good as escaped", "XML-10",
        propertyset(LastChange=_LAST_CHANGE),
        {"LastChange": _LAST_CHANGE, "Volume": "30"}, _TEXT_ALONE),
)  # fmt: skip

_ENCODINGS = (
    _read("an XML declaration may be missing", "XML-10", _inside(_P).partition("\n")[2], _IS_21),
    _read("a declared UTF-8 is read", "XML-10",
        _inside(_P).replace('"?>', '" encoding="utf-8" standalone="yes"?>', 1), _IS_21),
    _read("a byte order mark of UTF-8 is read over", "XML-10",
        b"\xef\xbb\xbf" + _inside(_P).encode(), _IS_21),
    *(
        _read(f"{name} with a byte order mark is read", "XML-10",
            mark + _inside("<e:property><Name>ä€</Name></e:property>").encode(codec),
            {"Name": "ä€"})
        for name, mark, codec in (
            ("UTF-16, the low byte first,", b"\xff\xfe", "utf-16-le"),
            ("UTF-16, the high byte first,", b"\xfe\xff", "utf-16-be"),
        )
    ),
    _read("UTF-16 that says so in its declaration is read", "XML-10",
        b"\xff\xfe" + _inside(_P).replace('"?>', '" encoding="UTF-16"?>', 1).encode("utf-16-le"),
        _IS_21),
    _read("a declared Latin-1 is read", "XML-10",
        _inside("<e:property><Name>ä</Name></e:property>")
        .replace('"?>', '" encoding="ISO-8859-1"?>', 1).encode("latin-1"), {"Name": "ä"}),
    _read("NULs behind the propertyset are read over", "XML-10",
        _inside(_P).encode() + b"\0\0\0", _IS_21),
    _read("white space around the propertyset is read over", "XML-10",
        "\r\n \t" + _inside(_P) + "\r\n \0\n", _IS_21),
    _read("line ends of any kind are read", "XML-10",
        _inside(_P.replace("><", ">\r\n\t<")), _IS_21),
)  # fmt: skip

_MENDED = (
    _read("an ampersand that is not escaped is read", "XML-10",
        propertyset(Name="a & b &c; d&amp;"), {"Name": "a & b &c; d&"}),
    _read("a < that cannot begin a tag is read", "XML-10", propertyset(Name="1 < 2 <3 ]]> x"),
        {"Name": "1 < 2 <3 ]]> x"}),
    _read("a reference of HTML is read", "XML-10", propertyset(Name="a&nbsp;b&eacute;"),
        {"Name": "a\xa0b\xe9"}),
    _read("a character that XML does not know is replaced", "XML-10",
        propertyset(Name="a\x01b&#0;c&#xD800;"), {"Name": "a\ufffdb\ufffdc\ufffd"}),
    _read("bytes that are no UTF-8 are read", "XML-10",
        propertyset(Name="x").replace(b">x<", b">Caf\xe9<"), {"Name": "Café"}),
    _read("text behind the root is ignored", "XML-10", _inside(_P) + "x", _IS_21),
    _read("bytes behind the root are ignored", "XML-10",
        _inside(_P).encode() + b"\n\x9c\xe4\x60\x28", _IS_21),
    _read("text before the declaration is ignored", "XML-10", "1f3\r\n" + _inside(_P), _IS_21),
    _read("a prefix that is declared nowhere is read", "XML-10",
        _inside(f"<u:property>{_T}</u:property>"), _IS_21),
    _read("an attribute that comes twice with one value is read", "XML-10",
        _inside(f'<e:property a="1" a="1">{_T}</e:property>'), _IS_21),
)  # fmt: skip

_BOMB = (
    '<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>'
    f"<e:propertyset {_NS}><e:property><Temperature>&b;</Temperature></e:property>"
    "</e:propertyset>"
)

_EXTERNAL = _BOMB.replace('a "aaaaaaaaaa"', 'b SYSTEM "file:///etc/passwd"')

_MALFORMED = tuple(
    row(
        f"{words} is answered 400, and no event",
        "RSP-02 XML-01" if "root" in words else "RSP-02",

            *begin(),
            Send(notify(body if isinstance(body, bytes) else body.encode(), 1), answers(400)),
            Send(notify(propertyset(Temperature="21"), 1)),
            Sees((Told(1, _IS_21),)),
            Has({"gaps": 0}),
    )
    for words, body in (
        ("an empty body", b""),
        ("a body of white space", b" \r\n\0"),
        ("a body that is no XML", b"Temperature=21"),
        ("a propertyset that is cut off", _inside(_P)[:-4]),
        ("a propertyset whose tags do not match", _inside(_P).replace("</e:property>", "", 1)),
        ("a second root", _inside(_P) + "<x/>"),
        ("another propertyset behind the root", _inside(_P) + "x" + _inside(_P)),
        ("a document type declaration behind the root", _inside(_P) + "x<!DOCTYPE x>"),
        ("a document type declaration in a value", propertyset(Name="& <!DOCTYPE x>")),
        ("another root", f"<propertySet>{_P}</propertySet>"),
        ("a document of another kind", "<html><body/></html>"),
        ("a propertyset that is cut off behind an ampersand", propertyset(Name="a & b")[:-40]),
        ("an encoding that is unknown", _inside(_P).replace('"?>', '" encoding="EBCDIC"?>', 1)),
        ("an attribute that comes twice", _inside('<e:property a="1" a="2"/>')),
        ("a document type declaration", "<!DOCTYPE x>" + _inside(_P).partition("\n")[2]),
        ("a document type declaration with entities", _BOMB),
        ("an external entity", _EXTERNAL),
        ("XML that is nested too deeply", propertyset(Name="<a>" * 100 + "</a>" * 100)),
    )
)  # fmt: skip

ROWS = (*_LIBERAL, *_ENCODINGS, *_MENDED, *_MALFORMED)
