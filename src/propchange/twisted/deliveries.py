"""The delivery connections of a reactor."""

from __future__ import annotations

import weakref
from typing import Any

from propchange.driver.delivery_pool import DeliveryPool
from propchange.twisted.runtime import Reactor, TwistedRuntime

__all__ = ["deliveries_of"]

_of_reactor: weakref.WeakKeyDictionary[Any, DeliveryPool] = weakref.WeakKeyDictionary()


def deliveries_of(reactor: Reactor) -> DeliveryPool:
    """The pool that everything on ``reactor`` shares."""
    pool = _of_reactor.get(reactor)
    if pool is None:
        pool = _of_reactor[reactor] = DeliveryPool(TwistedRuntime(reactor))
    return pool
