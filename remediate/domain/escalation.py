"""Silence climbs: whom to ask for an approval next, and when, from the severity and the time that went by."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from remediate.domain.approval import HIGHEST_LEVEL, ApprovalRequest
from remediate.domain.runbook import Severity
from remediate.domain.value import Value


class Ladder(Value):
    """How long each level has: after these spans since a request of level 1, the next level is asked.

    The first three are when level 2, 3 and 4 are asked, the last is when nobody is asked any more.
    """

    climbs_after: tuple[timedelta, timedelta, timedelta, timedelta]
    #: How often those who are asked are reminded: the time in which an incident of this severity is acknowledged.
    remind_every: timedelta

    def patience(self, level: int) -> timedelta:
        """Return how long a level has to answer."""
        return self.climbs_after[level - 1] - (self.climbs_after[level - 2] if level > 1 else timedelta(0))


def _ladder(remind: int, *minutes: int) -> Ladder:
    first, second, third, last = (timedelta(minutes=count) for count in minutes)
    return Ladder(climbs_after=(first, second, third, last), remind_every=timedelta(minutes=remind))


#: The escalation matrix. SEV1 climbs after 15, 30 and 60 minutes, SEV2 after 30 minutes and 2 hours; where the matrix
#: names no time, the next level has as long as the one before it had in all.
LADDERS: Mapping[Severity, Ladder] = {
    Severity.SEV1: _ladder(5, 15, 30, 60, 120),
    Severity.SEV2: _ladder(15, 30, 120, 240, 480),
    Severity.SEV3: _ladder(30, 60, 240, 480, 960),
    Severity.SEV4: _ladder(240, 240, 1440, 2880, 5760),
}


def ladder_for(severity: Severity, tightened: tuple[timedelta, ...] = ()) -> Ladder:
    """Return the ladder of a severity; a runbook may tighten its first steps (database failures: 5 and 15 minutes)."""
    usual = LADDERS[severity]
    spans = tuple(min(given, known) for given, known in zip(tightened, usual.climbs_after, strict=False))
    merged = (*spans, *usual.climbs_after[len(spans) :])
    remind = min(usual.remind_every, merged[0])
    return usual.model_copy(update={"climbs_after": merged, "remind_every": remind})


#: Overdue by more than this, nobody was watching: the level that is asked gets its time again, and nothing climbs.
UNWATCHED = timedelta(minutes=10)


class Move(StrEnum):
    """What happens to a request that nobody has answered."""

    WAIT = "wait"
    REMIND = "remind"
    #: The level that is asked is asked anew, with all of its time: nobody was watching, or the clock has jumped.
    ASK_AGAIN = "ask_again"
    CLIMB = "climb"
    EXPIRE = "expire"


class Step(Value):
    """The next step of a request, and why."""

    move: Move
    reason: str = ""


def next_step(request: ApprovalRequest, now: datetime) -> Step:
    """Decide what has to happen to an open request now.

    A level is never skipped: however late it is, a request climbs one level at a time, and each level gets its time.
    """
    if now >= request.expires_at:
        reason = f"nobody answered up to level {request.asked_level}, and the plan is no longer valid"
        return Step(move=Move.EXPIRE, reason=reason)
    if now < request.next_at:
        return Step(move=Move.WAIT)
    if now - request.next_at > UNWATCHED:
        late = f"nothing was watching for {_minutes(now - request.next_at)}, or the clock has jumped"
        return Step(move=Move.ASK_AGAIN, reason=f"{late}: level {request.asked_level} is asked again")
    if now < deadline(request):
        return Step(move=Move.REMIND, reason=f"level {request.asked_level} has not answered yet")
    if request.asked_level < HIGHEST_LEVEL:
        waited = _minutes(now - request.asked_at)
        return Step(move=Move.CLIMB, reason=f"level {request.asked_level} has not answered for {waited}")
    return Step(move=Move.EXPIRE, reason="nobody has answered, up to level 4")


def patience(request: ApprovalRequest, level: int) -> timedelta:
    """Return how long a level has to answer a request."""
    before = request.climbs_after[level - 2] if level > 1 else 0
    return timedelta(seconds=request.climbs_after[level - 1] - before)


def deadline(request: ApprovalRequest) -> datetime:
    """Return when the level that is asked now has had its time."""
    return request.asked_at + patience(request, request.asked_level)


def following(request: ApprovalRequest) -> datetime:
    """Return when something has to happen to a request that was just asked, reminded of, or climbed."""
    remind = request.reminded_at + timedelta(seconds=request.remind_every)
    return min(remind, deadline(request), request.expires_at)


def validity(ladder: Ladder, level: int) -> timedelta:
    """Return how long a plan may wait: the time of its own level and of all above it, and half of that for delays."""
    before = ladder.climbs_after[level - 2] if level > 1 else timedelta(0)
    return (ladder.climbs_after[-1] - before) * 3 / 2


def _minutes(span: timedelta) -> str:
    return f"{int(span.total_seconds() // 60)} min"
