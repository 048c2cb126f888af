"""What a drill tells: its verdict, what was restored, how long each phase took. It becomes a DrillReport."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

PASS = "PASS"  # noqa: S105 - a verdict
BACKUP_BAD, CHAIN_GAP, CONTENT_MISMATCH = "BACKUP_BAD", "CHAIN_GAP", "CONTENT_MISMATCH"
RTO_MISS, RPO_MISS, DRILL_BROKEN = "RTO_MISS", "RPO_MISS", "DRILL_BROKEN"


class Record:
    """A drill as it goes. Times are by the clock that never jumps; `began` is when, in seconds since 1970."""

    def __init__(self, source: str, rto_target: float, rpo_target: float) -> None:
        self.began = time.time()
        self._start = time.monotonic()
        self._targets = (rto_target, rpo_target)
        self._source = source
        self._phases: dict[str, dict[str, Any]] = {}
        self.passed_over: list[dict[str, str]] = []
        self.backup: dict[str, Any] = {}
        self.tools: dict[str, str] = {}
        self.position = ""
        self.compared: set[str] = set()
        self.tables = 0
        self.covered_until = 0.0

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[dict[str, Any]]:
        """Measure a phase; what is added to its `bytes` is counted. A phase that comes again goes on."""
        entry = self._phases.setdefault(name, {"name": name, "seconds": 0.0, "bytes": 0})
        begun = time.monotonic()
        try:
            yield entry
        finally:
            entry["seconds"] += time.monotonic() - begun

    @property
    def seconds(self) -> float:
        """How long it has taken so far."""
        return time.monotonic() - self._start

    def measured(self) -> dict[str, tuple[int, float]]:
        """Return bytes and seconds of each phase so far."""
        return {name: (one["bytes"], one["seconds"]) for name, one in self._phases.items()}

    def close(self, verdict: str, reason: str) -> dict[str, Any]:
        """Return the report; a restore that is right but too slow, or too old, is a miss."""
        wall = self.seconds
        rto_target, rpo_target = self._targets
        rpo = max(0.0, self.began - self.covered_until) if self.covered_until else 0.0
        if verdict == PASS and wall > rto_target:
            verdict, reason = RTO_MISS, f"it took {wall:.0f} s, and {rto_target:.0f} s are allowed"
        if verdict == PASS and rpo > rpo_target:
            verdict, reason = RPO_MISS, f"{rpo:.0f} s would be lost, and {rpo_target:.0f} s are allowed"
        return {
            "source": self._source,
            "verdict": verdict,
            "reason": reason,
            "backup": self.backup,
            "passed_over": self.passed_over,
            "phases": [{**one, "seconds": round(one["seconds"], 3)} for one in self._phases.values()],
            "rto_seconds": round(wall, 3),
            "rto_target": rto_target,
            "rpo_seconds": round(rpo, 3),
            "rpo_target": rpo_target,
            "position": self.position,
            "tables_compared": len(self.compared),
            "tables_total": self.tables,
            "tools": self.tools,
            "began": self.began,
            "wall_seconds": round(wall, 3),
        }
