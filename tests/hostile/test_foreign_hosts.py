"""A web page must not reach a listener: neither by a name that leads here, nor across sites."""

from __future__ import annotations

from typing import Any

import pytest

from tests.hostile.listeners import LISTENERS, HostListener, UvloopHostListener, running

NOTIFY = "NT: upnp:event\r\nNTS: upnp:propchange\r\nSID: uuid:x\r\nSEQ: 7\r\n"


def rows(authority: str) -> dict[str, tuple[str, int | None]]:
    """The header lines for HOST, and the status; None: that of a good request."""
    address, _, port = authority.rpartition(":")
    other = str(int(port) % 65_535 + 1)
    own = f"HOST: {authority}\r\n"
    return {
        "our address and port": (own, None),
        "a foreign name": (f"HOST: evil.example:{port}\r\n", 400),
        "a foreign name without a port": ("HOST: evil.example\r\n", 400),
        "localhost": (f"HOST: localhost:{port}\r\n", 400),
        "a name that begins with our address": (f"HOST: {authority}.evil.example\r\n", 400),
        "user and our address": (f"HOST: evil.example@{authority}\r\n", 400),
        "our address without our port": (f"HOST: {address}\r\n", 400),
        "our address and another port": (f"HOST: {address}:{other}\r\n", 400),
        "another address": (f"HOST: 203.0.113.9:{port}\r\n", 400),
        "our address as a number": (f"HOST: 2130706433:{port}\r\n", 400),
        "nothing": ("", 400),
        "an empty HOST": ("HOST:\r\n", 400),
        "two of them": (own + own, 400),
        "ours and a foreign one": (f"{own}HOST: evil.example\r\n", 400),
        "a foreign one and ours": (f"HOST: evil.example\r\n{own}", 400),
        "a page of another site": (f"{own}ORIGIN: http://evil.example\r\n", 403),
        "a page of another port": (f"{own}ORIGIN: http://{address}:{other}\r\n", 403),
        "a page in a sandbox": (f"{own}ORIGIN: null\r\n", 403),
        "a page of ours": (f"{own}ORIGIN: http://{authority}\r\n", None),
    }


def check(listener: Any, start: str, more: str, good: int) -> None:
    for name, (lines, status) in rows(listener.authority).items():
        request = f"{start} HTTP/1.1\r\n{lines}{more}\r\n".encode()
        peer = listener.dial()
        assert peer.send(request).status() == (status or good), name
        peer.close()


@pytest.mark.parametrize("kind", LISTENERS, ids=lambda kind: kind.name)
def test_events_and_subscriptions_need_our_own_authority(kind: type[Any]) -> None:
    with running(kind) as listener:
        if listener.role == "publisher":
            # A SID that is not there.
            for method in ("SUBSCRIBE", "UNSUBSCRIBE"):
                check(listener, f"{method} {listener.path}", "SID: uuid:none\r\n", 412)
        else:
            check(listener, f"NOTIFY {listener.path}", NOTIFY, 412)


@pytest.mark.parametrize("kind", [HostListener, UvloopHostListener], ids=lambda kind: kind.name)
def test_documents_and_actions_need_our_own_authority(kind: type[Any]) -> None:
    with running(kind) as listener:
        for start, good in (
            ("GET /description.xml", 200),
            ("GET /Thermometer/scpd.xml?x=1", 200),
            ("POST /Thermometer/control", 415),  # judged further: it is no XML
        ):
            check(listener, start, "", good)


@pytest.mark.parametrize("kind", LISTENERS, ids=lambda kind: kind.name)
def test_a_target_in_absolute_form_names_the_same_authority(kind: type[Any]) -> None:
    with running(kind) as listener:
        method = "SUBSCRIBE" if listener.role == "publisher" else "NOTIFY"
        more = "SID: uuid:none\r\n" if listener.role == "publisher" else NOTIFY
        for authority, status in (
            (listener.authority, 412),
            ("evil.example", 400),
            (f"evil.example@{listener.authority}", 400),
        ):
            start = f"{method} http://{authority}{listener.path}"
            request = f"{start} HTTP/1.1\r\nHOST: {listener.authority}\r\n{more}\r\n".encode()
            assert listener.dial().send(request).status() == status, authority
