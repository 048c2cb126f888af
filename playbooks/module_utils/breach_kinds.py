"""What is done about an intruder's traces: taken away and kept, locked, or stopped; never destroyed."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import select
import signal
from collections.abc import Iterator
from typing import Any

from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError, StepNotNeededError
from ansible.module_utils.run_state import make_private, write_whole
from ansible.module_utils.safe_files import Directory, split
from ansible.module_utils.stack_program import run_program

_MOST_BYTES = 64 << 20
_SECONDS = 30.0
_NO_SHELL = "/usr/sbin/nologin"
#: The day on which an account ended: the first of all days.
_LONG_AGO = "1"


class Quarantine(Kind):
    """Takes a file away; it is kept with its owner, mode and times, and can be put back.

    `notice` is a file that maintenance mode writes, and removes when it ends: it stands in nobody's way.
    """

    def __init__(self, notice: str = "") -> None:
        self._notice = notice

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Keep a copy."""
        content, status = _read(step.target)
        make_private(keep)
        kept = os.path.join(keep, "content")
        write_whole(kept, content)
        return {
            "kept": kept,
            "sha256": hashlib.sha256(content).hexdigest(),
            "mode": status.st_mode & 0o7777,
            "uid": status.st_uid,
            "gid": status.st_gid,
            "times": [status.st_atime_ns, status.st_mtime_ns],
        }

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Take it away, if it still is what was kept."""
        try:
            content, _ = _read(step.target)
        except FileNotFoundError:
            return False
        if hashlib.sha256(content).hexdigest() != saved["sha256"]:
            raise StepError(f"{step.target} was changed since it was kept and is left as it is: start a new run")
        parent, name = split(step.target)
        with Directory(parent) as directory:
            directory.unlink(name)
            directory.sync()
        return True

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return whether something else has its place by now, or what was kept is damaged."""
        if os.path.lexists(step.target) and not self._is_notice(step.target):
            content, _ = _read(step.target)
            if hashlib.sha256(content).hexdigest() != saved["sha256"]:
                return "something else is there by now, and it would be lost"
        kept, _ = _read(saved["kept"])
        return "" if hashlib.sha256(kept).hexdigest() == saved["sha256"] else "what was kept of it is damaged"

    def _is_notice(self, path: str) -> bool:
        return path == self._notice and os.path.lexists(os.path.join(os.path.dirname(path), "down"))

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Put it back as it was."""
        if os.path.lexists(step.target):
            return step.target
        content, _ = _read(saved["kept"])
        parent, name = split(step.target)
        with Directory(parent) as directory:
            descriptor = directory.open(f".{name}.remediate", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as target:
                target.write(content)
                os.fchown(target.fileno(), saved["uid"], saved["gid"])
                os.fchmod(target.fileno(), saved["mode"])
                target.flush()
                os.utime(target.fileno(), ns=(saved["times"][0], saved["times"][1]))
                os.fsync(target.fileno())
            os.rename(f".{name}.remediate", name, src_dir_fd=directory.descriptor, dst_dir_fd=directory.descriptor)
            directory.sync()
        return step.target


class DisableTimer(Quarantine):
    """Stops a timer and takes its file away."""

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Keep the file, and remember whether the timer runs."""
        asked = run_program(["systemctl", "is-active", "--", _unit(step)], _SECONDS).output.strip()
        return {**super().save(step, keep), "active": asked == "active"}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Stop it, then take it away."""
        unit = _unit(step)
        run_program(["systemctl", "stop", "--", unit, f"{unit.removesuffix('.timer')}.service"], _SECONDS)
        changed = super().do(step, saved)
        run_program(["systemctl", "daemon-reload"], _SECONDS)
        return changed

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Put it back, and start it if it ran."""
        where = super().undo(step, saved)
        run_program(["systemctl", "daemon-reload"], _SECONDS)
        if saved["active"]:
            finished = run_program(["systemctl", "start", "--", _unit(step)], _SECONDS)
            if finished.code != 0:
                raise StepError(f"{_unit(step)} was put back and could not be started: {finished.last_line}")
        return where


def _unit(step: Step) -> str:
    return os.path.basename(step.target)


