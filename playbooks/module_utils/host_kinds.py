"""Steps that many runbooks have in common: services started, restarted and reloaded, and files rewritten."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.run_state import make_private, write_whole
from ansible.module_utils.safe_files import Directory, split

#: A settings file is small; what is larger is something else.
_MOST_BYTES = 1 << 20


class Start(Kind):
    """Starts the service that the step names, where it does not run."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self._stack = stack

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Start it."""
        stack = stack_of(self._stack)
        if stack.status()[step.target].running:
            return False
        stack.start([step.target])
        return True


class Restart(Kind):
    """Restarts the service that the step names."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self._stack = stack

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Restart it."""
        stack_of(self._stack).restart([step.target])
        return True


class Reload(Kind):
    """Makes the service that the step names read its configuration again."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self._stack = stack

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Reload it."""
        stack_of(self._stack).reload([step.target])
        return True


class Rewrite(Kind):
    """Gives the file that the step names the content `data["content"]`, and can put the old content back.

    A file that was not there is made, with `data["mode"]`. With `data["in_place"]` the file itself is written, not
    replaced: a container that has just this file mounted goes on seeing the old one else.
    """

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Keep the present content."""
        found = _read(step.target)
        if found is None:
            return {"sha256": "", "was": None}
        make_private(keep)
        kept = os.path.join(keep, "content")
        write_whole(kept, found[0])
        return {"sha256": _digest(found[0]), "was": {"kept": kept, **found[1]}}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Write the new content; refuses when somebody else has changed the file meanwhile."""
        now, new = _read(step.target), step.data["content"].encode()
        digest = _digest(now[0]) if now else ""
        if digest == _digest(new):
            return False
        if digest != saved["sha256"]:
            raise StepError(f"{step.target} was changed by somebody else meanwhile and is left as it is: start again")
        kept = saved["was"] or {"mode": step.data.get("mode", 0o600), "uid": 0, "gid": 0}
        _put(step.target, new, kept, in_place=bool(step.data.get("in_place")) and now is not None)
        return True

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return whether somebody has changed the file since."""
        now = _read(step.target)
        digest = _digest(now[0]) if now else ""
        if digest in {saved["sha256"], _digest(step.data["content"].encode())}:
            return ""
        return "it was changed after the fix, and putting the old content back would lose that"

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Put the old content back, or remove what was not there."""
        if saved["was"] is None:
            if os.path.lexists(step.target):
                os.unlink(step.target)
            return step.target
        with open(saved["was"]["kept"], "rb") as source:
            old = source.read()
        if _digest(old) != saved["sha256"]:
            raise StepError(f"what was kept of {step.target} is damaged; the file is left as it is")
        _put(step.target, old, saved["was"], in_place=bool(step.data.get("in_place")) and os.path.exists(step.target))
        return step.target


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read(path: str) -> tuple[bytes, dict[str, int]] | None:
    """Return content, mode and owner of a file, never through a symbolic link."""
    parent, name = split(path)
    try:
        with Directory(parent) as directory:
            descriptor = directory.open(name)
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as source:
        status = os.fstat(source.fileno())
        content = source.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise StepError(f"{path} is larger than a settings file can be; it is left as it is")
    return content, {"mode": status.st_mode & 0o7777, "uid": status.st_uid, "gid": status.st_gid}


def _put(path: str, content: bytes, like: dict[str, int], *, in_place: bool) -> None:
    """Write a file whole; its mode and owner are those of the one before."""
    parent, name = split(path)
    with Directory(parent) as directory:
        written = name if in_place else f".{name}.remediate"
        descriptor = directory.open(written, os.O_WRONLY | os.O_CREAT, like["mode"])
        try:
            os.fchmod(descriptor, like["mode"])
            os.fchown(descriptor, like["uid"], like["gid"])
            os.ftruncate(descriptor, 0)
            with os.fdopen(os.dup(descriptor), "wb") as target:
                target.write(content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if not in_place:
            os.rename(written, name, src_dir_fd=directory.descriptor, dst_dir_fd=directory.descriptor)
        directory.sync()
