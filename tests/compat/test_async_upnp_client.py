"""The tests of async_upnp_client itself, of its event handler and of its notify server, from its
newest source distribution: with its own classes, and with those of propchange in their place."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.compat.conftest import missing

HERE = Path(__file__).parent / "async_upnp_client"
SOURCES = Path(__file__).parents[2] / "src"
TESTS = ("test_event_handler.py", "test_aiohttp.py")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def library_tests(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tests, with the conftest that the source distribution lacks."""
    pins = HERE / "requirements.txt"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "propchange"
    cache.mkdir(parents=True, exist_ok=True)
    version = re.search(r"==([\d.]+)", pins.read_text())
    assert version is not None
    archive = cache / f"async_upnp_client-{version[1]}.tar.gz"
    with archive.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            made = subprocess.run(
                [
                    *(sys.executable, "-m", "pip", "--disable-pip-version-check", "download"),
                    *("--quiet", "--no-deps", "--no-binary", "async-upnp-client"),
                    *("--require-hashes", "-r", str(pins), "-d", str(cache)),
                ],
                capture_output=True,
                text=True,
                check=False,
            )
            if made.returncode:
                missing(made.stderr.strip().splitlines()[-1], wanted="tests of async_upnp_client")
    folder = tmp_path_factory.mktemp("library")
    with tarfile.open(archive) as content:
        content.extractall(folder, filter="data")
    (tests,) = folder.glob("*/tests")
    shutil.copy(HERE / "library_conftest.py", tests / "conftest.py")
    (tests / "__init__.py").touch()
    # The installed package is tested, not the one beside the tests.
    shutil.rmtree(tests.parent / "async_upnp_client")
    return tests


@pytest.mark.parametrize("original", [True, False], ids=["its own classes", "ours"])
def test_the_tests_of_the_library_pass(library_tests: Path, original: bool) -> None:
    environment = os.environ | {"PYTHONPATH": str(SOURCES), "ORIGINAL": "1" if original else ""}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", *TESTS],
        cwd=library_tests,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-4000:] + ran.stderr[-2000:]
    # None was left out: no test of theirs is known that does not hold.
    assert len(re.findall(r"^PASSED ", ran.stdout, re.MULTILINE)) == 15
    assert not re.search(r"\d (skipped|xfailed|deselected)", ran.stdout)
