"""The steps of queue-failure: workers started, restarted and added, Redis revived, a class of jobs quarantined."""

from __future__ import annotations

import os
import time
from typing import Any

from ansible.module_utils import queue_quarantine, queue_redis, redis_persistence
from ansible.module_utils.fallen_services import stack_of
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Step, StepError, StepNotNeededError
from ansible.module_utils.queue_look import WORKERS
from ansible.module_utils.redis_persistence import REDIS
from ansible.module_utils.redis_wire import Redis, RedisRefusedError, RedisUnreachableError
from ansible.module_utils.run_state import make_private

_PAUSE = 0.2
_REDIS_SECONDS = 60.0
#: So long a worker may hold on to a job of a class that is taken out; then workers are stopped for a moment.
_LET_GO_SECONDS = 10.0
#: What is in memory only does not outlive a reboot, and jobs must.
_IN_MEMORY = ("/run/", "/dev/shm/")  # noqa: S108 - compared with, never written to


class _OnStack(Kind):
    def __init__(self, settings: dict[str, Any], stack: dict[str, Any]) -> None:
        self._settings = settings
        self._described = stack


class StartWorkers(_OnStack):
    """Starts the workers that should run and do not."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Start them."""
        stack = stack_of(self._described)
        changed = not stack.status()[WORKERS].running
        if changed:
            stack.start([WORKERS])
        if dead := [name for name, state in stack.instances(WORKERS).items() if not state.running]:
            stack.restart_instances(WORKERS, dead)
        return changed or bool(dead)


class RestartWorkers(_OnStack):
    """Restarts every worker; each may finish the job that it has, for as long as the stack gives it."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Restart them."""
        stack = stack_of(self._described)
        stack.restart_instances(WORKERS, list(stack.instances(WORKERS)))
        return True


class AddWorker(_OnStack):
    """Adds one worker; undone, it ends as soon as it has finished its job."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Add it, where there is still room for one."""
        stack = stack_of(self._described)
        states = stack.instances(WORKERS)
        there = step.data["instance"] in states and states[step.data["instance"]].running
        if not there and len(states) >= self._settings["workers_max"]:
            raise StepNotNeededError(f"{len(states)} workers run already, and no more may")
        return stack.add_instance(WORKERS, step.data["instance"])

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Remove it again."""
        stack_of(self._described).drop_instance(WORKERS, step.data["instance"])
        return f"{step.data['instance']} is gone"


class ReviveRedis(_OnStack):
    """Starts Redis, or restarts one that does not answer, once what it saved has been read and is whole."""

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Look once more, then start it."""
        stack = stack_of(self._described)
        if not self._trouble():
            raise StepNotNeededError("Redis answers again by itself")
        found = redis_persistence.saved(stack, self._settings)
        if obstacle := found.obstacle(self._settings["redis_persistence"]):
            raise StepError(f"Redis was left as it is: {obstacle}")
        if stack.status()[REDIS].running:
            stack.restart([REDIS])
        else:
            stack.start([REDIS])
        until = time.monotonic() + _REDIS_SECONDS
        while trouble := self._trouble():
            if time.monotonic() > until:
                raise StepError(f"Redis was started and does not answer within {_REDIS_SECONDS:g} s: {trouble}")
            time.sleep(_PAUSE)
        return True

    def _trouble(self) -> str:
        try:
            with queue_redis.connect(stack_of(self._described), self._settings) as redis:
                redis.command("PING")
        except (RedisUnreachableError, RedisRefusedError, StepError) as error:
            return str(error)
        return ""


class Quarantine(_OnStack):
    """Takes the jobs of one class out of the queues into a file on this host, and can put them back in order.

    Workers go on with all other jobs. A job of the class that a worker holds comes back when it fails, and is taken
    then; if it does not, the workers are stopped for the moment that it takes to take it from them.
    """

    def save(self, step: Step, keep: str) -> dict[str, Any]:
        """Make the place for the jobs and see that there is room for them; nothing is taken out yet."""
        make_private(keep)
        if keep.startswith(_IN_MEMORY):
            raise OSError(28, "jobs would be kept in memory only, and lost with a reboot", keep)
        with self._redis() as redis:
            needed = queue_quarantine.bytes_needed(redis, self._settings["redis_prefix"], self._settings["queues"])
        queue_quarantine.see_room(keep, needed)
        return {"file": os.path.join(keep, "jobs.jsonl"), "hold": queue_quarantine.new_hold()}

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Take every job of the class out, and see all of them in the file."""
        name, hold = step.data["class"], saved["hold"]
        with self._redis() as redis:
            moved = self._take(redis, name, hold)
            waited = redis.command("LLEN", hold)
            kept = queue_quarantine.write_down(redis, hold, saved["file"])
        if not kept:
            raise StepNotNeededError("none of its jobs is in the queues any more")
        return bool(moved or waited)

    def obstacle(self, step: Step, saved: dict[str, Any]) -> str:
        """Return why jobs cannot be put back now."""
        try:
            queue_quarantine.read_back(saved["file"])
            with self._redis() as redis:
                redis.command("LLEN", saved["hold"])
        except (StepError, RedisUnreachableError, RedisRefusedError) as error:
            return str(error)
        return ""

    def undo(self, step: Step, saved: dict[str, Any]) -> str:
        """Put the jobs back; the file stays with the run."""
        with self._redis() as redis:
            count = queue_quarantine.write_down(redis, saved["hold"], saved["file"])
            jobs = queue_quarantine.read_back(saved["file"])
            back = queue_quarantine.put_back(redis, saved["hold"], jobs)
        return f"{back} of {count} jobs are back in their queues"

    def _take(self, redis: Redis, name: str, hold: str) -> int:
        taken, until = 0, time.monotonic() + _LET_GO_SECONDS
        while True:
            moved, held = self._sweep(redis, name, hold, from_workers=False)
            taken += moved
            if not held:
                return taken
            if time.monotonic() > until:
                return taken + self._take_from_workers(redis, name, hold)
            time.sleep(_PAUSE)

    def _take_from_workers(self, redis: Redis, name: str, hold: str) -> int:
        """Take what workers hold as well; none runs meanwhile, so none can put it back a second time."""
        stack = stack_of(self._described)
        running = [one for one, state in stack.instances(WORKERS).items() if state.running]
        if running:
            stack.stop_instances(WORKERS, running)
        try:
            return self._sweep(redis, name, hold, from_workers=True)[0]
        finally:
            if running:
                stack.restart_instances(WORKERS, running)

    def _sweep(self, redis: Redis, name: str, hold: str, *, from_workers: bool) -> tuple[int, int]:
        prefix, queues = self._settings["redis_prefix"], self._settings["queues"]
        return queue_quarantine.sweep(redis, prefix, queues, name, hold, from_workers=from_workers)

    def _redis(self) -> Redis:
        try:
            return queue_redis.connect(stack_of(self._described), self._settings)
        except RedisUnreachableError as error:
            raise StepError(f"{error}; nothing more was done") from error
