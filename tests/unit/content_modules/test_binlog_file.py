"""A binary log is read to its end, and whatever is not as the server wrote it is found, with its place."""

from __future__ import annotations

import struct
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import binlog_events
from ansible.module_utils.binlog_events import BinlogError, EncryptedError, Gtid
from ansible.module_utils.binlog_file import LogSummary, read_log
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import binlogs

NAME = "mariadb-bin.000002"
#: The one bit that no CRC protects, and that the server itself changes: the log is in use.
IN_USE = (4 + 17) * 8


def summary(data: bytes, marks: tuple[int, ...] = ()) -> Any:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / NAME
        path.write_bytes(data)
        return replace(read_log(str(path), marks), path="")


@pytest.mark.parametrize("version", binlogs.VERSIONS)
def test_a_rotated_log_says_what_lies_before_and_after_it(version: str) -> None:
    data = binlogs.log(2, version)
    found = summary(data)

    assert (found.damage, found.ending, found.in_use, found.at_startup) == (None, "stop", False, False)
    assert found.server_version.startswith(version)
    assert (found.stem, found.number, found.size, found.sound_until) == ("mariadb-bin", 2, len(data), len(data))
    assert found.head == (Gtid(0, 7, 6), Gtid(1, 7, 2))
    assert found.state == (Gtid(0, 8, 7), Gtid(0, 7, 11), Gtid(1, 7, 2)), "the newest of a domain comes last"
    assert (found.first_gtid, found.last_gtid, found.transactions) == (Gtid(0, 8, 7), Gtid(0, 7, 11), 5)
    assert found.made < found.last_time
    assert summary(binlogs.log(1, version)).next_name == "mariadb-bin.000002"


@pytest.mark.parametrize("version", binlogs.VERSIONS)
def test_a_log_that_is_open_or_was_when_the_server_was_killed_has_no_end(version: str) -> None:
    crashed, opened = summary(binlogs.log(3, version)), summary(binlogs.log(6, version))

    assert (crashed.damage, crashed.ending, crashed.in_use, crashed.transactions) == (None, "", True, 2)
    assert (opened.damage, opened.ending, opened.in_use, opened.unfinished) == (None, "", True, False)


def test_an_empty_log_and_a_compressed_one_are_right() -> None:
    empty, compressed = summary(binlogs.log(5)), summary(binlogs.log(1, life="mixed"))

    assert (empty.damage, empty.transactions, empty.head) == (None, 0, empty.state)
    assert (compressed.damage, compressed.transactions, compressed.ending) == (None, 5, "stop")


def test_since_11_4_events_within_a_transaction_do_not_say_where_they_stand() -> None:
    old, new = ([event[13:17] for event in binlogs.events(binlogs.log(2, one))] for one in binlogs.VERSIONS)

    assert b"\0\0\0\0" not in old
    assert b"\0\0\0\0" in new


def test_an_encrypted_log_is_one_clear_error() -> None:
    with pytest.raises(EncryptedError, match=r"000002 cannot be checked: it is encrypted.*encrypt_binlog=OFF"):
        summary(binlogs.log(1, life="encrypted"))
    with pytest.raises(EncryptedError, match="encrypted"):
        summary(b"\xfdbin" + bytes(600))


@pytest.mark.parametrize("version", binlogs.VERSIONS)
@pytest.mark.parametrize("number", [2, 3])
def test_any_flipped_bit_is_found(version: str, number: int) -> None:
    data = binlogs.log(number, version)
    right = summary(data)

    @settings(max_examples=300, deadline=None)
    @given(st.integers(0, len(data) * 8 - 1))
    def flip(bit: int) -> None:
        found = summary(binlogs.flipped(data, bit))
        if bit == IN_USE:
            assert found == replace(right, in_use=not right.in_use)
        else:
            assert found.damage
            assert found.damage.offset <= bit // 8 < begin_after(data, found.damage.offset)

    flip()


