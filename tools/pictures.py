"""Draw docs/pictures: the command in a terminal, from a real run. `make pictures`, as root.

The programs run in a network namespace with one interface, so that nothing else on the network is
in the picture. The lines are those that the command writes to a terminal of 100 columns. They have
the times of the run, so the pictures change with each run, and are made on demand.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "pictures"
ADDRESS = "192.168.1.20"
COLUMNS, ROWS = 100, 40
PROPCHANGE = (str(Path(sys.executable).with_name("propchange")),)
PATIENCE = 30.0


class Terminal:
    """A program on a terminal, and what it has written there."""

    def __init__(self, *words: str) -> None:
        self.text = ""
        self._fd, end = pty.openpty()
        fcntl.ioctl(end, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environment = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        environment.pop("NO_COLOR", None)
        self.process = subprocess.Popen(
            [*PROPCHANGE, *words], stdin=end, stdout=end, stderr=end, env=environment, cwd=ROOT
        )
        os.close(end)

    def read(self, seconds: float) -> None:
        """Take what the program writes in this time."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self._fd], [], [], left)[0]:
                try:
                    self.text += os.read(self._fd, 65_536).decode()
                except OSError:  # the program has ended
                    return

    def wait_for(self, words: str) -> None:
        """Read until the program has written ``words``."""
        until = time.monotonic() + PATIENCE
        while not re.search(words, re.sub(r"\x1b\[[\d;]*m", "", self.text)):
            if time.monotonic() > until:
                raise TimeoutError(f"the program wrote no {words!r}:\n{self.text}")
            self.read(0.1)

    def end(self) -> None:
        """Press Ctrl-C, and read the rest."""
        self.process.send_signal(signal.SIGINT)
        self.read(PATIENCE)
        self.process.wait(PATIENCE)
        os.close(self._fd)


@contextlib.contextmanager
def device(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A device of the command. Its input sets variables."""
    process = subprocess.Popen(
        [*PROPCHANGE, *words], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def say(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def draw(name: str, command: str, text: str) -> None:
    """An SVG of the command and of its lines. It refers to no font of the network."""
    console = Console(
        record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(Text(f"$ {command}"))
    console.print(Text.from_ansi(text.replace("\r\n", "\n").rstrip("\n")))
    svg = console.export_svg(title="propchange", theme=MONOKAI, unique_id=name)
    svg = re.sub(r"\s*@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.svg").write_text(svg, "utf-8")
    print("wrote", FOLDER / f"{name}.svg")


THERMOMETER = """
name = "Workbench"

[[services]]
type = "urn:example-org:service:Thermometer:1"

[[services.variables]]
name = "Temperature"
type = "r4"
initial = 20.0

[[services.variables]]
name = "Alarm"
type = "boolean"
"""


def watch() -> None:
    """A control point while its device is killed and started again."""
    url = f"http://{ADDRESS}:8123/description.xml"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "thermometer.toml"
        path.write_text(THERMOMETER, "utf-8")
        words = ("host", str(path), "--port", "8123")
        with device(*words) as first:
            time.sleep(2)
            terminal = Terminal("watch", url)
            terminal.wait_for("Alarm")
            for temperature in ("20.5", "21.5"):
                terminal.read(0.7)
                say(first, f"Thermometer.Temperature={temperature}")
                terminal.wait_for(rf"Temperature +{temperature}")
            terminal.read(1)
        terminal.read(2)
        with device(*words) as second:
            terminal.wait_for("resubscribed")
            terminal.read(1.5)
            say(second, "Thermometer.Temperature=22.0")
            terminal.wait_for(r"Temperature +22.0")
            terminal.read(1)
            terminal.end()
    draw("watch", f"propchange watch {url}", terminal.text)


def watch_all() -> None:
    """The table of all devices."""
    with device("demo", "--lan"), device("host", "examples/renderer.toml"):
        time.sleep(2)
        terminal = Terminal("watch", "--all")
        terminal.wait_for("Living room|Kitchen|Media renderer")
        terminal.read(6)
        terminal.end()
    draw("watch-all", "propchange watch --all", terminal.text.rpartition("\x1b[?1049l")[2])


def main() -> None:
    if "--inside" in sys.argv:
        for words in (
            ("link", "set", "lo", "up"),
            ("link", "add", "lan0", "type", "veth", "peer", "name", "lan1"),
            ("link", "set", "lan1", "up"),
            ("addr", "add", f"{ADDRESS}/24", "dev", "lan0"),
            ("link", "set", "lan0", "up", "multicast", "on"),
        ):
            subprocess.run(["ip", *words], check=True)
        watch()
        watch_all()
    else:
        inside = [sys.executable, __file__, "--inside"]
        sys.exit(subprocess.run(["unshare", "--net", *inside], check=False).returncode)


if __name__ == "__main__":
    main()
