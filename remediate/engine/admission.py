"""Admission: asks the storm policy before a run is asked for, and again in the moment in which it begins to act."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta

from remediate.domain.freeze import Freeze
from remediate.domain.host import Host
from remediate.domain.run import Run, RunStatus
from remediate.domain.runbook import Runbook
from remediate.domain.storm import (
    ACTING,
    EVERY_HOST,
    LIVE,
    Admitted,
    Refusal,
    Request,
    Rule,
    Situation,
    StormPolicy,
)
from remediate.domain.storm_rules import admit, foresee
from remediate.domain.times import moment
from remediate.engine.ports import Clock, Store, Switches
from remediate.errors import Refused


class Admission:
    """The gate that every run passes before it changes anything, whoever or whatever started it."""

    def __init__(
        self,
        store: Store,
        switches: Switches,
        policy: StormPolicy,
        freezes: Sequence[Freeze],
        clock: Clock,
        hosts: Callable[[], Sequence[Host]],
        routine: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        self.policy = policy
        self._store = store
        self._switches = switches
        self._freezes = tuple(freezes)
        self._clock = clock
        self._hosts = hosts
        self._routine = routine

    def check(self, run: Run, runbook: Runbook) -> Admitted | Refusal:
        """Say whether a run may go on to act. Runs that only look (`--check`, plans) need not ask.

        Before it has a plan, which of its hosts are ill is not known: the answer is no only when none of them could be
        changed.
        """
        return foresee(_request(run, runbook), self.situation(runbook.cooldown), self.policy)

    def require(self, run: Run, runbook: Runbook) -> Admitted:
        """Check, and raise Refused (exit code 7) with the rule, the numbers, its end, and what to type next."""
        return self._or_raise(_request(run, runbook), self.check(run, runbook))

    def claim(self, run: Run, runbook: Runbook) -> Admitted:
        """Decide that a run begins to change the hosts of its plan now; raises Refused.

        To be called first inside `Store.together()`, with the move to `snapshotting` after it: of two runs for which
        there is room for one, one is admitted. The note of the answer belongs into the reason of that move.
        """
        self._store.in_turn()
        request = _request(run, runbook)
        # Others that wait or look do not stand in the way any more: whoever acts first, acts.
        situation = self.situation(runbook.cooldown, statuses=ACTING)
        return self._or_raise(request, admit(request, situation, self.policy))

    def situation(self, cooldown: timedelta = timedelta(), statuses: Iterable[RunStatus] = LIVE) -> Situation:
        """Return all that the rules look at, as far back as they look."""
        now = self._clock.now()
        return Situation(
            attempts=self._store.attempts(now - max(self.policy.horizon, cooldown)),
            live=self._store.live(statuses),
            switches={switch.name: switch for switch in self._switches.switches()},
            freezes=self._freezes,
            groups=_groups(self._hosts()),
            routine=self._routine(),
            now=now,
        )

    def _or_raise(self, request: Request, answer: Admitted | Refusal) -> Admitted:
        if isinstance(answer, Refusal):
            raise Refused(_message(request, answer), next_step=_next_step(request, answer, self.policy))
        return answer


def _request(run: Run, runbook: Runbook) -> Request:
    return Request(
        runbook=runbook.id,
        hosts=tuple(run.plan.hosts) if run.plan else run.hosts,
        severity=runbook.severity,
        cooldown=runbook.cooldown,
        started_by=run.started_by,
        run_id=run.id,
        override_reason=run.override_reason,
    )


def _groups(hosts: Iterable[Host]) -> Mapping[str, frozenset[str]]:
    """Return the members of every group of the inventory, and of the one that every host is in."""
    members: dict[str, set[str]] = {EVERY_HOST: set()}
    for host in hosts:
        for group in (EVERY_HOST, *host.groups):
            members.setdefault(group, set()).add(host.name)
    return {group: frozenset(names) for group, names in members.items()}


def _message(request: Request, refusal: Refusal) -> str:
    until = f"; until {moment(refusal.until)}" if refusal.until else ""
    where = ", ".join(request.hosts)
    return (
        f"{request.runbook} may not begin on {where} ({refusal.rule.value}): {refusal.reason}{until}. "
        "Nothing was changed."
    )


def _next_step(request: Request, refusal: Refusal, policy: StormPolicy) -> str:
    """Say what to type, or what to wait for."""
    match refusal.rule:
        case Rule.PAUSED:
            return "`remediate resume --reason TEXT` lifts the pause"
        case Rule.HOST_BUSY | Rule.FLEET if refusal.runs:
            return f"watch it with `remediate runs show {refusal.runs[0]}`"
        case Rule.FLEET:
            return "name fewer hosts at once with --limit, or raise storm.fleet in remediate.yml"
        case Rule.BREAKER:
            look = f"`remediate runs --runbook {request.runbook}` shows why; then"
            return f"{look} `remediate resume --breaker {request.runbook} --reason TEXT` lets it pass again"
        case Rule.RECURRENCE:
            look = f"a human has to find out what brings it back: `remediate runs --runbook {request.runbook}`"
            return f"{look}{_or_override(refusal, policy)}"
    return f"wait, see `remediate storm`{_or_override(refusal, policy)}"


def _or_override(refusal: Refusal, policy: StormPolicy) -> str:
    may = refusal.rule in policy.override and not refusal.hard
    return "; a person may add --override-storm --reason TEXT" if may else ""
