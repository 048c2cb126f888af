"""The ports: what the engine needs from the outside, each named after the need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from threading import Event
from typing import Protocol

from remediate.domain.approval import ApprovalDecision, ApprovalRequest
from remediate.domain.audit import ENGINE, AuditEntry, AuditEvent, Place, SignedHead, StoredEvent
from remediate.domain.identity import Token
from remediate.domain.incident import Incident
from remediate.domain.notice import Notice
from remediate.domain.people import Person
from remediate.domain.run import PhaseRecord, Run, RunStatus, Standing, TaskRecord, Transition, Verified
from remediate.domain.runbook import Phase
from remediate.domain.storm import Attempt, LiveRun
from remediate.domain.switch import Switch
from remediate.engine.alert_ports import Alerts
from remediate.engine.executor_ports import Executor, PhaseResult
from remediate.engine.incident_ports import Incidents
from remediate.engine.monitoring import Silences
from remediate.engine.schedule_ports import Schedules


class Store(Protocol):
    """Keeps the record. Every method is one transaction; what returned is on disk."""

    def together(self, *, urgent: bool = False) -> AbstractContextManager[object]:
        """Open one transaction: all that this thread writes to any table of the site inside it is written together.

        Of those that wait for their turn in this process, one that is `urgent` goes first: somebody waits for its end.
        """
        ...

    def in_turn(self) -> None:
        """Be alone with the record until the open transaction ends: what is read to decide stays true until then.

        To be called first in the transaction; raises EngineFailure when none is open.
        """
        ...

    def create_run(self, run: Run, *, by: str | None = None) -> None:
        """Record a new run; in the audit trail it was asked for by `by`, or else by who requested it."""
        ...

    def create_runs(self, made: Sequence[Run]) -> None:
        """Record several new runs, each asked for by who requested it."""
        ...

    def move(
        self, run_id: str, current: RunStatus, wanted: RunStatus, reason: str, now: datetime, *, by: str = ENGINE
    ) -> Run:
        """Change the state of a run; raises IllegalTransition when it is not in `current` or may not go to `wanted`.

        In the audit trail it was moved by `by`: a person's id, or the engine.
        """
        ...

    def save_plan(self, run: Run, *, now: datetime | None = None) -> None:
        """Record the plan of a run that carries one, made now, or else when the run last moved."""
        ...

    def run(self, run_id: str) -> Run:
        """Return the run with this id, or the only one whose id begins or ends so; raises UnknownRun."""
        ...

    def runs(self, *, limit: int, runbook: str | None = None, statuses: Iterable[RunStatus] = ()) -> tuple[Run, ...]:
        """Return runs, newest first."""
        ...

    def ask_to_stop(self, run_id: str, by: str) -> None:
        """Record that somebody wants a run to stop, for whoever carries it."""
        ...

    def asked_to_stop(self, run_ids: Iterable[str]) -> frozenset[str]:
        """Return those of some runs that somebody wants to stop."""
        ...

    def standing(self, statuses: Iterable[RunStatus]) -> tuple[Standing, ...]:
        """Return where the runs in these states stand, oldest first; runs that only look and are planned have ended."""
        ...

    def waiting_for(self, carrier: str) -> int:
        """Return how many runs wait for a carrier of this kind to begin with them."""
        ...

    def broken_off(self) -> tuple[Run, ...]:
        """Return the interrupted runs of services that nobody has gone on with, oldest first."""
        ...

    def continuations(self, run_id: str) -> tuple[Run, ...]:
        """Return the runs that continue a run, oldest first."""
        ...

    def children(self, run_id: str) -> tuple[Run, ...]:
        """Return the runs that a run handed over to, oldest first; also those that continue one of them."""
        ...

    def handed_back(self) -> tuple[Standing, ...]:
        """Return where the runs stand that were handed over and whose children have all ended, oldest first.

        A child that was interrupted and is not continued has not ended: somebody has to go on with it.
        """
        ...

    def live(self, statuses: Iterable[RunStatus]) -> tuple[LiveRun, ...]:
        """Return the runs in these states that do more than look, oldest first."""
        ...

    def attempts(self, since: datetime) -> tuple[Attempt, ...]:
        """Return the attempts of every run that moved at or after a moment, in the order of the record."""
        ...

    def transitions(self, run_id: str) -> tuple[Transition, ...]:
        """Return the states that a run went through, oldest first."""
        ...

    def begin_phase(self, run_id: str, phase: Phase, *, check: bool, now: datetime) -> int:
        """Record that a phase begins and return its sequence number within the run."""
        ...

    def add_task(self, run_id: str, sequence: int, task: TaskRecord) -> None:
        """Record one task of a phase that goes on."""
        ...

    def end_phase(self, run_id: str, sequence: int, result: PhaseResult, now: datetime) -> None:
        """Record the end of a phase and its reports."""
        ...

    def phases(self, run_id: str) -> tuple[PhaseRecord, ...]:
        """Return the phases of a run with their tasks."""
        ...

    def verified(self, runbook: str, *, limit: int) -> tuple[Verified, ...]:
        """Return what the last verification of each run of a runbook reported, where one has ended, newest first."""
        ...


class Locks(Protocol):
    """Makes sure that one host is worked on by one run at a time; the lock falls with the process that holds it."""

    def hold(self, run_id: str, hosts: Iterable[str], *, lost: Event | None = None) -> AbstractContextManager[None]:
        """Hold the locks of a run and its hosts; raises HostBusy naming the run that holds one.

        Locks that are kept elsewhere can be lost: `lost` is set at that moment, so that the work can be stopped, and
        StateUnusable is raised at the end of work that ended without an error of its own.
        """
        ...

    def alive(self, run_id: str) -> bool:
        """Return whether some process holds the lock of this run."""
        ...


class Clock(Protocol):
    """The time, and waiting for it."""

    def now(self) -> datetime:
        """Return the time now, aware of its zone."""
        ...

    def wait(self, duration: timedelta, stop: Event) -> None:
        """Wait that long, or until `stop`."""
        ...


class Approvals(Protocol):
    """Requests for approval, the answers to them, and the incidents that they belong to."""

    def ask(self, request: ApprovalRequest) -> None:
        """Record a new request; one that the run had before is replaced."""
        ...

    def change(self, request: ApprovalRequest, *, why: str, at: datetime) -> ApprovalRequest:
        """Record a request changed at a moment; raises IllegalTransition when somebody else did meanwhile."""
        ...

    def request(self, run_id: str) -> ApprovalRequest | None:
        """Return the newest request of a run."""
        ...

    def requests(self, *, due_by: datetime | None = None, limit: int = 1000) -> tuple[ApprovalRequest, ...]:
        """Return open requests, those that are due first; only those due by a moment, when one is given."""
        ...

    def answer(self, decision: ApprovalDecision) -> None:
        """Record an answer; raises IllegalTransition when this person has answered to this plan already."""
        ...

    def answers(self, run_id: str) -> tuple[ApprovalDecision, ...]:
        """Return the answers to the plans of a run, oldest first."""
        ...

    def open_incident(self, incident: Incident) -> None:
        """Record an incident; one that is known already is left as it is."""
        ...

    def close_incident(self, incident_id: str, note: str, now: datetime) -> None:
        """Close an incident that is open."""
        ...

    def incidents(self, *, only_open: bool = True, limit: int = 100) -> tuple[Incident, ...]:
        """Return incidents, newest first."""
        ...


class Trail(Protocol):
    """The audit trail, to be read; entries are appended by the store in the transaction of what they tell about."""

    def note(self, entry: AuditEntry) -> AuditEvent:
        """Append an entry about something that changes no other table: a refusal, a failed log-in."""
        ...

    def events(self, *, after: int = 0, subject: str = "") -> Iterator[AuditEvent]:
        """Yield the events after a number, oldest first: all of them, or those of a subject and what belongs to it.

        Raises EngineFailure at an event that cannot be read.
        """
        ...

    def stored(self, *, after: int | None = None) -> Iterator[StoredEvent]:
        """Yield the events as they are stored, lowest number first, whatever is wrong with them."""
        ...

    def newest(self) -> Place:
        """Return the number and the hash of the newest event."""
        ...

    def sign_head(self, now: datetime) -> SignedHead | None:
        """Sign the newest event as a head and record it; None when it is signed already, or nothing was recorded."""
        ...

    def heads(self) -> tuple[SignedHead, ...]:
        """Return the heads that were signed here, oldest first; raises EngineFailure when one cannot be read."""
        ...

    def head_sent(self, head: SignedHead, target: str) -> None:
        """Record that a head reached another place."""
        ...

    def unsent(self, targets: Sequence[str]) -> tuple[tuple[SignedHead, str], ...]:
        """Return the (head, target) pairs that are still to be sent; of each target only the newest head matters."""
        ...


class HeadKeys(Protocol):
    """The key that heads are signed with, and the public keys that they are checked with."""

    def key_id(self) -> str:
        """Return the id of the key of this site, which is made when there is none."""
        ...

    def public_key(self) -> str:
        """Return the public key of this site as text."""
        ...

    def sign(self, message: bytes) -> str:
        """Return the signature of a message as text."""
        ...

    def checker(self, public_keys: str = "") -> Callable[[SignedHead], str]:
        """Return what says why a head cannot be trusted, or an empty string when it can.

        It knows these public keys, or else the one of this site; raises UsageError when the text holds none.
        """
        ...


class HeadTarget(Protocol):
    """A place outside that keeps signed heads."""

    @property
    def name(self) -> str:
        """Its name, such as `file:/mnt/audit/heads`: what was sent is remembered under it."""
        ...

    def send(self, head: SignedHead) -> None:
        """Hand a head over; raises DeliveryFailed."""
        ...


class Outbox(Protocol):
    """Notices on their way. They are put there in the transaction of the state that they tell about."""

    def put(self, notices: Iterable[Notice]) -> None:
        """Add notices; one whose key is known already is left as it is."""
        ...

    def waiting(self, now: datetime) -> tuple[str, ...]:
        """Return the channels that have notices due, by name."""
        ...

    def claim(self, channel: str, now: datetime, *, lease: timedelta, limit: int = 1) -> tuple[Notice, ...]:
        """Take due notices of a channel, so that nobody else takes them before the lease ends; each counts an attempt.

        Whoever dies with one in hand leaves it to be claimed again when its lease has ended.
        """
        ...

    def delivered(self, notice: Notice, now: datetime) -> None:
        """Record that a claimed notice has arrived."""
        ...

    def failed(self, notice: Notice, error: str, *, again_at: datetime | None, now: datetime) -> None:
        """Record that a claimed notice did not arrive, and when to try again; None gives it up.

        Nothing is recorded when somebody else has claimed it meanwhile, or it has ended.
        """
        ...

    def notices(self, *, prefix: str = "", limit: int = 100) -> tuple[Notice, ...]:
        """Return notices whose key begins so, newest first."""
        ...


class Channel(Protocol):
    """One way to reach people."""

    def send(self, notice: Notice, person: Person) -> None:
        """Deliver a notice; raises DeliveryFailed, which knows whether trying again can help.

        Returns within 30 seconds. What is sent carries `notice.delivery_id`, the same at every attempt.
        """
        ...


class Tokens(Protocol):
    """API tokens; only a hash of the secret is kept. The trail tells who made and who revoked one."""

    def add(self, token: Token, secret_hash: str) -> None:
        """Record a new token, and `token.made`."""
        ...

    def find(self, token_id: str) -> tuple[Token, str] | None:
        """Return a token and the hash of its secret."""
        ...

    def tokens(self) -> tuple[Token, ...]:
        """Return all tokens, newest first."""
        ...

    def revoke(self, token_id: str, by: str, now: datetime) -> Token:
        """Revoke a token from now on, and record `token.revoked`; one that is revoked already stays as it is.

        Raises UnknownToken.
        """
        ...

    def used(self, token_id: str, now: datetime) -> None:
        """Remember when a token was last used; an earlier moment than the recorded one changes nothing."""
        ...


class Switches(Protocol):
    """Switches that people press: pause, and circuit breakers that were closed again by hand."""

    def press(self, switch: Switch) -> None:
        """Record the position of a switch."""
        ...

    def switches(self) -> tuple[Switch, ...]:
        """Return every switch that was ever pressed, by name."""
        ...


class Work(StrEnum):
    """What is to be done with a run."""

    #: Go on with it from wherever it stands.
    CARRY = "carry"
    #: Take back what it did.
    ROLL_BACK = "roll_back"


#: Does some work with a run until it ends or has to wait for somebody; the event asks it to stop.
Carry = Callable[[str, Work, Event], None]


class Workflows(Protocol):
    """Carries the control flow of runs: starts work on a run, cancels it, waits for it.

    The truth about runs is in the store; what is carried here may be lost, and is then recovered from the store.
    Nothing waits for people here: a run that has to is given back, and started again when it may go on.
    """

    def bind(self, carry: Carry) -> None:
        """Say what does the work; called once, before anything is started."""
        ...

    def start(self, run_id: str, work: Work = Work.CARRY, turn: int = 0) -> None:
        """Start work on a run; does nothing when it is being worked on here already.

        `turn` is how often the run has moved so far: the same work at the same turn waits or goes on once, whoever
        starts it. Raises EngineFailure when it has failed so often that it is not begun again.
        """
        ...

    @property
    def has_room(self) -> bool:
        """Whether more work can be begun here at once; what is started all the same waits for its turn."""
        ...

    def whenever_free(self, tell: Callable[[], None]) -> None:
        """Have somebody told each time that work has ended here."""
        ...

    def cancel(self, run_id: str) -> None:
        """Ask the work on a run to stop."""
        ...

    def wait(self, run_id: str) -> None:
        """Wait until the work on a run ends and raise what it raised; returns at once where nothing is done here."""
        ...

    def carries(self, run_id: str) -> bool:
        """Return whether a run is being worked on here."""
        ...

    def carried(self) -> tuple[str, ...]:
        """Return the runs that are worked on here."""
        ...

    def launch(self, lost: Event) -> None:
        """Begin to take work that others have put there; raises Refused where somebody else does.

        `lost` is set when another process may do so from now on, and this one has to stop.
        """
        ...

    def adopt(self) -> int:
        """Let go of work that nobody does any more, so that it can be started again; return how many pieces."""
        ...

    def close(self) -> None:
        """Stop taking work; what goes on is asked to stop, and waited for."""
        ...


@dataclass(frozen=True)
class Ports:
    """All ports together, as the bootstrap joins them."""

    executor: Executor
    store: Store
    approvals: Approvals
    switches: Switches
    locks: Locks
    clock: Clock
    workflows: Workflows
    outbox: Outbox
    alerts: Alerts
    incidents: Incidents
    silences: Silences
    schedules: Schedules
