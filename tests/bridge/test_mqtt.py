"""``propchange bridge`` with Mosquitto and a device over sockets."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.programs import free_port
from propchange import Device, host
from tests.asyncio.announcing import Announcer
from tests.bridge.conftest import Mosquitto, RunningBridge, Workbench
from tests.cli.conftest import PATIENCE, Loop, Thermometer

pytestmark = pytest.mark.slow  # each starts a broker

Begin = Callable[..., RunningBridge]
DEVICE = """
import asyncio, sys
from propchange import Device, Service, StateVariable, host

class Lamp(Service, type="urn:example-org:service:Lamp:1"):
    on = StateVariable("boolean", initial=False)

class Fan(Service, type="urn:example-org:service:Fan:1"):
    speed = StateVariable("ui1", initial=0)

class Clock(Service, type="urn:example-org:service:Clock:1"):
    hour = StateVariable("ui1", initial=0)

async def serve(name, port, *services):
    udn = "uuid:11111111-2222-4333-8444-555555555555"
    device = Device(name, udn=udn, services=[globals()[each]() for each in services])
    options = {"interface": "127.0.0.1", "port": int(port), "announce": False}
    async with host(device, minimum_duration=1, **options) as hosted:
        print(hosted.description_url, flush=True)
        await asyncio.Event().wait()

asyncio.run(serve(*sys.argv[1:]))
"""


@contextlib.contextmanager
def device_process(name: str, port: int, *services: str) -> Iterator[str]:
    """A device in a process, which is killed without a goodbye. Gives the URL of its
    description."""
    command = [sys.executable, "-c", DEVICE, name, str(port), *services]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().decode().strip()
        finally:
            process.kill()


BRIDGE = "propchange/bridge/attic/availability"


def udn_of(workbench: Workbench) -> str:
    udn: str = workbench.hosted.udn
    return udn.removeprefix("uuid:").lower()


def topic(workbench: Workbench, *parts: str) -> str:
    return "/".join(("propchange", udn_of(workbench), *parts))


def online(workbench: Workbench, *services: str) -> Callable[[dict[str, Any]], bool]:
    """Whether these services are online, and the bridge is."""
    topics = [BRIDGE, *(topic(workbench, each, "availability") for each in services)]
    return lambda retained: all(
        each in retained and retained[each]["state"] == "online" for each in topics
    )


def temperature(workbench: Workbench, value: float) -> Callable[[dict[str, Any]], bool]:
    at = topic(workbench, "Thermometer")
    return lambda retained: at in retained and retained[at]["values"]["Temperature"] == value


def wait_for_all(mosquitto: Mosquitto, fits: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until all that is retained ``fits``, discovery messages too."""
    mosquitto.wait_for(lambda _: fits(mosquitto.retained("#")), 2 * PATIENCE)


def test_each_service_that_sends_events_is_retained_with_its_values(
    mosquitto: Mosquitto, workbench: Workbench, bridge: Begin
) -> None:
    running = bridge(workbench.url, "--mqtt", mosquitto.url, "--id", "attic")
    retained = mosquitto.wait_for(online(workbench, "Thermometer", "Values"))
    assert set(retained) == {
        BRIDGE,
        topic(workbench, "Thermometer"),
        topic(workbench, "Thermometer", "availability"),
        topic(workbench, "Values"),
        topic(workbench, "Values", "availability"),
    }
    state = retained[topic(workbench, "Thermometer")]
    assert state["values"] == {"Temperature": 20.0, "Alarm": False}
    assert (state["device"], state["bridge"], state["left_out"]) == ("Workbench", "attic", 0)
    workbench.set(workbench.thermometer, "Temperature", 21.5)
    mosquitto.wait_for(temperature(workbench, 21.5))
    status, said = running.end()
    assert status == 0
    assert said == f"propchange: connected to 127.0.0.1:{mosquitto.port} as 'attic'\n"
    retained = mosquitto.retained()
    ended = {"state": "offline", "reason": "the bridge has ended", "bridge": "attic"}
    assert retained[BRIDGE].items() >= ended.items()
    assert retained[topic(workbench, "Thermometer", "availability")] == ended
    assert retained[topic(workbench, "Thermometer")]["values"]["Temperature"] == 21.5


def test_distinct_gives_each_variable_a_topic_of_its_own(
    mosquitto: Mosquitto, workbench: Workbench, bridge: Begin
) -> None:
    bridge(workbench.url, "--mqtt", mosquitto.url, "--id", "attic", "--distinct")
    retained = mosquitto.wait_for(online(workbench, "Thermometer", "Values"))
    assert retained[topic(workbench, "Thermometer", "Temperature")] == 20.0
    assert retained[topic(workbench, "Thermometer", "Alarm")] is False
    values = retained[topic(workbench, "Values")]["values"]
    for name, value in values.items():
        assert retained[topic(workbench, "Values", name)] == value
    workbench.set(workbench.values, "Note", "")
    mosquitto.wait_for(lambda found: found[topic(workbench, "Values", "Note")] == "")


