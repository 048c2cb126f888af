"""The files that may be taken from a full disk: packages, journal, logs, backups, caches."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.backup_series import GoodBackups, group, removable
from ansible.module_utils.disk_candidate import Candidate, File, readable_size, shown
from ansible.module_utils.disk_measure import FileSystem
from ansible.module_utils.open_files import Handle, open_files
from ansible.module_utils.run_state import placed_files
from ansible.module_utils.safe_files import Directory, regular_files, split

_DAY = 86_400 * 10**9
_ARCHIVED_JOURNAL = re.compile(r"(?:system|user-\d+)@.+\.journal~?$")
_STAMP = re.compile(r"-?([0-9a-f]{16})(?:-[0-9a-f]{16})?\.journal~?$")
_LOG = re.compile(r"\.(?:log|err|out)(?:$|[.-])|\.log\d*$")
_LIVE_LOG = re.compile(r"\.(?:log|err|out)$")
#: A backup directory is checked for at most so long: diagnosis must end in time.
_CHECK_SECONDS = 45.0


@dataclass
class Look:
    """What one diagnosis needs to know of the host, and what it notes on the way."""

    parameters: dict[str, Any]
    full: dict[int, FileSystem]
    now: int = field(default_factory=time.time_ns)
    notes: list[str] = field(default_factory=list)
    #: Where the container engine keeps everything, once it was asked.
    engine_root: str = ""

    def __post_init__(self) -> None:
        self.handles: list[Handle] = open_files(self.full) if self.full else []
        self.by_file: dict[tuple[int, int], list[Handle]] = {}
        for handle in self.handles:
            self.by_file.setdefault((handle.status.st_dev, handle.status.st_ino), []).append(handle)

    def note(self, sentence: str) -> None:
        """Keep a sentence for the person who reads the plan."""
        self.notes.append(shown(sentence))

    def days_ago(self, days: float) -> int:
        """Return the moment so many days ago, in nanoseconds since the epoch."""
        return self.now - int(days * _DAY)

    def users(self, status: os.stat_result) -> list[Handle]:
        """Return who has a file open."""
        return self.by_file.get((status.st_dev, status.st_ino), [])

    def files(self, directories: Iterable[str], depth: int = 8) -> Iterator[tuple[str, os.stat_result]]:
        """Yield the files below some directories that lie on a full file system and have one name only."""
        seen = set()
        for directory in directories:
            for path, status in regular_files(directory, self.note, depth):
                if status.st_dev in self.full and status.st_nlink == 1 and path not in seen:
                    seen.add(path)
                    yield path, status


def delete(cause: str, files: tuple[File, ...], note: str = "") -> Candidate:
    """Return the candidate that deletes a file, and what goes with it."""
    first = files[0]
    return Candidate(
        cause=cause,
        verb="delete",
        target=first.path,
        device=first.device,
        bytes=sum(file.allocated for file in files),
        inodes=len(files),
        files=files,
        note=note,
        age_key=first.changed,
    )


def package_cache(look: Look) -> Iterator[Candidate]:
    """Downloaded packages: the package manager fetches them again when it needs them."""
    for path, status in look.files(look.parameters["package_cache_dirs"], depth=1):
        partial = os.path.basename(os.path.dirname(path)) == "partial"
        if (path.endswith(".deb") or partial) and os.path.basename(path) != "lock" and not look.users(status):
            yield delete("package_cache", (File.seen(path, status),))


def journal(look: Look) -> Iterator[Candidate]:
    """Archived journal files whose last entry is older than the days that are kept."""
    before = look.days_ago(look.parameters["journal_days"])
    for path, status in look.files(look.parameters["journal_dirs"], depth=1):
        name = os.path.basename(path)
        if _ARCHIVED_JOURNAL.match(name) and last_entry(name, status) < before:
            yield delete("journal", (File.seen(path, status),))


def last_entry(name: str, status: os.stat_result) -> int:
    """Return when a journal file was last written, but not before the time its name says it began."""
    stamp = _STAMP.search(name)
    began = int(stamp[1], 16) * 1000 if stamp else 0
    return max(status.st_mtime_ns, began if began < time.time_ns() else 0)


def application_logs(look: Look) -> Iterator[Candidate]:
    """Rotated and old log files that nobody has open."""
    before = look.days_ago(look.parameters["log_days"])
    for path, status in look.files(look.parameters["log_dirs"]):
        if _LOG.search(os.path.basename(path)) and status.st_mtime_ns < before and not look.users(status):
            yield delete("application_logs", (File.seen(path, status),))
    yield from _placed_by_rollbacks(look)


def _placed_by_rollbacks(look: Look) -> Iterator[Candidate]:
    """Copies that a rollback put beside a living log: whatever their age, nobody writes to them."""
    for record in placed_files(look.parameters["state_dirs"]):
        file = File(**record)
        if file.device in look.full and _is_unchanged(file):
            yield delete("application_logs", (file,), "put there by a rollback")


def _is_unchanged(file: File) -> bool:
    directory_path, name = split(file.path)
    try:
        with Directory(directory_path) as directory:
            return file.is_same(directory.status(name))
    except OSError:
        return False  # gone, with or without its directory


def old_backups(look: Look) -> Iterator[Candidate]:
    """Backups older than the days that are kept, never the newest good one of a series."""
    before = look.days_ago(look.parameters["backup_days"])
    is_good = GoodBackups(_CHECK_SECONDS)
    files = (File.seen(path, status) for path, status in look.files(look.parameters["backup_dirs"]))
    for series in group(files):
        backups, sentence = removable(series, before, is_good)
        if sentence:
            look.note(sentence)
        for backup in backups:
            also = ", ".join(os.path.basename(file.path) for file in backup.companions)
            yield delete("old_backups", backup.files, f"with {also}" if also else "")


def live_application_log(look: Look) -> Iterator[Candidate]:
    """Logs that the application is writing: copied, then emptied in place."""
    kept = look.parameters["log_tail"]
    before = look.days_ago(look.parameters["log_days"])
    for path, status in look.files(look.parameters["log_dirs"]):
        if not _LIVE_LOG.search(os.path.basename(path)) or status.st_blocks * 512 <= kept:
            continue
        writers = [handle for handle in look.users(status) if handle.writes]
        if not writers and status.st_mtime_ns < before:
            continue  # an old log, not a live one
        stubborn = sorted({handle.program for handle in writers if not handle.appends})
        if stubborn:
            look.note(
                f"{path} ({readable_size(status.st_blocks * 512)}) was left alone: {', '.join(stubborn)} does not "
                "append to it, so emptying it would leave a hole; restart that program instead"
            )
            continue
        yield truncate("live_application_log", path, path, status)


def truncate(cause: str, target: str, path: str, status: os.stat_result, **details: Any) -> Candidate:
    """Return the candidate that copies a file and then empties it in place."""
    return Candidate(
        cause=cause,
        verb="truncate",
        target=target,
        device=status.st_dev,
        bytes=status.st_blocks * 512,
        inodes=0,
        files=(File.seen(path, status),),
        age_key=-status.st_size,
        note="copied, then emptied in place: its writer goes on writing to it",
        details=details,
    )


def deleted_open_files(look: Look) -> Iterator[Candidate]:
    """Deleted logs that a process still holds open; other deleted files are only named."""
    done = set()
    # Of those that hold a file the oldest is named: a child that lives for a moment would be gone before the fix.
    for handle in sorted(look.handles, key=lambda one: (not one.writes, one.began, one.process, one.descriptor)):
        identity = (handle.status.st_dev, handle.status.st_ino)
        size = handle.status.st_blocks * 512
        if not handle.is_deleted or identity in done or not size:
            continue
        done.add(identity)
        if _is_log(handle.path, look.parameters["log_dirs"]):
            note = f"{handle.path}, deleted, open in {handle.program}"
            found = truncate("deleted_open_files", handle.through, handle.through, handle.status, name=handle.path)
            yield found.with_undo("held", note)
        elif size >= 16 << 20:
            look.note(
                f"{readable_size(size)} are in the deleted file {handle.path}, which {handle.program} (process "
                f"{handle.process}) has open: it is no log, so it is left alone; restarting that program frees it"
            )


def _is_log(path: str, directories: list[str]) -> bool:
    below = any(path.startswith(directory.rstrip("/") + "/") for directory in directories)
    return below or bool(_LOG.search(os.path.basename(path)))


def inode_exhaustion(look: Look) -> Iterator[Candidate]:
    """Small files that a cache has forgotten: counted only where inodes are short."""
    before = look.days_ago(look.parameters["cache_days"])
    wanted = look.parameters["target_free"]
    short = {device for device, seen in look.full.items() if seen.free_inodes_percent < wanted}
    for path, status in look.files(look.parameters["cache_dirs"]) if short else ():
        if status.st_dev in short and status.st_mtime_ns < before:
            yield delete("inode_exhaustion", (File.seen(path, status),))


FILE_CONSUMERS: tuple[Callable[[Look], Iterator[Candidate]], ...] = (
    package_cache,
    journal,
    application_logs,
    old_backups,
    live_application_log,
    deleted_open_files,
    inode_exhaustion,
)
