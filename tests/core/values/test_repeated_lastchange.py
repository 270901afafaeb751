"""A LastChange that differs from an earlier one in the texts of its values alone: what is read must
be what the general way reads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.values.lastchange import RCS, parse_lastchange
from propchange.core.values.repeated_lastchange import RepeatedLastChange
from propchange.errors import RemoteProtocolError

LESSON = (
    f'<Event xmlns="{RCS}">\n<InstanceID val="7">'
    '<Volume channel="Master" val="20"/><Volume channel="LF" val="a&amp;b" />'
    '\n<PresetNameList val=""/><Volume channel="master" val="x"/></InstanceID></Event>'
)


def read(text: str, lesson: str = LESSON) -> list[str] | None:
    """What the form of ``lesson`` reads in ``text``: what the general way reads, or None."""
    form = RepeatedLastChange.learn(lesson, DEFAULT_LIMITS)
    assert form is not None
    texts = form.read(text)
    if texts is not None:
        found = parse_lastchange(text)
        assert not found.is_log
        assert not found.problems
        assert not found.mended
        assert [key for key, _, _, _ in form.keys] == [
            (entry.variable, entry.instance, entry.channel) for entry in found.entries
        ]
        assert texts == [entry.text for entry in found.entries]
        assert {entry.instance for entry in found.entries} == {form.instance}
    return texts


@pytest.mark.parametrize("value", ["", "21", "a b'c=/;", "~" * 20_000, "val=", "InstanceID val="])
def test_a_text_that_differs_in_its_values_alone_is_read(value: str) -> None:
    text = LESSON.replace('val="20"', f'val="{value}"').replace("a&amp;b", value)
    assert read(text) == [value, value, "", "x"]


@pytest.mark.parametrize("instance", [0, 7])
def test_the_values_of_instance_0_and_of_all_channels_are_those_of_the_event(
    instance: int,
) -> None:
    text = LESSON.replace('"7"', f'"{instance}"')
    form = RepeatedLastChange.learn(text, DEFAULT_LIMITS)
    assert form is not None
    assert form.instance == instance
    main = instance == 0
    assert form.keys == (
        (("Volume", instance, "Master"), "Volume", "Master", main),
        (("Volume", instance, "LF"), "Volume", "LF", False),
        (("PresetNameList", instance, None), "PresetNameList", None, main),
        (("Volume", instance, "master"), "Volume", "master", main),
    )
    assert form.distinct == {key for key, _, _, _ in form.keys}


@pytest.mark.parametrize(
    "text",
    [
        "",
        LESSON,  # with a reference
        LESSON.replace("a&amp;b", "<"),
        LESSON.replace("a&amp;b", ">"),
        LESSON.replace("a&amp;b", "\n"),
        LESSON.replace("a&amp;b", "ü"),
        LESSON.replace("a&amp;b", '"'),
        LESSON.replace("a&amp;b", "1").replace("LF", "RF"),
        LESSON.replace("a&amp;b", "1").replace('ID val="7"', 'ID val="8"'),
        LESSON.replace("a&amp;b", "1").replace(RCS, "urn:x"),
        LESSON.replace("a&amp;b", "1").replace("<Preset", "<Reset"),
        LESSON.replace("a&amp;b", "1").replace("</Event>", '<A val="1"/></Event>'),
        LESSON.replace("a&amp;b", "1") + " ",
    ],
)
def test_any_other_text_is_not_read(text: str) -> None:
    assert read(text) is None


@pytest.mark.parametrize(
    "lesson",
    [
        "",
        f'<Event xmlns="{RCS}"/>',
        f'<Event xmlns="{RCS}"><InstanceID val="0"/></Event>',
        LESSON.replace("</Event>", '<InstanceID val="1"><A val="1"/></InstanceID></Event>'),
        f'<Event xmlns="{RCS}"><InstanceID val="0"><InstanceID val="1"/></InstanceID></Event>',
        f'<Event xmlns="{RCS}"><InstanceID val="0"><A val="ü"/></InstanceID></Event>',
        '<StateEvent xmlns="urn:schemas-upnp-org:av:cds-event"><objAdd objID="1"/></StateEvent>',
    ],
)
def test_a_text_in_another_form_or_of_several_instances_teaches_nothing(lesson: str) -> None:
    assert RepeatedLastChange.learn(lesson, DEFAULT_LIMITS) is None


pieces = st.sampled_from(
    ["", " ", "/", ">", "<", '"', "'", "&", "&lt;", "val=", "A", "9", "\n", '<A val="1"/>', "ü"]
)


@given(st.data())
def test_a_text_with_any_change_is_read_as_by_the_general_way(data: st.DataObject) -> None:
    known = LESSON.replace("&amp;", "")

    def changed() -> str:
        begin = data.draw(st.integers(0, len(known)))
        end = begin + data.draw(st.integers(0, 30))
        return known[:begin] + data.draw(pieces) + known[end:]

    read(changed())
    lesson, text = changed(), changed()
    form = RepeatedLastChange.learn(lesson, DEFAULT_LIMITS)
    if form is None:
        return
    texts = form.read(text)
    if texts is not None:
        try:
            found = parse_lastchange(text)
        except RemoteProtocolError as error:
            raise AssertionError(text) from error
        assert texts == [entry.text for entry in found.entries]
        assert [key for key, _, _, _ in form.keys] == [
            (entry.variable, entry.instance, entry.channel) for entry in found.entries
        ]
