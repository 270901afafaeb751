# ruff: noqa: PT012 -- the statements inside a batch are what is tested
"""Services that event through LastChange: attributes, channels, instances, batches."""

from __future__ import annotations

import pytest

from propchange.core.values.lastchange import RCS, LastChangeEntry, LastChangeFold, parse_lastchange
from propchange.core.values.state_variables import StateVariable
from propchange.upnp.scpd import parse_scpd
from propchange.upnp.service import Service
from tests.upnp.sinks import Sink

TYPE = "urn:schemas-upnp-org:service:RenderingControl:1"


class Rendering(Service, type=TYPE):
    volume = StateVariable("ui2", initial=10, maximum=100, evented="LastChange", channel="Master")
    preset = StateVariable("string", evented="LastChange")
    position = StateVariable("string", initial="0:00:00", evented=False)
    standby = StateVariable("boolean")


class LastChangeSink(Sink):
    def take(self) -> list[tuple[int | None, str, str | None, str]]:
        """What the one LastChange that was published tells; nothing else was."""
        (changes,) = self.published
        self.published.clear()
        assert list(changes) == ["LastChange"]
        return told(changes["LastChange"])


def told(text: str) -> list[tuple[int | None, str, str | None, str]]:
    return [entry[:4] for entry in parse_lastchange(text).entries]


def hosted() -> tuple[Rendering, LastChangeSink]:
    rendering, sink = Rendering(), LastChangeSink()
    rendering._attach_sink(sink)
    return rendering, sink


# --- the variable itself ---


@pytest.mark.clause("LC-01")
@pytest.mark.clause("LC-02")
def test_last_change_is_declared_by_itself_and_the_others_are_not_evented() -> None:
    rendering = Rendering()
    assert rendering.evented == ("Standby", "LastChange")
    variable = rendering.variables["LastChange"]
    assert (variable.data_type.name, variable.minimum_interval) == ("string", 0.2)
    table = parse_scpd(rendering.scpd())
    evented = [name for name, each in table.variables.items() if each.evented]
    assert evented == ["Standby", "LastChange"]
    assert "Volume" in table.variables


@pytest.mark.clause("LC-03")
@pytest.mark.parametrize(
    ("service_type", "namespace"),
    [
        (TYPE, "urn:schemas-upnp-org:metadata-1-0/RCS/"),
        ("urn:schemas-upnp-org:service:AVTransport:3", "urn:schemas-upnp-org:metadata-1-0/AVT/"),
        ("urn:example-org:service:Lamp:1", "urn:example-org:metadata-1-0/Lamp/"),
    ],
)
def test_the_namespace_follows_from_the_type(service_type, namespace) -> None:
    service = Service(
        type=service_type, variables=[StateVariable("i4", name="A", evented="LastChange")]
    )
    assert parse_lastchange(service._initial_texts()["LastChange"]).namespace == namespace


def test_a_declared_last_change_keeps_its_interval_its_namespace_and_its_level() -> None:
    fold = LastChangeFold("urn:x")

    class Slower(Rendering):
        last_change = StateVariable("string", minimum_interval=1.0, merge=fold)

    variable = Slower().variables["LastChange"]
    assert (variable.minimum_interval, variable.merge) == (1.0, fold)

    class Unmoderated(Rendering):
        last_change = StateVariable("string")

    assert Unmoderated().variables["LastChange"].minimum_interval is None
    assert Unmoderated().variables["LastChange"].multicast is False

    class Loud(Rendering):
        last_change = StateVariable("string", multicast=True, level="upnp:/info")

    assert Loud().variables["LastChange"].multicast is True
    assert Loud().variables["LastChange"].level == "upnp:/info"

    assert parse_lastchange(Unmoderated()._initial_texts()["LastChange"]).namespace == RCS


