"""install() and uninstall() of the drop-in for async_upnp_client, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from propchange.dropin.async_upnp_client.installation import REPLACEMENTS, differences

pytestmark = pytest.mark.slow  # a program for each test

SOURCES = Path(__file__).parents[2] / "src"
INSTALL = "from propchange.dropin.async_upnp_client import install, uninstall\n"


def run(program: str, **files: str) -> str:
    """The output of ``program``, an empty text if its assertions hold."""
    made = "\n".join(
        f"import sys, types; module = sys.modules[{name!r}] = types.ModuleType({name!r})\n"
        f"exec({textwrap.dedent(text)!r}, vars(module))"
        for name, text in files.items()
    )
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", f"{made}\n{textwrap.dedent(program)}"],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(SOURCES), "PATH": ""},
        check=False,
    )
    return ran.stderr


def test_the_names_are_ours_wherever_they_are_imported_from() -> None:
    assert not run(
        INSTALL
        + """
        import async_upnp_client.server, async_upnp_client.profiles.dlna
        install()
        from async_upnp_client.event_handler import (
            UpnpEventHandler, UpnpEventHandlerRegister, UpnpNotifyServer)
        from async_upnp_client.aiohttp import AiohttpNotifyServer
        from async_upnp_client.profiles import profile, igd, dlna
        from async_upnp_client import aiohttp
        from propchange.dropin import async_upnp_client as ours
        assert UpnpEventHandler is profile.UpnpEventHandler is igd.UpnpEventHandler
        assert UpnpEventHandler is aiohttp.UpnpEventHandler is ours.UpnpEventHandler
        assert AiohttpNotifyServer is ours.AiohttpNotifyServer
        assert UpnpEventHandlerRegister is ours.UpnpEventHandlerRegister
        assert UpnpNotifyServer is aiohttp.UpnpNotifyServer is ours.UpnpNotifyServer
        install()
        """.replace("\n        ", "\n")
    )


def test_uninstall_goes_back_and_install_comes_again() -> None:
    assert not run(
        """
        import async_upnp_client.event_handler as events, async_upnp_client.aiohttp as servers
        original = events.UpnpEventHandler, events.UpnpEventHandlerRegister
        server = [servers.AiohttpNotifyServer]
        from propchange.dropin.async_upnp_client import install, uninstall
        uninstall()
        install()
        assert events.UpnpEventHandler not in original
        uninstall()
        assert (events.UpnpEventHandler, events.UpnpEventHandlerRegister) == original
        assert servers.UpnpEventHandler is original[0]
        assert servers.AiohttpNotifyServer is server[0]
        install()
        assert servers.AiohttpNotifyServer is not server[0]
        """.replace("\n        ", "\n")
    )


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ("from async_upnp_client.aiohttp import AiohttpNotifyServer", "AiohttpNotifyServer"),
        ("from async_upnp_client.event_handler import UpnpEventHandler as E", "E"),
        (
            "import async_upnp_client.aiohttp as a\nclass Mine(a.AiohttpNotifyServer): pass",
            "Mine",
        ),
    ],
)
def test_an_install_that_comes_too_late_says_who_holds_what(held: str, said: str) -> None:
    failed = run(INSTALL + "install()", player=held)
    last = failed.strip().splitlines()[-1]
    assert last.startswith("RuntimeError: too late: ")
    assert f"player ({said}" in last
    assert "before these modules are imported" in last


def test_a_late_install_changes_nothing() -> None:
    assert not run(
        INSTALL
        + """
        import contextlib, async_upnp_client.event_handler as events, player
        with contextlib.suppress(RuntimeError):
            install()
        assert events.UpnpEventHandler is player.UpnpEventHandler
        """.replace("\n        ", "\n"),
        player="from async_upnp_client.event_handler import UpnpEventHandler",
    )


def test_a_module_that_only_has_the_abstract_server_is_not_too_late() -> None:
    assert not run(
        INSTALL + "install()",
        player="from async_upnp_client.event_handler import UpnpNotifyServer",
    )


def test_a_library_that_was_loaded_a_second_time_is_an_error() -> None:
    failed = run(
        INSTALL
        + """
        import importlib, async_upnp_client.aiohttp
        install()
        importlib.reload(async_upnp_client.aiohttp)
        install()
        """.replace("\n        ", "\n")
    )
    last = failed.strip().splitlines()[-1]
    assert last.startswith("RuntimeError: async_upnp_client.aiohttp was loaded a second time")


def test_a_module_that_loads_its_attributes_on_demand_is_left_alone() -> None:
    assert not run(
        INSTALL
        + """
        class OnDemand(type(sys)):
            def __getattr__(self, name):
                raise OSError(name)
        module = sys.modules["lazy"] = OnDemand("lazy")
        del module.__dict__["__name__"]
        install()
        uninstall()
        """.replace("\n        ", "\n"),
        player="",
    )


def test_without_the_library_the_import_says_what_to_install() -> None:
    failed = run("import sys; sys.modules['async_upnp_client'] = None\n" + INSTALL)
    last = failed.strip().splitlines()[-1]
    assert "ImportError" in last or "ModuleNotFoundError" in last
    assert "async-upnp-client" in last


def test_the_package_itself_imports_no_other_library() -> None:
    assert not run(
        """
        import sys, propchange
        for name in ("aiohttp", "async_upnp_client", "soco", "propchange.dropin", "multidict"):
            assert name not in sys.modules, name
        """.replace("\n        ", "\n")
    )


def test_our_classes_have_what_the_installed_version_has() -> None:
    for theirs, ours in REPLACEMENTS.items():
        assert differences(theirs, ours) == []


def test_a_version_with_other_methods_is_noticed() -> None:
    class Newer:
        def __init__(self, requester: object) -> None: ...

        async def async_pause(self) -> None: ...

        async def async_subscribe(self, service: object, callback: object) -> None: ...

    class Ours:
        def __init__(self, requester: object) -> None: ...

        async def async_subscribe(self, service: object, timeout: object = None) -> None:  # noqa: ASYNC109 - as the library
            ...

    assert differences(Newer, Ours) == [
        "Newer.async_pause is missing here",
        "Newer.async_subscribe has the parameters service, callback",
    ]
