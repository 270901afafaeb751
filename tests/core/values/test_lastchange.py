from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.values.lastchange import (
    AVT,
    CDS_EVENT,
    RCS,
    LastChange,
    LastChangeEntry,
    LastChangeFold,
    format_lastchange,
    parse_lastchange,
    parse_plain_lastchange,
)
from propchange.errors import RemoteProtocolError


def entry(instance, variable, text, channel=None) -> LastChangeEntry:
    return LastChangeEntry(instance, variable, channel, text)


def event(*inside: str, attributes: str = f'xmlns="{RCS}"') -> str:
    return f"<Event {attributes}>{''.join(inside)}</Event>"


def instance(number: object, *inside: str) -> str:
    return f'<InstanceID val="{number}">{"".join(inside)}</InstanceID>'


VOLUME = '<Volume channel="Master" val="20"/>'


# --- reading ---


@pytest.mark.clause("LC-03")
@pytest.mark.clause("LC-04")
def test_every_variable_of_every_instance_and_channel_is_an_entry() -> None:
    text = event(
        instance(0, VOLUME, '<Volume channel="LF" val="5"/>', '<PresetNameList val="A,B"/>'),
        instance(7, '<Mute channel="Master" val="1"/>'),
    )
    assert parse_lastchange(text) == LastChange(
        RCS,
        False,
        (
            entry(0, "Volume", "20", "Master"),
            entry(0, "Volume", "5", "LF"),
            entry(0, "PresetNameList", "A,B"),
            entry(7, "Mute", "1", "Master"),
        ),
    )


@pytest.mark.clause("LC-03")
@pytest.mark.parametrize(
    "attributes",
    [
        f'xmlns="{AVT}"',
        'xmlns="urn:schemas-upnp-org:metadata-1-0/AVT_RCS"',
        "",
        'xmlns="urn:schemas-rinconnetworks-com:metadata-1-0/" xmlns:r="urn:r"',
    ],
)
def test_any_namespace_is_read(attributes) -> None:
    text = event(instance(0, VOLUME), attributes=attributes)
    assert parse_lastchange(text).entries == (entry(0, "Volume", "20", "Master"),)


def test_any_prefix_is_read() -> None:
    text = '<x:Event xmlns:x="urn:x"><x:InstanceID val="0"><y:A val="1"/></x:InstanceID></x:Event>'
    assert parse_lastchange(text).entries == (entry(0, "A", "1"),)


def test_attributes_are_read_in_any_case() -> None:
    text = '<Event><instanceid Val="3"><Volume Channel="LF" VAL="1"/></instanceid></Event>'
    assert parse_lastchange(text).entries == (entry(3, "Volume", "1", "LF"),)


def test_a_value_may_stand_in_the_element() -> None:
    text = event(instance(0, "<PresetNameList> FactoryDefaults </PresetNameList>"))
    assert parse_lastchange(text).entries == (entry(0, "PresetNameList", "FactoryDefaults"),)


def test_variables_outside_of_an_instance_are_those_of_instance_0() -> None:
    assert parse_lastchange(event(VOLUME)).entries == (entry(0, "Volume", "20", "Master"),)


def test_an_instance_in_which_nothing_is_told_is_an_entry_without_a_variable() -> None:
    assert parse_lastchange(event(instance(0))).entries == (entry(0, "", ""),)


@pytest.mark.parametrize("number", ["", "x", "-1", "4294967296", "1.5"])
def test_an_instance_that_is_no_number_is_left_out_and_told(number) -> None:
    found = parse_lastchange(event(instance(number, VOLUME), instance(1, VOLUME)))
    assert found.entries == (entry(1, "Volume", "20", "Master"),)
    assert found.problems == (f"{number!r} is no InstanceID",)


def test_an_instance_without_a_number_is_left_out() -> None:
    found = parse_lastchange("<Event><InstanceID><A val='1'/></InstanceID></Event>")
    assert (found.entries, found.problems) == ((), ("'' is no InstanceID",))


def test_only_the_first_problems_are_told() -> None:
    assert len(parse_lastchange(event(*[instance("x")] * 100)).problems) == 8


