"""One SoCo program under faults, with SoCo's own events and with the drop-in, side by side.

    python -m lab.soco_faults [--write] [NAME …]

The player is :mod:`lab.sonos_like`, a process on a host of its own; both programs run on another
host, at the same time. Needs root. ``--write`` puts the table into docs/soco.md.

During a fault the volume changes. When the fault is over nothing changes for :data:`QUIET` seconds;
then the volume changes once more. A program is right again when it has the volume of the player.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from lab.networks import Network
from lab.programs import Program

DEVICE, CONTROL = "10.77.0.2", "10.77.0.3"
GRANT = 6
"""Seconds that the player grants."""
QUIET = 1.5 * GRANT
PROGRAMS = {"SoCo": [], "propchange": ["--drop-in"]}
FOLLOW = Path(__file__).with_name("control_points") / "follow_soco_asyncio.py"
PAGE = Path(__file__).parent.parent / "docs" / "soco.md"
ROOT = Path(__file__).parent.parent


class Outcome(NamedTuple):
    """``after``: seconds from the end of the fault until the state was right; None: it was not
    before the next change. ``hears``: whether that change arrived. ``fails``: how often
    auto_renew_fail was called."""

    after: float | None
    hears: bool
    fails: int

    def __str__(self) -> str:
        if not self.hears:
            return "deaf"
        return "at the next change" if self.after is None else f"{self.after:.1f} s"


class Bench:
    """A player and the programs that follow it. ``grant`` and ``refused`` are the player's."""

    def __init__(self, *, grant: int = GRANT, refused: int = 0) -> None:
        self._grant = grant
        self._refused = refused
        self._volume = 20
        self._boot = 0
        self._exit = contextlib.ExitStack()
        self.over = 0.0

    def __enter__(self) -> Bench:
        with self._exit as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            network = stack.enter_context(Network())
            switch = network.switch()
            self.device_host, host = network.host("player"), network.host("control")
            network.plug(self.device_host, switch, "eth0", f"{DEVICE}/24")
            network.plug(host, switch, "eth0", f"{CONTROL}/24")
            self.start_player()
            self.followers = {
                name: self._start(host.prefix, str(FOLLOW), DEVICE, str(GRANT), *options)
                for name, options in PROGRAMS.items()
            }
            for program in self.followers.values():
                program.read("ready", timeout=60)
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._exit.close()

    def _start(self, prefix: Any, *command: str) -> Program:
        errors = self._folder / f"stderr-{time.monotonic_ns()}"
        program = Program([*prefix, sys.executable, *command], errors, {"PYTHONPATH": str(ROOT)})
        self._exit.callback(program.stop)
        return program

    # --- the player ---

    def start_player(self) -> None:
        """Start it, with the volume that it had, and announce it."""
        self._boot += 1
        options = ("--grant", str(self._grant), "--boot", str(self._boot), "--announce")
        self.player = self._start(
            self.device_host.prefix, "-m", "lab.sonos_like", DEVICE, "1400", *options
        )
        self.player.read("ready")
        if self._refused:
            self.do(f"refuse_subscribes {self._refused}")
            self._refused = 0
        self.do(f"set_volume {self._volume}")

    def do(self, command: str) -> None:
        self.player.ask(command, "done")

    def change(self) -> None:
        """Change the volume."""
        self._volume += 1
        self.do(f"set_volume {self._volume}")

    def change_while_away(self) -> None:
        """Let the player have another volume when it starts again."""
        self._volume += 1

    # --- what the programs know ---

    def know(self) -> bool:
        """Whether all have the volume, in five seconds at most."""
        until = time.monotonic() + 5
        while time.monotonic() < until:
            if all(self._knows(name, 0.0) for name in self.followers):
                return True
            time.sleep(0.05)
        return False

    def _knows(self, name: str, since: float) -> float | None:
        """When the program has got the present volume; None if it has another one."""
        events = [(at, told["event"]) for at, told in self.followers[name].lines if "event" in told]
        if not events or events[-1][1]["volume"] != str(self._volume):
            return None
        volume = str(self._volume)
        return next(at for at, event in events if event["volume"] == volume) or since

    @contextlib.contextmanager
    def fault(self) -> Iterator[None]:
        """What is done inside is the fault; its end is what the seconds are counted from."""
        yield
        self.over = time.monotonic()

    def outcomes(self) -> dict[str, Outcome]:
        """Wait, and see what each program knows."""
        time.sleep(QUIET)
        known = {name: self._knows(name, self.over) for name in self.followers}
        fails = {
            name: sum("status" in told for _, told in program.lines)
            for name, program in self.followers.items()
        }
        self.change()
        time.sleep(2)
        return {
            name: Outcome(
                None if at is None else max(0.0, at - self.over),
                self._knows(name, self.over) is not None,
                fails[name],
            )
            for name, at in known.items()
        }


