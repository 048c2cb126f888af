"""What a trial of a restore of PostgreSQL tells, and at which positions it compares."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import postgresql_drill, restore_test_runbook, restore_trial, scratch_place
from ansible.module_utils.backup_manifest import POSTGRESQL, WAL, Manifest
from ansible.module_utils.backup_shelf import Stored
from ansible.module_utils.database_unpack import BadCopyError
from ansible.module_utils.drill_mutation import KINDS, POSTGRESQL_KINDS
from ansible.module_utils.drill_report import Record
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.log_chain import BrokenChainError
from ansible.module_utils.postgresql_content import Content, ContentError, Table
from ansible.module_utils.postgresql_scratch import Goal, LogEndsError
from ansible.module_utils.postgresql_state import State, listing
from ansible.module_utils.postgresql_wal import Range
from ansible.module_utils.restic_repository import RepositoryError, Snapshot
from ansible.module_utils.restore_test_runbook import RestoreTest
from ansible.module_utils.scratch_server import ScratchError

from remediate.domain.report import DrillReport

FULL = "20261128-120000F"
SIZE = 16 << 20
TABLE = Table("shop", "public", "orders", 2, "7", "9")
SOURCE: dict[str, Any] = {
    "name": "a",
    "address_file": "/a",
    "password_file": "/p",
    "probe": [],
    "mariadb": True,
    "postgresql": {"stanza": "shop", "cipher_file": ""},
}


def segment(number: int) -> str:
    return f"00000001000000000000{number:04X}"


def archived(first: int, last: int) -> tuple[str, ...]:
    return tuple(f"17-1/0000000100000000/{segment(n)}-{n:040x}.gz" for n in range(first, last + 1))


def content(lsn: str, *tables: Table, of: int = 1) -> Content:
    return Content("shop", lsn, tables or (TABLE,), of)


def backup(kind: str, number: int, age: float, first: int, last: int, *contents: Content) -> Manifest:
    """A backup whose log ends in segment `last`, of a copy that begins in segment `first`."""
    state = State(
        stanza="shop",
        repository="/r",
        system="77",
        timeline=1,
        lsn=f"0/{last}000300",
        wal=Range("17-1", segment(first), segment(last), SIZE),
        backup=FULL,
        type="full",
        consistent=f"0/{first}000120",
        copies=listing({"x": 1}),
        segments=listing({"y": 1}),
        contents=contents,
    )
    made = time.time() - age
    server = {"server_version_num": "170010"}
    return Manifest(f"{kind}-{number}", kind, "a", "another", made, made - 1, server, postgresql=state)


class World:
    """A repository with two copies and a shipment after both, and what befalls those who restore them."""

    def __init__(self, tmp_path: Path) -> None:
        self.backups = {
            "wal-3": backup(WAL, 3, 30, 5, 9, content("0/8000000")),
            "copy-2": backup(POSTGRESQL, 2, 60, 5, 7, content("0/6000000")),
            "copy-1": backup(POSTGRESQL, 1, 900, 2, 4, content("0/3000000")),
        }
        self.archives = {"wal-3": archived(2, 9), "copy-2": archived(2, 7), "copy-1": archived(2, 4)}
        self.bad: dict[tuple[str, str], Exception] = {}
        self.found: dict[str, tuple[Table, ...]] = {}
        self.bad_tables: list[str] = []
        self.bad_pages: Exception | None = None
        self.rebuilt: list[tuple[str, str]] = []
        self.goals: list[tuple[str, str]] = []
        self.settings: dict[str, Any] = {
            "stream_dir": "",
            "mutation": "",
            "rto_minutes": 30,
            "rpo_minutes": 15,
            "backup": "",
            "fall_back": 2,
            "content_seconds": 9,
            "scratch_dir": str(tmp_path / "scratch"),
        }

    def drill(self, source: dict[str, Any] = SOURCE, **more: Any) -> dict[str, Any]:
        report: dict[str, Any] = postgresql_drill.drill(source, {**self.settings, **more})
        # The engine takes it as it is.
        DrillReport.model_validate(json.loads(json.dumps(report)))
        assert not list(Path(self.settings["scratch_dir"]).glob("*"))
        return report


class FakeShelf:
    def __init__(self, world: World) -> None:
        self.world, self.source = world, "a"
        self.repository = type("R", (), {"name": "far", "unreadable": []})

    def _of(self, *kinds: str) -> list[Snapshot]:
        found = [one for one in self.world.backups.items() if one[1].kind in kinds]
        return [Snapshot(name.rjust(64, "0"), "a", one.made, (one.kind, f"id={name}")) for name, one in found]

    def postgresql(self) -> list[Snapshot]:
        return self._of(POSTGRESQL)

    def wal(self) -> list[Snapshot]:
        return self._of(POSTGRESQL, WAL)

    def read(self, snapshot: Snapshot) -> Stored:
        name = snapshot.tag("id")
        if error := self.world.bad.get(("read", name)):
            raise error
        return Stored(snapshot, replace(self.world.backups[name], id=name), {}, self.world.archives[name])


class FakeServer:
    def __init__(self, world: World, copy: str) -> None:
        self.world, self.copy = world, copy
        self.at = ""

    @contextlib.contextmanager
    def running(self, goal: Goal) -> Iterator[FakeServer]:
        self.world.goals.append((goal.lsn, goal.then))
        if error := self.world.bad.get(("start", self.copy)):
            raise error
        self.at = goal.lsn
        yield self
        self.at = ""

    def rows(self, *_: Any) -> list[list[str]]:
        return []

    def check_tables(self) -> list[str]:
        assert self.at
        return self.world.bad_tables

    def check_pages(self) -> bool:
        # The tool refuses a server that runs.
        assert not self.at
        if self.world.bad_pages:
            raise self.world.bad_pages
        return True


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    one = World(tmp_path)

    class FakeRepository:
        def __init__(self, *_: Any, cached: bool) -> None:
            assert not cached

        def identity(self) -> str:
            return "i"

    def rebuild(_shelf: Any, chosen: Any, place: str, _source: Any, record: Record, _mutation: Any) -> FakeServer:
        name = chosen.copy.manifest.id
        one.rebuilt.append((name, chosen.log.manifest.id))
        with record.phase("fetch"):
            (Path(place) / "data").mkdir()
        if error := one.bad.get(("rebuild", name)):
            raise error
        return FakeServer(one, name)

    def of_tables(_ask: Any, wanted: Content, _seconds: float) -> Content:
        if error := one.bad.get(("look", wanted.lsn)):
            raise error
        return replace(wanted, tables=one.found.get(wanted.lsn, wanted.tables))

    monkeypatch.setattr(restore_trial, "Repository", FakeRepository)
    monkeypatch.setattr(restore_trial, "Shelf", lambda *_: FakeShelf(one))
    monkeypatch.setattr(postgresql_drill, "rebuild", rebuild)
    monkeypatch.setattr(postgresql_drill, "see_tools", lambda _: None)
    monkeypatch.setattr(postgresql_drill._Drill, "tools", lambda: {"restic": "0.18.0", "pgbackrest": "2.55.1"})
    monkeypatch.setattr(postgresql_drill.postgresql_content, "of_tables", of_tables)
    return one


def test_a_backup_that_restores_exactly_passes_after_every_position_that_is_told_of(world: World) -> None:
    report = world.drill()
    assert (report["verdict"], report["source"]) == ("PASS", "a:postgresql")
    assert report["reason"] == "copy-2 restores exactly, up to 1:0/9000300"
    assert (report["tables_compared"], report["tables_total"], report["backup"]["id"]) == (1, 1, "copy-2")
    assert report["tools"]["postgresql"] == "17"
    # What the log covers is what is lost after it.
    assert 30 < report["rpo_seconds"] < 60
    assert world.rebuilt == [("copy-2", "wal-3")]
    assert world.goals == [("0/6000000", "pause"), ("0/8000000", "pause"), ("0/9000300", "promote")]


def test_what_was_counted_before_the_copy_was_consistent_is_not_compared(world: World) -> None:
    early = backup(WAL, 3, 30, 5, 9, content("0/5000119"), content("0/8000000"))
    world.backups["wal-3"] = early
    world.drill()
    assert [goal for goal, _ in world.goals] == ["0/6000000", "0/8000000", "0/9000300"]


def test_a_copy_without_a_shipment_after_it_is_restored_from_its_own_log(world: World) -> None:
    del world.backups["wal-3"]
    report = world.drill()
    assert (report["verdict"], world.rebuilt) == ("PASS", [("copy-2", "copy-2")])
    assert world.goals == [("0/6000000", "pause"), ("0/7000300", "promote")]


def test_where_nothing_was_counted_nothing_is_claimed(world: World) -> None:
    for name, one in world.backups.items():
        state = replace(one.postgresql, contents=(), note="no table was counted: wal_level is replica")
        world.backups[name] = replace(one, postgresql=state)
    report = world.drill()
    assert (report["verdict"], report["tables_compared"]) == ("PASS", 0)
    assert report["reason"] == ("copy-2 restores; no table was counted: wal_level is replica, up to 1:0/9000300")


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ((), "shop.public.orders is not there (it had 2 rows)"),
        ((replace(TABLE, rows=1),), "shop.public.orders has 1 rows instead of 2"),
        ((replace(TABLE, first="8"),), "another content"),
        ((replace(TABLE, second="8"),), "another content"),
    ],
)
@pytest.mark.parametrize("lsn", ["0/6000000", "0/8000000"])
def test_what_is_not_the_same_is_a_mismatch_wherever_it_is(
    world: World, found: tuple[Table, ...], words: str, lsn: str
) -> None:
    world.found[lsn] = found
    report = world.drill()
    assert report["verdict"] == "CONTENT_MISMATCH"
    assert report["reason"].startswith(f"at {lsn} ")
    assert words in report["reason"]


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("read", RepositoryError("not whole")),
        ("rebuild", BadCopyError("pgBackRest finds that it is invalid")),
        ("start", ScratchError("does not start")),
    ],
)
def test_a_bad_copy_is_passed_over_for_the_one_before_with_the_newest_log(
    world: World, place: str, error: Exception
) -> None:
    world.bad[place, "copy-2"] = error
    report = world.drill()
    assert report["verdict"] == "BACKUP_BAD"
    assert report["reason"] == f"copy-2 cannot be restored ({error}); copy-1 can, and was"
    assert world.rebuilt[-1] == ("copy-1", "wal-3")
    assert report["position"] == "1:0/9000300"


def test_an_older_copy_whose_log_is_gone_by_now_is_restored_from_what_was_stored_with_it(world: World) -> None:
    world.bad["rebuild", "copy-2"] = BadCopyError("bad")
    world.archives["wal-3"] = archived(5, 9)
    report = world.drill()
    assert report["verdict"] == "BACKUP_BAD"
    assert world.rebuilt[-1] == ("copy-1", "copy-1")
    assert report["position"] == "1:0/4000300"


def test_a_shipment_that_cannot_be_read_is_passed_over_and_named(world: World) -> None:
    world.bad["read", "wal-3"] = RepositoryError("not whole")
    report = world.drill()
    assert (report["verdict"], report["passed_over"]) == ("BACKUP_BAD", [{"id": "wal-3", "reason": "not whole"}])
    assert world.rebuilt == [("copy-2", "copy-2")]


def test_the_newest_copy_has_the_newest_log_whatever_is_missing_there(world: World) -> None:
    world.archives["wal-3"] = archived(7, 9)
    world.bad["rebuild", "copy-2"] = BrokenChainError("a segment is missing")
    report = world.drill()
    assert (report["verdict"], report["reason"]) == ("CHAIN_GAP", "a segment is missing")
    assert world.rebuilt == [("copy-2", "wal-3")]


def test_a_log_that_ends_too_early_is_a_gap(world: World) -> None:
    world.bad["start", "copy-2"] = LogEndsError("it ended before 0/6000000")
    assert world.drill()["verdict"] == "CHAIN_GAP"


def test_damaged_tables_pages_and_what_cannot_be_read_make_a_bad_backup(world: World) -> None:
    world.bad_tables = ["index orders_pkey: item order invariant violated"]
    assert "tables are damaged: index orders_pkey" in world.drill(fall_back=0)["reason"]
    world.bad_tables = []
    world.bad_pages = ScratchError("pages are damaged after the restore: Bad checksums:  1")
    assert "pages are damaged" in world.drill(fall_back=0)["reason"]
    world.bad_pages = None
    for error in (ScratchError("refused"), ContentError("strange")):
        world.bad["look", "0/6000000"] = error
        report = world.drill(fall_back=0)
        assert (report["verdict"], report["reason"]) == ("BACKUP_BAD", f"the tables cannot be read: {error}")


def test_what_the_host_lacks_breaks_the_drill_and_says_nothing_of_the_backup(world: World) -> None:
    world.bad["start", "copy-2"] = StepError("this host cannot open what was restored")
    assert world.drill()["verdict"] == "DRILL_BROKEN"


def test_copies_that_the_inventory_does_not_speak_of_break_the_drill(world: World) -> None:
    report = world.drill({**SOURCE, "postgresql": {"stanza": "", "cipher_file": ""}})
    assert report["verdict"] == "DRILL_BROKEN"
    assert "name its stanza" in report["reason"]


def test_the_machine_that_the_backup_is_of_is_refused(world: World) -> None:
    world.backups["wal-3"] = replace(world.backups["wal-3"], machine=scratch_place.this_machine())
    report = world.drill()
    assert (report["verdict"], world.rebuilt) == ("DRILL_BROKEN", [])


def test_a_copy_is_chosen_by_its_id_and_without_any_there_is_no_backup(world: World) -> None:
    assert world.drill(backup="copy-1")["backup"]["id"] == "copy-1"
    assert world.drill(backup="nothing")["verdict"] == "DRILL_BROKEN"
    world.backups = {}
    assert world.drill()["verdict"] == "BACKUP_BAD"


@pytest.mark.parametrize("kind", POSTGRESQL_KINDS)
def test_damage_that_is_noticed_passes_and_nothing_older_is_tried(world: World, kind: str) -> None:
    error = {"BACKUP_BAD": BadCopyError("x"), "CHAIN_GAP": BrokenChainError("x")}.get(
        POSTGRESQL_KINDS[kind], restore_trial.ContentMismatchError("x")
    )
    world.bad["rebuild", "copy-2"] = error
    report = world.drill(mutation=kind)
    assert (report["verdict"], report["mutation"], report["backup"]) == ("PASS", kind, {})


def test_a_row_is_taken_away_only_where_the_server_can_be_written_to(world: World) -> None:
    report = world.drill(mutation="postgresql_row")
    assert world.goals == [("0/6000000", "promote")]
    # This server loses nothing by it.
    assert report["reason"].startswith("the damage postgresql_row came out as PASS")
    world.found["0/6000000"] = ()
    assert world.drill(mutation="postgresql_row")["verdict"] == "PASS"


# Which trials there are.


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    class Looked:
        def __init__(self, _repository: Any, source: str) -> None:
            self.source = source

        def databases(self) -> list[Snapshot]:
            return [Snapshot("d" * 64, self.source, 1.0, ("id=d-1",))]

        def postgresql(self) -> list[Snapshot]:
            return [Snapshot("e" * 64, self.source, 1.0, ("id=p-1",))] if self.source != "c" else []

    monkeypatch.setattr(restore_test_runbook, "Shelf", Looked)
    without = {"stanza": "", "cipher_file": ""}
    return {
        "sources": [
            SOURCE,
            {**SOURCE, "name": "b", "mariadb": False},
            {**SOURCE, "name": "c", "postgresql": without},
            {**SOURCE, "name": "d", "postgresql": without},
        ],
        "only": "",
        "mutation": "",
        "backup": "",
        "report_dir": str(tmp_path / "reports"),
        "metrics_file": str(tmp_path / "m.prom"),
    }


@pytest.mark.parametrize(
    ("asked", "tried"),
    [
        # The copies of d are not spoken of in the inventory, and so are tried as well.
        ({}, ["a", "a:postgresql", "b:postgresql", "c", "d", "d:postgresql"]),
        ({"only": "a"}, ["a", "a:postgresql"]),
        ({"only": "a:postgresql"}, ["a:postgresql"]),
        ({"only": "c"}, ["c"]),
        ({"only": "a", "mutation": "page_bit"}, ["a"]),
        ({"only": "a", "mutation": "wal_bit"}, ["a:postgresql"]),
        ({"only": "a", "backup": "p-1"}, ["a:postgresql"]),
        ({"only": "a", "backup": "eeeeeeee"}, ["a:postgresql"]),
        ({"only": "a", "backup": "d-1"}, ["a"]),
        ({"only": "a", "backup": "nothing"}, ["a"]),
    ],
)
def test_each_part_of_a_source_is_a_trial(told: dict[str, Any], asked: dict[str, str], tried: list[str]) -> None:
    found = RestoreTest({**told, **asked}).look()
    assert [one.data["source"] for one in found.steps] == tried
    assert len({one.target for one in found.steps}) == len(tried)


def test_what_cannot_be_damaged_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(StepError, match="c has nothing that wal_bit could damage"):
        RestoreTest({**told, "only": "c", "mutation": "wal_bit"}).look()
    with pytest.raises(StepError, match="b has nothing that page_bit could damage"):
        RestoreTest({**told, "only": "b", "mutation": "page_bit"}).look()


def test_the_evidence_speaks_of_both(told: dict[str, Any]) -> None:
    said = RestoreTest(told).look().causes["due"]
    assert said[0] == "a: 1 full copies, the newest is d-1; 1 copies of PostgreSQL, the newest is p-1"
    assert said[1] == "b: 1 copies of PostgreSQL, the newest is p-1"
    assert said[2] == "c: 1 full copies, the newest is d-1"


def test_a_trial_of_postgresql_has_a_report_and_metrics_of_its_own(
    told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def report(verdict: str, name: str) -> dict[str, Any]:
        record = Record(name, 60, 900)
        record.covered_until = record.began - 30
        closed: dict[str, Any] = record.close(verdict, "because")
        return closed

    monkeypatch.setattr(restore_test_runbook, "drill", lambda source, _: report("CHAIN_GAP", source["name"]))
    monkeypatch.setattr(
        restore_test_runbook.postgresql_drill, "drill", lambda source, _: report("PASS", f"{source['name']}:postgresql")
    )
    runbook = RestoreTest(told)
    for name in ("a", "a:postgresql"):
        runbook.kinds["restore"].do(Step("due", "restore", name, data={"source": name}), {})
    assert sorted(path.name for path in Path(told["report_dir"]).iterdir()) == ["a.json", "a:postgresql.json"]
    restore_test_runbook.show(told)
    shown = Path(told["metrics_file"]).read_text(encoding="utf-8")
    assert 'remediate_restore_test_passed{source="a"} 0.0' in shown
    assert 'remediate_restore_test_passed{source="a:postgresql"} 1.0' in shown
    # One that is wanted and was never tried is told of; one that nobody wants is not.
    assert 'remediate_restore_test_timestamp_seconds{source="b:postgresql"} 0.0' in shown
    assert 'source="b"' not in shown
    assert "c:postgresql" not in shown


def test_every_damage_belongs_to_one_trial() -> None:
    assert not KINDS.keys() & POSTGRESQL_KINDS.keys()
