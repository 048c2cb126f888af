"""The decision table of an outage: what the facts say is wrong, and what is done about it."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.host_step import Found, Step, measure
from ansible.module_utils.outage_facts import Facts

#: States of a service that falls and is started again by itself: one more start would change nothing.
_FALLING = {"restarting", "starting"}
#: What a web server says when what it asks does not answer it.
_GATEWAY = {0, 502, 504}
ENGINE = "container engine"


def decide(facts: Facts, settings: dict[str, Any], services: list[str]) -> Found:
    """Return the causes, surest first: what another runbook cures, then what is cured here."""
    if is_well(facts):
        return Found("every service runs and every address answers", measures=_measures(facts))
    found = Found(_summary(facts), measures=_measures(facts))
    if facts.maintenance:
        return _maintenance(facts, found)
    if facts.engine_trouble:
        return _engine(facts, found, services)
    _hand_overs(facts, settings, found)
    _stopped(facts, settings, found)
    if not found.causes:
        _gateway(facts, settings, found)
    if not found.causes:
        _unexplained(facts, settings, found, services)
    return found


def is_well(facts: Facts) -> bool:
    """Return whether the application serves."""
    return not facts.engine_trouble and not facts.stopped and all(answer.well for answer in facts.answers.values())


def _summary(facts: Facts) -> str:
    down = [f"{name} is {state}" for name, state in facts.stopped.items()]
    bad = [f"{path} {answer.detail}" for path, answer in facts.answers.items() if not answer.well]
    return "; ".join(([facts.engine_trouble] if facts.engine_trouble else []) + down + bad)


def _measures(facts: Facts) -> list[dict[str, Any]]:
    well = sum(answer.well for answer in facts.answers.values())
    wanted = len(facts.answers)
    return [measure("addresses that answer 200", well, "", f"{wanted}", ok=well == wanted)]


def _bad(facts: Facts) -> list[str]:
    return [f"{path} {answer.detail}" for path, answer in facts.answers.items() if not answer.well]


def _maintenance(facts: Facts, found: Found) -> Found:
    found.causes["maintenance"] = [f"{facts.maintenance} exists", *_bad(facts)]
    found.notes.append(
        "somebody has put the application into maintenance, so nothing is started or restarted: ask whoever did it, "
        "or end it (`php artisan up`)"
    )
    found.enough = False
    return found


def _engine(facts: Facts, found: Found, services: list[str]) -> Found:
    found.causes["engine_dead"] = [facts.engine_trouble, *_bad(facts)]
    found.steps.append(Step("engine_dead", "revive", ENGINE))
    found.steps += [Step("engine_dead", "start", name) for name in services]
    return found


def _hand_overs(facts: Facts, settings: dict[str, Any], found: Found) -> None:
    bad = _bad(facts)
    if facts.full:
        found.causes["disk_full"] = [*facts.full, *bad]
    if reasons := _about(facts, settings["database"], "database"):
        found.causes["database_down"] = reasons
    if settings["redis"] in facts.running and "redis" in facts.unreachable:
        found.causes["redis_unreachable"] = [f"the application cannot reach it: {facts.unreachable['redis']}"]
    if facts.exhausted and bad:
        found.causes["resource_exhaustion"] = [*facts.exhausted, *bad]
    if facts.deployed and not found.causes:
        stopped = [f"{name} is {state}" for name, state in facts.stopped.items()]
        found.causes["recent_deployment"] = [facts.deployed, *stopped, *bad]


def _about(facts: Facts, service: str, dependency: str) -> list[str]:
    """Return why a service that the application needs is what is wrong."""
    reasons = [f"{service} is {facts.stopped[service]}"] if service in facts.stopped else []
    if dependency in facts.unreachable:
        reasons.append(f"the application cannot reach it: {facts.unreachable[dependency]}")
    return reasons


def _stopped(facts: Facts, settings: dict[str, Any], found: Found) -> None:
    if "recent_deployment" in found.causes:
        return  # started again they would only run what was deployed
    down = {
        name: state for name, state in facts.stopped.items() if name != settings["database"] and state not in _FALLING
    }
    if not down:
        return
    found.causes["services_stopped"] = [f"{name} is {state}" for name, state in down.items()]
    found.steps += [Step("services_stopped", "start", name, note=state) for name, state in down.items()]


def _gateway(facts: Facts, settings: dict[str, Any], found: Found) -> None:
    bad = [answer.status for answer in facts.answers.values() if not answer.well]
    both = {settings["application"], settings["web"]} <= facts.running
    if not (both and bad and set(bad) <= _GATEWAY):
        return
    found.causes["bad_gateway"] = [f"{settings['application']} and {settings['web']} are running", *_bad(facts)]
    found.steps.append(Step("bad_gateway", "restart", settings["application"]))
    found.steps.append(Step("bad_gateway", "restart", settings["web"], only_while_ill=True))


def _unexplained(facts: Facts, settings: dict[str, Any], found: Found, services: list[str]) -> None:
    found.causes["unexplained"] = [
        "no service is stopped, every dependency answers, there is room and memory, and nothing was deployed lately",
        *(f"{name} is {state}" for name, state in facts.stopped.items()),
        *_bad(facts),
    ]
    first = [name for name in settings["restart_order"] if name in services]
    order = [*first, *(name for name in services if name not in first)]
    found.steps += [Step("unexplained", "restart", name) for name in order]
    found.notes.append(
        "restarting the whole stack is the last resort of this runbook; if that does not help, a restore is the "
        "decision of level 3"
    )
