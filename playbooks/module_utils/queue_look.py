"""One look at the queues of a host: Redis, jobs, workers, failures. Reads only, and watches for as long as it must."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils import failed_jobs, queue_jobs, queue_metrics, queue_redis
from ansible.module_utils.fallen_services import has_stack, stack_of
from ansible.module_utils.host_checks import Check, healthy
from ansible.module_utils.host_step import StepError
from ansible.module_utils.queue_jobs import JobClass, Moment
from ansible.module_utils.queue_parameters import mistake_in
from ansible.module_utils.redis_persistence import REDIS, Saved, saved
from ansible.module_utils.redis_wire import Redis, RedisUnreachableError
from ansible.module_utils.remediate_stack import ServiceState, Stack

WORKERS = "queue"
_PAUSE = 0.25
_SETTLE_SECONDS = 2.0

IDLE, TAKES, BUSY, STUCK = "idle", "takes jobs", "busy", "stuck"


@dataclass(frozen=True)
class Watched:
    """What a watch over the queues saw."""

    first: Moment
    last: Moment
    #: Whether workers take jobs: IDLE (there are none), TAKES, BUSY (with jobs that they took before), STUCK.
    pace: str


@dataclass(frozen=True)
class Facts:
    """Everything that decides."""

    redis: queue_redis.RedisState
    redis_service: ServiceState
    workers: dict[str, ServiceState]
    #: What Redis saved; looked at only when it does not answer.
    saved: Saved | None = None
    watched: Watched | None = None
    jobs: tuple[JobClass, ...] = ()
    failed: failed_jobs.Failed | None = None
    application: Check | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def dead(self) -> dict[str, ServiceState]:
        """Workers that should run and do not."""
        return {name: state for name, state in self.workers.items() if not state.running}

    @property
    def running(self) -> list[str]:
        """Workers that run."""
        return [name for name, state in self.workers.items() if state.running]


def stack_with_queue(settings: dict[str, Any], stack: dict[str, Any]) -> Stack:
    """Return the stack of this host, or say what is missing in the inventory."""
    if mistake := mistake_in(settings):
        raise StepError(f"{mistake}; nothing was done")
    if not has_stack(stack):
        raise StepError("the inventory does not say what runs on this host; set stack_layout and stack_services")
    if missing := [name for name in (WORKERS, REDIS) if name not in stack["services"]]:
        raise StepError(
            f"the stack of this host has no service {' and no service '.join(missing)}, so queues cannot be looked at; "
            "nothing was done: add it to stack_services, or take the host out of queue_failure_targets"
        )
    return stack_of(stack)


def look(settings: dict[str, Any], described: dict[str, Any], *, quick: bool = False) -> Facts:
    """Look once; `quick` does not wait to see whether workers take jobs."""
    stack = stack_with_queue(settings, described)
    service = stack.status()[REDIS]
    workers = stack.instances(WORKERS)
    try:
        with queue_redis.connect(stack, settings) as redis:
            state = _writable(queue_redis.state_of(redis))
            counted = queue_metrics.ask(settings)
            watched = watch(redis, settings, 0 if quick else settings["stuck"])
            jobs = queue_jobs.classes(redis, settings["redis_prefix"], settings["queues"], settings["poison_attempts"])
            _see_the_right_database(redis, settings, counted, watched.first)
            if not quick and watched.last.sum("due") > settings["backlog"]:
                watched = Watched(*_rate(redis, settings), watched.pace)
    except RedisUnreachableError as error:
        unreachable = queue_redis.RedisState(unreachable=str(error))
        return Facts(unreachable, service, _settled(stack, workers), saved(stack, settings))
    workers = _settled(stack, workers)
    failed, notes = _failed(stack, settings)
    url = described["health_url"]
    suspicious = any(one.tried_often for one in jobs) or (failed is not None and failed.count > 0)
    application = healthy(url) if url and suspicious else None
    notes += [f"the application's metrics cannot be read: {counted.trouble}"] if counted.trouble else []
    return Facts(state, service, workers, None, watched, jobs, failed, application, notes)


def _settled(stack: Stack, workers: dict[str, ServiceState]) -> dict[str, ServiceState]:
    """Look at workers once more where one does not run: one that has just ended may be started again at once."""
    if all(one.running for one in workers.values()):
        return workers
    time.sleep(_SETTLE_SECONDS)
    return stack.instances(WORKERS)


def _writable(state: queue_redis.RedisState) -> queue_redis.RedisState:
    if state.cannot_save:
        raise StepError(
            f"Redis answers and cannot save ({state.cannot_save}), so it refuses every write; nothing was done: it "
            "needs room on its disk (see disk-full) or the right to write to its directory, not a restart"
        )
    return state


def watch(redis: Redis, settings: dict[str, Any], seconds: float) -> Watched:
    """Watch whether jobs that are due are taken; ends with the first that is, or after so many seconds without one."""
    until = time.monotonic() + seconds
    first = last = _moment(redis, settings)
    while True:
        if not last.sum("due"):
            return Watched(first, last, IDLE)
        if queue_jobs.moved(first, last):
            return Watched(first, last, TAKES)
        if time.monotonic() >= until:
            at_work = last.sum("reserved") - last.sum("abandoned")
            return Watched(first, last, BUSY if at_work > 0 else STUCK)
        time.sleep(_PAUSE)
        last = _moment(redis, settings)


def _moment(redis: Redis, settings: dict[str, Any]) -> Moment:
    return queue_jobs.look(redis, settings["redis_prefix"], settings["queues"])


def _rate(redis: Redis, settings: dict[str, Any]) -> tuple[Moment, Moment]:
    first = _moment(redis, settings)
    time.sleep(settings["sample"])
    return first, _moment(redis, settings)


def _see_the_right_database(
    redis: Redis, settings: dict[str, Any], counted: queue_metrics.Counted, moment: Moment
) -> None:
    """Raise StepError when the application counts jobs and none are where the inventory says."""
    if not counted.depth or moment.sum("total"):
        return
    again = queue_metrics.ask(settings)
    if again.depth and not _moment(redis, settings).sum("total"):
        raise StepError(
            f"the application counts {again.depth:.0f} jobs, and Redis database {settings['redis_db']} has none under "
            f"{settings['redis_prefix']}queues:{settings['queues'][0]}; nothing was done: correct "
            "queue_failure_redis_db, queue_failure_redis_prefix or queue_failure_queues"
        )


def _failed(stack: Stack, settings: dict[str, Any]) -> tuple[failed_jobs.Failed | None, list[str]]:
    if failed_jobs.DATABASE not in stack.services:
        return None, [f"failed jobs cannot be told: the stack has no service {failed_jobs.DATABASE}"]
    try:
        return failed_jobs.ask(stack, settings, max(settings["window"], 1)), []
    except failed_jobs.FailedJobsError as error:
        return None, [str(error)]
