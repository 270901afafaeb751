"""A web server of a program, which passes each request on to what the program holds."""

from __future__ import annotations

from collections.abc import Callable

from propchange.core.wire.messages import Endpoint, Request, Response
from tests.asyncio.conftest import Doorkeeper, Message


class OuterServer(Doorkeeper):
    """Passes requests to :attr:`receive`. ``mount`` is a prefix that it takes from the path;
    requests elsewhere are answered 404. ``methods`` are those that it passes on, None: all.
    ``rewrite`` changes the path, ``host_passed_on`` replaces HOST. Unless ``knows_ends`` it passes
    on no addresses."""

    def __init__(
        self, receive: Callable[[Request], Response] | None = None, *, mount: str = ""
    ) -> None:
        super().__init__()
        self.receive = receive
        self.mount = mount
        self.methods: tuple[str, ...] | None = None
        self.rewrite: Callable[[str], str] = lambda path: path
        self.knows_ends = True
        self.host_passed_on = ""

    def url(self, path: str = "/{token}") -> str:
        return f"http://{Endpoint(self.host, self.port)}{self.mount}{path}"

    async def answer(self, request: Message) -> bytes:
        if self.receive is None or not request.target.startswith(self.mount):
            return b"HTTP/1.1 404 Not Found\r\nCONTENT-LENGTH: 0\r\n\r\n"
        if self.methods is not None and request.method not in self.methods:
            return b"HTTP/1.1 405 Method Not Allowed\r\nCONTENT-LENGTH: 0\r\n\r\n"
        fields = dict(request.fields)
        if self.host_passed_on:
            fields["host"] = self.host_passed_on
        headers = [(name.encode(), text.encode("latin-1")) for name, text in fields.items()]
        response = self.receive(
            Request(
                request.method,
                self.rewrite(request.target.removeprefix(self.mount)),
                headers,
                request.body,
                peer=Endpoint("127.0.0.1", 5) if self.knows_ends else None,
                local=Endpoint(self.host, self.port) if self.knows_ends else None,
            )
        )
        lines = [b"%b: %b" % pair for pair in response.headers]
        head = b"\r\n".join((b"HTTP/1.1 %d X" % response.status, *lines))
        return head + b"\r\n\r\n" + response.body