def test_a_device_that_dies_without_a_goodbye_is_offline_after_its_next_renewal(
    mosquitto: Mosquitto, bridge: Begin
) -> None:
    at = "propchange/11111111-2222-4333-8444-555555555555/Lamp/availability"
    with device_process("Lamp", 0, "Lamp") as url:
        bridge(url, "--mqtt", mosquitto.url, "--id", "attic", "--duration", "2")
        mosquitto.wait_for(lambda found: at in found and found[at]["state"] == "online")
    found = mosquitto.wait_for(lambda found: found[at]["state"] == "offline")
    assert found[at]["status"] == "resubscribing"


def test_a_device_that_comes_back_otherwise_is_retained_as_it_is_described_then(
    mosquitto: Mosquitto, bridge: Begin, tmp_path: Path
) -> None:
    """Nobody heard it go or come."""
    config, port = tmp_path / "bridge.toml", free_port()
    config.write_text("[bridge]\nforget_after = 0.5\nduration = 2\n")
    begin = "propchange/11111111-2222-4333-8444-555555555555"
    offered = "homeassistant/device/propchange_11111111-2222-4333-8444-555555555555/config"

    def described(name: str, *services: str) -> Callable[[dict[str, Any]], bool]:
        def fits(found: dict[str, Any]) -> bool:
            states = {topic.rpartition("/")[2]: each for topic, each in found.items()}
            availability = {f"{begin}/{each}/availability" for each in services}
            return (
                {each for each in found if each.startswith(begin)}
                == {f"{begin}/{each}" for each in services} | availability
                and all(found[each]["state"] == "online" for each in availability)
                and all(states[each]["device"] == name for each in services)
                and offered in found
                and found[offered]["device"]["name"] == name
                and len(found[offered]["components"]) == len(services)
            )

        return fits

    with device_process("Before", port, "Lamp", "Fan") as url:
        words = ("--mqtt", mosquitto.url, "--id", "attic", "--home-assistant")
        bridge(url, *words, "--config", str(config))
        wait_for_all(mosquitto, described("Before", "Lamp", "Fan"))
    with device_process("After", port, "Lamp", "Clock"):
        wait_for_all(mosquitto, described("After", "Lamp", "Clock"))
    with device_process("Again", port, "Lamp", "Fan", "Clock"):
        wait_for_all(mosquitto, described("Again", "Lamp", "Fan", "Clock"))


def test_a_broker_that_is_killed_and_has_lost_its_store_gets_everything_again(
    mosquitto: Mosquitto, workbench: Workbench, bridge: Begin, tmp_path: Path
) -> None:
    running = bridge(workbench.url, "--mqtt", mosquitto.url, "--id", "attic", "--distinct")
    before = mosquitto.wait_for(online(workbench, "Thermometer", "Values"))
    mosquitto.stop(signal.SIGKILL)
    for each in tmp_path.glob("*.db*"):
        each.unlink()
    workbench.set(workbench.thermometer, "Temperature", 22.0)
    mosquitto.start()
    after = mosquitto.wait_for(online(workbench, "Thermometer", "Values"))
    assert set(after) == set(before)
    assert after[topic(workbench, "Thermometer", "Temperature")] == 22.0
    _, said = running.end()
    assert said.count("is away") == 1
    assert said.count("connected to") == 2


def test_what_a_killed_bridge_has_left_is_cleared_by_its_next_start_and_no_other(
    mosquitto: Mosquitto, workbench: Workbench, bridge: Begin
) -> None:
    running = bridge(workbench.url, "--mqtt", mosquitto.url, "--id", "attic", "--distinct")
    mosquitto.wait_for(online(workbench, "Thermometer"))
    running.end(signal.SIGKILL)
    retained = mosquitto.wait_for(lambda found: found[BRIDGE]["state"] == "offline")
    assert retained[BRIDGE]["reason"] == "the bridge has lost its connection to the broker"
    of_others = {"propchange/1/Lamp": {}, "propchange/1/Lamp/availability": {"bridge": "cellar"}}
    for each, payload in of_others.items():
        mosquitto.publish(each, json.dumps(payload | {"state": "online"}).encode())
    # It starts for another device, so that it does not find this one.
    nowhere = f"http://127.0.0.1:{free_port()}/description.xml"
    bridge(nowhere, "--mqtt", mosquitto.url, "--id", "attic")
    lost = topic(workbench, "Thermometer", "availability")
    mosquitto.wait_for(lambda found: found.get(lost, {}).get("state") == "offline")
    mosquitto.wait_for(lambda found: set(found) == {BRIDGE, *of_others})


