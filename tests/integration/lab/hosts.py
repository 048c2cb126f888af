"""The lab hosts as tests see them, the command line as a person types it, and the faults."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
SSH = ["ssh", "-F", str(ROOT / ".lab/ssh/config")]
SOAK = bool(os.environ.get("REMEDIATE_SOAK"))

#: Names, contents and attributes of every file, but those that a running host changes by itself.
_TREE = r"""
import hashlib, json, os
roots = ("/disk", "/etc", "/var/lib/remediate", "/run/remediate", "/root", "/home", "/tmp", "/dev/shm", "/usr/local")
lib = "/disk/var/lib/"
own = (lib + "mysql", lib + "redis", lib + "docker", "/disk/var/log/journal")
live = (".log", ".log.json", "wtmp", "btmp", "lastlog")
# What a container engine writes for the moment of a health check.
passing = ("runc-process",)
seen = {}
for root in roots:
    for directory, names, files in os.walk(root):
        names[:] = sorted(
            name
            for name in names
            if os.path.join(directory, name) not in own
            and name != "framework"
            and not name.startswith("systemd-private")
        )
        for name in sorted(files):
            path = os.path.join(directory, name)
            if name.endswith(live) or name.startswith(passing) or not os.path.isfile(path) or os.path.islink(path):
                continue
            s = os.lstat(path)
            with open(path, "rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            seen[path] = [s.st_mode, s.st_uid, s.st_gid, s.st_size, s.st_mtime_ns, s.st_ino, content]
print(json.dumps(seen))
"""


@dataclass(frozen=True)
class LabHost:
    """One lab host, reached by SSH as the operator is."""

    name: str

    def run(self, command: str, *, script: str | None = None) -> str:
        """Run a command as root and return what it printed."""
        done = subprocess.run(
            [*SSH, self.name, "sudo", "sh", "-c", f"'{command}'"],
            input=script,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        try:
            done.check_returncode()
        except subprocess.CalledProcessError as error:
            error.add_note(f"{self.name} said: {done.stderr.strip()[-2000:]}")
            raise
        return done.stdout.strip()

    def python(self, script: str) -> str:
        """Run a Python script as root."""
        return self.run("python3 -", script=script)

    def used_percent(self) -> int:
        """How full the disk is, as `df` says."""
        return int(self.run("df --output=pcent /disk | tail -1").rstrip("%"))

    def health(self) -> int:
        """The status of the application's readiness, or 0 when there is no answer."""
        return int(self.run("curl -s -m 10 -o /dev/null -w %{http_code} http://127.0.0.1/health/ready || true"))

    def tree(self) -> dict[str, list[Any]]:
        """Everything about all files that do not change by themselves."""
        found: dict[str, list[Any]] = json.loads(self.python(_TREE))
        return found

    def quiet_tree(self) -> dict[str, list[Any]]:
        """The same, once nothing has changed for a moment: what was started a moment ago may still clean up."""
        before = self.tree()
        for _ in range(5):
            if (after := self.tree()) == before:
                return after
            before, after = after, before
        changed = sorted(path for path in {*before, *after} if before.get(path) != after.get(path))
        raise AssertionError(f"the host is never quiet: {changed}")

    def files(self, *roots: str) -> dict[str, list[Any]]:
        """Every file below some directories: sha256, owner, group, mode and mtime."""
        script = f"""
import hashlib, json, os
found = {{}}
for root in {roots!r}:
    for directory, _, files in os.walk(root):
        for name in files:
            path = os.path.join(directory, name)
            s = os.lstat(path)
            with open(path, "rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            found[path] = [content, s.st_uid, s.st_gid, s.st_mode, s.st_mtime_ns]
print(json.dumps(found))
"""
        found: dict[str, list[Any]] = json.loads(self.python(script))
        return found

    def ansible_processes(self) -> list[str]:
        """Processes of Ansible on the host."""
        listed = self.run("pgrep -af ansible || true").splitlines()
        return [line for line in listed if "pgrep" not in line and "sh -c" not in line]


@dataclass(frozen=True)
class Remediate:
    """The command line, as a person types it, with a record of its own."""

    state: Path
    site: Path = ROOT / "molecule/shared/site"

    def __call__(self, *arguments: str, inventory: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(inventory),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def json(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run a command with `--json`, expect an exit code, and return the document."""
        done = self(*arguments, "--json")
        assert done.returncode == code, (done.returncode, _told(done.stdout), done.stderr[-3000:])
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def command(self, *arguments: str) -> list[str]:
        """The command line of a command."""
        return [sys.executable, "-m", "remediate", "--site", str(self.site), *arguments]

    def environment(self, inventory: Path | None = None) -> dict[str, str]:
        """The environment of a command."""
        chosen = {"REMEDIATE_INVENTORY": str(inventory)} if inventory else {}
        return {**os.environ, "REMEDIATE_STATE": str(self.state), **chosen}


def _told(stdout: str) -> str:
    """What a failing test should show of a document: what the hosts said, and not each task."""
    try:
        document = json.loads(stdout)
        said = [document["outcome"], *({one["phase"]: one["reports"]} for one in document["phases"])]
    except (ValueError, LookupError, TypeError):
        return stdout[-3000:]
    return json.dumps(said)[:6000]


def play(playbook: str, host: LabHost, *extra: str) -> None:
    """Run a playbook on a host to a good end."""
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            "-i",
            "inventory/lab",
            "--limit",
            host.name,
            playbook,
            *extra,
        ],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def fill(host: LabHost, fault: str) -> None:
    """Break a host for real; the playbook itself asserts the symptom."""
    play("molecule/disk_full/break.yml", host, "-e", f"fault={fault}")


def reset(host: LabHost) -> None:
    """Make a host healthy again."""
    play("molecule/disk_full/reset.yml", host)
