"""What is decided about a schedule: the whole table, jitter, and how late it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.domain.host import Host
from remediate.domain.run import RunStatus
from remediate.domain.schedule import (
    ON_TIME,
    Decision,
    Overdue,
    Schedule,
    Turn,
    answered_at,
    due,
    next_occurrence,
    occurrence,
    overdue,
    schedule_problems,
    targets,
    turn_entry,
    turn_of,
)
from remediate.testing import EPOCH
from tests.builders import parameter, run, runbook

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
#: Due at 02:00; the clock of the tests stands at 03:00.
TODAY = EPOCH.replace(hour=2)
WHEN = "due 2026-01-05 02:00:00Z"
HOSTS = (Host(name="near", groups=("web", "tidy_shelf_targets")), Host(name="far", groups=("web",)))


def schedule(**changes: Any) -> Schedule:
    values = {"name": "tidy", "runbook": "tidy-shelf", "cron": "0 2 * * *", "zone": ZoneInfo("UTC")}
    return Schedule.model_validate({**values, **changes})


def turn(decision: Decision = Decision.STARTED, **changes: Any) -> Turn:
    values = {"schedule": "tidy", "due": TODAY - DAY, "timing": "0 2 * * * UTC", "decided_at": TODAY - DAY}
    return Turn.model_validate({**values, "decision": decision, "reason": "so it was", **changes})


@pytest.mark.parametrize(
    ("last", "late", "going_on", "decision", "reason"),
    [
        (None, HOUR, "", Decision.TAKEN_UP, "it is new: it counts from now on"),
        (turn(timing="0 3 * * * UTC"), HOUR, "", Decision.TAKEN_UP, "its time was changed: it counts from now on"),
        (turn(), -timedelta(seconds=1), "", Decision.NOT_YET, "it is not due"),
        (turn(), timedelta(0), "", Decision.STARTED, WHEN),
        (turn(), ON_TIME, "", Decision.STARTED, WHEN),
        (turn(), HOUR, "", Decision.MADE_UP, f"{WHEN}, 1 h late"),
        (turn(due=TODAY - 4 * DAY), HOUR, "", Decision.MADE_UP, f"{WHEN}, 1 h late; 3 before it are left out"),
        (turn(), 6 * HOUR, "", Decision.MADE_UP, f"{WHEN}, 6 h late"),
        (
            turn(),
            6 * HOUR + timedelta(seconds=1),
            "",
            Decision.TOO_OLD,
            f"{WHEN}, 6 h late: after 6 h it is not made up",
        ),
        (turn(), timedelta(0), "r-1", Decision.OVERLAP, f"{WHEN}, while run r-1 of the time before goes on"),
        (turn(due=TODAY), HOUR, "", Decision.NOT_YET, "it is not due"),
        (turn(Decision.OVERLAP, due=TODAY), HOUR, "", Decision.NOT_YET, "it is not due"),
        # The clock of the machine was put back: what was begun is not begun again.
        (turn(due=TODAY + DAY), HOUR, "", Decision.NOT_YET, "it is not due"),
    ],
)
def test_what_is_decided(last: Turn | None, late: timedelta, going_on: str, decision: Decision, reason: str) -> None:
    found = due(schedule(missed=6 * HOUR), last, TODAY + late, going_on=going_on)

    assert (found.decision, found.reason) == (decision, reason)
    assert (found.occurrence is None) is (decision is Decision.NOT_YET)


def test_whatever_may_be_made_up_is_begun_in_time_though() -> None:
    assert due(schedule(missed=timedelta(seconds=1)), turn(), TODAY + ON_TIME).decision is Decision.STARTED


def test_with_jitter_the_one_before_counts_until_it_begins() -> None:
    shifted = schedule(jitter=2 * HOUR)
    begins = occurrence(shifted, TODAY).begins
    assert begins > TODAY

    before = due(shifted, turn(due=TODAY - 2 * DAY), begins - timedelta(seconds=1))
    assert before.occurrence is not None
    assert before.occurrence.due == TODAY - DAY
    assert due(shifted, turn(), begins - timedelta(seconds=1)).decision is Decision.NOT_YET
    assert due(shifted, turn(), begins).decision is Decision.STARTED


@given(seconds=st.integers(0, 7200), name=st.text("abc", min_size=1, max_size=5), days=st.integers(0, 400))
def test_jitter_stays_within_its_bounds_and_is_the_same_for_every_service(seconds: int, name: str, days: int) -> None:
    shifted = schedule(name=name, jitter=timedelta(seconds=seconds))
    at = TODAY + days * DAY
    found = occurrence(shifted, at)

    assert at <= found.begins <= at + timedelta(seconds=seconds)
    assert found == occurrence(shifted.model_copy(), at.astimezone(ZoneInfo("Asia/Tokyo")))


def test_jitter_spreads() -> None:
    shifted = schedule(jitter=HOUR)

    assert len({occurrence(shifted, TODAY + day * DAY).begins - day * DAY for day in range(30)}) > 20


def test_the_next_occurrence_is_one_that_has_not_begun() -> None:
    shifted = schedule(jitter=2 * HOUR)
    today = occurrence(shifted, TODAY)

    assert next_occurrence(shifted, today.begins - timedelta(seconds=1)) == today
    assert next_occurrence(shifted, today.begins) == occurrence(shifted, TODAY + DAY)
    assert next_occurrence(schedule(cron="0 0 29 2 *"), EPOCH) is not None


@pytest.mark.parametrize(
    ("answered", "after", "expected"),
    [
        (None, HOUR, Overdue()),
        (TODAY, HOUR, Overdue(window=DAY)),
        (TODAY - DAY, HOUR, Overdue(since=TODAY, late=HOUR, window=DAY)),
        (TODAY - 3 * DAY, HOUR, Overdue(since=TODAY - 2 * DAY, late=2 * DAY + HOUR, window=DAY)),
    ],
)
def test_how_long_a_schedule_is_without_an_answer(answered: Any, after: timedelta, expected: Overdue) -> None:
    assert overdue(schedule(), answered, TODAY + after) == expected


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([], None),
        ([(Decision.STARTED, RunStatus.SUCCEEDED)], 0),
        ([(Decision.STARTED, RunStatus.FAILED)], 0),
        (
            [
                (Decision.OVERLAP, None),
                (Decision.STARTED, RunStatus.DIAGNOSING),
                (Decision.STARTED, RunStatus.NOT_NEEDED),
            ],
            2,
        ),
        ([(Decision.STARTED, RunStatus.PARKED), (Decision.TAKEN_UP, None), (Decision.STARTED, RunStatus.SUCCEEDED)], 1),
        ([(Decision.STARTED, RunStatus.PARKED), (Decision.STARTED, RunStatus.UNPROVEN)], 1),
    ],
)
def test_which_turn_had_an_answer(ends: list[tuple[Decision, RunStatus | None]], expected: int | None) -> None:
    turns = [(turn(decision, due=TODAY - number * DAY), status) for number, (decision, status) in enumerate(ends)]

    assert answered_at(turns) == (None if expected is None else TODAY - expected * DAY)


def test_hosts_are_those_that_are_named_or_of_the_group_or_of_the_runbook() -> None:
    assert targets(schedule(), runbook(), HOSTS) == (("near",), "")
    assert targets(schedule(group="web"), runbook(), HOSTS) == (("near", "far"), "")
    assert targets(schedule(hosts=("far",)), runbook(), HOSTS) == (("far",), "")


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"hosts": ("near", "fra")}, "hosts", "'fra' is not a host of the inventory (did you mean 'far'?)"),
        ({"hosts": ("all",)}, "hosts", "'all' is a pattern"),
        ({"hosts": ("n*",)}, "hosts", "'n*' is a pattern"),
        ({"group": "db"}, "group", "no host of the inventory is in the group 'db'"),
        ({"parameters": {"kepe": 3}}, "parameters", "did you mean keep?"),
        ({"parameters": {"keep": "many"}}, "parameters", "a whole number is wanted"),
    ],
)
def test_what_does_not_fit_the_site_is_told(changes: dict[str, Any], field: str, said: str) -> None:
    shelf = runbook(parameter("tidy_shelf_keep", "int"))
    ((where, what),) = schedule_problems(schedule(**changes), shelf, HOSTS)

    assert where == field
    assert said in what


def test_without_any_host_the_remedy_is_named() -> None:
    ((_, what),) = schedule_problems(schedule(), runbook(), (HOSTS[1],))

    assert what == "no host of the inventory is in the group 'tidy_shelf_targets': name `hosts:`, or another `group:`"


def test_the_trail_is_told_of_the_run_or_else_of_the_schedule() -> None:
    found = due(schedule(), turn(), TODAY)
    started = turn_entry(turn_of(schedule(), found, EPOCH, run=run("r-1")))
    skipped = turn_entry(turn_of(schedule(), found, EPOCH))

    assert (started.subject, skipped.subject) == ("r-1/schedule", "schedule:tidy")
    assert started.action == "schedule.decided"
    assert started.details == {
        "schedule": "tidy",
        "due": "2026-01-05T02:00:00Z",
        "decision": "started",
        "reason": "due 2026-01-05 02:00:00Z",
    }
