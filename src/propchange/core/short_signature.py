"""Signatures with many options, short in ``help()``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class ShortSignature(inspect.Signature):
    """A signature whose text leaves out the parameters with a default. ``help()`` prints each
    default otherwise, in one line of many hundred characters; the docstring names the options.
    Programs that read the parameters get all of them."""

    __slots__ = ()

    def __str__(self) -> str:
        shown = [each for each in self.parameters.values() if each.default is each.empty]
        options = inspect.Parameter("options", inspect.Parameter.VAR_KEYWORD)
        return_annotation = self.return_annotation
        short = inspect.Signature([*shown, options], return_annotation=return_annotation)
        return str(short)

    def format(self, *, max_width: int | None = None, **options: Any) -> str:
        """The text for ``help()`` of Python 3.13 and later."""
        return str(self)


def short_in_help(function: F) -> F:
    """Give ``function`` a :class:`ShortSignature`."""
    function.__signature__ = ShortSignature.from_callable(function)  # type: ignore[attr-defined]  # of inspect
    return function
