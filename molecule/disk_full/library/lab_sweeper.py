#!/usr/bin/python
"""Makes a lab host clean again: removes what faults, runs and rollbacks have left, and starts what is down."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lab_commands import run

DOCUMENTATION = r"""
---
module: lab_sweeper
short_description: Remove what breaking a lab host has left there
description:
  - Knows by their names what the faults of this scenario make.
options:
  log_dirs:
    description: Where the host keeps logs.
    type: list
    elements: path
    required: true
  backup_dirs:
    description: Where the host keeps backups.
    type: list
    elements: path
    required: true
  cache_dirs:
    description: Where the host keeps cache files.
    type: list
    elements: path
    required: true
  start:
    description: The command that starts whatever of the stack is down.
    type: list
    elements: str
    required: true
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Clean up
  lab_sweeper:
    log_dirs: [/var/www/chom/shared/storage/logs]
    backup_dirs: [/opt/backups/chom]
    cache_dirs: []
    start: [systemctl, start, nginx.service]
"""

RETURN = r"""
removed:
  description: How many files and directories were removed.
  returned: always
  type: int
"""

#: Faults make backups of the hour before the real ones'.
_BACKUPS = ("*-01??00.*", "certificates-*")
_STATE = ("/var/lib/remediate", "/run/remediate")
_DELETED_LOG_UNIT = "chom-import.service"


def main() -> None:
    """Run as an Ansible module."""
    paths = {"type": "list", "elements": "path", "required": True}
    module = AnsibleModule(
        argument_spec={
            **dict.fromkeys(("log_dirs", "backup_dirs", "cache_dirs"), paths),
            "start": {"type": "list", "elements": "str", "required": True},
        },
    )
    try:
        removed = sweep(module.params)
        run(*module.params["start"])
    except RuntimeError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, removed=removed)


def sweep(places: dict[str, list[str]]) -> int:
    """Remove everything that does not belong there and return how much it was."""
    if Path(f"/run/systemd/transient/{_DELETED_LOG_UNIT}").exists():
        run("systemctl", "stop", _DELETED_LOG_UNIT)
    found = {*left_over(places)}
    for path in found:
        remove(path)
    for log in living_logs(places["log_dirs"]):
        os.truncate(log, 0)
    if shutil.which("docker") and Path("/var/run/docker.sock").exists():
        clean_engine()
    return len(found)


def left_over(places: dict[str, list[str]]) -> Iterator[Path]:
    """Yield what faults, runs and rollbacks have made."""
    yield from _matching(["/var/cache/apt/archives", "/var/cache/apt/archives/partial"], ["chom-*.deb*"])
    yield from _matching(["/var/log/journal"], ["*/*@*"])
    yield from _matching(["/opt"], ["customer-exports"])
    yield from _matching(["/var/lib/docker/containers"], ["*/*-json.log.*"])
    yield from _matching(places["backup_dirs"], _BACKUPS)
    yield from _matching(places["cache_dirs"], ["*"])
    yield from _matching(_STATE, ["*"])
    for path in _matching(places["log_dirs"], ["*"]):
        if path.suffix != ".log" or path.name.startswith(("laravel-", "import-")):
            yield path


def _matching(directories: Iterable[str], patterns: Iterable[str]) -> Iterator[Path]:
    for directory in directories:
        for pattern in patterns:
            yield from Path(directory).glob(pattern)


def remove(path: Path) -> None:
    """Remove a file, or a directory with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def living_logs(directories: list[str]) -> Iterator[Path]:
    """Yield the logs that are being written: of the application, and of containers."""
    yield from _matching(directories, ["*.log"])
    yield from _matching(["/var/lib/docker/containers"], ["*/*-json.log"])


def clean_engine() -> None:
    """Remove the containers of faults, images without a name and the build cache."""
    containers = run("docker", "ps", "--all", "--quiet", "--filter", "name=^chom-import-").split()
    if containers:
        run("docker", "rm", "--force", *containers)
    run("docker", "image", "prune", "--force")
    run("docker", "builder", "prune", "--all", "--force")


if __name__ == "__main__":
    main()
