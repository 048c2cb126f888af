"""A run of a runbook: its states, the transitions between them, and what each state means to the caller."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal

from pydantic import Field

from remediate.domain.plan import Plan
from remediate.domain.runbook import ParameterValue, Phase
from remediate.domain.value import Value


class RunStatus(StrEnum):
    """Where a run stands."""

    REQUESTED = "requested"
    DIAGNOSING = "diagnosing"
    HANDED_OVER = "handed_over"
    NOT_NEEDED = "not_needed"
    PLANNED = "planned"
    WAITING_APPROVAL = "waiting_approval"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    SNAPSHOTTING = "snapshotting"
    FIXING = "fixing"
    VERIFYING = "verifying"
    SUCCEEDED = "succeeded"
    UNPROVEN = "unproven"
    FAILED = "failed"
    ROLLING_BACK = "rolling_back"
    ROLLED_BACK = "rolled_back"
    ROLLBACK_FAILED = "rollback_failed"
    CANCELED = "canceled"
    INTERRUPTED = "interrupted"
    PARKED = "parked"


class StartedBy(StrEnum):
    """What asked for a run."""

    PERSON = "person"
    ALERT = "alert"
    SCHEDULE = "schedule"


Carrier = Literal["command", "service"]

_S = RunStatus
_STOPPED = frozenset({_S.CANCELED, _S.INTERRUPTED, _S.PARKED})

TRANSITIONS: Mapping[RunStatus, frozenset[RunStatus]] = {
    _S.REQUESTED: _STOPPED | {_S.DIAGNOSING},
    _S.DIAGNOSING: _STOPPED
    | {_S.NOT_NEEDED, _S.PLANNED, _S.UNPROVEN, _S.FAILED, _S.EXPIRED}
    # What was cured by other runbooks is proven at once.
    | {_S.HANDED_OVER, _S.VERIFYING},
    _S.HANDED_OVER: frozenset({_S.DIAGNOSING, _S.FAILED, _S.UNPROVEN, _S.CANCELED, _S.PARKED}),
    _S.PLANNED: _STOPPED | {_S.WAITING_APPROVAL, _S.APPROVED, _S.EXPIRED, _S.FAILED},
    _S.WAITING_APPROVAL: _STOPPED | {_S.APPROVED, _S.REJECTED, _S.EXPIRED, _S.WITHDRAWN},
    _S.APPROVED: _STOPPED | {_S.SNAPSHOTTING, _S.EXPIRED, _S.UNPROVEN},
    _S.SNAPSHOTTING: _STOPPED | {_S.FIXING, _S.EXPIRED, _S.UNPROVEN, _S.FAILED},
    _S.FIXING: _STOPPED | {_S.VERIFYING, _S.FAILED},
    _S.VERIFYING: _STOPPED | {_S.SUCCEEDED, _S.UNPROVEN, _S.FAILED},
    # A finished run may be rolled back by hand as long as its hold is kept.
    _S.SUCCEEDED: frozenset({_S.ROLLING_BACK}),
    _S.UNPROVEN: frozenset({_S.ROLLING_BACK}),
    _S.FAILED: frozenset({_S.ROLLING_BACK}),
    _S.CANCELED: frozenset({_S.ROLLING_BACK}),
    _S.INTERRUPTED: frozenset({_S.ROLLING_BACK, _S.PARKED}),
    _S.PARKED: frozenset({_S.ROLLING_BACK, _S.CANCELED}),
    _S.ROLLING_BACK: frozenset({_S.ROLLED_BACK, _S.ROLLBACK_FAILED, _S.INTERRUPTED}),
    _S.ROLLBACK_FAILED: frozenset({_S.ROLLING_BACK}),
    _S.NOT_NEEDED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.EXPIRED: frozenset(),
    _S.WITHDRAWN: frozenset(),
    _S.ROLLED_BACK: frozenset({_S.ROLLING_BACK}),
}

#: States in which some process is responsible for the run; when that process is gone the run was interrupted.
OWNED = frozenset(
    {
        _S.REQUESTED,
        _S.DIAGNOSING,
        _S.PLANNED,
        _S.SNAPSHOTTING,
        _S.FIXING,
        _S.VERIFYING,
        _S.ROLLING_BACK,
    }
)

#: States in which a run has not ended and yet needs no process: it waits for people, for the runs that it was handed
#: over to, or for whoever carries it next.
WAITING = frozenset({_S.WAITING_APPROVAL, _S.APPROVED, _S.HANDED_OVER})

#: Exit codes of the command line, from the design; states that are not listed are still under way.
EXIT_CODES: Mapping[RunStatus, int] = {
    _S.SUCCEEDED: 0,
    _S.NOT_NEEDED: 0,
    _S.ROLLED_BACK: 1,
    _S.WAITING_APPROVAL: 3,
    _S.APPROVED: 3,
    _S.HANDED_OVER: 3,
    _S.REJECTED: 4,
    _S.EXPIRED: 4,
    _S.WITHDRAWN: 4,
    _S.FAILED: 5,
    _S.ROLLBACK_FAILED: 5,
    _S.CANCELED: 5,
    _S.INTERRUPTED: 5,
    _S.UNPROVEN: 6,
    _S.PARKED: 7,
}


def allowed(current: RunStatus, wanted: RunStatus) -> bool:
    """Return whether a run may go from one state to the other."""
    return wanted in TRANSITIONS[current]


class Origin(Value):
    """Who asked for a run, why, and how."""

    requested_by: str
    reason: str = ""
    #: Who started it: a person, an alert or a schedule.
    started_by: StartedBy = StartedBy.PERSON
    #: Why a person passes the rules about storms that may be passed; empty: it does not.
    override_reason: str = ""
    #: What carries it: the command that asked for it, or the service that it was handed over to.
    carrier: Carrier = "command"
    #: Up to which level the rule about its alert lets it act without a human; None: no rule does.
    unattended: int | None = Field(default=None, ge=0, le=4)


class Run(Origin):
    """One run of one runbook on one or more hosts."""

    id: str
    runbook: str
    status: RunStatus
    hosts: tuple[str, ...]
    parameters: dict[str, ParameterValue] = {}
    check: bool = False
    #: The run whose plan this one applies, or which it continues after an interruption.
    continues: str = ""
    #: The run that handed over to this one: the incident is that one's. Empty: somebody asked for this run.
    parent: str = ""
    #: How many runs stand above this one.
    depth: int = Field(default=0, ge=0)
    outcome: str = ""
    plan: Plan | None = None
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None = None

    @property
    def exit_code(self) -> int:
        """The exit code that this run ends the command line with."""
        if self.check and self.status is RunStatus.PLANNED:
            return 0
        return EXIT_CODES.get(self.status, 10)

    @property
    def duration(self) -> timedelta | None:
        """From the request to the end of the run, or None while it goes on."""
        return self.ended_at - self.created_at if self.ended_at else None


class Standing(Value):
    """Where a run stands, for whoever looks at many often: without its plan, which is big."""

    run_id: str
    status: RunStatus
    hosts: tuple[str, ...]
    carrier: Carrier
    created_at: datetime
    #: The run that handed over to it, if one did.
    parent: str = ""
    #: Who wants it to stop; empty: nobody.
    stop_asked_by: str = ""


class Transition(Value):
    """One change of a run's state, with its reason."""

    from_status: RunStatus | None
    to_status: RunStatus
    reason: str
    at: datetime


