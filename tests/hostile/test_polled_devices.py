"""A device that refuses SUBSCRIBE and gives wrong answers to the actions that poll its values."""

from __future__ import annotations

from typing import Any

import pytest

from propchange import Device, Event, Limits, Service, StateVariable, Status, host
from propchange.upnp.soap import build_answer, build_fault
from tests.asyncio.conftest import raw_device
from tests.driver.test_polling import SCPD, TYPE
from tests.driver.test_polling_programs import subscribed
from tests.hostile.fronts import point, result
from tests.wire import Until

__all__ = ["point", "raw_device"]

RIGHT = build_answer(TYPE, "GetTemperature", {"Current": "20.5"})
OPEN, _, CLOSE = RIGHT.partition(b"20.5")


def reply(body: bytes, status: int = 200, more: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\n%bCONTENT-LENGTH: %d\r\n\r\n%b" % (status, more, len(body), body)


ANSWERS = {
    "nothing": None,
    "no http": b"\x00\xff" * 40,
    "half a head": b"HTTP/1.1 200 OK\r\nCONT",
    "half a body": reply(RIGHT)[:-30],
    "a page": reply(b"<html><body>Welcome</body></html>"),
    "an empty body": reply(b""),
    "another status": reply(b"", 404),
    "too long a body": b"HTTP/1.1 200 OK\r\nCONTENT-LENGTH: 99999999\r\n\r\n",
    "a redirect to nowhere": reply(b"", 307, b"LOCATION: http://192.0.2.9/\r\n"),
    "a dtd": reply(b"<!DOCTYPE a [<!ENTITY e 'x'>]>" + RIGHT.partition(b"?>")[2]),
    "deep xml": reply(OPEN + b"<a>" * 500 + b"</a>" * 500 + CLOSE),
    "many arguments": reply(OPEN + b"</Current>" + b"<x/>" * 5_000 + b"<Current>" + CLOSE),
    "no number": reply(OPEN + b"warm" + CLOSE),
    "a number of many digits": reply(OPEN + b"9" * 10_000 + CLOSE),
    "a fault": reply(build_fault(501, "No"), 500),
    "a fault without a code": reply(build_fault(501, "No").replace(b"501", b"oops"), 500),
    "the answer of another action": reply(RIGHT.replace(b"GetTemperature", b"GetAlarm")),
}


class Neighbour(Service, type="urn:example-org:service:Neighbour:1"):
    count = StateVariable("ui4")


@pytest.mark.parametrize("wrong", ANSWERS)
async def test_wrong_answers_end_no_polling_and_disturb_nobody_else(
    point: Any, raw_device: Any, until: Until, wrong: str
) -> None:
    neighbour = Neighbour()
    other = Device("Neighbour", services=[neighbour])
    # A call without an answer takes that long.
    limits = Limits(request_seconds=0.3)
    answer, calls = ANSWERS[wrong], 0

    def post(request: Any) -> bytes | None:
        nonlocal calls
        calls += 1
        return answer

    async with (
        host(other, interface="127.0.0.1") as hosted,
        raw_device() as device,
        point(limits=limits, discovery=False) as (control_point, _),
    ):
        device.documents["/scpd.xml"] = SCPD.encode()
        device.answers |= {"SUBSCRIBE": device.reply(503), "POST": post}
        polled = (await result(control_point.device(device.description_url)))["Thermometer"]
        heard = (await result(control_point.device(hosted.description_url)))["Neighbour"]
        options = {"poll": True, "poll_interval": 0.02}
        async with (
            subscribed(control_point, heard) as undisturbed,
            subscribed(control_point, polled, **options) as disturbed,
        ):
            for number in range(1, 6):
                neighbour.count = number
                await until(lambda: calls >= 2 * number)  # noqa: B023 - it is awaited here
            await until(lambda: undisturbed.subscription.values.get("Count") == 5)
            seqs = [each.seq for each in undisturbed.updates if isinstance(each, Event)]
            assert seqs == list(range(len(seqs)))
            assert undisturbed.subscription.status is Status.ACTIVE
            assert disturbed.subscription.polled
            assert set(disturbed.subscription.values) <= {"Temperature"}
            answer = reply(RIGHT)
            await until(lambda: disturbed.subscription.values.get("Temperature") == 20.5)
