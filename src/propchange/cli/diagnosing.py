"""``propchange watch --diagnose``: why the events of a device do not come, or that they do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from typing import NamedTuple, TextIO

from propchange.asyncio.control_point import ControlPoint
from propchange.asyncio.subscription import Subscription
from propchange.cli.escaping import escape, escape_json
from propchange.cli.lines import Source, diagnosis_object
from propchange.cli.running import CommandFailed
from propchange.core.diagnosis.verdicts import Diagnosis
from propchange.core.subscriber.events import Status, StatusChange

__all__ = ["Diagnosed", "diagnose_all", "write_diagnoses"]

_SPARE_SECONDS = 1.0
"""Beyond the time that a SUBSCRIBE and an initial event may take together."""


class Diagnosed(NamedTuple):
    """What was found out about one service."""

    source: Source
    diagnosis: Diagnosis


async def diagnose_all(
    control_point: ControlPoint, wanted: Sequence[tuple[Source, Subscription]]
) -> list[Diagnosed]:
    """Enter the subscriptions, which do not wait for their grants, give each the time that a
    SUBSCRIBE and an initial event may take, and say how it is then."""
    limits = control_point.limits
    seconds = limits.request_seconds + limits.initial_event_seconds + _SPARE_SECONDS

    async def one(source: Source, subscription: Subscription) -> Diagnosed:
        try:
            await subscription.__aenter__()
        except ValueError as error:
            raise CommandFailed(f"the event URL of {source.service}: {error}") from error
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                async for update in subscription.updates():
                    if isinstance(update, StatusChange) and update.status is not Status.ACTIVE:
                        break
                    if subscription.last_event_in is not None:
                        break
        return Diagnosed(source, await subscription.diagnose())

    return list(await asyncio.gather(*(one(*each) for each in wanted)))


def write_diagnoses(
    stream: TextIO | None, url: str, found: Sequence[Diagnosed], *, as_json: bool
) -> None:
    """Write the facts and verdicts to ``stream``: lines for people, or one JSON object.

    Raises CommandFailed with the first verdict that is not well, once all is written, and when the
    stream cannot be written."""
    bad = next((each for each in found if not each.diagnosis.well), None)
    if stream is not None:
        text = _as_json(url, found) if as_json else "".join(map(_as_lines, found))
        try:
            stream.write(text)
            stream.flush()
        except OSError as error:
            raise CommandFailed(f"cannot write the output: {error.strerror}") from error
    if bad is not None:
        of = f"{bad.source.service}: " if len(found) > 1 else ""
        raise CommandFailed(f"{of}{bad.diagnosis}")


def _as_json(url: str, found: Sequence[Diagnosed]) -> str:
    services = [
        {
            "device": each.source.device,
            "service": each.source.service,
            **diagnosis_object(each.diagnosis),
        }
        for each in found
    ]
    well = all(each.diagnosis.well for each in found)
    document = {"url": url, "well": well, "services": services}
    return escape_json(json.dumps(document, ensure_ascii=False)) + "\n"


def _as_lines(each: Diagnosed) -> str:
    facts = each.diagnosis.facts.lines()
    width = max(len(escape(what)) for what, _ in facts)
    lines = [f"{escape(each.source.device)} {escape(each.source.service)}"]
    lines += [f"  {escape(what):{width}}  {escape(how)}" for what, how in facts]
    lines.append(f"  {'verdict':{width}}  {each.diagnosis.verdict.value}")
    if each.diagnosis.well:
        lines.append(f"  {'':{width}}  {escape(str(each.diagnosis))}")
    return "\n".join(lines) + "\n"
