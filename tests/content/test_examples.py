"""What docs/examples holds: a dashboard of the shape that Grafana reads, and routes that lead alerts to us."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediate.catalog.alert_documents import alert_route, shipped_rules
from remediate.domain.alert_route import reaches
from remediate.domain.storm import Situation, StormPolicy
from remediate.domain.storm_position import position
from remediate.engine.schedule_book import ScheduleBook, Timetable
from remediate.interfaces.http.meters import Meters
from remediate.testing import EPOCH, MemoryStore, ports

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
DASHBOARD: dict[str, Any] = json.loads((EXAMPLES / "grafana-dashboard.json").read_text(encoding="utf-8"))
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
_WORD = re.compile(r"\b[a-z_][a-z0-9_]*\b")


def shown() -> set[str]:
    """The names of all series that /metrics shows."""
    meters = Meters(lambda: 0)
    quiet = position(Situation(now=EPOCH), StormPolicy(), {})
    found = ports(store=MemoryStore())
    meters.also(found, lambda: quiet, ["disk-full"], ScheduleBook(found, Timetable((), {}, tuple)))
    text = meters.text().decode()
    # A counter with labels shows nothing before it counts: its name stands in its description.
    typed = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE"))
    names = {line.split("{")[0].split()[0] for line in text.splitlines() if line and not line.startswith("#")}
    return names | {name for name, kind in typed.items() if kind in {"gauge", "counter"}}


def test_the_dashboard_is_of_the_shape_that_grafana_reads() -> None:
    assert isinstance(DASHBOARD["schemaVersion"], int)
    assert DASHBOARD["schemaVersion"] >= 36
    assert {"title", "uid", "panels", "time", "templating", "version"} <= set(DASHBOARD)
    assert "id" not in DASHBOARD, "the id is the Grafana's own"
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    (source,) = DASHBOARD["templating"]["list"]
    assert (source["type"], source["query"], source["name"]) == ("datasource", "prometheus", "datasource")


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_asks_for_series_that_there_are(panel: dict[str, Any]) -> None:
    assert panel["type"] in {"stat", "timeseries"}
    assert set(panel["gridPos"]) == {"x", "y", "w", "h"}
    assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
    for target in panel["targets"]:
        asked = {word for word in _WORD.findall(target["expr"]) if word.startswith("remediate_")}
        assert asked
        assert asked <= shown(), f"{asked - shown()} is not shown by /metrics"


def test_no_two_panels_stand_in_one_place() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells


def test_the_example_of_alertmanager_leads_every_shipped_alert_to_us() -> None:
    route = alert_route((EXAMPLES / "alertmanager.yml").read_text(encoding="utf-8"))
    roles = sorted(path.parent.parent for path in (ROOT / "playbooks" / "roles").glob("*/files/alerts.yml"))
    rules = [rule for role in roles for rule in shipped_rules(role)]

    assert len(rules) >= 14
    for rule in rules:
        assert reaches(route, {**rule.labels, "alertname": rule.name}, "/webhook/alertmanager/main")
    assert not reaches(route, {"alertname": "Watchdog", "severity": "none"}, "/webhook/alertmanager/main")


def test_every_alert_of_the_runbooks_is_shipped() -> None:
    wanted = {
        "DatabaseDown", "HighCPUUsage", "HighMemoryUsage", "DiskSpaceCritical", "DiskSpaceLow", "QueueBacklogHigh",
        "QueueWorkerDown", "SSLCertificateExpiring", "SSLCertificateExpired", "HighRequestRate", "HighBandwidth",
        "UnauthorizedAccess", "SuspiciousActivity", "ApplicationDown",
    }  # fmt: skip
    found = {
        rule.name
        for path in (ROOT / "playbooks" / "roles").glob("*/files/alerts.yml")
        for rule in shipped_rules(path.parent.parent)
    }

    assert wanted <= found


def test_the_rules_about_recovery_ask_for_series_that_there_are() -> None:
    (group,) = yaml.safe_load((EXAMPLES / "recovery-alerts.yml").read_text(encoding="utf-8"))["groups"]
    asked = {word for rule in group["rules"] for word in _WORD.findall(rule["expr"]) if word.startswith("remediate_")}
    names = {rule["alert"] for rule in group["rules"]}

    assert asked
    assert asked <= shown()
    assert {"DrillFailed", "DrillOverdue", "DrillLosesTooMuch"} <= names
    assert all(
        rule["labels"]["severity"].startswith("SEV") and rule["annotations"]["summary"] for rule in group["rules"]
    )
    assert all((ROOT / rule["annotations"]["runbook_url"]).is_file() for rule in group["rules"])
