"""Packages whose public names are imported when they are first used (PEP 562).

A program that only subscribes then pays nothing for the publisher, and the other way round.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, MutableMapping


def lazy_names(
    package: MutableMapping[str, object], modules: Mapping[str, str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """The ``__getattr__`` and the ``__dir__`` of a package.

    ``package`` is the ``globals()`` of its ``__init__``. ``modules`` maps the path of a module,
    relative to the package, to the public names in it, with spaces between. A name becomes an
    attribute of the package at its first use.
    """
    module_of = {name: module for module, names in modules.items() for name in names.split()}

    def get_attribute(name: str) -> object:
        module = module_of.get(name)
        if module is None:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{package['__name__']}.{module}"), name)
        package[name] = value
        return value

    def list_names() -> list[str]:
        return sorted({*package, *module_of})

    return get_attribute, list_names
