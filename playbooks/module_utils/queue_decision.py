"""Decides from what a look at the queues told: which causes there are, and what is to be done. Pure."""

from __future__ import annotations

import re
from typing import Any

from ansible.module_utils.host_checks import CURED
from ansible.module_utils.host_step import HELD, Found, Step, measure
from ansible.module_utils.queue_jobs import JobClass, falls
from ansible.module_utils.queue_look import STUCK, WORKERS, Facts
from ansible.module_utils.redis_persistence import REDIS

#: Without Redis every worker falls by an error of its own and is started again, and that is not its fault. One that was
#: stopped, or ended by a signal (a code above 128), is another matter.
_FALLING = re.compile(r"restarting|starting|created|failed \(exit-code\)|exited \(([1-9]|[1-9]\d|1[01]\d|12[0-8])\)")
_NAMED = 10


def decide(facts: Facts, settings: dict[str, Any], spare: list[str]) -> Found:
    """Return what is wrong and what would be done; `spare` are names that more workers would have."""
    found = Found("", notes=list(facts.notes), measures=_measures(facts, settings))
    if facts.redis.unreachable:
        _redis(facts, settings, found)
    else:
        _poison(facts, settings, found)
    _workers(facts, settings, found)
    if not {"redis_unreachable", "workers_dead"} & found.causes.keys():
        _backlog(facts, settings, found, spare)
    found.summary = _summary(facts, found)
    return found


def _redis(facts: Facts, settings: dict[str, Any], found: Found) -> None:
    evidence = [f"Redis does not answer: {facts.redis.unreachable}", f"its service is {facts.redis_service.state}"]
    found.causes["redis_unreachable"] = evidence
    obstacle = facts.saved.obstacle(settings["redis_persistence"]) if facts.saved else ""
    if obstacle:
        found.enough = False
        found.notes.append(
            f"Redis is not started: {obstacle}. Jobs that it would lose cannot be had again: copy its directory, "
            "repair or restore it by hand, then run this again"
        )
        return
    evidence += list(facts.saved.whole) if facts.saved else []
    found.steps += [
        Step("redis_unreachable", "revive", REDIS, note="after one more look at what it saved"),
        Step("redis_unreachable", "restart", WORKERS, note="so that they find it at once"),
    ]


def _poison(facts: Facts, settings: dict[str, Any], found: Found) -> None:
    suspects = poisonous(facts, settings)
    if not suspects:
        return
    if facts.application is not None and facts.application["verdict"] != CURED:
        found.notes.append(
            f"jobs fail ({', '.join(one.label for one in suspects)}), but so does the application itself "
            f"({facts.application['detail']}): that comes first, see service-outage"
        )
        return
    evidence = [_said(one, facts, settings) for one in suspects]
    found.causes["poison_job"] = evidence
    found.steps += [
        Step("poison_job", "quarantine", one.label, HELD, f"about {one.jobs} jobs", data={"class": one.name})
        for one in suspects
    ]
    found.steps.append(Step("poison_job", "restart", WORKERS))


def poisonous(facts: Facts, settings: dict[str, Any]) -> list[JobClass]:
    """Return the classes that fail over and over and of which there are jobs that will do so again."""
    recent = facts.failed.recent if facts.failed else {}
    known = [one for one in facts.jobs if one.name not in settings["poison_ignore"]]
    return [one for one in known if one.tried_often or recent.get(one.name, 0) >= settings["poison_failures"]]


def _said(one: JobClass, facts: Facts, settings: dict[str, Any]) -> str:
    recent = facts.failed.recent.get(one.name, 0) if facts.failed else 0
    said = f"{one.label}: {one.jobs} jobs in {', '.join(one.queues)}, the most stubborn tried {one.attempts} times"
    return said + (f"; {recent} failed for good in the last {settings['window']} s" if recent else "")


def _workers(facts: Facts, settings: dict[str, Any], found: Found) -> None:
    dead = {
        name: state
        for name, state in facts.dead.items()
        if not (facts.redis.unreachable and _FALLING.fullmatch(state.state))
    }
    if dead:
        found.causes["workers_dead"] = [f"{name} is {state.state} ({state.detail})" for name, state in dead.items()]
        found.steps.append(Step("workers_dead", "start", WORKERS, note=", ".join(dead)))
    elif facts.watched and facts.watched.pace == STUCK:
        due, abandoned = facts.watched.last.sum("due"), facts.watched.last.sum("abandoned")
        found.causes["workers_dead"] = [
            f"{len(facts.running)} workers run, but took none of {due} jobs that are due in {settings['stuck']} s",
            *([f"{abandoned} jobs were taken, and never finished within their time"] if abandoned else []),
        ]
        if "poison_job" not in found.causes:
            found.steps.append(Step("workers_dead", "restart", WORKERS, note="they run, and hang"))


def _backlog(facts: Facts, settings: dict[str, Any], found: Found, spare: list[str]) -> None:
    if facts.watched is None or facts.watched.last.sum("due") <= settings["backlog"]:
        return
    due, rate = facts.watched.last.sum("due"), falls(facts.watched.first, facts.watched.last)
    if rate > 0 and due / rate <= settings["drain"]:
        found.notes.append(f"{due} jobs wait, and at {rate:.1f} a second they are done in {due / rate:.0f} s")
        return
    pace = f"they become fewer by {rate:.1f} a second" if rate > 0 else "they do not become fewer"
    found.causes["backlog"] = [
        f"{due} jobs wait, more than {settings['backlog']}",
        f"{len(facts.running)} workers run and take jobs; {pace}, which is not done within {settings['drain']} s",
    ]
    found.steps += [Step("backlog", "add_worker", name, HELD, data={"instance": name}) for name in spare]
    if not spare:
        found.enough = False
        found.notes.append(
            f"{len(facts.running)} workers run, and queue_failure_workers_max allows no more than "
            f"{settings['workers_max']}: raise it if the host has room, or find out why jobs take so long"
        )


def _measures(facts: Facts, settings: dict[str, Any]) -> list[dict[str, Any]]:
    up = len(facts.running)
    measures = [measure("workers running", up, "workers", f"{len(facts.workers)}", ok=up == len(facts.workers))]
    if facts.watched:
        limit = settings["backlog"]
        measures += [
            measure(f"depth of {one.name}", one.total, "jobs", f"<= {limit}", ok=one.total <= limit)
            for one in facts.watched.last.queues
        ]
    if facts.failed:
        measures.append(
            measure(f"failed in {settings['window']} s", facts.failed.count, "jobs", "0", ok=not facts.failed.count)
        )
    return measures


def _summary(facts: Facts, found: Found) -> str:
    if found.causes:
        return "the queue does not work: " + ", ".join(one.replace("_", " ") for one in found.causes)
    if facts.failed and facts.failed.count:
        found.notes.append(f"jobs failed lately, and none of them waits any more: {facts.failed.said()}")
    waiting = facts.watched.last.sum("total") if facts.watched else 0
    return f"{len(facts.running)} workers run, {waiting} jobs are in the queues: nothing to do"
