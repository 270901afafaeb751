"""The tables and plots of the benchmarks come from the figures, and so do the verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.results import (
    COST,
    RATE,
    Figures,
    Incorrect,
    Results,
    Row,
    Variant,
    below,
    faster,
    in_turns,
    within,
)


def sample() -> Variant:
    fan_out = Row(
        "fan-out",
        "fan-out to 100",
        "100 ports",
        rounds={
            "propchange": [{RATE: 75_000.0, COST: each} for each in (9.0, 10.0, 12.0)],
            "bare uvloop": [{RATE: 110_000.0, COST: each} for each in (7.0, 7.5, 8.0)],
        },
        wrong={"Cohen3": "12 of 100 events were delivered"},
        goals=[faster(0.85, "bare uvloop"), faster(2, "Cohen3")],
        required=0.5,
    )
    latency = Row(
        "latency",
        "100 subscribers",
        rounds={"propchange": [{"p99 ms": 4.0}], "bare uvloop": [{"p99 ms": 3.0}]},
        goals=[within(2.5, "bare uvloop", "p99 ms"), below(3, "p99 ms")],
    )
    return Variant("with uvloop", {"machine": "a small one"}, [fan_out, latency])


def test_a_goal_of_speed_compares_costs_inversely_and_rates_directly() -> None:
    row = sample().rows[0]
    assert faster(0.85, "bare uvloop").measured(row) == pytest.approx(0.75)
    assert faster(0.85, "bare uvloop").met(row) is False
    assert faster(0.5, "bare uvloop", RATE).met(row) is True


def test_a_goal_of_time_compares_directly() -> None:
    within_two, below_three = sample().rows[1].goals
    assert (within_two.met(sample().rows[1]), below_three.met(sample().rows[1])) == (True, False)


def test_a_goal_against_one_without_figures_is_not_measured() -> None:
    row = sample().rows[0]
    assert row.goals[1].met(row) is None


def test_the_tables_have_each_figure_with_its_range_and_say_what_was_wrong() -> None:
    text = report.tables(Results([sample()]), "Where the time goes.")
    assert "| propchange | 75,000 | 10.0 (9 to 12.0) | 1 |" in text
    assert "| bare uvloop | 110,000 | 7.5 (7 to 8) | 0.75 |" in text
    assert "| Cohen3 | no figures: 12 of 100 events were delivered |" in text
    assert "| 0.75 | **not met** |" in text
    assert "Where the time goes." in text


def test_results_are_the_same_after_a_file_and_the_plots_too(tmp_path: Path) -> None:
    results = Results([sample()])
    results.save(tmp_path / "results.json")
    assert Results.load(tmp_path / "results.json") == results
    report.write(tmp_path)
    plots = sorted((tmp_path / "plots").iterdir())
    assert [each.name for each in plots] == [
        "fan-out-cpu.svg",
        "fan-out-rate.svg",
        "latency-p99.svg",
    ]
    first = [each.read_text() for each in plots]
    assert "bare uvloop" in first[0]
    assert "Cohen3" not in first[0]
    report.write(tmp_path)
    assert [each.read_text() for each in plots] == first


def test_a_second_run_takes_the_place_of_the_same_family_only() -> None:
    results = Results([sample()])
    again = sample()
    again.rows = again.rows[:1]
    again.rows[0].title = "another"
    results.add(again)
    assert [row.title for row in results.variants[0].rows] == ["another", "100 subscribers"]


def test_a_run_of_some_rows_leaves_the_other_rows_of_their_family() -> None:
    results = Results([sample()])
    again = sample()
    again.rows = again.rows[:1]
    again.rows[0].note = "again"
    before = [row.title for row in sample().rows]
    results.add(again, some_rows=True)
    assert sorted(row.title for row in results.variants[0].rows) == sorted(before)
    another = sample()
    another.rows = another.rows[:1]
    another.rows[0].title = "another"
    results.add(another, some_rows=True)
    rows = results.variants[0].rows
    assert sorted(row.title for row in rows) == sorted([*before, "another"])


def test_contestants_take_turns_and_one_that_lost_an_event_has_no_figures() -> None:
    turns: list[str] = []

    def good() -> Figures:
        turns.append("good")
        return {RATE: 1.0}

    def losing() -> Figures:
        turns.append("losing")
        if len(turns) > 3:
            raise Incorrect("99 of 100 events were delivered")
        return {RATE: 1.0}

    row = in_turns(Row("family", "title"), {"propchange": good, "other": losing}, rounds=2)
    assert turns == ["good", "losing", "good", "losing", "good"]
    assert row.values("propchange", RATE) == [1.0, 1.0]
    assert row.values("other", RATE) == []
    assert row.wrong == {"other": "99 of 100 events were delivered"}


def test_the_run_fails_when_ours_loses_an_event_or_is_far_too_slow() -> None:
    row = sample().rows[0]
    assert not row.failed()  # another library may lose what it likes
    row.required = 0.8
    assert row.failed()
    row.required = None
    row.wrong["propchange"] = "99 of 100 events were delivered"
    assert row.failed()
