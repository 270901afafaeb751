"""``propchange bridge --nats``: collectors that share the devices of this machine."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.errors import TimeoutError as NoMessage
from nats.js.errors import NotFoundError

from propchange import Device, HostedDevice, Service, StateVariable, host
from propchange.bridge.configuration import ConfigurationError, bridge_limits
from propchange.bridge.nats import NatsOutput
from propchange.bridge.nats_settings import NatsSettings
from propchange.core.limits import DEFAULT_LIMITS
from tests.bridge.nats_servers import SERVERS, NatsServer, nats_server

pytestmark = pytest.mark.slow  # each starts a broker


class Counting(Service, type="urn:example-org:service:Counting:1"):
    number = StateVariable("ui4", initial=0)


@pytest.fixture(params=list(SERVERS))
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NatsServer]:
    with nats_server(request.param, tmp_path) as running:
        yield running


class Bridge:
    """A process of the command."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, "-m", "propchange", "bridge", *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)

    def wait(self) -> tuple[int, str]:
        _, said = self.process.communicate(timeout=30)
        return self.process.returncode, said

    def end(self, number: int = signal.SIGINT) -> tuple[int, str]:
        if self.process.poll() is None:
            self.process.send_signal(number)
        _, said = self.process.communicate(timeout=10)
        return self.process.returncode, said


@asynccontextmanager
async def device(service: Service, address: str = "127.0.0.1") -> AsyncIterator[HostedDevice]:
    counter = Device("Counter", services=[service])
    async with host(counter, interface=address, announce=False) as hosted:
        yield hosted


async def messages(server: NatsServer, stream: str, subject: str) -> list[tuple[str, Any]]:
    """All messages of a stream: the keys or subjects, and what they say."""
    client = await nats.connect(server.url)
    found: list[tuple[str, Any]] = []
    try:
        read = await client.jetstream().subscribe(subject, stream=stream, ordered_consumer=True)
        while True:
            message = await read.next_msg(0.3)
            found.append((message.subject, json.loads(message.data or b"null")))
    except (NoMessage, NotFoundError):
        return found
    finally:
        await client.close()


async def state(server: NatsServer) -> Any:
    states = await messages(server, "KV_propchange-state", "$KV.propchange-state.>")
    return states[-1][1] if states else None


