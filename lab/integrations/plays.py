"""The faults: each is a function that plays it on a bench. Its docstring says what happens."""

from __future__ import annotations

from collections.abc import Callable

from lab.integrations.bench import US, US_MOVED, Bench

__all__ = ["DURATION", "DURATIONS", "FAULTS", "ON_DEVICES", "Fault"]

Fault = Callable[[Bench], None]

RENEWAL = 10
"""Seconds: longer than from one renewal of the profile to the next, when the device grants 66 s."""

EXPIRED = 75
"""Seconds: longer than what the device grants."""

ASLEEP = 140
"""Seconds: so long after the end of its grant, the profile takes a subscription for stale."""


def restart(bench: Bench) -> None:
    """The device is killed and started again, and announces itself"""
    with bench.fault():
        bench.device.kill()
        bench.wait(1)
        bench.device.start()


def unheard_restart(bench: Bench) -> None:
    """The device restarts; its announcements are lost, as in another VLAN"""
    with bench.fault():
        bench.host.firewall("udp dport 1900 drop")
        bench.device.kill()
        bench.device.start()
        bench.wait(2)  # its announcement has come to nothing
        bench.host.firewall()


def another_port(bench: Bench) -> None:
    """The device is killed and comes back on another port"""
    with bench.fault():
        bench.device.kill()
        bench.wait(1)
        bench.device.port += 1
        bench.device.start()


def goodbye(bench: Bench) -> None:
    """The device says ssdp:byebye, ends, and is back after 3 s"""
    with bench.fault():
        bench.device.stop()
        bench.wait(3)
        bench.device.start()


def renewal_refused(bench: Bench) -> None:
    """Renewals are answered with 412"""
    with bench.fault():
        bench.device.rules(renewal=412)
        bench.wait(RENEWAL)
        bench.device.rules()


def all_refused(bench: Bench) -> None:
    """The device forgets its subscriptions and refuses new ones with 503 for a while"""
    with bench.fault():
        bench.device.rules(renewal=412, subscribe=503)
        bench.device.ask("forget")
        bench.wait(RENEWAL)
        bench.device.rules()


def another_sid(bench: Bench) -> None:
    """A renewal is answered with another SID"""
    with bench.fault():
        bench.device.rules(new_sid=True)
        bench.wait(RENEWAL)
        bench.device.rules()


def lost_event(bench: Bench) -> None:
    """One event is lost"""
    with bench.fault():
        bench.device.change_mute("lose")


def cut_event(bench: Bench) -> None:
    """An event is cut off within its body"""
    with bench.fault():
        bench.device.rules(cut=True)
        bench.device.change_mute()
        bench.wait(1)
        bench.device.rules()


def malformed_event(bench: Bench) -> None:
    """The LastChange of an event is no XML"""
    with bench.fault():
        bench.device.rules(malformed=True)
        bench.device.change_mute()
        bench.wait(1)
        bench.device.rules()


def early_event(bench: Bench) -> None:
    """The device restarts unheard; then initial events come before the answer to SUBSCRIBE"""
    with bench.fault():
        bench.device.rules(early=True)
        bench.device.ask("forget")


def silent(bench: Bench) -> None:
    """The device grants and renews, and sends no events for a while"""
    with bench.fault():
        bench.device.rules(silent=True)
        bench.device.change_mute()
        bench.wait(RENEWAL)
        bench.device.rules()


def cable(bench: Bench) -> None:
    """The device's cable is out for a while; its state changes meanwhile"""
    with bench.fault():
        bench.device_host.unplug()
        bench.device.change_mute()
        bench.wait(2 * RENEWAL)
        bench.device_host.plug_in()


def frozen_device(bench: Bench) -> None:
    """The device hangs for a while, its sockets open (SIGSTOP)"""
    with bench.fault():
        bench.device.program.freeze()
        bench.wait(2 * RENEWAL)
        bench.device.program.thaw()


def firewall(bench: Bench) -> None:
    """A firewall keeps events away for a while, renewals pass; the state changes meanwhile"""
    with bench.fault():
        bench.host.firewall("tcp flags & (syn | ack) == syn drop")
        bench.device.change_mute()
        bench.wait(2 * RENEWAL)
        bench.host.firewall()


def our_address(bench: Bench) -> None:
    """The machine of the program gets another address, as from DHCP"""
    with bench.fault():
        bench.host.ip(f"addr del {US}/24 dev eth0")
        bench.host.ip(f"addr add {US_MOVED}/24 dev eth0")
        bench.host.ip("route replace 239.0.0.0/8 dev eth0")
        bench.device.change_mute()


def suspended(bench: Bench) -> None:
    """The program sleeps for twice the grant (SIGSTOP); the state changes meanwhile"""
    with bench.fault():
        for follower in bench.followers:
            follower.program.freeze()
        bench.device.change_mute()
        bench.wait(ASLEEP)
        for follower in bench.followers:
            follower.program.thaw()


def twice(bench: Bench) -> None:
    """The device is away for a while and back, and is watched when its grant would be over"""
    with bench.fault():
        bench.device.kill()
        bench.wait(2 * RENEWAL)
        bench.device.start()
        bench.wait(EXPIRED + RENEWAL)


def short_grant(bench: Bench) -> None:
    """The device grants 30 s, and not the 9 minutes that the profile asks for"""
    with bench.fault():
        bench.wait(2 * RENEWAL)


DURATION = 66
"""Seconds that the scripted renderer grants: the profile renews a minute before the end."""

DURATIONS: dict[Fault, int] = {short_grant: 30}
"""Where it grants another time."""

FAULTS: tuple[Fault, ...] = (
    restart,
    unheard_restart,
    another_port,
    goodbye,
    renewal_refused,
    all_refused,
    another_sid,
    lost_event,
    cut_event,
    malformed_event,
    early_event,
    silent,
    cable,
    frozen_device,
    firewall,
    our_address,
    suspended,
    twice,
    short_grant,
)

ON_DEVICES: tuple[Fault, ...] = (restart, unheard_restart, goodbye, firewall)
"""Those that are played on real devices too."""
