"""Reads `remediate.yml`, the one file that describes a site."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from remediate.catalog.audit import AuditSettings
from remediate.catalog.channels import Channels, Notify, check_channels, check_notify, read_routes
from remediate.catalog.database import DatabaseSettings
from remediate.catalog.discovery import FILE_NAME, content_directories, find_runbooks
from remediate.catalog.document import Document, Problems, read_document
from remediate.catalog.duration import Duration
from remediate.catalog.freeze import FreezeSettings, note_freeze_problems
from remediate.catalog.http import HttpSettings, Sources
from remediate.catalog.on_call import OnCallSection, check_on_call, read_rotation
from remediate.catalog.people import PeopleSection, check_people, read_people
from remediate.catalog.policy import LevelRuleEntry, check_policy
from remediate.catalog.response_rules import ResponseRuleEntry, check_response_rules
from remediate.catalog.schedules import ScheduleEntry, check_schedules
from remediate.catalog.storm import StormSettings
from remediate.domain.approval import LevelRule
from remediate.domain.digest import digest
from remediate.domain.freeze import Freeze
from remediate.domain.people import People
from remediate.domain.response_rule import ResponseRule
from remediate.domain.rotation import Rotation
from remediate.domain.route import Routes
from remediate.domain.schedule import Schedule
from remediate.domain.storm import StormPolicy
from remediate.errors import UsageError


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class AnsibleSettings(_Part):
    """How Ansible is run."""

    forks: int = Field(default=10, ge=1, le=200, description="How many hosts are worked on at once.")
    connect_timeout: Duration = Field(
        default="10s",
        validate_default=True,
        description="How long SSH may take to connect.",
    )


class SettingsFile(_Part):
    """`remediate.yml` as it is written; paths are relative to the file."""

    version: Literal[1] = Field(description="Version of this file's format.")
    inventory: str = Field(default="inventory", description="The Ansible inventory: a file or a directory.")
    state: str = Field(
        default="~/.local/state/remediate",
        description="Where runs, keys and logs are kept; created with mode 0700, never shared with other programs.",
    )
    database: DatabaseSettings = DatabaseSettings()
    ansible: AnsibleSettings = AnsibleSettings()
    storm: StormSettings = StormSettings()
    freezes: tuple[FreezeSettings, ...] = Field(default=(), description="Times in which nothing is begun.")
    audit: AuditSettings = AuditSettings()
    people: PeopleSection = Field(default={}, description="Everybody, by the id that the record names them with.")
    channels: Channels = Field(default={}, description="The ways by which people are reached, by name.")
    notify: Notify = Field(default={}, description="Which channels each severity uses.")
    on_call: OnCallSection | None = Field(default=None, description="Who is on call at level 1, week by week.")
    policy: tuple[LevelRuleEntry, ...] = Field(
        default=(), description="Which plans need a higher level here than their cards ask for."
    )
    http: HttpSettings | None = Field(default=None, description="Where the service listens; none means it does not.")
    sources: Sources = Field(default={}, description="Who may post alerts, by name; nobody else may.")
    responses: tuple[ResponseRuleEntry, ...] = Field(
        default=(), description="Which alerts start which runbooks. An alert that no rule matches starts nothing."
    )
    schedules: tuple[ScheduleEntry, ...] | None = Field(
        default=None,
        description="Which runbooks are run by themselves, when. Without the section the default set counts, as far "
        "as there are its runbooks and hosts for them; an empty list means nothing is.",
    )


class Settings(_Part):
    """The settings of one site, with all paths absolute."""

    site: Path
    inventory: Path
    state: Path
    content: tuple[Path, ...]
    database: DatabaseSettings = DatabaseSettings()
    ansible: AnsibleSettings = AnsibleSettings()
    storm: StormPolicy = StormPolicy()
    freezes: tuple[Freeze, ...] = ()
    audit: AuditSettings = AuditSettings()
    people: People = People()
    channels: Channels = {}
    routes: Routes = Routes()
    rotation: Rotation | None = None
    #: Which plans need a higher level here than their cards ask for.
    levels: tuple[LevelRule, ...] = ()
    http: HttpSettings | None = None
    sources: Sources = {}
    responses: tuple[ResponseRule, ...] = ()
    #: None: there is no such section, and the default set counts.
    schedules: tuple[Schedule, ...] | None = None

    @property
    def policy(self) -> str:
        """The digest of who decides what: a plan that waits for people is stale when it changes.

        The policy about storms is not part of it: it is asked again right before anything is changed.
        """
        people = sorted(self.people.by_id.items())
        deciding = {one: {"level": who.level, "grants": who.model_dump(mode="json")["grants"]} for one, who in people}
        by_itself = [rule.model_dump(mode="json", exclude={"written_at"}) for rule in self.responses]
        levels = [rule.model_dump(mode="json") for rule in self.levels]
        schedules = {one.name: one.unattended for one in self.schedules or () if one.unattended}
        acting = {"responses": by_itself, "schedules": schedules}
        return digest({"people": deciding, "levels": levels, **{name: what for name, what in acting.items() if what}})

    def required_rotation(self) -> Rotation:
        """Return the rotation; raises UsageError when the site has none."""
        if self.rotation is None:
            raise UsageError(
                f"Nobody is on call: {self.site / FILE_NAME} has no `on_call:`.",
                next_step="add `people:` and `on_call:` to it, as docs/how-to/on-call.md shows",
            )
        return self.rotation


def read_settings(site: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Return the settings of a site; raises InvalidDocument with every problem, UsageError when there is no site."""
    file, document = _read_file(site)
    state = environment.get("REMEDIATE_STATE") or file.state
    inventory = environment.get("REMEDIATE_INVENTORY") or file.inventory
    return Settings(
        site=site,
        inventory=_absolute(site, inventory),
        state=_absolute(site, state),
        content=content_directories(site),
        database=file.database.overridden(environment),
        ansible=file.ansible,
        storm=file.storm.as_policy(),
        freezes=tuple(freeze.as_freeze() for freeze in file.freezes),
        audit=file.audit.at(site),
        people=read_people(file.people),
        channels=file.channels,
        routes=read_routes(file.channels, file.notify),
        rotation=read_rotation(file.on_call) if file.on_call else None,
        levels=tuple(entry.as_rule() for entry in file.policy),
        http=file.http or (HttpSettings() if file.sources else None),
        sources=file.sources,
        responses=tuple(entry.as_rule(_place(document, index)) for index, entry in enumerate(file.responses)),
        schedules=_schedules(file, document),
    )


