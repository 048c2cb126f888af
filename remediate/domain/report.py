"""What the phases of a runbook report back: the contract between content and engine, as values.

Each phase returns its report per host by `set_stats` under one key (see `REPORT_KEYS`). What the role `restore_point`
has to add to a report comes under a key of its own (`ADDED_KEYS`): it does not know which runbook it goes with.
"""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import Literal

from pydantic import Field

from remediate.domain.runbook import Phase
from remediate.domain.text import size
from remediate.domain.times import span
from remediate.domain.value import Value


class Undo(StrEnum):
    """Whether an action can be undone: its target is held, is gone for good, or nothing is lost by it."""

    HELD = "held"
    NONE = "none"
    NOT_NEEDED = "not_needed"


class Action(Value):
    """One thing done, or to be done, to one target on one host."""

    cause: str
    verb: str
    target: str
    bytes: int = Field(default=0, ge=0)
    inodes: int = Field(default=0, ge=0)
    undo: Undo
    note: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What makes two actions the same one, whatever their sizes."""
        return (self.cause, self.verb, self.target)


class Measure(Value):
    """A measured value and what it should be."""

    name: str
    value: float = Field(allow_inf_nan=False)
    unit: str
    wanted: str
    ok: bool


class FoundCause(Value):
    """A cause that diagnosis found, with the evidence for it."""

    id: str
    evidence: tuple[str, ...]


class WayBack(Value):
    """What bringing a host's database back to just before the fix would take; or the reason why no way is known.

    The time is predicted from sizes on the host: no repository was asked. Moments are seconds since 1970.
    """

    seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    copy_id: str = ""
    copy_made: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    copy_bytes: int = Field(default=0, ge=0)
    log_bytes: int = Field(default=0, ge=0)
    #: The rates were measured by a restore on that host; else they are assumed.
    measured: bool = False
    reason: str = ""

    @property
    def sentence(self) -> str:
        """It in words; what it quotes came from a host."""
        if self.seconds is None:
            return f"no way back for the database is known: {self.reason}"
        rates = "measured" if self.measured else "assumed"
        taken = f"{self.copy_id} ({size(self.copy_bytes)}) and {size(self.log_bytes)} of logs, {rates} rates"
        return f"the database as it was just before the fix: rebuilt in about {span(_rounded(self.seconds))} ({taken})"


class RestorePoint(Value):
    """A place in the log of a host's database from before the fix; or the reason why there is none."""

    position: str = ""
    #: The last transactions before it.
    gtid: str = ""
    #: When it was made: seconds since 1970.
    made: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    reason: str = ""

    @property
    def sentence(self) -> str:
        """It in words; what it quotes came from a host."""
        return f"restore point {self.position}" if self.position else f"no restore point: {self.reason}"


def _rounded(seconds: float) -> timedelta:
    """Return a predicted time: tenths of a second would promise what nobody knows."""
    return timedelta(seconds=max(1, round(seconds)))


class Finding(Value):
    """What diagnosis found on one host."""

    applies: bool
    summary: str
    causes: tuple[FoundCause, ...] = ()
    actions: tuple[Action, ...] = ()
    measures: tuple[Measure, ...] = ()
    notes: tuple[str, ...] = ()
    enough: bool = True
    #: Where the inventory says from what to restore the host's database.
    way_back: WayBack | None = None


class Hold(Value):
    """Where the things that a fix takes away are kept."""

    where: Literal["host", "none"]
    path: str = ""
    bytes: int = Field(default=0, ge=0)


class Snapshot(Value):
    """What the snapshot wrote down on the host: the only things that the fix may touch."""

    actions: tuple[Action, ...]
    hold: Hold
    #: Where the inventory says from what to restore the host's database.
    restore_point: RestorePoint | None = None


class FixReport(Value):
    """What the fix did (or, in check mode, would do)."""

    done: tuple[Action, ...]
    stopped: Literal["target_met", "all_done"]
    measures: tuple[Measure, ...] = ()


class Verdict(StrEnum):
    """The three answers of verification; the last one never counts as success."""

    CURED = "cured"
    NOT_CURED = "not_cured"
    CANNOT_TELL = "cannot_tell"


