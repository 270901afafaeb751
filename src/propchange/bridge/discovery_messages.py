"""Publishes the discovery of devices to Home Assistant, on the connection of the bridge."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Coroutine, Sequence
from typing import Any

from propchange.asyncio.remote import RemoteService
from propchange.bridge.home_assistant import (
    IDENTITY,
    PREFIX,
    Discovery,
    OfferedService,
    discovery,
    discovery_topic,
    offered_embedders,
    read_owner,
    removal,
)
from propchange.bridge.json_objects import json_object
from propchange.bridge.mqtt import MqttOutput
from propchange.bridge.output import BridgedService
from propchange.bridge.payloads import encode
from propchange.bridge.retained import Wanted
from propchange.bridge.service_state import GONE
from propchange.bridge.topics import part, udn_part
from propchange.driver.reporting import logger_named
from propchange.errors import PropchangeError
from propchange.upnp.description import DeviceDescription
from propchange.upnp.scpd import ServiceContents

_READERS = 16
"""Service descriptions that are read at the same time."""

_READ_AGAIN = (0.0, 5.0, 30.0)
"""Seconds before each attempt to read a service description. After the last one the others are
offered without it."""

_READ_LATER = 300.0
"""Seconds between the attempts after that."""

_LAST_BYTES = 16_777_216
"""Bytes of all discovery messages that are remembered, those that the broker retained at the start
included. Bounds the memory, whatever others publish under these topics."""

_LEAVING = 1_024
"""Services whose devices have gone and that are still offered. Bounds the memory, whatever devices
somebody announces and takes back; beyond it the one that went first is offered no more."""

_REMOVALS = 1_024
"""Messages that remove entities, and that the broker has not sent back yet. Above that, the oldest
is forgotten. Bounds the memory while a broker is away."""

_BIRTH_SECONDS = 1.0
"""Seconds after the start of Home Assistant in which it subscribes to what it needs."""

_BIRTHS_SECONDS = 10.0
"""Least seconds between two times that all is published for a Home Assistant that has started.
Bounds what anybody on the broker can cause with its few bytes."""

_logger = logger_named("propchange.bridge.discovery_messages")


class _Tree:
    """A root device whose embedded devices are offered with it. ``services`` has the present object
    of each service. ``contents`` has None for a service description that cannot be read; one that
    is still read is missing. ``read`` has the SID and the description of the device of that
    time. ``readings`` are the tasks that read, and ``failed`` has the SID of the last attempt of
    those that wait for the next one."""

    def __init__(self) -> None:
        self.services: dict[BridgedService, RemoteService] = {}
        self.read: dict[BridgedService, tuple[str, DeviceDescription]] = {}
        self.contents: dict[BridgedService, ServiceContents | None] = {}
        self.readings: dict[BridgedService, asyncio.Task[None]] = {}
        self.failed: dict[BridgedService, str] = {}
        self.description: DeviceDescription | None = None

    @property
    def is_read(self) -> bool:
        return all(each in self.contents for each in self.services)


class DiscoveryMessages:
    """Offers the services of ``output`` to Home Assistant, a :class:`.Part` of it. ``commands``:
    what can be set is offered so. ``prefix`` is the first part of the topics of Home Assistant. A
    device that has gone is offered for ``forget_after`` more seconds, and so is one that a former
    run of this bridge has offered, and that is not found: its entities are unavailable meanwhile.

    A device is offered once all of its service descriptions were read. Until then what the broker
    retains of it stays: Home Assistant would remove the entities that are missing. The services of
    a root device that has gone are taken back together, when the last one has gone. One of them is
    taken back alone if the device is there and is described without it.
    """

    def __init__(
        self,
        output: MqttOutput,
        *,
        commands: bool = False,
        prefix: str = PREFIX,
        version: str = "",
        forget_after: float = 0.0,
    ) -> None:
        self._output = output
        self._commands = commands
        self._prefix = prefix
        self._version = version
        self._forget_after = forget_after
        self._status = f"{prefix}/status"
        self._begin = f"{prefix}/device/{IDENTITY}"
        self.filters: Sequence[str] = (self._status, f"{prefix}/device/+/config")
        self.later_filters: Sequence[str] = ()
        # By the part of the UDN of the root device.
        self._trees: dict[str, _Tree] = {}
        # What Home Assistant knows, by topic: heard from the broker, or offered since.
        self._last: dict[str, bytes] = {}
        self._last_bytes = 0
        self._offered: set[str] = set()
        # Services that have gone, or are not watched any more, and are still offered; with the time
        # at which they are offered no more, None if they wait for the others of the device alone.
        self._leaving: dict[BridgedService, asyncio.TimerHandle | None] = {}
        # Topics that a former run has left behind; None once their time is over.
        self._left: set[str] | None = set()
        # Messages that remove entities, in their order. The broker sends them back to the bridge.
        self._removals = deque[tuple[str, int]](maxlen=_REMOVALS)
        self._readers = asyncio.Semaphore(_READERS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._offers_again = False
        self._offered_at = -math.inf

    # --- what the output calls ---

    def found(self, services: Sequence[BridgedService]) -> None:
        """Read the descriptions of ``services``."""
        for service in services:
            self._forget_former(service)
        for service in services:
            self.changed(service)

    def changed(self, service: BridgedService) -> None:
        """Offer ``service``, and its device anew if it is described anew."""
        if (timer := self._leaving.pop(service, None)) is not None:
            timer.cancel()
        tree = self._trees.get(service.state.root_udn)
        if tree is None:
            tree = self._trees[service.state.root_udn] = _Tree()
        known, remote = tree.services.get(service), service.found.service
        if known is not remote:
            tree.services[service] = remote
            self._keep_last(service.state.udn)
        sid = service.state.sid
        again = known is None or (known is not remote and self._may_differ(tree, service))
        # A new subscription shows that the device, which could not be read, is there.
        if again or tree.failed.get(service, sid) != sid:
            tree.failed.pop(service, None)
            if (reading := tree.readings.get(service)) is not None:
                reading.cancel()
            tree.readings[service] = self._start(self._read(tree, service, remote))
        if tree.description is not service.found.device.description:
            left_out = [
                each
                for each in tree.services
                if each in self._leaving and not _describes(service, each)
            ]
            if left_out:
                self._forget(*left_out)
            self._offer(tree)

    @staticmethod
    def _may_differ(tree: _Tree, service: BridgedService) -> bool:
        """Whether the service description of ``service``, whose device was described again, may be
        another one. Anybody can cause that with forged announcements; the same device is not asked
        for all of its service descriptions each time."""
        return tree.read.get(service) != (service.state.sid, service.found.device.description)

    def forgotten(self, service: BridgedService) -> None:
        """Offer ``service`` no more, when its device is offered no more; at once if the device is
        there without it."""
        root = service.state.root_udn
        tree = self._trees.get(root)
        if tree is None or service not in tree.services:
            return
        if self._is_taken_back(tree, service):
            self._forget(service)
            return
        if service not in self._leaving:
            if len(self._leaving) >= _LEAVING:
                first = next(iter(self._leaving)).state.root_udn
                self._forget(*(each for each in self._leaving if each.state.root_udn == first))
            self._leaving[service] = None
        if not self._forget_after or service.state.status != GONE:
            self._forget_leaving(root)
        elif self._leaving[service] is None:
            self._leaving[service] = asyncio.get_running_loop().call_later(
                self._forget_after, self._forget_leaving, root
            )

    def _is_taken_back(self, tree: _Tree, service: BridgedService) -> bool:
        """Whether the device of ``service`` is there, and has it no more."""
        return any(
            not _describes(each, service) for each in tree.services if each not in self._leaving
        )

    def _forget_leaving(self, root: str) -> None:
        """Forget the services of one root device, if all have gone: no entity is removed before the
        device is. One service may be back before the others, and the others with it soon."""
        tree = self._trees.get(root)
        if tree is not None and all(each in self._leaving for each in tree.services):
            self._forget(*tree.services)

    def _forget(self, *services: BridgedService) -> None:
        root = services[0].state.root_udn
        tree = self._trees.get(root)
        dropped = [each for each in services if self._drop(each)]
        if tree is None or not dropped:
            return
        for udn in {each.state.udn for each in dropped} - {
            each.state.udn for each in tree.services
        }:
            self._withdraw(discovery_topic(udn, self._prefix))
        if tree.services:
            self._offer(tree)
        else:
            del self._trees[root]

    def _drop(self, service: BridgedService) -> bool:
        """Forget ``service``, and leave what is offered. Returns whether it was known."""
        if (timer := self._leaving.pop(service, None)) is not None:
            timer.cancel()
        tree = self._trees.get(service.state.root_udn)
        if tree is None or service not in tree.services:
            return False
        del tree.services[service]
        tree.contents.pop(service, None)
        tree.read.pop(service, None)
        tree.failed.pop(service, None)
        if (reading := tree.readings.pop(service, None)) is not None:
            reading.cancel()
        return True

    def _forget_former(self, service: BridgedService) -> None:
        """The device of ``service``, which is new, may be one that had gone: forget its services of
        that time that ``service`` takes the place of, or that it has not any more."""
        tree = self._trees.get(service.state.root_udn)
        if tree is None or not self._leaving:
            return
        for former in self._leaving.keys() & tree.services.keys():
            state = former.state
            same = (state.udn, state.service) == (service.state.udn, service.state.service)
            if same or not _describes(service, former):
                self._drop(former)

    def hear(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Take what the broker retains, and that Home Assistant has started."""
        if topic == self._status:
            if payload == b"online" and not retained and not self._offers_again:
                self._offers_again = True
                self._start(self._offer_again())
            return
        if not topic.startswith(self._begin):
            return
        if not retained and (topic, hash(payload)) in self._removals:
            self._removals.remove((topic, hash(payload)))
            return  # our own, and not retained
        self._output.retained.hear(topic, topic, topic, payload)
        self._output.wake()
        if not retained or read_owner(payload) is None:
            return
        if topic in self._offered:
            # The device was read before the broker has answered.
            self._remove(topic, payload, self._last[topic])
        elif self._last_bytes + len(payload) <= _LAST_BYTES:
            self._set_last(topic, payload)
            udns = {each.state.udn for tree in self._trees.values() for each in tree.services}
            for udn in udns:
                if discovery_topic(udn, self._prefix) == topic:
                    self._keep_last(udn)
            if self._forget_after and read_owner(payload) == part(self._output.topics.bridge_id):
                self._keep_left(topic, payload)

    # --- descriptions ---

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _read(self, tree: _Tree, service: BridgedService, remote: RemoteService) -> None:
        times, attempt = len(_READ_AGAIN), 0
        while True:
            await asyncio.sleep(_READ_AGAIN[attempt] if attempt < times else _READ_LATER)
            tree.failed.pop(service, None)
            sid, contents = service.state.sid, None
            try:
                async with self._readers:
                    variables = await remote.variables()
                    contents = ServiceContents(variables, await remote.actions(), ())
            except (PropchangeError, ValueError) as error:
                _logger.info("%s is not offered: %s", remote.full_name, error)
            attempt += 1
            if contents is not None or attempt == times:
                tree.contents[service] = contents
                tree.read[service] = service.state.sid, service.found.device.description
                self._offer(tree)
            if contents is not None:
                return
            if service.state.sid == sid:
                tree.failed[service] = sid
            else:
                attempt = 0  # there is a new subscription since

    # --- discovery ---

    def _keep_last(self, udn: str) -> None:
        """Keep what the broker retains of a device until its descriptions were read."""
        topic = discovery_topic(udn, self._prefix)
        last = self._last.get(topic)
        if last is not None and topic not in self._offered:
            self._want(topic, last)

    def _keep_left(self, topic: str, payload: bytes) -> None:
        """Keep what a former run of this bridge has offered: its device may be away for a while."""
        if self._left is None:
            return
        if not self._left:
            loop = asyncio.get_running_loop()
            loop.call_later(self._forget_after, self._clear_left)
        self._left.add(topic)
        self._want(topic, payload)

    def _clear_left(self) -> None:
        left, self._left = self._left or set(), None
        udns = {each.state.udn for tree in self._trees.values() for each in tree.services}
        for topic in left - {discovery_topic(udn, self._prefix) for udn in udns}:
            self._withdraw(topic)

    def _offer(self, tree: _Tree) -> None:
        """Publish the discovery of the devices of ``tree`` as they are described now."""
        if not tree.is_read or not tree.services:
            return
        root = next(iter(tree.services)).found.device.description
        tree.description = root
        # First without, since only what is offered can be named by others.
        plain = {udn: self._discovery(root, udn, each, "") for udn, each in self._devices(tree)}
        known = {
            device.udn: udn
            for udn, made in plain.items()
            if made.payload and (device := _device_of(root, udn)) is not None
        }
        embedders = offered_embedders(root, known)
        for udn, services in self._devices(tree):
            device = _device_of(root, udn)
            via = known.get(embedders.get(device.udn, ""), "") if device is not None else ""
            made = self._discovery(root, udn, services, via) if via else plain[udn]
            for (service, name), reason in made.left_out.items():
                _logger.debug("%s of %s is not offered: %s", name, service, reason)
            unread = {each.state.udn for each in tree.services if tree.contents[each] is None}
            last = self._last.get(made.topic)
            if udn in unread and last is not None:
                # What is missing now may have been offered before.
                self._want(made.topic, last)
            elif made.payload:
                self._publish(made)
            else:
                self._withdraw(made.topic)

    def _devices(self, tree: _Tree) -> list[tuple[str, list[OfferedService]]]:
        devices: dict[str, list[OfferedService]] = {}
        for service in tree.services:
            offered = devices.setdefault(service.state.udn, [])
            contents = tree.contents[service]
            if contents is not None:
                callable_ = bool(service.found.service.control_url)
                offered.append(OfferedService(service.state.service, contents, callable_))
        return [(udn, sorted(each, key=lambda one: one.part)) for udn, each in devices.items()]

    def _discovery(
        self, root: DeviceDescription, udn: str, services: Sequence[OfferedService], via: str
    ) -> Discovery:
        return discovery(
            _device_of(root, udn) or root,
            udn,
            services,
            self._output.topics,
            root=root,
            via=via,
            commands=self._commands,
            prefix=self._prefix,
            version=self._version,
        )

    def _publish(self, made: Discovery) -> None:
        topic, payload = made.topic, encode(made.payload)
        last = self._last.get(topic)
        if last is not None:
            self._remove(topic, last, payload)
        self._offered.add(topic)
        self._set_last(topic, payload)
        self._want(topic, payload)

    def _remove(self, topic: str, last: bytes, payload: bytes) -> None:
        """Remove the entities that ``last`` has and ``payload``, which follows, has not."""
        if last == payload:
            return
        removed = removal(json_object(payload), json_object(last))
        if removed:
            message = encode(removed)
            self._removals.append((topic, hash(message)))
            self._output.post(topic, message)

    def _set_last(self, topic: str, payload: bytes) -> None:
        self._last_bytes += len(payload) - len(self._last.get(topic, b""))
        self._last[topic] = payload

    def _want(self, topic: str, payload: bytes) -> None:
        wanted = Wanted(payload, False, payload, {})
        self._output.retained.want(topic, topic, lambda: wanted)
        self._output.wake()

    def _withdraw(self, topic: str) -> None:
        self._offered.discard(topic)
        self._last_bytes -= len(self._last.pop(topic, b""))
        self._output.retained.unwant(topic)
        self._output.wake()

    async def _offer_again(self) -> None:
        """Publish everything for a Home Assistant that has started."""
        now = asyncio.get_running_loop().time()
        await asyncio.sleep(max(_BIRTH_SECONDS, self._offered_at + _BIRTHS_SECONDS - now))
        self._offers_again, self._offered_at = False, asyncio.get_running_loop().time()
        for topic in self._offered:
            self._output.post(topic, self._last[topic], retain=True)


def _describes(present: BridgedService, former: BridgedService) -> bool:
    """Whether the device of ``present`` is described with the service ``former``."""
    state = former.state
    return any(
        each.service_id == state.service_id
        for device in present.found.device.description.all_devices()
        if udn_part(device.udn) == state.udn
        for each in device.services
    )


def _device_of(root: DeviceDescription, udn: str) -> DeviceDescription | None:
    return next((each for each in root.all_devices() if udn_part(each.udn) == udn), None)
