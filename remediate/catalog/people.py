"""The section `people` of `remediate.yml`: who is there, how they are reached, what they may do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from remediate.catalog.document import Document, Problems
from remediate.domain.people import ENGINE, Grant, People, Person, Role


def _text(value: object) -> object:
    """Refuse what YAML reads as something else: `+49 30 1` without quotes is text, `+49301` is a number."""
    if isinstance(value, bool | int | float):
        raise ValueError("is read as a number or a yes/no: put it between quotes")
    return value


def _person_id(value: str) -> str:
    if value == ENGINE:
        raise ValueError(f"{ENGINE} is how the record names the program itself: choose another id")
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,31}", value):
        raise ValueError("an id of small letters, digits, - and _ is wanted, such as nadia")
    return value


def _single_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("one line of plain text is wanted")
    return value


def _email(value: str) -> str:
    if value and not re.fullmatch(r"[^@\s<>,;:\"]+@[^@\s<>,;:\"]+", _single_line(value)):
        raise ValueError("an address such as nadia@example.org is wanted")
    return value


def _phone(value: str) -> str:
    if value and not re.fullmatch(r"\+?[0-9][0-9 ()/.-]{2,30}", value):
        raise ValueError('a number such as "+49 30 1234567" is wanted')
    return value


Line = Annotated[str, BeforeValidator(_text), AfterValidator(_single_line)]
PersonId = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(_person_id),
    Field(json_schema_extra={"pattern": "^[a-z][a-z0-9_-]{0,31}$"}),
]


def _grant(value: object) -> object:
    return {"role": value} if isinstance(value, str) else value


def _grant_schema(schema: dict[str, Any]) -> None:
    schema["items"] = {"anyOf": [{"enum": [role.value for role in Role]}, schema["items"]]}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GrantEntry(_Part):
    """A role that holds on some runbooks and host groups only; a role alone, as a word, holds on all of them."""

    role: Role = Field(description="The role.")
    runbooks: tuple[Line, ...] = Field(default=(), description="Runbooks that the role holds on; none means all.")
    groups: tuple[Line, ...] = Field(default=(), description="Inventory groups that it holds on; none means all.")


class PersonEntry(_Part):
    """One person, or a service account."""

    name: Line = Field(min_length=1, max_length=80, description="The name, as others know it.")
    email: Annotated[str, BeforeValidator(_text), AfterValidator(_email)] = Field(
        default="", max_length=200, description="Where e-mail reaches the person."
    )
    phone: Annotated[str, BeforeValidator(_text), AfterValidator(_phone)] = Field(
        default="", description='The phone number, in quotes, with its country: "+49 30 1234567".'
    )
    chat: Line = Field(default="", max_length=80, description="The handle in the team's chat.")
    level: int = Field(
        default=0, ge=0, le=4, strict=True, description="Level of the escalation matrix, 1 to 4; 0 decides nothing."
    )
    roles: tuple[Annotated[GrantEntry, BeforeValidator(_grant)], ...] = Field(
        default=(),
        description="What the person may do: roles, each on everything or on some runbooks and groups.",
        json_schema_extra=_grant_schema,
    )
    os_users: tuple[Line, ...] = Field(
        default=(), description="Users of this machine that act as the person on the command line."
    )
    service: bool = Field(default=False, strict=True, description="A service account: it never approves anything.")

    def as_person(self, person_id: str) -> Person:
        """Return the domain's value."""
        values = self.model_dump(exclude={"roles"})
        grants = tuple(Grant(**entry.model_dump()) for entry in self.roles)
        return Person(id=person_id, grants=grants, **values)


PeopleSection = dict[PersonId, PersonEntry]


def read_people(section: Mapping[str, PersonEntry]) -> People:
    """Return the people of a section."""
    return People(by_id={person_id: entry.as_person(person_id) for person_id, entry in section.items()})


def check_people(section: Mapping[str, PersonEntry], document: Document, problems: Problems) -> None:
    """Note what no single field shows: people who cannot be reached, users who are two people, deciding machines."""
    owners: dict[str, str] = {}
    for person_id, entry in section.items():
        at = ("people", person_id)
        if not (entry.service or entry.email or entry.phone or entry.chat):
            document.note(at, "cannot be reached: an email, a phone or a chat is wanted", problems)
        if entry.service and entry.level:
            document.note((*at, "level"), "a service account decides nothing: its level is 0", problems)
        for index, user in enumerate(entry.os_users):
            owner = owners.setdefault(user, person_id)
            if owner != person_id:
                document.note((*at, "os_users", index), f"{user} is {owner} already", problems)
