"""A restic repository: what is in it, putting something into it, and getting it out again.

Its address and password are in files, so that neither stands in a process list. Nothing here deletes a lock or a
snapshot of somebody else. Written for restic 0.14 (Debian 12) and later: exit codes say more since 0.17.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import IO, Any, cast

from ansible.module_utils import restic_locks
from ansible.module_utils.controller_watch import die_with_parent
from ansible.module_utils.host_step import StepError
from ansible.module_utils.stack_program import GENTLY, Finished, StackError, plain, run_program

#: An answer of a repository over the network; copies take what they need.
_ASK_SECONDS = 60.0
_COPY_SECONDS = 6 * 3600.0
_MARK = "remediate"
_CACHE = "/var/cache/remediate-restic"
_INCOMPLETE = 3
#: Snapshots that are named on one command line.
_AT_ONCE = 500
_NO_REPOSITORY = 10
_LOCKED = 11
_WRONG_PASSWORD = 12
#: Before 0.17 the exit code is 1 for all, and the question about the location follows a server that is down as well.
_NOT_THERE = re.compile(r"unable to open config file: .*(?:no such file or directory|does not exist|\b404\b)")
_DAMAGED = re.compile(r"ciphertext verification failed|invalid data returned|is damaged|does not match id")
_UNREADABLE = re.compile(r"could not load snapshot|failed to load snapshot")


class RepositoryError(StepError):
    """A repository, or restic itself, said no."""


class LockedError(RepositoryError):
    """Somebody else works in the repository, or has died in it."""


class NoRepositoryError(RepositoryError):
    """There is no repository at this place."""


class DamagedError(RepositoryError):
    """What the repository is made of is not what was written."""


class IncompleteError(RepositoryError):
    """A snapshot was made, and something is not in it; nobody may count on it."""

    def __init__(self, message: str, snapshot: str) -> None:
        super().__init__(message)
        self.snapshot = snapshot


@dataclass(frozen=True)
class Snapshot:
    """One snapshot: its id, of which host, when (seconds since 1970), and its tags."""

    id: str
    source: str
    made: float
    tags: tuple[str, ...]
    paths: tuple[str, ...] = field(default=(), compare=False)

    def tag(self, name: str) -> str:
        """Return what stands behind `name=` among the tags, or nothing."""
        return next((one.partition("=")[2] for one in self.tags if one.startswith(f"{name}=")), "")


class Repository:
    """One repository by the name that people know it by."""

    def __init__(
        self,
        name: str,
        address_file: str,
        password_file: str,
        *,
        cached: bool = True,
        options: Sequence[str] = (),
    ) -> None:
        self.name = name
        #: What restic said of snapshots that it could not read, at the last look at all of them.
        self.unreadable: list[str] = []
        #: What every command is told, such as --no-lock.
        self._options = [*(["--cache-dir", _CACHE] if cached else ["--no-cache"]), *options]
        self._files = {"RESTIC_REPOSITORY_FILE": address_file, "RESTIC_PASSWORD_FILE": password_file}

    def identity(self) -> str:
        """Return the id that the repository was made with; raises NoRepositoryError when there is none."""
        return str(json.loads(self._asked("cat", "config"))["id"])

    def make(self) -> None:
        """Make the repository, where there is none."""
        self._asked("init")

    def snapshots(self, source: str = "", tag: str = "") -> list[Snapshot]:
        """Return our snapshots, the oldest first."""
        wanted = ["--tag", ",".join([_MARK, tag]) if tag else _MARK, *(["--host", source] if source else [])]
        done = self._done("snapshots", "--json", *wanted)
        # One that cannot be read is left out, with a warning and the exit code 0.
        self.unreadable = [plain(line)[:300] for line in done.errors.splitlines() if _UNREADABLE.search(line)]
        found = json.loads(done.output or "null") or []
        return sorted((_snapshot(one) for one in found), key=lambda one: one.made)

    def store(
        self, paths: Sequence[str], source: str, tags: Sequence[str], leave_out: Sequence[str] = ()
    ) -> tuple[str, int]:
        """Put files and directories into a new snapshot; return its id and how many bytes were new.

        Files whose names are like a pattern in `leave_out` stay out.
        """
        marks = [word for tag in (_MARK, *tags) for word in ("--tag", tag)]
        marks += [word for pattern in leave_out for word in ("--exclude", pattern)]
        argv = ["backup", "--json", "--host", source, *marks, "--files-from-raw", "/dev/stdin"]
        done = self._restic(argv, _COPY_SECONDS, GENTLY, given="".join(f"{path}\0" for path in paths))
        said = _last_json(done.output)
        if done.code not in {0, _INCOMPLETE} or said.get("message_type") != "summary":
            raise self._error(done, "took no copy")
        snapshot = str(said["snapshot_id"])
        # A path that is not there is left out, with a warning and the exit code 0.
        if done.code == _INCOMPLETE or "does not exist, skipping" in done.errors:
            raise IncompleteError(str(self._error(done, "took no whole copy")), snapshot)
        return snapshot, int(said.get("data_added", 0))

    def content(self, snapshot: str) -> dict[str, int]:
        """Return the files of a snapshot by path, with their sizes in bytes."""
        return {str(one["path"]): int(one.get("size", 0)) for one in self.nodes(snapshot) if one["type"] == "file"}

    def nodes(self, snapshot: str) -> list[dict[str, Any]]:
        """Return everything in a snapshot as restic describes it: path, type, mode, owner, size, time."""
        lines = self._asked("ls", "--json", snapshot).splitlines()
        entries = [json.loads(line) for line in lines if line.strip()]
        return [one for one in entries if "path" in one and "type" in one]

    def read(self, snapshot: str, path: str) -> str:
        """Return a small text file of a snapshot."""
        return self._asked("dump", snapshot, path)

    @contextmanager
    def stream(self, snapshot: str, path: str) -> Iterator[IO[bytes]]:
        """Give a big file of a snapshot to read; raises RepositoryError in the end when it was not whole."""
        with tempfile.TemporaryFile() as errors:
            with subprocess.Popen(
                ["restic", "--quiet", *self._options, "dump", snapshot, path],  # noqa: S607 - wherever it is
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=self._environment(),
                preexec_fn=die_with_parent,  # noqa: PLW1509 - the kernel offers no other way to die with the parent
            ) as process:
                yield cast("IO[bytes]", process.stdout)
            errors.seek(0)
            said = errors.read().decode("utf-8", "backslashreplace")
        if process.returncode != 0:
            raise self._error(Finished(process.returncode, "", said), f"did not give out {path}")

    def restore(self, snapshot: str, target: str, only: Iterable[str] = ()) -> None:
        """Put a snapshot, or some of its paths, into a directory; raises RepositoryError unless all of it came."""
        wanted = [word for path in only for word in ("--include", path)]
        done = self._restic(["restore", snapshot, "--target", target, *wanted], _COPY_SECONDS)
        # Old versions print such lines and end with 0.
        if done.code != 0 or "ignoring error for" in done.errors:
            raise self._error(done, "did not give out the whole snapshot")

    def check(self, part: str = "") -> None:
        """Look whether the repository is whole; `part` (`3/30`) reads so much of its data as well, `all` all of it."""
        data = ["--read-data"] if part == "all" else [f"--read-data-subset={part}"] if part else []
        done = self._restic(["check", *data], _COPY_SECONDS)
        if done.code != 0:
            raise self._error(done, "is damaged")

    def forget(self, snapshots: Sequence[str]) -> None:
        """Remove snapshots by their full ids, and what only they needed."""
        for begin in range(0, len(snapshots), _AT_ONCE):
            done = self._restic(["forget", *snapshots[begin : begin + _AT_ONCE]], _COPY_SECONDS)
            if done.code != 0:
                raise self._error(done, "did not remove snapshots")
        done = self._restic(["prune"], _COPY_SECONDS)
        if done.code != 0:
            raise self._error(done, "did not remove what nothing needs any more")

    def locks(self) -> list[restic_locks.Lock]:
        """Return the locks that are held in it, or were."""
        found = []
        for one in self._asked("--no-lock", "list", "locks").split():
            done = self._restic(["--no-lock", "cat", "lock", one], _ASK_SECONDS)
            # One that is gone by now was of somebody who works.
            if done.code == 0:
                found.append(restic_locks.from_record(one, json.loads(done.output), seconds_of))
        return found

    def unlock(self) -> None:
        """Remove locks that restic takes for stale; which those are has been looked at before (restic_locks)."""
        self._asked("unlock")

    def _asked(self, *arguments: str) -> str:
        return self._done(*arguments).output

    def _done(self, *arguments: str) -> Finished:
        done = self._restic(arguments, _ASK_SECONDS)
        if done.code != 0:
            raise self._error(done, f"did not do `{arguments[0]}`")
        return done

    def _restic(self, arguments: Sequence[str], seconds: float, way: Sequence[str] = (), **streams: Any) -> Finished:
        argv = [*way, "restic", *self._options, *arguments]
        try:
            return run_program(argv, seconds, env=self._environment(), **streams)
        except StackError as error:
            raise RepositoryError(f"the repository {self.name}: {error}") from error

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RESTIC_")}
        return {**kept, **self._files}

    def _error(self, done: Finished, what: str) -> RepositoryError:
        said = plain(" ".join(done.errors.split()))[-400:] or done.last_line
        if done.code == _NO_REPOSITORY or _NOT_THERE.search(done.errors):
            return NoRepositoryError(f"there is no repository {self.name}: {said}")
        if done.code == _LOCKED or "repository is already locked" in done.errors:
            return LockedError(f"the repository {self.name} is locked: {said}")
        if done.code == _WRONG_PASSWORD or "wrong password or no key found" in done.errors:
            return RepositoryError(f"the repository {self.name} does not open with the password in its file: {said}")
        kind = DamagedError if _DAMAGED.search(done.errors) else RepositoryError
        return kind(f"the repository {self.name} {what}: {said}")


def version() -> str:
    """Return restic's version."""
    try:
        words = run_program(["restic", "version"], _ASK_SECONDS).output.split()
    except StackError as error:
        raise RepositoryError(f"{error}; nothing was done: install the package restic on this host") from error
    return words[1] if len(words) > 1 else "unknown"


def _snapshot(record: dict[str, Any]) -> Snapshot:
    return Snapshot(
        id=str(record["id"]),
        source=str(record.get("hostname", "")),
        made=seconds_of(str(record["time"])),
        tags=tuple(record.get("tags") or ()),
        paths=tuple(record.get("paths") or ()),
    )


def seconds_of(moment: str) -> float:
    """Return a moment as restic writes it (RFC 3339 with up to nine digits) in seconds since 1970."""
    head, _, rest = moment.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))] if rest else ""
    zone = rest[len(digits) :] if rest else moment[19:]
    whole = datetime.fromisoformat(head[:19]).replace(tzinfo=UTC).timestamp()
    return whole - _offset(zone) + (float(f"0.{digits}") if digits else 0.0)


def _offset(zone: str) -> float:
    if not zone or zone == "Z":
        return 0.0
    hours, minutes = zone[1:].split(":")
    return (-1 if zone[0] == "-" else 1) * (int(hours) * 3600 + int(minutes) * 60)


def _last_json(output: str) -> dict[str, Any]:
    lines = [line for line in output.splitlines() if line.startswith("{")]
    try:
        found = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
