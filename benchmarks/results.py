"""What a run has measured: rows of figures and their goals, kept as JSON."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

__all__ = [
    "COST",
    "RATE",
    "Goal",
    "Incorrect",
    "Measured",
    "Results",
    "Row",
    "Variant",
    "Wanted",
    "always",
    "below",
    "faster",
    "in_turns",
    "within",
]

RATE = "per s"
COST = "CPU-µs"
"""The measures of most rows: operations by the clock, and processor time of one operation."""

PEERS = ("async-upnp-client", "libupnp", "GUPnP", "Cohen3", "SoCo")
"""How the names of the other libraries begin. If one of them loses or reorders something, the table
says so, and the exit status stays 0."""

Figures = dict[str, float]
"""One round of one contestant, by measure."""


Wanted = Callable[[str], bool]
"""Whether a row is to be measured, by its title."""


def always(title: str) -> bool:
    return True


class Incorrect(Exception):
    """A round that lost, repeated or reordered something. It has no figures."""


@dataclass(frozen=True)
class Goal:
    """What one contestant of a row shall reach."""

    kind: Literal["faster", "within", "below"]
    measure: str
    bound: float
    who: str
    against: str = ""

    def measured(self, row: Row) -> float | None:
        """The ratio of the medians, or the median itself; None when one of them is missing."""
        ours = row.median(self.who, self.measure)
        other = row.median(self.against, self.measure) if self.against else None
        if ours is None or (self.against and not other):
            return None
        if self.kind == "below":
            return ours
        assert other is not None
        is_speed = self.measure == RATE
        return ours / other if is_speed or self.kind == "within" else other / ours

    def met(self, row: Row) -> bool | None:
        """None: not measured."""
        measured = self.measured(row)
        if measured is None:
            return None
        return measured >= self.bound if self.kind == "faster" else measured <= self.bound

    def __str__(self) -> str:
        match self.kind:
            case "faster":
                text = f"{self.who} at least {self.bound:g} times as fast as {self.against}"
            case "within":
                text = f"{self.who} at most {self.bound:g} times {self.against}"
            case _:
                text = f"{self.who} at most {self.bound:g}"
        return f"{text}, by {self.measure}"


def faster(bound: float, against: str, measure: str = COST, who: str = "propchange") -> Goal:
    """At least ``bound`` times the speed: a rate, or the inverse of a cost or a time."""
    return Goal("faster", measure, bound, who, against)


def within(bound: float, against: str, measure: str, who: str = "propchange") -> Goal:
    """At most ``bound`` times the other's figure."""
    return Goal("within", measure, bound, who, against)


def below(bound: float, measure: str, who: str = "propchange") -> Goal:
    """At most ``bound``."""
    return Goal("below", measure, bound, who)


@dataclass
class Row:
    """The same work, done by several contestants in turns."""

    family: str
    title: str
    note: str = ""
    rounds: dict[str, list[Figures]] = field(default_factory=dict)
    """The rounds of each contestant."""
    wrong: dict[str, str] = field(default_factory=dict)
    """Why a contestant has no figures."""
    goals: list[Goal] = field(default_factory=list)
    when: str = ""
    """The revision of propchange, and the date."""
    required: float | None = None
    """A share of the speed of the second contestant. Below it the run fails."""

    def values(self, who: str, measure: str) -> list[float]:
        return [each[measure] for each in self.rounds.get(who, ()) if measure in each]

    def median(self, who: str, measure: str) -> float | None:
        values = self.values(who, measure)
        return statistics.median(values) if values else None

    def measures(self) -> list[str]:
        """In the order in which they were taken."""
        return list(dict.fromkeys(m for rounds in self.rounds.values() for r in rounds for m in r))

    def failed(self) -> bool:
        """Whether the program must end with 1: propchange or a floor was incorrect, or the first
        contestant has less than the required share of the second one's speed."""
        if any(not who.startswith(PEERS) for who in self.wrong):
            return True
        if self.required is None or len(self.rounds) < 2:
            return False
        who, against = list(self.rounds)[:2]
        return faster(self.required, against, COST, who).met(self) is False


@dataclass
class Variant:
    """A whole run: with uvloop, or without."""

    name: str
    machine: dict[str, str]
    rows: list[Row] = field(default_factory=list)


@dataclass
class Results:
    """The last run of each variant."""

    variants: list[Variant] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> Results:
        if not path.exists():
            return cls()
        found: Any = json.loads(path.read_text())
        return cls([_variant(each) for each in found["variants"]])

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n")

    def add(self, variant: Variant, *, some_rows: bool = False) -> None:
        """Take the place of the rows of the same families, or with ``some_rows`` of the same
        families and titles only, and leave the others."""
        for number, each in enumerate(self.variants):
            if each.name == variant.name:
                families = {row.family for row in variant.rows}
                titles = {(row.family, row.title) for row in variant.rows}
                rows = [
                    row
                    for row in each.rows
                    if row.family not in families
                    or (some_rows and (row.family, row.title) not in titles)
                ]
                self.variants[number] = Variant(
                    variant.name, variant.machine, sorted(rows + variant.rows, key=_family_order)
                )
                return
        self.variants.append(variant)


FAMILIES = ("fan-out", "latency", "receiving", "subscribing", "idle", "twisted", "calls")


def _family_order(row: Row) -> int:
    return FAMILIES.index(row.family) if row.family in FAMILIES else len(FAMILIES)


def _variant(found: dict[str, Any]) -> Variant:
    rows = [
        Row(**{**row, "goals": [Goal(**goal) for goal in row["goals"]]}) for row in found["rows"]
    ]
    return Variant(found["name"], found["machine"], rows)


Measured = Callable[[], Figures]
"""One round of a contestant."""


def in_turns(row: Row, contestants: dict[str, Measured], rounds: int, *, warm: int = 1) -> Row:
    """A B C A B C …, the first ``warm`` rounds of each for warming up. A contestant that was
    incorrect once takes no further part."""
    row.rounds = {who: [] for who in contestants}
    left = dict(contestants)
    for number in range(rounds + warm):
        for who, measured in tuple(left.items()):
            try:
                figures = measured()
            except (Incorrect, RuntimeError, OSError) as error:
                row.wrong[who] = str(error)
                row.rounds[who] = []
                del left[who]
            else:
                if number >= warm:
                    row.rounds[who].append(figures)
    return row
