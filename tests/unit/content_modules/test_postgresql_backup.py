"""What is made and stored of PostgreSQL: which copy counts, when the log does, and what is written down beside both."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import backup_checks, backup_facts, backup_manifest, postgresql_kinds, postgresql_source
from ansible.module_utils.backup_decision import decide
from ansible.module_utils.backup_facts import Facts, Held
from ansible.module_utils.backup_manifest import POSTGRESQL, WAL, BadManifestError, Manifest
from ansible.module_utils.backup_shelf import Shelf
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.pgbackrest_report import Copy, Info, Verified
from ansible.module_utils.postgresql_content import Content, ContentError, Table
from ansible.module_utils.postgresql_kinds import CopyPostgreSQL, ShipWal
from ansible.module_utils.postgresql_server import PostgresError
from ansible.module_utils.postgresql_source import Mark, PostgresSource, files_of, notes
from ansible.module_utils.postgresql_state import State, from_record, lacking, listing
from ansible.module_utils.postgresql_wal import Range
from ansible.module_utils.restic_repository import RepositoryError, Snapshot

FULL, DIFF, NEXT = "20261128-120000F", "20261128-120000F_20261128-180000D", "20261129-120000F"
SIZE = 16 << 20
IDENTITY = {
    "server_version_num": "170010",
    "wal_level": "logical",
    "archive_mode": "on",
    "data_checksums": "on",
    "wal_segment_size": str(SIZE),
    "max_connections": "100",
    "system": "77",
}
CONTENT = Content("shop", "0/5000200", (Table("shop", "public", "orders", 3, "4", "5"),), 1)


def segment(number: int) -> str:
    return f"00000001000000000000{number:04X}"


def stored(number: int) -> str:
    return f"17-1/0000000100000000/{segment(number)}-{number:040x}.gz"


def copy(label: str, kind: str = "full", **more: Any) -> Copy:
    given: dict[str, Any] = {"bad_pages": False, "builds_on": (), "first_segment": segment(5), "stop": "0/5000120"}
    return Copy(label=label, type=kind, made=1e12, **{**given, **more})


class Tool:
    """A pgBackRest that makes what it is told to."""

    stanza = "shop"

    def __init__(self) -> None:
        self.known = Info(0, "ok", False, "77", "17-1", (copy(FULL),))
        self.makes: list[Copy] = []
        self.wrong: list[dict[str, str]] = []
        self.made: list[str] = []

    def info(self) -> Info:
        return self.known

    def backup(self, kind: str) -> None:
        self.made.append(kind)
        self.known = replace(self.known, copies=(*self.known.copies, *self.makes[:1]))
        del self.makes[:1]

    def verify(self) -> Verified:
        said = {one.label: "valid" for one in self.known.copies}
        return Verified(True, {**said, **(self.wrong.pop(0) if self.wrong else {})}, (), 0, "")


class Source:
    """A server whose log is archived at once."""

    def __init__(self) -> None:
        self.identity_ = dict(IDENTITY)
        self.content_: tuple[list[Content], str] = ([CONTENT], "")
        self.asked: list[Any] = []
        self.late = False

    def identity(self) -> dict[str, str]:
        return self.identity_

    def content(self, _identity: Any, after: Any, most: int) -> tuple[list[Content], str]:
        self.asked.append(("content", dict(after), most))
        return self.content_

    def mark(self, name: str, _identity: Any) -> Mark:
        self.asked.append(name)
        return Mark(1, "0/7000300", 1234.5, segment(7), SIZE)

    def wait_until_archived(self, mark: Mark, archive: str) -> None:
        self.asked.append((mark.segment, archive))
        if self.late:
            raise StepError("it did not come")


class Repository:
    name = "near"

    def __init__(self) -> None:
        self.stored: list[tuple[list[str], list[str], list[str], dict[str, Any]]] = []

    def store(self, paths: list[str], _source: str, tags: list[str], leave_out: Any) -> tuple[str, int]:
        manifest = json.loads(Path(paths[-1]).read_text())
        self.stored.append((paths, tags, list(leave_out), manifest))
        return "s", 1

    def identity(self) -> str:
        return "i"


class World:
    def __init__(self, tmp_path: Path) -> None:
        self.tool, self.source, self.repository = Tool(), Source(), Repository()
        self.place = tmp_path / "pgbackrest"
        self.settings: dict[str, Any] = {
            "source": "a",
            "repositories": [],
            "tables": 3,
            "content_seconds": 60,
            "stage_dir": str(tmp_path / "stage"),
            "postgresql_stanza": "shop",
            "postgresql_user": "postgres",
            "postgresql_port": 5432,
            "postgresql_config": "/c",
            "postgresql_repository": str(self.place),
            "postgresql_hours": 24,
            "postgresql_full_days": 7,
            "postgresql_archive_seconds": 0,
            "wal_minutes": 5,
            "database_service": "",
            "redis_service": "",
            "files": [],
            "files_hours": 24,
        }
        for number in (4, 5, 6, 7):
            self.file(f"archive/shop/{stored(number)}", 10 + number)
        self.file("archive/shop/archive.info", 5)
        self.file(f"backup/shop/{FULL}/pg_data/x.gz", 20)
        self.file("backup/shop/backup.info", 7)

    def file(self, name: str, size: int) -> Path:
        path = self.place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * size)
        return path

    def ship(self) -> dict[str, Any]:
        ShipWal(self.settings, {}).do(
            Step("wal_due", "ship_wal", "x", data={"kind": WAL, "repositories": ["near"]}), {}
        )
        return self.repository.stored[-1][3]

    def copy(self) -> dict[str, Any]:
        step = Step("postgresql_due", "copy_postgresql", "x", data={"kind": POSTGRESQL, "repositories": ["near"]})
        CopyPostgreSQL(self.settings, {}).do(step, {})
        return self.repository.stored[-1][3]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    one = World(tmp_path)
    monkeypatch.setattr(postgresql_kinds, "PgBackRest", lambda *_: one.tool)
    monkeypatch.setattr(postgresql_kinds, "PostgresSource", lambda _: one.source)
    monkeypatch.setattr(postgresql_kinds, "as_user", lambda name: name)
    monkeypatch.setattr(postgresql_kinds, "version", lambda _: "2.55.1")
    monkeypatch.setattr(backup_facts, "repositories_of", lambda _: [one.repository])
    return one


# What is shipped.


def test_a_shipment_is_the_repository_with_what_has_to_be_in_it(world: World) -> None:
    manifest = world.ship()
    paths, tags, left_out, _ = world.repository.stored[0]
    assert paths[0] == str(world.place)
    assert (tags[0], left_out) == (WAL, ["*.pgbackrest.tmp"])
    assert (manifest["kind"], manifest["covered_until"], manifest["files"]) == (WAL, 1234.5, [])
    state = from_record(manifest["postgresql"])
    assert (state.place, state.backup, state.contents) == ("1:0/7000300", FULL, (CONTENT,))
    assert state.wal == Range("17-1", segment(5), segment(7), SIZE)
    # Segments before the copy are nobody's, and the descriptions of the archive change.
    assert state.segments == listing({stored(number): 10 + number for number in (5, 6, 7)})
    assert state.copies == listing({f"{FULL}/pg_data/x.gz": 20, "backup.info": 7})


def test_what_tables_hold_is_looked_at_before_the_mark_and_the_mark_is_archived_before_anything_is_stored(
    world: World,
) -> None:
    world.ship()
    world.ship()
    first, second = world.source.asked[:3], world.source.asked[3:]
    assert first == [("content", {}, 3), f"remediate {WAL}", (segment(7), "17-1")]
    # The next ones come behind the last of the time before.
    assert second[0] == ("content", {"shop": "public.orders"}, 3)


def test_nothing_is_stored_when_the_segment_does_not_come(world: World) -> None:
    world.source.late = True
    with pytest.raises(StepError, match="did not come"):
        world.ship()
    assert world.repository.stored == []


def test_nothing_is_stored_when_a_segment_is_missing_and_a_new_copy_is_asked_for(world: World) -> None:
    (world.place / "archive/shop" / stored(6)).unlink()
    with pytest.raises(StepError, match=rf"{segment(6)} is missing; nothing was stored: make a new copy now"):
        world.ship()
    assert world.repository.stored == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"locked": True}, "somebody else makes a copy"),
        ({"code": 99, "message": "other"}, "not well: other"),
        ({"system": "78"}, "is of the cluster 78, and the server is 77"),
        ({"copies": ()}, "no copy that is whole"),
        ({"copies": (copy(FULL, bad_pages=True),)}, "no copy that is whole"),
    ],
)
def test_nothing_is_stored_of_a_repository_that_cannot_be_counted_on(
    world: World, change: dict[str, Any], words: str
) -> None:
    world.tool.known = replace(world.tool.known, **change)
    with pytest.raises(StepError, match=words):
        world.ship()
    assert world.repository.stored == []


def test_what_is_not_counted_is_said_and_nothing_is_claimed(world: World) -> None:
    world.source.content_ = ([], "no table was counted: wal_level is replica")
    state = from_record(world.ship()["postgresql"])
    assert (state.contents, state.note) == ((), "no table was counted: wal_level is replica")


# What is copied.


def test_a_copy_is_what_has_changed_since_the_last_full_one_and_all_tables_are_looked_at(world: World) -> None:
    world.tool.makes = [copy(DIFF, "diff", builds_on=(FULL,))]
    world.file(f"backup/shop/{DIFF}/pg_data/y.gz", 3)
    state = from_record(world.copy()["postgresql"])
    assert world.tool.made == ["diff"]
    assert (state.backup, state.type) == (DIFF, "diff")
    assert world.source.asked[0] == ("content", {}, 0)


def test_without_a_full_copy_that_is_new_enough_a_full_one_is_made(world: World) -> None:
    world.tool.known = replace(world.tool.known, copies=(replace(copy(FULL), made=1.0),))
    world.tool.makes = [copy(NEXT)]
    world.copy()
    assert world.tool.made == ["full"]


def test_a_copy_that_builds_on_a_damaged_one_is_followed_by_a_full_one_at_once(world: World) -> None:
    world.tool.makes = [copy(DIFF, "diff", builds_on=(FULL,)), copy(NEXT)]
    world.tool.wrong = [{FULL: "invalid"}, {FULL: "invalid"}]
    assert from_record(world.copy()["postgresql"]).backup == NEXT
    assert world.tool.made == ["diff", "full"]


@pytest.mark.parametrize(
    ("makes", "wrong", "words"),
    [
        ([copy(DIFF, "diff"), copy(NEXT)], [{DIFF: "invalid"}, {NEXT: "invalid"}], f"{DIFF} is invalid; {NEXT} is inv"),
        ([copy(DIFF, "diff", bad_pages=True), copy(NEXT, bad_pages=True)], [], "pages whose checksums are wrong"),
        ([], [], "there are 0 new copies after a diff one was made"),
    ],
)
def test_a_copy_that_is_not_whole_is_not_stored_whatever_the_tool_ends_with(
    world: World, makes: list[Copy], wrong: list[dict[str, str]], words: str
) -> None:
    world.tool.makes, world.tool.wrong = makes, wrong
    with pytest.raises(StepError, match=words):
        world.copy()
    assert world.repository.stored == []


# What a manifest says.


def state(**more: Any) -> State:
    wal = Range("17-1", segment(5), segment(6), SIZE)
    given: dict[str, Any] = {
        "stanza": "shop",
        "repository": "/r",
        "system": "77",
        "timeline": 1,
        "lsn": "0/7000300",
        "wal": wal,
        "backup": FULL,
        "type": "full",
        "consistent": "0/5000120",
        "copies": listing({"backup.info": 7}),
        "segments": listing({stored(5): 1, stored(6): 2}),
        "contents": (CONTENT,),
    }
    return State(**{**given, **more})


#: The files of a snapshot that has all that the manifest speaks of.
WHOLE = {
    "/r/backup/shop/backup.info": 7,
    f"/r/archive/shop/{stored(5)}": 1,
    f"/r/archive/shop/{stored(6)}": 2,
    "/s/stage/manifest.json": 9,
}


def manifest(of: State | None) -> Manifest:
    return Manifest("x", WAL, "a", "m", 1.0, 1.0, IDENTITY, postgresql=of)


def test_a_manifest_comes_back_as_it_was_written_and_others_do_not_speak_of_postgresql(tmp_path: Path) -> None:
    path = Path(manifest(state()).write(str(tmp_path)))
    assert backup_manifest.read(path.read_text(), "x") == manifest(state())
    other = Path(manifest(None).write(str(tmp_path))).read_text()
    assert "postgresql" not in json.loads(other)
    assert backup_manifest.read(other, "x").postgresql is None


@pytest.mark.parametrize(
    "change",
    [{"lsn": "x"}, {"wal": {}}, {"copies": {}}, {"contents": [{"tables": [{}]}]}, {"more": 1}, {"consistent": ""}],
)
def test_a_state_that_nobody_wrote_is_no_manifest(tmp_path: Path, change: dict[str, Any]) -> None:
    record = json.loads(Path(manifest(state()).write(str(tmp_path))).read_text())
    with pytest.raises(BadManifestError):
        backup_manifest.read(json.dumps({**record, "postgresql": {**record["postgresql"], **change}}), "x")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, ""),
        ({f"/r/archive/shop/{stored(7)}": 5}, ""),
        ({f"/r/archive/shop/{stored(6)}.pgbackrest.tmp": 5}, ""),
        ({"/r/backup/shop/backup.info": 8}, "the files of its copies"),
        ({"/r/backup/shop/more": 1}, "the files of its copies"),
        ({f"/r/archive/shop/{stored(6)}": 1}, "the segments of its log"),
        ({f"/r/archive/shop/{stored(6)}": None}, "the segments of its log"),
    ],
)
def test_what_a_snapshot_lacks_is_seen_by_its_names_and_sizes(change: dict[str, int | None], words: str) -> None:
    content = {path: size for path, size in {**WHOLE, **change}.items() if size is not None}
    files = {path.removeprefix("/r/"): size for path, size in content.items()}
    assert words in lacking(state(), files)
    assert bool(lacking(state(), files)) == bool(words)


class Stored:
    """A repository with one snapshot."""

    name = "near"

    def __init__(self, content: dict[str, int], text: str, kind: str = WAL) -> None:
        self._content, self._text, self._kind = content, text, kind

    def snapshots(self) -> list[Snapshot]:
        paths = ("/r", "/s/stage/manifest.json")
        return [Snapshot("5" * 64, "a", 1.0, ("remediate", self._kind, "id=x"), paths)]

    def content(self, _: str) -> dict[str, int]:
        return self._content

    def read(self, *_: str) -> str:
        return self._text


def test_a_shelf_gives_out_only_what_is_whole(tmp_path: Path) -> None:
    text = Path(manifest(state()).write(str(tmp_path))).read_text()
    shelf = Shelf(Stored(WHOLE, text), "a")
    (found,) = shelf.wal()
    assert shelf.postgresql() == []
    assert sorted(shelf.read(found).archive) == [stored(5), stored(6)]
    with pytest.raises(RepositoryError, match="not whole: the segments"):
        Shelf(Stored({**WHOLE, f"/r/archive/shop/{stored(6)}": 1}, text), "a").read(found)
    silent = Path(manifest(None).write(str(tmp_path))).read_text()
    with pytest.raises(BadManifestError, match="does not speak of PostgreSQL"):
        Shelf(Stored(WHOLE, silent), "a").read(found)


def test_the_proof_of_a_backup_looks_into_the_snapshot(tmp_path: Path) -> None:
    text = Path(manifest(state()).write(str(tmp_path))).read_text()
    for content, words in ((WHOLE, ""), ({**WHOLE, "/r/backup/shop/backup.info": 8}, "the files of its copies")):
        repository = Stored(content, text)
        said = backup_checks._trouble(Held(repository), repository.snapshots()[0])
        assert words in said
        assert bool(said) == bool(words)


# What is due.


def test_both_kinds_are_due_where_there_is_a_stanza_and_nowhere_else(world: World) -> None:
    facts = Facts((Held(world.repository),), 1000.0)
    found = decide(facts, world.settings)
    assert [(one.cause, one.verb) for one in found.steps] == [
        ("postgresql_due", "copy_postgresql"),
        ("wal_due", "ship_wal"),
    ]
    assert decide(facts, {**world.settings, "postgresql_stanza": "", "files": ["/"]}).causes.keys() == {"files_due"}


def test_what_was_there_before_does_not_wait_for_postgresql_and_postgresql_not_for_files(world: World) -> None:
    other = {"database_service": "mysql", "redis_service": "redis", "files": ["/"]}
    hours = {"database_hours": 24, "logs_minutes": 5, "redis_hours": 1}
    found = decide(Facts((Held(world.repository),), 1000.0), {**world.settings, **other, **hours})
    verbs = ["copy_database", "ship_logs", "copy_redis", "copy_postgresql", "ship_wal", "copy_files"]
    assert [one.verb for one in found.steps] == verbs


# What the server is asked.


class Asked:
    """A server that answers from memory."""

    def __init__(self, settings: dict[str, str], **more: Any) -> None:
        self.answers, self.more = settings, more
        self.said: list[str] = []

    def rows(self, statement: str, *_: Any) -> list[list[str]]:
        self.said.append(statement)
        if "pg_create_restore_point" in statement:
            return [["0/7000300", "000000020000000000000007"], ["0/7000400"]]
        if "pg_stat_archiver" in statement:
            return [[segment(7), "2026-11-28"]]
        recovery = self.more.get("recovery", "f")
        return [*map(list, self.answers.items()), ["in_recovery", recovery], ["system", "77"]]

    def ask(self, _database: str, _statement: str, _seconds: float) -> list[list[str]]:
        return [["73686f70"]]

    def ask_at_slot(self, _database: str, statement: str, _seconds: float) -> list[list[str]]:
        self.said.append(statement)
        if fails := self.more.get("fails"):
            raise fails.pop(0)
        slot = statement.split("CREATE_REPLICATION_SLOT ")[1].split(maxsplit=1)[0]
        return [
            [slot, "0/5000200", "", "pgoutput"],
            ["of", "1"],
            ["table", "7075626c6963", "6f7264657273", "3", "4", "5", "t"],
        ]


SETTINGS = {name: IDENTITY.get(name, "1") for name in postgresql_source._ASKED}


def source_of(world: World, monkeypatch: pytest.MonkeyPatch, **more: Any) -> PostgresSource:
    given = {**SETTINGS, **more.pop("settings", {})}
    asked = Asked(given, **more)
    monkeypatch.setattr(postgresql_source, "PostgreSQL", lambda *_: asked)
    return PostgresSource(world.settings)


def test_a_server_that_archives_nothing_or_only_follows_another_one_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source_of(world, monkeypatch).identity()["system"] == "77"
    with pytest.raises(StepError, match="archive_mode is off"):
        source_of(world, monkeypatch, settings={"archive_mode": "off"}).identity()
    with pytest.raises(StepError, match="is a replica; nothing was stored"):
        source_of(world, monkeypatch, recovery="t").identity()


def test_tables_are_counted_where_the_log_is_logical_and_a_refusal_is_only_said(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert source_of(world, monkeypatch).content(IDENTITY, {}, 0) == ([CONTENT], "")
    found, note = source_of(world, monkeypatch).content({**IDENTITY, "wal_level": "replica"}, {}, 0)
    assert (found, note[:21]) == ([], "no table was counted:")
    once = [PostgresError("a table is gone")]
    assert source_of(world, monkeypatch, fails=once).content(IDENTITY, {}, 0) == ([CONTENT], "")
    always = [PostgresError("all slots are in use")] * 3
    found, note = source_of(world, monkeypatch, fails=always).content(IDENTITY, {}, 0)
    assert (found, note) == ([], "no table was counted: all slots are in use")
    found, note = source_of(world, monkeypatch, fails=[ContentError("strange")]).content(IDENTITY, {}, 0)
    assert (found, note) == ([], "no table was counted: strange")


def test_the_mark_is_in_the_segment_before_its_end_and_on_the_servers_timeline(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = source_of(world, monkeypatch).mark("remediate it's", IDENTITY)
    assert (mark.timeline, mark.lsn, mark.segment) == (2, "0/7000300", "000000020000000000000007")


def test_a_segment_is_archived_when_it_lies_there_under_its_own_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = source_of(world, monkeypatch)
    source.wait_until_archived(Mark(1, "0/7000300", 0.0, segment(7), SIZE), "17-1")
    world.file(f"archive/shop/{stored(8)}.pgbackrest.tmp", 1)
    with pytest.raises(StepError, match=f"{segment(8)} did not come .* the last that failed was {segment(7)}"):
        source.wait_until_archived(Mark(1, "0/8000300", 0.0, segment(8), SIZE), "17-1")
    with pytest.raises(StepError, match="did not come"):
        source.wait_until_archived(Mark(1, "0/7000300", 0.0, segment(7), SIZE), "17-2")


def test_files_are_those_of_the_stanza_and_no_links(world: World) -> None:
    (world.place / "backup/shop/latest").symlink_to(FULL)
    world.file("backup/other/backup.info", 1)
    found = files_of(str(world.place), "shop")
    assert found["backup/shop/backup.info"] == 7
    assert not [path for path in found if "latest" in path or "other" in path]


def test_a_person_is_told_what_keeps_a_backup_from_being_proven(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    weak = Asked({**SETTINGS, "wal_level": "replica", "data_checksums": "off"})
    monkeypatch.setattr(postgresql_source, "PostgreSQL", lambda *_: weak)
    first, second = notes(world.settings)
    assert "wal_level is replica" in first
    assert "data checksums are off" in second
    monkeypatch.setattr(postgresql_source, "PostgreSQL", lambda *_: Asked(SETTINGS))
    assert notes(world.settings) == []
    monkeypatch.setattr(postgresql_source, "PostgreSQL", lambda *_: Asked(SETTINGS, recovery="t"))
    assert "is a replica" in notes(world.settings)[0]
    assert notes({**world.settings, "postgresql_stanza": ""}) == []