def begin_after(data: bytes, offset: int) -> int:
    """Where the event behind this offset begins."""
    return next(end for end in binlogs.boundaries(data) if end > offset)


@settings(max_examples=60, deadline=None)
@given(st.integers(100, 3000), st.sampled_from(["rows-10.11", "rows-11.8"]), st.integers(0, 1 << 14))
def test_where_blocks_end_makes_no_difference(block: int, life: str, bit: int) -> None:
    data = (binlogs.CASES / life / "mariadb-bin.000001").read_bytes()
    broken = binlogs.flipped(data, bit % (len(data) * 8))
    right, wrong = summary(data, (4, 405, 612)), summary(broken)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binlog_events, "_BLOCK", block)
        assert summary(data, (4, 405, 612)) == right
        again = summary(broken)
    assert (again.state, again.sound_until) == (wrong.state, wrong.sound_until)
    assert (again.damage is None) == (wrong.damage is None)
    assert not again.damage or again.damage.offset == wrong.damage.offset


def test_every_cut_within_an_event_is_torn_and_named() -> None:
    data = binlogs.log(2)
    ends = binlogs.boundaries(data)
    for size in range(len(data)):
        found = summary(data[:size])
        if size in ends[1:]:
            assert found.damage is None
            continue
        assert found.damage, size
        assert found.damage.torn
        assert found.damage.offset == max([end for end in (0, 4, *ends) if end <= max(size, 0)][-1:] or [0])


def test_a_cut_within_a_transaction_does_not_count_it() -> None:
    data = binlogs.log(2)
    first = binlogs.transactions(data)[0]
    begin = data.index(first[0])
    cut = summary(data[: begin + len(first[0]) + len(first[1])])

    assert (cut.unfinished, cut.sound_until, cut.transactions, cut.state) == (True, begin, 0, cut.head)
    assert summary(data[: begin + sum(map(len, first))]).state == (Gtid(0, 7, 6), Gtid(0, 8, 7), Gtid(1, 7, 2))


@pytest.mark.parametrize("version", binlogs.VERSIONS)
@pytest.mark.parametrize(("life", "number"), [("rows", 1), ("rows", 2), ("mixed", 1)])
def test_each_transaction_counts_from_its_last_event_on(version: str, life: str, number: int) -> None:
    data = binlogs.log(number, version, life)
    found = binlogs.transactions(data)
    begin = data.index(found[0][0])
    for before, transaction in enumerate(found):
        end = begin + sum(map(len, transaction))
        for size, count in ((end, before + 1), (end - len(transaction[-1]), before)):
            cut = summary(data[:size])
            assert (cut.transactions, cut.unfinished) == (count, count == before), size
        begin = end


