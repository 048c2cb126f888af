"""A MariaDB server for a trial: in a network of its own that leads nowhere, without a log, an event or a job."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator

from ansible.module_utils.controller_watch import die_with_parent
from ansible.module_utils.host_step import StepError
from ansible.module_utils.mariadb_server import in_time, parsed
from ansible.module_utils.stack_program import plain, run_program

#: No server of a site has this number.
_NUMBER = 4294967295
_START_SECONDS = 120.0
_STOP_SECONDS = 120.0
#: In a network namespace of its own there is not even a loopback address that is up. It takes the server's user before
#: it asks to die with us: a change of user would forget that.
ALONE = ["unshare", "--net", "--", "setpriv", "--reuid=mysql", "--regid=mysql", "--init-groups", "--pdeathsig=KILL"]


class ScratchError(StepError):
    """The server of a trial did not start, ended, or refused."""


class ScratchServer:
    """The server of a trial; ask it while it runs."""

    def __init__(self, place: str) -> None:
        self.data = os.path.join(place, "data")
        self.relay = os.path.join(place, "relay")
        self._run = os.path.join(place, "run")
        self.socket = os.path.join(self._run, "server.sock")
        self._log = os.path.join(self._run, "error.log")
        self._said = os.path.join(self._run, "output.log")
        self._process: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[ScratchServer]:
        """Start it on the data that were put there, and end it afterwards, whatever happens."""
        for directory in (self.relay, self._run):
            os.makedirs(directory, 0o750, exist_ok=True)
        for directory in (self.data, self.relay, self._run):
            _give_to_server(directory)
        # The application's probe is another user, and comes through to the socket.
        os.chmod(self._run, 0o711)  # noqa: S103 - who asks comes through to the socket
        with (
            open(self._said, "wb") as said,
            subprocess.Popen(
                [*ALONE, *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - the kernel offers no other way to die with the parent
            ) as process,
        ):
            self._process = process
            try:
                self._wait()
                yield self
            finally:
                self._end(process)

    def rows(self, statement: str, seconds: float = 60.0) -> list[list[str]]:
        """Run statements and return what they select; raises ScratchError."""
        return self._asked(["--skip-column-names"], statement, seconds)

    def named_rows(self, statement: str, seconds: float = 60.0) -> list[dict[str, str]]:
        """Run one statement and return what it selects by the names of its columns; raises ScratchError."""
        head, *rows = self._asked([], statement, seconds)
        return [dict(zip(head, row, strict=True)) for row in rows]

    def client(self) -> list[str]:
        """Return the command of the client that takes statements as they are in a binary log."""
        return [
            "mariadb",
            "--no-defaults",
            f"--socket={self.socket}",
            "--binary-mode",
            "--default-character-set=utf8mb4",
        ]

    def _asked(self, options: list[str], statement: str, seconds: float) -> list[list[str]]:
        argv = ["mariadb", "--no-defaults", f"--socket={self.socket}", "--batch", *options]
        done = run_program([*argv, "--default-character-set=utf8mb4"], seconds, given=statement)
        if done.code != 0:
            raise ScratchError(f"the server of the trial refused: {done.last_line}")
        return parsed(done.output)

    def check_tables(self, seconds: float) -> tuple[int, list[str]]:
        """Check every table; return how many there are, and what was said of those that are not OK."""
        argv = ["mariadb-check", "--no-defaults", f"--socket={self.socket}", "--all-databases", "--check"]
        done = run_program(argv, seconds)
        # The exit code says nothing: `Corrupt` comes with 0.
        lines = [line for line in done.output.splitlines() if line.strip()]
        bad = [plain(line)[:200] for line in lines if not line.rstrip().endswith(" OK")]
        if done.code != 0 and not bad:
            bad = [done.last_line]
        return len(lines), bad

    def _command(self) -> list[str]:
        return [
            "mariadbd",
            f"--defaults-file={os.path.join(self.data, 'backup-my.cnf')}",
            f"--datadir={self.data}",
            f"--socket={self.socket}",
            f"--pid-file={os.path.join(self._run, 'server.pid')}",
            f"--log-error={self._log}",
            "--skip-networking",
            "--skip-log-bin",
            "--skip-slave-start",
            # Not DISABLED: then a log in which an event was made could not be replayed.
            "--event-scheduler=OFF",
            f"--server-id={_NUMBER}",
            f"--relay-log={os.path.join(self.relay, 'relay')}",
            f"--relay-log-index={os.path.join(self.relay, 'relay.index')}",
            "--relay-log-purge=0",
            "--relay-log-recovery=0",
            # More than none has crashed servers that replay from a relay log.
            "--slave-parallel-threads=0",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            "--sync-binlog=0",
            "--innodb-buffer-pool-size=256M",
            "--performance-schema=OFF",
        ]

    def _wait(self) -> None:
        def answers() -> bool:
            if self._process is not None and self._process.poll() is not None:
                raise ScratchError(f"the server of the trial does not start: {self._told('it ended')}")
            with contextlib.suppress(ScratchError):
                return bool(self.rows("SELECT 1;\n", 10))
            return False

        if not in_time(answers, _START_SECONDS):
            raise ScratchError(f"the server of the trial does not answer: {self._told('it is silent')}")

    def alive(self) -> bool:
        """Return whether the server still runs."""
        return self._process is not None and self._process.poll() is None

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        until = time.monotonic() + _STOP_SECONDS
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        process.kill()

    def _told(self, otherwise: str) -> str:
        """Return the last error that the server logged, or the last thing it said before it could log, in its words."""
        errors = [line for line in _lines(self._log) if "[ERROR]" in line] or _lines(self._said)
        return plain(errors[-1].strip())[-300:] if errors else otherwise


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="backslashreplace") as source:
            return [line for line in source if line.strip()]
    except OSError:
        return []


def _give_to_server(directory: str) -> None:
    done = run_program(["chown", "--recursive", "--no-dereference", "mysql:mysql", "--", directory], 600.0)
    if done.code != 0:
        raise ScratchError(f"{directory} cannot be given to the server's user: {done.last_line}")
