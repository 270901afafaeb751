"""The table of SSDP against each control point and each device, over UDP in network namespaces."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
import ssdp_rows_control_point
import ssdp_rows_device
from runtime_threads import LoopThread
from ssdp_control_point import AsyncioFront, ControlPointPlayer, MakeFront, TwistedFront
from ssdp_device import AsyncioDevice, DevicePlayer, TwistedDevice
from ssdp_messages import SsdpRow
from ssdp_network import Lane

from lab.fixtures import missing
from lab.networks import Network
from lab.programs import Missing
from tests.interop.wire import enter

pytestmark = pytest.mark.slow  # many seconds in all

LANES = 12
"""Networks, and rows that are played at once."""

Played = Callable[[SsdpRow, str], None]


class Lanes:
    """Some networks; each is used by one row at a time."""

    def __init__(self) -> None:
        self._free: queue.Queue[tuple[Lane, LoopThread]] = queue.Queue()
        self._stack = contextlib.ExitStack()
        for _ in range(LANES):
            lane = Lane(self._stack.enter_context(Network()))
            thread = LoopThread(enter=partial(enter, lane.lans.near.namespace))
            self._stack.callback(thread.close)
            self._free.put((lane, thread))
        self.pool = self._stack.enter_context(ThreadPoolExecutor(LANES))

    @contextlib.contextmanager
    def one(self) -> Iterator[tuple[Lane, LoopThread]]:
        taken = self._free.get()
        try:
            yield taken
        finally:
            self._free.put(taken)

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def lanes() -> Iterator[Lanes]:
    try:
        lanes = Lanes()
    except Missing as error:
        missing(error)
    yield lanes
    lanes.close()


def parametrized(rows: tuple[SsdpRow, ...]) -> Any:
    return pytest.mark.parametrize(
        ("row", "family"),
        [
            pytest.param(
                row,
                family,
                id=f"{row.name}, {family}",
                marks=[pytest.mark.clause(clause) for clause in row.clauses],
            )
            for row in rows
            for family in row.families
        ],
    )


def playing(
    lanes: Lanes, play: Callable[..., None], test: str, session: pytest.Session
) -> dict[tuple[str, str], Future[None]]:
    """Plays the rows that ``test`` is asked for side by side."""
    wanted = [
        item.callspec.params  # type: ignore[attr-defined] # of a parametrized test
        for item in session.items
        if getattr(item, "originalname", "") == test
    ]
    return {
        (each["row"].name, each["family"]): lanes.pool.submit(
            play, each["row"], each["family"], lanes
        )
        for each in wanted
    }


def play_control_point(make: MakeFront, row: SsdpRow, family: str, lanes: Lanes) -> None:
    with lanes.one() as (lane, thread):
        ControlPointPlayer(row, family, lane, thread, make).play()


def play_device(make: Callable[[str], Any], row: SsdpRow, family: str, lanes: Lanes) -> None:
    with lanes.one() as (lane, _):
        DevicePlayer(row, family, lane, make).play()


@pytest.fixture(scope="module")
def on_asyncio(request: pytest.FixtureRequest, lanes: Lanes) -> dict[Any, Future[None]]:
    test = "test_a_row_with_a_control_point_on_asyncio"
    return playing(lanes, partial(play_control_point, AsyncioFront), test, request.session)


@pytest.fixture(scope="module")
def on_twisted(request: pytest.FixtureRequest, lanes: Lanes) -> dict[Any, Future[None]]:
    test = "test_a_row_with_a_control_point_on_twisted"
    return playing(lanes, partial(play_control_point, TwistedFront), test, request.session)


@pytest.mark.xdist_group("ssdp")
@parametrized(ssdp_rows_control_point.ROWS)
def test_a_row_with_a_control_point_on_asyncio(
    row: SsdpRow, family: str, on_asyncio: dict[Any, Future[None]]
) -> None:
    on_asyncio[row.name, family].result()


@pytest.mark.xdist_group("ssdp")
@parametrized(ssdp_rows_control_point.ROWS)
def test_a_row_with_a_control_point_on_twisted(
    row: SsdpRow, family: str, on_twisted: dict[Any, Future[None]]
) -> None:
    on_twisted[row.name, family].result()


@pytest.fixture(scope="module")
def devices_on_asyncio(request: pytest.FixtureRequest, lanes: Lanes) -> dict[Any, Future[None]]:
    test = "test_a_row_with_a_device_on_asyncio"
    return playing(lanes, partial(play_device, AsyncioDevice), test, request.session)


@pytest.fixture(scope="module")
def devices_on_twisted(request: pytest.FixtureRequest, lanes: Lanes) -> dict[Any, Future[None]]:
    test = "test_a_row_with_a_device_on_twisted"
    return playing(lanes, partial(play_device, TwistedDevice), test, request.session)


@pytest.mark.xdist_group("ssdp")
@parametrized(ssdp_rows_device.ROWS)
def test_a_row_with_a_device_on_asyncio(
    row: SsdpRow, family: str, devices_on_asyncio: dict[Any, Future[None]]
) -> None:
    devices_on_asyncio[row.name, family].result()


@pytest.mark.xdist_group("ssdp")
@parametrized(ssdp_rows_device.ROWS)
def test_a_row_with_a_device_on_twisted(
    row: SsdpRow, family: str, devices_on_twisted: dict[Any, Future[None]]
) -> None:
    devices_on_twisted[row.name, family].result()
