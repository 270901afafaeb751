"""SUBSCRIBE, renewals and UNSUBSCRIBE by a requester of async_upnp_client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from async_upnp_client.client import UpnpRequester
from async_upnp_client.const import HttpRequest, HttpResponse
from async_upnp_client.exceptions import (
    UpnpCommunicationError,
    UpnpConnectionError,
    UpnpConnectionTimeoutError,
    UpnpError,
    UpnpResponseError,
    UpnpSIDError,
)
from multidict import CIMultiDict

from propchange.core.local_addresses import address_of
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.driver.exchange import words_of
from propchange.driver.machine import source_towards
from propchange.driver.requests import Answer, locate
from propchange.errors import ConnectionFailed, DescriptionError, TimedOut

_ANY = Endpoint("127.0.0.1", 0)
"""The local end of a connection if it is not known. Loopback is always an address of this
machine."""

_UNREADABLE = 500
"""The status that stands for an answer that the requester could not read."""


class RequesterFailed(ConnectionFailed):
    """The requester has raised ``error``."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(_words_of(error))
        self.error = error


class RequesterTimedOut(TimedOut):
    """The requester has raised ``error``, a timeout."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(_words_of(error))
        self.error = error


class ErrorResponse(Response):
    """An answer that the requester has reported by raising ``error``."""

    def __init__(self, status: int, error: UpnpError) -> None:
        super().__init__(status)
        self.error = error


class RequesterRequests:
    """Sends requests by ``requester``, for a :class:`.SubscriberDriver`.

    ``callback`` is put into CALLBACK as it is; None: the driver's own URL stays there. ``place``
    returns the address that receives events, if the system would send from a given one.

    A requester tells neither end of its connections. The address of the device is that of the URL,
    if that is no name, and the local address is the one that the system sends to it from.
    """

    def __init__(
        self,
        requester: UpnpRequester,
        callback: str | None,
        place: Callable[[Endpoint], Awaitable[Endpoint]] | None,
    ) -> None:
        self._requester = requester
        self._callback = callback
        self._place = place

    async def follow(
        self,
        url: str,
        build: Callable[[str, Endpoint], Request],
        *,
        source: Endpoint | None,
        seconds: float,
        giver: Endpoint | None,
    ) -> Answer:
        """Send ``build(url, local)`` and return the answer. The requester follows redirects itself.

        Raises RequesterTimedOut after ``seconds``, and RequesterFailed or RequesterTimedOut if the
        requester raises, unless the device has answered."""
        device, local = _ends(url)
        if self._place is not None:
            local = await self._place(local)
        message = build(url, local)
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in message.headers
        }
        if self._callback is not None and "CALLBACK" in headers:
            headers["CALLBACK"] = f"<{self._callback}>"
        # The answer does not need the address of a device with a name: it is not known then.
        ends = {"local": local, "peer": cast(Any, device)}
        try:
            async with asyncio.timeout(seconds):
                answer = await self._requester.async_http_request(
                    HttpRequest(message.method, url, headers, None)
                )
        except UpnpConnectionTimeoutError as error:
            raise RequesterTimedOut(error) from error
        except UpnpConnectionError as error:
            raise RequesterFailed(error) from _system_error(error)
        except UpnpError as error:
            # The device is there, and its answer cannot be used.
            status = getattr(error, "status", 0) or _UNREADABLE
            return Answer(ErrorResponse(status, error), url, **ends)
        except TimeoutError as error:
            late = UpnpConnectionTimeoutError(f"no answer to {message.method} in {seconds:g} s")
            late.__cause__ = error
            raise RequesterTimedOut(late) from error
        except Exception as error:  # noqa: BLE001 - the requester may be the program's own
            raise RequesterFailed(error) from _system_error(error)
        return Answer(_response(answer), url, **ends)

    async def close(self) -> None:
        """Do nothing: the driver cancels its requests, and the requester is the program's."""


def error_of(result: Response | Exception) -> Exception:
    """The exception for the program, after a request that has failed or was not granted."""
    if isinstance(result, RequesterFailed | RequesterTimedOut):
        return cast(Exception, result.error)
    if isinstance(result, ErrorResponse):
        return result.error
    if isinstance(result, Response):
        if result.status == 200:
            return UpnpSIDError(message="the device granted without a usable SID")
        headers = CIMultiDict(
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in result.headers
        )
        return UpnpResponseError(status=result.status, headers=headers)
    if isinstance(result, DescriptionError):
        return UpnpCommunicationError(str(result))
    if isinstance(result, TimedOut):
        return UpnpConnectionTimeoutError(str(result))
    return UpnpConnectionError(str(result))


def _words_of(error: BaseException) -> str:
    cause = _system_error(error)
    if cause is not None:
        return words_of(cause)
    # The exceptions of the library have their message, or None, as their last argument.
    return ", ".join(str(each) for each in error.args if each) or repr(error)


def _ends(url: str) -> tuple[Endpoint | None, Endpoint]:
    """The address of the host of ``url``, None if it is a name, and the local address towards
    it."""
    try:
        device = locate(url)
    except ValueError:
        return None, _ANY
    if address_of(device.host) is None:
        return None, _ANY
    host = source_towards(device)
    return device, _ANY if host is None else Endpoint.of(host, 0, device.scope)


def _system_error(error: BaseException) -> OSError | None:
    """The error of the system in the chain of causes of ``error``."""
    cause: BaseException | None = error
    while cause is not None:
        # The errno of an exception of the library may be its message.
        if isinstance(cause, OSError) and isinstance(cause.errno, int):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None


def _response(answer: HttpResponse) -> Response:
    headers = tuple(
        (str(name).encode("latin-1", "replace"), str(value).encode("latin-1", "replace"))
        for name, value in answer.headers.items()
    )
    return Response(int(answer.status_code), headers)
