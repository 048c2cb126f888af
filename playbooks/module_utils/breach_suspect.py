"""What a look for an intruder found, in words that are the same at every look."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils.disk_candidate import shown

#: In the order in which they are cured: what would come back by itself first.
CAUSES = (
    "outbound_connection",
    "unknown_cron",
    "unexpected_process",
    "unknown_key",
    "unknown_user",
    "web_shell",
)
_MOST_SHOWN = 200


@dataclass(frozen=True)
class Suspect:
    """One thing that does not belong on the host: what it is, and the evidence for it."""

    cause: str
    #: The same at every look at an unchanged host: no process ids, no counts.
    target: str
    evidence: str
    #: What dealing with it needs; never shown.
    data: dict[str, Any] = field(default_factory=dict)


@dataclass
class Scan:
    """Everything that one look found, and what it could not look at."""

    suspects: list[Suspect] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def of(self, cause: str) -> list[Suspect]:
        """Return the suspects of one cause."""
        return [one for one in self.suspects if one.cause == cause]


def text_shown(text: str) -> str:
    """Return hostile text so that it can be shown: escaped, and not long."""
    safe = shown(text)
    return safe if len(safe) <= _MOST_SHOWN else safe[:_MOST_SHOWN] + "..."
