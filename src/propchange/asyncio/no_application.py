"""The error of a web server that is given a control point or a hosted device to run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

_Message = MutableMapping[str, Any]


class NoApplication:
    """An object that is no ASGI application itself: :func:`propchange.asgi.application` makes
    one."""

    __slots__ = ()

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        """Let the start of an ASGI server fail with a message that names the line to write. Raises
        TypeError with that message for a request."""
        line = (
            f"{self!r} is no ASGI application: write `app = propchange.asgi.application(…)` with it"
            " in the parentheses, and let the server run app"
        )
        if scope["type"] != "lifespan":
            raise TypeError(line)
        await receive()
        await send({"type": "lifespan.startup.failed", "message": line})
