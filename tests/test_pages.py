"""What the pages show was run: each Python block, each command, each target of make.

A Python block is a complete program. It runs alone, in development mode, with warnings as errors,
and must end by itself. A comment in the line above says what else a block is:

- ``<!-- continues -->``: it runs with the blocks before it in front, from the last complete one on.
- ``<!-- inside a program -->``: a fragment. It runs in a coroutine that has ``control_point``,
  ``device``, ``service`` and ``subscription``, until it has printed a line or ends.
- ``<!-- inside a Twisted program -->``: the same on a reactor, in a module that has ``coherence``.
- ``<!-- run by tests/… -->``: it needs more, and that test runs it. `RUN_BY` lists pages of which a
  test runs all blocks.

A line that begins with ``propchange`` in an indented block or in a block without a language is a
command: its words must be what the command takes. ``make NAME`` names a target.
"""

from __future__ import annotations

import contextlib
import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import pytest
from api_reference import Reference

from propchange.cli.commands import command as the_command
from tests.development_mode import IN_DEVELOPMENT, complaints

ROOT = Path(__file__).parent.parent
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(
        path
        for path in (ROOT / "docs").glob("*.md")
        if path.name not in {"conformance.md", "states.md"}
    ),
    *(ROOT / folder / "README.md" for folder in ("benchmarks", "changelog.d", "fuzz")),
]

RUN_BY = {
    "README.md": "tests/test_readme.py",
    "docs/cookbook.md": "tests/test_cookbook.py",
    "docs/from-async-upnp-client.md": "tests/test_migration_docs.py",
    "docs/from-gupnp.md": "tests/test_migration_docs.py",
    "docs/from-soco.md": "tests/test_migration_docs.py",
    "docs/metrics.md": "tests/test_metrics_doc.py",
    "docs/sans-io.md": "tests/test_sans_io_doc.py",
}


@dataclass
class Block:
    """A Python block of a page."""

    page: str
    line: int
    text: str
    mark: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def _blocks(path: Path) -> Iterator[Block]:
    text = path.read_text("utf-8")
    page = str(path.relative_to(ROOT))
    default = f"run by {RUN_BY[page]}" if page in RUN_BY else ""
    former = ""
    for found in re.finditer(r"(?ms)^(?: *<!-- ([^\n]*) -->\n)?( *)```python\n(.*?)^ *```", text):
        mark = found[1] or default
        program = re.sub(rf"(?m)^{found[2]}", "", found[3])
        line = text.count("\n", 0, found.start()) + 1
        if mark == "continues":
            program = f"{former}\n{program}"
        former = program
        yield Block(page, line, program, mark)


BLOCKS = [block for path in PAGES for block in _blocks(path)]
COMPLETE = [block for block in BLOCKS if block.mark in {"", "continues"}]
FRAGMENTS = [block for block in BLOCKS if block.mark.startswith("inside a ")]
ELSEWHERE = [block for block in BLOCKS if block.mark.startswith("run by ")]

DEVICE = """
from propchange import Device, Event, action
from propchange.upnp.standard import RenderingControl

class Amplifier(RenderingControl):
    @action
    def select_preset(self, instance_id: int, preset_name: str) -> None: ...

"""
ASYNCIO = (
    DEVICE
    + """
import asyncio
from propchange import ControlPoint, host

async def main(url: str) -> None:
    async with ControlPoint() as control_point:
        device = await control_point.device(url)
        service = device["RenderingControl"]
        async with service.subscribe() as subscription:
            pass
%s

async def run() -> None:
    async with host(Device("Amplifier", services=[Amplifier()]), interface="127.0.0.1") as hosted:
        await main(hosted.description_url)

asyncio.run(run())
"""
)
TWISTED = (
    DEVICE
    + """
from types import SimpleNamespace
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from propchange.twisted import ControlPoint, host

def on_event(event): print(dict(event.changes))

bound = SimpleNamespace(bind=lambda **listeners: None)
coherence = SimpleNamespace(ssdp_server=bound, msearch=bound)

async def main(url: str, control_point) -> None:
%s

async def run(reactor) -> None:
    hosted = host(Device("Amplifier", services=[Amplifier()]), interface="127.0.0.1")
    await hosted.open()
    print("hosted")
    await main(hosted.description_url, SimpleNamespace(receive_ssdp=print))

react(lambda reactor: Deferred.fromCoroutine(run(reactor)))
"""
)


def test_each_mark_is_one_that_this_test_knows() -> None:
    unknown = [
        f"{block}: {block.mark}"
        for block in BLOCKS
        if block not in COMPLETE + FRAGMENTS + ELSEWHERE
    ]
    assert unknown == []


@pytest.mark.parametrize("block", ELSEWHERE, ids=str)
def test_the_test_that_runs_the_programs_of_a_page_is_there(block: Block) -> None:
    test = (ROOT / block.mark.removeprefix("run by ")).read_text("utf-8")
    assert Path(block.page).stem in test
    assert "python\\n" in test, "it reads the blocks of Python"


