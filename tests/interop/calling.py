"""Programs that call actions, and devices that run them."""

from __future__ import annotations

import json
from typing import Any

from lab.programs import Program


class Caller:
    """A control point of another make: a program with the commands of call_async_upnp_client."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def device(self, description_url: str) -> dict[str, Any]:
        """The services of the device, as the control point has read their descriptions."""
        read: dict[str, Any] = self.program.ask(f"device {description_url}", "device")["device"]
        return read

    def watch(self, service_type: str) -> None:
        self.program.ask(f"watch {service_type}", "watching")

    def call(self, service_type: str, action: str, **arguments: object) -> dict[str, Any]:
        """The line with the answer or the fault."""
        words = [f"{name}={text}" for name, text in arguments.items()]
        self.program.tell("\t".join([f"call {service_type}", action, *words]))
        return self.program.read("answer", "fault")

    def event(self, variable: str, value: str) -> None:
        """Wait for the event of ``variable`` with this text."""
        while self.program.read("event") != {"event": variable, "value": value}:
            pass


class OurCaller:
    """propchange's control point: call_propchange or call_twisted."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def device(self, description_url: str) -> list[str]:
        types: list[str] = self.program.ask(f"device {description_url}", "device")["device"]
        return types

    def actions(self, service: str) -> dict[str, dict[str, str]]:
        actions: dict[str, Any] = self.program.ask(f"actions {service}", "actions")["actions"]
        return actions

    def watch(self, service: str) -> None:
        self.program.ask(f"watch {service}", "watching")

    def call(self, service: str, action: str, **values: object) -> dict[str, Any]:
        """The line with the answer, the fault or the error. A text is read as the argument's
        type."""
        self.program.tell("\t".join([f"call {service}", action, json.dumps(values)]))
        return self.program.read("answer", "fault", "raised")

    def event(self, **changes: object) -> None:
        """Wait for an event with these changes."""
        while not changes.items() <= self.program.read("event")["event"].items():
            pass
