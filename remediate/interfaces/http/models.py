"""What the API takes and gives. What comes in is checked here, and knows no person, role or level."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, RootModel, StringConstraints

from remediate.domain.alert import AlertDecision, AlertMode, AlertRecord, AlertStatus
from remediate.domain.approval import Answer, ApprovalDecision, ApprovalRequest
from remediate.domain.incident import Incident
from remediate.domain.plan import Plan
from remediate.domain.run import Run, RunStatus, StartedBy, Transition
from remediate.domain.storm_position import StormPosition

_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$")]
_Reason = Annotated[str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
#: Not only of spaces.
_Words = Annotated[
    str, StringConstraints(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$")
]


class _Taken(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class RunWanted(_Taken):
    """A run that is asked for."""

    runbook: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]
    hosts: Annotated[list[_Name], Field(max_length=500)] = Field(
        default=[], description="Exact names; none named means the hosts of the inventory group of the runbook."
    )
    parameters: Annotated[dict[str, JsonValue], Field(max_length=50)] = {}
    reason: _Reason = ""
    check: bool = Field(default=False, description="Whether it only looks and plans.")


class _Answering(_Taken):
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="The digest of the plan that was seen: any other one is not answered to."
    )


class Agreement(_Answering):
    """A plan that was seen is approved."""

    answer: Literal["approved"]
    reason: _Reason = ""


class Objection(_Answering):
    """A plan that was seen is rejected, or approved over everybody else's head: that takes a reason."""

    answer: Literal["rejected", "overridden"]
    reason: _Words


class AnswerGiven(RootModel[Annotated[Agreement | Objection, Field(discriminator="answer")]]):
    """An answer to the plan that was seen."""

    @property
    def as_answer(self) -> Answer:
        """The domain's value."""
        return Answer(self.root.answer)


class ReasonGiven(_Taken):
    """Why."""

    reason: _Words


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True)


class Me(_Given):
    """Who is asking."""

    id: str
    name: str
    level: int
    channel: str


class RunShown(_Given):
    """A run, without the values of its parameters: those may be anything."""

    id: str
    runbook: str
    status: RunStatus
    hosts: tuple[str, ...]
    check: bool
    outcome: str
    requested_by: str
    started_by: StartedBy
    reason: str
    unattended: int | None
    continues: str
    parent: str
    created_at: datetime
    updated_at: datetime
    ended_at: datetime | None

    @classmethod
    def of(cls, run: Run) -> RunShown:
        """Return a run as it is shown."""
        return cls.model_validate({name: getattr(run, name) for name in cls.model_fields})


class RunDetail(RunShown):
    """A run with its plan and the states that it went through."""

    plan: Plan | None
    history: tuple[Transition, ...]


class RunList(_Given):
    """Runs, newest first."""

    runs: tuple[RunShown, ...]


class ApprovalList(_Given):
    """Plans that wait for somebody, those that are due first."""

    approvals: tuple[ApprovalRequest, ...]


class ApprovalDetail(_Given):
    """A plan that waits, or waited, and the answers to it."""

    request: ApprovalRequest | None
    answers: tuple[ApprovalDecision, ...]


class AlertShown(_Given):
    """An alert that was delivered, and what was decided about it."""

    key: str
    source: str
    status: AlertStatus
    labels: dict[str, str]
    annotations: dict[str, str]
    generator_url: str
    starts_at: AwareDatetime
    first_seen: datetime
    last_seen: datetime
    deliveries: int
    decision: AlertDecision
    reason: str
    runbook: str
    mode: AlertMode | None
    run_id: str
    incident_id: str
    resolved_at: datetime | None

    @classmethod
    def of(cls, record: AlertRecord) -> AlertShown:
        """Return an alert as it is shown."""
        status = AlertStatus.FIRING if record.is_open else AlertStatus.RESOLVED
        parts = (record.alert, record, record.answer)
        names = {name: part for part in parts for name in type(part).model_fields if name in cls.model_fields}
        values = {name: getattr(part, name) for name, part in names.items()}
        return cls.model_validate({**values, "key": record.key, "status": status})


class AlertList(_Given):
    """Alerts, newest first."""

    alerts: tuple[AlertShown, ...]


class IncidentList(_Given):
    """Incidents, newest first."""

    incidents: tuple[Incident, ...]


class Paused(_Given):
    """Nothing begins to change anything any more; what is live goes on."""

    live: tuple[str, ...]


class Resumed(_Given):
    """The pause is lifted."""

    lifted: bool


class Storm(StormPosition):
    """Where every rule of the storm policy stands."""


class Problem(_Given):
    """An error: its kind for programs, and for people what happened and what to do."""

    error: str
    message: str
    next_step: str
