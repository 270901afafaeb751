"""Kinds of state variables that several standard services have."""

from __future__ import annotations

from propchange.core.values.state_variables import StateVariable


def argument_type(name: str, allowed: str = "") -> StateVariable[str]:
    """The variable A_ARG_TYPE_``name``, a string that only describes arguments of actions.
    ``allowed`` is a list of words."""
    return StateVariable(
        "string", allowed=allowed.split() or None, evented=False, name=f"A_ARG_TYPE_{name}"
    )


def indirect(
    initial: str | None = None, allowed: str = "", name: str | None = None
) -> StateVariable[str]:
    """A string that is evented through LastChange. ``allowed`` is a list of words."""
    options = allowed.split() or None
    return StateVariable(
        "string", initial=initial, allowed=options, evented="LastChange", name=name
    )
