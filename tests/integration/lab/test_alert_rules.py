"""The alert rules of every runbook, tried by Prometheus' own tool on what they must and must not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.lab.hosts import ROOT, LabHost

RULES = [
    *sorted((ROOT / "playbooks/roles").glob("*/files/alerts.yml")),
    *sorted((ROOT / "docs/examples").glob("*-alerts.yml")),
]
_MENTAT = LabHost("mentat")


def _name(rules: Path) -> str:
    """What the test of some rules is called: as the role, or as the example."""
    return rules.parent.parent.name if rules.name == "alerts.yml" else rules.stem.removesuffix("-alerts")


@pytest.mark.parametrize("rules", RULES, ids=_name)
def test_the_rules_of_a_runbook_fire_when_they_must_and_only_then(lab: None, rules: Path) -> None:
    role = _name(rules)
    directory = f"/tmp/rules-{role}"  # noqa: S108  # on the lab's host
    _MENTAT.run(f"mkdir -p {directory}")
    for name, file in (("alerts.yml", rules), ("test.yml", ROOT / "tests" / "alerts" / f"{role}.yml")):
        _MENTAT.run(f"cat > {directory}/{name}", script=file.read_text(encoding="utf-8"))
    check, test = "promtool check rules --lint=none alerts.yml", "promtool test rules test.yml"
    said = _MENTAT.run(f"cd {directory} && {check} && {test}; echo exit $?")
    assert said.endswith("exit 0"), said
