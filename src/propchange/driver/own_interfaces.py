"""The interfaces of this machine, for callers without :class:`.Interfaces` of their own."""

from __future__ import annotations

from propchange.driver.machine import Interfaces

INTERFACES = Interfaces()
"""The interfaces, read once for all these callers."""

on_link_for = INTERFACES.on_link_for
"""The prefixes of the interface that has an address."""

own_hosts = INTERFACES.own_hosts
"""The addresses of this machine as texts."""

own_addresses = INTERFACES.addresses
"""The addresses of this machine."""
