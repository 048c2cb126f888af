"""What a rollback does, step by step, once it is known what for: a pure decision but for the settings it reads."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible.module_utils.host_step import HELD, NO_UNDO, Step
from ansible.module_utils.release_migrations import Migrations
from ansible.module_utils.release_signs import FULL, MIGRATION
from ansible.module_utils.releases import ReleaseError

#: More than this is no longer the step from one release to the one before.
_MOST_MIGRATIONS = 20
_MOST_BYTES = 1 << 20
_NONE = Migrations()


@dataclass(frozen=True)
class Way:
    """From which release to which, for which causes, and what of the database goes with it."""

    newer: str
    older: str
    causes: tuple[str, ...]
    migrations: Migrations = _NONE


def steps(way: Way, settings: Mapping[str, Any], configuration: Mapping[str, str]) -> list[Step]:
    """Return every step in its order: nothing writes while the database changes, and the switch comes last."""
    return [*_database(way, settings), *_configuration(way, settings, configuration), _switch(way, settings)]


def _switch(way: Way, settings: Mapping[str, Any]) -> Step:
    moving = ", ".join([*settings["web"], *settings["workers"]])
    return Step(
        way.causes[0],
        "switch",
        f"release {way.newer} to {way.older}",
        HELD,
        note="the newer release stays on the host; undone, it is the current one again",
        detail=(f"- current: {way.newer}", f"+ current: {way.older}", f"  then on it: {moving}"),
        data={"from": way.newer, "to": way.older},
    )


def _database(way: Way, settings: Mapping[str, Any]) -> list[Step]:
    names = way.migrations.names
    if not names:
        return []
    if len(names) > _MOST_MIGRATIONS:
        raise ReleaseError(f"{len(names)} migrations lie between {way.newer} and {way.older}: take them back by hand")
    cause = MIGRATION if MIGRATION in way.causes else way.causes[0]
    lost = way.migrations.losses
    note = f"DATA LOSS: {'; '.join(lost)}; only the copy keeps it" if lost else "nothing is dropped that holds data"
    writers = [*settings["web"], *settings["workers"]]
    data = {"from": way.newer, "to": way.older}
    return [
        *(Step(cause, "stop", name, HELD, note="it runs again after the switch") for name in writers),
        Step(cause, "copy", f"database {settings['database']}", note="kept with the run; only a person restores it"),
        *(Step(cause, "migrate back", name, NO_UNDO if lost else HELD, note=note, data=data) for name in names),
    ]


def _configuration(way: Way, settings: Mapping[str, Any], files: Mapping[str, str]) -> list[Step]:
    if FULL not in way.causes:
        return []
    services = [*settings["web"], settings["web_server"]]
    return [
        Step(
            FULL,
            "rewrite",
            path,
            HELD,
            note=f"as it was with release {way.older}",
            data={"content": content, "in_place": True, "services": services},
        )
        for path, content in files.items()
    ]


def kept_configuration(settings: Mapping[str, Any], older: str) -> dict[str, str]:
    """Return the settings files that were others with the older release, with their content then."""
    found = {}
    for path in settings["configuration_files"]:
        if not settings["configuration_dir"]:
            raise ReleaseError(
                "where the settings of each release are kept is not set; nothing was done: set "
                "deployment_rollback_configuration_dir, or empty deployment_rollback_configuration_files"
            )
        kept = os.path.join(settings["configuration_dir"], older, path.lstrip("/"))
        then = _content(kept, f"the settings of release {older} are not kept")
        if then != _content(path, "a settings file cannot be read"):
            found[path] = then
    return found


def _content(path: str, trouble: str) -> str:
    try:
        with open(path, "rb") as source:
            return source.read(_MOST_BYTES).decode("utf-8")
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{trouble} ({path}: {error}); nothing was done") from error
