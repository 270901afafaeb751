"""Play the faults: `python -m lab.faults` as root, from the root of the repository."""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ThreadPoolExecutor

from lab.faults.measuring import Measured, measure
from lab.faults.plays import FAULTS, Fault
from lab.peers import C_DEVICES, CANNOT, CONTROL_POINTS
from lab.programs import Missing


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m lab.faults", description=__doc__)
    names = {fault.__name__: fault for fault in FAULTS}
    parser.add_argument("--fault", action="append", choices=names, help="this one; repeatable")
    parser.add_argument("--stack", action="append", choices=C_DEVICES)
    parser.add_argument("--control-point", action="append", choices=CONTROL_POINTS)
    parser.add_argument("--duration", type=int, default=8, help="seconds asked for")
    parser.add_argument("--patience", type=float, default=13.0, help="seconds to watch")
    parser.add_argument("--jobs", type=int, default=4, help="faults that are played at once")
    arguments = parser.parse_args()
    plays = [
        (names[name], stack)
        for name in arguments.fault or names
        for stack in arguments.stack or C_DEVICES
    ]

    def play(fault: Fault, stack: str) -> list[Measured]:
        able = [
            each
            for each in arguments.control_point or CONTROL_POINTS
            if (stack, each) not in CANNOT
        ]
        return measure(fault, stack, able, duration=arguments.duration, patience=arguments.patience)

    with ThreadPoolExecutor(arguments.jobs) as jobs:
        for played in [jobs.submit(play, *each) for each in plays]:
            try:
                told = played.result()
            except Missing as error:
                jobs.shutdown(cancel_futures=True)
                sys.exit(str(error))
            for measured in told:
                print(measured[:4])
                for told in measured.told:
                    print("     ", *told)
            sys.stdout.flush()


if __name__ == "__main__":
    main()