def test_two_bridges_that_see_one_device_leave_it_to_one_until_that_one_is_killed(
    mosquitto: Mosquitto, workbench: Workbench, bridge: Begin
) -> None:
    first = bridge(workbench.url, "--mqtt", mosquitto.url, "--id", "attic")
    mosquitto.wait_for(online(workbench, "Thermometer", "Values"))
    second = bridge(workbench.url, "--mqtt", mosquitto.url, "--id", "cellar")
    cellar = "propchange/bridge/cellar/availability"
    mosquitto.wait_for(lambda found: found.get(cellar, {}).get("state") == "online")
    at = topic(workbench, "Thermometer", "availability")
    workbench.set(workbench.thermometer, "Temperature", 23.0)
    retained = mosquitto.wait_for(temperature(workbench, 23.0))
    assert retained[at]["bridge"] == "attic"
    first.end(signal.SIGKILL)
    workbench.set(workbench.thermometer, "Temperature", 24.0)
    mosquitto.wait_for(
        lambda found: (
            (found[at]["bridge"], found[at]["state"]) == ("cellar", "online")
            and temperature(workbench, 24.0)(found)
        )
    )
    _, said = second.end()
    assert said.count("the bridge 'attic' publishes some of these devices") == 1


def test_a_second_bridge_with_the_same_id_ends_the_first_one_with_a_reason(
    mosquitto: Mosquitto, workbench: Workbench, bridge: Begin
) -> None:
    first = bridge(workbench.url, "--mqtt", mosquitto.url, "--id", "attic")
    mosquitto.wait_for(online(workbench, "Thermometer"))
    bridge(workbench.url, "--mqtt", mosquitto.url, "--id", "attic")
    status, said = first.wait()
    assert status == 1
    assert "another bridge with the id 'attic' has connected" in said
    assert "give one of them another --id" in said
    mosquitto.wait_for(online(workbench, "Thermometer"))


def test_a_device_that_says_goodbye_is_offline_then_cleared_and_back_when_it_is_back(
    mosquitto: Mosquitto, loop: Loop, bridge: Begin, tmp_path: Path
) -> None:
    device = Device("Bench", services=[Thermometer()], udn="uuid:bench-1")
    port = free_port()
    hosted = host(device, interface="127.0.0.1", port=port)
    loop.run(hosted.__aenter__())
    announcer = Announcer(device, hosted.description_url)
    loop.run(announcer.__aenter__())
    config = tmp_path / "bridge.toml"
    config.write_text("[bridge]\nforget_after = 1\n")
    words = ("--mqtt", mosquitto.url, "--id", "attic", "--config", str(config), "--distinct")
    bridge(hosted.description_url, *words)
    at = "propchange/bench-1/Thermometer/availability"
    before = mosquitto.wait_for(lambda found: found.get(at, {}).get("state") == "online")

    async def announce(message: str) -> None:
        getattr(announcer, message)()

    loop.run(announce("alive"))
    loop.run(hosted.close())
    loop.run(announce("byebye"))
    retained = mosquitto.wait_for(lambda found: found.get(at, {}).get("status") == "gone")
    assert retained[at]["state"] == "offline"
    assert "goodbye" in retained[at]["reason"]
    assert retained[at[: at.rindex("/")]]["values"]
    mosquitto.wait_for(lambda found: set(found) == {BRIDGE})
    hosted = host(device, interface="127.0.0.1", port=port)
    loop.run(hosted.__aenter__())
    loop.run(announce("alive"))
    after = mosquitto.wait_for(lambda found: found.get(at, {}).get("state") == "online")
    assert set(after) == set(before)
    loop.run(announcer.__aexit__())
    loop.run(hosted.close())


# --- brokers that refuse ---


def test_a_broker_that_is_not_there_yet_is_waited_for(
    mosquitto: Mosquitto, workbench: Workbench, bridge: Begin
) -> None:
    mosquitto.stop()
    running = bridge(workbench.url, "--mqtt", mosquitto.url, "--id", "attic")
    assert running.process.stderr is not None
    said = running.process.stderr.readline()
    assert said.startswith(f"propchange: 127.0.0.1:{mosquitto.port} is away: ")
    assert said.endswith("; it is tried again\n")
    mosquitto.start()
    mosquitto.wait_for(online(workbench, "Thermometer"))


def test_a_wrong_password_ends_it_and_the_right_one_is_in_the_environment(
    mosquitto_in: Callable[..., Mosquitto], workbench: Workbench, bridge: Begin, tmp_path: Path
) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, "ann", "right"], check=True)
    mosquitto = mosquitto_in("allow_anonymous false", f"password_file {passwords}")
    mosquitto.options = {"username": "ann", "password": "right"}
    url = mosquitto.url.replace("mqtt://", "mqtt://ann@")
    wrong = bridge(workbench.url, "--mqtt", url, PROPCHANGE_MQTT_PASSWORD="wrong")
    status, said = wrong.wait()
    assert status == 1
    assert said.count("\n") == 1
    assert "refuses the bridge" in said
    assert "check user name, password" in said or "check the user name and" in said
    assert "wrong\n" not in said
    bridge(workbench.url, "--mqtt", url, "--id", "attic", PROPCHANGE_MQTT_PASSWORD="right")
    mosquitto.wait_for(online(workbench, "Thermometer"))


