"""The numbers of a bridge for Prometheus. Needs the extra ``metrics``."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from propchange.core.record import Record
from propchange.driver.reading import Reading
from propchange.metrics import Family

if TYPE_CHECKING:
    from propchange.bridge.collector import Collector
    from propchange.bridge.mqtt import MqttCounters

_CONNECTED = Family(
    "connected", "bridge_broker_connected", "gauge", "1 while the broker or NATS is connected."
)
_PUBLISHED = Family(
    "published", "bridge_published", "counter", "Messages that were sent to the broker or to NATS."
)

MQTT = (
    _CONNECTED,
    Family("connections", "bridge_broker_connections", "counter", "Connections to the broker."),
    Family(
        "lag",
        "bridge_broker_lag_seconds",
        "gauge",
        "Age of the oldest message that the broker has not acknowledged; 0 without any.",
    ),
    _PUBLISHED,
    Family(
        "acknowledged",
        "bridge_acknowledged",
        "counter",
        "Messages that the broker has answered, refused ones too.",
    ),
    Family("refused", "bridge_refused", "counter", "Messages that the broker has refused."),
    Family("commands", "bridge_commands", "counter", "Commands that were carried out."),
    Family(
        "refused_commands",
        "bridge_refused_commands",
        "counter",
        "Commands that were not carried out.",
    ),
)
"""The metrics of a bridge to MQTT."""

NATS = (
    _CONNECTED,
    _PUBLISHED,
    Family("lease", "bridge_lease_held", "gauge", "1 while this collector holds its lease."),
    Family("lapses", "bridge_lease_lapses", "counter", "How often the lease has run out."),
    Family("owned", "bridge_devices_owned", "gauge", "Devices that this collector owns."),
    Family("taken", "bridge_devices_taken", "counter", "Devices that it has taken."),
    Family("lost", "bridge_devices_lost", "counter", "Devices that others have taken from it."),
    Family("waiting", "bridge_waiting_events", "gauge", "Events that wait for NATS."),
    Family(
        "merged", "bridge_merged_events", "counter", "Events that were merged while they waited."
    ),
    Family(
        "discarded",
        "bridge_fenced_events",
        "counter",
        "Events that were not written, because another collector has taken the device.",
    ),
    Family(
        "duplicates",
        "bridge_duplicate_events",
        "counter",
        "Events that NATS had already, because an answer was lost.",
    ),
)
"""The metrics of a collector."""


@dataclass(slots=True, eq=False, repr=False)
class _MqttStats(Record):
    connected: bool
    connections: int
    lag: float
    published: int
    acknowledged: int
    refused: int
    commands: int
    refused_commands: int


@dataclass(slots=True, eq=False, repr=False)
class _NatsStats(Record):
    connected: bool
    published: int
    lease: bool
    lapses: int
    owned: int
    taken: int
    lost: int
    waiting: int
    merged: int
    discarded: int
    duplicates: int


class BridgeNumbers:
    """The numbers of a bridge, a :class:`propchange.metrics.NumberSource`. ``read`` is called with
    the time of the loop, in the loop of the bridge."""

    def __init__(self, families: tuple[Family, ...], read: Callable[[float], Record]) -> None:
        self.families = families
        self.read = read

    def read_numbers(self) -> Reading[Record]:
        """The numbers of now. In the loop of the bridge, where the command serves its metrics."""
        stats = self.read(asyncio.get_running_loop().time())
        return lambda _: stats


def mqtt_numbers(counters: MqttCounters) -> BridgeNumbers:
    """The numbers of a bridge to MQTT."""

    def read(now: float) -> Record:
        oldest = counters.oldest
        return _MqttStats(
            counters.connected,
            counters.connections,
            0.0 if oldest is None else max(0.0, now - oldest),
            counters.published,
            counters.acknowledged,
            counters.refused,
            counters.commands,
            counters.refused_commands,
        )

    return BridgeNumbers(MQTT, read)


def nats_numbers(collector: Collector) -> BridgeNumbers:
    """The numbers of a collector."""

    def read(now: float) -> Record:
        totals, lease = collector.totals, collector.lease
        owned = {output.udn for output in collector.outputs.values() if not output.ended}
        return _NatsStats(
            connected=not collector.away,
            published=totals.published,
            lease=lease.held(now),
            lapses=lease.lapses,
            owned=len(owned),
            taken=totals.taken,
            lost=totals.lost,
            waiting=totals.events,
            merged=totals.merged,
            discarded=totals.discarded,
            duplicates=totals.duplicates,
        )

    return BridgeNumbers(NATS, read)
