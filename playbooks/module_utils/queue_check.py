"""Proves that queues work again: workers run and take jobs, the depth falls, and nothing fails any more."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from ansible.module_utils import failed_jobs, queue_jobs, queue_look, queue_metrics, queue_redis
from ansible.module_utils.host_checks import CANNOT_TELL, CURED, NOT_CURED, Check, check, stack_checks, worst
from ansible.module_utils.host_step import Done, Seen, StepError, measure
from ansible.module_utils.queue_look import STUCK, WORKERS, Watched
from ansible.module_utils.redis_wire import Redis, RedisRefusedError, RedisUnreachableError
from ansible.module_utils.remediate_stack import Stack, StackError

_PAUSE = 0.5
#: How often it is asked meanwhile whether a job has failed: it is asked in the end in any case.
_ASK_SECONDS = 15.0
#: This part of what counts as a backlog is as good as empty: jobs come and go.
_EMPTY = 100


@dataclass(frozen=True)
class Window:
    """What the queues did while they were watched."""

    watched: Watched
    #: Classes whose jobs are tried over and over.
    stubborn: tuple[str, ...]
    #: By how much the application's own count of handled jobs grew; None where it has none.
    handled: float | None


def seen(settings: dict[str, Any], described: dict[str, Any], done: Done) -> Seen:
    """Look whether all is well, for as long as the window after the last step lasts."""
    stack = queue_look.stack_with_queue(settings, described)
    checks = [*stack_checks(described, settings["health_wait"]), workers(stack)]
    if worst(checks) == NOT_CURED:
        return Seen(checks)
    try:
        with queue_redis.connect(stack, settings) as redis:
            window = _watch(redis, stack, settings, done)
    except (RedisUnreachableError, RedisRefusedError, StepError) as error:
        return Seen([*checks, check("redis", NOT_CURED, str(error))])
    checks += judged(window, settings)
    checks.append(failures(stack, settings, _seconds_since(done, settings)))
    # They may have fallen during the window.
    checks.append(workers(stack, "workers at the end"))
    due = window.watched.last.sum("due")
    return Seen(checks, [measure("jobs that are due", due, "jobs", f"<= {settings['backlog']}, or falling", ok=True)])


def judged(window: Window, settings: dict[str, Any]) -> list[Check]:
    """Return what a window says about depth, workers and failing jobs. Pure."""
    first, last = (moment.sum("due") for moment in (window.watched.first, window.watched.last))
    if last <= max(settings["backlog"] // _EMPTY, 1):
        depth = check("depth", CURED, f"{last} jobs are due")
    else:
        depth = check("depth", CURED if last < first else NOT_CURED, f"{first} jobs were due, and now {last}")
    counted = f", {window.handled:.0f} were handled meanwhile" if window.handled is not None else ""
    stuck = window.watched.pace == STUCK and not window.handled
    taken = check("processing", NOT_CURED if stuck else CURED, f"workers: {window.watched.pace}{counted}")
    said = ", ".join(window.stubborn)
    stubborn = check("failing jobs", NOT_CURED if said else CURED, said or "none is tried over and over")
    return [depth, taken, stubborn]


def workers(stack: Stack, name: str = "workers") -> Check:
    """Look whether every worker runs."""
    try:
        states = stack.instances(WORKERS)
    except StackError as error:
        return check(name, CANNOT_TELL, str(error))
    dead = [f"{one} is {state.state}" for one, state in states.items() if not state.running]
    return check(name, NOT_CURED if dead else CURED, "; ".join(dead) or f"{', '.join(states)} run")


def failures(stack: Stack, settings: dict[str, Any], seconds: int) -> Check:
    """Look whether a job failed for good since the last step, or within the window where there was none."""
    if failed_jobs.DATABASE not in stack.services:
        return check("failures", CANNOT_TELL, f"the stack has no service {failed_jobs.DATABASE} that knows them")
    try:
        failed = failed_jobs.ask(stack, settings, seconds)
    except failed_jobs.FailedJobsError as error:
        return check("failures", CANNOT_TELL, str(error))
    if failed.count:
        return check("failures", NOT_CURED, f"{failed.said()} failed in the last {seconds} s")
    return check("failures", CURED, f"no job failed in the last {seconds} s")


def _seconds_since(done: Done, settings: dict[str, Any]) -> int:
    """Return how far back a failure counts: never to before the last step, whose cause it had."""
    if done.at is None:
        return int(settings["window"])
    return max(0, min(int(time.time() - done.at), settings["window"]))


def _watch(redis: Redis, stack: Stack, settings: dict[str, Any], done: Done) -> Window:
    """Watch until the window is over; it ends early when a job fails or workers are stuck."""
    prefix, queues = settings["redis_prefix"], settings["queues"]
    ends = time.time() if done.at is None else done.at + settings["window"]
    before = queue_metrics.ask(settings).handled
    first = queue_jobs.look(redis, prefix, queues)
    watched = queue_look.watch(redis, settings, settings["stuck"])
    ask_again = time.time() + _ASK_SECONDS
    while time.time() < ends and watched.pace != STUCK:
        time.sleep(min(_PAUSE, max(0.0, ends - time.time())))
        watched = queue_look.watch(redis, settings, settings["stuck"])
        if time.time() >= ask_again:
            ask_again = time.time() + _ASK_SECONDS
            if failures(stack, settings, _seconds_since(done, settings))["verdict"] == NOT_CURED:
                break
    after = queue_metrics.ask(settings).handled
    jobs = queue_jobs.classes(redis, prefix, queues, settings["poison_attempts"])
    stubborn = [f"{one.label} (tried {one.attempts} times)" for one in jobs if _is_stubborn(one, settings)]
    handled = None if before is None or after is None else after - before
    return Window(Watched(first, watched.last, watched.pace), tuple(stubborn), handled)


def _is_stubborn(one: queue_jobs.JobClass, settings: dict[str, Any]) -> bool:
    return one.tried_often > 0 and one.name not in settings["poison_ignore"]