class Check(Value):
    """One thing that verification looked at."""

    name: str
    verdict: Verdict
    detail: str


class DrillVerdict(StrEnum):
    """What a restore test proved. All but the last one say something of the backup; that one, of the drill only."""

    PASS = "PASS"  # noqa: S105  # a verdict, not a password
    BACKUP_BAD = "BACKUP_BAD"
    CHAIN_GAP = "CHAIN_GAP"
    CONTENT_MISMATCH = "CONTENT_MISMATCH"
    RTO_MISS = "RTO_MISS"
    RPO_MISS = "RPO_MISS"
    DRILL_BROKEN = "DRILL_BROKEN"


class RestoredBackup(Value):
    """The backup that a drill restored: its id, the snapshot and repository it came from, when (seconds)."""

    id: str = ""
    snapshot: str = ""
    repository: str = ""
    made: float = Field(default=0.0, ge=0)


class PassedOver(Value):
    """A newer backup that could not be restored, and why."""

    id: str
    reason: str


class DrillPhase(Value):
    """How long one phase of a drill took (seconds), and how many bytes went through it."""

    name: Literal["fetch", "unpack", "prepare", "chain", "replay", "checks", "probe"]
    seconds: float = Field(ge=0, allow_inf_nan=False)
    bytes: int = Field(default=0, ge=0)


class DrillReport(Value):
    """One restore test of one source: what was restored, how exactly, how long it took, how much would be lost.

    Times are seconds, `began` is seconds since 1970. `rpo_seconds` is measured by the data that came back, not by a
    file's date. A phase that was not reached is not there.
    """

    source: str
    verdict: DrillVerdict
    reason: str
    #: Damage that was done to the copy on purpose; such a drill passes when it notices it.
    mutation: str = ""
    backup: RestoredBackup = RestoredBackup()
    passed_over: tuple[PassedOver, ...] = ()
    phases: tuple[DrillPhase, ...] = ()
    rto_seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    rto_target: float = Field(ge=0, allow_inf_nan=False)
    rpo_seconds: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    rpo_target: float = Field(ge=0, allow_inf_nan=False)
    position: str = ""
    tables_compared: int = Field(default=0, ge=0)
    tables_total: int = Field(default=0, ge=0)
    tools: dict[str, str] = Field(default_factory=dict)
    began: float = Field(ge=0, allow_inf_nan=False)
    wall_seconds: float = Field(ge=0, allow_inf_nan=False)


class Verification(Value):
    """What verification saw on one host."""

    verdict: Verdict
    checks: tuple[Check, ...] = ()
    measures: tuple[Measure, ...] = ()
    #: Of a runbook that tries restores: one per source.
    drills: tuple[DrillReport, ...] = ()
    #: What the host's own journal says that the run has done there; this is how a killed run is accounted for.
    done: tuple[Action, ...] = ()


class Restored(Value):
    """One thing that was put back, and where."""

    target: str
    placed_at: str
    sha256: str


class NotRestored(Value):
    """One thing that was not put back, and why."""

    target: str
    reason: str


class RollbackReport(Value):
    """What the rollback put back on one host."""

    restored: tuple[Restored, ...]
    refused: tuple[NotRestored, ...] = ()
    complete: bool


Report = Finding | Snapshot | FixReport | Verification | RollbackReport

REPORT_KEYS: dict[Phase, tuple[str, type[Report]]] = {
    Phase.DIAGNOSE: ("remediate_finding", Finding),
    Phase.SNAPSHOT: ("remediate_snapshot", Snapshot),
    Phase.FIX: ("remediate_fix", FixReport),
    Phase.VERIFY: ("remediate_verdict", Verification),
    Phase.ROLLBACK: ("remediate_rollback", RollbackReport),
}

#: What is added to a report: its key, the field of the report that it fills, and its form.
ADDED_KEYS: dict[Phase, tuple[str, str, type[WayBack | RestorePoint]]] = {
    Phase.DIAGNOSE: ("remediate_way_back", "way_back", WayBack),
    Phase.SNAPSHOT: ("remediate_restore_point", "restore_point", RestorePoint),
}
