"""What a control point sends, and what it makes of the datagrams of devices."""

from __future__ import annotations

from ssdp_messages import (
    ALL_ALIVE,
    DEVICE,
    EMBEDDED,
    NLS,
    ROOT,
    SERVICE,
    Causes,
    Datagrams,
    Find,
    Hears,
    Leave,
    Move,
    Pause,
    Requests,
    Restart,
    SearchFor,
    Seen,
    Sees,
    SsdpRow,
    alive,
    answer,
    byebye,
    paragraph,
    update,
)

_SEARCH = "M-SEARCH * HTTP/1.1"
_AGENT = r"~[^ ]+/[^ ]+ UPnP/{uda} propchange/[^ ]+"


def _search(uda: str, target: str = "ssdp:all") -> dict[str, str]:
    headers = {"HOST": "{group}", "MAN": '"ssdp:discover"', "MX": "~[1-5]", "ST": target}
    if uda != "1.0":
        headers["USER-AGENT"] = _AGENT.replace("{uda}", uda)
    if uda == "2.0":
        headers["CPFN.UPNP.ORG"] = "propchange"
    return headers


APPEARED = Seen("appeared", {"description_url": "{seen}"})

SEARCHES = (
    *(
        SsdpRow(
            f"a control point of UDA {uda} searches for all devices",
            ("CP-06", "NLS-01"),
            (Hears(_SEARCH, _search(uda)),),
            uda=uda,
            rule=paragraph(uda, "search"),
        )
        for uda in ("1.0", "1.1", "2.0")
    ),
    SsdpRow(
        "a search is sent more than once, each time the same",
        ("CP-06",),
        (Hears(_SEARCH, _search("1.1"), times=2),),
        rule="UDA 1.1 §1.3.2",
    ),
    SsdpRow(
        "a search passes two routers at most",
        ("CP-06",),
        (Hears(_SEARCH, _search("1.1"), hops=2),),
        rule="UDA 1.1 §1.3.2",
        families=("IPv4", "IPv6"),
    ),
    SsdpRow(
        "a search of a site passes ten routers at most",
        ("CP-06",),
        (Hears(_SEARCH, _search("1.1"), hops=10),),
        rule="UDA 2.0 §A.2",
        families=("IPv6 of a site",),
    ),
    SsdpRow(
        "a search goes to each network",
        ("CP-06",),
        tuple(Hears(_SEARCH, _search("1.1"), host=each) for each in ("near", "far")),
        rule="UDA 2.0 §1.3.2",
    ),
    *(
        SsdpRow(
            f"a search for {what} has it in ST",
            ("CP-06",),
            (SearchFor(target), Hears(_SEARCH, _search("1.1", target), times=2)),
            rule="UDA 1.1 §1.3.2",
        )
        for what, target in (
            ("root devices", ROOT),
            ("a UDN", "{udn}"),
            ("a device type", DEVICE),
            ("a service type", SERVICE),
        )
    ),
    SsdpRow(
        "a device is found by its UDN",
        ("CP-06",),
        (Datagrams((alive(),)), Find()),
        rule="UDA 1.1 §1.3.2",
    ),
)

