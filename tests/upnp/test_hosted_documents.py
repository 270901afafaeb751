"""The documents and the control URLs of a host, without sockets."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from propchange.core.publisher.judge import PublisherPolicy
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.messages import Endpoint, Request, Response
from propchange.upnp.device import Device, place_device
from propchange.upnp.hosted_documents import DESCRIPTION_PATH, Asked, HostedDocuments
from propchange.upnp.service import Service
from propchange.upnp.soap import build_call

LOCAL = Endpoint("10.0.0.1", 8123)
HOST = (b"HOST", b"10.0.0.1:8123")


class Thermometer(Service, type="urn:example-org:service:Thermometer:1"):
    temperature = StateVariable("r4", initial=20.0)


@pytest.fixture
def service() -> Thermometer:
    return Thermometer()


def documents_of(service: Service, *, uda: str = "1.1") -> HostedDocuments:
    placed = place_device(Device("Workbench", services=[service]), "uuid:1")
    policy = PublisherPolicy(uda=uda, server="os/1 UPnP/1.1 product/1", hosts=frozenset({"nas"}))
    return HostedDocuments(placed, policy, lambda: b"today")


def request(
    method: str,
    target: str,
    *,
    host: bytes = HOST[1],
    http_version: str = "1.1",
    keep_alive: bool = True,
) -> Request:
    return Request(
        method,
        target,
        [(b"HOST", host)],
        local=LOCAL,
        http_version=http_version,
        keep_alive=keep_alive,
    )


@pytest.mark.parametrize(
    "path", ["/description.xml", "/Thermometer/scpd.xml", "/Thermometer/control"]
)
def test_a_foreign_host_is_told_to_the_program(service: Thermometer, path: str) -> None:
    told: list[str] = []
    placed = place_device(Device("Workbench", services=[service]), "uuid:1")
    service.on_action = lambda action: pytest.fail("on_action was called")
    documents = HostedDocuments(
        placed,
        PublisherPolicy(),
        lambda: b"today",
        refused=lambda request, why: told.append(f"{request.target}: {why}"),
    )
    assert answer(documents, request("GET", path, host=b"evil.example")).status == 400
    assert len(told) == 1
    assert told[0].startswith(f"{path}: ")
    assert "but evil.example:80;" in told[0]


def answer(documents: HostedDocuments, request: Request) -> Response:
    response = documents.respond(request)
    assert isinstance(response, Response)
    return response


@pytest.mark.parametrize(
    "target", [DESCRIPTION_PATH, "/Thermometer/scpd.xml", "/description.xml?x"]
)
def test_get_and_head_give_a_document(service: Thermometer, target: str) -> None:
    documents = documents_of(service)
    got = answer(documents, request("GET", target))
    assert got.status == 200
    assert got.fields[b"content-type"] == b'text/xml; charset="utf-8"'
    assert got.fields[b"server"] == b"os/1 UPnP/1.1 product/1"
    assert got.fields[b"date"] == b"today"
    assert ElementTree.fromstring(got.body).tag.endswith(("root", "scpd"))
    # That the answer to HEAD has no body is up to whoever writes it: its length is told.
    assert answer(documents, request("HEAD", target)).body == got.body


def test_a_document_has_no_other_methods(service: Thermometer) -> None:
    documents = documents_of(service)
    for method in ("POST", "SUBSCRIBE", "DELETE"):
        refused = answer(documents, request(method, DESCRIPTION_PATH))
        assert (refused.status, refused.body) == (405, b"")
        assert refused.fields[b"allow"] == b"GET, HEAD"


def test_what_is_no_document_is_left_to_eventing(service: Thermometer) -> None:
    documents = documents_of(service)
    for target in ("/Thermometer/event", "/", "/description.xml/", "//description.xml", "*"):
        assert documents.respond(request("GET", target)) is None


@pytest.mark.parametrize("uda", ["1.0", "1.1", "2.0"])
def test_the_documents_follow_the_version_of_the_architecture(
    service: Thermometer, uda: str
) -> None:
    documents = documents_of(service, uda=uda)
    for target in (DESCRIPTION_PATH, "/Thermometer/scpd.xml"):
        root = ElementTree.fromstring(answer(documents, request("GET", target)).body)
        version = root.find("{*}specVersion")
        assert version is not None
        assert f"{version.findtext('{*}major')}.{version.findtext('{*}minor')}" == uda


def test_a_call_of_an_unknown_action_is_upnp_error_401(service: Thermometer) -> None:
    headers = [
        HOST,
        (b"CONTENT-TYPE", b"text/xml"),
        (b"SOAPACTION", b'"%b#Explode"' % service.service_type.encode()),
    ]
    body = build_call(service.service_type, "Explode", {})
    call = Request("POST", "/Thermometer/control", headers, body, local=LOCAL)
    fault = answer(documents_of(service), call)
    assert fault.status == 500
    assert b"EXT" in dict(fault.headers)
    root = ElementTree.fromstring(fault.body)
    assert root.findtext(".//faultstring") == "UPnPError"
    assert root.findtext(".//{urn:schemas-upnp-org:control-1-0}errorCode") == "401"


def test_on_action_is_to_get_the_request(service: Thermometer) -> None:
    def on_action(action: Request) -> Response:
        raise NotImplementedError

    service.on_action = on_action
    action = request("POST", "/Thermometer/control")
    assert documents_of(service).respond(action) == Asked(on_action, action)


def test_a_control_url_takes_post_alone(service: Thermometer) -> None:
    refused = answer(documents_of(service), request("GET", "/Thermometer/control"))
    assert refused.status == 405
    assert refused.fields[b"allow"] == b"POST, M-POST"


@pytest.mark.parametrize("method", ["GET", "M-POST"])
def test_on_action_gets_post_alone(service: Thermometer, method: str) -> None:
    service.on_action = lambda action: pytest.fail("on_action was called")
    refused = answer(documents_of(service), request(method, "/Thermometer/control"))
    assert refused.status == 405
    assert refused.fields[b"allow"] == b"POST"


def test_an_action_from_a_web_page_under_a_name_of_its_own_is_refused(
    service: Thermometer,
) -> None:
    """DNS rebinding: HOST is not this machine's address."""
    service.on_action = lambda action: Response(200)
    documents = documents_of(service)
    refused = answer(documents, request("POST", "/Thermometer/control", host=b"evil.example:8123"))
    assert refused.status == 400
    own = request("POST", "/Thermometer/control", host=b"nas")
    assert isinstance(documents.respond(own), Asked)


