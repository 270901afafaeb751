from __future__ import annotations

from itertools import pairwise
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from propchange.core.limits import DEFAULT_LIMITS, Limits
from propchange.core.values.state_variables import StateVariable
from propchange.core.wire.xml import parse_tree
from propchange.errors import DescriptionError
from propchange.upnp.description import (
    Base,
    DeviceDescription,
    ServiceDescription,
    build_description,
    parse_description,
)
from propchange.upnp.device import Device
from propchange.upnp.service import Service
from tests.work import memory

UDN = "uuid:4d696e69-444c-164e-9d41-001122334455"
URL = "http://192.0.2.7:8123/upnp/description.xml"
TYPE = "urn:example-org:service:Thermometer:1"


class Thermometer(Service, type=TYPE):
    temperature = StateVariable("r4")


class Mute(Service, type="urn:schemas-upnp-org:service:Mute:2"):
    version = StateVariable("string", evented=False)


def service_xml(
    service_type: str = TYPE,
    service_id: str = "urn:example-org:serviceId:T1",
    event: str = "/event",
) -> str:
    return (
        f"<service><serviceType>{service_type}</serviceType><serviceId>{service_id}</serviceId>"
        f"<SCPDURL>/scpd</SCPDURL><controlURL>/control</controlURL>"
        f"<eventSubURL>{event}</eventSubURL></service>"
    )


def described(services: str = "", *, base: str = "", more: str = "") -> DeviceDescription:
    return parse_description(
        f"<root xmlns='urn:schemas-upnp-org:device-1-0'>{base}<device><friendlyName>Box"
        f"</friendlyName><UDN>{UDN}</UDN><serviceList>{services}</serviceList>{more}</device>"
        "</root>".encode(),
        URL,
    )


# --- writing ---


@pytest.mark.clause("V6-15")
@pytest.mark.parametrize("uda", ["1.0", "1.1", "2.0"])
def test_a_description_names_no_address_and_so_is_the_same_over_every_one(uda: str) -> None:
    text = build_description(Device("Box", services=[Thermometer()]), udn=UDN, uda=uda).decode()
    assert "URLBase" not in text
    assert "://" not in text


def test_a_description_has_what_upnp_asks_for_in_its_order() -> None:
    device = Device(
        "Küche & <Bad>",
        services=[Thermometer()],
        devices=[Device("Inner", udn="uuid:inner")],
        type="urn:example-org:device:Weather:1",
        manufacturer="M",
        manufacturer_url="http://m.example/",
        model_description="D",
        model_name="N",
        model_number="1",
        model_url="http://m.example/n",
        serial_number="S",
        upc="012345678905",
        presentation_url="/",
    )
    document = build_description(device, udn=UDN)
    assert document.startswith(b'<?xml version="1.0" encoding="utf-8"?>\n<root xmlns="urn:schemas')
    (version, root) = parse_tree(document, DEFAULT_LIMITS).children
    assert [child.text for child in version.children] == ["1", "1"]
    assert [(child.name, child.text) for child in root.children] == [
        ("deviceType", "urn:example-org:device:Weather:1"),
        ("friendlyName", "Küche & <Bad>"),
        ("manufacturer", "M"),
        ("manufacturerURL", "http://m.example/"),
        ("modelDescription", "D"),
        ("modelName", "N"),
        ("modelNumber", "1"),
        ("modelURL", "http://m.example/n"),
        ("serialNumber", "S"),
        ("UDN", UDN),
        ("UPC", "012345678905"),
        ("serviceList", ""),
        ("deviceList", ""),
        ("presentationURL", "/"),
    ]


def test_texts_and_lists_that_are_empty_are_left_out() -> None:
    document = build_description(Device("Box"), udn=UDN)
    for name in (b"serialNumber", b"UPC", b"presentationURL", b"serviceList", b"deviceList"):
        assert name not in document