@pytest.mark.clause("LC-08")
def test_metadata_inside_a_value_is_its_text() -> None:
    didl = '<DIDL-Lite xmlns="urn:d"><item id="1">A &amp; B</item></DIDL-Lite>'
    text = format_lastchange(AVT, [entry(0, "CurrentTrackMetaData", didl)])
    assert parse_lastchange(text).entries == (entry(0, "CurrentTrackMetaData", didl),)


@pytest.mark.parametrize(
    "text",
    [
        event(instance(0, VOLUME)).replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;"),
        event(instance(0, VOLUME)).replace("<", "&lt;"),
        f'<?xml version="1.0"?>\n{event(instance(0, VOLUME))}',
        f'<?xml version="1.0" encoding="utf-16"?>{event(instance(0, VOLUME))}',
        f" \n{event(instance(0, VOLUME))}\n\0",
    ],
    ids=["escaped twice", "half escaped", "declared", "declared in another encoding", "padded"],
)
def test_what_devices_do_to_a_last_change_is_read(text) -> None:
    assert parse_lastchange(text).entries == (entry(0, "Volume", "20", "Master"),)


def test_attributes_with_a_prefix_and_a_byte_order_mark_in_the_text_are_read() -> None:
    text = event(instance(0, '<r:Volume r:channel="LF" r:Val="20"/>'))
    for written in (text, "\ufeff" + text, "\ufeff" + text.replace("<", "&lt;")):
        assert parse_lastchange(written).entries == (entry(0, "Volume", "20", "LF"),)


def test_an_ampersand_that_is_not_escaped_is_read() -> None:
    text = event(instance(0, '<Title val="A & B &amp; C &copy; &#68; &#x45; &"/>'))
    assert parse_lastchange(text).entries == (entry(0, "Title", "A & B & C \xa9 D E &"),)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "malformed XML"),
        ("2024-01-01", "malformed XML"),
        ("<Event>", "malformed XML"),
        ("<Event val='&'", "malformed XML"),
        ("<Events/>", "'Events' is no LastChange"),
        ("<!DOCTYPE Event><Event/>", "a document type declaration"),
        ("&lt;&lt;", "malformed XML"),
    ],
)
def test_what_is_neither_form_is_refused(text, reason) -> None:
    with pytest.raises(RemoteProtocolError, match=reason) as caught:
        parse_lastchange(text)
    assert caught.value.status == 400


def test_depth_and_number_of_elements_are_bounded() -> None:
    limits = dataclasses.replace(DEFAULT_LIMITS, xml_elements=10, xml_depth=4)
    with pytest.raises(RemoteProtocolError, match="too many"):
        parse_lastchange(event(instance(0, VOLUME * 4)), limits)
    with pytest.raises(RemoteProtocolError, match="too deeply"):
        parse_lastchange("<Event><a><b><c><d/></c></b></a></Event>", limits)


@given(st.text("<>&;\"'= abEventInstanceIDval0#x/!?", max_size=60))
def test_any_text_is_read_or_refused(text) -> None:
    with contextlib.suppress(RemoteProtocolError):
        assert isinstance(parse_lastchange(text), LastChange)


# --- the ContentDirectory form ---


@pytest.mark.clause("LC-11")
def test_the_content_directory_form_is_a_log_of_objects() -> None:
    text = (
        f'<StateEvent xmlns="{CDS_EVENT}">'
        '<objAdd objID="7" updateID="3" stUpdate="0" objParentID="0" objClass="a&amp;b"/>'
        '<stDone objID="0" updateID="4"/></StateEvent>'
    )
    attributes = (
        ("objID", "7"),
        ("updateID", "3"),
        ("stUpdate", "0"),
        ("objParentID", "0"),
        ("objClass", "a&b"),
    )
    found = parse_lastchange(text)
    assert (found.namespace, found.is_log) == (CDS_EVENT, True)
    assert found.entries == (
        LastChangeEntry(
            None,
            "objAdd",
            "7",
            '<objAdd objID="7" updateID="3" stUpdate="0" objParentID="0" objClass="a&amp;b"/>',
            attributes,
        ),
        LastChangeEntry(
            None,
            "stDone",
            "0",
            '<stDone objID="0" updateID="4"/>',
            (("objID", "0"), ("updateID", "4")),
        ),
    )
    assert format_lastchange(CDS_EVENT, found.entries) == text


