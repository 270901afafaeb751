"""A subscriber of plain sockets: ``python -m lab.raw_subscriber OWN-ADDRESS EVENT-URL``.

It subscribes for half an hour, answers each NOTIFY with 200, and writes one JSON object for each:
{"seq": …, "text": the value of the last variable, "from": the address that it came from}. It ends
with its stdin.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from urllib.parse import urlsplit

_EVENT = re.compile(rb"\r\nSEQ: (\d+)\r.*>([^<]*)</\w+></e:property>", re.DOTALL)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while message := await reader.readuntil(b"</e:propertyset>"):
            found = _EVENT.search(message)
            assert found is not None, message
            told = {"seq": int(found[1]), "text": found[2].decode()}
            print(json.dumps(told | {"from": writer.get_extra_info("peername")[0]}), flush=True)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    except (asyncio.IncompleteReadError, OSError):
        writer.close()


async def main(own: str, url: str) -> None:
    server = await asyncio.start_server(_serve, own, 0)
    port, event_url = server.sockets[0].getsockname()[1], urlsplit(url)
    host = f"[{own}]" if ":" in own else own
    reader, writer = await asyncio.open_connection(event_url.hostname, event_url.port)
    writer.write(
        f"SUBSCRIBE {event_url.path} HTTP/1.1\r\nHOST: {event_url.netloc}\r\n"
        f"CALLBACK: <http://{host}:{port}/>\r\nNT: upnp:event\r\nTIMEOUT: Second-1800\r\n"
        "CONNECTION: close\r\n\r\n".encode()
    )
    answer = await reader.read(-1)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    writer.close()
    await asyncio.to_thread(sys.stdin.read)


asyncio.run(main(*sys.argv[1:]))
