"""Where a device is now: at the URL that is known, or at one that was announced for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from propchange.driver.timer import Armed, Later
from propchange.upnp.description import DeviceDescription

__all__ = ["find_description"]

_TRIED = 8
"""Announced URLs that are tried at once."""


def find_description(
    udn: str,
    *,
    former: str,
    others: Sequence[str],
    read: Callable[[str], Deferred[DeviceDescription]],
    later: Later,
    grace: float,
) -> Deferred[DeviceDescription | None]:
    """The description that carries ``udn``: from ``former`` if it still answers there, else from
    the first of ``others`` that has it; fires with None when it is nowhere.

    All are asked at once. A host with several addresses announces one URL for each, and is at all
    of them: when another answers first, ``former`` has ``grace`` seconds more.
    """
    urls = [former, *dict.fromkeys(url for url in others if url != former)][: _TRIED + 1]
    found: dict[int, DeviceDescription | None] = {}
    done: Deferred[DeviceDescription | None] = Deferred()
    waiting: list[Armed] = []

    def finish(description: DeviceDescription | None) -> None:
        for alarm in waiting:
            alarm.cancel()
        done.callback(description)

    def decide(*, patient: bool = True) -> None:
        if done.called:
            return
        elsewhere = next((each for index, each in sorted(found.items()) if index and each), None)
        if found.get(0) is not None or len(found) == len(urls):
            finish(found.get(0) or elsewhere)
        elif elsewhere is not None and (0 in found or not patient):
            finish(elsewhere)
        elif elsewhere is not None and not waiting:
            waiting.append(later(grace, partial(decide, patient=False)))

    def read_one(result: DeviceDescription | Failure, index: int) -> None:
        is_it = isinstance(result, DeviceDescription) and result.find_device(udn) is not None
        found[index] = result if is_it else None  # type: ignore[assignment] # as was just seen
        decide()

    for index, url in enumerate(urls):
        maybeDeferred(read, url).addBoth(read_one, index)
    return done
