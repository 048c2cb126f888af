"""A silence: an alert is quiet while its run is at work, and no longer."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import JsonValue

from remediate.domain.alert import Alert
from remediate.domain.audit import ENGINE, AuditEntry
from remediate.domain.run import OWNED, RunStatus
from remediate.domain.runbook import Phase, Runbook
from remediate.domain.value import Value

#: Who makes our silences, as Alertmanager shows it.
AUTHOR = "remediate"

#: What may pass between phases, over their own limits.
_MARGIN = timedelta(minutes=2)


class Silence(Value):
    """A silence for one alert of one run, as we want it. Its end is a bound: it is removed when the run ends."""

    run_id: str
    #: The source that the alert came from; its Alertmanager keeps the silence.
    source: str
    #: The key of the alert.
    alert: str
    #: Exactly the labels of the alert: nothing else is silenced.
    labels: dict[str, str]
    begins_at: datetime
    ends_at: datetime

    @property
    def comment(self) -> str:
        """What Alertmanager shows; our silences are found again by it."""
        return comment(self.run_id)


class KeptSilence(Silence):
    """A silence on the record: what was wanted, what Alertmanager calls it, and whether it is gone."""

    #: Its id there; empty while nobody knows whether it was made.
    external_id: str = ""
    removed_at: datetime | None = None
    #: Why it could not be removed the last time.
    trouble: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes it one."""
        return (self.run_id, self.source, self.alert)


def comment(run_id: str) -> str:
    """Return the comment of the silences of a run."""
    return f"run {run_id} is at work; remediate removes this when it ends"


def silence_of(run_id: str, alert: Alert, runbook: Runbook, now: datetime) -> Silence:
    """Return the silence for an alert of a run that begins to act now."""
    return Silence(
        run_id=run_id,
        source=alert.source,
        alert=alert.key,
        labels=alert.labels,
        begins_at=now,
        ends_at=now + longest_action(runbook),
    )


def longest_action(runbook: Runbook) -> timedelta:
    """Return how long a run of a runbook may act at most, by the limits of its phases."""
    acting = [limits.timeout for phase, limits in runbook.phases.items() if phase not in {Phase.DIAGNOSE, Phase.VERIFY}]
    # The proof by the alert's expression may take as long as the verification itself.
    return sum(acting, _MARGIN) + 2 * runbook.limits(Phase.VERIFY).longest


def silence_entry(kept: KeptSilence, action: str, now: datetime) -> AuditEntry:
    """Return the entry of the trail about a silence; it stands in the timeline of its run."""
    details: dict[str, JsonValue] = {"source": kept.source, "alert": kept.alert, "until": kept.ends_at.isoformat()}
    return AuditEntry(at=now, actor=ENGINE, action=action, subject=f"{kept.run_id}/silence", details=details)


def is_over(status: RunStatus) -> bool:
    """Return whether the run of a silence does not act any more, so that the silence has to go."""
    return status not in OWNED