@pytest.mark.clause("SUB-05")
def test_the_urls_of_a_service_are_relative() -> None:
    document = build_description(Device("Box", services=[Thermometer()]), udn=UDN).decode()
    assert "<serviceId>urn:example-org:serviceId:Thermometer</serviceId>" in document
    assert "<SCPDURL>/Thermometer/scpd.xml</SCPDURL>" in document
    assert "<controlURL>/Thermometer/control</controlURL>" in document
    assert "<eventSubURL>/Thermometer/event</eventSubURL>" in document


@pytest.mark.clause("SUB-02")
@pytest.mark.parametrize("uda", ["1.0", "1.1", "2.0"])
def test_a_service_without_evented_variables_has_an_empty_event_url(uda: str) -> None:
    document = build_description(Device("Box", services=[Mute()]), udn=UDN, uda=uda)
    assert b"<eventSubURL></eventSubURL>" in document


@pytest.mark.parametrize(
    ("uda", "number", "attribute"),
    [("1.0", 7, False), ("1.1", 7, True), ("2.0", 7, True), ("2.0", None, False)],
)
def test_the_config_id_is_told_from_1_1_on(uda: str, number: int | None, attribute: bool) -> None:
    document = build_description(Device("Box"), udn=UDN, uda=uda, config_id=number)
    assert (b' configId="7">' in document) is attribute


@pytest.mark.parametrize("wrong", [-1, 2**24])
def test_a_config_id_out_of_its_range_is_refused(wrong: int) -> None:
    with pytest.raises(ValueError, match="from 0 to 16777215"):
        build_description(Device("Box"), udn=UDN, config_id=wrong)


def test_what_is_written_is_read_again() -> None:
    inner = Device("Inner", services=[Thermometer()])
    device = Device("Box", services=[Thermometer(), Mute()], devices=[inner], serial_number="S")
    read = parse_description(
        build_description(device, udn=UDN, uda="2.0", prefix="/d/", config_id=3), URL
    )
    assert (read.url, read.udn, read.friendly_name, read.uda) == (URL, UDN, "Box", "2.0")
    assert (read.device_type, read.serial_number) == (device.device_type, "S")
    assert read.config_id == 3
    assert read.problems == ()
    assert [service.event_url for service in read] == [
        "http://192.0.2.7:8123/d/Thermometer/event",
        "",
        "http://192.0.2.7:8123/d/Thermometer2/event",
    ]
    assert read["Mute"].control_url == "http://192.0.2.7:8123/d/Mute/control"
    assert read["Mute"].scpd_url == "http://192.0.2.7:8123/d/Mute/scpd.xml"
    assert read["Mute"].udn == UDN
    assert read["Thermometer2"].udn == read.devices[0].udn != UDN
    assert [each.friendly_name for each in read.all_devices()] == ["Box", "Inner"]


# --- reading: URLs ---


@pytest.mark.clause("SUB-05")
@pytest.mark.parametrize(
    ("base", "event", "absolute"),
    [
        ("", "/event", "http://192.0.2.7:8123/event"),
        ("", "event", "http://192.0.2.7:8123/upnp/event"),
        ("", " event?a=1&amp;b=2#top\n", "http://192.0.2.7:8123/upnp/event?a=1&b=2"),
        ("", "http://192.0.2.7:99/e", "http://192.0.2.7:99/e"),
        ("", "http://192.0.2.7:99", "http://192.0.2.7:99/"),
        ("", "HTTP://Host.example/E", "http://Host.example/E"),
        ("", "https://192.0.2.7/e", "https://192.0.2.7/e"),
        ("", "http://[fe80::1]:80/e", "http://[fe80::1]:80/e"),
        ("", "/a b/ü%20", "http://192.0.2.7:8123/a%20b/%C3%BC%20"),
        ("http://192.0.2.7:49152", "event", "http://192.0.2.7:49152/event"),
        ("http://192.0.2.7:49152/x/", "event", "http://192.0.2.7:49152/x/event"),
        ("http://192.0.2.7:49152/x/", "/event", "http://192.0.2.7:49152/event"),
        ("http://192.0.2.7:49152/x/", "http://192.0.2.8/e", "http://192.0.2.8/e"),
        ("/other/", "event", "http://192.0.2.7:8123/other/event"),
    ],
)
def test_event_urls_are_made_absolute(base: str, event: str, absolute: str) -> None:
    read = described(service_xml(event=event), base=f"<URLBase>{base}</URLBase>")
    assert read["Thermometer"].event_url == absolute
    assert read.problems == ()


