"""A Cohen3 MediaRenderer and a Cohen3 control point, two processes, with the event module swapped,
and as they were shipped: the two columns of docs/cohen3.md."""

from __future__ import annotations

import http.client
import os
import subprocess
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from lab.programs import free_port

# The first test builds the environment.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


class Pair(NamedTuple):
    renderer: Any
    controller: Any
    event_url: str

    def subscribed(self) -> dict[str, Any]:
        """The control point's state once it has a SID."""
        state: dict[str, Any] = self.controller.until("state", lambda s: s and s["sid"])
        return state

    def updated(self) -> dict[str, Any]:
        """The control point's state once the initial event is there."""
        state: dict[str, Any] = self.controller.until("state", lambda s: s and s["updated"])
        return state

    def sids(self) -> list[str]:
        return [subscriber["sid"] for subscriber in self.renderer.ask("subscribers")]

    def request(self, method: str, **headers: str) -> int:
        """The status that the renderer answers a request to its event URL with."""
        parts = urlsplit(self.event_url)
        assert parts.hostname is not None
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        try:
            connection.request(method, parts.path, headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()


def pair(start: Any, which: str) -> Pair:
    renderer = start("renderer", which)
    controller = start("controller", which)
    ready = renderer.read("ready")
    controller.read("ready")
    controller.ask(f"find {ready['ready']} {ready['usn']}")
    return Pair(renderer, controller, ready["event_url"])


@pytest.fixture
def swapped(start: Any) -> Pair:
    return pair(start, "swapped")


@pytest.fixture
def shipped(start: Any) -> Pair:
    return pair(start, "shipped")


def one_process(python: Path, which: str, folder: Path) -> subprocess.CompletedProcess[str]:
    here = Path(__file__).parent
    port = str(free_port())
    program = str(here / "cohen3" / "one_process.py")
    return subprocess.run(
        [str(python), "-W", "ignore", program, which, port, str(folder / "trial")],
        env=os.environ | {"PYTHONPATH": str(here.parents[1] / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


# --- with the module swapped ---


def test_a_subscription_is_granted_and_its_initial_event_arrives(swapped: Pair) -> None:
    state = swapped.updated()
    assert state["known"]
    assert state["volume"] == 50
    (subscriber,) = swapped.renderer.ask("subscribers")
    assert subscriber["sid"] == state["sid"]
    assert subscriber["seq"] == 1
    assert subscriber["timeout"] == "Second-1800"
    assert subscriber["callback"].endswith("/events")


def test_a_changed_volume_arrives_as_lastchange_and_updates_the_service(swapped: Pair) -> None:
    swapped.updated()
    assert swapped.renderer.ask("volume 33") == 33
    state = swapped.controller.until("state", lambda s: s["volume"] == 33)
    assert 'Volume val="33"' in state["last_change"]
    assert swapped.controller.errors().count("Traceback") == 0


def test_a_renewal_is_answered_200_and_keeps_its_sid(swapped: Pair) -> None:
    sid = swapped.updated()["sid"]
    before = swapped.renderer.ask("subscribers")[0]["created"]
    assert swapped.controller.ask("renew") == 200
    (subscriber,) = swapped.renderer.ask("subscribers")
    assert subscriber["sid"] == sid == swapped.controller.ask("state")["sid"]
    assert subscriber["created"] > before


def test_an_unsubscribe_removes(swapped: Pair) -> None:
    swapped.updated()
    assert swapped.controller.ask("unsubscribe") == 200
    assert swapped.renderer.ask("subscribers") == []


def test_an_unknown_sid_is_answered_412_and_subscribed_anew(swapped: Pair) -> None:
    first = swapped.updated()["sid"]
    swapped.controller.ask("sid uuid:unknown")
    assert swapped.controller.ask("renew") == 412
    swapped.controller.until("state", lambda s: s["sid"] not in (None, first, "uuid:unknown"))
    assert swapped.request("UNSUBSCRIBE", SID="uuid:unknown") == 412
    assert swapped.request("SUBSCRIBE", SID="uuid:unknown", TIMEOUT="Second-300") == 412


def test_an_expired_subscription_is_gone_and_its_renewal_answered_412(swapped: Pair) -> None:
    sid = swapped.updated()["sid"]
    assert swapped.renderer.ask("expire") == 0
    assert swapped.sids() == []
    assert swapped.request("SUBSCRIBE", SID=sid, TIMEOUT="Second-300") == 412


def test_a_subscribe_is_judged_by_the_clauses(swapped: Pair) -> None:
    swapped.updated()
    right = {"CALLBACK": "<http://127.0.0.1:9/>", "NT": "upnp:event"}
    assert swapped.request("SUBSCRIBE", **right) == 200
    assert swapped.request("SUBSCRIBE", **right | {"NT": "upnp:other"}) == 412
    assert swapped.request("SUBSCRIBE", NT="upnp:event", TIMEOUT="Second-300") == 412
    assert swapped.request("SUBSCRIBE", **right | {"CALLBACK": "http://127.0.0.1:9/"}) == 412
    assert swapped.request("SUBSCRIBE", **right | {"CALLBACK": "<http://192.0.2.1:9/>"}) == 412
    assert swapped.request("SUBSCRIBE", **right, SID="uuid:one") == 400


def test_shutting_down_unsubscribes(swapped: Pair) -> None:
    swapped.updated()
    assert swapped.controller.ask("shutdown") is True
    assert swapped.renderer.ask("subscribers") == []


def test_a_control_point_and_a_renderer_share_one_process_and_leave_nothing(
    cohen3_python: Path, tmp_path: Path
) -> None:
    """As most programs on Cohen3 do, and as its own tests do, under trial."""
    done = one_process(cohen3_python, "swapped", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASSED (successes=2)" in done.stdout


# --- as shipped: what docs/cohen3.md says of it is true ---


def test_as_shipped_a_subscription_is_granted_and_no_event_ever_arrives(shipped: Pair) -> None:
    state = shipped.subscribed()
    shipped.renderer.ask("volume 33")
    # Two rounds of Cohen3's loop for moderated variables, told by SEQ.
    shipped.renderer.until("subscribers", lambda s: s[0]["seq"] >= 2)
    again = shipped.controller.ask("state")
    assert (again["sid"], again["volume"], again["updated"]) == (state["sid"], "", False)


def test_as_shipped_nothing_is_renewed_cancelled_or_expired(shipped: Pair) -> None:
    sid = shipped.subscribed()["sid"]
    assert shipped.request("SUBSCRIBE", SID=sid, TIMEOUT="Second-300") == 404
    assert shipped.controller.ask("renew") is None
    assert shipped.request("SUBSCRIBE", SID="uuid:unknown", TIMEOUT="Second-300") == 404
    shipped.controller.ask("unsubscribe")
    assert shipped.request("UNSUBSCRIBE") == 500
    assert shipped.request("UNSUBSCRIBE", SID=sid) == 500
    assert shipped.renderer.ask("expire") == 1
    assert sid in shipped.sids()


def test_as_shipped_no_event_arrives_in_one_process_either(
    cohen3_python: Path, tmp_path: Path
) -> None:
    done = one_process(cohen3_python, "shipped", tmp_path)
    assert "no event has arrived" in done.stdout
