"""One set of SSDP sockets for all event handlers of a loop.

A program may have an event handler for each of its devices. The driver of the first one has the
sockets, and the others hear by it. When it closes, the next one opens sockets.
"""

from __future__ import annotations

import weakref
from collections.abc import Hashable
from typing import Any

from propchange.driver.control_point import SubscriberDriver

_DRIVERS: weakref.WeakKeyDictionary[Any, list[SubscriberDriver]] = weakref.WeakKeyDictionary()
"""Loop -> its drivers that discover. The first one has the sockets."""


def join(loop: Hashable, driver: SubscriberDriver) -> None:
    """Let ``driver`` hear the announcements of devices. Call :func:`leave` when it is closed."""
    for ended in [each for each in _DRIVERS if each.is_closed()]:
        forget(ended)
    drivers = _DRIVERS.setdefault(loop, [])
    drivers.append(driver)
    if drivers[0] is driver:
        driver.discovery.start(None, quiet=True)
    else:
        drivers[0].discovery.share(driver.discovery)


def leave(loop: Hashable, driver: SubscriberDriver) -> None:
    """Let ``driver``, which has closed, hear no more. If it had the sockets, the next driver opens
    them."""
    drivers = _DRIVERS.get(loop, [])
    if driver not in drivers:
        return
    had_sockets = drivers[0] is driver
    drivers[:] = filter(_is_open, drivers)
    driver.discovery.unshare()
    if had_sockets and drivers:
        first, *others = (each.discovery for each in drivers)
        first.start(None, quiet=True)
        for other in others:
            first.share(other)


def forget(loop: Hashable) -> None:
    """Forget the drivers of ``loop``, which was closed before they were."""
    _DRIVERS.pop(loop, None)


def _is_open(driver: SubscriberDriver) -> bool:
    try:
        driver.check_open()
    except RuntimeError:  # it is being closed, as all are when the program ends
        return False
    return True


def search(loop: Hashable, driver: SubscriberDriver, target: str) -> None:
    """Search for ``target``, which ``driver`` wants, by the driver that has the sockets."""
    first = next(iter(_DRIVERS.get(loop, ())), driver)
    if first is not driver:
        first.discovery.search(target)
