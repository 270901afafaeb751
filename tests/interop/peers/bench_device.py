"""The device that host_propchange.py and host_twisted.py host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from propchange import Device, Service, StateVariable


class Bench(Service, type="urn:propchange-test:service:Bench:1"):
    value = StateVariable("string", initial="0")


def bench_device(bench: Bench) -> Device:
    """A device with ``bench``, and an embedded one with a service of the same type."""
    inner = Device("Inner bench", services=[Bench()], type="urn:propchange-test:device:Bench:1")
    return Device(
        "Bench device",
        services=[bench],
        devices=[inner],
        type="urn:propchange-test:device:Bench:2",
    )


def host_options(text: str) -> dict[str, Any]:
    """The arguments of host() in an object in JSON."""
    options: dict[str, Any] = json.loads(text)
    if "state_directory" in options:
        options["state_directory"] = Path(options["state_directory"])
    return options
