"""What every suite shares: coroutines as tests, the clause marks, hypothesis at several depths."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from clauses import clauses_of, load_clauses
from hypothesis import HealthCheck, Phase, settings

from tests.wire import Until, Wire

if sys.platform != "win32":
    import resource

DESCRIPTORS = 20_000
"""File descriptors of the process of tests, if the system allows that many. Many systems begin with
1024, and the package fits its caps into what it has."""

# A machine shared by several builds is slow now and then: no test fails for that.
settings.register_profile(
    "check", max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
# For `make check`. `make test` has the number of "check", and "ci" of a build.
settings.register_profile("fast", settings.get_profile("check"), max_examples=10)
# The same examples in each run, so that a run which fails can be repeated. "check" and "long" look
# for new ones.
settings.register_profile(
    "ci", settings.get_profile("check"), max_examples=200, derandomize=True, database=None
)
settings.register_profile(
    "long", settings.get_profile("check"), max_examples=5_000, print_blob=True
)
# For tools/prove_clauses.py a failure is enough: not to be shrunk, and the same each time.
settings.register_profile(
    "prove",
    settings.get_profile("check"),
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") == "true" else "check")
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--clause",
        action="append",
        default=[],
        metavar="ID",
        help="only the tests marked with this clause; may be given more than once",
    )


def _unknown(ids: set[str]) -> str:
    return ", ".join(sorted(ids - load_clauses().keys()))


def pytest_configure(config: pytest.Config) -> None:
    # A job in the background ignores SIGINT, one of nohup SIGHUP, and so would the programs that
    # the tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if sys.platform != "win32":
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            signal.signal(signal.SIGHUP, signal.SIG_DFL)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    if unknown := _unknown(set(config.getoption("--clause"))):
        raise pytest.UsageError(f"--clause: docs/clauses.toml has no {unknown}")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A mark of a clause that does not exist would hide that a clause has no test."""
    marked = {item: set(clauses_of(item)) for item in items}
    if unknown := _unknown(set().union(*marked.values())):
        raise pytest.UsageError(f"a test is marked with {unknown}, not in docs/clauses.toml")
    wanted = set(config.getoption("--clause"))
    if wanted:
        config.hook.pytest_deselected(items=[i for i in items if not wanted & marked[i]])
        items[:] = [item for item in items if wanted & marked[item]]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Tests of one `xdist_group` share a port or a fixture. pytest-xdist adds the group to their
    ids, and does so with some versions of pytest alone."""
    # The objects of 16,000 tests stay to the end. Without this, each gc.collect() of a test, and
    # each full collection between, goes through all of them: that took a second.
    gc.freeze()
    if not hasattr(session.config, "workerinput") or not session.config.getoption("loadgroup"):
        return
    grouped = [item for item in session.items if item.get_closest_marker("xdist_group")]
    if any("@" not in item.nodeid for item in grouped):
        raise pytest.UsageError("pytest-xdist groups no tests with this version of pytest")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an `async def` test in a loop of its own, for 20 seconds unless it is marked `timeout`.
    The loop's exception handler must not be called; a test that expects a call empties `reports`.
    """
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    given: dict[str, Any] = pyfuncitem.funcargs
    reports: list[dict[str, Any]] = given.get("reports", [])
    seconds = 20 if pyfuncitem.get_closest_marker("timeout") is None else None

    async def bounded() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, it: reports.append(it))
        async with asyncio.timeout(seconds):
            wanted = inspect.signature(pyfuncitem.obj).parameters
            await pyfuncitem.obj(**{name: given[name] for name in wanted})

    with asyncio.Runner(loop_factory=given.get("loop_factory")) as runner:
        runner.run(bounded())
    assert reports == []
    return True


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Devices that are announced keep their BOOTID in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture
def reports() -> list[dict[str, Any]]:
    """What the exception handler of the test's loop was called with."""
    return []


@pytest.fixture
def wire() -> Iterator[Wire]:
    """Sockets of a test, closed at its end."""
    wire = Wire()
    yield wire
    wire.close()


@pytest.fixture
def until() -> Until:
    """Waits until a condition is true, turn by turn of the loop."""

    async def until(condition: Callable[[], object]) -> None:
        while not condition():
            await asyncio.sleep(0.001)

    return until


@pytest.fixture(autouse=True)
def no_ambient_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """UPnP stays on the link. The tests' own HTTP clients must not leave it either."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
