"""Programs that see devices, and what they have told."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from lab.programs import PATIENCE, Line, Program


class Seer:
    """A program that tells which devices it sees, in the lines of ``peers/see_propchange.py``."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def wait(
        self,
        wanted: Callable[[dict[str, Any]], object],
        what: str,
        *,
        since: float = 0.0,
        timeout: float = PATIENCE,
    ) -> Line:
        """The first line from the time ``since`` on that is ``wanted``."""
        deadline = time.monotonic() + timeout
        while True:
            lines = self.program.lines
            for line in lines:
                if line.at >= since and wanted(line.told):
                    return line
            if time.monotonic() > deadline:
                told = "\n".join(str(line.told) for line in lines if line.at >= since)
                raise AssertionError(f"{what} was not told in {timeout:g} s, but\n{told}")
            time.sleep(0.01)  # between two looks at what another process tells

    def started(self) -> None:
        """Wait until it is at work. Several are started at once, so this may take long."""
        self.wait(lambda told: "ready" in told, "the start", timeout=60)

    def found(self, at: str, udn: str | None = None, *, since: float = 0.0) -> Line:
        """The first line with a location that begins with ``at``, and this UDN if one is given."""
        return self.wait(
            lambda told: (
                told.get("sighting") in ("appeared", "changed")
                and udn in (None, told["udn"])
                and any(location.startswith(at) for location in told["locations"])
            ),
            f"the device {udn or ''} at {at}",
            since=since,
        )

    def gone(self, udn: str, *, since: float = 0.0) -> Line:
        """The first line by which the device ``udn`` is gone."""
        wanted = {"sighting": "gone", "udn": udn}
        return self.wait(lambda told: wanted.items() <= told.items(), f"{wanted}", since=since)

    def event(self, udn: str, *, since: float = 0.0, **changes: object) -> Line:
        """The first event of the device with these changes."""
        return self.wait(
            lambda told: (
                "event" in told and told["udn"] == udn and changes.items() <= told["event"].items()
            ),
            f"an event of {udn} with {changes}",
            since=since,
        )

    def status(self, udn: str, *statuses: str, since: float = 0.0) -> Line:
        """The first change of the subscription to one of these statuses."""
        return self.wait(
            lambda told: told.get("status") in statuses and told["udn"] == udn,
            f"{' or '.join(statuses)} of {udn}",
            since=since,
        )