@pytest.mark.parametrize("user", ["", "ann@"])
def test_a_password_that_was_forgotten_is_asked_for_by_the_name_of_its_variable(
    mosquitto_in: Callable[..., Mosquitto], workbench: Workbench, bridge: Begin, user: str
) -> None:
    mosquitto = mosquitto_in("allow_anonymous false")
    url = mosquitto.url.replace("mqtt://", f"mqtt://{user}")
    status, said = bridge(workbench.url, "--mqtt", url, PROPCHANGE_MQTT_PASSWORD="").wait()
    assert status == 1
    assert said.endswith("the password in PROPCHANGE_MQTT_PASSWORD, which is not set\n")
    assert ("mqtt://user@host" in said) == (not user)


def test_a_topic_that_the_broker_forbids_is_said_once(
    mosquitto_in: Callable[..., Mosquitto], workbench: Workbench, bridge: Begin, tmp_path: Path
) -> None:
    rules = tmp_path / "rules"
    rules.write_text("topic readwrite propchange/bridge/#\ntopic read #\n")
    mosquitto = mosquitto_in("allow_anonymous true", f"acl_file {rules}")
    mosquitto.url += ""
    running = bridge(workbench.url, "--mqtt", mosquitto.url, "--id", "attic")
    assert running.process.stderr is not None
    lines = [running.process.stderr.readline() for _ in range(2)]
    assert "connected to" in lines[0]
    assert "does not take propchange/" in lines[1]
    assert "Not authorized; check the rules of the broker for propchange/#" in lines[1]


def test_a_broker_of_mqtt_3_is_spoken_to_in_mqtt_3_1_1(workbench: Workbench, bridge: Begin) -> None:
    port = free_port()
    # Return code 1: unacceptable protocol version. The second time: not authorised.
    heads: list[bytes] = []
    server = socket.create_server(("127.0.0.1", port))

    def serve() -> None:
        for answer in (b"\x20\x02\x00\x01", b"\x20\x02\x00\x05"):
            connection, _ = server.accept()
            with connection:
                heads.append(connection.recv(4_096))
                connection.sendall(answer)
                connection.recv(4_096)

    thread = threading.Thread(target=serve)
    thread.start()
    status, said = bridge(workbench.url, "--mqtt", f"mqtt://127.0.0.1:{port}").wait()
    thread.join()
    server.close()
    assert [each[each.index(b"MQTT") + 4] for each in heads] == [5, 4]
    assert status == 1
    assert "it does not let this client in" in said


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """A folder with a certificate of an authority of the test's own, and with certificates of a
    server and a client."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    # From Python 3.13 on, an authority must say what its key is for, and a certificate whose it is.
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    authority = ("-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=Test")
    openssl("req", "-x509", *key, *usage, *authority)
    (tmp_path / "names").write_text(
        "subjectAltName=IP:127.0.0.1\nauthorityKeyIdentifier=keyid,issuer\n"
    )
    for name in ("server", "client"):
        openssl(
            "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}"
        )
        signing = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", "names")
        openssl("x509", "-req", "-in", f"{name}.csr", *signing, "-out", f"{name}.pem")
    return tmp_path


def test_tls_with_an_authority_of_ones_own_and_a_certificate_of_the_client(
    mosquitto_in: Callable[..., Mosquitto], workbench: Workbench, bridge: Begin, authority: Path
) -> None:
    port = free_port()
    mosquitto = mosquitto_in(
        "allow_anonymous true",
        f"listener {port} 127.0.0.1",
        f"cafile {authority}/ca.pem",
        f"certfile {authority}/server.pem",
        f"keyfile {authority}/server.key",
        "require_certificate true",
    )
    url = f"mqtts://127.0.0.1:{port}"
    status, said = bridge(workbench.url, "--mqtt", url).wait()
    assert status == 1
    assert "certificate" in said
    assert "[mqtt] ca_file names the certificates that are trusted" in said
    config = authority / "bridge.toml"
    config.write_text(
        f"""
[mqtt]
url = "{url}"
ca_file = "{authority}/ca.pem"
certificate = "{authority}/client.pem"
key = "{authority}/client.key"

[bridge]
id = "attic"
devices = ["{workbench.url}"]
"""
    )
    bridge("--config", str(config))
    mosquitto.wait_for(online(workbench, "Thermometer"))
