"""Which part of a repository is read next, and how much of it has been read: a whole cycle is a matter of counting.

Reading a random tenth of the data finds a flipped bit one time in ten. Here all parts are read in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Coverage:
    """What was read of one repository: when each of its `total` parts was read last (seconds since 1970), and how."""

    repository: str
    total: int
    read: Mapping[int, float] = field(default_factory=dict)
    #: Parts that were found damaged when they were read last, and what was said.
    bad: Mapping[int, str] = field(default_factory=dict)

    def next_part(self) -> int:
        """Return the part to be read next: a bad one, else one that was never read, else the one read longest ago."""
        if self.bad:
            return min(self.bad, key=lambda part: (self.read.get(part, 0.0), part))
        return min(range(1, self.total + 1), key=lambda part: (self.read.get(part, 0.0), part))

    def is_due(self, now: float, period: float) -> bool:
        """Return whether a part is to be read: one a period, and a damaged one at every look."""
        if self.bad or not self.read:
            return True
        last = max(self.read.values())
        return last > now or now - last >= period

    def after(self, part: int, now: float, trouble: str) -> Coverage:
        """Return what is known after a part was read."""
        bad = {one: said for one, said in self.bad.items() if one != part}
        if trouble:
            bad[part] = trouble
        return Coverage(self.repository, self.total, {**self.read, part: now}, bad)

    def share(self, now: float, within: float) -> float:
        """Return how much of the data was read and found good within so many seconds, from 0 to 1."""
        good = [part for part, moment in self.read.items() if part not in self.bad and now - within <= moment <= now]
        return len(good) / self.total

    def record(self) -> dict[str, Any]:
        """Return it as it is written down."""
        return {
            "repository": self.repository,
            "total": self.total,
            "read": {str(part): moment for part, moment in self.read.items()},
            "bad": {str(part): said for part, said in self.bad.items()},
        }


def from_record(record: Mapping[str, Any], repository: str, total: int) -> Coverage:
    """Return what was written down; of another repository, or in other parts, nothing counts."""
    try:
        if (record["repository"], record["total"]) != (repository, total):
            return Coverage(repository, total)
        read = {int(part): float(moment) for part, moment in record["read"].items()}
        bad = {int(part): str(said) for part, said in record["bad"].items()}
    except (KeyError, TypeError, ValueError, AttributeError):
        return Coverage(repository, total)
    inside = range(1, total + 1)
    return Coverage(
        repository,
        total,
        {part: moment for part, moment in read.items() if part in inside},
        {part: said for part, said in bad.items() if part in inside},
    )
