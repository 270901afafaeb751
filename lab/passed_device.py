"""A hosted device behind a web server, in a process of its own:
``python -m lab.passed_device RUNTIME OPTIONS [WEB]``.

RUNTIME is asyncio or twisted; OPTIONS is a JSON object with arguments of ``host()``, in which
``listen`` is false. WEB is a JSON object: "host" and "port" are where the web server listens, and
"proxy" are host, port and prefix of a proxy in front of it, which this process has too. It prints
{"ready": the URLs of its description}. Each line of its stdin is a number, which it assigns. It
ends with its stdin.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import Any

from lab.hosted_device import Counter
from lab.web_server import Proxy, WebServer
from propchange import Device, host


async def _run(hosted: Any, counter: Counter, web: dict[str, Any]) -> None:
    """Serve ``hosted``, which is entered here."""
    proxy = web.pop("proxy", None)
    async with AsyncExitStack() as stack:
        server = WebServer(**web, forwarded=proxy is not None)
        server.hosted = hosted
        await stack.enter_async_context(server)
        if proxy is not None:
            at, port, prefix = proxy
            to = f"127.0.0.1:{server.port}"
            await stack.enter_async_context(Proxy(at, port, to=to, prefix=prefix))
        await stack.enter_async_context(hosted)
        print(json.dumps({"ready": hosted.description_urls}), flush=True)
        loop = asyncio.get_running_loop()
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            counter.count = int(line)


class _OnTwisted:
    """A hosted device on Twisted, for a coroutine of asyncio."""

    def __init__(self, hosted: Any) -> None:
        self._hosted = hosted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hosted, name)

    def receive(self, request: Any) -> Any:
        answer = self._hosted.receive(request)
        waits = hasattr(answer, "asFuture")
        return answer.asFuture(asyncio.get_running_loop()) if waits else answer

    async def __aenter__(self) -> _OnTwisted:
        await self._hosted.open().asFuture(asyncio.get_running_loop())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._hosted.close().asFuture(asyncio.get_running_loop())


def main(runtime: str, options: str, web: str = "{}") -> None:
    counter = Counter()
    device = Device("Counter", services=[counter], udn="uuid:counter")
    settings, where = json.loads(options), json.loads(web)
    if runtime == "asyncio":
        asyncio.run(_run(host(device, **settings), counter, where))
        return
    from twisted.internet import asyncioreactor

    loop = asyncio.new_event_loop()
    asyncioreactor.install(loop)
    from twisted.internet import defer, task

    from propchange import twisted

    hosted = _OnTwisted(twisted.host(device, **settings))
    task.react(
        lambda _: defer.Deferred.fromFuture(
            asyncio.ensure_future(_run(hosted, counter, where), loop=loop)
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
