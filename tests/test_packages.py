"""The wheel and the sdist: what is in them, and what each extra brings into a fresh environment.

``make dist`` tests the packages in ``dist/``; ``make test`` builds its own. The environments get
the versions of requirements/dev.txt, which pip downloads once.
"""

from __future__ import annotations

import email
import email.message
import importlib.metadata
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from tools.long_description import long_description

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = tuple(PROJECT["optional-dependencies"])

slow = pytest.mark.slow
together = pytest.mark.xdist_group("packages")


def _run(*command: str | Path, **options: object) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload] # the options are those of run()
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)


class Packages(NamedTuple):
    sdist: Path
    wheel: Path


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """The sdist, and the wheel that was built from it."""
    made = os.environ.get("PROPCHANGE_DIST")
    if made is None:
        folder = tmp_path_factory.mktemp("dist")
        _run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    else:
        folder = ROOT / made
    (sdist,) = folder.glob("*.tar.gz")
    (wheel,) = folder.glob("*.whl")
    return Packages(sdist, wheel)


def _files(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _metadata(wheel: Path) -> email.message.Message:
    (text,) = (
        content for name, content in _files(wheel).items() if name.endswith("dist-info/METADATA")
    )
    return email.message_from_bytes(text)


# --- what is in them ---


@slow
@together
def test_the_index_would_take_both_and_show_the_long_description(packages: Packages) -> None:
    said = _run(sys.executable, "-m", "twine", "check", "--strict", *packages)
    assert said.count("PASSED") == 2, said


@slow
@together
def test_the_sdist_makes_the_same_wheel_as_the_checkout(packages: Packages, tmp_path: Path) -> None:
    _run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path, cwd=ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    assert _files(packages.wheel) == _files(wheel)


@slow
@together
def test_the_wheel_has_the_package_its_types_its_manual_its_licence_and_nothing_else(
    packages: Packages,
) -> None:
    found = set(_files(packages.wheel))
    sources = ROOT / "src"
    expected = {
        path.relative_to(sources).as_posix()
        for path in (sources / "propchange").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "propchange/py.typed" in expected
    assert {name for name in found if name.startswith("propchange/")} == expected
    (info,) = {name.partition("/")[0] for name in found if ".dist-info/" in name}
    manual = info.replace(".dist-info", ".data") + "/data/share/man/man1/propchange.1"
    assert _files(packages.wheel)[manual] == (ROOT / "man" / "propchange.1").read_bytes()
    assert {name.removeprefix(info) for name in found - expected - {manual}} == {
        "/METADATA",
        "/RECORD",
        "/WHEEL",
        "/entry_points.txt",
        "/licenses/LICENSE",
    }


@slow
@together
def test_the_sdist_has_what_is_needed_to_test_and_to_document_it(packages: Packages) -> None:
    with tarfile.open(packages.sdist) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "CHANGELOG.md", "Makefile", "requirements/dev.txt"} <= inside
    assert {"tests/conftest.py", "docs/diagnosis.md", "tools/long_description.py"} <= inside
    assert not [name for name in inside if "__pycache__" in name or name.startswith(".venv")]


@slow
@together
def test_the_metadata_names_each_extra_and_the_pythons_that_are_tested(packages: Packages) -> None:
    metadata = _metadata(packages.wheel)
    assert metadata.get_all("Provides-Extra") == sorted(EXTRAS)
    needed = [each for each in metadata.get_all("Requires-Dist", []) if "extra ==" not in each]
    assert sorted(re.split("[<>=]", each)[0] for each in needed) == [
        "httptools",
        "ifaddr",
        "platformdirs",
    ]
    assert metadata["Requires-Python"] == ">=3.11"
    text = str(metadata.get_payload())
    assert "\nA complete device:\n" in text
    assert re.findall(r"\]\((?!https:|#)", text) == [], "a link that the index cannot follow"


def test_links_of_the_long_description_lead_to_the_repository() -> None:
    text = (
        'See [one](docs/a.md#b), [two](https://example.org/x), [three](#here), <a href="d/e.md">\n'
        '![picture](docs/watch.svg) <img src="docs/x.png">'
    )
    there = "https://example.org/r"
    assert long_description(text, there, "1.2.0") == (
        f"See [one]({there}/blob/v1.2.0/docs/a.md#b), [two](https://example.org/x), "
        f'[three](#here), <a href="{there}/blob/v1.2.0/d/e.md">\n'
        f'![picture]({there}/raw/v1.2.0/docs/watch.svg) <img src="{there}/raw/v1.2.0/docs/x.png">'
    )
    assert f"({there}/blob/main/docs/a.md" in long_description(text, there, "1.2.0.dev0")


def test_the_address_of_the_repository_is_written_in_pyproject_alone() -> None:
    repository = PROJECT["urls"]["Repository"]
    folders = ".ci", ".github", "deploy", "docs", "examples", "man", "requirements", "src", "tools"
    paths = [
        *ROOT.glob("*.md"),
        *(path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()),
    ]
    naming = [path for path in paths if repository.encode() in path.read_bytes()]
    assert naming == []
    assert all(url.startswith(repository) for url in PROJECT["urls"].values())


# --- fresh environments ---

BOTH_SIDES = """
import asyncio
import sys
import propchange
from propchange import ControlPoint, Device, Service, StateVariable, host

class Lamp(Service, type="urn:example-org:service:Lamp:1"):
    on = StateVariable("boolean", initial=False)

async def main():
    lamp = Lamp()
    async with (
        host(Device("Lamp", services=[lamp]), interface="127.0.0.1", announce=False) as hosted,
        ControlPoint(discovery=False) as control_point,
    ):
        device = await control_point.device(hosted.description_url)
        async with device[Lamp].subscribe() as subscription:
            await anext(subscription)
            lamp.on = True
            event = await asyncio.wait_for(anext(subscription), 20)
            print(event.changes[Lamp.on], "site-packages" in propchange.__file__)

RUN(main())
"""

EVERY_MODULE = """
import importlib, pkgutil, propchange
for module in pkgutil.walk_packages(propchange.__path__, "propchange.", onerror=lambda name: None):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ImportError as error:
            print(getattr(error.__cause__ or error, "name", error))
"""
"""Prints the libraries that are missing for some module."""

OPTIONAL = {"click", "rich", "twisted", "aiomqtt", "paho", "nats", "prometheus_client"} | {
    "aiohttp",  # of the libraries beneath which the drop-ins work
    "async_upnp_client",
    "soco",
}
"""Libraries that a module may import although the package does not require them."""


class Extra(NamedTuple):
    """What an extra promises: libraries, a program of its name that prints "True True", and
    commands."""

    brings: frozenset[str]
    program: str = ""
    commands: tuple[str, ...] = ()


PROMISES = {
    "speed": Extra(frozenset({"uvloop"}), BOTH_SIDES.replace("RUN(", "import uvloop; uvloop.run(")),
    "cli": Extra(
        frozenset({"click", "rich"}),
        commands=("--version", "watch --help", "host --help"),
    ),
    "twisted": Extra(
        frozenset({"twisted"}),
        """
import propchange, propchange.cohen3
from propchange.twisted import ControlPoint, Service, Site, host
print(callable(host), "site-packages" in propchange.__file__)
""",
    ),
    "bridge": Extra(
        frozenset({"aiomqtt", "click", "rich"}),
        """
import propchange.bridge.mqtt
print(True, "site-packages" in propchange.__file__)
""",
        commands=("bridge --help",),
    ),
    "nats": Extra(
        frozenset({"nats-py", "click", "rich"}),
        """
import propchange.bridge.nats
print(True, "site-packages" in propchange.__file__)
""",
        commands=("bridge --help",),
    ),
    "metrics": Extra(
        frozenset({"prometheus-client"}),
        """
import propchange.metrics
print(callable(propchange.metrics.collector), "site-packages" in propchange.__file__)
""",
    ),
}


class Environment(NamedTuple):
    python: Path
    propchange: Path
    installed: frozenset[str]

    def run(self, program: str) -> str:
        """The output of ``program``, run from the root folder with nothing of the checkout."""
        options = {"cwd": "/", "env": _bare_environment()}
        return _run(self.python, "-W", "error", "-c", program, **options)


def _bare_environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return {**kept, "NO_COLOR": "1", "COLUMNS": "100"}


@pytest.fixture(scope="module")
def wheels(packages: Packages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of this package, and those of all that its extras need, in the
    versions of requirements/dev.txt."""
    folder = tmp_path_factory.mktemp("wheels")
    pins = re.findall(r"(?m)^[\w.-]+==[^\\\n]+", (ROOT / "requirements" / "dev.txt").read_text())
    (folder / "constraints.txt").write_text("\n".join(pins))  # without hashes, which a file lacks
    what = f"{packages.wheel}[{','.join(EXTRAS)}]"
    options = "--only-binary=:all:", "-c", folder / "constraints.txt", "-d", folder
    _run(sys.executable, "-m", "pip", "download", "--quiet", *options, what)
    return folder


def _fresh(wheel: Path, extra: str, wheels: Path, folder: Path) -> Environment:
    """A new environment with ``wheel`` and ``extra``."""
    venv.create(folder, with_pip=False)
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    options = "--quiet", "--no-index", "--find-links", wheels, "--no-compile"
    what = f"{wheel}[{extra}]" if extra else str(wheel)
    _run(sys.executable, "-m", "pip", "--python", python, "install", *options, what)
    (libraries,) = folder.glob("[Ll]ib/**/site-packages")
    found = importlib.metadata.distributions(path=[str(libraries)])
    names = frozenset(each.metadata["Name"].lower().replace("_", "-") for each in found)
    return Environment(python, scripts / "propchange", names)


@slow
@together
def test_without_an_extra_three_libraries_come_along_and_both_sides_run(
    packages: Packages, wheels: Path, tmp_path: Path
) -> None:
    fresh = _fresh(packages.wheel, "", wheels, tmp_path / "env")

    assert fresh.installed == {"propchange", "httptools", "ifaddr", "platformdirs"}
    assert fresh.run(BOTH_SIDES.replace("RUN(", "asyncio.run(")) == "True True\n"
    missing = set(fresh.run(EVERY_MODULE).splitlines())
    assert missing <= OPTIONAL, "imported, but not required"
    assert (fresh.python.parent.parent / "share/man/man1/propchange.1").is_file()
    said = subprocess.run([fresh.propchange], capture_output=True, text=True, check=False)
    assert (said.returncode, "pip install 'propchange[cli]'" in said.stderr) == (1, True)


@slow
@together
@pytest.mark.parametrize("extra", EXTRAS)
def test_each_extra_alone_brings_what_it_promises(
    extra: str, packages: Packages, wheels: Path, tmp_path: Path
) -> None:
    promise = PROMISES[extra]

    fresh = _fresh(packages.wheel, extra, wheels, tmp_path / "env")

    assert promise.brings <= fresh.installed
    if promise.program:
        assert fresh.run(promise.program) == "True True\n"
    for command in promise.commands:
        assert _run(fresh.propchange, *command.split(), cwd="/", env=_bare_environment())
