"""What a device sends over SSDP, and what it answers to searches."""

from __future__ import annotations

from dataclasses import replace

from ssdp_messages import (
    ALL_ANSWERS,
    DEVICE,
    EMBEDDED,
    EMBEDDED_SERVICE,
    ROOT,
    SERVICE,
    AddAddress,
    Announces,
    Begin,
    Flood,
    OffLink,
    Pause,
    Reads,
    RemoveAddress,
    Search,
    Silence,
    SsdpRow,
    Stop,
    alive,
    paragraph,
    search,
    usn,
)

EVERYWHERE = ("IPv4", "IPv6", "IPv6 of a site")
IPV4, LINKS = ("IPv4",), ("IPv4", "IPv6")

FIRST = Announces("ssdp:alive", learn=True)
"""All advertisements of a device that has begun."""

SETTLED = Pause(1.0)
"""Until the sets of a beginning are over."""

BEGUN = (Begin(), FIRST, SETTLED)

_SECURE = "https://bench.example/description.xml"

ANNOUNCED = (
    *(
        SsdpRow(
            f"a device of UDA {uda} announces each of its targets, with each header and no others",
            ("NLS-01", "NLS-02", "V6-10"),
            (Begin(), FIRST),
            uda=uda,
            rule=paragraph(uda, "alive"),
            families=EVERYWHERE,
        )
        for uda in ("1.0", "1.1", "2.0")
    ),
    SsdpRow(
        "a device announces itself two or three times",
        (),
        (Begin(), replace(FIRST, least=2, most=3, then=2.0)),
        rule="UDA 2.0 §1.2.2",
        families=EVERYWHERE,
    ),
    SsdpRow(
        "the description is at LOCATION, with the CONFIGID of the announcements",
        (),
        (Begin(), FIRST, Reads()),
        rule="UDA 2.0 §1.2.2, §2.1",
        families=EVERYWHERE,
    ),
    SsdpRow(
        "a device announces itself on each network, with an address of that network",
        ("CP-13",),
        (Begin(), FIRST, Announces("ssdp:alive", host="far")),
        rule="UDA 2.0 §1.2",
        families=EVERYWHERE,
    ),
    SsdpRow(
        "a device on one interface announces itself there alone",
        (),
        (Begin({"interface": "eth0"}), FIRST, Silence(host="far")),
        rule="UDA 2.0 §1.2",
        families=EVERYWHERE,
    ),
    SsdpRow(
        "a device does not announce itself on an interface that is excluded",
        (),
        (Begin({"exclude": ["eth1"]}), FIRST, Silence(host="far")),
        rule="UDA 2.0 §1.2",
        families=EVERYWHERE,
    ),
    SsdpRow(
        "a device that shall not be announced sends and answers nothing",
        (),
        (Begin({"announce": False}), Silence(1.5), Search(search()), Stop(), Silence()),
        rule="UDA 2.0 §1.2",
        families=LINKS,
    ),
    SsdpRow(
        "a device on loopback alone sends and answers nothing on the networks",
        (),
        (Begin({"interface": "127.0.0.1"}), Silence(1.5), Search(search())),
        rule="UDA 2.0 §1.2",
        families=LINKS,
    ),
    SsdpRow(
        "CACHE-CONTROL has the duration of the announcements",
        (),
        (
            Begin({"max_age": 3600}),
            replace(FIRST, headers={"CACHE-CONTROL": "max-age=3600"}),
            Search(
                search(ROOT),
                (usn(ROOT, "{udn}"),),
                headers={"CACHE-CONTROL": "max-age=3600"},
            ),
        ),
        rule="UDA 2.0 §1.2.2, §1.3.3",
        families=LINKS,
    ),
    SsdpRow(
        "a device announces itself again before half of the duration has passed",
        (),
        (
            Begin({"max_age": 5}),
            replace(FIRST, headers={"CACHE-CONTROL": "max-age=5"}),
            Pause(1.0),
            Announces("ssdp:alive", most=1, within=4.0, headers={"CACHE-CONTROL": "max-age=5"}),
        ),
        rule="UDA 2.0 §1.2.2",
        families=EVERYWHERE,
    ),
    *(
        SsdpRow(
            f"SECURELOCATION of a device of UDA {uda} is {where}",
            ("SEC-01",),
            (
                Begin({"secure_location": _SECURE}),
                replace(FIRST, headers=headers),
                Search(search(ROOT), (usn(ROOT, "{udn}"),), headers=headers),
                Pause(1.0),
                Stop(),
                Announces("ssdp:byebye"),
            ),
            uda=uda,
            rule=f"UDA {uda} §1.2.2, §1.3.3",
            families=IPV4,
        )
        for uda, where, headers in (
            ("2.0", "in announcements and answers", {"SECURELOCATION.UPNP.ORG": _SECURE}),
            ("1.1", "nowhere", {}),
        )
    ),
    SsdpRow(
        "BOOTID rises from one start to the next, and stays between them",
        ("CP-13", "NLS-02"),
        (
            Begin(),
            FIRST,
            SETTLED,
            Search(search(ROOT), (usn(ROOT, "{udn}"),)),
            Stop(),
            Announces("ssdp:byebye"),
            Begin(),
            Announces("ssdp:alive", learn=True, headers={"BOOTID.UPNP.ORG": ">{boot}"}),
        ),
        rule="UDA 2.0 §1.2.2",
        families=LINKS,
    ),
)

