"""Puts the drop-in in the place of SoCo's own events, and takes it out again."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from types import ModuleType
from typing import Any

_REPLACED = "soco.events_asyncio"
_NAMES = ("Subscription", "event_listener", "subscriptions_map")

_SURFACE = {
    "events_asyncio.Subscription.subscribe": ("requested_timeout", "auto_renew", "strict"),
    "events_asyncio.Subscription.renew": ("requested_timeout", "is_autorenew", "strict"),
    "events_asyncio.Subscription.unsubscribe": ("strict",),
    "events_asyncio.EventListener.async_start": ("any_zone",),
    "events_asyncio.EventListener.async_stop": (),
    "events_asyncio.EventListener.stop_listening": ("address",),
    "events_asyncio.SubscriptionsMapAio.register": ("subscription",),
    "events_base.Event": ("sid", "seq", "service", "timestamp", "variables"),
    "events_base.get_listen_ip": ("ip_address",),
    "events_base.parse_event_xml": ("xml_event",),
    "services.Service._update_cache_on_event": ("event",),
    "zonegroupstate.ZoneGroupState.add_subscription": ("subscription",),
    "zonegroupstate.ZoneGroupState.remove_subscription": ("subscription",),
}
"""What this module replaces and calls, and the parameters that it has in SoCo 0.32.5."""

_originals: dict[str, Any] = {}


def install(*, discovery: bool = True) -> None:
    """From here on SoCo's asyncio events are kept by propchange.

    Call it before the program makes its first subscription; again does nothing. ``discovery``: the
    announcements of players (SSDP) are heard, so that a restart is noticed within seconds.

    Raises ImportError if SoCo or aiohttp is not installed. Raises RuntimeError if SoCo is of a
    version whose events have another surface, and if it comes too late: another module has
    imported one of the names already, or something is subscribed to.
    """
    for package in ("soco", "aiohttp"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                f"propchange.dropin.soco needs {package}: pip install soco aiohttp", name=package
            )
    events = importlib.import_module(_REPLACED)
    # A module that was loaded again after install() has its own names again.
    place = sys.modules.get("propchange.dropin.soco.subscription")
    installed = all(getattr(events, name, events) is getattr(place, name, None) for name in _NAMES)
    if not installed:
        _check_surface()
        _check_time(events)
    from propchange.dropin.soco import subscription as ours  # it needs SoCo

    ours.event_listener.discovery = discovery
    if not installed:
        for name in _NAMES:
            _originals[name] = getattr(events, name)
            setattr(events, name, getattr(ours, name))


def uninstall() -> None:
    """Go back to SoCo's own events. Subscriptions that were made since :func:`install` stay until
    the program ends them. Without :func:`install` before: nothing."""
    events = sys.modules.get(_REPLACED)
    for name, original in _originals.items():
        setattr(events, name, original)
    _originals.clear()


def _check_surface() -> None:
    soco = importlib.import_module("soco")
    events = importlib.import_module(_REPLACED)
    for name in _NAMES:
        if not hasattr(events, name):
            raise RuntimeError(
                f"SoCo {soco.__version__} is not what propchange.dropin.soco was made for: "
                f"{_REPLACED}.{name} is missing"
            )
    for place, expected in _SURFACE.items():
        module, *path = place.split(".")
        found: Any = importlib.import_module(f"soco.{module}")
        for name in path:
            found = getattr(found, name, None)
        parameters: tuple[str, ...] | None = None
        if callable(found):
            parameters = tuple(inspect.signature(found).parameters)
            parameters = parameters[1:] if parameters[:1] == ("self",) else parameters
        if parameters != expected:
            is_there = "is missing" if parameters is None else f"takes {', '.join(parameters)}"
            raise RuntimeError(
                f"SoCo {soco.__version__} is not what propchange.dropin.soco was made for: "
                f"soco.{place} {is_there}; in 0.32.5 it takes {', '.join(expected) or 'nothing'}"
            )


def _check_time(events: ModuleType) -> None:
    held = [getattr(events, name) for name in _NAMES]
    holders = {
        holder
        for holder, module in tuple(sys.modules.items())
        if module is not events and isinstance(module, ModuleType)
        for value in tuple(vars(module).values())
        if any(value is each for each in held)
    }
    holders |= {each.__module__ for each in events.Subscription.__subclasses__()}
    if holders:
        raise RuntimeError(
            f"{', '.join(sorted(holders))} has imported from {_REPLACED} already: call "
            "propchange.dropin.soco.install() before"
        )
    if events.event_listener.is_running or events.subscriptions_map.count:
        raise RuntimeError(
            "SoCo's event listener runs already: call propchange.dropin.soco.install() before the "
            "first subscribe(), or after event_listener.async_stop()"
        )
