"""install() and uninstall() of the drop-in for SoCo, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # a program for each test

SOURCES = Path(__file__).parents[2] / "src"
PLACE = "from propchange.dropin.soco import install, uninstall\n"


def run(program: str) -> str:
    """The last line that ``program`` writes to stderr; empty if its assertions hold."""
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", PLACE + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(SOURCES), "PATH": ""},
        check=False,
    )
    return (ran.stderr.strip().splitlines() or [""])[-1]


def test_the_three_names_are_ours_and_the_rest_stays_socos() -> None:
    assert not run(
        """
        import sys
        assert not any(name == "soco" or name.startswith("soco.") for name in sys.modules)
        install()
        import soco
        from soco import events_asyncio, events, events_base
        from propchange.dropin.soco import subscription as ours
        assert soco.config.EVENTS_MODULE is events  # the program chooses
        assert events_asyncio.__name__ == "soco.events_asyncio"
        assert sys.modules["soco.events_asyncio"] is events_asyncio
        for name in ("Subscription", "event_listener", "subscriptions_map"):
            assert getattr(events_asyncio, name) is getattr(ours, name)
        assert issubclass(events_asyncio.Subscription, events_base.SubscriptionBase)
        assert events_asyncio.Event is events_base.Event
        assert events.Subscription is not events_asyncio.Subscription
        assert events.Subscription.__module__ == "soco.events"
        install()
        """
    )


@pytest.mark.parametrize("first", ["setting", "install"])
def test_the_setting_of_the_program_may_come_before_or_after(first: str) -> None:
    setting = "import soco; from soco import events_asyncio\n"
    setting += "soco.config.EVENTS_MODULE = events_asyncio\n"
    both = setting + "install()\n" if first == "setting" else "install()\n" + setting
    assert not run(
        both
        + "from propchange.dropin.soco.subscription import Subscription\n"
        + "assert soco.config.EVENTS_MODULE.Subscription is Subscription\n"
    )


def test_uninstall_goes_back_and_install_comes_again() -> None:
    assert not run(
        """
        from soco import events_asyncio as events
        names = ("Subscription", "event_listener", "subscriptions_map")
        before = [getattr(events, name) for name in names]
        uninstall()
        install()
        assert all(getattr(events, name) is not each for name, each in zip(names, before))
        uninstall()
        assert all(getattr(events, name) is each for name, each in zip(names, before))
        uninstall()
        install()
        assert all(getattr(events, name) is not each for name, each in zip(names, before))
        """
    )


@pytest.mark.parametrize("name", ["Subscription", "event_listener", "subscriptions_map"])
def test_a_module_that_has_imported_a_name_before_is_named(name: str) -> None:
    said = run(
        f"""
        import sys, types
        module = sys.modules["lights.music"] = types.ModuleType("lights.music")
        exec("from soco.events_asyncio import {name}", vars(module))
        install()
        """
    )
    assert said == (
        "RuntimeError: lights.music has imported from soco.events_asyncio already: call "
        "propchange.dropin.soco.install() before"
    )


def test_a_class_of_the_program_that_stands_on_socos_is_named() -> None:
    said = run(
        """
        from soco import events_asyncio
        def make():
            class Mine(events_asyncio.Subscription): ...
            return Mine
        mine = make()
        install()
        """
    )
    assert "RuntimeError: __main__ has imported from soco.events_asyncio already" in said


def test_a_listener_that_runs_already_is_too_late() -> None:
    said = run(
        """
        from soco import events_asyncio
        events_asyncio.event_listener.is_running = True
        install()
        """
    )
    assert said.startswith("RuntimeError: SoCo's event listener runs already")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "events_asyncio.Subscription.renew = lambda self, seconds: None",
            "renew takes seconds; in 0.32.5 it takes requested_timeout, is_autorenew, strict",
        ),
        ("del events_base.parse_event_xml", "soco.events_base.parse_event_xml is missing"),
        ("del events_asyncio.event_listener", "soco.events_asyncio.event_listener is missing"),
    ],
)
def test_a_version_with_another_surface_is_refused_in_words(change: str, said: str) -> None:
    failed = run(f"from soco import events_asyncio, events_base\n{change}\ninstall()\n")
    assert failed.startswith("RuntimeError: SoCo 0.32.")
    assert said in failed


@pytest.mark.parametrize("package", ["soco", "aiohttp"])
def test_without_its_packages_it_says_what_to_install(package: str) -> None:
    said = run(
        f"""
        import importlib.util as util
        theirs = util.find_spec
        util.find_spec = lambda name, *rest: None if name == "{package}" else theirs(name, *rest)
        install()
        """
    )
    wanted = f"ImportError: propchange.dropin.soco needs {package}: pip install soco aiohttp"
    assert said == wanted


def test_a_module_that_was_loaded_again_is_replaced_by_another_install() -> None:
    assert not run(
        """
        import importlib
        from soco import events_asyncio
        install()
        importlib.reload(events_asyncio)
        own = [events_asyncio.Subscription]
        install()
        assert events_asyncio.Subscription.__module__.startswith("propchange.")
        uninstall()
        assert events_asyncio.Subscription is own[0]
        """
    )
