"""Segments of a write-ahead log by their names: which follows which, and what is missing between two of them."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.postgresql_wal import (
    BadNameError,
    Range,
    Segment,
    gap,
    holding,
    name_of,
    needed,
    position,
    segment,
    stored_as,
)
from hypothesis import given
from hypothesis import strategies as st

MB = 1 << 20
SIZE = 16 * MB
SIZES = st.sampled_from([1 << power for power in range(20, 31)])
DIGEST = "0123456789abcdef0123456789abcdef01234567"


def path(name: str, archive: str = "17-1", digest: str = DIGEST, ending: str = ".gz") -> str:
    return f"{archive}/{name[:16]}/{name}-{digest}{ending}"


def names(first: int, last: int, timeline: int = 1) -> list[str]:
    return [name_of(Segment(timeline, number), SIZE) for number in range(first, last + 1)]


def wanted(first: int, last: int, timelines: tuple[int, int] = (1, 1)) -> Range:
    begin, end = (name_of(Segment(t, n), SIZE) for t, n in zip(timelines, (first, last), strict=True))
    return Range("17-1", begin, end, SIZE)


def test_positions_and_segments_are_what_the_server_says_they_are() -> None:
    assert position("0/3000148") == 0x3000148
    assert position("16/B374D848") == 0x16B374D848
    # pg_walfile_name of a server with segments of 16 MB.
    assert holding(1, position("0/3000148"), SIZE) == "000000010000000000000003"
    assert holding(2, position("16/B374D848"), SIZE) == "0000000200000016000000B3"
    # What ends at the border of a segment is in the one before.
    assert holding(1, position("0/4000000"), SIZE) == "000000010000000000000003"


def test_after_the_last_segment_of_a_log_comes_the_first_of_the_next() -> None:
    last = segment("0000000100000000000000FF", SIZE)
    assert name_of(Segment(1, last.number + 1), SIZE) == "000000010000000100000000"


@given(st.integers(1, 2**31), st.integers(0, 2**40), SIZES)
def test_names_and_numbers_are_the_same_thing(timeline: int, number: int, size: int) -> None:
    number %= (1 << 32) * ((1 << 32) // size)
    assert segment(name_of(Segment(timeline, number), size), size) == Segment(timeline, number)


@given(st.integers(1, 2**63), SIZES)
def test_the_segment_that_holds_a_byte_does(place: int, size: int) -> None:
    number = segment(holding(1, place, size), size).number
    assert number * size < place <= (number + 1) * size


@pytest.mark.parametrize("text", ["", "0", "0/", "/0", "0/G", "0/123456789", "-1/0", "0/1 ", "+0/1"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(BadNameError):
        position(text)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("00000001000000000000000", SIZE),
        ("00000001000000000000000g", SIZE),
        ("0000000100000000000000ff", SIZE),
        ("000000010000000000000100", SIZE),
        ("000000010000000000000001", 0),
        ("000000010000000000000001", SIZE + 1),
        ("000000010000000000000001", 1 << 31),
    ],
)
def test_what_is_no_name_of_a_segment_is_refused(name: str, size: int) -> None:
    with pytest.raises(BadNameError):
        segment(name, size)


def test_stored_segments_are_told_from_all_else() -> None:
    assert stored_as(path("000000010000000000000003")) == ("17-1", "000000010000000000000003")
    assert stored_as(path("000000010000000000000003", "9.6-2", ending="")) == ("9.6-2", "000000010000000000000003")
    for other in (
        "archive.info",
        "17-1/00000002.history",
        f"17-1/0000000100000000/000000010000000000000003.partial-{DIGEST}.gz",
        "17-1/0000000100000000/000000010000000000000003.00000028.backup",
        f"{path('000000010000000000000003')}.pgbackrest.tmp",
        f"x/{path('000000010000000000000003')}",
    ):
        assert stored_as(other) is None


def test_a_log_without_a_gap_leads_on_whatever_else_is_there() -> None:
    paths = [path(name) for name in names(2, 9)]
    assert gap(wanted(3, 8), [*paths, "17-1/00000002.history", "archive.info"]) == ""
    assert gap(wanted(3, 3), [path(names(3, 3)[0])]) == ""


@pytest.mark.parametrize(
    ("there", "words"),
    [
        ([3, 4, 6, 7, 8], "the segment 000000010000000000000005 is missing"),
        ([4, 5, 6, 7, 8], "the segment 000000010000000000000003 is missing"),
        ([3, 4, 5, 6, 7], "the segment 000000010000000000000008 is missing"),
        ([3], "000000010000000000000004, 000000010000000000000005, 000000010000000000000006 and 2 more are missing"),
        ([], "and 3 more are missing"),
    ],
)
def test_a_missing_segment_is_named(there: list[int], words: str) -> None:
    assert words in gap(wanted(3, 8), [path(names(number, number)[0]) for number in there])


@given(st.data())
def test_whatever_is_taken_away_between_the_two_ends_is_noticed(data: Any) -> None:
    first, count = data.draw(st.integers(0, 600)), data.draw(st.integers(1, 40))
    paths = [path(name) for name in names(first, first + count - 1)]
    lost = data.draw(st.integers(0, count - 1))
    assert gap(wanted(first, first + count - 1), paths) == ""
    assert "is missing" in gap(wanted(first, first + count - 1), paths[:lost] + paths[lost + 1 :])


def test_segments_of_another_archive_do_not_count() -> None:
    assert "is missing" in gap(wanted(3, 3), [path(names(3, 3)[0], "17-2")])


def test_a_segment_that_is_there_twice_is_no_proof_of_either() -> None:
    (name,) = names(3, 3)
    assert gap(wanted(3, 3), [path(name), path(name, digest="f" * 40)]) == (
        f"the segment {name} is stored twice, with different content"
    )


def test_another_timeline_goes_on_where_its_history_is_there() -> None:
    paths = [*map(path, names(3, 5)), *map(path, names(5, 8, timeline=2))]
    assert gap(wanted(3, 8, (1, 2)), [*paths, "17-1/00000002.history"]) == ""
    assert gap(wanted(3, 8, (1, 2)), paths) == "the history of the timeline 00000002 is missing"
    # What a later timeline has is not what was on this one.
    assert "are missing" in gap(wanted(3, 8), paths)


def test_a_log_that_ends_before_it_begins_is_none() -> None:
    assert "before the copy begins" in gap(wanted(8, 3), map(path, names(3, 8)))
    assert "before the copy begins" in gap(wanted(3, 8, (2, 1)), map(path, names(3, 8)))


def test_only_the_segments_of_the_range_are_needed_in_their_order() -> None:
    paths = [path(name) for name in reversed(names(1, 9))]
    assert needed(wanted(3, 5), [*paths, "archive.info", path(names(4, 4)[0], "17-2")]) == [
        path(name) for name in names(3, 5)
    ]
