"""gssdp-discover, with its lines as see_propchange.py has them.

    python see_gssdp.py INTERFACE

It searches again every ten minutes. It tells each USN of a device, and forgets no location. It ends
with stdin.
"""

from __future__ import annotations

import subprocess
import sys
import threading

from command_lines import tell


def main(interface: str) -> None:
    command = ("gssdp-discover", "-i", interface, "-r", "600", "-m", "all")
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    threading.Thread(target=end_with_stdin, args=(program,), daemon=True).start()
    assert program.stdout is not None
    kind = udn = ""
    for line in program.stdout:
        name, _, value = line.strip().partition(" ")
        if name == "resource":
            kind = {"available": "appeared", "unavailable": "gone"}[value]
        elif name == "USN:":
            udn = value.strip().partition("::")[0]
            if kind == "gone":
                tell(sighting=kind, udn=udn, locations=[])
        elif name == "Location:":
            tell(sighting=kind, udn=udn, locations=[value.strip()])
        else:
            tell(ready=line.strip())
    program.wait()


def end_with_stdin(program: subprocess.Popen[str]) -> None:
    sys.stdin.read()
    program.terminate()


main(sys.argv[1])
