"""The audit trail of a real run: what it tells, what it keeps to itself, and the head that leaves when it ends."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.local import SITE, LocalSite


@pytest.fixture
def site(local: LocalSite, tmp_path: Path) -> LocalSite:
    """The site with a place that heads go to."""
    local.path = tmp_path / "site"
    shutil.copytree(SITE, local.path)
    with (local.path / "remediate.yml").open("a") as file:
        file.write(
            f"audit: {{every_events: 5, heads: [{{file: {tmp_path}/heads}}, {{file: {tmp_path}/away/heads}}]}}\n"
        )
    return local


def test_a_run_leaves_its_timeline_and_a_head_that_covers_all_of_it(site: LocalSite, tmp_path: Path) -> None:
    cured = site.cure("--reason", "it lies about")
    run_id = json.loads(site.command("runs", "--json").stdout)[0]["id"]
    events = json.loads(site.command("audit", "show", run_id, "--json").stdout)
    told = [event["entry"]["action"] for event in events]
    moves = [event["entry"]["details"]["to"] for event in events if event["entry"]["action"] == "run.moved"]
    head = json.loads((tmp_path / "heads").read_text())

    assert cured.returncode == 0, cured.stderr
    assert told[0] == "run.requested"
    assert moves[-1] == "succeeded"
    assert {"plan.made", "task.changed"} <= set(told)
    assert Counter(told)["phase.began"] == Counter(told)["phase.ended"] == 5
    assert head["sequence"] == len(events)
    verified = site.command("audit", "verify", "--head", f"{tmp_path}/heads")
    assert (verified.returncode, verified.stdout.splitlines()[0]) == (0, f"INTACT  {len(events)} events")


def test_a_target_that_is_away_is_logged_and_does_not_change_how_a_run_ends(site: LocalSite, tmp_path: Path) -> None:
    cured = site.cure()
    log = [json.loads(line) for line in (site.state / "remediate.log").read_text().splitlines()]

    assert (cured.returncode, cured.stderr) == (0, "")
    assert [line["reason"] for line in log if line["event"] == "audit_head_not_sent"] == [
        f"{tmp_path}/away/heads cannot be written: No such file or directory"
    ]
    assert [line["level"] for line in log if line["event"] == "audit_head_signed"] == ["info"]


def test_a_key_that_cannot_be_used_is_logged_and_does_not_change_how_a_run_ends(site: LocalSite) -> None:
    site.state.mkdir(mode=0o700)
    (site.state / "audit-key").touch(mode=0o644)
    cured = site.cure()
    log = (site.state / "remediate.log").read_text()

    assert (cured.returncode, cured.stderr) == (0, "")
    assert '"event": "audit_head_failed"' in log
    assert "is open to others" in log


def test_the_trail_holds_no_value_of_a_parameter_and_no_diff(site: LocalSite) -> None:
    site.file.write_text("hunter2-in-the-file")
    site.cure("--text", "hunter2-as-a-parameter")
    exported = site.command("audit", "export").stdout

    assert '\\"text\\":' in exported.replace("stray_file_text", "text")
    assert "hunter2" not in exported
