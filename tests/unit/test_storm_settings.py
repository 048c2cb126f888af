from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from remediate.catalog.settings import read_settings
from remediate.domain.run import StartedBy
from remediate.domain.storm import BreakerLimit, FleetLimit, Quota, Rule, StormPolicy
from remediate.errors import InvalidDocument
from tests.storm import DAY, HOUR, MINUTE


def policy(site: Path, text: str) -> StormPolicy:
    (site / "remediate.yml").write_text(f"version: 1\n{text}")
    return read_settings(site, {}).storm


def test_without_a_section_the_policy_has_its_defaults(tmp_path: Path) -> None:
    present = frozenset({Rule.COOLDOWN, Rule.ATTEMPTS, Rule.RECURRENCE, Rule.BUDGET})

    assert policy(tmp_path, "") == StormPolicy(
        fleet=FleetLimit(hosts=2), exempt={StartedBy.PERSON: present, StartedBy.SCHEDULE: present}
    )


def test_every_number_of_the_policy_can_be_set(tmp_path: Path) -> None:
    text = """\
storm:
  attempts: {most: 5, within: 2h}
  recurrence: {most: 2, within: 7d}
  fleet: {hosts: 3, percent: 0}
  breaker: {failures: 2, within: 3d, cool: 1h}
  budget: {most: 60, within: 10m}
  exempt: {person: [], schedule: [budget, freeze]}
  override: []
"""
    assert policy(tmp_path, text) == StormPolicy(
        attempts=Quota(most=5, within=2 * HOUR),
        recurrence=Quota(most=2, within=7 * DAY),
        fleet=FleetLimit(hosts=3, percent=0),
        breaker=BreakerLimit(failures=2, within=3 * DAY, cool=HOUR),
        budget=Quota(most=60, within=10 * MINUTE),
        exempt={StartedBy.SCHEDULE: frozenset({Rule.BUDGET, Rule.FREEZE})},
        override=frozenset(),
    )


def test_the_rules_look_back_as_far_as_the_longest_of_them() -> None:
    assert StormPolicy().horizon == timedelta(days=7)
    assert StormPolicy(budget=Quota(most=1, within=30 * DAY)).horizon == timedelta(days=30)


def test_every_problem_of_the_policy_is_told_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
storm:
  attempts: {most: 0, within: soon}
  fleet:
    hosts: 1.5
    percent: 101
  breaker: {within: 1h}
  exempt:
    alert: [paused, cooldown, fleet]
    person: [everything]
  override: [host_busy]
  limit: 3
"""
    with pytest.raises(InvalidDocument) as refused:
        policy(tmp_path, text)

    file = tmp_path / "remediate.yml"
    rules = "'paused', 'freeze', 'host_busy', 'cooldown', 'attempts', 'recurrence', 'fleet', 'breaker' or 'budget'"
    assert refused.value.message.split("\n  ") == [
        "remediate.yml cannot be used:",
        f"{file}:3: storm.attempts.most: input should be greater than or equal to 1",
        f"{file}:3: storm.attempts.within: a duration such as 90s, 5m, 4h or 7d is wanted, not 'soon'",
        f"{file}:5: storm.fleet.hosts: input should be a valid integer",
        f"{file}:6: storm.fleet.percent: input should be less than or equal to 100",
        f"{file}:7: storm.breaker: within may not be shorter than cool: the breaker would close before it has cooled",
        f"{file}:10: storm.exempt.person.0: input should be {rules}",
        f"{file}:9: storm.exempt.alert: fleet, paused: always binds everybody",
        f"{file}:11: storm.override: host_busy: always binds everybody",
        f"{file}:12: storm.limit: is not a known field",
    ]
