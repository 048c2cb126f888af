"""The people around a run, as the engine sees them: whom to ask, how to tell them, who they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from remediate.domain.approval import Answer, ApprovalRequest, LevelRule
from remediate.domain.identity import Principal
from remediate.domain.incident import Incident
from remediate.domain.people import People, Person
from remediate.domain.run import Run


class Occasion(StrEnum):
    """What people are told about."""

    ASKED = "asked"
    REMINDED = "reminded"
    CLIMBED = "climbed"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    OVERRIDDEN = "overridden"
    ENDED = "ended"
    #: Nobody has taken an incident on in time, or somebody calls a higher level.
    CALLED = "called"


@dataclass(frozen=True)
class News:
    """Something that people are told, in the transaction in which it becomes true."""

    occasion: Occasion
    run: Run
    request: ApprovalRequest | None
    to: tuple[Person, ...]
    note: str
    at: datetime
    #: The level that is called, where no request says so.
    level: int = 0


@dataclass(frozen=True)
class Call:
    """That a level is called for an incident that no run belongs to, in the transaction in which that becomes true."""

    incident: Incident
    to: tuple[Person, ...]
    note: str
    at: datetime


def _nobody(_level: int, _at: datetime) -> tuple[Person, ...]:
    return ()


def _silent(_news: News | Call) -> None:
    return None


def _anybody(_principal: Principal, _request: ApprovalRequest, _answer: Answer) -> str:
    return ""


@dataclass(frozen=True)
class Staff:
    """Who is there. Without any people configured, whoever sits at the terminal is the on-call engineer."""

    people: People = field(default_factory=People)
    #: Whom to ask at a level at a moment, the first one first.
    on_call: Callable[[int, datetime], tuple[Person, ...]] = _nobody
    #: Puts news on its way, within the transaction that is open.
    announce: Callable[[News], None] = _silent
    #: The same for an incident that no run belongs to.
    call: Callable[[Call], None] = _silent
    #: Returns why a principal may not answer to a request at all, or an empty string: roles, runbooks, host groups.
    forbids: Callable[[Principal, ApprovalRequest, Answer], str] = _anybody
    #: What the site asks for beyond what the cards say.
    levels: tuple[LevelRule, ...] = ()
    #: The digest of what remediate.yml says about people, levels and policies.
    policy: str = ""

    def level_of(self, person: str) -> int:
        """Return the level of a person; on a site without people, that of the on-call engineer."""
        if not self.people.by_id:
            return 1
        known = self.people.by_id.get(person)
        return known.level if known and not known.service else 0

    def named(self, ids: Sequence[str]) -> tuple[Person, ...]:
        """Return the people with these ids, without those that are gone."""
        return tuple(self.people.by_id[one] for one in ids if one in self.people.by_id)

    def of_levels(self, *levels: int) -> tuple[Person, ...]:
        """Return everybody of some levels."""
        return tuple(person for level in levels for person in self.people.of_level(level))
