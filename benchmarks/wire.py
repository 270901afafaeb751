"""The bytes that targets and their peers exchange."""

from __future__ import annotations

__all__ = [
    "DESCRIPTION",
    "SCPD",
    "SHORT_ANSWER",
    "notify_head",
    "notify_tail",
    "response",
]

SHORT_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

SERVICE_TYPE = "urn:example-org:service:Thermometer:1"

SCPD = b"""<?xml version="1.0"?>
<scpd xmlns="urn:schemas-upnp-org:service-1-0">
<specVersion><major>1</major><minor>1</minor></specVersion>
<serviceStateTable>
<stateVariable sendEvents="yes"><name>Temperature</name><dataType>r4</dataType></stateVariable>
</serviceStateTable>
</scpd>"""

DESCRIPTION = b"""<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0">
<specVersion><major>1</major><minor>1</minor></specVersion>
<device>
<deviceType>urn:schemas-upnp-org:device:Basic:1</deviceType>
<friendlyName>Workbench</friendlyName>
<manufacturer>nobody</manufacturer>
<modelName>none</modelName>
<UDN>uuid:2fac1234-31f8-11b4-a222-08002b34c003</UDN>
<serviceList><service>
<serviceType>urn:example-org:service:Thermometer:1</serviceType>
<serviceId>urn:example-org:serviceId:Thermometer</serviceId>
<SCPDURL>/scpd.xml</SCPDURL>
<controlURL>/control</controlURL>
<eventSubURL>/event</eventSubURL>
</service></serviceList>
</device>
</root>"""


def response(body: bytes, *headers: bytes) -> bytes:
    """A 200 with ``body``."""
    lines = (b"HTTP/1.1 200 OK", *headers, b"CONTENT-LENGTH: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def notify_head(authority: str, target: str, sid: str) -> bytes:
    """A NOTIFY up to the value of SEQ."""
    return (
        f"NOTIFY {target} HTTP/1.1\r\n"
        f"HOST: {authority}\r\n"
        'CONTENT-TYPE: text/xml; charset="utf-8"\r\n'
        "NT: upnp:event\r\n"
        "NTS: upnp:propchange\r\n"
        f"SID: {sid}\r\n"
        "SEQ: "
    ).encode()


def notify_tail(variable: str, text: str) -> bytes:
    """The rest of it."""
    body = (
        '<?xml version="1.0"?>\n<e:propertyset xmlns:e="urn:schemas-upnp-org:event-1-0">\n'
        f"<e:property><{variable}>{text}</{variable}></e:property>\n"
        "</e:propertyset>"
    ).encode()
    return b"\r\nCONTENT-LENGTH: %d\r\n\r\n%b" % (len(body), body)
