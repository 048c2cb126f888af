"""Whole runs with real Ansible, through the command line and through the library."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import remediate
from remediate.domain.run import RunStatus
from remediate.errors import IllegalTransition
from tests.integration.local import SITE, LocalSite

PROJECT = Path(__file__).parents[2]


def tree(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {str(path): (path.stat().st_mode, path.read_bytes()) for path in directory.iterdir() if path.is_file()}


def shown(document: dict[str, Any]) -> list[tuple[str, bool, str]]:
    return [(phase["phase"], phase["check"], phase["outcome"]) for phase in document["phases"]]


@pytest.fixture(scope="module")
def cured(tmp_path_factory: pytest.TempPathFactory) -> LocalSite:
    """A site whose host was checked and then cured, for tests that only look at what is left."""
    site = LocalSite(tmp_path_factory.mktemp("cured"))
    site.file.write_text("stray")
    before = tree(site.directory)
    site.checked = json.loads(site.cure("--check", "--json").stdout)
    assert tree(site.directory) == before, "a check changed the host"
    site.cured = site.cure("--reason", "it lies about")
    return site


def test_a_check_lists_what_a_run_then_does(cured: LocalSite) -> None:
    recorded = json.loads(cured.command("runs", "show", cured.run_id, "--json").stdout)
    checked = cured.checked
    planned = [action["target"] for action in checked["plan"]["hosts"]["near"]["finding"]["actions"]]
    fix = next(phase for phase in recorded["phases"] if phase["phase"] == "fix" and not phase["check"])

    assert (checked["status"], checked["exit_code"], checked["changed"]) == ("planned", 0, 0)
    assert shown(checked) == [("diagnose", False, "ok"), ("fix", True, "ok")]
    assert planned == [action["target"] for action in fix["reports"]["near"]["done"]] == [str(cured.file)]
    # Each plan has a number and a validity of its own; all else that it binds is the same.
    own = ("nonce", "expires_at")
    bound = [
        {name: value for name, value in one["plan"]["binds"].items() if name not in own} for one in (checked, recorded)
    ]
    assert bound[0] == bound[1]


def test_a_run_cures_and_says_how_to_take_it_back(cured: LocalSite) -> None:
    assert (cured.cured.returncode, cured.cured.stderr, cured.file.exists()) == (0, "", False)
    assert "CURED  cured: near" in cured.cured.stdout
    assert f"remediate rollback {cured.run_id}" in cured.cured.stdout


def test_the_record_shows_every_phase_with_its_tasks_and_the_reason(cured: LocalSite) -> None:
    said = cured.command("runs", "show", cured.run_id).stdout

    assert next(line for line in said.splitlines() if line.startswith("By ")).endswith(": it lies about")
    assert re.findall(r"^  (\d)\. (.+?): (\w+), .*changed=(\d)", said, re.MULTILINE) == [
        ("1", "diagnose", "ok", "0"),
        ("2", "fix (dry run)", "ok", "1"),
        ("3", "snapshot", "ok", "1"),
        ("4", "fix", "ok", "1"),
        ("5", "verify", "ok", "0"),
    ]
    assert re.findall(r"near  changed .* s  (.*)", said) == [
        "fix | Remove the file",
        "snapshot | Copy the file aside",
        "fix | Remove the file",
    ]


def test_nothing_secret_of_the_start_is_kept_and_all_that_is_kept_is_private(cured: LocalSite) -> None:
    kept = [path for path in cured.state.rglob("*") if path.is_file()]

    assert [path for path in kept if path.name in {"command", "envvars", "cmdline", "extravars"}] == []
    assert list(cured.state.rglob("env")) == []
    assert [path for path in kept if b"hunter2" in path.read_bytes()] == []
    assert cured.state.stat().st_mode & 0o777 == 0o700
    assert {run.stat().st_mode & 0o777 for run in (cured.state / "runs").iterdir()} == {0o700}


def test_a_second_run_has_nothing_to_do_and_a_rollback_puts_back(cured: LocalSite) -> None:
    second = cured.cure("--json")
    document = json.loads(second.stdout)
    back = cured.command("rollback", cured.run_id)

    assert (second.returncode, document["status"], document["changed"], document["plan"]) == (0, "not_needed", 0, None)
    assert shown(document) == [("diagnose", False, "ok")]
    assert (back.returncode, cured.file.read_text()) == (0, "stray")
    assert "ROLLED BACK" in back.stdout


def test_a_fix_that_does_not_cure_is_taken_back_by_itself(local: LocalSite, opened: remediate.Site) -> None:
    parameters = {"path": str(local.file), "survives": True}
    run = opened.start("stray-file", hosts=["near"], parameters=parameters).wait()

    assert (run.status, run.exit_code) == (RunStatus.ROLLED_BACK, 1)
    assert local.file.read_text() == "stray"
    assert [step.reason for step in opened.history(run.id)][-3] == "not cured: near (file: still there)"


def test_a_phase_that_takes_too_long_is_ended_and_said_to_be(local: LocalSite, tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(SITE, site)
    card = site / "playbooks/roles/stray_file/meta/runbook.yml"
    card.write_text(card.read_text().replace("fix: {timeout: 2m}", "fix: {timeout: 10s}"))
    local.path = site
    ended = json.loads(local.cure("--seconds", "60", "--json").stdout)

    assert (ended["status"], ended["exit_code"]) == ("failed", 5)
    assert ended["outcome"] == "took longer than its time limit. State now: not cured: near (file: still there)"
    assert shown(ended)[-2:] == [("fix", False, "timeout"), ("verify", False, "ok")]


def test_a_host_that_could_not_be_looked_at_is_never_nothing_to_do_and_never_acted_on(opened: remediate.Site) -> None:
    planned = opened.plan("stray-file", hosts=["near"])

    assert (planned.needed, planned.plan, planned.run.status) == (True, None, RunStatus.UNPROVEN)
    with pytest.raises(IllegalTransition, match=r"no plan to carry out: run .* is unproven: near: .*stray_file_path"):
        opened.apply(planned)
    assert len(opened.runs()) == 1


def test_the_example_of_the_readme_does_what_it_says(local: LocalSite) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (PROJECT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 1
    asked = f'"stray-file", hosts=["near"], parameters={{"path": {str(local.file)!r}}}'
    replaced = {'"mysite"': repr(str(SITE)), '"disk-full", hosts=["web1"]': asked}
    for written, meant in replaced.items():
        assert blocks[0].count(written) == 1
        blocks[0] = blocks[0].replace(written, meant)
    script = local.directory / "example.py"
    script.write_text(blocks[0])
    done = local.python(script)

    assert (done.returncode, done.stderr, done.stdout.splitlines()[-1]) == (0, "", "succeeded")
    assert not local.file.exists()