@pytest.mark.clause("V6-07")
@pytest.mark.parametrize("zone", ["%eth0", "%25eth0", ""])
@pytest.mark.parametrize(
    ("base", "event"),
    [
        ("", "/e"),
        ("", "http://[fe80::1]:80/e"),
        ("", "http://[fe80::1%br-lan]:80/e"),
        ("", "http://[fe80::1%257]:80/e"),
        ("http://[fe80::1]:80/", "e"),
        ("http://[fe80::1%wlan0]:80/x/", "../e"),
    ],
)
def test_a_link_local_url_is_on_the_link_of_the_description(
    zone: str, base: str, event: str
) -> None:
    url = f"http://[fe80::1{zone}]:80/description.xml"
    text = (
        f"<root xmlns='u'><URLBase>{base}</URLBase><device><serviceList>{service_xml(event=event)}"
        "</serviceList></device></root>"
    )
    read = parse_description(text.encode(), url)
    shown = zone.replace("25", "")
    assert read["Thermometer"].event_url == f"http://[fe80::1{shown}]:80/e"
    assert read.problems == ()


@pytest.mark.clause("SUB-03")
@pytest.mark.parametrize("event", ["", " \n"])
def test_an_empty_event_url_stays_empty(event: str) -> None:
    assert described(service_xml(event=event))["Thermometer"].event_url == ""


@pytest.mark.parametrize(
    ("event", "why"),
    [
        ("ftp://192.0.2.7/e", "is no http URL"),
        ("javascript:alert(1)", "is no http URL"),
        ("http://192.0.2.7:99999/e", "is no URL"),
        ("http://[::1/e", "is no URL"),
        ("http://:80/e", "has no usable host and port"),
        ("http://192.0.2.7:0/e", "has no usable host and port"),
        ("http://me:secret@192.0.2.7/e", "has no usable host and port"),
        ("http://a b/e", "has no usable host and port"),
    ],
)
def test_an_event_url_that_is_none_is_dropped_and_told(event: str, why: str) -> None:
    read = described(service_xml(event=event))
    assert read["Thermometer"].event_url == ""
    assert read["Thermometer"].control_url == "http://192.0.2.7:8123/control"
    (problem,) = read.problems
    assert problem.startswith(f"the eventSubURL of {TYPE!r} was dropped: ")
    assert why in problem
    assert read["Thermometer"].event_url_problem == problem


@pytest.mark.parametrize(
    "event",
    [
        "(null)",
        "(NULL)",
        "null",
        "/(null)",
        "http://192.0.2.7:80/(null)",
        "/upnp/event/%28null%29",
        "(nil)/",
        "None",
        "undefined",
    ],
)
def test_what_programs_print_for_no_url_is_none(event: str) -> None:
    read = described(service_xml(event=event))
    assert read["Thermometer"].event_url == ""
    (problem,) = read.problems
    assert problem.endswith(" means that there is none")
    assert read["Thermometer"].event_url_problem == problem
    assert described(base=f"<URLBase>{event}</URLBase>").url_base == ""


@pytest.mark.parametrize("event", ["/null", "/evt/none", "nullable", "/(null)/event", "/undefined"])
def test_a_path_that_has_null_in_it_is_a_url(event: str) -> None:
    assert described(service_xml(event=event))["Thermometer"].event_url.endswith(event)


def test_the_url_base_that_was_used_is_named_and_can_be_ignored() -> None:
    def read(url_base: str, base: Base = Base.AS_WRITTEN) -> DeviceDescription:
        document = (
            f"<root xmlns='u'><URLBase>{url_base}</URLBase><device><serviceList>{service_xml()}"
            "</serviceList></device></root>"
        )
        return parse_description(document.encode(), URL, base=base)

    used = read("http://192.0.2.7:5/")
    assert (used.url_base, used.problems) == ("http://192.0.2.7:5/", ())
    assert read("").url_base == ""
    ignored = read("http://192.0.2.7:5/", Base.IGNORED)
    assert ignored.url_base == ""
    assert ignored.problems == ("the URLBase was ignored: it leads nowhere",)
    assert ignored["Thermometer"].event_url == "http://192.0.2.7:8123/event"


