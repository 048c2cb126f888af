"""The container engine: used where one answers, installed and started where none does."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

from labhosts.shell import LabError, run, say, succeeds

PACKAGES = ("docker.io", "docker-cli", "iptables", "mmdebstrap", "openssh-client")
PROGRAMS = ("docker", "dockerd", "iptables", "mmdebstrap", "ssh-keygen")
START_SECONDS = 60
STOP_SECONDS = 30


class Engine:
    """The engine of this machine; `directory` keeps the log and the process id of the one we started."""

    def __init__(self, directory: Path) -> None:
        self._log = directory / "dockerd.log"
        self._pid = directory / "dockerd.pid"

    def ensure(self) -> None:
        """Return when an engine answers; install and start one if that is what it takes."""
        if self.answers():
            return
        install_missing()
        if not self.answers():
            self._start()

    def answers(self) -> bool:
        """Say whether an engine answers, speaking its language if the client is newer than it is."""
        if shutil.which("docker") is None:
            return False
        command = ("docker", "version", "--format", "{{.Server.Version}}")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        spoken = re.search(r"[Mm]aximum supported API version is ([0-9.]+)", done.stderr)
        if done.returncode != 0 and spoken and "DOCKER_API_VERSION" not in os.environ:
            os.environ["DOCKER_API_VERSION"] = spoken.group(1)
            return self.answers()
        return done.returncode == 0

    def stop_if_ours(self) -> bool:
        """Stop the engine that `ensure` started, by its process id; leave any other alone."""
        pid = self._running_pid()
        if pid is None:
            self._pid.unlink(missing_ok=True)
            return False
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while self._running_pid() is not None:
            if time.monotonic() > deadline:
                raise LabError(f"The engine (process {pid}) did not stop in {STOP_SECONDS} s; its log is {self._log}.")
            time.sleep(0.1)
        self._pid.unlink(missing_ok=True)
        return True

    def _start(self) -> None:
        if os.geteuid() != 0:
            raise LabError("No container engine answers. Start one (systemctl start docker), or run this as root.")
        say(f"Starting a container engine (log: {self._log}) ...")
        with self._log.open("ab") as log:
            process = subprocess.Popen(  # the engine outlives us: `down` ends it by the pid written here
                ("dockerd",), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._pid.write_text(f"{process.pid}\n")
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise LabError(f"The container engine did not start. The end of {self._log} says why.")
            time.sleep(0.2)

    def _running_pid(self) -> int | None:
        """Return the pid we wrote if it still is an engine, since a pid alone may have been reused."""
        if not self._pid.exists():
            return None
        pid = int(self._pid.read_text())
        status = Path(f"/proc/{pid}/status")
        if not status.exists():
            return None
        text = status.read_text()
        alive = re.search(r"^State:\s+[ZX]", text, re.MULTILINE) is None
        return pid if alive and text.startswith("Name:\tdockerd") else None


def install_missing() -> None:
    """Install the programs the lab needs on Debian; say plainly what is missing elsewhere."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise LabError(f"Missing programs: {', '.join(missing)}. Install them (on Debian: {' '.join(PACKAGES)}).")
    say(f"Installing what is missing ({', '.join(missing)}) ...")
    run(("apt-get", "update", "--quiet"))
    known = [package for package in PACKAGES if succeeds(("apt-cache", "show", "--no-all-versions", package))]
    run(("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "--yes", "--no-install-recommends", *known))
