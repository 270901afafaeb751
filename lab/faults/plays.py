"""The faults: what is done to the device, to the control points' host, or to what lies between.

Each is a function that is given a :class:`~lab.faults.bench.Bench` on which all is well, and that
leaves it so again; its docstring is what the table says of it. The state changes while the fault
lasts wherever the device can: a control point that comes back without that has missed something.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.faults.bench import DEVICE, DEVICE_MOVED, SUBSCRIBER, SUBSCRIBER_MOVED, Bench

__all__ = ["FAULTS", "Fault"]

Fault = Callable[[Bench], None]

LONGER = 1.5
"""Times the duration: so long lasts what is to last longer than it."""


def restart(bench: Bench) -> None:
    """The device is killed and started again, on the same port"""
    with bench.fault():
        bench.device.kill()
        bench.wait(1)
        bench.start_device()


def away(bench: Bench) -> None:
    """The device is killed, away for longer than the duration, and back"""
    with bench.fault():
        bench.device.kill()
        bench.wait(LONGER * bench.duration)
        bench.start_device()


def goodbye(bench: Bench) -> None:
    """The device says ssdp:byebye, ends, and is back after 3 s"""
    with bench.fault():
        bench.device.stop()
        bench.wait(3)
        bench.start_device()


def another_port(bench: Bench) -> None:
    """The device is killed and comes back on another port"""
    with bench.fault():
        bench.device.kill()
        bench.wait(1)
        bench.start_device(port=bench.port + 1)


def another_address(bench: Bench) -> None:
    """The device is killed and comes back with another address"""
    with bench.fault():
        bench.device.kill()
        bench.device_host.ip(f"addr del {DEVICE}/24 dev eth0")
        bench.wait(1)
        bench.device_host.ip(f"addr add {DEVICE_MOVED}/24 dev eth0")
        bench.device_host.ip("route replace 239.0.0.0/8 dev eth0")
        bench.start_device(address=DEVICE_MOVED)


def frozen_device(bench: Bench) -> None:
    """The device hangs for longer than the duration, its sockets open (SIGSTOP)"""
    with bench.fault():
        bench.device.freeze()
        bench.wait(LONGER * bench.duration)
        bench.device.thaw()


def suspended(bench: Bench) -> None:
    """The control point hangs for longer than the duration, while the state changes (SIGSTOP)"""
    with bench.fault():
        for follower in bench.followers.values():
            follower.program.freeze()
        bench.change()
        bench.wait(LONGER * bench.duration)
        for follower in bench.followers.values():
            follower.program.thaw()


def cut(bench: Bench) -> None:
    """The device's cable is out for longer than the duration, while the state changes"""
    with bench.fault():
        bench.device_host.unplug()
        bench.change()
        bench.wait(LONGER * bench.duration)
        bench.device_host.plug_in()


def lost_events(bench: Bench) -> None:
    """Connections of the device's are reset for 2 s, while the state changes"""
    with bench.fault():
        bench.host.firewall("tcp flags & (syn | ack) == syn reject with tcp reset")
        bench.change()
        bench.wait(2)
        bench.host.firewall()


def one_way_out(bench: Bench) -> None:
    """What the control point's host sends is lost for longer than the duration; events arrive"""
    with bench.fault():
        bench.host.lose(f"ip daddr {DEVICE} tcp flags & (syn | ack) == syn drop")
        bench.change()
        bench.wait(LONGER * bench.duration)
        bench.host.lose()


def one_way_in(bench: Bench) -> None:
    """What the device's host sends is lost for longer than the duration, while the state changes"""
    with bench.fault():
        bench.device_host.lose("meta l4proto tcp drop", "meta l4proto icmp drop")
        bench.change()
        bench.wait(LONGER * bench.duration)
        bench.device_host.lose()


def firewall(bench: Bench) -> None:
    """The device restarts behind a firewall that drops its connections to us, opened later"""
    with bench.fault():
        bench.host.firewall("tcp flags & (syn | ack) == syn drop")
        bench.device.kill()
        bench.start_device()
        bench.change()
        bench.wait(LONGER * bench.duration)
        bench.host.firewall()


def firewall_later(bench: Bench) -> None:
    """A firewall begins to drop the device's connections to us; renewals pass, the state changes"""
    with bench.fault():
        bench.host.firewall("tcp flags & (syn | ack) == syn drop")
        bench.change()
        bench.wait(LONGER * bench.duration)
        bench.host.firewall()


def rejecting_firewall(bench: Bench) -> None:
    """The device restarts behind a firewall that resets its connections to us, opened later"""
    with bench.fault():
        bench.host.firewall("tcp flags & (syn | ack) == syn reject with tcp reset")
        bench.device.kill()
        bench.start_device()
        bench.change()
        bench.wait(LONGER * bench.duration)
        bench.host.firewall()


def our_address(bench: Bench) -> None:
    """The control point's host gets another address, as from DHCP"""
    with bench.fault():
        bench.host.ip(f"addr del {SUBSCRIBER}/24 dev eth0")
        bench.host.ip(f"addr add {SUBSCRIBER_MOVED}/24 dev eth0")
        bench.host.ip("route replace 239.0.0.0/8 dev eth0")
        bench.change()


def lossy(bench: Bench) -> None:
    """Every third packet is lost both ways for longer than the duration, while the state changes"""
    with bench.fault():
        for host in (bench.host, bench.device_host):
            host.lose("numgen random mod 3 == 0 drop")
        bench.change()
        bench.wait(LONGER * bench.duration)
        for host in (bench.host, bench.device_host):
            host.lose()


def large_packets(bench: Bench) -> None:
    """The device restarts where packets above 250 bytes are lost without a word (an MTU hole)"""
    with bench.fault():
        bench.device_host.lose("meta length > 250 drop")
        bench.device.kill()
        bench.start_device()
        bench.change()
        bench.wait(LONGER * bench.duration)
        bench.device_host.lose()


def no_route(bench: Bench) -> None:
    """The control point's host has no route to the device for longer than the duration"""
    with bench.fault():
        bench.host.ip(f"route add unreachable {DEVICE}/32")
        bench.change()
        bench.wait(LONGER * bench.duration)
        bench.host.ip(f"route del unreachable {DEVICE}/32")


def interface_down(bench: Bench) -> None:
    """The control point's interface is off for 3 s, has no address, and comes back renamed"""
    with bench.fault():
        bench.host.ip("link set eth0 down")
        bench.host.ip(f"addr del {SUBSCRIBER}/24 dev eth0")
        bench.host.ip("link set eth0 name lan0")
        bench.change()
        bench.wait(3)
        bench.host.ip(f"addr add {SUBSCRIBER}/24 dev lan0")
        bench.host.ip("link set lan0 up")
        bench.host.ip("route replace 239.0.0.0/8 dev lan0")


FAULTS: tuple[Fault, ...] = (
    restart,
    away,
    goodbye,
    another_port,
    another_address,
    frozen_device,
    suspended,
    cut,
    lost_events,
    one_way_out,
    one_way_in,
    firewall,
    firewall_later,
    rejecting_firewall,
    our_address,
    lossy,
    large_packets,
    no_route,
    interface_down,
)
