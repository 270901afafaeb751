"""``--metrics-port``: the metrics of a command, over HTTP."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from typing import Any

import click
import pytest

from propchange.cli.metrics_port import MetricsAddress, ServedMetrics, metrics_port_option
from propchange.core.wire.messages import Request
from tests.cli.conftest import Command, Workbench


def address_of(text: str) -> MetricsAddress:
    @click.command()
    @metrics_port_option
    def command(metrics_port: MetricsAddress) -> MetricsAddress:
        return metrics_port

    found: MetricsAddress = command.main(["--metrics-port", text], standalone_mode=False)
    return found


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        return str(answer.read().decode())


def test_a_port_alone_is_on_loopback_and_another_address_is_named() -> None:
    assert address_of("9464") == ("127.0.0.1", 9464)
    assert address_of("localhost:0") == ("127.0.0.1", 0)
    assert address_of("192.168.1.5:9464") == ("192.168.1.5", 9464)
    assert address_of("[::1]:9464") == ("::1", 9464)
    assert address_of("0.0.0.0:9464") == (None, 9464)
    for bad in ("", "x", "65536", "-1", "host:9464", "1.2.3.4", "::1", "9464:", "٣"):
        with pytest.raises(click.BadParameter, match="neither a port nor an address"):
            address_of(bad)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["--all", "URL"])
def test_watch_serves_the_metrics_of_its_subscriptions(
    workbench: Workbench, start: Any, target: str
) -> None:
    chosen = ["--all"] if target == "--all" else [workbench.url]
    watching = start("watch", *chosen, "--interface", "127.0.0.1", "--metrics-port", "0", "--json")
    line = watching.stderr.readline()
    found = re.fullmatch(r"propchange: metrics are at (http://127\.0\.0\.1:\d+/metrics)\n", line)
    assert found, line
    if target == "URL":
        while "event" not in watching.stdout.readline():
            pass
        assert 'propchange_subscriptions{status="active"} ' in get(found[1])
        assert re.search(r"^propchange_events_total [12]\.0$", get(found[1]), re.MULTILINE)
    assert "process_open_fds" in get(found[1])
    with pytest.raises(urllib.error.HTTPError, match="404") as refusal:
        get(found[1].replace("/metrics", "/"))
    refusal.value.close()
    watching.terminate()
    assert watching.wait(10) == 0


def test_a_taken_port_is_one_line_with_what_to_do(
    propchange: Command, workbench: Workbench
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = propchange("watch", workbench.url, "--metrics-port", str(port), "--count", "1")
    assert (ran.status, ran.out) == (1, "")
    assert ran.err == (
        f"propchange: --metrics-port: cannot listen on 127.0.0.1: port {port} is taken; name "
        "another, or 0 for any free one\n"
    )


def test_a_diagnosis_has_no_metrics(propchange: Command, workbench: Workbench) -> None:
    ran = propchange("watch", workbench.url, "--diagnose", "--metrics-port", "0")
    assert ran.status == 2
    assert "--diagnose ends by itself" in ran.err


def test_without_prometheus_client_the_line_says_what_to_install() -> None:
    program = """
import sys
sys.modules["prometheus_client"] = None
sys.argv = ["propchange", "watch", "http://127.0.0.1:9/x", "--metrics-port", "0"]
from propchange.cli import main
main()
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1  # as without another extra
    assert "--metrics-port needs prometheus-client: pip install 'propchange[metrics]'" in ran.stderr


async def test_only_a_get_is_answered_and_a_flood_of_scrapes_costs_one_reading() -> None:
    class Source:
        families = ()
        readings = 0

        def read_numbers(self) -> None:
            self.readings += 1

    source = Source()
    served = ServedMetrics(source)
    first = served.respond(Request("GET", "/metrics?x", ()))
    assert first.status == 200
    assert first.body
    for _ in range(100):
        assert served.respond(Request("GET", "/metrics", ())).body == first.body
    assert source.readings == 1
    head = served.respond(Request("HEAD", "/metrics", ()))
    assert (head.status, head.body) == (200, b"")
    assert head.fields[b"content-length"] == str(len(first.body)).encode()
    assert served.respond(Request("POST", "/metrics", ())).status == 405
    assert served.respond(Request("GET", "/metric", ())).status == 404