@pytest.mark.parametrize(
    ("declared", "reason"),
    [
        (StateVariable("ui1", name="LastChange"), "is a string, and evented"),
        (StateVariable("string", name="LastChange", evented=False), "is a string, and evented"),
        (StateVariable("string", name="LastChange", merge=lambda a, b: b), "a LastChangeFold"),
    ],
)
def test_a_declared_last_change_that_cannot_be_one_is_refused(declared, reason) -> None:
    with pytest.raises(ValueError, match=reason):
        Rendering(variables=[declared])


def test_nobody_assigns_to_last_change() -> None:
    rendering = Rendering()
    with pytest.raises(TypeError, match="made of the other variables"):
        rendering["LastChange"] = "<Event/>"
    assert rendering["LastChange"] == ""


# --- attributes ---


@pytest.mark.clause("LC-04")
def test_an_attribute_is_instance_0_and_its_channel() -> None:
    rendering, sink = hosted()
    rendering.volume = 20
    assert sink.take() == [(0, "Volume", "Master", "20")]
    rendering.preset = "A & <B>"
    assert sink.take() == [(0, "Preset", None, "A & <B>")]


@pytest.mark.clause("EVT-07")
@pytest.mark.clause("LC-10")
def test_variables_and_channels_with_a_value_are_in_the_instance() -> None:
    rendering = Rendering()
    instance = rendering.add_instance(3)
    instance["Volume", "LF"] = 5
    for present in ("Volume", ("Volume", "Master"), ("Volume", "LF"), "Preset"):
        assert present in instance
    for absent in (("Volume", "RF"), ("Preset", "LF"), "Standby", "Nothing", 7, ("Volume",), None):
        assert absent not in instance
    assert ("Volume", "LF") not in rendering.instance(0)


def test_an_equal_value_is_not_told() -> None:
    rendering, sink = hosted()
    rendering.volume = 10
    assert sink.published == []


@pytest.mark.clause("LC-10")
def test_what_changed_and_changed_back_in_a_batch_is_not_told() -> None:
    rendering, sink = hosted()
    with rendering.batch():
        rendering.volume = 20
        rendering.preset = "Dialogue"
        rendering.volume = 10
    assert sink.take() == [(0, "Preset", None, "Dialogue")]


@pytest.mark.clause("LC-09")
def test_a_variable_of_a_vendor_is_told_like_those_of_the_standard() -> None:
    class Louder(Rendering):
        boost = StateVariable("boolean", name="X_Boost", evented="LastChange")

    louder, sink = Louder(), LastChangeSink()
    louder._attach_sink(sink)
    louder.boost = True
    assert sink.take() == [(0, "X_Boost", None, "1")]
    assert (0, "X_Boost", None, "1") in told(louder._initial_texts()["LastChange"])


@pytest.mark.clause("LC-02")
def test_what_is_not_evented_is_not_told() -> None:
    rendering, sink = hosted()
    rendering.position = "0:00:01"
    assert (sink.published, rendering.position) == ([], "0:00:01")


@pytest.mark.clause("LC-07")
def test_the_initial_event_is_the_full_state() -> None:
    rendering = Rendering()
    rendering.volume = 11
    rendering.add_instance(2)["Volume", "LF"] = 3
    texts = rendering._initial_texts()
    assert texts["Standby"] == "0"
    assert told(texts["LastChange"]) == [
        (0, "Volume", "Master", "11"),
        (0, "Preset", None, ""),
        (2, "Volume", "Master", "10"),
        (2, "Preset", None, ""),
        (2, "Volume", "LF", "3"),
    ]


def test_what_cannot_be_sent_is_undone() -> None:
    rendering, sink = hosted()
    sink.refuse = RuntimeError("no")
    with pytest.raises(RuntimeError, match="no"):
        rendering.volume = 20
    with pytest.raises(RuntimeError, match="no"):
        rendering.add_instance(1)
    assert (rendering.volume, rendering.instances) == (10, (0,))
    assert sink.published == []


# --- channels and instances ---


