"""What is decided about an alert: the first rule that matches says so, and each no has its name."""

from __future__ import annotations

from typing import Any

import pytest

from remediate.domain.alert import Alert, AlertDecision, AlertMode
from remediate.domain.approval import unattended_consent
from remediate.domain.host import Host
from remediate.domain.matcher import matcher
from remediate.domain.response_rule import Decided, FromLabel, ResponseRule, decide, following, rule_problems
from remediate.domain.runbook import AlertMapping, Runbook, Severity
from tests.builders import alert, parameter, runbook

NEAR = Host(name="near", groups=("all", "web"), addresses=("10.0.0.5",))
FAR = Host(name="far", groups=("all", "db"))


def shelf(*alerts: AlertMapping) -> Runbook:
    declared = (parameter("tidy_shelf_shelf", choices=("top", "low")), parameter("tidy_shelf_keep", "int", default=3))
    named = alerts or (
        AlertMapping(name="ShelfUntidy", severity=Severity.SEV3, parameters={"tidy_shelf_shelf": "shelf"}),
    )
    return runbook(*declared).model_copy(update={"alerts": named})


def rule(**changes: Any) -> ResponseRule:
    return ResponseRule.model_validate(
        {"source": "main", "runbook": "tidy-shelf", "group": "web", "written_at": "remediate.yml:9", **changes}
    )


def decided(given: Alert, *rules: ResponseRule, book: Runbook | None = None) -> Decided:
    return decide(given, rules, {"tidy-shelf": book or shelf()}, (NEAR, FAR))


def test_an_alert_that_a_rule_and_a_card_name_is_admitted_with_its_host_and_parameters() -> None:
    found = decided(alert(labels={"shelf": "top"}), rule(parameters={"keep": 5}))

    assert found.answer.decision is AlertDecision.ADMITTED
    assert found.answer.reason == "remediate.yml:9 says: diagnose, plan and ask, for near"
    assert (found.answer.runbook, found.answer.mode, found.host) == ("tidy-shelf", AlertMode.ASK, "near")
    assert found.parameters == {"tidy_shelf_shelf": "top", "tidy_shelf_keep": 5}
    assert found.unattended is None


@pytest.mark.parametrize(("mode", "unattended"), [("ask", None), ("suggest", None), ("act", 2)])
def test_only_a_rule_that_acts_says_how_far_it_goes_without_a_human(mode: str, unattended: int | None) -> None:
    level = 2 if mode == "act" else 0
    found = decided(alert(), rule(mode=mode, unattended=level))

    assert found.unattended == unattended
    assert (found.answer.decision is AlertDecision.SUGGESTED) is (mode == "suggest")


@pytest.mark.parametrize(
    ("given", "rules", "decision", "reason"),
    [
        (alert(), (), AlertDecision.NO_RULE, "its source has no rules"),
        (alert(source="other"), (rule(),), AlertDecision.NO_RULE, "its source has no rules"),
        (alert("Unknown"), (rule(),), AlertDecision.NO_RULE, "none of the 1 rules for main matches it"),
        (alert(), (rule(matchers=(matcher("env=prod"),)),), AlertDecision.NO_RULE, "none of the 1 rules"),
        (alert(labels={"instance": "web*"}), (rule(),), AlertDecision.NO_TARGET, "'web*' is no host, no address"),
        (alert(labels={"instance": ""}), (rule(),), AlertDecision.NO_TARGET, "it names no instance"),
        (alert(labels={"instance": "far:9100"}), (rule(),), AlertDecision.OTHER_GROUP, "far is not in the group web"),
        (alert(labels={"shelf": "{{ 7 }}"}), (rule(),), AlertDecision.BAD_PARAMETER, "template markers"),
        (alert(labels={"shelf": "cellar"}), (rule(),), AlertDecision.BAD_PARAMETER, "'cellar' is none of top, low"),
        (
            alert(),
            (rule(parameters={"keep": FromLabel(label="count")}),),
            AlertDecision.BAD_PARAMETER,
            "keep: the alert has no label count",
        ),
        (
            alert(labels={"count": "many"}),
            (rule(parameters={"keep": FromLabel(label="count")}),),
            AlertDecision.BAD_PARAMETER,
            "a whole number is wanted",
        ),
    ],
)
def test_every_no_has_its_name_and_starts_nothing(
    given: Alert, rules: tuple[ResponseRule, ...], decision: AlertDecision, reason: str
) -> None:
    found = decided(given, *rules)

    assert (found.answer.decision, found.host, found.parameters) == (decision, "", {})
    assert reason in found.answer.reason
    assert found.answer.reason.isprintable()


