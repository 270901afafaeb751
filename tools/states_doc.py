"""Write the tables of `core`: `python tools/states_doc.py` writes docs/states.md (not committed).

Each table has a row for each state, with the steps that lead out of it. Several inputs that lead
the same way share a step. An input that leads to the end from every state with a way on is a
sentence below, and so is one that changes nothing.
"""

from __future__ import annotations

import ast
import enum
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from propchange.core.discovery import presence
from propchange.core.publisher import states as publisher_states
from propchange.core.subscriber import states as subscriber_states
from propchange.core.transitions import TransitionTable

PAGE = Path(__file__).resolve().parent.parent / "docs" / "states.md"

_OPENING = """\
# The states of a subscription, and of a device

`make states` writes this page from the tables and docstrings of `states.py` in `core/publisher`
and in `core/subscriber`, and of `core/discovery/presence.py`, which are what the protocols ask.
What is neither in a table nor named below it cannot happen. A subscription or device begins in the
first state of its table.
"""

Table = TransitionTable[Any, Any]

MODULES = (publisher_states, subscriber_states, presence)


def tables(module: Any) -> dict[str, Table]:
    """The transition tables of `module`, by name."""
    return {
        name: value for name, value in vars(module).items() if isinstance(value, TransitionTable)
    }


def docstrings(kind: type[enum.Enum]) -> dict[str, str]:
    """The members of `kind` with the string behind each, on one line; empty where there is none."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(tree, ast.ClassDef)
    found = dict.fromkeys(kind.__members__, "")
    for member, behind in zip(tree.body, tree.body[1:], strict=False):
        match member, behind:
            case (
                ast.Assign(targets=[ast.Name(id=name)]),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = " ".join(text.split())
    return found


def words(member: enum.Enum) -> str:
    """`ANSWER_LOST` as "answer lost"."""
    return member.name.lower().replace("_", " ")


def paragraph(name: str, module: Any) -> str:
    """The docstring of `module`, from the paragraph that begins with the name of a table."""
    paragraphs = (module.__doc__ or "").split("\n\n")
    for number, text in enumerate(paragraphs):
        if text.lower().startswith(f"**{name.lower()}**"):
            return "\n\n".join(paragraphs[number:]).strip().replace("``", "`")
    return ""


class Summary:
    """One table as rows of states, a list and a legend."""

    def __init__(self, table: Table) -> None:
        steps = table.transitions
        (first, some), *_ = steps
        states_of: type[enum.Enum] = type(first)
        inputs_of: type[enum.Enum] = type(some)
        self.states = list(states_of)
        self.inputs = list(inputs_of)
        self.state_texts = docstrings(states_of)
        self.input_texts = docstrings(inputs_of)
        sources = {state for state, _ in steps}
        self.last = [state for state in self.states if state not in sources]
        self.everywhere = dict(self._everywhere(steps, sources))
        self.stays: dict[enum.Enum, list[enum.Enum]] = {}
        self.leaving: dict[tuple[enum.Enum, enum.Enum], list[enum.Enum]] = {}
        for (state, given), following in steps.items():
            if state is following:
                self.stays.setdefault(given, []).append(state)
            elif given not in self.everywhere:
                self.leaving.setdefault((state, following), []).append(given)

    def _everywhere(
        self, steps: Mapping[tuple[Any, Any], Any], sources: set[Any]
    ) -> Iterator[tuple[enum.Enum, enum.Enum]]:
        for given in self.inputs:
            ends = {steps.get((state, given)) for state in sources}
            end = ends.pop()
            if not ends and end in self.last and len(sources) > 1:
                yield given, end

    def rows(self) -> Iterator[str]:
        """A row for each state: its name, what it means, and the steps out of it."""
        for state in self.states:
            steps = [
                f"*{', '.join(words(given) for given in inputs)}* → `{following.name}`"
                for (source, following), inputs in sorted(
                    self.leaving.items(), key=lambda item: self.states.index(item[0][1])
                )
                if source is state
            ]
            if state in self.last:
                steps = ["the end"]
            text = _cell(self.state_texts[state.name])
            yield f"| `{state.name}` | {text} | {'<br>'.join(steps)} |"

    def sentences(self) -> Iterator[str]:
        """What the rows leave out."""
        for given, following in self.everywhere.items():
            yield f"- *{words(given)}* leads to `{following.name}` from every other state."
        for given, stay in self.stays.items():
            names = ", ".join(f"`{state.name}`" for state in stay)
            yield f"- *{words(given)}* changes nothing in {names}."

    def legend(self) -> Iterator[str]:
        """What the words of the steps mean."""
        for given in self.inputs:
            yield f"| {words(given)} | {_cell(self.input_texts[given.name])} |"


def _cell(text: str) -> str:
    """`text` in a cell of a table."""
    return text.replace("``", "`").replace("|", "\\|")


def page(*modules: Any) -> str:
    """The whole page."""
    parts = [_OPENING]
    found = [
        (module, name, table)
        for module in modules or MODULES
        for name, table in tables(module).items()
    ]
    for module, name, table in found:
        summary = Summary(table)
        parts.append(f"## {name.capitalize()}\n")
        if text := paragraph(name, module):
            parts.append(f"{text}\n")
        parts.append(
            "\n".join(["| state | what it means | what leads to another |", "|---|---|---|"])
            + "\n"
            + "\n".join(summary.rows())
            + "\n"
        )
        if sentences := list(summary.sentences()):
            parts.append("\n".join(["Besides:", "", *sentences]) + "\n")
        parts.append(
            "\n".join(["| input | what has happened |", "|---|---|", *summary.legend()]) + "\n"
        )
    return "\n".join(parts)


def main() -> int:
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
