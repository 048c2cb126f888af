"""How a cluster is put together in a scratch place, and how the server of a trial is kept from everything else."""

from __future__ import annotations

import os
import pwd
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import (
    postgresql_content,
    postgresql_rebuild,
    postgresql_scratch,
    postgresql_server,
    scratch_place,
)
from ansible.module_utils.backup_manifest import POSTGRESQL, WAL, Manifest
from ansible.module_utils.backup_shelf import Stored
from ansible.module_utils.database_unpack import BadCopyError
from ansible.module_utils.drill_mutation import Mutation
from ansible.module_utils.drill_report import Record
from ansible.module_utils.host_step import StepError
from ansible.module_utils.log_chain import BrokenChainError
from ansible.module_utils.pgbackrest import PgBackRestError
from ansible.module_utils.pgbackrest_report import Copy, Info, Verified
from ansible.module_utils.postgresql_content import Content, ContentError, Table
from ansible.module_utils.postgresql_rebuild import Chosen, major_of, rebuild
from ansible.module_utils.postgresql_scratch import PROMOTE, Goal, LogEndsError, ScratchPostgreSQL
from ansible.module_utils.postgresql_server import PostgresError, PostgreSQL, quoted, told_by
from ansible.module_utils.postgresql_source import SHARED
from ansible.module_utils.postgresql_state import State, listing
from ansible.module_utils.postgresql_wal import Range
from ansible.module_utils.restic_repository import Snapshot
from ansible.module_utils.scratch_server import ScratchError
from ansible.module_utils.stack_program import Finished

FULL, DIFF = "20261128-120000F", "20261128-120000F_20261128-180000D"
SIZE = 16 << 20
MYSELF = pwd.getpwuid(os.getuid()).pw_name


def segment(number: int) -> str:
    return f"00000001000000000000{number:04X}"


def stored(number: int) -> str:
    return f"17-1/0000000100000000/{segment(number)}-{number:040x}.gz"


# What a client is told, and what it answers.


def test_a_database_may_be_called_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(argv: list[str], _seconds: float, **options: Any) -> Finished:
        asked.append(argv)
        assert options["given"] == "SELECT 1;\n"
        return Finished(0, "a\tb\n\nc\n", "")

    monkeypatch.setattr(postgresql_server, "run_program", run)
    evil = "x' host='evil.example' options='-c lo\\g"
    assert PostgreSQL(MYSELF, 5433).rows("SELECT 1;\n", evil) == [["a", "b"], ["c"]]
    (place,) = [word for word in asked[0] if word.startswith("--dbname=")]
    assert "dbname='x\\' host=\\'evil.example\\' options=\\'-c lo\\\\g'" in place
    assert place.startswith("--dbname=port='5433' dbname=")
    assert "psql" in asked[0][0]
    assert not [word for word in asked[0] if "SELECT" in word]
    assert quoted("a\\'b") == "'a\\\\\\'b'"


