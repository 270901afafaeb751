"""The fast reading of plain propertysets gives the same result as expat."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.wire import propertyset
from propchange.core.wire.propertyset import (
    RepeatedBody,
    format_propertyset,
    parse_propertyset,
)
from propchange.errors import RemoteProtocolError

OPEN = b'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">'
CLOSE = b"</e:propertyset>"
DECLARATION = b'<?xml version="1.0"?>\n'
A = b"<e:property><A>1</A></e:property>"

Result = tuple[tuple[str, str], ...] | str


def plain(body: bytes, limits: Limits = DEFAULT_LIMITS) -> Result | None:
    return propertyset._parse_plain(body, limits)


def by_expat(body: bytes, limits: Limits = DEFAULT_LIMITS) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(propertyset, "_parse_plain", lambda body, limits: None)
        try:
            return parse_propertyset(body, limits)
        except RemoteProtocolError as error:
            return f"{error.status} {error}"


def agrees(body: bytes, limits: Limits = DEFAULT_LIMITS) -> bool:
    """Whether it is read at a look; if so it must be read as expat does."""
    found = plain(body, limits)
    assert found is None or found == by_expat(body, limits)
    return found is not None


@pytest.mark.parametrize(
    "body",
    [
        OPEN + A + CLOSE,
        DECLARATION + OPEN + A + A.replace(b"A", b"B_2.x-y") + CLOSE,
        b'<?xml version="1.0" encoding="utf-8"?>' + OPEN + A + CLOSE,
        b'<?xml version="1.0" encoding="UTF-8"?>\r\n' + OPEN + A + CLOSE + b"\r\n \t\0\0",
        OPEN + b"\r\n\t <e:property>\r\n <A>1</A>\r\n </e:property>\r\n " + CLOSE,
        OPEN + A + A + CLOSE,
        OPEN + b"<e:property><A></A></e:property>" + CLOSE,
        OPEN + A.replace(b"1", b" x \n\t y]] '\"~") + CLOSE,
        OPEN + A.replace(b"1", b"&lt;a b=&quot;&apos;&amp;lt;&gt;&lt;/a&gt;") + CLOSE,
        format_propertyset([("Temperature", "20.5"), ("LastChange", '<Event a="b">&amp;</Event>')]),
    ],
)
def test_the_plain_shape_is_read_at_a_look(body: bytes) -> None:
    assert agrees(body)


@pytest.mark.parametrize(
    "value",
    [
        "ü".encode(),
        b"\xff",
        b"\0",
        b"\x1f",
        b"\r",
        b"]]>",
        b">",
        b"&",
        b"&#65;",
        b"&unknown;",
        b"&lt",
        b"<b/>",
        b"<!-- -->",
        b"<![CDATA[x]]>",
        b"<?x?>",
    ],
)
def test_a_value_with_anything_else_is_left_to_expat(value: bytes) -> None:
    for before in (b"", b"1", b"&lt;"):
        body = OPEN + b"<e:property><A>" + before + value + b"2</A></e:property>" + CLOSE
        assert not agrees(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        OPEN + CLOSE,
        b" " + OPEN + A + CLOSE,
        b"\xef\xbb\xbf" + OPEN + A + CLOSE,
        b"<!DOCTYPE x []>" + OPEN + A + CLOSE,
        DECLARATION + b"<!DOCTYPE x []>" + OPEN + A + CLOSE,
        b'<?xml version="1.1"?>' + OPEN + A + CLOSE,
        b'<?xml version="1.0" encoding="utf-16"?>' + OPEN + A + CLOSE,
        OPEN.replace(b"e:", b"f:") + A + CLOSE,
        OPEN.replace(b">", b' x="1">') + A + CLOSE,
        OPEN + A.replace(b"<A>", b'<A x="1">') + CLOSE,
        OPEN + A.replace(b"</A>", b"</A >") + CLOSE,
        OPEN + A.replace(b"</A>", b"</B>") + CLOSE,
        OPEN + A.replace(b"</A>", b"</AA>") + CLOSE,
        OPEN + A.replace(b"A", b"2") + CLOSE,
        OPEN + A.replace(b"A", b"e:A") + CLOSE,
        OPEN + b"<e:property><A/></e:property>" + CLOSE,
        OPEN + b"<e:property></e:property>" + CLOSE,
        OPEN + b"<e:property><A>1</A><B>2</B></e:property>" + CLOSE,
        OPEN + b"<property><A>1</A></property>" + CLOSE,
        OPEN + b"x" + A + CLOSE,
        OPEN + A + b"x" + CLOSE,
        OPEN + A + CLOSE + b"x",
        OPEN + A + CLOSE + CLOSE,
        OPEN + A + CLOSE + b"\0" + A,
        OPEN + A,
        OPEN + b"\0" + A + CLOSE,
        OPEN + b"\x0b" + A + CLOSE,
    ],
)
def test_another_shape_is_left_to_expat(body: bytes) -> None:
    assert not agrees(body)


def test_the_limit_of_elements_is_that_of_expat() -> None:
    for count in range(1, 5):
        body = OPEN + A * count + CLOSE
        for most in range(12):
            limits = replace(DEFAULT_LIMITS, xml_elements=most)
            is_within = isinstance(by_expat(body, limits), tuple)
            assert agrees(body, limits) == is_within


def test_a_long_body_is_left_to_expat() -> None:
    longest = 16_384 - len(OPEN + A + CLOSE)
    assert agrees(OPEN + A.replace(b"1", b"x" * (longest + 1)) + CLOSE)
    assert not agrees(OPEN + A.replace(b"1", b"x" * (longest + 2)) + CLOSE)


PIECES = st.sampled_from(
    [
        *(b"<e:property>", b"</e:property>", b"<A>", b"</A>", b"<B>", b"</B>", b"<A/>"),
        *(DECLARATION, OPEN, CLOSE, A, b"&lt;", b"&amp;", b"&", b";", b"]]", b">", b"<", b'"'),
        *(b" ", b"\n", b"\r\n", b"\t", b"\0", b"\x7f", b"\x0c", b"\xc3\xbc", b"\xff", b"lt;"),
        *(b"<!--", b"-->", b"<![CDATA[", b"]]>", b":", b"<e:A>", b"</e:A>", b"<property>", b"amp;"),
    ]
)


@given(st.lists(PIECES, max_size=8).map(b"".join), st.lists(PIECES, max_size=3).map(b"".join))
@example(b"<e:property><A>]]</A></e:property>", b"")
@example(b"<e:property><A>\x7f</A></e:property>", b"")
def test_whatever_is_read_at_a_look_is_read_as_expat_does(middle: bytes, after: bytes) -> None:
    agrees(OPEN + middle + CLOSE + after)
    agrees(OPEN + A.replace(b"1", middle) + CLOSE + after)


@functools.cache
def sample() -> bytes:
    return DECLARATION + OPEN + A + A.replace(b"1", b"&lt;x&gt;") + CLOSE


@given(st.data())
def test_one_byte_more_less_or_other_is_read_as_expat_does(data: st.DataObject) -> None:
    body = sample()
    begin = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(begin, min(begin + 2, len(body))))
    agrees(body[:begin] + data.draw(st.binary(max_size=2)) + body[end:])


# --- bodies that repeat ---

REPEATED = DECLARATION + OPEN + b"\n" + A + b"\n" + CLOSE


def repeated(body: bytes, lesson: bytes = REPEATED) -> str | None:
    """What the form of ``lesson`` reads in ``body``: what expat finds there, or None."""
    form = RepeatedBody.learn(lesson, DEFAULT_LIMITS)
    assert form is not None
    found = form.read(body)
    assert found is None or by_expat(body) == ((form.variable, found),)
    return found


@pytest.mark.parametrize(
    "value", [b"", b"1", b"20.5 \n\t", b"&lt;a&gt;&amp;lt;", b"]]", b"x" * 9_999]
)
def test_a_body_that_differs_in_its_text_alone_is_read(value: bytes) -> None:
    assert repeated(REPEATED.replace(b"1</A>", value + b"</A>")) is not None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        REPEATED.replace(b"<A>1</A>", b"<A>"),
        REPEATED.replace(b"<A>1</A>", b"<B>1</B>"),
        REPEATED.replace(b"<A>1</A>", b"<A>1</A><A>2</A>"),
        REPEATED.replace(b"1</A>", b"<b/></A>"),
        REPEATED.replace(b"1</A>", b"\r</A>"),
        REPEATED.replace(b"1</A>", b"]]></A>"),
        REPEATED.replace(b"1</A>", b"&#65;</A>"),
        REPEATED.replace(b"1</A>", "ü</A>".encode()),
        REPEATED.replace(b"1</A>", b"x" * 20_000 + b"</A>"),
        REPEATED + b"\n",
        REPEATED[:-1],
        b" " + REPEATED,
        REPEATED[: REPEATED.index(b"1") - 1] + REPEATED[REPEATED.index(b"1") + 2 :],
    ],
)
def test_any_other_body_is_not_read(body: bytes) -> None:
    assert repeated(body) is None


@pytest.mark.parametrize(
    "lesson",
    [
        b"",
        OPEN + CLOSE,
        OPEN + A + A + CLOSE,
        OPEN + A,
        OPEN + "<e:property><A>ü</A></e:property>".encode() + CLOSE,
        OPEN + b"<e:property><A>" + b"x" * 20_000 + b"</A></e:property>" + CLOSE,
    ],
)
def test_a_body_that_is_not_plain_or_has_two_variables_teaches_nothing(lesson: bytes) -> None:
    assert RepeatedBody.learn(lesson, DEFAULT_LIMITS) is None


def test_a_body_with_more_elements_than_the_limit_teaches_nothing() -> None:
    for most, known in ((3, False), (4, True)):
        limits = replace(DEFAULT_LIMITS, xml_elements=most)
        assert (RepeatedBody.learn(REPEATED, limits) is not None) == known
        assert (plain(REPEATED, limits) is not None) == known


@given(
    st.data(), st.binary(max_size=12) | st.text("ab&;ltgq<>/A ]\r\n", max_size=12).map(str.encode)
)
def test_whatever_stands_for_the_text_it_is_read_as_expat_does(
    data: st.DataObject, value: bytes
) -> None:
    body = bytearray(REPEATED.replace(b"1</A>", value + b"</A>"))
    repeated(bytes(body))
    position = data.draw(st.integers(0, len(body) - 1))
    body[position : position + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    repeated(bytes(body))
