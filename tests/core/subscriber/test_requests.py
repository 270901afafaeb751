from __future__ import annotations

import errno

import pytest

from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.subscriber.judge import SubscriberPolicy
from propchange.core.subscriber.record import SubscriptionRecord
from propchange.core.subscriber.requests import (
    Failure,
    OutgoingRequest,
    RequestKind,
    RequestQueue,
    accepted_variables,
    addressed_to,
    authority_and_target,
    failure_of_errno,
    http_url,
    redirect_url,
    renewal_message,
    subscribe_message,
    unsubscribe_message,
)
from propchange.core.subscriber.timing import Timers
from propchange.core.wire.headers import parse_host
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.errors import LocalProtocolError

URL = "http://10.0.0.1:8000/evt?x=1"
POLICIES = {
    uda: SubscriberPolicy(uda=uda, user_agent="OS/1 UPnP/2.0 p/1") for uda in ("1.0", "1.1", "2.0")
}


def names(request: Request) -> list[str]:
    return [name.decode() for name, _ in request.headers]


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.1/evt",
        "HTTP://device.example:49152/a/b?c=d",
        "http://[fe80::1%25eth0]:80/",
        "http://[::1]",
    ],
)
def test_http_urls_can_be_subscribed_to(url) -> None:
    assert http_url(url) == url


@pytest.mark.clause("SUB-15")
@pytest.mark.clause("SUB-03")
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "is not an http:// URL"),
        ("/evt", "is not an http:// URL"),
        ("https://10.0.0.1/evt", "is not an http:// URL"),
        ("ftp://10.0.0.1/evt", "is not an http:// URL"),
        ("http:///evt", "names no host and port to connect to"),
        ("http://:80/evt", "names no host and port to connect to"),
        ("http://10.0.0.1:0/evt", "names no host and port to connect to"),
        ("http://10.0.0.1:99999/evt", "is not a URL"),
        ("http://10.0.0.1:x/evt", "is not a URL"),
        ("http://[::1/evt", "is not a URL"),
        ("http://user:secret@10.0.0.1/evt", "has a user name; leave it out"),
        ("http://10.0.0.1/a b", "has characters that no URL may have"),
        ("http://10.0.0.1/ä", "has characters that no URL may have"),
        ("http://10.0.0.1/\x7f", "has characters that no URL may have"),
        ("http://10.0.0.1/\r\nSID: x", "has characters that no URL may have"),
    ],
)
def test_what_cannot_be_subscribed_to_is_refused_with_the_reason(url, words) -> None:
    with pytest.raises(ValueError, match=words):
        http_url(url)


@pytest.mark.clause("SUB-11")
@pytest.mark.clause("V6-07")
@pytest.mark.parametrize(
    ("url", "authority", "target"),
    [
        ("http://10.0.0.1/evt", "10.0.0.1", "/evt"),
        ("http://10.0.0.1:8000/evt?a=b", "10.0.0.1:8000", "/evt?a=b"),
        ("http://10.0.0.1", "10.0.0.1", "/"),
        ("http://10.0.0.1:/?q", "10.0.0.1", "/?q"),
        ("http://user:secret@10.0.0.1/evt#part", "10.0.0.1", "/evt"),
        ("http://[FE80::1%25eth0]:80/e", "[fe80::1]:80", "/e"),
        ("http://[::1]/e", "[::1]", "/e"),
        ("http://Device.Example/E", "device.example", "/E"),
    ],
)
def test_host_and_request_line_carry_neither_zone_nor_credentials(url, authority, target) -> None:
    assert authority_and_target(url) == (authority, target)
    parse_host(authority.encode())


@pytest.mark.clause("SUB-10")
@pytest.mark.clause("SUB-14")
@pytest.mark.clause("SUB-18")
@pytest.mark.clause("SUB-19")
@pytest.mark.clause("SUB-20")
def test_a_subscribe_asks_for_events_at_its_callback() -> None:
    request = subscribe_message(URL, "http://10.0.0.2:9/p", POLICIES["1.1"], duration=300)
    assert (request.method, request.target, request.body) == ("SUBSCRIBE", "/evt?x=1", b"")
    assert request.headers == [
        (b"HOST", b"10.0.0.1:8000"),
        (b"USER-AGENT", b"OS/1 UPnP/2.0 p/1"),
        (b"CALLBACK", b"<http://10.0.0.2:9/p>"),
        (b"NT", b"upnp:event"),
        (b"TIMEOUT", b"Second-300"),
    ]


