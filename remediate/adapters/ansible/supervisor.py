"""The supervisor: a process that runs ansible-runner and lets nothing of it outlive the program that asked.

It reads requests from its standard input, one JSON object a line, and answers on its standard output. When the input
ends, because the program was killed, every process below is killed at once. `leave`, `cancel` and a time limit do the
same, but for connections, which other sessions of the program use as well: ansible-runner's own cancel leaves the
running task alive. What runs on a host notices that nobody listens to it any more, and ends.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import ptyprocess

from remediate.adapters.ansible import warm
from remediate.adapters.ansible.events import is_failure, reduced
from remediate.adapters.ansible.processes import become_subreaper, end_connections, end_descendants, is_connection

_INVENTORY_SECONDS = 60


class _PromptlyClosed(ptyprocess.PtyProcess):  # type: ignore[misc]  # published without types
    """A terminal that is closed without the tenth of a second in which a shell might still say something."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.delayafterclose = 0


class Supervisor:
    """Answers the requests of one session."""

    def __init__(self, session: Path, connections: Path, environment: dict[str, str], answers: int) -> None:
        self._session = session
        self._connections = connections
        self._environment = environment
        self._answers = answers
        self._writing = threading.Lock()
        self._ended_by: str | None = None
        for command in warm.COMMANDS:
            warm.write_launcher(session, command)
        self._warm = warm.start(session, {**environment, **runner_settings()})

    def answer(self, message: Mapping[str, object]) -> None:
        """Write one answer; a reader that is gone means that the program is gone, and so are we."""
        line = json.dumps(message).encode() + b"\n"
        try:
            with self._writing:
                view = memoryview(line)
                while view:
                    view = view[os.write(self._answers, view) :]
        except OSError:
            leave(self._session, self._connections)

    def begin(self, request: dict[str, Any]) -> None:
        """Start to work on a request in a thread; the answer follows when it is done."""
        work = {"play": self._play, "inventory": self._inventory}[request["op"]]

        def body() -> None:
            try:
                self.answer({"done": work(request)})
            except Exception as error:  # noqa: BLE001  # the border of the process: whatever went wrong is told, not lost
                said = f"{type(error).__name__}: {error}"
                # What ansible-runner stumbles over when its play is killed is no failure of its own.
                stopped = self._ended_by and {"done": {"rc": 254, "status": self._ended_by, "stdout": said}}
                self.answer(stopped or {"failed": said})

        threading.Thread(target=body, daemon=True).start()

    def end_play(self, why: str) -> None:
        """Kill all that is below, for `canceled` or `timeout`. The session cannot be used any more after it."""
        self._ended_by = self._ended_by or why
        end_descendants(spare=is_connection)

    def _play(self, request: dict[str, Any]) -> dict[str, object]:
        import ansible_runner  # noqa: PLC0415  # a tenth of a second that the warm parent's fork must not wait for

        limit = threading.Timer(request["timeout"], self.end_play, ["timeout"])
        limit.daemon = True
        limit.start()
        directory = Path(request["directory"])
        runner = ansible_runner.run(
            private_data_dir=str(directory),
            project_dir=request["project"],
            playbook=request["playbook"],
            inventory=request["inventory"],
            cmdline=request["cmdline"],
            envvars={
                **self._environment,
                "PATH": f"{self._session}:{self._environment['PATH']}",
                "REMEDIATE_LOCAL_TMP": request["local_tmp"],
            },
            settings={"pexpect_timeout": 0.5},
            event_handler=self._event,
            cancel_callback=lambda: self._ended_by is not None,
            ident="artifacts",
            fact_cache_type="memory",  # facts of one phase never decide about the next
            quiet=True,
        )
        limit.cancel()
        end_descendants(spare=self._shared_by_phases)
        return {
            "rc": runner.rc,
            "status": self._ended_by or runner.status,
            "stdout": _tail(directory / "artifacts" / "artifacts" / "stdout"),
        }

    def _event(self, event: dict[str, Any]) -> bool:
        """Tell of a task that ended; return whether ansible-runner is to keep its own file of the event.

        The record has what every task did. What Ansible knew beyond that is wanted of a task that failed; of all others
        it would be four fifths of what a run leaves on the disk.
        """
        if task := reduced(event):
            self.answer({"task": task})
        return is_failure(event)

    def _inventory(self, request: dict[str, Any]) -> dict[str, object]:
        command = [str(self._session / "ansible-inventory"), "--inventory", request["inventory"], "--list"]
        environment = {**self._environment, **runner_settings(), "REMEDIATE_LOCAL_TMP": request["local_tmp"]}
        result = subprocess.run(
            command,
            env=environment,
            cwd=self._session,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_INVENTORY_SECONDS,
            check=False,
        )
        return {"rc": result.returncode, "stdout": result.stdout, "stderr": result.stderr[-8000:]}

    def _shared_by_phases(self, process: int, command: str) -> bool:
        """The warm parent and ssh's connection masters serve the next phase as well."""
        return process == self._warm or is_connection(process, command)


def runner_settings() -> dict[str, str]:
    """Return the settings that ansible-runner adds to the environment: the warm parent must have imported with them."""
    runner = importlib.util.find_spec("ansible_runner")
    if runner is None or runner.origin is None:
        raise ImportError("ansible-runner is not installed")
    callbacks = Path(runner.origin).parent / "display_callback" / "callback"
    return {
        "ANSIBLE_CALLBACK_PLUGINS": str(callbacks),
        "ANSIBLE_STDOUT_CALLBACK": "awx_display",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
    }


def _tail(path: Path, size: int = 4000) -> str:
    """The end of the output: what Ansible said when it failed before the first task."""
    return path.read_text(errors="replace")[-size:] if path.exists() else ""


def leave(session: Path, connections: Path | None = None) -> NoReturn:
    """Kill everything below, remove what the session kept, and end; with the connections only where they are named."""
    end_descendants(spare=is_connection)
    if connections:
        end_connections(connections)
    shutil.rmtree(session, ignore_errors=True)
    os._exit(0)


def main() -> None:
    """Serve one session until the input ends."""
    session = Path(sys.argv[1])
    become_subreaper()
    answers = os.dup(1)
    ptyprocess.PtyProcess = _PromptlyClosed
    os.dup2(2, 1)  # whatever a library prints must not stand between the answers
    environment = json.loads(sys.stdin.readline())
    connections = Path(environment["ANSIBLE_SSH_CONTROL_PATH_DIR"])
    supervisor = Supervisor(session, connections, environment, answers)
    for line in sys.stdin:
        request = json.loads(line)
        if request["op"] == "leave":
            leave(session)
        if request["op"] == "cancel":
            supervisor.end_play("canceled")
        else:
            supervisor.begin(request)
    leave(session, connections)


if __name__ == "__main__":
    main()