def test_a_refusal_says_what_the_server_said(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "psql:<stdin>:1: NOTICE: x\npsql:<stdin>:2: ERROR:  relation \x1b[31m does not exist\n"
    monkeypatch.setattr(postgresql_server, "run_program", lambda *_, **__: Finished(3, "", said))
    with pytest.raises(PostgresError, match=r"refused: psql:<stdin>:2: ERROR:  relation  \[31m does not exist"):
        PostgreSQL(MYSELF, 5432).rows("x")
    assert told_by(Finished(1, "", "")) == "it printed nothing"


def test_a_user_that_is_not_there_is_an_error_with_a_way_out() -> None:
    with pytest.raises(StepError, match="no user nobody-such"):
        postgresql_server.as_user("nobody-such")
    alone = postgresql_server.alone_as(MYSELF)
    assert alone.prefix[:4] == ("unshare", "--net", "--ipc", "--")
    assert alone.prefix[-1] == "--pdeathsig=KILL"
    assert "PGHOST" not in alone.options["env"]


# What is in tables.

ROWS = [
    ["remediate_1", "0/5000200", "", "pgoutput"],
    ["of", "3"],
    ["table", "7075626c6963", "742709", "2", "7", "-9", "t"],
    ["table", "7075626c6963", "7832", "0", "0", "0", "f"],
]


def test_names_come_in_hexadecimal_digits_and_what_was_changed_meanwhile_is_left_out() -> None:
    scripts: list[tuple[str, str]] = []

    def ask(database: str, script: str, _seconds: float) -> list[list[str]]:
        scripts.append((database, script))
        return ROWS

    found = postgresql_content.at_slot(ask, "shop", "remediate_1", 9.0, after="it's.me", most=2)
    assert found == Content("shop", "0/5000200", (Table("shop", "public", "t'\t", 2, "7", "-9"),), 3)
    database, script = scripts[0]
    lines = script.splitlines()
    assert database == "shop"
    # The slot is the first thing in its transaction: only so it is given its snapshot.
    assert lines[0] == "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;"
    assert lines[1] == "CREATE_REPLICATION_SLOT remediate_1 TEMPORARY LOGICAL pgoutput USE_SNAPSHOT;"
    assert "<= 'it''s.me'" in script
    assert script.endswith(" LIMIT 2\n\\gexec\nCOMMIT;\n")


def test_the_same_tables_are_looked_at_again_by_their_names_as_literals() -> None:
    wanted = Content("shop", "0/1", (Table("shop", "a'b", "c\\d", 1, "1", "1"),), 3)

    def ask(database: str, script: str, _seconds: float) -> list[list[str]]:
        assert database == "shop"
        assert "IN (('a''b', 'c\\d'))" in script
        assert "CREATE_REPLICATION_SLOT" not in script
        return ROWS[1:]

    assert postgresql_content.of_tables(ask, wanted, 9.0).lsn == "0/1"
    empty = Content("shop", "0/1", (), 3)
    assert postgresql_content.of_tables(lambda *_: pytest.fail("asked"), empty, 9.0) == empty
    with pytest.raises(ContentError):
        postgresql_content.literal("a\0b")


@pytest.mark.parametrize(
    "rows", [[], ROWS[1:], [ROWS[0], ROWS[0], *ROWS[1:]], [ROWS[0]], [["remediate_1", "x", "", ""], *ROWS[1:]]]
)
def test_an_answer_that_says_no_position_or_no_number_is_none(rows: list[list[str]]) -> None:
    with pytest.raises(ContentError):
        postgresql_content.at_slot(lambda *_: rows, "shop", "remediate_1", 9.0)


# What is put together.


class Tool:
    """A pgBackRest that finds what it is told to."""

    def __init__(self) -> None:
        copies = (
            Copy(FULL, "full", False, (), segment(2), "0/2000120", 1.0),
            Copy(DIFF, "diff", False, (FULL,), segment(5), "0/5000120", 2.0),
        )
        self.known = Info(0, "ok", False, "77", "17-1", copies)
        self.found = Verified(True, {FULL: "valid", DIFF: "valid"}, (), 0, "words")
        self.restored: list[str] = []

    def info(self) -> Info:
        return self.known

    def verify(self) -> Verified:
        return self.found

    def restore(self, label: str, options: list[str]) -> None:
        self.restored = [label, *options]


class World:
    def __init__(self, tmp_path: Path) -> None:
        self.tool = Tool()
        self.place = tmp_path / "place"
        self.place.mkdir()
        self.secret = tmp_path / "secret"
        self.secret.write_text("a pass phrase\n")
        self.files = {"backup/shop/backup.info": 3, f"backup/shop/{DIFF}/x.gz": 4, f"backup/shop/{FULL}/y.gz": 4}
        self.files |= {f"archive/shop/{stored(number)}": 9 for number in (5, 6, 7)}
        self.source = {"name": "a", "postgresql": {"stanza": "shop", "cipher_file": str(self.secret)}}
        self.wanted: list[tuple[str, list[str]]] = []
        self.link = ""

    def restore(self, snapshot: str, target: str, only: list[str]) -> None:
        self.wanted.append((snapshot[0], only))
        for name, size in self.files.items():
            path = Path(target + "/r/" + name)
            if str(path).startswith(target + only[0]):
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"x" * size)
        if self.link and only[0].endswith("backup"):
            Path(target + "/r/backup/shop/latest").symlink_to(self.link)

    def chosen(self, repository: str = "/r") -> Chosen:
        copies = listing({name.removeprefix("backup/shop/"): s for name, s in self.files.items() if "backup/" in name})
        segments = listing({stored(number): 9 for number in (5, 6, 7)})
        wal = Range("17-1", segment(5), segment(7), SIZE)
        state = State("shop", repository, "77", 1, "0/7000300", wal, DIFF, "diff", "0/5000120", copies, segments)
        server = {"server_version_num": "170010", "max_connections": "200"}
        both = []
        for kind, letter in ((POSTGRESQL, "c"), (WAL, "w")):
            manifest = Manifest(kind, kind, "a", "m", 1.0, 1.0, server, postgresql=state)
            snapshot = Snapshot(letter * 64, "a", 1.0, (kind,), ("/r", "/s/stage/manifest.json"))
            both.append(Stored(snapshot, manifest, {}))
        return Chosen(*both)

    def rebuild(self, mutation: str = "", chosen: Chosen | None = None) -> ScratchPostgreSQL:
        shelf = type("Shelf", (), {"repository": self, "source": "a"})
        record = Record("a", 1, 1)
        return rebuild(shelf, chosen or self.chosen(), str(self.place), self.source, record, Mutation(mutation))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    one = World(tmp_path)
    monkeypatch.setattr(postgresql_rebuild, "PgBackRest", lambda *_: one.tool)
    monkeypatch.setattr(postgresql_rebuild, "alone_as", lambda name: name)
    monkeypatch.setattr(postgresql_rebuild, "give_to", lambda *_: None)
    monkeypatch.setattr(postgresql_scratch, "give_to", lambda *_: None)
    monkeypatch.setattr(postgresql_scratch, "_programs_of", lambda _: "/usr/lib/postgresql/17/bin")
    return one


