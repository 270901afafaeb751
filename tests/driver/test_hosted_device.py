"""host() of each runtime against subscribers of plain sockets, and its API."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import re
import socket
import threading
from collections.abc import Callable
from functools import partial
from typing import Any
from xml.etree import ElementTree

import pytest

from propchange.asyncio.host import host as asyncio_host
from propchange.core.limits import Limits
from propchange.core.publisher.outcomes import InitialEventDelivered, MessageAbandoned, Subscribed
from propchange.core.publisher.records import Subscription
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.messages import Delivery, Request, Response
from propchange.driver.machine import Interfaces
from propchange.driver.runtime import Signal
from propchange.errors import ConnectionFailed
from propchange.twisted.host import host as twisted_host
from propchange.upnp.device import Device
from propchange.upnp.service import Service
from propchange.upnp.soap import build_call
from propchange.upnp.standard import ConnectionManager, RenderingControl, SwitchPower
from tests.asyncio.conftest import give_ask, raw_subscriber
from tests.wire import Until

__all__ = ["give_ask", "raw_subscriber"]

EVENT = "/Thermometer/event"


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("i4", initial=20, maximum=1000)
    alarm = StateVariable("boolean", initial=False)
    serial = StateVariable("string", initial="x", evented=False)


def test_what_is_no_device_is_told_what_is_wanted(host: Any) -> None:
    with pytest.raises(TypeError, match="with the Thermometer in it, not the Thermometer alone"):
        host(Thermometer())  # a service
    with pytest.raises(TypeError, match="with the Thermometer in it, not the Thermometer alone"):
        host(Thermometer)  # a class
    with pytest.raises(TypeError, match="Device is a class: give an instance of it"):
        host(Device)  # a class
    with pytest.raises(TypeError, match="'Lamp' is not a Device"):
        host("Lamp")  # a name


def test_a_device_that_lacks_required_actions_is_told_all_of_them(host: Any) -> None:
    inner = Device("Inner", services=[RenderingControl()])
    outer = Device("Outer", services=[SwitchPower(), ConnectionManager()], devices=[inner])
    with pytest.raises(ValueError, match="required actions") as told:
        host(outer)

    text = str(told.value)
    assert "SwitchPower (urn:schemas-upnp-org:service:SwitchPower:1) lacks" in text
    assert ": SetTarget. Implement" in text
    assert "@action\n    def set_target(self, new_target_value): ..." in text
    assert ": SelectPreset. Implement" in text
    assert "ConnectionManager" not in text


def test_a_service_with_on_action_answers_for_itself(host: Any) -> None:
    host(Device("Lamp", services=[SwitchPower(on_action=lambda request: Response(501))]))


async def test_a_hosted_device_says_what_it_is(driven: Any, thermometer: Thermometer) -> None:
    hosted = driven.host(
        Device("Oven", services=[thermometer], udn="uuid:1"), interface="127.0.0.1"
    )
    assert repr(hosted) == "<HostedDevice 'Oven' uuid:1: not hosted yet>"
    async with hosted:
        assert repr(hosted) == f"<HostedDevice 'Oven' uuid:1: {hosted.description_url}>"
    assert repr(hosted) == "<HostedDevice 'Oven' uuid:1: ended>"


@pytest.fixture
def thermometer() -> Thermometer:
    return Thermometer()


@pytest.fixture
def hosting(driven: Any) -> Callable[..., Any]:
    def hosting(*services: Service, interface: str | None = "127.0.0.1", **options: Any) -> Any:
        device = Device("Workbench", services=services)
        return driven.host(device, interface=interface, **options)

    return hosting


@pytest.fixture(params=[asyncio_host, twisted_host], ids=["asyncio", "twisted"])
def host(request: pytest.FixtureRequest) -> Any:
    return request.param


# --- assignments become events ---


@pytest.mark.clause("SEQ-02")
@pytest.mark.clause("EVT-01")
@pytest.mark.clause("EVT-08")
async def test_assignments_are_events_in_their_order(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    async with raw_subscriber() as subscriber, hosting(thermometer) as hosted:
        granted = await subscriber.subscribe(hosted.port, EVENT)
        assert granted.status == 200
        assert await subscriber.event() == (0, {"Temperature": "20", "Alarm": "0"})
        for value in range(21, 31):
            thermometer.temperature = value
        got = [await subscriber.event() for _ in range(10)]
        assert got == [(v - 20, {"Temperature": str(v)}) for v in range(21, 31)]
        (notify, *_) = subscriber.requests
        assert notify.fields["sid"] == granted.fields["sid"]
        assert notify.fields["host"] == f"127.0.0.1:{subscriber.port}"
        assert subscriber.connections == 1


@pytest.mark.clause("EVT-05")
async def test_a_batch_is_one_event(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    async with raw_subscriber() as subscriber, hosting(thermometer) as hosted:
        await subscriber.subscribe(hosted.port, EVENT)
        await subscriber.event()
        with thermometer.batch():
            thermometer.temperature = 31
            thermometer.alarm = True
        assert await subscriber.event() == (1, {"Temperature": "31", "Alarm": "1"})


@pytest.mark.clause("EVT-07")
async def test_what_is_no_change_sends_nothing(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    """Equal and bad values, an exception in a batch, what is not evented."""

    async with raw_subscriber() as subscriber, hosting(thermometer) as hosted:
        await subscriber.subscribe(hosted.port, EVENT)
        await subscriber.event()
        thermometer.temperature = 20
        with pytest.raises(TypeError):
            thermometer.temperature = "warm"  # type: ignore[assignment] # that is the test
        with pytest.raises(ValueError, match="1000"):
            thermometer.temperature = 1001
        with contextlib.suppress(ZeroDivisionError), thermometer.batch():
            thermometer.alarm = True
            raise ZeroDivisionError
        thermometer.serial = "y"
        assert (thermometer.temperature, thermometer.alarm) == (20, False)
        assert await hosted.drain(5)
        thermometer.alarm = True
        assert await subscriber.event() == (1, {"Alarm": "1"})
        assert len(subscriber.requests) == 2


async def test_a_batch_held_across_an_await_raises_and_sends_nothing(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    async with raw_subscriber() as subscriber, hosting(thermometer) as hosted:
        await subscriber.subscribe(hosted.port, EVENT)
        await subscriber.event()

        async def hold() -> None:
            with thermometer.batch():
                thermometer.temperature = 99
                await asyncio.sleep(0.01)

        with pytest.raises(RuntimeError, match="await"):
            await hold()
        assert thermometer.temperature == 20
        thermometer.temperature = 21
        assert await subscriber.event() == (1, {"Temperature": "21"})


async def test_an_assignment_from_another_thread_raises_and_says_what_to_do(
    driven: Any, hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    runtime = driven.runtime
    async with raw_subscriber() as subscriber, hosting(thermometer) as hosted:
        await subscriber.subscribe(hosted.port, EVENT)
        await subscriber.event()

        def work() -> None:
            with pytest.raises(RuntimeError, match=re.escape(runtime.from_thread)):
                thermometer.temperature = 50
            with pytest.raises(RuntimeError, match=re.escape(runtime.from_thread)):
                thermometer.batch().__enter__()
            runtime.call_from_thread(partial(setattr, thermometer, "temperature", 51))

        await asyncio.to_thread(work)
        assert await subscriber.event() == (1, {"Temperature": "51"})


async def test_outside_the_network_assignments_only_set_values(hosting: Any) -> None:
    thermometer = Thermometer()
    thermometer.temperature = 1

    async with hosting(thermometer):
        assert thermometer.hosted
    assert not thermometer.hosted
    thread = threading.Thread(target=setattr, args=(thermometer, "temperature", 2))
    thread.start()
    await asyncio.to_thread(thread.join)
    assert thermometer.temperature == 2


@pytest.mark.clause("MOD-03")
async def test_moderated_values_arrive_with_the_last_one(hosting: Any, raw_subscriber: Any) -> None:
    service = Service(
        type="urn:example-org:service:Meter:1",
        variables=[StateVariable("ui4", name="Power", minimum_interval=0.05)],
    )

    async with raw_subscriber() as subscriber, hosting(service) as hosted:
        await subscriber.subscribe(hosted.port, "/Meter/event")
        await subscriber.event()
        for power in range(1, 101):
            service["Power"] = power
        assert await hosted.drain(5)
        values = [int((await subscriber.event())[1]["Power"]) for _ in subscriber.requests[1:]]
        assert values[-1] == 100
        assert len(values) <= 2


@pytest.mark.clause("SUB-02")
async def test_a_service_without_evented_variables_is_hosted_and_cannot_be_subscribed_to(
    hosting: Any, raw_subscriber: Any, ask: Any
) -> None:
    quiet = Service(
        type="urn:example-org:service:Quiet:1",
        variables=[StateVariable("ui1", name="Level", evented=False)],
    )
    async with raw_subscriber() as subscriber, hosting(quiet) as hosted:
        text = (await ask(hosted.port, "GET /description.xml HTTP/1.1\nHOST: {host}")).body
        assert b"<eventSubURL></eventSubURL>" in text
        assert (await subscriber.subscribe(hosted.port, "/Quiet/event")).status == 404
        quiet["Level"] = 3
        with quiet.batch():
            quiet["Level"] = 4
        assert quiet["Level"] == 4
        assert await hosted.drain(5)
        with pytest.raises(RuntimeError, match="evented variable, so nobody can subscribe"):
            await hosted.subscribed()
        assert subscriber.requests == []


@pytest.mark.parametrize("evented", [True, False])
async def test_a_service_has_the_paths_that_it_was_given(
    hosting: Any, raw_subscriber: Any, ask: Any, evented: bool
) -> None:
    queue = Service(
        type="urn:example-org:service:Queue:1",
        variables=[StateVariable("ui1", name="Length", evented=evented)],
        event_path="/MediaServer/Queue/Event",
        control_path="MediaServer/Queue/Control",
        scpd_path="/xml/Queue1.xml",
    )
    async with raw_subscriber() as subscriber, hosting(queue) as hosted:
        text = (await ask(hosted.port, "GET /description.xml HTTP/1.1\nHOST: {host}")).body
        assert b"<SCPDURL>/xml/Queue1.xml</SCPDURL>" in text
        assert b"<controlURL>/MediaServer/Queue/Control</controlURL>" in text
        assert (b"<eventSubURL>/MediaServer/Queue/Event</eventSubURL>" in text) is evented
        scpd = await ask(hosted.port, "GET /xml/Queue1.xml HTTP/1.1\nHOST: {host}")
        assert b"<name>Length</name>" in scpd.body
        control = "GET /MediaServer/Queue/Control HTTP/1.1\nHOST: {host}"
        assert (await ask(hosted.port, control)).status == 405
        for path, status in (
            ("/MediaServer/Queue/Event", 200 if evented else 404),
            ("/Queue/event", 404),
        ):
            assert (await subscriber.subscribe(hosted.port, path)).status == status
        if evented:
            assert await subscriber.event() == (0, {"Length": "0"})


# --- what the hosted device tells ---


async def test_subscribed_waits_for_an_initial_event_that_was_taken(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any, until: Until
) -> None:
    async with (
        raw_subscriber(status=500) as deaf,
        raw_subscriber() as subscriber,
        hosting(thermometer) as hosted,
    ):
        waiting = asyncio.create_task(hosted.subscribed())
        await deaf.subscribe(hosted.port, EVENT)
        await deaf.event()
        assert await hosted.drain(5)
        assert not waiting.done()
        await subscriber.subscribe(hosted.port, EVENT)
        await waiting
        assert len(hosted.subscriptions) == 2
        await hosted.subscribed()


async def test_drain_tells_whether_everything_is_told(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    async with raw_subscriber(status=None) as mute, hosting(thermometer) as hosted:
        assert await hosted.drain(0) is True
        await mute.subscribe(hosted.port, EVENT)
        assert await hosted.drain(0) is False
        assert await hosted.drain(timeout=0.05) is False
        await mute.event()
        mute.status = 412  # for the next one
        assert await hosted.drain(0.05) is False

    async with raw_subscriber() as subscriber, hosting(thermometer) as hosted:
        await subscriber.subscribe(hosted.port, EVENT)
        for value in range(100):
            thermometer.temperature = value
        assert await hosted.drain() is True
        assert await subscriber.event() == (0, {"Temperature": "99", "Alarm": "0"})


async def test_a_task_that_waits_ends_when_the_device_leaves(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    async with raw_subscriber(status=None) as mute:
        async with hosting(thermometer) as hosted:
            await mute.subscribe(hosted.port, EVENT)
            await mute.event()
            waiting = asyncio.create_task(hosted.subscribed())
            draining = asyncio.create_task(hosted.drain())
            await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="has left the network"):
            await waiting
        assert await draining is False
        assert await hosted.drain() is False
        with pytest.raises(RuntimeError, match="has left the network"):
            await hosted.subscribed()


async def test_a_cancelled_wait_leaves_nothing_behind(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    async with raw_subscriber() as subscriber, hosting(thermometer) as hosted:
        waiting = asyncio.create_task(hosted.subscribed())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await subscriber.subscribe(hosted.port, EVENT)
        await hosted.subscribed()


async def test_the_subscriptions_are_there_to_be_read(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any, ask: Any
) -> None:
    async with raw_subscriber() as subscriber, hosting(thermometer) as hosted:
        assert hosted.subscriptions == ()
        granted = await subscriber.subscribe(hosted.port, EVENT, more="TIMEOUT: Second-120")
        (subscription,) = hosted.subscriptions
        assert isinstance(subscription, Subscription)
        assert subscription.sid == granted.fields["sid"]
        assert subscription.duration == 120
        assert subscription.callbacks == (subscriber.url,)


async def test_before_it_is_entered_it_says_how_to(hosting: Any, thermometer: Thermometer) -> None:
    hosted = hosting(thermometer)
    for read in ("port", "description_url", "subscriptions"):
        with pytest.raises(RuntimeError, match=r"async with host|call open\("):
            getattr(hosted, read)

    with pytest.raises(RuntimeError, match=r"async with host|call open\("):
        await hosted.subscribed()
    with pytest.raises(RuntimeError, match=r"async with host|call open\("):
        await hosted.drain()
    await hosted.close()


# --- where it is ---


async def test_the_description_url_is_where_the_description_is(
    hosting: Any, thermometer: Thermometer
) -> None:
    async with hosting(thermometer, interface=None, udn="uuid:abc") as hosted:
        own = {address.host for address in Interfaces().addresses()}
        authority, _, path = hosted.description_url[len("http://") :].partition("/")
        address, _, port = authority.rpartition(":")
        assert address.strip("[]") in own
        assert int(port) == hosted.port
        reader, writer = await asyncio.open_connection(address.strip("[]"), hosted.port)
        get = f"GET /{path} HTTP/1.1\r\nHOST: {authority}\r\nCONNECTION: close\r\n\r\n"
        writer.write(get.encode())
        body = (await reader.read()).partition(b"\r\n\r\n")[2]
        writer.close()
        assert ElementTree.fromstring(body).findtext(".//{*}UDN") == "uuid:abc"


async def test_an_interface_is_an_address_or_a_name(hosting: Any, thermometer: Thermometer) -> None:
    known = Interfaces().addresses()
    name = next(address.interface for address in known if address.host == "127.0.0.1")

    for interface in ("127.0.0.1", name):
        async with hosting(thermometer, interface=interface) as hosted:
            url = f"http://127.0.0.1:{hosted.port}/description.xml"
            assert hosted.description_url == url


async def test_what_cannot_be_listened_on_is_told_and_the_services_are_let_go(
    hosting: Any, thermometer: Thermometer
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConnectionFailed, match=f"127.0.0.1: port {port} is taken") as caught:
            await hosting(thermometer, port=port).__aenter__()
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.EADDRINUSE
    with pytest.raises(ConnectionFailed, match=r"203\.0\.113\.1: no interface of this"):
        await hosting(thermometer, interface="203.0.113.1").__aenter__()
    async with hosting(thermometer):
        thermometer.temperature += 1


async def test_a_host_is_entered_once(hosting: Any, thermometer: Thermometer) -> None:
    hosted = hosting(thermometer)
    async with hosted:
        with pytest.raises(RuntimeError, match="entered once"):
            await hosted.__aenter__()
        assert thermometer.hosted
    with pytest.raises(RuntimeError, match="entered once"):
        await hosted.__aenter__()


async def test_a_service_is_in_one_host_at_a_time(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    other = Service(
        type="urn:example-org:service:Meter:1", variables=[StateVariable("ui4", name="Power")]
    )

    async with raw_subscriber() as subscriber, hosting(thermometer) as hosted:
        with pytest.raises(RuntimeError, match="hosted already"):
            await hosting(other, thermometer).__aenter__()
        assert not other.hosted
        await subscriber.subscribe(hosted.port, EVENT)
        await subscriber.event()
        thermometer.temperature = 5
        assert await subscriber.event() == (1, {"Temperature": "5"})


async def test_a_hosted_device_can_be_closed_twice_and_by_several_tasks_at_once(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any, ask: Any
) -> None:
    async with raw_subscriber() as subscriber, hosting(thermometer) as hosted:
        await subscriber.subscribe(hosted.port, EVENT)
        await hosted.subscribed()
        first, second = (asyncio.create_task(hosted.close()) for _ in range(2))
        await second
        assert first.done()
        with pytest.raises(ConnectionRefusedError):
            await ask(hosted.port, "GET / HTTP/1.1\nHOST: {host}")
        await hosted.close()


def test_the_same_device_at_the_same_port_has_the_same_udn(host: Any) -> None:
    def udn(**options: Any) -> str:
        given: str = host(Device("Workbench", services=[Thermometer()]), **options).udn
        return given

    assert udn(port=8123) == udn(port=8123)
    assert udn(port=8123) != udn(port=8124)
    assert udn(udn="abc") == "uuid:abc"
    assert host(Device("Workbench", udn="uuid:own")).udn == "uuid:own"
    assert host(Device("Workbench", udn="uuid:own"), udn="uuid:given").udn == "uuid:given"


@pytest.mark.parametrize(
    "options",
    [
        {"uda": "3.0"},
        {"callbacks": "all"},
        {"minimum_duration": 0},
        {"hosts": frozenset({"a b"})},
        {"udn": "not one"},
        {"port": 65_536},
        {"port": -1},
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(host: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        host(Device("Workbench"), **options)


# --- requests ---


@pytest.mark.parametrize("uda", ["1.0", "1.1", "2.0"])
@pytest.mark.clause("SUB-44")
@pytest.mark.clause("SUB-51")
@pytest.mark.clause("NOT-04")
async def test_the_version_of_the_architecture_shows_everywhere(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any, ask: Any, uda: str
) -> None:
    async with raw_subscriber() as subscriber, hosting(thermometer, uda=uda) as hosted:
        granted = await subscriber.subscribe(hosted.port, EVENT, more="STATEVAR: Alarm")
        assert f" UPnP/{uda} " in granted.fields["server"]
        assert granted.fields.get("accepted-statevar") == ("Alarm" if uda == "2.0" else None)
        notify = await subscriber.arrived.get()
        expected = "text/xml" if uda == "1.0" else 'text/xml; charset="utf-8"'
        assert notify.fields["content-type"] == expected
        assert (b"Temperature" in notify.body) is (uda != "2.0")
        got = await ask(hosted.port, "GET /description.xml HTTP/1.1\nHOST: {host}")
        root = ElementTree.fromstring(got.body)
        assert f"1.{root.findtext('.//{*}minor')}" == uda or uda == "2.0"
        assert root.findtext(".//{*}major") == uda[0]


@pytest.mark.clause("SUB-22")
@pytest.mark.clause("SUB-43")
@pytest.mark.clause("SUB-45")
@pytest.mark.clause("SUB-46")
@pytest.mark.clause("SUB-48")
async def test_the_answer_to_subscribe_has_what_the_architecture_asks_for(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    async with raw_subscriber() as subscriber, hosting(thermometer) as hosted:
        granted = await subscriber.subscribe(hosted.port, EVENT, more="TIMEOUT: Second-7200")
        assert granted.first == "HTTP/1.1 200 OK"
        assert granted.fields["sid"].startswith("uuid:")
        assert granted.fields["timeout"] == "Second-7200"
        assert granted.fields["content-length"] == "0"
        assert granted.fields["date"].endswith(" GMT")
        default = await subscriber.subscribe(hosted.port, EVENT, more="TIMEOUT: infinite")
        assert default.fields["timeout"] == "Second-1800"
        assert default.fields["sid"] != granted.fields["sid"]


@pytest.mark.clause("SUB-75")
@pytest.mark.clause("SUB-76")
async def test_documents_are_got_and_what_is_not_there_is_404(
    hosting: Any, thermometer: Thermometer, ask: Any
) -> None:
    async with hosting(thermometer) as hosted:
        port = hosted.port
        got = await ask(port, "GET /Thermometer/scpd.xml HTTP/1.1\nHOST: {host}")
        assert got.status == 200
        names = [e.text for e in ElementTree.fromstring(got.body).iter() if "name" in e.tag]
        assert names == ["GetValues", "Temperature", "Alarm", "Temperature", "Alarm", "Serial"]
        head = await ask(port, "HEAD /Thermometer/scpd.xml HTTP/1.1\nHOST: {host}")
        assert head.fields["content-length"] == str(len(got.body))
        for method, path, status in (
            ("GET", "/nothing", 404),
            ("SUBSCRIBE", "/nothing", 404),
            ("GET", EVENT, 405),
            ("POST", EVENT, 405),
            ("SUBSCRIBE", "/description.xml", 405),
        ):
            refused = await ask(port, f"{method} {path} HTTP/1.1\nHOST: {{host}}")
            assert (refused.status, refused.body) == (status, b""), (method, path)


async def test_actions_go_to_on_action_or_fail_with_upnp_error_401(
    driven: Any, hosting: Any, thermometer: Thermometer, ask: Any
) -> None:
    action = 'POST /Thermometer/control HTTP/1.1\nHOST: {host}\nSOAPACTION: "a#b"'
    async with hosting(thermometer) as hosted:
        call = build_call("a", "b", {})
        fault = await ask(hosted.port, f"{action}\nCONTENT-TYPE: text/xml", body=call)
        assert fault.status == 500
        assert b"<errorCode>401</errorCode>" in fault.body

        def at_once(request: Request) -> Response:
            assert request.fields[b"soapaction"] == b'"a#b"'
            thermometer.temperature = 40
            return Response(200, (), b"<at-once/>" + request.body)

        async def later(request: Request) -> Response:
            await Signal(driven.runtime).wait(0.001)
            return Response(200, (), b"<later/>" + request.body)

        for on_action, body in ((at_once, b"<at-once/><a/>"), (later, b"<later/><a/>")):
            thermometer.on_action = on_action
            answer = await ask(hosted.port, action, body=b"<a/>")
            assert (answer.status, answer.body) == (200, body)
        assert thermometer.temperature == 40


async def test_an_action_that_fails_is_500_and_logged(
    hosting: Any, thermometer: Thermometer, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def at_once(request: Request) -> Response:
        raise ZeroDivisionError("at once")

    async def later(request: Request) -> Response:
        raise ZeroDivisionError("later")

    async def nothing(request: Request) -> None:
        return None

    async with hosting(thermometer) as hosted:
        for on_action in (at_once, later, lambda request: None, nothing):
            thermometer.on_action = on_action  # type: ignore[assignment] # that is the test
            answer = await ask(
                hosted.port, "POST /Thermometer/control HTTP/1.1\nHOST: {host}", body=b"<a/>"
            )
            assert (answer.status, answer.body) == (500, b"")
    logged = [str(r.exc_info[1]) for r in caplog.records if r.exc_info]
    assert logged[:2] == ["at once", "later"]
    assert all("Response" in line and "not None" in line for line in logged[2:])
    assert len(logged) == 4


@pytest.mark.clause("SUB-71")
@pytest.mark.clause("SUB-74")
@pytest.mark.clause("CSX-01")
async def test_a_foreign_delivery_url_is_refused(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """CallStranger (CVE-2020-12695)."""

    async with raw_subscriber() as subscriber, hosting(thermometer) as hosted:
        for callback in (
            "<http://203.0.113.9:80/>",
            f"<{subscriber.url}><http://203.0.113.9/>",
            f"<http://127.0.0.1:{hosted.port}/>",
            "<http://localhost:80/>",
            "<https://127.0.0.1/>",
            "nonsense",
            "",
        ):
            refused = await subscriber.subscribe(hosted.port, EVENT, callback=callback)
            assert refused.status == 412, callback
        assert hosted.subscriptions == ()
        assert await hosted.drain(5)
        assert subscriber.connections == 0
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert any("127.0.0.1 was refused" in line and "412" in line for line in warned)


async def test_the_same_refusal_is_told_once(
    hosting: Any, thermometer: Thermometer, ask: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with hosting(thermometer) as hosted:
        for _ in range(5):
            await ask(hosted.port, f"SUBSCRIBE {EVENT} HTTP/1.1\nHOST: {{host}}")
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1


async def test_a_wrong_host_is_400(hosting: Any, thermometer: Thermometer, ask: Any) -> None:
    """DNS rebinding."""

    async with hosting(thermometer, hosts=frozenset({"workbench.local"})) as hosted:
        head = f"SUBSCRIBE {EVENT} HTTP/1.1\nCALLBACK: <http://127.0.0.1:9/>\nNT: upnp:event"
        for line in ("HOST: evil.example", "HOST: 127.0.0.1:1", "HOST: localhost", "X: y"):
            assert (await ask(hosted.port, f"{head}\n{line}")).status == 400, line
        known = await ask(hosted.port, f"{head}\nHOST: workbench.local:{hosted.port}")
        assert known.status == 200


@pytest.mark.clause("SUB-70")
@pytest.mark.clause("SUB-71")
@pytest.mark.clause("SUB-72")
@pytest.mark.clause("REN-08")
@pytest.mark.clause("UNS-06")
async def test_contradictions_are_answered_as_the_tables_say(
    hosting: Any, thermometer: Thermometer, ask: Any
) -> None:
    async with hosting(thermometer) as hosted:
        base = f"{EVENT} HTTP/1.1\nHOST: {{host}}\n"
        callback = "CALLBACK: <http://127.0.0.1:9/>\n"
        for method, more, status in (
            ("SUBSCRIBE", f"{callback}NT: upnp:event\nSID: uuid:1", 400),
            ("SUBSCRIBE", "NT: upnp:event\nSID: uuid:1", 400),
            ("SUBSCRIBE", "SID: uuid:1", 412),
            ("SUBSCRIBE", "NT: upnp:event", 412),
            ("SUBSCRIBE", f"{callback}NT: upnp:other", 412),
            ("UNSUBSCRIBE", "SID: uuid:1", 412),
            ("UNSUBSCRIBE", "NT: upnp:event\nSID: uuid:1", 400),
            ("UNSUBSCRIBE", "X: y", 412),
        ):
            assert (await ask(hosted.port, f"{method} {base}{more}")).status == status


@pytest.mark.clause("SUB-02")
async def test_a_service_without_evented_variables_cannot_be_subscribed_to(
    hosting: Any, raw_subscriber: Any, ask: Any
) -> None:
    quiet = Service(
        type="urn:example-org:service:Quiet:1",
        variables=[StateVariable("string", name="Text", evented=False)],
    )

    async with raw_subscriber() as subscriber, hosting(quiet) as hosted:
        quiet["Text"] = "set"
        assert (await subscriber.subscribe(hosted.port, "/Quiet/event")).status == 404
        got = await ask(hosted.port, "GET /description.xml HTTP/1.1\nHOST: {host}")
        assert ElementTree.fromstring(got.body).findtext(".//{*}eventSubURL") == ""


@pytest.mark.clause("SUB-73")
async def test_a_full_table_is_503(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    limits = Limits(subscriptions=1)
    async with raw_subscriber() as subscriber, hosting(thermometer, limits=limits) as hosted:
        assert (await subscriber.subscribe(hosted.port, EVENT)).status == 200
        assert (await subscriber.subscribe(hosted.port, EVENT)).status == 503


# --- the initial event ---


@pytest.mark.clause("SUB-55")
@pytest.mark.clause("SUB-56")
async def test_the_initial_event_comes_after_the_answer_and_its_end(
    hosting: Any, thermometer: Thermometer, wire: Any
) -> None:
    for delay in (0, 0.02):
        async with hosting(thermometer, initial_event_delay=delay) as hosted:
            for closing in (False, True):
                door = wire.listen()
                peer = await wire.dial(hosted.port)
                end = "CONNECTION: close\r\n" if closing else ""
                await peer.send(
                    f"SUBSCRIBE {EVENT} HTTP/1.1\r\nHOST: 127.0.0.1:{hosted.port}\r\n"
                    f"CALLBACK: <http://127.0.0.1:{door.port}/>\r\nNT: upnp:event\r\n{end}\r\n"
                    "".encode()
                )
                notifying = await door.accept()
                # Whatever has left the host before it connected is here now.
                answer = peer.at_once()
                assert answer is not None
                assert answer.startswith(b"HTTP/1.1 200")
                assert peer.at_once() == (b"" if closing else None)
                assert (await notifying.until(b"</e:propertyset>")).startswith(b"NOTIFY / ")
                for each in (peer, notifying, door):
                    each.close()


@pytest.mark.clause("SUB-58")
async def test_an_unsubscribed_subscriber_still_gets_its_initial_event(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any, ask: Any, until: Until
) -> None:
    async with (
        raw_subscriber() as subscriber,
        hosting(thermometer, initial_event_delay=0.2) as hosted,
    ):
        granted = await subscriber.subscribe(hosted.port, EVENT)
        cancelled = await ask(
            hosted.port,
            f"UNSUBSCRIBE {EVENT} HTTP/1.1\nHOST: {{host}}\nSID: {granted.fields['sid']}",
        )
        assert cancelled.status == 200
        assert subscriber.requests == []
        assert (await subscriber.event())[0] == 0
        await until(lambda: hosted.subscriptions == ())


async def test_an_answer_that_is_lost_is_no_subscription(
    driven: Any, hosting: Any, wire: Any, until: Until
) -> None:
    """The peer resets the connection with the answer, and a document before it, still unsent."""
    scpd = (
        '<scpd xmlns="urn:schemas-upnp-org:service-1-0"><serviceStateTable><stateVariable>'
        f"<name>A</name><dataType>ui4</dataType></stateVariable></serviceStateTable>"
        f"<!--{'x' * 50_000}--></scpd>"
    )
    service = Service.from_scpd(scpd.encode(), type="urn:example-org:service:Big:1")
    seen: list[object] = []

    async with hosting(service, tap=seen.append) as hosted:
        (accepting,) = driven.listening_sockets(hosted)
        accepting.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        door = wire.listen()
        peer = await wire.dial(hosted.port, receive_buffer=4096)
        get = f"GET /Big/scpd.xml HTTP/1.1\r\nHOST: 127.0.0.1:{hosted.port}\r\n\r\n"
        await peer.send(
            get.encode()
            + f"SUBSCRIBE /Big/event HTTP/1.1\r\n"
            f"HOST: 127.0.0.1:{hosted.port}\r\nNT: upnp:event\r\n"
            f"CALLBACK: <http://127.0.0.1:{door.port}/>\r\n\r\n".encode()
        )
        await until(lambda: hosted.subscriptions)
        peer.reset()
        await until(lambda: not hosted.subscriptions)
        assert not any(isinstance(item, Delivery) for item in seen)


# --- subscribers of all kinds ---


@pytest.mark.clause("FAIL-01")
@pytest.mark.clause("FAIL-02")
@pytest.mark.clause("SEQ-08")
async def test_the_first_delivery_url_that_works_gets_every_event(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    async with (
        raw_subscriber() as dead,
        raw_subscriber(status=404) as broken,
        raw_subscriber() as good,
        raw_subscriber() as spare,
        hosting(thermometer) as hosted,
    ):
        dead_url = dead.url
        await dead.__aexit__()
        await good.subscribe(
            hosted.port,
            EVENT,
            callback=f"<{dead_url}><{broken.url}><{good.url}><{spare.url}>",
        )
        thermometer.temperature = 21
        assert await hosted.drain(5)
        thermometer.temperature = 22
        assert await hosted.drain(5)
        for tried in (broken, good):
            assert [int(n.fields["seq"]) for n in tried.requests] == [0, 1]
        assert spare.connections == 0


async def test_a_subscriber_that_closes_after_each_event_gets_them_all(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    async with raw_subscriber(close=True) as subscriber, hosting(thermometer) as hosted:
        await subscriber.subscribe(hosted.port, EVENT)
        assert (await subscriber.event())[0] == 0
        for value in range(1, 6):
            thermometer.temperature = value
        got = [await subscriber.event() for _ in range(5)]
        assert got == [(v, {"Temperature": str(v)}) for v in range(1, 6)]
        assert await hosted.drain(5)
        assert subscriber.connections == 6


async def test_a_subscriber_that_closes_without_a_word_loses_nothing(
    hosting: Any, thermometer: Thermometer, wire: Any
) -> None:
    """A kept-alive connection that turns out closed is no attempt: the same SEQ again, fresh."""

    async with hosting(thermometer) as hosted:
        door = wire.listen()
        peer = await wire.dial(hosted.port)
        await peer.send(
            f"SUBSCRIBE {EVENT} HTTP/1.1\r\nHOST: 127.0.0.1:{hosted.port}\r\nNT: upnp:event\r\n"
            f"CALLBACK: <http://127.0.0.1:{door.port}/>\r\n\r\n".encode()
        )
        ok = b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 0\r\n\r\n"
        first = await door.accept()
        await first.until(b"</e:propertyset>")
        await first.send(ok)
        await hosted.subscribed()
        thermometer.temperature = 1
        assert b"SEQ: 1\r\n" in await first.until(b"</e:propertyset>")
        first.reset()  # after the request, before any byte of the answer
        second = await door.accept()
        again = await second.until(b"</e:propertyset>")
        assert b"SEQ: 1\r\n" in again
        assert b"<Temperature>1</Temperature>" in again
        await second.send(ok)
        assert await hosted.drain(5)


@pytest.mark.slow
@pytest.mark.clause("FAIL-03")
@pytest.mark.clause("FAIL-04")
@pytest.mark.clause("FAIL-07")
@pytest.mark.clause("FAIL-08")
@pytest.mark.clause("SEQ-07")
async def test_a_subscriber_that_never_answers_delays_no_other(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The others have had everything before its first attempt is over; then it gets on too."""
    seen: list[object] = []

    limits = Limits(attempt_seconds=2.0, message_seconds=4.0)
    async with (
        raw_subscriber(status=None) as mute,
        raw_subscriber() as subscriber,
        hosting(thermometer, limits=limits, tap=seen.append) as hosted,
    ):
        await mute.subscribe(hosted.port, EVENT)
        assert (await mute.event())[0] == 0
        await subscriber.subscribe(hosted.port, EVENT)
        await subscriber.event()
        for value in range(1, 51):
            thermometer.temperature = value
            assert await subscriber.event() == (value, {"Temperature": str(value)})
        assert not any(isinstance(item, MessageAbandoned) for item in seen)
        mute.status = 200
        assert await hosted.drain(10)
        # SEQ 0 is spent; what was more than may wait has been merged, and the end is true.
        got = [await mute.event() for _ in mute.requests[1:]]
        assert [seq for seq, _ in got] == list(range(1, len(got) + 1))
        assert len(got) <= limits.waiting_messages + 1
        assert got[-1][1] == {"Temperature": "50"}
        assert len(hosted.subscriptions) == 2
    abandoned = [item for item in seen if isinstance(item, MessageAbandoned)]
    assert [item.seq for item in abandoned] == [0]
    warned = " ".join(r.getMessage() for r in caplog.records if r.levelno == logging.WARNING)
    assert "SEQ 0 did not reach" in warned
    assert "events were merged" in warned


