"""The watch over alerts and incidents: silences that are left over, alerts that are over, incidents that close.

And the next runbook, where the rule of an alert names one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from threading import Event

from remediate.domain.alert import AlertDecision, AlertRecord
from remediate.domain.report import Verdict
from remediate.domain.run import OWNED, WAITING
from remediate.domain.runbook import Runbook
from remediate.engine.alert_proofs import AlertProofs
from remediate.engine.incidents import IncidentDesk
from remediate.engine.monitoring import Watcher, Watchers
from remediate.engine.next_runbooks import NextRunbooks
from remediate.engine.ports import Ports
from remediate.engine.silencing import Silencing
from remediate.errors import MonitoringFailed, RemediateError

#: How often it looks at the record, and how often it asks others.
EVERY = timedelta(seconds=2)
ASK_EVERY = timedelta(seconds=10)

#: An Alertmanager that was started anew holds nothing until Prometheus tells it again: so long an alert has to be
#: missing there before it counts as over, where its expression cannot be asked.
MISSING_FOR = timedelta(minutes=5)

#: At one look no more incidents than these are opened, the oldest first: in a storm others want to write as well.
_OPENED_AT_ONCE = 20

#: More alerts than these are not asked about at once.
_MOST = 1000


class AlertWatch:
    """Looks again and again. What others do not answer keeps nothing here from being done, and is tried again.

    That an alert has resolved is posted to us, unless our own silence kept it back: Alertmanager forgets an alert that
    resolves while it is silenced. So whoever holds the alert is asked as well.
    """

    def __init__(
        self,
        ports: Ports,
        watchers: Watchers,
        incidents: IncidentDesk,
        load: Callable[[str], Runbook],
        next_runbooks: NextRunbooks,
        *,
        tell: Callable[[RemediateError], None] = lambda _error: None,
    ) -> None:
        self._ports = ports
        self._watchers = watchers
        self._incidents = incidents
        self._load = load
        self._next_runbooks = next_runbooks
        self._silencing = Silencing(ports, watchers)
        self._proofs = AlertProofs(ports, watchers)
        self._tell = tell
        self._ask_at: datetime | None = None
        #: Since when alerts are missing where they were held; forgetting it only makes us wait longer.
        self._missing: dict[str, datetime] = {}
        self._trouble = ""

    def keep(self, stop: Event) -> None:
        """Look until `stop`; what goes wrong is told once, and tried again."""
        while not stop.is_set():
            try:
                self.look()
                self._trouble = ""
            except RemediateError as error:
                if error.message != self._trouble:
                    self._tell(error)
                self._trouble = error.message
            self._ports.clock.wait(EVERY, stop)

    def look(self) -> None:
        """Do everything that is due now."""
        now = self._ports.clock.now()
        self._open_incidents(now)
        self._incidents.look(now)
        if self._ask_at and now < self._ask_at:
            return
        self._ask_at = now + ASK_EVERY
        self._silencing.look()
        self._end_what_is_over(now)
        self._next_runbooks.look()

    def _open_incidents(self, now: datetime) -> None:
        """Open incidents for runs that wait for their turn, for which the intake has no time."""
        admitted = {AlertDecision.ADMITTED, AlertDecision.REFUSED}
        load = cache(self._load)  # a storm is about few runbooks, and has many runs
        without = [
            record
            for record in self._ports.alerts.open_ones(limit=_MOST)
            if record.answer.run_id and not record.incident_id and record.answer.decision in admitted
        ]
        for record in without[-_OPENED_AT_ONCE:]:
            run = self._ports.store.run(record.answer.run_id)
            with self._ports.store.together():
                self._incidents.open_for(run, load(run.runbook), now)

    def _end_what_is_over(self, now: datetime) -> None:
        """Ask about alerts that still fire as far as we were told, and whose runs have ended."""
        firing = self._ports.alerts.open_ones(limit=_MOST)
        waiting = [(record, ended) for record in firing if (ended := self._ended(record))]
        self._missing = {record.key: self._missing[record.key] for record, _ in waiting if record.key in self._missing}
        held = {source: self._held(self._watchers.get(source)) for source in {r.alert.source for r, _ in waiting}}
        for record, ended in waiting:
            keys = held[record.alert.source]
            if keys is None:
                continue
            if record.key in keys:
                self._missing.pop(record.key, None)
            elif self._is_over(record, ended, now):
                self._ports.alerts.resolved(record.key, now)

    def _ended(self, record: AlertRecord) -> datetime | None:
        """Return when the run of an alert ended, if it was made of one that has."""
        if not record.answer.run_id:
            return None
        run = self._ports.store.run(record.answer.run_id)
        return run.updated_at if run.status not in OWNED | WAITING else None

    def _held(self, watcher: Watcher | None) -> frozenset[str] | None:
        """Return the keys of the alerts that a source holds; None where it cannot be asked."""
        if watcher is None or watcher.messenger is None:
            return None
        try:
            return frozenset(alert.key for alert in watcher.messenger.alerts())
        except MonitoringFailed:
            return None

    def _is_over(self, record: AlertRecord, ended: datetime, now: datetime) -> bool:
        """Whether an alert that its source does not hold any more is over: a source may have forgotten it."""
        watcher = self._watchers[record.alert.source]
        if watcher.monitoring:
            return self._proofs.look(record, watcher.monitoring, ended).verdict is Verdict.CURED
        return now - self._missing.setdefault(record.key, now) >= MISSING_FOR
