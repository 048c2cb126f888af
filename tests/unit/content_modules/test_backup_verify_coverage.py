"""Every part of a repository is read within as many readings as there are parts, and what was read is counted."""

from __future__ import annotations

from ansible.module_utils.verify_coverage import Coverage, from_record
from hypothesis import given
from hypothesis import strategies as st

DAY = 86400.0


@given(st.integers(1, 255), st.integers(0, 600))
def test_after_any_number_of_readings_as_many_more_as_there_are_parts_read_all(total: int, before: int) -> None:
    coverage = Coverage("r", total)
    for number in range(before % (2 * total)):
        coverage = coverage.after(coverage.next_part(), 1000.0 + number, "")

    seen = set()
    for number in range(total):
        seen.add(coverage.next_part())
        coverage = coverage.after(coverage.next_part(), 5000.0 + number, "")

    assert seen == set(range(1, total + 1))
    assert coverage.share(6000.0, 1000.0) == 1.0


def test_a_damaged_part_is_read_again_at_every_look_until_it_is_good() -> None:
    coverage = Coverage("r", 3).after(1, 10.0, "bit").after(2, 20.0, "")

    assert (coverage.next_part(), coverage.is_due(20.0, DAY)) == (1, True)
    assert coverage.share(30.0, DAY) == 1 / 3
    good = coverage.after(1, 30.0, "")
    assert (good.next_part(), good.is_due(31.0, DAY), good.bad) == (3, False, {})


def test_a_part_is_due_once_a_period() -> None:
    coverage = Coverage("r", 3)

    assert coverage.is_due(0.0, DAY)
    assert not coverage.after(1, 100.0, "").is_due(100.0 + DAY - 1, DAY)
    assert coverage.after(1, 100.0, "").is_due(100.0 + DAY, DAY)


def test_a_clock_that_was_set_back_keeps_nothing_from_being_read() -> None:
    assert Coverage("r", 3).after(1, 5000.0, "").is_due(100.0, DAY)


def test_what_was_read_long_ago_does_not_count() -> None:
    coverage = Coverage("r", 2).after(1, 100.0, "").after(2, 100.0 + 9 * DAY, "")

    assert coverage.share(200.0 + 9 * DAY, 2 * DAY) == 0.5


def test_it_is_the_same_after_it_was_written_down() -> None:
    coverage = Coverage("r", 3).after(1, 10.0, "bit").after(3, 20.0, "")

    assert from_record(coverage.record(), "r", 3) == coverage


def test_of_another_repository_or_other_parts_nothing_counts() -> None:
    record = Coverage("r", 3).after(1, 10.0, "bit").record()

    assert from_record(record, "other", 3) == Coverage("other", 3)
    assert from_record(record, "r", 4) == Coverage("r", 4)
    for broken in ({}, {**record, "read": {"x": 1}}, {**record, "bad": 3}):
        assert from_record(broken, "r", 3) == Coverage("r", 3)
