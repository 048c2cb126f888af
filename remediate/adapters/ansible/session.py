"""One supervisor process and the pipe to it."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Event
from typing import Any

from remediate.adapters.ansible.environment import ansible_environment
from remediate.adapters.ansible.processes import become_subreaper, end_descendants, is_connection
from remediate.catalog.settings import AnsibleSettings
from remediate.errors import ExecutorFailure
from remediate.faults import reach

#: How often a running request looks whether it should stop, in seconds.
_POLL = 0.05


class Session:
    """Sends requests to a supervisor, one at a time. When this process dies, so does all below the supervisor."""

    def __init__(self, settings: AnsibleSettings, connections: Path) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="remediate-"))
        (self._directory / "home").mkdir(mode=0o700)
        (self._directory / "ansible.cfg").write_text("[defaults]\n")
        become_subreaper()
        environment = ansible_environment(self._directory, connections, settings)
        reach("supervisor.start.before")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-m", "remediate.adapters.ansible.supervisor", str(self._directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**environment, "PYTHONPYCACHEPREFIX": os.environ.get("PYTHONPYCACHEPREFIX", "")},
            start_new_session=True,  # Ctrl-C is for the program, which then asks for a stop in order
        )
        reach("supervisor.start.after")
        self._buffer = b""
        self.usable = True
        self._send(environment)

    def request(
        self, request: Mapping[str, object], on_task: Callable[[dict[str, Any]], None], stop: Event
    ) -> dict[str, Any]:
        """Send a request and return its answer; raises ExecutorFailure when it or the supervisor broke down.

        When this raises, or the request was stopped, the session is used up: closing it ends what may still go on.
        """
        self.usable = False
        self._send(request)
        asked_to_stop = False
        while True:
            if stop.is_set() and not asked_to_stop:
                asked_to_stop = True
                self._send({"op": "cancel"})
            for answer in self._answers():
                if "task" in answer:
                    on_task(answer["task"])
                elif "failed" in answer:
                    raise ExecutorFailure(f"Ansible could not be run: {answer['failed']}")
                else:
                    done: dict[str, Any] = answer["done"]
                    self.usable = not asked_to_stop and done.get("status") != "timeout"
                    return done

    def close(self) -> None:
        """End the supervisor and everything below it, but for connections: other sessions may be using them."""
        self.usable = False
        if self._process.stdin and not self._process.stdin.closed:
            with suppress(BrokenPipeError):
                self._process.stdin.write(json.dumps({"op": "leave"}).encode() + b"\n")
                self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _send(self, message: Mapping[str, object]) -> None:
        assert self._process.stdin is not None  # noqa: S101  # it was opened as a pipe
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            self._broke_down(error)

    def _answers(self) -> list[dict[str, Any]]:
        """Return the answers that have arrived, after waiting a moment for one."""
        assert self._process.stdout is not None  # noqa: S101  # it was opened as a pipe
        descriptor = self._process.stdout.fileno()
        if not select.select([descriptor], [], [], _POLL)[0]:
            if self._process.poll() is not None:
                self._broke_down(None)
            return []
        chunk = os.read(descriptor, 1 << 20)
        if not chunk:
            self._broke_down(None)
        *lines, self._buffer = (self._buffer + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

    def _started(self, process: int) -> bool:
        """Return whether a process belongs to this session: all of its processes inherit its environment."""
        try:
            return str(self._directory).encode() in Path(f"/proc/{process}/environ").read_bytes()
        except OSError:
            return False

    def _broke_down(self, error: OSError | None) -> None:
        """The supervisor is gone: its orphans are ours now, and are ended before anything else is said."""
        self.usable = False
        end_descendants(spare=lambda process, command: is_connection(process, command) or not self._started(process))
        raise ExecutorFailure(
            "The process that runs Ansible ended unexpectedly; everything it had started was ended."
        ) from error
