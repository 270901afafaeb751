"""Subscribes with propchange to an event URL, and tells what it finds out about that once it is
active, deaf or refused. An object in JSON has fields of Limits and arguments of ControlPoint."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import fields, replace
from typing import Any

from telling import tell

from propchange import ControlPoint, Limits, StatusChange


async def main(event_url: str, options: dict[str, Any]) -> None:
    bounds = {each.name: options.pop(each.name) for each in fields(Limits) if each.name in options}
    async with (
        ControlPoint(limits=replace(Limits(), **bounds), **options) as control_point,
        control_point.subscribe_url(event_url, wait=False) as subscription,
    ):
        async for update in subscription.updates():
            if isinstance(update, StatusChange):
                tell(status=update.status.value, why=update.reason)
                break
        diagnosis = await subscription.diagnose()
        facts = dict(diagnosis.facts.lines())
        tell(verdict=diagnosis.verdict.value, sentence=str(diagnosis), facts=facts)


asyncio.run(main(sys.argv[1], json.loads("".join(sys.argv[2:]) or "{}")))
