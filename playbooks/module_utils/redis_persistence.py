"""Whether what Redis has saved on disk can be read again: looked at before Redis is started or restarted."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.disk_candidate import shown
from ansible.module_utils.host_step import StepError
from ansible.module_utils.remediate_stack import Stack

REDIS = "redis"
#: A big file takes its time to be read from end to end.
_SECONDS = 120.0


@dataclass(frozen=True)
class Saved:
    """What was found where Redis saves."""

    #: What is whole, in words.
    whole: tuple[str, ...] = ()
    #: What is not, in words.
    damaged: tuple[str, ...] = ()

    def obstacle(self, wanted: str) -> str:
        """Return why Redis must not be started on this, or nothing."""
        if self.damaged:
            return "what Redis saved is damaged: " + "; ".join(self.damaged)
        if not self.whole and wanted != "none":
            return (
                "Redis has saved nothing where it should: its disk may be missing. If this Redis is meant to save "
                "nothing, set queue_failure_redis_persistence to none"
            )
        return ""


def saved(stack: Stack, settings: dict[str, Any]) -> Saved:
    """Read what Redis saved with Redis' own tools. Raises StepError when that cannot be looked at."""
    if settings["redis_persistence"] == "none":
        return Saved()
    there = _names(stack, settings["redis_dir"])
    checks = []
    if settings["redis_dump"] in there:
        checks.append(("redis-check-rdb", posixpath.join(settings["redis_dir"], settings["redis_dump"])))
    if settings["redis_aof"] in there:
        place = posixpath.join(settings["redis_dir"], settings["redis_aof"])
        parts = sorted(_names(stack, place))
        manifest = [name for name in parts if name.endswith(".manifest")]
        checks += [("redis-check-aof", posixpath.join(place, name)) for name in manifest]
        if parts and not manifest:
            return Saved(damaged=(f"{place} has no manifest",))
    return _checked(stack, checks)


def _checked(stack: Stack, checks: list[tuple[str, str]]) -> Saved:
    whole, damaged = [], []
    for tool, path in checks:
        code, output, errors = stack.beside(REDIS, [tool, path], _SECONDS)
        if code == 127 or "executable file not found" in errors:
            raise StepError(
                f"{tool} is not where Redis runs, so {path} could not be checked and nothing was done: install it"
            )
        if code == 0:
            whole.append(f"{path} is whole ({tool})")
        else:
            lines = (output.strip() + "\n" + errors.strip()).strip().splitlines() or ["it printed nothing"]
            damaged.append(f"{path} ({tool}: {shown(lines[-1])[:200]})")
    return Saved(tuple(whole), tuple(damaged))


def _names(stack: Stack, directory: str) -> set[str]:
    code, output, errors = stack.beside(REDIS, ["ls", "-1", directory], _SECONDS)
    if code != 0:
        said = shown((errors.strip() or "ls failed").splitlines()[-1])[:200]
        raise StepError(
            f"the place where Redis saves could not be looked at, and nothing was done: {said}. "
            "Set queue_failure_redis_dir to its directory"
        )
    return set(output.splitlines())
