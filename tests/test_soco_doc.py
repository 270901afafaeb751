"""docs/soco.md: its program runs, and its table has each fault that is played."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lab.soco_faults import FAULTS, PROGRAMS
from propchange.core.limits import DEFAULT_LIMITS
from propchange.dropin.soco.kept_subscription import _TOLD_AT

TEXT = (Path(__file__).parent.parent / "docs" / "soco.md").read_text("utf-8")


@pytest.mark.slow
def test_the_program_of_the_page_gets_an_answer_to_its_subscribe() -> None:
    """In a process of its own: it puts the drop-in in place."""
    [program] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    program += (
        "\nimport asyncio\nfrom lab.sonos_like import SonosLike\n"
        "class Player(soco.SoCo):\n    household_id = 'Sonos_propchange'\n"
        "async def main():\n    async with SonosLike() as device:\n"
        "        await follow(Player(device.address, device.port))\n"
        "        while not device.statuses:\n            await asyncio.sleep(0.01)\n"
        "        await events_asyncio.event_listener.async_stop()\n"
        "asyncio.run(main())\n"
    )
    root = Path(__file__).parent.parent
    ran = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{root}:{root / 'src'}", "PATH": ""},
        timeout=50,
        check=True,
    )
    assert ran.stdout == (
        "{'volume': {'Master': '20', 'LF': '100', 'RF': '100'}, 'mute': {'Master': '0'}}\n"
    )


def test_the_table_has_each_fault_and_each_program() -> None:
    table = TEXT.split("<!-- faults -->")[1].split("<!-- end -->")[0].strip().splitlines()
    assert table[0] == "| the player | " + " | ".join(PROGRAMS) + " |"
    rows = [re.split(r" *\| *", line)[1:-1] for line in table[2:]]
    assert [row[0] for row in rows] == [fault.__doc__ for fault in FAULTS]
    for row in rows:
        assert re.fullmatch(r"\d+\.\d s", row[2]), f"propchange was not right again: {row}"


def test_its_figures_are_those_of_the_code() -> None:
    assert f"{_TOLD_AT * 100:.0f} % of the last grant" in TEXT
    assert f"keeps the newest {DEFAULT_LIMITS.waiting_events} events" in TEXT
