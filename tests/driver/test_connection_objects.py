"""The objects of a connection, which each full garbage collection visits while the loop stands."""

from __future__ import annotations

import contextlib
import gc
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from propchange.core.wire.messages import Endpoint, Response
from propchange.driver.listener import Listener
from tests.driver.test_delivery_pool import END, OK, Sender, delivery
from tests.wire import Until

pytestmark = pytest.mark.slow  # counts the objects of hundreds of connections

CONNECTIONS = 40
GET = b"GET / HTTP/1.1\r\nHOST: a\r\n\r\n"


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def objects() -> Counter[str]:
    """The objects of propchange that the garbage collector visits, and functions that are bound to
    one, by their kind. The tuples of an address are visited by the first collection only."""
    gc.collect()
    found: Counter[str] = Counter()
    for each in gc.get_objects():
        owner = getattr(each, "__self__", None) if type(each).__name__ == "method" else each
        if str(type(owner).__module__).startswith("propchange."):
            found[f"{type(each).__name__} {type(owner).__name__}"] += 1
    return found


def connections() -> int:
    return sum(
        type(each).__name__ in ("DeliveryConnection", "ServerConnection")
        for each in gc.get_objects()
    )


@pytest.mark.parametrize("answer", [OK, OK.replace(b"OK\r\n", b"OK\r\nDATE: %d\r\n")])
async def test_a_connection_to_a_subscriber_is_few_objects_and_leaves_none(
    driven: Any, wire: Any, until: Until, answer: bytes
) -> None:
    door = wire.listen()
    async with Sender(driven, connections_per_delivery_endpoint=CONNECTIONS) as sender:
        before, connected = objects(), connections()
        for number in range(CONNECTIONS):
            sender.send(delivery(Endpoint(door.host, door.port), number))
        for number in range(CONNECTIONS):
            peer = await door.accept()
            await peer.until(END)
            await peer.send(answer.replace(b"%d", b"%d" % number))
        await until(lambda: sender.deliveries.idle_count == CONNECTIONS)
        made = objects() - before
        # The delivery that it carried last is the test's own.
        made = Counter({kind: n for kind, n in made.items() if "Delivery" not in kind.split()[0]})
        most = 3 if answer is OK else 7  # with a parser and an answer of its own
        if driven.kind == "twisted":
            most += 5  # Twisted's own protocol, connector and factory
        assert sum(made.values()) < CONNECTIONS * most, made
        with no_collection():
            await driven.run(sender.deliveries.leave(Endpoint(door.host, door.port)))
            await until(lambda: connections() == connected)


async def test_an_accepted_connection_leaves_no_object(
    driven: Any, wire: Any, until: Until
) -> None:
    gc.collect()
    before = connections()
    listener = Listener(driven.runtime, lambda request: Response(200))
    await driven.run(listener.open("127.0.0.1"))
    peers = [await wire.dial(listener.port) for _ in range(CONNECTIONS)]
    for peer in peers:
        await peer.send(GET)
        assert await peer.until(b"\r\n\r\n")
    assert connections() == before + CONNECTIONS
    with no_collection():
        for peer in peers:
            peer.close()
        await until(lambda: connections() == before)
    await driven.run(listener.close())
