"""The storm policy: how much may begin, how often and where, when alerts rain; and the answer to one request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum

from pydantic import Field

from remediate.domain.freeze import Freeze
from remediate.domain.run import OWNED, WAITING, RunStatus, StartedBy
from remediate.domain.runbook import Severity
from remediate.domain.switch import Switch
from remediate.domain.value import Value

#: States in which a run may be changing a host.
ACTING = frozenset({RunStatus.SNAPSHOTTING, RunStatus.FIXING, RunStatus.VERIFYING, RunStatus.ROLLING_BACK})
#: States of a run that acts, may yet act, or waits to be allowed to.
LIVE = OWNED | WAITING
#: Ends that did not prove a cure. An interrupted fix is one: nobody has seen it help.
UNCURED = frozenset({RunStatus.FAILED, RunStatus.ROLLBACK_FAILED, RunStatus.UNPROVEN, RunStatus.INTERRUPTED})
#: The group that every host is in.
EVERY_HOST = "all"


class Rule(StrEnum):
    """The rules, in the order in which they are asked."""

    PAUSED = "paused"
    FREEZE = "freeze"
    HOST_BUSY = "host_busy"
    COOLDOWN = "cooldown"
    ATTEMPTS = "attempts"
    RECURRENCE = "recurrence"
    FLEET = "fleet"
    BREAKER = "breaker"
    BUDGET = "budget"


#: Rules that do not bind routine: it takes nothing away, and its failures must not keep it from being tried again.
ROUTINE_FREE = frozenset({Rule.COOLDOWN, Rule.ATTEMPTS, Rule.RECURRENCE, Rule.FLEET, Rule.BREAKER, Rule.BUDGET})
#: Rules that bind everybody: nobody is exempt from them, and no reason overrides them.
UNCONDITIONAL = frozenset({Rule.PAUSED, Rule.HOST_BUSY, Rule.FLEET})


class Quota(Value):
    """So many within such a time."""

    most: int = Field(ge=1)
    within: timedelta


class FleetLimit(Value):
    """How many hosts of a group may be under change at once: a number or a share, whichever is more."""

    hosts: int = Field(default=1, ge=1)
    percent: int = Field(default=20, ge=0, le=100)

    def room(self, size: int) -> int:
        """Return how many hosts of a group of this size may be under change at once; never less than one."""
        return max(self.hosts, size * self.percent // 100)


class BreakerLimit(Value):
    """After how many ends in a row that were not cured a runbook is stopped, and when one run may try again."""

    failures: int = Field(default=3, ge=1)
    #: Ends that are older count no more; at least as long as `cool`.
    within: timedelta = timedelta(days=7)
    cool: timedelta = timedelta(hours=12)


class StormPolicy(Value):
    """The numbers of the rules, and whom they bind."""

    attempts: Quota = Quota(most=3, within=timedelta(hours=1))
    recurrence: Quota = Quota(most=3, within=timedelta(hours=24))
    fleet: FleetLimit = FleetLimit()
    breaker: BreakerLimit = BreakerLimit()
    budget: Quota = Quota(most=12, within=timedelta(hours=1))
    #: Rules that do not bind a run that was started so.
    exempt: Mapping[StartedBy, frozenset[Rule]] = {}
    #: Rules that a person may override with a reason.
    override: frozenset[Rule] = frozenset({Rule.COOLDOWN, Rule.ATTEMPTS, Rule.RECURRENCE, Rule.BREAKER})

    @property
    def horizon(self) -> timedelta:
        """How far back the rules look, cooldowns of runbooks apart."""
        return max(self.attempts.within, self.recurrence.within, self.breaker.within, self.budget.within)


class Attempt(Value):
    """One time that a run began to change hosts. A run that was interrupted and resumed has several."""

    #: Its place in the record: later attempts have higher numbers, whatever the clock said.
    sequence: int
    run_id: str
    runbook: str
    #: The hosts that the plan was for.
    hosts: tuple[str, ...]
    #: How the attempt ended, before any rollback; the state of the run while it goes on.
    status: RunStatus
    began_at: datetime
    #: When the run last ended, its rollback included; None while it goes on.
    ended_at: datetime | None
    requested_by: str

    @property
    def by_schedule(self) -> bool:
        """Whether a schedule asked for it: no person has such an id."""
        return self.requested_by.startswith("schedule:")


class LiveRun(Value):
    """A run that acts, may yet act, or waits to be allowed to."""

    run_id: str
    runbook: str
    #: The hosts that its plan is for; before there is a plan, those that it was asked for.
    hosts: tuple[str, ...]
    status: RunStatus

    @property
    def acting(self) -> bool:
        """Whether it may be changing its hosts."""
        return self.status in ACTING

    @property
    def waits_for_its_turn(self) -> bool:
        """Whether nothing of it has begun."""
        return self.status is RunStatus.REQUESTED


class Request(Value):
    """Somebody or something wants a runbook to begin on hosts."""

    runbook: str
    hosts: tuple[str, ...] = Field(min_length=1)
    severity: Severity
    cooldown: timedelta
    started_by: StartedBy
    #: The run that asks, where there is one already: its own doings do not stand in its way.
    run_id: str = ""
    #: Why a person wants to override; empty when nobody does.
    override_reason: str = ""


class Situation(Value):
    """All that the rules look at besides the request."""

    #: Oldest first.
    attempts: tuple[Attempt, ...] = ()
    live: tuple[LiveRun, ...] = ()
    switches: Mapping[str, Switch] = {}
    freezes: tuple[Freeze, ...] = ()
    #: The hosts of every group of the inventory.
    groups: Mapping[str, frozenset[str]] = {}
    #: Runbooks that are routine.
    routine: frozenset[str] = frozenset()
    now: datetime

    def attempts_on(self, runbook: str, host: str) -> tuple[Attempt, ...]:
        """Return the attempts of a runbook on a host, oldest first."""
        return tuple(attempt for attempt in self.attempts if attempt.runbook == runbook and host in attempt.hosts)

    def groups_of(self, hosts: tuple[str, ...]) -> frozenset[str]:
        """Return the groups that any of these hosts is in; every host is in `all`, known or not."""
        wanted = set(hosts)
        return frozenset({EVERY_HOST, *(name for name, members in self.groups.items() if members & wanted)})


class Refusal(Value):
    """No: which rule says so, why in words and numbers, and until when, where that is known."""

    rule: Rule
    reason: str
    until: datetime | None = None
    #: Runs that stand in the way.
    runs: tuple[str, ...] = ()
    #: No exemption and no reason gets past it.
    hard: bool = False


class Admitted(Value):
    """Yes; with the rules that a person's reason got past."""

    overridden: tuple[Refusal, ...] = ()
    override_reason: str = ""

    @property
    def note(self) -> str:
        """What must stand in the record: empty, or which rules were overridden and why."""
        if not self.overridden:
            return ""
        rules = "; ".join(f"{refusal.rule.value}: {refusal.reason}" for refusal in self.overridden)
        return f"STORM POLICY OVERRIDDEN, because: {self.override_reason} ({rules})"


def counted(tried: Iterable[Attempt], rule: Rule, policy: StormPolicy) -> tuple[Attempt, ...]:
    """Return the attempts that count for a rule: what it does not bind uses nothing up that others may need."""
    is_free = rule in policy.exempt.get(StartedBy.SCHEDULE, ())
    return tuple(attempt for attempt in tried if not (is_free and attempt.by_schedule))
