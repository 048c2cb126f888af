"""What a look at the queues means: each cause from its evidence, both where there are two, none on a healthy host."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.failed_jobs import Failed, FailedJobsError, parsed
from ansible.module_utils.host_checks import CURED, NOT_CURED, check, worst
from ansible.module_utils.queue_check import Window, judged
from ansible.module_utils.queue_decision import decide
from ansible.module_utils.queue_jobs import Depth, JobClass, Moment, class_of, falls, moved
from ansible.module_utils.queue_look import BUSY, IDLE, STUCK, TAKES, Facts, Watched
from ansible.module_utils.queue_metrics import _sum
from ansible.module_utils.queue_parameters import mistake_in
from ansible.module_utils.queue_redis import RedisState
from ansible.module_utils.redis_persistence import Saved
from ansible.module_utils.remediate_stack import ServiceState

UP = ServiceState(True, "running", "active, running")
DOWN = ServiceState(False, "exited (137)", "Exited (137) a minute ago")
SETTINGS: dict[str, Any] = {
    "queues": ["default", "emails"],
    "redis_port": 6379,
    "redis_db": 2,
    "redis_prefix": "",
    "redis_dump": "dump.rdb",
    "redis_aof": "appendonlydir",
    "redis_persistence": "auto",
    "database": "chom",
    "failed_table": "failed_jobs",
    "backlog": 1000,
    "drain": 300,
    "workers_add": 2,
    "workers_max": 4,
    "stuck": 30,
    "sample": 10,
    "poison_attempts": 10,
    "poison_failures": 10,
    "poison_ignore": [],
    "window": 300,
    "health_wait": 15,
}
SPARE = ["worker 2", "worker 3"]
INVOICE = "App\\Jobs\\SendInvoice"


def depth(waiting: int = 0, head: str = "", **more: int) -> Depth:
    numbers = {"delayed": 0, "reserved": 0, "overdue": 0, "abandoned": 0, **more}
    return Depth("default", waiting, head=head, **numbers)


def watched(pace: str, first: Depth, last: Depth, seconds: float = 10.0) -> Watched:
    return Watched(Moment(100.0, (first,)), Moment(100.0 + seconds, (last,)), pace)


def facts(**more: Any) -> Facts:
    healthy = Facts(RedisState(), UP, {"worker 1": UP}, watched=watched(IDLE, depth(), depth()), failed=Failed({}, 3))
    return replace(healthy, **more)


def poison(attempts: int = 57, tried_often: int = 6, name: str = INVOICE) -> JobClass:
    return JobClass(name, 6, attempts, tried_often, ("default",))


def test_on_a_healthy_host_there_is_nothing_to_do() -> None:
    found = decide(facts(), SETTINGS, SPARE)
    assert (found.causes, found.steps, found.notes) == ({}, [], [])
    assert found.summary.endswith("nothing to do")


def test_a_worker_that_does_not_run_is_started() -> None:
    found = decide(facts(workers={"worker 1": DOWN, "worker 2": UP}), SETTINGS, SPARE)
    assert found.causes == {"workers_dead": ["worker 1 is exited (137) (Exited (137) a minute ago)"]}
    assert [(one.verb, one.target, one.undo) for one in found.steps] == [("start", "queue", "not_needed")]


def test_workers_that_take_nothing_are_restarted() -> None:
    stuck = watched(STUCK, depth(30, "a"), depth(30, "a", overdue=2, abandoned=2))
    found = decide(facts(watched=stuck), SETTINGS, SPARE)
    assert list(found.causes) == ["workers_dead"]
    assert "took none of 32 jobs" in found.causes["workers_dead"][0]
    assert [(one.verb, one.target) for one in found.steps] == [("restart", "queue")]


def test_workers_that_are_busy_with_a_long_job_are_left_alone() -> None:
    assert not decide(facts(watched=watched(BUSY, depth(5, "a"), depth(5, "a", reserved=1))), SETTINGS, SPARE).causes


def test_a_poison_job_is_quarantined_by_its_class_and_then_workers_are_restarted() -> None:
    found = decide(facts(jobs=(poison(), JobClass("App\\Jobs\\HandleOrder", 40, 1, 0, ("default",)))), SETTINGS, SPARE)
    assert list(found.causes) == ["poison_job"]
    assert [(one.verb, one.target, one.undo) for one in found.steps] == [
        ("quarantine", "App\\Jobs\\SendInvoice", "held"),
        ("restart", "queue", "not_needed"),
    ]
    assert found.steps[0].data == {"class": INVOICE}


def test_what_moves_by_itself_is_not_part_of_what_is_approved() -> None:
    one = decide(facts(jobs=(poison(57),)), SETTINGS, SPARE).steps
    other = decide(facts(jobs=(poison(912),)), SETTINGS, SPARE).steps
    assert [(s.cause, s.verb, s.target, s.detail) for s in one] == [
        (s.cause, s.verb, s.target, s.detail) for s in other
    ]


def test_a_class_that_fails_for_good_again_and_again_is_poison_while_more_of_it_waits() -> None:
    failing = Failed({INVOICE: 10, "App\\Jobs\\HandleOrder": 2}, 40)
    waiting = facts(failed=failing, jobs=(poison(3, 0),))
    assert list(decide(waiting, SETTINGS, SPARE).causes) == ["poison_job"]
    none_waits = decide(facts(failed=failing), SETTINGS, SPARE)
    assert not none_waits.causes
    assert "none of them waits any more: 10 of App\\Jobs\\SendInvoice" in none_waits.notes[0]


def test_a_class_that_is_put_back_on_purpose_is_not_poison() -> None:
    assert not decide(facts(jobs=(poison(),)), {**SETTINGS, "poison_ignore": [INVOICE]}, SPARE).causes


def test_jobs_that_fail_because_the_application_does_are_not_blamed() -> None:
    ill = facts(jobs=(poison(),), application=check("application", NOT_CURED, "answered 503"))
    found = decide(ill, SETTINGS, SPARE)
    assert not found.causes
    assert "that comes first, see service-outage" in found.notes[0]


def test_a_name_that_a_terminal_would_obey_is_shown_harmless_and_used_as_it_is() -> None:
    step = decide(facts(jobs=(poison(name="A\x1b[2J{{ x }}"),)), SETTINGS, SPARE).steps[0]
    assert "\x1b" not in step.target
    assert step.data["class"] == "A\x1b[2J{{ x }}"


def test_poison_and_dead_workers_are_both_named() -> None:
    found = decide(facts(jobs=(poison(),), workers={"worker 1": DOWN}), SETTINGS, SPARE)
    assert list(found.causes) == ["poison_job", "workers_dead"]
    assert [one.verb for one in found.steps] == ["quarantine", "restart", "start"]


def test_redis_is_revived_when_what_it_saved_is_whole() -> None:
    gone = facts(redis=RedisState("refused"), redis_service=DOWN, watched=None, saved=Saved(("dump is whole",)))
    found = decide(gone, SETTINGS, SPARE)
    assert found.causes == {
        "redis_unreachable": [
            "Redis does not answer: refused",
            "its service is exited (137)",
            "dump is whole",
        ]
    }
    assert [(one.verb, one.target) for one in found.steps] == [("revive", "redis"), ("restart", "queue")]


@pytest.mark.parametrize(
    ("saved", "wanted", "said"),
    [
        (Saved(damaged=("dump.rdb (redis-check-rdb: bad)",)), "auto", "damaged: dump.rdb"),
        (Saved(("aof is whole",), ("dump.rdb",)), "auto", "damaged: dump.rdb"),
        (Saved(), "auto", "has saved nothing where it should"),
        (Saved(damaged=("dump.rdb",)), "none", "damaged"),
    ],
)
def test_redis_is_left_alone_when_what_it_saved_is_not_whole(saved: Saved, wanted: str, said: str) -> None:
    gone = facts(redis=RedisState("refused"), redis_service=DOWN, watched=None, saved=saved)
    found = decide(gone, {**SETTINGS, "redis_persistence": wanted}, SPARE)
    assert list(found.causes) == ["redis_unreachable"]
    assert (found.steps, found.enough) == ([], False)
    assert said in found.notes[0]


def test_a_redis_that_is_meant_to_save_nothing_is_started() -> None:
    gone = facts(redis=RedisState("refused"), redis_service=DOWN, watched=None, saved=Saved())
    assert decide(gone, {**SETTINGS, "redis_persistence": "none"}, SPARE).steps


@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ("restarting", False),
        ("starting", False),
        ("exited (1)", False),
        ("exited (12)", False),
        ("failed (exit-code)", False),
        ("exited (0)", True),
        ("exited (137)", True),
        ("exited (143)", True),
        ("inactive", True),
        ("failed (signal)", True),
        ("missing", True),
    ],
)
def test_workers_that_fall_because_redis_is_away_are_no_cause_of_their_own(state: str, fault: bool) -> None:
    gone = facts(redis=RedisState("refused"), redis_service=DOWN, watched=None, saved=Saved(("whole",)))
    found = decide(replace(gone, workers={"w": ServiceState(False, state, state)}), SETTINGS, SPARE)
    assert list(found.causes) == ["redis_unreachable", *["workers_dead"] * fault]


def backlog(first: int, last: int) -> Facts:
    return facts(watched=watched(TAKES, depth(first, "a"), depth(last, "b")))


def test_a_backlog_gets_more_workers_when_it_would_take_too_long() -> None:
    found = decide(backlog(1300, 1290), SETTINGS, SPARE)
    assert list(found.causes) == ["backlog"]
    assert [(one.verb, one.target, one.undo) for one in found.steps] == [
        ("add_worker", "worker 2", "held"),
        ("add_worker", "worker 3", "held"),
    ]


@pytest.mark.parametrize(("first", "last"), [(1000, 1000), (2000, 1900)])
def test_no_backlog_where_few_jobs_wait_or_they_are_done_soon(first: int, last: int) -> None:
    assert not decide(backlog(first, last), SETTINGS, SPARE).causes


def test_a_backlog_that_grows_is_one() -> None:
    assert "do not become fewer" in decide(backlog(1200, 1300), SETTINGS, SPARE).causes["backlog"][1]


def test_where_no_more_workers_may_run_a_backlog_is_named_and_that_it_will_not_do() -> None:
    found = decide(backlog(1300, 1300), SETTINGS, [])
    assert (list(found.causes), found.steps, found.enough) == (["backlog"], [], False)
    assert "queue_failure_workers_max" in found.notes[0]


def test_jobs_that_wait_for_dead_workers_are_no_backlog() -> None:
    dead = replace(backlog(1300, 1300), workers={"worker 1": DOWN})
    assert list(decide(dead, SETTINGS, SPARE).causes) == ["workers_dead"]


def test_poison_and_a_backlog_are_both_named() -> None:
    found = decide(replace(backlog(1300, 1300), jobs=(poison(),)), SETTINGS, SPARE)
    assert list(found.causes) == ["poison_job", "backlog"]


def test_a_job_that_is_only_pushed_does_not_count_as_taken() -> None:
    before, after = Moment(0, (depth(3, "a"),)), Moment(2, (depth(9, "a"),))
    assert not moved(before, after)
    assert falls(before, after) == -3
    assert moved(before, Moment(1, (depth(9, "b"),)))
    assert moved(before, Moment(1, (depth(2, "a"),)))
    assert moved(Moment(0, (depth(overdue=4),)), Moment(1, (depth(overdue=1),)))
    assert not moved(Moment(0, (depth(),)), Moment(1, (depth(1, "a"),)))


@pytest.mark.parametrize(
    ("payload", "known"),
    [
        (json.dumps({"displayName": INVOICE, "attempts": 3}).encode(), (INVOICE, 3)),
        (b'{"job": "Old@call", "displayName": null}', ("Old@call", 0)),
        (b'{"displayName": "A", "attempts": "many"}', ("A", 0)),
        (b'{"displayName": "A", "attempts": -4}', ("A", 0)),
        (b'{"displayName": "A", "attempts": 1e400}', ("A", 0)),
        (b'{"displayName": "\\ud800"}', ("", 0)),
        (b'["displayName"]', ("", 0)),
        (b"\xff\x00 no JSON", ("", 0)),
        (b"[" * 100_000, ("", 0)),
        (b"", ("", 0)),
    ],
)
def test_the_class_of_a_job_is_told_from_any_bytes(payload: bytes, known: tuple[str, int]) -> None:
    assert class_of(payload) == known


def test_what_the_database_says_about_failed_jobs() -> None:
    failed = parsed("41\nApp\\\\Jobs\\\\SendInvoice\t7\nodd\\tname\t1\n")
    assert (failed.recent, failed.total, failed.count) == ({INVOICE: 7, "odd\\tname": 1}, 41, 8)
    for nonsense in ("", "ERROR\n", "3\nname\tmany\n"):
        with pytest.raises(FailedJobsError, match="failed jobs cannot be told"):
            parsed(nonsense)


def test_metrics_are_summed_over_queues_and_nonsense_is_none() -> None:
    text = 'chom_queue_depth{queue="a"} 3\nchom_queue_depth{queue="b"} 4\nchom_queue_depths 9\nodd NaN\n'
    assert (_sum(text, "chom_queue_depth"), _sum(text, "none"), _sum(text, "odd")) == (7.0, None, None)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("backlog", 0, "must be at least 1"),
        ("poison_attempts", 1, "must be at least 2"),
        ("queues", [], "queue_failure_queues is empty"),
        ("queues", ["a b"], "no name of a queue"),
        ("queues", ["a\nb"], "no name of a queue"),
        ("redis_prefix", "x\n", "queue_failure_redis_prefix"),
        ("failed_table", "jobs; DROP TABLE users", "queue_failure_failed_table"),
        ("database", "a`b", "queue_failure_database"),
        ("redis_dump", "../../etc/passwd", "queue_failure_redis_dump"),
    ],
)
def test_a_setting_that_cannot_be_is_named(name: str, value: Any, said: str) -> None:
    assert mistake_in(SETTINGS) == ""
    assert said in mistake_in({**SETTINGS, name: value})


@pytest.mark.parametrize(
    ("first", "last", "pace", "stubborn", "handled", "verdict"),
    [
        (0, 0, IDLE, (), None, CURED),
        (500, 300, TAKES, (), None, CURED),
        (500, 500, TAKES, (), 0.0, NOT_CURED),
        (300, 500, TAKES, (), 9.0, NOT_CURED),
        (500, 300, STUCK, (), 0.0, NOT_CURED),
        (500, 300, STUCK, (), 200.0, CURED),
        (0, 0, IDLE, ("App\\Jobs\\A (tried 12 times)",), None, NOT_CURED),
    ],
)
def test_what_a_window_proves(
    first: int, last: int, pace: str, stubborn: tuple[str, ...], handled: float | None, verdict: str
) -> None:
    window = Window(watched(pace, depth(first, "a"), depth(last, "b")), stubborn, handled)
    assert worst(judged(window, SETTINGS)) == verdict
