"""Networks of this machine's own: hosts and switches that are network namespaces, and the
faults of cables, routes and firewalls. Nothing in them reaches the machine's own network."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import subprocess
from typing import Self

from lab.programs import Missing

__all__ = ["Host", "Network", "Switch"]

_NUMBERS = itertools.count()


def _run(*words: str, stdin: str | None = None) -> str:
    done = subprocess.run(words, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


class _Namespace:
    def __init__(self, name: str) -> None:
        self.namespace = name

    @property
    def prefix(self) -> tuple[str, ...]:
        """What a command is prefixed with to run in it."""
        return ("ip", "netns", "exec", self.namespace)

    def run(self, *words: str, stdin: str | None = None) -> str:
        """Run a command in it and give what it prints. RuntimeError when it fails."""
        return _run(*self.prefix, *words, stdin=stdin)

    def _nft(self, *lines: str) -> None:
        self.run("nft", "-f", "-", stdin="\n".join(lines))

    def ip(self, command: str) -> str:
        """``ip`` with these words."""
        return _run("ip", "-n", self.namespace, *command.split(" "))


class Switch(_Namespace):
    """An Ethernet switch."""


class Host(_Namespace):
    """A host with interfaces ``eth0``, ``eth1`` …"""

    def __init__(self, namespace: str) -> None:
        super().__init__(namespace)
        self._ports: dict[str, tuple[Switch, str]] = {}

    def plugged_into(self, interface: str, switch: Switch, port: str) -> None:
        """For :class:`Network`."""
        self._ports[interface] = switch, port

    def link_local(self, interface: str = "eth0") -> str:
        """The link-local IPv6 address of an interface, without zone."""
        shown = self.ip(f"-6 -o addr show dev {interface} scope link")
        return shown.partition("inet6 ")[2].partition("/")[0]

    def index(self, interface: str = "eth0") -> int:
        """The number of an interface."""
        return int(self.ip(f"-o link show dev {interface}").partition(":")[0])

    def unplug(self, interface: str = "eth0") -> None:
        """Pull the cable: the interface keeps its addresses and has no carrier."""
        switch, port = self._ports[interface]
        switch.ip(f"link set {port} down")

    def plug_in(self, interface: str = "eth0") -> None:
        """Put the cable back."""
        switch, port = self._ports[interface]
        switch.ip(f"link set {port} up")

    def firewall(self, *rules: str) -> None:
        """Set these rules of nftables for what comes in; the last ones are forgotten. With none,
        the firewall is open."""
        self._nft(*_chain("inet", "type filter hook input priority 0;", rules))

    def lose(self, *rules: str, interface: str = "eth0") -> None:
        """As :meth:`firewall`, for what the host sends: the switch loses it, nobody is told."""
        switch, port = self._ports[interface]
        hook = f"type filter hook ingress device {port} priority 0;"
        switch._nft(*_chain("netdev", hook, rules))

    def translate(self, *rules: str) -> None:
        """Translate addresses of what is forwarded, by these rules of nftables."""
        self._nft(
            "table ip nat {",
            "chain out { type nat hook postrouting priority srcnat;",
            *rules,
            "}",
            "}",
        )
        self.run("sysctl", "-qw", "net.ipv4.ip_forward=1")


def _chain(family: str, hook: str, rules: tuple[str, ...]) -> tuple[str, ...]:
    table = f"table {family} faults"
    return f"{table} {{}}", f"delete {table}", f"{table} {{ chain rules {{ {hook}", *rules, "}", "}"


class Network:
    """Hosts and switches; all of them are gone when it is left. Entering raises Missing when this
    process may not make them, or has not the tools."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._prefix = f"propchange-{os.getpid()}-{next(_NUMBERS)}"

    def __enter__(self) -> Self:
        for tool, package in (("ip", "iproute2"), ("nft", "nftables")):
            if shutil.which(tool) is None:
                raise Missing(f"no `{tool}` ({package}) to make a network with")
        if os.geteuid() != 0:
            raise Missing("network namespaces need root")
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def host(self, name: str) -> Host:
        """A host without interfaces."""
        return Host(self._namespace(name))

    def switch(self, name: str = "switch") -> Switch:
        """A switch without cables."""
        switch = Switch(self._namespace(name))
        switch.ip("link add bridge type bridge mcast_snooping 0")
        switch.ip("link set bridge up")
        return switch

    def plug(
        self, host: Host, switch: Switch, interface: str, *addresses: str, mac: str = ""
    ) -> None:
        """Give ``host`` an interface with ``addresses`` (with their prefixes) at ``switch``. The
        first one is where its multicasts go. ``mac``: its hardware address, empty for any."""
        port = f"{host.namespace.rpartition('-')[2]}-{interface}"
        switch.ip(f"link add {port} type veth peer name {interface} netns {host.namespace}")
        switch.ip(f"link set {port} master bridge up")
        if mac:  # else neighbours would look for one that comes again at its former address
            host.ip(f"link set {interface} address {mac}")
        host.ip(f"link set {interface} up")
        for address in addresses:
            host.ip(f"addr add {address} dev {interface}")
        if interface == "eth0" and addresses:
            host.ip("route add 239.0.0.0/8 dev eth0")
        host.plugged_into(interface, switch, port)

    def _namespace(self, name: str) -> str:
        namespace = f"{self._prefix}-{name}"
        try:
            _run("ip", "netns", "add", namespace)
        except RuntimeError as error:
            raise Missing(f"no network namespace could be made: {error}") from error
        self._stack.callback(_run, "ip", "netns", "del", namespace)
        _run("ip", "-n", namespace, "link", "set", "lo", "up")
        # No duplicate detection: libupnp looks for a usable IPv6 address at once.
        for setting in (
            "net.ipv6.conf.default.accept_dad=0",
            "net.ipv4.ip_local_port_range=12000 48000",  # libupnp listens from 49152 on
            "net.ipv4.conf.all.rp_filter=0",
            "net.ipv4.conf.default.rp_filter=0",
        ):
            _run("ip", "netns", "exec", namespace, "sysctl", "-qw", setting)
        return namespace
