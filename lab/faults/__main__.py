"""Play the faults and print how each control point came through.

    python -m lab.faults [--fault NAME] [--stack NAME] [--control-point NAME] [--write]

As root, from the root of the repository. It takes a few minutes; most of them are waiting.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from lab.fault_playing import play_all
from lab.faults.measuring import Measured, measure
from lab.faults.plays import FAULTS, Fault
from lab.faults.table import side_by_side, told
from lab.peers import C_DEVICES, CANNOT, CONTROL_POINTS

PAGE = Path(__file__).parents[2] / "docs" / "recovery.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"


def main() -> None:
    description, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m lab.faults",
        description=description,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = {fault.__name__: fault for fault in FAULTS}
    parser.add_argument("--fault", action="append", choices=names, help="this one; repeatable")
    parser.add_argument("--stack", action="append", choices=C_DEVICES)
    parser.add_argument("--control-point", action="append", choices=CONTROL_POINTS)
    parser.add_argument("--duration", type=int, default=8, help="seconds asked for: 8")
    parser.add_argument("--patience", type=float, default=13.0, help="seconds to watch: 13")
    parser.add_argument("--times", type=int, default=1, help="how often each is played: 1")
    parser.add_argument("--jobs", type=int, default=4, help="faults played at once: 4")
    parser.add_argument("--write", action="store_true", help="put the tables into the docs")
    wanted = parser.parse_args()
    faults = [names[name] for name in wanted.fault or names]
    plays = [
        (fault, stack)
        for fault in faults
        for stack in wanted.stack or C_DEVICES
        for _ in range(wanted.times)
    ]

    def play(fault: Fault, stack: str) -> list[Measured]:
        able = wanted.control_point or list(CONTROL_POINTS)
        able = [each for each in able if (stack, each) not in CANNOT]
        return measure(fault, stack, able, duration=wanted.duration, patience=wanted.patience)

    played = play_all(play, plays, wanted.jobs)
    # What is told differs little from one time to the next: the first is enough for people.
    once = [
        each
        for number, each in enumerate(played)
        if each.fault_and_ends not in {before.fault_and_ends for before in played[:number]}
    ]
    tables = [*side_by_side(faults, played), "", *told(once, "propchange"), ""]
    print("\n".join(tables))
    if wanted.write:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        _, _, after = rest.partition(END)
        PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(tables) + f"\n{END}{after}", "utf-8")


if __name__ == "__main__":
    main()
