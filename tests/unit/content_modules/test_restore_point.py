"""A run has one restore point, or one reason why it has none; neither takes long, nor fails a cure."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import log_closing, restore_mark, restore_point_run
from ansible.module_utils.binlog_events import Damage, DamageError
from ansible.module_utils.binlog_file import read_log
from ansible.module_utils.log_position import Position
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.restore_mark import Kept, Mark, NoMarkError, found, keep, kept, see_in
from ansible.module_utils.restore_point_run import take
from ansible.module_utils.run_state import StateError

from tests import binlogs

RUN = "20261128-101500-ab12"
MARK = Mark(Position("mariadb-bin.000001", 1234, "0-11-9"), 1000, 11, 2000.0)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {
        "service": "mysql",
        "data_dir": str(tmp_path / "data"),
        "log_dir": "",
        "backup_dir": str(tmp_path / "backup"),
        "restore_dir": str(tmp_path / "restore"),
        "state_dirs": [str(tmp_path / "state"), str(tmp_path / "other")],
    }


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Mark | Exception]:
    """What closing the log gives, one answer after the other."""
    given: list[Mark | Exception] = []

    def close(_server: Any, _directory: str, _seconds: float) -> Mark:
        answer = given.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(restore_point_run, "MariaDB", lambda *_: None)
    monkeypatch.setattr(log_closing, "close", close)
    return given


# How it is made.


def test_a_restore_point_is_made_once_and_the_first_one_stays(
    settings: dict[str, Any], answers: list[Mark | Exception]
) -> None:
    answers += [MARK, replace(MARK, made=3000.0)]

    assert take(settings, {}, RUN) == (Kept(MARK), True)
    assert take(settings, {}, RUN) == (Kept(MARK), False)
    assert found(settings["state_dirs"], RUN) == MARK


@pytest.mark.parametrize(
    "trouble",
    [
        StackError("mysql did not answer"),
        log_closing.NotClosedError("there is no room"),
        DamageError(Damage(7, "an event is not what was written")),
        OSError(5, "Input/output error"),
        ValueError("the list of transactions is shorter than it says"),
    ],
)
def test_what_prevents_it_is_the_reason_and_stays_so_because_a_later_one_may_be_behind_the_change(
    settings: dict[str, Any], answers: list[Mark | Exception], trouble: Exception
) -> None:
    answers += [trouble, MARK]
    first, changed = take(settings, {}, RUN)

    assert (first.mark, first.reason, changed) == (None, str(trouble), False)
    assert take(settings, {}, RUN) == (first, False)
    with pytest.raises(NoMarkError, match=f"run {RUN} has no restore point: "):
        found(settings["state_dirs"], RUN)


def test_a_defect_of_ours_is_no_reason(settings: dict[str, Any], answers: list[Mark | Exception]) -> None:
    answers.append(LookupError("ours"))
    with pytest.raises(LookupError, match="ours"):
        take(settings, {}, RUN)


def test_a_server_that_never_answers_does_not_keep_a_cure_waiting(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert restore_point_run._MARK_SECONDS + 2 * restore_point_run._KEEP_SECONDS <= 9.0
    monkeypatch.setattr(restore_point_run, "_MARK_SECONDS", 0.2)
    monkeypatch.setattr(restore_point_run, "MariaDB", lambda *_: None)
    monkeypatch.setattr(log_closing, "close", lambda *_: threading.Event().wait())
    began = time.monotonic()
    made, changed = take(settings, {}, RUN)

    assert time.monotonic() - began < 2.0
    assert (made.mark, changed) == (None, False)
    assert "did not answer within 0.2 s" in made.reason
    assert kept(settings["state_dirs"], RUN) == made


def test_a_disk_that_never_answers_does_not_either(
    settings: dict[str, Any], answers: list[Mark | Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers.append(MARK)
    monkeypatch.setattr(restore_point_run, "_KEEP_SECONDS", 0.2)
    monkeypatch.setattr(restore_mark, "keep", lambda *_: threading.Event().wait())
    made, _ = take(settings, {}, RUN)

    assert made == Kept(None, "what the run writes down on this host cannot be read or written in time")


def test_what_cannot_be_written_down_is_no_restore_point(
    settings: dict[str, Any], answers: list[Mark | Exception], tmp_path: Path
) -> None:
    answers.append(MARK)
    (tmp_path / "file").write_text("")
    settings["state_dirs"] = [str(tmp_path / "file")]
    made, changed = take(settings, {}, RUN)

    assert (made.mark, changed) == (None, False)
    assert "cannot be read or written" in made.reason


def test_a_torn_record_is_a_reason(settings: dict[str, Any], answers: list[Mark | Exception], tmp_path: Path) -> None:
    answers.append(MARK)
    take(settings, {}, RUN)
    (tmp_path / "state/restore_point/runs" / RUN / "manifest.json").write_text("{")

    assert "cannot be read or written" in take(settings, {}, RUN)[0].reason


# Where it is kept, and how it is found.


def test_the_first_directory_with_room_is_used(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    keep(settings["state_dirs"], RUN, Kept(MARK))

    assert (tmp_path / "other/restore_point/runs" / RUN / "manifest.json").exists()
    assert found(settings["state_dirs"], RUN) == MARK


def test_a_run_that_left_none_is_named_with_the_places_that_were_looked_at(settings: dict[str, Any]) -> None:
    with pytest.raises(NoMarkError, match=f"run {RUN} has left no restore point on this host .*state/restore_point or"):
        found(settings["state_dirs"], RUN)


@pytest.mark.parametrize("run", ["", "../x", "a/b", "-rf", "x" * 101, "a\n"])
def test_what_is_no_run_id_is_never_a_path(settings: dict[str, Any], run: str) -> None:
    with pytest.raises(StateError, match="is no run id"):
        found(settings["state_dirs"], run)
    with pytest.raises(StateError, match="is no run id"):
        keep(settings["state_dirs"], run, Kept(MARK))


def test_the_log_of_a_mark_is_told_from_another_one_of_its_name(tmp_path: Path) -> None:
    (path,) = binlogs.written(tmp_path, {"mariadb-bin.000001": binlogs.log(1)})
    log = read_log(path)
    right = replace(MARK, log_made=log.made, server_id=log.server_id)
    see_in(right, [path])

    for other in (replace(right, log_made=log.made - 1), replace(right, server_id=log.server_id + 1)):
        with pytest.raises(NoMarkError, match="began anew since the restore point was made"):
            see_in(other, [path])
    with pytest.raises(NoMarkError, match="neither in the repository nor on the server"):
        see_in(right, [])


def test_a_report_has_a_position_or_a_reason() -> None:
    assert Kept(MARK).report() == {
        "position": "mariadb-bin.000001:1234",
        "gtid": "0-11-9",
        "made": 2000.0,
        "reason": "",
    }
    assert Kept(None, "why").report() == {"position": "", "gtid": "", "made": 0.0, "reason": "why"}
    assert json.dumps(Kept(MARK).report())