@pytest.mark.clause("LC-04")
def test_another_channel_is_there_once_it_was_assigned_to() -> None:
    rendering, sink = hosted()
    instance = rendering.instance(0)
    with pytest.raises(KeyError, match="no channel LF of instance 0 of Volume"):
        instance["Volume", "LF"]
    instance["Volume", "LF"] = 10
    assert sink.take() == [(0, "Volume", "LF", "10")]
    instance["Volume", "LF"] = 10
    assert sink.published == []
    assert (instance["Volume", "LF"], rendering.volume) == (10, 10)


def test_the_declared_channel_of_instance_0_is_the_attribute() -> None:
    rendering, sink = hosted()
    instance = rendering.instance(0)
    instance["Volume"] = 1
    assert sink.take() == [(0, "Volume", "Master", "1")]
    instance["Volume", "Master"] = 2
    assert sink.take() == [(0, "Volume", "Master", "2")]
    assert (rendering.volume, instance["Volume"], instance["Volume", "Master"]) == (2, 2, 2)


def test_an_instance_is_told_whole_when_it_is_added_and_empty_when_it_has_gone() -> None:
    rendering, sink = hosted()
    added = rendering.add_instance(7)
    assert sink.take() == [(7, "Volume", "Master", "10"), (7, "Preset", None, "")]
    assert (rendering.instances, added.number, repr(added)[-13:]) == ((0, 7), 7, "InstanceID 7>")
    added["Volume"] = 20
    assert sink.take() == [(7, "Volume", "Master", "20")]
    added["Position"] = "0:00:09"
    assert (sink.published, added["Position"], rendering.position) == ([], "0:00:09", "0:00:00")
    rendering.remove_instance(7)
    assert sink.take() == [(7, "", None, "")]
    assert rendering.instances == (0,)
    with pytest.raises(KeyError, match="no instance 7 of Volume"):
        added["Volume"]
    with pytest.raises(KeyError, match="no instance 7 of Volume"):
        added["Volume"] = 3
    assert told(rendering._initial_texts()["LastChange"])[-1][0] == 0


def test_values_of_instances_are_checked_like_any_other() -> None:
    rendering, sink = hosted()
    instance = rendering.add_instance(1)
    sink.published.clear()
    with pytest.raises(ValueError, match="101 is not allowed"):
        instance["Volume"] = 101
    with pytest.raises(TypeError):
        instance["Volume", "LF"] = "loud"
    with pytest.raises(KeyError, match="no state variable 'Vol'"):
        instance["Vol"] = 1
    with pytest.raises(KeyError, match="Standby is not a variable of instances"):
        instance["Standby"] = True
    with pytest.raises(KeyError, match="Preset has no channels"):
        instance["Preset", "LF"] = "A"
    assert sink.published == []


def test_instances_that_cannot_be_are_refused() -> None:
    rendering = Rendering()
    rendering.add_instance(1)
    with pytest.raises(ValueError, match="has an instance 1 already"):
        rendering.add_instance(1)
    with pytest.raises(ValueError, match="has an instance 0 already"):
        rendering.add_instance(0)
    with pytest.raises(ValueError, match="-1"):
        rendering.add_instance(-1)
    with pytest.raises(ValueError, match="instance 0 has the values of the attributes"):
        rendering.remove_instance(0)
    with pytest.raises(LookupError, match="no instance 2; there are: 0, 1"):
        rendering.remove_instance(2)
    with pytest.raises(LookupError, match="no instance 2; there are: 0, 1"):
        rendering.instance(2)


def test_a_service_without_last_change_has_no_instances() -> None:
    service = Service(type=TYPE, variables=[StateVariable("i4", name="A")])
    assert service.instances == ()
    with pytest.raises(LookupError, match="there are: none"):
        service.instance(0)
    with pytest.raises(ValueError, match="has no instances"):
        service.add_instance(1)
    with pytest.raises(ValueError, match="has no instances"):
        service.remove_instance(1)


# --- batches ---


