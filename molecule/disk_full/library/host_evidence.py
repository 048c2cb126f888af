#!/usr/bin/python
"""What a lab host is like, in a form that can be compared: what a run may take, and what it must never touch."""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import stat
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.lab_commands import run

DOCUMENTATION = r"""
---
module: host_evidence
short_description: Say what a lab host is like, to compare it later
description:
  - Uses nothing of the runbook's own code, or it would prove nothing about it.
options:
  actions:
    description: The actions that the runbook has planned.
    type: list
    elements: dict
    default: []
  restored:
    description: What the runbook says it has put back.
    type: list
    elements: dict
    default: []
  sizes:
    description: How much of the logs among the targets counts, by target; what was written later does not.
    type: dict
    default: {}
  places:
    description: Directories in which nothing but the targets may change.
    type: list
    elements: path
    required: true
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
  layout:
    description: How the application is laid out.
    type: str
    choices: [compose, systemd]
    required: true
  units:
    description: The units of the application.
    type: list
    elements: str
    default: []
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Look at the host
  host_evidence:
    places: [/opt/backups]
    log_dirs: [/opt/chom/storage/logs]
    backup_dirs: [/opt/backups/chom]
    layout: compose
"""

RETURN = r"""
used:
  description: Percent of the space and of the inodes that are used.
  returned: always
  type: list
taken:
  description: What is known of each target; nothing where it is gone.
  returned: always
  type: dict
sizes:
  description: How much of the logs among the targets counts.
  returned: always
  type: dict
bystanders:
  description: Digest of everything about the older files that are no target.
  returned: always
  type: str
untouched:
  description: What no run may touch.
  returned: always
  type: dict
"""

_A_WHILE = 20 * 3_600
_BLOCK = 4 << 20
_DIGITS = re.compile(r"\d+")


def main() -> None:
    """Run as an Ansible module."""
    paths = {"type": "list", "elements": "path", "required": True}
    dicts = {"type": "list", "elements": "dict", "default": []}
    module = AnsibleModule(
        argument_spec={
            "actions": dicts,
            "restored": dicts,
            "sizes": {"type": "dict", "default": {}},
            "places": paths,
            "log_dirs": paths,
            "backup_dirs": paths,
            "layout": {"type": "str", "choices": ["compose", "systemd"], "required": True},
            "units": {"type": "list", "elements": "str", "default": []},
        },
    )
    wanted = module.params
    logs = logs_among(wanted["actions"], wanted["restored"])
    # Logs grow while they are read, so what counts of them is decided first.
    sizes = wanted["sizes"] or {target: Path(path).stat().st_size for target, path in logs.items()}
    module.exit_json(
        changed=False,
        used=used("/disk"),
        taken=taken(wanted["actions"], logs, sizes),
        sizes=sizes,
        bystanders=bystanders(wanted),
        untouched=untouched(wanted),
    )


def used(point: str) -> list[float]:
    """Return the percent of space and of inodes that are used."""
    seen = os.statvfs(point)
    space, inodes = 1 - seen.f_bavail / seen.f_blocks, 1 - seen.f_favail / seen.f_files
    return [round(100 * space, 2), round(100 * inodes, 2)]


def logs_among(actions: list[dict[str, Any]], restored: list[dict[str, Any]]) -> dict[str, str]:
    """Return where each emptied log is read: itself, or the copy that a rollback has put beside it."""
    targets = [one["target"] for one in actions if one["verb"] == "truncate"]
    beside = [one["placed_at"] for one in restored if one["placed_at"] != one["target"]]
    return dict(zip(targets, beside or targets, strict=True))


def taken(actions: list[dict[str, Any]], logs: dict[str, str], sizes: dict[str, int]) -> dict[str, Any]:
    """Return what is known of each target that can be put back."""
    found: dict[str, Any] = {}
    for one in actions:
        target = one["target"]
        if target in logs:
            found[target] = log(logs[target], int(sizes[target]))
        elif one["cause"] == "container_images":
            found[target] = target in run("docker", "image", "ls", "--all", "--quiet", "--no-trunc").split() or None
        elif one["verb"] == "delete":
            found[target] = everything(target)
    return found


def log(path: str, size: int) -> list[Any]:
    """Return the digest of the first bytes of a log, and whose it is."""
    with Path(path).open("rb") as source:
        status = os.fstat(source.fileno())
        return [digest(source, size), status.st_uid, status.st_gid, status.st_mode]


def digest(source: BinaryIO, size: int) -> str:
    """Return the digest of so many bytes."""
    total = hashlib.sha256()
    while size and (block := source.read(min(size, _BLOCK))):
        total.update(block)
        size -= len(block)
    return total.hexdigest()


def everything(target: str) -> list[Any] | None:
    """Return content, owner, mode and time of a file, or of all files of a directory together."""
    if not Path(target).exists():
        return None
    if not Path(target).is_dir():
        return one_file(target)
    total, count = hashlib.sha256(), 0
    for path, status in files(target):
        # Most files of a cache are empty here: to open each would take longer than all the rest.
        known = one_file(path) if status.st_size else attributes(status)
        total.update(repr((path, known)).encode())
        count += 1
    return [count, total.hexdigest()]


