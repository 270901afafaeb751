"""docs/metrics.md: its programs run, and its tables have each metric and each alert."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest

from propchange.bridge.metrics import MQTT, NATS
from propchange.metrics import CONTROL_POINT, HOST, NOT_ANSWERING, Family
from tests.development_mode import IN_DEVELOPMENT, complaints

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "metrics.md").read_text("utf-8")
STATS, COLLECTOR = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def run(program: str) -> str:
    ran = subprocess.run(
        [*IN_DEVELOPMENT, "-c", program],
        check=False,
        input="\n",
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (ran.returncode, complaints(ran.stderr)) == (0, "")
    return ran.stdout


@pytest.mark.slow
def test_the_program_with_stats_prints_what_the_page_says() -> None:
    printed = run(STATS).splitlines()
    assert printed
    for line in printed:
        assert f"    {line}\n" in TEXT


@pytest.mark.slow
def test_the_program_with_a_collector_serves_its_metrics() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    read = (
        "import urllib.request\n"
        f"url = 'http://127.0.0.1:{port}/metrics'\n"
        "input = lambda _: print(urllib.request.urlopen(url).read().decode())\n"
    )
    end = "server.shutdown(); server.server_close(); thread.join()\n"
    printed = run(read + COLLECTOR.replace("9464", str(port)) + end)
    assert "propchange_events_total 0.0" in printed


def row(family: Family) -> str:
    name = f"propchange_{family.name}{'_total' if family.kind == 'counter' else ''}"
    label = f"`{family.label}`" if family.label else ""
    return f"| `{name}` | {label} | {family.kind} | {family.text} |"


def test_the_tables_have_each_metric_as_it_is_and_no_other() -> None:
    families = (*CONTROL_POINT, *HOST, *MQTT, *NATS, NOT_ANSWERING)
    rows = re.findall(r"^\| `propchange_.*\|$", TEXT, re.MULTILINE)
    assert rows == [row(family) for family in families]


def test_the_page_has_each_alert() -> None:
    alerts = re.findall(r"alert: (\w+)", (ROOT / "deploy" / "prometheus-alerts.yml").read_text())
    assert re.findall(r"^\| (Propchange\w+) ", TEXT, re.MULTILINE) == alerts