class LockUser(Kind):
    """Locks an account: no password, no shell, and ended long ago, so that keys do not open it either."""

    files = ("/etc/passwd", "/etc/shadow")

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Remember the account's lines."""
        return {"lines": [_line(path, step.data["name"]) for path in self.files]}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Lock it."""
        changed = False
        with _locked_accounts(self.files):
            for path, old in zip(self.files, saved["lines"], strict=True):
                now = _line(path, step.data["name"])
                if now == locked(old):
                    continue
                if now != old:
                    raise StepError(f"{step.target} was changed in {path} meanwhile and is left as it is: start again")
                _replace(path, old, locked(old))
                changed = True
        return changed

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return whether somebody has changed the account since."""
        pairs = zip(self.files, saved["lines"], strict=True)
        changed = [path for path, old in pairs if _line(path, step.data["name"]) not in {old, locked(old)}]
        return f"it was changed in {' and '.join(changed)} after the fix" if changed else ""

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Put the lines back."""
        with _locked_accounts(self.files):
            for path, old in zip(self.files, saved["lines"], strict=True):
                now = _line(path, step.data["name"])
                if now != old:
                    _replace(path, now, old)
        return step.target


def locked(line: str) -> str:
    """Return the line of an account, of either file, when it is locked; an empty one stays empty."""
    fields = line.split(":")
    if len(fields) == 7:
        password = fields[1] if fields[1] == "x" else f"!{fields[1]}"
        return ":".join([fields[0], password, *fields[2:6], _NO_SHELL])
    if len(fields) == 9:
        return ":".join([fields[0], f"!{fields[1]}", *fields[2:7], _LONG_AGO, fields[8]])
    return line


class StopProcess(Kind):
    """Stops the processes that were recorded, each known by its number and the moment it began."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Stop them."""
        stopped = [_stop(pid, began) for pid, began in step.data["processes"]]
        if not any(stopped):
            raise StepNotNeededError("it has ended by itself")
        return True


def _stop(pid: int, began: int) -> bool:
    """Stop one process; what has its number by now, and is another one, is left alone."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if _began(pid) != began:
            return False
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        if not select.select([handle], [], [], _SECONDS)[0]:
            raise StepError(f"process {pid} did not end {_SECONDS:.0f} s after it was stopped")
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def _began(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as source:
            return int(source.read().rpartition(b")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return -1


def _read(path: str) -> tuple[bytes, os.stat_result]:
    parent, name = split(path)
    with Directory(parent) as directory, os.fdopen(directory.open(name), "rb") as source:
        content = source.read(_MOST_BYTES + 1)
        status = os.fstat(source.fileno())
    if len(content) > _MOST_BYTES:
        raise StepError(f"{path} is larger than {_MOST_BYTES >> 20} MiB: move it away by hand")
    return content, status


def _line(path: str, name: str) -> str:
    """Return the line of an account, or nothing."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as source:
            return next((line.rstrip("\n") for line in source if line.split(":", 1)[0] == name), "")
    except FileNotFoundError:
        return ""


def _replace(path: str, old: str, new: str) -> None:
    with open(path, encoding="utf-8", errors="surrogateescape") as source:
        lines = source.readlines()
    status = os.stat(path)
    content = "".join(new + "\n" if line.rstrip("\n") == old else line for line in lines)
    parent, name = split(path)
    with Directory(parent) as directory:
        written = f".{name}.remediate"
        descriptor = directory.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as target:
            target.write(content.encode("utf-8", "surrogateescape"))
            os.fchown(target.fileno(), status.st_uid, status.st_gid)
            os.fchmod(target.fileno(), status.st_mode & 0o7777)
            target.flush()
            os.fsync(target.fileno())
        os.rename(written, name, src_dir_fd=directory.descriptor, dst_dir_fd=directory.descriptor)
        directory.sync()


@contextlib.contextmanager
def _locked_accounts(files: tuple[str, ...]) -> Iterator[None]:
    """Keep every other program from changing accounts meanwhile, as passwd and useradd do."""
    library = ctypes.CDLL(None, use_errno=True)
    ours = files[0] == "/etc/passwd"
    if ours and library.lckpwdf() != 0:
        raise StepError("the list of users is being changed by another program; nothing was changed: try again")
    try:
        yield
    finally:
        if ours:
            library.ulckpwdf()