def run(play: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(40):
            await play()

    asyncio.run(main())


def test_events_and_states_of_a_device_are_in_nats(server: NatsServer) -> None:
    async def play() -> None:
        service = Counting()
        async with device(service) as hosted:
            bridge = Bridge(hosted.description_url, "--nats", server.url, "--id", "first")
            try:
                while not (said := await state(server)) or said["status"] != "active":
                    await asyncio.sleep(0.1)
                for number in range(1, 6):
                    service.number = number
                    await asyncio.sleep(0.05)
                while (await state(server))["values"] != {"Number": 5}:
                    await asyncio.sleep(0.1)
            finally:
                status, printed = await asyncio.to_thread(bridge.end)
            assert (status, printed) == (0, "")
            ended = await state(server)
            assert (ended["status"], ended["values"]) == ("unowned", {"Number": 5})
            subject = f"propchange.{ended['udn']}.Counting"
            events = await messages(server, "propchange", "propchange.>")
            assert {where for where, _ in events} == {subject}
            owner, *numbered = [said for _, said in events]
            assert (owner["kind"], owner["term"]) == ("owner", 1)
            assert [each["values"]["Number"] for each in numbered] == list(range(6))
            assert [each["seq"] for each in numbered] == list(range(6))

    run(play)


class Speaking(Service, type="urn:example-org:service:Speaking:1"):
    text = StateVariable("string", initial="")


def test_an_event_that_the_server_does_not_take_holds_up_no_later_one(tmp_path: Path) -> None:
    file = tmp_path / "server.conf"
    file.write_text("max_payload: 4096\n")

    async def play(server: NatsServer) -> None:
        service = Speaking()
        async with device(service) as hosted:
            bridge = Bridge(hosted.description_url, "--nats", server.url, "--id", "first")
            try:
                while not (said := await state(server)) or said["status"] != "active":
                    await asyncio.sleep(0.1)
                for text in ("x" * 8_000, "y"):
                    service.text = text
                    await asyncio.sleep(0.2)
                events: list[tuple[str, Any]] = []
                while not events or events[-1][1].get("values") != {"Text": "y"}:
                    events = await messages(server, "propchange", "propchange.>")
            finally:
                await asyncio.to_thread(bridge.end)
            large = events[-2][1]
            assert large["values"] == {}
            assert large["too_large"] > 8_000

    with nats_server("current", tmp_path, "-c", str(file)) as server:
        run(lambda: play(server))


def certificates(folder: Path) -> None:
    """Certificates of a server and a client, by an authority of the test's own."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1\n")
    for name in ("server", "client"):
        of = ("-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        openssl("req", *key, *of)
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")


@pytest.mark.parametrize("name", list(SERVERS))
def test_tls_with_an_authority_of_ones_own_and_a_certificate_of_the_collector(
    tmp_path: Path, name: str
) -> None:
    certificates(tmp_path)
    tls = ("--tlsverify", "--tlscacert", str(tmp_path / "ca.pem"))
    tls += ("--tlscert", str(tmp_path / "server.pem"), "--tlskey", str(tmp_path / "server.key"))
    file = tmp_path / "bridge.toml"

    def written(url: str, certificate: str) -> None:
        file.write_text(
            f'[bridge]\nid = "first"\ndevices = []\n[nats]\nurl = "{url}"\n'
            f'ca_file = "{tmp_path}/ca.pem"\ncertificate = "{tmp_path}/{certificate}"\n'
            f'key = "{tmp_path}/client.key"\n'
        )

    async def play(server: NatsServer) -> None:
        written(server.url.replace("nats:", "tls:"), "client.pem")
        bridge = Bridge("--config", str(file), "--interface", "127.0.0.1")
        # The last of the buckets is there: the collector was let in.
        while not (tmp_path / "store/jetstream/$G/streams/KV_propchange-state").exists():
            assert bridge.process.poll() is None
            await asyncio.sleep(0.05)
        assert (await asyncio.to_thread(bridge.end))[0] == 0

    with nats_server(name, tmp_path, *tls) as server:
        run(lambda: play(server))


def test_a_collector_that_nats_refuses_ends_with_one_line_and_status_1(tmp_path: Path) -> None:
    with nats_server("current", tmp_path, "--user", "me", "--pass", "right") as server:
        bridge = Bridge("--nats", server.url, "--id", "first", "--interface", "127.0.0.1")
        status, said = bridge.wait()
    assert (status, len(said.splitlines())) == (1, 1)
    assert said.startswith("propchange: NATS refuses this collector")


@pytest.mark.parametrize(
    ("options", "environment", "said"),
    [
        (("--nats", "nats://me:secret@localhost"), {}, "PROPCHANGE_NATS_PASSWORD"),
        (("--nats", "http://localhost"), {}, "give nats://host"),
        (("--nats", "nats://localhost", "--mqtt", "mqtt://localhost"), {}, "two bridges"),
        (("--nats", "nats://localhost"), {"PROPCHANGE_NATS_USER": "me"}, "set both"),
    ],
)
def test_a_wrong_command_line_ends_with_what_to_do(
    options: tuple[str, ...], environment: dict[str, str], said: str
) -> None:
    command = [sys.executable, "-m", "propchange", "bridge", *options]
    done = subprocess.run(
        command, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "secret" not in done.stderr


def test_the_file_of_the_configuration_can_say_it_all(tmp_path: Path) -> None:
    async def play(server: NatsServer) -> None:
        service = Counting()
        async with device(service) as hosted:
            file = tmp_path / "bridge.toml"
            file.write_text(
                f'[bridge]\nid = "filed"\ndevices = ["{hosted.description_url}"]\n'
                f'[nats]\nurl = ["{server.url}"]\nstream = "home"\nmax_bytes = 10000000\n'
                'state_bytes = 10000000\nmemory = true\nsegment = "cellar"\n'
            )
            bridge = Bridge("--config", str(file))
            try:
                while not await _filed(server):
                    await asyncio.sleep(0.1)
            finally:
                await asyncio.to_thread(bridge.end)

    async def _filed(server: NatsServer) -> bool:
        client = await nats.connect(server.url)
        try:
            info = await client.jetstream().stream_info("home")
        except NotFoundError:
            return False
        finally:
            await client.close()
        assert info.config.max_bytes == 10_000_000
        return info.state.messages > 1

    with nats_server("current", tmp_path) as server:
        run(lambda: play(server))


def test_a_key_that_is_not_known_is_an_error_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text('[nats]\nurl = "nats://localhost"\nreplica = 3\n')
    command = [sys.executable, "-m", "propchange", "bridge", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "[nats] replica is not known" in done.stderr


@pytest.mark.parametrize("key", ["ca_file", "certificate", "credentials"])
def test_a_file_that_is_missing_is_an_error_with_its_place(tmp_path: Path, key: str) -> None:
    file = tmp_path / "bridge.toml"
    file.write_text(f'[nats]\nurl = "tls://localhost"\n{key} = "/missing/file"\n')
    command = [sys.executable, "-m", "propchange", "bridge", "--config", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"[nats] {key} '/missing/file'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(find_spec("nkeys") is not None, reason="nkeys is installed here")
def test_credentials_without_the_package_that_reads_them_say_what_to_install(
    tmp_path: Path,
) -> None:
    file = tmp_path / "nats.creds"
    file.touch()
    settings = NatsSettings(("nats://localhost",), "attic", credentials=str(file))
    with pytest.raises(ConfigurationError, match=r"pip install 'nats-py\[nkeys\]'"):
        NatsOutput(settings, say=print)


def test_a_bridge_can_have_more_subscriptions_than_a_control_point_has_by_itself() -> None:
    limits = bridge_limits({"subscriptions": 16_384})
    assert limits.own_subscriptions == 4 * DEFAULT_LIMITS.own_subscriptions
    assert limits.followed_devices == 4 * DEFAULT_LIMITS.followed_devices
    assert bridge_limits({}) == DEFAULT_LIMITS
    with pytest.raises(ConfigurationError, match="1 to 65536, not 0"):
        bridge_limits({"subscriptions": 0})
