"""The programs on other stacks: how they are built and how they are started."""

from __future__ import annotations

import fcntl
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from lab.programs import Missing

__all__ = [
    "CANNOT",
    "CONTROL_POINTS",
    "C_DEVICES",
    "PEERS",
    "WEB",
    "build",
    "control_point",
    "device",
]

PEERS = Path(__file__).parent.parent / "tests" / "interop" / "peers"
WEB = PEERS / "web"

_TWO_VARIABLES = Path(__file__).with_name("web")

C_DEVICES = ("gupnp", "libupnp")

CONTROL_POINTS = {
    "propchange": "propchange",
    "twisted": "twisted",
    "async-upnp-client": "async_upnp_client",
    "soco": "soco",
}
"""What follows a service in a process of its own, and what it stands on."""

CANNOT = {
    ("gupnp", "soco"): "SoCo's delivery URL has no path, and GUPnP then sends a request without one"
}
"""(device, control point): why no event ever passes between them, fault or not."""


def build(target: str, *packages: str) -> Path:
    """Build the peers of one stack, unless it was done, and give the folder they are in.
    Raises Missing."""
    for tool in ("make", "pkg-config", "cc"):
        if shutil.which(tool) is None:
            raise Missing(f"no {tool} to build the C peers with")
    if subprocess.run(["pkg-config", "--exists", *packages], check=False).returncode:
        raise Missing(f"no development files of {' and '.join(packages)}")
    # One at a time: several tests may want them at once, and none runs what is half written.
    with (PEERS / "Makefile").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = subprocess.run(
            ["make", "-C", str(PEERS), target], capture_output=True, text=True, check=False
        )
    assert not made.returncode, f"the {target} peers do not build:\n{made.stdout}{made.stderr}"
    return PEERS / "bin"


def device(stack: str, address: str, interface: str, port: int) -> list[str]:
    """The command that starts a C device of ``stack`` with two variables. Raises Missing."""
    if stack == "gupnp":
        programs = build("gupnp", "gupnp-1.6", "gio-unix-2.0")
        return [str(programs / "pub_gupnp"), address, str(port), str(_TWO_VARIABLES)]
    programs = build("pupnp", "libupnp")
    return [str(programs / "pub_pupnp"), interface, str(port), str(_TWO_VARIABLES)]


def control_point(name: str, description_url: str, duration: int) -> list[str]:
    """The command that starts the control point ``name``. Raises Missing."""
    module = CONTROL_POINTS[name]
    if importlib.util.find_spec(module) is None:
        raise Missing(f"no {module} in this environment")
    program = Path(__file__).with_name("control_points") / f"follow_{module}.py"
    return [sys.executable, str(program), description_url, str(duration)]
