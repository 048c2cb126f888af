"""A queue worker gets an end to its life: after so much time, or so many jobs, it ends and is started anew."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any

from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.host_kinds import Rewrite
from ansible.module_utils.host_step import HELD, Step
from ansible.module_utils.remediate_stack import Stack, StackError

#: The word by which the worker's own command is told from a shell that hides it.
_WORK = "queue:work"
_MAX_TIME, _MAX_JOBS = "--max-time", "--max-jobs"


def limited(argv: Sequence[str], max_time: int, max_jobs: int) -> list[str]:
    """Return the command of a worker with both limits; one that is stricter already stays."""
    if _WORK not in argv:
        raise StackError(
            "the worker's command hides in a shell, so no limit can be set on it: add --max-jobs there by hand"
        )
    limits = {_MAX_TIME: max_time, _MAX_JOBS: max_jobs}
    kept, had = [], {}
    words = iter(argv)
    for word in words:
        name, separator, value = word.partition("=")
        if name in limits:
            had[name] = value if separator else next(words, "")
        else:
            kept.append(word)
    return kept + [f"{name}={_stricter(had.get(name, ''), most)}" for name, most in limits.items()]


def _stricter(had: str, most: int) -> int:
    """Return the smaller of both; 0 means no limit at all to a worker."""
    return min(int(had), most) if had.isdigit() and int(had) > 0 else most


def is_limited(argv: Sequence[str], max_time: int, max_jobs: int) -> bool:
    """Return whether the worker's limits are as strict as they should be already."""
    return sorted(limited(argv, max_time, max_jobs)) == sorted(argv)


def limit_step(cause: str, stack: Stack, service: str, settings: dict[str, Any]) -> Step | None:
    """Return the step that sets both limits, or nothing when they are set already."""
    most = (settings["worker_max_time"], settings["worker_max_jobs"])
    argv = stack.command(service)
    if is_limited(argv, *most):
        return None
    wanted = limited(argv, *most)
    path, content = stack.redefinition(service, wanted)
    return Step(
        cause,
        "limit and restart",
        service,
        HELD,
        detail=(f"written: {path}", *(word for word in wanted if word.startswith((_MAX_TIME, _MAX_JOBS)))),
        data={"path": path, "content": content, "argv": wanted, "mode": 0o644},
    )


class LimitWorker(Rewrite):
    """Gives a worker its limits by a file beside its own definition, and starts it anew; both can be taken back."""

    def __init__(self, stack: dict[str, Any]) -> None:
        self._stack = stack

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Keep what that file says at present."""
        return super().save(_file_of(step), keep)

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Write the file and start the worker anew, unless it runs like this already."""
        os.makedirs(os.path.dirname(step.data["path"]), mode=0o755, exist_ok=True)
        written = super().do(_file_of(step), saved)
        if not written and _command(stack_of(self._stack), step.target) == step.data["argv"]:
            return False
        stack_of(self._stack).take_up(step.target)
        return True

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return whether somebody has changed the file since."""
        return super().obstacle(_file_of(step), saved)

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Put back what was there, and start the worker anew."""
        path = super().undo(_file_of(step), saved)
        _remove_if_empty(os.path.dirname(path))
        stack_of(self._stack).take_up(step.target)
        return path


def _file_of(step: Step) -> Step:
    return Step(step.cause, step.verb, step.data["path"], step.undo, data=step.data)


def _command(stack: Stack, service: str) -> list[str]:
    try:
        return stack.command(service)
    except StackError:
        return []  # it does not run: then it has to be started


def _remove_if_empty(directory: str) -> None:
    """Remove the directory of a drop-in that was made for one; any other has something in it and stays."""
    if directory.endswith(".d"):
        with contextlib.suppress(OSError):
            os.rmdir(directory)
