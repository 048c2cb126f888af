"""Which backups are due, what is made of a repository that is away, and what counts as proven."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import backup_checks, backup_facts, backup_kinds, database_copy, newest_copy
from ansible.module_utils.backup_decision import decide
from ansible.module_utils.backup_facts import Facts, Held, forget, known_identities, limits_of, look, remember
from ansible.module_utils.backup_kinds import CopyDatabase, CopyFiles, MakeRepository, ShipLogs
from ansible.module_utils.backup_manifest import DATABASE, FILES, LOGS, REDIS, Manifest, Part
from ansible.module_utils.binlog_file import read_log
from ansible.module_utils.database_content import Content, Table
from ansible.module_utils.host_checks import CURED, NOT_CURED
from ansible.module_utils.host_step import Step, StepError
from ansible.module_utils.log_position import Position
from ansible.module_utils.restic_repository import IncompleteError, NoRepositoryError, RepositoryError, Snapshot
from hypothesis import given
from hypothesis import strategies as st

from tests import binlogs

NOW = 1_000_000.0
DAY = 86400.0
SECOND = "mariadb-bin.000002"
EVERYTHING = {DATABASE: DAY, LOGS: 300.0, FILES: DAY, REDIS: 3600.0}


class Fake:
    """A repository that answers from memory, or does not."""

    def __init__(self, name: str, identity: str = "i", *snapshots: Snapshot, fails: Exception | None = None) -> None:
        self.name = name
        self._identity = identity
        self.held = list(snapshots)
        self.fails = fails
        self.stored: list[tuple[list[str], list[str]]] = []
        self.refusals: list[Exception] = []

    def identity(self) -> str:
        if self.fails:
            raise self.fails
        return self._identity

    def make(self) -> None:
        self.fails = None

    def snapshots(self, _source: str = "", _tag: str = "") -> list[Snapshot]:
        return sorted(self.held, key=lambda one: one.made)

    def store(self, paths: list[str], _source: str, tags: list[str], _out: Any = ()) -> tuple[str, int]:
        self.stored.append((paths, tags))
        if self.refusals:
            raise self.refusals.pop(0)
        return "s", 1

    def content(self, _snapshot: str) -> dict[str, int]:
        return {"/s/manifest.json": 1, "/s/dump.rdb": 5}

    def read(self, _snapshot: str, _path: str) -> str:
        return json.dumps(
            {
                "version": 1,
                "id": "x",
                "kind": "redis",
                "source": "a",
                "machine": "m",
                "made": 1.0,
                "covered_until": 1.0,
                "server": {},
                "position": None,
                "content": None,
                "files": [{"name": "dump.rdb", "bytes": 5, "sha256": "d"}],
            }
        )


def snapshot(kind: str, made: float, name: str = "a") -> Snapshot:
    return Snapshot(name * 64, "a", made, ("remediate", kind, "id=x"), ("/s/dump.rdb", "/s/manifest.json"))


def fresh() -> dict[str, Snapshot]:
    return {kind: snapshot(kind, NOW - 10) for kind in EVERYTHING}


def held(name: str = "near", newest: dict[str, Snapshot] | None = None, **more: Any) -> Held:
    return Held(Fake(name), fresh() if newest is None else newest, **more)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {
        "source": "a",
        "repositories": [],
        "database_service": "mysql",
        "database_dir": str(tmp_path),
        "redis_service": "redis",
        "files": [str(tmp_path)],
        "postgresql_stanza": "",
        "postgresql_hours": 24,
        "wal_minutes": 5,
        "database_hours": 24,
        "logs_minutes": 5,
        "files_hours": 24,
        "redis_hours": 1,
        "tables": 3,
        "content_seconds": 60,
        "metrics_file": str(tmp_path / "metrics.prom"),
        "stage_dir": str(tmp_path / "stage"),
    }


@pytest.fixture
def repositories(monkeypatch: pytest.MonkeyPatch) -> list[Fake]:
    both = [Fake("near", "n"), Fake("far", "f")]
    monkeypatch.setattr(
        backup_facts,
        "repositories_of",
        lambda wanted: (
            [one for one in both if one.name in {x["name"] for x in wanted["repositories"]}]
            if wanted["repositories"]
            else both
        ),
    )
    return both


def step(kind: str, *names: str) -> Step:
    return Step("due", "store", "something", data={"kind": kind, "repositories": list(names)})


# What is due.


def test_where_everything_is_new_there_is_nothing_to_do(settings: dict[str, Any]) -> None:
    found = decide(Facts((held("near"), held("far")), NOW), settings)
    assert (found.causes, found.steps, found.enough) == ({}, [], True)
    assert all(one["ok"] for one in found.measures)


def test_where_nothing_is_everything_is_made_and_logs_come_after_the_copy_and_files_last(
    settings: dict[str, Any],
) -> None:
    found = decide(Facts((held("near", {}, missing=True), held("far", {})), NOW), settings)
    assert list(found.causes) == ["database_due", "logs_due", "redis_due", "files_due"]
    assert [(one.verb, one.data.get("repositories", one.target)) for one in found.steps] == [
        ("make_repository", "near"),
        *((verb, ["near", "far"]) for verb in ("copy_database", "ship_logs", "copy_redis", "copy_files")),
    ]


@pytest.mark.parametrize("kind", EVERYTHING)
@pytest.mark.parametrize(("less", "due"), [(1.0, False), (0.0, True), (-1.0, True)])
def test_a_kind_is_due_at_its_age_and_in_the_repository_that_lacks_it_only(
    settings: dict[str, Any], kind: str, less: float, *, due: bool
) -> None:
    old = {**fresh(), kind: snapshot(kind, NOW - EVERYTHING[kind] + less)}
    found = decide(Facts((held("near"), held("far", old)), NOW), settings)
    assert [one.data["repositories"] for one in found.steps] == ([["far"]] if due else [])
    assert len(found.causes) == due


def test_a_repository_that_is_away_is_said_and_keeps_nothing_from_the_other(settings: dict[str, Any]) -> None:
    found = decide(Facts((held("near", {}), held("far", {}, trouble="far is gone")), NOW), settings)
    assert found.causes["repository_unreachable"] == ["far is gone"]
    assert {name for one in found.steps for name in one.data["repositories"]} == {"near"}
    assert not found.enough


def test_what_a_host_does_not_have_is_never_due(settings: dict[str, Any]) -> None:
    found = decide(Facts((held("near", {}),), NOW), {**settings, "database_service": "", "redis_service": ""})
    assert list(found.causes) == ["files_due"]
    assert limits_of({**settings, "files": [], "redis_service": ""}) == {DATABASE: DAY, LOGS: 300.0}


@given(ages=st.dictionaries(st.sampled_from(sorted(EVERYTHING)), st.floats(0, 3 * DAY)))
def test_whatever_is_due_has_a_cause_with_evidence_and_one_step(ages: dict[str, float]) -> None:
    settings = {
        "source": "a",
        "database_service": "m",
        "redis_service": "r",
        "files": ["/"],
        "postgresql_stanza": "",
        "repositories": [],
        "database_hours": 24,
        "logs_minutes": 5,
        "files_hours": 24,
        "redis_hours": 1,
    }
    newest = {kind: snapshot(kind, NOW - age) for kind, age in ages.items()}
    found = decide(Facts((held("near", newest),), NOW), settings)
    due = {kind for kind, limit in EVERYTHING.items() if kind not in ages or NOW - (NOW - ages[kind]) >= limit}
    assert {one.data["kind"] for one in found.steps} == due
    assert len(found.causes) == len(found.steps) == len(due)
    assert all(evidence for evidence in found.causes.values())


@pytest.fixture
def logs(settings: dict[str, Any]) -> Manifest:
    """A full copy that this host remembers, made while the second of its logs was written to."""
    binlogs.written(Path(settings["database_dir"]), binlogs.life())
    made = float(read_log(f"{settings['database_dir']}/{SECOND}").made)
    copy = Manifest("copy-1", DATABASE, "a", "m", made, made, position=Position(SECOND, 100, "0-1-5"))
    newest_copy.remember(settings["stage_dir"], copy)
    return copy


@pytest.mark.parametrize("gone", [0, 1, 2, 99])
def test_a_log_that_goes_on_or_of_which_the_begin_was_removed_makes_no_copy_due(
    settings: dict[str, Any], repositories: list[Fake], logs: Manifest, gone: int
) -> None:
    for path in sorted(Path(settings["database_dir"]).glob("mariadb-bin.*"))[:gone]:
        path.unlink()
    facts = look(settings)
    assert (facts.cut_off, facts.doubt) == ("", "")


@pytest.mark.parametrize(("file", "earlier"), [(SECOND, 1.0), ("mariadb-bin.000009", 0.0), ("other-bin.000001", 0.0)])
def test_a_log_that_began_anew_makes_a_full_copy_due_everywhere(
    settings: dict[str, Any], repositories: list[Fake], logs: Manifest, file: str, earlier: float
) -> None:
    copy = replace(logs, made=logs.made - earlier, position=Position(file, 100, "0-1-5"))
    newest_copy.remember(settings["stage_dir"], copy)
    facts = look(settings)
    assert facts.cut_off.startswith("the binary log began anew since copy-1")
    found = decide(Facts((held("near"), held("far")), NOW, facts.cut_off), settings)
    assert found.causes == {"database_due": [facts.cut_off]}
    assert [(one.verb, one.data["repositories"]) for one in found.steps] == [("copy_database", ["near", "far"])]


def test_a_host_that_remembers_no_copy_makes_one(settings: dict[str, Any], repositories: list[Fake]) -> None:
    facts = look(settings)
    found = decide(Facts((held("near"), held("far", {})), NOW, facts.cut_off), settings)
    assert found.causes["database_due"] == ["far has no backup of the database", facts.cut_off]
    without = {**settings, "database_service": ""}
    assert look(without).cut_off == ""


def test_a_log_that_cannot_be_read_is_a_doubt_and_no_reason(
    settings: dict[str, Any], repositories: list[Fake], logs: Manifest
) -> None:
    path = Path(settings["database_dir"]) / SECOND
    path.write_bytes(path.read_bytes()[:10])
    facts = look(settings)
    assert facts.cut_off == ""
    assert "cannot be read" in decide(facts, settings).notes[0]


# What repositories are.


def test_a_repository_that_was_never_used_may_be_made_and_one_that_is_gone_may_not(
    settings: dict[str, Any], repositories: list[Fake]
) -> None:
    near, far = repositories
    near.fails = far.fails = NoRepositoryError("there is none")
    remember(settings["stage_dir"], Fake("far", "f"))
    first, second = look(settings).held
    assert (first.missing, first.trouble) == (True, "")
    assert not second.missing
    assert "far is gone, with the backups" in second.trouble


def test_a_repository_with_another_identity_is_refused(settings: dict[str, Any], repositories: list[Fake]) -> None:
    remember(settings["stage_dir"], Fake("far", "before"))
    assert [one.trouble for one in look(settings).held] == [
        "",
        "far is another repository than the one this host has used",
    ]


def test_a_repository_that_does_not_answer_is_no_repository_that_is_not_there(
    settings: dict[str, Any], repositories: list[Fake]
) -> None:
    repositories[1].fails = RepositoryError("connection refused")
    _, far = look(settings).held
    assert (far.missing, far.trouble) == (False, "connection refused")


def test_the_newest_of_each_kind_counts_but_for_those_from_the_future_and_incomplete_ones(
    settings: dict[str, Any], repositories: list[Fake]
) -> None:
    now = time.time()
    repositories[0].held = [
        snapshot(REDIS, now - 50, "a"),
        snapshot(REDIS, now - 90, "b"),
        snapshot(FILES, now + 4000, "c"),
        snapshot(FILES, now - 70, "d"),
        snapshot(FILES, now - 20, "e"),
    ]
    forget(settings["stage_dir"], repositories[0], "e" * 8)
    near = look(settings).held[0]
    assert {kind: one.id[0] for kind, one in near.newest.items() if kind in EVERYTHING} == {REDIS: "a", FILES: "d"}


@pytest.mark.parametrize("text", ["", "[1]", "null", "{"])
def test_what_cannot_be_read_of_the_known_repositories_stops_everything(settings: dict[str, Any], text: str) -> None:
    stage = Path(settings["stage_dir"])
    stage.mkdir()
    (stage / "repositories.json").write_text(text, encoding="ascii")
    with pytest.raises(StepError, match="nothing was done"):
        known_identities(str(stage))


def test_without_a_repository_there_is_nothing_to_put_backups_into(settings: dict[str, Any]) -> None:
    with pytest.raises(StepError, match="no repository"):
        look(settings)


# What is stored.


def test_a_repository_that_fails_does_not_keep_files_from_the_other(
    settings: dict[str, Any], repositories: list[Fake]
) -> None:
    repositories[0].refusals = [RepositoryError("no room")]
    with pytest.raises(StepError, match="not every repository has something: no room"):
        CopyFiles(settings, {}).do(step(FILES, "near", "far"), {})
    assert [len(one.stored) for one in repositories] == [1, 1]
    assert repositories[1].stored[0][1][0] == FILES
    assert known_identities(settings["stage_dir"]) == {"far": "f"}
    assert list(Path(settings["stage_dir"]).glob("stage")) == []


def test_a_file_that_went_away_while_it_was_read_is_no_failure_when_the_next_try_is_whole(
    settings: dict[str, Any], repositories: list[Fake]
) -> None:
    repositories[0].refusals = [IncompleteError("not whole", "bad1")]
    assert CopyFiles(settings, {}).do(step(FILES, "near"), {})
    assert len(repositories[0].stored) == 2
    assert backup_facts.incomplete_snapshots(settings["stage_dir"]) == {"bad1": "near"}


def test_an_incomplete_copy_never_counts_as_one(settings: dict[str, Any], repositories: list[Fake]) -> None:
    near = repositories[0]
    near.refusals = [IncompleteError("not whole", "b" * 8), IncompleteError("not whole", "c" * 8)]
    with pytest.raises(StepError, match="not whole"):
        CopyFiles(settings, {}).do(step(FILES, "near"), {})
    near.held = [snapshot(FILES, time.time(), name) for name in ("b", "c")]
    assert FILES not in look(settings).held[0].newest


def test_files_that_are_not_there_are_an_error_and_nothing_is_stored(
    settings: dict[str, Any], repositories: list[Fake]
) -> None:
    with pytest.raises(StepError, match="is not there; nothing was stored"):
        CopyFiles({**settings, "files": ["/none/such"]}, {}).do(step(FILES, "near"), {})
    assert repositories[0].stored == []


def test_a_repository_is_made_once_and_remembered(settings: dict[str, Any], repositories: list[Fake]) -> None:
    settings["repositories"] = [{"name": one.name} for one in repositories]
    repositories[0].fails = NoRepositoryError("none")
    for _ in range(2):
        assert MakeRepository(settings).do(Step("due", "make_repository", "near"), {})
    assert known_identities(settings["stage_dir"]) == {"near": "n"}


def test_logs_are_shipped_with_the_next_tables_in_turn(
    settings: dict[str, Any], repositories: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted: list[Any] = []

    def content(_ask: Any, _seconds: float, after: Any, most: int) -> Content:
        wanted.append((list(after), most))
        return Content("b.1", 4, (Table("s", f"t{len(wanted)}", 1, 1),), 9)

    (Path(settings["database_dir"]) / "b.1").write_bytes(b"log")
    Path(settings["stage_dir"]).mkdir()
    monkeypatch.setattr(backup_kinds.database_content, "look", content)
    monkeypatch.setattr(backup_kinds, "MariaDB", lambda *_: type("Server", (), {"rows": None}))
    monkeypatch.setattr(database_copy, "flush", lambda _: wanted.append("flushed"))
    monkeypatch.setattr(database_copy, "closed_logs", lambda _: ["b.1"])
    monkeypatch.setattr(database_copy, "identity", lambda _: {"version": "x"})
    for _ in range(2):
        ShipLogs(settings, {}).do(step(LOGS, "near"), {})
    # What tables hold is looked at before the log is closed, so that the position is in what is shipped.
    assert wanted == [([], 3), "flushed", (["s.t1"], 3), "flushed"]
    assert repositories[0].stored[0][0][0].endswith("b.1")


def test_a_full_copy_is_remembered_once_a_repository_has_it(
    settings: dict[str, Any], repositories: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path(settings["stage_dir"]).mkdir()

    def copy(_server: Any, path: str) -> Position:
        Path(path).write_bytes(b"stream")
        return Position("b.1", 4, "0-1-5")

    monkeypatch.setattr(backup_kinds, "MariaDB", lambda *_: type("Server", (), {"rows": None}))
    monkeypatch.setattr(backup_kinds.database_content, "look", lambda *_: Content("b.1", 4, (), 0))
    monkeypatch.setattr(database_copy, "copy", copy)
    monkeypatch.setattr(database_copy, "identity", lambda _: {"version": "x"})
    for one in repositories:
        one.refusals = [RepositoryError("refused")]
    with pytest.raises(StepError, match="not every repository"):
        CopyDatabase(settings, {}).do(step(DATABASE, "near", "far"), {})
    assert newest_copy.known(settings["stage_dir"]) is None
    repositories[0].refusals = [RepositoryError("refused")]
    with pytest.raises(StepError, match="not every repository"):
        CopyDatabase(settings, {}).do(step(DATABASE, "near", "far"), {})
    known = newest_copy.known(settings["stage_dir"])
    assert known is not None
    assert (known.bytes, known.position) == (6, Position("b.1", 4, "0-1-5"))
    assert known.id.endswith(DATABASE)


# What is proven.


def test_a_backup_counts_only_as_its_manifest_says(
    settings: dict[str, Any], repositories: list[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings |= {"database_service": "", "files": []}
    for one in repositories:
        one.held = [snapshot(REDIS, time.time() - 5)]
    assert {one["verdict"] for one in backup_checks.seen(settings).checks} == {CURED}
    monkeypatch.setattr(repositories[1], "content", lambda _: {"/s/manifest.json": 1, "/s/dump.rdb": 4})
    near, far = backup_checks.seen(settings).checks
    assert (near["verdict"], far["verdict"]) == (CURED, NOT_CURED)
    assert "has not the whole of dump.rdb" in str(far)
    monkeypatch.setattr(repositories[1], "content", lambda _: {"/s/dump.rdb": 5})
    assert "has no manifest" in str(backup_checks.seen(settings).checks[1])


def test_a_repository_that_is_away_or_a_copy_that_is_old_is_not_well(
    settings: dict[str, Any], repositories: list[Fake]
) -> None:
    settings |= {"database_service": "", "files": []}
    repositories[0].held = [snapshot(REDIS, time.time() - 6 * 3600 - 400)]
    repositories[1].fails = RepositoryError("refused")
    near, far = backup_checks.seen(settings).checks
    assert (near["verdict"], far["verdict"]) == (NOT_CURED, NOT_CURED)
    assert "367 min old" in str(near)
    assert "refused" in str(far)


@pytest.mark.parametrize(("minutes", "verdict"), [(0.1, CURED), (64.0, CURED), (66.0, NOT_CURED)])
def test_what_a_run_has_made_or_found_new_enough_is_proven_when_the_run_took_hours(
    settings: dict[str, Any], repositories: list[Fake], minutes: float, verdict: str
) -> None:
    settings |= {"database_service": "", "files": [], "redis_hours": 0}
    for one in repositories:
        one.held = [snapshot(REDIS, time.time() - minutes * 60)]
    seen = backup_checks.seen(settings)
    backup_checks.show(settings)

    assert [one["verdict"] for one in seen.checks] == [verdict] * 2
    lines = Path(settings["metrics_file"]).read_text(encoding="utf-8").splitlines()
    assert {line.rpartition(" ")[2] for line in lines if "_limit_seconds{" in line} == {"3600.0"}


def test_ages_are_shown_to_the_monitoring_and_what_there_is_none_of_is_as_old_as_can_be(
    settings: dict[str, Any], repositories: list[Fake]
) -> None:
    settings |= {"database_service": "", "files": []}
    repositories[0].held = [snapshot(REDIS, 1234.5)]
    backup_checks.show(settings)
    lines = Path(settings["metrics_file"]).read_text(encoding="utf-8").splitlines()
    about = 'source="a",repository="{}",kind="redis"'
    for name, made in (("near", 1234.5), ("far", 0.0)):
        assert f"remediate_backup_made_timestamp_seconds{{{about.format(name)}}} {made}" in lines
        assert f"remediate_backup_limit_seconds{{{about.format(name)}}} 3600.0" in lines


# What the copy of a database says.


class Server:
    """A server whose tool prints what a test wants."""

    service = "mysql"

    def __init__(self, code: int, errors: str) -> None:
        self._told = (code, errors)
        self.stack = self

    def exec(self, _service: str, argv: list[str], _seconds: float, stdout: Any) -> tuple[int, str, str]:
        assert "--log-innodb-page-corruption" not in argv
        assert argv[:4] == ["nice", "-n", "19", "mariadb-backup"]
        stdout.write(b"stream")
        return self._told[0], "", self._told[1]


PLACE = "[00] binlog position: filename 'b.000004', position '1234', GTID of the last change '0-1-5'\n"


def test_a_whole_copy_knows_its_place(tmp_path: Path) -> None:
    place = database_copy.copy(Server(0, PLACE + "[00] completed OK!\n"), str(tmp_path / "s"))
    assert (str(place), place.gtid) == ("b.000004:1234", "0-1-5")


@pytest.mark.parametrize(
    ("code", "errors", "words"),
    [
        (1, PLACE + "completed OK!\n", "is not whole"),
        (0, PLACE, "is not whole"),
        (0, "completed OK!\n" + PLACE, "is not whole"),
        (0, "", "printed nothing"),
        (1, "x\n[ERROR] Page is corrupted\nend\n", "Page is corrupted"),
        (0, "completed OK!\n", "no place in a binary log"),
    ],
)
def test_a_copy_that_is_not_whole_or_has_no_place_is_none(tmp_path: Path, code: int, errors: str, words: str) -> None:
    with pytest.raises(StepError, match=words):
        database_copy.copy(Server(code, errors), str(tmp_path / "s"))


def test_what_is_made_says_what_it_is(settings: dict[str, Any]) -> None:
    made = CopyFiles(settings, {})._manifest(step(REDIS, "near"), 5.0, files=(Part("x", 1, "y"),))
    assert isinstance(made, Manifest)
    assert (made.source, made.kind, made.covered_until) == ("a", REDIS, 5.0)
    assert made.id.endswith("Z-redis")
