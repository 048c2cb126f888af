"""Asks the expressions of the alerts of a run whether they are cured, until they tell or the time for it is over."""

from __future__ import annotations

from datetime import datetime, timedelta
from threading import Event

from remediate.domain.alert import AlertRecord
from remediate.domain.alert_proof import Asked, Evidence, Proof, ProofReason, judge
from remediate.domain.alert_rule import rules_of
from remediate.domain.report import Verdict
from remediate.domain.run import Run
from remediate.engine.monitoring import Monitoring, Watchers
from remediate.engine.ports import Ports
from remediate.errors import MonitoringFailed

#: How often an expression is asked.
EVERY = timedelta(seconds=2)


def alerts_of(run: Run, ports: Ports) -> tuple[AlertRecord, ...]:
    """Return the alerts that a run was made of, or the runs that it continues; none where a person asked for it."""
    found = ports.alerts.of_run(run.id)
    while not found and run.continues:
        run = ports.store.run(run.continues)
        found = ports.alerts.of_run(run.id)
    return found


class AlertProofs:
    """Closes the loop: what has told us of the trouble is asked whether it is over."""

    def __init__(self, ports: Ports, watchers: Watchers) -> None:
        self._ports = ports
        self._watchers = watchers

    def prove(self, run: Run, fixed_at: datetime, limit: timedelta, stop: Event) -> tuple[Proof, ...]:
        """Return what the expression of each alert of a run says; none where there is nobody to ask.

        They are asked again and again until all are quiet, nothing more can be learned, or the limit is over.
        """
        clock = self._ports.clock
        asking = [(record, monitoring) for record in alerts_of(run, self._ports) if (monitoring := self._of(record))]
        if not asking:
            return ()
        until = clock.now() + limit
        while True:
            proofs = tuple(self.look(record, monitoring, fixed_at) for record, monitoring in asking)
            settled = all(proof.verdict is Verdict.CURED or proof.final for proof in proofs)
            if settled or stop.is_set() or clock.now() >= until:
                return proofs
            clock.wait(EVERY, stop)

    def look(self, record: AlertRecord, monitoring: Monitoring, fixed_at: datetime) -> Proof:
        """Return what the expression of an alert says now about the time after a moment of our clock."""
        labels = record.alert.labels
        try:
            now = monitoring.time()
            # The moments of Prometheus are by its clock, and a fix is not older than it is because ours is slow.
            fixed_there = fixed_at + (now - self._ports.clock.now())
            asked = []
            for rule in rules_of(labels, monitoring.rules()):
                answer = monitoring.ask(rule.expression)
                asked.append(Asked(rule=rule, series=answer.series, warnings=answer.warnings))
            evidence = Evidence(asked=tuple(asked), targets=monitoring.targets(), at=now)
        except MonitoringFailed as failed:
            return Proof(alert=record.alert.name, reason=ProofReason.UNREACHABLE, detail=failed.message)
        return judge(labels, evidence, fixed_there)

    def _of(self, record: AlertRecord) -> Monitoring | None:
        watcher = self._watchers.get(record.alert.source)
        return watcher.monitoring if watcher else None