def _schedules(file: SettingsFile, document: Document | None) -> tuple[Schedule, ...] | None:
    if file.schedules is None:
        return None
    return tuple(one.as_schedule(_place(document, index, "schedules")) for index, one in enumerate(file.schedules))


def _place(document: Document | None, index: int, section: str = "responses") -> str:
    return f"{FILE_NAME}:{document.line((section, index))}" if document else FILE_NAME


def _read_file(site: Path) -> tuple[SettingsFile, Document | None]:
    path = site / FILE_NAME
    if not path.is_file():
        if (site / "inventory").exists():
            return SettingsFile(version=1), None
        raise UsageError(
            f"There is no {FILE_NAME} in this directory, above it, or in {site}.",
            next_step="make one with `remediate init`, or name its directory with --site",
        )
    problems = Problems()
    document = read_document(path, problems)
    parsed = document.parse(SettingsFile, document.data, (), problems) if document else None
    if document:
        _check_sections(document, problems)
    if document and parsed:
        runbooks = find_runbooks(content_directories(site))
        note_freeze_problems(document, parsed.freezes, runbooks, problems)
        check_policy(parsed.policy, parsed.people, runbooks, document, problems)
        check_response_rules(parsed.responses, parsed.sources, runbooks, document, problems)
        check_schedules(parsed.schedules or (), runbooks, document, problems)
    problems.raise_if_any(f"{FILE_NAME} cannot be used:")
    assert parsed is not None  # noqa: S101  # no problems means it was parsed
    return parsed, document


def _check_sections(document: Document, problems: Problems) -> None:
    """Note what fields mean together; a section that is wrong by itself does not hide what is wrong in others."""
    people = document.section("people", TypeAdapter(PeopleSection), {})
    on_call = document.section("on_call", TypeAdapter(OnCallSection | None), None)
    channels = document.section("channels", TypeAdapter(Channels), {})
    notify = document.section("notify", TypeAdapter(Notify), {})
    if people is not None:
        check_people(people, document, problems)
        if on_call:
            check_on_call(on_call, people, document, problems)
        check_channels(channels or {}, people, document, problems)
    if channels is not None:
        check_notify(notify or {}, channels, document, problems)


def _absolute(site: Path, path: str) -> Path:
    return Path(os.path.normpath(site / Path(path).expanduser()))