def test_an_empty_log_is_a_log() -> None:
    assert parse_lastchange(f'<StateEvent xmlns="{CDS_EVENT}"/>') == LastChange(CDS_EVENT, True, ())


# --- writing ---


@pytest.mark.clause("LC-03")
@pytest.mark.clause("LC-04")
def test_entries_are_written_with_one_element_per_instance() -> None:
    entries = [
        entry(0, "Volume", "20", "Master"),
        entry(1, "Mute", "0", "Master"),
        entry(0, "PresetNameList", "A"),
    ]
    assert format_lastchange(RCS, entries) == (
        f'<Event xmlns="{RCS}"><InstanceID val="0"><Volume channel="Master" val="20"/>'
        '<PresetNameList val="A"/></InstanceID>'
        '<InstanceID val="1"><Mute channel="Master" val="0"/></InstanceID></Event>'
    )


def test_nothing_to_tell_is_an_empty_event() -> None:
    assert format_lastchange(RCS, []) == f'<Event xmlns="{RCS}"></Event>'


def test_an_instance_that_has_gone_and_come_back_has_two_elements() -> None:
    entries = [entry(1, "A", "0"), entry(1, "", ""), entry(1, "A", "1")]
    text = format_lastchange(AVT, entries)
    assert parse_lastchange(text).entries == tuple(entries)
    assert text.count('<InstanceID val="1"></InstanceID>') == 1


def test_a_namespace_is_escaped() -> None:
    assert format_lastchange('a"&', []) == '<Event xmlns="a&quot;&amp;"></Event>'


@pytest.mark.parametrize(
    "bad",
    [
        entry(0, "1st", "x"),
        entry(0, "a b", "x"),
        entry(0, "A", "\x1b"),
        entry(0, "A", "", "\ufffe"),
    ],
)
def test_what_xml_cannot_carry_is_refused(bad) -> None:
    with pytest.raises(ValueError, match="cannot"):
        format_lastchange(RCS, [bad])


texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufffe\uffff")
)
entries = st.builds(
    LastChangeEntry,
    st.integers(0, 3),
    st.sampled_from(["Volume", "Mute", "Größe"]),
    st.none() | texts,
    texts | st.sampled_from(["\t", "a\nb", "\r\n", "]]>", "\"<&>'"]),
    st.just(()),
)


@given(st.lists(entries))
def test_what_is_written_is_read_again(entries) -> None:
    found = parse_lastchange(format_lastchange(RCS, entries)).entries
    assert found == tuple(
        sorted(entries, key=lambda it: [e.instance for e in entries].index(it[0]))
    )


# --- the fold ---


@pytest.mark.clause("LC-05")
@pytest.mark.clause("LC-06")
def test_within_a_period_each_variable_is_told_once_with_its_latest_value() -> None:
    fold = LastChangeFold(RCS)
    older = event(instance(0, VOLUME, '<Volume channel="LF" val="1"/>', '<A val="1"/>'))
    newer = event(instance(1, VOLUME), instance(0, '<Volume channel="Master" val="30"/>'))
    assert set(parse_lastchange(fold(older, newer)).entries) == {
        entry(0, "Volume", "1", "LF"),
        entry(0, "A", "1"),
        entry(1, "Volume", "20", "Master"),
        entry(0, "Volume", "30", "Master"),
    }


@pytest.mark.clause("LC-07")
@pytest.mark.clause("EVT-03")
def test_the_initial_event_is_the_state_of_all_instances() -> None:
    rule = LastChangeFold(RCS).rule(event(instance(0, VOLUME, '<A val="1"/>')), DEFAULT_LIMITS)
    rule.record(event(instance(1, VOLUME)), 1)
    rule.record(event(instance(0, '<A val="2"/>')), 2)
    assert rule.current() == event(instance(0, VOLUME, '<A val="2"/>'), instance(1, VOLUME))
    assert rule.since(1) == event(instance(0, '<A val="2"/>'))


def test_an_instance_that_has_gone_is_in_no_later_initial_event() -> None:
    rule = LastChangeFold(RCS).rule(event(instance(0, VOLUME)), DEFAULT_LIMITS)
    rule.record(event(instance(1, VOLUME)), 1)
    rule.record(event(instance(1)), 2)
    assert rule.current() == event(instance(0, VOLUME))
    assert rule.since(0) == event(instance(1))


