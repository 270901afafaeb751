"""Every program of docs/own-web-server.md runs as it stands, but for its address."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from tests.asgi.servers import call, scope_of

PAGE = (Path(__file__).parent.parent / "docs" / "own-web-server.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def run(program: str, port: int = 8000) -> Any:
    """The application of ``program``."""
    members: dict[str, Any] = {}
    exec(program.replace("192.168.1.5:8000", f"127.0.0.1:{port}"), members)
    return members


async def lived(app: Any, *scopes: dict[str, Any]) -> list[int]:
    """The statuses of requests while the server of ``app`` runs."""
    ends = asyncio.Event()
    messages: list[str] = []

    async def receive() -> dict[str, str]:
        if not messages:
            return {"type": "lifespan.startup"}
        await ends.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message["type"])

    living = asyncio.ensure_future(app({"type": "lifespan"}, receive, send))
    while not messages:
        await asyncio.sleep(0.001)
    statuses = [(await call(app, scope)).status for scope in scopes]
    ends.set()
    await living
    assert messages == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    return statuses


HOST = ("HOST", "127.0.0.1:8000")
NOTIFY = (
    HOST,
    ("NT", "upnp:event"),
    ("NTS", "upnp:propchange"),
    ("SID", "uuid:1"),
    ("SEQ", "1"),
)


async def test_the_device_of_the_page_is_described() -> None:
    app = run(PROGRAMS[0])["app"]
    asked = [scope_of("GET", f"/{path}", [HOST]) for path in ("upnp/description.xml", "other")]
    assert await lived(app, *asked) == [200, 404]


async def test_the_control_point_of_the_page_answers_below_its_mount() -> None:
    app = run(PROGRAMS[1])["app"]
    events = [scope_of("NOTIFY", f"/{path}/x", NOTIFY) for path in ("events", "other")]
    assert await lived(app, *events) == [412, 404]


async def test_the_application_of_aiohttp_passes_requests_on(wire: Any) -> None:
    from aiohttp import ClientSession, web

    members = run(PROGRAMS[2])
    runner = web.AppRunner(members["app"])
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    headers = dict(NOTIFY) | {"HOST": "127.0.0.1:8000"}
    async with members["control_point"], ClientSession() as session:
        for path, status in (("events/x", 412), ("x", 404)):
            url = f"http://127.0.0.1:{port}/{path}"
            async with session.request("NOTIFY", url, headers=headers) as answer:
                assert answer.status == status
    await runner.cleanup()


async def test_the_application_of_aiohttp_works_behind_a_unix_socket(tmp_path: Path) -> None:
    from aiohttp import ClientSession, UnixConnector, web

    members = run(PROGRAMS[2])
    runner = web.AppRunner(members["app"])
    await runner.setup()
    socket = str(tmp_path / "events.sock")
    await web.UnixSite(runner, socket).start()
    headers = dict(NOTIFY) | {"HOST": "127.0.0.1:8000"}
    async with (
        members["control_point"],
        ClientSession(connector=UnixConnector(socket)) as session,
        session.request("NOTIFY", "http://a/events/x", headers=headers) as answer,
    ):
        assert answer.status == 412
    await runner.cleanup()


def test_each_program_of_the_page_has_a_test() -> None:
    assert len(PROGRAMS) == 3


@pytest.mark.parametrize("name", re.findall(r"`(?:examples|tests)/[\w/]+\.py`", PAGE))
def test_the_files_that_the_page_names_exist(name: str) -> None:
    assert (Path(__file__).parent.parent / name.strip("`")).exists()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(?:Limits\.)?([a-z]+_[a-z_]+)`", PAGE))))
def test_the_names_in_code_are_names_of_the_package(name: str) -> None:
    from propchange import ControlPoint, HostedDevice, Limits

    known = {
        *dir(Limits),
        *dir(ControlPoint),
        *dir(HostedDevice),
        "callback_url",
        "client_max_size",
    }
    assert name in known
