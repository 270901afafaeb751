"""Actions of hosted devices on each runtime, called by plain sockets."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.defer import CancelledError as CancelledDeferred
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.task import deferLater

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.messages import Request, Response
from propchange.driver.chosen_addresses import ChosenAddresses
from propchange.driver.host import DeviceHost
from propchange.driver.machine import Interfaces
from propchange.driver.runtime import Signal
from propchange.errors import ActionError
from propchange.upnp.action_methods import action
from propchange.upnp.control import ActionCall
from propchange.upnp.device import Device, place_device
from propchange.upnp.service import Service
from propchange.upnp.soap import build_call, parse_answer
from tests.asyncio.conftest import Message, RawSubscriber, read_message
from tests.wire import Peer, Wire

LIGHT = "urn:example-org:service:Light:1"


class Light(Service, type=LIGHT):
    """A light whose runtime the test gives. ``gate`` opens the slow actions."""

    power = StateVariable("boolean", initial=False)
    level = StateVariable("ui1", initial=0)
    note = StateVariable("string", evented=False)

    def __init__(self, runtime: Any) -> None:
        super().__init__()
        self.runtime = runtime
        self.gate = Signal(runtime)
        self.calls: list[str] = []

    @action(returns=power)
    def set_power(self, new_power: bool) -> bool:
        self.calls.append("set_power")
        before, self.power = self.power, new_power
        return before

    @action
    async def set_level(self, level: int) -> None:
        self.calls.append("set_level")
        self._assign(level)
        await self.gate.wait()
        self.power = level > 0

    def _assign(self, level: int) -> None:
        self.level = level

    @action
    async def fade(self) -> None:
        """Assigns in a coroutine that it starts."""

        async def assign() -> None:
            self.level += 1

        await self.runtime.start(assign())
        await self.gate.wait()

    @action
    def flash(self) -> None:
        for number in range(1, 6):
            self.level = number

    @action
    def both(self) -> None:
        with self.batch():
            self.level, self.power = 99, True

    @action
    def refuse(self) -> None:
        self.level = 7
        raise ActionError(701, "the lamp is broken & hot")

    @action
    def fail(self) -> None:
        raise ZeroDivisionError("secret of the device")

    @action
    async def fail_slowly(self) -> None:
        await self.gate.wait()
        raise ZeroDivisionError("secret of the device")

    @action
    async def ignore_cancelling(self) -> None:
        while not self.power:
            with contextlib.suppress(BaseException):
                await self.gate.wait()

    @action(returns=level)
    def lie(self) -> int:
        return 1000


class Caller:
    """A control point with one connection."""

    def __init__(self, peer: Peer, port: int, *, reads: bool = True) -> None:
        self.peer = peer
        self.port = port
        self.reader = asyncio.StreamReader()
        self.reading = asyncio.ensure_future(self._read())
        if not reads:
            self.reading.cancel()

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self.peer.some():
                self.reader.feed_data(data)
        self.reader.feed_eof()

    def request(self, name: str, **texts: str) -> bytes:
        body = build_call(LIGHT, name, texts)
        head = (
            f"POST /Light/control HTTP/1.1\r\nHOST: 127.0.0.1:{self.port}\r\n"
            f'CONTENT-TYPE: text/xml; charset="utf-8"\r\nSOAPACTION: "{LIGHT}#{name}"\r\n'
            f"CONTENT-LENGTH: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def send(self, name: str, **texts: str) -> None:
        await self.peer.send(self.request(name, **texts))

    async def answer(self) -> Message:
        return await asyncio.wait_for(read_message(self.reader), 20)

    async def call(self, name: str, **texts: str) -> dict[str, str]:
        await self.send(name, **texts)
        return result(await self.answer(), name)

    async def close(self) -> None:
        self.reading.cancel()
        await asyncio.gather(self.reading, return_exceptions=True)


def result(answer: Message, name: str) -> dict[str, str]:
    return parse_answer(answer.body, answer.status, name).texts


class Witness(RawSubscriber):
    """A subscriber that reads what has arrived for ``caller`` when the next event arrives."""

    caller: Caller | None = None
    answers: bytes = b""
    """The bytes of the answers that were there before that event."""

    def forget(self) -> None:
        """Forget the events that have arrived."""
        while not self.arrived.empty():
            self.arrived.get_nowait()

    async def answer(self, request: Message) -> bytes | None:
        if self.caller is not None:
            self.answers += self.caller.peer.at_once() or b""
            self.caller = None
        return await super().answer(request)


class House:
    """A hosted light, a subscriber and a control point."""

    def __init__(
        self, light: Light, hosted: Any, subscriber: Any, dial: Callable[..., Any]
    ) -> None:
        self.light = light
        self.hosted = hosted
        self.subscriber = subscriber
        self.dial = dial

    async def events(self, count: int) -> list[dict[str, str]]:
        return [(await asyncio.wait_for(self.subscriber.event(), 20))[1] for _ in range(count)]

    async def no_event(self) -> None:
        """No NOTIFY comes in some turns of the loop."""
        await asyncio.sleep(0.1)
        assert self.subscriber.arrived.empty()


@pytest.fixture
def house(driven: Any) -> Any:
    @contextlib.asynccontextmanager
    async def house(light: Light | None = None, **limits: Any) -> AsyncIterator[House]:
        light = light or Light(driven.runtime)
        device = Device("House", services=[light])
        chosen = replace(DEFAULT_LIMITS, **limits)
        wire = Wire()
        callers: list[Caller] = []
        async with (
            Witness() as subscriber,
            driven.host(device, interface="127.0.0.1", limits=chosen) as hosted,
        ):

            async def dial(*, reads: bool = True, **options: Any) -> Caller:
                peer = await wire.dial(hosted.port, **options)
                callers.append(Caller(peer, hosted.port, reads=reads))
                return callers[-1]

            await subscriber.subscribe(hosted.port, "/Light/event")
            await subscriber.event()
            try:
                yield House(light, hosted, subscriber, dial)
            finally:
                light.gate.set()
                for caller in callers:
                    await caller.close()
        wire.close()

    return house


# --- answers and events ---


async def test_a_method_runs_and_its_result_is_the_answer(house: Any) -> None:
    async with house() as home:
        caller = await home.dial()
        assert await caller.call("SetPower", NewPower="1") == {"Power": "0"}
        assert await caller.call("SetPower", NewPower="1") == {"Power": "1"}
        assert home.light.calls == ["set_power", "set_power"]
        assert await home.events(1) == [{"Power": "1"}]


async def witnessed(home: House, caller: Caller, count: int) -> tuple[int, list[dict[str, str]]]:
    """The status of the answer that was there before the first of ``count`` events, and these."""
    first = await home.events(1)
    head, _, body = home.subscriber.answers.partition(b"\r\n\r\n")
    assert body.endswith(b"</s:Envelope>")
    home.subscriber.answers = b""
    return int(head.split()[1]), [*first, *await home.events(count - 1)]


@pytest.mark.parametrize(
    ("name", "texts", "status", "events"),
    [
        ("SetPower", {"NewPower": "1"}, 200, [{"Power": "1"}]),
        ("Flash", {}, 200, [{"Level": str(number)} for number in range(1, 6)]),
        ("Both", {}, 200, [{"Power": "1", "Level": "99"}]),
        ("Refuse", {}, 500, [{"Level": "7"}]),
    ],
)
async def test_the_answer_of_a_def_method_arrives_before_its_events(
    house: Any, name: str, texts: dict[str, str], status: int, events: list[dict[str, str]]
) -> None:
    async with house() as home:
        caller = await home.dial(reads=False)
        for _ in range(2):  # on one connection
            with home.light.batch():
                home.light.power, home.light.level = False, 0
            assert await home.hosted.drain(5)
            home.subscriber.forget()
            home.subscriber.caller = caller
            await caller.send(name, **texts)
            assert await witnessed(home, caller, len(events)) == (status, events)


@pytest.mark.slow
async def test_the_answer_of_an_async_method_arrives_before_its_events_and_all_later_ones(
    house: Any,
) -> None:
    async with house() as home:
        caller = await home.dial(reads=False)
        for level in (5, 6):  # on one connection
            home.light.power = False
            assert await home.hosted.drain(5)
            home.subscriber.forget()
            home.subscriber.caller = caller
            await caller.send("SetLevel", Level=str(level))
            await home.no_event()
            assert home.light.level == level
            home.light.level = 50 + level  # of somebody else
            await home.no_event()
            home.light.gate.set()
            expected = [{"Level": str(level)}, {"Level": str(50 + level)}, {"Power": "1"}]
            assert await witnessed(home, caller, 3) == (200, expected)


async def test_an_assignment_in_a_coroutine_of_the_method_waits_too(house: Any) -> None:
    async with house() as home:
        caller = await home.dial()
        await caller.send("Fade")
        await home.no_event()
        assert home.light.level == 1
        home.light.gate.set()
        assert (await caller.answer()).status == 200
        assert await home.events(1) == [{"Level": "1"}]


async def test_what_the_program_assigns_beside_a_finished_action_does_not_wait(house: Any) -> None:
    async with house() as home:
        caller = await home.dial()
        await caller.call("SetPower", NewPower="1")
        home.light.level = 9
        assert await home.events(2) == [{"Power": "1"}, {"Level": "9"}]


async def test_a_slow_action_does_not_keep_events_for_long(house: Any) -> None:
    async with house(held_event_seconds=0.2) as home:
        caller = await home.dial()
        await caller.send("SetLevel", Level="5")
        assert await home.events(1) == [{"Level": "5"}]
        assert caller.reader._buffer == b""  # type: ignore[attr-defined] # the bytes so far
        home.light.gate.set()
        assert (await caller.answer()).status == 200
        assert await home.events(1) == [{"Power": "1"}]


async def test_a_control_point_that_has_gone_keeps_no_event(house: Any) -> None:
    async with house() as home:
        caller = await home.dial()
        await caller.send("SetLevel", Level="5")
        await home.no_event()
        caller.peer.reset()
        home.light.gate.set()
        assert await home.events(2) == [{"Level": "5"}, {"Power": "1"}]
        assert home.light.calls == ["set_level"]


async def flood(home: House) -> Caller:
    """A control point that sends calls and reads no answer, until it is not read any more."""
    mute: Caller = await home.dial(reads=False, receive_buffer=4096)
    calls = mute.request("SetPower", NewPower="1") + mute.request("SetPower", NewPower="0")
    sending = asyncio.ensure_future(mute.peer.send(calls * 10_000))
    count = -1
    while count < (count := len(home.light.calls)):
        await asyncio.sleep(0.3)
    assert count < 20_000
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    return mute


@pytest.mark.slow
async def test_a_control_point_that_does_not_read_keeps_no_event_for_long(house: Any) -> None:
    async with house() as home:
        other = await home.dial()
        await flood(home)
        assert await other.call("Flash") == {}
        while {"Level": "5"} not in await home.events(1):
            pass


@pytest.mark.slow
async def test_an_event_waits_while_the_answer_is_not_written(house: Any) -> None:
    async with house(unread_answer_seconds=60, held_event_seconds=60) as home:
        mute = await flood(home)
        home.subscriber.forget()
        home.light.level = 9
        await home.no_event()
        while home.subscriber.arrived.empty():
            await mute.peer.some()
            await asyncio.sleep(0)
        while {"Level": "9"} not in await home.events(1):
            pass


# --- requests ---


async def test_pipelined_calls_are_answered_in_their_order(house: Any) -> None:
    async with house() as home:
        caller = await home.dial()
        await caller.peer.send(
            caller.request("SetLevel", Level="1")
            + caller.request("SetPower", NewPower="0")
            + caller.request("Refuse")
        )
        await home.no_event()
        assert home.light.calls == ["set_level"]
        home.light.gate.set()
        answers = [await caller.answer() for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 500]
        assert result(answers[1], "SetPower") == {"Power": "1"}
        assert home.light.calls == ["set_level", "set_power"]


async def test_a_chunked_call_and_one_that_waits_for_100_are_run(house: Any) -> None:
    async with house() as home:
        caller = await home.dial()
        head, _, body = caller.request("SetPower", NewPower="1").partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if b"LENGTH" not in line]
        chunked = b"\r\n".join([*lines, b"TRANSFER-ENCODING: chunked"]) + b"\r\n\r\n"
        await caller.peer.send(chunked + b"%x\r\n%b\r\n" % (len(body), body) + b"0\r\n\r\n")
        assert result(await caller.answer(), "SetPower") == {"Power": "0"}
        await caller.peer.send(head + b"\r\nEXPECT: 100-continue\r\n\r\n")
        assert (await caller.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        await caller.peer.send(body)
        assert result(await caller.answer(), "SetPower") == {"Power": "1"}


async def test_a_call_over_http_1_0_is_answered_and_its_connection_ends(house: Any) -> None:
    async with house() as home:
        caller = await home.dial()
        await caller.peer.send(caller.request("Flash").replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        assert (await caller.answer()).status == 200
        assert await caller.reader.read() == b""
        assert len(await home.events(5)) == 5


# --- failures ---


async def test_an_action_error_is_the_fault(house: Any) -> None:
    async with house() as home:
        caller = await home.dial()
        with pytest.raises(ActionError) as caught:
            await caller.call("Refuse")
        assert (caught.value.code, caught.value.description) == (701, "the lamp is broken & hot")


@pytest.mark.parametrize("name", ["Fail", "FailSlowly", "Lie"])
async def test_an_exception_of_a_method_is_501_and_the_log_has_it_once(
    house: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with house() as home:
        caller = await home.dial()
        for _ in range(3):
            await caller.send(name)
            await asyncio.sleep(0.05)
            home.light.gate.set()
            answer = await caller.answer()
            assert answer.status == 500
            assert b"<errorCode>501</errorCode>" in answer.body
            assert b"<errorDescription>Action Failed</errorDescription>" in answer.body
            assert b"secret" not in answer.body
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert name in errors[0].getMessage()
    if name != "Lie":
        assert errors[0].exc_info is not None
        assert "secret of the device" in errors[0].getMessage()


async def test_an_action_that_takes_too_long_is_cancelled_and_501(
    house: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with house(action_seconds=0.2) as home:
        caller = await home.dial()
        with pytest.raises(ActionError) as caught:
            await caller.call("SetLevel", Level="5")
        assert caught.value.code == 501
        assert await home.events(1) == [{"Level": "5"}]
        assert await caller.call("SetPower", NewPower="1") == {"Power": "0"}  # it did not go on
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "SetLevel" in line
    assert "more than 0.2 s" in line
    assert [r for r in caplog.records if r.levelno == logging.ERROR] == []


async def test_an_action_that_ignores_its_cancelling_is_answered_all_the_same(house: Any) -> None:
    async with house(action_seconds=0.1) as home:
        caller = await home.dial()
        with pytest.raises(ActionError):
            await caller.call("IgnoreCancelling")
        assert await caller.call("SetPower", NewPower="1") == {"Power": "0"}


@pytest.mark.slow
async def test_running_actions_are_bounded_for_each_peer_and_in_all(house: Any) -> None:
    async with house(running_actions=3, running_actions_per_address=2) as home:
        greedy = [await home.dial() for _ in range(3)]
        await greedy[0].send("SetLevel", Level="1")
        await greedy[1].send("SetLevel", Level="2")
        await asyncio.sleep(0.1)
        with pytest.raises(ActionError, match="too many actions are running") as caught:
            await greedy[2].call("SetLevel", Level="3")
        assert caught.value.code == 501
        other = await home.dial(source="127.0.0.2")
        await other.send("SetLevel", Level="4")
        await asyncio.sleep(0.1)
        third = await home.dial(source="127.0.0.3")
        with pytest.raises(ActionError, match="too many"):
            await third.call("SetLevel", Level="5")
        # Methods that end at once need no place.
        assert await greedy[2].call("SetPower", NewPower="0") == {"Power": "0"}
        home.light.gate.set()
        for caller in (greedy[0], greedy[1], other):
            assert (await caller.answer()).status == 200
        await third.send("SetLevel", Level="6")
        await asyncio.sleep(0.1)
        home.light.gate.set()
        assert (await third.answer()).status == 200


async def test_the_end_of_the_device_ends_its_actions_with_an_answer(house: Any) -> None:
    async with house() as home:
        caller = await home.dial()
        await caller.send("SetLevel", Level="5")
        await home.no_event()
        await home.hosted.__aexit__(None, None, None)
        assert b"<errorCode>501</errorCode>" in (await caller.answer()).body
        home.light.gate.set()
        await asyncio.sleep(0)
        assert home.light.power is False  # the method has not gone on


async def test_on_action_still_answers_by_itself(house: Any, driven: Any) -> None:
    light = Light(driven.runtime)
    light.on_action = lambda request: Response(200, ((b"CONTENT-LENGTH", b"2"),), b"ok")
    async with house(light) as home:
        caller = await home.dial()
        await caller.send("SetPower", NewPower="1")
        assert (await caller.answer()).body == b"ok"
        assert home.light.calls == []


@pytest.mark.parametrize("is_slow", [False, True])
async def test_the_answer_of_on_action_arrives_before_its_events(
    house: Any, driven: Any, is_slow: bool
) -> None:
    light = Light(driven.runtime)

    def assign() -> Response:
        for number in range(1, 4):
            light.level = number
        return Response(200, (), b"</s:Envelope>")

    async def slowly() -> Response:
        response = assign()
        await light.gate.wait()
        return response

    light.on_action = lambda request: slowly() if is_slow else assign()
    async with house(light) as home:
        caller = await home.dial(reads=False)
        home.subscriber.caller = caller
        await caller.send("SetPower", NewPower="1")
        if is_slow:
            await home.no_event()
            light.gate.set()
        expected = [{"Level": str(number)} for number in range(1, 4)]
        assert await witnessed(home, caller, 3) == (200, expected)


async def test_events_do_not_wait_for_on_action_when_it_has_failed(house: Any, driven: Any) -> None:
    light = Light(driven.runtime)

    def fail(request: Any) -> Response:
        light.level = 3
        raise ZeroDivisionError

    async def fail_slowly(request: Any) -> Response:
        return fail(request)

    async with house(light, held_event_seconds=60) as home:
        caller = await home.dial()
        for on_action in (fail, fail_slowly):
            light.on_action = on_action
            light.level = 0
            await caller.send("SetPower", NewPower="1")
            assert (await caller.answer()).status == 500
            caller = await home.dial()
            while {"Level": "3"} not in await home.events(1):
                pass


async def test_a_method_may_await_whatever_its_runtime_knows(house: Any, driven: Any) -> None:
    """A Deferred on Twisted, a future on asyncio; and a method may return one."""

    def waiting() -> Any:
        if driven.kind == "twisted":
            deferred: Deferred[None] = Deferred()
            driven.runtime.reactor.callLater(0.05, deferred.callback, None)
            return deferred
        return asyncio.ensure_future(asyncio.sleep(0.05))

    class Lamp(Light, type=LIGHT):
        @action
        async def set_power(self, new_power: bool) -> bool:
            self.level = 1
            await waiting()
            self.power = new_power
            await waiting()
            return new_power

        @action
        def flash(self) -> Any:
            return waiting()

    async with house(Lamp(driven.runtime)) as home:
        caller = await home.dial(reads=False)
        home.subscriber.caller = caller
        await caller.send("SetPower", NewPower="1")
        assert await witnessed(home, caller, 2) == (200, [{"Level": "1"}, {"Power": "1"}])
        other = await home.dial()
        assert await other.call("Flash") == {}


async def test_a_method_with_inline_callbacks_is_an_action_on_twisted(
    house: Any, driven: Any
) -> None:
    if driven.kind != "twisted":
        return
    reactor = driven.runtime.reactor

    class Lamp(Light, type=LIGHT):
        @action
        @inlineCallbacks
        def set_power(self, new_power: bool) -> Any:
            self.power = new_power
            yield deferLater(reactor, 0.05, lambda: None)
            self.level = 8
            return new_power

    async with house(Lamp(driven.runtime)) as home:
        caller = await home.dial(reads=False)
        home.subscriber.caller = caller
        await caller.send("SetPower", NewPower="1")
        assert await witnessed(home, caller, 2) == (200, [{"Power": "1"}, {"Level": "8"}])


@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_method_that_is_cancelled_by_its_own_program_is_501(
    house: Any, driven: Any, is_slow: bool
) -> None:
    cancelled = CancelledDeferred if driven.kind == "twisted" else asyncio.CancelledError

    class Lamp(Light, type=LIGHT):
        @action
        def flash(self) -> Any:
            if not is_slow:
                raise cancelled()
            return self._slowly()

        async def _slowly(self) -> None:
            raise cancelled()

    async with house(Lamp(driven.runtime)) as home:
        caller = await home.dial()
        for _ in range(2):
            with pytest.raises(ActionError, match="501"):
                await caller.call("Flash")
        assert await caller.call("SetPower", NewPower="1") == {"Power": "0"}


class Unprintable(Exception):
    def __repr__(self) -> str:
        raise ZeroDivisionError

    __str__ = __repr__


class WithoutCode(ActionError):
    def __init__(self) -> None:
        pass  # and not super().__init__()


def _changed(**attributes: Any) -> ActionError:
    error = ActionError(701, "no")
    vars(error).update(attributes)
    return error


@pytest.mark.parametrize(
    "error",
    [
        Unprintable(),
        WithoutCode(),
        _changed(code=None),
        _changed(description=None),
        ActionError(10**5000),
        BaseException(),
        StopIteration(1),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("is_slow", [False, True])
async def test_whatever_a_method_raises_is_a_fault_and_its_events_leave(
    house: Any, driven: Any, is_slow: bool, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    class Lamp(Light, type=LIGHT):
        @action
        def fail(self) -> Any:
            self.level += 1
            if not is_slow:
                raise error
            return self._fail()

        async def _fail(self) -> None:
            await self.gate.wait(0.01)
            raise error

    async with house(Lamp(driven.runtime), held_event_seconds=60) as home:
        caller = await home.dial()
        for number in (1, 2):  # on one connection
            with pytest.raises(ActionError) as caught:
                await caller.call("Fail")
            assert (caught.value.code, caught.value.description) == (501, "Action Failed")
            assert await home.events(1) == [{"Level": str(number)}]
    (line,) = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert line.startswith("the action Fail of ")


async def test_the_text_of_an_exception_is_cut_in_the_log(
    house: Any, driven: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Lamp(Light, type=LIGHT):
        @action
        def fail(self) -> None:
            raise ValueError("x" * 1_000_000)

    async with house(Lamp(driven.runtime)) as home:
        with pytest.raises(ActionError):
            await (await home.dial()).call("Fail")
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert len(record.getMessage()) < 10_000
    assert record.exc_text is not None
    assert len(record.exc_text) < 20_000


class Dimmer(Service, type="urn:example-org:service:Dimmer:1"):
    """Its action switches the light of the same device."""

    dimmed = StateVariable("boolean", initial=False)

    def __init__(self, light: Light) -> None:
        super().__init__()
        self.light = light

    @action
    def dim(self) -> None:
        self.light.level, self.dimmed = 3, True
        raise KeyboardInterrupt


async def test_events_of_another_service_wait_too_and_ctrl_c_ends_the_program(
    memory: Any,
) -> None:
    """A KeyboardInterrupt in a method is not an answer. It goes to the loop, and nothing is held
    any longer."""
    light = Light(memory)
    dimmer = Dimmer(light)
    placed = place_device(Device("House", services=[light, dimmer]), "uuid:1")
    host = DeviceHost(
        memory,
        placed,
        policy=PublisherPolicy(),
        limits=DEFAULT_LIMITS,
        chosen=ChosenAddresses(Interfaces(clock=memory.now), "127.0.0.1", ()),
    )
    publication = host.publication
    for each in placed.all_services():
        publication.add(each.service, f"/{each.event_path}")
    held: list[tuple[str, int]] = []
    hold = publication.hold

    def note(path: str, before: Any) -> Any:
        held.append((path, len(publication.protocol._holds)))
        return hold(path, before)

    publication.hold = note  # type: ignore[method-assign] # the test looks at it
    call = ActionCall(dimmer, dimmer._find_action("Dim"), {}, Request("POST", "/", ()), "", ())
    with pytest.raises(KeyboardInterrupt):
        host._actions.run(call)
    assert held == [("/Light/event", 0), ("/Dimmer/event", 1)]
    assert len(publication.protocol._holds) == 0
    light.level = 4  # is not held
    assert len(held) == 2
    await host.close()
