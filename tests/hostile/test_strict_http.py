"""Requests that two readers could understand in two ways, or that are no HTTP/1.1: each listener
gives the documented status, and reads nothing behind them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hostile.listeners import LISTENERS, Listener, SiteListener, running

pytestmark = pytest.mark.filterwarnings(
    "ignore:twisted.web.resource._UnsafeNoResource"  # Twisted's own 404
)

every_listener = pytest.mark.parametrize("kind", LISTENERS, ids=lambda kind: kind.name)

CHUNKED = "TRANSFER-ENCODING: chunked"
"""A body that would be a request of its own, if its length were misread."""
HIDDEN = "GET /hidden HTTP/1.1\r\nHOST: x\r\n\r\n"

# The request line, the header lines besides HOST, what follows, and the status. {m}: the method of
# the listener, {p}: its path.
LINE = "{m} {p} HTTP/1.1"
REFUSED: dict[str, tuple[str, list[str], str, int]] = {
    "both lengths": (LINE, ["CONTENT-LENGTH: 5", CHUNKED], "0\r\n\r\n" + HIDDEN, 400),
    "both lengths the other way": (LINE, [CHUNKED, "CONTENT-LENGTH: 5"], "0\r\n\r\n", 400),
    "equal lengths": (LINE, ["CONTENT-LENGTH: 3", "CONTENT-LENGTH: 3"], "abc" + HIDDEN, 400),
    "two lengths": (LINE, ["CONTENT-LENGTH: 3", "CONTENT-LENGTH: 30"], "abc" + HIDDEN, 400),
    "a list of lengths": (LINE, ["CONTENT-LENGTH: 3, 3"], "abc" + HIDDEN, 400),
    "a signed length": (LINE, ["CONTENT-LENGTH: +3"], "abc" + HIDDEN, 400),
    "a negative length": (LINE, ["CONTENT-LENGTH: -3"], HIDDEN, 400),
    "a hexadecimal length": (LINE, ["CONTENT-LENGTH: 0x3"], "abc" + HIDDEN, 400),
    "an empty length": (LINE, ["CONTENT-LENGTH:"], HIDDEN, 400),
    "a length with an underscore": (LINE, ["CONTENT-LENGTH: 1_0"], HIDDEN, 400),
    "a length of other digits": (LINE, ["CONTENT-LENGTH: ٣"], HIDDEN, 400),
    "a length beyond all": (LINE, ["CONTENT-LENGTH: " + "9" * 40], HIDDEN, 413),
    "a body that is too large": (LINE, ["CONTENT-LENGTH: 1048577"], "", 413),
    "gzip, chunked": (LINE, ["TRANSFER-ENCODING: gzip, chunked"], "0\r\n\r\n" + HIDDEN, 501),
    "gzip": (LINE, ["TRANSFER-ENCODING: gzip"], HIDDEN, 501),
    "chunked, gzip": (LINE, ["TRANSFER-ENCODING: chunked, gzip"], "0\r\n\r\n" + HIDDEN, 400),
    "chunked twice": (LINE, [CHUNKED, CHUNKED], "0\r\n\r\n" + HIDDEN, 400),
    "xchunked": (LINE, ["TRANSFER-ENCODING: xchunked"], "0\r\n\r\n" + HIDDEN, 501),
    "chunked behind a tab": (LINE, ["TRANSFER-ENCODING: \x0bchunked"], "0\r\n\r\n" + HIDDEN, 400),
    "an empty coding": (LINE, ["TRANSFER-ENCODING:"], HIDDEN, 400),
    "other words in quotes": (LINE, ['TRANSFER-ENCODING: "gzip, chunked"'], HIDDEN, 400),
    "chunks to HTTP/1.0": ("{m} {p} HTTP/1.0", [CHUNKED], "0\r\n\r\n" + HIDDEN, 400),
    "a size that is too large": (LINE, [CHUNKED], "fffffffffffffffff\r\n" + HIDDEN, 400),
    "a size above the cap": (LINE, [CHUNKED], "100001\r\n" + HIDDEN, 413),
    "a size with a sign": (LINE, [CHUNKED], "-1\r\nx\r\n0\r\n\r\n", 400),
    "a size with 0x": (LINE, [CHUNKED], "0x1\r\nx\r\n0\r\n\r\n", 400),
    "a size behind a space": (LINE, [CHUNKED], " 1\r\nx\r\n0\r\n\r\n", 400),
    "no size": (LINE, [CHUNKED], "\r\nx\r\n0\r\n\r\n", 400),
    "a size with a bare line feed": (LINE, [CHUNKED], "1\nx\r\n0\r\n\r\n", 400),
    "a chunk beyond its size": (LINE, [CHUNKED], "1\r\nxx\r\n0\r\n\r\n", 400),
    "an extension of a bare CR": (LINE, [CHUNKED], "1;a\rb\r\nx\r\n0\r\n\r\n", 400),
    "a trailer without a colon": (LINE, [CHUNKED], "0\r\nGET /hidden HTTP/1.1\r\n\r\n", 400),
    "a trailer with a bare line feed": (LINE, [CHUNKED], "0\r\nA: b\n\r\n" + HIDDEN, 400),
    "a bare line feed": (LINE, ["A: b\nC: d"], HIDDEN, 400),
    "a bare line feed in the request line": ("{m} {p} HTTP/1.1\nA: b", [], HIDDEN, 400),
    "a bare CR": (LINE, ["A: b\rC: d"], HIDDEN, 400),
    "a bare CR before the request": ("\r{m} {p} HTTP/1.1", [], HIDDEN, 400),
    "a folded line": (LINE, ["A: b", " c"], HIDDEN, 400),
    "a first line that is folded": (LINE, [" A: b"], HIDDEN, 400),
    "a NUL in a value": (LINE, ["A: b\0"], HIDDEN, 400),
    "a NUL in a name": (LINE, ["A\0: b"], HIDDEN, 400),
    "a space before a colon": (LINE, ["CONTENT-LENGTH : 3"], "abc" + HIDDEN, 400),
    "a tab before a colon": (LINE, ["CONTENT-LENGTH\t: 3"], "abc" + HIDDEN, 400),
    "no name": (LINE, [": b"], HIDDEN, 400),
    "no colon": (LINE, ["b"], HIDDEN, 400),
    "a name with a space": (LINE, ["A B: c"], HIDDEN, 400),
    "two spaces in the request line": ("{m}  {p} HTTP/1.1", [], HIDDEN, 400),
    "a tab in the request line": ("{m}\t{p}\tHTTP/1.1", [], HIDDEN, 400),
    "a space behind the version": ("{m} {p} HTTP/1.1 ", [], HIDDEN, 400),
    "a space before the method": (" {m} {p} HTTP/1.1", [], HIDDEN, 400),
    "a space in the target": ("{m} {p} x HTTP/1.1", [], HIDDEN, 400),
    "a target that is no ASCII": ("{m} /é HTTP/1.1", [], HIDDEN, 400),
    "a relative target": ("{m} x HTTP/1.1", [], HIDDEN, 400),
    "a target of another server": ("{m} http://evil.example{p} HTTP/1.1", [], HIDDEN, 400),
    "a target of another scheme": ("{m} ftp://{a}{p} HTTP/1.1", [], HIDDEN, 400),
    "HTTP/0.9": ("GET {p}", [], HIDDEN, 400),
    "HTTP/2.0": ("{m} {p} HTTP/2.0", [], HIDDEN, 505),
    "HTTP/3": ("{m} {p} HTTP/3", [], HIDDEN, 400),
    "lower-case http": ("{m} {p} http/1.1", [], HIDDEN, 400),
    "HTTP/11": ("{m} {p} HTTP/11", [], HIDDEN, 400),
    "the preface of HTTP/2": ("PRI * HTTP/2.0", [], "SM\r\n\r\n", 505),
    "CONNECT": ("CONNECT {a} HTTP/1.1", [], HIDDEN, 405),
    "a method of other letters": ("N@TIFY {p} HTTP/1.1", [], HIDDEN, 400),
    "a TLS hello": ("\x16\x03\x01\x02\x00\x01\x00\x01\x03", [], "", 400),
    "too many header lines": (LINE, ["A: b"] * 65, HIDDEN, 431),
    "a header that is too large": (LINE, ["A: " + "b" * 17_000], HIDDEN, 431),
    "a target that is too long": ("{m} /" + "x" * 2_100 + " HTTP/1.1", [], HIDDEN, 414),
}

# Answered as a good request is; the next one is read.
TAKEN: dict[str, tuple[str, list[str], str]] = {
    "a body": (LINE, ["CONTENT-LENGTH: 3"], "abc"),
    "a length with zeros": (LINE, ["CONTENT-LENGTH: 0003"], "abc"),
    "a chunked body": (LINE, ["TRANSFER-ENCODING: Chunked"], '3;a="b"\r\nabc\r\n0\r\nA: b\r\n\r\n'),
    "trailers that would be headers": (
        LINE,
        [CHUNKED],
        "0\r\nHOST: evil.example\r\nCONTENT-LENGTH: 9\r\nCONNECTION: close\r\n\r\n",
    ),
    "an upgrade": (LINE, ["UPGRADE: h2c", "CONNECTION: Upgrade, HTTP2-Settings"], ""),
    "an expectation that nobody knows": (LINE, ["EXPECT: 200-ok"], ""),
    "HTTP/1.2": ("{m} {p} HTTP/1.2", [], ""),
    "empty lines before": ("\r\n\r\n{m} {p} HTTP/1.1", [], ""),
    "a target in absolute form": ("{m} http://{a}{p} HTTP/1.1", [], ""),
}


def written(listener: Listener, line: str, lines: list[str], behind: str) -> bytes:
    names = {"p": listener.path, "a": listener.authority}
    own = "SID: uuid:none"
    if listener.role == "publisher":
        names["m"] = "SUBSCRIBE"
    else:
        names["m"] = "NOTIFY"
        own = "NT: upnp:event\r\nNTS: upnp:propchange\r\nSEQ: 1\r\n" + own
    head = "\r\n".join([line.format(**names), f"HOST: {listener.authority}", own, *lines, "", ""])
    return (head + behind).encode("utf-8" if "٣" in head else "latin-1")


@every_listener
def test_a_doubtful_request_gets_its_status_and_ends_its_connection(kind: type[Any]) -> None:
    with running(kind) as listener:
        for name, (line, lines, behind, status) in REFUSED.items():
            data = written(listener, line, lines, behind)
            for cut in (data, data[:-1]):
                peer = listener.dial().send(cut)
                if cut is not data:
                    peer.send(data[-1:])
                assert peer.status() == status, name
                assert peer.ends(), name
                peer.close()
        assert listener.dial().send(listener.good).status() == listener.status


@every_listener
def test_a_request_that_has_one_meaning_is_answered_and_the_next_one_too(kind: type[Any]) -> None:
    with running(kind) as listener:
        for name, (line, lines, behind) in TAKEN.items():
            data = written(listener, line, lines, behind)
            peer = listener.dial().send(data + listener.good)
            assert peer.status() == 412, name
            assert peer.status() == listener.status, name
            peer.close()


@every_listener
def test_a_method_in_small_letters_is_another_method(kind: type[Any]) -> None:
    with running(kind) as listener:
        for method in ("subscribe", "notify", "Notify", "get", "DELETE", "TRACE", "OPTIONS"):
            data = written(listener, f"{method} {{p}} HTTP/1.1", [], "")
            peer = listener.dial().send(data + listener.good)
            assert peer.status() == 405, method
            assert peer.status() == listener.status, method
            peer.close()


@every_listener
def test_a_peer_that_asks_first_is_told_to_go_on_unless_its_body_is_too_large(
    kind: type[Any],
) -> None:
    with running(kind) as listener:
        asks = ["EXPECT: 100-continue", "CONTENT-LENGTH: 3"]
        peer = listener.dial().send(written(listener, LINE, asks, ""))
        assert peer.status() == 100
        assert peer.send(b"abc").status() == 412
        asks = ["EXPECT: 100-continue", "CONTENT-LENGTH: 2000000"]
        peer = listener.dial().send(written(listener, LINE, asks, ""))
        assert peer.status() == 413


def test_a_resource_of_the_application_is_behind_the_same_reader() -> None:
    with running(SiteListener) as listener:
        head = f"GET /slow HTTP/1.1\r\nHOST: {listener.authority}\r\n"
        for lines, status in (
            ("CONTENT-LENGTH: 3\r\nTRANSFER-ENCODING: chunked\r\n", 400),
            ("CONTENT-LENGTH: 2000000\r\n", 413),
            ("A : b\r\n", 400),
        ):
            peer = listener.dial().send(f"{head}{lines}\r\n".encode())
            assert peer.status() == status
            assert peer.ends()
