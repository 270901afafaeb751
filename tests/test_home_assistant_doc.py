"""The files and programs of docs/home-assistant.md do what the page says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).parent.parent / "docs" / "home-assistant.md").read_text("utf-8")
COMPONENT, IN_PLACE, PROGRAM = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(MANIFEST,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
(STARTED,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)

pytest.importorskip("async_upnp_client")

WHOSE = "print(AiohttpNotifyServer.__module__.partition('.')[0])"


@pytest.fixture
def run(tmp_path):
    """``run(program)``: what it prints, in a folder with the files of the page."""
    folder = tmp_path / "custom_components"
    (folder / "propchange_events").mkdir(parents=True)
    (folder / "__init__.py").write_text(IN_PLACE)
    (folder / "propchange_events" / "__init__.py").write_text(COMPONENT)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "propchange_events.pth").write_text(STARTED)

    def run(program: str) -> str:
        command = [sys.executable, "-c", program]
        ran = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout + ran.stderr

    return run


SET_UP = """
import asyncio
from custom_components import propchange_events
print(asyncio.run(propchange_events.async_setup(None, {})))
"""


def test_the_manifest_is_that_of_the_folder_in_the_page():
    manifest = json.loads(MANIFEST)
    assert manifest["domain"] == "propchange_events"
    assert manifest["requirements"] == ["propchange"]


@pytest.mark.slow
def test_the_package_of_custom_components_puts_propchange_in_place(run):
    told = run(SET_UP)
    assert "propchange receives the events of UPnP devices" in told
    assert "True" in told


@pytest.mark.slow
def test_without_propchange_home_assistant_runs_as_before(run):
    told = run("import sys; sys.modules['propchange'] = None\n" + SET_UP)
    assert "propchange is not in place" in told
    assert "async-upnp-client receives the events" in told
    assert "True" in told


@pytest.mark.slow
def test_after_an_import_of_the_library_it_says_that_it_is_too_late(run):
    # A module of its own: that of the program itself is not looked at by its name alone.
    early = "import sys, types\nfrom async_upnp_client.aiohttp import AiohttpNotifyServer\n"
    early += "sys.modules['early'] = module = types.ModuleType('early')\n"
    early += "module.AiohttpNotifyServer = AiohttpNotifyServer\n"
    told = run(early + "import custom_components")
    assert "propchange is not in place: too late" in told
    assert "early (AiohttpNotifyServer)" in told


@pytest.mark.slow
def test_a_pth_file_puts_propchange_in_place(run):
    program = "import site; site.addsitedir('site')\n"
    program += f"from async_upnp_client.aiohttp import AiohttpNotifyServer\n{WHOSE}"
    assert run(program) == "propchange\n"


@pytest.mark.slow
def test_the_program_of_the_page_has_the_server_of_propchange(run):
    assert run(f"{PROGRAM}{WHOSE}") == "propchange\n"


@pytest.mark.slow
def test_after_uninstall_the_program_has_the_server_of_the_library(run):
    back = "async_upnp_client.uninstall()\n"
    back += "from async_upnp_client.aiohttp import AiohttpNotifyServer\n"
    assert run(f"{PROGRAM}{back}{WHOSE}") == "async_upnp_client\n"