@pytest.mark.clause("SUB-12")
@pytest.mark.clause("SUB-13")
@pytest.mark.clause("SUB-23")
@pytest.mark.parametrize(
    ("uda", "extra"),
    [
        ("1.0", []),
        ("1.1", ["USER-AGENT"]),
        ("2.0", ["USER-AGENT", "CPFN.UPNP.ORG", "STATEVAR"]),
    ],
)
def test_each_uda_version_adds_its_own_headers_to_a_subscribe(uda, extra) -> None:
    request = subscribe_message(
        URL, "http://10.0.0.2:9/p", POLICIES[uda], duration=300, statevar=("A", "B")
    )
    common = ["HOST", "CALLBACK", "NT", "TIMEOUT"]
    assert sorted(names(request)) == sorted(common + extra)
    if uda == "2.0":
        assert request.fields[b"statevar"] == b"A,B"
        assert request.fields[b"cpfn.upnp.org"] == b"propchange"
        plain = subscribe_message(URL, "http://10.0.0.2:9/p", POLICIES[uda], duration=300)
        assert "STATEVAR" not in names(plain)


@pytest.mark.clause("REN-02")
@pytest.mark.parametrize("uda", ["1.0", "1.1", "2.0"])
def test_a_renewal_carries_neither_callback_nor_nt(uda) -> None:
    request = renewal_message(URL, "uuid:1", POLICIES[uda], duration=300)
    extra = ["CPFN.UPNP.ORG"] if uda == "2.0" else []
    assert names(request) == ["HOST", "SID", "TIMEOUT", *extra]
    assert (request.method, request.target) == ("SUBSCRIBE", "/evt?x=1")
    assert request.fields[b"sid"] == b"uuid:1"
    assert request.fields[b"timeout"] == b"Second-300"


@pytest.mark.clause("UNS-02")
@pytest.mark.parametrize("uda", ["1.0", "1.1", "2.0"])
def test_an_unsubscribe_carries_the_sid_and_no_timeout(uda) -> None:
    request = unsubscribe_message(URL, "uuid:1", POLICIES[uda])
    extra = ["CPFN.UPNP.ORG"] if uda == "2.0" else []
    assert names(request) == ["HOST", "SID", *extra]
    assert (request.method, request.target, request.body) == ("UNSUBSCRIBE", "/evt?x=1", b"")


def record() -> SubscriptionRecord:
    return SubscriptionRecord(
        URL,
        persistent=True,
        describable=True,
        device=None,
        convert=None,
        duration_wanted=1800,
        limits=DEFAULT_LIMITS,
        begun_at=0.0,
    )


def test_a_request_is_built_for_the_local_address_of_its_connection() -> None:
    request = OutgoingRequest(
        RequestKind.SUBSCRIBE,
        record(),
        URL,
        sent_at=5.0,
        builder=lambda local: subscribe_message(
            URL, f"http://{local}/p", POLICIES["1.1"], duration=60
        ),
    )
    built = request.build(Endpoint("10.0.0.2", 9000))
    assert built.fields[b"callback"] == b"<http://10.0.0.2:9000/p>"


def test_a_request_that_came_too_late_is_not_built() -> None:
    message = unsubscribe_message(URL, "uuid:1", POLICIES["1.1"])
    queue = RequestQueue(POLICIES["1.1"], DEFAULT_LIMITS, Timers())
    subscription = record()
    queue.send(
        OutgoingRequest(
            RequestKind.RENEW, subscription, URL, sent_at=5.0, builder=lambda _: message
        )
    )
    queue.unsubscribe(subscription, URL, "uuid:1", None, 5.0)
    renewal, cancellation = queue.take()
    queue.settle(subscription)
    assert not renewal.wanted
    with pytest.raises(LocalProtocolError, match="the time for this request is up"):
        renewal.build(Endpoint("10.0.0.2", 9000))
    assert cancellation.wanted
    assert cancellation.build(Endpoint("10.0.0.2", 9000)).method == "UNSUBSCRIBE"


def test_a_description_is_not_a_message_of_eventing() -> None:
    request = OutgoingRequest(RequestKind.DESCRIBE, record(), URL, sent_at=5.0)
    assert repr(request) == f"<OutgoingRequest DESCRIBE {URL}>"
    assert (request.sid, request.source, request.remote, request.sent_at) == ("", None, None, 5.0)
    with pytest.raises(LocalProtocolError, match="a DESCRIBE is no message: read"):
        request.build(Endpoint("10.0.0.2", 9000))


