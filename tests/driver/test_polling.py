"""Values are polled on each runtime while a device refuses SUBSCRIBE or sends no event."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.events import Cause, Event, Status, StatusChange
from propchange.core.values.state_variables import StateVariable
from propchange.driver.polling import ActionPoll, poll_options, reading_actions
from propchange.driver.remote import DescribedDevice, DescribedService
from propchange.errors import ConnectionFailed
from propchange.upnp.actions import Action, Argument
from propchange.upnp.scpd import ServiceContents, parse_scpd
from propchange.upnp.soap import build_answer, build_fault, parse_call
from propchange.upnp.standard import RenderingControl
from tests.driver.test_control_point import Held, opened

Until = Callable[[Callable[[], object]], Awaitable[None]]

TYPE = "urn:example-org:service:Thermometer:1"
SCPD = """<scpd xmlns="urn:schemas-upnp-org:service-1-0"><actionList>
<action><name>GetTemperature</name><argumentList><argument><name>Current</name>
<direction>out</direction><relatedStateVariable>Temperature</relatedStateVariable></argument>
</argumentList></action>
<action><name>GetAlarm</name><argumentList><argument><name>InstanceID</name>
<direction>in</direction><relatedStateVariable>A_ARG_TYPE_InstanceID</relatedStateVariable>
</argument><argument><name>Alarm</name>
<direction>out</direction><relatedStateVariable>Alarm</relatedStateVariable></argument>
</argumentList></action>
</actionList><serviceStateTable>
<stateVariable sendEvents="yes"><name>Temperature</name><dataType>r4</dataType></stateVariable>
<stateVariable sendEvents="yes"><name>Alarm</name><dataType>boolean</dataType></stateVariable>
<stateVariable sendEvents="no"><name>A_ARG_TYPE_InstanceID</name><dataType>ui4</dataType>
</stateVariable></serviceStateTable></scpd>"""


class Device(DescribedDevice[DescribedService]):
    _service_type = DescribedService


class Polled:
    """A subscription with a poll, and its device."""

    def __init__(self, driver: Any, device: Any, held: Held, record: Any) -> None:
        self.driver, self.device, self.held, self.record = driver, device, held, record

    @property
    def changes(self) -> list[Any]:
        return [dict(it.changes) for it in self.held.items if isinstance(it, Event)]

    @property
    def statuses(self) -> list[StatusChange]:
        return [it for it in self.held.items if isinstance(it, StatusChange)]

    async def notify(self, **values: str) -> None:
        """Send the initial event, to the next grant if that of a deaf one has been given up."""
        record = self.record
        while record.status is not Status.ACTIVE:
            if record.sid:
                await self.device.notify(record.callback, record.sid, 0, **values)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def polled(
    driven: Any,
    raw_device: Any,
    poll: Any,
    *,
    refuses: bool = True,
    interval: float = 0.03,
    service: bool = False,
    **limits: Any,
) -> AsyncIterator[Polled]:
    """A subscription to a device that refuses it, or else grants it and sends no event."""
    limits = {"initial_event_seconds": 0.05, **limits}
    async with raw_device() as device, opened(driven, **limits) as driver:
        device.documents["/scpd.xml"] = SCPD.encode()
        if refuses:
            device.answers["SUBSCRIBE"] = device.reply(503)
        held = Held()
        url = device.event_url
        if service:
            described = await driven.run(driver.device(Device, device.description_url, None, None))
            held.service = described.services[0]
            url = held.service._url_to_subscribe(polled=True)
        options = poll_options(poll, interval, held.service)
        record = driver.subscribe(held, url, wait=True, **options)
        yield Polled(driver, device, held, record)
    assert not len(driver.tasks)


@pytest.mark.slow
@pytest.mark.parametrize("refuses", [True, False], ids=["refused", "deaf"])
async def test_the_values_of_a_function_are_events_until_the_first_real_one(
    driven: Any, raw_device: Any, until: Until, *, refuses: bool
) -> None:
    temperature = 20

    async def poll() -> dict[str, str]:
        return {"Temperature": str(temperature), "Alarm": "0"}

    async with polled(driven, raw_device, poll, refuses=refuses) as it:
        await until(lambda: it.changes == [{"Temperature": "20", "Alarm": "0"}])
        temperature = 21
        await until(lambda: it.changes[1:] == [{"Temperature": "21"}])
        assert it.record.values == {"Temperature": "21", "Alarm": "0"}
        assert it.record.polled
        first = next(each for each in it.held.items if isinstance(each, Event))
        assert (first.polled, first.seq, first.subscription) == (True, None, it.held)
        assert "the values are polled every 0.03 s" in it.statuses[-1].reason
        # SUBSCRIBE goes on, and an event ends the polling.
        it.device.answers["SUBSCRIBE"] = it.device.grant
        await it.notify(Temperature="22", Alarm="1")
        assert not it.record.polled
        temperature = 23
        await asyncio.sleep(0.1)
        assert it.changes[2:] == [{"Temperature": "22", "Alarm": "1"}]


@pytest.mark.slow
async def test_a_refusal_does_not_end_a_subscription_that_is_polled(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with polled(driven, raw_device, lambda: {"A": 1}) as it:
        await until(lambda: len(it.device.of("SUBSCRIBE")) > 1)
        assert it.record.status is Status.SUBSCRIBING
        assert (it.statuses[0].cause, it.statuses[0].http_status) == (Cause.REFUSED, 503)


async def test_a_device_that_is_away_is_polled_too(driven: Any, until: Until) -> None:
    async with opened(driven) as driver:
        held = Held()
        options = poll_options(lambda: {"A": "1"}, 0.03, None)
        record = driver.subscribe(held, "http://127.0.0.1:9/event", wait=True, **options)
        await until(lambda: record.values == {"A": "1"})
        assert record.status_cause is Cause.UNREACHABLE


async def test_the_function_may_return_what_the_runtime_awaits(
    driven: Any, raw_device: Any, until: Until
) -> None:
    def poll() -> Any:
        if driven.kind == "twisted":
            fired: Deferred[dict[str, str]] = succeed({"A": "1"})
            return fired
        done = asyncio.get_running_loop().create_future()
        done.set_result({"A": "1"})
        return done

    async with polled(driven, raw_device, poll) as it:
        await until(lambda: it.changes == [{"A": "1"}])


MISTAKES = {
    "an exception": lambda: 1 / 0,
    "no mapping": lambda: [("A", "1")],
    "no name": lambda: {7: "1"},
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
async def test_a_mistake_of_the_function_is_logged_once_and_the_polls_go_on(
    driven: Any, raw_device: Any, until: Until, caplog: pytest.LogCaptureFixture, mistake: Any
) -> None:
    calls = 0

    def poll() -> Any:
        nonlocal calls
        calls += 1
        return {"A": str(calls)} if calls in (4, 5) else mistake()

    def lines() -> list[Any]:
        return [each for each in caplog.records if "the values cannot be polled" in each.message]

    caplog.set_level(logging.INFO)
    async with polled(driven, raw_device, poll) as it:
        await until(lambda: it.changes == [{"A": "4"}, {"A": "5"}])
        assert len(lines()) == 1
        assert lines()[0].exc_info
        # After a poll that was good, it is said again.
        await until(lambda: calls > 7)
        assert len(lines()) == 2


async def test_a_device_that_does_not_answer_the_poll_is_a_warning_without_a_traceback(
    driven: Any, raw_device: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    def poll() -> dict[str, str]:
        nonlocal calls
        calls += 1
        raise ConnectionFailed("no route")

    async with polled(driven, raw_device, poll):
        await until(lambda: calls > 2)
    (line,) = [each for each in caplog.records if "the values cannot be polled" in each.message]
    assert line.levelname == "WARNING"
    assert line.message.endswith("the values cannot be polled: no route")
    assert not line.exc_info


async def test_a_poll_that_does_not_end_is_given_up(
    driven: Any, raw_device: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    calls = ended = 0

    async def poll() -> dict[str, str]:
        nonlocal calls, ended
        calls += 1
        try:
            if calls == 1:
                await driven.runtime.future()
        finally:
            ended += 1
        return {"A": str(calls)}

    async with polled(driven, raw_device, poll, poll_seconds=0.1) as it:
        await until(lambda: it.changes == [{"A": "2"}])
        assert ended == 2
    assert "the values cannot be polled: it has not ended within 0.1 s" in caplog.text


@pytest.mark.parametrize("how", ["unsubscribe", "close"])
async def test_the_end_of_a_subscription_ends_its_poll(
    driven: Any, raw_device: Any, until: Until, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    running = 0

    async def poll() -> dict[str, str]:
        nonlocal running
        running += 1
        try:
            await driven.runtime.future()
        finally:
            running -= 1
        return {}

    async with polled(driven, raw_device, poll) as it:
        await until(lambda: running)
        if how == "unsubscribe":
            it.driver.unsubscribe(it.record)
            await until(lambda: not running)
            assert it.statuses[-1].status is Status.CLOSED
            assert not it.driver._polls._functions
            assert not it.driver._polls._running
    assert not running
    assert "cannot be polled" not in caplog.text


# --- Get actions ---


def call_answers(device: Any, values: dict[str, dict[str, str] | int]) -> list[str]:
    """Answer calls of actions by name with out arguments or an error code. Returns the names of
    the actions that are called."""
    called: list[str] = []

    def answer(request: Any) -> bytes:
        call = parse_call(request.body)
        called.append(call.action)
        found = values[call.action]
        if isinstance(found, int):
            return bytes(device.reply(500, body=build_fault(found, "")))
        return bytes(device.reply(200, body=build_answer(TYPE, call.action, found)))

    device.answers["POST"] = answer
    return called


async def test_the_get_actions_of_a_service_give_its_values(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with polled(driven, raw_device, True, service=True) as it:
        values: dict[str, Any] = {"GetTemperature": {"Current": "20.5"}, "GetAlarm": {"Alarm": "1"}}
        called = call_answers(it.device, values)
        await until(lambda: it.changes == [{"Temperature": 20.5, "Alarm": True}])
        assert called[:2] == ["GetTemperature", "GetAlarm"]
        values["GetTemperature"] = {"Current": "21"}
        await until(lambda: it.changes[1:] == [{"Temperature": 21.0}])


async def test_a_get_action_that_is_not_there_is_not_called_again(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with polled(driven, raw_device, True, service=True) as it:
        called = call_answers(it.device, {"GetTemperature": {"Current": "20.5"}, "GetAlarm": 602})
        await until(lambda: called.count("GetTemperature") > 2)
        assert it.changes == [{"Temperature": 20.5}]
        assert called.count("GetAlarm") == 1


async def test_a_get_action_that_fails_now_and_then_is_called_again(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with polled(driven, raw_device, True, service=True) as it:
        values: dict[str, Any] = {"GetTemperature": {"Current": "20.5"}, "GetAlarm": 501}
        called = call_answers(it.device, values)
        await until(lambda: called.count("GetAlarm") > 2)
        values["GetAlarm"] = {"Alarm": "0"}
        await until(lambda: it.changes == [{"Temperature": 20.5}, {"Alarm": False}])


@pytest.mark.slow
async def test_a_device_that_is_slow_is_read_in_several_polls(
    driven: Any, raw_device: Any, until: Until
) -> None:
    async with polled(driven, raw_device, True, service=True, poll_seconds=0.5) as it:
        values: dict[str, Any] = {"GetTemperature": {"Current": "20.5"}, "GetAlarm": {"Alarm": "1"}}
        called = call_answers(it.device, values)
        answer = it.device.answers["POST"]

        async def slowly(request: Any) -> bytes:
            await asyncio.sleep(0.35)
            return bytes(answer(request))

        it.device.answers["POST"] = slowly
        await until(lambda: it.changes == [{"Temperature": 20.5}, {"Alarm": True}])
        assert called[:3] == ["GetTemperature", "GetAlarm", "GetAlarm"]


async def test_an_action_that_is_never_answered_does_not_keep_the_others_from_being_called(
    driven: Any, raw_device: Any, until: Until
) -> None:
    limits = {"poll_seconds": 0.5, "request_seconds": 0.2}
    async with polled(driven, raw_device, True, service=True, **limits) as it:
        values: dict[str, Any] = {"GetTemperature": {}, "GetAlarm": {"Alarm": "1"}}
        called = call_answers(it.device, values)
        answer = it.device.answers["POST"]

        def silently(request: Any) -> bytes | None:
            answered = bytes(answer(request))
            return answered if called[-1] == "GetAlarm" else None

        it.device.answers["POST"] = silently
        await until(lambda: it.changes == [{"Alarm": True}])


async def test_without_a_usable_answer_the_poll_has_failed(
    driven: Any, raw_device: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    async with polled(driven, raw_device, True, service=True) as it:
        called = call_answers(it.device, {"GetTemperature": 701, "GetAlarm": 702})
        await until(lambda: len(called) > 5)
        assert it.changes == []
    assert caplog.text.count("the values cannot be polled: 702") == 1


async def test_values_that_do_not_fit_their_types_are_left_out(
    driven: Any, raw_device: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    async with polled(driven, raw_device, True, service=True) as it:
        called = call_answers(it.device, {"GetTemperature": {"Current": "warm"}, "GetAlarm": {}})
        await until(lambda: len(called) > 5)
        assert it.changes == []
    assert "has not answered one of the actions" in caplog.text


async def test_a_name_of_no_variable_is_an_event_and_a_warning(
    driven: Any, raw_device: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    label = StateVariable("string", name="Label")
    values: dict[Any, object] = {"temperature": 1, label: "x", ("Mute", 0, "Master"): True}

    async with polled(driven, raw_device, lambda: values) as it:
        it.record.convert = {"Label": str, "Mute": str, "Temperature": float}
        await until(lambda: it.changes)
        assert it.changes[0] == {"temperature": 1, "Label": "x", "Mute": True}
        values["temperature"] = 2
        await until(lambda: len(it.changes) > 1)
    (line,) = [each.message for each in caplog.records if "poll has returned" in each.message]
    assert "'temperature', which the service description does not have; there are: L" in line


async def test_a_service_without_get_actions_is_said_to_need_a_function(
    driven: Any, raw_device: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    async with polled(driven, raw_device, True, service=True) as it:
        it.held.service._contents = ServiceContents({}, {}, ())
        await until(lambda: "cannot be polled" in caplog.text)
    assert "has no action that returns its state variables; give subscribe() a" in caplog.text


@pytest.mark.slow
async def test_a_service_without_an_event_url_is_polled_until_it_has_one(
    driven: Any, raw_device: Any, until: Until
) -> None:
    class WithoutEvents(raw_device):
        def __init__(self) -> None:
            super().__init__()
            self.whole = self.documents["/description.xml"]
            self.documents["/description.xml"] = self.whole.replace(b"/event<", b"<")

    async with polled(
        driven, WithoutEvents, lambda: {"Temperature": 20.0}, service=True, refuses=False
    ) as it:
        await until(lambda: it.changes == [{"Temperature": 20.0}])
        assert it.device.of("SUBSCRIBE") == []
        (change,) = it.statuses
        assert (change.status, change.cause) == (Status.SUBSCRIBING, Cause.DESCRIPTION)
        assert change.reason.startswith("Thermometer sends no events: its eventSubURL is empty")
        it.device.documents["/description.xml"] = it.device.whole
        await it.notify(Temperature="21")
        await until(lambda: it.record.values == {"Temperature": 21.0})
        assert it.record.event_url == it.device.event_url


def variable(name: str) -> StateVariable[Any]:
    return StateVariable.of("string", name=name)


def action(name: str, *arguments: tuple[str, Any, str]) -> Action:
    return Action(
        name, tuple(Argument(each, way, variable(related)) for each, way, related in arguments)
    )


VOLUME = ("CurrentVolume", "out", "Volume")
INSTANCE = ("InstanceID", "in", "A_ARG_TYPE_InstanceID")
CHANNEL = ("Channel", "in", "A_ARG_TYPE_Channel")


@pytest.mark.parametrize(
    ("described", "chosen"),
    [
        (action("GetVolume", VOLUME), True),
        (action("GetVolume", INSTANCE, CHANNEL, VOLUME), True),
        (action("ListVolumes", VOLUME), True),
        (action("X_GetVolume", VOLUME), True),
        (action("Get", VOLUME), True),
        # It may change something.
        (action("Getaway", VOLUME), False),
        (action("ResetVolume", VOLUME), False),
        (action("VolumeGet", VOLUME), False),
        (action("GetVolume"), False),
        (action("GetVolume", ("Room", "in", "Volume"), VOLUME), False),
        (action("GetVolume", ("V", "out", "A_ARG_TYPE_Volume")), False),
        (action("GetVolume", ("V", "out", "Unknown")), False),
        (action("GetRange", ("Least", "out", "Volume"), ("Most", "out", "Volume")), False),
    ],
)
def test_a_poll_calls_only_actions_that_read(described: Action, *, chosen: bool) -> None:
    names = ("Volume", "A_ARG_TYPE_InstanceID", "A_ARG_TYPE_Channel", "A_ARG_TYPE_Volume")
    contents = ServiceContents(
        {name: variable(name) for name in names}, {described.name: described}, ()
    )
    assert reading_actions(contents, 32) == ([described] if chosen else [])


def test_no_more_actions_are_called_than_are_needed_and_allowed() -> None:
    actions = {f"Get{n}": action(f"Get{n}", ("V", "out", f"V{n // 2}")) for n in range(100)}
    contents = ServiceContents({f"V{n}": variable(f"V{n}") for n in range(50)}, actions, ())
    chosen = reading_actions(contents, DEFAULT_LIMITS.poll_actions)
    assert [each.name for each in chosen] == [f"Get{2 * n}" for n in range(32)]


def test_a_rendering_control_is_polled_by_the_getters_of_its_standard() -> None:
    contents = parse_scpd(RenderingControl().scpd())
    chosen = [each.name for each in reading_actions(contents, DEFAULT_LIMITS.poll_actions)]
    assert "ListPresets" in chosen
    assert "GetVolumeDBRange" not in chosen
    assert not [name for name in chosen if not name.startswith(("Get", "List"))]


# --- what a program may ask for ---


def test_without_poll_there_are_no_options_of_polls() -> None:
    assert poll_options(None, 30, None) == poll_options(False, 30, None) == {}


@pytest.mark.parametrize("poll", [7, "values", {"A": "1"}])
def test_a_poll_that_is_no_function_is_an_error(poll: Any) -> None:
    with pytest.raises(TypeError, match="poll is a function that returns a mapping, or True"):
        poll_options(poll, 30, None)


def test_get_actions_need_a_description() -> None:
    with pytest.raises(ValueError, match="poll=True needs the description of the service"):
        poll_options(True, 30, None)
    service: Any = object()
    assert isinstance(poll_options(True, 30, service)["poll"], ActionPoll)


@pytest.mark.parametrize("interval", [0, -1, float("inf"), float("nan")])
def test_an_interval_that_is_no_time_is_an_error(interval: float) -> None:
    with pytest.raises(ValueError, match="poll_interval is a number of seconds above 0"):
        poll_options(dict, interval, None)


@pytest.mark.parametrize("interval", [None, "30", True])
def test_an_interval_that_is_no_number_is_an_error(interval: Any) -> None:
    with pytest.raises(TypeError, match="poll_interval is a number of seconds"):
        poll_options(dict, interval, None)