LEFT = (
    *(
        SsdpRow(
            f"a device of UDA {uda} says byebye for each target, with each header and no others",
            ("NLS-01",),
            (*BEGUN, Stop(), Announces("ssdp:byebye")),
            uda=uda,
            rule=paragraph(uda, "byebye"),
            families=EVERYWHERE,
        )
        for uda in ("1.0", "1.1", "2.0")
    ),
    SsdpRow(
        "a device says byebye on each network",
        (),
        (
            *BEGUN,
            Stop(),
            Announces("ssdp:byebye"),
            Announces("ssdp:byebye", host="far"),
        ),
        rule="UDA 2.0 §1.2.3",
        families=EVERYWHERE,
    ),
    SsdpRow(
        "nothing follows a byebye",
        (),
        (
            *BEGUN,
            Stop(),
            Announces("ssdp:byebye"),
            Silence(),
            Search(search()),
        ),
        rule="UDA 2.0 §1.2.3",
        families=LINKS,
    ),
)

ANSWERED = (
    *(
        SsdpRow(
            f"a search for {what} is answered by a device of UDA {uda}",
            ("NLS-01", "V6-14"),
            (*BEGUN, Search(search(target), answers)),
            uda=uda,
            rule=paragraph(uda, "answer"),
            families=EVERYWHERE if uda == "2.0" else LINKS,
        )
        for uda in ("1.0", "1.1", "2.0")
        for what, target, answers in (
            ("everything", "ssdp:all", ALL_ANSWERS),
            ("root devices", ROOT, (usn(ROOT, "{udn}"),)),
        )
    ),
    *(
        SsdpRow(
            f"a search for {what} is answered",
            (),
            (*BEGUN, Search(search(target), answers)),
            rule="UDA 2.0 §1.3.3",
            families=IPV4,
        )
        for what, target, answers in (
            ("the UDN of the root device", "{udn}", (usn("{udn}", "{udn}"),)),
            (
                "the UDN of an embedded device",
                "{embedded}",
                (usn("{embedded}", "{embedded}"),),
            ),
            ("the type of the root device", DEVICE, (usn(DEVICE, "{udn}"),)),
            ("the type of an embedded device", EMBEDDED, (usn(EMBEDDED, "{embedded}"),)),
            ("the type of a service", SERVICE, (usn(SERVICE, "{udn}"),)),
            (
                "the type of a service of an embedded device",
                EMBEDDED_SERVICE,
                (usn(EMBEDDED_SERVICE, "{embedded}"),),
            ),
            (
                "an earlier version of a device type",
                DEVICE.replace(":2", ":1"),
                (usn(DEVICE.replace(":2", ":1"), "{udn}"),),
            ),
            (
                "an earlier version of a service type",
                EMBEDDED_SERVICE.replace(":3", ":2"),
                (usn(EMBEDDED_SERVICE.replace(":3", ":2"), "{embedded}"),),
            ),
        )
    ),
    *(
        SsdpRow(
            f"a search {how} is answered",
            (),
            (*BEGUN, Search(data, (usn(ROOT, "{udn}"),), within=within)),
            rule=rule,
            families=IPV4,
        )
        for how, rule, within, data in (
            (
                "with names in small letters",
                "UDA 2.0 §1.1.2",
                1.0,
                search(ROOT).replace("ST:", "st:"),
            ),
            (
                "without white space behind colons",
                "UDA 2.0 §1.1.2",
                1.0,
                search(ROOT).replace(": ", ":"),
            ),
            (
                "with a header that nobody knows",
                "UDA 2.0 §1.1.3",
                1.0,
                search(ROOT, X__EXAMPLE="x"),
            ),
            ("with USER-AGENT", "UDA 2.0 §1.3.2", 1.0, search(ROOT, USER_AGENT="a/1 UPnP/2.0 b/1")),
            (
                "with the headers of a control point of UDA 2.0",
                "UDA 2.0 §1.3.2",
                1.0,
                search(ROOT, CPFN__UPNP__ORG="Remote", TCPPORT__UPNP__ORG="50000"),
            ),
            ("with an MX of 3 seconds", "UDA 2.0 §1.3.3", 3.0, search(ROOT, MX="3")),
            (
                "with an MX of two minutes, in 5 seconds,",
                "UDA 2.0 §1.3.3",
                5.0,
                search(ROOT, MX="120"),
            ),
        )
    ),
    *(
        SsdpRow(
            f"a search {how} is not answered",
            (),
            (
                *BEGUN,
                Search(data, within=1.2),
                Search(search(ROOT), (usn(ROOT, "{udn}"),)),
            ),
            rule=rule,
            families=IPV4,
        )
        for how, rule, data in (
            ("for another UDN", "UDA 2.0 §1.3.3", search("{udn}0")),
            ("for another type", "UDA 2.0 §1.3.3", search("urn:example-org:device:Bank:2")),
            (
                "for a type of another domain",
                "UDA 2.0 §1.3.3",
                search(DEVICE.replace("-org", "-com")),
            ),
            ("for a later version of a type", "UDA 2.0 §1.3.3", search(DEVICE.replace(":2", ":3"))),
            ("without MX", "UDA 2.0 §1.3.3", search(ROOT, MX=None)),
            ("with an MX that is no number", "UDA 2.0 §1.3.2", search(ROOT, MX="soon")),
            ("without MAN", "UDA 2.0 §1.3.2", search(ROOT, MAN=None)),
            ("with another MAN", "UDA 2.0 §1.3.2", search(ROOT, MAN='"ssdp:find"')),
            ("without ST", "UDA 2.0 §1.3.2", search(ROOT, ST=None)),
            ("with an empty ST", "UDA 2.0 §1.3.2", search("")),
            ("of another method", "UDA 2.0 §1.3.2", search(ROOT, "SEARCH * HTTP/1.1")),
            ("for a path", "UDA 2.0 §1.3.2", search(ROOT, "M-SEARCH /description.xml HTTP/1.1")),
            ("of HTTP/2", "UDA 2.0 §1.3.2", search(ROOT, "M-SEARCH * HTTP/2.0")),
            ("that is an advertisement", "UDA 2.0 §1.2.2", alive(LOCATION="http://192.0.2.1/")),
            ("of more than a packet", "UDA 2.0 §1.1", search(ROOT, X__EXAMPLE="x" * 9_000)),
        )
    ),
    SsdpRow(
        "a search that is repeated at once is answered once",
        (),
        (*BEGUN, Search(search(), ALL_ANSWERS, times=3)),
        rule="UDA 2.0 §1.3.3",
        families=LINKS,
    ),
    SsdpRow(
        "a search is answered again when the first answers are over",
        (),
        (*BEGUN, Search(search(), ALL_ANSWERS), Pause(1.0), Search(search(), ALL_ANSWERS)),
        rule="UDA 2.0 §1.3.3",
        families=LINKS,
    ),
    SsdpRow(
        "a search on another network is answered with an address of that network",
        (),
        (
            *BEGUN,
            Search(search(), ALL_ANSWERS, host="far"),
        ),
        rule="UDA 2.0 §1.3.3",
        families=EVERYWHERE,
    ),
    SsdpRow(
        "a search to the own port of the device needs no MX, and is answered within a second",
        (),
        (
            *BEGUN,
            Search(search(MX=None), ALL_ANSWERS, to="port"),
        ),
        uda="2.0",
        rule="UDA 2.0 §1.3.2, §1.3.3",
        families=LINKS,
    ),
    SsdpRow(
        "a search to the own port of the device is not answered without MAN",
        (),
        (*BEGUN, Search(search(MX=None, MAN=None), to="port")),
        uda="2.0",
        rule="UDA 2.0 §1.3.2",
        families=LINKS,
    ),
    SsdpRow(
        "a search from an address that is not on the network is not answered",
        (),
        (*BEGUN, OffLink("198.51.100.9"), Search(search(), source="198.51.100.9", within=1.5)),
        rule="no amplification",
        families=IPV4,
    ),
    SsdpRow(
        "a flood of searches brings a bounded number of answers",
        (),
        (*BEGUN, Flood(search(), number=200, most=200_000)),
        rule="no amplification",
        families=LINKS,
    ),
)

