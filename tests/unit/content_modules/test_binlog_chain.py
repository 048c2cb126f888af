"""A chain of binary logs is whole when each begins where the one before ends; every way to break it is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from ansible.module_utils.binlog_chain import Chain, Window, check, recoverable_window
from ansible.module_utils.binlog_events import BinlogError, EncryptedError
from ansible.module_utils.log_position import Position

from tests import binlogs

Logs = dict[str, bytes]
ONE, TWO, THREE, FOUR, FIVE, SIX = (f"mariadb-bin.{number:06}" for number in range(1, 7))
BASE = Position(ONE, 4)


@pytest.fixture(params=binlogs.VERSIONS)
def life(request: pytest.FixtureRequest) -> Logs:
    return binlogs.life(request.param)


@pytest.fixture
def judged(tmp_path: Path) -> Callable[..., Chain]:
    """Says what is thought of logs."""

    def judge(logs: Logs, base: Position = BASE, wanted: Position | None = None) -> Chain:
        for old in tmp_path.iterdir():
            old.unlink()
        return check(binlogs.written(tmp_path, logs), base, wanted)

    return judge


def place(data: bytes, number: int) -> int:
    """Where the transaction of this number begins."""
    return data.index(binlogs.transactions(data)[number][0])


def test_a_whole_life_is_an_unbroken_chain(life: Logs, judged: Callable[..., Chain]) -> None:
    found = judged(life)

    assert found.unbroken, found.sentence
    assert found.reach == Position(SIX, len(life[SIX]))
    assert [row.verdict for row in found.ledger] == [
        "right", "right", "right, ended by a crash", "right", "right", "right, and open",
    ]  # fmt: skip
    assert [(row.name, row.bytes, row.replay_until) for row in found.ledger] == [
        (name, len(data), len(data)) for name, data in life.items()
    ]
    assert (found.ledger[0].first_gtid, found.ledger[0].last_gtid, found.ledger[4].first_gtid) == ("0-7-1", "0-7-6", "")
    assert all(row.first_time <= row.last_time for row in found.ledger)
    assert found.reach_time == found.ledger[-1].last_time


def test_every_begin_of_a_transaction_may_be_the_backups_and_the_wanted_one(
    life: Logs, judged: Callable[..., Chain]
) -> None:
    for number in range(3):
        base, wanted = Position(TWO, place(life[TWO], number)), Position(THREE, place(life[THREE], 1))
        found = judged(life, base, wanted)
        assert found.unbroken, found.sentence
        assert found.reach == wanted
        assert [row.verdict for row in found.ledger] == [
            "before the backup", "right", "right as far as wanted", *["after the wanted position"] * 3,
        ]  # fmt: skip


@pytest.mark.parametrize("missing", [TWO, THREE, FOUR, FIVE])
def test_a_missing_middle_log_is_found(life: Logs, judged: Callable[..., Chain], missing: str) -> None:
    del life[missing]
    found = judged(life)

    assert not found.unbroken
    assert f"{missing} is missing" in found.sentence
    assert found.reach.file < missing
    assert found.ledger[-1].verdict == "not checked: the chain is broken before it" or missing == FIVE


def test_a_missing_log_is_found_though_the_others_were_renamed(life: Logs, judged: Callable[..., Chain]) -> None:
    found = judged({ONE: life[ONE], TWO: life[TWO], THREE: life[FOUR]})

    assert not found.unbroken
    assert f"transactions are missing between {TWO} and {THREE}" in found.sentence
    assert "ends with 0-7-11,1-7-2, the other follows 0-7-13,1-7-2" in found.sentence
    renamed = judged({ONE: life[FOUR], TWO: life[SIX]})
    assert "goes on in mariadb-bin.000005" in renamed.sentence


@pytest.mark.parametrize("name", [ONE, TWO, FOUR, FIVE])
def test_every_cut_between_two_events_of_a_closed_log_is_found(
    life: Logs, judged: Callable[..., Chain], name: str
) -> None:
    whole = life[name]
    for end in binlogs.boundaries(whole)[:-1]:
        found = judged({**life, name: whole[:end]})
        assert not found.unbroken, end
        assert name in found.sentence
        assert found.reach.file <= name


def test_a_cut_that_takes_transactions_from_a_crashed_log_is_found(life: Logs, judged: Callable[..., Chain]) -> None:
    whole = life[THREE]
    for end in binlogs.boundaries(whole)[1:-1]:
        found = judged({**life, THREE: whole[:end]})
        assert not found.unbroken, end
        assert "transactions are missing" in found.sentence


def test_a_log_that_no_start_of_a_server_follows_was_cut_and_no_crash(life: Logs, judged: Callable[..., Chain]) -> None:
    parts = binlogs.events(life[FOUR])[:-1]
    in_use = parts[0][:17] + b"\1\0" + parts[0][19:]

    assert f"{FOUR} was cut" in judged({**life, FOUR: binlogs.joined([in_use, *parts[1:]])}).sentence


def test_a_crash_may_tear_what_it_was_writing(life: Logs, judged: Callable[..., Chain]) -> None:
    begun = binlogs.placed(binlogs.transactions(life[SIX])[0][0], len(life[THREE]))
    for torn in (begun, begun[:30], begun[:3]):
        found = judged({**life, THREE: life[THREE] + torn})
        assert found.unbroken, found.sentence
        assert found.ledger[2].verdict == f"right, ended by a crash, torn at {len(life[THREE])}"
        assert found.ledger[2].replay_until == len(life[THREE])


def test_a_flipped_bit_is_found_wherever_it_is(life: Logs, judged: Callable[..., Chain]) -> None:
    for name in (TWO, THREE, SIX):
        for end in binlogs.boundaries(life[name]):
            found = judged({**life, name: binlogs.flipped(life[name], (end - 8) * 8)})
            assert not found.unbroken, (name, end)
            assert f"{name} is damaged at offset" in found.sentence
            assert "new full backup" in found.sentence


def test_damage_behind_the_wanted_position_does_not_matter(life: Logs, judged: Callable[..., Chain]) -> None:
    wanted = Position(TWO, place(life[TWO], 2))
    late = {**life, TWO: binlogs.flipped(life[TWO], (wanted.offset + 30) * 8), FOUR: b""}
    assert judged(late, BASE, wanted).unbroken
    early = {**life, TWO: binlogs.flipped(life[TWO], (wanted.offset - 30) * 8)}
    assert f"{TWO} is damaged" in judged(early, BASE, wanted).sentence


def test_a_purged_first_log_is_found(life: Logs, judged: Callable[..., Chain]) -> None:
    del life[ONE]
    found = judged(life)

    assert not found.unbroken
    assert f"{ONE}, in which the backup was made, is missing (the first log is {TWO})" in found.sentence
    assert found.reach == BASE
    assert "there is no log at all" in judged({}).sentence


def test_an_end_before_the_wanted_position_is_found(life: Logs, judged: Callable[..., Chain]) -> None:
    beyond = judged(life, BASE, Position("mariadb-bin.000007", 400))
    assert f"the logs end at {SIX}:{len(life[SIX])}, before the wanted mariadb-bin.000007:400" in beyond.sentence
    assert "before 99999" in judged(life, BASE, Position(SIX, 99999)).sentence
    within = judged(life, BASE, Position(SIX, place(life[SIX], 0) + 42))
    assert "no place between two transactions" in within.sentence
    before = judged(life, Position(TWO, place(life[TWO], 1)), Position(TWO, place(life[TWO], 0)))
    assert "lies before the backup" in before.sentence
    assert not any(found.unbroken for found in (beyond, within, before))


@pytest.mark.parametrize("version", binlogs.VERSIONS)
def test_logs_of_a_numbering_that_began_anew_are_found(judged: Callable[..., Chain], version: str) -> None:
    life = binlogs.life(version)
    anew = (binlogs.CASES / f"rows-{version}-reset" / ONE).read_bytes()
    offset = place(life[ONE], 1)
    same_place = place(anew, 1)

    assert "another log" in judged({ONE: anew}, Position(ONE, same_place, "0-7-5,1-7-2")).sentence
    assert "no place between" in judged({ONE: anew}, Position(ONE, offset, "0-7-1")).sentence
    assert "older than" in judged({ONE: anew, TWO: life[TWO]}).sentence
    assert judged(life, Position(ONE, offset, "0-7-1")).unbroken


def test_two_logs_of_one_name_are_found(life: Logs, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    paths = binlogs.written(tmp_path, life) + binlogs.written(tmp_path / "again", {TWO: life[TWO]})
    found = check(paths, BASE)

    assert not found.unbroken
    assert f"two logs named {TWO}" in found.sentence


def test_an_older_log_behind_a_newer_one_is_found_though_their_lists_fit(judged: Callable[..., Chain]) -> None:
    life = binlogs.life()
    parts = [binlogs.at(1_000_000_000, part) for part in binlogs.events(life[FIVE])]

    assert f"{FIVE} is older than {FOUR}" in judged({**life, FIVE: binlogs.joined(parts)}).sentence


@pytest.mark.parametrize(("name", "domain", "unbroken"), [(FIVE, 1, True), (SIX, 0, True), (FIVE, 0, False)])
def test_domains_that_were_taken_from_the_list_are_no_gap_unless_they_were_just_written_to(
    life: Logs, judged: Callable[..., Chain], name: str, domain: int, unbroken: bool
) -> None:
    last = {number: data for number, data in life.items() if number <= name}
    parts = binlogs.events(life[name])
    kept = [entry for entry in entries(parts[1]) if entry[0] != domain]
    parts[1] = parts[1][:19] + bytes([len(kept), 0, 0, 0]) + b"".join(kept) + parts[1][-4:]

    assert judged({**last, name: binlogs.joined(parts)}).unbroken is unbroken


def entries(listed: bytes) -> list[bytes]:
    body = listed[23:-4]
    return [body[at : at + 16] for at in range(0, len(body), 16)]


def test_a_backup_may_name_domains_that_the_log_does_not_have(life: Logs, judged: Callable[..., Chain]) -> None:
    offset = place(life[TWO], 0)
    assert judged(life, Position(TWO, offset, "0-7-6,1-7-2,9-9-9")).unbroken
    assert "says 0-7-6, but the log has 0-7-6,1-7-2" in judged(life, Position(TWO, offset, "0-7-6")).sentence
    with pytest.raises(BinlogError, match="no list of transactions"):
        judged(life, Position(TWO, offset, "7"))


def test_an_encrypted_log_in_a_chain_is_one_clear_error(life: Logs, judged: Callable[..., Chain]) -> None:
    with pytest.raises(EncryptedError, match=f"{TWO} cannot be checked: it is encrypted"):
        judged({**life, TWO: binlogs.log(1, life="encrypted")})


def test_the_window_goes_from_the_backup_to_where_the_chain_breaks(life: Logs, judged: Callable[..., Chain]) -> None:
    whole = judged(life)
    made = float(whole.ledger[0].first_time)

    assert recoverable_window(whole, made) == Window(made, float(whole.ledger[-1].last_time))
    assert recoverable_window(whole, made).behind(whole.reach_time + 7.5) == 7.5
    del life[FOUR]
    broken = judged(life)
    assert recoverable_window(broken, made) == Window(made, float(whole.ledger[2].last_time))
    assert recoverable_window(judged({}), made) == Window(made, made)
