"""`remediate disk-full` on real hosts of both layouts: the cure, the proof, the plan and the undo."""

from __future__ import annotations

from typing import Any

import pytest

from tests.integration.lab.hosts import LabHost, Remediate, fill

pytestmark = pytest.mark.lab

#: Where the faults of these tests put what may be taken away, in either layout.
_PLACES = (
    "/disk/opt/backups",
    "/disk/var/cache/apt/archives",
    "/disk/opt/chom/storage/logs",
    "/disk/var/www/chom/shared/storage/logs",
)


def _targets(actions: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(action["cause"], action["verb"], action["target"]) for action in actions]


def _report(run: dict[str, Any], phase: str, host: LabHost, *, check: bool = False) -> dict[str, Any]:
    found: dict[str, Any] = next(p for p in reversed(run["phases"]) if p["phase"] == phase and p["check"] is check)[
        "reports"
    ][host.name]
    return found


def test_a_full_disk_is_cured_proven_and_found_healthy_by_the_second_run(host: LabHost, remediate: Remediate) -> None:
    fill(host, "demo")
    assert host.used_percent() > 95
    assert host.health() != 200

    run = remediate.json("disk-full", "--limit", host.name, "--yes")

    assert run["status"] == "succeeded"
    assert host.used_percent() < 80
    assert host.health() == 200
    assert host.run("echo x > /opt/.written && cat /opt/.written && rm /opt/.written") == "x"
    again = remediate.json("disk-full", "--limit", host.name, "--yes")
    assert (again["status"], again["changed"], again["outcome"]) == ("not_needed", 0, "nothing to do")


def test_check_leaves_every_file_as_it_was_and_lists_exactly_what_a_run_then_does(
    host: LabHost, remediate: Remediate
) -> None:
    fill(host, "three")
    before = host.quiet_tree()

    checked = remediate.json("disk-full", "--limit", host.name, "--check")

    assert host.tree() == before
    assert (checked["status"], checked["changed"]) == ("planned", 0)
    planned = _targets(checked["plan"]["hosts"][host.name]["finding"]["actions"])
    assert _targets(_report(checked, "fix", host, check=True)["done"]) == planned
    run = remediate.json("disk-full", "--limit", host.name, "--yes")
    assert _targets(_report(run, "fix", host)["done"]) == planned
    assert run["status"] == "succeeded"


def test_rollback_puts_back_every_held_file_as_it_was(host: LabHost, remediate: Remediate) -> None:
    fill(host, "old_backups")
    before = host.files(*_PLACES)
    run = remediate.json("disk-full", "--limit", host.name, "--yes")
    taken = [target for cause, _, target in _targets(_report(run, "fix", host)["done"]) if cause == "old_backups"]
    assert taken
    assert not set(taken) & set(_canonical(host.files(*_PLACES)))

    undone = remediate.json("rollback", run["id"])

    assert undone["status"] == "rolled_back"
    after = host.files(*_PLACES)
    assert {path: after.get(path) for path in before} == before
    assert host.used_percent() > 95


def test_rollback_refuses_to_overwrite_something_newer_and_writes_nothing(host: LabHost, remediate: Remediate) -> None:
    fill(host, "old_backups")
    run = remediate.json("disk-full", "--limit", host.name, "--yes")
    taken = next(target for cause, _, target in _targets(_report(run, "fix", host)["done"]) if cause == "old_backups")
    host.run(f"echo newer > {taken}")
    before = host.files(*_PLACES)

    refused = remediate.json("rollback", run["id"], code=5)

    assert refused["status"] == "rollback_failed"
    assert taken in refused["outcome"]
    assert host.files(*_PLACES) == before


def test_a_disk_full_of_something_that_is_nobodys_to_remove_is_reported_and_left_alone(
    host: LabHost, remediate: Remediate
) -> None:
    fill(host, "unreclaimable")
    biggest = host.run('find /disk -xdev -type f -size +100M -printf "%s %p\\n" | sort -rn | head -1').split()[1]
    before = host.quiet_tree()

    run = remediate.json("disk-full", "--limit", host.name, "--yes", code=5)

    assert run["status"] == "failed"
    notes = " ".join(run["plan"]["hosts"][host.name]["finding"]["notes"])
    assert biggest.removeprefix("/disk") in notes
    assert "not cured" in run["outcome"]
    assert host.tree() == before


def _canonical(paths: dict[str, Any]) -> list[str]:
    """The same files under the names that a host uses for them: /disk is bind-mounted all over it."""
    return [path.removeprefix("/disk") for path in paths]
