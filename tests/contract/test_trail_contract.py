"""What every audit trail does, and that the store tells it about every run: the database and its twin in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from remediate.adapters.store.audit import DatabaseTrail
from remediate.adapters.store.connection import Database
from remediate.adapters.store.database import DatabaseStore
from remediate.domain.audit import BEGINNING, AuditEvent, Place, read_event
from remediate.domain.audit_check import verify
from remediate.domain.report import Undo
from remediate.domain.run import PhaseOutcome, RunStatus, TaskOutcome
from remediate.domain.runbook import Phase
from remediate.engine.executor_ports import PhaseResult
from remediate.engine.ports import Store, Trail
from remediate.errors import IllegalTransition
from remediate.testing import EPOCH, MemoryStore, MemoryTrail, PlainKeys
from tests.builders import action, entry, finding, plan, run, task

LATER = EPOCH + timedelta(seconds=90, microseconds=123456)


@pytest.fixture
def kept(database_or_memory: Database | None) -> tuple[Store, Trail]:
    if database_or_memory is None:
        memory = MemoryTrail()
        return MemoryStore(memory), memory
    return DatabaseStore(database_or_memory), DatabaseTrail(database_or_memory, PlainKeys())


@pytest.fixture
def trail(kept: tuple[Store, Trail]) -> Trail:
    return kept[1]


@pytest.fixture
def store(kept: tuple[Store, Trail]) -> Store:
    return kept[0]


def told(trail: Trail) -> list[tuple[str, str, str]]:
    return [(event.entry.actor, event.entry.action, event.entry.subject) for event in trail.events()]


def last(trail: Trail) -> dict[str, Any]:
    return list(trail.events())[-1].entry.details


def test_entries_are_numbered_chained_and_come_back_as_they_were_noted(trail: Trail) -> None:
    first = trail.note(
        entry("run-1", details={"reason": "it's {{ 7 * 7 }} \u202e ü\n", "deep": [None, 1.5, {"a": True}]})
    )
    second = trail.note(entry("run-2", at=LATER))

    assert list(trail.events()) == [first, second]
    assert (first.sequence, second.sequence, second.entry.at) == (1, 2, LATER)
    assert verify(trail.stored()).intact
    assert [read_event(stored) for stored in trail.stored()] == [first, second]
    assert trail.newest() == Place(2, second.hash)


def test_a_trail_without_entries_is_at_its_beginning(trail: Trail) -> None:
    assert (list(trail.events()), list(trail.stored()), trail.newest()) == ([], [], BEGINNING)
    assert (trail.sign_head(EPOCH), trail.heads(), trail.unsent(["here"])) == (None, (), ())


def test_events_are_read_from_a_number_on(trail: Trail) -> None:
    for number in range(5):
        trail.note(entry(f"run-{number}"))

    assert [event.sequence for event in trail.events(after=3)] == [4, 5]
    assert [stored[0] for stored in trail.stored(after=3)] == [4, 5]
    assert list(trail.events(after=5)) == []


def test_events_of_a_subject_are_those_of_exactly_it_and_of_what_belongs_to_it(trail: Trail) -> None:
    for subject in ["run-1", "run-10", "run-1/asked-2/omar/email", "run_1", "RUN-1", 'x","subject":"run-1']:
        trail.note(entry(subject))
    trail.note(entry("run-9", details={"subject": "run-1"}))

    assert [event.entry.subject for event in trail.events(subject="run-1")] == ["run-1", "run-1/asked-2/omar/email"]
    assert [event.entry.subject for event in trail.events(subject='x","subject":"run-1')] == ['x","subject":"run-1']
    assert list(trail.events(subject="%")) == []


def test_a_head_signs_the_newest_event_once(trail: Trail) -> None:
    trail.note(entry())
    event = trail.note(entry())
    head = trail.sign_head(LATER)

    assert head is not None
    assert (head.sequence, head.hash, head.at, head.key_id) == (2, event.hash, LATER, PlainKeys().key_id())
    assert PlainKeys().checker()(head) == ""
    assert trail.sign_head(LATER) is None
    assert trail.heads() == (head,)


def test_of_each_target_the_newest_head_is_unsent_until_it_was_sent(trail: Trail) -> None:
    trail.note(entry())
    trail.sign_head(EPOCH)
    trail.note(entry())
    head = trail.sign_head(LATER)
    assert head is not None

    assert trail.unsent(["here", "there"]) == ((head, "here"), (head, "there"))
    trail.head_sent(head, "here")
    trail.head_sent(head, "here")
    assert trail.unsent(["here", "there"]) == ((head, "there"),)
    trail.note(entry())
    assert trail.unsent(["here"]) == ()
    newer = trail.sign_head(LATER)
    assert trail.unsent(["here"]) == ((newer, "here"),)


def test_a_run_that_is_asked_for_is_told_with_digests_in_place_of_values(store: Store, trail: Trail) -> None:
    store.create_run(run(parameters={"tidy_shelf_word": "hunter2", "tidy_shelf_days": 7}, reason="it is full"))

    assert told(trail) == [("nadia", "run.requested", run().id)]
    assert last(trail) == {
        "runbook": "tidy-shelf",
        "hosts": ["near"],
        "check": False,
        "reason": "it is full",
        "parameters": {
            # printf '"hunter2"' | sha256sum; printf 7 | sha256sum
            "tidy_shelf_word": "4ddbb67bf993867e13253c146a339ed3b33ea5b895543569278e99d5b3c2b7d5",
            "tidy_shelf_days": "7902699be42c8a8e46fbbb4501726517e86b22c56a189f7625a6da49081b2451",
        },
    }


def test_who_asked_for_a_run_and_who_moved_it_can_be_told(store: Store, trail: Trail) -> None:
    store.create_run(run(), by="omar")
    store.move(run().id, RunStatus.REQUESTED, RunStatus.DIAGNOSING, "looking", LATER)
    store.move(run().id, RunStatus.DIAGNOSING, RunStatus.CANCELED, "enough", LATER, by="lena")

    assert [actor for actor, _, _ in told(trail)] == ["omar", "engine", "lena"]
    assert last(trail) == {"from": "diagnosing", "to": "canceled", "reason": "enough"}
    assert list(trail.events())[-1].entry.at == LATER


def test_a_plan_is_told_by_its_digest_level_hosts_and_counts_and_never_by_its_diff(store: Store, trail: Trail) -> None:
    made = plan(2, far=finding(action("/a"), action("/b", undo=Undo.NONE)), near=finding(action("/c")))
    store.create_run(run())
    store.save_plan(run(plan=made))
    assert list(trail.events())[-1].entry.at == EPOCH
    store.save_plan(run(plan=made), now=LATER)

    assert list(trail.events())[-1].entry.at == LATER
    assert told(trail)[1:] == [("engine", "plan.made", run().id)] * 2
    assert last(trail) == {
        "digest": "d" * 64,
        "level": 2,
        "hosts": ["far", "near"],
        "causes": ["dust"],
        "actions": 3,
        "irreversible": 1,
    }


def test_phases_are_told_when_they_begin_and_when_they_end(store: Store, trail: Trail) -> None:
    store.create_run(run())
    number = store.begin_phase(run().id, Phase.FIX, check=True, now=EPOCH)
    store.end_phase(
        run().id, number, PhaseResult(outcome=PhaseOutcome.FAILED, troubles={"b": "s3cret", "a": "x"}), LATER
    )
    began, ended = list(trail.events())[1:]

    assert (began.entry.action, began.entry.at) == ("phase.began", EPOCH)
    assert began.entry.details == {"number": 1, "phase": "fix", "check": True}
    assert (ended.entry.action, ended.entry.at) == ("phase.ended", LATER)
    assert ended.entry.details == {"number": 1, "phase": "fix", "outcome": "failed", "troubled": ["a", "b"]}


def task_events(store: Store, trail: Trail, *, check: bool) -> list[AuditEvent]:
    store.create_run(run())
    number = store.begin_phase(run().id, Phase.FIX, check=check, now=EPOCH)
    for outcome in TaskOutcome:
        store.add_task(run().id, number, task(outcome=outcome, message="s3cret", diff="-a\n+b\n"))
    return list(trail.events())[2:]


def test_tasks_that_changed_or_failed_are_told_without_their_diff(store: Store, trail: Trail) -> None:
    changed, failed, unreachable = task_events(store, trail, check=False)

    assert [event.entry.action for event in (changed, failed, unreachable)] == [
        "task.changed",
        "task.failed",
        "task.failed",
    ]
    assert changed.entry.at == EPOCH + timedelta(seconds=0.25)
    assert changed.entry.details == {
        "phase": "fix",
        "host": "near",
        "task": "fix | Dust",
        "module": "ansible.builtin.file",
        "outcome": "changed",
    }


def test_a_change_that_a_dry_run_only_tried_out_is_not_told_as_one(store: Store, trail: Trail) -> None:
    assert [event.entry.action for event in task_events(store, trail, check=True)] == ["task.failed", "task.failed"]


def test_text_of_any_host_can_be_told(store: Store, trail: Trail) -> None:
    store.create_run(run(hosts=("near",), parameters={"name": "half \udc80"}))
    store.begin_phase(run().id, Phase.FIX, check=False, now=EPOCH)
    trail.note(entry("\udc80", details={"reason": "zero \x00, half \udc80"}))
    noted = list(trail.events())[-1].entry

    assert (noted.subject, noted.details) == ("\\udc80", {"reason": "zero \x00, half \\udc80"})
    assert verify(trail.stored()).intact


def test_what_was_refused_is_not_told(store: Store, trail: Trail) -> None:
    store.create_run(run(status=RunStatus.DIAGNOSING))
    with pytest.raises(IllegalTransition):
        store.move(run().id, RunStatus.REQUESTED, RunStatus.DIAGNOSING, "", LATER)
    with pytest.raises(IllegalTransition):
        store.move(run().id, RunStatus.DIAGNOSING, RunStatus.FIXING, "", LATER)

    assert len(told(trail)) == 1


def test_entries_of_several_writes_that_belong_together_are_one_chain(store: Store, trail: Trail) -> None:
    with store.together():
        store.create_run(run())
        trail.note(entry())
        store.move(run().id, RunStatus.REQUESTED, RunStatus.DIAGNOSING, "", LATER)

    assert [action for _, action, _ in told(trail)] == ["run.requested", "run.moved", "run.moved"]
    assert verify(trail.stored()).checked == 3