@pytest.mark.parametrize(
    ("url_base", "event", "absolute", "is_told"),
    [
        ("http://192.0.2.7:5/x", "e", "http://192.0.2.7:5/x/e", True),
        ("/x?y", "e", "http://192.0.2.7:8123/x/e", True),
        ("http://192.0.2.7:5/x/", "e", "http://192.0.2.7:5/x/e", False),
        ("", "e", "http://192.0.2.7:8123/upnp/e", False),
    ],
)
def test_a_url_base_can_be_read_as_a_folder(
    url_base: str, event: str, absolute: str, *, is_told: bool
) -> None:
    document = (
        f"<root xmlns='u'><URLBase>{url_base}</URLBase><device><serviceList>"
        f"{service_xml(event=event)}</serviceList></device></root>"
    )
    read = parse_description(document.encode(), URL, base=Base.AS_FOLDER)
    assert read["Thermometer"].event_url == absolute
    assert [problem[:27] for problem in read.problems] == ["the URLBase was read as htt"] * is_told


_SEGMENTS = st.lists(st.sampled_from(["a", "b.c", "x%20y", "ü", "s p"]), max_size=3)
_HOSTS = st.sampled_from(["192.0.2.7", "192.0.2.7:80", "[fd00::1]:8080", "[fe80::1%eth0]:1"])


@st.composite
def _written(draw: st.DrawFn) -> tuple[str, str, str, str]:
    """The URL of a description, its URLBase and eventSubURL, and the event URL that is meant."""
    host = f"http://{draw(_HOSTS)}"
    description, folder, below = (draw(_SEGMENTS) for _ in range(3))
    url = "/".join([host, *(quote(each, safe="%") for each in description), "d.xml"])
    event = "/".join([*below, draw(st.sampled_from(["event", "event?a=b&c", "e?u=/d"]))])
    base = "/".join([host, *folder, ""])
    way = draw(st.sampled_from(["absolute", "path", "base", "base path", "relative"]))
    whole = f"{base}{event}"
    if way == "absolute":
        return url, "", whole, whole
    if way == "path":
        return url, "", whole.removeprefix(host), whole
    if way == "base":
        return url, base, event, whole
    if way == "base path":
        return url, base.removeprefix(host), event, whole
    return url, "", "../" * len(description) + "/".join([*folder, event]), whole


@pytest.mark.clause("SUB-05")
@given(_written())
def test_however_an_event_url_is_written_it_is_the_same_url(
    written: tuple[str, str, str, str],
) -> None:
    url, base, event, meant = written
    document = (
        f"<root xmlns='u'><URLBase>{base}</URLBase><device><serviceList>"
        f"{service_xml(event=event.replace('&', '&amp;'))}</serviceList></device></root>"
    )
    read = parse_description(document.encode(), url)
    assert read["Thermometer"].event_url == meant.replace(" ", "%20").replace("ü", "%C3%BC")
    assert read.problems == ()


@pytest.mark.parametrize("event", ["", "/event"])
def test_an_event_url_that_is_one_or_empty_is_no_problem(event: str) -> None:
    assert described(service_xml(event=event))["Thermometer"].event_url_problem == ""


@pytest.mark.parametrize(
    "base",
    ["http://127.0.0.1:80/", "http://localhost/", "http://0.0.0.0:80", "http://[::1]/", "mailto:x"],
)
def test_a_url_base_that_cannot_be_right_is_ignored(base: str) -> None:
    read = described(service_xml(), base=f"<URLBase>{base}</URLBase>")
    assert read["Thermometer"].event_url == "http://192.0.2.7:8123/event"
    assert read.problems[0].startswith("the URLBase")


