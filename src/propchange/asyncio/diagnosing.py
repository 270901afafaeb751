"""Finding out why a subscription hears nothing, by what its protocol knows and by connecting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from propchange.asyncio.probes import SelfProbes, probe_device
from propchange.asyncio.surroundings import in_container, source_towards
from propchange.core.diagnosis.facts import Facts
from propchange.core.diagnosis.probing import with_probes, with_surroundings
from propchange.core.diagnosis.verdicts import Diagnosis, diagnose
from propchange.core.limits import Limits
from propchange.core.local_addresses import LocalAddress
from propchange.core.subscriber.events import Status
from propchange.core.wire.messages import Endpoint

__all__ = ["look"]


async def look(
    known: Callable[[], Facts],
    *,
    probes: SelfProbes,
    listening: Sequence[Endpoint],
    own: Callable[[], tuple[LocalAddress, ...]],
    source: Endpoint | None,
    limits: Limits,
) -> Diagnosis:
    """The verdict on a subscription: ``known`` gives what its protocol knows, ``own`` the addresses
    of this machine; ``listening`` is where its listener listens, ``source`` the address that
    everything is sent from, None for the system's choice.

    Connects to the device and to the address in CALLBACK, both at once, for
    ``limits.diagnosis_seconds`` at most once its turn has come: ``limits.diagnoses`` of one
    control point are made at a time."""
    if (closed := known()).status is Status.CLOSED:
        return diagnose(closed)
    async with probes.turns:
        facts = await _connected(known, probes, source, limits)
    return diagnose(
        with_surroundings(
            facts,
            listening=listening,
            own=own(),
            in_container=in_container(),
            source=source,
            source_towards=source_towards,
        )
    )


async def _connected(
    known: Callable[[], Facts], probes: SelfProbes, source: Endpoint | None, limits: Limits
) -> Facts:
    """What is known after connecting, with what that came to."""
    before = known()
    self_connect = None
    if before.advertised is None:
        device_probe = await probe_device(before.event_url, source, limits)
    else:
        device_probe, self_connect = await asyncio.gather(
            probe_device(before.event_url, source, limits), probes.probe(before.advertised)
        )
    return with_probes(before, known(), device_probe, self_connect)
