"""Reads the section `policy:` of remediate.yml: which plans need a higher level here than their cards ask for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from remediate.catalog.document import Document, Problems
from remediate.catalog.people import Line, PersonEntry
from remediate.domain.approval import HIGHEST_LEVEL, LevelRule


class LevelRuleEntry(BaseModel):
    """A rule that raises the level that must approve the plans of a runbook; nothing here ever lowers one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    runbook: Line = Field(description="The runbook that it is about.")
    groups: tuple[Line, ...] = Field(default=(), description="Groups of hosts it is about; none named means all.")
    level: int = Field(ge=1, le=HIGHEST_LEVEL, strict=True, description="The least level that must approve, 1 to 4.")
    reason: Line = Field(min_length=1, max_length=200, description="Why, for whoever is asked.")

    def as_rule(self) -> LevelRule:
        """Return the domain's value."""
        return LevelRule(**self.model_dump())


def check_policy(
    rules: Sequence[LevelRuleEntry],
    people: Mapping[str, PersonEntry],
    runbooks: Collection[str],
    document: Document,
    problems: Problems,
) -> None:
    """Note rules that would silently raise nothing, and levels that nobody here could approve."""
    highest = max((entry.level for entry in people.values() if not entry.service), default=1 if not people else 0)
    seen: set[tuple[str, frozenset[str]]] = set()
    for index, rule in enumerate(rules):
        at = ("policy", index)
        about = (rule.runbook, frozenset(rule.groups))
        if rule.runbook not in runbooks:
            document.note((*at, "runbook"), f"there is no runbook {rule.runbook!r}", problems)
        if about in seen:
            document.note(at, f"{rule.runbook} on the same groups stands twice", problems)
        if rule.level > highest:
            document.note((*at, "level"), f"nobody here has level {rule.level} or above", problems)
        seen.add(about)
