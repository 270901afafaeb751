"""The exceptions that a SoCo program knows: those of aiohttp, which SoCo's own events raise."""

from __future__ import annotations

import errno
import os
from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from propchange.core.wire.messages import Response
from propchange.errors import ConnectionFailed, RemoteProtocolError, TimedOut


def as_aiohttp(result: Response | Exception, method: str, url: str) -> Exception:
    """The exception that aiohttp would have raised for the request ``method`` ``url``. ``result``
    is the answer, another than 200, or the exception that the request failed with.

    No connection is ClientConnectorError, which is an OSError too; a connection that broke is
    ServerDisconnectedError; no answer in time is TimeoutError; another status than 200, and an
    answer that is not HTTP, is ClientResponseError. All but TimeoutError are ClientError."""
    if isinstance(result, Response):
        return _refusal(method, url, result.status, _phrase(result.status))
    error = _of_failure(result, method, url)
    error.__cause__ = result
    return error


def _of_failure(failure: Exception, method: str, url: str) -> Exception:
    if isinstance(failure, TimedOut):
        return TimeoutError(str(failure))
    if isinstance(failure, RemoteProtocolError):
        return _refusal(method, url, 400, str(failure))
    if not isinstance(failure, ConnectionFailed):
        return aiohttp.ClientError(str(failure))
    cause = failure.__cause__
    if not isinstance(cause, OSError):
        return aiohttp.ServerDisconnectedError(str(failure))
    if isinstance(cause, TimeoutError) and cause.errno is None:
        return TimeoutError(str(failure))
    number = cause.errno or errno.ECONNREFUSED
    return not_connected(url, OSError(number, cause.strerror or os.strerror(number)))


def not_connected(url: str, error: OSError) -> Exception:
    """The exception for ``error``, for which there was no connection to ``url``."""
    parts = urlsplit(url)
    # The fields of aiohttp's ConnectionKey that the exception reads; the others differ by version.
    key = SimpleNamespace(host=parts.hostname, port=parts.port or 80, is_ssl=False, ssl=True)
    return aiohttp.ClientConnectorError(cast(Any, key), error)


def _refusal(method: str, url: str, status: int, words: str) -> Exception:
    headers: CIMultiDictProxy[str] = CIMultiDictProxy(CIMultiDict())
    asked = aiohttp.RequestInfo(URL(url), method, headers, URL(url))
    return aiohttp.ClientResponseError(asked, (), status=status, message=words)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
