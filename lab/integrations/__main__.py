"""Play the faults and print how each program came through, without and with propchange.

    python -m lab.integrations [--fault NAME] [--program NAME] [--devices] [--write]

As root, from the root of the repository. It takes ten minutes; most of them are waiting.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lab.fault_playing import play_all
from lab.integrations.bench import PROGRAMS
from lab.integrations.devices import DEVICES
from lab.integrations.measuring import Measured, measure, scripted
from lab.integrations.plays import DURATION, DURATIONS, FAULTS, ON_DEVICES, Fault
from lab.integrations.table import side_by_side

PAGE = Path(__file__).parents[2] / "docs" / "home-assistant.md"
RENDERERS = ("dlna_dmr", "samsungtv", "music_assistant", "raw_handler")


def main() -> None:
    description, _, more = (__doc__ or "").partition("\n\n")
    parser = argparse.ArgumentParser(
        prog="python -m lab.integrations",
        description=description,
        epilog=more,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = {fault.__name__: fault for fault in FAULTS}
    parser.add_argument("--fault", action="append", choices=names, help="this one; repeatable")
    parser.add_argument("--program", action="append", choices=[*PROGRAMS])
    parser.add_argument("--devices", action="store_true", help="on Rygel, GMediaRender, miniupnpd")
    parser.add_argument("--only", choices=["original", "propchange"])
    parser.add_argument("--patience", type=float, default=80.0, help="seconds to watch: 80")
    parser.add_argument("--jobs", type=int, default=4, help="faults played at once: 4")
    parser.add_argument("--write", action="store_true", help="put the table into the docs")
    wanted = parser.parse_args()
    beneath = [False, True]
    if wanted.only:
        beneath = [wanted.only == "propchange"]
    faults = [names[name] for name in wanted.fault or names]
    plays: list[tuple[Fault, Callable[..., Any], list[str]]]
    if wanted.devices:
        plays = [
            (fault, make, ["upnp" if name == "miniupnpd" else "samsungtv"])
            for fault in faults
            if fault in ON_DEVICES
            for name, make in DEVICES.items()
        ]
    else:
        plays = [
            (fault, scripted(DURATIONS.get(fault, DURATION)), list(RENDERERS)) for fault in faults
        ]

    def play(fault: Fault, make: Callable[..., Any], programs: list[str]) -> list[Measured]:
        chosen = [each for each in wanted.program or programs if each in programs]
        both = [(name, installed) for name in chosen for installed in beneath]
        every = 6.0 if wanted.devices else 1.0  # not above volume 100
        return measure(fault, both, make, patience=wanted.patience, every=every)

    played = play_all(play, plays, wanted.jobs)
    versions = (
        f"async-upnp-client {version('async-upnp-client')}, propchange {version('propchange')}"
    )
    table = [
        f"Measured on {datetime.now(UTC):%Y-%m-%d}: {versions}, Python {sys.version.split()[0]}.",
        "",
    ]
    table += side_by_side(faults, played, by_device=wanted.devices)
    print("\n".join(table))
    if wanted.write:
        name = "devices" if wanted.devices else "scripted"
        begin, end = (f"<!-- {name}: {word} -->\n" for word in ("begin", "end"))
        before, _, rest = PAGE.read_text(encoding="utf-8").partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n" + "\n".join(table) + f"\n\n{end}{after}"
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
