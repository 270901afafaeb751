"""The files in ``deploy``: alert rules, dashboard, unit, image."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from propchange.bridge.metrics import MQTT, NATS
from propchange.metrics import CONTROL_POINT, HOST, NOT_ANSWERING

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
ALERTS = DEPLOY / "prometheus-alerts.yml"
DASHBOARD = DEPLOY / "dashboard.json"
UNIT = DEPLOY / "propchange-bridge.service"
CONTAINERFILE = DEPLOY / "Containerfile"

METRICS = {
    f"propchange_{family.name}{'_total' if family.kind == 'counter' else ''}": family
    for family in (*CONTROL_POINT, *HOST, *MQTT, *NATS, NOT_ANSWERING)
}


def tool(name: str, package: str) -> str:
    """The path of a program of Debian. Without it the test is skipped; with CI=true it fails."""
    found = shutil.which(name)
    if found is None:
        message = f"{name}, of Debian's package {package}, is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def run(*command: str, **options: Any) -> str:
    ran = subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=60, **options
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout + ran.stderr


def expressions() -> list[str]:
    """The expressions of the alert rules and of the dashboard."""
    rules = re.findall(
        r"^ +expr: (?:>-\n)?((?:.*\n)(?: {10}(?! ).*\n)*)", ALERTS.read_text(), re.MULTILINE
    )
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = [target["expr"] for panel in panels for target in panel["targets"]]
    assert len(rules) == 10
    assert len(shown) > 20
    return [*rules, *shown]


def test_each_expression_names_metrics_that_there_are_with_labels_that_they_have() -> None:
    named = set()
    for expression in expressions():
        for name, matchers in re.findall(r"(propchange_\w+)(?:\{([^}]*)\})?", expression):
            family = METRICS[name]
            named.add(name)
            labels = set(re.findall(r"(\w+)[=!]", matchers)) - {"job", "instance"}
            assert labels <= {family.label}, expression
            values = re.findall(r'\b(?:status|cause)[!=]~?"([^"$]*)"', matchers)
            known = {str(getattr(key, "value", key)) for key in family.keys}
            assert {each for value in values for each in value.split("|")} <= known, expression
    # What nobody looks at is no metric: each is on the dashboard or in an alert, or is said here.
    assert METRICS.keys() - named == {
        "propchange_bridge_broker_connections_total",
        "propchange_bridge_duplicate_events_total",
        "propchange_bridge_merged_events_total",
        "propchange_host_abandoned_messages_total",
        "propchange_host_grants_total",
        "propchange_host_messages_total",
        "propchange_host_renewals_total",
        "propchange_multicast_events_total",
    }


def test_promtool_reads_the_alert_rules_and_the_expressions_of_the_dashboard(
    tmp_path: Path,
) -> None:
    promtool = tool("promtool", "prometheus")
    assert "10 rules found" in run(promtool, "check", "rules", str(ALERTS))
    panels = [
        each.replace("$job", "propchange").replace("$instance", ".*") for each in expressions()[10:]
    ]
    rules = [{"record": f"panel_{number}", "expr": each} for number, each in enumerate(panels)]
    # JSON is YAML.
    written = tmp_path / "panels.yml"
    written.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    assert f"{len(panels)} rules found" in run(promtool, "check", "rules", str(written))


def alert_tests() -> dict[str, Any]:
    """Series in time, and the alerts that they cause."""
    job = 'job="propchange",instance="x"'
    labels = {"job": "propchange", "instance": "x"}

    def case(series: dict[str, str], at: str, name: str, found: list[dict[str, str]]) -> Any:
        return {
            "interval": "30s",
            "input_series": [{"series": each, "values": text} for each, text in series.items()],
            "alert_rule_test": [
                {
                    "eval_time": at,
                    "alertname": name,
                    "exp_alerts": [{"exp_labels": {**labels, **each}} for each in found],
                }
            ],
        }

    deaf = f'propchange_subscriptions{{{job},status="deaf"}}'
    lost = f"propchange_lost_events_total{{{job}}}"
    sent = f"propchange_host_deliveries_total{{{job}}}"
    failed = f'propchange_host_failed_deliveries_total{{{job},cause="no-answer"}}'
    stale = f'propchange_host_failed_deliveries_total{{{job},cause="stale-connection"}}'
    critical, warning = {"severity": "critical"}, {"severity": "warning"}
    cases = [
        case({deaf: "0 0 2x8"}, "4m", "PropchangeDeaf", [{**critical, "status": "deaf"}]),
        case({deaf: "0 2 0x8"}, "4m", "PropchangeDeaf", []),  # another address has helped
        case({lost: "0+1x40"}, "20m", "PropchangeEventsLost", [warning]),
        case({lost: "0 1x40"}, "20m", "PropchangeEventsLost", []),
        case({sent: "0+10x60", failed: "0+5x60"}, "28m", "PropchangeDeliveriesFail", [warning]),
        case({sent: "0+10x60", stale: "0+5x60"}, "28m", "PropchangeDeliveriesFail", []),
        case(
            {f"propchange_bridge_broker_connected{{{job}}}": "1 1 0x8"},
            "4m",
            "PropchangeBridgeBrokerAway",
            [critical],
        ),
    ]
    return {"rule_files": [ALERTS.name], "evaluation_interval": "30s", "tests": cases}


def test_the_alerts_come_when_they_should_and_not_otherwise(tmp_path: Path) -> None:
    promtool = tool("promtool", "prometheus")
    # promtool compares the annotations too, which have the values.
    rules = re.sub(r" {8}annotations:\n(?: {10}.*\n)+", "", ALERTS.read_text())
    (tmp_path / ALERTS.name).write_text(rules)
    written = tmp_path / "tests.yml"
    written.write_text(json.dumps(alert_tests()))
    assert "SUCCESS" in run(promtool, "test", "rules", str(written))


def test_the_dashboard_has_panels_that_do_not_overlap_and_its_variables() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r"\$\{?(\w+)", DASHBOARD.read_text()))
    assert used == {each["name"] for each in dashboard["templating"]["list"]}


def test_systemd_reads_the_unit_and_finds_little_exposed(tmp_path: Path) -> None:
    analyze = tool("systemd-analyze", "systemd")
    text = UNIT.read_text()
    (program,) = re.findall(r"^ExecStart=(\S+)", text, re.MULTILINE)
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace(program, "/bin/true"))  # it has to be there
    assert run(analyze, "verify", "--man=no", str(unit)) == ""
    report = run(analyze, "security", "--offline=true", "--threshold=20", str(unit))
    found = re.search(r"exposure level for \S+: (\d+\.\d+)", report)
    assert found, report
    assert float(found[1]) <= 1.5


def test_the_unit_starts_a_command_with_options_that_there_are() -> None:
    from propchange.cli.bridge import bridge

    (command,) = re.findall(r"^ExecStart=(.*)$", UNIT.read_text(), re.MULTILINE)
    program, name, *arguments = command.split()
    assert (Path(program).name, name) == ("propchange", "bridge")
    bridge.make_context("bridge", arguments)
    assert "SIGTERM" in UNIT.read_text()


Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    text = re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [
        (name, rest.strip())
        for name, _, rest in (x.partition(" ") for x in text.splitlines())
        if name
    ]


def final_stage() -> list[Instruction]:
    stage: list[Instruction] = []
    for each in instructions():
        stage = [each] if each[0] == "FROM" else [*stage, each]
    return stage


def test_what_the_image_copies_is_there_and_all_that_a_build_needs() -> None:
    copied: set[str] = set()
    for name, rest in instructions():
        if name == "COPY" and "--from" not in rest:
            *sources, _ = rest.split()
            copied |= set(sources)
            assert all((ROOT / each).exists() for each in sources)
    hooks = tomllib.loads((ROOT / "pyproject.toml").read_text())
    hook = hooks["tool"]["hatch"]["metadata"]["hooks"]["custom"]["path"]
    assert {"pyproject.toml", "README.md", "LICENSE", "src", hook.partition("/")[0]} <= copied


def test_the_image_installs_extras_that_there_are_and_pinned_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    text = CONTAINERFILE.read_text()
    (extras,) = re.findall(r"pip install '\.\[([\w,]+)\]'", text)
    assert set(extras.split(",")) <= project["optional-dependencies"].keys()
    (pattern,) = re.findall(r"grep -oE '([^']+)' requirements/dev.txt", text)
    pins = run("grep", "-oE", pattern, str(ROOT / "requirements/dev.txt")).split()
    names = {re.split("[=]", pin)[0].lower() for pin in pins}
    for extra in extras.split(","):
        for requirement in project["optional-dependencies"][extra]:
            assert re.split(r"[<>=;]", requirement)[0].lower() in names


def test_the_image_runs_as_nobody_without_a_shell() -> None:
    stage = final_stage()
    found = dict(stage)
    assert not found["USER"].startswith(("0", "root"))
    assert "RUN" not in found
    entry, command = json.loads(found["ENTRYPOINT"]), json.loads(found["CMD"])
    assert Path(entry[0]).name == "propchange"
    assert not found["FROM"].endswith(("latest", "python"))
    # The arguments are those of the command.
    from propchange.cli.bridge import bridge

    bridge.make_context("bridge", command[1:])
    _, _, health = found["HEALTHCHECK"].partition("CMD ")
    interpreter, option, program = json.loads(health)
    assert (interpreter, option) == ("python3", "-c")
    ast.parse(program)
    assert f"127.0.0.1:{command[command.index('--metrics-port') + 1]}/metrics" in program
