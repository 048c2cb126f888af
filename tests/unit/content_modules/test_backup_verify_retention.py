"""What is removed is out of its time by this host's clock; the newest, and what was proven good, always stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from ansible.module_utils.restic_repository import Snapshot
from ansible.module_utils.verify_retention import DAY, HOUR, KINDS, SKEW, Rule, due, proven, removable, rules_of
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_795_000_000.0
RULES = rules_of({"keep_hours": 24, "keep_days": 7, "keep_log_days": 3, "keep_file_days": 30, "keep_months": 12})
FULL, LOGS, FILES, REDIS, POSTGRESQL, WAL = KINDS


def snapshot(number: int, age: float, kind: str = FULL) -> Snapshot:
    return Snapshot(f"{number:064x}", "a", NOW - age, ("remediate", kind, f"id={number}"))


def many(ages: Sequence[float], kind: str = FULL) -> list[Snapshot]:
    return [snapshot(number, age, kind) for number, age in enumerate(ages)]


def gone(snapshots: Sequence[Snapshot], protected: Sequence[str] = (), now: float = NOW) -> set[str]:
    return {one.id for one in removable(snapshots, now, RULES, protected)}


def ids(snapshots: Sequence[Snapshot]) -> set[str]:
    return {one.id for one in snapshots}


SNAPSHOTS = st.lists(
    st.builds(
        lambda age, kind: (age, kind),
        # From half a year ahead to two years back.
        st.floats(-180 * DAY, 730 * DAY),
        st.sampled_from([*KINDS, "other"]),
    ),
    max_size=40,
).map(lambda found: [snapshot(number, age, kind) for number, (age, kind) in enumerate(found)])


def test_of_one_copy_a_day_seven_days_stay_and_one_of_each_month_before() -> None:
    copies = many([day * DAY for day in range(400)])

    left = [one for one in copies if one.id not in gone(copies)]

    week = [one for one in left if one.made > NOW - 7 * DAY]
    assert len(week) == 7
    assert 11 <= len(left) - len(week) <= 13
    assert max(NOW - one.made for one in left) < 373 * DAY


def test_logs_stay_for_three_days_and_no_month_of_them() -> None:
    shipments = many([hour * HOUR for hour in range(200)], LOGS)

    assert gone(shipments) == {one.id for one in shipments if one.made <= NOW - 3 * DAY}


def test_every_copy_of_redis_of_a_day_stays_then_one_a_day() -> None:
    copies = many([hour * HOUR for hour in range(24 * 10)], REDIS)

    left = [one for one in copies if one.id not in gone(copies)]

    assert len([one for one in left if one.made > NOW - DAY]) == 24
    assert 6 <= len([one for one in left if one.made <= NOW - DAY]) <= 7


@pytest.mark.parametrize("kind", KINDS)
def test_the_newest_stays_however_old_it_is(kind: str) -> None:
    old = many([1000 * DAY, 1001 * DAY], kind)

    assert gone(old) == {old[1].id}


@given(SNAPSHOTS)
def test_the_newest_of_each_kind_that_is_not_of_the_future_always_stays(snapshots: list[Snapshot]) -> None:
    removed = gone(snapshots)
    for kind in KINDS:
        past = [one for one in snapshots if kind in one.tags and one.made <= NOW + SKEW]
        assert not past or max(past, key=lambda one: (one.made, one.id)).id not in removed


def test_a_clock_that_is_a_little_ahead_does_not_make_a_copy_one_of_the_future() -> None:
    old, newest = snapshot(0, 400 * DAY), snapshot(1, 1 - SKEW)

    assert gone([old, newest]) == {old.id}
    assert gone([old, snapshot(2, -1 - SKEW)]) == set()


@given(SNAPSHOTS, st.lists(st.tuples(st.floats(HOUR, 3650 * DAY), st.sampled_from(KINDS)), max_size=20))
def test_snapshots_of_the_future_push_nothing_out(snapshots: list[Snapshot], planted: list[tuple[float, str]]) -> None:
    past = [one for one in snapshots if one.made <= NOW]
    future = [snapshot(1000 + number, -ahead, kind) for number, (ahead, kind) in enumerate(planted)]

    assert gone([*past, *future]) == gone(past)


@given(SNAPSHOTS, st.data())
def test_what_was_proven_good_always_stays(snapshots: list[Snapshot], data: st.DataObject) -> None:
    protected = data.draw(st.lists(st.sampled_from(sorted(ids(snapshots))))) if snapshots else []

    assert not gone(snapshots, protected) & set(protected)


@given(SNAPSHOTS)
def test_all_of_the_last_hours_stays_and_something_of_every_day(snapshots: list[Snapshot]) -> None:
    left = [one for one in snapshots if one.id not in gone(snapshots)]
    for kind, rule in RULES.items():
        ours = [one for one in snapshots if kind in one.tags and one.made <= NOW]
        assert ids([one for one in ours if one.made > NOW - rule.all_within]) <= ids(left)
        days = {one.made // DAY for one in ours if one.made > NOW - rule.daily_within}
        assert days <= {one.made // DAY for one in left if kind in one.tags}


@given(SNAPSHOTS)
def test_nothing_is_left_to_remove_afterwards(snapshots: list[Snapshot]) -> None:
    left = [one for one in snapshots if one.id not in gone(snapshots)]

    assert gone(left) == set()


@given(SNAPSHOTS)
def test_what_is_not_of_exactly_one_kind_of_ours_is_not_touched(snapshots: list[Snapshot]) -> None:
    strange = {one.id for one in snapshots if "other" in one.tags}
    both = [replace(one, id=f"b{one.id}", tags=(*one.tags, FULL, LOGS)) for one in snapshots if "other" in one.tags]

    assert not gone([*snapshots, *both]) & (strange | ids(both))


def test_little_that_is_out_of_its_time_since_a_moment_is_not_worth_a_rewrite() -> None:
    shipments = many([hour * HOUR for hour in range(24 * 4 - 1)], LOGS)

    assert gone(shipments)
    assert due(shipments, NOW, RULES, (), DAY) == []
    assert ids(due(shipments, NOW, RULES, (), 12 * HOUR)) == gone(shipments)


@given(SNAPSHOTS)
def test_what_is_due_is_never_more_than_what_may_go(snapshots: list[Snapshot]) -> None:
    assert ids(due(snapshots, NOW, RULES, (), DAY)) in (set(), gone(snapshots))


def test_the_proven_chain_is_its_copy_and_the_newest_of_the_others_at_that_time() -> None:
    copy, newer = snapshot(1, 10 * DAY), snapshot(2, 5 * DAY)
    logs = [snapshot(10 + hour, 8 * DAY + hour * HOUR, LOGS) for hour in range(-3, 4)]
    redis = snapshot(30, 9 * DAY, REDIS)

    assert proven([copy, newer, *logs, redis], copy.id, NOW - 8 * DAY) == {copy.id, logs[3].id, redis.id}


def test_a_report_of_a_copy_that_is_not_here_proves_nothing() -> None:
    assert proven([snapshot(1, DAY)], "feed", NOW) == set()
    assert proven([snapshot(1, DAY)], "", NOW) == set()


def test_a_rule_without_days_and_months_keeps_what_is_within_its_time() -> None:
    copies = many([HOUR, 3 * HOUR, 5 * HOUR])

    assert removable(copies, NOW, {FULL: Rule(2 * HOUR)}, ()) == [copies[2], copies[1]]