HEARD = (
    SsdpRow(
        "a root device appears with its first advertisement",
        ("CP-06",),
        (Datagrams((alive(),)), Sees((APPEARED,))),
        rule="UDA 2.0 §1.2.2",
    ),
    SsdpRow(
        "all advertisements of a root device are one appearance",
        ("CP-06",),
        (
            Datagrams(ALL_ALIVE * 3),
            Sees((Seen("appeared", {"types": (DEVICE, SERVICE), "is_root": True}),)),
        ),
        rule="UDA 2.0 §1.2.2, tables 1-1 to 1-3",
    ),
    SsdpRow(
        "an advertisement that is repeated is no news",
        ("CP-06",),
        (Datagrams((alive(),)), Sees((APPEARED,)), Datagrams((alive(),) * 3), Sees()),
        rule="UDA 2.0 §1.2.2",
    ),
    SsdpRow(
        "a device appears by its answer to a search",
        ("CP-06",),
        (Datagrams((answer(),), answer=True), Sees((APPEARED,))),
        rule="UDA 2.0 §1.3.3",
    ),
    SsdpRow(
        "an answer with the ST of a search for everything is for the target in USN",
        ("CP-06",),
        (
            Datagrams((answer(DEVICE, ST="ssdp:all"), answer(ST="ssdp:all")), answer=True),
            Sees((Seen("appeared", {"types": (DEVICE,)}),)),
        ),
        rule="UDA 2.0 §1.3.3",
    ),
    *(
        SsdpRow(
            f"an advertisement {how} is taken",
            ("CP-06",),
            (Datagrams((data,)), Sees((APPEARED,))),
            rule=rule,
            families=("IPv4",),
        )
        for how, rule, data in (
            (
                "with names in small letters",
                "UDA 2.0 §1.1.2",
                alive().replace("NTS:", "nts:").replace("USN:", "usn:").replace("LOC", "loc"),
            ),
            ("without white space behind colons", "UDA 2.0 §1.1.2", alive().replace(": ", ":")),
            ("with lines that end in LF", "UDA 2.0 §1.1", alive().replace("\r\n", "\n")),
            ("with a header that nobody knows", "UDA 2.0 §1.1.3", alive(X__EXAMPLE__ORG="x")),
            (
                "with another directive in CACHE-CONTROL",
                "UDA 2.0 §1.2.2",
                alive(CACHE_CONTROL='no-cache="Ext", max-age = 1800'),
            ),
            ("without SERVER", "UDA 2.0 §1.2.2", alive(SERVER=None)),
            (
                "without BOOTID and CONFIGID",
                "UDA 1.0 §1.1.2",
                alive(BOOTID__UPNP__ORG=None, CONFIGID__UPNP__ORG=None),
            ),
            (
                "with a body that says something else",
                "UDA 2.0 §1.1",
                alive() + "NTS: ssdp:byebye\r\n",
            ),
            ("with HOST of another port", "UDA 2.0 §1.2.2", alive(HOST="239.255.255.250:1901")),
        )
    ),
    *(
        SsdpRow(
            f"{what} is ignored",
            ("CP-06",),
            (Datagrams((data,)), Sees(), Datagrams((alive(),)), Sees((APPEARED,))),
            rule=rule,
            families=("IPv4",),
        )
        for what, rule, data in (
            ("an advertisement without NTS", "UDA 2.0 §1.2.2", alive(NTS=None)),
            ("an advertisement with an unknown NTS", "UDA 2.0 §1.2.2", alive(NTS="ssdp:hello")),
            ("an advertisement without LOCATION", "UDA 2.0 §1.2.2", alive(LOCATION=None)),
            (
                "an advertisement whose USN has no UDN",
                "UDA 2.0 §1.2.2",
                alive(USN="upnp:rootdevice"),
            ),
            (
                "an advertisement with a LOCATION on another network",
                "UDA 2.0 §1.2.2",
                alive(LOCATION="http://192.0.2.7/description.xml"),
            ),
            (
                "an advertisement with a LOCATION on the own machine",
                "UDA 2.0 §1.2.2",
                alive(LOCATION="http://127.0.0.1/description.xml"),
            ),
            (
                "a NOTIFY of a path",
                "UDA 2.0 §1.2.2",
                alive().replace("NOTIFY *", "NOTIFY /description.xml"),
            ),
            ("the search of another control point", "UDA 2.0 §1.3.2", _SEARCH + "\r\n\r\n"),
            ("an answer with status 404", "UDA 2.0 §1.3.3", answer(line="HTTP/1.1 404 Not Found")),
            ("a byebye of a device that is not there", "UDA 2.0 §1.2.3", byebye()),
            ("an update of a device that is not there", "UDA 2.0 §1.2.4", update()),
            ("junk", "UDA 2.0 §1.1", b"\x00\xff" * 40),
            ("an empty datagram", "UDA 2.0 §1.1", b""),
            (
                "a datagram of more than a packet",
                "UDA 2.0 §1.2.2",
                alive(X__EXAMPLE__ORG="x" * 9_000),
            ),
        )
    ),
    SsdpRow(
        "another version of the description is news",
        ("CP-06",),
        (
            Datagrams((alive(),)),
            Sees((APPEARED,)),
            Datagrams((alive(CONFIGID__UPNP__ORG="2"),)),
            Sees((Seen("changed"),)),
        ),
        rule="UDA 2.0 §1.2.2",
    ),
    SsdpRow(
        "a number with leading zeros is the same number",
        ("CP-09",),
        (
            Datagrams((alive(),)),
            Sees((APPEARED,)),
            Datagrams((alive(BOOTID__UPNP__ORG="005", CONFIGID__UPNP__ORG="01"),)),
            Sees(),
        ),
        rule="UDA 2.0 §1.2.2",
    ),
    SsdpRow(
        "another BOOTID is news",
        ("CP-09",),
        (
            Datagrams((alive(),)),
            Sees((APPEARED,)),
            Datagrams((alive(BOOTID__UPNP__ORG="6"),)),
            Sees((Seen("changed"),)),
        ),
        rule="UDA 2.0 §1.2.2",
    ),
)

