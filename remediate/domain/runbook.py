"""A runbook: its card, its causes, its phases and its typed parameters."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Literal

from pydantic import Field, JsonValue

from remediate.domain.value import Value


class Severity(StrEnum):
    """SEV1 is a full outage or data loss, SEV4 has no impact on users."""

    SEV1 = "SEV1"
    SEV2 = "SEV2"
    SEV3 = "SEV3"
    SEV4 = "SEV4"


class Phase(StrEnum):
    """The five phases of a runbook, in the order in which a run walks them."""

    DIAGNOSE = "diagnose"
    SNAPSHOT = "snapshot"
    FIX = "fix"
    VERIFY = "verify"
    ROLLBACK = "rollback"


class Effect(StrEnum):
    """What a fix does to the world beyond curing the host; effects may raise the level of approval."""

    RESTART = "restart"
    ACCESS = "access"
    DATA_LOSS = "data_loss"
    DATA_DISCLOSURE = "data_disclosure"
    TRAFFIC = "traffic"


class Rollback(StrEnum):
    """How a cause's fix is undone: by itself when it fails, by hand, or not at all."""

    AUTOMATIC = "automatic"
    MANUAL = "manual"
    NONE = "none"


class Cause(Value):
    """One thing that diagnosis can find, with what its fix needs."""

    id: str
    title: str
    approval: int = Field(ge=0, le=4)
    #: How many people of that level have to approve.
    approvers: int = Field(default=1, ge=1, le=5)
    effects: tuple[Effect, ...] = ()
    rollback: Rollback
    rollback_reason: str = ""
    evidence: str
    #: The runbook that cures this cause; this one does nothing about it itself. Empty: it does.
    hand_over: str = ""


class AlertMapping(Value):
    """An alert that this runbook answers, and which label fills which parameter."""

    name: str
    severity: Severity
    matchers: dict[str, str] = {}
    parameters: dict[str, str] = {}


class PhaseLimits(Value):
    """How long a phase may take, and how often verification is asked again."""

    timeout: timedelta
    retries: int = Field(default=0, ge=0, le=60)
    delay: timedelta = timedelta(seconds=10)

    @property
    def longest(self) -> timedelta:
        """How long the phase may take with all of its retries."""
        return self.timeout + self.retries * (self.timeout + self.delay)


ParameterType = Literal["str", "int", "float", "bool", "list", "path", "dict"]
#: The value of a parameter: text, numbers, booleans, lists and mappings of them, or nothing.
ParameterValue = JsonValue


class Parameter(Value):
    """A typed input of a runbook, from the role's argument specification."""

    name: str
    type: ParameterType
    description: str
    default: ParameterValue = None
    choices: tuple[str | int | float, ...] = ()
    elements: ParameterType | None = None
    required: bool = False


class Runbook(Value):
    """One runbook of the catalogue: the card plus the parameters of its role."""

    id: str
    role: str
    title: str
    severity: Severity
    rto: timedelta
    alerts: tuple[AlertMapping, ...] = ()
    causes: dict[str, Cause]
    phases: dict[Phase, PhaseLimits]
    cooldown: timedelta
    #: Tightens the first steps of the escalation: after how long level 2, and then level 3, is asked.
    escalation: tuple[timedelta, ...] = ()
    concurrency: Literal["one_per_host"]
    readme: str
    parameters: dict[str, Parameter]
    #: Work that comes again and again and takes nothing away, such as backups: an incident only when it does not
    #: succeed, no part of a storm, and no obstacle to a runbook that cures.
    routine: bool = False

    def limits(self, phase: Phase) -> PhaseLimits:
        """Return the limits of a phase; cards always name all of their role's phases."""
        return self.phases[phase]
