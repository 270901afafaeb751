"""SoCo's event listener in a process of its own: tells each event as SoCo understood it.

    python sub_soco.py PLAYER-IP

On start: {"ready": version}. Then:
    subscribe SERVICE EVENT-PATH   {"subscribed": SID, "timeout": seconds}; it renews by itself
    unsubscribe SERVICE            {"unsubscribed": SERVICE}
    quit
Unasked: {"notify": SEQ, "service": SERVICE, "variables": {…}}.
"""

from __future__ import annotations

import queue
import sys
import threading

import soco
from command_lines import tell


class Player(soco.SoCo):
    """A player that is not asked, by an action, which household it belongs to."""

    household_id = "Sonos_propchange"


def follow(name: str, subscription: soco.events.Subscription, done: threading.Event) -> None:
    while not done.is_set():
        try:
            event = subscription.events.get(timeout=0.1)  # to look whether it is done
        except queue.Empty:
            continue
        tell(notify=int(event.seq), service=name, variables=event.variables)


def main(address: str) -> None:
    player = Player(address)
    services = {"AVTransport": player.avTransport, "RenderingControl": player.renderingControl}
    subscriptions = {}
    done = threading.Event()
    tell(ready=soco.__version__)
    for line in sys.stdin:
        command, *words = line.split()
        if command == "subscribe":
            name, path = words
            # SoCo does not read eventSubURL: a player of Sonos's has the same paths always.
            services[name].event_subscription_url = path
            subscriptions[name] = subscription = services[name].subscribe(auto_renew=True)
            following = threading.Thread(target=follow, args=(name, subscription, done))
            following.daemon = True
            following.start()
            tell(subscribed=subscription.sid, timeout=subscription.timeout)
        elif command == "unsubscribe":
            subscriptions.pop(words[0]).unsubscribe()
            tell(unsubscribed=words[0])
        elif command == "quit":
            break
        else:
            tell(error="no such command", why=command)
    done.set()


main(sys.argv[1])