LEFT = (
    SsdpRow(
        "a device that says byebye has gone",
        ("CP-07",),
        (
            Datagrams((alive(),)),
            Sees((APPEARED,)),
            Datagrams((byebye(),) * 3),
            Sees((Seen("gone", {"description_url": "{seen}"}),)),
        ),
        rule="UDA 2.0 §1.2.3",
    ),
    SsdpRow(
        "a byebye of UDA 1.0 counts",
        ("CP-07",),
        (
            Datagrams((alive(BOOTID__UPNP__ORG=None, CONFIGID__UPNP__ORG=None),)),
            Sees((APPEARED,)),
            Datagrams((byebye(BOOTID__UPNP__ORG=None, CONFIGID__UPNP__ORG=None),)),
            Sees((Seen("gone"),)),
        ),
        rule="UDA 1.0 §1.1.3",
    ),
    SsdpRow(
        "the byebye of a service is that of its device",
        ("CP-11",),
        (
            Datagrams((alive(), alive(SERVICE))),
            Sees((APPEARED,)),
            Datagrams((byebye(SERVICE),)),
            Sees((Seen("gone"),)),
        ),
        rule="UDA 2.0 §1.2.3",
    ),
    SsdpRow(
        "a byebye on a network where the device was not heard means nothing on the others",
        ("CP-11",),
        (
            Datagrams((alive(),)),
            Sees((APPEARED,)),
            Datagrams((byebye(),), host="far"),
            Sees(),
        ),
        rule="UDA 2.0 §1.2.3",
    ),
    SsdpRow(
        "a device on two networks has gone when it has left both",
        ("CP-11",),
        (
            Datagrams((alive(),)),
            Sees((APPEARED,)),
            Datagrams((alive(LOCATION="{elsewhere}"),), host="far"),
            Sees((Seen("changed"),)),
            Datagrams((byebye(),)),
            Sees((Seen("changed", {"description_url": "{seen_elsewhere}"}),)),
            Datagrams((byebye(),), host="far"),
            Sees((Seen("gone"),)),
        ),
        rule="UDA 2.0 §1.2.3",
    ),
    SsdpRow(
        "a device that comes back after its byebye appears again",
        ("CP-07",),
        (
            Datagrams((alive(),)),
            Sees((APPEARED,)),
            Datagrams((byebye(),)),
            Sees((Seen("gone"),)),
            Datagrams((alive(BOOTID__UPNP__ORG="6"),)),
            Sees((APPEARED,)),
        ),
        rule="UDA 2.0 §1.2.3",
    ),
    SsdpRow(
        "a device whose advertisements have expired has gone",
        ("CP-12",),
        (
            Datagrams((alive(CACHE_CONTROL="max-age=1"),)),
            Sees((APPEARED, Seen("gone"))),
        ),
        rule="UDA 2.0 §1.2.2",
    ),
    SsdpRow(
        "a device stays while one of its advertisements has not expired",
        ("CP-12",),
        (
            Datagrams((alive(), alive(SERVICE, CACHE_CONTROL="max-age=1"))),
            Sees((APPEARED,)),
            Pause(1.2),
            Sees(),
        ),
        rule="UDA 2.0 §1.2.2",
    ),
    SsdpRow(
        "a device that is advertised again in time stays",
        ("CP-12",),
        (
            # Four seconds, because a busy machine may take two of them for the first steps.
            Datagrams((alive(CACHE_CONTROL="max-age=4"),)),
            Sees((APPEARED,)),
            Pause(0.5),
            Datagrams((alive(CACHE_CONTROL="max-age=60"),)),
            Pause(3.6),
            Sees(),
        ),
        rule="UDA 2.0 §1.2.2",
    ),
)

