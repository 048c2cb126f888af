"""Asks sources for alerts that they did not deliver: left out of a delivery, or of the time when nobody served."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Condition, Event

from remediate.domain.incident import Incident
from remediate.domain.runbook import Severity
from remediate.engine.alert_ports import AlertSource
from remediate.engine.incidents import IncidentDesk
from remediate.engine.intake_queue import IntakeQueue
from remediate.engine.ports import Ports
from remediate.errors import RemediateError, UsageError

_PATIENCE_SECONDS = 3600.0


class Recall:
    """Fetches what was left out. Where that cannot be done, somebody has to look: an incident stands until it is."""

    def __init__(
        self,
        ports: Ports,
        sources: Mapping[str, AlertSource],
        queue: IntakeQueue,
        incidents: IncidentDesk,
        tell: Callable[[RemediateError], None],
    ) -> None:
        self._ports = ports
        self._sources = sources
        self._queue = queue
        self._incidents = incidents
        self._tell = tell
        self._changed = Condition()
        #: Of the sources that are to be asked, how many alerts each has left out.
        self._due: dict[str, int] = {}

    def ask_all(self) -> None:
        """Ask every source that can be asked: what fired while nobody served is not lost."""
        with self._changed:
            self._due |= {name: self._due.get(name, 0) for name in self._sources}
            self._changed.notify()

    def ask(self, source: str, left_out: int) -> None:
        """Ask a source soon, because it has left out so many alerts."""
        with self._changed:
            self._due[source] = max(left_out, self._due.get(source, 0))
            self._changed.notify()

    def work(self, stop: Event) -> None:
        """Ask what is due until `stop`; to be called by one thread."""
        while not stop.is_set():
            with self._changed:
                if not self._due and not stop.is_set():
                    self._changed.wait(_PATIENCE_SECONDS)
                due, self._due = self._due, {}
            for source, left_out in due.items():
                if not stop.is_set():
                    self._try(source, left_out)

    def wake(self) -> None:
        """Let the worker look at `stop` now."""
        with self._changed:
            self._changed.notify()

    def _try(self, source: str, left_out: int) -> None:
        try:
            self._fetch(source)
            self._close_incident(source)
        except RemediateError as error:
            self._tell(error)
            if left_out:
                self._open_incident(source, left_out, error)

    def _fetch(self, source: str) -> None:
        if source not in self._sources:
            raise UsageError(
                f"The source {source} left out alerts, and it has no `url` that they could be fetched from.",
                next_step=f"set sources.{source}.url in remediate.yml, or `max_alerts: 0` at the source",
            )
        self._queue.offer(self._sources[source].alerts()).result()

    def _open_incident(self, source: str, left_out: int, error: RemediateError) -> None:
        """Open one, unless one about this source is open already; the record that cannot be written is told."""
        if self._open(source):
            return
        now = self._ports.clock.now()
        incident = Incident(
            id=f"{_prefix(source)}{now:%Y%m%d-%H%M%S}",
            run_id="",
            severity=Severity.SEV2,
            title=f"{left_out} alerts of the source {source} are not known here",
            note=f"{error.message} {error.next_step}".strip(),
            opened_at=now,
        )
        try:
            self._incidents.open_without_run(incident)
        except RemediateError as trouble:
            self._tell(trouble)

    def _close_incident(self, source: str) -> None:
        for incident in self._open(source):
            self._ports.approvals.close_incident(incident, "all its alerts were fetched", self._ports.clock.now())

    def _open(self, source: str) -> list[str]:
        prefix = _prefix(source)
        return [one.id for one in self._ports.approvals.incidents(limit=1000) if one.id.startswith(prefix)]


def _prefix(source: str) -> str:
    return f"inc-left-out-{source}-"
