"""The steps against a database: nothing is dropped before it is safe, nothing is forgotten before it is proven."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import database_check, database_kinds, database_sessions
from ansible.module_utils.application_account import Known
from ansible.module_utils.database_kinds import Configure, Disconnect, DropOldPassword, OfServer, RotatePassword
from ansible.module_utils.database_repair import KeepData, RebuildTable, Restore, RestoreTable
from ansible.module_utils.database_sessions import Session, Sessions
from ansible.module_utils.host_checks import CANNOT_TELL, CURED, NOT_CURED
from ansible.module_utils.host_step import HELD, Done, Step, StepError, StepNotNeededError
from ansible.module_utils.mariadb_server import ServerError


class FakeStack:
    """Remembers what was done to services."""

    def __init__(self, told: list[str]) -> None:
        self.told = told
        self.once_ends = 0

    def stop(self, names: list[str]) -> None:
        self.told.append(f"stop {names[0]}")

    def start(self, names: list[str]) -> None:
        self.told.append(f"start {names[0]}")

    def restart(self, names: list[str]) -> None:
        self.told.append(f"restart {names[0]}")

    def once(self, _service: str, argv: list[str], _places: list[str], _seconds: float) -> tuple[int, str, str]:
        self.told.append(argv[0])
        return self.once_ends, "", "no"


class FakeServer:
    """Remembers what it was asked; `fail` is the beginning of what it refuses."""

    service = "mysql"

    def __init__(self) -> None:
        self.told: list[str] = []
        self.stack = FakeStack(self.told)
        self.fail: tuple[str, ...] = ()
        self.maximum = 40

    def rows(self, statement: str, _seconds: float = 0, *, secret: bool = False) -> list[list[str]]:
        del secret
        self._tell(statement)
        if "max_connections" in statement:
            return [[str(self.maximum)]]
        return [["chom.ledger", "check", "status", "OK"]] if statement.startswith("CHECK") else []

    def login(self, account: dict[str, str]) -> None:
        self._tell(f"login {account['password']}")

    def dump(self, schema: str, table: str, target: int, _seconds: float) -> None:
        self._tell(f"dump {schema}.{table}")
        os.write(target, b"all rows\n")

    def load(self, source: Any, schema: str, _seconds: float) -> None:
        self._tell(f"load {schema} {source.read().decode().strip()}")

    def wait(self, _seconds: float) -> None:
        self._tell("wait")

    def answers(self) -> bool:
        return True

    def _tell(self, what: str) -> None:
        self.told.append(what)
        if self.fail and what.startswith(self.fail):
            raise ServerError(f"refused: {what.split(maxsplit=1)[0]}", 1045)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    one = FakeServer()
    monkeypatch.setattr(OfServer, "_server", lambda _self: one)
    return one


def settings(place: Path) -> dict[str, Any]:
    return {
        "service": "mysql",
        "workers": ["queue"],
        "application": ["app"],
        "env_file": str(place / "env"),
        "settings_file": str(place / "zz.cnf"),
        "answer_wait": 1,
        "connections_percent": 80,
        "idle_seconds": 300,
        "keep_users": [],
    }


def crowd(*idle: int) -> Sessions:
    return Sessions(tuple(Session(one, "chom", "h", "Sleep", 301, False) for one in idle), 10, len(idle), "11")


def test_only_as_many_connections_end_as_will_do_and_none_that_was_not_written_down(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = crowd(*range(9))
    monkeypatch.setattr(database_sessions, "look", lambda _server: now)
    kind, step = Disconnect(settings(tmp_path), {}), Step("connections_exhausted", "disconnect", "idle")
    saved = json.loads(json.dumps(kind.save(step, "")))
    now = crowd(*range(3, 12))
    assert kind.do(step, saved)
    assert server.told == ["KILL CONNECTION 3", "KILL CONNECTION 4"]
    now = crowd(1, 2)
    with pytest.raises(StepNotNeededError):
        kind.do(step, saved)


def test_the_limit_is_raised_with_a_restart_and_taken_back_with_one(server: FakeServer, tmp_path: Path) -> None:
    data = {"content": "[mariadbd]\nmax_connections = 80\n", "mode": 0o644, "value": 80}
    kind, step = Configure(settings(tmp_path), {}), Step("x", "configure", str(tmp_path / "zz.cnf"), HELD, data=data)
    saved = kind.save(step, str(tmp_path / "keep"))
    server.maximum = 80
    assert kind.do(step, saved)
    assert not kind.do(step, saved)
    assert server.told.count("restart mysql") == 1
    kind.undo(step, saved)
    assert server.told[-3:] == ["restart mysql", "wait", "restart queue"]
    assert not (tmp_path / "zz.cnf").exists()


def test_a_setting_that_the_server_does_not_take_is_a_failure(server: FakeServer, tmp_path: Path) -> None:
    data = {"content": "x = 1\n", "value": 80}
    step = Step("x", "configure", str(tmp_path / "zz.cnf"), HELD, data=data)
    kind = Configure(settings(tmp_path), {})
    with pytest.raises(StepError, match="does not take"):
        kind.do(step, kind.save(step, str(tmp_path / "keep")))


ENV = "DB_USERNAME=chom\nDB_PASSWORD=old\n"
CREATED = "CREATE USER `chom`@`%` IDENTIFIED BY PASSWORD '*OLD'"


@pytest.fixture
def rotation(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[RotatePassword, Step, dict[str, Any]]:
    way = {"plugin": "mysql_native_password", "authentication_string": "*OLD"}
    for place in (database_kinds,):
        monkeypatch.setattr(place, "known", lambda _server, _user: [Known("%", (way,), CREATED)])
    (tmp_path / "env").write_text(ENV)
    kind, step = RotatePassword(settings(tmp_path), {}), Step("credentials", "rotate_password", str(tmp_path / "env"))
    saved = json.loads(json.dumps(kind.save(step, str(tmp_path / "keep"))))
    server.told.clear()
    return kind, step, saved


def test_a_new_password_is_proven_before_the_application_gets_it_and_the_old_one_still_works(
    rotation: tuple[RotatePassword, Step, dict[str, Any]], server: FakeServer, tmp_path: Path
) -> None:
    kind, step, saved = rotation
    assert kind.do(step, saved)
    assert " OR mysql_native_password USING '*OLD'" in server.told[0]
    assert server.told[1] == f"login {saved['password']}"
    assert (tmp_path / "env").read_text() == f"DB_USERNAME=chom\nDB_PASSWORD={saved['password']}\n"
    assert not kind.do(step, saved)


def test_a_new_password_that_does_not_work_never_reaches_the_application(
    rotation: tuple[RotatePassword, Step, dict[str, Any]], server: FakeServer, tmp_path: Path
) -> None:
    kind, step, saved = rotation
    server.fail = ("login",)
    with pytest.raises(StepError) as error:
        kind.do(step, saved)
    assert (tmp_path / "env").read_text() == ENV
    assert saved["password"] not in str(error.value)


def test_settings_that_somebody_changed_meanwhile_stop_it_before_the_server_is_touched(
    rotation: tuple[RotatePassword, Step, dict[str, Any]], server: FakeServer, tmp_path: Path
) -> None:
    kind, step, saved = rotation
    (tmp_path / "env").write_text("DB_USERNAME=chom\nDB_PASSWORD=mine\n")
    with pytest.raises(StepError):
        kind.do(step, saved)
    assert server.told == []
    assert kind.obstacle(step, saved)


def test_the_undo_gives_both_sides_what_they_had(
    rotation: tuple[RotatePassword, Step, dict[str, Any]], server: FakeServer, tmp_path: Path
) -> None:
    kind, step, saved = rotation
    kind.do(step, saved)
    kind.undo(step, saved)
    assert "ALTER USER `chom`@`%` IDENTIFIED BY PASSWORD '*OLD'" in server.told
    assert server.told[-2:] == ["restart app", "restart queue"]
    assert (tmp_path / "env").read_text() == ENV


def test_the_undo_restarts_nothing_that_the_old_password_would_not_let_in(
    rotation: tuple[RotatePassword, Step, dict[str, Any]], server: FakeServer, tmp_path: Path
) -> None:
    kind, step, saved = rotation
    kind.do(step, saved)
    server.fail = ("login",)
    kind.undo(step, saved)
    assert not [one for one in server.told if one.startswith("restart")]
    assert (tmp_path / "env").read_text() == ENV


def test_the_old_password_is_not_dropped_while_the_new_one_does_not_work(
    rotation: tuple[RotatePassword, Step, dict[str, Any]], server: FakeServer, tmp_path: Path
) -> None:
    server.fail = ("login",)
    with pytest.raises(StepError):
        DropOldPassword(settings(tmp_path), {}).do(Step("credentials", "drop_old_password", "user chom"), {})
    assert server.told == ["login old"]
    server.fail, server.told[:] = (), []
    assert DropOldPassword(settings(tmp_path), {}).do(Step("credentials", "drop_old_password", "user chom"), {})
    assert [one.split()[0] for one in server.told] == ["login", "ALTER", "login"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    place = tmp_path / "data"
    (place / "chom").mkdir(parents=True)
    (place / "chom/ledger.ibd").write_bytes(b"damaged")
    (place / "mysql").mkdir()
    (place / "ibdata1").touch()
    return place


def kept(
    server: FakeServer, tmp_path: Path, data: Path, *, start: bool = True
) -> tuple[KeepData, Step, dict[str, Any]]:
    kind = KeepData(settings(tmp_path), {})
    step = Step("corruption", "keep_data", str(data), HELD, data={"start": start})
    saved = kind.save(step, str(tmp_path / "keep/00000"))
    assert server.told == []
    assert kind.do(step, saved)
    return kind, step, saved


def test_data_are_copied_while_the_server_is_stopped_and_it_starts_again_where_it_was_up(
    server: FakeServer, tmp_path: Path, data: Path
) -> None:
    kind, step, saved = kept(server, tmp_path, data)
    assert server.told == ["stop mysql", "start mysql", "wait"]
    assert not kind.do(step, saved)


def test_damaged_data_come_back_exactly_and_what_was_there_instead_is_kept(
    server: FakeServer, tmp_path: Path, data: Path
) -> None:
    kind, step, saved = kept(server, tmp_path, data, start=False)
    (data / "chom/ledger.ibd").write_bytes(b"restored")
    assert kind.obstacle(step, saved) == ""
    kind.undo(step, saved)
    kind.undo(step, saved)
    assert (data / "chom/ledger.ibd").read_bytes() == b"damaged"
    assert (tmp_path / "keep/replaced/data/chom/ledger.ibd").read_bytes() == b"restored"


REBUILD = {"schema": "chom", "table": "ledger", "recovery": 0, "path": ""}


def test_a_table_is_dropped_only_after_its_dump_and_loaded_from_it(
    server: FakeServer, tmp_path: Path, data: Path
) -> None:
    kept(server, tmp_path, data)
    server.told.clear()
    kind, step = RebuildTable(settings(tmp_path), {}), Step("corruption", "rebuild_table", "chom.ledger", data=REBUILD)
    assert kind.do(step, kind.save(step, str(tmp_path / "keep/00001")))
    words = [one.split(";")[-1].split()[0] for one in server.told]
    assert words == ["dump", "DROP", "wait", "load", "CHECK"]
    assert "load chom all rows" in server.told


def test_a_table_that_cannot_be_dumped_is_not_dropped_and_recovery_is_taken_back(
    server: FakeServer, tmp_path: Path, data: Path
) -> None:
    kept(server, tmp_path, data)
    server.told.clear()
    server.fail = ("dump",)
    step = Step("corruption", "rebuild_table", "chom.ledger", data={**REBUILD, "recovery": 1})
    kind = RebuildTable(settings(tmp_path), {})
    with pytest.raises(StepError, match="was not dropped"):
        kind.do(step, kind.save(step, str(tmp_path / "keep/00001")))
    assert not [one for one in server.told if "DROP" in one]
    assert not (tmp_path / "zz.cnf").exists()


def test_killed_after_the_drop_it_goes_on_with_the_load(server: FakeServer, tmp_path: Path, data: Path) -> None:
    kept(server, tmp_path, data)
    step = Step("corruption", "rebuild_table", "chom.ledger", data=REBUILD)
    kind = RebuildTable(settings(tmp_path), {})
    saved = kind.save(step, str(tmp_path / "keep/00001"))
    server.fail = ("load",)
    with pytest.raises(StepError):
        kind.do(step, saved)
    server.fail, server.told[:] = (), []
    assert kind.do(step, saved)
    assert server.told[0] == "wait"
    assert "load chom all rows" in server.told


@pytest.mark.parametrize("kind", [RebuildTable, RestoreTable, Restore])
def test_without_a_whole_copy_of_the_damaged_data_nothing_is_touched(
    server: FakeServer, tmp_path: Path, data: Path, kind: type[RebuildTable]
) -> None:
    step = Step("unrepairable", "x", str(data), data={**REBUILD, "path": "/none", "size": 0, "changed": 0})
    with pytest.raises(StepError, match="no whole copy"):
        kind(settings(tmp_path), {}).do(step, {"keep": str(tmp_path / "keep/00001")})
    assert server.told == []
    assert (data / "chom/ledger.ibd").exists()


def dumped(tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "full.sql"
    path.write_text("-- Current Database: `chom`\n-- Table structure for table `ledger`\nCREATE\n-- Dump completed\n")
    status = path.stat()
    return {**REBUILD, "path": str(path), "size": status.st_size, "changed": status.st_mtime_ns}


def test_a_restore_empties_the_data_only_when_the_approved_backup_is_there(
    server: FakeServer, tmp_path: Path, data: Path
) -> None:
    kept(server, tmp_path, data)
    server.told.clear()
    step = Step("unrepairable", "restore", str(data), data=dumped(tmp_path))
    (tmp_path / "full.sql").write_text("another\n")
    with pytest.raises(StepError, match="has changed since the plan"):
        Restore(settings(tmp_path), {}).do(step, {"keep": str(tmp_path / "keep/00001")})
    assert (data / "chom/ledger.ibd").exists()
    assert server.told == []


def test_a_directory_that_is_no_data_of_a_server_is_never_emptied(
    server: FakeServer, tmp_path: Path, data: Path
) -> None:
    (data / "ibdata1").unlink()
    kept(server, tmp_path, data)
    step = Step("unrepairable", "restore", str(data), data=dumped(tmp_path))
    with pytest.raises(StepError, match="not the data directory"):
        Restore(settings(tmp_path), {}).do(step, {"keep": str(tmp_path / "keep/00001")})
    assert (data / "chom/ledger.ibd").exists()


def test_a_restore_makes_a_new_server_and_loads_the_backup(server: FakeServer, tmp_path: Path, data: Path) -> None:
    kept(server, tmp_path, data)
    server.told.clear()
    step = Step("unrepairable", "restore", str(data), data=dumped(tmp_path))
    assert Restore(settings(tmp_path), {}).do(step, {"keep": str(tmp_path / "keep/00001")})
    assert [one.split()[0] for one in server.told] == [
        "stop", "mariadb-install-db", "start", "wait", "load", "FLUSH",
    ]  # fmt: skip
    assert list(data.iterdir()) == []


def test_a_table_that_the_backup_does_not_have_is_left_as_it_is(server: FakeServer, tmp_path: Path, data: Path) -> None:
    kept(server, tmp_path, data)
    server.told.clear()
    step = Step("unrepairable", "restore_table", "chom.x", data={**dumped(tmp_path), "table": "x"})
    with pytest.raises(StepError, match="does not have"):
        RestoreTable(settings(tmp_path), {}).do(step, {"keep": str(tmp_path / "keep/00001")})
    assert server.told == []


def looked(monkeypatch: pytest.MonkeyPatch, server: FakeServer, lines: list[str], **more: Any) -> dict[str, str]:
    given = {
        "health_wait": 0, "schema": "", "connections_percent": 80, "env_file": "", "error_log": "", "error_window": 0,
        "latency_ms": 100, "dependencies_url": "", **more,
    }  # fmt: skip
    monkeypatch.setattr(database_check, "server_of", lambda _settings, _stack: server)
    monkeypatch.setattr(database_sessions, "look", lambda _server: crowd(1))
    monkeypatch.setattr(database_check.database_log, "read", lambda _server, _path: lines)
    stack = {"health_url": "http://127.0.0.1/health/ready" if "said" in more else ""}
    monkeypatch.setattr(database_check, "_asked", lambda url: more["said"][url.rpartition("/")[2]])
    seen = database_check.DatabaseCheck(given, stack).seen(Done((), 1795780800.0), write=True)
    return {one["name"]: one["verdict"] for one in seen.checks}


def test_new_errors_after_the_fix_and_nothing_older_tell_that_it_is_not_cured(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = "2026-11-27T11:59:59Z [ERROR] old", "2026-11-27T12:00:05Z [ERROR] new"
    assert looked(monkeypatch, server, [old], schema="chom")["error log"] == CURED
    assert looked(monkeypatch, server, [old, new], schema="chom")["error log"] == NOT_CURED


def test_where_to_write_that_is_not_known_is_no_cure_and_a_failed_write_neither(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert looked(monkeypatch, server, [])["write"] == CANNOT_TELL
    server.fail = ("CREATE",)
    assert looked(monkeypatch, server, [], schema="chom")["write"] == NOT_CURED
    assert server.told[-1].startswith("DROP TABLE IF EXISTS `chom`.`remediate_")


@pytest.mark.parametrize(
    ("latency", "ok", "expected"), [(3.0, True, CURED), (100.0, True, NOT_CURED), ("x", True, CANNOT_TELL)]
)
def test_the_applications_own_word_counts(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, latency: Any, ok: bool, expected: str
) -> None:
    said = {
        "ready": {"checks": {"database": {"ok": ok}}},
        "dependencies": {"database": {"connected": True, "latency_ms": latency}},
    }
    seen = looked(monkeypatch, server, [], schema="chom", said=said)
    assert (seen["ready"], seen["dependencies"]) == (CURED, expected)
    nothings: list[Any] = [None, [], {"checks": {"database": {"ok": "yes"}}}]
    for nothing in nothings:
        assert looked(monkeypatch, server, [], said={**said, "ready": nothing})["ready"] == NOT_CURED
