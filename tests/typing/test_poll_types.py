"""What a type checker takes as ``poll``. mypy checks this file; the functions without ``test_`` are
never run."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

import propchange
import propchange.twisted
from propchange import StateVariable

temperature: StateVariable[float] = StateVariable("r4", name="Temperature")


def texts() -> dict[str, str]:
    return {"Temperature": "20.5"}


async def values() -> dict[StateVariable[float], float]:
    return {temperature: 20.5}


async def of_instances() -> dict[tuple[str, int | None, str | None], int]:
    return {("Volume", 0, "Master"): 7}


def later() -> Deferred[dict[str, object]]:
    return Deferred()


def a_list() -> list[str]:
    return ["Temperature"]


def with_an_argument(name: str) -> dict[str, str]:
    return {name: "20.5"}


def subscribe(service: propchange.RemoteService[Any], point: propchange.ControlPoint) -> None:
    service.subscribe(poll=True, poll_interval=60)
    service.subscribe(poll=None)
    service.subscribe(poll=texts)
    service.subscribe(poll=values, poll_interval=0.5)
    service.subscribe(poll=of_instances)
    service.subscribe(poll=lambda: {"Temperature": 20.5})
    service.subscribe(minimum_interval=0.2)
    point.subscribe_url("http://192.0.2.7/event", poll=texts)

    service.subscribe(poll="values")  # type: ignore[arg-type]  # it is called
    service.subscribe(poll=a_list)  # type: ignore[arg-type]  # no names
    service.subscribe(poll=with_an_argument)  # type: ignore[arg-type]  # there is no argument
    service.subscribe(poll=texts, poll_interval="1")  # type: ignore[arg-type]  # no number
    point.subscribe_url("http://192.0.2.7/event", poll=True)  # type: ignore[arg-type]  # no SCPD


def subscribe_on_twisted(
    service: propchange.twisted.RemoteService[Any], point: propchange.twisted.ControlPoint
) -> None:
    service.subscribe(print, poll=later)
    service.subscribe(print, poll=values)
    point.subscribe(service, print, poll=True)
    point.subscribe("http://192.0.2.7/event", print, poll=texts)

    service.subscribe(print, poll=a_list)  # type: ignore[arg-type]  # no names
