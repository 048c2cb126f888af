"""What a database server, its log, its sessions and its backups say is read as it is meant, however hostile."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import database_data, database_log, database_tables, mariadb_server
from ansible.module_utils.application_account import (
    Known,
    accepting_both,
    accepting_only,
    account_of,
    as_before,
    settings_of,
    ways_of,
    with_password,
)
from ansible.module_utils.database_backups import newest_usable, only_table, opened
from ansible.module_utils.database_repair import with_recovery
from ansible.module_utils.database_sessions import idle, sessions_of, too_many
from ansible.module_utils.host_step import StepError
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.stack_feed import fed

LOG_TEXT = """\
2026-11-27 10:00:00 0 [Note] Starting MariaDB 11.8.3-MariaDB source revision x as process 1
2026-11-27 10:00:01 0 [ERROR] InnoDB: Unable to apply log to corrupted page 4 in file ./chom/old.ibd
2026-11-27 12:00:00 0 [Note] Starting MariaDB 11.8.3-MariaDB source revision x as process 1
2026-11-27 12:00:01 0 [ERROR] InnoDB: Unable to apply log to corrupted page 4 in file ./chom/led@002dger.ibd\x1b[2J
2026-11-27 12:00:01 0 [ERROR] InnoDB: Cannot open './../../etc/passwd.ibd' or './a b/c.ibd'
2026-11-27 12:00:02 0 [Warning] Access denied for user 'x' [ERROR
2026-11-27 12:00:03 0 [ERROR] Aborting
"""
LOG = LOG_TEXT.splitlines()


def test_only_what_was_logged_since_the_last_start_counts_and_is_shown_harmless() -> None:
    lines = database_log.since_start(LOG)
    assert database_log.tables(lines) == [("chom", "led-ger")]
    (line,) = database_log.damage(lines)
    assert "\x1b" not in line
    assert "corrupted page 4" in line
    assert len(database_log.errors(lines)) == 3


def test_a_log_without_a_start_is_taken_whole_and_an_overlong_line_cut() -> None:
    line = "2026-11-27 12:00:03 0 [ERROR] InnoDB: corrupt " + "x" * 5000
    assert database_log.since_start([line]) == [line]
    assert len(database_log.errors([line])[0]) <= 240


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("2026-11-27T12:00:03.123456789Z 2026-11-27 14:00:03 0 [ERROR] x", 1795780803.0),
        ("2026-11-27T12:00:03.12+0100 host mariadbd[1]: [ERROR] x", 1795777203.0),
        ("no date [ERROR]", None),
        ("2026-99-99 12:00:03 0 [ERROR] x", None),
    ],
)
def test_the_moment_of_a_line_is_that_of_its_zone(line: str, expected: float | None) -> None:
    assert database_log.moment_of(line) == expected


def test_a_moment_without_a_zone_is_this_hosts_and_errors_before_it_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert database_log.moment_of(LOG[0]) == 1795773600.0
    assert len(database_log.errors_since(LOG, 1795780803.4)) == 1
    assert database_log.errors_since(LOG, 1795780804.0) == []


def test_names_of_files_are_those_the_server_gives() -> None:
    assert database_log.file_name("led-ger/../x") == "led@002dger@002f@002e@002e@002fx"


def row(number: int, user: str, command: str, seconds: str, **more: str) -> list[str]:
    return [str(number), user, "10.0.0.2:4711", command, seconds, more.get("trx", "0"), more.get("own", "0")]


ROWS = [
    row(1, "chom", "Sleep", "400"),
    row(2, "chom", "Sleep", "900", trx="1"),
    row(3, "chom", "Sleep", "300"),
    row(4, "chom", "Query", "4000"),
    row(5, "system user", "Daemon", "9999"),
    row(6, "replica", "Binlog Dump", "9999"),
    row(7, "root", "Sleep", "9999"),
    row(8, "chom", "Sleep", "500"),
    row(9, "system user", "Sleep", "9999"),
    row(10, "mysql", "Query", "0", own="1"),
    ["40", "10", "11.8.3-MariaDB"],
]


def test_only_what_sleeps_for_long_may_be_ended_and_what_loses_most_comes_last() -> None:
    seen = sessions_of(ROWS)
    assert (seen.maximum, seen.connected) == (40, 9)
    assert [one.id for one in idle(seen, 300, ["root"])] == [8, 1, 2]


@pytest.mark.parametrize(("connected", "expected"), [("29", 0), ("30", 1), ("41", 12)])
def test_as_few_are_ended_as_will_do(connected: str, expected: int) -> None:
    assert too_many(sessions_of([["40", connected, "11"]]), 80) == expected


def test_a_sleep_of_unknown_length_is_none() -> None:
    assert idle(sessions_of([row(1, "chom", "Sleep", "NULL"), ["40", "2", "11"]]), 300, []) == []


def test_rows_come_back_as_they_were() -> None:
    assert mariadb_server.parsed("a\\tb\tc\\\\n\n\\n\t\n") == [["a\tb", "c\\n"], ["\n", ""]]


def test_names_and_texts_cannot_leave_their_quotes() -> None:
    assert mariadb_server.literal("a'b\\' OR 1") == "'a''b\\\\'' OR 1'"
    assert mariadb_server.name("a`; DROP") == "`a``; DROP`"


class OneShot:
    """A stack whose client ends in one way."""

    def __init__(self, code: int, output: str, errors: str) -> None:
        self.ended = (code, output, errors)
        self.argv: list[str] = []
        self.read = b""

    def exec(self, _service: str, argv: list[str], _seconds: float, stdin: int) -> tuple[int, str, str]:
        self.argv = argv
        while part := os.read(stdin, 1000):
            self.read += part
        return self.ended


def server(code: int = 0, output: str = "", errors: str = "") -> tuple[mariadb_server.MariaDB, OneShot]:
    made, stack = object.__new__(mariadb_server.MariaDB), OneShot(code, output, errors)
    made.stack, made.service = stack, "mysql"
    return made, stack


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("ERROR 1045 (28000): Access denied for user 'chom'@'x' (using password: YES)", 1045),
        ("ERROR 2002 (HY000): Received error packet ... error cannot be verified: 1040 - Too many", 2002),
        ("mariadb-dump: Error 1030: x", 0),
        ('mariadb-dump: Got error: 1045: "Access denied"', 1045),
        ("Killed", 0),
    ],
)
def test_the_number_of_an_error_is_the_servers(said: str, code: int) -> None:
    one, _ = server(1, "", said)
    with pytest.raises(mariadb_server.ServerError) as error:
        one.rows("SELECT 1")
    assert error.value.code == code


def test_a_secret_stands_neither_among_arguments_nor_in_an_error() -> None:
    one, stack = server(1, "", "ERROR 1064 (42000) at line 1: near 'BY 's3cret''")
    with pytest.raises(mariadb_server.ServerError) as error:
        one.rows("ALTER USER x IDENTIFIED BY 's3cret'", secret=True)
    assert "s3cret" not in f"{error.value}{stack.argv}"
    account = {"host": "db", "port": "3306", "user": "chom", "password": 's3"c\\ret'}
    with pytest.raises(mariadb_server.ServerError) as error:
        one.login(account)
    assert "s3" not in f"{error.value}{stack.argv}"
    assert b'password="s3\\"c\\\\ret"\n' in stack.read


def test_what_is_fed_arrives_whole_and_who_stops_reading_blocks_nobody(tmp_path: Path) -> None:
    big = tmp_path / "big"
    big.write_bytes(b"x" * (1 << 21))
    with big.open("rb") as source, fed(source) as descriptor:
        assert os.read(descriptor, 10) == b"x" * 10
    with fed("hällo") as descriptor:
        assert os.read(descriptor, 100).decode() == "hällo"


def test_a_server_that_takes_too_long_does_not_answer_and_one_without_room_does() -> None:
    one, stack = server(1, "", "ERROR 1040 (08004): Too many connections")
    assert one.answers()
    stack.ended = (1, "", "ERROR 2002 (HY000): Can't connect to local server through socket")
    assert not one.answers()

    def late(*_: object, **__: object) -> tuple[int, str, str]:
        raise StackError("did not end within 10 s and was stopped")

    one.stack.exec = late
    assert not one.answers()


ENV_LINES = ("APP_KEY=base64:a=b", "DB_HOST=mysql", "DB_USERNAME=chom", "# DB_PASSWORD=old", 'DB_PASSWORD="o\'l d"')
ENV = "\n".join([*ENV_LINES, "DB_DATABASE=chom # x", ""])


def test_an_environment_file_is_read_and_only_its_password_changes(tmp_path: Path) -> None:
    (tmp_path / "env").write_text(ENV)
    account = account_of(str(tmp_path / "env"))
    assert account == {"host": "mysql", "port": "3306", "user": "chom", "password": "o'l d", "schema": "chom"}
    changed = with_password(ENV, "new\\1")
    assert changed == ENV.replace('"o\'l d"', "new\\1")
    assert settings_of(changed)["DB_PASSWORD"].endswith("\\1")


def test_an_environment_without_a_password_or_a_file_is_said_clearly(tmp_path: Path) -> None:
    (tmp_path / "env").write_text("DB_HOST=x\n")
    with pytest.raises(StepError, match="does not say DB_USERNAME and DB_PASSWORD"):
        account_of(str(tmp_path / "env"))
    with pytest.raises(StepError, match="database_failure_env_file"):
        account_of(str(tmp_path / "none"))


NATIVE = {"plugin": "mysql_native_password", "authentication_string": "*AB", "access": 0}


def known(record: dict[str, Any]) -> Known:
    return Known("%", ways_of(record), "CREATE USER `chom`@`%` IDENTIFIED BY PASSWORD '*AB' REQUIRE SSL")


def test_the_new_password_is_accepted_beside_the_old_one_then_alone_then_taken_back() -> None:
    both = accepting_both("chom", known(NATIVE), "new")
    assert both == (
        "ALTER USER 'chom'@'%' IDENTIFIED VIA mysql_native_password USING PASSWORD('new')"
        " OR mysql_native_password USING '*AB'"
    )
    assert accepting_only("chom", known(NATIVE), "new") == both.partition(" OR ")[0]
    assert as_before(known(NATIVE).created) == "ALTER USER `chom`@`%` IDENTIFIED BY PASSWORD '*AB' REQUIRE SSL"


def test_other_ways_to_log_in_are_kept_open_but_none_without_a_password() -> None:
    several = {**NATIVE, "authentication_string": "", "auth_or": [{}, {"plugin": "unix_socket"}]}
    assert accepting_both("chom", known(several), "n").endswith("PASSWORD('n') OR unix_socket")
    assert "ed25519 USING PASSWORD" in accepting_only("chom", known({**NATIVE, "plugin": "ed25519"}), "n")
    with pytest.raises(StepError):
        as_before("DROP USER x")


def test_what_check_table_says_is_told_by_table() -> None:
    rows = [
        ["=table=", "0"],
        ["chom.a", "check", "status", "OK"],
        ["=table=", "1"],
        ["chom.b", "check", "Warning", "InnoDB: The B-tree of index kb is corrupted.\x1b"],
        ["chom.b", "check", "error", "Corrupt"],
        ["=table=", "2"],
        ["chom.c", "check", "note", "Table upgrade required"],
    ]
    (verdict,) = database_tables.verdicts(rows).items()
    assert verdict[0] == 1
    assert verdict[1].startswith("InnoDB: The B-tree of index kb is corrupted.")
    assert "\x1b" not in verdict[1]


def test_of_too_many_tables_only_those_that_the_log_names_are_checked() -> None:
    tables = [database_tables.Table("chom", one, "InnoDB", 2 << 20) for one in ("a", "b")]
    assert database_tables.to_check(tables, [], 4) == (tables, "")
    chosen, note = database_tables.to_check(tables, [("chom", "b"), ("chom", "gone")], 3)
    assert [one.name for one in chosen] == ["b"]
    assert "database_failure_check_megabytes" in note


DUMP = b"""\
/*M!999999\\- enable the sandbox mode */
-- MariaDB dump 10.19  Distrib 11.8.3-MariaDB, for debian-linux-gnu (x86_64)
-- Current Database: `chom`
CREATE DATABASE `chom`;
-- Table structure for table `a`
CREATE TABLE `a` (i INT);
-- Dumping data for table `a`
INSERT INTO `a` VALUES (1);
-- Table structure for table `b`
CREATE TABLE `b` (i INT);
-- Current Database: `other`
-- Table structure for table `a`
CREATE TABLE `a` (x TEXT);
-- Dump completed on 2026-11-26  2:00:00
"""


def backup(place: Path, name: str, content: bytes, age: float) -> str:
    path = place / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    os.utime(path, (time.time() - age, time.time() - age))
    return str(path)


def test_the_newest_dump_that_is_whole_real_and_has_the_schema_is_chosen(tmp_path: Path) -> None:
    backup(tmp_path, "old-20261101.sql.gz", DUMP, 5000)
    good = backup(tmp_path, "full-20261126.sql.gz", DUMP, 400)
    backup(tmp_path, "other-20261127.sql", DUMP.replace(b"`chom`", b"`shop`"), 300)
    backup(tmp_path, "torn-20261127.sql", DUMP[:-60], 200)
    backup(tmp_path, "fake-20261127.sql", b"-- database dump\n-- Dump completed\n", 100)
    backup(tmp_path, "files-20261127.tar.gz", b"x", 50)
    broken = Path(backup(tmp_path, "cut-20261127.sql.gz", DUMP, 10))
    broken.write_bytes(broken.read_bytes()[:-20])
    chosen, notes = newest_usable([str(tmp_path)], ["chom"])
    assert chosen.path == good
    assert len(notes) == 4


def test_without_a_usable_dump_there_is_none(tmp_path: Path) -> None:
    backup(tmp_path, "fake-20261127.sql", b"nothing\n", 100)
    chosen, notes = newest_usable([str(tmp_path)], ["chom"])
    assert chosen is None
    assert "1 backups cannot be restored" in notes[0]


def test_one_table_is_taken_out_of_its_own_schema_only(tmp_path: Path) -> None:
    with opened(backup(tmp_path, "full.sql.gz", DUMP, 1)) as stream:
        part = b"".join(only_table(stream, "chom", "a"))
    assert b"INSERT INTO `a` VALUES (1);" in part
    assert b"TEXT" not in part
    assert b"`b`" not in part


def test_recovery_is_set_for_one_repair_and_leaves_the_settings_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "zz.cnf"
    with_recovery(str(file), 2)
    assert "innodb_force_recovery = 2" in file.read_text()
    with_recovery(str(file), 0)
    assert not file.exists()
    file.write_text("[mariadbd]\nmax_connections = 80\n")
    with_recovery(str(file), 1)
    with_recovery(str(file), 3)
    assert file.read_text().count("innodb_force_recovery") == 1
    with_recovery(str(file), 0)
    assert file.read_text() == "[mariadbd]\nmax_connections = 80\n"


def test_data_are_copied_whole_and_put_back_exactly(tmp_path: Path) -> None:
    data, keep = tmp_path / "data", tmp_path / "keep/00000"
    (data / "chom").mkdir(parents=True)
    (data / "chom/t.ibd").write_bytes(b"rows")
    (data / "chom").chmod(0o700)
    (data / "link").symlink_to("chom")
    assert database_data.kept(str(keep)) == ""
    database_data.keep_copy(str(data), str(keep))
    (data / "chom/t.ibd").write_bytes(b"other")
    (data / "new").write_text("x")
    copy = database_data.kept(str(tmp_path / "keep/00001"))
    database_data.fill(str(data), copy)
    assert (data / "chom/t.ibd").read_bytes() == b"rows"
    assert (data / "chom").stat().st_mode & 0o777 == 0o700
    assert (data / "link").is_symlink()
    assert not (data / "new").exists()


def test_a_copy_that_a_kill_cut_short_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "keep/00000/data").mkdir(parents=True)
    assert database_data.kept(str(tmp_path / "keep/00000")) == ""


class Tried:
    """Starts a server on a copy that heals with the first start that works, as the real one does."""

    service = "mysql"

    def __init__(self, needs: int, *, readable: bool = True) -> None:
        self.stack = self
        self.needs, self.readable, self.levels = needs, readable, list[int]()
        self.copy = Path()

    def once(self, _service: str, argv: list[str], places: list[str], _seconds: float, stdin: int) -> Any:
        asked, self.copy = os.read(stdin, 1000), Path(places[0])
        (level,) = [int(one.rpartition("=")[2]) for one in argv if "force-recovery" in one]
        self.levels.append(level)
        assert (self.copy / "ibdata1").read_text() == "data"
        assert not [one for one in argv if one.endswith("dir=" + str(self.copy.parent.parent / "real"))]
        if level < self.needs or (b"COUNT" in asked and not self.readable):
            return 1, "", ""
        self.needs = 0
        return 0, "", ""


@pytest.mark.parametrize(
    ("needs", "readable", "level"), [(0, True, 0), (1, True, 1), (3, False, 3), (4, True, None)], ids=str
)
def test_a_copy_tells_with_how_much_recovery_a_server_starts(
    tmp_path: Path, needs: int, readable: bool, level: int | None
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/ibdata1").write_text("data")
    tried = Tried(needs, readable=readable)
    trial = database_data.attempt(tried, str(tmp_path / "real"), str(tmp_path), 3, [("chom", "a")])
    assert trial == database_data.Trial(level, readable=readable and level is not None)
    assert tried.levels == sorted(tried.levels)
    assert not tried.copy.exists()


@pytest.fixture
def real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(database_data, "_PAUSES", (0.0, 0.0, 0.0))
    (tmp_path / "real").mkdir()
    (tmp_path / "real/ibdata1").write_text("data")
    return tmp_path / "real"


class InDoubt(Tried):
    """A server that was killed in the middle of a commit, started without its binary log."""

    said = (
        "2026-11-28 12:18:40 0 [ERROR] Found 1 prepared transactions! It means that server was not shut down properly "
        "last time and critical recovery information (last binlog or tc.log file) was manually deleted after a crash."
    )

    def __init__(self, needs: int) -> None:
        super().__init__(needs)
        self.told: list[int] = []

    def once(self, service: str, argv: list[str], places: list[str], seconds: float, stdin: int) -> Any:
        code, *_ = super().once(service, argv, places, seconds, stdin)
        if code == 0 and not self.told:
            if "--tc-heuristic-recover=COMMIT" in argv:
                self.told.append(self.levels[-1])
            return 1, "", self.said
        return code, "", "[ERROR] InnoDB: Data structure corruption" if code else ""


@pytest.mark.parametrize("needs", [0, 1])
def test_a_server_killed_in_the_middle_of_a_commit_is_no_damage(real: Path, needs: int) -> None:
    server = InDoubt(needs)

    trial = database_data.attempt(server, str(real), str(real.parent), 3, [("chom", "a")])
    assert trial == database_data.Trial(needs, readable=True)
    assert server.told == [needs]


class Restarting(Tried):
    """A server that is started again and again: so many copies of its data are not of one moment."""

    def __init__(self, data: Path, torn: int, needs: int = 1) -> None:
        super().__init__(needs)
        self.data, self.torn, self.copies = data, torn, 0

    def copied(self, source: str, target: str) -> None:
        self.copies += 1
        shutil.copytree(source, target)
        if self.copies <= self.torn:
            with (self.data / "ib_logfile0").open("a") as log:
                log.write("a start that failed")

    def once(self, service: str, argv: list[str], places: list[str], seconds: float, stdin: int) -> Any:
        if self.copies <= self.torn:
            return 1, "", ""
        return super().once(service, argv, places, seconds, stdin)


@pytest.mark.parametrize("torn", range(4))
def test_nothing_bad_is_believed_of_a_copy_of_data_that_changed_meanwhile(
    real: Path, monkeypatch: pytest.MonkeyPatch, torn: int
) -> None:
    server = Restarting(real, torn)
    monkeypatch.setattr(database_data, "copy_tree", server.copied)

    assert database_data.attempt(server, str(real), str(real.parent), 3, [("chom", "a")]) == database_data.Trial(
        1, readable=True
    )
    assert server.copies == torn + 1


def test_where_the_data_never_stand_still_it_is_said_with_what_to_do(
    real: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Restarting(real, torn=9)
    monkeypatch.setattr(database_data, "copy_tree", server.copied)

    with pytest.raises(StepError, match=r"writes to .*/real all the time.* stop the service mysql and try again"):
        database_data.attempt(server, str(real), str(real.parent), 3, [("chom", "a")])
    assert not [*real.parent.glob("database-trial-*")]


def test_a_copy_for_which_there_is_no_room_is_said_with_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_data, "has_room", lambda _place, _size: False)
    with pytest.raises(StepError, match="database_failure_scratch_dir"):
        database_data.attempt(Tried(0), str(tmp_path), str(tmp_path), 3, [])


def test_without_room_nothing_is_copied(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no room for a copy"):
        database_data.need_room(str(tmp_path / "keep"), 1 << 60)
