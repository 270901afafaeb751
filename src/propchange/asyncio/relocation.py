"""Where a device is now: at the URL that is known, or at one that was announced for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from propchange.errors import PropchangeError
from propchange.upnp.description import DeviceDescription

__all__ = ["find_description"]

_TRIED = 8
"""Announced URLs that are tried at once."""


async def find_description(
    udn: str,
    *,
    former: str,
    others: Sequence[str],
    read: Callable[[str], Awaitable[DeviceDescription]],
    grace: float,
) -> DeviceDescription | None:
    """The description that carries ``udn``: from ``former`` if it still answers there, else from
    the first of ``others`` that has it; None when it is nowhere.

    All are asked at once. A host with several addresses announces one URL for each, and is at all
    of them: when another answers first, ``former`` has ``grace`` seconds more.
    """
    urls = [former, *[url for url in others if url != former][:_TRIED]]
    found = [asyncio.ensure_future(_read_of(udn, url, read)) for url in urls]
    try:
        before, rest = found[0], found[1:]
        while not before.done() and not any(_is_good(task) for task in rest):
            await asyncio.wait(
                [task for task in found if not task.done()], return_when=asyncio.FIRST_COMPLETED
            )
        if not before.done():
            await asyncio.wait([before], timeout=grace)
        if _is_good(before):
            return before.result()
        for task in rest:
            if (description := await task) is not None:
                return description
        return None
    finally:
        for task in found:
            task.cancel()
        await asyncio.gather(*found, return_exceptions=True)


def _is_good(task: asyncio.Task[DeviceDescription | None]) -> bool:
    return task.done() and task.result() is not None


async def _read_of(
    udn: str, url: str, read: Callable[[str], Awaitable[DeviceDescription]]
) -> DeviceDescription | None:
    try:
        description = await read(url)
    except (PropchangeError, ValueError):
        return None
    return None if description.find_device(udn) is None else description