@pytest.mark.parametrize("size", [480, 500, 600, 5000])
def test_flipped_bits_in_longer_events_are_found(size: int) -> None:
    parts = binlogs.events(binlogs.log(2))
    rows = next(place for place, event in enumerate(parts) if event[4] == 23)
    parts[rows] = parts[rows][:-4] + bytes(size - len(parts[rows])) + parts[rows][-4:]
    data = binlogs.joined(parts)
    begin = len(binlogs.joined(parts[:rows]))

    assert summary(data).damage is None
    for place in (0, 20, size // 2, size - 1):
        assert summary(binlogs.flipped(data, (begin + place) * 8 + 3)).damage.offset == begin


def test_marks_tell_what_had_been_committed_between_two_transactions_only() -> None:
    data = binlogs.log(2)
    ends = binlogs.boundaries(data)
    first = binlogs.transactions(data)[0]
    begin = data.index(first[0])
    found = summary(data, (4, ends[0], begin, begin + len(first[0]), begin + sum(map(len, first)), len(data), 99999))

    assert [mark.offset for mark in found.marks] == [4, ends[0], begin, begin + sum(map(len, first)), len(data)]
    assert found.at(4) == found.at(begin) == found.head
    assert found.at(begin + sum(map(len, first))) == (Gtid(0, 7, 6), Gtid(0, 8, 7), Gtid(1, 7, 2))
    assert found.at(begin + len(first[0])) is None


@pytest.mark.parametrize("version", binlogs.VERSIONS)
def test_events_that_are_right_but_stand_elsewhere_are_found(version: str) -> None:
    data = binlogs.log(2, version)
    parts = binlogs.events(data)
    for left_out in range(1, len(parts) - 1):
        found = summary(data[:4] + b"".join(parts[:left_out] + parts[left_out + 1 :]))
        assert found.damage, left_out
        assert "stands elsewhere" in found.damage.words or "cannot end" in found.damage.words


def test_a_log_that_goes_on_after_its_end_is_damaged() -> None:
    parts = binlogs.events(binlogs.log(2))
    for more in (parts[-1], parts[4], parts[5]):
        found = summary(binlogs.joined([*parts, more]))
        assert found.damage == binlog_events.Damage(len(binlogs.log(2)), "the log goes on after its end")


def test_what_the_server_could_not_log_is_damage() -> None:
    parts = binlogs.events(binlogs.log(2))
    incident = parts[-1][:4] + bytes([26]) + parts[-1][5:-4] + b"\1\0\0" + parts[-1][-4:]
    found = summary(binlogs.joined([*parts[:4], incident, *parts[4:]]))

    assert "could not log everything" in found.damage.words


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda parts: [parts[0][:-5] + b"\0" + parts[0][-4:], *parts[1:]], "have no CRC"),
        (lambda parts: [parts[0], *parts[2:]], "which transactions came before"),
        (lambda parts: [parts[0][:19] + b"\3" + parts[0][20:], *parts[1:]], "another format"),
        (lambda parts: parts[:1], "ends before it says what came before"),
        (lambda parts: [parts[0], parts[1][:19] + b"\xff\xff" + parts[1][21:], *parts[2:]], "cannot be understood"),
    ],
)
def test_a_log_that_is_not_usable_says_why(change: Any, said: str) -> None:
    assert said in summary(binlogs.joined(change(binlogs.events(binlogs.log(2))))).damage.words


def test_an_event_that_is_longer_than_a_block_is_checked_piece_by_piece() -> None:
    parts = binlogs.events(binlogs.log(2))
    rows = next(place for place, event in enumerate(parts) if event[4] == 23)
    parts[rows] = parts[rows][:-4] + bytes(3 << 20) + parts[rows][-4:]
    data = binlogs.joined(parts)
    begin = len(binlogs.joined(parts[:rows]))

    assert summary(data).damage is None
    assert summary(binlogs.flipped(data, (begin + (2 << 20)) * 8)).damage.offset == begin
    torn = summary(data[: begin + (2 << 20)])
    assert (torn.damage.offset, torn.damage.torn) == (begin, True)


def test_positions_beyond_32_bits_are_right() -> None:
    event = binlogs.placed(binlogs.events(binlogs.log(2))[3], (1 << 32) - 10)

    assert struct.unpack_from("<I", event, 13)[0] < 100
    with tempfile.TemporaryFile() as source:
        source.write(event)
        source.seek(0)
        assert len(list(binlog_events.events(source, (1 << 32) - 10, frozenset({event[4]})))) == 1


def test_what_is_no_log_is_said(tmp_path: Path) -> None:
    (tmp_path / "mariadb-bin.index").write_bytes(b"")
    with pytest.raises(BinlogError, match="no name of a binary log"):
        read_log(str(tmp_path / "mariadb-bin.index"))
    with pytest.raises(BinlogError, match="cannot be read"):
        read_log(str(tmp_path / "mariadb-bin.000009"))
    assert summary(b"").damage == binlog_events.Damage(0, summary(b"").damage.words, torn=True)
    assert isinstance(summary(b"PK\3\4" + bytes(100)), LogSummary)
