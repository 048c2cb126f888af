"""The rules of the storm policy: each looks at a request and says why not, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from remediate.domain.breaker import BreakerState, breaker_of
from remediate.domain.run import RunStatus, StartedBy, request_id
from remediate.domain.runbook import Severity
from remediate.domain.storm import (
    EVERY_HOST,
    ROUTINE_FREE,
    UNCONDITIONAL,
    Admitted,
    Attempt,
    LiveRun,
    Quota,
    Refusal,
    Request,
    Rule,
    Situation,
    StormPolicy,
    counted,
)
from remediate.domain.switch import PAUSE
from remediate.domain.times import moment, span


def admit(request: Request, situation: Situation, policy: StormPolicy) -> Admitted | Refusal:
    """Decide whether a run may begin to change all of its hosts now: the first rule that says no decides."""
    overridden: list[Refusal] = []
    for rule in RULES:
        refusal = rule(request, situation, policy)
        if refusal is None or _exempt(refusal, request, situation, policy):
            continue
        if not _overrides(refusal, request, policy):
            return refusal
        overridden.append(refusal)
    return Admitted(overridden=tuple(overridden), override_reason=request.override_reason if overridden else "")


def foresee(request: Request, situation: Situation, policy: StormPolicy) -> Admitted | Refusal:
    """Decide whether a run may be asked for: no only when none of its hosts could be changed now.

    Before the diagnosis nobody knows which of the hosts are ill; `admit` decides about those.
    """
    alone = (request.model_copy(update={"hosts": (host,)}) for host in request.hosts)
    answers = [admit(one, situation, policy) for one in alone]
    return next((answer for answer in answers if isinstance(answer, Admitted)), answers[0])


def _exempt(refusal: Refusal, request: Request, situation: Situation, policy: StormPolicy) -> bool:
    if request.runbook in situation.routine and refusal.rule in ROUTINE_FREE:
        return True
    return not refusal.hard and refusal.rule in policy.exempt.get(request.started_by, ())


def _overrides(refusal: Refusal, request: Request, policy: StormPolicy) -> bool:
    asked = request.started_by is StartedBy.PERSON and bool(request.override_reason.strip())
    return asked and not refusal.hard and refusal.rule in policy.override


def paused(_request: Request, situation: Situation, _policy: StormPolicy) -> Refusal | None:
    """Refuse everything while somebody keeps the site paused."""
    switch = situation.switches.get(PAUSE)
    if switch is None or not switch.on:
        return None
    return _no(Rule.PAUSED, f"paused by {switch.by} since {moment(switch.at)}: {switch.reason}")


def freeze(request: Request, situation: Situation, _policy: StormPolicy) -> Refusal | None:
    """Refuse what a freeze is about; SEV1 may pass, unless the freeze is hard."""
    groups = situation.groups_of(request.hosts)
    found = [
        (window.ends, entry)
        for entry in situation.freezes
        if entry.concerns(request.runbook, groups)
        and (entry.hard or request.severity is not Severity.SEV1)
        and (window := entry.window_at(situation.now))
    ]
    if not found:
        return None
    named = "; ".join(f"{entry.name}{' (hard)' if entry.hard else ''}: {entry.reason}" for _, entry in found)
    hard = any(entry.hard for _, entry in found)
    return Refusal(rule=Rule.FREEZE, reason=named, until=max(ends for ends, _ in found), hard=hard)


def host_busy(request: Request, situation: Situation, _policy: StormPolicy) -> Refusal | None:
    """Refuse a host that another run is changing, and what another run of the same runbook is about to do there.

    A run that was only requested has not looked yet, and waits for its turn.
    """
    found = [
        (host, run)
        for host in request.hosts
        for run in _others(request, situation)
        if host in run.hosts and (run.acting or (run.runbook == request.runbook and not run.waits_for_its_turn))
    ]
    if not found:
        return None
    said = "; ".join(f"{host}: run {run.run_id} of {run.runbook} is {run.status.value}" for host, run in found)
    return _no(Rule.HOST_BUSY, said, (run for _, run in found))


def cooldown(request: Request, situation: Situation, _policy: StormPolicy) -> Refusal | None:
    """Refuse a host on which this runbook has acted a moment ago."""
    found = []
    for host in request.hosts:
        # What an interrupted run did itself does not keep it, or the run that continues it, from going on.
        tried = situation.attempts_on(request.runbook, host)
        own = request_id(request.run_id)
        until = cooled_at((entry for entry in tried if request_id(entry.run_id) != own), request.cooldown)
        if until and until > situation.now:
            acted = f"{host}: {request.runbook} acted until {moment(until - request.cooldown)}"
            found.append((f"{acted} and rests {span(request.cooldown)}", until))
    return _until_all(Rule.COOLDOWN, found)


def attempts(request: Request, situation: Situation, policy: StormPolicy) -> Refusal | None:
    """Refuse a host on which this runbook was tried too often, whatever came of it."""
    found = []
    for host in request.hosts:
        tried = counted(situation.attempts_on(request.runbook, host), Rule.ATTEMPTS, policy)
        if until := used_up(policy.attempts, tried, situation.now):
            count = _count(policy.attempts, tried, situation.now)
            found.append((f"{host}: {request.runbook} was tried {count}", until))
    return _until_all(Rule.ATTEMPTS, found)


def recurrence(request: Request, situation: Situation, policy: StormPolicy) -> Refusal | None:
    """Refuse to cure again what was cured again and again and came back: its cause is another one."""
    found = []
    for host in request.hosts:
        tried = counted(situation.attempts_on(request.runbook, host), Rule.RECURRENCE, policy)
        cured = [entry for entry in tried if _cured(entry)]
        if until := used_up(policy.recurrence, cured, situation.now):
            count = _count(policy.recurrence, cured, situation.now)
            found.append((f"{host}: {request.runbook} cured it {count} and it is back", until))
    return _until_all(Rule.RECURRENCE, found)


def fleet(request: Request, situation: Situation, policy: StormPolicy) -> Refusal | None:
    """Refuse to have more hosts of any group under change at once than the group may spare."""
    others = [run for run in _others(request, situation) if run.acting]
    busy = {host for run in others for host in run.hosts}
    for group in sorted(situation.groups_of(request.hosts)):
        members = situation.groups.get(group, frozenset())
        room = policy.fleet.room(len(members))
        # Hosts that the inventory no longer names are under change all the same.
        changing = {host for host in busy | set(request.hosts) if group == EVERY_HOST or host in members}
        if len(changing) > room:
            already = ", ".join(sorted(changing & busy)) or "none yet"
            said = (
                f"{len(changing)} hosts of the group {group} would be under change at once, "
                f"{room} of its {len(members)} may be (already: {already})"
            )
            return _no(Rule.FLEET, said, others)
    return None


def breaker(request: Request, situation: Situation, policy: StormPolicy) -> Refusal | None:
    """Refuse a runbook whose last ends were not cured, anywhere; after a long time one run may try."""
    found = breaker_of(request.runbook, situation, policy.breaker)
    if found.state is BreakerState.CLOSED:
        return None
    said = f"the last {found.failures} ends of {request.runbook} in a row were not cured"
    if found.state is BreakerState.OPEN:
        return Refusal(rule=Rule.BREAKER, reason=said, until=found.until)
    trying = [run for run in _others(request, situation) if run.acting and run.runbook == request.runbook]
    if not trying:
        return None
    reason = f"{said}, and run {trying[0].run_id} is trying whether it does now"
    return Refusal(rule=Rule.BREAKER, reason=reason, runs=tuple(run.run_id for run in trying))


def budget(_request: Request, situation: Situation, policy: StormPolicy) -> Refusal | None:
    """Refuse more runs than the whole site may see in a time."""
    tried = counted(situation.attempts, Rule.BUDGET, policy)
    until = used_up(policy.budget, tried, situation.now)
    if until is None:
        return None
    began = within(policy.budget, tried, situation.now)
    said = f"{len(began)} runs began on this site within {span(policy.budget.within)} (at most {policy.budget.most})"
    return Refusal(rule=Rule.BUDGET, reason=said, until=until)


#: Asked in this order.
RULES: tuple[Callable[[Request, Situation, StormPolicy], Refusal | None], ...] = (
    paused,
    freeze,
    host_busy,
    cooldown,
    attempts,
    recurrence,
    fleet,
    breaker,
    budget,
)


def within(quota: Quota, tried: Iterable[Attempt], now: datetime) -> list[datetime]:
    """Return when those that count against a quota began, earliest first; what lies in the future counts too.

    A clock that was set back must not make room for more.
    """
    return sorted(attempt.began_at for attempt in tried if attempt.began_at > now - quota.within)


def used_up(quota: Quota, tried: Iterable[Attempt], now: datetime) -> datetime | None:
    """Return until when a quota is used up, or None when there is room."""
    began = within(quota, tried, now)
    return began[-quota.most] + quota.within if len(began) >= quota.most else None


def cooled_at(tried: Iterable[Attempt], rest: timedelta) -> datetime | None:
    """Return when a host has rested after the last of some attempts; a plan that was stale was never carried out."""
    ended = [attempt.ended_at for attempt in tried if attempt.ended_at and attempt.status is not RunStatus.EXPIRED]
    return max(ended) + rest if ended else None


def _count(quota: Quota, tried: Iterable[Attempt], now: datetime) -> str:
    times = "time" if quota.most == 1 else "times"
    return f"{len(within(quota, tried, now))} {times} within {span(quota.within)} (at most {quota.most})"


def _cured(attempt: Attempt) -> bool:
    return attempt.status is RunStatus.SUCCEEDED


def _others(request: Request, situation: Situation) -> tuple[LiveRun, ...]:
    """Return the other live runs; what is routine does not stand in the way of a cure."""
    unseen = situation.routine - {request.runbook} if request.runbook not in situation.routine else frozenset()
    return tuple(run for run in situation.live if run.run_id != request.run_id and run.runbook not in unseen)


def _no(rule: Rule, reason: str, runs: Iterable[LiveRun] = ()) -> Refusal:
    standing = tuple(dict.fromkeys(run.run_id for run in runs))
    return Refusal(rule=rule, reason=reason, runs=standing, hard=rule in UNCONDITIONAL)


def _until_all(rule: Rule, found: list[tuple[str, datetime]]) -> Refusal | None:
    """Refuse for several hosts at once: until the last of them is free."""
    if not found:
        return None
    return Refusal(rule=rule, reason="; ".join(said for said, _ in found), until=max(until for _, until in found))
