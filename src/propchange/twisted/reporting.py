"""Outcomes as log lines."""

from __future__ import annotations

import logging
import platform
from collections.abc import Hashable

from propchange.core.headers import server_token
from propchange.core.rules import PRODUCT

__all__ = ["Warnings", "product"]

_KEYS = 256
"""Different warnings remembered; beyond it the oldest may be told again."""


def product(uda: str) -> str:
    """The value of SERVER and USER-AGENT."""
    return server_token(uda, PRODUCT, f"{platform.system()}/{platform.release()}")


class Warnings:
    """Warnings on one logger: the first of a kind is one, the others are left to debug."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._told: dict[Hashable, None] = {}

    def warn(self, kind: Hashable, message: str) -> None:
        """Log ``message``, one of the same ``kind`` as others with an equal key."""
        if kind in self._told:
            self._logger.debug("%s", message)
            return
        if len(self._told) >= _KEYS:
            del self._told[next(iter(self._told))]
        self._told[kind] = None
        self._logger.warning("%s", message)
