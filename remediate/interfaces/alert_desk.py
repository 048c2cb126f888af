"""What a site gives about alerts and incidents."""

from __future__ import annotations

from collections.abc import Sequence

from remediate.bootstrap import Installation
from remediate.domain.alert import Alert, AlertRecord
from remediate.domain.alert_check import Misfitting
from remediate.domain.audit import AuditEvent
from remediate.domain.identity import Permission, Principal
from remediate.domain.incident import Incident
from remediate.domain.response_rule import Decided
from remediate.domain.run import Run
from remediate.engine.access import Access
from remediate.engine.incidents import IncidentView
from remediate.errors import UnknownIncident


class AlertDesk:
    """The part of a site that is about alerts and incidents."""

    _site: Installation
    _access: Access

    def alerts(self, *, only_open: bool = False, limit: int = 100) -> tuple[AlertRecord, ...]:
        """Return alerts that were delivered and what was decided about them, as far as whoever asks may see them.

        One that no run was made of is seen by whoever sees every run.
        """
        kept = self._site.ports.alerts
        found = kept.open_ones(limit=limit) if only_open else kept.alerts(limit=limit)
        return tuple(one for one in found if self._sees_alert(one))

    def alert_history(self, fingerprint: str, *, limit: int = 100) -> tuple[AlertRecord, ...]:
        """Return each time that an alert has fired, newest first, as far as whoever asks may see it."""
        found = self._site.ports.alerts.history(fingerprint, limit=limit)
        return tuple(one for one in found if self._sees_alert(one))

    def incidents(self, *, only_open: bool = True, limit: int = 100) -> tuple[Incident, ...]:
        """Return incidents, newest first: what is wrong and not proven cured, and what has to be reviewed."""
        found = self._site.ports.approvals.incidents(only_open=only_open, limit=limit)
        return tuple(one for one in found if self._sees_incident(one))

    def incident(self, incident_id: str) -> IncidentView:
        """Return an incident with its runs and alerts. To somebody who may not see it, it is as unknown as none.

        Raises UnknownIncident, also where a part of an id fits several.
        """
        unknown = UnknownIncident(
            f"There is no incident {incident_id!r}.", next_step="see `remediate incident list --all`"
        )
        self._access.require_sight()
        try:
            found = self._site.remediation.incidents.view(incident_id)
        except UnknownIncident:
            # What the record says may name the incidents of others.
            if self._access.allows(Permission.SEE_RUN):
                raise
            raise unknown from None
        if not self._sees_incident(found.incident):
            raise unknown
        return found

    def timeline(self, incident_id: str) -> tuple[AuditEvent, ...]:
        """Return what the audit trail says about an incident, its runs and its alerts, oldest first."""
        view = self.incident(incident_id)
        subjects = [view.incident.id, *(run.id for run in view.runs), *(record.key for record in view.alerts)]
        found = (event for subject in subjects for event in self._site.audit.trail.events(subject=subject))
        return tuple(sorted({event.sequence: event for event in found}.values(), key=lambda event: event.sequence))

    def acknowledge_incident(self, incident_id: str) -> Incident:
        """Take an incident on; raises IllegalTransition when somebody has, or it is closed."""
        found, principal = self._may(Permission.ACKNOWLEDGE_INCIDENT, incident_id)
        return self._site.remediation.incidents.acknowledge(found.id, principal.id)

    def escalate_incident(self, incident_id: str, level: int, reason: str) -> Incident:
        """Call a higher level at once, which anybody may who sees the incident."""
        found = self.incident(incident_id).incident
        return self._site.remediation.incidents.escalate(found.id, self._access.principal.id, level, reason)

    def resolve_incident(self, incident_id: str, reason: str) -> Incident:
        """Close an incident by hand; raises IllegalTransition when it is closed."""
        found, principal = self._may(Permission.RESOLVE_INCIDENT, incident_id)
        return self._site.remediation.incidents.resolve(found.id, principal.id, reason)

    def check_alerts(self) -> tuple[Misfitting, ...]:
        """Ask Prometheus and Alertmanager whether what they have loaded fits the policy; changes nothing."""
        self._access.require(Permission.CHECK_ALERTS)
        return self._site.alert_check.check()

    def replay_alerts(self, alerts: Sequence[Alert]) -> tuple[tuple[Alert, Decided], ...]:
        """Return what would be decided about alerts now; nothing is recorded, and nothing is run."""
        self._access.require(Permission.CHECK_ALERTS)
        return self._site.alert_check.replay(alerts, self._site.ports.executor.hosts())

    def _may(self, permission: Permission, incident_id: str) -> tuple[Incident, Principal]:
        found = self.incident(incident_id).incident
        runbook, hosts = self._about(found)
        return found, self._access.require(permission, runbook=runbook, hosts=hosts)

    def _sees_alert(self, record: AlertRecord) -> bool:
        run_id = record.answer.run_id
        return self._sees(self._site.ports.store.run(run_id)) if run_id else self._access.allows(Permission.SEE_RUN)

    def _sees_incident(self, incident: Incident) -> bool:
        runbook, hosts = self._about(incident)
        return self._access.allows(Permission.SEE_RUN, runbook=runbook, hosts=hosts)

    def _about(self, incident: Incident) -> tuple[str | None, Sequence[str]]:
        """The runbook and the hosts of an incident; of one that no run was made of, neither."""
        if incident.runbook:
            return incident.runbook, incident.hosts
        if not incident.run_id:
            return None, ()
        run = self._site.ports.store.run(incident.run_id)
        return run.runbook, run.hosts

    def _sees(self, run: Run) -> bool:
        return self._access.allows(Permission.SEE_RUN, runbook=run.runbook, hosts=run.hosts)