def test_the_first_rule_that_matches_decides() -> None:
    prod = rule(matchers=(matcher("env=prod"),), mode="suggest")

    assert decided(alert(labels={"env": "prod"}), prod, rule()).answer.mode is AlertMode.SUGGEST
    assert decided(alert(labels={"env": "test"}), prod, rule()).answer.mode is AlertMode.ASK


def test_a_rule_that_names_alerts_needs_no_card_for_them() -> None:
    named = rule(matchers=(matcher('alertname=~"Our.*"'),))

    assert decided(alert("OurShelf"), named).answer.decision is AlertDecision.ADMITTED
    assert decided(alert("ShelfUntidy"), named).answer.decision is AlertDecision.NO_RULE


def test_a_card_that_asks_for_labels_is_about_alerts_that_have_them() -> None:
    book = shelf(AlertMapping(name="ShelfUntidy", severity=Severity.SEV3, matchers={"room": "attic"}))

    assert decided(alert(), rule(), book=book).answer.decision is AlertDecision.NO_RULE
    assert decided(alert(labels={"room": "attic"}), rule(), book=book).answer.decision is AlertDecision.ADMITTED


def test_another_label_may_name_the_host() -> None:
    found = decided(alert(labels={"instance": "exporter:9115", "node": "10.0.0.5"}), rule(host_label="node"))

    assert found.host == "near"


def test_labels_that_no_parameter_is_filled_by_go_nowhere() -> None:
    hostile = {"ansible_connection": "local", "tidy_shelf_keep": "0", "__ansible_unsafe": "x"}

    assert decided(alert(labels=hostile), rule()).parameters == {}


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"group": "wbe"}, "group", "no host of the inventory is in the group 'wbe'; groups with hosts: all, db, web"),
        ({"parameters": {"kepe": 3}}, "parameters", "did you mean keep?"),
        ({"parameters": {"keep": "many"}}, "parameters", "a whole number is wanted"),
        ({"parameters": {"kepe": FromLabel(label="x")}}, "parameters", "kepe: tidy-shelf has no such parameter"),
    ],
)
def test_what_is_wrong_with_a_rule_on_this_site_is_told_by_field(
    changes: dict[str, Any], field: str, said: str
) -> None:
    ((where, what),) = rule_problems(rule(**changes), shelf(), (NEAR, FAR))

    assert where == field
    assert said in what


def test_a_rule_that_fits_has_no_problems_and_one_about_nothing_has_one() -> None:
    silent = shelf().model_copy(update={"alerts": ()})

    assert rule_problems(rule(parameters={"keep": 3, "shelf": FromLabel(label="x")}), shelf(), (NEAR, FAR)) == ()
    assert [field for field, _ in rule_problems(rule(), silent, (NEAR,))] == ["matchers"]
    assert rule_problems(rule(matchers=(matcher("alertname=X"),)), silent, (NEAR,)) == ()


@pytest.mark.parametrize(
    ("level", "people", "unattended", "enough"),
    [
        (0, 1, None, False),
        (0, 1, 0, True),
        (1, 1, 0, False),
        (2, 1, 2, True),
        (3, 1, 2, False),
        (4, 1, 4, True),
        (0, 2, 4, False),
    ],
)
def test_a_rule_stands_for_one_human_up_to_its_level(
    level: int, people: int, unattended: int | None, enough: bool
) -> None:
    found = unattended_consent(level, people=people, unattended=unattended)

    assert found.is_enough is enough
    assert found.reason


def test_after_each_runbook_of_a_rule_comes_the_next_and_after_the_last_a_human() -> None:
    tried = rule(then=("mend-house", "air-attic"))

    assert [following(tried, name) for name in ("tidy-shelf", "mend-house", "air-attic")] == [
        "mend-house",
        "air-attic",
        "",
    ]
    assert following(tried, "pump-cellar") == ""
