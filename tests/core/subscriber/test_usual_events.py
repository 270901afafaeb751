"""The short way of the usual event, the next in order and of one variable: nothing may come out
otherwise than by the general way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import propchange.core.subscriber.record as record_module
from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.subscriber.events import Event
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.values.data_types import DATA_TYPES
from propchange.core.wire.messages import Request
from propchange.core.wire.propertyset import format_propertyset
from tests.core.subscriber.test_protocol import DEVICE, LOCAL, ControlPoint

LAST_CHANGE = (
    '<Event><InstanceID val="0"><A val="7"/><B channel="LF" val="8"/></InstanceID></Event>'
)
CONVERT = {"A": DATA_TYPES["ui4"].parse, "B": DATA_TYPES["string"].parse}


def fields_of(outcome: Any) -> tuple[str, ...]:
    """An outcome, whole: the representation of a record is cut."""
    names = getattr(outcome, "_fields", None) or outcome.__dataclass_fields__
    return type(outcome).__name__, *(f"{name}={getattr(outcome, name)!r}" for name in names)


class Device:
    """Sends NOTIFYs to a control point. ``repeats``: their heads are one object, as on a connection
    that stays open; otherwise each of them is judged and read for itself."""

    def __init__(self, *, repeats: bool, limits: Limits = DEFAULT_LIMITS, **options: Any) -> None:
        self.point = ControlPoint(limits=limits)
        self.record: SubscriptionRecord = self.point.active(**options)
        self.head: Any = object() if repeats else None

    def notify(self, seq: int, body: bytes, sid: str | None = None) -> int:
        sid = self.record.sid if sid is None else sid
        headers = (
            (b"HOST", b"10.0.0.2:9000"),
            (b"NT", b"upnp:event"),
            (b"NTS", b"upnp:propchange"),
            (b"SID", sid.encode()),
            (b"SEQ", b"%d" % seq),
        )
        path = self.record.path
        request = Request("NOTIFY", path, headers, body, peer=DEVICE, local=LOCAL)
        if self.head is not None and sid == self.record.sid:
            request.head = self.head
            request.seq = seq if seq < 10**9 else -1
        return self.point.protocol.receive_notify(request, self.point.now).status

    def told(self) -> list[Any]:
        """All that a program can see of what happened since the last call."""
        found: list[Any] = []
        for outcome in self.point.outcomes():
            if isinstance(outcome, Event):
                about = (outcome.sid, outcome.seq, outcome.is_initial, outcome.problems)
                found.append((about, outcome.changes, outcome.details, outcome.received))
            else:
                found.append(fields_of(outcome))
        record = self.record
        found.append((record.status, record.gaps, record.losses, record.problems, record.stale))
        found.append((record.values, record.instances.flat(), record.last_event_at))
        found.append(self.point.protocol.next_deadline())
        return found


texts = st.one_of(
    st.integers(0, 2**33).map(str),
    st.sampled_from(["", "x", " 5 ", "5.0", "<a>&amp;</a>", "ü", "\r", "]]>", "x" * 1_100]),
    st.just(LAST_CHANGE),
    st.text(max_size=8),
)
variables = st.sampled_from(["A", "A", "A", "B", "LastChange", "Undeclared"])
frames = st.sampled_from(
    [(b"", b""), (b"\n", b"\n"), (b"<!-- -->", b""), (b"", b"<x>"), (b"", b"&")]
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    pairs = {draw(variables): draw(texts) for _ in range(draw(st.sampled_from([1, 1, 1, 1, 2])))}
    try:
        body = format_propertyset(pairs.items())
    except ValueError:
        body = format_propertyset([("A", "1")])
    before, after = draw(frames)
    return body.replace(b"<e:property>", before + b"<e:property>") + after


steps = st.tuples(
    st.sampled_from([1, 1, 1, 1, 1, 0, 2, -1, 10**9]),  # to the next SEQ
    bodies(),
    st.sampled_from([None, None, None, None, "uuid:other"]),
    st.sampled_from([0.0, 0.0, 1.0, 40.0]),  # seconds before it
)


@given(
    st.lists(steps, max_size=12),
    st.sampled_from([None, CONVERT]),
    st.sampled_from([None, None, 5.0]),
)
def test_events_of_a_connection_that_stays_are_those_of_connections_that_end(
    moves: list[tuple[int, bytes, str | None, float]], convert: Any, interval: float | None
) -> None:
    kept, ended = (
        Device(repeats=repeats, convert=convert, minimum_interval=interval)
        for repeats in (True, False)
    )
    seq = 0
    for step, body, sid, seconds in moves:
        seq = max(0, seq + step)
        for device in (kept, ended):
            device.point.now += seconds
        assert kept.notify(seq, body, sid) == ended.notify(seq, body, sid)
        assert kept.told() == ended.told()


@given(
    st.lists(st.tuples(st.sampled_from([1, 1, 1, 0, 2, -1]), texts), max_size=12),
    st.sampled_from([None, CONVERT]),
)
def test_a_variable_alone_means_the_same_as_beside_another_one(
    moves: list[tuple[int, str]], convert: Any
) -> None:
    alone, beside = Device(repeats=True, convert=convert), Device(repeats=True, convert=convert)
    seq = 0
    for step, text in moves:
        seq = max(1, seq + step)
        try:
            body = format_propertyset([("A", text)])
        except ValueError:
            continue
        other = format_propertyset([("A", text), ("B", "1")])
        assert alone.notify(seq, body) == beside.notify(seq, other) == 200
        for one, two in zip(alone.point.outcomes(), beside.point.outcomes(), strict=True):
            if isinstance(one, Event) and isinstance(two, Event):
                assert (one.seq, one.details) == (two.seq, two.details[:1])
                assert one.received == two.received[:1]
                assert one.changes.get("A") == two.changes.get("A")
            else:
                assert fields_of(one) == fields_of(two)
        assert alone.record.values.get("A") == beside.record.values.get("A")
        assert alone.record.gaps == beside.record.gaps


def test_a_form_is_learned_again_when_the_device_has_another_one() -> None:
    device = Device(repeats=True)
    other = format_propertyset([("B", "1")])
    for seq, body in enumerate([format_propertyset([("A", "1")])] * 3 + [other] * 3, 1):
        assert device.notify(seq, body) == 200
    assert device.record.form is not None
    assert device.record.form.read(other) == "1"


def test_a_device_whose_bodies_never_repeat_is_not_learned_for_ever() -> None:
    device = Device(repeats=True)
    forms = []
    for seq in range(1, 30):
        assert device.notify(seq, format_propertyset([(f"V{seq}", "1")])) == 200
        forms.append(device.record.form)
    learned = {id(form) for form in forms if form is not None}
    assert len(learned) == DEFAULT_LIMITS.learned_bodies


@pytest.mark.parametrize("text", ["1", "x"])
def test_a_function_of_the_program_is_called_once_for_each_event(text: str) -> None:
    calls = []

    def convert(text: str) -> int:
        calls.append(text)
        return int(text)

    device = Device(repeats=True, convert={"A": convert})
    for seq in range(1, 6):
        calls.clear()
        assert device.notify(seq, format_propertyset([("A", text)])) == 200
        assert calls == [text]
        (event,) = device.point.events()
        assert event.details[0].text == text


# --- LastChange ---

AV = (
    '<Event xmlns="urn:schemas-upnp-org:metadata-1-0/RCS/"><InstanceID val="{instance}">'
    '<A channel="Master" val="{first}"/><B val="{second}"/><A channel="LF" val="{first}"/>'
    '<A channel="master" val="{second}"/></InstanceID></Event>'
)
SINGLE = '<Event xmlns="urn:x"><InstanceID val="{instance}"><A val="{first}"/></InstanceID></Event>'
LOG = '<StateEvent xmlns="urn:schemas-upnp-org:av:cds-event"><objAdd objID="1"/></StateEvent>'
GONE = '<Event xmlns="urn:x"><InstanceID val="{instance}"/></Event>'


def vendors_own(text: str) -> object:
    return len(text)


declared = st.sampled_from(
    [
        None,
        CONVERT,
        {**CONVERT, "LastChange": DATA_TYPES["string"].parse},
        {**CONVERT, "LastChange": DATA_TYPES["char"].parse},
        {**CONVERT, "LastChange": vendors_own},
        {"LastChange": DATA_TYPES["string"].parse},
        {"A": DATA_TYPES["ui4"].parse},
    ]
)
last_changes = st.builds(
    str.format,
    st.sampled_from([AV, AV, AV, AV, SINGLE, LOG, GONE, "<Event", "1"]),
    instance=st.sampled_from([0, 0, 0, 0, 1]),
    first=st.sampled_from(["0", "1", "2", "x", "", "&amp;", "9" * 12, "y" * 600]),
    second=st.sampled_from(["0", "1", "z", "&lt;b&gt;"]),
)
last_change_steps = st.tuples(
    st.sampled_from([1, 1, 1, 1, 1, 1, 1, 0, 2, -1]),
    st.one_of(
        st.tuples(st.just("LastChange"), last_changes),
        st.tuples(st.just("LastChange"), last_changes),
        st.tuples(st.sampled_from(["A", "B"]), texts),
    ),
)
room = st.sampled_from([DEFAULT_LIMITS, replace(DEFAULT_LIMITS, fold_keys=5)])


def compare(
    moves: list[tuple[int, tuple[str, str]]], limits: Limits = DEFAULT_LIMITS, **options: Any
) -> None:
    """Send the events to two subscriptions, of which one learns nothing. They see the same."""
    short, general = (
        Device(repeats=True, limits=replace(limits, learned_bodies=learned), **options)
        for learned in (limits.learned_bodies, 0)
    )
    seq = 0
    for step, pair in moves:
        seq = max(1, seq + step)
        try:
            body = format_propertyset([pair])
        except ValueError:
            continue
        assert short.notify(seq, body) == general.notify(seq, body) == 200
        assert short.told() == general.told()


@given(st.lists(last_change_steps, max_size=14), declared, st.sampled_from([None, 5.0]), room)
def test_a_last_change_that_repeats_means_the_same_as_one_that_is_read_anew(
    moves: list[tuple[int, tuple[str, str]]],
    convert: Any,
    interval: float | None,
    limits: Limits,
) -> None:
    compare(moves, limits, convert=convert, minimum_interval=interval)


def of_instance(instance: int, form: str = AV, first: object = 1) -> tuple[int, tuple[str, str]]:
    return 1, ("LastChange", form.format(instance=instance, first=first, second=2))


@pytest.mark.parametrize(
    ("moves", "convert", "room"),
    [
        pytest.param([of_instance(0, LOG), of_instance(0)], None, 9, id="a log before it"),
        pytest.param([of_instance(1, GONE), of_instance(1)], None, 9, id="its instance has gone"),
        pytest.param([of_instance(1, GONE), of_instance(1)], CONVERT, 9, id="declared, and gone"),
        pytest.param([of_instance(0), of_instance(0)], None, 5, id="values without room"),
        pytest.param([of_instance(0), of_instance(0)], None, 2, id="instances without room"),
        pytest.param(
            [of_instance(0), of_instance(0)], {"LastChange": vendors_own}, 9, id="a vendor's own"
        ),
        pytest.param(
            [of_instance(0), of_instance(0)],
            {"LastChange": DATA_TYPES["char"].parse},
            9,
            id="of another type",
        ),
        pytest.param([of_instance(0, first="x"), of_instance(0)], CONVERT, 9, id="an unfit value"),
        pytest.param([of_instance(0, first="&amp;")], CONVERT, 9, id="a reference"),
    ],
)
def test_a_last_change_that_repeats_in_another_state_is_read_anew(
    moves: list[tuple[int, tuple[str, str]]], convert: Any, room: int
) -> None:
    limits = replace(DEFAULT_LIMITS, fold_keys=room)
    for instance in (0, 1):
        usual = [of_instance(instance), of_instance(instance), of_instance(instance, first=3)]
        compare([*usual, *moves, *usual], limits, convert=convert)


def av(first: object, second: object = "b") -> bytes:
    return format_propertyset([("LastChange", AV.format(instance=0, first=first, second=second))])


@pytest.mark.parametrize(
    ("convert", "value", "previous"),
    [
        (None, "7", "3"),
        (CONVERT, 7, 3),
        ({"A": CONVERT["A"]}, 7, 3),  # B is not declared
    ],
)
def test_a_last_change_that_repeats_is_not_parsed(
    monkeypatch: pytest.MonkeyPatch, convert: Any, value: object, previous: object
) -> None:
    device = Device(repeats=True, convert=convert)
    for seq in range(1, 4):
        assert device.notify(seq, av(seq, 5)) == 200
    device.point.events()
    read = []
    monkeypatch.setattr(record_module, "parse_lastchange", lambda *words: read.append(words))
    assert device.notify(4, av(7, 5)) == 200
    (event,) = device.point.events()
    assert read == []
    assert event.details[1].value == value
    assert event.details[1].previous == previous


def test_a_device_whose_last_changes_never_repeat_is_not_learned_for_ever() -> None:
    device = Device(repeats=True)
    forms = []
    for seq in range(1, 30):
        text = f'<Event xmlns="urn:x"><InstanceID val="0"><V{seq} val="1"/></InstanceID></Event>'
        assert device.notify(seq, format_propertyset([("LastChange", text)])) == 200
        forms.append(device.record.last_change_form)
    learned = {id(form) for form in forms if form is not None}
    assert len(learned) == DEFAULT_LIMITS.learned_bodies


def test_a_function_of_the_program_is_called_once_for_each_value_of_a_last_change() -> None:
    calls = []

    def convert(text: str) -> int:
        calls.append(text)
        return int(text)

    device = Device(repeats=True, convert={"A": convert, "B": DATA_TYPES["string"].parse})
    for seq, first in enumerate(["1", "2", "3", "4", "x", "5"], 1):
        calls.clear()
        assert device.notify(seq, av(first, "6")) == 200
        assert calls == [first, first, "6"]
