"""Hosts that cannot be worked on: one clear message each, the designed exit code, and nothing executed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.lab.hosts import ROOT, LabHost, Remediate

pytestmark = pytest.mark.lab

_HOST = LabHost("landsraad")


def _inventory(directory: Path, *, user: str = "ops", options: str = "") -> Path:
    """An inventory with one host that is reached in another way."""
    path = directory / "hosts.yml"
    arguments = f"-F {ROOT}/.lab/ssh/config {options}".strip()
    path.write_text(
        f"""---
all:
  hosts:
    landsraad:
      ansible_python_interpreter: /usr/bin/python3
      ansible_user: {user}
      ansible_ssh_common_args: "{arguments}"
"""
    )
    return path


def _another_key(directory: Path) -> Path:
    line = (ROOT / "molecule/shared/site/../../../.lab/ssh/known_hosts").read_text().splitlines()
    pinned = {entry.split()[0]: entry.split()[2] for entry in line if entry and not entry.startswith("#")}
    others = [key for name, key in pinned.items() if name != "landsraad"]
    known = directory / "known_hosts"
    known.write_text(f"landsraad ssh-ed25519 {others[0]}\n")
    return known


@pytest.mark.usefixtures("lab")
def test_a_changed_host_key_stops_the_run(tmp_path: Path, remediate: Remediate) -> None:
    options = f"-o UserKnownHostsFile={_another_key(tmp_path)}"
    before = _HOST.tree()

    done = remediate("disk-full", "--limit", "landsraad", "--yes", inventory=_inventory(tmp_path, options=options))

    assert done.returncode == 6, done.stdout + done.stderr
    assert "SSH host key is not the pinned one" in done.stdout
    assert _HOST.tree() == before


@pytest.mark.usefixtures("lab")
def test_a_host_that_is_down_is_said_to_be_down(tmp_path: Path, remediate: Remediate) -> None:
    options = "-o HostName=127.0.0.1 -o Port=1"

    done = remediate("disk-full", "--limit", "landsraad", "--yes", inventory=_inventory(tmp_path, options=options))

    assert done.returncode == 6, done.stdout + done.stderr
    assert "does not answer on SSH" in done.stdout


@pytest.mark.usefixtures("lab")
def test_a_user_without_sudo_is_named_as_the_trouble(tmp_path: Path, remediate: Remediate) -> None:
    before = _HOST.tree()

    done = remediate("disk-full", "--limit", "landsraad", "--yes", inventory=_inventory(tmp_path, user="nosudo"))

    assert done.returncode == 6, done.stdout + done.stderr
    assert "may not become root" in done.stdout
    assert _HOST.tree() == before


@pytest.mark.usefixtures("lab")
@pytest.mark.parametrize(
    "name", ["all", "landsraa*", "!mentat", "~.*", "@/etc/passwd", "landsraad:mentat", "localhost", "", "LANDSRAAD"]
)
def test_only_exact_names_of_the_inventory_are_hosts(name: str, remediate: Remediate) -> None:
    done = remediate("disk-full", "--limit", name, "--yes")

    assert done.returncode == 2, done.stdout + done.stderr
    assert "Nothing was run" in done.stderr
    assert list((remediate.state / "runs").glob("*")) == []


@pytest.mark.usefixtures("lab")
def test_doctor_says_of_every_host_whether_it_is_ready(remediate: Remediate) -> None:
    done = remediate("doctor")

    assert done.returncode == 0, done.stdout
    assert "3 of 3 hosts are ready." in done.stdout
    assert "layout   compose" in done.stdout
    assert "layout   systemd" in done.stdout
