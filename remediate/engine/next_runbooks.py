"""Tries the next runbook that the rule about an alert names, where the one before it has not cured."""

from __future__ import annotations

from remediate.domain.alert import AlertDecision, AlertRecord
from remediate.domain.response_rule import Decided, decide, following
from remediate.domain.run import Run, RunStatus
from remediate.engine.intake import Policy, run_for
from remediate.engine.ports import Ports

#: The ends after which the next runbook may be tried: it was proven that this one did not help, and nothing of it is
#: left half-done. Whoever cannot tell, was refused or was stopped leaves it to people.
NOT_CURED = frozenset({RunStatus.FAILED, RunStatus.ROLLED_BACK})

#: More alerts, and more runs that have not cured, are not looked at at once; the newest are.
_MOST = 1000


class NextRunbooks:
    """One more run is made of an alert that still fires, for each runbook after the first that its rule names."""

    def __init__(self, ports: Ports, policy: Policy) -> None:
        self._ports = ports
        self._policy = policy

    def look(self) -> list[str]:
        """Make the runs that are due, and return their ids; raises StateUnusable."""
        if not any(rule.then for rule in self._policy.rules):
            return []
        failed = {run.id for run in self._ports.store.runs(limit=_MOST, statuses=NOT_CURED)}
        due = [one for one in self._ports.alerts.open_ones(limit=_MOST) if one.answer.run_id in failed]
        # Read before the transaction: an inventory takes its time, and others want to write.
        hosts = self._policy.hosts() if due else ()
        made = []
        for record in due:
            decided = decide(record.alert, self._policy.rules, self._policy.runbooks, hosts)
            if decided.rule and following(decided.rule, record.answer.runbook):
                made.append(self._begin(record, decided))
        return [run.id for run in made if run]

    def _failed(self, record: AlertRecord) -> Run | None:
        """Return the run of an alert, if it has ended without a cure and nobody carries it any more."""
        if not record.answer.run_id or record.answer.decision is not AlertDecision.ADMITTED:
            return None
        run = self._ports.store.run(record.answer.run_id)
        return run if run.status in NOT_CURED and not run.check and not self._ports.locks.alive(run.id) else None

    def _begin(self, seen: AlertRecord, decided: Decided) -> Run | None:
        """Make the next run, unless another service has, or the alert is over."""
        with self._ports.store.together():
            self._ports.store.in_turn()
            now = self._ports.clock.now()
            record = self._ports.alerts.alert(seen.key)
            before = self._failed(record) if record.is_open else None
            runbook = following(decided.rule, before.runbook) if before and decided.rule else ""
            if before is None or not runbook:
                return None
            chosen = self._chosen(decided, before, runbook)
            run = run_for(record.alert, chosen, now, after=before)
            self._ports.store.create_runs([run])
            self._ports.alerts.decided(record.key, chosen.answer.model_copy(update={"run_id": run.id}), now)
            if record.incident_id:
                self._ports.incidents.join(record.incident_id, run.id, now)
        return run

    def _chosen(self, decided: Decided, before: Run, runbook: str) -> Decided:
        """Return the decision for the next runbook. The parameters of the rule are those of the first one."""
        why = f"{before.runbook} did not cure (run {before.id}); {decided.answer.reason}, then {runbook}"
        answer = decided.answer.model_copy(update={"runbook": runbook, "reason": why})
        return decided.model_copy(update={"answer": answer, "parameters": {}})