def test_a_log_keeps_the_last_of_what_happened_to_an_object_in_order() -> None:
    fold = LastChangeFold(CDS_EVENT)

    def log(*inside: str) -> str:
        return f'<StateEvent xmlns="{CDS_EVENT}">{"".join(inside)}</StateEvent>'

    first, second = '<objMod objID="7" updateID="1"/>', '<objMod objID="7" updateID="2"/>'
    added, deleted = '<objAdd objID="8"/>', '<objDel objID="8"/>'
    assert fold(log(first, added), log(deleted, second)) == log(added, deleted, second)
    rule = fold.rule(log(), DEFAULT_LIMITS)
    rule.record(log(added), 1)
    rule.record(log(second), 2)
    assert (rule.since(0), rule.current()) == (log(added, second), log(second))


def test_a_fold_refuses_what_is_no_last_change() -> None:
    with pytest.raises(ValueError, match="not a LastChange: malformed"):
        LastChangeFold(RCS).read("Volume=20")


def test_what_we_wrote_ourselves_may_be_long() -> None:
    many = [entry(number, "A", "1") for number in range(15_000)]
    assert len(LastChangeFold(RCS).read(format_lastchange(RCS, many))) == 15_000


def test_a_fold_is_shown_with_its_namespace() -> None:
    assert repr(LastChangeFold("urn:x")) == "LastChangeFold('urn:x')"


# --- what hostile devices write ---


@pytest.mark.parametrize("name", [":", "x:", "x:y:"])
@pytest.mark.parametrize("root", ["Event", "StateEvent"])
def test_an_element_without_a_local_name_is_no_lastchange(root: str, name: str) -> None:
    with pytest.raises(RemoteProtocolError, match="has no local name") as raised:
        parse_lastchange(f"<{root}><{name} o='1'/></{root}>")
    assert raised.value.status == 400


@pytest.mark.parametrize("name", ["x:1", "x:-", "x:.a", ":7"])
def test_a_change_whose_name_is_no_xml_name_is_left_out_and_told(name: str) -> None:
    found = parse_lastchange(f"<StateEvent><{name}/><objMod objID='7'/></StateEvent>")
    assert [entry.variable for entry in found.entries] == ["objMod"]
    assert "cannot be the name of an XML element" in found.problems[0]


def test_of_many_parts_that_cannot_be_read_the_first_ones_are_told() -> None:
    changes = "<x:1/>" * 100
    assert len(parse_lastchange(f"<StateEvent>{changes}</StateEvent>").problems) == 8


def test_a_declaration_that_does_not_end_is_no_lastchange() -> None:
    with pytest.raises(RemoteProtocolError):
        parse_lastchange("<?xml" * 1_000)


MARKUP = st.lists(
    st.sampled_from(
        [
            *("<", ">", "/", "/>", "</", ":", "=", "'", '"', " ", "\n", "\0", "&", ";", "?", "!"),
            *("<Event>", "</Event>", "<StateEvent>", "</StateEvent>", "<InstanceID", "val=", "'0'"),
            *("<?xml", "?>", "<!--", "-->", "<![CDATA[", "]]>", "<!DOCTYPE", "xmlns", "xmlns:x="),
            *("x", "x:", ":1", "1", "objMod", " o='1'", "&lt;", "&amp;", "&#0;", "&#xD800;", "&e;"),
            *("\ud800", "\ufffe", "\x1f", "\x85", "\u2028", "é", "\U0001f600"),
        ]
    ),
    max_size=24,
).map("".join)


@given(st.one_of(st.text(), MARKUP, MARKUP.map(lambda it: f"<StateEvent>{it}</StateEvent>")))
def test_any_text_is_a_lastchange_or_refused(text: str) -> None:
    with contextlib.suppress(RemoteProtocolError):
        parse_lastchange(text)


