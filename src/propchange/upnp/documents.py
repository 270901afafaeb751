"""The documents of devices: how they are asked for, and what their answers are good for."""

from __future__ import annotations

from propchange.core.wire.messages import HeaderPairs, Request, Response
from propchange.core.wire.urls import Location
from propchange.errors import DescriptionError, RemoteProtocolError

__all__ = ["DOCUMENT_REDIRECTS", "document_of", "document_request", "no_document"]

DOCUMENT_REDIRECTS = frozenset({301, 302, 303, 307, 308})
"""Those that devices do answer with to a GET."""


def document_request(location: Location, headers: HeaderPairs = ()) -> Request:
    """The GET for a document; ``headers`` are sent beside HOST and CONNECTION."""
    host = (b"HOST", location.authority.encode("ascii"))
    return Request("GET", location.target, (host, *headers, (b"CONNECTION", b"close")))


def document_of(url: str, response: Response) -> bytes:
    """The document that ``response`` brings, which answers a GET of ``url``. Raises
    DescriptionError for any other status than 200."""
    if response.status != 200:
        raise DescriptionError(f"{url} was answered with {response.status}")
    return response.body


def no_document(url: str, error: RemoteProtocolError) -> DescriptionError:
    """What a bad answer to a GET of ``url`` is."""
    return DescriptionError(f"{url} was not answered in HTTP: {error}")
