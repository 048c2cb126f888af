"""Every runbook where there is nothing to do, or nothing can be done: one clear answer, and nothing changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.lab.hosts import ROOT, LabHost, Remediate

pytestmark = pytest.mark.lab

_APPLICATIONS = [LabHost("landsraad"), LabHost("landsraad-systemd")]
_CARDS = sorted((ROOT / "playbooks/roles").glob("*/meta/runbook.yml"))
_ROLES = [path.parent.parent.name for path in _CARDS]

each_runbook = pytest.mark.parametrize("role", _ROLES)


def _cures(card: Path) -> bool:
    """Whether a runbook cures what an alert tells of; backups are due, and a restore is wanted by somebody."""
    written = yaml.safe_load(card.read_text(encoding="utf-8"))
    return bool(written["alerts"]) and not written.get("routine", False)


def _is_for_the_application(role: str) -> bool:
    """Whether a runbook is for the hosts of the application; one is for the host that holds the backups."""
    lab = yaml.safe_load((ROOT / "inventory/lab/hosts.yml").read_text(encoding="utf-8"))
    return "application" in lab["all"]["children"][f"{role}_targets"]["children"]


_CURES = [path.parent.parent.name for path in _CARDS if _cures(path)]
each_cure = pytest.mark.parametrize("role", _CURES)
_OF_THE_APPLICATION = [role for role in _CURES if _is_for_the_application(role)]
each_cure_of_the_application = pytest.mark.parametrize("role", _OF_THE_APPLICATION)


@pytest.fixture
def healthy(lab: None) -> None:
    """Both application hosts are as they should be."""
    for host in _APPLICATIONS:
        assert host.health() == 200, host.name


def _command(role: str) -> str:
    return role.replace("_", "-")


def _inventory(directory: Path, name: str, variables: dict[str, Any]) -> Path:
    path = directory / "hosts.yml"
    known = {
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_user": "ops",
        "ansible_ssh_common_args": f"-F {ROOT}/.lab/ssh/config",
    }
    path.write_text(yaml.safe_dump({"all": {"hosts": {name: {**known, **variables}}}}))
    return path


@each_cure_of_the_application
def test_on_healthy_hosts_there_is_nothing_to_do_and_nothing_is_changed(
    healthy: None, remediate: Remediate, role: str
) -> None:
    before = [host.tree() for host in _APPLICATIONS]
    limits = [word for host in _APPLICATIONS for word in ("--limit", host.name)]

    run = remediate.json(_command(role), *limits, "--yes")

    assert run["status"] == "not_needed", run
    assert [host.tree() for host in _APPLICATIONS] == before


@each_cure
def test_a_host_without_the_application_gets_one_clear_sentence(
    lab: None, remediate: Remediate, tmp_path: Path, role: str
) -> None:
    done = remediate(_command(role), "--limit", "mentat", "--yes", inventory=_inventory(tmp_path, "mentat", {}))

    said = done.stdout + done.stderr
    assert done.returncode in {0, 6}, said
    assert "Traceback" not in said
    assert "mentat" in said
    if done.returncode == 6:
        assert "set " in said, said


@each_cure
def test_a_stack_that_is_half_described_is_told_and_nothing_is_done(
    healthy: None, remediate: Remediate, tmp_path: Path, role: str
) -> None:
    half = {
        "stack_layout": "compose",
        "stack_services": ["app", "nginx", "mysql", "redis", "queue", "scheduler"],
        "stack_project_dir": "/opt/no-such-project",
        "stack_compose_file": "docker-compose.yml",
        "stack_health_url": "http://127.0.0.1/health/ready",
    }
    host = _APPLICATIONS[0]
    before = host.tree()

    done = remediate(_command(role), "--limit", host.name, "--yes", inventory=_inventory(tmp_path, host.name, half))

    said = done.stdout + done.stderr
    assert done.returncode in {0, 6}, said
    assert "Traceback" not in said
    if done.returncode == 6:
        assert "no-such-project" in said or "set " in said, said
    assert host.tree() == before


@each_runbook
def test_a_number_out_of_its_range_is_refused_before_any_host_is_asked(
    remediate: Remediate, tmp_path: Path, role: str
) -> None:
    specs = yaml.safe_load((ROOT / f"playbooks/roles/{role}/meta/argument_specs.yml").read_text())["argument_specs"]
    numbers = [name for name, one in specs["diagnose"]["options"].items() if one["type"] in {"int", "float"}]
    unreachable = _inventory(tmp_path, "landsraad", {"ansible_host": "203.0.113.1"})

    given = [word for name in numbers for word in ("--set", f"{name}=-1")]
    done = remediate(_command(role), "--limit", "landsraad", *given, "--yes", inventory=unreachable)

    assert done.returncode == 2, done.stdout + done.stderr
    short = [name.removeprefix(f"{role}_") for name in numbers]
    assert [name for name in short if f"{name}: -1" not in done.stderr] == [], done.stderr
