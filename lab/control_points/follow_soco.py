"""SoCo's events, in threads; see telling.py.

Its application is told of a failed renewal by ``auto_renew_fail``, and of nothing else.
"""

from __future__ import annotations

import queue
import sys
import threading
import urllib.request
from urllib.parse import urlsplit

import soco
from soco.events import Subscription
from soco.services import Service
from telling import tell

from propchange.upnp.description import parse_description

RENEWS_AT = 0.85
"""Of what was granted, as SoCo does it."""


class Player(soco.SoCo):
    """A player that is not asked, by an action, which household it belongs to."""

    household_id = "Sonos_propchange"


class Capped(Subscription):
    """Counts a longer grant as ``duration``."""

    duration = 0

    def _auto_renew_start(self, interval: float) -> None:
        super()._auto_renew_start(min(interval, RENEWS_AT * self.duration))


def follow(events: queue.Queue[object]) -> None:
    while True:
        event = events.get()
        # It writes names its own way: "Value" is "value".
        changes = {name.capitalize(): value for name, value in event.variables.items()}
        tell(event=changes, seq=int(event.seq), initial=None)


def main(description_url: str, duration: int) -> None:
    # SoCo reads no descriptions: it knows where a Sonos has what.
    with urllib.request.urlopen(description_url, timeout=5) as answer:
        bench = parse_description(answer.read(), description_url).service("Bench")
    service = Service(Player(urlsplit(description_url).hostname))
    address = urlsplit(bench.event_url)
    service.base_url = f"http://{address.netloc}"
    service.event_subscription_url = address.path
    subscription = Capped(service)
    subscription.duration = duration
    subscription.auto_renew_fail = lambda error: tell(
        status="lost", cause="renewal-failed", why=str(error)
    )
    following = threading.Thread(target=follow, args=(subscription.events,), daemon=True)
    following.start()
    subscription.subscribe(requested_timeout=duration, auto_renew=True)
    tell(ready=bench.event_url)
    sys.stdin.read()


main(sys.argv[1], int(sys.argv[2]))
