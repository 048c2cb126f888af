"""The circuit breaker of a runbook: it opens after ends that were not cured, and one run may try after a long time."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from remediate.domain.run import RunStatus
from remediate.domain.storm import UNCURED, Attempt, BreakerLimit, Situation
from remediate.domain.switch import breaker_switch
from remediate.domain.value import Value


class BreakerState(StrEnum):
    """Closed lets runs pass, open lets none pass, half open lets one try."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Breaker(Value):
    """Where the breaker of a runbook stands."""

    runbook: str
    state: BreakerState
    #: Ends in a row that were not cured.
    failures: int
    #: When it becomes, or became, half open; None while it is closed.
    until: datetime | None = None


def breaker_of(runbook: str, situation: Situation, limit: BreakerLimit) -> Breaker:
    """Return where the breaker of a runbook stands, over all hosts of the site."""
    streak = _streak(runbook, situation, limit)
    if len(streak) < limit.failures:
        return Breaker(runbook=runbook, state=BreakerState.CLOSED, failures=len(streak))
    until = max(attempt.ended_at or situation.now for attempt in streak) + limit.cool
    state = BreakerState.OPEN if situation.now < until else BreakerState.HALF_OPEN
    return Breaker(runbook=runbook, state=state, failures=len(streak), until=until)


def _streak(runbook: str, situation: Situation, limit: BreakerLimit) -> list[Attempt]:
    """Return the newest ends that were not cured, up to the last cure and to where a person closed the breaker.

    The order is that of the record, not that of the clock. What goes on, was stopped by a person or changed nothing
    says neither one nor the other.
    """
    pressed = situation.switches.get(breaker_switch(runbook))
    forgiven = pressed.after if pressed else 0
    streak: list[Attempt] = []
    for attempt in reversed(situation.attempts):
        if attempt.runbook != runbook or attempt.began_at <= situation.now - limit.within:
            continue
        if attempt.sequence <= forgiven or attempt.status is RunStatus.SUCCEEDED:
            break
        if attempt.status in UNCURED:
            streak.append(attempt)
    return streak
