"""A renderer for the programs that run in the environment of Cohen3."""

from __future__ import annotations

from typing import Any

from coherence.backend import Backend


class FakePlayer(Backend):
    """A renderer that renders nothing."""

    implements = ("MediaRenderer",)
    name = "Fake player"

    def __init__(self, server: Any, **kwargs: Any) -> None:
        Backend.__init__(self, server, **kwargs)
        self.init_completed = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("upnp_") and name != "upnp_init":
            return lambda *arguments, **keywords: {}
        raise AttributeError(name)
