"""What a runbook does to a service must not take from it what the host does for it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.lab.hosts import ROOT, LabHost

pytestmark = pytest.mark.lab

#: What a runbook does to make a service read its configuration again.
_RELOAD = """---
- name: Reload
  hosts: {host}
  gather_facts: false
  become: true
  tasks:
    - name: Reload the application
      ansible.builtin.include_role:
        name: stack
        tasks_from: reload
      vars:
        stack_service: {service}
"""


@pytest.mark.parametrize(
    ("host", "service", "main_process"),
    [
        ("landsraad", "app", "docker inspect --format {{.State.Pid}} chom-app"),
        ("landsraad", "mysql", "docker inspect --format {{.State.Pid}} chom-mysql"),
        ("landsraad-systemd", "app", "systemctl show --value --property MainPID php8.4-fpm.service"),
    ],
    indirect=["host"],
)
def test_a_service_that_was_reloaded_is_still_started_again_when_it_ends(
    host: LabHost, tmp_path: Path, service: str, main_process: str
) -> None:
    playbook = tmp_path / "reload.yml"
    playbook.write_text(_RELOAD.format(host=host.name, service=service))
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", str(ROOT / "inventory/lab"), str(playbook)]
    environment = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
    time.sleep(2)
    assert host.health() == 200
    host.run(f"kill -9 $({main_process})")

    deadline = time.monotonic() + 60
    while host.health() != 200:
        assert time.monotonic() < deadline, "nobody started it again"
        time.sleep(1)
