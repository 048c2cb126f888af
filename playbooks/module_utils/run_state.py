"""What a run has written down on the host: its manifest, once, and its journal, line by line."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Collection, Iterator
from typing import Any

from ansible.module_utils.disk_measure import nearest_existing

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_MANIFEST = "manifest.json"
_JOURNAL = "journal.jsonl"
_LOCK_SECONDS = 10.0


class StateError(Exception):
    """What a run wrote down is missing, broken, or cannot be written."""


def checked_run_id(run_id: str) -> str:
    """Return the run id when it is fit to be the name of a directory."""
    if not _RUN_ID.fullmatch(run_id):
        raise StateError(f"{run_id!r} is no run id: letters, digits, dots, dashes and underscores, at most 100")
    return run_id


def write_whole(path: str, data: bytes) -> None:
    """Write a file so that after a crash it is there whole or not at all."""
    partial = f"{path}.partial"
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        target.write(data)
        target.flush()
        os.fsync(target.fileno())
    os.rename(partial, path)
    sync_directory(os.path.dirname(path))


def sync_directory(path: str) -> None:
    """Make the names in a directory last."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class RunState:
    """The directory of one run on this host."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._journal = os.path.join(directory, _JOURNAL)

    @property
    def manifest(self) -> dict[str, Any]:
        """What the snapshot wrote down."""
        path = os.path.join(self.directory, _MANIFEST)
        try:
            with open(path, encoding="ascii") as source:
                manifest: dict[str, Any] = json.load(source)
        except (OSError, ValueError) as error:
            raise StateError(f"{path} cannot be read ({error}); nothing was changed: start a new run") from error
        return manifest

    def write_manifest(self, manifest: dict[str, Any]) -> None:
        """Write down what the run may touch."""
        write_whole(os.path.join(self.directory, _MANIFEST), json.dumps(manifest).encode("ascii"))

    def append(self, **record: Any) -> None:
        """Add a line to the journal; it is on the disk when this returns."""
        line = json.dumps(record).encode("ascii") + b"\n"
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self._journal, flags, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line  # the last writer was killed in the middle of its line
            os.write(descriptor, line)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def journal(self) -> list[dict[str, Any]]:
        """Return every whole line of the journal."""
        try:
            with open(self._journal, encoding="ascii", errors="replace") as source:
                return [record for line in source if (record := _parsed(line))]
        except FileNotFoundError:
            return []

    def by_item(self, event: str) -> dict[int, dict[str, Any]]:
        """Return the last record of one event for each item."""
        return {record["item"]: record for record in self.journal() if record["event"] == event}

    @property
    def rolled_back(self) -> bool:
        """The run was undone; it must not act again."""
        return any(record["event"] == "rolled_back" for record in self.journal())


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None  # torn by a kill; what it was about to say is found out again from the files
    return record if isinstance(record, dict) and "event" in record else None


def find(directories: list[str], run_id: str) -> RunState | None:
    """Return what a run has written down on this host, if anything."""
    for directory in directories:
        path = os.path.join(directory, "runs", checked_run_id(run_id))
        if os.path.exists(os.path.join(path, _MANIFEST)):
            return RunState(path)
    return None


def last_done(directories: list[str], before: float) -> float:
    """Return when a run on this host last finished a step before a moment (seconds since 1970); 0 when none did."""
    found = 0.0
    for directory in directories:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for run in os.scandir(os.path.join(directory, "runs")):
                done = (float(record.get("at", 0)) for record in RunState(run.path).by_item("done").values())
                found = max(found, *(at for at in done if at < before), 0.0)
    return found


def found(directories: list[str], run_id: str) -> RunState:
    """Return what a run has written down, or say what to do without it."""
    state = find(directories, run_id)
    if state is None:
        raise StateError(
            f"this host has no manifest of run {run_id} in {' or '.join(directories)}; nothing was changed: "
            "the phase snapshot of the same run comes first"
        )
    return state


def usable_directory(directories: list[str], full: Collection[int]) -> str:
    """Return the first directory that does not lie on a full file system."""
    for directory in directories:
        if os.stat(nearest_existing(directory)).st_dev not in full:
            return directory
    raise StateError(
        f"no room to write down what the run does: {', '.join(directories)} lie on the full file system; "
        "nothing was changed: add a directory on another one to disk_full_state_dirs"
    )


def create(directories: list[str], run_id: str, full: Collection[int]) -> RunState:
    """Make the directory of a run."""
    path = os.path.join(usable_directory(directories, full), "runs", checked_run_id(run_id))
    make_private(path)
    return RunState(path)


def make_private(path: str) -> None:
    """Make a directory, and those above it, that only root may look into."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for one in reversed(missing):
        os.mkdir(one, 0o700)


@contextlib.contextmanager
def one_at_a_time(state: RunState) -> Iterator[None]:
    """Let only one process act on this host for disk-full; raises StateError when another one does not end."""
    path = os.path.join(os.path.dirname(os.path.dirname(state.directory)), "lock")
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + _LOCK_SECONDS
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise StateError(
                        "another run is acting on this host right now; nothing was changed: try again"
                    ) from None
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _all_runs(directories: list[str]) -> Iterator[tuple[float, RunState]]:
    """Yield when each run of this host wrote its manifest, and what it wrote down."""
    for directory in directories:
        parent = os.path.join(directory, "runs")
        for name in os.listdir(parent) if os.path.isdir(parent) else ():
            manifest = os.path.join(parent, name, _MANIFEST)
            if os.path.exists(manifest):
                yield os.stat(manifest).st_mtime, RunState(os.path.join(parent, name))


def placed_files(directories: list[str]) -> list[dict[str, Any]]:
    """Return the copies that rollbacks have put beside living logs: they are in the hold as well."""
    return [
        record["file"]
        for _, state in _all_runs(directories)
        for record in state.journal()
        if record["event"] == "placed"
    ]


def unfinished_starts(directories: list[str], hours: float = 24.0) -> bool:
    """Return whether a run of the last hours was to start services again and did not come to it."""
    since = time.time() - hours * 3600
    recent = [(written, state) for written, state in _all_runs(directories) if written > since]
    return bool(recent) and _is_unfinished(max(recent, key=lambda run: run[0])[1])


def _is_unfinished(state: RunState) -> bool:
    starts = {item for item, action in enumerate(state.manifest["actions"]) if action["verb"] == "start"}
    return not state.rolled_back and bool(starts - {*state.by_item("done"), *state.by_item("skipped")})
