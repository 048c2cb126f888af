"""People, principals and tokens for tests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from remediate.domain.identity import Principal, Token
from remediate.domain.people import Grant, People, Person, Role
from remediate.testing import EPOCH


def grant(role: Role, runbooks: tuple[str, ...] = (), groups: tuple[str, ...] = ()) -> Grant:
    return Grant(role=role, runbooks=runbooks, groups=groups)


def person(person_id: str = "nadia", *grants: Grant | Role, **changes: Any) -> Person:
    given = tuple(Grant(role=entry) if isinstance(entry, Role) else entry for entry in grants)
    return Person.model_validate({"id": person_id, "name": person_id.capitalize(), "grants": given, **changes})


def people(*everybody: Person) -> People:
    return People(by_id={entry.id: entry for entry in everybody})


def principal(*grants: Grant | Role, roles: tuple[Role, ...] = (), **changes: Any) -> Principal:
    return Principal(person=person("nadia", *grants, **changes), channel="os-user:nadia", roles=roles)


def token(identifier: str = "bcdfghjkmn", **changes: Any) -> Token:
    values = {
        "person": "nadia",
        "label": "laptop",
        "created_at": EPOCH,
        "created_by": "omar",
        "expires_at": EPOCH + timedelta(days=90),
    }
    return Token.model_validate({"id": identifier, **values, **changes})
