"""STATEVAR over real sockets: our device, our control point, and raw peers on either side."""

from __future__ import annotations

import pytest

from propchange import ControlPoint, Device, Service, StateVariable, host

pytestmark = pytest.mark.slow

LOOPBACK = "127.0.0.1"


class Meter(Service, type="urn:example-org:service:Meter:1"):
    power = StateVariable("ui4")
    energy = StateVariable("ui4")
    label = StateVariable("string")
    serial = StateVariable("string", evented=False)


@pytest.mark.clause("SUB-23")
@pytest.mark.clause("SUB-51")
@pytest.mark.clause("EVT-01")
async def test_only_the_variables_that_were_asked_for_are_evented() -> None:
    meter = Meter()
    async with (
        host(Device("Meter", services=[meter]), interface=LOOPBACK, uda="2.0") as hosted,
        ControlPoint(interface=LOOPBACK, uda="2.0") as point,
    ):
        device = await point.device(hosted.description_url)
        async with (
            device["Meter"].subscribe(variables=["Power", "Label"]) as some,
            device["Meter"].subscribe() as all_of_it,
        ):
            assert (some.accepted, all_of_it.accepted) == (("Power", "Label"), None)
            assert (await anext(some)).changes == {"Power": 0, "Label": ""}
            assert (await anext(all_of_it)).changes == {"Power": 0, "Energy": 0, "Label": ""}
            meter.energy = 1
            with meter.batch():
                meter.energy = 2
                meter.power = 3
            meter.label = "end"
            told = [await anext(some) for _ in range(2)]
            assert [event.changes for event in told] == [{"Power": 3}, {"Label": "end"}]
            # Its own SEQ has no gap.
            assert [event.seq for event in told] == [1, 2]
            for _ in range(3):
                await anext(all_of_it)
            assert all_of_it.values == {"Power": 3, "Energy": 2, "Label": "end"}
            assert some.values == {"Power": 3, "Label": "end"}
            assert some.gaps == 0


@pytest.mark.clause("SUB-52")
@pytest.mark.clause("SUB-53")
@pytest.mark.clause("AMB-4")
@pytest.mark.parametrize("wanted", [["Power", "Nothing"], ["Power", "Serial"]])
async def test_all_or_nothing(wanted) -> None:
    """A variable that is not there, or not evented, makes the list no valid one."""

    async with (
        host(Device("Meter", services=[Meter()]), interface=LOOPBACK, uda="2.0") as hosted,
        ControlPoint(interface=LOOPBACK, uda="2.0") as point,
    ):
        device = await point.device(hosted.description_url)
        async with device["Meter"].subscribe(variables=wanted) as subscription:
            assert subscription.accepted is None
            assert set((await anext(subscription)).changes) == {"Power", "Energy", "Label"}


@pytest.mark.clause("AMB-3")
@pytest.mark.clause("AMB-4")
@pytest.mark.clause("SUB-51")
@pytest.mark.clause("SUB-52")
@pytest.mark.parametrize(
    ("uda", "statevar", "accepted"),
    [
        ("2.0", "STATEVAR: Power", "Power"),
        ("2.0", "statevar:  Label , Power", "Label,Power"),
        ("2.0", "STATEVAR: Power,Serial", None),
        ("2.0", "STATEVAR: power", None),
        ("2.0", "STATEVAR: Power,", None),
        ("2.0", "STATEVAR:", None),
        ("2.0", "", None),
        ("1.1", "STATEVAR: Power", None),
        ("1.0", "STATEVAR: Power", None),
    ],
)
async def test_the_answer_names_what_was_accepted_with_a_hyphen(
    raw_subscriber, uda, statevar, accepted
) -> None:
    async with (
        raw_subscriber() as peer,
        host(Device("Meter", services=[Meter()]), interface=LOOPBACK, uda=uda) as hosted,
    ):
        answer = await peer.subscribe(hosted.port, "/Meter/event", more=statevar)
        assert answer.status == 200
        assert answer.fields.get("accepted-statevar") == accepted
        assert "accepted_statevar" not in answer.fields
        _, initial = await peer.event()
        wanted = {"Power", "Energy", "Label"} if accepted is None else set(accepted.split(","))
        assert set(initial) == wanted


@pytest.mark.clause("AMB-3")
@pytest.mark.clause("SUB-53")
@pytest.mark.parametrize(
    ("uda", "header", "accepted"),
    [
        ("2.0", "ACCEPTED-STATEVAR: Temperature", ("Temperature",)),
        ("2.0", "ACCEPTED_STATEVAR: Temperature", ("Temperature",)),
        ("2.0", "", None),
        ("1.1", "ACCEPTED-STATEVAR: Temperature", None),
    ],
)
async def test_a_device_may_spell_its_answer_either_way_or_ignore_the_wish(
    raw_device, uda, header, accepted
) -> None:
    async with (
        raw_device() as device,
        ControlPoint(interface=LOOPBACK, uda=uda) as point,
    ):
        more = "SID: uuid:1\r\nTIMEOUT: Second-1800\r\n" + (f"{header}\r\n" if header else "")
        device.answers["SUBSCRIBE"] = device.reply(200, more)
        remote = await point.device(device.description_url)
        async with remote.services[0].subscribe(variables=["Temperature"]) as subscription:
            (request,) = device.of("SUBSCRIBE")
            asked = request.fields.get("statevar")
            assert asked == ("Temperature" if uda == "2.0" else None)
            assert subscription.accepted == accepted


async def test_what_is_no_name_is_refused_before_anything_is_sent(raw_device) -> None:
    async with raw_device() as device, ControlPoint(interface=LOOPBACK, uda="2.0") as point:
        subscription = point.subscribe_url(device.event_url, variables=["A\r\nX: y"])
        with pytest.raises(ValueError, match="cannot be the name"):
            async with subscription:
                pass
        assert device.requests == []
