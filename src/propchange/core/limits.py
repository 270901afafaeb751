"""Every bound of propchange, in one frozen value that is passed in.

Each field says its unit, why it is what it is, and which attack or accident it bounds.
Nothing grows with what a peer sends beyond what stands here.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DEFAULT_LIMITS", "Limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds for one host or one control point. Make another with ``dataclasses.replace``."""

    # --- HTTP, both roles ---

    header_bytes: int = 16_384
    """Bytes of one message before its body. A CALLBACK of 6 URLs needs about 7 kB. Bounds the
    memory of a peer that sends an endless header."""

    header_count: int = 64
    """Header lines of one message. Peers send up to about 15. Bounds the work per byte."""

    target_bytes: int = 2_048
    """Bytes of a request target. Our own paths take under 80."""

    body_bytes: int = 1_048_576
    """Bytes of one body after de-chunking, request or response: a LastChange that holds a
    playlist's metadata reaches about 200 kB. More is answered 413."""

    pipelined_requests: int = 32
    """Requests of one connection that are parsed and not yet answered. Bounds the memory of a
    peer that sends without reading."""

    write_buffer_bytes: int = 2_097_152
    """Bytes waiting to be written to one peer. One that does not read is cut off there."""

    # --- connections that peers open to us ---

    connections: int = 512
    """Accepted connections at once; beyond it the longest idle one is closed, else the new one.
    Half of the usual 1,024 file descriptors."""

    connections_per_address: int = 128
    """Accepted connections at once from one address, so that one host cannot take them all;
    beyond it its own longest idle one is closed, else the new one."""

    idle_seconds: float = 75.0
    """How long an accepted connection may stay without a request."""

    read_seconds: float = 30.0
    """How long one request may take from its first byte to its last (slow-loris). The 30 s that
    UDA gives a response include the transmission (UDA 2.0 §4.1.2)."""

    linger_seconds: float = 2.0
    """How long a connection that was answered for the last time is still read, so that a reset
    does not destroy the answer, and how long closing waits for the peers. At most ``body_bytes``
    are read and dropped."""

    # --- publisher: subscriptions ---

    subscriptions: int = 4_096
    """Subscriptions of one publisher, all services together; beyond it 503
    (UDA 2.0 table 4-4). About 2 kB each."""

    subscriptions_per_address: int = 1_024
    """Subscriptions whose SUBSCRIBE came from one address; beyond it 503."""

    callback_urls: int = 6
    """URLs in one CALLBACK; more are refused with 412. Each is a connection the publisher can be
    made to open (CallStranger, CVE-2020-12695)."""

    callback_url_bytes: int = 1_024
    """Bytes of one delivery URL. It may not be cut, so a longer one is refused with 412
    (UDA 2.0 §4.1.2). DLNA needs 256."""

    statevar_names: int = 256
    """Names in one STATEVAR; a longer list counts as no valid list."""

    sid_bytes: int = 256
    """Bytes of a SID that a peer sends. ``uuid:`` and a UUID are 41."""

    # --- publisher: deliveries ---

    waiting_messages: int = 16
    """Messages that wait unmerged for one subscription; later ones are merged into the last.
    Bounds what a subscriber that does not answer can pile up."""

    fold_keys: int = 4_096
    """Keys that a folded variable (LastChange, ContainerUpdateIDs) remembers."""

    connections_per_delivery_endpoint: int = 32
    """Connections to one (address, port) at once; further deliveries to it wait. Bounds a flood
    of one victim by way of many subscriptions (CallStranger)."""

    delivery_connections: int = 384
    """Delivery connections at once, all subscribers together; idle ones make room first."""

    connecting_deliveries: int = 320
    """Those of them that are being opened: a SYN is sent and not answered. More than the unproven
    and the failing ones together, or endpoints that answer would wait behind hosts that are gone,
    for ``connect_seconds`` each. Bounds the SYNs of one program, however many services it has."""

    unproven_delivery_connections: int = 192
    """Those of them to endpoints that have never answered: the others must not wait behind a
    flood of subscriptions whose delivery URLs lead to nobody."""

    failing_delivery_connections: int = 64
    """Those of them to endpoints that failed to answer last time, for up to 30 s each."""

    delivery_idle_seconds: float = 30.0
    """How long a delivery connection is kept without use. Peers drop theirs after 15 s to 75 s."""

    connect_seconds: float = 5.0
    """How long connecting may take: a host that left does not answer at all."""

    attempt_seconds: float = 30.0
    """How long one NOTIFY may take with its answer (UDA 2.0 §4.3.2)."""

    message_seconds: float = 60.0
    """How long one message may take over all delivery URLs of a subscription; then it is
    abandoned and has spent its SEQ."""

    # --- multicast, both roles ---

    datagram_bytes_ipv4: int = 1_472
    """Bytes of UDP payload of one multicast event that we send over IPv4: what one Ethernet frame
    carries. Fragments are lost one by one and found together (UDA 2.0 §4.2, MC-14)."""

    datagram_bytes_ipv6: int = 1_452
    """The same over IPv6, whose header is longer."""

    waiting_retransmissions: int = 256
    """Multicast messages that are to be sent again, all services together; beyond it the oldest
    are not. Each is at most one datagram. Bounds what an application that assigns all the time
    piles up."""

    received_datagram_bytes: int = 65_535
    """Bytes of one datagram that we read: UDP carries no more."""

    multicast_services: int = 1_024
    """Services whose multicast events one control point expects."""

    multicast_window: int = 64
    """SEQs that are remembered per service to tell a repeated event from a late one; one bit
    each. What is further behind is refused."""

    multicast_refusals: int = 64
    """Addresses and reasons for which refused datagrams are told and counted one by one. Bounds
    the table, and the log, that forged source addresses can fill."""

    # --- subscriber ---

    held_subscriptions: int = 4_096
    """Subscriptions of one control point."""

    request_seconds: float = 30.0
    """How long a SUBSCRIBE or UNSUBSCRIBE may take (UDA 2.0 §4.1.2), or a description."""

    requests_per_device: int = 4
    """Requests under way at once to one (address, port): small devices have few sockets."""

    initial_event_seconds: float = 5.0
    """How long after the answer to SUBSCRIBE the initial event may take before the status is
    DEAF."""

    quiet_seconds: float = 3_600.0
    """After so long without an event a subscription is made afresh when it is to be renewed: only
    an initial event shows that events still come, since a device may renew what it has forgotten,
    and a firewall lets renewals pass. Bounds how long the state may be out of date unnoticed;
    ``inf`` renews always."""

    early_messages: int = 8
    """Event messages held for one subscription until its SUBSCRIBE is answered."""

    waiting_events: int = 256
    """Events and status changes that wait for the application per subscription; later events are
    merged into the last. Bounds the memory of a consumer that stands still."""

    subscribe_burst: int = 3
    """SUBSCRIBE requests that one subscription may send at once (token bucket)."""

    subscribe_refill_seconds: float = 1.0
    """Seconds until the bucket has one SUBSCRIBE more."""

    backoff_first_seconds: float = 1.0
    """Wait after the first failed attempt; it doubles from there."""

    backoff_most_seconds: float = 60.0
    """Longest wait between attempts at a device that is away, and longest patience with one that
    grants and sends nothing. For a subscription that is renewed more often it is the time between
    renewals, so that events are back that soon after the device is."""

    renewal_failures: int = 3
    """Renewals in a row without an answer, and no event meanwhile, after which the SID is given
    up: the device may be at another port, which only a fresh SUBSCRIBE finds out. Bounds how long
    an infinite grant of a device that is gone is believed."""

    announcement_seconds: float = 3.0
    """How long after the news that a device is gone or back the same news is taken for a repeat:
    devices send their announcements up to three times (UDA 2.0 §1.2.2). Bounds the SUBSCRIBE
    requests that a forged stream of announcements causes."""

    jump_seconds: float = 10.0
    """How much later than it was set a timer must fire for a suspend, or a process that was
    stopped, to be the reason."""

    spread_seconds: float = 2.0
    """Over how long the fresh subscriptions after a jump are spread, where there are more than
    ``requests_per_device``: all at once would be a burst at every device of the network."""

    duration_most_seconds: float = 604_800.0
    """A longer granted duration is renewed as if it were this one (a week)."""

    unsubscribe_seconds: float = 2.0
    """How long an UNSUBSCRIBE may take, and how long closing waits for the answers."""

    callers: int = 256
    """Addresses whose connections to the listener are remembered for a diagnosis, about 200 bytes
    each; beyond it the one that has been away longest is forgotten. Bounds a flood of them."""

    diagnoses: int = 16
    """Diagnoses of one control point at once; others wait. Each opens two connections, and an
    application may ask for all its subscriptions when the network fails."""

    diagnosis_seconds: float = 5.0
    """How long ``diagnose()`` may take: its probes run at once, and what has not answered by then
    is silent."""

    # --- discovery ---

    ssdp_bytes: int = 8_192
    """Bytes of one SSDP datagram; a longer one is refused unread. UDA wants them in one packet,
    so real ones have 300 to 600 (UDA 2.0 §1.2.2)."""

    ssdp_text_bytes: int = 1_024
    """Bytes of one value that is kept of an advertisement: a USN, a LOCATION, a type."""

    discovery_links: int = 64
    """Interfaces, each address family by itself, on which devices are listened for; two sockets
    each. A host of many containers has more, and all but a few lead nowhere else."""

    known_devices: int = 1_024
    """Devices, embedded ones counted, that are remembered at once without being followed; later
    ones are not seen until others have left. About 2 kB each. Bounds a host that announces
    UDNs without end; those that are followed do not count and are never displaced."""

    devices_per_source: int = 128
    """Devices that were first heard from one address; further ones from it are ignored, so that
    one hostile host cannot hide the others. Bridges stand for some dozens."""

    followed_devices: int = 1_024
    """Root devices that a control point holds and looks after by their UDN."""

    types_per_device: int = 128
    """Device and service types that are remembered of one device with all that is embedded in it;
    a large one has about 30."""

    locations_per_link: int = 4
    """Description URLs that are remembered of one device on one link, the latest ones. A host
    with several addresses announces several in turn."""

    max_age_seconds: float = 1_800.0
    """How long an advertisement holds that does not say it: UDA's least (UDA 2.0 §1.2.2)."""

    max_age_most_seconds: float = 86_400.0
    """A longer max-age counts as this one (a day), or what a hostile host announces would stay."""

    max_age_margin_seconds: float = 30.0
    """How long after its max-age an advertisement still holds: devices that announce themselves
    just in time are late now and then."""

    settle_seconds: float = 0.25
    """How long what a device announces is gathered before it is told: a set of advertisements is
    a burst of some dozens of datagrams, which UDA wants sent three times."""

    byebye_check_seconds: float = 2.0
    """How long after its byebye a device that is followed is searched for: a forged byebye, or
    one before a quick restart, must not last. A device takes a second to fall silent."""

    search_burst: int = 5
    """Searches for one device that may be sent at once (token bucket), and as many checks of the
    locations it claims: each is a connection that anybody on the link can have made."""

    search_refill_seconds: float = 5.0
    """Seconds until the bucket has one search more; a device whose subscriptions fail is tried
    again at once when it is heard of, and not more often than that."""

    find_seconds: float = 30.0
    """How long a device is waited for that is asked for by its UDN."""

    relocation_seconds: float = 1.0
    """How much longer than a new location the former one may take to answer before the device
    counts as moved: a host with several addresses has not."""

    # --- documents ---

    xml_depth: int = 64
    """Nesting of elements in any document that a peer sends."""

    xml_elements: int = 20_000
    """Elements in any document that a peer sends. A ContentDirectory SCPD has about 400."""

    redirects: int = 3
    """307 answers followed in a row for one description or SUBSCRIBE (UDA 2.0 §2.1)."""

    # --- runtime ---

    outcomes: int = 4_096
    """Outcomes that wait for the runtime. At the subscriber those alone that are for a log are
    counted; what is beyond that is dropped. Events and status changes are never dropped."""

    timer_seconds: float = 30.0
    """Longest time that the runtime's timer waits, so that a suspend is noticed."""

    address_seconds: float = 3.0
    """How often a control point with subscriptions reads the addresses of this machine, which
    takes about a millisecond: so soon it is noticed that events are sent to an old one."""


DEFAULT_LIMITS = Limits()
