"""The data directory of a database server: copied whole, put back whole, and tried out on a copy."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

from ansible.module_utils.disk_candidate import readable_size
from ansible.module_utils.disk_measure import nearest_existing
from ansible.module_utils.host_step import StepError
from ansible.module_utils.mariadb_server import MariaDB, name
from ansible.module_utils.run_state import make_private, sync_directory
from ansible.module_utils.stack_feed import fed

#: What is left free beside a copy.
_SPARE = 32 << 20
_TRIAL_SECONDS = 120.0
_LEVELS = (0, 1, 2, 3)
#: How long is waited, in seconds, before the data are copied again that somebody wrote to meanwhile.
_PAUSES = (1.0, 3.0, 5.0)
_WHOLE = "whole"
#: What a server says that finds a transaction neither committed nor rolled back, and has no binary log to ask.
_IN_DOUBT = "prepared transactions! It means that server was not shut down properly"


@dataclass(frozen=True)
class Trial:
    """What a copy of the data told: with which innodb_force_recovery it starts (None: with none), and what is left."""

    level: int | None
    readable: bool = False


def size_of(directory: str) -> int:
    """Return how many bytes a directory takes."""
    total = 0
    for parent, _, files in os.walk(directory):
        for file in files:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(parent, file)).st_size
    return total


def has_room(directory: str, size: int) -> bool:
    """Return whether so many bytes fit below a directory, which need not be there yet."""
    room = os.statvfs(nearest_existing(directory))
    return room.f_bavail * room.f_frsize > size + _SPARE


def need_room(directory: str, size: int) -> None:
    """Raise the error of a full disk when so many bytes do not fit: the next place is tried then."""
    if not has_room(directory, size):
        raise OSError(errno.ENOSPC, f"no room for a copy of the data ({readable_size(size)})", directory)


def kept(keep: str) -> str:
    """Return where the whole copy is that this or another step of the run has kept, or nothing."""
    parent = os.path.dirname(keep)
    for step in sorted(os.listdir(parent)) if os.path.isdir(parent) else ():
        if os.path.exists(os.path.join(parent, step, _WHOLE)):
            return os.path.join(parent, step, "data")
    return ""


def is_data(directory: str) -> bool:
    """Return whether a directory is one of a database server, as far as its names tell."""
    return all(os.path.lexists(os.path.join(directory, one)) for one in ("ibdata1", "mysql"))


def keep_copy(data: str, keep: str) -> None:
    """Copy the data directory; what is there afterwards is whole, or does not count."""
    need_room(keep, size_of(data))
    make_private(keep)
    copy = os.path.join(keep, "data")
    shutil.rmtree(copy, ignore_errors=True)
    copy_tree(data, copy)
    with open(os.path.join(keep, _WHOLE), "w", encoding="ascii"):
        pass
    sync_directory(keep)


def copy_tree(source: str, target: str) -> None:
    """Copy a directory with owners, modes and times; links are copied as links."""
    shutil.copytree(source, target, symlinks=True, copy_function=_copy, ignore=_no_sockets)
    for parent, directories, _ in os.walk(target):
        for directory in [parent, *(os.path.join(parent, one) for one in directories)]:
            if not os.path.islink(directory):
                _own(os.path.join(source, os.path.relpath(directory, target)), directory)


def empty(data: str) -> None:
    """Remove everything in a directory, but not the directory: it may be a mount point."""
    with os.scandir(data) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def fill(data: str, copy: str) -> None:
    """Make a directory hold exactly what a copy holds."""
    empty(data)
    with os.scandir(copy) as entries:
        for entry in entries:
            target = os.path.join(data, entry.name)
            if entry.is_dir(follow_symlinks=False):
                copy_tree(entry.path, target)
            else:
                _copy(entry.path, target)
    sync_directory(data)


def attempt(server: MariaDB, data: str, scratch: str, limit: int, tables: list[tuple[str, str]]) -> Trial:
    """Start a server on a copy of the data, with more and more recovery, and say with how much it starts.

    The data themselves are only read. With `readable` every row of the named tables could be read. A server that is
    started again and again writes even if it fails, and a copy of what changes meanwhile is worse than the data are:
    nothing bad is believed of such a copy. Raises StepError when there is none that could be believed.
    """
    for pause in (*_PAUSES, 0.0):
        before = _marks(data)
        with _copied(data, scratch) as copy:
            was_still = _marks(data) == before
            trial = _tried(server, copy, limit, tables)
        if was_still or trial.readable:
            return trial
        time.sleep(pause)
    raise StepError(
        f"whether the data can be repaired cannot be told: something writes to {data} all the time, though no server "
        f"answers; nothing was done: stop the service {server.service} and try again"
    )


def _tried(server: MariaDB, copy: str, limit: int, tables: list[tuple[str, str]]) -> Trial:
    # From below: a start that worked has changed the copy, and with less recovery it would work then, too.
    level = next((one for one in _LEVELS if one <= limit and _starts(server, copy, one)), None)
    if level is None:
        return Trial(None)
    names = [f"{name(schema)}.{name(table)}" for schema, table in tables]
    count = [f"SELECT COUNT(*) FROM {one} USE INDEX ()" for one in names]  # noqa: S608 - names of SQL
    return Trial(level, readable=_starts(server, copy, level, count))


def _marks(data: str) -> dict[str, tuple[int, int, int]]:
    """Return what changes of each file when it is written to."""
    marks = {}
    for parent, _, files in os.walk(data):
        for path in (os.path.join(parent, file) for file in files):
            with contextlib.suppress(FileNotFoundError):
                status = os.lstat(path)
                marks[path] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return marks


@contextlib.contextmanager
def _copied(data: str, scratch: str) -> Iterator[str]:
    size = size_of(data)
    if not has_room(scratch, size):
        raise StepError(
            f"whether the data can be repaired cannot be told: a copy of {data} ({readable_size(size)}) does not fit "
            f"into {scratch}; nothing was done: set database_failure_scratch_dir to a directory with room"
        )
    place = tempfile.mkdtemp(prefix="database-trial-", dir=scratch)
    try:
        copy = os.path.join(place, "data")
        copy_tree(data, copy)
        os.chmod(place, 0o711)  # noqa: S103 - the server's user must get through
        yield copy
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _starts(server: MariaDB, copy: str, level: int, statements: list[str] | None = None) -> bool:
    """Return whether a server on the copy starts, and does these statements without an error.

    A server that was killed in the middle of a commit asks its binary log what became of that. This one has no such
    log, and would refuse to start; it is told to commit, which ends it in any case, and is started once more.
    """
    code, said = _run(server, copy, level, statements)
    if code != 0 and _IN_DOUBT in said:
        _run(server, copy, level, None, "--tc-heuristic-recover=COMMIT")
        code, _ = _run(server, copy, level, statements)
    return code == 0


def _run(server: MariaDB, copy: str, level: int, statements: list[str] | None, *more: str) -> tuple[int, str]:
    own = [f"--{one}={copy}" for one in ("datadir", "innodb-data-home-dir", "innodb-log-group-home-dir")]
    own += [f"--innodb-undo-directory={copy}", f"--aria-log-dir-path={copy}", f"--pid-file={copy}/trial.pid"]
    own += ["--skip-networking", "--skip-log-error", "--skip-log-bin", "--skip-slave-start", "--user=mysql"]
    argv = ["mariadbd", "--bootstrap", *own, f"--innodb-force-recovery={level}", *_log_size(copy), *more]
    with fed(";\n".join([*(statements or ["SELECT 1"]), ""])) as stdin:
        code, _, said = server.stack.once(server.service, argv, [copy], _TRIAL_SECONDS, stdin=stdin)
    return code, said


def _log_size(copy: str) -> list[str]:
    """Return the option that leaves the log as big as it is: another size would have it written anew."""
    try:
        return [f"--innodb-log-file-size={os.stat(os.path.join(copy, 'ib_logfile0')).st_size}"]
    except FileNotFoundError:
        return []


def _copy(source: str, target: str) -> str:
    # The server may remove a temporary file while its data are copied.
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, target, follow_symlinks=False)
        status = os.lstat(source)
        os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    return target


def _no_sockets(directory: str, names: list[str]) -> list[str]:
    paths = {one: os.path.join(directory, one) for one in names}
    return [one for one, path in paths.items() if not (os.path.isfile(path) or os.path.isdir(path))]


def _own(source: str, target: str) -> None:
    status = os.stat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, status.st_mode & 0o7777)
