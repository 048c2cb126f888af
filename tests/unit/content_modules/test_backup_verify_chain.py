"""Shipped logs and the stream are one chain: each is looked at, and a gap in either shows, and where."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import stream_files, verify_chain
from ansible.module_utils.backup_manifest import DATABASE, LOGS, Manifest, part_of
from ansible.module_utils.backup_shelf import Stored
from ansible.module_utils.log_position import Position
from ansible.module_utils.restic_repository import RepositoryError, Snapshot
from ansible.module_utils.verify_chain import ChainFacts

from tests import binlogs

Logs = dict[str, bytes]
NAMES = [f"mariadb-bin.{number:06}" for number in range(1, 7)]
MADE, SHIPPED = 1000.0, 1_900_000_000.0


class Shelf:
    """A shelf with one full copy and one shipment, whose files lie in a directory."""

    source = "a"

    def __init__(self, place: Path, logs: Logs, *, shipped: float = SHIPPED) -> None:
        self.repository = self
        self.fetched = 0
        self._place = place
        place.mkdir()
        self.logs_there = {name: place / name for name in logs}
        for name, data in logs.items():
            (place / name).write_bytes(data)
        parts = tuple(part_of(str(path)) for path in self.logs_there.values())
        copy = Manifest("c", DATABASE, "a", "m", MADE, MADE - 1, position=Position(NAMES[0], 4))
        shipment = Manifest("l", LOGS, "a", "m", shipped, shipped - 1, files=parts)
        self._stored = {
            DATABASE: Stored(Snapshot("c" * 64, "a", MADE, (DATABASE,)), copy, {}),
            LOGS: Stored(Snapshot("1" * 64, "a", shipped, (LOGS,)), shipment, {name: f"/v/{name}" for name in logs}),
        }

    def databases(self) -> list[Snapshot]:
        return [self._stored[DATABASE].snapshot]

    def logs(self) -> list[Snapshot]:
        return [self._stored[LOGS].snapshot]

    def read(self, snapshot: Snapshot) -> Stored:
        return next(one for one in self._stored.values() if one.snapshot == snapshot)

    def restore(self, snapshot: str, target: str, only: list[str]) -> None:
        self.fetched += 1
        for path in only:
            there = Path(target + path)
            there.parent.mkdir(exist_ok=True)
            there.write_bytes(self.logs_there[Path(path).name].read_bytes())


@pytest.fixture(params=binlogs.VERSIONS)
def life(request: pytest.FixtureRequest) -> Logs:
    return binlogs.life(request.param)


def sent(data: bytes) -> bytes:
    """A log as the server sends it: the mark that it is in use is taken away."""
    flags = int.from_bytes(data[21:23], "little")
    return data[:21] + struct.pack("<H", flags & ~1) + data[23:]


def looked(shelf: Shelf, tmp_path: Path, streamed: Logs | None = None) -> ChainFacts:
    start = tmp_path / "streams" / "20260101T000000Z"
    start.mkdir(parents=True, exist_ok=True)
    for name, data in (streamed or {}).items():
        (start / name).write_bytes(sent(data))
    files = stream_files.best(stream_files.look(str(tmp_path / "streams")))
    found: Any = verify_chain.look(shelf, files, str(tmp_path / "evidence"))
    return found


def part(life: Logs, *numbers: int) -> Logs:
    return {NAMES[number - 1]: life[NAMES[number - 1]] for number in numbers}


def test_all_that_was_shipped_is_a_chain_and_its_ledger_is_kept(tmp_path: Path, life: Logs) -> None:
    facts = looked(Shelf(tmp_path / "shelf", part(life, 1, 2, 3, 4, 5)), tmp_path)

    assert (facts.trouble, facts.joined, facts.shipped_until) == ("", False, SHIPPED - 1)
    assert [row.name for row in facts.ledger] == NAMES[:5]
    kept = json.loads((tmp_path / "evidence" / "ledger.json").read_text())
    assert [row["name"] for row in kept["ledger"]] == NAMES[:5]
    assert not (tmp_path / "evidence" / "logs").exists()


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_a_log_that_is_missing_is_a_gap(tmp_path: Path, life: Logs, missing: int) -> None:
    facts = looked(Shelf(tmp_path / "shelf", part(life, *({1, 2, 3, 4, 5} - {missing}))), tmp_path)

    assert NAMES[missing - 1] in facts.trouble
    assert facts.shipped_until < SHIPPED - 1


@pytest.mark.parametrize("shipped", [1, 2, 3, 4])
def test_the_stream_goes_on_from_what_was_shipped_through_a_crash_too(tmp_path: Path, life: Logs, shipped: int) -> None:
    shelf = Shelf(tmp_path / "shelf", part(life, *range(1, shipped + 1)))

    facts = looked(shelf, tmp_path, part(life, *range(shipped, 7)))

    assert (facts.trouble, facts.joined) == ("", True)
    assert [row.name for row in facts.ledger] == NAMES
    assert facts.position.startswith(NAMES[5])


def test_a_stream_with_a_gap_is_not_joined_and_what_was_shipped_still_counts(tmp_path: Path, life: Logs) -> None:
    facts = looked(Shelf(tmp_path / "shelf", part(life, 1, 2)), tmp_path, part(life, 4, 5, 6))

    assert (facts.trouble, facts.joined, facts.shipped_until) == ("", False, SHIPPED - 1)


def test_a_stream_that_ends_within_a_transaction_counts_as_far_as_it_is_whole(tmp_path: Path, life: Logs) -> None:
    shelf = Shelf(tmp_path / "shelf", part(life, 1))
    whole = life[NAMES[1]]
    end = whole.index(binlogs.transactions(whole)[-1][-1])

    facts = looked(shelf, tmp_path, {NAMES[1]: whole[: end + 3]})

    assert facts.joined
    assert 0 < int(facts.position.rpartition(":")[2]) < end


def test_a_flipped_bit_in_the_stream_ends_what_is_joined(tmp_path: Path, life: Logs) -> None:
    broken = bytearray(life[NAMES[1]])
    broken[len(broken) // 2] ^= 1

    assert not looked(Shelf(tmp_path / "shelf", part(life, 1)), tmp_path, {NAMES[1]: bytes(broken)}).joined


def test_a_copy_that_is_newer_than_the_newest_shipment_stands_for_itself(tmp_path: Path, life: Logs) -> None:
    facts = looked(Shelf(tmp_path / "shelf", {}, shipped=MADE - 500), tmp_path)

    assert (facts.trouble, facts.shipped_until) == ("", MADE - 1)


def test_a_shipment_without_the_log_of_the_copy_is_a_gap(tmp_path: Path, life: Logs) -> None:
    assert NAMES[0] in looked(Shelf(tmp_path / "shelf", {}), tmp_path).trouble


def test_what_was_stored_is_compared_with_its_manifest(tmp_path: Path, life: Logs) -> None:
    shelf = Shelf(tmp_path / "shelf", part(life, 1, 2))
    shelf.logs_there[NAMES[0]].write_bytes(life[NAMES[1]])

    assert f"{NAMES[0]} of l is not what was stored" in looked(shelf, tmp_path).trouble


def test_the_same_shipment_is_fetched_once_and_thought_of_in_the_same_way(tmp_path: Path, life: Logs) -> None:
    shelf = Shelf(tmp_path / "shelf", part(life, 1, 2, 3))

    first = looked(shelf, tmp_path, part(life, 4, 5, 6))
    again = looked(shelf, tmp_path)

    assert first == again
    assert shelf.fetched == 1


def test_a_repository_that_gives_nothing_out_is_said_to_be_so(tmp_path: Path, life: Logs) -> None:
    class Broken(Shelf):
        def restore(self, snapshot: str, target: str, only: list[str]) -> None:
            raise RepositoryError("the repository a did not give out the whole snapshot")

    facts = looked(Broken(tmp_path / "shelf", part(life, 1)), tmp_path)

    assert facts.trouble == "the chain cannot be read: the repository a did not give out the whole snapshot"


def test_without_a_full_copy_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    class Empty(Shelf):
        def databases(self) -> list[Snapshot]:
            return []

    assert (
        looked(Empty(tmp_path / "shelf", {}), tmp_path).trouble == "there is no full copy of the database: take one now"
    )
