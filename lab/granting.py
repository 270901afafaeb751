"""A device that grants every SUBSCRIBE, and sends the initial event or never does: run as
``granting.py ADDRESS sends|never``, it serves ``http://ADDRESS:8000/event``."""

from __future__ import annotations

import contextlib
import http.server
import sys
import threading
import urllib.request

_EVENT = (
    b'<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">'
    b"<e:property><A>1</A></e:property></e:propertyset>"
)
_HEADERS = {"NT": "upnp:event", "NTS": "upnp:propchange", "SID": "uuid:1", "SEQ": "0"}


class Device(http.server.BaseHTTPRequestHandler):
    """Answers everything with a grant."""

    protocol_version = "HTTP/1.1"

    def do_SUBSCRIBE(self) -> None:
        self.send_response(200)
        self.send_header("SID", "uuid:1")
        self.send_header("TIMEOUT", "Second-300")
        self.send_header("CONTENT-LENGTH", "0")
        self.end_headers()
        callback = self.headers["CALLBACK"]
        if callback and sys.argv[2] == "sends":
            threading.Timer(0.1, send, [callback.strip("<>")]).start()

    do_UNSUBSCRIBE = do_SUBSCRIBE

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def send(url: str) -> None:
    """The initial event, as far as it gets."""
    notify = urllib.request.Request(url, _EVENT, _HEADERS, method="NOTIFY")
    with contextlib.suppress(OSError):
        urllib.request.urlopen(notify, timeout=20)


if __name__ == "__main__":
    server = http.server.ThreadingHTTPServer((sys.argv[1], 8000), Device)
    print('{"ready": true}', flush=True)
    server.serve_forever()
