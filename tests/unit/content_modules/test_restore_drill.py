"""What a trial of a restore tells: the first thing that is wrong is the verdict, and what is bad is passed over."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import (
    database_content,
    drill_report,
    restore_drill,
    restore_test_runbook,
    restore_trial,
    scratch_place,
)
from ansible.module_utils.backup_manifest import Manifest, Part
from ansible.module_utils.backup_shelf import Stored
from ansible.module_utils.database_content import Content, Table
from ansible.module_utils.database_unpack import BadCopyError, place_in_log, prepare
from ansible.module_utils.drill_mutation import KINDS
from ansible.module_utils.drill_report import Record
from ansible.module_utils.host_checks import CANNOT_TELL, CURED, NOT_CURED
from ansible.module_utils.host_step import Done, Step, StepError
from ansible.module_utils.log_chain import BrokenChainError, Chain, Log
from ansible.module_utils.log_position import Position
from ansible.module_utils.log_position import Position as Place
from ansible.module_utils.log_replay import ClientReplay, Replay, ReplayError, ServerCrashError
from ansible.module_utils.restic_repository import DamagedError, RepositoryError, Snapshot
from ansible.module_utils.restore_test_runbook import RestoreTest
from ansible.module_utils.scratch_server import ScratchError
from ansible.module_utils.stack_program import Finished, StackError

from remediate.domain.report import DrillReport

TABLE = Table("shop", "orders", 2, 9)
CONTENT = Content("b.000001", 100, (TABLE,), 1)
SOURCE = {
    "name": "a",
    "address_file": "/a",
    "password_file": "/p",
    "probe": [],
    "mariadb": True,
    "postgresql": {"stanza": ""},
}


def manifest(kind: str, number: int, made: float, covered: float, content: Content | None = CONTENT) -> Manifest:
    place = Place("b.000001", 50) if kind == "database-full" else None
    parts = (Part("full.mbstream" if place else "b.000001", 10, "d"),)
    return Manifest(f"{kind}-{number}", kind, "a", "another", made, covered, {}, place, content, parts)


class World:
    """A repository with two full copies and logs after both, and what befalls those who restore them."""

    def __init__(self, tmp_path: Path) -> None:
        now = time.time()
        self.unreadable: list[str] = []
        self.identity_fails: Exception | None = None
        self.copies = {
            2: manifest("database-full", 2, now - 60, now - 61),
            1: manifest("database-full", 1, now - 900, now - 901),
        }
        self.logs: dict[int, Manifest] = {3: manifest("database-logs", 3, now - 30, now - 31)}
        #: What comes of the rebuild of a copy, of the start of its server, of its replay; and of reading a manifest.
        self.bad: dict[tuple[str, str], Exception] = {}
        self.found = CONTENT
        self.bad_tables: list[str] = []
        self.ways: list[str] = []
        self.rebuilt: list[tuple[str, str]] = []
        self.replayed: list[tuple[str, int]] = []
        self.until = 200
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

    def drill(self, **more: Any) -> dict[str, Any]:
        report: dict[str, Any] = restore_drill.drill(SOURCE, {**self.settings, **more})
        # The engine takes it as it is.
        DrillReport.model_validate(json.loads(json.dumps(report)))
        assert not list(Path(self.settings["scratch_dir"]).glob("*"))
        return report


class FakeShelf:
    def __init__(self, world: World) -> None:
        self.world, self.source, self.repository = (
            world,
            "a",
            type("R", (), {"name": "far", "unreadable": world.unreadable}),
        )

    def databases(self) -> list[Snapshot]:
        return [_snapshot(one) for one in self.world.copies.values()]

    def logs_(self) -> list[Snapshot]:
        return [_snapshot(one) for one in self.world.logs.values()]

    logs = logs_

    def read(self, snapshot: Snapshot) -> Stored:
        name = snapshot.tag("id")
        if error := self.world.bad.get(("read", name)):
            raise error
        found = next(one for one in (*self.world.copies.values(), *self.world.logs.values()) if one.id == name)
        return Stored(snapshot, found, {})


def _snapshot(of: Manifest) -> Snapshot:
    return Snapshot(of.id.rjust(64, "0"), "a", of.made, (of.kind, f"id={of.id}"))


class FakeServer:
    def __init__(self, world: World, copy: str) -> None:
        self.world, self.copy = world, copy

    @contextlib.contextmanager
    def running(self) -> Iterator[FakeServer]:
        if error := self.world.bad.get(("start", self.copy)):
            raise error
        yield self

    def rows(self, *_: Any) -> list[list[str]]:
        return []

    def check_tables(self, _: float) -> tuple[int, list[str]]:
        return 9, self.world.bad_tables


def _way(name: str) -> type:
    class Way:
        def __init__(self, server: FakeServer, _logs: Any) -> None:
            self.world, self.copy = server.world, server.copy
            self.world.ways.append(name)

        def begin(self, offset: int) -> None:
            self.world.replayed.append(("begin", offset))

        def until(self, file: str, offset: int) -> None:
            if error := self.world.bad.get((name, self.copy)):
                raise error
            self.world.replayed.append((file, offset))

    return Way


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    one = World(tmp_path)

    class FakeRepository:
        def __init__(self, *_: Any, cached: bool) -> None:
            # A cache would hide what is damaged in the repository itself.
            assert not cached

        def identity(self) -> str:
            if one.identity_fails:
                raise one.identity_fails
            return "i"

    def rebuild(_shelf: Any, chosen: Any, place: str, record: Record, _mutation: Any) -> tuple[FakeServer, Chain]:
        name = chosen.copy.manifest.id
        one.rebuilt.append((name, chosen.logs.manifest.id if chosen.logs else ""))
        with record.phase("fetch"):
            (Path(place) / "data").mkdir()
        if error := one.bad.get(("rebuild", name)):
            raise error
        base = Position("b.000001", 50)
        end = Position("b.000001", one.until)
        logs = Chain(base, (Log("/x/b.000001", one.until),), end, 5)
        return FakeServer(one, name), logs if chosen.logs else Chain.none(base)

    monkeypatch.setattr(restore_trial, "Repository", FakeRepository)
    monkeypatch.setattr(restore_trial, "Shelf", lambda *_: FakeShelf(one))
    monkeypatch.setattr(restore_drill, "rebuild", rebuild)
    monkeypatch.setattr(restore_drill._Drill, "tools", lambda: {"restic": "0.18.0"})
    monkeypatch.setattr(restore_drill, "check_redis", lambda *_: None)
    monkeypatch.setattr(restore_drill, "fetch_files", lambda *_: restore_drill.Files("", ()))
    monkeypatch.setattr(restore_drill, "Replay", _way("threads"))
    monkeypatch.setattr(restore_drill, "ClientReplay", _way("client"))
    monkeypatch.setattr(database_content, "look", lambda *_: one.found)
    return one


def test_a_backup_that_restores_exactly_passes(world: World) -> None:
    report = world.drill()
    assert report["verdict"] == "PASS"
    assert report["reason"] == "database-full-2 restores exactly, up to b.000001:200"
    assert (report["tables_compared"], report["tables_total"], report["backup"]["id"]) == (1, 1, "database-full-2")
    # The logs reach further than the copy: what they cover is what is lost after them.
    assert 30 < report["rpo_seconds"] < 60
    assert world.replayed == [("begin", 50), ("b.000001", 100), ("b.000001", 100), ("b.000001", 200)]


def test_logs_that_were_shipped_before_the_copy_was_made_do_not_belong_to_it(world: World) -> None:
    world.logs = {3: replace(world.logs[3], covered_until=world.copies[2].made - 1)}
    report = world.drill()
    assert world.rebuilt == [("database-full-2", "")]
    assert report["verdict"] == "PASS"
    assert "no table could be compared" in report["reason"]
    assert report["rpo_seconds"] == pytest.approx(61, abs=5)


def test_without_logs_what_lies_at_the_copy_itself_is_compared(world: World) -> None:
    world.logs = {}
    world.copies = {2: replace(world.copies[2], content=replace(CONTENT, offset=50))}
    report = world.drill()
    assert (report["verdict"], report["tables_compared"], world.replayed) == ("PASS", 1, [])


def test_the_end_of_the_logs_is_missed_when_a_manifest_tells_of_more(world: World) -> None:
    world.until = 99
    report = world.drill()
    assert report["verdict"] == "CHAIN_GAP"
    assert "the logs end at b.000001:99, and their manifests tell of b.000001:100" in report["reason"]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ((), "shop.orders is not there (it had 2 rows)"),
        ((replace(TABLE, rows=1),), "shop.orders has 1 rows instead of 2"),
        ((replace(TABLE, checksum=8),), "another content"),
    ],
)
def test_what_is_not_the_same_is_a_mismatch(world: World, found: tuple[Table, ...], words: str) -> None:
    world.found = replace(CONTENT, tables=found)
    report = world.drill()
    assert report["verdict"] == "CONTENT_MISMATCH"
    assert words in report["reason"]


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("read", RepositoryError("not whole")),
        ("read", DamagedError("damaged")),
        ("rebuild", BadCopyError("bad page")),
        ("start", ScratchError("does not start")),
        ("threads", ReplayError("a change cannot be replayed")),
    ],
)
def test_a_bad_copy_is_passed_over_and_both_are_named(world: World, place: str, error: Exception) -> None:
    world.bad[place, "database-full-2"] = error
    report = world.drill()
    assert report["verdict"] == "BACKUP_BAD"
    assert report["reason"] == f"database-full-2 cannot be restored ({error}); database-full-1 can, and was"
    assert report["passed_over"] == [{"id": "database-full-2", "reason": str(error)}]
    assert report["backup"]["id"] == "database-full-1"


@pytest.mark.parametrize(("fall_back", "tried"), [(0, ["2"]), (1, ["2", "1"])])
def test_when_all_are_bad_the_last_reason_is_told_and_no_more_are_tried_than_allowed(
    world: World, fall_back: int, tried: list[str]
) -> None:
    for number in (1, 2):
        world.bad["rebuild", f"database-full-{number}"] = BadCopyError(f"bad {number}")
    report = world.drill(fall_back=fall_back)
    assert (report["verdict"], report["reason"]) == ("BACKUP_BAD", f"bad {tried[-1]}")
    assert [one["id"][-1] for one in report["passed_over"]] == tried


def test_logs_that_are_not_whole_are_passed_over_for_earlier_ones(world: World) -> None:
    earlier = replace(world.logs[3], id="database-logs-2", covered_until=world.copies[2].made + 1)
    world.logs = {3: world.logs[3], 2: earlier}
    world.bad["read", "database-logs-3"] = RepositoryError("torn")
    report = world.drill()
    assert report["verdict"] == "BACKUP_BAD"
    assert world.rebuilt == [("database-full-2", "database-logs-2")]
    assert report["passed_over"][0]["id"] == "database-logs-3"


def test_a_snapshot_that_cannot_be_read_is_not_just_left_out(world: World) -> None:
    world.unreadable.append("could not load snapshot")
    report = world.drill()
    assert (report["verdict"], report["passed_over"][0]["reason"]) == ("BACKUP_BAD", "could not load snapshot")


def test_when_the_server_falls_over_the_client_replays(world: World) -> None:
    world.bad["threads", "database-full-2"] = ServerCrashError("signal 11")
    report = world.drill()
    assert (report["verdict"], world.ways) == ("PASS", ["threads", "client"])
    assert "signal 11" in report["tools"]["replay"]
    assert report["passed_over"] == []


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (BrokenChainError("a log is missing"), "CHAIN_GAP"),
        (restore_trial.ContentMismatchError("differs"), "CONTENT_MISMATCH"),
        (restore_trial.ProbeError("ended with 1"), "CONTENT_MISMATCH"),
        (StepError("no room"), "DRILL_BROKEN"),
        (StackError("innochecksum cannot be started"), "DRILL_BROKEN"),
        (OSError(28, "no space"), "DRILL_BROKEN"),
    ],
)
def test_what_goes_wrong_has_its_verdict(world: World, error: Exception, verdict: str) -> None:
    world.bad["rebuild", "database-full-2"] = error
    report = world.drill()
    assert (report["verdict"], report["passed_over"]) == (verdict, [])


@pytest.mark.parametrize(
    ("error", "verdict"),
    [(RepositoryError("wrong password"), "DRILL_BROKEN"), (DamagedError("config is damaged"), "BACKUP_BAD")],
)
def test_a_repository_that_does_not_open_tells_nothing_of_backups_unless_it_is_damaged(
    world: World, error: Exception, verdict: str
) -> None:
    world.identity_fails = error
    assert world.drill()["verdict"] == verdict


def test_damaged_tables_make_a_bad_backup(world: World) -> None:
    world.bad_tables = ["shop.orders error Corrupt"]
    assert world.drill(fall_back=0)["reason"] == "tables are damaged: shop.orders error Corrupt"


def test_a_backup_is_chosen_by_its_id_and_one_that_is_not_there_breaks_the_drill(world: World) -> None:
    assert world.drill(backup="database-full-1")["backup"]["id"] == "database-full-1"
    assert world.drill(backup="nothing")["verdict"] == "DRILL_BROKEN"


def test_without_any_copy_there_is_no_backup(world: World) -> None:
    world.copies = {}
    assert world.drill()["verdict"] == "BACKUP_BAD"


def test_the_machine_that_the_backup_is_of_is_refused(world: World) -> None:
    world.copies = {2: replace(world.copies[2], machine=scratch_place.this_machine())}
    report = world.drill()
    assert report["verdict"] == "DRILL_BROKEN"
    assert "this machine is the one" in report["reason"]


@pytest.mark.parametrize("kind", KINDS)
def test_damage_that_is_noticed_passes_and_any_other_end_breaks_the_drill(world: World, kind: str) -> None:
    assert world.drill(mutation=kind)["verdict"] in ("PASS", "DRILL_BROKEN")
    unnoticed = restore_drill.drill(SOURCE, {**world.settings, "mutation": "log_bit"})
    assert unnoticed["verdict"] == "DRILL_BROKEN"
    assert "CHAIN_GAP was due" in unnoticed["reason"]
    world.bad["rebuild", "database-full-2"] = {
        "BACKUP_BAD": BadCopyError("x"),
        "CHAIN_GAP": BrokenChainError("x"),
        "CONTENT_MISMATCH": restore_trial.ContentMismatchError("x"),
    }[KINDS[kind]]
    report = world.drill(mutation=kind)
    assert (report["verdict"], report["mutation"]) == ("PASS", kind)
    # Nothing older is tried: it is this copy that was damaged.
    assert report["backup"] == {}


@pytest.mark.parametrize(
    ("rto", "rpo", "verdict", "wanted"),
    [
        (0, 0, "PASS", "RTO_MISS"),
        (60, 0, "PASS", "RPO_MISS"),
        (60, 900, "PASS", "PASS"),
        (0, 0, "BACKUP_BAD", "BACKUP_BAD"),
        (0, 0, "CHAIN_GAP", "CHAIN_GAP"),
        (0, 0, "CONTENT_MISMATCH", "CONTENT_MISMATCH"),
        (0, 0, "DRILL_BROKEN", "DRILL_BROKEN"),
    ],
)
def test_a_miss_is_told_only_of_what_is_right_and_the_time_comes_first(
    rto: float, rpo: float, verdict: str, wanted: str
) -> None:
    record = Record("a", rto, rpo)
    record.covered_until = record.began - 60
    with record.phase("fetch") as phase:
        phase["bytes"] += 7
    with record.phase("fetch") as phase:
        phase["bytes"] += 1
    report = record.close(verdict, "so it was")
    assert report["verdict"] == wanted
    assert report["reason"] == "so it was" if wanted == verdict else "are allowed" in report["reason"]
    assert report["rpo_seconds"] == pytest.approx(60)
    assert [(one["name"], one["bytes"]) for one in report["phases"]] == [("fetch", 8)]


# What the runbook makes of reports.


@pytest.fixture
def told(tmp_path: Path) -> dict[str, Any]:
    return {
        "sources": [{**SOURCE, "name": name} for name in ("a", "b")],
        "only": "",
        "mutation": "",
        "stream_dir": "",
        "report_dir": str(tmp_path / "reports"),
        "metrics_file": str(tmp_path / "m.prom"),
    }


def report_of(source: str, verdict: str) -> dict[str, Any]:
    record = Record(source, 60, 900)
    record.covered_until = record.began - 30
    report: dict[str, Any] = record.close(verdict, "because")
    return report


def test_each_source_is_a_step_and_what_it_told_is_the_verdict_and_what_is_shown(
    told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = {"a": drill_report.PASS, "b": drill_report.CHAIN_GAP}
    monkeypatch.setattr(
        restore_test_runbook, "drill", lambda source, _: report_of(source["name"], verdicts[source["name"]])
    )
    runbook = RestoreTest(told)
    steps = tuple(Step("due", "restore", one, data={"source": one}) for one in ("a", "b"))
    runbook.kinds["restore"].do(steps[0], {})
    seen = runbook.check(Done(steps[:1]), write=True)
    assert [one["verdict"] for one in seen.checks] == [CURED]
    shown = Path(told["metrics_file"]).read_text(encoding="utf-8")
    assert 'remediate_restore_test_timestamp_seconds{source="b"} 0.0' in shown
    assert 'remediate_restore_test_passed{source="a"} 1.0' in shown
    assert 'passed{source="b"}' not in shown
    runbook.kinds["restore"].do(steps[1], {})
    seen = runbook.check(Done(steps), write=True)
    assert [one["verdict"] for one in seen.checks] == [CURED, NOT_CURED]
    shown = Path(told["metrics_file"]).read_text(encoding="utf-8")
    assert 'remediate_restore_test_passed{source="b"} 0.0' in shown
    assert 'remediate_restore_test_rto_target_seconds{source="b"} 60' in shown
    assert 'remediate_restore_test_rpo_seconds{source="a"} 30.0' in shown


def test_a_trial_of_the_trial_tells_the_monitoring_nothing_of_the_backup(
    told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restore_test_runbook, "drill", lambda source, _: report_of(source["name"], "BACKUP_BAD"))
    step = Step("due", "restore", "a", data={"source": "a"})
    RestoreTest(told).kinds["restore"].do(step, {})
    monkeypatch.setattr(restore_test_runbook, "drill", lambda source, _: report_of(source["name"], "PASS"))
    runbook = RestoreTest({**told, "mutation": "page_bit"})
    runbook.kinds["restore"].do(step, {})
    assert runbook.check(Done((step,)), write=True).drills[0]["verdict"] == "PASS"
    assert 'passed{source="a"} 0.0' in Path(told["metrics_file"]).read_text(encoding="utf-8")


def test_a_trial_that_is_broken_or_was_not_made_cannot_tell(
    told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [one["verdict"] for one in RestoreTest(told).check(Done(), write=True).checks] == [CANNOT_TELL]
    assert not Path(told["metrics_file"]).exists()
    monkeypatch.setattr(restore_test_runbook, "drill", lambda source, _: report_of(source["name"], "DRILL_BROKEN"))
    step = Step("due", "restore", "a", data={"source": "a"})
    RestoreTest(told).kinds["restore"].do(step, {})
    assert [one["verdict"] for one in RestoreTest(told).check(Done((step,)), write=False).checks] == [CANNOT_TELL]
    with pytest.raises(StepError, match="cannot be read"):
        RestoreTest(told).check(Done((Step("due", "restore", "b", data={"source": "b"}),)), write=False)


def test_a_source_that_nobody_knows_is_refused(told: dict[str, Any]) -> None:
    with pytest.raises(StepError, match="no backups of 'c'; nothing was done: it knows a, b"):
        RestoreTest({**told, "only": "c"}).look()
    with pytest.raises(StepError, match="set restore_test_sources"):
        RestoreTest({**told, "sources": []}).look()


# Logs, replays and copies by themselves.


def test_a_chain_reaches_what_is_in_its_logs_and_its_own_begin() -> None:
    base = Position("b.000001", 50)
    chain = Chain(base, (Log("/x/b.000001", 90), Log("/x/b.000002", 70)), Position("b.000002", 70), 1)
    places = [("b.000001", 49), ("b.000001", 50), ("b.000001", 91), ("b.000002", 70), ("b.000002", 71), ("b.000003", 4)]
    assert [chain.reaches(*one) for one in places] == [False, True, False, True, False, False]
    assert chain.bytes == 110
    assert (Chain.none(base).reaches("b.000001", 50), Chain.none(base).reaches("b.000001", 51)) == (True, False)
    with pytest.raises(BrokenChainError):
        Chain.begin([], base)


class Slave:
    """A server that answers `SHOW SLAVE STATUS` with one place after the other."""

    def __init__(self, tmp_path: Path, *places: Any) -> None:
        self.relay = str(tmp_path / "relay")
        self.places = list(places)
        self.said: list[str] = []

    def rows(self, statement: str, *_: Any) -> list[list[str]]:
        self.said.append(statement)
        return []

    def named_rows(self, _statement: str) -> list[dict[str, str]]:
        place = self.places.pop(0) if len(self.places) > 1 else self.places[0]
        if isinstance(place, Exception):
            raise place
        running, file, offset, errno = place
        return [
            {
                "Slave_SQL_Running": running,
                "Relay_Log_File": file,
                "Relay_Log_Pos": offset,
                "Last_SQL_Errno": errno,
                "Last_SQL_Error": "Duplicate entry",
            }
        ]

    def alive(self) -> bool:
        return not isinstance(self.places[0], Exception)

    def client(self) -> list[str]:
        return ["cat"]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    path = tmp_path / "b.000001"
    path.write_bytes(b"log and what was torn")
    return Log(str(path), 3)


def test_logs_are_laid_out_without_what_was_torn_and_replayed_to_the_place(tmp_path: Path, log: Log) -> None:
    server = Slave(tmp_path, ("Yes", "relay.000001", "50", "0"), ("No", "relay.000001", "100", "0"))
    replay = Replay(server, [log])
    assert Path(server.relay, "relay.000001").read_bytes() == b"log"
    assert Path(server.relay, "relay.index").read_text(encoding="ascii") == "./relay.000001\n"
    replay.begin(50)
    replay.until("b.000001", 100)
    assert "RELAY_LOG_POS=50" in server.said[0]
    assert "MASTER_USE_GTID=no" in server.said[0]
    assert "UNTIL RELAY_LOG_FILE='relay.000001', RELAY_LOG_POS=100" in server.said[1]


@pytest.mark.parametrize(
    ("place", "error", "words"),
    [
        (("No", "relay.000001", "99", "0"), ReplayError, "before relay.000001:100"),
        (("Yes", "relay.000001", "60", "1062"), ReplayError, "Duplicate entry"),
        (ScratchError("lost connection"), ServerCrashError, "fell over"),
    ],
)
def test_a_replay_that_ends_too_early_says_why(
    tmp_path: Path, log: Log, place: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Replay(Slave(tmp_path, place), [log]).until("b.000001", 100)


def test_a_replay_that_stands_still_is_given_up(tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ansible.module_utils.log_replay._STALL_SECONDS", 0.2)
    server = Slave(tmp_path, ("Yes", "relay.000001", "60", "0"))
    with pytest.raises(ReplayError, match="stands still"):
        Replay(server, [log]).until("b.000001", 100)


def test_at_the_end_of_the_logs_the_thread_is_stopped(tmp_path: Path, log: Log) -> None:
    server = Slave(tmp_path, ("Yes", "relay.000001", "100", "0"))
    Replay(server, [log]).until("b.000001", 100)
    assert server.said[-1] == "STOP SLAVE SQL_THREAD;\n"


def test_the_client_reads_all_logs_in_one_stream_and_nothing_that_was_torn(
    tmp_path: Path, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = replace(log, path=str(tmp_path / "b.000002"))
    Path(second.path).write_bytes(b"log")
    replay = ClientReplay(Slave(tmp_path), [log, second])
    assert Path(log.path).read_bytes() == b"log"
    asked: list[list[str]] = []
    monkeypatch.setattr(replay, "_pipe", lambda reader, _writer: asked.append(reader))
    replay.begin(50)
    for file, offset in (("b.000001", 90), ("b.000001", 90), ("b.000002", 70)):
        replay.until(file, offset)
    assert [one[2:] for one in asked] == [
        ["--verify-binlog-checksum", "--start-position=50", "--stop-position=90", log.path],
        ["--verify-binlog-checksum", "--start-position=90", "--stop-position=70", log.path, second.path],
    ]


@pytest.mark.parametrize(("reader", "writer"), [("false", "cat"), ("true", "false")])
def test_a_client_that_fails_on_either_side_is_an_error(tmp_path: Path, log: Log, reader: str, writer: str) -> None:
    with pytest.raises(ReplayError):
        ClientReplay(Slave(tmp_path), [log])._pipe([reader], [writer])


def test_a_copy_says_where_it_is_in_the_log(tmp_path: Path) -> None:
    info = tmp_path / "xtrabackup_binlog_info"
    info.write_text("b.000004\t1234\t0-1-5\n", encoding="ascii")
    assert place_in_log(str(tmp_path)) == ("b.000004", 1234, "0-1-5")
    for text in ("", "b.000004", "b.000004 x"):
        info.write_text(text, encoding="ascii")
        with pytest.raises(BadCopyError, match="does not say where"):
            place_in_log(str(tmp_path))
    info.unlink()
    with pytest.raises(BadCopyError, match="does not say where"):
        place_in_log(str(tmp_path))


@pytest.mark.parametrize(
    ("done", "words"),
    [
        (Finished(0, "", "all\ncompleted OK!\n"), ""),
        (Finished(1, "", "completed OK!\n"), "cannot be prepared"),
        (Finished(0, "", "completed OK!\nbut no\n"), "but no"),
        (Finished(0, "", ""), "cannot be prepared"),
    ],
)
def test_a_copy_is_prepared_only_when_the_tool_says_so_last(
    monkeypatch: pytest.MonkeyPatch, done: Finished, words: str
) -> None:
    monkeypatch.setattr("ansible.module_utils.database_unpack.run_program", lambda *_: done)
    if not words:
        prepare("/x")
        return
    with pytest.raises(BadCopyError, match=words):
        prepare("/x")
