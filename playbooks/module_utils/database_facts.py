"""Looks at a database server: disk, log, sessions, tables, and its application's access; changes nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils import application_account, database_log, database_sessions, database_tables
from ansible.module_utils.database_backups import Dump, newest_usable
from ansible.module_utils.database_data import Trial, attempt
from ansible.module_utils.database_sessions import Sessions
from ansible.module_utils.database_tables import Broken
from ansible.module_utils.disk_measure import nearest_existing
from ansible.module_utils.fallen_services import has_stack
from ansible.module_utils.host_step import StepError
from ansible.module_utils.mariadb_server import TOO_MANY_CONNECTIONS, MariaDB, ServerError, in_time

#: A server that has just been started gets so many seconds to answer before it counts as one that does not.
_PATIENCE = 5.0


@dataclass
class Facts:
    """What one look at the database told."""

    running: bool = False
    state: str = ""
    answers: bool = False
    #: The server lets not even its administrator in.
    crowded: bool = False
    disk_used: float | None = None
    inodes_used: float | None = None
    #: What the log says since the last start, of damage and of any error.
    damage: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    named: list[tuple[str, str]] = field(default_factory=list)
    trial: Trial | None = None
    sessions: Sessions | None = None
    broken: list[Broken] = field(default_factory=list)
    refused: bool | None = False
    access: str = ""
    accounts: int = 0
    user: str = ""
    dump: Dump | None = None
    #: The server's own file of settings, as it is now.
    options: str = ""
    notes: list[str] = field(default_factory=list)


def server_of(settings: dict[str, Any], stack: dict[str, Any]) -> MariaDB:
    """Return the server of this host, or say what the inventory has to tell."""
    if not has_stack(stack):
        raise StepError(
            "the inventory does not say what runs on this host; nothing was done: set stack_layout and stack_services"
        )
    if settings["service"] not in stack["services"]:
        raise StepError(
            f"the stack of this host has no service {settings['service']}; nothing was done: correct "
            "database_failure_service or stack_services"
        )
    return MariaDB(stack, settings["service"])


def look(settings: dict[str, Any], stack: dict[str, Any]) -> Facts:
    """Look at everything that tells the causes apart, in the order in which they hide one another."""
    server = server_of(settings, stack)
    state = server.stack.status()[server.service]
    facts = Facts(running=state.running, state=state.state)
    _look_at_disk(facts, settings)
    facts.options = text_of(settings["settings_file"])
    facts.answers = state.running and in_time(server.answers, _PATIENCE)
    lines = database_log.since_start(database_log.read(server, settings["error_log"]))
    facts.damage, facts.errors = database_log.damage(lines), database_log.errors(lines)
    facts.named = database_log.tables(lines)
    # On a full disk the server waits, and a question could wait with it.
    if is_full(facts, settings):
        return facts
    if facts.answers:
        _look_inside(facts, server, settings)
    elif facts.damage:
        _look_at_files(facts, server, settings)
    elif state.running:
        raise StepError(
            f"{server.service} runs and does not answer its administrator, and its error log does not say why; nothing "
            "was done: look at it by hand"
        )
    if _needs_backup(facts):
        wanted = [settings["schema"]] if settings["schema"] else []
        facts.dump, notes = newest_usable(settings["backup_dirs"], wanted)
        facts.notes += notes
    return facts


def is_full(facts: Facts, settings: dict[str, Any]) -> bool:
    """Return whether the disk of the data is full."""
    return any(used is not None and used >= settings["disk_used_percent"] for used in _used(facts))


def text_of(path: str) -> str:
    """Return what a small file says, nothing when it is not there."""
    if not path:
        return ""
    try:
        with open(path, encoding="utf-8") as source:
            return source.read(1 << 20)
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise StepError(f"{path} cannot be read ({error}); nothing was done: correct it in the inventory") from error


def _used(facts: Facts) -> tuple[float | None, float | None]:
    return facts.disk_used, facts.inodes_used


def _look_at_disk(facts: Facts, settings: dict[str, Any]) -> None:
    if not settings["data_dir"]:
        facts.notes.append("whether the disk of the data is full is not known: set database_failure_data_dir")
        return
    if not os.path.isdir(settings["data_dir"]):
        raise StepError(
            f"{settings['data_dir']} is no directory of this host; nothing was done: correct database_failure_data_dir"
        )
    found = os.statvfs(nearest_existing(settings["data_dir"]))
    facts.disk_used = 100 * (1 - found.f_bavail / found.f_blocks) if found.f_blocks else None
    facts.inodes_used = 100 * (1 - found.f_favail / found.f_files) if found.f_files else None


def _look_inside(facts: Facts, server: MariaDB, settings: dict[str, Any]) -> None:
    try:
        facts.sessions = database_sessions.look(server)
    except ServerError as error:
        if error.code != TOO_MANY_CONNECTIONS:
            raise
        facts.crowded = True
        return
    tables, note = database_tables.to_check(database_tables.tables_of(server), facts.named, settings["check_megabytes"])
    try:
        facts.broken = database_tables.broken(server, tables)
    except ServerError as error:
        note = f"the tables could not all be checked: {error}"
    facts.notes += [note] if note else []
    _look_at_access(facts, server, settings)


def _look_at_access(facts: Facts, server: MariaDB, settings: dict[str, Any]) -> None:
    if not settings["env_file"]:
        facts.notes.append("the application's access is not known: set database_failure_env_file")
        return
    account = application_account.account_of(settings["env_file"])
    facts.user = account["user"]
    facts.refused, facts.access = application_account.refusal(server, account)
    if facts.refused:
        facts.accounts = len(application_account.known(server, account["user"]))


def _look_at_files(facts: Facts, server: MariaDB, settings: dict[str, Any]) -> None:
    if not settings["data_dir"]:
        raise StepError(
            "the server's log tells of damaged files, and where they are is not known; nothing was done: set "
            "database_failure_data_dir"
        )
    facts.named = [one for one in facts.named if _has_file(settings["data_dir"], one)]
    limit = settings["recovery_limit"]
    facts.trial = attempt(server, settings["data_dir"], settings["scratch_dir"], limit, facts.named)


def _has_file(data: str, table: tuple[str, str]) -> bool:
    schema, file = (database_log.file_name(one) for one in table)
    return os.path.isfile(os.path.join(data, schema, f"{file}.ibd"))


def _needs_backup(facts: Facts) -> bool:
    if facts.trial:
        return facts.trial.level is None or (facts.trial.level > 0 and not _rebuildable(facts))
    return any(not one.readable for one in facts.broken)


def _rebuildable(facts: Facts) -> bool:
    return bool(facts.trial and facts.trial.readable and facts.named)
