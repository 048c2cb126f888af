"""A restore to the mark of a run stops at exactly that mark, or says what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import restore_plan
from ansible.module_utils.backup_manifest import DATABASE, STREAM, Manifest, Part
from ansible.module_utils.backup_shelf import Stored
from ansible.module_utils.binlog_file import read_log
from ansible.module_utils.log_position import Position
from ansible.module_utils.restic_repository import Snapshot
from ansible.module_utils.restore_mark import Kept, Mark, NoMarkError, keep
from ansible.module_utils.restore_plan import Planner

from tests import binlogs

RUN = "20261128-101500-ab12"
ONE = "mariadb-bin.000001"


class Shelf:
    """Holds one full copy, and no logs: those of the server are there."""

    source = "here"
    repository = type("Repository", (), {"name": "near"})

    def databases(self) -> list[Snapshot]:
        return [Snapshot("a" * 64, "here", 1.0, (DATABASE, "id=copy-1"), ())]

    def logs(self) -> list[Snapshot]:
        return []

    def read(self, snapshot: Snapshot) -> Stored:
        parts = (Part(STREAM, 5, "d"),)
        manifest = Manifest("copy-1", DATABASE, "here", "m", 1.0, 1.0, position=Position(ONE, 4), files=parts)
        return Stored(snapshot, manifest, {})


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    (tmp_path / "data").mkdir()
    binlogs.written(tmp_path / "data", binlogs.life())
    monkeypatch.setattr(restore_plan, "first_readable", lambda *_: Shelf())
    return {
        "source": "here",
        "to": f"run:{RUN}",
        "backup": "",
        "repositories": [],
        "data_dir": str(tmp_path / "data"),
        "log_dir": "",
        "stage_dir": str(tmp_path / "stage"),
        "state_dirs": [str(tmp_path / "state")],
    }


@pytest.fixture
def mark(settings: dict[str, Any]) -> Mark:
    """The end of the first log."""
    path = Path(settings["data_dir"]) / ONE
    log = read_log(str(path))
    end = path.stat().st_size - len(binlogs.events(path.read_bytes())[-1])
    return Mark(Position(ONE, end), log.made, log.server_id, 2000.0)


def test_the_mark_of_a_run_is_where_the_replay_stops(settings: dict[str, Any], mark: Mark) -> None:
    keep(settings["state_dirs"], RUN, Kept(mark))
    plan = Planner(settings).plan()

    assert plan.stop == mark.position
    assert plan.target is not None
    assert (bool(plan.target.before), bool(plan.target.after)) == (True, True)
    assert [log.name for log in plan.chain.logs] == [ONE]


def test_a_run_without_a_mark_is_an_error_and_no_other_moment(settings: dict[str, Any]) -> None:
    with pytest.raises(NoMarkError, match="has left no restore point"):
        Planner(settings).plan()


def test_a_mark_in_a_log_that_began_anew_is_an_error(settings: dict[str, Any], mark: Mark) -> None:
    keep(settings["state_dirs"], RUN, Kept(replace(mark, log_made=mark.log_made - 60)))

    with pytest.raises(NoMarkError, match="began anew since the restore point was made"):
        Planner(settings).plan()
