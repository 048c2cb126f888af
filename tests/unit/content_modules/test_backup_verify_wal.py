"""What backup-verify says of PostgreSQL: how far its log leads, what is missing, and how old it may be."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import verify_checks, verify_facts, verify_wal
from ansible.module_utils.backup_manifest import DATABASE, FILES, POSTGRESQL, WAL, BadManifestError, Manifest
from ansible.module_utils.backup_shelf import Stored
from ansible.module_utils.host_checks import CURED, NOT_CURED, worst
from ansible.module_utils.host_step import StepError
from ansible.module_utils.postgresql_state import State, listing
from ansible.module_utils.postgresql_wal import Range
from ansible.module_utils.restic_repository import RepositoryError, Snapshot
from ansible.module_utils.verify_chain import ChainFacts
from ansible.module_utils.verify_coverage import Coverage
from ansible.module_utils.verify_decision import decide
from ansible.module_utils.verify_facts import SourceFacts, protected, sources_of
from ansible.module_utils.verify_retention import DAY, HOUR, removable, rules_of
from ansible.module_utils.verify_wal import WalFacts

NOW = 1_795_000_000.0
SIZE = 16 << 20
SETTINGS: dict[str, Any] = {
    "rpo_minutes": 15,
    "lag_seconds": 10,
    "database_hours": 36,
    "files_hours": 36,
    "redis_hours": 3,
    "postgresql_hours": 36,
    "read_parts": 4,
    "read_hours": 24,
    "metrics_file": "",
}
LOG = WalFacts("", NOW - 20 * HOUR, NOW - 100, "1:0/7000300", 7)
WELL = SourceFacts(
    "a",
    NOW,
    coverage=Coverage("r", 4).after(1, NOW - HOUR, ""),
    newest={DATABASE: NOW - 20 * HOUR, POSTGRESQL: NOW - 20 * HOUR, WAL: NOW - 100},
    chain=ChainFacts("", NOW - 20 * HOUR, NOW - 100),
    wal=LOG,
)


@pytest.mark.parametrize(
    ("facts", "causes", "words"),
    [
        (WELL, [], ""),
        (replace(WELL, wal=None), [], ""),
        (replace(WELL, wal=replace(LOG, trouble="a segment is missing")), ["chain_gap"], "a: a segment is missing"),
        (replace(WELL, wal=replace(LOG, until=NOW - 301)), ["too_old"], "newest moment of PostgreSQL"),
        (replace(WELL, newest={POSTGRESQL: NOW - 37 * HOUR}), ["too_old"], "the copy of PostgreSQL is older than 36 h"),
    ],
)
def test_each_trouble_is_a_cause_without_a_step_and_verification_sees_it_too(
    facts: SourceFacts, causes: list[str], words: str
) -> None:
    found = decide([facts], SETTINGS)
    assert (list(found.causes), found.steps, found.enough) == (causes, [], not causes)
    assert words in str(found.causes)
    assert worst(verify_checks.seen([facts], SETTINGS).checks) == (NOT_CURED if causes else CURED)


def test_nothing_is_removed_while_the_log_has_a_gap() -> None:
    old = (Snapshot("5" * 64, "a", 5.0, (WAL,)),)
    broken = replace(WELL, removable=old, wal=replace(LOG, trouble="a segment is missing"))
    assert [one.verb for one in decide([replace(WELL, removable=old)], SETTINGS).steps] == ["forget_snapshots"]
    assert decide([broken], SETTINGS).steps == []


def test_its_numbers_have_a_name_of_their_own(tmp_path: Path) -> None:
    measured = {one["name"]: (one["value"], one["ok"]) for one in decide([WELL], SETTINGS).measures}
    assert measured["recoverable point of a:postgresql, age"] == (100.0, True)
    assert measured["log of a:postgresql"] == (7.0, True)
    path = tmp_path / "backup.prom"
    verify_checks.show([WELL], {**SETTINGS, "metrics_file": str(path)})
    shown = path.read_text()
    for source in ("a", "a:postgresql"):
        assert f'recoverable_point_timestamp_seconds{{source="{source}"}} {NOW - 100}' in shown


# What is read of a repository.


def segment(number: int) -> str:
    return f"00000001000000000000{number:04X}"


def archived(*numbers: int) -> tuple[str, ...]:
    return tuple(f"17-1/0000000100000000/{segment(n)}-{n:040x}.gz" for n in numbers)


def backup(kind: str, made: float, archive: tuple[str, ...]) -> Stored:
    wal = Range("17-1", segment(5), segment(7), SIZE)
    nothing = listing({})
    state = State("shop", "/r", "77", 1, "0/7000300", wal, "20261128-120000F", "full", "0/5000120", nothing, nothing)
    manifest = Manifest(kind, kind, "a", "m", made, made - 1, {}, postgresql=state)
    return Stored(Snapshot(kind[-1] * 64, "a", made, (kind,)), manifest, {}, archive)


class FakeShelf:
    def __init__(self, *backups: Stored, fails: Exception | None = None) -> None:
        self._backups, self._fails = backups, fails

    def _of(self, *kinds: str) -> list[Snapshot]:
        return [one.snapshot for one in self._backups if set(kinds) & set(one.snapshot.tags)]

    def postgresql(self) -> list[Snapshot]:
        return self._of(POSTGRESQL)

    def wal(self) -> list[Snapshot]:
        return self._of(POSTGRESQL, WAL)

    def read(self, snapshot: Snapshot) -> Stored:
        if self._fails:
            raise self._fails
        return next(one for one in self._backups if one.snapshot == snapshot)


def test_a_log_leads_on_to_where_it_was_shipped_to() -> None:
    shelf = FakeShelf(backup(WAL, 2000.0, archived(5, 6, 7)), backup(POSTGRESQL, 1000.0, archived(5)))
    assert verify_wal.look(shelf, wanted=True) == WalFacts("", 1000.0, 1999.0, "1:0/7000300", 0)


def test_a_gap_is_named_and_nothing_behind_the_copy_counts() -> None:
    shelf = FakeShelf(backup(WAL, 2000.0, archived(5, 7)), backup(POSTGRESQL, 1000.0, archived(5)))
    found = verify_wal.look(shelf, wanted=True)
    assert found is not None
    assert found.trouble == (
        f"PostgreSQL's log does not lead on from 20261128-120000F: the segment {segment(6)} is missing; "
        "take a new copy now"
    )
    assert found.until == 1000.0


def test_without_a_copy_there_is_trouble_only_where_there_has_to_be_one() -> None:
    assert verify_wal.look(FakeShelf(), wanted=False) is None
    for shelf, wanted in ((FakeShelf(), True), (FakeShelf(backup(WAL, 1.0, ())), False)):
        found = verify_wal.look(shelf, wanted=wanted)
        assert found is not None
        assert "there is no copy of PostgreSQL" in found.trouble


@pytest.mark.parametrize("error", [RepositoryError("not whole"), BadManifestError("strange")])
def test_what_cannot_be_read_is_said(error: Exception) -> None:
    found = verify_wal.look(FakeShelf(backup(POSTGRESQL, 1000.0, archived(5)), fails=error), wanted=True)
    assert found is not None
    assert str(error) in found.trouble


# What is kept.


def test_copies_are_kept_as_full_copies_are_and_shipments_as_logs() -> None:
    rules = rules_of({"keep_hours": 24, "keep_days": 7, "keep_log_days": 3, "keep_file_days": 30, "keep_months": 12})
    snapshots = [
        Snapshot(f"{kind}{day:060d}", "a", NOW - day * DAY, (kind,)) for kind in (POSTGRESQL, WAL) for day in range(40)
    ]
    gone = {one.id for one in removable(snapshots, NOW, rules, ())}
    left = [one for one in snapshots if one.id not in gone]
    assert all(one.made > NOW - 3 * DAY for one in left if WAL in one.tags)
    assert len([one for one in left if POSTGRESQL in one.tags and one.made > NOW - 7 * DAY]) == 7
    assert [one for one in left if POSTGRESQL in one.tags and one.made < NOW - 7 * DAY]


def test_the_last_chain_that_was_proven_good_stays_as_that_of_mariadb_does(tmp_path: Path) -> None:
    settings = {"evidence_dir": str(tmp_path / "e"), "report_dir": str(tmp_path / "r")}
    (tmp_path / "e/a").mkdir(parents=True)
    (tmp_path / "r").mkdir()
    copy, log, late = (
        Snapshot(letter * 64, "a", made, (kind,))
        for letter, made, kind in (("c", 1000.0, POSTGRESQL), ("d", 1500.0, WAL), ("e", 2500.0, WAL))
    )
    files = Snapshot("f" * 64, "a", 900.0, (FILES,))
    report = {"verdict": "PASS", "backup": {"snapshot": "cccccccc"}, "began": 2000.0}
    path = tmp_path / "r/a:postgresql.json"
    path.write_text(json.dumps(report))
    every = [copy, log, late, files]
    assert protected("a", every, settings) == {copy.id, log.id, files.id}
    # A drill that failed afterwards takes nothing away from what was proven before.
    path.write_text(json.dumps({**report, "verdict": "BACKUP_BAD", "backup": {"snapshot": "eeeeeeee"}}))
    assert protected("a", every, settings) == {copy.id, log.id, files.id}


def test_a_source_is_found_by_the_name_of_its_postgresql(tmp_path: Path) -> None:
    sources = [{"name": "a"}, {"name": "b"}]
    assert sources_of({"sources": sources, "only": "b:postgresql"}) == [{"name": "b"}]
    with pytest.raises(StepError, match="no backups of c:postgresql"):
        sources_of({"sources": sources, "only": "c:postgresql"})


def test_where_there_is_no_mariadb_the_log_of_postgresql_stands_for_its_chain() -> None:
    assert verify_facts._chain_of(LOG) == ChainFacts("", LOG.since, LOG.until, position="1:0/7000300")
    alone = replace(WELL, chain=verify_facts._chain_of(LOG))
    assert decide([alone], SETTINGS).causes == {}
