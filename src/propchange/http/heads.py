"""What requests and responses have in common before their bodies."""

from __future__ import annotations

__all__ = ["HeaderLines"]


class HeaderLines(list[tuple[bytes, bytes]]):
    """The header pairs of one message, filled by httptools."""

    __slots__ = ()

    def on_header(self, name: bytes, value: bytes) -> None:
        """What httptools calls for each line."""
        self.append((name, value))