def test_old_clients_get_their_version_and_the_end_of_the_connection(
    service: Thermometer,
) -> None:
    old = answer(
        documents_of(service),
        request("GET", DESCRIPTION_PATH, http_version="1.0", keep_alive=False),
    )
    assert (old.http_version, old.close) == ("1.0", True)


FOREIGN = ["evil.example:8123", "10.0.0.1", "10.0.0.1:80", "10.0.0.2:8123", "10.0.0.1:8123:1", ""]


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("target", [DESCRIPTION_PATH, "/Thermometer/scpd.xml"])
def test_a_document_is_not_read_by_a_foreign_name(
    service: Thermometer, target: str, host: str
) -> None:
    refused = answer(documents_of(service), request("GET", target, host=host.encode()))
    assert (refused.status, refused.body) == (400, b"")


def test_only_http_1_0_reads_a_document_without_host(service: Thermometer) -> None:
    documents = documents_of(service)
    for version, status in (("1.0", 200), ("1.1", 400)):
        bare = Request("GET", DESCRIPTION_PATH, [], local=LOCAL, http_version=version)
        assert answer(documents, bare).status == status
        post = Request("POST", "/Thermometer/control", [], local=LOCAL, http_version=version)
        assert answer(documents, post).status == 400


def test_a_web_page_of_another_site_calls_no_action(service: Thermometer) -> None:
    service.on_action = lambda action: Response(200)
    documents = documents_of(service)
    page = (b"ORIGIN", b"http://evil.example")
    made = Request("POST", "/Thermometer/control", [HOST, page], local=LOCAL)
    assert answer(documents, made).status == 403
    own = (b"ORIGIN", b"http://10.0.0.1:8123")
    made = Request("POST", "/Thermometer/control", [HOST, own], local=LOCAL)
    assert isinstance(documents.respond(made), Asked)


class Barometer(Service, type="urn:example-org:service:Barometer:1"):
    pressure = StateVariable("ui2", initial=1013)


def test_configid_is_that_of_the_description_and_changes_with_every_document(
    service: Thermometer,
) -> None:
    documents = documents_of(service)
    body = answer(documents, request("GET", DESCRIPTION_PATH)).body
    assert f' configId="{documents.config_id}">'.encode() in body
    assert 0 <= documents.config_id < 2**24
    assert documents_of(Thermometer()).config_id == documents.config_id
    assert documents_of(Barometer()).config_id != documents.config_id


def test_uda_1_0_has_no_configid(service: Thermometer) -> None:
    body = answer(documents_of(service, uda="1.0"), request("GET", DESCRIPTION_PATH)).body
    assert b"configId" not in body
