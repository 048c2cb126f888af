"""The runbook `restore-test` on a backup host: which sources are tried, and what comes of it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from ansible.module_utils import drill_report, host_metrics, postgresql_drill
from ansible.module_utils.backup_shelf import Shelf
from ansible.module_utils.drill_mutation import KINDS, POSTGRESQL_KINDS
from ansible.module_utils.host_checks import CANNOT_TELL, CURED, NOT_CURED, Check, check
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Done, Found, Seen, Step, StepError, measure
from ansible.module_utils.postgresql_state import part_name, source_name
from ansible.module_utils.restic_repository import Repository, RepositoryError, Snapshot
from ansible.module_utils.restore_drill import drill
from ansible.module_utils.run_state import make_private, write_whole
from ansible.module_utils.stack_program import StackError

_CAUSE = "due"


class TryRestore(Kind):
    """Restores one source into a scratch server and writes down what came of it."""

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        """Try it; a bad backup is a result, not an error."""
        name = step.data["source"]
        way = postgresql_drill.drill if name == part_name(source_name(name)) else drill
        report = way(_source(self._settings, name), self._settings)
        make_private(self._settings["report_dir"])
        path = _path(self._settings, name, self._settings["mutation"])
        write_whole(path, json.dumps(report).encode("ascii"))
        return True


class RestoreTest:
    """Backups that have to prove themselves."""

    name = "restore_test"

    def __init__(self, settings: dict[str, Any]) -> None:
        self._settings = settings
        self.kinds: dict[str, Kind] = {"restore": TryRestore(settings)}

    def look(self) -> Found:
        """Look which sources have a backup; a source without one is tried all the same: that it fails is the result."""
        sources = self._sources()
        names = ", ".join(one["name"] for one in sources)
        found = Found(f"the newest backups of {names}")
        looked = [_look(one) for one in sources]
        found.causes[_CAUSE] = [one.evidence for one in looked]
        found.steps = [
            Step(_CAUSE, "restore", f"{name} into a scratch server", data={"source": name})
            for one in looked
            for name in _trials(one, self._settings)
        ]
        if not found.steps:
            raise StepError(f"{names} has nothing that {self._settings['mutation']} could damage; nothing was done")
        return found

    def _sources(self) -> list[dict[str, Any]]:
        sources = self._settings["sources"]
        if wanted := self._settings["only"]:
            return [_source(self._settings, wanted)]
        if not sources:
            raise StepError("this host knows no source of backups; nothing was done: set restore_test_sources")
        return list(sources)

    def check(self, done: Done, *, write: bool) -> Seen:
        """Report what the drills of this run told."""
        found = Seen()
        for step in done.steps:
            report = _report(self._settings, step.data["source"], self._settings["mutation"])
            found.drills.append(report)
            found.checks.append(_check_of(report))
            found.measures += _measures(report)
        if write and done.steps:
            show(self._settings)
        if not done.steps:
            found.checks.append(check("restore", CANNOT_TELL, "nothing was restored in this run"))
        return found


def show(settings: dict[str, Any]) -> None:
    """Show to the monitoring what the last trial of each source told, but for those on copies damaged on purpose."""
    samples: list[tuple[str, dict[str, str], float]] = []
    for name in _shown(settings):
        about = {"source": name}
        if not os.path.exists(_path(settings, name)):
            samples.append(("remediate_restore_test_timestamp_seconds", about, 0.0))
            continue
        report = _report(settings, name)
        samples.append(("remediate_restore_test_timestamp_seconds", about, report["began"]))
        samples.append(("remediate_restore_test_passed", about, float(report["verdict"] == drill_report.PASS)))
        for what in ("rto", "rpo"):
            samples.append((f"remediate_restore_test_{what}_seconds", about, report[f"{what}_seconds"]))
            samples.append((f"remediate_restore_test_{what}_target_seconds", about, report[f"{what}_target"]))
    host_metrics.show(settings["metrics_file"], samples)


def _source(settings: dict[str, Any], name: str) -> dict[str, Any]:
    for one in settings["sources"]:
        if one["name"] == source_name(name):
            return dict(one)
    if not settings["sources"]:
        raise StepError(
            "the inventory names no backups that this host could restore; nothing was done: set restore_test_sources"
        )
    known = ", ".join(one["name"] for one in settings["sources"])
    raise StepError(f"this host has no backups of {name!r}; nothing was done: it knows {known}")


@dataclass(frozen=True)
class _Looked:
    """What one look at the repository of a source told."""

    source: dict[str, Any]
    evidence: str
    copies: tuple[Snapshot, ...] = ()
    postgresql: tuple[Snapshot, ...] = ()


def _look(source: dict[str, Any]) -> _Looked:
    try:
        repository = Repository(source["name"], source["address_file"], source["password_file"], cached=False)
        shelf = Shelf(repository, source["name"])
    except (RepositoryError, StackError) as error:
        return _Looked(source, f"{source['name']}: {error}")
    copies, postgresql = tuple(shelf.databases()), tuple(shelf.postgresql())
    said = [_counted("full copies", copies)] if source["mariadb"] else []
    said += [_counted("copies of PostgreSQL", postgresql)] if _has_postgresql(source) or postgresql else []
    return _Looked(source, f"{source['name']}: {'; '.join(said) or 'there is nothing to restore'}", copies, postgresql)


def _counted(what: str, copies: tuple[Snapshot, ...]) -> str:
    newest = f"the newest is {copies[0].tag('id') or copies[0].id[:8]}" if copies else "there is nothing to restore"
    return f"{len(copies)} {what}, {newest}"


def _has_postgresql(source: dict[str, Any]) -> bool:
    return bool(source["postgresql"]["stanza"])


def _trials(looked: _Looked, settings: dict[str, Any]) -> list[str]:
    """Return the names of what is tried of a source: all that it has, or what was asked for."""
    name, mutation, only = looked.source["name"], settings["mutation"], settings["only"]
    both = {
        name: looked.source["mariadb"] and mutation not in POSTGRESQL_KINDS,
        # Copies that the inventory does not speak of are tried as well: that it cannot be done has to be said.
        part_name(name): (_has_postgresql(looked.source) or looked.postgresql) and mutation not in KINDS,
    }
    if settings["backup"]:
        # A copy is of one or the other, so only that is restored.
        of_postgresql = any(settings["backup"] in {one.tag("id"), one.id, one.id[:8]} for one in looked.postgresql)
        both[name if of_postgresql else part_name(name)] = False
    return [one for one, there in both.items() if there and only in ("", name, one)]


def _shown(settings: dict[str, Any]) -> list[str]:
    """Return the names of all trials that the monitoring looks for."""
    names = [(one["name"], one["mariadb"]) for one in settings["sources"]]
    names += [(part_name(one["name"]), _has_postgresql(one)) for one in settings["sources"]]
    return [name for name, wanted in names if wanted or os.path.exists(_path(settings, name))]


def _path(settings: dict[str, Any], source: str, mutation: str = "") -> str:
    # Beside the report on the backup itself: one on a damaged copy says nothing of it.
    return os.path.join(settings["report_dir"], f"{source}{'.damaged' if mutation else ''}.json")


def _report(settings: dict[str, Any], source: str, mutation: str = "") -> dict[str, Any]:
    try:
        with open(_path(settings, source, mutation), encoding="ascii") as content:
            report: dict[str, Any] = json.load(content)
    except (OSError, ValueError) as error:
        raise StepError(f"what the drill of {source} told cannot be read: {error}") from error
    return report


def _check_of(report: dict[str, Any]) -> Check:
    verdict = {drill_report.PASS: CURED, drill_report.DRILL_BROKEN: CANNOT_TELL}.get(report["verdict"], NOT_CURED)
    return check(f"restore of {report['source']}", verdict, f"{report['verdict']}: {report['reason']}")


def _measures(report: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        measure(
            f"{name.upper()} of {report['source']}",
            report[f"{name}_seconds"],
            "s",
            f"<= {report[f'{name}_target']:g}",
            ok=report[f"{name}_seconds"] <= report[f"{name}_target"],
        )
        for name in ("rto", "rpo")
    ]
