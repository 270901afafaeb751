"""A control point of plain sockets: ``python -m lab.raw_point``.

Each line of its stdin is a JSON list, and is answered by one JSON object. The host of a URL is an
address, with its zone if it is link-local; HOST and CALLBACK have no zone.

- ["get", url]: {"status": of the answer; 0 without one, "body": its text}
- ["subscribe", event URL, own address, whether to connect from there]: listens there, and
  subscribes. {"status": …, "sid": …}
- ["renew", event URL, SID]: the same.

For each NOTIFY it prints {"seq": …, "text": the value of the last variable, "sid": …, "from": the
address that it came from}.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

_URL = re.compile(r"http://(?:\[([^]]+)\]|([^:/]+)):(\d+)(/.*)")
_EVENT = re.compile(
    rb"^(?=.*\r\nSEQ: (\d+)\r)(?=.*\r\nSID: (\S+)\r).*>([^<]*)</\w+></e:property>", re.DOTALL
)


def _tell(**told: Any) -> None:
    print(json.dumps(told), flush=True)


async def _take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while message := await reader.readuntil(b"</e:propertyset>"):
            found = _EVENT.search(message)
            assert found is not None, message
            peer = writer.get_extra_info("peername")[0]
            seq, sid, text = (group.decode() for group in found.groups())
            _tell(seq=int(seq), text=text, sid=sid, **{"from": peer.partition("%")[0]})
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    except (asyncio.IncompleteReadError, OSError):
        writer.close()


def _bare(host: str) -> str:
    bare = host.partition("%")[0]
    return f"[{bare}]" if ":" in bare else bare


async def _ask(method: str, url: str, own: str = "", **fields: str) -> dict[str, Any]:
    parts = _URL.fullmatch(url)
    assert parts is not None, url
    host, port, path = parts[1] or parts[2], int(parts[3]), parts[4]
    lines = [f"{method} {path} HTTP/1.1", f"HOST: {_bare(host)}:{port}", "CONNECTION: close"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    try:
        async with asyncio.timeout(2):
            source = (own, 0) if own else None
            reader, writer = await asyncio.open_connection(host, port, local_addr=source)
            writer.write("\r\n".join([*lines, "", ""]).encode())
            answer = (await reader.read()).decode()
            writer.close()
    except (OSError, TimeoutError):
        answer = ""
    head, _, body = answer.partition("\r\n\r\n")
    sid = re.search(r"(?m)^SID: (\S+)", head)
    status = int(answer.split()[1]) if answer else 0
    return {"status": status, "sid": sid[1] if sid else "", "body": body}


async def _subscribe(url: str, own: str, from_there: bool) -> dict[str, Any]:
    server = await asyncio.start_server(_take, own, 0)
    _servers.append(server)
    callback = f"<http://{_bare(own)}:{server.sockets[0].getsockname()[1]}/>"
    own = own if from_there else ""
    return await _ask(
        "SUBSCRIBE", url, own, CALLBACK=callback, NT="upnp:event", TIMEOUT="Second-1800"
    )


_servers: list[asyncio.Server] = []


async def main() -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        command, *words = json.loads(line)
        if command == "get":
            _tell(**await _ask("GET", *words))
        elif command == "subscribe":
            _tell(**await _subscribe(*words))
        else:
            url, sid = words
            _tell(**await _ask("SUBSCRIBE", url, SID=sid))


asyncio.run(main())
