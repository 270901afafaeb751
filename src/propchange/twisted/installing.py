"""Putting :mod:`propchange.twisted.event` in the place of Cohen3's module."""

from __future__ import annotations

import importlib
import sys

__all__ = ["install"]

REPLACED = "coherence.upnp.core.event"


def install() -> None:
    """From here on ``coherence.upnp.core.event`` is :mod:`propchange.twisted.event`.

    Call it before anything of Cohen3 is imported; again does nothing. Raises RuntimeError when
    Cohen3's own module is loaded already, because what has been imported from it would stay.
    """
    from propchange.twisted import event

    loaded = sys.modules.get(REPLACED)
    if loaded is event:
        return
    if loaded is not None:
        raise RuntimeError(
            f"{REPLACED} is loaded already: call propchange.twisted.install() before the first "
            "import of coherence"
        )
    sys.modules[REPLACED] = event
    package, _, name = REPLACED.rpartition(".")
    try:
        # So that it is also an attribute of its package. The package itself is empty.
        parent = importlib.import_module(package)
    except ImportError:
        return  # Cohen3 is not installed
    except BaseException:
        sys.modules.pop(REPLACED, None)
        raise
    setattr(parent, name, event)
