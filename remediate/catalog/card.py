"""Reads the card of a runbook, `meta/runbook.yml`, into the domain's words."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from remediate.catalog.duration import Duration
from remediate.domain.runbook import AlertMapping, Cause, Effect, Phase, PhaseLimits, Rollback, Severity


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CauseCard(_Part):
    """One cause on a card."""

    title: str = Field(min_length=1)
    approval: int = Field(ge=0, le=4, strict=True)
    approvers: int = Field(default=1, ge=1, le=5, strict=True)
    effects: tuple[Effect, ...] = ()
    rollback: Rollback
    rollback_reason: str = ""
    evidence: str = Field(min_length=1)
    hand_over: str = ""

    @model_validator(mode="after")
    def _reason_for_no_rollback(self) -> CauseCard:
        if self.rollback is Rollback.NONE and not self.rollback_reason:
            raise ValueError("rollback: none needs a rollback_reason")
        return self

    @model_validator(mode="after")
    def _approved_where_it_is_done(self) -> CauseCard:
        if self.hand_over and (self.approval or self.approvers > 1):
            raise ValueError("hand_over: wants approval 0 and one approver, the other runbook asks for its own")
        return self

    def as_cause(self, cause_id: str) -> Cause:
        """Return the domain's value."""
        return Cause(id=cause_id, **self.model_dump())


class AlertCard(_Part):
    """One alert on a card."""

    name: str = Field(min_length=1)
    severity: Severity
    matchers: dict[str, str] = {}
    parameters: dict[str, str] = {}

    def as_mapping(self) -> AlertMapping:
        """Return the domain's value."""
        return AlertMapping(**self.model_dump())


class LimitsCard(_Part):
    """The limits of one phase on a card."""

    timeout: Duration
    retries: int = Field(default=0, ge=0, le=60, strict=True)
    delay: Duration = Field(default="10s", validate_default=True)

    def as_limits(self) -> PhaseLimits:
        """Return the domain's value."""
        return PhaseLimits(timeout=self.timeout, retries=self.retries, delay=self.delay)


class Card(_Part):
    """A card as it is written."""

    title: str = Field(min_length=1)
    severity: Severity
    rto: Duration
    alerts: tuple[AlertCard, ...] = ()
    causes: dict[str, CauseCard] = Field(min_length=1)
    phases: dict[Phase, LimitsCard]
    cooldown: Duration
    escalation: tuple[Duration, ...] = Field(default=(), max_length=3)
    concurrency: Literal["one_per_host"]
    readme: str
    #: It only adds, and comes again and again: neither an incident nor a storm.
    routine: bool = Field(default=False, strict=True)

    @model_validator(mode="after")
    def _climbs_upwards(self) -> Card:
        spans = (timedelta(0), *self.escalation)
        if any(later <= earlier for earlier, later in pairwise(spans)):
            raise ValueError("escalation: each step comes later than the one before it, or a level would have no time")
        return self

    @model_validator(mode="after")
    def _needed_phases(self) -> Card:
        missing = [
            phase.value
            for phase in (Phase.DIAGNOSE, Phase.SNAPSHOT, Phase.FIX, Phase.VERIFY)
            if phase not in self.phases
        ]
        if missing:
            raise ValueError(f"phases: {', '.join(missing)} missing")
        return self