def test_a_device_on_this_very_host_may_say_so_in_url_base() -> None:
    document = f"<root><URLBase>http://127.0.0.1:7/</URLBase><device><serviceList>{service_xml()}"
    read = parse_description(
        f"{document}</serviceList></device></root>".encode(), "http://127.0.0.1:9/d.xml"
    )
    assert read["Thermometer"].event_url == "http://127.0.0.1:7/event"


# --- reading: what real devices send ---


def test_missing_elements_are_empty() -> None:
    read = parse_description(b"<root xmlns='urn:x'><device/></root>", URL)
    assert read == DeviceDescription(url=URL, udn="", friendly_name="", device_type="")


@pytest.mark.parametrize(
    ("version", "uda"),
    [
        ("", ""),
        ("<specVersion/>", "1.0"),
        ("<specVersion><major>2</major></specVersion>", "2.0"),
        ("<specVersion><major>1</major><minor> 1 </minor></specVersion>", "1.1"),
    ],
)
def test_the_spec_version_may_be_missing_or_half(version: str, uda: str) -> None:
    read = parse_description(f"<root>{version}<device/></root>".encode(), URL)
    assert read.uda == uda


@pytest.mark.parametrize(("text", "number"), [(" 5 ", 5), ("", None), ("x", None), ("-1", None)])
def test_a_config_id_that_is_no_number_counts_as_none(text: str, number: int | None) -> None:
    read = parse_description(f"<root configId='{text}'><device/></root>".encode(), URL)
    assert read.config_id == number


@pytest.mark.parametrize(
    "head",
    [
        b"\xef\xbb\xbf<?xml version='1.0'?>",
        b"\r\n <?xml version='1.0' encoding='utf-8'?>",
        b"<?xml version='1.0' encoding='iso-8859-1'?>",
        b"<!-- made by a machine -->",
    ],
)
def test_a_byte_order_mark_white_space_and_other_encodings_do_not_matter(head: bytes) -> None:
    read = parse_description(head + b"<root><device/></root>\r\n\0\0", URL)
    assert read.url == URL


def test_junk_name_spaces_and_elements_of_vendors_do_not_matter() -> None:
    read = parse_description(
        b"<u:root xmlns:u='urn:nobody' xmlns:v='urn:vendor'><u:device><v:UDN>theirs</v:UDN>"
        b"<u:UDN> uuid:1 </u:UDN><dlna:X_DLNADOC>DMR-1.50</dlna:X_DLNADOC>"
        b"<sec:friendlyName>TV</sec:friendlyName></u:device></u:root>",
        URL,
    )
    assert read.udn == "uuid:1"
    assert read.friendly_name == "TV"


def test_a_service_without_urls_is_kept_and_one_without_a_name_dropped() -> None:
    read = described(
        "<service><serviceId>urn:x:serviceId:Odd</serviceId></service>"
        "<service><eventSubURL>/e</eventSubURL></service>"
        f"<service><serviceType>{TYPE}</serviceType></service>"
    )
    assert [service.name for service in read] == ["Odd", "Thermometer"]
    assert read["Odd"] == ServiceDescription("", "urn:x:serviceId:Odd", "", "", "", UDN)
    assert read.problems == ("a service without a serviceType and a serviceId was dropped",)


def test_problems_in_an_embedded_device_are_told_in_the_root() -> None:
    inner = f"<device><serviceList>{service_xml(event='ftp://x/')}</serviceList></device>"
    read = described(more=f"<deviceList>{inner}</deviceList>")
    assert len(read.problems) == 1
    assert read.devices[0].problems == ()


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (b"", f"the description at {URL} cannot be read: "),
        (b"404 not found", f"the description at {URL} cannot be read: "),
        (b"<root><device></root>", "malformed XML"),
        (b"<!DOCTYPE root []><root/>", "document type declaration"),
        (b"<html/>", "its outermost element is 'html', not 'root'"),
        (b"<root><devices/></root>", f"the description at {URL} has no device element"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(document: bytes, words: str) -> None:
    with pytest.raises(DescriptionError) as caught:
        parse_description(document, URL)
    assert words in str(caught.value)


def test_endless_embedded_devices_are_refused() -> None:
    deep = "<device><deviceList>" * 5_000
    with pytest.raises(DescriptionError, match="nested too deeply"):
        parse_description(f"<root>{deep}".encode(), URL)
    with pytest.raises(DescriptionError, match="too many elements"):
        parse_description(b"<root><device/></root>", URL, Limits(xml_elements=1))


@given(
    st.text(
        alphabet=st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="<&\ufffe\uffff")
    )
)
def test_whatever_stands_in_an_event_url_gives_a_url_of_safe_characters(event: str) -> None:
    url = described(service_xml(event=event))["Thermometer"].event_url
    assert all("!" <= character <= "~" for character in url)
    assert url == "" or urlsplit(url).scheme in ("http", "https")


