"""Finds regular expressions that can take more than linear time: those that read one text in
several ways.

An expression becomes an automaton without empty moves: a state for each character class in it. It
is ambiguous if there are two states p and q and a word that leads from p to p, from p to q, and
from q to q. A text with that word many times over is then read in as many ways as it has words,
and a matcher that goes back tries them all.

A search tries each position; so it begins with a state that reads anything, before the expression.
It goes back only if the way round q has no state in which the expression is content already.

The check errs on the safe side: lookaheads, back references and possessive quantifiers count as
if they were not there.
"""

from __future__ import annotations

import re
import re._constants as c
import re._parser as parser
from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

# One character for each range that expressions distinguish.
ALPHABET = [*map(chr, range(256)), "\u0130", "\u2028", "\ud800", "\ufffe", "\U0001f600"]
EVERYTHING = (1 << len(ALPHABET)) - 1
_LONGEST_COPY = 3

Piece = tuple[bool, frozenset[int], frozenset[int]]
"""Whether an expression reads the empty text, the states it can begin with, and those it can end
with."""


def _matching(source: str, flags: int) -> int:
    compiled = re.compile(source, flags & (re.IGNORECASE | re.DOTALL | re.ASCII))
    return sum(1 << i for i, character in enumerate(ALPHABET) if compiled.fullmatch(character))


class Automaton:
    """The states of one expression. ``characters`` of a state is a set of bits."""

    def __init__(self, pattern: str | bytes, flags: int = 0, *, searches: bool = True) -> None:
        tree = parser.parse(pattern, flags)
        self.flags = tree.state.flags & ~re.UNICODE if isinstance(pattern, bytes) else flags
        self.characters: list[int] = []
        self.next: list[set[int]] = []
        self._conditional = False  # whether it may fail where it has read all
        anything: Piece = (True, frozenset(), frozenset())
        if searches:
            anything = self._repeat(self._state(EVERYTHING))
        self._sequence([anything, (expression := self._build(tree))])
        content = searches and not self._conditional
        self._content = expression[2] if content else frozenset()

    def _state(self, characters: int) -> Piece:
        self.characters.append(characters)
        self.next.append(set())
        state = frozenset({len(self.characters) - 1})
        return (False, state, state)

    def _link(self, ends: Iterable[int], begins: Iterable[int]) -> None:
        for end in ends:
            self.next[end].update(begins)

    def _sequence(self, pieces: list[Piece]) -> Piece:
        nullable, begins, ends = True, frozenset[int](), frozenset[int]()
        for empty, first, last in pieces:
            self._link(ends, first)
            begins = begins | first if nullable else begins
            ends = ends | last if empty else last
            nullable = nullable and empty
        return (nullable, begins, ends)

    def _repeat(self, piece: Piece) -> Piece:
        self._link(piece[2], piece[1])
        return (True, piece[1], piece[2])

    def _build(self, tree: Any) -> Piece:
        return self._sequence([piece for node in tree for piece in self._pieces(*node)])

    def _pieces(self, kind: Any, value: Any) -> Iterator[Piece]:
        if kind in (c.LITERAL, c.NOT_LITERAL, c.ANY, c.IN):
            yield self._state(self._class(kind, value))
        elif kind is c.BRANCH:
            parts = [self._build(branch) for branch in value[1]]
            yield (
                any(part[0] for part in parts),
                frozenset().union(*(part[1] for part in parts)),
                frozenset().union(*(part[2] for part in parts)),
            )
        elif kind is c.SUBPATTERN:
            yield self._build(value[3])
        elif kind is c.ATOMIC_GROUP:
            yield self._build(value)
        elif kind in (c.MAX_REPEAT, c.MIN_REPEAT, c.POSSESSIVE_REPEAT):
            least, most, body = value
            for _ in range(min(least, _LONGEST_COPY)):
                yield self._build(body)
            if most is c.MAXREPEAT:
                yield self._repeat(self._build(body))
            else:
                for _ in range(min(most - least, _LONGEST_COPY)):
                    _, first, last = self._build(body)
                    yield (True, first, last)
        elif kind in (c.AT, c.ASSERT, c.ASSERT_NOT, c.GROUPREF):
            self._conditional = True
        else:
            raise NotImplementedError(f"{kind} in an expression")

    def _class(self, kind: Any, value: Any) -> int:
        flags = self.flags
        if kind is c.ANY:
            return _matching(".", flags)
        if kind is c.IN:
            items = list(value)
            negated = items[0][0] is c.NEGATE
            found = 0
            for what, argument in items[1:] if negated else items:
                if what is c.LITERAL:
                    found |= _matching(re.escape(chr(argument)), flags)
                elif what is c.RANGE:
                    low, high = (re.escape(chr(bound)) for bound in argument)
                    found |= _matching(f"[{low}-{high}]", flags)
                else:
                    found |= _matching(_CATEGORIES[argument], flags)
            return EVERYTHING & ~found if negated else found
        found = _matching(re.escape(chr(value)), flags)
        return found if kind is c.LITERAL else EVERYTHING & ~found

    def ambiguity(self) -> tuple[int, int] | None:
        """Two states that the check of this module finds, None without them."""
        loops = {state for state in range(len(self.next)) if state in self._reached({state})}
        for p, q in product(loops, loops):
            if p != q and q in self._reached({p}) and self._meets((p, p, q), (p, q, q)):
                return p, q
        return None

    def _reached(self, begins: set[int]) -> set[int]:
        found: set[int] = set()
        waiting = set(begins)
        while waiting:
            new = self.next[waiting.pop()] - found
            found |= new
            waiting |= new
        return found

    def _meets(self, begin: tuple[int, int, int], end: tuple[int, int, int]) -> bool:
        """Whether one word leads from each of ``begin`` to its partner in ``end``."""
        seen = {begin}
        waiting = [begin]
        while waiting:
            here = waiting.pop()
            for there in product(*(self.next[state] for state in here)):
                common = EVERYTHING
                for state in there:
                    common &= self.characters[state]
                if common and there not in seen and there[2] not in self._content:
                    if there == end:
                        return True
                    seen.add(there)
                    waiting.append(there)
        return False


_CATEGORIES = {
    c.CATEGORY_DIGIT: r"\d",
    c.CATEGORY_NOT_DIGIT: r"\D",
    c.CATEGORY_SPACE: r"\s",
    c.CATEGORY_NOT_SPACE: r"\S",
    c.CATEGORY_WORD: r"\w",
    c.CATEGORY_NOT_WORD: r"\W",
}


def is_ambiguous(pattern: str | bytes, flags: int = 0, *, searches: bool = True) -> bool:
    """Whether the expression can take more than linear time on some text."""
    return Automaton(pattern, flags, searches=searches).ambiguity() is not None
