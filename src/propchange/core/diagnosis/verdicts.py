"""The result of a diagnosis: a verdict, and a sentence that says what is wrong."""

from __future__ import annotations

import enum
from typing import NamedTuple

from propchange.core.diagnosis.facts import Facts
from propchange.core.record import brief
from propchange.printable import printable


class Verdict(enum.Enum):
    """The result of a diagnosis, for programs. ``docs/diagnosis.md`` says what each means and what
    to do."""

    CLOSED = "closed"
    NAME_UNKNOWN = "name-unknown"
    SHORTAGE = "shortage"
    NO_ROUTE = "no-route"
    DEVICE_SILENT = "device-silent"
    CONNECTION_REFUSED = "connection-refused"
    EVENTS_ARRIVE = "events-arrive"
    NOTHING_EVENTED = "nothing-evented"
    SUBSCRIBE_REFUSED = "subscribe-refused"
    NO_ANSWER = "no-answer"
    PENDING = "pending"
    SLOW = "slow"
    NEW_SID = "new-sid"
    NOTIFY_REFUSED = "notify-refused"
    EVENT_LOST = "event-lost"
    LISTENER_FULL = "listener-full"
    NEVER_SENDS = "never-sends"
    CUT_SHORT = "cut-short"
    WEB_SERVER_AWAY = "web-server-away"
    NOT_PASSED_ON = "not-passed-on"
    CALLBACK_OVERRIDE = "callback-override"
    ADDRESS_GONE = "address-gone"
    NOT_LISTENING = "not-listening"
    LOCAL_FIREWALL = "local-firewall"
    LOOPBACK = "loopback"
    CONTAINER = "container"
    VPN = "vpn"
    OTHER_INTERFACE = "other-interface"
    LINK_LOCAL = "link-local"
    ROUTER_BETWEEN = "router-between"
    UNHEARD = "unheard"


class Diagnosis(NamedTuple):
    """The result of ``subscription.diagnose()``. ``sentence`` says what is wrong. ``advice`` says
    what to do; it is empty if nothing can be done. ``facts`` are the facts behind the verdict.
    ``str()`` gives the sentence and the advice. Texts of peers in it are escaped."""

    verdict: Verdict
    sentence: str
    advice: str
    facts: Facts

    @property
    def well(self) -> bool:
        """Whether nothing is wrong: events arrive, or the service has no evented variable."""
        return self.verdict in (Verdict.EVENTS_ARRIVE, Verdict.NOTHING_EVENTED)

    def __repr__(self) -> str:
        return brief(printable(f"<Diagnosis {self.verdict.value}: {self}>"))

    def __str__(self) -> str:
        return f"{self.sentence}; {self.advice}" if self.advice else self.sentence
