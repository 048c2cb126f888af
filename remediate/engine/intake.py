"""The intake: what is delivered becomes records, decisions and runs, all in one transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from remediate.domain.alert import Alert, AlertAnswer, AlertDecision, AlertMode, AlertRecord
from remediate.domain.host import Host
from remediate.domain.response_rule import Decided, ResponseRule, decide
from remediate.domain.run import Run, RunStatus, StartedBy, new_run_id, suffix_of
from remediate.domain.runbook import Runbook
from remediate.domain.text import quoted
from remediate.engine.alert_ports import Taken
from remediate.engine.approvals import ApprovalFlow
from remediate.engine.ports import Ports

#: So many runs of alerts may wait for their turn. What comes on top is recorded, and starts nothing: in a storm of
#: alerts that are all different somebody has to look, not a queue of a day.
MOST_WAITING = 1000


@dataclass(frozen=True)
class Policy:
    """What decides about alerts: the rules of the site, the runbooks that they name, and the hosts."""

    rules: tuple[ResponseRule, ...]
    runbooks: Mapping[str, Runbook]
    hosts: Callable[[], Sequence[Host]]


@dataclass
class Receipt:
    """What came of deliveries, for whoever counts."""

    #: Of each decision that was made, how often.
    decisions: Counter[AlertDecision] = field(default_factory=Counter)
    #: The runs that were made.
    runs: list[str] = field(default_factory=list)
    #: How many alerts are over since.
    ended: int = 0


class Intake:
    """Takes alerts. One run is made for each fingerprint and start, however often and by whomever it is delivered."""

    def __init__(self, ports: Ports, policy: Policy, approvals: ApprovalFlow) -> None:
        self._ports = ports
        self._policy = policy
        self._approvals = approvals

    def take(self, delivered: Sequence[Alert]) -> Receipt:
        """Record alerts, decide about those that are new, and end what is over; raises StateUnusable.

        What returned is on the disk; what raised was not taken at all.
        """
        # Read before the transaction: an inventory takes its time, and others want to write.
        hosts = self._policy.hosts()
        now = self._ports.clock.now()
        receipt = Receipt()
        with self._ports.store.together(urgent=True):
            taken = self._ports.alerts.take(delivered, now)
            self._begin([one for one in taken if one.is_new], hosts, now, receipt)
            for one in taken:
                if one.has_ended:
                    receipt.ended += 1
                    self._end(one.record, now)
        return receipt

    def counted(self, deliveries: Mapping[str, int]) -> None:
        """Add deliveries that were no news."""
        self._ports.alerts.counted(deliveries, self._ports.clock.now())

    def _begin(self, news: Sequence[Taken], hosts: Sequence[Host], now: datetime, receipt: Receipt) -> None:
        """Decide about new alerts, and make the runs that they start."""
        room = MOST_WAITING - self._ports.store.waiting_for("service") if news else 0
        runs: list[Run] = []
        answers: list[tuple[AlertRecord, AlertAnswer]] = []
        for one in news:
            decided = self._decided(one, hosts, room - len(runs))
            answer = decided.answer
            if decided.rule and decided.host:
                runs.append(run_for(one.record.alert, decided, now))
                answer = answer.model_copy(update={"run_id": runs[-1].id})
            answers.append((one.record, answer))
        self._ports.store.create_runs(runs)
        self._ports.alerts.decided_all(answers, now)
        receipt.decisions.update(answer.decision for _, answer in answers)
        receipt.runs += [run.id for run in runs]

    def _decided(self, one: Taken, hosts: Sequence[Host], room: int) -> Decided:
        if one.has_ended:
            over = "it was over when it was heard of first"
            return Decided(answer=AlertAnswer(decision=AlertDecision.RESOLVED_FIRST, reason=over))
        decided = decide(one.record.alert, self._policy.rules, self._policy.runbooks, hosts)
        if decided.host and room <= 0:
            full = f"{MOST_WAITING} runs of alerts wait for their turn: somebody has to look"
            answer = decided.answer.model_copy(update={"decision": AlertDecision.REFUSED, "reason": full})
            return Decided(answer=answer)
        return decided

    def _end(self, record: AlertRecord, now: datetime) -> None:
        """Let nothing begin any more that an alert was to start; what acts already goes on, and is proven."""
        if not record.answer.run_id:
            return
        run = self._ports.store.run(record.answer.run_id)
        why = "its alert is over"
        if run.status is RunStatus.WAITING_APPROVAL:
            self._approvals.withdraw(run.id, why)
        elif run.status is RunStatus.REQUESTED and not self._ports.locks.alive(run.id):
            self._ports.store.move(run.id, run.status, RunStatus.CANCELED, f"{why}; nothing was begun", now)


def run_for(alert: Alert, decided: Decided, now: datetime, *, after: Run | None = None) -> Run:
    """Return the run that is made of an alert, not recorded yet; `after` is the one before it that has not cured."""
    earlier = f"; {after.runbook} did not cure (run {after.id})" if after else ""
    return Run(
        id=new_run_id(now, suffix_of(f"{alert.key}{after.id if after else ''}")),
        runbook=decided.answer.runbook,
        status=RunStatus.REQUESTED,
        hosts=(decided.host,),
        parameters=decided.parameters,
        check=decided.answer.mode is AlertMode.SUGGEST,
        created_at=now,
        updated_at=now,
        requested_by=f"alert:{alert.source}",
        reason=f"{quoted(alert.name, 100)} fires on {decided.host}{earlier}",
        started_by=StartedBy.ALERT,
        carrier="service",
        unattended=decided.unattended,
    )
