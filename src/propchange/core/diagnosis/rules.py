"""The rules of a diagnosis: which facts lead to which verdict.

A subscription can fail at each step of a path: a name is resolved, SUBSCRIBE reaches the device,
the device grants it, CALLBACK names an address, the device connects to that address, a NOTIFY
arrives whole, this side accepts it. A protocol makes :class:`.Facts` about these steps, and a
runtime adds what it finds by connecting to the device and to its own listener.

:func:`diagnose` gives the verdict of the first of the :data:`RULES` that applies. Their order is
that of the evidence:

1. A device that does not answer now explains everything else, so its verdicts come first, after
   that of a closed subscription.
2. Then the verdicts that are certain: events arrive, SUBSCRIBE was refused or is not answered, an
   answer or the initial event is not overdue yet, the initial event is late, no event has come for
   a new SID.
3. Then what the listener has seen of the device: a refused NOTIFY, a lost event, no room, a
   connection without a request. A device that connects has a way to this machine, so the addresses
   are right.
4. Last, for a device that never connected, what is wrong with the address in CALLBACK, from the
   most certain (it is not this machine's) to the least (a router is between). The last rule names
   the two causes that look the same from here: a firewall, and a device that never sends.

An unknown fact is None and supports no rule. A verdict claims what the facts show, and no more. To
add a verdict, add a member to :class:`Verdict`, a row to :data:`RULES` at the place that its
evidence has in this order, and the row to ``docs/diagnosis.md``; a test compares them.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple

from propchange.core.diagnosis.facts import Facts, Probe, Reach, duration_in_words
from propchange.core.diagnosis.verdicts import Diagnosis, Verdict
from propchange.core.limits import DEFAULT_LIMITS
from propchange.core.local_addresses import (
    InterfaceKind,
    LocalAddress,
    address_of,
    container_address,
)
from propchange.core.subscriber.events import Cause, Status
from propchange.core.wire.refusals import Part
from propchange.printable import printable


class Rule(NamedTuple):
    """One rule: ``verdict`` is given if ``applies`` returns True, with the sentence of ``says``.
    ``to_do`` is the advice, ``behind`` the one to a program that has set ``callback_url``;
    ``suggests`` adds to it by the facts. ``docs/diagnosis.md`` has the advice and the meaning of
    the verdict."""

    verdict: Verdict
    applies: Callable[[Facts], bool]
    says: Callable[[Facts], str]
    to_do: str = ""
    suggests: Callable[[Facts], str] = lambda _: ""
    behind: str = ""


def diagnose(facts: Facts) -> Diagnosis:
    """The verdict on ``facts``: that of the first rule that applies. The last one
    always applies."""
    rule = next(rule for rule in RULES if rule.applies(facts))
    to_do = rule.behind if rule.behind and facts.callback_url is not None else rule.to_do
    advice = to_do + rule.suggests(facts)
    return Diagnosis(rule.verdict, printable(rule.says(facts)), printable(advice), facts)


# --- conditions and sentences ---


def _who(facts: Facts) -> str:
    return facts.device or "the device"


def _where(facts: Facts) -> str:
    return str(facts.advertised) if facts.advertised is not None else "nowhere"


def _granted(facts: Facts) -> str:
    """The beginning of every sentence about a deaf subscription."""
    what = "connection" if facts.heard is False and not facts.others_hear else "event"
    return (
        f"granted, but no {what} from {_who(facts)} in {duration_in_words(facts.granted_for or 0)}"
    )


def _told(facts: Facts, why: str) -> str:
    return f"{_granted(facts)}: it was told to send to {_where(facts)}, {why}"


def _probed(probe: Probe | None, *reaches: Reach) -> bool:
    return probe is not None and probe.reach in reaches


def _short_probe(facts: Facts) -> Probe | None:
    for probe in (facts.device_probe, facts.self_connect):
        if _probed(probe, Reach.SHORTAGE):
            return probe
    return None


def _device_probe(facts: Facts) -> str:
    last = ""
    if facts.last_event_ago is not None:
        last = f"; the last event came {duration_in_words(facts.last_event_ago)} ago"
    return f"{facts.device_probe}{last}"


def _alternative(facts: Facts) -> str:
    """An address of this machine that is likelier to be reached than the one in CALLBACK."""
    advertised = facts.own_advertised
    for own in facts.usable:
        shares = own in facts.near
        if own != advertised and (shares or own.kind is InterfaceKind.ORDINARY):
            why = "is in the device's network" if shares else "is the likeliest"
            return f" ({own.host} of {own.interface} {why})"
    return ""


def _far(facts: Facts) -> LocalAddress | None:
    """The address in CALLBACK, if it is one of this machine in whose network the device is not."""
    own = facts.own_advertised
    return None if facts.device is None or own in facts.near else own


def _literal(facts: Facts) -> IPv4Address | IPv6Address | None:
    """The address in CALLBACK; None for a name."""
    return None if facts.advertised is None else address_of(facts.advertised.host)


def _is_pending(facts: Facts) -> bool:
    if facts.lost is not None:
        return False
    if facts.granted_for is not None:
        return facts.status is not Status.DEAF and facts.granted_for < facts.initial_due
    return not facts.failure


def _pending(facts: Facts) -> str:
    if facts.granted_for is not None:
        return (
            f"granted {duration_in_words(facts.granted_for)} ago: the initial event may take "
            f"{duration_in_words(facts.initial_due)}"
        )
    if facts.asked_for is not None:
        return f"SUBSCRIBE has been without an answer for {duration_in_words(facts.asked_for)}"
    return "a SUBSCRIBE is about to be sent"


def _unanswered(facts: Facts) -> str:
    """How the request failed that the subscription waits for; empty if it waits for none. After
    an event, a grant may still be there while renewals fail."""
    if facts.status is Status.RESUBSCRIBING and facts.granted_for is not None and not facts.lost:
        return facts.reason
    return facts.failure if facts.granted_for is None else ""


_WASTED_CONNECTIONS = DEFAULT_LIMITS.wasted_connections
"""From this number of connections without a request since the last event, events do not arrive."""


def _do_events_arrive(facts: Facts) -> bool:
    """Whether the last event was taken, and no sign of a lost event has come since."""
    last, refused = facts.last_event_ago, facts.refused
    if facts.status is not Status.ACTIVE or last is None or facts.lost is not None:
        return False
    if refused is not None and refused.ago <= last:
        return False
    return facts.empty < _WASTED_CONNECTIONS


def _arrives(facts: Facts) -> str:
    assert facts.last_event_ago is not None
    before = ""
    if facts.refused is not None:
        before = (
            f"; before that, an event was answered {facts.refused.status}: {facts.refused.reason}"
        )
    elif facts.losses:
        before = f"; {facts.losses} were lost before, and the state was restored"
    return (
        f"events arrive: the last one came {duration_in_words(facts.last_event_ago)} ago, so the "
        f"subscription is quiet and not deaf{before}"
    )


def _is_nothing_evented(facts: Facts) -> bool:
    silent = facts.last_event_ago is None and facts.refused is None
    return silent and facts.status is Status.ACTIVE and not facts.owes_event


_MAKER = "only the maker of the device can mend that; look for newer firmware"

_REFUSED_ADVICE = {
    Part.BODY: f"the text of its event is damaged: {_MAKER}",
    Part.SIZE: "raise Limits.body_bytes",
    Part.FRAMING: f"its messages are no HTTP, or their CONTENT-LENGTH is wrong: {_MAKER}",
    Part.REST: "look for a firewall that resets connections, and at the MTU",
    Part.HEADER: f"its header is not that of an event (NT, NTS, SEQ): {_MAKER}",
    Part.HOST: "a proxy or a second network of the device may be the reason; hosts= admits other "
    "HOSTs",
    Part.SOURCE: "leave out require_device_source if the device has several addresses, or if a "
    "proxy is between",
    Part.SUBSCRIPTION: "the device uses a path or a SID that it was not given, perhaps of an "
    "earlier subscription, which ends by itself; if this continues, restart the device",
}


def _refused_advice(facts: Facts) -> str:
    return "" if facts.refused is None else _REFUSED_ADVICE[facts.refused.part]


def _lost(facts: Facts, *causes: Cause) -> bool:
    return facts.lost is not None and facts.lost.cause in causes


def _refused_notify(facts: Facts) -> str:
    refused = facts.refused
    assert refused is not None
    return (
        f"granted, and {refused.host} does send, but what it sends was answered "
        f"{refused.status}: {refused.reason}"
    )


def _override(facts: Facts) -> str:
    names = facts.overrides
    said = _told(facts, f"as {' and '.join(names)} say{'s' if len(names) == 1 else ''}")
    return said if facts.self_connect is None else f"{said}, and from here {facts.self_connect}"


def _is_web_server_away(facts: Facts) -> bool:
    reaches = Reach.REFUSED, Reach.SILENT, Reach.UNREACHABLE, Reach.UNRESOLVED
    return facts.callback_url is not None and _probed(facts.self_connect, *reaches)


def _web_server_away(facts: Facts) -> str:
    probe = facts.self_connect
    assert probe is not None
    how = str(probe).removeprefix(probe.where)
    return f"{_granted(facts)}: from here, nothing answers at {probe.where}: it{how}"


def _is_not_passed_on(facts: Facts) -> bool:
    reaches = Reach.SOMEBODY_ELSE, Reach.CHANGED
    return facts.callback_url is not None and _probed(facts.self_connect, *reaches)


def _not_passed_on(facts: Facts) -> str:
    probe = facts.self_connect
    assert probe is not None
    if probe.reach is Reach.CHANGED:
        where = f"the web server at {probe.where}"
        return f"{_granted(facts)}: {where} passes requests on, but {probe.detail}"
    detail = f" ({probe.detail})" if probe.detail else ""
    return (
        f"{_granted(facts)}: something else answers at {probe.where}{detail}, and what is "
        "sent there does not come to this control point"
    )


def _is_address_gone(facts: Facts) -> bool:
    literal = _literal(facts)
    own = not facts.own or facts.own_advertised is not None
    return not (literal is None or literal.is_loopback or own or facts.overrides)


def _is_loopback(facts: Facts) -> bool:
    literal = _literal(facts)
    return literal is not None and literal.is_loopback


def _is_container(facts: Facts) -> bool:
    own = _far(facts)
    return own is not None and container_address(own, in_container=facts.in_container)


def _container(facts: Facts) -> str:
    own = facts.own_advertised
    assert own is not None
    what = "a container"
    if own.kind is InterfaceKind.BRIDGE:
        what = f"the bridge {own.interface} to containers or virtual machines"
    return (
        f"{_granted(facts)}: it cannot reach {_where(facts)}, which looks like an address of {what}"
    )


def _is_vpn(facts: Facts) -> bool:
    own = _far(facts)
    return own is not None and own.kind is InterfaceKind.TUNNEL


def _vpn(facts: Facts) -> str:
    own = facts.own_advertised
    assert own is not None
    why = f"the address of {own.interface}, which looks like a VPN that carries the route to it"
    return _told(facts, why)


def _other_interface(facts: Facts) -> str:
    own, near = facts.own_advertised, facts.near[0]
    assert own is not None
    theirs = f"it is in the network of {near.interface} ({near.network})"
    return _told(facts, f"the address of {own.interface}, but {theirs}")


def _is_link_local(facts: Facts) -> bool:
    literal = _literal(facts)
    return isinstance(literal, IPv6Address) and literal.is_link_local


def _router(facts: Facts) -> str:
    networks = ", ".join(
        str(own.network) for own in facts.own if own.kind is not InterfaceKind.LOOPBACK
    )
    return _told(
        facts,
        f"but it is in none of the networks of this machine ({networks}): a router is between, and "
        "one that translates addresses (NAT) or filters lets nothing back",
    )


def _unheard(facts: Facts) -> str:
    where = _where(facts)
    listens = ""
    if _probed(facts.self_connect, Reach.ACCEPTED):
        listens = f", although the listener answers at {where} from here"
        if facts.callback_url is not None:
            listens = f", although the web server at {where} passes on what is sent from here"
    tried = f" (nor at {', '.join(facts.tried)})" if facts.tried else ""
    why = f"a firewall drops what it sends to {where}" if facts.near else f"it cannot reach {where}"
    return f"{_granted(facts)}{tried}{listens}: {why}, or {'it ' if facts.near else ''}never sends"


# --- the table ---

_BEHIND = "give callback_url the address of this machine in the device's network"

RULES: tuple[Rule, ...] = (
    Rule(
        Verdict.CLOSED,
        lambda facts: facts.status is Status.CLOSED,
        lambda _: "the subscription is closed",
    ),
    Rule(
        Verdict.NAME_UNKNOWN,
        lambda facts: _probed(facts.device_probe, Reach.UNRESOLVED),
        _device_probe,
        "use the device's IP address",
    ),
    Rule(
        Verdict.SHORTAGE,
        lambda facts: _short_probe(facts) is not None,
        lambda facts: str(_short_probe(facts)),
        "close what takes the file descriptors, or raise their limit (ulimit -n; LimitNOFILE= of "
        "systemd)",
    ),
    Rule(
        Verdict.NO_ROUTE,
        lambda facts: _probed(facts.device_probe, Reach.UNREACHABLE),
        _device_probe,
        "look whether this machine and the device are in their networks",
    ),
    Rule(
        Verdict.DEVICE_SILENT,
        lambda facts: _probed(facts.device_probe, Reach.SILENT),
        _device_probe,
        "look whether the device is on, and whether it still has this address",
    ),
    Rule(
        Verdict.CONNECTION_REFUSED,
        lambda facts: _probed(facts.device_probe, Reach.REFUSED),
        _device_probe,
        "start the device again, or read its description again for the port",
    ),
    Rule(
        Verdict.EVENTS_ARRIVE,
        _do_events_arrive,
        _arrives,
    ),
    Rule(
        Verdict.NOTHING_EVENTED,
        _is_nothing_evented,
        lambda _: (
            "granted, and no event is due: its service description declares no evented variable"
        ),
    ),
    Rule(
        Verdict.SUBSCRIBE_REFUSED,
        lambda facts: facts.granted_for is None and facts.failure_status != 0,
        lambda facts: facts.failure,
    ),
    Rule(
        Verdict.NO_ANSWER,
        lambda facts: bool(_unanswered(facts)),
        lambda facts: f"{_who(facts)} does not answer as it should: {_unanswered(facts)}",
        "it is tried again; if that does not help, start the device again",
    ),
    Rule(
        Verdict.PENDING,
        _is_pending,
        _pending,
        "ask again in a few seconds",
    ),
    Rule(
        Verdict.SLOW,
        lambda facts: facts.slow and facts.lost is None,
        lambda facts: (
            f"granted, and {_who(facts)} does send, but its initial event comes later than "
            f"{duration_in_words(facts.initial_due)} after the grant"
        ),
        "wait; Limits.initial_event_seconds says how long is too long",
    ),
    Rule(
        Verdict.NEW_SID,
        lambda facts: facts.awaits_new_sid,
        lambda facts: (
            f"{_who(facts)} has answered the renewal with another SID, {facts.sid}, and has sent "
            "no initial event for it"
        ),
        "there is nothing to do here: a fresh subscription follows by itself",
    ),
    Rule(
        Verdict.NOTIFY_REFUSED,
        lambda facts: facts.refused is not None and not _lost(facts, Cause.MISSED_EVENT),
        _refused_notify,
        suggests=_refused_advice,
    ),
    Rule(
        Verdict.EVENT_LOST,
        lambda facts: facts.lost is not None and not _lost(facts, Cause.EVENT_CUT),
        lambda facts: f"an event was lost: {facts.lost and facts.lost.reason}",
        "a fresh subscription follows by itself and restores the state; if events are lost again "
        "and again, the device or the network loses them",
    ),
    Rule(
        Verdict.LISTENER_FULL,
        lambda facts: facts.turned_away > 0 and facts.heard is not True,
        lambda facts: (
            f"{_granted(facts)} that there was room for: {facts.turned_away} were turned away"
        ),
        "raise Limits.connections or Limits.connections_per_address",
    ),
    Rule(
        Verdict.NEVER_SENDS,
        lambda facts: facts.others_hear,
        lambda facts: (
            f"{_granted(facts)} for this service, although events of its other services arrive "
            f"at {_where(facts)}"
        ),
        "there is nothing to do here: the device does not send the initial event it owes",
    ),
    Rule(
        Verdict.CUT_SHORT,
        lambda facts: facts.heard is True or _lost(facts, Cause.EVENT_CUT),
        lambda facts: (
            f"granted, and {_who(facts)} connects to {_where(facts)}, but no whole request comes "
            "over its connections" + (f": {facts.lost.reason}" if facts.lost is not None else "")
        ),
        "look for a firewall that resets connections, and at the MTU; or the device never writes "
        "its events, which only its maker can mend",
    ),
    Rule(
        Verdict.WEB_SERVER_AWAY,
        _is_web_server_away,
        _web_server_away,
        "is the web server running, and the application mounted there? A firewall may drop what is "
        "sent to it, and some routers let nobody inside use their outer address",
    ),
    Rule(
        Verdict.NOT_PASSED_ON,
        _is_not_passed_on,
        _not_passed_on,
        "mount the application at the path of callback_url, for the method NOTIFY; pass the path "
        "and HOST on as they came, or leave {token} out of callback_url and name HOST in hosts=",
    ),
    Rule(
        Verdict.CALLBACK_OVERRIDE,
        lambda facts: bool(facts.overrides) and not _probed(facts.self_connect, Reach.ACCEPTED),
        _override,
        "look at --callback-host and --callback-port, and at what forwards there; some routers let "
        "nobody inside use it",
        behind="look whether the web server runs there and passes requests on to receive(); "
        "diagnose() tries that",
    ),
    Rule(
        Verdict.ADDRESS_GONE,
        _is_address_gone,
        lambda facts: _told(facts, "which is no address of this machine any more"),
        "subscribe again; a subscription that is kept does so by itself",
    ),
    Rule(
        Verdict.NOT_LISTENING,
        lambda facts: _probed(facts.self_connect, Reach.REFUSED, Reach.SOMEBODY_ELSE),
        lambda facts: f"{_granted(facts)}: from here, {facts.self_connect}",
        "look at interface= and port=, and for rules that reject or redirect this port",
    ),
    Rule(
        Verdict.LOCAL_FIREWALL,
        lambda facts: _probed(facts.self_connect, Reach.SILENT, Reach.UNREACHABLE),
        lambda facts: f"{_granted(facts)}: not even from here, {facts.self_connect}",
        "open the port in this machine's firewall; --port fixes it to a number or a range",
    ),
    Rule(
        Verdict.LOOPBACK,
        _is_loopback,
        lambda facts: _told(
            facts,
            "where only programs of this machine, outside of containers, get to; or it never sends",
        ),
        "use the device's own address in the URL, or pass --callback-host (callback_host=)",
        behind=_BEHIND,
    ),
    Rule(
        Verdict.CONTAINER,
        _is_container,
        _container,
        "pass --callback-host (callback_host=) with the address of the machine and publish the "
        "port (--port), or run the container in the host's network",
        behind="give callback_url the address of the machine outside of the container, and publish "
        "the port of the web server",
    ),
    Rule(
        Verdict.VPN,
        _is_vpn,
        _vpn,
        "take the device's network out of the VPN, or pass --callback-host (callback_host=) with "
        "an address that the device can reach",
        _alternative,
        behind="give callback_url an address that the device can reach",
    ),
    Rule(
        Verdict.OTHER_INTERFACE,
        lambda facts: _far(facts) is not None and bool(facts.near),
        _other_interface,
        "pass --callback-host (callback_host=), or interface=",
        _alternative,
        behind=_BEHIND,
    ),
    Rule(
        Verdict.LINK_LOCAL,
        _is_link_local,
        lambda facts: _told(
            facts, "a link-local address, which means nothing without an interface"
        ),
        "use the device's IPv4 address, or a global IPv6 one, in the URL",
        behind="give callback_url an IPv4 address of this machine, or a global IPv6 one",
    ),
    Rule(
        Verdict.ROUTER_BETWEEN,
        lambda facts: _far(facts) is not None and not facts.near,
        _router,
        "forward a port on the router and pass --callback-host and --callback-port, or bring both "
        "into one network",
        behind="give callback_url the address and the port that the router forwards, or bring both "
        "into one network",
    ),
    Rule(
        Verdict.UNHEARD,
        lambda _: True,
        _unheard,
        "open the port in the firewall (--port fixes it to a number or a range), and try another "
        "control point on this machine",
        behind="open the port of the web server in the firewall, and try another control point on "
        "this machine",
    ),
)
