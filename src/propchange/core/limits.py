"""Every cap of propchange, in one frozen object that is passed in.

Each field has its unit, the reason of its value, and the attack or accident that it bounds.
Everything that grows with the input of a peer is bounded by one of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from propchange.core.record import Record
from propchange.core.short_signature import short_in_help


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Limits(Record):
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

    learned_heads: int = 8
    """Heads of event messages that one connection learns, and a listener for one request line, to
    recognise the next one without parsing it. Learning a head takes longer than parsing it. Bounds
    the work for a peer whose heads always differ."""

    learned_bodies: int = 8
    """Bodies of event messages that one subscription learns, to read the next one faster, and
    texts of LastChange, counted apart. Bounds the work for a device whose bodies always differ in
    more than values."""

    pipelined_requests: int = 32
    """Requests of one connection that are parsed and not yet answered. The connection is not read
    while it has that many. Bounds the memory and the work for a peer that sends without reading."""

    held_bytes: int = 33_554_432
    """Bytes of unfinished and unanswered requests and of answers that peers do not read, all
    connections of one listener together. Above that, the host with the most bytes is answered with
    503, or its connection is ended. Bounds the memory: without this cap, each connection could keep
    a body of ``body_bytes``, or ``write_buffer_bytes`` for a call of a few bytes."""

    turn_seconds: float = 0.01
    """Seconds that one turn of the loop works on pipelined requests, and seconds that it works on
    deliveries; the rest wait for the next turn. Bounds how long a flood of them, or changes that
    are merged for many slow subscribers, delay a timer, an event, or another peer's request."""

    write_buffer_bytes: int = 2_097_152
    """Bytes that wait to be written to one peer. Above that the connection is ended: the peer does
    not read. A single answer that is longer is an error of the program, answered with 500."""

    # --- connections that peers open to us ---

    connections: int = 512
    """Accepted connections at once, at most 3/8 of the file descriptors (:meth:`within`). Above
    that, the host with the most connections loses one, and new peers
    wait a second for peers that have just connected. Bounds a host that connects without end."""

    connections_per_address: int = 128
    """Accepted connections at once from one IPv4 address or one IPv6 prefix of 64 bits, so that one
    host cannot take them all. Above that, a connection of the same host is closed."""

    connections_kept_per_address: int = 8
    """Connections of an address with subscriptions that are not closed for hosts without any; at
    most half of ``connections`` for all such addresses. A control point or a device needs one or
    two, and some for requests under way. Bounds what a flood of connections can displace."""

    turned_away_connections: int = 32
    """Connections for which there is no room, and that are answered with 503 and read until their
    peers have ended them, for ``linger_seconds`` at most. Above that, the oldest is closed. Bounds
    the descriptors beyond ``connections``."""

    idle_seconds: float = 75.0
    """How long an accepted connection may stay without a request."""

    read_seconds: float = 30.0
    """How long one request may take from its first byte to its last (slow loris). UDA allows 30 s
    for a response, transmission included (UDA 2.0 §4.1.2)."""

    answer_seconds: float = 300.0
    """Seconds in which a peer must have read one whole answer. Bounds a peer that reads a byte in
    each ``read_seconds``."""

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
    """Subscriptions to one service, three quarters of ``subscriptions``, so that the subscribers of
    one service leave room for those of the others. Above that, SUBSCRIBE is answered with 503."""

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
    """Delivery connections at once, at most half of the file descriptors (:meth:`within`); about
    6 kB each. Each of ``subscriptions`` can keep its own, so an event need not open a connection.
    Above that, idle connections are closed for new ones."""

    answer_bytes: int = 16_384
    """Bytes of the body of an answer to NOTIFY. The body has no meaning; some subscribers send a
    page of HTML. A longer answer counts as none. Bounds the memory for endless answers."""

    deliveries_per_turn: int = 128
    """Deliveries that begin in one turn of the loop; the others follow in the next turns. Each
    takes some 20 µs, and a change can concern every subscription. Bounds the pause of the loop."""

    delivery_connects_per_turn: int = 64
    """Delivery connections that begin to open, and idle ones that end, in one turn of the loop.
    Each takes some 40 µs with asyncio on Linux, and 200 µs elsewhere. Bounds the pause of the loop
    when many subscribers come at once, or when many connections have been idle for too long."""

    shortage_seconds: float = 1.0
    """Seconds after which a publisher tries again to open delivery connections, when the system had
    no descriptor, memory or port for one. Bounds the attempts that cannot succeed."""

    connecting_deliveries: int = 320
    """Those of them that are being opened: a SYN is sent and not answered. More than the unproven
    and the failing ones together, or endpoints that answer would wait behind hosts that are gone,
    for ``connect_seconds`` each. Bounds the SYNs of one program, however many services it has."""

    unproven_delivery_connections: int = 192
    """The share of ``delivery_connections`` for endpoints that have never taken an event (answered
    a NOTIFY with 2xx). Bounds a flood of subscriptions with dead delivery URLs, behind which the
    other endpoints would wait."""

    unproven_deliveries_per_address: int = 64
    """The part of ``unproven_delivery_connections`` for the subscriptions of one address: a third.
    A new subscriber finds a place although one address has named a thousand silent endpoints."""

    unproven_deliveries_per_prefix: int = 128
    """The part of ``unproven_delivery_connections`` for the subscriptions of one IPv6 prefix of
    64 bits: two thirds. One host has as many addresses of its prefix as it likes."""

    attempts_at_unproven_endpoint: int = 4
    """Attempts at once at an endpoint that has never taken an event; one at a time from its first
    failure until its host subscribes or renews. Bounds what a thousand subscriptions send to one
    victim. An endpoint that took an event has ``connections_per_delivery_endpoint`` instead."""

    unproven_place_seconds: float = 5.0
    """Seconds that a failed attempt at an endpoint that has never taken an event occupies its place
    in the share, like an attempt at a silent host (``connect_seconds``). Bounds such attempts to 38
    per second (192 places), and to 13 for the subscriptions of one address (64 places)."""

    unproven_attempts: int = 19
    """Attempts at one endpoint in a day while it takes no event, all subscriptions together: three
    without a pause, then one after each pause of 1, 2, 4 … 32,768 s. Bounds CallStranger: 6 URLs of
    a SUBSCRIBE cause 114 connections to other hosts in a day, 78 in the first half hour."""

    unproven_duration: int = 1_800
    """Longest duration in seconds while no endpoint of the delivery URLs has taken an event, if
    they lead to another host than the subscriber or failed before; the shortest that UDA recommends
    (UDA 2.0 §4.1.2). Bounds how long a forged delivery URL is called and has a subscription."""

    failing_delivery_connections: int = 64
    """The share of ``delivery_connections`` for endpoints that took events and failed last. Bounds
    the connections that they occupy: each attempt can take 30 s."""

    failing_deliveries_per_address: int = 21
    """The part of ``failing_delivery_connections`` for the subscriptions of one address, a
    third."""

    failing_deliveries_per_prefix: int = 42
    """The part of ``failing_delivery_connections`` for the subscriptions of one IPv6 prefix of
    64 bits: two thirds."""

    failures_before_pause: int = 2
    """Failed attempts in a row at one endpoint that do not pause it, so that a single failure
    delays no event. The next failure pauses the endpoint."""

    pause_first_seconds: float = 1.0
    """Seconds of the first pause of an endpoint. Each further failed attempt doubles the pause.
    Changes merge meanwhile."""

    pause_most_seconds: float = 30.0
    """Longest pause in seconds of an endpoint that has ever taken an event. When it is back, it has
    the final state within this time. A renewal or SUBSCRIBE of its host ends the pause at once."""

    delivery_idle_seconds: float = 30.0
    """How long an idle delivery connection is kept. Peers close theirs after 15 s to 75 s."""

    connect_seconds: float = 5.0
    """How long connecting may take. A host that has left the network does not answer at all."""

    attempt_seconds: float = 30.0
    """How long one NOTIFY may take with its answer (UDA 2.0 §4.3.2)."""

    action_seconds: float = 29.0
    """Seconds that the method of an action may take. Then it is cancelled, and the call is answered
    with the error 501. UDA wants the answer within 30 s, transmission included (UDA 2.0 §3.2.1).
    Bounds how long a method that waits counts among ``running_actions``."""

    running_actions: int = 256
    """Actions with ``async def`` methods of one device that run at once. As many calls may wait in
    ``on_action``. Each of both is at most half of ``connections``, because a call that waits keeps
    its connection. Above that, a call is answered with the error 501. Bounds the memory and the
    work for a flood of calls."""

    running_actions_per_address: int = 32
    """Actions among ``running_actions`` whose calls came from one IPv4 address or one IPv6 prefix
    of 64 bits, so that one host cannot take all. A control point runs a few at once."""

    held_event_seconds: float = 5.0
    """Seconds that the event of an action waits for the answer to the action, at most. Later events
    of the service wait behind it. The first events of an action that takes longer, such as
    TRANSITIONING, leave before its answer. Bounds how long a control point that calls slow actions
    delays events."""

    unreported_answer_seconds: float = 400.0
    """Seconds in which a runtime or a web server must report whether the answer to a SUBSCRIBE has
    left; then the subscription ends. More than ``answer_seconds`` and ``read_seconds``, in which
    our own listener reports it. Bounds the subscriptions that wait for their initial events because
    a web server never reports it."""

    unread_answer_seconds: float = 1.0
    """Seconds that the event of an action still waits after the end of the action, at most. The
    answer leaves at once if its peer reads. Bounds how long a control point that does not read
    delays events."""

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

    multicast_places: int = 128
    """Pairs of interface and scope that multicast events are sent on, or received; one socket each,
    at most 1/64 of the file descriptors (:meth:`within`). A host with many containers has more
    interfaces, but few of them lead to a network."""

    received_datagram_bytes: int = 65_535
    """Bytes of one datagram that is read: the maximum of UDP."""

    multicast_services: int = 1_024
    """Services whose multicast events one control point expects."""

    services_per_source: int = 128
    """Of ``multicast_services``, the services at one address whose descriptions are read because
    they have sent an event. A bridge has some dozens of devices. Bounds one host that would take
    the room of all others."""

    multicast_window: int = 64
    """SEQs that are remembered per service, to distinguish a repeated event from a late one; one
    bit each. An event further behind is refused."""

    multicast_refusals: int = 64
    """Pairs of address and reason for which refused datagrams are reported and counted. Bounds
    the table and the log, which forged source addresses can fill."""

    device_datagrams: int = 1_024
    """Datagrams of multicast events that are parsed at once from one address of a device that is
    believed (token bucket). Anybody on the link can send in its name. One takes about 60 µs."""

    device_datagram_seconds: float = 0.001
    """Seconds until the bucket of such an address has one datagram more: 6 % of the time."""

    other_datagrams: int = 256
    """Datagrams of multicast events that are parsed at once from all other addresses together
    (token bucket). They are parsed to learn of new devices."""

    other_datagram_seconds: float = 0.005
    """Seconds until that bucket has one datagram more: 1 % of the time."""

    held_datagrams: int = 64
    """Multicast events that are held at once while a description or a search shows more of their
    device. Anybody on the link can send them; each has up to 64 kB."""

    held_per_device: int = 16
    """Of ``held_datagrams``, the events of one device: those of a few changes over several
    interfaces."""

    multicast_hold_seconds: float = 3.0
    """How long a multicast event is held. A search is answered within ``MX`` seconds, and a
    description is read in less."""

    multicast_read_seconds: float = 30.0
    """Seconds until the description of a device that did not show the service of a multicast event
    is read for it again. Bounds the requests that forged events cause."""

    # --- subscriber ---

    own_subscriptions: int = 4_096
    """Subscriptions of one control point."""

    request_seconds: float = 30.0
    """How long a SUBSCRIBE or UNSUBSCRIBE may take (UDA 2.0 §4.1.2), or a description."""

    lookup_seconds: float = 2.0
    """Seconds that the resolver may take for a name whose addresses are known from before. After
    them the known addresses are used. Below ``connect_seconds``, so that there is time to
    connect."""

    lookups: int = 16
    """Names that are looked up at once; further lookups fail. A lookup occupies a thread, for about
    30 s if the resolver is silent. Bounds the threads for descriptions with many names."""

    known_names: int = 256
    """Names whose last addresses are remembered. Above that, the oldest are forgotten. Bounds the
    memory for descriptions that always have new names."""

    requests_per_device: int = 4
    """Requests under way at once to one (address, port): small devices have few sockets. If it is
    more than one, SUBSCRIBEs leave one of them to calls of actions, and calls leave one to
    SUBSCRIBEs."""

    kept_connections: int = 16
    """Idle connections to devices that are kept for the next calls of actions. Above that, the
    oldest is ended. Bounds the descriptors of a program that calls many devices."""

    kept_connections_per_device: int = 3
    """Connections among ``kept_connections`` to one (address, port): as many as calls can be under
    way there. With fewer, calls that wait for others would need new connections."""

    kept_seconds: float = 2.0
    """Seconds that a connection is kept while it is idle. Devices end idle connections after 5 s or
    later. A call on a connection that the device is just ending fails, because it must not be sent
    twice."""

    kept_seconds_while_others_wait: float = 0.02
    """Seconds that an idle connection is kept while another request to the device is under way or
    waits. A device that serves one connection at a time answers that request only afterwards."""

    initial_event_seconds: float = 5.0
    """How long after the answer to SUBSCRIBE the initial event may take before the status is
    DEAF."""

    quiet_seconds: float = 3_600.0
    """Seconds without an event after which a subscription is replaced instead of renewed (``inf``:
    never). A device may renew a subscription that it has forgotten, and a firewall lets renewals
    pass. Only an initial event shows that events arrive. Bounds how long the state is old."""

    doubt_seconds: float = 2.0
    """Seconds in which the device may send an event again that was refused or cut. Then the event
    is lost, and a fresh subscription restores the state. A device sends again at once, if at all.
    Bounds how long the state is out of date unnoticed."""

    wasted_connections: int = 3
    """Connections of a device in a row without a request that count as a lost event; fewer may be a
    health check. One that brings other bytes counts as much as all. The number doubles when a fresh
    subscription shows no loss. Bounds how long a network that cuts requests goes unnoticed."""

    stall_seconds: float = 5.0
    """Seconds after which an incomplete request, or a connection without any byte, counts as cut;
    it is still read. Real devices write an event in milliseconds. Bounds how long a network that
    drops large packets goes unnoticed."""

    early_messages: int = 8
    """Event messages that wait for one subscription until its SUBSCRIBE is answered. On a shared
    path this counts per source address, so that forged messages do not displace the device's."""

    early_bytes: int = 4_194_304
    """Bytes of all messages that wait on a shared path, and 1 kB for each: four bodies of the
    largest size, or 400 usual ones. Above that, the messages of the address with the most bytes are
    dropped. Bounds forged messages from many addresses."""

    waiting_events: int = 256
    """Events and status changes that wait for the application, per subscription. Later events are
    merged into the last. Bounds the memory for an application that does not read them."""

    waiting_event_characters: int = 8_388_608
    """Characters of names and values in the waiting events of one subscription, and 256 per value;
    the largest single event has about 7 million. Above that, events merge into the last, and lose
    the variables that changed first. Bounds the memory for an application that does not read."""

    state_characters: int = 16_777_216
    """Characters of the values above 1,024 characters that one subscription keeps. Another large
    value is only in its event. A renderer's playlist has about 200,000. Bounds a device that fills
    each of its variables with ``body_bytes``."""

    event_problems: int = 32
    """Sentences about mended events that one subscription has in ``problems``, and a merged event
    in its own; the first ones. There are fewer than 20 kinds of deviations, but one names the
    variables whose values find no room. Bounds the memory, the lines in the log, and the work for
    each event, if a device has new names in every event."""

    subscribe_burst: int = 3
    """SUBSCRIBE requests that one subscription may send at once (token bucket), and repairs of lost
    events in a row that follow at once. Then the status is DEAF, and the intervals double up to
    ``backoff_most_seconds``. Bounds what a device with unreadable events is sent."""

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
    """Seconds in which several announcements are repetitions of one: devices send each up to three
    times (UDA 2.0 §1.2.2). A request older than that is given up at an announcement. A renewal
    granted within this time is not repeated when the device refuses another renewal."""

    check_burst: int = 3
    """Checks of one device that announcements may cause at once (token bucket). A check is a
    renewal of one subscription. A real device rarely restarts or says byebye. Bounds the requests
    that forged announcements cause."""

    check_refill_seconds: float = 10.0
    """Seconds until the bucket has one check more. Under a flood of forged announcements a true one
    is noticed within this time."""

    check_seconds: float = 10.0
    """Seconds in which a device must answer the renewal of a check. Shorter than
    ``request_seconds``, so that a device that has left is soon known to be gone."""

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

    repeated_heads: int = 256
    """Heads of accepted events that one listener remembers, to recognise the next event of a device
    that connects anew for each. A head takes 1 to 2 kB. Above that, the oldest is forgotten.
    Bounds what a device with ever new heads can take."""

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
    """Pairs of interface and group on which discovery listens; two sockets each, at most 1/64 of
    the file descriptors (:meth:`within`). A host with many containers has more interfaces, but few
    of them lead to a network."""

    listening_addresses: int = 64
    """Addresses of one chosen interface that a device listens on; one socket each, at most 1/64 of
    the file descriptors (:meth:`within`). A hostile router gives this machine as many addresses as
    the system takes: one for each prefix it announces."""

    known_devices: int = 1_024
    """Devices that are remembered and not followed, embedded ones included; about 2 kB each. A
    further device displaces the oldest one whose description was not read, or is ignored if there
    is none. Bounds a host that announces UDNs without end."""

    devices_per_source: int = 128
    """Devices that were first heard from one address; a bridge has some dozens. A further device
    displaces the oldest one of this address whose description was not read. Bounds one host that
    would displace the devices of the others."""

    announced_reads: int = 64
    """Descriptions that announcements make us read at one host at once (token bucket). A bridge has
    some dozens of devices. Bounds the requests that forged announcements aim at a host on the
    link."""

    announced_read_seconds: float = 1.0
    """Seconds until the bucket has one read more."""

    announced_hosts: int = 1_024
    """Hosts with a bucket of ``announced_reads``, as many as ``known_devices``. Above that, the
    host that was asked longest ago is forgotten."""

    followed_devices: int = 1_024
    """Root devices that a control point follows by their UDN."""

    types_per_device: int = 128
    """Device and service types that are remembered of one device, embedded devices included. A
    large device has about 30."""

    locations_per_link: int = 4
    """Description URLs that are remembered of one device on one link, the latest ones. A host
    with several addresses announces several in turn. Above that, one of the address that has
    announced most of them is forgotten."""

    locations_per_reading: int = 16
    """Locations at which the description of one device is read until it is searched for again. A
    device has a few addresses on a few links. Bounds the requests that a host causes by announcing
    one device at many locations."""

    boot_ids_per_device: int = 16
    """Addresses of one device whose BOOTID is remembered, those that were last heard. A device has
    a few addresses. Bounds a host that announces it from many."""

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
    """Seconds after its byebye when a device is searched for and its subscriptions are checked: the
    byebye may be forged, or the device restarts at once. A device that leaves may answer for about
    a second more."""

    search_burst: int = 5
    """Searches for one device that may be sent at once (token bucket), and checks of its claimed
    locations: anybody on the link can cause such a connection. Also the devices that are each
    searched for after a goodbye. If there are more, there is one search for all devices."""

    search_refill_seconds: float = 5.0
    """Seconds until the bucket has one more search. Also the shortest time between two attempts at
    a device whose subscriptions fail and that announces itself."""

    find_seconds: float = 30.0
    """How long ``ControlPoint.device(udn=…)`` waits for a device by default."""

    relocation_seconds: float = 1.0
    """After a description was read at a new location, time for the former location to answer. If it
    answers, the device has not moved: its host has several addresses."""

    # --- announcing a device ---

    announced_addresses: int = 64
    """Addresses from which a device announces itself; two sockets each, at most 1/64 of the file
    descriptors (:meth:`within`). A host with many containers has more, but few of them lead to a
    network. Bounds the datagrams of one set."""

    link_seconds: float = 0.5
    """Seconds between two readings of the addresses of this machine (a quarter of a millisecond on
    a machine with five) by a device that announces itself, and by discovery. A device must be found
    on a new interface within three seconds, in which it opens its listener too. If a reading takes
    more than 3 % of this time, it is made less often."""

    address_changes: int = 4
    """Changes of the addresses that a device announces at once (token bucket). Each one raises
    BOOTID and is told in four sets of messages. Bounds what an interface causes that comes and goes
    all the time."""

    address_change_seconds: float = 5.0
    """Seconds until the bucket has one change more."""

    search_answer_ratio: int = 500
    """Bytes of the answers to one search for each byte of the search. A search for everything has
    about 100 bytes; a device with 100 services answers it with 45 kB, because UDA wants an answer
    for each. Further answers are left out; those of the root device come first. Bounds what a
    forged search sends to a victim, together with ``search_answer_rate_per_source``."""

    search_answer_bytes: int = 1_048_576
    """Bytes of search responses at once, to all sources: what 40 control points are sent that
    search for everything at the same time."""

    search_answer_rate: int = 131_072
    """Bytes of search responses per second after that. Bounds a flood of searches from forged
    addresses of the link."""

    search_answer_bytes_per_source: int = 131_072
    """Bytes of search responses at once to one address. Five searches for everything on a device
    with 50 services."""

    search_answer_rate_per_source: int = 8_192
    """Bytes of search responses per second to one address after that. Bounds what a victim on the
    link is sent."""

    announced_instead_seconds: float = 2.0
    """Seconds between two sets of announcements that are sent because answers to searches were left
    out, at least. In a flood of searches, a control point finds the device within this time. Bounds
    what a flood sends to the group."""

    search_sources: int = 1_024
    """Addresses with a budget of search responses, and searches that are remembered to know their
    repetitions. Above that, the oldest are forgotten. Bounds the memory for forged addresses."""

    waiting_search_answers: int = 4_096
    """Search responses that wait for their time within MX; further ones are left out. Bounds the
    memory for a flood of searches."""

    # --- documents ---

    xml_depth: int = 64
    """Nesting of elements in any document that a peer sends."""

    xml_elements: int = 20_000
    """Elements in any document that a peer sends. A ContentDirectory SCPD has about 400."""

    actions_per_service: int = 512
    """Actions that are read from one service description; further ones are dropped. Large services
    have about 60. Bounds the memory for a description, and the names in the text of an error."""

    mended_bytes: int = 262_144
    """Bytes of a document that may be mended; a longer malformed document is refused. Mending takes
    ten to fifty times as long as reading, and up to 70 bytes of memory for each byte. Bounds the
    work for one document to 0.2 s and 18 MB."""

    action_arguments: int = 128
    """Arguments in one call of an action, in one answer, and of one action in a service
    description. The largest standard actions have about 20. A call with more is answered with the
    error 402. Bounds the work for one message."""

    poll_seconds: float = 60.0
    """Seconds that one poll of values may take. Then it is given up. A device has 30 s for one
    action. Bounds how long a function of the program that does not end keeps the next poll from
    beginning."""

    poll_actions: int = 32
    """Actions that one poll of values calls. A RenderingControl has about 20 that return its state
    variables. Bounds the requests that the service description of a device can cause."""

    variable_name_characters: int = 1_024
    """Characters of the name of a state variable, or of a variable and its channel in a LastChange.
    UDA wants fewer than 32 (UDA 2.0 §2.5). Bounds the memory for the names of values: a device can
    send thousands of them."""

    url_bytes: int = 2_048
    """Bytes of a URL in a description, also after it is joined to URLBase, as in ``target_bytes``;
    a longer URL is dropped. All URLs of a description have at most ``body_bytes``. Bounds the
    memory for a long URLBase, which every URL would repeat."""

    redirects: int = 3
    """307 answers followed in a row for one description or SUBSCRIBE (UDA 2.0 §2.1)."""

    # --- log ---

    log_kinds: int = 256
    """Different warnings that one host or control point remembers, to count their repetitions.
    Above that, the oldest are forgotten. Bounds the memory for warnings about forged addresses."""

    log_lines: int = 50
    """Lines of one kind that are logged at once (token bucket). Lines that differ in addresses and
    names are of one kind. The next line says how many were left out. Bounds the log: each forged
    source address would be another warning."""

    log_line_seconds: float = 10.0
    """Seconds until the bucket has one line more."""

    log_line_characters: int = 2_000
    """Characters of one line; a longer line is cut. Bounds names and URLs, which a peer chooses."""

    # --- runtime ---

    outcomes: int = 4_096
    """Outcomes for a log that wait for the runtime. Further ones are dropped. An outcome that needs
    an action, such as an event, is never dropped."""

    timer_seconds: float = 30.0
    """Longest time for which the runtime's timer is set, so that a suspend is noticed."""

    address_seconds: float = 3.0
    """Seconds between two readings of the addresses of this machine (about a millisecond each), by
    a control point with subscriptions and a publisher with delivery connections. A changed address
    is noticed within this time."""

    def within(self, descriptors: int) -> Limits:
        """These limits, with caps on connections and on the sockets of addresses that fit into
        ``descriptors`` file descriptors.

        3/8 are for accepted connections and half for delivery connections. The caps on a part of
        the connections shrink with them. 7/64 are for the sockets of addresses: each of the four
        caps is 1/64, and a device and a control point together have seven sockets for it. The rest
        is for the program's files and for requests to devices. A cap that fits already does not
        change."""
        accepted = max(descriptors * 3 // 8, 1)
        deliveries = max(descriptors // 2, 1)
        places = max(descriptors // 64, 1)
        of_addresses = {
            name: min(getattr(self, name), places)
            for name in (
                "listening_addresses",
                "announced_addresses",
                "discovery_links",
                "multicast_places",
            )
        }
        fitting = replace(self, **of_addresses)
        if self.connections <= accepted and self.delivery_connections <= deliveries:
            return self if fitting == self else fitting

        def part(cap: int, whole: int, of: int, most: int) -> int:
            return max(min(cap, most * whole // of), 1)

        return replace(
            fitting,
            connections=min(self.connections, accepted),
            connections_per_address=part(self.connections_per_address, 2, 3, accepted),
            turned_away_connections=part(self.turned_away_connections, 1, 16, accepted),
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


short_in_help(Limits.__init__)


DEFAULT_LIMITS = Limits()
