"""Carries out the commands of the broker, on the connection of the bridge."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from propchange.bridge.commands import (
    Command,
    CommandRefused,
    WaitingCommands,
    action_request,
    answer_payload,
    command_filter,
    read_command,
    refusal_payload,
)
from propchange.bridge.mqtt import MqttOutput
from propchange.bridge.output import BridgedService
from propchange.core.token_bucket import TokenBucket
from propchange.errors import ActionError, PropchangeError
from propchange.upnp.scpd import ServiceContents

_LINES, _LINE_SECONDS = 10, 6.0
"""Lines about refused commands for the operator: ten at once, then one every six seconds. Bounds
what anybody on the broker can write into a log."""


class CommandRunning:
    """Carries out commands for the services of ``output``, a :class:`.Part` of it.

    The answer to a command is published and not retained. A retained command is refused: it would
    be carried out again at each connection. Commands are received with QoS 0, so that none runs
    twice. ``say`` is called with a line for the operator.
    """

    def __init__(self, output: MqttOutput, say: Callable[[str], object]) -> None:
        self._output = output
        self._say = say
        self._base = output.topics.base
        self.filters: Sequence[str] = ()
        self.later_filters: Sequence[str] = (command_filter(self._base),)
        self._services: dict[tuple[str, str], BridgedService] = {}
        self._waiting = WaitingCommands()
        self._tasks: set[asyncio.Task[None]] = set()
        self._lines = TokenBucket(_LINES, _LINE_SECONDS, asyncio.get_running_loop().time())

    # --- what the output calls ---

    def found(self, services: Sequence[BridgedService]) -> None:
        """Do nothing: :meth:`changed` follows for each that has its topic."""

    def changed(self, service: BridgedService) -> None:
        """Take commands for ``service``."""
        self._services[service.state.udn, service.state.service] = service

    def forgotten(self, service: BridgedService) -> None:
        """Take no more commands for ``service``."""
        key = service.state.udn, service.state.service
        if self._services.get(key) is service:
            del self._services[key]

    def hear(self, topic: str, payload: bytes, *, retained: bool) -> None:
        """Carry out a command."""
        command = read_command(topic, payload, self._base)
        if command is None or (command.udn, command.service) not in self._services:
            return  # another bridge may have this service
        if not self._output.publishes(command.udn, command.service):
            return
        if retained:
            if payload:
                self._refuse(command, "it is retained: publish commands without the retain flag")
            return
        try:
            replaced = self._waiting.add(command)
        except CommandRefused as refused:
            self._refuse(command, str(refused))
            return
        if replaced is not None:
            self._answer(replaced, refusal_payload("a later command has taken its place"))
        self._pump()

    # --- commands ---

    def _pump(self) -> None:
        while (command := self._waiting.take()) is not None:
            task = asyncio.create_task(self._run(command))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, command: Command) -> None:
        try:
            service = self._services.get((command.udn, command.service))
            if service is None:
                raise CommandRefused("the device has gone")
            remote = service.found.service
            contents = ServiceContents(await remote.variables(), await remote.actions(), ())
            request = action_request(command, contents)
            outputs = await remote.call(request.action.name, **dict[str, Any](request.inputs))
            self._answer(command, answer_payload(request, outputs))
            self._output.counters.commands += 1
        except ActionError as error:
            self._refuse(command, str(error), error.code)
        except (
            ArithmeticError,
            CommandRefused,
            LookupError,
            PropchangeError,
            TypeError,
            ValueError,
        ) as error:
            self._refuse(command, str(error))
        finally:
            self._waiting.done(command)
            self._pump()

    def _answer(self, command: Command, payload: bytes) -> None:
        self._output.answer(command.answer_topic, payload)

    def _refuse(self, command: Command, sentence: str, code: int | None = None) -> None:
        self._answer(command, refusal_payload(sentence, code))
        self._output.counters.refused_commands += 1
        now = asyncio.get_running_loop().time()
        if self._lines.ready_at(now) <= now:
            self._lines.spend(now)
            self._say(f"the command {command.topic} was not carried out: {sentence}")
