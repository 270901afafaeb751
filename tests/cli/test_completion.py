"""The shells complete the command: bash, zsh and fish themselves are run."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PATIENCE = 20.0

ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "TERM": "dumb",
}


def _run(*command: str, cwd: Path) -> list[str]:
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        cwd=cwd,
        env=ENVIRONMENT,
        check=True,
    )
    assert ran.stderr == ""
    return ran.stdout.split()


def complete_in_bash(line: str, cwd: Path) -> list[str]:
    words = line.split(" ")
    script = (
        'eval "$(propchange --completion bash)"; compopt() { compgen -f -- "$last"; }; '
        f"COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; last='{words[-1]}'; "
        '_propchange_completion propchange; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return _run("bash", "--norc", "-c", script, cwd=cwd)


def complete_in_fish(line: str, cwd: Path) -> list[str]:
    script = f"propchange --completion fish | source; complete -C '{line}'"
    return _run("fish", "--no-config", "-c", script, cwd=cwd)


def complete_in_zsh(line: str, cwd: Path) -> list[str]:
    """A shell on a terminal, since only the line editor of zsh completes: the line and the list."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["zsh", "-f", "-i"], stdin=slave, stdout=slave, stderr=slave, cwd=cwd, env=ENVIRONMENT
    )
    os.close(slave)
    try:
        begin = (
            "PS1=READ''Y; unsetopt zle_bracketed_paste prompt_sp prompt_cr; setopt no_beep; "
            "autoload -U compinit; compinit -u -D; "
            "zstyle ':completion:*' list-prompt ''; LISTMAX=0; "
            'eval "$(propchange --completion zsh)"\n'
        )
        os.write(master, begin.encode())
        _read(master, "READY")
        # The line editor takes the word behind the tab when it has completed.
        os.write(master, f"{line}\t THEN".encode())
        shown = _read(master, "THEN")
    finally:
        process.kill()
        process.wait()
        os.close(master)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).split()


def _read(master: int, until: str) -> str:
    """What the terminal shows, up to the text ``until``."""
    text, deadline = "", time.monotonic() + PATIENCE
    while until not in text:
        ready, _, _ = select.select([master], [], [], max(deadline - time.monotonic(), 0.0))
        assert ready, text
        text += os.read(master, 65_536).decode(errors="replace")
    return text


SHELLS = {"bash": complete_in_bash, "fish": complete_in_fish, "zsh": complete_in_zsh}


@pytest.fixture(params=SHELLS)
def complete(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[str], list[str]]:
    if shutil.which(request.param) is None:
        reason = f"{request.param} is not installed: see tools/install-peers"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    (tmp_path / "lamp.toml").touch()
    return lambda line: SHELLS[request.param](line, tmp_path)


def test_a_shell_completes_commands_options_files_and_interfaces(
    complete: Callable[[str], list[str]],
) -> None:
    assert {"watch", "--version"} <= {*complete("propchange w"), *complete("propchange --v")}
    assert "--callback-host" in complete("propchange watch --callback-h")
    assert "lo" in complete("propchange discover --interface l")
    assert "lamp.toml" in complete("propchange host la")


def test_a_url_is_not_completed(complete: Callable[[str], list[str]]) -> None:
    """It would search the network."""
    assert [word for word in complete("propchange call uuid:") if "uuid:1" in word] == []
