"""What this front calls itself."""

from __future__ import annotations

import platform

from propchange.core.headers import server_token
from propchange.core.rules import PRODUCT

__all__ = ["product"]


def product(uda: str) -> str:
    """The value of SERVER and USER-AGENT."""
    return server_token(uda, PRODUCT, f"{platform.system()}/{platform.release()}")