class TaskOutcome(StrEnum):
    """How a task ended on a host."""

    OK = "ok"
    CHANGED = "changed"
    SKIPPED = "skipped"
    FAILED = "failed"
    UNREACHABLE = "unreachable"


class TaskRecord(Value):
    """One task on one host, as Ansible reported it."""

    host: str
    task: str
    module: str
    outcome: TaskOutcome
    started_at: datetime
    seconds: float
    message: str = ""
    diff: str = ""


class PhaseOutcome(StrEnum):
    """How a phase ended as a whole."""

    OK = "ok"
    FAILED = "failed"
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    CANCELED = "canceled"
    CRASHED = "crashed"


class PhaseRecord(Value):
    """One phase of a run, as recorded."""

    sequence: int
    phase: Phase
    check: bool
    outcome: PhaseOutcome | None
    started_at: datetime
    ended_at: datetime | None
    reports: dict[str, object] = {}
    troubles: dict[str, str] = {}
    tasks: tuple[TaskRecord, ...] = ()

    @property
    def changed(self) -> int:
        """How many tasks changed a host."""
        return sum(task.outcome is TaskOutcome.CHANGED for task in self.tasks)


class Verified(Value):
    """What the last verification of a run reported, for whoever looks at many."""

    run_id: str
    ended_at: datetime
    #: By host, as they were recorded.
    reports: dict[str, object] = {}


def request_id(run_id: str) -> str:
    """Return what the ids of all attempts of one request have in common: `20261123-211500-k7qd-2` is a second one."""
    return "-".join(run_id.split("-")[:3])


#: No vowels and nothing that can be mistaken for another character: an id is read aloud at night.
ID_ALPHABET = "bcdfghjkmnpqrstvwxz23456789"


def new_run_id(now: datetime, suffix: str) -> str:
    """Return a run id that sorts by time and can be read aloud: `20261123-211500-k7qd`."""
    return f"{now:%Y%m%d-%H%M%S}-{suffix}"


#: How many characters tell runs apart that are made of alerts and schedules.
_SUFFIX_LENGTH = 8


def suffix_of(key: str) -> str:
    """Return the end of a run's id. It follows from what the run is made of, so that no two of one second have it."""
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16])
    letters = []
    for _ in range(_SUFFIX_LENGTH):
        number, at = divmod(number, len(ID_ALPHABET))
        letters.append(ID_ALPHABET[at])
    return "".join(letters)
