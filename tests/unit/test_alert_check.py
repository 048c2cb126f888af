"""Whether policy, cards, rules and routes fit together; and what stands in documents that others write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from remediate.catalog.alert_documents import alert_route, shipped_rules
from remediate.domain.alert_check import Expected, Loaded, Misfit, expected_alerts, limits, misfits
from remediate.domain.alert_route import reaches
from remediate.domain.alert_rule import AlertRule
from remediate.domain.matcher import matcher
from remediate.domain.response_rule import ResponseRule
from remediate.domain.runbook import AlertMapping, Runbook, Severity
from remediate.errors import UsageError
from tests.builders import runbook

ROLES = Path(__file__).parents[2] / "playbooks" / "roles"
PATH = "/webhook/alertmanager/main"
TIDY = runbook().model_copy(
    update={"alerts": (AlertMapping(name="ShelfUntidy", severity=Severity.SEV3),), "id": "tidy-shelf"}
)
RUNBOOKS: dict[str, Runbook] = {"tidy-shelf": TIDY}
RULE = ResponseRule(source="main", runbook="tidy-shelf", group="web")


def rule(name: str = "ShelfUntidy", expression: str = "dust > 90", **changes: Any) -> AlertRule:
    values = {"name": name, "expression": expression, "labels": {"severity": "SEV3"}}
    return AlertRule.model_validate({**values, **changes})


def expected(**changes: Any) -> Expected:
    values = {"runbook": "tidy-shelf", "name": "ShelfUntidy", "severity": "SEV3", "shipped": rule()}
    return Expected.model_validate({**values, **changes})


def config(url: str = f"https://here:9180{PATH}", routes: str = "") -> str:
    return f"""
route:
  receiver: nobody
  routes:
    {routes or "- {receiver: remediate, matchers: ['severity=~SEV.']}"}
receivers:
  - name: nobody
  - name: remediate
    webhook_configs: [{{url: "{url}"}}]