# --- looking up ---


INNER = "uuid:4d696e69-444c-164e-9d41-001122334456"


def bookshelf() -> DeviceDescription:
    first = service_xml(TYPE, "urn:example-org:serviceId:Inside")
    second = service_xml(TYPE, "urn:example-org:serviceId:Outside")
    volume = service_xml(
        "urn:schemas-upnp-org:service:RenderingControl:2", "urn:x:serviceId:RC", "/volume"
    )
    inner = f"<device><UDN>{INNER}</UDN><serviceList>{volume}</serviceList></device>"
    return described(first + second, more=f"<deviceList>{inner}</deviceList>")


@pytest.mark.parametrize(
    ("name", "service_id"),
    [
        ("urn:example-org:serviceId:Outside", "urn:example-org:serviceId:Outside"),
        (f"{UDN}/Inside", "urn:example-org:serviceId:Inside"),
        (f"{UDN.upper()}/urn:example-org:serviceId:Inside", "urn:example-org:serviceId:Inside"),
        (f"{INNER}/RenderingControl", "urn:x:serviceId:RC"),
        ("http://192.0.2.7:8123/volume", "urn:x:serviceId:RC"),
        ("Outside", "urn:example-org:serviceId:Outside"),
        ("RenderingControl", "urn:x:serviceId:RC"),
        ("RC", "urn:x:serviceId:RC"),
        ("urn:schemas-upnp-org:service:RenderingControl:1", "urn:x:serviceId:RC"),
    ],
)
def test_a_service_is_found_by_any_of_its_names(name: str, service_id: str) -> None:
    device = bookshelf()
    assert device[name].service_id == device.service(name).service_id == service_id
    assert name in device


@pytest.mark.parametrize(
    "name",
    [
        "",
        "thermometer",
        "urn:schemas-upnp-org:service:RenderingControl:3",
        "urn:schemas-upnp-org:service:RenderingControl:x",
    ],
)
def test_a_service_that_is_not_there_is_a_key_error_that_lists_those_that_are(name: str) -> None:
    with pytest.raises(KeyError, match=r"Box has no service .*; there are: .*Outside, Rend"):
        bookshelf()[name]
    assert name not in bookshelf()


def test_a_device_without_services_or_name_is_told_by_its_url() -> None:
    with pytest.raises(KeyError, match=f"{URL} has no service 'X'; there are: none"):
        parse_description(b"<root><device/></root>", URL)["X"]


def test_an_empty_name_finds_no_service() -> None:
    assert "" not in described("<service><serviceType>urn:x</serviceType></service>")


def test_a_service_description_is_in_the_device_that_it_came_from() -> None:
    device = bookshelf()
    assert next(iter(device)) in device
    assert ServiceDescription(TYPE, "", "", "", "") not in device


@pytest.mark.parametrize(
    ("service_type", "service_id", "name"),
    [
        (TYPE, "", "Thermometer"),
        ("urn:a:b:service:Thermometer:1", "", "Thermometer"),
        ("Thermometer", "urn:x:serviceId:T", "T"),
        ("Thermometer", "", "Thermometer"),
    ],
)
def test_the_short_name_of_a_service(service_type: str, service_id: str, name: str) -> None:
    assert ServiceDescription(service_type, service_id, "", "", "").name == name


