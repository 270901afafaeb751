"""The store of the collectors in real NATS servers: that of Debian, and a current one."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import nats
import pytest

from propchange.bridge.collector_limits import CollectorLimits
from propchange.bridge.nats_settings import NatsSettings
from propchange.bridge.nats_store import NatsRefused, NatsStore, token
from propchange.bridge.shared_state import DUPLICATE
from propchange.bridge.store import Ask, Operation, Outcome, Place
from tests.bridge.nats_servers import SERVERS, NatsServer, nats_server

pytestmark = pytest.mark.slow  # each starts a broker

LIMITS = CollectorLimits(lease_seconds=1.0)


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(request.param, tmp_path) as running:
        yield running


class Opened:
    """A store, and what it has reported."""

    def __init__(self, url: str, limits: CollectorLimits = LIMITS, **more: str) -> None:
        self.shown: list[tuple[Place, str, int, bytes]] = []
        self.said: list[str] = []
        self.aways = self.connections = self.backs = 0
        self.store = NatsStore(
            NatsSettings((url,), "test", **more),  # type: ignore[arg-type] # of any type
            limits,
            away=self._away,
            connected=self._connected,
            back=self._back,
            shown=lambda *shown: self.shown.append(shown),
            say=self.said.append,
        )

    def _away(self) -> None:
        self.aways += 1

    def _connected(self) -> None:
        self.connections += 1

    def _back(self) -> None:
        self.backs += 1

    async def __aenter__(self) -> Opened:
        await self.store.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.close()


def run(play: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(20):
            await play()

    asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.02)


def put(place: Place, revision: int, value: bytes = b"{}", id: str = "") -> Operation:
    key = "device.service" if place is Place.EVENTS else "key"
    return Operation(Ask.PUT, place, key, value, revision, 7, id)


@pytest.mark.parametrize("place", list(Place))
def test_the_server_refuses_a_write_that_another_one_came_before(
    server: NatsServer, place: Place
) -> None:
    async def play() -> None:
        async with Opened(server.url) as opened:
            perform = opened.store.perform
            first = await perform(put(place, 0, id="1"))
            assert first.outcome is Outcome.DONE
            assert (await perform(put(place, 0, id="2"))).outcome is Outcome.CONFLICT
            second = await perform(put(place, first.revision, b'{"n": 2}', id="3"))
            assert second.outcome is Outcome.DONE
            assert (await perform(put(place, first.revision, id="4"))).outcome is Outcome.CONFLICT
            read = await perform(Operation(Ask.GET, place, put(place, 0).key))
            assert (read.revision, read.value) == (second.revision, b'{"n": 2}')

    run(play)


def test_a_message_that_is_sent_again_is_stored_once(server: NatsServer) -> None:
    async def play() -> None:
        async with Opened(server.url) as opened:
            perform = opened.store.perform
            first = await perform(put(Place.EVENTS, 0, b'{"n": 1}', "session.1.sid.0"))
            again = await perform(put(Place.EVENTS, 0, b'{"n": 1}', "session.1.sid.0"))
            # 2.9 looks for the id first, a current server at the sequence.
            if again.outcome is Outcome.DONE:
                assert (again.revision, again.message_id) == (first.revision, DUPLICATE)
            else:
                assert again.outcome is Outcome.CONFLICT
            read = await perform(Operation(Ask.GET, Place.EVENTS, "device.service"))
            assert (read.message_id, read.term) == ("session.1.sid.0", 7)
            assert read.revision == first.revision

    run(play)


def test_nothing_is_there_before_the_first_write_and_after_a_deletion(server: NatsServer) -> None:
    async def play() -> None:
        async with Opened(server.url) as opened:
            perform = opened.store.perform
            for place in Place:
                read = await perform(Operation(Ask.GET, place, "a.b"))
                assert (read.outcome, read.revision) == (Outcome.DONE, 0)
            made = await perform(put(Place.CLAIMS, 0))
            gone = Operation(Ask.DELETE, Place.CLAIMS, "key", revision=made.revision + 1)
            assert (await perform(gone)).outcome is Outcome.CONFLICT
            gone.revision = made.revision
            deleted = await perform(gone)
            assert deleted.outcome is Outcome.DONE
            read = await perform(Operation(Ask.GET, Place.CLAIMS, "key"))
            assert (read.revision, read.value) == (deleted.revision, b"")
            assert (await perform(put(Place.CLAIMS, deleted.revision))).outcome is Outcome.DONE

    run(play)


def test_the_server_forgets_a_lease_that_is_not_renewed(server: NatsServer) -> None:
    async def play() -> None:
        async with Opened(server.url) as opened:
            perform = opened.store.perform
            revision = 0
            for _ in range(4):
                renewed = await perform(put(Place.LEASES, revision))
                assert renewed.outcome is Outcome.DONE
                revision = renewed.revision
                await asyncio.sleep(0.4)
            while (await perform(Operation(Ask.GET, Place.LEASES, "key"))).revision:
                await asyncio.sleep(0.1)
            assert (await perform(put(Place.LEASES, revision))).outcome is Outcome.CONFLICT
            assert (await perform(put(Place.LEASES, 0))).outcome is Outcome.DONE

    run(play)


def test_leases_and_claims_are_shown_to_each_collector(server: NatsServer) -> None:
    async def play() -> None:
        async with Opened(server.url) as first:
            made = await first.store.perform(put(Place.LEASES, 0, b"early"))
            async with Opened(server.url) as second:
                assert second.shown == [(Place.LEASES, "key", made.revision, b"early")]
                await first.store.perform(put(Place.CLAIMS, 0, b"later"))
                for each in (first, second):
                    await until(lambda each=each: (Place.CLAIMS, "key", 1, b"later") in each.shown)  # type: ignore[misc] # bound

    run(play)


def test_a_server_that_is_killed_keeps_what_it_has_answered(server: NatsServer) -> None:
    async def play() -> None:
        async with Opened(server.url) as opened:
            revision = 0
            for number in range(200):
                done = await opened.store.perform(put(Place.EVENTS, revision, id=f"{number}"))
                assert done.outcome is Outcome.DONE
                revision = done.revision
            server.kill()
            await until(lambda: opened.aways > 0)
            assert (await opened.store.perform(put(Place.EVENTS, 0))).outcome is Outcome.UNKNOWN
            server.start()
            await until(lambda: opened.backs > 1)
            read = await opened.store.perform(Operation(Ask.GET, Place.EVENTS, "device.service"))
            assert (read.revision, read.message_id) == (revision, "199")
            # The watch goes on too.
            await opened.store.perform(put(Place.CLAIMS, 0, b"later"))
            await until(lambda: bool(opened.shown) and opened.shown[-1][3] == b"later")

    run(play)


def test_the_writers_of_all_states_are_listed(server: NatsServer) -> None:
    async def play() -> None:
        async with Opened(server.url) as opened:
            perform = opened.store.perform
            everything = Operation(Ask.LIST, Place.STATE, "")
            assert (await perform(everything)).listed == ()
            for number in range(300):
                value = put(Place.STATE, 0)
                value.key, value.session = f"device.{number % 200}", f"one-{number % 2}"
                value.revision = number - 199 if number >= 200 else 0
                assert (await perform(value)).outcome is Outcome.DONE
            listed = (await perform(everything)).listed
            assert dict(listed) == {f"device.{n}": f"one-{n % 2}" for n in range(200)}
            assert len(listed) == 200

    run(play)


@pytest.mark.parametrize("place", list(Place))
def test_a_bucket_or_stream_that_was_deleted_is_made_again(
    server: NatsServer, place: Place
) -> None:
    async def play() -> None:
        async with Opened(server.url) as opened:
            perform = opened.store.perform
            assert (await perform(put(place, 0, id="1"))).outcome is Outcome.DONE
            client = await nats.connect(server.url)
            stream = "propchange" if place is Place.EVENTS else f"KV_propchange-{place.value}"
            await client.jetstream().delete_stream(stream)
            await client.close()
            read = Operation(Ask.GET, place, put(place, 0).key)
            assert (await perform(read)).outcome is Outcome.UNKNOWN
            await until(lambda: opened.backs > 1)
            assert opened.aways == 1
            assert (await perform(read)).revision == 0
            # What others write is seen again too.
            assert (await perform(put(place, 0, b"again", id="2"))).outcome is Outcome.DONE
            if place in (Place.LEASES, Place.CLAIMS):
                await until(lambda: (place, "key", 1, b"again") in opened.shown[1:])

    run(play)


def test_a_server_without_the_room_for_the_stream_is_said_to_be_so(tmp_path: Path) -> None:
    async def play(url: str) -> None:
        opened = Opened(url)
        connecting = asyncio.ensure_future(opened.store.connect())
        await until(lambda: bool(opened.said))
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        assert "insufficient storage resources" in opened.said[0]
        assert "max_bytes" in opened.said[0]

    file = tmp_path / "server.conf"
    file.write_text("jetstream { max_file_store: 100MB }\n")
    with nats_server("current", tmp_path, "-c", str(file)) as server:
        run(lambda: play(server.url))


def test_collectors_that_expect_another_duration_of_leases_are_told_so(server: NatsServer) -> None:
    async def play() -> None:
        async with Opened(server.url):
            with pytest.raises(NatsRefused, match="keeps leases for 1 s, and this collector"):
                async with Opened(server.url, CollectorLimits()):
                    pass

    run(play)


# nats-py leaves the socket of a connection that is refused to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", list(SERVERS))
def test_a_wrong_password_ends_with_what_to_do(name: str, tmp_path: Path) -> None:
    async def play(url: str) -> None:
        with pytest.raises(NatsRefused, match="PROPCHANGE_NATS_PASSWORD"):
            async with Opened(url, user="me", password="wrong"):
                pass
        async with Opened(url, user="me", password="right"):
            pass

    with nats_server(name, tmp_path, "--user", "me", "--pass", "right") as server:
        run(lambda: play(server.url))
    gc.collect()  # now, and not in another test


@pytest.mark.parametrize(
    ("part", "written"),
    [
        ("4d696e69-0001", "4d696e69-0001"),
        ("AVTransport", "AVTransport"),
        ("a.b", "a=2Eb"),
        ("*", "=2A"),
        (">", "=3E"),
        ("a=b", "a=3Db"),
        ("Büro ~", "B=C3=BCro=20=7E"),
        ("", "="),
    ],
)
def test_a_name_is_one_token_of_a_subject(part: str, written: str) -> None:
    assert token(part) == written
