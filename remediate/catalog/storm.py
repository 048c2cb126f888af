"""Reads the section `storm:` of remediate.yml: how much may begin when alerts rain."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from remediate.catalog.duration import Duration
from remediate.domain.run import StartedBy
from remediate.domain.storm import UNCONDITIONAL, BreakerLimit, FleetLimit, Quota, Rule, StormPolicy


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AttemptsSettings(_Part):
    """How often a runbook may be tried on a host, whatever comes of it."""

    most: int = Field(default=3, ge=1, strict=True, description="How many attempts on one host.")
    within: Duration = Field(default="1h", validate_default=True, description="In what time.")


class RecurrenceSettings(_Part):
    """How often a runbook may cure a host before a human has to find out why it comes back."""

    most: int = Field(default=3, ge=1, strict=True, description="How many cures of one host.")
    within: Duration = Field(default="24h", validate_default=True, description="In what time.")


class FleetSettings(_Part):
    """How many hosts of any group may be under change at once: the number or the share, whichever is more."""

    hosts: int = Field(default=2, ge=1, strict=True, description="How many hosts.")
    percent: int = Field(default=20, ge=0, le=100, strict=True, description="What share of the group, rounded down.")


class BreakerSettings(_Part):
    """When a runbook that does not cure is stopped on the whole site."""

    failures: int = Field(default=3, ge=1, strict=True, description="After how many ends in a row without a cure.")
    within: Duration = Field(default="7d", validate_default=True, description="Ends that are older count no more.")
    cool: Duration = Field(default="12h", validate_default=True, description="After what time one run may try again.")

    @model_validator(mode="after")
    def _counts_for_as_long_as_it_cools(self) -> BreakerSettings:
        if self.within < self.cool:
            raise ValueError("within may not be shorter than cool: the breaker would close before it has cooled")
        return self


class BudgetSettings(_Part):
    """How many runs may begin to change hosts of the whole site."""

    most: int = Field(default=12, ge=1, strict=True, description="How many runs.")
    within: Duration = Field(default="1h", validate_default=True, description="In what time.")


class ExemptSettings(_Part):
    """Rules that do not bind a run, by what started it."""

    #: These call a human, and here one is at work, with the plan before their eyes.
    person: tuple[Rule, ...] = Field(
        default=(Rule.COOLDOWN, Rule.ATTEMPTS, Rule.RECURRENCE, Rule.BUDGET),
        description="Not binding what a person starts.",
    )
    alert: tuple[Rule, ...] = Field(default=(), description="Not binding what an alert starts.")
    #: What comes in its time is no storm: its expression says how often, and it never comes over itself.
    schedule: tuple[Rule, ...] = Field(
        default=(Rule.COOLDOWN, Rule.ATTEMPTS, Rule.RECURRENCE, Rule.BUDGET),
        description="Not binding what a schedule starts; with `budget`, that uses up none of it either.",
    )

    @field_validator("person", "alert", "schedule")
    @classmethod
    def _only_conditional(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return _conditional(rules)


class StormSettings(_Part):
    """The storm policy."""

    attempts: AttemptsSettings = AttemptsSettings()
    recurrence: RecurrenceSettings = RecurrenceSettings()
    fleet: FleetSettings = FleetSettings()
    breaker: BreakerSettings = BreakerSettings()
    budget: BudgetSettings = BudgetSettings()
    exempt: ExemptSettings = ExemptSettings()
    override: tuple[Rule, ...] = Field(
        default=(Rule.COOLDOWN, Rule.ATTEMPTS, Rule.RECURRENCE, Rule.BREAKER),
        description="Rules that a person may override with a reason.",
    )

    @field_validator("override")
    @classmethod
    def _only_conditional(cls, rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
        return _conditional(rules)

    def as_policy(self) -> StormPolicy:
        """Return the domain's value."""
        return StormPolicy(
            attempts=Quota(**self.attempts.model_dump()),
            recurrence=Quota(**self.recurrence.model_dump()),
            fleet=FleetLimit(**self.fleet.model_dump()),
            breaker=BreakerLimit(**self.breaker.model_dump()),
            budget=Quota(**self.budget.model_dump()),
            exempt={by: frozenset(rules) for by in StartedBy if (rules := getattr(self.exempt, by.value))},
            override=frozenset(self.override),
        )


def _conditional(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    if binding := sorted(rule.value for rule in UNCONDITIONAL.intersection(rules)):
        raise ValueError(f"{', '.join(binding)}: always binds everybody")
    return rules