def test_the_order_of_look_up_is_type_id_and_short_name() -> None:
    by_short_name = service_xml("urn:a:service:N:1", "urn:a:serviceId:x")
    by_id = service_xml("urn:a:service:P:1", "N")
    by_type = service_xml("N", "urn:a:serviceId:y")
    in_order = [by_short_name, by_id, by_type]
    found = [described("".join(in_order[:count]))["N"] for count in range(1, 4)]
    assert all(one != other for one, other in pairwise(found))


@pytest.mark.parametrize(
    ("services", "name"),
    [
        (((TYPE, "urn:a:serviceId:1"), (TYPE, "urn:a:serviceId:2")), TYPE),
        (((TYPE, "urn:a:serviceId:1"), (TYPE, "urn:a:serviceId:2")), "Thermometer"),
        (((TYPE, "urn:a:serviceId:Thermometer"), (TYPE, "urn:a:serviceId:B")), "Thermometer"),
        ((("urn:a:service:N:1", "urn:a:id:x"), ("urn:a:service:O:1", "urn:a:id:N")), "N"),
        ((("urn:a:service:N:2", "urn:a:id:x"), ("urn:a:service:N:3", "urn:a:id:y")), "N"),
        (
            (("urn:a:service:N:2", "urn:a:id:x"), ("urn:a:service:N:3", "urn:a:id:y")),
            "urn:a:service:N:1",
        ),
    ],
)
def test_a_name_of_several_services_is_a_key_error_with_names_that_tell_them_apart(
    services: tuple[tuple[str, str], ...], name: str
) -> None:
    device = described("".join(service_xml(*each, f"/{each[1]}") for each in services))
    with pytest.raises(KeyError) as caught:
        device[name]
    told = str(caught.value.args[0])
    assert told.startswith(f"Box has 2 services with the name {name!r}; give one of these names: ")
    names = told.partition("names: ")[2].split(", ")
    assert [device[each].service_id for each in names] == [each[1] for each in services]
    assert name in device
    assert [each.service_id for each in device.services_named(name)] == [s[1] for s in services]


def test_a_service_that_stands_in_the_document_twice_is_one() -> None:
    device = described(service_xml() * 2)
    assert device["Thermometer"] == device.services[0]


def test_the_names_in_an_error_are_bounded() -> None:
    services = (service_xml(TYPE, f"urn:a:id:{n}") for n in range(200))
    device = described("".join(services))
    for name in ("Thermometer", "Nothing"):
        with pytest.raises(KeyError, match=r", ….?$") as caught:
            device[name]
        assert str(caught.value).count("urn:a:id:") == 64


# --- the size of URLs ---


@pytest.mark.slow
def test_a_long_urlbase_before_many_services_takes_no_more_than_some_times_the_document() -> None:
    base = f"<URLBase>http://192.0.2.7/{'x' * 400_000}/</URLBase>"
    services = service_xml(event="e") * 600
    assert memory(lambda: described(services, base=base)) < 16 * len(base + services)
    read = described(services, base=base)
    assert "longer than 2048" in read.problems[0]
    assert read.services[0].event_url == "http://192.0.2.7:8123/upnp/e"


def test_a_url_that_is_too_long_is_dropped_and_told() -> None:
    longest = "/" + "x" * (2_048 - len("http://192.0.2.7:8123/"))
    read = described(service_xml(event=longest) + service_xml(event=longest + "x"))
    assert len(read.services[0].event_url) == 2_048
    assert read.services[1].event_url == ""
    assert "longer than 2048" in read.services[1].event_url_problem
    assert described(service_xml(event="/" + "é" * 400)).services[0].event_url == ""


def test_all_urls_of_a_description_together_are_bounded() -> None:
    base = f"<URLBase>http://192.0.2.7/{'x' * 2_000}/</URLBase>"
    short = "<service><serviceType>a</serviceType><controlURL>b</controlURL></service>"
    read = described(short * 4_000, base=base)
    urls = [service.control_url for service in read.services]
    assert len(urls) == 4_000
    assert sum(map(len, urls)) <= DEFAULT_LIMITS.body_bytes + DEFAULT_LIMITS.url_bytes
    assert "together are too long" in read.problems[-1]
