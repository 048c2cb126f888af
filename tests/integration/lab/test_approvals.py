"""A level-2 action on a real host: asked by one person, approved by another one at another terminal, then audited."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.integration.lab.hosts import ROOT, LabHost, Remediate, fill, reset

pytestmark = pytest.mark.lab

_SITE = ROOT / "molecule/shared/site-approvals"


@pytest.fixture
def host(lab: None) -> LabHost:
    """The host on which the site with people asks for level 2; healthy, and then full."""
    found = LabHost("landsraad")
    reset(found)
    fill(found, "old_backups")
    return found


def by(person: str, site: Remediate, directory: Path) -> dict[str, str]:
    """The environment of another terminal, in which somebody shows a token."""
    token = directory / person
    token.write_text(site("token", "make", person).stdout)
    token.chmod(0o600)
    return {**site.environment(), "REMEDIATE_TOKEN_FILE": str(token)}


def test_a_level_two_action_is_asked_for_approved_by_another_person_and_told_in_the_audit(
    host: LabHost, tmp_path: Path
) -> None:
    site = Remediate(tmp_path / "state", _SITE)
    lena = by("lena", site, tmp_path)
    waiting = site.json("disk-full", "--limit", host.name, "--reason", "it is full", code=3)
    before = host.quiet_tree()

    alone = site("approve", waiting["id"])
    assert (alone.returncode, waiting["plan"]["level"]) == (7, 2), alone.stderr
    assert host.tree() == before

    approved = subprocess.run(
        site.command("approve", waiting["id"], "--reason", "seen"),
        env=lena,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert approved.returncode == 0, approved.stdout + approved.stderr
    assert host.used_percent() < 80
    reset(host)

    told = json.loads(site("audit", "show", waiting["id"], "--json").stdout)
    said = [(one["entry"]["actor"], one["entry"]["action"]) for one in told]
    assert ("nadia", "run.requested") in said
    assert ("lena", "approval.answered") in said
    assert site("audit", "verify").stdout.startswith("INTACT")
    assert os.environ.get("REMEDIATE_TOKEN_FILE") is None, "the first terminal shows no token"
