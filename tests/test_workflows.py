"""The workflow files fit their schema, and run what is there; a release is checked before."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tools.release_check import complaints

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_what_is_there_and_says_that_nobody_has_run_it(path: Path) -> None:
    text = path.read_text()
    assert "THIS FILE HAS NOT BEEN RUN." in text.partition("\nname:")[0]
    assert "\npermissions:\n  contents: read\n" in text, "jobs that name nothing may only read"
    commands = re.findall(r"(?m)run: (.*)$", text)
    targets = {name for each in commands for name in re.findall(r"\bmake ([a-z-]+)", each)}
    assert targets, f"{path.name} makes nothing"
    assert targets <= TARGETS
    for named in re.findall(r"[\w/.-]+\.(?:py|txt)\b", " ".join(commands)):
        assert (ROOT / named).exists(), named


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_names_each_action_by_commit_with_its_tag_beside_it(path: Path) -> None:
    named = re.findall(r"(?m)uses: *(.*)$", path.read_text())
    assert named
    for each in named:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each), each


@pytest.mark.slow
def test_the_workflows_fit_their_schema() -> None:
    program = Path(sys.executable).with_name("check-jsonschema")
    done = subprocess.run(
        [program, "--builtin-schema", "vendor.github-workflows", *WORKFLOWS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def _project(folder: Path, *, version: str, changelog: str, news: tuple[str, ...] = ()) -> Path:
    (folder / "changelog.d").mkdir()
    for name in ("README.md", *news):
        (folder / "changelog.d" / name).touch()
    (folder / "CHANGELOG.md").write_text(changelog)
    (folder / "pyproject.toml").write_text(
        f'[project]\nversion = "{version}"\nurls = {{ Repository = "https://example.org/here" }}\n'
    )
    return folder


def test_a_release_from_its_repository_with_its_tag_and_its_news_is_ready(tmp_path: Path) -> None:
    root = _project(tmp_path, version="1.2.0", changelog="# Changelog\n\n## 1.2.0 (2026-12-01)\n")
    assert complaints("https://example.org/here", "v1.2.0", root) == []


def test_a_release_says_all_that_is_wrong_with_it(tmp_path: Path) -> None:
    root = _project(tmp_path, version="1.2.0", changelog="# Changelog\n", news=("+a.added.md",))
    assert complaints("https://example.org/away", "v1.3.0", root) == [
        "this is https://example.org/away; [project.urls] in pyproject.toml names https://example.org/here",
        "the tag is v1.3.0; the version in pyproject.toml is 1.2.0",
        "CHANGELOG.md has no 1.2.0: towncrier build --version 1.2.0",
        "changelog.d still has news: +a.added.md",
    ]
