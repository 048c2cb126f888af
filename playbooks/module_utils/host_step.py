"""The words in which a runbook says what it found on a host and what it would do about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from ansible.module_utils.host_checks import Check

HELD, NO_UNDO, NOT_NEEDED = "held", "none", "not_needed"


class StepError(Exception):
    """A step could not be done or undone; the message says what was left as it is, and what to do next."""


class StepNotNeededError(Exception):
    """What a step is for has gone away by itself since it was written down; the message says so. Not a failure."""


@dataclass(frozen=True)
class Step:
    """One thing to do to one target.

    Cause, verb and target are what a person approves and what the run is bound to: they must be the same at every look
    at an unchanged host. What moves by itself (counts, sizes, process ids) belongs into `note` or `data`.
    """

    cause: str
    verb: str
    target: str
    undo: str = NOT_NEEDED
    note: str = ""
    #: What is shown below the step in a diff: settings before and after, never a secret.
    detail: tuple[str, ...] = ()
    #: What doing it needs besides the target; it is kept where only root may read, and never shown.
    data: dict[str, Any] = field(default_factory=dict)
    #: It is left out when the host is well again by what was done before it.
    only_while_ill: bool = False

    def action(self) -> dict[str, Any]:
        """Return the step in the form in which phases report it."""
        return {name: getattr(self, name) for name in ("cause", "verb", "target", "undo", "note")}

    def record(self) -> dict[str, Any]:
        """Return the step as it is written down."""
        return asdict(self)


def from_record(record: dict[str, Any]) -> Step:
    """Return a step as it was written down."""
    return Step(**{**record, "detail": tuple(record["detail"])})


@dataclass
class Found:
    """What one look at a host told. Without causes the host is well, as far as this runbook goes."""

    summary: str
    #: The id of each cause with its evidence, in the order in which they are cured.
    causes: dict[str, list[str]] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    measures: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    #: Whether the steps, together with the runbooks that causes are handed over to, are expected to cure the host.
    enough: bool = True

    def finding(self) -> dict[str, Any]:
        """Return it in the form in which diagnosis reports."""
        return {
            "applies": bool(self.causes),
            "summary": self.summary,
            "causes": [{"id": cause, "evidence": evidence} for cause, evidence in self.causes.items()],
            "actions": [step.action() for step in self.steps],
            "measures": self.measures,
            "notes": self.notes,
            "enough": self.enough,
        }


@dataclass
class Seen:
    """What verification saw."""

    checks: list[Check] = field(default_factory=list)
    measures: list[dict[str, Any]] = field(default_factory=list)
    #: Of a runbook that tries restores: what each of them told.
    drills: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Done:
    """What a run has done on this host so far."""

    steps: tuple[Step, ...] = ()
    #: When the last step was done, in seconds since 1970; None before the first.
    at: float | None = None


def measure(name: str, value: float, unit: str, wanted: str, *, ok: bool) -> dict[str, Any]:
    """Return a measured value and what it should be, in the form in which phases report it."""
    return {"name": name, "value": float(value), "unit": unit, "wanted": wanted, "ok": ok}
