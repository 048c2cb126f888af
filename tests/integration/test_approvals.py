"""A plan that waits, on a real site: asked for by one process, answered by another, carried out by either."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.integration.local import SITE, LocalSite, eventually

PEOPLE = """\
people:
  nadia: {name: Nadia, chat: n, level: 1, roles: [operator, admin, auditor], os_users: [USER]}
  lena: {name: Lena, chat: l, level: 2, roles: [operator, approver]}
policy:
  - {runbook: stray-file, groups: [GROUP], level: 2, reason: it is somebody's file}
"""


@pytest.fixture
def site(tmp_path: Path) -> LocalSite:
    """The smallest site with people, where the level is raised for every host."""
    made = LocalSite(tmp_path)
    made.path = tmp_path / "site"
    shutil.copytree(SITE, made.path)
    user = Path("/proc/self").owner()
    with (made.path / "remediate.yml").open("a") as document:
        document.write(PEOPLE.replace("USER", user).replace("GROUP", "all"))
    made.file.write_text("stray")
    return made


@pytest.fixture
def lena(site: LocalSite) -> dict[str, str]:
    """What Lena's terminal has in its environment: her token, which Nadia has made."""
    file = site.directory / "lena"
    file.touch(mode=0o600)
    file.write_text(site.command("token", "make", "lena").stdout)
    return {"REMEDIATE_TOKEN_FILE": str(file)}


def waiting_run(said: str) -> str:
    found = re.search(r"remediate approvals show (\S+)", said)
    assert found, said
    return found[1]


def test_asked_for_by_one_approved_and_carried_out_by_another_and_told_in_the_trail(
    site: LocalSite, lena: dict[str, str]
) -> None:
    asked = site.cure("--reason", "it lies about")
    run = waiting_run(asked.stdout)
    assert (asked.returncode, site.file.exists()) == (3, True)
    shown = site.command("approvals", "show", run, more=lena).stdout
    assert str(site.file) in shown
    assert "this site asks for level 2: it is somebody's file" in shown
    assert site.command("approve", run).returncode == 7
    approve = re.search(r"remediate (approve \S+ --digest \S+)", shown)
    assert approve
    approved = site.command(*approve[1].split(), "--reason", "seen", more=lena)
    timeline = site.command("audit", "show", run).stdout

    assert (approved.returncode, site.file.exists()) == (0, False), approved.stdout + approved.stderr
    assert "approved by lena (level 2: seen)" in approved.stdout
    assert re.search(r"lena\s+approval\.answered", timeline), timeline
    assert site.command("audit", "verify").returncode == 0


def test_the_command_that_waits_carries_it_out_when_another_one_approves(site: LocalSite, lena: dict[str, str]) -> None:
    with site.curing("--wait") as asking:
        listed = ""

        def is_asked() -> bool:
            nonlocal listed
            listed = site.command("approvals", more=lena).stdout
            return "asked: level 2 (lena)" in listed

        assert eventually(is_asked), listed
        run = listed.split(maxsplit=1)[0]
        approved = site.command("approve", run, more=lena)
        out, beside = asking.communicate(timeout=60)

    assert approved.returncode == 0, approved.stdout + approved.stderr
    assert "No service is running" not in approved.stdout
    assert (asking.returncode, site.file.exists()) == (0, False), out + beside
    assert "CURED  cured: near" in out


def test_a_plan_is_stale_when_a_variable_of_the_inventory_changes_after_the_approval(
    site: LocalSite, lena: dict[str, str]
) -> None:
    run = waiting_run(site.cure().stdout)
    assert site.command("approve", run, "--no-wait", more=lena).returncode == 0
    (site.path / "inventory" / "group_vars").mkdir()
    (site.path / "inventory" / "group_vars" / "all.yml").write_text("stray_file_more: 1\n")
    resumed = site.command("resume", run)

    assert (resumed.returncode, site.file.exists()) == (4, True), resumed.stdout + resumed.stderr
    assert "stale: the inventory or its variables changed since it was approved" in resumed.stdout


def test_a_plan_that_is_printed_is_applied_by_its_id_and_is_stale_after_a_playbook_changed(
    site: LocalSite, lena: dict[str, str]
) -> None:
    planned = site.command("plan", "stray-file", "--limit", "near", "--set", f"path={site.file}").stdout
    offered = re.search(r"remediate apply (\S+)", planned)
    assert offered, planned
    asked = site.command("apply", offered[1])
    assert asked.returncode == 3, asked.stdout + asked.stderr
    site.command("cancel", waiting_run(asked.stdout))
    playbook = site.path / "playbooks" / "stray_file.yml"
    playbook.write_text(playbook.read_text() + "# another one\n")
    stale = site.command("apply", offered[1])

    assert (stale.returncode, site.file.exists()) == (4, True), stale.stdout + stale.stderr
    assert "STALE, nothing was changed" in stale.stdout