def restart(bench: Bench) -> None:
    """loses its power and is back after 1 s"""
    with bench.fault():
        bench.player.kill()
        bench.change_while_away()
        time.sleep(1)
        bench.start_player()


def long_restart(bench: Bench) -> None:
    """is away for longer than it has granted"""
    with bench.fault():
        bench.player.kill()
        bench.change_while_away()
        time.sleep(2 * GRANT)
        bench.start_player()


def byebye(bench: Bench) -> None:
    """says ssdp:byebye, and is back after 3 s"""
    with bench.fault():
        bench.do("byebye")
        bench.player.kill()
        bench.change_while_away()
        time.sleep(3)
        bench.start_player()


def renewal_refused(bench: Bench) -> None:
    """has forgotten its subscribers and refuses the renewals"""
    with bench.fault():
        bench.do("forget")
        bench.change()


def short_grants(bench: Bench) -> None:
    """grants 2 s, whatever is asked for, and loses its power for 1 s"""
    restart(bench)


def other_sid(bench: Bench) -> None:
    """answers a renewal with another SID, which its events then have"""
    with bench.fault():
        bench.do("rename_sids")
        time.sleep(GRANT)
        bench.change()


def gap(bench: Bench) -> None:
    """does not send an event; the SEQ of the next one, of another kind, shows the gap"""
    with bench.fault():
        bench.do("lose")
        bench.change()
        bench.do("send_mute")


def cut(bench: Bench) -> None:
    """sends the first half of an event"""
    with bench.fault():
        bench.do("cut")
        bench.change()


def malformed(bench: Bench) -> None:
    """sends a LastChange that is not well-formed"""
    with bench.fault():
        bench.do("break_lastchange")
        bench.change()


def cable(bench: Bench) -> None:
    """is without its cable for longer than it has granted"""
    with bench.fault():
        bench.device_host.unplug()
        bench.change()
        time.sleep(2 * GRANT)
        bench.device_host.plug_in()


def frozen(bench: Bench) -> None:
    """hangs for longer than it has granted, its sockets open"""
    with bench.fault():
        bench.player.freeze()
        time.sleep(2 * GRANT)
        bench.player.thaw()
        bench.change()


def refused_at_first(bench: Bench) -> None:
    """refuses the first SUBSCRIBE with 503; the program subscribes with strict=False"""
    with bench.fault():
        pass


FAULTS: tuple[Callable[[Bench], None], ...] = (
    restart,
    long_restart,
    byebye,
    renewal_refused,
    short_grants,
    other_sid,
    gap,
    cut,
    malformed,
    cable,
    frozen,
    refused_at_first,
)


def play(fault: Callable[[Bench], None]) -> dict[str, Outcome]:
    """Play one fault; gives what has become of each program."""
    grant = 2 if fault is short_grants else GRANT
    with Bench(grant=grant, refused=int(fault is refused_at_first)) as bench:
        if fault is not refused_at_first and not bench.know():
            raise AssertionError("not all follow, though nothing is wrong yet")
        fault(bench)
        return bench.outcomes()


def table(played: dict[str, dict[str, Outcome]]) -> str:
    """The table of docs/soco.md."""
    lines = ["| the player | " + " | ".join(PROGRAMS) + " |", "|---|" + "---|" * len(PROGRAMS)]
    for fault in FAULTS:
        if fault.__name__ in played:
            outcomes = played[fault.__name__]
            cells = [str(fault.__doc__), *(str(outcomes[name]) for name in PROGRAMS)]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> None:
    names = [each for each in arguments if not each.startswith("-")]
    played = {}
    for fault in FAULTS:
        if not names or fault.__name__ in names:
            played[fault.__name__] = outcomes = play(fault)
            print(
                fault.__name__,
                {name: (str(each), each.fails) for name, each in outcomes.items()},
                flush=True,
            )
    print(table(played))
    if "--write" in arguments:
        before, rest = PAGE.read_text("utf-8").split("<!-- faults -->\n", 1)
        after = rest.split("<!-- end -->", 1)[1]
        marked = f"<!-- faults -->\n{table(played)}\n<!-- end -->"
        PAGE.write_text(f"{before}{marked}{after}", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
