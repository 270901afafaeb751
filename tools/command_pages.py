"""Write the manual of the command, man/propchange.1 and docs/command.md, from its help:
`python tools/command_pages.py`. Both are committed; a test says when they are out of date.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import click

from propchange.cli.commands import command
from propchange.cli.statuses import ENVIRONMENT, EXAMPLES, EXIT_STATUSES

_ROOT = Path(__file__).resolve().parent.parent
MANUAL = _ROOT / "man" / "propchange.1"
PAGE = _ROOT / "docs" / "command.md"

_SUMMARY = "UPnP eventing at a terminal"

_OPENING = """\
# The command

`propchange` finds devices, prints their events, calls their actions, hosts a device and feeds a
broker. `python -m propchange` is the same. This page and `man propchange` are made from the help
of the command by `make command-pages`."""

_COMPLETION = """\
A shell completes commands, options, names of files and of network interfaces. It searches no
network. The script goes into a file that the shell reads when it begins:

    # bash: in ~/.bashrc
    eval "$(propchange --completion bash)"
    # zsh: in ~/.zshrc, behind compinit
    eval "$(propchange --completion zsh)"
    # fish
    propchange --completion fish > ~/.config/fish/completions/propchange.fish"""

_ERRORS = """\
An error is one line on standard error, which ends with what to do; each mistake in a device file
has a line. If the output is not a terminal, it is [JSON lines](json-lines.md)."""

Terms = Sequence[tuple[str, str]]


class CommandHelp(NamedTuple):
    """A command: its usage, the paragraphs of its help, and its options."""

    name: str
    usage: str
    paragraphs: list[str]
    options: Terms


def commands() -> Iterator[CommandHelp]:
    """The command without one of its commands, then each of these."""
    group = command()
    context = click.Context(group, info_name="propchange", terminal_width=10_000)
    yield _help_of(group, context)
    for name in group.list_commands(context):
        each = group.get_command(context, name)
        assert each is not None
        inner = click.Context(each, info_name=name, parent=context, terminal_width=10_000)
        yield _help_of(each, inner)


def _help_of(each: click.Command, context: click.Context) -> CommandHelp:
    context.help_option_names = ["-h", "--help"]
    paragraphs = [" ".join(part.split()) for part in (each.help or "").split("\n\n")]
    options = (one for one in each.get_params(context) if isinstance(one, click.Option))
    records = (option.get_help_record(context) for option in options)
    usage = " ".join([context.command_path, *each.collect_usage_pieces(context)])
    return CommandHelp(context.command_path, usage, paragraphs, list(filter(None, records)))


# --- the manual ---


def manual() -> str:
    """The manual page, in the macros of man(7)."""
    whole, *others = commands()
    parts = [
        '.\\" Made by tools/command_pages.py from the help of the command.',
        '.TH PROPCHANGE 1 "2026-11-30" "propchange" "User Commands"',
        ".SH NAME",
        f"propchange \\- {_SUMMARY}",
        ".SH SYNOPSIS",
        *(line for each in others for line in (".PP", _roff(each.usage))),
        ".SH DESCRIPTION",
        *_paragraphs(whole.paragraphs),
        ".SH OPTIONS",
        *_terms(whole.options),
        ".SH COMMANDS",
    ]
    for each in others:
        parts += [f".SS {_roff(each.usage)}", *_paragraphs(each.paragraphs), *_terms(each.options)]
    parts += [".SH EXIT STATUS", *_terms(EXIT_STATUSES)]
    parts += [".SH ENVIRONMENT", *_terms(ENVIRONMENT)]
    parts += [".SH EXAMPLES", *_terms(EXAMPLES)]
    return "\n".join(parts) + "\n"


def _paragraphs(paragraphs: Sequence[str]) -> Iterator[str]:
    for paragraph in paragraphs:
        yield from (".PP", *map(_roff, _sentences(paragraph)))


def _terms(terms: Terms) -> Iterator[str]:
    for term, meaning in terms:
        yield from (".TP", f"\\fB{_roff(term)}\\fR", *map(_roff, _sentences(meaning)))


def _sentences(text: str) -> list[str]:
    """A line for each sentence: readers of roff find the ends of sentences at the ends of lines."""
    return re.split(r"(?<=[a-z)\"][.?!]) (?=[A-Z])", text)


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    escaped = "".join(each if each.isascii() else f"\\[u{ord(each):04X}]" for each in escaped)
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


# --- the page ---


def page() -> str:
    """The page of the documentation, in Markdown."""
    whole, *others = commands()
    parts = [_OPENING, *map(_markdown, whole.paragraphs), "## Examples"]
    parts.append("\n".join(f"    {line}\n        # {meaning}" for line, meaning in EXAMPLES))
    parts += ["## Options without a command", _table("option", whole.options), _COMPLETION]
    for each in others:
        parts += [f"## {each.name}", f"    {each.usage}", *map(_markdown, each.paragraphs)]
        parts.append(_table("option", each.options))
    parts += ["## Exit status", _table("status", EXIT_STATUSES), _ERRORS]
    parts += ["## Environment", _table("variable", ENVIRONMENT)]
    return "\n\n".join(parts) + "\n"


def _markdown(text: str) -> str:
    return re.sub(r"([<>*_\[\]])", r"\\\1", text)


def _table(of: str, terms: Terms) -> str:
    rows = [f"| `{term.replace('|', '&#124;')}` | {_cell(meaning)} |" for term, meaning in terms]
    return "\n".join([f"| {of} | meaning |", "|---|---|", *rows])


def _cell(text: str) -> str:
    return _markdown(text).replace("|", "\\|")


if __name__ == "__main__":
    MANUAL.parent.mkdir(exist_ok=True)
    MANUAL.write_text(manual(), "ascii")
    PAGE.write_text(page(), "utf-8")
