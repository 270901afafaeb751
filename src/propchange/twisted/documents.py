"""The documents of devices: what answers a GET with 200."""

from __future__ import annotations

from collections.abc import Collection

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from propchange.core.limits import Limits
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.requests import friendly_name
from propchange.core.wire.messages import Endpoint, Request
from propchange.errors import RemoteProtocolError
from propchange.twisted.requests import Answer, Requests, locate
from propchange.upnp.description import DeviceDescription, parse_description
from propchange.upnp.documents import (
    DOCUMENT_REDIRECTS,
    document_of,
    document_request,
    no_document,
)

__all__ = ["Documents"]


class Documents:
    """Reads documents as ``policy`` wants it. ``source`` is the endpoint to do so from, any address
    for None."""

    def __init__(self, requests: Requests, policy: SubscriberPolicy, limits: Limits) -> None:
        self._requests = requests
        self._headers = friendly_name(policy)
        self._limits = limits
        self.source: Endpoint | None = None

    def read(
        self, url: str, redirects: Collection[int] = DOCUMENT_REDIRECTS
    ) -> Deferred[tuple[bytes, str]]:
        """The document at ``url`` and where it was found in the end. Fails with DescriptionError
        for another status than 200 and for what is no HTTP, ConnectionFailed, TimedOut, and
        ValueError for no http:// URL."""

        def build(url: str, local: Endpoint) -> Request:
            return document_request(locate(url), self._headers)

        def answered(answer: Answer) -> tuple[bytes, str]:
            return document_of(url, answer.response), answer.url

        def failed(failure: Failure) -> Failure:
            if isinstance(failure.value, RemoteProtocolError):
                raise no_document(url, failure.value) from failure.value
            return failure

        asked = self._requests.follow(url, build, source=self.source, redirects=redirects)
        return asked.addCallbacks(answered, failed)

    def description(
        self, url: str, redirects: Collection[int] = DOCUMENT_REDIRECTS
    ) -> Deferred[DeviceDescription]:
        """The description at ``url``. Fails as :meth:`read`, and with DescriptionError when it is
        none."""
        return self.read(url, redirects).addCallback(
            lambda found: parse_description(found[0], found[1], self._limits)
        )

    def announced_description(self, url: str) -> Deferred[DeviceDescription]:
        """The same for a URL that an announcement led to. That has been judged, and where a
        redirect would lead has not: none is followed."""
        return self.description(url, ())
