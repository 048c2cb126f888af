"""The twin of the approvals."""

from __future__ import annotations

from datetime import datetime
from threading import RLock

from remediate.domain.approval import ApprovalDecision, ApprovalRequest, Asking
from remediate.domain.incident import Incident
from remediate.errors import IllegalTransition
from remediate.testing.incidents import MemoryIncidents


class MemoryApprovals:
    """Implements the port `Approvals` in memory, for one process."""

    def __init__(self, incidents: MemoryIncidents | None = None) -> None:
        self._lock = RLock()
        self.book = incidents or MemoryIncidents()
        self._requests: dict[str, ApprovalRequest] = {}
        self._answers: list[ApprovalDecision] = []

    def ask(self, request: ApprovalRequest) -> None:
        """Record a new request; one that the run had before is replaced."""
        with self._lock:
            self._requests[request.run_id] = request

    def change(self, request: ApprovalRequest, *, why: str, at: datetime) -> ApprovalRequest:
        """Record a request changed at a moment; raises IllegalTransition when somebody else did meanwhile."""
        del why, at
        with self._lock:
            known = self._requests.get(request.run_id)
            if known is None or known.version != request.version:
                raise IllegalTransition(f"The request for run {request.run_id} was changed by somebody else meanwhile.")
            self._requests[request.run_id] = request.model_copy(update={"version": request.version + 1})
            return self._requests[request.run_id]

    def request(self, run_id: str) -> ApprovalRequest | None:
        """Return the newest request of a run."""
        return self._requests.get(run_id)

    def requests(self, *, due_by: datetime | None = None, limit: int = 1000) -> tuple[ApprovalRequest, ...]:
        """Return open requests, those that are due first; only those due by a moment, when one is given."""
        with self._lock:
            waiting = [request for request in self._requests.values() if request.state is Asking.OPEN]
        due = [request for request in waiting if due_by is None or request.next_at <= due_by]
        return tuple(sorted(due, key=lambda request: request.next_at)[:limit])

    def answer(self, decision: ApprovalDecision) -> None:
        """Record an answer; raises IllegalTransition when this person has answered to this plan already."""
        key = (decision.run_id, decision.digest, decision.person)
        with self._lock:
            if any((one.run_id, one.digest, one.person) == key for one in self._answers):
                raise IllegalTransition(f"{decision.person} has answered to run {decision.run_id} already.")
            self._answers.append(decision)

    def answers(self, run_id: str) -> tuple[ApprovalDecision, ...]:
        """Return the answers to the plans of a run, oldest first."""
        mine = [one for one in self._answers if one.run_id == run_id]
        return tuple(sorted(mine, key=lambda one: (one.at, one.person)))

    def open_incident(self, incident: Incident) -> None:
        """Record an incident; one that is known already is left as it is."""
        self.book.open(incident)

    def close_incident(self, incident_id: str, note: str, now: datetime) -> None:
        """Close an incident that is open."""
        self.book.close(incident_id, note, now)

    def incidents(self, *, only_open: bool = True, limit: int = 100) -> tuple[Incident, ...]:
        """Return incidents, newest first."""
        return self.book.newest(only_open=only_open, limit=limit)
