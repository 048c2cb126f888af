"""The alert rules of every runbook, tried by Prometheus' own tool on what they must and must not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.lab.hosts import ROOT, LabHost

RULES = sorted((ROOT / "playbooks/roles").glob("*/files/alerts.yml"))
_MENTAT = LabHost("mentat")


@pytest.mark.parametrize("rules", RULES, ids=lambda path: path.parent.parent.name)
def test_the_rules_of_a_runbook_fire_when_they_must_and_only_then(lab: None, rules: Path) -> None:
    role = rules.parent.parent.name
    directory = f"/tmp/rules-{role}"  # noqa: S108  # on the lab's host
    _MENTAT.run(f"mkdir -p {directory}")
    for name, file in (("alerts.yml", rules), ("test.yml", ROOT / "tests" / "alerts" / f"{role}.yml")):
        _MENTAT.run(f"cat > {directory}/{name}", script=file.read_text(encoding="utf-8"))
    check, test = "promtool check rules --lint=none alerts.yml", "promtool test rules test.yml"
    said = _MENTAT.run(f"cd {directory} && {check} && {test}; echo exit $?")
    assert said.endswith("exit 0"), said
