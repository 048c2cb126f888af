#!/usr/bin/python
"""Breaks the backups of a source on the lab's backup host, proves that they are broken, and makes them well again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

DOCUMENTATION = r"""
---
module: backup_lab
short_description: Break the backups of a source on the lab's backup host, or prove something about them
description:
  - Uses restic and nothing of the runbook's own code, or it would prove nothing about it.
options:
  do:
    description: A fault, the proof of its symptom (C(is_NAME)) or of its cure (C(cured_NAME)), or C(reset).
    type: str
    required: true
  source:
    description: The source.
    type: str
    required: true
author:
  - The remediate authors
"""

EXAMPLES = r"""
- name: Flip a bit in a repository
  backup_lab:
    do: bit_flipped
    source: landsraad-systemd
"""

RETURN = r"""
done:
  description: What was done.
  returned: always
  type: str
"""

KEPT = Path("/var/lib/backup-lab")
PLACES = Path("/etc/remediate/backup")


class NotSo(Exception):
    """Something that had to be proven is not so."""


def must(condition: bool, words: object) -> None:
    """Raise NotSo unless it is so."""
    if not condition:
        raise NotSo(str(words))


def run(*arguments: str, check: bool = True) -> str:
    """Run a program and return what it printed."""
    return subprocess.run(arguments, check=check, capture_output=True, text=True).stdout.strip()


class Lab:
    """The backups of one source."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._unit = f"remediate-stream-{source}.service"
        self._repository = Path((PLACES / f"{source}.repository").read_text(encoding="ascii").strip())
        self._kept = KEPT / source
        self._kept.mkdir(parents=True, exist_ok=True)

    def _restic(self, *arguments: str, check: bool = True) -> str:
        files = ["--repository-file", str(PLACES / f"{self._source}.repository")]
        files += ["--password-file", str(PLACES / "repository.password")]
        return run("restic", "--quiet", *files, *arguments, check=check)

    def reset(self) -> None:
        """Put back what was damaged, forget what was planted, and take away the locks of trials that were killed."""
        self._restic("unlock")
        for copy in (self._kept / "packs").glob("*"):
            place = self._repository / "data" / copy.name[:2] / copy.name
            if place.exists():
                # It keeps its owner.
                shutil.copyfile(copy, place)
                copy.unlink()
            else:
                copy.rename(place)
        planted = self._kept / "planted"
        if planted.exists():
            ids = [one for one in planted.read_text(encoding="ascii").split() if one]
            self._restic("forget", *ids, check=False)
            planted.unlink()

    def _plant(self, tag: str, made: str, *paths: str) -> None:
        marks = ["--tag", "remediate", "--tag", tag, "--tag", "id=planted"]
        printed = self._restic("backup", "--json", "--host", self._source, *marks, "--time", made, *paths)
        found = json.loads(printed.splitlines()[-1])["snapshot_id"]
        with (self._kept / "planted").open("a", encoding="ascii") as target:
            target.write(f"{found}\n")

    def stream_gone(self) -> None:
        """Stop the stream, and remove its unit."""
        run("systemctl", "disable", "--now", self._unit)
        Path("/etc/systemd/system", self._unit).unlink()
        run("systemctl", "daemon-reload")

    def stream_stopped(self) -> None:
        """Stop the stream."""
        run("systemctl", "stop", self._unit)

    def is_stream_gone(self) -> None:
        """Prove that nothing follows the source."""
        must(not self._followers(), "a program still follows the source")

    is_stream_stopped = is_stream_gone

    def cured_stream_gone(self) -> None:
        """Prove that exactly one program follows the source, for good, and that no command line has the password."""
        (follower,) = self._followers()
        must(run("systemctl", "is-enabled", self._unit) == "enabled", "it is not so")
        secret = (PLACES / "binlog.password").read_text(encoding="ascii").strip()
        must(f"={secret}" not in follower, follower)
        place = Path("/var/lib/remediate-backup-streams")
        must(place.stat().st_mode & 0o077 == 0, "others may look into what was streamed")

    cured_stream_stopped = cured_stream_gone

    def _followers(self) -> list[str]:
        lines = run("ps", "-eww", "-o", "args=").splitlines()
        return [line for line in lines if line.startswith("mariadb-binlog ") and f"--host={self._source} " in line]

    def bit_flipped(self) -> None:
        """Flip one bit in the biggest pack."""
        pack = self._biggest_pack()
        shutil.copyfile(pack, self._kept / "packs" / pack.name)
        pack.chmod(0o600)
        with pack.open("r+b") as target:
            target.seek(pack.stat().st_size // 2)
            byte = target.read(1)[0]
            target.seek(-1, os.SEEK_CUR)
            target.write(bytes([byte ^ 1]))

    def is_bit_flipped(self) -> None:
        """Prove that a look at the structure says nothing, and reading everything does."""
        self._restic("check")
        must("errors" in _error_of(lambda: self._restic("check", "--read-data")), "reading everything finds nothing")

    def _biggest_pack(self) -> Path:
        (self._kept / "packs").mkdir(exist_ok=True)
        return max((self._repository / "data").glob("*/*"), key=lambda one: one.stat().st_size)

    def pack_missing(self) -> None:
        """Take the biggest pack away."""
        pack = self._biggest_pack()
        pack.rename(self._kept / "packs" / pack.name)

    def is_pack_missing(self) -> None:
        """Prove that what lies in it cannot be read."""
        must(_error_of(lambda: self._restic("check", "--read-data")) != "", "all can be read")

    def log_missing(self) -> None:
        """Ship the logs once more, without one in the middle, as if a source had lost it."""
        newest = json.loads(self._restic("snapshots", "--json", "--tag", "database-logs"))[-1]
        with tempfile.TemporaryDirectory(dir=self._kept) as place:
            self._restic("restore", newest["id"], "--target", place)
            manifest = next(Path(place).rglob("manifest.json"))
            record = json.loads(manifest.read_text(encoding="ascii"))
            logs = record["files"]
            must(len(logs) > 2, "there are too few logs for a gap")
            gone = logs.pop(-2)
            record["id"] = "planted"
            manifest.write_text(json.dumps(record), encoding="ascii")
            paths = [next(Path(place).rglob(one["name"])) for one in logs]
            must(gone["name"] not in {path.name for path in paths}, "it is not so")
            now = time.strftime("%Y-%m-%d %H:%M:%S")
            self._plant("database-logs", now, *(str(path) for path in (*paths, manifest)))

    def is_log_missing(self) -> None:
        """Prove that restic finds nothing wrong with it."""
        self._restic("check", "--read-data")

    def old_snapshots(self) -> None:
        """Store shipments that say that they are ten days old, and one of next year."""
        day = time.time() - 10 * 86400
        for hour in range(3):
            made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(day + hour * 3600))
            self._plant("database-logs", made, "/etc/hostname")
        # Whoever has the source could: it must push nothing out.
        made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + 365 * 86400))
        self._plant("files", made, "/etc/hostname")

    def is_old_snapshots(self) -> None:
        """Prove that they are there."""
        must(len(self._planted()) == 4, self._planted())

    def cured_old_snapshots(self) -> None:
        """Prove that the old ones are gone, that of the future is there, and nothing is broken."""
        left = self._planted()
        must(len(left) == 1, left)
        kinds = {tag for one in json.loads(self._restic("snapshots", "--json")) for tag in one["tags"]}
        must({"database-full", "database-logs", "files", "redis"} <= kinds, kinds)
        self._restic("check", "--read-data")

    def _planted(self) -> list[str]:
        ids = set((self._kept / "planted").read_text(encoding="ascii").split())
        return [one["id"] for one in json.loads(self._restic("snapshots", "--json")) if one["id"] in ids]


def _error_of(action: Callable[[], object]) -> str:
    try:
        action()
    except subprocess.CalledProcessError as error:
        return str(error.stderr) + str(error.stdout)
    return ""


def main() -> None:
    """Run as an Ansible module."""
    module = AnsibleModule(
        argument_spec={"do": {"type": "str", "required": True}, "source": {"type": "str", "required": True}}
    )
    try:
        getattr(Lab(module.params["source"]), module.params["do"])()
    except subprocess.CalledProcessError as error:
        module.fail_json(msg=f"{' '.join(error.cmd)} ended with {error.returncode}: {error.stderr[-2000:]}")
    except NotSo as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=True, done=module.params["do"])


if __name__ == "__main__":
    main()
