"""The section `policy:` of remediate.yml: which plans need a higher level here than their cards ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from remediate.catalog.settings import Settings
from remediate.domain.approval import LevelRule
from tests.unit.test_on_call_settings import problems, settings

SITE = """\
version: 1
people:
  nadia: {name: Nadia, chat: n, level: 1}
  lena: {name: Lena, chat: l, level: 2}
  robot: {name: Robot, service: true}
policy:
"""


def read(site: Path, *rules: str) -> Settings:
    return settings(site, SITE + "".join(f"  - {rule}\n" for rule in rules))


def test_rules_are_read_with_their_groups_and_reasons(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        "{runbook: disk-full, level: 1, reason: it is new to us}",
        "{runbook: disk-full, groups: [shop, till], level: 2, reason: it earns the money}",
    )

    assert found.levels == (
        LevelRule(runbook="disk-full", level=1, reason="it is new to us"),
        LevelRule(runbook="disk-full", groups=("shop", "till"), level=2, reason="it earns the money"),
    )


def test_a_site_without_the_section_raises_nothing(tmp_path: Path) -> None:
    assert settings(tmp_path, "version: 1\n").levels == ()


def test_a_changed_rule_changes_the_policy_that_plans_are_bound_to(tmp_path: Path) -> None:
    digests = {
        read(tmp_path, rule).policy
        for rule in (
            "{runbook: disk-full, level: 1, reason: so}",
            "{runbook: disk-full, level: 2, reason: so}",
            "{runbook: disk-full, level: 2, reason: so, groups: [shop]}",
            "{runbook: disk-full, level: 2, reason: because, groups: [shop]}",
        )
    }

    assert len(digests | {settings(tmp_path, SITE.replace("policy:", "")).policy}) == 5


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("{runbook: disk-ful, level: 2, reason: so}", "7: policy.0.runbook: there is no runbook 'disk-ful'"),
        ("{runbook: disk-full, level: 3, reason: so}", "7: policy.0.level: nobody here has level 3 or above"),
        ("{runbook: disk-full, level: 0, reason: so}", "7: policy.0.level: input should be greater than or equal to 1"),
        ("{runbook: disk-full, level: 5, reason: so}", "7: policy.0.level: input should be less than or equal to 4"),
        ("{runbook: disk-full, level: '2', reason: so}", "7: policy.0.level: input should be a valid integer"),
        ("{runbook: disk-full, level: 2}", "7: policy.0.reason: is missing"),
        ("{runbook: disk-full, level: 2, reason: ''}", "7: policy.0.reason: string should have at least 1 character"),
        ("{runbook: disk-full, level: 2, reason: so, people: 2}", "7: policy.0.people: is not a known field"),
        ("{level: 2, reason: so}", "7: policy.0.runbook: is missing"),
    ],
)
def test_a_rule_that_would_not_do_what_it_says_is_refused_with_its_line(
    tmp_path: Path, rule: str, problem: str
) -> None:
    assert problems(tmp_path, f"{SITE}  - {rule}\n") == [problem]


def test_a_rule_that_stands_twice_is_a_mistake(tmp_path: Path) -> None:
    rules = [
        "{runbook: disk-full, groups: [shop, till], level: 1, reason: so}",
        "{runbook: disk-full, groups: [till, shop], level: 2, reason: so}",
    ]

    assert problems(tmp_path, SITE + "".join(f"  - {rule}\n" for rule in rules)) == [
        "8: policy.1: disk-full on the same groups stands twice"
    ]


def test_a_site_of_one_person_cannot_ask_for_a_second_one(tmp_path: Path) -> None:
    alone = "version: 1\npolicy:\n  - {runbook: disk-full, level: LEVEL, reason: so}\n"

    assert settings(tmp_path, alone.replace("LEVEL", "1")).levels[0].level == 1
    assert problems(tmp_path, alone.replace("LEVEL", "2")) == ["3: policy.0.level: nobody here has level 2 or above"]