MOVED = (
    SsdpRow(
        "an address of a new network: an update announces the next BOOTID, which follows there too",
        ("CP-13", "NLS-02"),
        (
            *BEGUN,
            AddAddress("10.79.0.1/24"),
            Announces("ssdp:update", most=9),
            Announces(
                "ssdp:alive",
                most=9,
                learn=True,
                headers={"BOOTID.UPNP.ORG": ">{boot}", "01-NLS": "!{nls}"},
            ),
        ),
        uda="2.0",
        rule="UDA 2.0 §1.2.4",
        families=("IPv6",),
    ),
    SsdpRow(
        "a device of UDA 1.0 has no updates: its signature changes",
        ("NLS-02",),
        (
            *BEGUN,
            AddAddress("10.79.0.1/24"),
            Announces("ssdp:alive", most=9, learn=True, headers={"01-NLS": "!{nls}"}),
        ),
        uda="1.0",
        rule="UDA 1.0 §A.4",
        families=("IPv6",),
    ),
    SsdpRow(
        "an address that goes: an update announces the next BOOTID on the networks that stay",
        ("CP-13", "NLS-02"),
        (
            AddAddress("10.79.0.1/24"),
            Pause(0.2),
            *BEGUN,
            RemoveAddress("10.79.0.1/24"),
            Announces("ssdp:update", most=9),
            Announces(
                "ssdp:alive",
                most=9,
                learn=True,
                headers={"BOOTID.UPNP.ORG": ">{boot}", "01-NLS": "!{nls}"},
            ),
        ),
        uda="2.0",
        rule="UDA 2.0 §1.2.4",
        families=("IPv6",),
    ),
)

ROWS = (*ANNOUNCED, *LEFT, *ANSWERED, *MOVED)