@pytest.mark.slow
@pytest.mark.parametrize("block", COMPLETE, ids=str)
def test_the_program_runs_without_a_warning(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(block.text, "utf-8")
    ran = subprocess.run(
        [*IN_DEVELOPMENT, "-W", "error", str(path)],
        check=False,
        capture_output=True,
        text=True,
        timeout=50,
    )
    # What propchange logs on purpose is no warning of Python's.
    lines = complaints(ran.stderr).splitlines()
    assert [line for line in lines if "Warning" in line or "Error" in line] == []
    assert ran.returncode == 0, (
        f"{block}: mark a block that cannot run alone; see tests/test_pages.py"
    )


@pytest.mark.slow
@pytest.mark.parametrize("block", FRAGMENTS, ids=str)
def test_the_fragment_runs_inside_of_a_program(block: Block, tmp_path: Path) -> None:
    form = TWISTED if "Twisted" in block.mark else ASYNCIO
    text = re.sub(r'"http://192\.168\.1\.20[^"]*"', "url", block.text)
    depth = form.split("%s")[0].rpartition("\n")[2]
    program = form.replace(
        "%s", depth + re.sub(r"(?m)^", "            " if form is ASYNCIO else "    ", text)
    )
    path = tmp_path / "program.py"
    path.write_text(program, "utf-8")
    command = [*IN_DEVELOPMENT, "-u", "-W", "error", str(path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as ran:
        assert ran.stdout is not None
        first = ran.stdout.readline()
        with contextlib.suppress(subprocess.TimeoutExpired):
            ran.wait(1)
        ran.kill()
        _, stderr = ran.communicate()
    assert "Error" not in stderr
    assert first


# --- docstrings ---------------------------------------------------------------------------


# What the docstrings take for granted.
IN_DOCSTRINGS = (
    "from propchange.core import *\nfrom propchange import *\nfrom {module} import *\n"
    + DEVICE
    + """
service = Amplifier()
service.add_instance(1)
control_point = ControlPoint()
hosted = host(Device("Amplifier", services=[service]))

def Starlette(routes): return routes
def Mount(path, app): return app

"""
)


def _docstring_blocks() -> Iterator[tuple[str, str]]:
    for name, page in Reference().pages().items():
        module = "propchange" if name == "propchange.Limits.rst" else name.removesuffix(".rst")
        beginning = re.compile(r"(?m)^( *)\.\. code-block:: python\n\n((?:\1   .*\n|\n)+)")
        for found in beginning.finditer(page):
            yield module, found[2]


# A class that inherits a docstring has it once more.
DOCSTRINGS = [
    pytest.param(module, text, id=f"{module}: {text.strip().partition(chr(10))[0]}")
    for text, module in {
        textwrap.dedent(text): module for module, text in _docstring_blocks()
    }.items()
]


@pytest.mark.slow
@pytest.mark.parametrize(("module", "text"), DOCSTRINGS)
def test_the_program_of_a_docstring_runs(module: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(IN_DOCSTRINGS.format(module=module) + textwrap.dedent(text), "utf-8")
    subprocess.run([*IN_DEVELOPMENT, "-W", "error", str(path)], check=True, timeout=50)


# --- commands -----------------------------------------------------------------------------


def _shell_lines(path: Path) -> Iterator[str]:
    """The lines of indented blocks and of blocks without a language."""
    language: str | None = None
    for line in path.read_text("utf-8").splitlines():
        if found := re.match(r" *```(\w*)", line):
            language = None if language is not None else found[1]
        elif language in {"", "sh", "shell", "console"} or (
            language is None and line.startswith("    ")
        ):
            yield line.strip().removeprefix("$ ")


def _commands(path: Path) -> Iterator[list[str]]:
    for line in _shell_lines(path):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue  # a text, with an apostrophe
        part: list[str] = []
        for word in [*words, ";"]:
            if word in {"|", ";", "&&", "||", ">", "&"}:
                if part and part[0].rpartition("/")[2] == "propchange":
                    yield part[1:]
                part = []
            else:
                part.append(word.removesuffix(";"))


COMMANDS = [
    pytest.param(words, id=f"{path.name}: {' '.join(words)}")
    for path in PAGES
    for words in _commands(path)
]


def _lines_without_fences(path: Path) -> list[str]:
    return re.sub(r"(?ms)^ *```.*?^ *```", "", path.read_text("utf-8")).splitlines()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_an_indented_block_begins_after_an_empty_line(path: Path) -> None:
    # Otherwise Markdown makes one paragraph of it and the line before.
    lines = _lines_without_fences(path)
    joined = [
        after
        for before, after in pairwise(lines)
        if re.match(r"[^\W\d_|]", before) and after.startswith("    ")
    ]
    assert joined == []


def test_there_are_commands_to_try() -> None:
    assert len(COMMANDS) > 10


@pytest.mark.parametrize("words", COMMANDS)
def test_the_command_takes_these_words(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for word in words:
        if word.endswith(".toml") and "/" not in word:
            (tmp_path / word).touch()
    application = the_command()
    words = [word for word in words if not word.startswith("[")]  # [OPTIONS], of a usage
    with (
        contextlib.suppress(click.exceptions.Exit),  # --version, --help
        application.make_context("propchange", list(words)) as context,
    ):
        name, command, rest = application.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        assert command is not None
        command.make_context(name, rest, parent=context)


def test_each_target_of_make_that_a_page_names_is_there() -> None:
    targets = set(re.findall(r"(?m)^([\w-]+):", (ROOT / "Makefile").read_text("utf-8")))
    missing = [
        f"{path.name}: make {name}"
        for path in PAGES
        for named in re.findall(r"(?m)(?:`|^    )make ((?:[a-z-]+ ?)+)", path.read_text("utf-8"))
        for name in named.split()
        if not name.startswith("-") and name not in targets
    ]
    assert missing == []