FRESH = Causes(("device-rebooted", "initial-event"))

FOLLOWED = (
    SsdpRow(
        "a byebye of a device that has left cancels the subscription, without UNSUBSCRIBE",
        ("CP-07",),
        (
            Datagrams((alive(),)),
            Leave(),
            Datagrams((byebye(),) * 3),
            Causes(("device-gone",)),
            Restart(),
            Datagrams((alive(BOOTID__UPNP__ORG="6"),)),
            Requests(("subscribe",)),
        ),
        rule="UDA 2.0 §4.1.1",
        follows=True,
    ),
    SsdpRow(
        "a byebye that the device did not send costs one renewal and no subscription",
        ("CP-07",),
        (
            Datagrams((alive(),)),
            Requests(),
            Datagrams((byebye(),) * 3),
            Requests(("renew",)),
            Causes(),
        ),
        rule="UDA 2.0 §4.1.1",
        follows=True,
    ),
    SsdpRow(
        "a byebye of an embedded device is one of the root device",
        ("CP-11", "CP-07"),
        (
            Datagrams(ALL_ALIVE),
            Leave(),
            Datagrams((byebye(EMBEDDED, "{embedded}"),)),
            Causes(("device-gone",)),
        ),
        rule="UDA 2.0 §1.2.3",
        follows=True,
    ),
    *(
        SsdpRow(
            f"a BOOTID that {how} unannounced cancels the subscription",
            (clause,),
            (
                Datagrams((alive(),)),
                Requests(),
                Restart(),
                Datagrams((alive(BOOTID__UPNP__ORG=number),) * 3),
                Requests(("renew", "subscribe")),
            ),
            rule="UDA 2.0 §4.1.1",
            follows=True,
        )
        for how, number, clause in (("rises", "6", "CP-08"), ("falls", "4", "CP-09"))
    ),
    SsdpRow(
        "a BOOTID that an answer to a search has counts too",
        ("CP-08",),
        (
            Datagrams((alive(),)),
            Requests(),
            Restart(),
            Datagrams((answer(BOOTID__UPNP__ORG="6"),), answer=True),
            Requests(("renew", "subscribe")),
        ),
        rule="UDA 2.0 §4.1.1",
        follows=True,
    ),
    SsdpRow(
        "a forged BOOTID costs one renewal and no subscription",
        ("CP-08",),
        (
            Datagrams((alive(),)),
            Requests(),
            Datagrams((alive(BOOTID__UPNP__ORG="6"),)),
            Requests(("renew",)),
            Causes(),
        ),
        rule="UDA 2.0 §4.1.1",
        follows=True,
    ),
    SsdpRow(
        "the same BOOTID again asks nothing of the device",
        ("CP-08",),
        (Datagrams((alive(),) * 3), Requests(), Causes()),
        rule="UDA 2.0 §1.2.2",
        follows=True,
    ),
    SsdpRow(
        "a BOOTID that was announced asks nothing of the device",
        ("CP-10", "CP-08"),
        (
            Datagrams((alive(),)),
            Requests(),
            Datagrams((update(),) * 3),
            Requests(),
            Datagrams((alive(BOOTID__UPNP__ORG="6"),)),
            Requests(),
            Causes(),
        ),
        rule="UDA 2.0 §1.2.4",
        follows=True,
    ),
    SsdpRow(
        "an update that announces another BOOTID than the one that follows announces nothing",
        ("CP-10", "CP-08"),
        (
            Datagrams((alive(),)),
            Requests(),
            Datagrams((update("6"),)),
            Requests(),
            Datagrams((alive(BOOTID__UPNP__ORG="7"),)),
            Requests(("renew",)),
        ),
        rule="UDA 2.0 §1.2.4",
        follows=True,
    ),
    SsdpRow(
        "an update without NEXTBOOTID announces nothing",
        ("CP-10", "CP-08"),
        (
            Datagrams((alive(),)),
            Requests(),
            Datagrams((update(None),)),
            Datagrams((alive(BOOTID__UPNP__ORG="6"),)),
            Requests(("renew",)),
        ),
        rule="UDA 2.0 §1.2.4",
        follows=True,
    ),
    SsdpRow(
        "the subscription follows a device to its new address",
        ("CP-13",),
        (
            Datagrams((alive(),)),
            Requests(),
            Move(),
            Datagrams((alive(LOCATION="{moved}", BOOTID__UPNP__ORG="6"),) * 3),
            Requests(("subscribe",)),
        ),
        rule="UDA 2.0 §1.2.4, §4.1.1",
        follows=True,
    ),
    SsdpRow(
        "the subscription follows a LOCATION that changes without a new BOOTID",
        ("CP-13",),
        (
            Datagrams((alive(),)),
            Requests(),
            Move(),
            Datagrams((alive(LOCATION="{moved}"),) * 3),
            Requests(("subscribe",)),
        ),
        rule="UDA 2.0 §1.2.2, §4.1.1",
        follows=True,
    ),
    SsdpRow(
        "the subscription follows the LOCATION of an update",
        ("CP-13", "CP-10"),
        (
            Datagrams((alive(),)),
            Requests(),
            Move(),
            Datagrams((update(LOCATION="{moved}"),) * 3),
            Requests(("subscribe",)),
        ),
        rule="UDA 2.0 §1.2.4",
        follows=True,
    ),
    SsdpRow(
        "a signature that changes without BOOTID means new addresses",
        ("NLS-03", "NLS-01"),
        (
            Datagrams(
                (_UNNUMBERED_ONE := alive(BOOTID__UPNP__ORG=None, OPT=NLS, **{"01_NLS": "one"}),)
            ),
            Requests(),
            Datagrams((_UNNUMBERED_ONE,)),
            Requests(),
            Datagrams((alive(BOOTID__UPNP__ORG=None, OPT=NLS, **{"01_NLS": "two"}),)),
            Requests(("renew",)),
        ),
        rule="UDA 1.0 §A.4",
        follows=True,
    ),
    SsdpRow(
        "a signature has the prefix that OPT declares",
        ("NLS-01",),
        (
            Datagrams(
                (
                    alive(
                        BOOTID__UPNP__ORG=None,
                        OPT=NLS.replace("01", "07"),
                        **{"07_NLS": "one", "01_NLS": "x"},
                    ),
                )
            ),
            Requests(),
            Datagrams(
                (
                    alive(
                        BOOTID__UPNP__ORG=None,
                        OPT=NLS.replace("01", "07"),
                        **{"07_NLS": "one", "01_NLS": "y"},
                    ),
                )
            ),
            Requests(),
            Datagrams(
                (
                    alive(
                        BOOTID__UPNP__ORG=None,
                        OPT=NLS.replace("01", "07"),
                        **{"07_NLS": "two", "01_NLS": "y"},
                    ),
                )
            ),
            Requests(("renew",)),
        ),
        rule="UDA 2.0 §A.4",
        follows=True,
    ),
    SsdpRow(
        "a signature of more than 64 characters is none",
        ("NLS-02",),
        (
            Datagrams((_UNNUMBERED_ONE,)),
            Requests(),
            Datagrams((alive(BOOTID__UPNP__ORG=None, OPT=NLS, **{"01_NLS": "x" * 65}),)),
            Requests(),
        ),
        rule="UDA 2.0 §A.4",
        follows=True,
    ),
)

ROWS = (*SEARCHES, *HEARD, *LEFT, *FOLLOWED)
