"""gupnp-network-light and somebody who clicks into its window; inside xvfb-run.

    xvfb-run -a python light_and_mouse.py [OPTIONS of gupnp-network-light]

Lines: {"ready": true} once there is a window. A command a line:
    menu NUMBER   opens the menu and chooses the entry: 1 switches all lights of the network on or
                  off, 2 makes them brighter, 3 darker; {"menu": NUMBER}
It ends with stdin.
"""

from __future__ import annotations

import subprocess
import sys
import time

from command_lines import tell

PATIENCE = 15.0


def run(*words: str) -> list[str]:
    return subprocess.run(
        ["xdotool", *words], capture_output=True, text=True, check=False
    ).stdout.split()


def windows(count: int) -> str:
    """Waits until the program has so many visible windows; the first of them."""
    deadline = time.monotonic() + PATIENCE
    while len(found := run("search", "--onlyvisible", "--class", "gupnp")) != count:
        if time.monotonic() > deadline:
            tell(error="windows", why=f"{found}, and not {count}")
        time.sleep(0.05)  # between two looks at the display
    return found[0]


def main() -> None:
    light = subprocess.Popen(["gupnp-network-light", *sys.argv[1:]], stdout=sys.stderr)
    try:
        window = windows(1)
        tell(ready=True)
        for line in sys.stdin:
            _, _, number = line.strip().partition(" ")
            run("mousemove", "--window", window, "100", "100", "click", "3")
            windows(2)
            run("key", *["Down"] * int(number), "Return")
            windows(1)
            tell(menu=int(number))
    finally:
        light.terminate()
        light.wait()


main()