async def test_a_connection_that_brought_no_answer_is_ended_and_makes_room(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any, until: Until
) -> None:
    """Two that never answer take all the connections there may be, until their time is up."""

    limits = Limits(attempt_seconds=0.1, message_seconds=0.1, delivery_connections=2)
    async with (
        raw_subscriber(status=None) as mute,
        raw_subscriber() as subscriber,
        hosting(thermometer, limits=limits) as hosted,
    ):
        for _ in range(2):
            await mute.subscribe(hosted.port, EVENT)
            await mute.event()
        assert mute.open == 2
        await subscriber.subscribe(hosted.port, EVENT)
        assert (await subscriber.event())[0] == 0
        await until(lambda: mute.open == 0)
        mute.status = 412
        for value in range(1, 6):
            thermometer.temperature = value
            assert await subscriber.event() == (value, {"Temperature": str(value)})


@pytest.mark.clause("FAIL-05")
async def test_412_ends_a_subscription(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any, until: Until
) -> None:
    async with raw_subscriber() as subscriber, hosting(thermometer) as hosted:
        await subscriber.subscribe(hosted.port, EVENT)
        await hosted.subscribed()
        subscriber.status = 412
        thermometer.temperature = 1
        await until(lambda: hosted.subscriptions == ())
        thermometer.temperature = 2
        assert await hosted.drain(5)
        assert len(subscriber.requests) == 2


