"""The documents of devices: what answers a GET with 200."""

from __future__ import annotations

from collections.abc import Collection

from propchange.asyncio.requests import fetch
from propchange.core.limits import Limits
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.requests import friendly_name
from propchange.core.wire.messages import Endpoint
from propchange.errors import RemoteProtocolError
from propchange.upnp.description import DeviceDescription, parse_description
from propchange.upnp.documents import DOCUMENT_REDIRECTS, document_of, no_document

__all__ = ["Documents"]


class Documents:
    """Reads documents as ``policy`` wants it. ``source`` is the endpoint to do so from, any address
    for None."""

    def __init__(self, policy: SubscriberPolicy, limits: Limits) -> None:
        self._headers = friendly_name(policy)
        self._limits = limits
        self.source: Endpoint | None = None

    async def read(
        self, url: str, redirects: Collection[int] = DOCUMENT_REDIRECTS
    ) -> tuple[bytes, str]:
        """The document at ``url`` and where it was found in the end. Raises DescriptionError for
        another status than 200 and for what is no HTTP, ConnectionFailed, TimedOut, and
        ValueError for no http:// URL."""
        try:
            answer = await fetch(
                url,
                headers=self._headers,
                source=self.source,
                redirects=redirects,
                limits=self._limits,
            )
        except RemoteProtocolError as error:
            raise no_document(url, error) from error
        return document_of(url, answer.response), answer.url

    async def description(
        self, url: str, redirects: Collection[int] = DOCUMENT_REDIRECTS
    ) -> DeviceDescription:
        """The description at ``url``. Raises as :meth:`read`, and DescriptionError when it is
        none."""
        document, found_at = await self.read(url, redirects)
        return parse_description(document, found_at, self._limits)

    async def announced_description(self, url: str) -> DeviceDescription:
        """The same for a URL that an announcement led to. That has been judged, and where a
        redirect would lead has not: none is followed."""
        return await self.description(url, ())
