"""The order in which a database is looked at, and what is said when it cannot be looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import database_facts
from ansible.module_utils.database_data import Trial
from ansible.module_utils.host_step import StepError
from ansible.module_utils.mariadb_server import MariaDB
from ansible.module_utils.stack_program import ServiceState

STACK = {
    "layout": "systemd",
    "services": ["mysql"],
    "units": {"mysql": "mariadb.service"},
    "project_dir": "",
    "compose_file": "",
}
DAMAGE = "2026-11-27 12:00:01 0 [ERROR] InnoDB: Unable to apply log to corrupted page 4 in file ./chom/ledger.ibd"


class Server:
    """A server that is in one state."""

    service = "mysql"

    def __init__(self, *, running: bool, answers: bool) -> None:
        self.stack = self
        self._running, self._answers = running, answers

    def status(self) -> dict[str, ServiceState]:
        return {"mysql": ServiceState(self._running, "running" if self._running else "failed (signal)", "")}

    def answers(self) -> bool:
        return self._answers

    def rows(self, statement: str) -> list[list[str]]:
        raise AssertionError(f"nothing may be asked now: {statement}")


def look(
    monkeypatch: pytest.MonkeyPatch,
    data: Path,
    log: list[str],
    *,
    running: bool = False,
    answers: bool = False,
    **more: Any,
) -> database_facts.Facts:
    given = {
        "service": "mysql", "data_dir": str(data), "settings_file": "", "error_log": "", "disk_used_percent": 101,
        "scratch_dir": str(data), "recovery_limit": 3, "schema": "", "backup_dirs": [], "env_file": "", **more,
    }  # fmt: skip
    monkeypatch.setattr(database_facts, "server_of", lambda _settings, _stack: Server(running=running, answers=answers))
    monkeypatch.setattr(database_facts, "_PATIENCE", 0)
    monkeypatch.setattr(database_facts.database_log, "read", lambda _server, _path: log)
    monkeypatch.setattr(database_facts, "attempt", lambda *arguments: Trial(1, readable=bool(arguments[-1])))
    return database_facts.look(given, STACK)


def test_a_stopped_server_without_damage_is_not_tried_on_a_copy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    facts = look(monkeypatch, tmp_path, ["2026-11-27 12:00:01 0 [ERROR] unknown variable"])
    assert (facts.running, facts.trial) == (False, None)
    assert facts.errors


def test_damage_in_the_log_is_tried_with_the_tables_that_are_really_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert look(monkeypatch, tmp_path, [DAMAGE]).trial == Trial(1, readable=False)
    (tmp_path / "chom").mkdir()
    (tmp_path / "chom/ledger.ibd").touch()
    facts = look(monkeypatch, tmp_path, [DAMAGE])
    assert (facts.trial, facts.named) == (Trial(1, readable=True), [("chom", "ledger")])


def test_on_a_full_disk_nothing_is_asked_and_nothing_is_copied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    facts = look(monkeypatch, tmp_path, [DAMAGE], running=True, answers=True, disk_used_percent=0)
    assert (facts.trial, facts.sessions) == (None, None)


def test_a_server_that_runs_and_does_not_answer_without_a_reason_is_no_cause_but_a_clear_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(StepError, match="runs and does not answer its administrator"):
        look(monkeypatch, tmp_path, [], running=True)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"data_dir": "/nowhere/at/all"}, "database_failure_data_dir"), ({"data_dir": ""}, "database_failure_data_dir")],
)
def test_a_place_that_is_not_there_is_said_with_what_to_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(StepError, match=said):
        look(monkeypatch, tmp_path, [DAMAGE], **change)


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        ({**STACK, "layout": "none"}, "set stack_layout and stack_services"),
        ({**STACK, "services": ["app"]}, "has no service mysql"),
    ],
)
def test_a_host_without_a_stack_or_without_that_service_is_refused(stack: dict[str, Any], said: str) -> None:
    with pytest.raises(StepError, match=said):
        database_facts.server_of({"service": "mysql"}, stack)


def test_a_log_that_cannot_be_read_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="database_failure_error_log"):
        database_facts.database_log.read(object.__new__(MariaDB), str(tmp_path / "none.log"))
