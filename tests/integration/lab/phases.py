"""Phases of a runbook about restores, as `ansible-playbook` does them by hand."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.integration.lab.hosts import ROOT, LabHost

_BIN = Path(ROOT) / ".venv/bin"

#: With pipelining a module has no name: it is the one Python that was given nothing to run on its command line.
_KILL = r"""
import os, signal, time
def found():
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as source:
                words = source.read().rstrip(bytes(1)).split(bytes(1))
        except OSError:
            continue
        if len(words) == 1 and b"/python3" in words[0]:
            yield int(name)
until = time.time() + 120
while time.time() < until and not list(found()):
    time.sleep(0.02)
time.sleep(SECONDS)
hit = list(found())
for one in hit:
    try:
        os.kill(one, signal.SIGKILL)
    except ProcessLookupError:
        pass
print(len(hit))
"""


@dataclass(frozen=True)
class Phases:
    """One role on one host."""

    role: str
    host: LabHost

    def phase(self, name: str, run: str, **inputs: object) -> subprocess.CompletedProcess[str]:
        """Do one phase."""
        return subprocess.run(
            self._command(name, run, inputs),
            cwd=ROOT,
            env=_environment(),
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )

    def done(self, name: str, run: str, **inputs: object) -> str:
        """Do one phase that must succeed, and return what was printed."""
        finished = self.phase(name, run, **inputs)
        assert finished.returncode == 0, finished.stdout[-4000:]
        return finished.stdout

    def killed(self, name: str, run: str, seconds: float, **inputs: object) -> bool:
        """Begin a phase and kill -9 its module on the host after some seconds of it; say whether it was there."""
        with subprocess.Popen(
            self._command(name, run, inputs),
            cwd=ROOT,
            env=_environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as process:
            hit = self.host.python(f"SECONDS = {seconds}\n{_KILL}")
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        return hit != "0"

    def _command(self, name: str, run: str, inputs: dict[str, object]) -> list[str]:
        values: dict[str, object] = {"remediate_phase": name, f"{self.role}_run_id": run}
        values |= {f"{self.role}_{key}": value for key, value in inputs.items()}
        command = [str(_BIN / "ansible-playbook"), "-v", "-i", "inventory/lab", "--limit", self.host.name]
        return [*command, f"playbooks/{self.role}.yml", "--extra-vars", json.dumps(values)]


def new_run(word: str) -> str:
    """Return the id of a run that there was not yet."""
    return f"{word}-{time.time_ns()}"


def _environment() -> dict[str, str]:
    own = {"ANSIBLE_HOME": f"{ROOT}/.cache/ansible", "ANSIBLE_SSH_CONTROL_PATH_DIR": f"{ROOT}/.lab/cp"}
    return {**os.environ, **own, "ANSIBLE_NOCOLOR": "1"}
