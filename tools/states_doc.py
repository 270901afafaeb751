"""Draw the tables of `core`: `python tools/states_doc.py` writes docs/states.md (not committed).

One diagram per table. Several inputs that lead the same way share an arrow, one that leads to the
end from wherever there is a way on is a sentence, and so is one that changes nothing.
"""

from __future__ import annotations

import ast
import enum
import inspect
import re
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

_WIDTH = 34  # of the words in a box, in characters

_OPENING = """\
# The states of a subscription, and of a device

`make states` draws this page from the tables and docstrings of `states.py` in `core/publisher`
and in `core/subscriber`, and of `core/discovery/presence.py`, which are what the protocols ask.
What is neither drawn nor named below its drawing cannot happen.
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


class Drawing:
    """One table as a diagram and two lists."""

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
        self.arrows: dict[tuple[enum.Enum, enum.Enum], list[enum.Enum]] = {}
        for (state, given), following in steps.items():
            if state is following:
                self.stays.setdefault(given, []).append(state)
            elif given not in self.everywhere:
                self.arrows.setdefault((state, following), []).append(given)

    def _everywhere(
        self, steps: Mapping[tuple[Any, Any], Any], sources: set[Any]
    ) -> Iterator[tuple[enum.Enum, enum.Enum]]:
        for given in self.inputs:
            ends = {steps.get((state, given)) for state in sources}
            end = ends.pop()
            if not ends and end in self.last and len(sources) > 1:
                yield given, end

    def diagram(self) -> Iterator[str]:
        """The lines of the mermaid diagram."""
        yield "stateDiagram-v2"
        for state in self.states:
            yield f'    state "{state.name}" as {state.name}'
            for line in textwrap.wrap(_plain(self.state_texts[state.name]), _WIDTH):
                yield f"    {state.name} : {line}"
        yield f"    [*] --> {self.states[0].name}"
        for (state, following), inputs in sorted(
            self.arrows.items(), key=lambda item: (self._index(item[0][0]), self._index(item[0][1]))
        ):
            label = ", ".join(words(given) for given in inputs)
            yield f"    {state.name} --> {following.name} : {label}"
        for state in self.last:
            yield f"    {state.name} --> [*]"

    def _index(self, state: enum.Enum) -> int:
        return self.states.index(state)

    def sentences(self) -> Iterator[str]:
        """What the diagram leaves out."""
        for given, following in self.everywhere.items():
            yield f"- *{words(given)}* leads to `{following.name}` from every other state."
        for given, stay in self.stays.items():
            names = ", ".join(f"`{state.name}`" for state in stay)
            yield f"- *{words(given)}* changes nothing in {names}."

    def legend(self) -> Iterator[str]:
        """What the words on the arrows mean."""
        for given in self.inputs:
            text = self.input_texts[given.name].replace("``", "`").replace("|", "\\|")
            yield f"| {words(given)} | {text} |"


def _plain(text: str) -> str:
    """The first sentence of `text`, without what means something to mermaid."""
    text = re.sub(r" \((?:UDA|[A-Z]+-\d)[^)]*\)", "", text)
    sentence = re.split(r"(?<=\w)\.(?:\s|$)", text, maxsplit=1)[0]
    return sentence.replace(";", ",").replace(":", ",").replace("`", "").replace('"', "'")


def page(*modules: Any) -> str:
    """The whole page."""
    parts = [_OPENING]
    found = [
        (module, name, table)
        for module in modules or MODULES
        for name, table in tables(module).items()
    ]
    for module, name, table in found:
        drawing = Drawing(table)
        parts.append(f"## {name.capitalize()}\n")
        if text := paragraph(name, module):
            parts.append(f"{text}\n")
        parts.append("\n".join(["```mermaid", *drawing.diagram(), "```"]) + "\n")
        if sentences := list(drawing.sentences()):
            parts.append("\n".join(["Not drawn:", "", *sentences]) + "\n")
        parts.append(
            "\n".join(["| on the arrows | what has happened |", "|---|---|", *drawing.legend()])
            + "\n"
        )
    return "\n".join(parts)


def main() -> int:
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
