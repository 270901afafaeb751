"""SOAP actions, by the standard library."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from urllib.parse import urljoin
from xml.sax.saxutils import escape

import pytest

from tests.interop.wire import inside


def invoke(
    namespace: str, description_url: str, service: str, action: str, **arguments: object
) -> None:
    """Invoke an action of a device from the network namespace ``namespace``."""

    def fetch(request: str | urllib.request.Request) -> str:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            pytest.fail(f"{error}: {error.read().decode()}")

    description = inside(namespace, lambda: fetch(description_url))
    for found in re.findall(r"(?s)<service>.*?</service>", description):
        (type_,) = re.findall(r"<serviceType>(.*?)</serviceType>", found)
        if f":{service}:" in type_:
            break
    else:
        pytest.fail(f"no {service} at {description_url}")
    (control_url,) = re.findall(r"<controlURL>(.*?)</controlURL>", found)
    values = "".join(f"<{name}>{escape(str(value))}</{name}>" for name, value in arguments.items())
    body = (
        '<?xml version="1.0"?><s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" '
        's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><s:Body>'
        f'<u:{action} xmlns:u="{type_}">{values}</u:{action}></s:Body></s:Envelope>'
    )
    headers = {"Content-Type": 'text/xml; charset="utf-8"', "SOAPACTION": f'"{type_}#{action}"'}
    url = urljoin(description_url, control_url)
    request = urllib.request.Request(url, body.encode(), headers)
    inside(namespace, lambda: fetch(request))
