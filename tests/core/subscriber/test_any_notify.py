"""Whatever stands in a NOTIFY: it has an answer, and a readable event is not lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.subscriber.events import Event
from propchange.core.subscriber.outcomes import Unreadable
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.values.data_types import DATA_TYPES
from propchange.core.wire.messages import Request
from propchange.core.wire.propertyset import format_propertyset
from tests.core.subscriber.test_protocol import DEVICE, LOCAL, ControlPoint

TYPES = {**{name.replace(".", "_"): each.parse for name, each in DATA_TYPES.items()}}
PIECES = st.lists(
    st.sampled_from(
        [
            *("<", ">", "</", "/>", ":", "=", "'", " ", "\n", "&", ";", "-", ".", "\\", ",", "T"),
            *(
                "<Event>",
                "</Event>",
                "<StateEvent>",
                "</StateEvent>",
                "<InstanceID val='0'>",
                "<?xml",
            ),
            *("<x:1/>", "<: o='1'/>", "val='1'", "objMod", "&lt;", "&#0;", "]]>", "<![CDATA["),
            *("<e:property>", "</e:property>", "<e:>", "</e:>", "<A>", "</A>", "encoding='utf-16'"),
            *(
                "1",
                "9" * 400,
                "e99999",
                "0x",
                "+",
                "nan",
                "inf",
                "12:00",
                "2000-01-01",
                "é",
                "\u2028",
            ),
        ]
    ),
    max_size=20,
).map("".join)
TEXTS = st.one_of(st.text(), PIECES, PIECES.map(lambda it: f"<StateEvent>{it}</StateEvent>"))
BODIES = st.one_of(
    st.binary(max_size=200),
    TEXTS.map(lambda it: it.encode("utf-8", "surrogatepass")),
    TEXTS.map(
        lambda it: (
            b"<e:propertyset xmlns:e='urn:schemas-upnp-org:event-1-0'><e:property>"
            + it.encode("utf-8", "surrogatepass")
            + b"</e:property></e:propertyset>"
        )
    ),
)


def notify(point: ControlPoint, record: SubscriptionRecord, seq: int, body: bytes) -> int:
    headers = (
        (b"HOST", b"10.0.0.2:9000"),
        (b"NT", b"upnp:event"),
        (b"NTS", b"upnp:propchange"),
        (b"SID", record.sid.encode()),
        (b"SEQ", b"%d" % seq),
    )
    request = Request("NOTIFY", record.path, headers, body, peer=DEVICE, local=LOCAL)
    return point.protocol.receive_notify(request, point.now).status


@given(BODIES)
def test_any_body_is_an_event_or_400(body: bytes) -> None:
    point = ControlPoint()
    record = point.active(convert={**TYPES, "LastChange": str})
    status = notify(point, record, 1, body)
    assert status in (200, 400)
    assert len(point.events()) == (status == 200)


@given(st.dictionaries(st.sampled_from([*TYPES, "LastChange", "Undeclared"]), TEXTS, min_size=1))
def test_any_values_are_one_event_with_each_of_them(values: dict[str, str]) -> None:
    point = ControlPoint()
    record = point.active(convert={**TYPES, "LastChange": str})
    try:
        body = format_propertyset(values.items())
    except ValueError:
        return  # no document of XML can carry it
    assert notify(point, record, 1, body) == 200
    (event,) = point.events()
    assert {change.variable for change in event.details} >= values.keys()


@pytest.mark.parametrize(
    "text",
    [
        "<StateEvent><: o='1'/></StateEvent>",
        "<StateEvent><x: o='1'/></StateEvent>",
        "<Event><InstanceID val='0'><: val='1'/></InstanceID></Event>",
        "<:/>",
    ],
)
def test_a_lastchange_that_cannot_be_read_is_an_event_with_its_text(text: str) -> None:
    point = ControlPoint()
    record = point.active()
    assert notify(point, record, 1, format_propertyset([("LastChange", text)])) == 200
    event, trouble = point.outcomes()
    assert isinstance(event, Event)
    assert event.changes == {"LastChange": text}
    assert isinstance(trouble, Unreadable)
    assert "has no local name" in trouble.reason


def test_a_change_of_an_object_that_cannot_be_read_does_not_cost_the_others() -> None:
    point = ControlPoint()
    record = point.active()
    text = "<StateEvent xmlns='u' xmlns:x='v'><x:1/><objMod objID='7'/></StateEvent>"
    assert notify(point, record, 1, format_propertyset([("LastChange", text)])) == 200
    event, trouble = point.outcomes()
    assert [change.variable for change in event.details] == ["LastChange", "objMod"]
    assert "'1' cannot be the name" in trouble.reason


def test_a_variable_without_a_local_name_is_400() -> None:
    point = ControlPoint()
    record = point.active()
    body = b"<e:propertyset xmlns:e='urn:e'><e:property><e:>1</e:></e:property></e:propertyset>"
    assert notify(point, record, 1, body) == 400


class Fault(Exception):
    pass


def fail(text: str) -> object:
    raise Fault(text)


@pytest.mark.parametrize(
    "body",
    [
        format_propertyset([("A", "1"), ("B", "2")]),
        format_propertyset([("LastChange", "<Event><A val='1'/><B val='2'/></Event>")]),
    ],
)
def test_a_function_of_the_program_that_raises_costs_its_variable_alone(body: bytes) -> None:
    point = ControlPoint()
    record = point.granted(convert={"A": fail, "B": int, "LastChange": str})
    assert notify(point, record, 0, body) == 200
    (event,) = point.events()
    assert event.changes == {"B": 2}
    assert [(it.variable, it.value) for it in event.details[-2:]] == [("A", None), ("B", 2)]
