"""What every place for requests, answers and incidents does: the database, on both kinds, and its twin in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from threading import Barrier, Thread
from typing import Any

import pytest
from sqlalchemy import select

from remediate.adapters.store.approvals import DatabaseApprovals
from remediate.adapters.store.connection import Database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.tables import audit
from remediate.domain.approval import Answer, ApprovalRequest, Asking
from remediate.domain.audit import AuditEntry, read_event
from remediate.domain.incident import Incident, IncidentKind
from remediate.domain.people import People
from remediate.domain.run import RunStatus
from remediate.domain.runbook import Severity
from remediate.engine.approvals import ApprovalFlow
from remediate.engine.ports import Approvals, Store
from remediate.engine.staff import Staff
from remediate.errors import IllegalTransition, RemediateError
from remediate.testing import EPOCH, FrozenClock, MemoryApprovals, MemoryStore, ports
from tests.acceptance.staff import EVERYBODY, LENA, MARA, principal
from tests.builders import action, decision, finding, plan, request, run
from tests.contract.conftest import Place

RUN, OTHER, THIRD = "20260105-030000-bcdf", "20260105-030000-other", "20260105-030000-third"
MINUTE = timedelta(minutes=1)


@dataclass
class Kept:
    """Approvals with the runs that they are about."""

    approvals: Approvals
    store: Store
    database: Database | None

    def trail(self) -> list[AuditEntry]:
        """What the audit trail says about approvals and incidents; the twin keeps none."""
        return [entry for entry in trail(self.database) if not entry.action.startswith("run.")] if self.database else []


def trail(database: Database) -> list[AuditEntry]:
    with database.reading() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.sequence)).all()
    return [read_event((row.sequence, row.body, row.hash)).entry for row in rows]


@pytest.fixture
def kept(database_or_memory: Database | None) -> Kept:
    database = database_or_memory
    store: Store = DatabaseStore(database) if database else MemoryStore()
    for run_id in (RUN, OTHER, THIRD):
        store.create_run(run(run_id, status=RunStatus.WAITING_APPROVAL, plan=plan(2, near=finding(action()))))
    return Kept(DatabaseApprovals(database) if database else MemoryApprovals(), store, database)


def incident(incident_id: str = f"inc-{RUN}", **changes: Any) -> Incident:
    values = {"run_id": RUN, "severity": Severity.SEV3, "title": "The shelf is untidy on near", "opened_at": EPOCH}
    return Incident.model_validate({"id": incident_id, **values, **changes})


def test_a_run_that_asked_for_nothing_has_no_request_and_no_answers(kept: Kept) -> None:
    assert kept.approvals.request(RUN) is None
    assert kept.approvals.answers(RUN) == ()
    assert kept.approvals.requests() == ()


def test_a_request_comes_back_as_it_was_asked(kept: Kept) -> None:
    asked = request(asked=("lena", "mara"), reasons=("it's ü\n{{ 7 }}",), groups={"near": ("all", "web")}, people=2)
    kept.approvals.ask(asked)

    assert kept.approvals.request(RUN) == asked
    assert kept.approvals.requests() == (asked,)


def test_asking_anew_replaces_the_request_that_the_run_had(kept: Kept) -> None:
    kept.approvals.ask(request())
    kept.approvals.change(request(state=Asking.EXPIRED), why="silence", at=EPOCH)
    again = request(digest="e" * 64)
    kept.approvals.ask(again)

    assert kept.approvals.request(RUN) == again
    assert kept.approvals.requests() == (again,)


def test_a_change_is_kept_with_the_next_version(kept: Kept) -> None:
    kept.approvals.ask(request())
    changed = kept.approvals.change(request(asked_level=3, asked=("max",)), why="silence", at=EPOCH + MINUTE)

    assert changed == request(asked_level=3, asked=("max",), version=1)
    assert kept.approvals.request(RUN) == changed


def test_whoever_changes_what_they_did_not_see_is_refused_and_nothing_is_changed(kept: Kept) -> None:
    kept.approvals.ask(request())
    newer = kept.approvals.change(request(asked_level=3), why="silence", at=EPOCH)
    with pytest.raises(IllegalTransition, match=f"The request for run {RUN} was changed by somebody else meanwhile"):
        kept.approvals.change(request(state=Asking.APPROVED), why="late", at=EPOCH)

    assert kept.approvals.request(RUN) == newer


def test_a_request_that_was_never_asked_cannot_be_changed(kept: Kept) -> None:
    with pytest.raises(IllegalTransition):
        kept.approvals.change(request(), why="late", at=EPOCH)

    assert kept.approvals.request(RUN) is None


def test_open_requests_come_in_the_order_in_which_they_are_due(kept: Kept) -> None:
    for run_id, minutes in ((RUN, 30), (OTHER, 10), (THIRD, 20)):
        kept.approvals.ask(request(run_id=run_id, next_at=EPOCH + minutes * MINUTE))

    assert [one.run_id for one in kept.approvals.requests()] == [OTHER, THIRD, RUN]
    assert [one.run_id for one in kept.approvals.requests(limit=2)] == [OTHER, THIRD]
    assert [one.run_id for one in kept.approvals.requests(due_by=EPOCH + 20 * MINUTE)] == [OTHER, THIRD]
    assert kept.approvals.requests(due_by=EPOCH + 10 * MINUTE - timedelta(seconds=1)) == ()


@pytest.mark.parametrize("state", [one for one in Asking if one is not Asking.OPEN])
def test_a_closed_request_is_due_never_and_stays_readable(kept: Kept, state: Asking) -> None:
    kept.approvals.ask(request())
    closed = kept.approvals.change(request(state=state), why="so", at=EPOCH)

    assert kept.approvals.requests(due_by=EPOCH + timedelta(days=365)) == ()
    assert kept.approvals.request(RUN) == closed


def test_answers_come_back_oldest_first_and_only_those_of_the_run(kept: Kept) -> None:
    late = decision("max", Answer.REJECTED, 3, at=EPOCH + MINUTE, reason="it's ü\n{{ 7 }}")
    early = decision("lena", channel="os-user:lena")
    for one in (late, early, decision("lena", run_id=OTHER)):
        kept.approvals.answer(one)

    assert kept.approvals.answers(RUN) == (early, late)


def test_the_same_person_answers_once_to_the_same_plan_by_whatever_way_they_come(kept: Kept) -> None:
    kept.approvals.answer(decision("lena", channel="token:t1"))
    with pytest.raises(IllegalTransition, match=f"lena has answered to run {RUN} already"):
        kept.approvals.answer(decision("lena", Answer.REJECTED, channel="os-user:lena", at=EPOCH + MINUTE))

    assert kept.approvals.answers(RUN) == (decision("lena", channel="token:t1"),)
    assert [entry.action for entry in kept.trail()] in ([], ["approval.answered"])


def test_the_same_person_may_answer_to_another_plan_of_the_run(kept: Kept) -> None:
    kept.approvals.answer(decision("lena"))
    kept.approvals.answer(decision("lena", digest="e" * 64))

    assert len(kept.approvals.answers(RUN)) == 2


def test_an_incident_is_opened_once_and_comes_back_as_it_was(kept: Kept) -> None:
    kept.approvals.open_incident(incident())
    kept.approvals.open_incident(incident(title="another one"))

    assert kept.approvals.incidents() == (incident(),)


def test_a_closed_incident_is_listed_only_when_all_are_asked_for(kept: Kept) -> None:
    kept.approvals.open_incident(incident())
    kept.approvals.close_incident(f"inc-{RUN}", "cured: near", EPOCH + MINUTE)

    assert kept.approvals.incidents() == ()
    assert kept.approvals.incidents(only_open=False) == (
        incident(note="cured: near", closed_at=EPOCH + MINUTE, closed_by="engine"),
    )


def test_an_incident_is_closed_once_and_an_unknown_one_not_at_all(kept: Kept) -> None:
    kept.approvals.open_incident(incident())
    kept.approvals.close_incident(f"inc-{RUN}", "cured", EPOCH + MINUTE)
    kept.approvals.close_incident(f"inc-{RUN}", "cured again", EPOCH + 2 * MINUTE)
    kept.approvals.close_incident("inc-nothing", "cured", EPOCH)

    assert [(one.note, one.closed_at) for one in kept.approvals.incidents(only_open=False)] == [
        ("cured", EPOCH + MINUTE)
    ]
    assert [entry.action for entry in kept.trail()] in ([], ["incident.opened", "incident.closed"])


def test_incidents_come_newest_first_and_no_more_than_are_asked_for(kept: Kept) -> None:
    kept.approvals.open_incident(incident("inc-1"))
    kept.approvals.open_incident(incident("inc-3", opened_at=EPOCH + MINUTE))
    kept.approvals.open_incident(incident("inc-2", opened_at=EPOCH + MINUTE, kind=IncidentKind.REVIEW))

    assert [one.id for one in kept.approvals.incidents()] == ["inc-3", "inc-2", "inc-1"]
    assert [one.id for one in kept.approvals.incidents(limit=1)] == ["inc-3"]
    assert kept.approvals.incidents()[1].kind is IncidentKind.REVIEW


def test_every_step_is_in_the_trail_at_its_moment_with_the_plan_that_it_is_about(database: Database) -> None:
    DatabaseStore(database).create_run(run(status=RunStatus.WAITING_APPROVAL))
    approvals = DatabaseApprovals(database)
    approvals.ask(request(asked=("lena",), reasons=("archive asks for level 2",)))
    climbed = approvals.change(request(asked_level=3, asked=("max",)), why="silence", at=EPOCH + MINUTE)
    approvals.answer(decision("max", level=3, reason="go", at=EPOCH + 2 * MINUTE))
    closing = climbed.model_copy(update={"state": Asking.APPROVED})
    approvals.change(closing, why="approved by max", at=EPOCH + 2 * MINUTE)
    plan_of = {"digest": "d" * 64, "level": 2}

    assert [entry for entry in trail(database) if entry.action.startswith("approval.")] == [
        about(
            0,
            "engine",
            "approval.asked",
            {**plan_of, "asked_level": 2, "asked": ["lena"], "reasons": ["archive asks for level 2"]},
        ),
        about(1, "engine", "approval.changed", {**plan_of, "asked_level": 3, "asked": ["max"], "why": "silence"}),
        about(
            2,
            "max",
            "approval.answered",
            {"answer": "approved", "digest": "d" * 64, "level": 3, "channel": "token:t1", "reason": "go"},
        ),
        about(
            2, "engine", "approval.approved", {**plan_of, "asked_level": 3, "asked": ["max"], "why": "approved by max"}
        ),
    ]


def about(minutes: int, actor: str, action_name: str, details: dict[str, Any]) -> AuditEntry:
    return AuditEntry.model_validate(
        {"at": EPOCH + minutes * MINUTE, "actor": actor, "action": action_name, "subject": RUN, "details": details}
    )


def test_an_incident_stands_in_the_timeline_of_the_run_that_found_it(database: Database) -> None:
    DatabaseStore(database).create_run(run(status=RunStatus.WAITING_APPROVAL))
    approvals = DatabaseApprovals(database)
    approvals.open_incident(incident())
    approvals.close_incident(f"inc-{RUN}", "cured: near", EPOCH + MINUTE)
    known = {"incident": f"inc-{RUN}", "kind": "incident"}

    assert [entry for entry in trail(database) if entry.action.startswith("incident.")] == [
        about(0, "engine", "incident.opened", {**known, "note": "The shelf is untidy on near"}),
        about(1, "engine", "incident.closed", {**known, "note": "cured: near"}),
    ]


WRITES: dict[str, Callable[[DatabaseApprovals], object]] = {
    "ask": lambda approvals: approvals.ask(request(digest="e" * 64)),
    "change": lambda approvals: approvals.change(request(asked_level=3), why="silence", at=EPOCH),
    "answer": lambda approvals: approvals.answer(decision()),
    "open_incident": lambda approvals: approvals.open_incident(incident("inc-2")),
    "close_incident": lambda approvals: approvals.close_incident(f"inc-{RUN}", "cured", EPOCH),
}


@pytest.mark.parametrize("write", WRITES)
def test_what_is_taken_back_is_in_neither_the_tables_nor_the_trail(database: Database, write: str) -> None:
    store, approvals = DatabaseStore(database), DatabaseApprovals(database)
    store.create_run(run(status=RunStatus.WAITING_APPROVAL))
    approvals.ask(request())
    approvals.open_incident(incident())

    def state() -> tuple[object, ...]:
        return (approvals.request(RUN), approvals.answers(RUN), approvals.incidents(only_open=False), trail(database))

    def write_and_fail() -> None:
        with store.together():
            WRITES[write](approvals)
            assert state() != before, "nothing was written that could be taken back"
            raise RuntimeError

    before = state()
    with pytest.raises(RuntimeError):
        write_and_fail()
    assert state() == before


STAFF = Staff(people=People(by_id={person.id: person for person in EVERYBODY}))


def flow(database: Database) -> ApprovalFlow:
    """The approval flow of one more process."""
    joined = ports(store=DatabaseStore(database), approvals=DatabaseApprovals(database), clock=FrozenClock())
    return ApprovalFlow(joined, STAFF)


def at_once(*works: Callable[[], object]) -> list[str]:
    """Do things at the same instant; return how each ended, in words."""
    together, said = Barrier(len(works)), [""] * len(works)

    def do(number: int) -> None:
        together.wait()
        try:
            said[number] = str(works[number]())
        except RemediateError as error:
            said[number] = type(error).__name__

    threads = [Thread(target=do, args=(number,)) for number in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def asked_on(database: Database, asked: ApprovalRequest) -> None:
    waiting = run(status=RunStatus.WAITING_APPROVAL, plan=plan(2, near=finding(action())))
    DatabaseStore(database).create_run(waiting)
    DatabaseApprovals(database).ask(asked)


@pytest.mark.parametrize("round_number", range(5))
def test_approve_and_reject_at_the_same_instant_one_wins_and_only_that_one_is_recorded(
    place: Place, round_number: int
) -> None:
    one, other = place.open(), place.open()
    asked_on(one, request(asked=("lena", "mara")))
    said = at_once(
        lambda: flow(one).answer(RUN, principal(LENA), Answer.APPROVED).status.value,
        lambda: flow(other).answer(RUN, principal(MARA), Answer.REJECTED, "no").status.value,
    )
    (given,) = DatabaseApprovals(one).answers(RUN)
    closed = DatabaseApprovals(one).request(RUN)

    assert sorted(said) in (["IllegalTransition", "approved"], ["IllegalTransition", "rejected"])
    assert closed is not None
    assert given.answer.value == closed.state.value == DatabaseStore(one).run(RUN).status.value
    assert given.answer.value in said


def test_the_same_person_from_two_places_at_once_counts_once(place: Place) -> None:
    one, other = place.open(), place.open()
    asked_on(one, request(people=2))
    said = at_once(
        *(
            lambda database=database: flow(database).answer(RUN, principal(LENA), Answer.APPROVED).status.value
            for database in (one, other)
        )
    )

    assert sorted(said) == ["NotAllowed", "waiting_approval"]
    assert len(DatabaseApprovals(one).answers(RUN)) == 1


def test_an_answer_and_the_end_of_patience_at_the_same_instant_one_wins(place: Place) -> None:
    one, other = place.open(), place.open()
    asked_on(one, request(asked_level=4, next_at=EPOCH, asked_at=EPOCH - timedelta(hours=16)))
    said = at_once(
        lambda: flow(one).answer(RUN, principal(LENA), Answer.APPROVED).status.value,
        lambda: flow(other).watch(EPOCH),
    )
    ended = DatabaseStore(one).run(RUN).status

    assert (ended, said) in [
        (RunStatus.APPROVED, ["approved", "0"]),
        (RunStatus.EXPIRED, ["IllegalTransition", "1"]),
    ]
    assert len(DatabaseApprovals(one).answers(RUN)) == (1 if ended is RunStatus.APPROVED else 0)
