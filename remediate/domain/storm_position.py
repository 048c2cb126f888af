"""Where every rule of the storm policy stands now, for a person who asks why nothing moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from remediate.domain.breaker import Breaker, breaker_of
from remediate.domain.freeze import Freeze, Window
from remediate.domain.run import RunStatus
from remediate.domain.storm import EVERY_HOST, Attempt, Quota, Rule, Situation, StormPolicy, counted
from remediate.domain.storm_rules import cooled_at, within
from remediate.domain.switch import PAUSE, Switch
from remediate.domain.value import Value


class FreezePosition(Value):
    """A freeze with the window that holds now, and the next one."""

    name: str
    reason: str
    hard: bool
    groups: tuple[str, ...]
    runbooks: tuple[str, ...]
    now: Window | None
    next: Window | None
    #: Groups that it names and the inventory does not have: there it holds nothing back.
    unknown_groups: tuple[str, ...]


class Cooling(Value):
    """A host on which a runbook rests."""

    runbook: str
    host: str
    until: datetime


class Usage(Value):
    """How much of a quota is used, and when the next part of it becomes free."""

    runbook: str = ""
    host: str = ""
    used: int
    most: int
    free_at: datetime


class GroupPosition(Value):
    """The hosts of a group that are under change, of how many that may be."""

    group: str
    size: int
    room: int
    hosts: tuple[str, ...]


class StormPosition(Value):
    """Where every rule stands; what is not in use is not listed."""

    pause: Switch | None
    freezes: tuple[FreezePosition, ...]
    breakers: tuple[Breaker, ...]
    cooldowns: tuple[Cooling, ...]
    attempts: tuple[Usage, ...]
    recurrences: tuple[Usage, ...]
    fleet: tuple[GroupPosition, ...]
    budget: Usage | None
    #: Runs that are changing hosts now.
    acting: tuple[str, ...]


def position(situation: Situation, policy: StormPolicy, cooldowns: Mapping[str, timedelta]) -> StormPosition:
    """Return where every rule stands; `cooldowns` are those of the runbooks of the catalogue."""
    pressed = situation.switches.get(PAUSE)
    runbooks = sorted({attempt.runbook for attempt in situation.attempts})
    breakers = (breaker_of(runbook, situation, policy.breaker) for runbook in runbooks)
    tried = {rule: counted(situation.attempts, rule, policy) for rule in (Rule.ATTEMPTS, Rule.RECURRENCE, Rule.BUDGET)}
    cured = tuple(attempt for attempt in tried[Rule.RECURRENCE] if attempt.status is RunStatus.SUCCEEDED)
    return StormPosition(
        pause=pressed if pressed and pressed.on else None,
        freezes=tuple(_freeze(freeze, situation) for freeze in situation.freezes),
        breakers=tuple(breaker for breaker in breakers if breaker.failures),
        cooldowns=tuple(_cooling(situation, cooldowns)),
        attempts=tuple(_usages(policy.attempts, tried[Rule.ATTEMPTS], situation.now)),
        recurrences=tuple(_usages(policy.recurrence, cured, situation.now)),
        fleet=tuple(_fleet(situation, policy)),
        budget=_usage(policy.budget, tried[Rule.BUDGET], situation.now),
        acting=tuple(run.run_id for run in situation.live if run.acting),
    )


def _freeze(freeze: Freeze, situation: Situation) -> FreezePosition:
    return FreezePosition(
        name=freeze.name,
        reason=freeze.reason,
        hard=freeze.hard,
        groups=freeze.groups,
        runbooks=freeze.runbooks,
        now=freeze.window_at(situation.now),
        next=freeze.next_window(situation.now),
        unknown_groups=tuple(sorted(set(freeze.groups) - {EVERY_HOST, *situation.groups})),
    )


def _pairs(attempts: tuple[Attempt, ...]) -> list[tuple[str, str]]:
    return sorted({(attempt.runbook, host) for attempt in attempts for host in attempt.hosts})


def _cooling(situation: Situation, cooldowns: Mapping[str, timedelta]) -> Iterator[Cooling]:
    for runbook, host in _pairs(situation.attempts):
        ended = cooled_at(situation.attempts_on(runbook, host), cooldowns.get(runbook, timedelta()))
        if ended and ended > situation.now:
            yield Cooling(runbook=runbook, host=host, until=ended)


def _usages(quota: Quota, attempts: tuple[Attempt, ...], now: datetime) -> Iterator[Usage]:
    for runbook, host in _pairs(attempts):
        tried = tuple(attempt for attempt in attempts if attempt.runbook == runbook and host in attempt.hosts)
        if usage := _usage(quota, tried, now, runbook, host):
            yield usage


def _usage(quota: Quota, tried: tuple[Attempt, ...], now: datetime, runbook: str = "", host: str = "") -> Usage | None:
    began = within(quota, tried, now)
    if not began:
        return None
    free_at = began[max(0, len(began) - quota.most)] + quota.within
    return Usage(runbook=runbook, host=host, used=len(began), most=quota.most, free_at=free_at)


def _fleet(situation: Situation, policy: StormPolicy) -> Iterator[GroupPosition]:
    busy = {host for run in situation.live if run.acting for host in run.hosts}
    for group in sorted(situation.groups_of(tuple(busy)) if busy else ()):
        members = situation.groups.get(group, frozenset())
        hosts = busy if group == EVERY_HOST else busy & members
        yield GroupPosition(
            group=group, size=len(members), room=policy.fleet.room(len(members)), hosts=tuple(sorted(hosts))
        )
