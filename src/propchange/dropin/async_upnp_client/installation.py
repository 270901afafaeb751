"""Puts the names of this package in the places of those of async_upnp_client, and back."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from collections.abc import Collection, Iterator, Mapping

import async_upnp_client.aiohttp
import async_upnp_client.event_handler

from propchange.driver.reporting import logger_named
from propchange.dropin.async_upnp_client.event_handler import (
    SETTINGS,
    UpnpEventHandler,
    UpnpEventHandlerRegister,
)
from propchange.dropin.async_upnp_client.notify_server import AiohttpNotifyServer

_PACKAGE = "async_upnp_client"

REPLACEMENTS: Mapping[type, type] = types.MappingProxyType(
    {
        async_upnp_client.event_handler.UpnpEventHandler: UpnpEventHandler,
        async_upnp_client.event_handler.UpnpEventHandlerRegister: UpnpEventHandlerRegister,
        async_upnp_client.aiohttp.AiohttpNotifyServer: AiohttpNotifyServer,
    }
)
"""A class of async_upnp_client -> the class in its place. UpnpNotifyServer is abstract and has no
code: it stays."""

_LOGGER = logger_named("propchange.subscriber")
_SHOWN = 8
_compared = False


def install(*, discovery: bool = True, hosts: Collection[str] = ()) -> None:
    """From here on the event handler and the notify server of async_upnp_client are those of
    propchange, wherever they are imported from.

    Call it before a module of the program imports them; again does nothing but take the settings.
    ``discovery``: listen to the announcements of devices (SSDP), beside the program. ``hosts`` are
    further names that HOST of an event may have, for a proxy that changes HOST; an entry without a
    port stands for every port.

    Raises RuntimeError if a module has imported one of the names already, because it would keep the
    class of async_upnp_client, and if async_upnp_client was loaded a second time. A warning is
    logged if this version of async_upnp_client has methods that the classes of propchange do not
    have."""
    held = [
        f"{_name(module)} ({name})"
        for module in _modules()
        if not _is_own(module)
        for name, value in _held(module, REPLACEMENTS)
    ]
    for replaced in REPLACEMENTS:
        heirs: list[type] = replaced.__subclasses__()
        held += [f"{each.__module__} ({each.__name__}, a {replaced.__name__})" for each in heirs]
    if held:
        shown = ", ".join(dict.fromkeys(held[:_SHOWN]))
        raise RuntimeError(
            f"too late: the classes of {_PACKAGE} are in use by {shown}; call "
            "propchange.dropin.async_upnp_client.install() before these modules are imported"
        )
    SETTINGS.discovery, SETTINGS.hosts = discovery, frozenset(hosts)
    _put(REPLACEMENTS)
    for theirs, ours in REPLACEMENTS.items():
        if getattr(importlib.import_module(theirs.__module__), theirs.__name__) is not ours:
            raise RuntimeError(
                f"{theirs.__module__} was loaded a second time (importlib.reload?), after "
                "propchange.dropin.async_upnp_client: its new classes cannot be replaced. Start "
                "the program again"
            )
    _compare()


def uninstall() -> None:
    """Undo :func:`install`: the names in async_upnp_client are its own again. Objects that were
    made meanwhile, and modules of the program that have imported the names, keep the classes of
    propchange. Without an install it does nothing."""
    _put({ours: theirs for theirs, ours in REPLACEMENTS.items()})


def _modules() -> list[types.ModuleType]:
    loaded: tuple[object, ...] = tuple(sys.modules.values())  # a program may put anything there
    return [each for each in loaded if isinstance(each, types.ModuleType)]


def _name(module: types.ModuleType) -> str:
    """The name of ``module``, which may load its attributes on demand."""
    return str(vars(module).get("__name__", ""))


def _is_own(module: types.ModuleType) -> bool:
    """Whether ``module`` belongs to async_upnp_client, or to this package."""
    name = _name(module)
    return any(
        name == package or name.startswith(f"{package}.")
        for package in (_PACKAGE, f"propchange.dropin.{_PACKAGE}")
    )


def _held(module: types.ModuleType, classes: Mapping[type, type]) -> Iterator[tuple[str, type]]:
    """The names in ``module`` for one of ``classes``. Reads nothing that is loaded on demand."""
    for name, value in tuple(vars(module).items()):
        if isinstance(value, type) and value in classes:
            yield name, value


def _put(classes: Mapping[type, type]) -> None:
    """Replace the keys of ``classes`` by the values, in all modules of async_upnp_client."""
    for module in _modules():
        if _name(module).partition(".")[0] == _PACKAGE:
            for name, value in _held(module, classes):
                setattr(module, name, classes[value])


def _compare() -> None:
    """Warn, once, of public methods that this version of async_upnp_client has and propchange
    does not have, or has with other parameters."""
    global _compared  # noqa: PLW0603 - once per process
    if _compared:
        return
    _compared = True
    problems = [each for pair in REPLACEMENTS.items() for each in differences(*pair)]
    if problems:
        _LOGGER.warning(
            "this version of %s differs from the ones that propchange knows: %s",
            _PACKAGE,
            "; ".join(problems),
        )


def differences(theirs: type, ours: type) -> list[str]:
    """What a program could use of the class ``theirs`` and not of ``ours``, as sentences."""
    found = []
    for name, value in vars(theirs).items():
        if name.startswith("_") and name != "__init__":
            continue
        own = inspect.getattr_static(ours, name, None)
        called = f"{theirs.__name__}.{name}"
        if own is None:
            found.append(f"{called} is missing here")
        elif inspect.isfunction(value) and inspect.isfunction(own):
            expected, there = (list(inspect.signature(each).parameters) for each in (value, own))
            if there[: len(expected)] != expected:
                found.append(f"{called} has the parameters {', '.join(expected[1:])}")
    return found
