"""What backups a host has, in which repository, and how old the newest of each kind is."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils import newest_copy
from ansible.module_utils.backup_manifest import DATABASE, FILES, LOGS, POSTGRESQL, REDIS, WAL
from ansible.module_utils.binlog_events import BinlogError
from ansible.module_utils.host_step import StepError
from ansible.module_utils.log_directory import logs_in
from ansible.module_utils.restic_repository import NoRepositoryError, Repository, RepositoryError, Snapshot
from ansible.module_utils.run_state import make_private, write_whole

_KNOWN = "repositories.json"
_INCOMPLETE = "incomplete.json"
#: Clocks of two hosts differ a little. What is said to be made later than that was made while the clock was wrong.
_AHEAD_SECONDS = 300.0


@dataclass(frozen=True)
class Held:
    """What one repository holds of this host: its newest snapshot of each kind, or why it cannot be told."""

    repository: Repository
    newest: dict[str, Snapshot] = field(default_factory=dict)
    trouble: str = ""
    #: It was never made: this host may make it.
    missing: bool = False

    def age(self, kind: str, now: float) -> float | None:
        """Return how many seconds ago the newest snapshot of a kind was made; None when there is none."""
        return max(0.0, now - self.newest[kind].made) if kind in self.newest else None


@dataclass(frozen=True)
class Facts:
    """All repositories of this host, at one moment (seconds since 1970)."""

    held: tuple[Held, ...]
    now: float
    #: Why no later moment can be reached from the newest full copy, or nothing.
    cut_off: str = ""
    #: Why that cannot be told, or nothing.
    doubt: str = ""


def limits_of(settings: dict[str, Any]) -> dict[str, float]:
    """Return after how many seconds each kind of this host's backups is due; what it does not have is left out."""
    wanted = {}
    if settings["database_service"]:
        wanted[DATABASE] = settings["database_hours"] * 3600.0
        wanted[LOGS] = settings["logs_minutes"] * 60.0
    if settings["postgresql_stanza"]:
        wanted[POSTGRESQL] = settings["postgresql_hours"] * 3600.0
        wanted[WAL] = settings["wal_minutes"] * 60.0
    if settings["files"]:
        wanted[FILES] = settings["files_hours"] * 3600.0
    if settings["redis_service"]:
        wanted[REDIS] = settings["redis_hours"] * 3600.0
    return wanted


def repositories_of(settings: dict[str, Any]) -> list[Repository]:
    """Return the repositories that the inventory names; raises StepError without any."""
    if not settings["repositories"]:
        raise StepError("this host has no repository to put backups into; nothing was done: name them in the inventory")
    return [Repository(one["name"], one["address_file"], one["password_file"]) for one in settings["repositories"]]


def look(settings: dict[str, Any]) -> Facts:
    """Ask every repository; one that does not answer is not an error, but a fact."""
    now = time.time()
    held = tuple(_held(one, settings, now) for one in repositories_of(settings))
    if not settings["database_service"]:
        return Facts(held, time.time())
    try:
        return Facts(held, time.time(), cut_off=_cut_off(settings))
    except (OSError, BinlogError) as error:
        return Facts(held, time.time(), doubt=f"the binary logs cannot be read: {error}")


def _cut_off(settings: dict[str, Any]) -> str:
    """Return why the logs of this host do not lead on from its newest full copy, or nothing."""
    copy = newest_copy.known(settings["stage_dir"])
    if copy is None:
        return "this host remembers no full copy: whether its binary log leads on from the newest one cannot be told"
    if newest_copy.began_anew(copy, logs_in(settings["database_dir"], "")):
        return f"the binary log began anew since {copy.id}: no later moment can be reached from it"
    return ""


def _held(repository: Repository, settings: dict[str, Any], now: float) -> Held:
    known = known_identities(settings["stage_dir"])
    try:
        identity = repository.identity()
        if known.get(repository.name, identity) != identity:
            return Held(repository, trouble=f"{repository.name} is another repository than the one this host has used")
        incomplete = tuple(incomplete_snapshots(settings["stage_dir"]))
        snapshots = [
            one
            for one in repository.snapshots(settings["source"])
            if one.made <= now + _AHEAD_SECONDS and not one.id.startswith(incomplete)
        ]
    except NoRepositoryError as error:
        if repository.name in known:
            return Held(repository, trouble=f"{repository.name} is gone, with the backups that were in it: {error}")
        return Held(repository, missing=True)
    except RepositoryError as error:
        return Held(repository, trouble=str(error))
    return Held(repository, {tag: one for one in snapshots for tag in one.tags if "=" not in tag})


def known_identities(stage: str) -> dict[str, str]:
    """Return the ids of the repositories that this host has used, by name."""
    return _written_down(os.path.join(stage, _KNOWN))


def incomplete_snapshots(stage: str) -> dict[str, str]:
    """Return the ids of snapshots in which something is missing, with the repository they are in."""
    return _written_down(os.path.join(stage, _INCOMPLETE))


def _written_down(path: str) -> dict[str, str]:
    try:
        with open(path, encoding="ascii") as source:
            return {str(name): str(value) for name, value in json.load(source).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError) as error:
        raise StepError(f"{path} cannot be read ({error}); nothing was done") from error


def forget(stage: str, repository: Repository, snapshot: str) -> None:
    """Write down that a snapshot does not count: it cannot be taken back where nothing may be deleted."""
    make_private(stage)
    known = {**incomplete_snapshots(stage), snapshot: repository.name}
    write_whole(os.path.join(stage, _INCOMPLETE), json.dumps(known).encode("ascii"))


def remember(stage: str, repository: Repository) -> None:
    """Write down that this host uses the repository: if it is gone one day, that is no reason to make a new one."""
    known = known_identities(stage)
    if repository.name in known:
        return
    make_private(stage)
    known[repository.name] = repository.identity()
    write_whole(os.path.join(stage, _KNOWN), json.dumps(known).encode("ascii"))
