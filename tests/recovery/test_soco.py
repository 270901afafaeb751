"""A SoCo program with the drop-in, through faults of a player on another host: of each kind one.
All of them are in docs/soco.md."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest

from lab import soco_faults
from lab.programs import Missing
from lab.soco_faults import Bench

pytestmark = pytest.mark.slow


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "fault", [soco_faults.restart, soco_faults.byebye, soco_faults.cable, soco_faults.cut]
)
def test_the_program_has_the_state_again_before_the_next_change(
    fault: Callable[[Bench], None], missing: Callable[[object], None]
) -> None:
    if importlib.util.find_spec("soco") is None:
        missing("no SoCo in this environment")
    try:
        outcome = soco_faults.play(fault)["propchange"]
    except Missing as error:
        missing(error)
    else:
        assert outcome.after is not None
        assert outcome.hears
