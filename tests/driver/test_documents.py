"""Where a description says that a service is subscribed to, in the forms in which devices write it:
the control point subscribes there, and nowhere else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from propchange.driver.remote import DescribedDevice, DescribedService
from tests.driver.test_control_point import Held, opened

TEMPLATE = """<root xmlns="urn:schemas-upnp-org:device-1-0"><specVersion><major>1</major>\
<minor>{minor}</minor></specVersion>{base}<device><friendlyName>Raw</friendlyName>\
<UDN>uuid:raw</UDN><serviceList><service><serviceType>urn:x:service:T:1</serviceType>\
<serviceId>urn:x:serviceId:T</serviceId><SCPDURL>{scpd}</SCPDURL><controlURL/>\
<eventSubURL>{event}</eventSubURL></service></serviceList></device></root>"""


class Described(DescribedDevice[DescribedService]):
    _service_type = DescribedService


@pytest.fixture
def dead() -> Iterator[int]:
    """A port of loopback at which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


HERE = "http://127.0.0.1:{port}"
DEAD = "http://127.0.0.1:{dead}"


class Form(NamedTuple):
    """URLBase, SCPDURL and eventSubURL of a description at /upnp/description.xml. ``meant`` is the
    path at which the service is, ``scpd`` the one at which its description is."""

    base: str
    scpd_url: str
    event_url: str
    meant: str
    scpd: str = "/s/scpd.xml"


FORMS = {
    "absolute paths": Form("", "/s/scpd.xml", "/s/event", "/s/event"),
    "relative to the description": Form(
        "", "s/scpd.xml", "s/event", "/upnp/s/event", "/upnp/s/scpd.xml"
    ),
    "relative with dots": Form("", "../s/scpd.xml", "./../s/event", "/s/event"),
    "absolute": Form("", f"{HERE}/s/scpd.xml", f"{HERE}/s/event", "/s/event"),
    "without a scheme": Form(
        "", "//127.0.0.1:{port}/s/scpd.xml", "//127.0.0.1:{port}/s/event", "/s/event"
    ),
    "a query": Form(
        "", "/s/scpd.xml", "/s/event?service=1&amp;x=a%20b", "/s/event?service=1&x=a%20b"
    ),
    "a query alone": Form("", "/s/scpd.xml", "?service=1", "/upnp/description.xml?service=1"),
    "a fragment": Form("", "/s/scpd.xml#top", "/s/event#service", "/s/event"),
    "spaces": Form("", "/s/scpd.xml", " /my service/event \n", "/my%20service/event"),
    "letters beyond ASCII": Form("", "/s/scpd.xml", "/s/ereignis-ü", "/s/ereignis-%C3%BC"),
    "a host without a path": Form("", "/s/scpd.xml", f"{HERE}", "/"),
    "URLBase": Form(f"{HERE}/", "s/scpd.xml", "s/event", "/s/event"),
    "URLBase without a slash": Form(f"{HERE}", "s/scpd.xml", "s/event", "/s/event"),
    "URLBase without a slash, absolute paths": Form(
        f"{HERE}", "/s/scpd.xml", "/s/event", "/s/event"
    ),
    "URLBase with a path": Form(
        f"{HERE}/x/", "s/scpd.xml", "s/event", "/x/s/event", "/x/s/scpd.xml"
    ),
    "URLBase with a path, absolute paths": Form(
        f"{HERE}/x/", "/s/scpd.xml", "/s/event", "/s/event"
    ),
    "URLBase with a path without a slash": Form(
        f"{HERE}/x", "s/scpd.xml", "s/event", "/x/s/event", "/x/s/scpd.xml"
    ),
    "URLBase as RFC 3986 has it": Form(
        f"{HERE}/x/y", "s/scpd.xml", "s/event", "/x/s/event", "/x/s/scpd.xml"
    ),
    "URLBase of the description": Form(
        f"{HERE}/upnp/description.xml", "s/scpd.xml", "s/event", "/upnp/s/event", "/upnp/s/scpd.xml"
    ),
    "URLBase, relative": Form("/x/", "s/scpd.xml", "s/event", "/x/s/event", "/x/s/scpd.xml"),
    "URLBase, relative, without a slash": Form(
        "/x", "s/scpd.xml", "s/event", "/x/s/event", "/x/s/scpd.xml"
    ),
    "URLBase, empty": Form(" ", "/s/scpd.xml", "/s/event", "/s/event"),
    "URLBase of a dead port": Form(f"{DEAD}/", "/s/scpd.xml", "/s/event", "/s/event"),
    "URLBase of a dead port, relative": Form(
        f"{DEAD}/", "s/scpd.xml", "s/event", "/upnp/s/event", "/upnp/s/scpd.xml"
    ),
    "URLBase of a dead port, a path without a slash": Form(
        f"{DEAD}/x", "s/scpd.xml", "s/event", "/upnp/s/event", "/upnp/s/scpd.xml"
    ),
    "URLBase of a path that has gone": Form(
        f"{HERE}/old/", "s/scpd.xml", "s/event", "/upnp/s/event", "/upnp/s/scpd.xml"
    ),
    "URLBase of another host": Form("http://192.0.2.1/", "/s/scpd.xml", "/s/event", "/s/event"),
    "URLBase of another host, absolute URLs": Form(
        "http://192.0.2.1/", f"{HERE}/s/scpd.xml", f"{HERE}/s/event", "/s/event"
    ),
    "URLBase that is none": Form("http://", "/s/scpd.xml", "/s/event", "/s/event"),
    "URLBase of no scheme": Form("127.0.0.1:80", "/s/scpd.xml", "/s/event", "/s/event"),
}


@pytest.mark.clause("SUB-05")
@pytest.mark.parametrize("minor", [0, 1])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_a_service_is_subscribed_to_at_the_url_that_is_meant(
    driven: Any, raw_device: Any, dead: int, *, form: Form, minor: int
) -> None:
    async with raw_device() as device, opened(driven) as driver:
        base = f"<URLBase>{form.base}</URLBase>" if form.base else ""
        text = TEMPLATE.format(base=base, scpd=form.scpd_url, event=form.event_url, minor=minor)
        device.documents = {
            "/upnp/description.xml": text.format(port=device.port, dead=dead).encode(),
            form.scpd: device.documents["/scpd.xml"],
        }
        url = f"http://127.0.0.1:{device.port}/upnp/description.xml"
        described: Any = await driven.run(driver.device(Described, url, None, 5.0))
        service = described["T"]
        held = Held()
        held.service = service
        driver.subscribe(held, service.event_url, wait=False)
        while not held.grants:
            await asyncio.sleep(0.001)
        assert [request.target for request in device.of("SUBSCRIBE")] == [form.meant]
        # The URL can be used again as it is printed.
        assert urlsplit(service.event_url).netloc == f"127.0.0.1:{device.port}"
        assert list(await driven.run(service._read_variables())) == ["Temperature", "Alarm"]
