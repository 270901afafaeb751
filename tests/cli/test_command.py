"""The command in a process of its own: signals, pipes, terminals, and missing packages."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

pytestmark = pytest.mark.slow

PATIENCE = 15.0


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def read_events(process: subprocess.Popen[str], number: int) -> list[dict[str, Any]]:
    assert process.stdout is not None
    events: list[dict[str, Any]] = []
    for line in process.stdout:
        told = json.loads(line)
        if "changes" in told:
            events.append(told)
            if len(events) == number:
                break
    return events


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_unsubscribes_and_ends_quietly(workbench: Any, start: Any, number: int) -> None:
    watch = start("watch", workbench.url, "--service", "Thermometer")
    read_events(watch, 1)

    watch.send_signal(number)
    _, err = watch.communicate(timeout=PATIENCE)

    assert (watch.returncode, err) == (0, "")
    sid = workbench.requests.wait_for("UNSUBSCRIBE").fields[b"sid"]
    assert sid.startswith(b"uuid:")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_before_the_count_is_reached_shows_in_the_status(
    workbench: Any, start: Any, number: int, status: int
) -> None:
    watch = start("watch", workbench.url, "--count", "100")
    read_events(watch, 1)

    watch.send_signal(number)
    _, err = watch.communicate(timeout=PATIENCE)

    assert (watch.returncode, err) == (status, "")
    workbench.requests.wait_for("UNSUBSCRIBE")


def test_a_second_ctrl_c_does_not_wait_for_the_device(start: Any) -> None:
    """One that grants, and leaves the UNSUBSCRIBE unanswered."""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in (b"405 No", b"200 OK\r\nSID: uuid:1\r\nTIMEOUT: Second-60"):
                connection, _ = server.accept()
                with connection:
                    connection.recv(65_536)
                    connection.sendall(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 0\r\n\r\n")
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                asked.set()
                connection.recv(65_536)

        thread = threading.Thread(target=serve)
        thread.start()
        watch = start("watch", f"http://127.0.0.1:{server.getsockname()[1]}/event")
        assert json.loads(watch.stdout.readline())["status"] == "granted"
        watch.send_signal(signal.SIGINT)
        assert asked.wait(PATIENCE)
        watch.send_signal(signal.SIGINT)
        _, err = watch.communicate(timeout=PATIENCE)
        thread.join(PATIENCE)

    assert (watch.returncode, err) == (-signal.SIGINT, "")


def test_events_are_seen_as_they_happen(workbench: Any, start: Any) -> None:
    watch = start("watch", workbench.url, "--service", "Thermometer")
    read_events(watch, 1)
    for temperature in (21.5, 22.0):
        workbench.set(workbench.thermometer, "Temperature", temperature)
        (event,) = read_events(watch, 1)
        assert event["changes"] == {"Temperature": temperature}
        assert event["initial"] is False


def test_a_reader_that_has_had_enough_ends_it_quietly(workbench: Any, start: Any) -> None:
    """Although no further event comes that could not be written."""
    watch = start("watch", workbench.url, "--service", "Thermometer")
    read_events(watch, 1)

    watch.stdout.close()
    watch.wait(PATIENCE)

    assert (watch.returncode, watch.stderr.read()) == (0, "")
    workbench.requests.wait_for("UNSUBSCRIBE")


@pytest.mark.slow
def test_a_full_disk_is_said(workbench: Any, start: Any) -> None:
    with open("/dev/full", "w") as full:
        watch = start("watch", workbench.url, stdout=full)
        _, err = watch.communicate(timeout=PATIENCE)

    assert watch.returncode == 1
    assert err == (
        "propchange: cannot write the output: No space left on device; write it to another place\n"
    )


def test_a_stalled_reader_does_not_cost_the_subscription(workbench: Any, start: Any) -> None:
    """More than a pipe holds is sent while nobody reads: every NOTIFY is answered, and all of it
    is there to be read afterwards."""
    watch = start("watch", workbench.url, "--service", "Values")
    read_events(watch, 1)
    for number in range(10):
        workbench.set(workbench.values, "Note", f"{number}" * 100_000)
        assert workbench.run(workbench.hosted.drain(PATIENCE))

    notes = [event["changes"]["Note"] for event in read_events(watch, 10)]
    assert [note[0] for note in notes] == [str(number) for number in range(10)]


@pytest.mark.slow
@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_closed_standard_stream_is_no_traceback(start: Any, closed: int) -> None:
    """A socket must not take its number either."""

    def close() -> None:
        os.close(closed)

    demo = start("demo", "--seconds", "0.2", preexec_fn=close)
    _, err = demo.communicate(timeout=PATIENCE)

    assert (demo.returncode, err) == (0, "")


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_its_extra_it_says_what_to_install(missing: str) -> None:
    script = (
        f"import sys; sys.modules[{missing!r}] = None; import propchange.cli as c;"
        "sys.argv = ['propchange', 'discover']; c.main()"
    )
    ran = run_script(script)

    assert ran.returncode == 1
    assert ran.stderr == (
        f"propchange: the command needs {missing}: pip install 'propchange[cli]'\n"
    )


def test_without_twisted_its_room_says_what_to_install() -> None:
    ran = run_script("import sys; sys.modules['twisted'] = None; import propchange.twisted")

    assert ran.returncode == 1
    assert ran.stderr.endswith(
        "ModuleNotFoundError: propchange.twisted needs Twisted: pip install 'propchange[twisted]'\n"
    )


def test_the_package_runs_as_the_command() -> None:
    command = [sys.executable, "-m", "propchange", "--version"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("propchange ")


def test_any_other_missing_module_is_not_hidden() -> None:
    script = (
        "import sys; sys.modules['httptools'] = None; import propchange.cli as c;"
        "sys.argv = ['propchange', 'discover']; c.main()"
    )
    ran = run_script(script)

    assert "httptools" in ran.stderr
    assert "propchange[cli]" not in ran.stderr


@pytest.mark.slow
def test_the_command_runs_without_uvloop(workbench: Any) -> None:
    script = (
        "import sys; sys.modules['uvloop'] = None; import propchange.cli as c;"
        f"sys.argv = ['propchange', 'watch', {workbench.url!r}, '--count', '1']; c.main()"
    )
    ran = run_script(script)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert '"initial": true' in ran.stdout


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "1e300"])
@pytest.mark.parametrize("command", [["demo"], ["discover"], ["watch", "http://127.0.0.1:1/"]])
def test_what_is_no_number_of_seconds_is_refused(
    propchange: Any, command: list[str], seconds: str
) -> None:
    ran = propchange(*command, "--seconds", seconds)
    assert (ran.status, ran.out) == (2, "")
    assert "Invalid value for '--seconds'" in ran.err


def test_the_version_is_told(propchange: Any) -> None:
    """Those that a report of a fault needs."""
    ran = propchange("--version")

    versions = r"propchange \d+\.\d+\S*\n\w+ 3\.\d+\.\d+\S*\nevent loop: (uvloop \d\S+|asyncio)\n"
    assert re.fullmatch(versions + r"system: \w+ \S+ \w+\n", ran.out)


def read_terminal(master: int, until: str) -> str:
    text = ""
    deadline = time.monotonic() + PATIENCE
    while until not in text:
        ready, _, _ = select.select([master], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"no {until!r} in {text!r}"
        text += os.read(master, 65_536).decode()
    return text


@pytest.fixture
def terminal() -> Any:
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    master, slave = pty.openpty()
    yield master, slave
    os.close(master)
    os.close(slave)


def test_a_terminal_gets_lines_for_people(workbench: Any, start: Any, terminal: Any) -> None:
    master, slave = terminal
    watch = start("watch", workbench.url, "--service", "Values", "--full", stdout=slave)

    shown = read_terminal(master, "Price")
    watch.send_signal(signal.SIGINT)

    assert watch.wait(PATIENCE) == 0
    rest = re.sub(r"\x1b\[[0-9;]*m", "", shown)
    assert shown != rest  # in colour
    assert "granted until" in rest
    assert r"\x85[bold]\u202eesc\u2028ä\ttab\nnl  initial" in rest
    assert all(character.isprintable() or character in "\r\n" for character in rest)


@pytest.mark.slow
def test_json_is_given_to_a_terminal_that_asks_for_it(
    workbench: Any, start: Any, terminal: Any
) -> None:
    master, slave = terminal
    watch = start("watch", workbench.url, "--service", "Values", "--json", stdout=slave)

    shown = read_terminal(master, "changes").replace("\r\n", "\n")
    watch.send_signal(signal.SIGINT)

    assert watch.wait(PATIENCE) == 0
    assert json.loads(shown.split("\n")[0])["status"] == "granted"
    assert all(character.isprintable() or character == "\n" for character in shown)


@pytest.mark.slow
def test_raw_shows_the_notify_on_a_terminal(workbench: Any, start: Any, terminal: Any) -> None:
    master, slave = terminal
    start("watch", workbench.url, "--service", "Thermometer", "--raw", stdout=slave)

    shown = re.sub(r"\x1b\[[0-9;]*m", "", read_terminal(master, "initial"))

    assert "  | NTS: upnp:propchange" in shown
    assert "<Temperature>20.0</Temperature>" in shown
