"""Every cap of propchange, in one frozen object that is passed in.

Each field has its unit, the reason of its value, and the attack or accident that it bounds.
Everything that grows with the input of a peer is bounded by one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Limits:
    """Caps for one host or one control point. To change one:
    ``dataclasses.replace(DEFAULT_LIMITS, connections=64)``."""

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
    playlist's metadata reaches about 200 kB. A larger one is answered with 413."""

    pipelined_requests: int = 32
    """Requests of one connection that are parsed and not yet answered. With more of them nothing
    more is read of the connection. Bounds the memory and the work of a peer that sends without
    reading."""

    held_bytes: int = 33_554_432
    """Bytes in memory of all requests that are not complete or not answered, all connections of one
    listener together. Above that, the host that holds most is answered with 503. Without it, each
    connection could hold a body of ``body_bytes``."""

    turn_seconds: float = 0.01
    """How long one turn of the loop works on connections that have sent more than one request. They
    then wait for the next turn. Bounds how long a flood of pipelined requests delays a timer, an
    event, or the request of another peer."""

    write_buffer_bytes: int = 2_097_152
    """Bytes that wait to be written to one peer. Above that the connection is ended: the peer does
    not read."""

    # --- connections that peers open to us ---

    connections: int = 512
    """Accepted connections at once. Above that, one makes room for the new one: of the host that
    has most, the one that is idle longest, or else the oldest unfinished request. Of the file
    descriptors of the process it takes 3/8 at most (:meth:`within`)."""

    connections_per_address: int = 128
    """Accepted connections at once from one IPv4 address or one /64 of IPv6, so that one host
    cannot take them all. Above that, one of its own makes room."""

    connections_kept_per_address: int = 8
    """Connections of an address with subscriptions that make no room for hosts without any. They
    are half of ``connections`` at most, all these addresses together. A control point or a device
    needs one or two, and some for requests that are under way."""

    idle_seconds: float = 75.0
    """How long an accepted connection may stay without a request."""

    read_seconds: float = 30.0
    """How long one request may take from its first byte to its last (slow loris). UDA allows 30 s
    for a response, transmission included (UDA 2.0 §4.1.2)."""

    answer_seconds: float = 300.0
    """How long a peer may take to read one answer, once it is written, if it reads some of it in
    each ``read_seconds``. Bounds a peer that reads a byte now and then."""

    linger_seconds: float = 2.0
    """How long a connection is still read after its last answer, so that a reset does not destroy
    the answer. Also how long closing waits for the peers. At most ``body_bytes`` are read and
    dropped."""

    # --- publisher: subscriptions ---

    subscriptions: int = 4_096
    """Subscriptions of one publisher, all services together. Above that, SUBSCRIBE is answered
    with 503 (UDA 2.0 table 4-4). About 2 kB each."""

    subscriptions_per_address: int = 1_024
    """Subscriptions whose SUBSCRIBE came from one address. Above that, it is answered with 503."""

    subscriptions_per_prefix: int = 2_048
    """Subscriptions whose SUBSCRIBEs came from one IPv6 prefix of 64 bits. Above that, it is
    answered with 503. One host has as many addresses of its prefix as it likes."""

    subscriptions_per_service: int = 3_072
    """Subscriptions to one service. Above that, SUBSCRIBE is answered with 503: the subscribers of
    one service leave room for those of the others."""

    callback_urls: int = 6
    """URLs in one CALLBACK; more are refused with 412. Each one can make the publisher open a
    connection (CallStranger, CVE-2020-12695)."""

    callback_url_bytes: int = 1_024
    """Bytes of one delivery URL. A URL may not be truncated, so a longer one is refused with 412
    (UDA 2.0 §4.1.2). DLNA needs 256."""

    statevar_names: int = 256
    """Names in one STATEVAR; a longer list counts as no valid list."""

    sid_bytes: int = 256
    """Bytes of a SID that a peer sends. ``uuid:`` and a UUID are 41."""

    # --- publisher: deliveries ---

    waiting_messages: int = 16
    """Messages that wait unmerged for one subscription. Later changes are merged into the last.
    Bounds the memory for a subscriber that does not answer."""

    fold_keys: int = 4_096
    """Keys that a variable with a :class:`.Fold` (LastChange, ContainerUpdateIDs) remembers."""

    connections_per_delivery_endpoint: int = 32
    """Connections to one (address, port) at once; further deliveries to it wait. Bounds the flood
    that many subscriptions can aim at one victim (CallStranger)."""

    delivery_connections: int = 4_096
    """Delivery connections at once, all subscribers together: one for each of ``subscriptions``, so
    that none is opened for each event. Of the file descriptors of the process it takes half at most
    (:meth:`within`). Above that, idle ones are closed for new ones. About 6 kB each."""

    answer_bytes: int = 16_384
    """Bytes of the body of an answer to NOTIFY. It has no meaning; some subscribers send a page of
    HTML. A longer one counts as no answer. Bounds the memory for answers that do not end, on each
    of ``delivery_connections``."""

    deliveries_per_turn: int = 128
    """Deliveries that begin in one turn of the loop; the others follow in the next turns. Each
    takes some 20 µs, and a change can concern every subscription. Bounds the pause of the loop."""

    delivery_connects_per_turn: int = 32
    """Delivery connections that begin to open in one turn of the loop: each takes some 200 µs.
    Bounds the pause of the loop when many subscribers come, or come back, at once."""

    shortage_seconds: float = 1.0
    """Interval at which a publisher that had no descriptor, memory or port for another delivery
    connection tries to open more of them again."""

    connecting_deliveries: int = 320
    """Those of them that are being opened: a SYN is sent and not answered. More than the unproven
    and the failing ones together, or endpoints that answer would wait behind hosts that are gone,
    for ``connect_seconds`` each. Bounds the SYNs of one program, however many services it has."""

    unproven_delivery_connections: int = 192
    """The share of ``delivery_connections`` for endpoints that have never taken an event, that is,
    answered one with 2xx. Other endpoints must not wait behind a flood of subscriptions with dead
    delivery URLs."""

    unproven_deliveries_per_address: int = 64
    """The part of that share for the subscriptions of one address: a third, so that a newcomer
    finds a place beside an address that has named a thousand silent endpoints."""

    unproven_deliveries_per_prefix: int = 128
    """The part of that share for the subscriptions of one IPv6 prefix of 64 bits: two thirds. One
    host has as many addresses of its prefix as it likes."""

    attempts_at_unproven_endpoint: int = 4
    """Attempts at once at an endpoint that has never taken an event. After its first failure it is
    one at a time, until its host subscribes or renews. The first event that it takes allows
    ``connections_per_delivery_endpoint``. Bounds what a thousand subscriptions send to one
    victim."""

    unproven_place_seconds: float = 5.0
    """How long a failed attempt at an endpoint that has never taken an event occupies its place in
    the share: as long as connecting to a silent host (``connect_seconds``). A host that refuses at
    once is not sent more than a silent one. With 192 places there are 38 such attempts per second
    in all, and with 64 places 13 for the subscriptions of one address, however many there are."""

    unproven_attempts: int = 19
    """Attempts at one endpoint within a day while it takes no event, however often the state
    changes, and however many subscriptions name it (but for ``attempts_at_unproven_endpoint``,
    once): three without a pause, then one after each pause of 1, 2, 4 … 32,768 s. So one SUBSCRIBE,
    with ``callback_urls``, causes at most 114 connections to somebody else in a day, 78 of them in
    the first half hour (CallStranger)."""

    unproven_duration: int = 1_800
    """Seconds that a subscription is granted at most if its delivery URLs lead to another host than
    the one that subscribes, or failed before, until one of their endpoints has taken an event: the
    shortest duration that UDA recommends (UDA 2.0 §4.1.2). Bounds how long a forged delivery URL is
    called and has a place among the subscriptions."""

    failing_delivery_connections: int = 64
    """The share of ``delivery_connections`` for endpoints that took events and did not take the
    last one. Each attempt can take 30 s."""

    failing_deliveries_per_address: int = 21
    """The part of that share for the subscriptions of one address: a third."""

    failing_deliveries_per_prefix: int = 42
    """The part of that share for the subscriptions of one IPv6 prefix of 64 bits: two thirds."""

    failures_before_pause: int = 2
    """Failed attempts in a row at one endpoint after which the next one follows without a pause, so
    that a single failure delays no event. The next failure pauses the endpoint."""

    pause_first_seconds: float = 1.0
    """How long the first pause of an endpoint is. It doubles with each further failed attempt, and
    changes are merged meanwhile."""

    pause_most_seconds: float = 30.0
    """Longest pause of an endpoint that has ever taken an event. So long after its return it has
    the final state at the latest. A renewal or SUBSCRIBE of its host ends the pause at once."""

    delivery_idle_seconds: float = 30.0
    """How long an idle delivery connection is kept. Peers close theirs after 15 s to 75 s."""

    connect_seconds: float = 5.0
    """How long connecting may take. A host that has left the network does not answer at all."""

    attempt_seconds: float = 30.0
    """How long one NOTIFY may take with its answer (UDA 2.0 §4.3.2)."""

    message_seconds: float = 60.0
    """How long one message may take over all delivery URLs of a subscription. Then it is abandoned;
    its SEQ is not used again."""

    # --- multicast, both roles ---

    datagram_bytes_ipv4: int = 1_472
    """Bytes of UDP payload of one multicast event over IPv4: the size of one Ethernet frame. A
    larger datagram is fragmented, and lost with any of its fragments (UDA 2.0 §4.2, MC-14)."""

    datagram_bytes_ipv6: int = 1_452
    """The same over IPv6, whose header is longer."""

    waiting_retransmissions: int = 256
    """Multicast messages that wait for their retransmission, all services together. Above that, the
    oldest are not sent again. Each is one datagram. Bounds the memory for an application that
    assigns all the time."""

    received_datagram_bytes: int = 65_535
    """Bytes of one datagram that is read: the maximum of UDP."""

    multicast_services: int = 1_024
    """Services whose multicast events one control point expects."""

    multicast_window: int = 64
    """SEQs that are remembered per service, to distinguish a repeated event from a late one; one
    bit each. An event further behind is refused."""

    multicast_refusals: int = 64
    """Pairs of address and reason for which refused datagrams are reported and counted. Bounds
    the table and the log, which forged source addresses can fill."""

    # --- subscriber ---

    own_subscriptions: int = 4_096
    """Subscriptions of one control point."""

    request_seconds: float = 30.0
    """How long a SUBSCRIBE or UNSUBSCRIBE may take (UDA 2.0 §4.1.2), or a description."""

    lookup_seconds: float = 2.0
    """How long the resolver may take for the name of a host whose addresses are known from before.
    Then these are used. Below ``connect_seconds``, so that there is time to connect."""

    lookups: int = 16
    """Names that are being looked up at once. Further lookups fail. Each takes a thread, which a
    silent resolver keeps for about 30 s. Bounds the threads that descriptions with many names
    cause."""

    known_names: int = 256
    """Names whose last addresses are remembered. Above that, the oldest are forgotten. Bounds the
    memory for descriptions with ever new names."""

    requests_per_device: int = 4
    """Requests under way at once to one (address, port): small devices have few sockets."""

    initial_event_seconds: float = 5.0
    """How long after the answer to SUBSCRIBE the initial event may take before the status is
    DEAF."""

    quiet_seconds: float = 3_600.0
    """Time without an event after which a subscription is replaced instead of renewed. Only an
    initial event shows that events still arrive: a device may renew a subscription that it has
    forgotten, and a firewall lets renewals pass. Bounds how long the state may be out of date
    unnoticed. ``inf``: always renew."""

    doubt_seconds: float = 2.0
    """Time after an event that was refused or cut in which the device may send it again. After it
    the event is lost, and a fresh subscription restores the state. A device tries again at once, if
    at all. Bounds how long the state is out of date unnoticed."""

    wasted_connections: int = 3
    """Connections of a device in a row, since its last event, that end without a request, stay
    without one or find no room. So many count as a lost event: the network may cut what the device
    sends. One alone may be a health check or a port scan. Where a fresh subscription shows that
    nothing had changed, the number doubles for this subscription. Only somebody at the device's
    address can cause them."""

    stall_seconds: float = 5.0
    """Time after which a request that has begun and is not whole, or a connection that has brought
    nothing at all, counts as cut. It is still read until ``read_seconds`` and ``idle_seconds`` are
    over. Real devices write an event in milliseconds. Bounds the time for which a network that
    swallows large packets goes unnoticed."""

    early_messages: int = 8
    """Event messages that wait for one subscription until its SUBSCRIBE is answered. On a shared
    path each source address has this room, so that forged messages do not take the place of the
    device's own."""

    early_bytes: int = 4_194_304
    """Bytes of all messages that wait for an answer to SUBSCRIBE on a shared path, with 1 kB for
    each. Four bodies of the largest size, or 400 usual ones. Above that, the messages of the
    address that uses most are dropped. Bounds forged messages from many addresses."""

    waiting_events: int = 256
    """Events and status changes that wait for the application, per subscription. Later events are
    merged into the last. Bounds the memory for an application that does not read them."""

    waiting_event_characters: int = 8_388_608
    """Characters of the events that wait for the application, per subscription: those of names and
    values, and 256 for each value. Later events are merged into the last, and of a merged event the
    variables that changed first are left out. The largest event that ``body_bytes`` and
    ``xml_elements`` allow has about 7 million. Bounds the memory for an application that stands
    still while a device sends large events, or new variables in each."""

    state_characters: int = 16_777_216
    """Characters of the large values of one subscription, those of more than 1,024. A value that
    finds no room is in its event alone. A renderer's playlist takes about 200,000. Bounds a device
    that fills each of its variables with as much as ``body_bytes`` allows."""

    subscribe_burst: int = 3
    """SUBSCRIBE requests that one subscription may send at once (token bucket). Also the number of
    fresh subscriptions after lost events in a row that follow at once. After them the status is
    DEAF, since they do not help, and the intervals double up to ``backoff_most_seconds``: a device
    whose events are never readable is sent one SUBSCRIBE a minute."""

    subscribe_refill_seconds: float = 1.0
    """Seconds until the bucket has one SUBSCRIBE more."""

    backoff_first_seconds: float = 1.0
    """Wait after the first failed attempt; it doubles from there."""

    backoff_most_seconds: float = 60.0
    """Longest wait between attempts when a device is away, and longest wait for an initial event.
    For a subscription with a shorter renewal interval it is that interval, so that events return
    that soon after the device."""

    renewal_failures: int = 3
    """Renewals in a row without an answer or an event, after which the SID is given up. The device
    may be at another port, which only a fresh SUBSCRIBE finds out. Bounds how long an infinite
    grant of a device that is gone stays in use."""

    announcement_seconds: float = 3.0
    """Time in which a request that was sent may be the answer to the same announcement: devices
    send their announcements up to three times (UDA 2.0 §1.2.2). An older attempt is given up when
    the device is heard of. A renewal that the device has granted so recently is not repeated when
    the device refuses that of another service."""

    check_burst: int = 3
    """Checks of a device that announcements may cause at once (token bucket). A check is the
    renewal of one subscription. Real announcements are about a restart or a goodbye, which are
    rare. Bounds the requests that forged announcements cause."""

    check_refill_seconds: float = 10.0
    """Seconds until the bucket has one check more. Under a flood of forged announcements a true one
    is noticed within this time."""

    check_seconds: float = 10.0
    """How long the device may take to grant the renewal of a check. Shorter than
    ``request_seconds``: a device that has left does not answer, and is to be known as such."""

    jump_seconds: float = 10.0
    """A timer that fires this much too late shows that the machine or the process was suspended."""

    spread_seconds: float = 2.0
    """Time over which the fresh subscriptions after a suspend are spread, if there are more than
    ``requests_per_device``. Bounds the burst of requests in the network."""

    duration_most_seconds: float = 604_800.0
    """A longer granted duration is renewed as if it were this one (a week)."""

    unsubscribe_seconds: float = 2.0
    """How long an UNSUBSCRIBE may take, and how long closing waits for the answers."""

    history_addresses: int = 256
    """Addresses whose connections to the listener are remembered for a diagnosis, about 200 bytes
    each. Above that, the address with the oldest connection is forgotten. Bounds a flood from many
    addresses."""

    diagnoses: int = 16
    """Diagnoses of one control point at once; others wait. Each opens two connections, and an
    application may ask for all its subscriptions when the network fails."""

    diagnosis_seconds: float = 5.0
    """How long ``diagnose()`` may take. Its probes run at the same time; an address that has not
    answered by then counts as silent."""

    # --- discovery ---

    ssdp_bytes: int = 8_192
    """Bytes of one SSDP datagram; a longer one is dropped. UDA requires one packet, so real ones
    have 300 to 600 bytes (UDA 2.0 §1.2.2)."""

    ssdp_text_bytes: int = 1_024
    """Bytes of one value that is kept of an advertisement: a USN, a LOCATION, a type."""

    discovery_links: int = 64
    """Pairs of interface and address family on which discovery listens; two sockets each. A host
    with many containers has more interfaces, but few of them lead to a network."""

    known_devices: int = 1_024
    """Devices that are remembered without being followed, embedded ones included; about 2 kB each.
    A further one displaces the oldest whose description was not read, and is ignored without one.
    Bounds a host that announces UDNs without end. Followed devices do not count and are never
    displaced."""

    devices_per_source: int = 128
    """Devices that were first heard from one address. A further one from it displaces the oldest of
    them whose description was not read, so that one hostile host cannot displace the others. A
    bridge announces some dozens."""

    announced_reads: int = 64
    """Descriptions that are read at once at one host because of announcements (token bucket). A
    bridge has some dozens of devices. Bounds the requests that forged announcements aim at a host
    on the link."""

    announced_read_seconds: float = 1.0
    """Seconds until the bucket has one read more."""

    announced_hosts: int = 1_024
    """Hosts with such a bucket; the one that was asked longest ago is forgotten. As many as
    ``known_devices``."""

    followed_devices: int = 1_024
    """Root devices that a control point follows by their UDN."""

    types_per_device: int = 128
    """Device and service types that are remembered of one device, embedded devices included. A
    large device has about 30."""

    locations_per_link: int = 4
    """Description URLs that are remembered of one device on one link, the latest ones. A host
    with several addresses announces several in turn."""

    max_age_seconds: float = 1_800.0
    """The max-age of an advertisement without one: UDA's minimum (UDA 2.0 §1.2.2)."""

    max_age_most_seconds: float = 86_400.0
    """A longer max-age counts as this one (a day). Bounds how long a forged device stays."""

    max_age_margin_seconds: float = 30.0
    """Time after its max-age for which an advertisement is still valid: some devices repeat it just
    in time, and are late now and then."""

    settle_seconds: float = 0.25
    """Time for which the announcements of a device are collected before it is reported: they are a
    burst of some dozens of datagrams, which UDA wants sent three times."""

    byebye_check_seconds: float = 2.0
    """Time after its byebye at which a followed device is searched for, and its subscriptions are
    checked: the byebye may be forged, or the device restarts at once. A device takes about a second
    to fall silent."""

    search_burst: int = 5
    """Searches for one device that may be sent at once (token bucket), and checks of its claimed
    locations: anybody on the link can cause such a connection."""

    search_refill_seconds: float = 5.0
    """Seconds until the bucket has one more search. Also the shortest time between two attempts at
    a device whose subscriptions fail and that announces itself."""

    find_seconds: float = 30.0
    """How long ``ControlPoint.device(udn=…)`` waits for a device by default."""

    relocation_seconds: float = 1.0
    """After a description was read at a new location, time for the former location to answer. If it
    answers, the device has not moved: its host has several addresses."""

    # --- documents ---

    xml_depth: int = 64
    """Nesting of elements in any document that a peer sends."""

    xml_elements: int = 20_000
    """Elements in any document that a peer sends. A ContentDirectory SCPD has about 400."""

    mended_bytes: int = 262_144
    """Bytes of a document that is mended if it is not well-formed. Mending takes ten to fifty times
    as long as reading, and up to 70 bytes of memory for each byte: 0.2 s and 18 MB."""

    variable_name_characters: int = 1_024
    """Characters of the name of a state variable, and of the names of a variable and its channel in
    a LastChange. UDA wants fewer than 32 (UDA 2.0 §2.5). Bounds the names that are remembered, of
    values and as judged: a device can send thousands of them."""

    url_bytes: int = 2_048
    """Bytes of a URL in a description, and of the URL that it becomes with URLBase. A longer one is
    dropped. It is the length of a request target. All URLs of a description together have at most
    ``body_bytes``: a long URLBase stands in front of each."""

    redirects: int = 3
    """307 answers followed in a row for one description or SUBSCRIBE (UDA 2.0 §2.1)."""

    # --- log ---

    log_kinds: int = 256
    """Different warnings that one host or control point remembers, to count their repetitions.
    Beyond it the oldest are forgotten. Bounds the memory, which forged addresses can fill."""

    log_lines: int = 50
    """Lines of one kind that are logged at once (token bucket), whatever addresses and names are in
    them. Further ones are counted: the next line says how many. Bounds the log that many sources in
    turn would fill, which are each a new warning."""

    log_line_seconds: float = 10.0
    """Seconds until the bucket has one line more."""

    log_line_characters: int = 2_000
    """Characters of one line; a longer one is cut. A peer chooses names and URLs, which may be
    long."""

    # --- runtime ---

    outcomes: int = 4_096
    """Outcomes for a log that wait for the runtime. Further ones are dropped. An outcome that needs
    an action, such as an event, is never dropped."""

    timer_seconds: float = 30.0
    """Longest time for which the runtime's timer is set, so that a suspend is noticed."""

    address_seconds: float = 3.0
    """Interval at which a control point with subscriptions reads the addresses of this machine,
    which takes about a millisecond, and a publisher with delivery connections looks whether their
    addresses are still there. A changed address is noticed within it."""

    def within(self, descriptors: int) -> Limits:
        """These limits with caps on connections that fit into ``descriptors`` file descriptors:
        3/8 of them for accepted connections, half for delivery connections. 1/8 is left for all
        else: the program's files, listeners, discovery, requests to devices. The caps on a part
        of the connections follow. A cap that fits already stays as it is."""
        accepted = max(descriptors * 3 // 8, 1)
        deliveries = max(descriptors // 2, 1)
        if self.connections <= accepted and self.delivery_connections <= deliveries:
            return self

        def part(cap: int, whole: int, of: int, most: int) -> int:
            return max(min(cap, most * whole // of), 1)

        return replace(
            self,
            connections=min(self.connections, accepted),
            connections_per_address=part(self.connections_per_address, 2, 3, accepted),
            delivery_connections=min(self.delivery_connections, deliveries),
            connections_per_delivery_endpoint=part(
                self.connections_per_delivery_endpoint, 1, 4, deliveries
            ),
            connecting_deliveries=part(self.connecting_deliveries, 5, 6, deliveries),
            unproven_delivery_connections=part(
                self.unproven_delivery_connections, 1, 2, deliveries
            ),
            failing_delivery_connections=part(self.failing_delivery_connections, 1, 6, deliveries),
        )


DEFAULT_LIMITS = Limits()
