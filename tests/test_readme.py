"""The programs and the commands of the README work."""

from __future__ import annotations

import inspect
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import propchange.core
from lab.programs import free_port
from propchange.core.discovery.announcements import Announcements

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def _start(program: str, path: Path) -> subprocess.Popen[str]:
    path.write_text(program)
    return subprocess.Popen(
        [sys.executable, "-u", str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def test_both_sides_and_a_picture_stand_within_the_first_twelve_lines():
    head = "\n".join(README.splitlines()[:12])
    assert "host(" in head
    assert "ControlPoint(" in head
    picture = re.search(r"!\[.+\]\((.+)\)", head)
    assert picture is not None
    assert (ROOT / picture[1]).read_text("utf-8").startswith("<svg")


def test_the_first_program_of_the_readme_prints_what_its_comment_says(tmp_path):
    started = _start(PROGRAMS[0], tmp_path / "both.py")
    try:
        line = started.stdout.readline()
    finally:
        started.kill()
        started.wait(10)
        started.stdout.close()
    assert line.strip() == PROGRAMS[0].rstrip().rpartition("  # ")[2]


def test_the_front_page_is_short_and_links_to_pages_that_are_there():
    assert len(README.splitlines()) <= 125
    for target, heading in re.findall(r"\]\(([\w./-]+)(?:#([\w-]+))?\)", README):
        page = (ROOT / target).read_text()
        headings = re.findall(r"(?m)^#+ (.*)$", page)
        known = {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}
        assert not heading or heading in known, (target, heading)


def test_the_two_programs_on_asyncio_run_against_each_other(tmp_path):
    port = str(free_port())
    device, control_point = (program.replace("8123", port) for program in PROGRAMS[1:])
    started = [_start(device, tmp_path / "device.py")]
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", int(port))) == 0:
                    break
            assert started[0].poll() is None
        started.append(_start(control_point, tmp_path / "control_point.py"))
        lines = [started[1].stdout.readline() for _ in range(3)]
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
            process.wait(10)
            process.stdout.close()
    assert [line.split()[0] for line in lines] == ["0", "1", "2"]
    assert all("'Temperature': 2" in line for line in lines)


def test_the_two_commands_of_the_readme_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    assert all(
        f"make {target} " in README and f"\n{target}:" in makefile for target in ("demo", "test")
    )


def test_the_table_of_where_to_change_what_names_files_and_names_that_are_there():
    table = ARCHITECTURE.partition("## Where to change what")[2]
    rows = re.findall(r"(?m)^\| (.+?) \| (.+) \|$", table)[1:]
    assert len(rows) > 10
    for _, where in rows:
        text = ""
        for word in re.findall(r"`([\w./]+)`", where):
            if "/" not in word and not word.endswith(".py"):
                assert re.search(rf"\b{word}\b", text), (word, where)
                continue
            is_outside = word.startswith(("deploy/", "docs/", "tests/"))
            root = ROOT if is_outside else ROOT / "src" / "propchange"
            assert (root / word).exists(), word
            if word.endswith(".py"):
                text = (root / word).read_text()


def test_the_program_in_the_architecture_notes_runs(tmp_path):
    (program,) = re.findall(r"```python\n(.*?)```", ARCHITECTURE, re.DOTALL)
    path = tmp_path / "link.py"
    path.write_text(program)
    subprocess.run([sys.executable, str(path)], check=True, timeout=20)


def test_every_file_that_the_notes_name_is_there():
    notes = ARCHITECTURE + README
    rooms = "core|http|upnp|driver|asyncio|twisted|cohen3|cli"
    named = set(re.findall(rf"`((?:{rooms})/[\w/]+\.py)`", notes))
    assert named
    assert not [name for name in named if not (ROOT / "src" / "propchange" / name).exists()]


def test_every_name_that_the_notes_give_a_file_for_is_in_that_file():
    named = re.findall(r"`([A-Z]\w+)` \(`([\w/]+\.py)`\)", ARCHITECTURE)
    assert len(named) > 20
    for name, file in named:
        text = (ROOT / "src" / "propchange" / file).read_text()
        assert re.search(rf"(?m)^class {name}\b", text), (name, file)


def test_the_contract_in_the_notes_names_the_methods_of_each_protocol_object():
    table = ARCHITECTURE.partition("## The contract of a protocol object")[2].partition("\n\n- ")[0]
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.+) \| (.+) \|$", table)
    assert len(rows) >= 5
    classes = {**dict(inspect.getmembers(propchange.core)), "Announcements": Announcements}
    for name, given, taken in rows:
        methods = re.findall(r"`(\w+)`", given + taken)
        assert methods
        assert [each for each in methods if not hasattr(classes[name], each)] == [], name