@pytest.mark.clause("SUB-53")
@pytest.mark.clause("AMB-3")
@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        (b"ACCEPTED-STATEVAR", b"A,B", ("A", "B")),
        (b"Accepted_StateVar", b" A , B ", ("A", "B")),
        (b"ACCEPTED-STATEVAR", b"A", ("A",)),
        (b"ACCEPTED-STATEVAR", b"", None),
        (b"ACCEPTED-STATEVAR", b"A,,B", None),
        (b"X-OTHER", b"A", None),
    ],
)
def test_what_a_device_accepts_is_read_with_a_hyphen_or_an_underscore(
    name, value, accepted
) -> None:
    response = Response(200, [(name, value)])
    assert accepted_variables(("A", "B"), response, POLICIES["2.0"], DEFAULT_LIMITS) == accepted


@pytest.mark.parametrize(("asked", "uda"), [((), "2.0"), (("A",), "1.0"), (("A",), "1.1")])
def test_who_did_not_ask_is_told_everything(asked, uda) -> None:
    response = Response(200, [(b"ACCEPTED-STATEVAR", b"A")])
    assert accepted_variables(asked, response, POLICIES[uda], DEFAULT_LIMITS) is None


# --- redirects ---


def redirect(location: bytes | None, status: int = 307) -> Response:
    return Response(status, () if location is None else ((b"Location", location),))


@pytest.mark.clause("SUB-77")
@pytest.mark.parametrize(
    ("location", "url"),
    [
        (b"/moved?x=1", "http://10.0.0.1:8000/moved?x=1"),
        (b"moved", "http://10.0.0.1:8000/moved"),
        (b"http://10.0.0.2/#part", "http://10.0.0.2/"),
        ("/m\u00fc d".encode(), "http://10.0.0.1:8000/m%C3%BC%20d"),
        (b"//10.0.0.2/", "http://10.0.0.2/"),
    ],
)
def test_a_307_leads_to_its_location(location, url) -> None:
    assert redirect_url(URL, redirect(location)) == url


@pytest.mark.clause("SUB-77")
@pytest.mark.parametrize(
    "response",
    [
        redirect(b"/moved", 302),
        redirect(b"/moved", 200),
        redirect(None),
        redirect(b""),
        redirect(b"\xff"),
        redirect(b"https://10.0.0.1/"),
        redirect(b"http://you@10.0.0.1/"),
        redirect(b"http://[::1/"),
    ],
)
def test_no_other_answer_leads_anywhere(response) -> None:
    assert redirect_url(URL, response) is None


def test_a_document_may_be_led_on_by_others() -> None:
    assert redirect_url(URL, redirect(b"/a", 302), (302,)) == "http://10.0.0.1:8000/a"


@pytest.mark.clause("SUB-77")
def test_a_redirected_request_has_another_host_and_target_alone() -> None:
    request = Request("SUBSCRIBE", "/evt", ((b"Host", b"a"), (b"NT", b"upnp:event")), b"")
    led = addressed_to(request, "http://10.0.0.2:81/b?c")
    assert (led.method, led.target) == ("SUBSCRIBE", "/b?c")
    assert led.headers == [(b"Host", b"10.0.0.2:81"), (b"NT", b"upnp:event")]


@pytest.mark.parametrize(
    ("number", "failure"),
    [
        (errno.ECONNREFUSED, Failure.REFUSED),
        (errno.EHOSTUNREACH, Failure.UNREACHABLE),
        (errno.ENETUNREACH, Failure.UNREACHABLE),
        (errno.ETIMEDOUT, Failure.UNREACHABLE),
        (errno.EADDRNOTAVAIL, Failure.NO_SOURCE),
        (errno.EPERM, Failure.SILENCE),
        (None, Failure.SILENCE),
    ],
)
def test_the_systems_error_says_who_is_missing(number, failure) -> None:
    assert failure_of_errno(number, bound=True) is failure


def test_no_address_can_be_missing_where_none_was_asked_for() -> None:
    """Then no port is left."""
    assert failure_of_errno(errno.EADDRNOTAVAIL, bound=False) is Failure.SHORTAGE


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_what_this_machine_is_short_of_says_nothing_of_the_device(number: int) -> None:
    assert failure_of_errno(number, bound=True) is Failure.SHORTAGE
    assert failure_of_errno(number, bound=False) is Failure.SHORTAGE