def test_a_copy_and_its_log_come_from_their_own_snapshots_into_one_repository(world: World) -> None:
    world.rebuild()
    assert world.wanted == [("c", ["/r/backup"]), ("w", ["/r/archive"])]
    found = {str(path.relative_to(world.place / "repository")) for path in (world.place / "repository").rglob("*.*z")}
    assert found == {name for name in world.files if name.endswith("z")}
    label, *options = world.tool.restored
    assert label == DIFF
    assert f"--tablespace-map-all={world.place}/tablespaces" in options
    assert "--archive-mode=off" in options


def test_the_configuration_is_of_the_scratch_place_alone_and_holds_the_passphrase(world: World) -> None:
    world.rebuild()
    path = world.place / "pgbackrest/pgbackrest.conf"
    lines = path.read_text().splitlines()
    assert path.stat().st_mode & 0o077 == 0
    assert lines[:4] == [
        "[global]",
        f"repo1-path={world.place}/repository",
        "repo1-cipher-type=aes-256-cbc",
        "repo1-cipher-pass=a pass phrase",
    ]
    assert lines[-2:] == ["[shop]", f"pg1-path={world.place}/data"]


@pytest.mark.parametrize(
    ("text", "words"), [(None, "cannot be read"), ("", "holds no passphrase"), ("a\x07b\n", "holds no passphrase")]
)
def test_without_its_passphrase_nothing_is_restored(world: World, text: str | None, words: str) -> None:
    world.secret.unlink() if text is None else world.secret.write_text(text)
    with pytest.raises(StepError, match=words) as raised:
        world.rebuild()
    # It says nothing of the backup.
    assert not isinstance(raised.value, BadCopyError)


def test_another_stanza_than_the_inventory_says_is_refused(world: World) -> None:
    world.source["postgresql"] = {"stanza": "other", "cipher_file": ""}
    with pytest.raises(StepError, match="the stanza of a is other, and its copy is of shop"):
        world.rebuild()


def test_files_that_are_not_those_of_the_manifest_are_a_bad_copy(world: World) -> None:
    chosen = world.chosen()
    world.files["backup/shop/backup.info"] = 4
    with pytest.raises(BadCopyError, match="are not what was stored"):
        world.rebuild(chosen=chosen)


@pytest.mark.parametrize(
    ("link", "refused"), [(FULL, False), (f"{FULL}/../{DIFF}", False), ("/etc", True), ("../../../data", True)]
)
def test_a_link_that_leads_elsewhere_is_refused(world: World, link: str, *, refused: bool) -> None:
    world.link = link
    if refused:
        with pytest.raises(BadCopyError, match="leads elsewhere: backup/shop/latest"):
            world.rebuild()
    else:
        world.rebuild()


def test_a_snapshot_of_other_places_than_its_manifest_names_is_refused(world: World) -> None:
    with pytest.raises(BadCopyError, match="is of /r, not of a repository"):
        world.rebuild(chosen=world.chosen("/r/../etc"))


def test_what_pgbackrest_says_of_the_copy_decides(world: World) -> None:
    world.tool.found = Verified(False, {FULL: "invalid", DIFF: "valid"}, (), 0, "invalid checksum")
    with pytest.raises(BadCopyError, match=rf"{FULL} is invalid \(invalid checksum\)"):
        world.rebuild()