async def test_a_failing_subscriber_is_kept(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    async with raw_subscriber(status=500) as subscriber, hosting(thermometer) as hosted:
        await subscriber.subscribe(hosted.port, EVENT)
        await subscriber.event()
        subscriber.status = 200
        thermometer.temperature = 1
        assert await subscriber.event() == (1, {"Temperature": "1"})
        assert len(hosted.subscriptions) == 1


@pytest.mark.clause("REN-04")
@pytest.mark.clause("REN-05")
@pytest.mark.clause("UNS-04")
@pytest.mark.clause("UNS-06")
async def test_renewal_and_unsubscribe(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any, ask: Any, until: Until
) -> None:
    async with raw_subscriber() as subscriber, hosting(thermometer) as hosted:
        sid = (await subscriber.subscribe(hosted.port, EVENT)).fields["sid"]
        await hosted.subscribed()
        renew = f"SUBSCRIBE {EVENT} HTTP/1.1\nHOST: {{host}}\nSID: {sid}\nTIMEOUT: Second-90"
        renewed = await ask(hosted.port, renew)
        assert (renewed.status, renewed.fields["sid"]) == (200, sid)
        assert renewed.fields["timeout"] == "Second-90"
        assert hosted.subscriptions[0].duration == 90
        thermometer.temperature = 1
        assert await hosted.drain(5)
        assert [int(n.fields["seq"]) for n in subscriber.requests] == [0, 1]

        end = f"UNSUBSCRIBE {EVENT} HTTP/1.1\nHOST: {{host}}\nSID: {sid}"
        assert (await ask(hosted.port, end)).status == 200
        assert hosted.subscriptions == ()
        assert (await ask(hosted.port, end)).status == 412
        assert (await ask(hosted.port, renew)).status == 412
        thermometer.temperature = 2
        assert await hosted.drain(5)
        assert len(subscriber.requests) == 2


@pytest.mark.slow
@pytest.mark.clause("REN-11")
async def test_a_subscription_that_is_not_renewed_expires(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any, ask: Any, until: Until
) -> None:
    async with (
        raw_subscriber() as subscriber,
        hosting(thermometer, minimum_duration=1) as hosted,
    ):
        granted = await subscriber.subscribe(hosted.port, EVENT, more="TIMEOUT: Second-1")
        assert granted.fields["timeout"] == "Second-1"
        await hosted.subscribed()
        await until(lambda: hosted.subscriptions == ())
        renew = f"SUBSCRIBE {EVENT} HTTP/1.1\nHOST: {{host}}\nSID: {granted.fields['sid']}"
        assert (await ask(hosted.port, renew)).status == 412


async def test_dlna_grants_300_seconds(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    async with raw_subscriber() as subscriber, hosting(thermometer, dlna=True) as hosted:
        granted = await subscriber.subscribe(hosted.port, EVENT, more="TIMEOUT: Second-9000")
        assert granted.fields["timeout"] == "Second-300"


async def test_ipv6_subscribers_are_served(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any
) -> None:
    if not any(address.host == "::1" for address in Interfaces().addresses()):
        pytest.skip("this machine has no ::1")

    for interface in ("::1", None):
        async with (
            raw_subscriber("::1") as subscriber,
            hosting(thermometer, interface=interface) as hosted,
        ):
            if interface:
                url = f"http://[::1]:{hosted.port}/description.xml"
                assert hosted.description_url == url
            assert (await subscriber.subscribe(hosted.port, EVENT)).status == 200
            assert (await subscriber.event())[0] == 0
            (notify,) = subscriber.requests
            assert notify.fields["host"] == f"[::1]:{subscriber.port}"


async def test_two_services_have_subscriptions_of_their_own(
    hosting: Any, raw_subscriber: Any
) -> None:
    first, second = Thermometer(), Thermometer()

    async with (
        raw_subscriber() as one,
        raw_subscriber() as other,
        hosting(first, second) as hosted,
    ):
        await one.subscribe(hosted.port, EVENT)
        await other.subscribe(hosted.port, "/Thermometer2/event")
        await one.event()
        await other.event()
        first.temperature = 1
        second.temperature = 2
        assert await one.event() == (1, {"Temperature": "1"})
        assert await other.event() == (1, {"Temperature": "2"})


async def test_a_tap_sees_everything_that_passes(
    hosting: Any, thermometer: Thermometer, raw_subscriber: Any, ask: Any
) -> None:
    seen: list[object] = []

    async def on_action(request: Request) -> Response:
        return Response(200, (), b"<done/>")

    thermometer.on_action = on_action

    async with raw_subscriber() as subscriber, hosting(thermometer, tap=seen.append) as hosted:
        await subscriber.subscribe(hosted.port, EVENT)
        await hosted.subscribed()
        assert [type(item) for item in seen] == [
            Request,
            Response,
            Subscribed,
            Delivery,
            InitialEventDelivered,
        ]
        seen.clear()
        await ask(hosted.port, "POST /Thermometer/control HTTP/1.1\nHOST: {host}", body=b"<a/>")
        assert [type(item) for item in seen] == [Request, Response]
        assert isinstance(seen[1], Response)
        assert seen[1].body == b"<done/>"
