"""A PostgreSQL server for a trial: in a network of its own that leads nowhere, without an archive or a worker."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ansible.module_utils.controller_watch import die_with_parent
from ansible.module_utils.host_step import StepError
from ansible.module_utils.mariadb_server import in_time
from ansible.module_utils.postgresql_server import PostgresError, PostgreSQL, alone_as
from ansible.module_utils.postgresql_source import SHARED
from ansible.module_utils.run_state import write_whole
from ansible.module_utils.scratch_server import ScratchError
from ansible.module_utils.stack_program import StackError, plain, run_program

USER = "postgres"
#: Where distributions put the programs of each major version.
_PROGRAMS = ("/usr/lib/postgresql/{}/bin", "/usr/pgsql-{}/bin")
_REPLAY_SECONDS = 4 * 3600.0
_STOP_SECONDS = 300.0
_CHECK_SECONDS = 2 * 3600.0
PAUSE, PROMOTE = "pause", "promote"
_STOPPING = re.compile(r'recovery stopping before WAL location \(LSN\) "([0-9A-F/]+)"')
_TOO_SHORT = re.compile(r"recovery ended before configured recovery target was reached|WAL ends before ")
#: What the copy can do nothing for: this host lacks something that the source has.
_OURS = re.compile(r"incompatible with (?:the )?operating system|could not load library|could not access file")
_BAD_CHECKSUMS = re.compile(r"^Bad checksums:\s+(\d+)$", re.MULTILINE)


class LogEndsError(ScratchError):
    """The log ends before the position that was wanted."""


@dataclass(frozen=True)
class Goal:
    """A position to stop before, on a timeline, and what then: stand still, or begin to be written to."""

    lsn: str
    timeline: int
    then: str = PAUSE


class ScratchPostgreSQL:
    """The server of a trial; ask it while it runs."""

    def __init__(self, place: str, version: str, fetch: str, source: Mapping[str, str]) -> None:
        self.data = os.path.join(place, "data")
        self._run = os.path.join(place, "run")
        self._log = os.path.join(self._run, "server.log")
        self._config = os.path.join(self._run, "postgresql.conf")
        self._programs = _programs_of(version)
        #: The command that gets a segment out of the repository.
        self._fetch = fetch
        self._version = int(version)
        self._source = source
        self._process: subprocess.Popen[bytes] | None = None
        self._server = PostgreSQL(USER, 5432, self._run, os.path.join(self._programs, "psql"))

    @contextlib.contextmanager
    def running(self, goal: Goal) -> Iterator[ScratchPostgreSQL]:
        """Start it on the data that were put there, have the log replayed up to a goal, and end it afterwards."""
        self._prepare(goal)
        with open(self._log, "wb") as said:
            process = self._started(said)
        with process:
            self._process = process
            try:
                self._wait(goal)
                yield self
            finally:
                self._end(process)

    def rows(self, database: str, statement: str, seconds: float) -> list[list[str]]:
        """Run statements and return what they select; raises ScratchError."""
        try:
            return self._server.rows(statement, database, seconds)
        except PostgresError as error:
            if _OURS.search(str(error)):
                raise StepError(f"this host cannot open what was restored: {error}") from error
            raise ScratchError(f"the server of the trial refused: {error}") from error

    def check_tables(self) -> list[str]:
        """Look at every table and index, and that each row is in its indexes; return what is wrong."""
        argv = [os.path.join(self._programs, "pg_amcheck"), f"--host={self._run}", "--port=5432", "--all"]
        argv += ["--install-missing=pg_catalog", "--heapallindexed", "--parent-check", "--no-password"]
        done = alone_as(USER).run(argv, _CHECK_SECONDS)
        # Its exit code is 0 as well where it could not look.
        said = [plain(line)[:200] for line in (*done.output.splitlines(), *done.errors.splitlines()) if line.strip()]
        return said or ([done.last_line] if done.code else [])

    def check_pages(self) -> bool:
        """Check the checksum of every page of the stopped server; return whether there are checksums."""
        argv = [os.path.join(self._programs, "pg_checksums"), "--check", f"--pgdata={self.data}"]
        done = alone_as(USER).run(argv, _CHECK_SECONDS)
        found = _BAD_CHECKSUMS.search(done.output)
        if found is None and "data checksums are not enabled" in done.errors:
            return False
        if done.code != 0 or found is None or found[1] != "0":
            said = found[0] if found else done.last_line
            raise ScratchError(f"pages are damaged after the restore: {plain(said)}")
        return True

    def _prepare(self, goal: Goal) -> None:
        # What the source's server was told by ALTER SYSTEM, and pgBackRest's own words, are not for this one.
        write_whole(os.path.join(self.data, "postgresql.auto.conf"), b"")
        write_whole(os.path.join(self.data, "recovery.signal"), b"")
        os.makedirs(self._run, 0o700, exist_ok=True)
        write_whole(os.path.join(self._run, "pg_hba.conf"), b"local all all trust\n")
        write_whole(os.path.join(self._run, "pg_ident.conf"), b"")
        lines = [f"{name} = {_written(value)}" for name, value in self._settings(goal).items()]
        write_whole(self._config, "".join(f"{line}\n" for line in lines).encode())
        for name in ("postgresql.conf", "postmaster.pid", "standby.signal"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.data, name))
        give_to(USER, self.data)
        give_to(USER, self._run)

    def _settings(self, goal: Goal) -> dict[str, str]:
        # A server that replays needs as much room as the one that wrote the log.
        shared = {name: str(int(self._source[name])) for name in SHARED if self._source.get(name, "").isdigit()}
        return {
            **shared,
            "data_directory": self.data,
            "hba_file": os.path.join(self._run, "pg_hba.conf"),
            "ident_file": os.path.join(self._run, "pg_ident.conf"),
            "external_pid_file": "",
            "listen_addresses": "",
            "port": "5432",
            "unix_socket_directories": self._run,
            "unix_socket_permissions": "0700",
            "ssl": "off",
            "archive_mode": "off",
            "archive_command": "",
            "restore_command": self._fetch,
            "recovery_target_lsn": goal.lsn,
            "recovery_target_inclusive": "off",
            "recovery_target_timeline": str(goal.timeline),
            "recovery_target_action": goal.then,
            "hot_standby": "on",
            # Nothing of the application's is run: no worker, no job, no replication, no code at a log-in.
            "shared_preload_libraries": "",
            "session_preload_libraries": "",
            "local_preload_libraries": "",
            "max_logical_replication_workers": "0",
            "autovacuum": "off",
            **({"event_triggers": "off"} if self._version >= 17 else {}),
            "jit": "off",
            "fsync": "off",
            "full_page_writes": "off",
            "synchronous_commit": "off",
            "shared_buffers": "128MB",
            # Memory that a killed server leaves is gone with its directory.
            "dynamic_shared_memory_type": "mmap",
            "shared_memory_type": "mmap",
            "logging_collector": "off",
            "log_destination": "stderr",
            "log_line_prefix": "",
            "lc_messages": "C",
        }

    def _started(self, said: object) -> subprocess.Popen[bytes]:
        alone = alone_as(USER)
        return subprocess.Popen(
            [*alone.prefix, os.path.join(self._programs, "postgres"), "-D", self.data, f"--config-file={self._config}"],
            stdin=subprocess.DEVNULL,
            stdout=said,  # type: ignore[arg-type]  # an open file
            stderr=subprocess.STDOUT,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - the kernel offers no other way to die with the parent
            **alone.options,
        )

    def _wait(self, goal: Goal) -> None:
        if not in_time(lambda: self._is_there(goal), _REPLAY_SECONDS):
            raise ScratchError(f"the server of the trial has not replayed the log up to {goal.lsn}: {self._told()}")
        # That it stands still does not say that it stands there: it does so for want of room as well.
        if goal.lsn not in _STOPPING.findall(self._logged()):
            raise ScratchError(f"the server of the trial did not stop at {goal.lsn}: {self._told()}")

    def _is_there(self, goal: Goal) -> bool:
        if self._process is None or self._process.poll() is not None:
            logged = self._logged()
            kind = LogEndsError if _TOO_SHORT.search(logged) else ScratchError
            raise kind(f"the server of the trial ended before {goal.lsn}: {self._told()}")
        asked = (
            "SELECT NOT pg_catalog.pg_is_in_recovery();\n"
            if goal.then == PROMOTE
            else "SELECT pg_catalog.pg_get_wal_replay_pause_state() = 'paused';\n"
        )
        try:
            return self._server.rows(asked, "postgres", 10.0) == [["t"]]
        except (PostgresError, StackError):
            return False  # it does not take anybody in yet

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        # The program in front of it has become it: fast, whoever is connected.
        process.send_signal(signal.SIGINT)
        until = time.monotonic() + _STOP_SECONDS
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        process.kill()

    def _logged(self) -> str:
        try:
            with open(self._log, encoding="utf-8", errors="backslashreplace") as source:
                return source.read()
        except OSError:
            return ""

    def _told(self) -> str:
        lines = [line for line in self._logged().splitlines() if line.strip()]
        wrong = [line for line in lines if "FATAL" in line or "PANIC" in line or "ERROR" in line] or lines[-1:]
        return plain(wrong[0].strip())[-300:] if wrong else "it is silent"


def _programs_of(version: str) -> str:
    if not version.isdigit():
        raise StepError(f"{version[:20]!r} is no version of PostgreSQL")
    for one in _PROGRAMS:
        if os.path.exists(os.path.join(one.format(version), "postgres")):
            return one.format(version)
    raise StepError(f"PostgreSQL {version} is not on this host; nothing was restored: install postgresql-{version}")


def see_tools(version: str) -> None:
    """Raise StepError unless this host has what a trial needs."""
    programs = _programs_of(version)
    missing = [one for one in ("psql", "pg_amcheck", "pg_checksums") if not os.path.exists(os.path.join(programs, one))]
    missing += [] if shutil.which("pgbackrest") else ["pgbackrest"]
    if missing:
        raise StepError(f"this host lacks {', '.join(missing)}; nothing was restored: install them")


def give_to(user: str, directory: str) -> None:
    """Give a directory with all that is in it to a user; raises StepError."""
    done = run_program(["chown", "--recursive", "--no-dereference", f"{user}:{user}", "--", directory], 600.0)
    if done.code != 0:
        raise StepError(f"{directory} cannot be given to the user {user}: {done.last_line}")


def _written(value: str) -> str:
    """Return a value for the file of settings."""
    if "\n" in value or "\0" in value:
        raise StepError("a setting of the trial's server has a line break in it; nothing was restored")
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