def test_a_batch_is_one_event_with_all_that_changed() -> None:
    rendering, sink = hosted()
    with rendering.batch():
        rendering.volume = 20
        rendering.standby = True
        rendering.instance(0)["Volume", "LF"] = 5
        rendering.add_instance(1)["Volume"] = 3
        rendering.preset = "A"
        rendering.preset = ""
        assert told(rendering._initial_texts()["LastChange"]) == [
            (0, "Volume", "Master", "10"),
            (0, "Preset", None, ""),
        ]
    (changes,) = sink.published
    assert changes["Standby"] == "1"
    assert sorted(told(changes["LastChange"]), key=str) == [
        (0, "Volume", "LF", "5"),
        (0, "Volume", "Master", "20"),
        (1, "Preset", None, ""),
        (1, "Volume", "Master", "3"),
    ]


def test_a_batch_that_fails_leaves_values_channels_and_instances_as_they_were() -> None:
    rendering, sink = hosted()
    rendering.add_instance(1)["Volume", "LF"] = 1
    sink.published.clear()
    before = rendering._initial_texts()
    with pytest.raises(ZeroDivisionError), rendering.batch():
        rendering.volume = 20
        rendering.instance(0)["Volume", "LF"] = 5
        rendering.add_instance(2)
        rendering.remove_instance(1)
        assert rendering.instances == (0, 2)
        1 / 0  # noqa: B018 -- whatever goes wrong
    assert (rendering.instances, sink.published) == ((0, 1), [])
    assert {key: sorted(told(text)) for key, text in [("a", before["LastChange"])]} == {
        "a": sorted(told(rendering._initial_texts()["LastChange"]))
    }


def test_an_instance_that_goes_and_comes_back_in_a_batch_is_told_anew() -> None:
    rendering, sink = hosted()
    rendering.add_instance(1)["Volume", "LF"] = 1
    rendering.instance(1)["Volume"] = 2
    sink.published.clear()
    with rendering.batch():
        rendering.remove_instance(1)
        rendering.add_instance(1)
    assert sink.take() == [
        (1, "", None, ""),
        (1, "Volume", "Master", "10"),
        (1, "Preset", None, ""),
    ]


def test_a_batch_in_which_nothing_changes_in_the_end_sends_nothing() -> None:
    rendering, sink = hosted()
    with rendering.batch():
        rendering.volume = 20
        rendering.add_instance(1)
        rendering.remove_instance(1)
        rendering.volume = 10
    assert sink.published == []


def test_a_merge_rule_merges_within_a_batch() -> None:
    service, sink = (
        Service(
            type=TYPE, variables=[StateVariable("string", name="A", merge=lambda a, b: f"{a}+{b}")]
        ),
        LastChangeSink(),
    )
    service._attach_sink(sink)
    service["A"] = "1"
    with service.batch():
        service["A"] = "2"
        with service.batch():
            service["A"] = "3"
        assert service["A"] == "2+3"
    assert sink.published == [{"A": "1"}, {"A": "2+3"}]


# --- leaving out ---


def test_a_subclass_leaves_out_what_it_does_not_have() -> None:
    class Plain(Rendering, without=["Preset", "Position"]):
        pass

    class Plainer(Plain, without=["Standby"]):
        preset = StateVariable("ui1", evented="LastChange")

    assert list(Plain().variables) == ["Volume", "Standby", "LastChange"]
    assert list(Plainer().variables) == ["Volume", "Preset", "LastChange"]
    assert list(Rendering().variables)[:2] == ["Volume", "Preset"]


def test_leaving_out_what_is_not_there_is_refused() -> None:
    with pytest.raises(TypeError, match="Odd inherits no Bass and no Treble to leave out"):

        class Odd(Rendering, without=["Bass", "Volume", "Treble"]):
            pass


def test_entries_are_plain_tuples() -> None:
    assert LastChangeEntry(0, "A", None, "1") == (0, "A", None, "1", ())
