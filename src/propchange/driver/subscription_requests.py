"""Sends the requests of a SubscriberProtocol: SUBSCRIBE, renewals, UNSUBSCRIBE and DESCRIBE.

DESCRIBE is not a message: the description is read again, and the service is looked for in it by its
serviceId.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from propchange.core.limits import Limits
from propchange.core.subscriber.protocol import SubscriberProtocol
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.requests import OutgoingRequest, RequestKind, addressed_to
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.driver.remote import DescribedService, Documents
from propchange.driver.requests import Sender, failure_of
from propchange.errors import DescriptionError
from propchange.upnp.redescription import same_service


class SubscriptionRequests:
    """Sends the requests that ``protocol`` gives, and gives it the answers. ``sender`` sends them.
    ``source`` returns the one address that the control point sends from; None: it has several.

    ``givers`` has, for each subscription that is not closed, the host that gave its event URL;
    None: the program gave it.
    """

    def __init__(
        self,
        protocol: SubscriberProtocol,
        sender: Sender,
        documents: Documents,
        *,
        source: Callable[[], Endpoint | None],
        now: Callable[[], float],
        limits: Limits,
        tap: Callable[[object], None] | None,
    ) -> None:
        self.sender = sender
        self.givers: dict[SubscriptionRecord, Endpoint | None] = {}
        self._protocol = protocol
        self._documents = documents
        self._source = source
        self._now = now
        self._limits = limits
        self._tap = tap

    def giver_of(self, record: SubscriptionRecord) -> Endpoint | None:
        """The host that gave the event URL of ``record``; None: the program."""
        if record in self.givers:
            return self.givers[record]
        return record.remote  # The subscription is closed: this is for its UNSUBSCRIBE.

    async def send(self, request: OutgoingRequest, port: int) -> Response:
        """Send ``request``, with ``port`` in CALLBACK. Returns the answer, after the protocol has
        had it. Raises as :meth:`.Requests.follow`."""

        def build(url: str, local: Endpoint) -> Request:
            message = request.build(local._replace(port=port))
            if url != request.url:
                message = addressed_to(message, url)
            if self._tap is not None:
                self._tap(message)
            return message

        seconds = self._limits.request_seconds
        if request.kind is RequestKind.UNSUBSCRIBE:
            # Unanswered, it would delay the end of its subscription and close() for longer.
            seconds = min(seconds, self._limits.unsubscribe_seconds)
        source = request.source or self._source()
        answer = await self.sender.follow(
            request.url,
            build,
            source=source,
            seconds=seconds,
            giver=self.giver_of(request.subscription),
        )
        if self._tap is not None:
            self._tap(answer.response)
        request.url = answer.url
        request.remote = answer.peer
        self._protocol.response_received(request, answer.response, self._now())
        return answer.response

    async def describe(
        self, request: OutgoingRequest, service: DescribedService[Any] | None
    ) -> None:
        """Read the description of ``service`` again, and find the service in it. Raises
        DescriptionError if there is no service, and as :meth:`.Documents.description`."""
        if service is None:
            raise DescriptionError("the subscription has an event URL and no description")
        description = await self._documents.description(service.device.url)
        again = same_service(description, service.description)
        # If the types cannot be read now, those that were read before stay.
        host = description.host
        anew = service._described_by(again)
        convert = await anew._read_conversions(host) or request.subscription.convert
        if request.subscription in self.givers:
            self.givers[request.subscription] = host
        service._take_contents(anew)
        self._protocol.described(
            request, again.event_url, convert, self._now(), owes_event=anew._owes_event
        )

    def fail(self, request: OutgoingRequest, error: Exception) -> None:
        """Give the protocol ``error`` as the end of ``request``."""
        # The text of a KeyError is the repr of its argument.
        in_words = isinstance(error, LookupError) and error.args
        reason = str(error.args[0]) if in_words else str(error)
        failure = failure_of(error, request.source)
        self._protocol.request_failed(request, reason, self._now(), failure)
