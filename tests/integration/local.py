"""The smallest site, walked on this machine: the command line as a process, and what it leaves behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from remediate.adapters.ansible.processes import descendants

SITE = Path(__file__).parent / "site"
COMMAND = Path(sys.executable).with_name("remediate")


class LocalSite:
    """The site `tests/integration/site` with a record of its own, and the file that is the illness."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.state = directory / "state"
        self.file = directory / "stray"
        self.path = SITE
        #: What a check and then a run said, where a fixture has made them.
        self.checked: dict[str, Any] = {}
        self.cured = subprocess.CompletedProcess[str]([], 0, "", "")

    @property
    def run_id(self) -> str:
        """The id of the run that cured."""
        found = re.search(r"\d{8}-\d{6}-\w{4}", self.cured.stdout)
        assert found, f"no run was made: {self.cured.stdout}{self.cured.stderr}"
        return found[0]

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "REMEDIATE_STATE": str(self.state),
            "REMEDIATE_SITE": str(self.path),
            "SECRET_OF_THE_CALLER": "hunter2-hunter2",
        }

    def command(
        self, *arguments: str, cwd: Path | None = None, more: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `remediate` to its end."""
        return subprocess.run(
            [COMMAND, *arguments],
            env={**self.environment, **(more or {})},
            cwd=cwd or self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def python(self, script: Path) -> subprocess.CompletedProcess[str]:
        """Run a Python program that uses the library."""
        return subprocess.run(
            [sys.executable, script], env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def cure(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the runbook on the host `near`."""
        return self.command("stray-file", "--limit", "near", "--path", str(self.file), *arguments)

    @contextmanager
    def curing(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Run the runbook in the background; whatever is left of it is killed at the end."""
        with subprocess.Popen(
            [COMMAND, "stray-file", "--limit", "near", "--path", str(self.file), *arguments],
            env=self.environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @property
    def executed(self) -> bool:
        """Whether any phase of any run was begun."""
        return (self.state / "runs").exists()


def eventually(holds: Callable[[], bool], seconds: float = 60.0) -> bool:
    """Look again and again until something holds; return whether it did in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def below(process: int) -> dict[int, str]:
    """The processes below one, each with what tells it from a later process of the same number.

    Those of other users are not Ansible's here: root's tests run their PostgreSQL as somebody else.
    """
    return {found: birth for found in descendants(process) if _is_ours(found) and (birth := _birth(found))}


def _is_ours(process: int) -> bool:
    try:
        return Path(f"/proc/{process}").stat().st_uid == os.geteuid()
    except FileNotFoundError:
        return False  # ended meanwhile


def still_alive(processes: Mapping[int, str]) -> list[str]:
    """The command lines of those processes that have not ended."""
    return [_command_line(process) for process, birth in processes.items() if _birth(process) == birth]


def sleeping(process: int, seconds: int) -> bool:
    """Whether the fix below a process has come to its sleep of that many seconds."""
    return any(command == f"sleep {seconds}" for command in descendants(process).values())


def _birth(process: int) -> str:
    try:
        fields = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _command_line(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
    except OSError:
        return f"process {process}"
