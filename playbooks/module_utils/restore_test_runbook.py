"""The runbook `restore-test` on a backup host: which sources are tried, and what comes of it."""

from __future__ import annotations

import json
import os
from typing import Any

from ansible.module_utils import drill_report, host_metrics
from ansible.module_utils.backup_shelf import Shelf
from ansible.module_utils.host_checks import CANNOT_TELL, CURED, NOT_CURED, Check, check
from ansible.module_utils.host_run import Kind
from ansible.module_utils.host_step import Done, Found, Seen, Step, StepError, measure
from ansible.module_utils.restic_repository import Repository, RepositoryError
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
        report = drill(_source(self._settings, step.data["source"]), self._settings)
        make_private(self._settings["report_dir"])
        path = _path(self._settings, step.data["source"], self._settings["mutation"])
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
        found.causes[_CAUSE] = [_evidence(one) for one in sources]
        found.steps = [
            Step(_CAUSE, "restore", f"{one['name']} into a scratch server", data={"source": one["name"]})
            for one in sources
        ]
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
    for name in (one["name"] for one in settings["sources"]):
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
        if one["name"] == name:
            return dict(one)
    if not settings["sources"]:
        raise StepError(
            "the inventory names no backups that this host could restore; nothing was done: set restore_test_sources"
        )
    known = ", ".join(one["name"] for one in settings["sources"])
    raise StepError(f"this host has no backups of {name!r}; nothing was done: it knows {known}")


def _evidence(source: dict[str, Any]) -> str:
    try:
        repository = Repository(source["name"], source["address_file"], source["password_file"], cached=False)
        shelf = Shelf(repository, source["name"])
    except (RepositoryError, StackError) as error:
        return f"{source['name']}: {error}"
    copies = shelf.databases()
    newest = f"the newest is {copies[0].tag('id') or copies[0].id[:8]}" if copies else "there is nothing to restore"
    return f"{source['name']}: {len(copies)} full copies, {newest}"


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
