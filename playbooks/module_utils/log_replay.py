"""Binary logs replayed on the server of a trial, by its replication thread: far faster than through a client."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

from ansible.module_utils.controller_watch import die_with_parent
from ansible.module_utils.host_step import StepError
from ansible.module_utils.log_chain import Log
from ansible.module_utils.mariadb_server import in_time, literal
from ansible.module_utils.scratch_server import ScratchError, ScratchServer
from ansible.module_utils.stack_program import plain

_SECONDS = 4 * 3600.0
#: Without progress for so long nothing will come any more.
_STALL_SECONDS = 120.0
#: So long a server that has crashed may take to be gone.
_FALL_SECONDS = 10.0


class ReplayError(StepError):
    """A change could not be replayed."""


class ServerCrashError(ReplayError):
    """The server fell over while it replayed: the same changes may pass through its client."""


class Replay:
    """A chain of logs, laid out so that the server takes it for what its primary sent."""

    def __init__(self, server: ScratchServer, logs: Sequence[Log]) -> None:
        self._server = server
        #: The name of each log among relay logs.
        self._names: dict[str, str] = {}
        os.makedirs(server.relay, 0o750, exist_ok=True)
        for number, log in enumerate(logs, 1):
            name = f"relay.{number:06d}"
            _lay(log, os.path.join(server.relay, name))
            self._names[log.name] = name
        with open(os.path.join(server.relay, "relay.index"), "w", encoding="ascii") as index:
            index.writelines(f"./{name}\n" for name in self._names.values())

    def begin(self, offset: int) -> None:
        """Say where in the first log to begin; the server must run, and replays nothing yet."""
        first = next(iter(self._names.values()))
        self._server.rows(
            "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=1, MASTER_USER='none', MASTER_USE_GTID=no, "
            f"RELAY_LOG_FILE={literal(first)}, RELAY_LOG_POS={int(offset)};\n"
        )

    def until(self, file: str, offset: int) -> None:
        """Replay everything before a position, and stop exactly there; raises ReplayError with the server's reason."""
        name = self._names[file]
        self._ask(f"START SLAVE SQL_THREAD UNTIL RELAY_LOG_FILE={literal(name)}, RELAY_LOG_POS={int(offset)};\n")
        give_up, stalled, last = time.monotonic() + _SECONDS, time.monotonic() + _STALL_SECONDS, ("", "")
        while True:
            status = self._status()
            if status["Last_SQL_Errno"] != "0":
                raise ReplayError(f"a change cannot be replayed: {plain(status['Last_SQL_Error'])[-300:]}")
            place = (status["Relay_Log_File"], status["Relay_Log_Pos"])
            if status["Slave_SQL_Running"] == "No":
                self._see_there(place, name, offset)
                return
            if place[0] == name and int(place[1]) >= offset:
                # At the very end of the logs the thread waits for more instead of stopping.
                self._ask("STOP SLAVE SQL_THREAD;\n")
                return
            now = time.monotonic()
            stalled, last = (now + _STALL_SECONDS, place) if place != last else (stalled, last)
            if now > min(stalled, give_up):
                raise ReplayError(f"the replay stands still at {place[0]}:{place[1]}, before {name}:{offset}")
            time.sleep(0.05)

    def _see_there(self, place: tuple[str, str], name: str, offset: int) -> None:
        # A position between two logs has two names: the end of the one, and the head of the next.
        if place[0] == name and int(place[1]) < offset:
            raise ReplayError(f"the replay ended at {place[0]}:{place[1]}, before {name}:{offset}")

    def _status(self) -> dict[str, str]:
        with self._crash_told():
            (status,) = self._server.named_rows("SHOW SLAVE STATUS;\n")
        return status

    def _ask(self, statement: str) -> None:
        with self._crash_told():
            self._server.rows(statement)

    @contextlib.contextmanager
    def _crash_told(self) -> Iterator[None]:
        try:
            yield
        except ScratchError as error:
            # It may still be writing down why it falls.
            if not in_time(lambda: not self._server.alive(), _FALL_SECONDS):
                raise
            raise ServerCrashError(f"the server fell over while it replayed: {error}") from error


class ClientReplay:
    """The same by the client, event by event: slow, and sure where the replication thread has crashed the server."""

    def __init__(self, server: ScratchServer, logs: Sequence[Log]) -> None:
        self._server = server
        self._logs = [log.path for log in logs]
        self._names = [log.name for log in logs]
        self._at = (0, 0)
        for log in logs:
            # What a crash has torn is no change; the client would stop at it.
            os.truncate(log.path, log.until)

    def begin(self, offset: int) -> None:
        """Say where in the first log to begin."""
        self._at = (0, offset)

    def until(self, file: str, offset: int) -> None:
        """Replay everything before a position; raises ReplayError with the client's reason."""
        first, start = self._at
        last = self._names.index(file)
        if (last, offset) == self._at:
            return
        places = [f"--start-position={start}", f"--stop-position={offset}"]
        # All in one stream: what one log leaves to the next (a temporary table) must not be lost between two.
        reader = ["mariadb-binlog", "--no-defaults", "--verify-binlog-checksum", *places]
        self._pipe([*reader, *self._logs[first : last + 1]], self._server.client())
        self._at = (last, offset)

    def _pipe(self, reader: list[str], writer: list[str]) -> None:
        with tempfile.TemporaryFile() as errors:
            options: dict[str, Any] = {"stderr": errors, "preexec_fn": die_with_parent}
            with (
                subprocess.Popen(reader, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, **options) as giving,
                subprocess.Popen(writer, stdin=giving.stdout, stdout=subprocess.DEVNULL, **options) as taking,
            ):
                if giving.stdout is not None:
                    giving.stdout.close()
            errors.seek(0)
            said = errors.read().decode("utf-8", "backslashreplace").strip().splitlines()
        if giving.returncode != 0 or taking.returncode != 0:
            raise ReplayError(
                f"a change cannot be replayed: {plain(said[-1] if said else 'no reason was given')[-300:]}"
            )


def _lay(log: Log, target: str) -> None:
    """Put a log where the server reads it, without what a crash has torn; it may write to it, so it is a copy."""
    shutil.copyfile(log.path, target)
    os.truncate(target, log.until)
