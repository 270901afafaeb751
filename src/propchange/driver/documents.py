"""The documents of devices: descriptions of devices and of services, read by GET."""

from __future__ import annotations

from collections.abc import Collection

from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.requests import friendly_name
from propchange.core.wire.messages import Endpoint
from propchange.driver.requests import DOCUMENT_REDIRECTS, Requests
from propchange.errors import DescriptionError, RemoteProtocolError
from propchange.upnp.description import DeviceDescription, parse_description

__all__ = ["Documents"]


class Documents:
    """Reads documents with the headers that ``policy`` asks for.

    ``source`` is the endpoint to connect from, None for any address.
    """

    def __init__(self, requests: Requests, policy: SubscriberPolicy) -> None:
        self._requests = requests
        self._headers = friendly_name(policy)
        self.limits = requests.limits
        self.source: Endpoint | None = None

    async def read(
        self, url: str, redirects: Collection[int] = DOCUMENT_REDIRECTS
    ) -> tuple[bytes, str]:
        """The document at ``url``, and the URL that gave it after redirects. Raises
        DescriptionError when the answer is not HTTP or has another status than 200,
        ConnectionFailed, TimedOut, and ValueError for a URL that is not http://."""
        try:
            answer = await self._requests.fetch(
                url, headers=self._headers, source=self.source, redirects=redirects
            )
        except RemoteProtocolError as error:
            raise DescriptionError(f"{url} was not answered in HTTP: {error}") from error
        if answer.response.status != 200:
            raise DescriptionError(f"{url} was answered with {answer.response.status}")
        return answer.response.body, answer.url

    async def description(
        self, url: str, redirects: Collection[int] = DOCUMENT_REDIRECTS
    ) -> DeviceDescription:
        """The description at ``url``. Raises as :meth:`read`, and DescriptionError for another
        document."""
        document, found_at = await self.read(url, redirects)
        return parse_description(document, found_at, self.limits)

    async def announced_description(self, url: str) -> DeviceDescription:
        """The same for a URL that an announcement led to, without redirects: the URL was judged,
        and where a redirect leads was not."""
        return await self.description(url, ())
