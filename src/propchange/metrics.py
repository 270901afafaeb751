"""The numbers of control points and hosted devices for Prometheus. Needs the extra ``metrics``.

::

    from prometheus_client import REGISTRY, start_http_server
    from propchange.metrics import collector

    REGISTRY.register(collector(control_point, hosted))
    start_http_server(9464, "127.0.0.1")

Each scrape calls ``stats()`` of each object, in the thread of its loop. docs/metrics.md has a table
of the metrics, alert rules and a dashboard.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from time import monotonic
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from propchange.core.publisher.stats import ENDS, FAILURES
from propchange.core.subscriber.events import Cause, Status
from propchange.core.subscriber.stats import FAILED_ATTEMPTS
from propchange.driver.control_point_view import ControlPointView
from propchange.driver.hosted_device import HostedDeviceView
from propchange.driver.reading import Reading
from propchange.errors import TimedOut

try:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
    from prometheus_client.registry import Collector
except ImportError as error:
    raise ImportError(
        "propchange.metrics needs prometheus-client: pip install 'propchange[metrics]'"
    ) from error

__all__ = ["collector"]

Labels = Callable[[Any], Mapping[str, str]]
"""The labels of a control point or of a hosted device."""

_LABEL = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")


class Family(NamedTuple):
    """One metric. ``field`` is the field of the stats, ``name`` the name behind ``propchange_``,
    without ``_total``. ``label`` is the label of a mapping, and ``keys`` are its keys that are
    there from the beginning, with 0. ``joined``: how the numbers of several objects become one."""

    field: str
    name: str
    kind: Literal["counter", "gauge"]
    text: str
    label: str = ""
    keys: tuple[object, ...] = ()
    joined: Callable[[float, float], float] = float.__add__


@runtime_checkable
class NumberSource(Protocol):
    """An object that :func:`collector` takes beside control points and hosted devices."""

    @property
    def families(self) -> tuple[Family, ...]:
        """The metrics that it has numbers of."""

    def read_numbers(self) -> Reading[object] | None:
        """Begin to read the present numbers; any thread may call it. The result has an attribute
        for the ``field`` of each of the families. None: there are no numbers yet."""


_OPEN = tuple(status for status in Status if status is not Status.CLOSED)

CONTROL_POINT = (
    Family(
        "subscriptions", "subscriptions", "gauge", "Subscriptions now, by status.", "status", _OPEN
    ),
    Family(
        "status_changes",
        "status_changes",
        "counter",
        "How often a subscription has got this status.",
        "status",
        tuple(Status),
    ),
    Family(
        "last_event_age",
        "last_event_age_seconds",
        "gauge",
        "Seconds since the last event, the largest of the subscriptions with this status.",
        "status",
        joined=max,
    ),
    Family("events", "events", "counter", "Event messages that were taken."),
    Family("polled", "polled_events", "counter", "Events that were made of polled values."),
    Family(
        "merged",
        "merged_events",
        "counter",
        "Events that were merged into others before the program had them.",
    ),
    Family(
        "waiting",
        "waiting_events",
        "gauge",
        "Events and status changes that wait for the program.",
    ),
    Family("gaps", "event_gaps", "counter", "Gaps in SEQ, each repaired by a SUBSCRIBE."),
    Family("losses", "lost_events", "counter", "Event messages that are known to be lost."),
    Family("grants", "grants", "counter", "SUBSCRIBE requests that devices have granted."),
    Family("renewals", "renewals", "counter", "Renewals that devices have granted."),
    Family(
        "failed_renewals",
        "failed_renewals",
        "counter",
        "Renewals without an answer, or refused.",
    ),
    Family(
        "failed_attempts",
        "failed_attempts",
        "counter",
        "Attempts to subscribe that have failed, by cause.",
        "cause",
        FAILED_ATTEMPTS,
    ),
    Family(
        "refused_requests",
        "refused_requests",
        "counter",
        "Requests to the listener that were refused, by HTTP status.",
        "status",
    ),
    Family(
        "multicast_events",
        "multicast_events",
        "counter",
        "Multicast events that were believed.",
    ),
    Family(
        "refused_datagrams",
        "refused_datagrams",
        "counter",
        "Multicast datagrams that were not believed, by reason.",
        "reason",
    ),
)
"""The metrics of a control point."""

HOST = (
    Family("subscriptions", "host_subscriptions", "gauge", "Subscriptions of the device now."),
    Family(
        "behind",
        "host_subscriptions_behind",
        "gauge",
        "Subscriptions that have an event which no answer has settled.",
    ),
    Family("grants", "host_grants", "counter", "SUBSCRIBE requests that were granted."),
    Family("renewals", "host_renewals", "counter", "Renewals that were granted."),
    Family(
        "ended",
        "host_ended_subscriptions",
        "counter",
        "Subscriptions that have ended, by cause.",
        "cause",
        ENDS,
    ),
    Family(
        "refused",
        "host_refused_requests",
        "counter",
        "Requests for event URLs that were refused, by HTTP status.",
        "status",
    ),
    Family("messages", "host_messages", "counter", "Event messages of all services."),
    Family("deliveries", "host_deliveries", "counter", "Attempts to deliver an event message."),
    Family(
        "answered", "host_answered_deliveries", "counter", "Deliveries that were answered with 2xx."
    ),
    Family(
        "failed",
        "host_failed_deliveries",
        "counter",
        "Deliveries that have failed, by cause.",
        "cause",
        FAILURES,
    ),
    Family("in_flight", "host_deliveries_in_flight", "gauge", "Deliveries without an answer."),
    Family(
        "merged",
        "host_merged_messages",
        "counter",
        "Event messages that were merged into later ones for a slow subscriber.",
    ),
    Family(
        "abandoned",
        "host_abandoned_messages",
        "counter",
        "Event messages that no delivery URL of their subscriber has taken.",
    ),
)
"""The metrics of hosted devices."""

NOT_ANSWERING = Family(
    "",
    "not_answering",
    "gauge",
    "Control points and devices whose loop did not answer this scrape in time.",
)


def collector(*of: Any, labels: Labels | None = None, timeout: float = 2.0) -> Collector:
    """A collector for ``prometheus_client``: ``REGISTRY.register(collector(control_point))``.

    ``of`` are control points and hosted devices, of ``propchange``, ``propchange.twisted`` or
    ``propchange.blocking``. The numbers of several control points are added up, and those of
    several devices too. To keep them apart, ``labels`` returns the labels of one of them:
    ``labels=lambda each: {"udn": each.udn}``. It is called once for each object. No label has a
    SID, a URL or a text of a peer, so no peer can make series.

    A scrape may come from any thread. It reads the numbers in the thread of the loop, and waits for
    ``timeout`` seconds at most, for all objects together. Numbers that it does not get are left
    out, with all numbers that they are added to, and ``propchange_not_answering`` counts the
    objects. Give all objects to one collector: a registry refuses a second one.

    Raises TypeError for another object, ValueError for labels that cannot be used."""
    return _Collector(of, labels or (lambda _: {}), timeout)


class _Group(NamedTuple):
    """The objects whose numbers are added up, as functions that begin to read them, and their
    labels."""

    families: tuple[Family, ...]
    labels: tuple[tuple[str, str], ...]
    read: list[Callable[[], Reading[object] | None]]


class _Collector(Collector):
    def __init__(self, of: Iterable[Any], labels: Labels, timeout: float) -> None:
        self._timeout = timeout
        groups: dict[tuple[object, ...], _Group] = {}
        names: dict[int, tuple[str, ...]] = {}
        for each in of:
            families, read = _source(each)
            own = tuple(sorted(labels(each).items()))
            _check_labels(own, families)
            if names.setdefault(id(families), tuple(name for name, _ in own)) != tuple(
                name for name, _ in own
            ):
                raise ValueError(f"labels gives {each!r} other names than the objects before it")
            groups.setdefault((id(families), own), _Group(families, own, [])).read.append(read)
        self._groups = tuple(groups.values())

    def describe(self) -> Iterator[Metric]:
        """The metrics without numbers, so that a registry reads none when it is told of them."""
        return iter(self._empty().values())

    def _empty(self) -> dict[Family, Metric]:
        empty = {}
        for families in dict.fromkeys(group.families for group in self._groups):
            names = next(g.labels for g in self._groups if g.families is families)
            for family in families:
                own = [name for name, _ in names] + [family.label] * bool(family.label)
                empty[family] = _metric(family, own)
        empty[NOT_ANSWERING] = _metric(NOT_ANSWERING, [])
        return empty

    def collect(self) -> Iterator[Metric]:
        """The metrics, with the present numbers."""
        until = monotonic() + self._timeout
        metrics, silent = self._empty(), 0
        # Each loop is asked before one is waited for: one that is blocked delays no other.
        begun = [(group, [read() for read in group.read]) for group in self._groups]
        for group, readings in begun:
            numbers: dict[Family, dict[str, float]] = {}
            late = 0
            for reading in readings:
                try:
                    stats = None if reading is None else reading(until - monotonic())
                except TimedOut:
                    late += 1
                else:
                    _add(numbers, group.families, stats)
            silent += late
            if not late:
                for family, values in numbers.items():
                    for key, value in values.items():
                        own = [text for _, text in group.labels] + [key] * bool(family.label)
                        metrics[family].add_metric(own, value)  # type: ignore[attr-defined]  # of each family
        metrics[NOT_ANSWERING].add_metric([], silent)  # type: ignore[attr-defined]  # of each family
        return iter(metrics.values())


def _source(of: object) -> tuple[tuple[Family, ...], Callable[[], Reading[object] | None]]:
    """The metrics of an object, and what begins to read its numbers."""
    if isinstance(of, ControlPointView):
        return CONTROL_POINT, of._read_stats
    if isinstance(of, HostedDeviceView):
        return HOST, of._read_stats
    if isinstance(of, NumberSource):
        return of.families, of.read_numbers
    raise TypeError(f"a control point or a hosted device has numbers, not {of!r}")


def _check_labels(labels: tuple[tuple[str, str], ...], families: tuple[Family, ...]) -> None:
    taken = {family.label for family in families}
    for name, value in labels:
        if not _LABEL.fullmatch(name) or name in taken:
            raise ValueError(f"{name!r} cannot be a label: it is no name, or a metric has it")
        if not isinstance(value, str):
            raise ValueError(f"the label {name} is a text, not {value!r}")


def _metric(family: Family, labels: list[str]) -> Metric:
    made = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    return made(f"propchange_{family.name}", family.text, labels=labels)


def _add(
    numbers: dict[Family, dict[str, float]],
    families: tuple[Family, ...],
    stats: object,
) -> None:
    for family in families:
        value: Any = None if stats is None else getattr(stats, family.field)
        mapping: dict[str, float]
        if family.label:
            mapping = {_text(key): 0 for key in family.keys}
            mapping |= {_text(key): number for key, number in (value or {}).items()}
        else:
            mapping = {"": value or 0}
        joined = numbers.setdefault(family, {})
        for key, number in mapping.items():
            joined[key] = family.joined(float(joined.get(key, 0)), float(number))


def _text(key: object) -> str:
    if isinstance(key, Status | Cause):
        return str(key.value)
    return key.name.lower().replace("_", "-") if isinstance(key, Enum) else str(key)