"""


def found(*rules: AlertRule, routes: str = "", url: str = f"https://here:9180{PATH}", **changes: Any) -> list[str]:
    loaded = Loaded(source="main", rules=rules, route=alert_route(config(url, routes)))
    loaded = loaded.model_copy(update=changes)
    return [f"{one.kind.value}: {one.about}" for one in misfits(loaded, (expected(),), (RULE,), RUNBOOKS)]


def test_what_fits_is_not_told() -> None:
    assert found(rule()) == []


def test_a_name_on_the_card_that_no_rule_has_is_told() -> None:
    assert found() == ["no rule: ShelfUntidy"]
    assert found(rule("ShelfUntidi")) == ["no rule: ShelfUntidy", "unmapped: ShelfUntidi"]


def test_a_rule_that_cannot_be_evaluated_is_told() -> None:
    assert found(rule(trouble="many-to-many")) == ["broken rule: ShelfUntidy"]


def test_another_severity_than_on_the_card_is_told() -> None:
    assert found(rule(labels={"severity": "SEV1"})) == ["severity: ShelfUntidy"]
    assert "severity: ShelfUntidy" in found(rule(labels={}))
    assert found(rule(labels={"severity": "{{ $labels.severity }}"})) == []


def test_other_limits_than_those_that_are_shipped_are_told_however_they_are_written() -> None:
    assert found(rule(expression="dust > 9e1")) == []
    assert found(rule(expression="dust > 80")) == ["threshold: ShelfUntidy"]
    assert found(rule(expression="dust >= 90")) == ["threshold: ShelfUntidy"]
    assert found(rule(holds_for=60)) == ["threshold: ShelfUntidy"]


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("x > 90", ("> 90",)),
        ("(probe - time() > 0) < 7 * 86400", ("< 604800", "> 0")),
        ('x{a="b > 5"} >= bool 1e3 or rate(y[5m]) == 0', ("== 0", ">= 1000")),
        ("100 * (1 - a / b) > 80 or 100 * (1 - c / (d > 0)) > 80", ("> 0", "> 80", "> 80")),
        ("a > b", ()),
        ("x > -1.5", ("> -1.5",)),
    ],
)
def test_limits_are_found_in_expressions(expression: str, wanted: tuple[str, ...]) -> None:
    assert limits(expression) == wanted


def test_an_alert_that_nothing_is_done_about_is_a_note_unless_its_rule_names_a_runbook() -> None:
    other, ours = rule("Watchdog"), rule("ShelfFell", annotations={"runbook": "tidy-shelf"})
    loaded = Loaded(source="main", rules=(rule(), other, ours))
    told = misfits(loaded, (expected(),), (RULE,), RUNBOOKS)

    assert [(one.kind, one.about, one.note) for one in told] == [
        (Misfit.UNMAPPED, "ShelfFell", False),
        (Misfit.UNMAPPED, "Watchdog", True),
    ]


def test_a_rule_that_names_its_alerts_maps_them() -> None:
    named = RULE.model_copy(update={"matchers": (matcher('alertname=~"Watch.*"'),)})
    loaded = Loaded(source="main", rules=(rule("Watchdog"), rule("Other")))

    assert [one.about for one in misfits(loaded, (), (named,), RUNBOOKS)] == ["Other"]
    assert expected_alerts((named,), "main", RUNBOOKS, {}) == ()
    assert expected_alerts((RULE,), "other", RUNBOOKS, {}) == ()
    assert [one.name for one in expected_alerts((RULE,), "main", RUNBOOKS, {})] == ["ShelfUntidy"]


def test_what_could_not_be_asked_is_told_and_nothing_is_made_of_it() -> None:
    assert found(rule(), rules=None, rules_trouble="nobody there") == ["not asked: main"]
    assert found(rule(), route=None, route_trouble="nobody there") == ["not asked: main"]


@pytest.mark.parametrize(
    ("routes", "url", "reached"),
    [
        ("", f"https://here:9180{PATH}", True),
        ("", "<secret>", True),
        ("", "https://here:9180/webhook/alertmanager/other", False),
        ("- {receiver: remediate, matchers: ['severity=SEV1']}", "<secret>", False),
        ("- {receiver: nobody}\n    - {receiver: remediate}", "<secret>", False),
        ("- {receiver: nobody, continue: true}\n    - {receiver: remediate}", "<secret>", True),
        # What is not known of an alert may be anything.
        ("- {receiver: nobody, matchers: ['team=db']}\n    - {receiver: remediate}", "<secret>", True),
        ("- {receiver: remediate, matchers: ['team=db']}", "<secret>", True),
        ("- {receiver: nobody, routes: [{receiver: remediate, match: {alertname: ShelfUntidy}}]}", "<secret>", True),
        ("- {receiver: remediate, match_re: {alertname: 'Disk.*'}}", "<secret>", False),
        ('- {receiver: remediate, matchers: [\'{severity="SEV3",alertname=~"Shelf.*,?"}\']}', "<secret>", True),
        # A matcher that we do not read may match.
        ("- {receiver: remediate, matchers: ['alertname=~\"(a+)+\"']}", "<secret>", True),
    ],
)
def test_the_routes_say_whether_an_alert_may_reach_us(routes: str, url: str, reached: bool) -> None:
    assert (found(rule(), routes=routes, url=url) == []) is reached


def test_an_alert_without_a_route_stays_at_the_root() -> None:
    route = alert_route("{route: {receiver: us}, receivers: [{name: us, webhook_configs: [{url_file: /etc/url}]}]}")

    assert reaches(route, {"alertname": "X"}, PATH)


@pytest.mark.parametrize("text", ["", "[", "route: 7", "receivers: []", "route: {routes: [7]}", "a: &a [*a]"])
def test_what_is_no_configuration_is_one_error(text: str) -> None:
    with pytest.raises(UsageError, match="The configuration of Alertmanager cannot be read"):
        alert_route(text)


@pytest.mark.parametrize("role", sorted(path.parent.parent.name for path in ROLES.glob("*/files/alerts.yml")))
def test_the_rules_that_are_shipped_are_read(role: str) -> None:
    rules = shipped_rules(ROLES / role)
    alerts = yaml.safe_load((ROLES / role / "meta" / "runbook.yml").read_text(encoding="utf-8"))["alerts"]

    assert [rule.name for rule in rules] == [alert["name"] for alert in alerts]
    assert all(one.annotations["runbook_url"] and one.labels["severity"].startswith("SEV") for one in rules)


def test_a_file_that_holds_no_rules_is_named(tmp_path: Path) -> None:
    assert shipped_rules(tmp_path) == ()
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "alerts.yml").write_text("groups: 7", encoding="utf-8")

    with pytest.raises(UsageError, match="is no file of alerting rules"):
        shipped_rules(tmp_path)
