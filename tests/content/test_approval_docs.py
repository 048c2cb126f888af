"""What the documentation says about approvals is so: tests, settings, ladders, the lab with people, links."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from remediate.catalog.settings import SettingsFile, read_settings
from remediate.domain.approval import RequiredLevel, raised
from remediate.domain.escalation import LADDERS
from remediate.domain.runbook import Severity
from remediate.domain.times import span
from remediate.interfaces.cli.main import _COMMANDS

ROOT = Path(__file__).resolve().parents[2]
ATTACKS = (ROOT / "docs" / "reference" / "attacks.md").read_text()
GUIDE = (ROOT / "docs" / "how-to" / "approvals.md").read_text()
LAB = ROOT / "molecule" / "shared" / "site-approvals"
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def names_in(file: Path) -> set[str]:
    names = {node.name for node in ast.parse(file.read_text()).body if isinstance(node, ast.FunctionDef)}
    return names | set(re.findall(r"^(Test\w+) =", file.read_text(), re.MULTILINE))


NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", ATTACKS)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_each_test_that_answers_to_an_attack_exists(file: str, name: str) -> None:
    assert name in names_in(ROOT / "tests" / file)


def test_every_attack_on_alerts_approvals_identity_and_audit_has_an_answer() -> None:
    rows = {int(row[0]): row[1] for row in re.findall(r"^\| (\d+) \|(.*)$", ATTACKS, re.MULTILINE)}

    assert set(rows) >= {*range(1, 42), 43, 46, 50}
    assert [number for number, row in rows.items() if "::test_" not in row] == []


def test_the_rule_of_the_guide_is_a_rule(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    assert found
    people = "version: 1\npeople:\n  lena: {name: Lena, chat: l, level: 2}\n"
    (tmp_path / "remediate.yml").write_text(people + found[1])

    assert [rule.level for rule in read_settings(tmp_path, {}).levels] == [2]


@pytest.mark.parametrize("severity", Severity)
def test_the_ladders_of_the_guide_are_those_of_the_program(severity: Severity) -> None:
    ladder = LADDERS[severity]
    times = [ladder.remind_every, *ladder.climbs_after]

    assert f"| {severity.value} | {' | '.join(hours(one) for one in times)} |" in GUIDE


def hours(duration: timedelta) -> str:
    return f"{duration // timedelta(hours=1)} h" if duration >= timedelta(hours=1) else span(duration)


def test_the_lab_with_people_asks_level_two_for_the_host_of_the_readme_and_only_for_that_layout() -> None:
    settings = read_settings(LAB, {})
    required = RequiredLevel(level=0, reasons=())

    assert settings.inventory == ROOT / "inventory" / "lab"
    assert raised(required, "disk-full", groups_of("landsraad"), settings.levels).level == 2
    assert raised(required, "disk-full", groups_of("landsraad-systemd"), settings.levels).level == 0


def groups_of(host: str) -> set[str]:
    """The groups of a host of the lab, read from its inventory."""

    def walk(name: str, known: Mapping[str, object], above: frozenset[str]) -> set[str]:
        inside = above | {name}
        found = set(inside) if host in as_mapping(known.get("hosts")) else set()
        for child, below in as_mapping(known.get("children")).items():
            found |= walk(child, as_mapping(below), inside)
        return found

    inventory = yaml.safe_load((ROOT / "inventory" / "lab" / "hosts.yml").read_text())
    return walk("all", inventory["all"], frozenset())


def as_mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def test_the_people_of_the_readme_may_do_what_it_has_them_do() -> None:
    by_id = read_settings(LAB, {}).people.by_id
    roles = {person: {grant.role.value for grant in by_id[person].grants} for person in by_id}

    assert by_id["nadia"].os_users == ("root",)
    assert roles["nadia"] >= {"operator", "admin", "auditor"}
    assert "approver" in roles["lena"]
    assert (by_id["nadia"].level, by_id["lena"].level) == (1, 2)
    assert read_settings(LAB, {}).people.levels_without_anybody() == ()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_the_documentation_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text())

    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_of_the_documentation_is_one(page: Path) -> None:
    words = re.findall(r"(?:^\$ |`)remediate ([a-z][a-z-]+)", page.read_text(), re.MULTILINE)

    # A session on a PostgreSQL server is named `remediate run ID`.
    runbooks = {role.name.replace("_", "-") for role in (ROOT / "playbooks" / "roles").iterdir()}
    assert sorted(set(words) - set(_COMMANDS) - runbooks - {"tidy-shelf", "run"}) == []


def test_every_action_of_the_trail_is_documented() -> None:
    """Actions are written out where they are told, as two words with a full stop between."""
    told = {
        action
        for module in (ROOT / "remediate").rglob("*.py")
        for action in re.findall(
            r'"((?:access|alert|approval|incident|login|notice|phase|plan|run|silence|switch|task|token)\.[a-z_]+)"',
            module.read_text(),
        )
    }
    reference = (ROOT / "docs" / "reference" / "audit.md").read_text()

    assert {"approval.answered", "run.moved"} < told
    assert sorted(action for action in told if f"`{action}`" not in reference) == []


def test_every_section_of_the_settings_is_documented() -> None:
    reference = (ROOT / "docs" / "reference" / "settings.md").read_text()

    assert [name for name in SettingsFile.model_fields if f"`{name}" not in reference] == []
