"""The people of a site: who they are, how they are reached, what they may do, and up to which level they decide."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from pydantic import Field

from remediate.domain.value import Value

#: No person has this id: it is how the record names what the engine does by itself.
ENGINE = "engine"


class Role(StrEnum):
    """What a person may do; each role holds on the runbooks and host groups of its grant."""

    #: Sees runs, plans and approvals.
    VIEWER = "viewer"
    #: Asks for plans and runs.
    REQUESTER = "requester"
    #: Carries runs out, takes them back, cancels and resumes them, and presses pause.
    OPERATOR = "operator"
    #: Approves and rejects, up to the person's level.
    APPROVER = "approver"
    #: Makes and revokes tokens, lifts a pause.
    ADMIN = "admin"
    #: Reads and exports the audit trail.
    AUDITOR = "auditor"


class Grant(Value):
    """A role, on some runbooks and on some host groups; none named means all of them."""

    role: Role
    runbooks: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()


class Person(Value):
    """A person, or a service account, which never approves anything."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,31}$")
    name: str
    email: str = ""
    phone: str = ""
    chat: str = ""
    #: The level of the escalation matrix, 1 to 4; 0 decides nothing.
    level: int = Field(default=0, ge=0, le=4)
    grants: tuple[Grant, ...] = ()
    #: Users of the operating system that act as this person on the local command line.
    os_users: tuple[str, ...] = ()
    service: bool = False

    @property
    def contacts(self) -> dict[str, str]:
        """How the person is reached, by the kind of way: `email`, `phone`, `chat`."""
        ways = {"email": self.email, "phone": self.phone, "chat": self.chat}
        return {way: address for way, address in ways.items() if address}


class People(Value):
    """Everybody, by id."""

    by_id: Mapping[str, Person] = {}

    def of_level(self, level: int) -> tuple[Person, ...]:
        """Return the people who are asked at a level: those of exactly that level, by id."""
        return tuple(person for _, person in sorted(self.by_id.items()) if person.level == level and not person.service)

    def for_os_user(self, user: str) -> Person | None:
        """Return the person that a user of the operating system is mapped to, or None."""
        return next((person for person in self.by_id.values() if user in person.os_users), None)

    def levels_without_anybody(self) -> tuple[int, ...]:
        """Return the levels above the on-call engineer's that nobody has: a request that climbs there asks nobody."""
        return tuple(level for level in (2, 3, 4) if not self.of_level(level))