@pytest.mark.parametrize(
    ("bad", "count", "broken"),
    [((segment(6),), 1, True), ((segment(4),), 1, False), ((), 1, True), ((segment(4),), 2, True), ((), 0, False)],
)
def test_damaged_segments_are_a_gap_when_they_are_needed_or_not_named(
    world: World, bad: tuple[str, ...], count: int, *, broken: bool
) -> None:
    world.tool.found = Verified(not count, {FULL: "valid", DIFF: "valid"}, bad, count, "words")
    if broken:
        with pytest.raises(BrokenChainError, match="log is damaged"):
            world.rebuild()
    else:
        world.rebuild()


def test_a_copy_that_pgbackrest_does_not_know_is_bad(world: World) -> None:
    world.tool.known = replace(world.tool.known, copies=world.tool.known.copies[:1])
    with pytest.raises(BadCopyError, match=f"does not know the copy {DIFF}"):
        world.rebuild()


def test_a_copy_of_damaged_pages_is_bad(world: World) -> None:
    full, diff = world.tool.known.copies
    world.tool.known = replace(world.tool.known, copies=(full, replace(diff, bad_pages=True)))
    with pytest.raises(BadCopyError, match="made of damaged pages"):
        world.rebuild()


@pytest.mark.parametrize("command", ["info", "verify", "restore"])
def test_a_command_that_fails_makes_a_bad_copy(world: World, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    def fails(*_: Any) -> Info:
        raise PgBackRestError("unable to decrypt")

    monkeypatch.setattr(world.tool, command, fails)
    with pytest.raises(BadCopyError, match="unable to decrypt"):
        world.rebuild()


@pytest.mark.parametrize("kind", ["wal_missing", "pgbackrest_bit", "wal_bit", "wal_cut"])
def test_damage_on_purpose_is_done_to_the_middle_of_what_is_needed(world: World, kind: str) -> None:
    if kind == "wal_missing":
        with pytest.raises(BrokenChainError, match=f"the segment {segment(6)} is missing"):
            world.rebuild(kind)
        return
    world.rebuild(kind)
    changed = (
        world.place
        / "repository"
        / {"pgbackrest_bit": f"backup/shop/{DIFF}/x.gz"}.get(kind, f"archive/shop/{stored(6)}")
    )
    original = b"x" * (4 if kind == "pgbackrest_bit" else 9)
    assert changed.read_bytes() != original
    assert len(changed.read_bytes()) == (4 if kind == "wal_cut" else len(original))


@pytest.mark.parametrize("number", ["", "x", "90600", "-170010"])
def test_a_version_that_is_none_is_a_bad_copy(world: World, number: str) -> None:
    copy = world.chosen().copy
    assert major_of(copy) == "17"
    copy.manifest.server["server_version_num"] = number
    with pytest.raises(BadCopyError, match="of which PostgreSQL"):
        major_of(copy)


# The server of a trial.


def server(world: World) -> ScratchPostgreSQL:
    (world.place / "data").mkdir(exist_ok=True)
    given = {**dict.fromkeys(SHARED, "77"), "max_connections": "x'; DROP"}
    return ScratchPostgreSQL(str(world.place), "17", "pgbackrest 'a b' archive-get %f \"%p\"", given)


def test_the_server_of_a_trial_is_told_everything_by_us_and_nothing_by_what_it_is_started_on(world: World) -> None:
    one = server(world)
    for name in ("postgresql.auto.conf", "postgresql.conf", "standby.signal", "postmaster.pid"):
        (world.place / "data" / name).write_text("archive_command = 'touch /tmp/evil'\n")
    one._prepare(Goal("0/5000200", 3))
    assert (world.place / "data/postgresql.auto.conf").read_text() == ""
    assert (world.place / "data/recovery.signal").exists()
    for name in ("postgresql.conf", "standby.signal", "postmaster.pid"):
        assert not (world.place / "data" / name).exists()
    lines = (world.place / "run/postgresql.conf").read_text().splitlines()
    told = dict(line.split(" = ", 1) for line in lines)
    assert {
        "listen_addresses": "''",
        "archive_mode": "'off'",
        "shared_preload_libraries": "''",
        "max_logical_replication_workers": "'0'",
        "event_triggers": "'off'",
        "recovery_target_lsn": "'0/5000200'",
        "recovery_target_inclusive": "'off'",
        "recovery_target_timeline": "'3'",
        "recovery_target_action": "'pause'",
        "max_worker_processes": "'77'",
        "restore_command": "'pgbackrest ''a b'' archive-get %f \"%p\"'",
    }.items() <= told.items()
    # What is no number is not passed on.
    assert "max_connections" not in told
    assert (world.place / "run/pg_hba.conf").read_text() == "local all all trust\n"


class Ended:
    """A process that has ended, or runs."""

    def __init__(self, code: int | None) -> None:
        self.code = code

    def poll(self) -> int | None:
        return self.code


def waiting(world: World, log: str, code: int | None = None, answer: Any = None) -> ScratchPostgreSQL:
    one = server(world)
    (world.place / "run").mkdir(exist_ok=True)
    (world.place / "run/server.log").write_text(log)
    one._process = Ended(code)
    one._server = type("S", (), {"rows": staticmethod(lambda *_: answer or [["t"]])})
    return one


STOPS = 'LOG:  recovery stopping before WAL location (LSN) "0/5000200"\n'


def test_a_server_is_at_its_goal_when_its_own_words_say_so(world: World) -> None:
    waiting(world, STOPS)._wait(Goal("0/5000200", 1))
    # It stands still for want of connections as well.
    with pytest.raises(ScratchError, match="did not stop at 0/5000200"):
        waiting(world, "WARNING:  hot standby is not possible\n")._wait(Goal("0/5000200", 1))
    with pytest.raises(ScratchError, match="did not stop at 0/6000000"):
        waiting(world, STOPS)._wait(Goal("0/6000000", 1, PROMOTE))


@pytest.mark.parametrize(
    ("log", "gap"),
    [
        ("LOG:  x\nFATAL:  recovery ended before configured recovery target was reached\n", True),
        ("FATAL:  WAL ends before end of online backup\n", True),
        ("FATAL:  WAL ends before consistent recovery point\n", True),
        ("PANIC:  could not locate a valid checkpoint record\n", False),
        ("", False),
    ],
)
def test_a_server_that_ends_by_itself_says_why(world: World, log: str, *, gap: bool) -> None:
    with pytest.raises(ScratchError) as raised:
        waiting(world, log, code=1)._wait(Goal("0/5000200", 1))
    assert isinstance(raised.value, LogEndsError) is gap
    assert (log.splitlines() or ["it is silent"])[-1].strip() in str(raised.value)


@pytest.mark.parametrize(
    ("output", "code", "wrong"),
    [("", 0, []), ('heap table "x"\n', 2, ['heap table "x"']), ("", 1, ["it printed nothing"]), ("odd\n", 0, ["odd"])],
)
def test_whatever_the_check_of_tables_says_is_wrong(
    world: World, monkeypatch: pytest.MonkeyPatch, output: str, code: int, wrong: list[str]
) -> None:
    end = Finished(code, output, "")
    monkeypatch.setattr(postgresql_scratch, "alone_as", lambda _: type("As", (), {"run": lambda *_: end}))
    assert server(world).check_tables() == wrong


@pytest.mark.parametrize(
    ("end", "answer"),
    [
        (Finished(0, "Checksum operation completed\nBad checksums:  0\n", ""), True),
        (Finished(1, "", "pg_checksums: error: data checksums are not enabled in cluster\n"), False),
        (Finished(1, "Bad checksums:  3\n", ""), "Bad checksums:  3"),
        (Finished(0, "Bad checksums:  3\n", ""), "Bad checksums:  3"),
        (Finished(0, "", ""), "it printed nothing"),
        (Finished(1, "", "pg_checksums: error: cluster must be shut down\n"), "must be shut down"),
    ],
)
def test_pages_are_right_when_the_tool_counts_no_bad_one(
    world: World, monkeypatch: pytest.MonkeyPatch, end: Finished, answer: bool | str
) -> None:
    monkeypatch.setattr(postgresql_scratch, "alone_as", lambda _: type("As", (), {"run": lambda *_: end}))
    if isinstance(answer, bool):
        assert server(world).check_pages() is answer
    else:
        with pytest.raises(ScratchError, match=answer):
            server(world).check_pages()


def test_what_this_host_lacks_is_not_the_fault_of_the_backup(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    one = server(world)

    def refuses(*_: Any) -> list[list[str]]:
        raise PostgresError("FATAL:  database locale is incompatible with operating system")

    monkeypatch.setattr(one._server, "rows", refuses)
    with pytest.raises(StepError, match="this host cannot open") as raised:
        one.rows("shop", "SELECT 1", 1.0)
    assert not isinstance(raised.value, ScratchError)


def test_a_place_where_a_server_of_postgresql_works_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ["postgres", "-D", str(tmp_path / "main"), "-c", "config_file=/etc/x"]
    monkeypatch.setattr(scratch_place, "_command", lambda name: command if name == "1" else [])
    with pytest.raises(scratch_place.NotAScratchPlaceError, match="has its data"):
        scratch_place.refuse_servers_place(str(tmp_path / "main/scratch"))
    scratch_place.refuse_servers_place(str(tmp_path / "other"))