def test_a_name_that_is_too_long_to_be_remembered_is_left_out_and_told() -> None:
    long = "A" * 1_025
    text = event(
        f'<{long} val="1"/>',
        instance(1, f'<{long} val="1"/>', f'<V channel="{long}" val="1"/>', '<B val="2"/>'),
    )
    found = parse_lastchange(text)
    assert found.entries == (entry(1, "B", "2"),)
    assert len(found.problems) == 3
    assert found.problems[2] == "'V' or its channel has too long a name"


def test_an_instance_whose_variables_are_all_left_out_has_not_gone() -> None:
    assert parse_lastchange(event(instance(1, f'<{"A" * 1_025} val="1"/>'))).entries == ()


# --- the plain form ---

PLAIN_VARIABLES = (
    '<Volume channel="Master" val="7"/><Mute channel="LF" val="0" />\n'
    '<URI val="&lt;a b=&quot;&apos;&amp;amp;&gt; [x]"/><Title val=""/>'
)
PLAIN = (
    f'<Event xmlns="{RCS}">\r\n <InstanceID val="0">{PLAIN_VARIABLES}</InstanceID>'
    f'\t<InstanceID val="04">\n{VOLUME}\n</InstanceID>\n</Event>'
)


def plain(text: str, limits: Limits = DEFAULT_LIMITS) -> LastChange | None:
    """What is read without a tree of the elements, if it is. It must be what the tree gives."""
    found = parse_plain_lastchange(text, limits)
    if found is not None:
        # One blank more, and it is not plain any more.
        assert text.startswith("<Event ")
        other = f"<Event {text[6:]}"
        assert parse_plain_lastchange(other, limits) is None
        assert found == parse_lastchange(other, limits)
    return found


def test_the_plain_form_is_read_without_the_parser() -> None:
    found = plain(PLAIN)
    assert found is not None
    assert len(found.entries) == 5
    assert found == parse_lastchange(PLAIN)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<Event xmlns", "<Event  xmlns"),
        ("<Event", "<StateEvent"),
        ("</Event>", "</Event> "),
        ("</Event>", ""),
        ("</Event>", "<A val='1'/></Event>"),
        ('val="04"', 'val="x"'),
        ('val="04"', 'val="4294967296"'),
        ("<InstanceID", "<x:InstanceID"),
        ('channel="LF"', 'channel=""'),
        ('channel="LF"', 'channel="a&amp;b"'),
        ('channel="LF"', 'preset="LF"'),
        ('channel="LF" val="0"', 'val="0" channel="LF"'),
        ('val="7"', "val='7'"),
        ('val="7"', 'val="7" val="7"'),
        ('val="7"', 'val="\n"'),
        ('val="7"', 'val="\x00"'),
        ('val="7"', 'val="<"'),
        ('val="7"', 'val="&"'),
        ('val="7"', 'val="&#65;"'),
        ('val="7"', 'val="ü"'),
        ("<Volume", "<7"),
        ("<Volume", "<:"),
        ('val="7"/>', 'val="7"></Volume>'),
        (PLAIN_VARIABLES, ""),
        (PLAIN_VARIABLES, "x"),
        (PLAIN_VARIABLES, "<!-- -->"),
        ("<Volume", f"<{'V' * 1_100}"),
    ],
)
def test_any_other_form_is_left_to_the_parser(old: str, new: str) -> None:
    assert old in PLAIN
    assert plain(PLAIN.replace(old, new, 1)) is None


def test_the_plain_form_has_the_limits_of_the_parser() -> None:
    for most in range(25):
        limits = replace(DEFAULT_LIMITS, xml_elements=most)
        try:
            by_tree = parse_lastchange(PLAIN.replace("<Event ", "<Event  "), limits)
        except RemoteProtocolError:
            by_tree = None
        assert plain(PLAIN, limits) == by_tree
    assert plain(PLAIN, replace(DEFAULT_LIMITS, xml_depth=2)) is None


@given(st.data())
def test_a_plain_text_with_any_change_is_read_as_the_parser_reads_it(
    data: st.DataObject,
) -> None:
    position = data.draw(st.integers(0, len(PLAIN)))
    end = position + data.draw(st.integers(0, 30))
    piece = st.sampled_from(
        ["", " ", "/", ">", "<", '"', "'", "&", "&lt;", "val=", "A", "9", "\n", "<A val='1'/>", "ü"]
    )
    plain(PLAIN[:position] + data.draw(piece) + PLAIN[end:])
