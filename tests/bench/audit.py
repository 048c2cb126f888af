"""Measures the audit trail: how quickly entries are appended, and how long a long trail takes to verify.

Needs no hosts: `python tests/bench/audit.py`, and part of `make bench`. The disk decides the first figure, since each
entry of its own is on the disk before the next one; machines are noisy, so the median of several rounds counts.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from remediate.adapters.signing import AuditKey
from remediate.adapters.store.audit import DatabaseTrail
from remediate.adapters.store.connection import open_database
from remediate.domain.audit import AuditEntry, SignedHead
from remediate.engine.audit import AuditTrail

EVENTS = int(os.environ.get("BENCH_EVENTS", "100000"))
ROUNDS = 5
ALONE = 2_000
NOW = datetime(2026, 11, 25, 3, 0, tzinfo=UTC)


def entry(number: int) -> AuditEntry:
    """An entry of usual size."""
    details = {"from": "requested", "to": "diagnosing", "reason": f"looking at host-{number} and its neighbours"}
    return AuditEntry(
        at=NOW, actor="engine", action="run.moved", subject=f"20261125-030000-{number:06}", details={**details}
    )


def seconds(work: Callable[[], object]) -> float:
    """Return how long a piece of work took."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def append(trail: DatabaseTrail, numbers: Iterable[int]) -> None:
    """Append entries."""
    for number in numbers:
        trail.note(entry(number))


def main() -> None:
    """Measure everything on a trail in a temporary directory."""
    with tempfile.TemporaryDirectory(prefix="bench-audit-") as directory:
        state = Path(directory) / "state"
        database = open_database(state)
        keys = AuditKey(state)
        trail = DatabaseTrail(database, keys)
        alone = seconds(lambda: append(trail, range(ALONE)))
        print(f"append, a transaction each        {ALONE / alone:10.0f} events/s")
        with database.writing():
            together = seconds(lambda: append(trail, range(ALONE, EVENTS)))
        print(f"append, one transaction           {(EVENTS - ALONE) / together:10.0f} events/s")
        key = seconds(keys.key_id)
        sign = seconds(lambda: trail.sign_head(NOW))
        print(f"make the key, sign a head         {key * 1000:10.0f} ms {sign * 1000:7.1f} ms")
        heads: tuple[SignedHead, ...] = trail.heads()
        times = [seconds(lambda: AuditTrail(trail, keys).verify(heads)) for _ in range(ROUNDS)]
        least, most = min(times), max(times)
        print(
            f"verify {EVENTS} events with a head  median {statistics.median(times):.2f} s   "
            f"min {least:.2f}   max {most:.2f}   n={ROUNDS}"
        )
        database.dispose()


if __name__ == "__main__":
    main()