def one_file(path: str) -> list[Any]:
    """Return content, owner, mode and time of a file."""
    with Path(path).open("rb") as source:
        status = os.fstat(source.fileno())
        content = digest(source, status.st_size)
    return [content, *attributes(status)]


def attributes(status: os.stat_result) -> list[int]:
    """Return owner, group, mode and time."""
    return [status.st_uid, status.st_gid, status.st_mode, status.st_mtime_ns]


def files(directory: str) -> Iterator[tuple[str, os.stat_result]]:
    """Yield the regular files below a directory, in order."""
    for parent, directories, names in os.walk(directory):
        directories.sort()
        for name in sorted(names):
            path = f"{parent}/{name}"
            status = os.lstat(path)
            if stat.S_ISREG(status.st_mode):
                yield path, status


def bystanders(wanted: dict[str, Any]) -> str:
    """Return a digest of all older files that are no target; inodes count, so a file put back would show."""
    targets = {one["target"] for one in wanted["actions"]}
    before = time.time() - _A_WHILE
    total = hashlib.sha256()
    for place in wanted["places"]:
        if place not in targets:
            for path, status in files(place):
                if path not in targets and status.st_mtime < before:
                    total.update(repr((path, status.st_ino, status.st_size, status.st_mtime_ns)).encode())
                    total.update(repr((status.st_uid, status.st_gid, status.st_mode)).encode())
    return total.hexdigest()


def untouched(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return what no run may touch."""
    compose = wanted["layout"] == "compose"
    fallen = {one["target"] for one in wanted["actions"] if one["verb"] == "start"}
    return {
        "tables": tables(*(["docker", "exec", "chom-mysql"] if compose else [])),
        "backups": [newest for directory in wanted["backup_dirs"] for newest in newest_backups(directory)],
        "logs": living_logs(wanted["log_dirs"]),
        **(of_engine(fallen) if compose else of_units(wanted["units"], fallen)),
    }


def tables(*prefix: str) -> str:
    """Return the checksums of tables that nobody writes to."""
    return run(*prefix, "mariadb", "--batch", "--execute=CHECKSUM TABLE keepsakes, migrations EXTENDED", "chom")


def newest_backups(directory: str) -> Iterator[list[Any]]:
    """Yield the newest whole backup of each series."""
    series: dict[str, list[str]] = {}
    for path, _ in files(directory):
        series.setdefault(_DIGITS.sub("#", path), []).append(path)
    for name in sorted(series):
        whole = next((path for path in sorted(series[name], reverse=True) if is_whole(path)), None)
        yield [name, whole, one_file(whole) if whole else None]


def is_whole(path: str) -> bool:
    """Return whether an archive can be read to its end."""
    try:
        with gzip.open(path) as archive:
            while archive.read(_BLOCK):
                pass
    except (OSError, EOFError, zlib.error):
        return False
    return True


def living_logs(directories: list[str]) -> dict[str, int]:
    """Return the inodes of logs that are being written: programs have those open."""
    logs = [path for directory in directories for path in Path(directory).glob("*.log")]
    yesterday = time.time() - _A_WHILE
    return {str(path): path.stat().st_ino for path in sorted(logs) if path.stat().st_mtime > yesterday}


def of_engine(fallen: set[str]) -> dict[str, Any]:
    """Return volumes and named images, and since when each container runs."""
    names = run("docker", "volume", "ls", "--quiet").split()
    volumes = [run("docker", "volume", "inspect", "--format={{.Name}} {{.CreatedAt}} {{.Mountpoint}}", *names)]
    volumes += [f"{path} {path.stat().st_ino}" for path in sorted(Path("/var/lib/docker/volumes").glob("*/_data/*"))]
    containers = run("docker", "ps", "--all", "--quiet", "--filter=label=com.docker.compose.project=chom").split()
    service = '{{index .Config.Labels "com.docker.compose.service"}}'
    running = run("docker", "inspect", f"--format={service} {{{{.Id}}}} {{{{.State.StartedAt}}}}", *containers)
    logs = run("docker", "inspect", "--format={{.LogPath}}", *containers).split()
    named = run("docker", "image", "ls", "--filter=dangling=false", "--no-trunc", "--format={{.ID}} {{.Tag}}")
    return {
        "volumes": [one for one in volumes if "/dump.rdb" not in one and "/temp-" not in one],
        "container_logs": {path: Path(path).stat().st_ino for path in sorted(logs)},
        # The engine lists images of the same age in any order.
        "images": sorted(named.splitlines()),
        "running": sorted(line for line in running.splitlines() if line.split()[0] not in fallen),
    }


def of_units(units: list[str], fallen: set[str]) -> dict[str, Any]:
    """Return since when each unit runs."""
    shown = run("systemctl", "show", "--property=Id,ExecMainStartTimestampMonotonic", *units)
    return {"running": [] if fallen else sorted(shown.split("\n\n"))}


if __name__ == "__main__":
    main()
