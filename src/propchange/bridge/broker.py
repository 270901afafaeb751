"""The client of each connection to the MQTT broker, and why the broker refuses one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from propchange.bridge.configuration import PASSWORD_VARIABLE, BrokerSettings
from propchange.bridge.json_objects import READ_BYTES
from propchange.bridge.tls import tls_context
from propchange.driver.reporting import logger_named
from propchange.printable import printable

_logger = logger_named("propchange.bridge.mqtt")

IN_FLIGHT = 64
"""Messages that wait for the acknowledgement of the broker. The next ones are made when there is
room, from the values of that moment. Bounds the memory while a broker is slow."""

_ANSWER_SECONDS = 10.0
"""Seconds for each answer of the broker. After that the connection counts as lost."""

_KEEPALIVE_SECONDS = 15
"""Seconds between two signs of life. The broker publishes the last will after one and a half of
them without any."""

_INCOMING = 65_536
"""Messages of the broker that wait to be read. More are dropped. Bounds the memory, whatever others
publish under the topics of the bridge."""

_INCOMING_BYTES = 67_108_864
"""Bytes of them. Bounds the same, whatever their sizes."""

COMMANDS_INCOMING = 1_024
"""Commands among them. More would be refused later, since fewer commands may wait to be carried
out. Bounds the memory in a flood of commands, and leaves room for the marks of services."""

_COMMAND_LEVELS = 5
"""Levels in the topic of a command. All other topics that the bridge reads have fewer."""

# Reason codes of MQTT 5, and return codes of MQTT 3.1.1, of CONNACK.
_BAD_PROTOCOL = {1, 132}
_NOT_LET_IN = {4, 5, 134, 135}
_REFUSALS = {
    2: "it does not accept the id of this client; give another one with --id",
    4: f"user name or password are wrong; check the user name and {PASSWORD_VARIABLE}",
    5: "it does not let this client in; check user name, password and the rules of the broker",
    133: "it does not accept the id of this client; give another one with --id",
    134: f"user name or password are wrong; check the user name and {PASSWORD_VARIABLE}",
    135: "it does not let this client in; check user name, password and the rules of the broker",
    138: "it has banned this client",
    140: "it wants another way to authenticate than a password or a certificate",
}
TAKEN_OVER = 142
"""The code with which a broker ends a connection: another client has connected with its id."""

_LOST = {4, 7, 128}
"""Codes of a connection that ended without a word of the broker: those of paho, and what it makes
of them for MQTT 5."""


class Broker:
    """Makes the clients for one broker, and gives the reasons for which it refuses them.

    Raises ConfigurationError if the files for TLS cannot be read."""

    def __init__(self, settings: BrokerSettings) -> None:
        self.name = settings.name
        self._settings = settings
        self._tls = None
        if settings.tls:
            self._tls = tls_context("mqtt", settings.ca_file, settings.certificate, settings.key)
        self._protocol = aiomqtt.ProtocolVersion.V5

    def client(
        self,
        bridge_id: str,
        *,
        will: aiomqtt.Will,
        answered: Callable[[str], object],
        flooded: Callable[[], object],
    ) -> Client:
        """A client for one connection. ``answered`` is its :attr:`Client.answered`, and ``flooded``
        its :attr:`Client.flooded`."""
        client = Client(
            self._settings.host,
            self._settings.port,
            username=self._settings.username,
            password=self._settings.password,
            identifier=f"propchange-{bridge_id}",
            protocol=self._protocol,
            clean_session=None if self._protocol is aiomqtt.ProtocolVersion.V5 else True,
            will=will,
            keepalive=_KEEPALIVE_SECONDS,
            timeout=_ANSWER_SECONDS,
            max_queued_incoming_messages=_INCOMING,
            max_inflight_messages=IN_FLIGHT,
            tls_context=self._tls,
            logger=_logger,
            properties=_connect_properties(self._protocol),
        )
        client.pending_calls_threshold = 2 * IN_FLIGHT
        client.answered, client.flooded = answered, flooded
        client.waiting_bytes = client.waiting_commands = 0
        client.knows_retained = self._protocol is aiomqtt.ProtocolVersion.V5
        return client

    def _refusal_of(self, code: int) -> str:
        """What the code of a refusal says, and what to do. Where the bridge has given no password,
        that is named as the cause."""
        settings = self._settings
        if code in _NOT_LET_IN and settings.password is None and settings.certificate is None:
            name = "" if settings.username else "the user name in the URL, mqtt://user@host, and "
            return (
                f"it does not let this client in, which gives no password; give {name}"
                f"the password in {PASSWORD_VARIABLE}, which is not set"
            )
        return _REFUSALS[code]

    def refusal(self, error: aiomqtt.MqttError) -> tuple[str, bool]:
        """Why the broker refuses the bridge: a line for the operator, empty if the broker is away.
        True: connect again at once; the next client uses MQTT 3.1.1."""
        code = code_of(error)
        if isinstance(error, MqttConnectError) and code in _BAD_PROTOCOL:
            if self._protocol is aiomqtt.ProtocolVersion.V5:
                self._protocol = aiomqtt.ProtocolVersion.V311
                return "", True
            return f"{self.name} refuses the bridge: it knows no MQTT 3.1.1 and no 5", False
        if isinstance(error, MqttConnectError) and code in _REFUSALS:
            return f"{self.name} refuses the bridge: {self._refusal_of(code)}", False
        text = str(error)
        if self._tls is not None and ("SSL" in text or "certificate" in text):
            trusted = "[mqtt] ca_file names the certificates that are trusted"
            return f"no TLS with {self.name}: {printable(text)}; {trusted}", False
        return "", False


class Client(aiomqtt.Client):
    """A client that also reports whether the broker has taken each message."""

    answered: Callable[[str], object]
    """Called with the reason for which a message was refused; empty if it was taken."""

    waiting_bytes: int
    """Bytes of the messages that wait to be read."""

    waiting_commands: int
    """Commands among them."""

    flooded: Callable[[], object]
    """Called for each command that is dropped, since too many wait."""

    knows_retained: bool
    """Whether the broker can say that a message was published with the retain flag (MQTT 5)."""

    async def subscribe_as_published(self, filters: Sequence[str]) -> None:
        """Subscribe to ``filters``. Messages keep the retain flag with which they are published, if
        the broker can say it."""
        if self.knows_retained:
            options = SubscribeOptions(qos=0, retainAsPublished=True)
            await self.subscribe([(each, options) for each in filters])
        else:
            await self.subscribe([(each, 0) for each in filters])

    def taken(self, topic: str, payload: bytes) -> None:
        """Count a message that has waited as read."""
        self.waiting_bytes -= len(payload)
        self.waiting_commands -= _is_command(topic)

    # A message that is too large, or has no room, is dropped without a line for each.
    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        size = len(message.payload)
        room = self._queue.qsize() < _INCOMING and self.waiting_bytes + size <= _INCOMING_BYTES
        if room and size <= READ_BYTES:
            is_command = _is_command(message.topic)
            if is_command and self.waiting_commands >= COMMANDS_INCOMING:
                self.flooded()
                return
            self.waiting_bytes += size
            self.waiting_commands += is_command
            super()._on_message(client, userdata, message)

    # aiomqtt drops the reason code. Without it a rule of the broker that forbids a topic is unseen.
    def _on_publish(self, client: Any, userdata: Any, mid: int, code: Any, properties: Any) -> None:
        super()._on_publish(client, userdata, mid, code, properties)
        self.answered(str(code) if is_failure(code) else "")

    # aiomqtt registers the socket in the next turn of the loop. The connection may be lost by then,
    # and the loop would print a traceback. uvloop has then stopped reading too, so the loss is said
    # here; it would show at the next answer that does not come.
    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:
        def register() -> None:
            if sock.fileno() == -1:
                return
            try:
                self._loop.add_writer(sock.fileno(), write)
            except (OSError, RuntimeError):
                lose(ConnectionResetError("the connection is lost"))

        def write() -> None:
            try:
                client.loop_write()
            except Exception as error:  # noqa: BLE001 - aiomqtt raises it where it is waited for
                lose(error)

        def lose(error: Exception) -> None:
            if not self._disconnected.done():
                self._disconnected.set_exception(error)

        # It is called in the thread that connects, too.
        self._loop.call_soon_threadsafe(register)


def _is_command(topic: str) -> bool:
    return topic.count("/") >= _COMMAND_LEVELS - 1


def _connect_properties(protocol: aiomqtt.ProtocolVersion) -> Properties | None:
    """What a broker of MQTT 5 is told: it sends no larger message."""
    if protocol is not aiomqtt.ProtocolVersion.V5:
        return None
    properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # of paho
    properties.MaximumPacketSize = READ_BYTES + 65_536  # the topic
    return properties  # type: ignore[no-any-return] # it is one


def code_of(error: BaseException | None) -> int | None:
    """The code with which the broker refused or ended the connection."""
    while error is not None:
        if isinstance(error, aiomqtt.MqttCodeError) and error.rc is not None:
            return error.rc if isinstance(error.rc, int) else error.rc.value
        error = error.__cause__
    return None


def reason_of(error: BaseException) -> str:
    """The reason for which the connection was lost, for one line of the operator."""
    if not isinstance(error, MqttConnectError) and code_of(error) in _LOST:
        return "the connection is lost"
    return printable(str(error.__cause__ or error))[:200]


def is_failure(code: Any) -> bool:
    """Whether ``code`` of an acknowledgement refuses what was asked (MQTT 5, or 3.1.1)."""
    return bool(code.is_failure if hasattr(code, "is_failure") else code >= 128)
