"""The targets of the fuzzer. Each target takes any bytes and raises nothing.

A target calls one reader, accepts the errors that the reader documents, and asserts what must hold
for the result. None of them needs atheris, so that tests replay the corpora.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from fuzz.connections import (
    answers_to_subscribe,
    delivery_connection,
    publisher_connection,
    subscriber_connection,
)
from fuzz.control import control
from propchange.core.discovery.advertisement import judge_location
from propchange.core.discovery.search_answers import Target, matching_targets
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.multicast.message import ServiceIdentity, read_multicast
from propchange.core.multicast.reception import MulticastReception
from propchange.core.publisher.callback_guard import judge_callbacks
from propchange.core.subscriber.requests import authority_and_target, http_url, redirect_url
from propchange.core.values.data_types import DATA_TYPES, data_type
from propchange.core.values.lastchange import (
    CDS_EVENT,
    LastChangeFold,
    format_lastchange,
    parse_lastchange,
)
from propchange.core.values.merging import (
    CONTAINERS,
    format_container_update_ids,
    parse_container_update_ids,
)
from propchange.core.values.repeated_lastchange import RepeatedLastChange
from propchange.core.wire import headers, mending
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.core.wire.propertyset import (
    check_variable_name,
    format_propertyset,
    parse_propertyset,
    read_propertyset,
)
from propchange.core.wire.urls import endpoint_of_url
from propchange.core.wire.xml import parse_tree
from propchange.errors import ActionError, DescriptionError, RemoteProtocolError
from propchange.http import RequestParser, ResponseParser, encode_request
from propchange.http.datagrams import parse_datagram
from propchange.http.passed_head import judge_passed_head
from propchange.upnp.class_fit import class_problems
from propchange.upnp.description import DeviceDescription, parse_description
from propchange.upnp.scpd import build_scpd, parse_scpd
from propchange.upnp.service import Service
from propchange.upnp.soap import (
    _parse_answer,
    _parse_call,
    _parse_plain,
    build_answer,
    build_call,
    build_fault,
    parse_answer,
    parse_call,
)
from propchange.upnp.ssdp import read_datagram, read_message, read_search
from propchange.upnp.standard import RenderingControl

_ANNOUNCED = tuple(
    Target(target, f"uuid:a::{target}")
    for target in ("upnp:rootdevice", "uuid:a", "urn:x:device:D:2", "urn:x:service:S:3")
)
PEER, LOCAL = Endpoint("192.0.2.7", 40_000), Endpoint("192.0.2.1", 80)
URL = "http://192.0.2.7:8000/description.xml"

_STATUSES_OF_REQUESTS = {400, 405, 413, 414, 431, 501, 505}
_METHODS = ("NOTIFY", "GET", "HEAD", "SUBSCRIBE", "")


def _check_400(error: RemoteProtocolError) -> None:
    """Check the status of the error of an unreadable input."""
    assert error.status == 400, error


def pieces_of(data: bytes) -> tuple[list[bytes], bytes]:
    """Cut the input behind its first byte into pieces of as many bytes as that byte says, 0 for one
    piece. Returns the pieces, and all bytes behind the first byte."""
    size, stream = data[0] if data else 0, data[1:]
    if not size:
        return [stream], stream
    return [stream[begin : begin + size] for begin in range(0, len(stream), size)], stream


def _read(parser: Any, pieces: list[bytes]) -> list[Any]:
    found = []
    for piece in pieces:
        found += parser.feed(piece)
        while parser.rest:
            found += parser.feed(b"")
    return found


def _requests(pieces: list[bytes]) -> tuple[list[tuple[Any, ...]], int | None]:
    parser = RequestParser(DEFAULT_LIMITS, peer=PEER, local=LOCAL)
    found = _read(parser, pieces)
    parser.end()
    assert parser.feed(b"GET / HTTP/1.1\r\n\r\n") == []
    read = [
        (each.method, each.target, tuple(each.headers), each.body, each.keep_alive)
        for each in found
    ]
    if parser.error is None:
        return read, None
    assert parser.error.status in _STATUSES_OF_REQUESTS
    return read, parser.error.status


def requests(data: bytes) -> None:
    """A stream of requests, which means the same however it is cut."""
    pieces, whole = pieces_of(data)
    assert _requests(pieces) == _requests([whole])


def passed_head(data: bytes) -> None:
    """The head of a request as another server tells it: the first line is the method, the target
    and the version, each other line a header pair. What is taken has these pairs and no others."""
    first, *lines = data.split(b"\n")
    method, target, version = (*first.decode("latin-1").split(" ", 2), "", "", "")[:3]
    pairs = [(name, value) for name, _, value in (each.partition(b":") for each in lines)]
    received = Request(method, target, pairs, peer=PEER, local=LOCAL, http_version=version)
    try:
        request, length = judge_passed_head(received, DEFAULT_LIMITS)
    except RemoteProtocolError as error:
        if error.status not in _STATUSES_OF_REQUESTS:
            raise
        return
    assert request.method == method
    assert [name for name, _ in request.headers] == [name for name, _ in pairs]
    for (_, taken), (_, given) in zip(request.headers, pairs, strict=True):
        # One deviation of devices is mended.
        assert taken.strip(b" \t") in {given.strip(b" \t"), given.strip(b' \t"')}
    assert length is None or 0 <= length <= DEFAULT_LIMITS.body_bytes


def _responses(pieces: list[bytes], method: str) -> tuple[list[tuple[Any, ...]], bool]:
    parser = ResponseParser(DEFAULT_LIMITS)
    parser.expect(method)
    found = _read(parser, pieces)
    last = parser.end()
    found += [] if last is None else [last]
    assert parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n") == []
    for each in found:
        assert 100 <= each.status <= 999
        assert len(each.body) <= DEFAULT_LIMITS.body_bytes
    read = [(each.status, tuple(each.headers), each.body, each.close) for each in found]
    return read, parser.error is not None


def responses(data: bytes) -> None:
    """A stream of responses, which means the same however it is cut."""
    method = _METHODS[data[0] % len(_METHODS)] if data else ""
    pieces, whole = pieces_of(data[1:])
    assert _responses(pieces, method) == _responses([whole], method)


def propertyset(data: bytes) -> None:
    """The body of a NOTIFY. The pairs that are read can be written, and are read again."""
    try:
        pairs, problems = read_propertyset(data, DEFAULT_LIMITS)
    except RemoteProtocolError as error:
        _check_400(error)
        return
    assert all(problems)
    assert all(name for name, _ in pairs)
    with contextlib.suppress(ValueError):
        # A name may be there twice, or have a prefix's digits alone.
        written = format_propertyset(pairs)
        assert parse_propertyset(written, DEFAULT_LIMITS) == pairs


def mended(data: bytes) -> None:
    """A document that may have to be mended. A mended document needs no other mending."""
    try:
        tree, problems = mending.read_tree(data, DEFAULT_LIMITS)
    except RemoteProtocolError as error:
        _check_400(error)
        return
    assert all(problems)
    assert tree.name


def mending_alone(data: bytes) -> None:
    """Any bytes to be mended. The result is in UTF-8; if it is well-formed, mending it again
    changes nothing in its tree."""
    try:
        document, _ = mending.mend(data)
    except RemoteProtocolError as error:
        _check_400(error)
        return
    document.decode("utf-8")
    with contextlib.suppress(RemoteProtocolError):
        first = parse_tree(document, DEFAULT_LIMITS)
        again, _ = mending.mend(document)
        assert _same(first, parse_tree(again, DEFAULT_LIMITS))


def _same(one: Any, other: Any) -> bool:
    return (
        (one.name, one.namespace, one.attributes, one.text)
        == (other.name, other.namespace, other.attributes, other.text)
        and len(one.children) == len(other.children)
        and all(map(_same, one.children, other.children))
    )


def lastchange(data: bytes) -> None:
    """The text of a LastChange, as one publisher and one subscriber read it."""
    text = data.decode("utf-8", "replace")
    try:
        found = parse_lastchange(text)
    except RemoteProtocolError as error:
        _check_400(error)
        return
    if (form := RepeatedLastChange.learn(text, DEFAULT_LIMITS)) is not None:
        texts = form.read(text)
        assert texts is None or texts == [entry.text for entry in found.entries]
        keys = [(entry.variable, entry.instance, entry.channel) for entry in found.entries]
        assert [key for key, _, _, _ in form.keys] == keys
    fold = LastChangeFold(CDS_EVENT if found.is_log else "urn:x")
    assert len(found.problems) <= 16
    with contextlib.suppress(ValueError):
        merged = fold(text, text)
        assert parse_lastchange(merged).is_log == found.is_log or not found.entries
    if not found.is_log:
        with contextlib.suppress(ValueError):
            # Names that no document can carry again are refused.
            written = format_lastchange("urn:x", found.entries)
            assert set(parse_lastchange(written).entries) == set(found.entries)


def description(data: bytes) -> None:
    """A device description. Its URLs can be used."""
    try:
        found = parse_description(data, URL)
    except DescriptionError:
        return
    for device in found.all_devices():
        assert isinstance(device, DeviceDescription)
        assert found.find_device(device.udn) is not None
    for service in found:
        assert service.name in found or not service.name
        for url in (service.scpd_url, service.control_url, service.event_url):
            if url:
                assert len(url) <= DEFAULT_LIMITS.url_bytes
                _check_usable(url)


def _check_usable(url: str) -> None:
    """Check that a URL that can be fetched has a host and a request line."""
    if url.startswith("http:"):
        try:
            endpoint_of_url(url, lambda name: 1)
            http_url(url)
        except ValueError:
            return
        authority, target = authority_and_target(url)
        assert authority.isascii()
        assert target.startswith("/")
        assert target.isascii()
        assert target.isprintable()
        assert " " not in target


def scpd(data: bytes) -> None:
    """A service description. What is read can be written and is read again."""
    try:
        found = parse_scpd(data)
    except DescriptionError:
        with contextlib.suppress(DescriptionError, ValueError):
            Service.from_scpd(data, type="urn:x:service:X:1")
        return
    for variable in found.variables.values():
        variable.format(variable.initial)
        with contextlib.suppress(ValueError):
            variable.parse("1")
    for problem in class_problems(RenderingControl, found):
        assert problem.isprintable()
    assert len(found.actions) <= DEFAULT_LIMITS.actions_per_service
    again = parse_scpd(build_scpd(found.variables.values(), found.actions.values()))
    assert list(again.variables) == list(found.variables)
    assert list(again.actions) == list(found.actions)
    for name, action in found.actions.items():
        assert len(action.arguments) <= DEFAULT_LIMITS.action_arguments
        written = [each.name for each in (*action.inputs, *action.outputs)]
        assert [each.name for each in again.actions[name].arguments] == written
        with contextlib.suppress(ActionError):
            action.write_inputs(action.read_inputs({each.name: "1" for each in action.inputs}))
        action.read_outputs(dict.fromkeys(written, "1"))
    with contextlib.suppress(ValueError):
        # No variables, or names that Python cannot give to attributes.
        Service.from_scpd(data, type="urn:x:service:X:1")


def soap_call(data: bytes) -> None:
    """The body of a call. It is read as the parser alone reads it. What is read can be written and
    means the same."""
    plain = _parse_plain(data, DEFAULT_LIMITS)
    try:
        call = _parse_call(data, DEFAULT_LIMITS)
    except RemoteProtocolError as error:
        assert plain is None
        _check_400(error)
        return
    except ActionError as error:
        assert plain is None
        _check_402(error)
        return
    assert plain is None or call == (*plain, ())
    assert all(call.problems)
    assert call.action
    assert len(call.texts) <= DEFAULT_LIMITS.action_arguments
    with contextlib.suppress(ValueError):
        # Names with the digits of a prefix alone cannot be written.
        written = build_call(call.service_type, call.action, call.texts)
        assert parse_call(written) == (*call[:3], ())


def soap_answer(data: bytes) -> None:
    """The body of an answer. The first byte says whether its status is 200 or 500. It is read as
    the parser alone reads it."""
    status = 500 if data[:1] < b"\x80" else 200
    try:
        answer = _parse_answer(data[1:], status, "A", DEFAULT_LIMITS)
    except RemoteProtocolError:
        _check_unreadable(data[1:], status)
        return
    except ActionError as error:
        _check_fault(error)
        return
    assert status == 200
    assert parse_answer(data[1:], status, "A") == answer
    assert all(answer.problems)
    with contextlib.suppress(ValueError):
        written = build_answer("urn:x:service:X:1", "A", answer.texts)
        assert parse_answer(written, 200, "A") == (answer.texts, ())


def _check_402(error: ActionError) -> None:
    """Check the code of the error of arguments that would have to be guessed."""
    assert error.code == 402, error


def _check_unreadable(body: bytes, status: int) -> None:
    """Check that the body is no answer in the plain form either."""
    read = None
    with contextlib.suppress(RemoteProtocolError):
        read = parse_answer(body, status, "A")
    assert read is None


def _check_fault(error: ActionError) -> None:
    """Check that the error can be written as a fault, which is read as an error of the same
    code."""
    code = None
    try:
        parse_answer(build_fault(error.code, error.description), 500, "A")
    except ActionError as again:
        code = again.code
    assert code == error.code


def advertisement(data: bytes) -> None:
    """An SSDP datagram, and its LOCATION or the answers to it."""
    with contextlib.suppress(RemoteProtocolError):
        search = read_search(data, multicast=True)
        if search is not None:
            assert search.target.isprintable()
            assert search.mx is None or search.mx > 0
            assert len(matching_targets(_ANNOUNCED, search.target)) <= len(_ANNOUNCED)
    try:
        found = read_datagram(data)
        read_message(data.decode("utf-8", "replace"))
    except RemoteProtocolError:
        return
    if found is None:
        return
    assert found.udn[:5].lower() == "uuid:"
    assert found.udn.isprintable()
    for off_link in (False, True):
        with contextlib.suppress(ValueError):
            url = judge_location(found.location, source=PEER, on_link=(), off_link=off_link)
            assert url[:7].lower() == "http://"


def multicast(data: bytes) -> None:
    """A multicast event, and its reception."""
    outcomes: list[object] = []
    reception = MulticastReception(DEFAULT_LIMITS, outcomes.append)
    identity = ServiceIdentity("uuid:a", "urn:x:service:X:1", "urn:x:serviceId:X")
    reception.expect(
        identity,
        variables=("A", "B"),
        sources=(PEER.host,),
        boot_id=1,
        convert={"A": int, "B": str},
    )
    try:
        request = parse_datagram(data, DEFAULT_LIMITS, peer=PEER, local=LOCAL)
    except RemoteProtocolError as error:
        reception.unreadable(PEER, str(error))
        return
    reception.receive(request)
    assert len(outcomes) <= 3
    with contextlib.suppress(RemoteProtocolError):
        message = read_multicast(request)
        assert message.usn
        assert message.svcid


def value(data: bytes) -> None:
    """The text of a state variable. The first byte says of which type. What is read can be written
    and is read again."""
    kinds = tuple(DATA_TYPES.values())
    kind = kinds[data[0] % len(kinds)] if data else kinds[0]
    text = data[1:].decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        data_type(text)
    try:
        found = kind.parse(text)
    except ValueError:
        return
    assert kind.parse(kind.format(found)) == found


def container_update_ids(data: bytes) -> None:
    """The text of a ContainerUpdateIDs."""
    text = data.decode("utf-8", "replace")
    try:
        pairs = parse_container_update_ids(text)
    except ValueError:
        return
    assert parse_container_update_ids(format_container_update_ids(pairs)) == pairs
    assert dict(parse_container_update_ids(CONTAINERS(text, text))) == dict(pairs)


def header_values(data: bytes) -> None:
    """The value of a header of GENA. The first byte says of which."""
    kind, text = data[0] % 8 if data else 0, data[1:].strip(b" \t\r\n")
    if kind == 0:
        with contextlib.suppress(ValueError):
            assert headers.parse_callback(text, DEFAULT_LIMITS)
    elif kind == 1:
        for lenient in (False, True):
            duration = headers.parse_timeout(text, lenient=lenient)
            assert duration is None or 0 < duration <= 4_294_967_295
        headers.is_infinite(text)
    elif kind == 2:
        names = headers.parse_statevar(text, DEFAULT_LIMITS)
        assert names is None or all(names)
    elif kind == 3:
        with contextlib.suppress(ValueError):
            sid = headers.parse_sid(text)
            assert sid.isascii()
            assert sid.isprintable()
    elif kind == 4:
        with contextlib.suppress(ValueError):
            seq = headers.parse_seq(text)
            assert seq is not None
            assert headers.parse_seq(headers.format_seq(seq)) == seq
    elif kind == 5:
        with contextlib.suppress(ValueError):
            host, port = headers.parse_host(text)
            assert host
            assert 0 < port < 65_536
    elif kind == 6:
        with contextlib.suppress(ValueError):
            check_variable_name(text.decode("utf-8", "replace"))
    else:
        _callbacks(text)


def _callbacks(text: bytes) -> None:
    """Any CALLBACK. Only the subscriber itself is called."""
    try:
        urls = headers.parse_callback(text, DEFAULT_LIMITS)
        accepted = judge_callbacks(
            urls,
            peer=PEER,
            local=LOCAL,
            on_link=(),
            policy="same-host",
            lenient=True,
            limits=DEFAULT_LIMITS,
        )
    except (ValueError, RemoteProtocolError):
        return
    for url in accepted:
        assert url.endpoint.host == PEER.host
        assert url.target.startswith("/")
        assert url.target.isprintable()


def urls(data: bytes) -> None:
    """A URL that a device gives, and the target of a redirect in its answer."""
    text = data.decode("latin-1")
    with contextlib.suppress(ValueError):
        endpoint = endpoint_of_url(text, lambda name: 1)
        assert endpoint.host
        assert 0 < endpoint.port < 65_536
    with contextlib.suppress(ValueError):
        judge_location(text, source=PEER, on_link=())
    led_to = redirect_url(URL, Response(307, [(b"LOCATION", data.strip(b" \t\r\n\0"))]))
    if led_to is not None:
        assert http_url(led_to) == led_to
        authority, target = authority_and_target(led_to)
        written = encode_request(Request("GET", target, [(b"HOST", authority.encode("ascii"))]))
        parser = RequestParser(DEFAULT_LIMITS, peer=PEER, local=LOCAL)
        found = parser.feed(written)
        if parser.error is None:
            assert [each.target for each in found] == [target]
        else:
            assert parser.error.status == 414


TARGETS: dict[str, Callable[[bytes], None]] = {
    "requests": requests,
    "passed_head": passed_head,
    "responses": responses,
    "propertyset": propertyset,
    "mended": mended,
    "mending": mending_alone,
    "lastchange": lastchange,
    "description": description,
    "scpd": scpd,
    "soap_call": soap_call,
    "soap_answer": soap_answer,
    "control": control,
    "advertisement": advertisement,
    "multicast": multicast,
    "value": value,
    "container_update_ids": container_update_ids,
    "header_values": header_values,
    "urls": urls,
    "publisher_connection": publisher_connection,
    "subscriber_connection": subscriber_connection,
    "delivery_connection": delivery_connection,
    "answers_to_subscribe": answers_to_subscribe,
}
"""Name -> target: any bytes may be given to it. It raises nothing unless there is a fault."""
