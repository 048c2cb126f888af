"""What every store does: on both databases, and its twin in memory."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from remediate.adapters.store.connection import Database
from remediate.adapters.store.database import DatabaseStore
from remediate.domain.drill import report_digest
from remediate.domain.report import DrillReport, Verdict, Verification
from remediate.domain.run import PhaseOutcome, PhaseRecord, RunStatus, TaskOutcome, Transition
from remediate.domain.runbook import Phase
from remediate.engine.executor_ports import PhaseResult
from remediate.engine.ports import Store
from remediate.errors import IllegalTransition, UnknownRun
from remediate.testing import EPOCH, MemoryStore
from tests.builders import action, drill, drilled, finding, plan, run, task, verified
from tests.contract.test_approvals_contract import trail

LATER = EPOCH + timedelta(seconds=90, microseconds=123456)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def store(database_or_memory: Database | None) -> Store:
    return DatabaseStore(database_or_memory) if database_or_memory else MemoryStore()


def test_a_run_comes_back_as_it_was_recorded(store: Store) -> None:
    recorded = run(
        parameters={"tidy_shelf_days": 7, "tidy_shelf_names": ["a", "ü\n"], "tidy_shelf_more": {"deep": [None, 1.5]}},
        reason="it looks bad; it's {{ 7 * 7 }}",
        check=True,
    )
    store.create_run(recorded)

    assert store.run(recorded.id) == recorded


def test_several_runs_come_back_as_they_were_recorded_each_with_its_first_state(store: Store) -> None:
    made = [run("20260105-030000-bbbb", unattended=2), run("20260105-030000-cccc", hosts=("far",))]
    store.create_runs(made)
    store.create_runs([])

    assert [store.run(one.id) for one in made] == made
    assert [[step.to_status for step in store.transitions(one.id)] for one in made] == [[RunStatus.REQUESTED]] * 2


def test_a_plan_comes_back_as_it_was_saved(store: Store) -> None:
    planned = run(plan=plan(level=2, near=finding(action(bytes=5, note="\u202ex"), enough=False, notes=("big",))))
    store.create_run(run())
    store.save_plan(planned)

    assert store.run(planned.id) == planned


def test_a_move_changes_the_state_and_is_remembered_with_its_reason(store: Store) -> None:
    store.create_run(run())
    moved = store.move(run().id, RunStatus.REQUESTED, RunStatus.DIAGNOSING, "looking", LATER)

    assert moved == run(status=RunStatus.DIAGNOSING, outcome="looking", updated_at=LATER)
    assert store.run(run().id) == moved
    assert store.transitions(run().id) == (
        Transition(from_status=None, to_status=RunStatus.REQUESTED, reason="requested", at=EPOCH),
        Transition(from_status=RunStatus.REQUESTED, to_status=RunStatus.DIAGNOSING, reason="looking", at=LATER),
    )


@pytest.mark.parametrize(
    ("current", "wanted", "ends"),
    [
        (RunStatus.DIAGNOSING, RunStatus.NOT_NEEDED, True),
        (RunStatus.DIAGNOSING, RunStatus.PLANNED, False),
        (RunStatus.PLANNED, RunStatus.WAITING_APPROVAL, False),
        (RunStatus.FIXING, RunStatus.INTERRUPTED, True),
        (RunStatus.FAILED, RunStatus.ROLLING_BACK, False),
    ],
)
def test_a_run_has_an_end_once_nobody_works_on_it_or_waits(
    store: Store, current: RunStatus, wanted: RunStatus, ends: bool
) -> None:
    store.create_run(run(status=current))

    assert store.move(run().id, current, wanted, "", LATER).ended_at == (LATER if ends else None)


def test_a_move_from_a_state_that_the_run_is_not_in_is_refused_and_changes_nothing(store: Store) -> None:
    store.create_run(run(status=RunStatus.DIAGNOSING))

    with pytest.raises(IllegalTransition, match="no longer requested"):
        store.move(run().id, RunStatus.REQUESTED, RunStatus.DIAGNOSING, "", LATER)
    assert store.run(run().id) == run(status=RunStatus.DIAGNOSING)
    assert len(store.transitions(run().id)) == 1


def test_a_move_that_the_table_does_not_know_is_refused_and_changes_nothing(store: Store) -> None:
    store.create_run(run())

    with pytest.raises(IllegalTransition, match="cannot become fixing"):
        store.move(run().id, RunStatus.REQUESTED, RunStatus.FIXING, "", LATER)
    assert store.run(run().id) == run()


def test_a_move_of_an_unknown_run_is_refused(store: Store) -> None:
    with pytest.raises(IllegalTransition):
        store.move("nothing", RunStatus.REQUESTED, RunStatus.DIAGNOSING, "", LATER)


@pytest.mark.parametrize("typed", ["20260105-030000-bcdf", "20260105-030000-b", "bcdf"])
def test_a_run_is_found_by_its_id_its_beginning_or_its_end(store: Store, typed: str) -> None:
    store.create_run(run("20260105-030000-bcdf"))
    store.create_run(run("20260105-030000-ghjk"))

    assert store.run(typed).id == "20260105-030000-bcdf"


def test_a_whole_id_wins_over_ids_that_begin_with_it(store: Store) -> None:
    store.create_run(run("20260105"))
    store.create_run(run("20260105-more"))

    assert store.run("20260105").id == "20260105"


def test_an_ambiguous_beginning_is_refused_with_the_ids_it_may_be(store: Store) -> None:
    store.create_run(run("20260105-030000-bcdf"))
    store.create_run(run("20260105-030000-ghjk"))

    with pytest.raises(UnknownRun, match="may be any of 20260105-030000-bcdf, 20260105-030000-ghjk"):
        store.run("20260105")


@pytest.mark.parametrize("typed", ["", "x", "%", "_", "20260105%", "' or '1'='1", "*"])
def test_an_unknown_id_is_refused_and_nothing_in_it_is_a_pattern(store: Store, typed: str) -> None:
    store.create_run(run("20260105-030000-bcdf"))

    with pytest.raises(UnknownRun):
        store.run(typed)


def test_runs_are_listed_newest_first_and_cut_to_the_limit(store: Store) -> None:
    for minute, run_id in enumerate(["a", "b", "c"]):
        store.create_run(run(run_id, created_at=EPOCH + timedelta(minutes=minute)))

    assert [found.id for found in store.runs(limit=2)] == ["c", "b"]


def test_runs_are_found_by_runbook_and_by_state(store: Store) -> None:
    store.create_run(run("a", status=RunStatus.FIXING))
    store.create_run(run("b", status=RunStatus.FIXING, runbook="other"))
    store.create_run(run("c", status=RunStatus.FAILED))

    fixing = store.runs(limit=9, runbook="tidy-shelf", statuses=[RunStatus.FIXING, RunStatus.VERIFYING])
    assert [found.id for found in fixing] == ["a"]
    assert [found.id for found in store.runs(limit=9, runbook="other")] == ["b"]


def test_phases_are_numbered_and_come_back_with_their_tasks_and_reports(store: Store) -> None:
    store.create_run(run())
    first = store.begin_phase(run().id, Phase.DIAGNOSE, check=False, now=EPOCH)
    second = store.begin_phase(run().id, Phase.VERIFY, check=True, now=EPOCH)
    broken = task("verify | Look", outcome=TaskOutcome.FAILED, message="no\nway", diff="-a\n+b\n")
    store.add_task(run().id, second, broken)
    store.add_task(run().id, second, task())
    result = PhaseResult(
        outcome=PhaseOutcome.FAILED, reports={"near": verified(Verdict.NOT_CURED)}, troubles={"far": "it is away"}
    )
    store.end_phase(run().id, second, result, LATER)

    assert (first, second) == (1, 2)
    assert store.phases(run().id) == (
        PhaseRecord(sequence=1, phase=Phase.DIAGNOSE, check=False, outcome=None, started_at=EPOCH, ended_at=None),
        PhaseRecord(
            sequence=2,
            phase=Phase.VERIFY,
            check=True,
            outcome=PhaseOutcome.FAILED,
            started_at=EPOCH,
            ended_at=LATER,
            reports={"near": verified(Verdict.NOT_CURED).model_dump(mode="json")},
            troubles={"far": "it is away"},
            tasks=(broken, task()),
        ),
    )


def test_phases_of_one_run_are_not_mixed_with_those_of_another(store: Store) -> None:
    store.create_run(run("a"))
    store.create_run(run("b"))
    store.begin_phase("a", Phase.DIAGNOSE, check=False, now=EPOCH)
    store.add_task("a", store.begin_phase("a", Phase.FIX, check=False, now=EPOCH), task())
    store.begin_phase("b", Phase.DIAGNOSE, check=False, now=EPOCH)

    assert [(record.phase, len(record.tasks)) for record in store.phases("a")] == [(Phase.DIAGNOSE, 0), (Phase.FIX, 1)]
    assert [record.sequence for record in store.phases("b")] == [1]


def test_a_run_without_phases_and_an_unknown_run_have_none(store: Store) -> None:
    store.create_run(run())

    assert (store.phases(run().id), store.phases("nothing"), store.transitions("nothing")) == ((), (), ())


def test_where_runs_stand_is_told_oldest_first_without_those_that_only_looked_and_are_planned(store: Store) -> None:
    store.create_run(run("b", carrier="service", hosts=("near", "far")))
    store.create_run(run("a", status=RunStatus.PLANNED))
    store.create_run(run("looked", status=RunStatus.PLANNED, check=True))
    store.create_run(run("looks", status=RunStatus.DIAGNOSING, check=True, created_at=EPOCH - timedelta(hours=1)))
    store.create_run(run("over", status=RunStatus.SUCCEEDED))
    store.ask_to_stop("b", "omar")
    wanted = {RunStatus.REQUESTED, RunStatus.PLANNED, RunStatus.DIAGNOSING}
    looks, a, b = store.standing(wanted)

    assert [one.run_id for one in (looks, a, b)] == ["looks", "a", "b"]
    assert (b.status, b.carrier, b.hosts, b.created_at) == (RunStatus.REQUESTED, "service", ("near", "far"), EPOCH)
    assert (b.stop_asked_by, a.stop_asked_by) == ("omar", "")
    assert store.standing({RunStatus.FIXING}) == ()


def test_how_many_runs_wait_for_a_service_counts_no_other_carrier_and_none_that_has_begun(store: Store) -> None:
    for name, carrier in (("a", "service"), ("b", "service"), ("c", "command")):
        store.create_run(run(name, carrier=carrier))
    store.create_run(run("begun", carrier="service", status=RunStatus.DIAGNOSING))

    assert (store.waiting_for("service"), store.waiting_for("command")) == (2, 1)


def test_what_a_service_has_to_go_on_with_are_its_interrupted_runs_that_nothing_continues(store: Store) -> None:
    lost = {"status": RunStatus.INTERRUPTED, "carrier": "service"}
    store.create_run(run("b", **lost))
    store.create_run(run("a", **lost))
    store.create_run(run("continued", **lost))
    store.create_run(run("continued-2", continues="continued"))
    store.create_run(run("of-a-command", status=RunStatus.INTERRUPTED))
    store.create_run(run("ended", status=RunStatus.FAILED, carrier="service"))

    assert [one.id for one in store.broken_off()] == ["a", "b"]


def test_a_child_run_comes_back_with_its_parent_and_how_deep_it_stands(store: Store) -> None:
    child = run("c", parent="p", depth=2)
    store.create_run(run("p"))
    store.create_run(child)

    assert store.run("c") == child
    assert (store.run("p").parent, store.run("p").depth) == ("", 0)
    assert store.move("c", RunStatus.REQUESTED, RunStatus.DIAGNOSING, "", LATER).parent == "p"
    assert [(one.run_id, one.parent) for one in store.standing({RunStatus.DIAGNOSING})] == [("c", "p")]


def test_children_are_those_of_one_run_oldest_first(store: Store) -> None:
    store.create_run(run("p"))
    store.create_run(run("later", parent="p", created_at=LATER))
    store.create_run(run("b", parent="p"))
    store.create_run(run("a", parent="p"))
    store.create_run(run("of-another", parent="q"))

    assert [child.id for child in store.children("p")] == ["a", "b", "later"]
    assert store.children("nothing") == ()


@pytest.mark.parametrize(
    ("children", "back"),
    [
        ({"a": RunStatus.SUCCEEDED, "b": RunStatus.REJECTED}, True),
        ({"a": RunStatus.SUCCEEDED, "b": RunStatus.WAITING_APPROVAL}, False),
        ({"a": RunStatus.REQUESTED}, False),
        ({"a": RunStatus.HANDED_OVER}, False),
        ({"a": RunStatus.ROLLING_BACK}, False),
        ({"a": RunStatus.PARKED}, True),
        # Somebody goes on with it, or has.
        ({"a": RunStatus.INTERRUPTED}, False),
        ({"a": RunStatus.INTERRUPTED, "a-2": RunStatus.FIXING}, False),
        ({"a": RunStatus.INTERRUPTED, "a-2": RunStatus.SUCCEEDED}, True),
    ],
)
def test_a_run_is_handed_back_when_all_of_its_children_have_ended(
    store: Store, children: dict[str, RunStatus], back: bool
) -> None:
    store.create_run(run("p", status=RunStatus.HANDED_OVER, hosts=("near", "far"), carrier="service"))
    for name, status in children.items():
        continues = name.removesuffix("-2") if name.endswith("-2") else ""
        store.create_run(run(name, status=status, parent="p", depth=1, continues=continues))
    back_again = [one for one in store.handed_back() if one.run_id == "p"]
    found = [(one.run_id, one.status, one.hosts, one.carrier) for one in back_again]

    assert found == ([("p", RunStatus.HANDED_OVER, ("near", "far"), "service")] if back else [])


def test_only_runs_that_are_handed_over_are_handed_back(store: Store) -> None:
    for status in set(RunStatus) - {RunStatus.HANDED_OVER}:
        store.create_run(run(status.value, status=status))

    assert store.handed_back() == ()


def test_a_run_that_is_handed_over_has_no_end_yet(store: Store) -> None:
    store.create_run(run(status=RunStatus.DIAGNOSING))

    assert store.move(run().id, RunStatus.DIAGNOSING, RunStatus.HANDED_OVER, "", LATER).ended_at is None
    assert store.move(run().id, RunStatus.HANDED_OVER, RunStatus.FAILED, "", LATER).ended_at == LATER


def verify(store: Store, run_id: str, at: datetime, *drills: DrillReport, ends: bool = True) -> None:
    """Let a run verify, with what that reports."""
    sequence = store.begin_phase(run_id, Phase.VERIFY, check=False, now=at)
    if ends:
        reports = {"mentat": drilled(*drills)}
        store.end_phase(run_id, sequence, PhaseResult(outcome=PhaseOutcome.OK, reports=reports), at)


def test_the_last_verification_of_each_run_of_a_runbook_is_told_newest_first(store: Store) -> None:
    first, second, other = "20260105-030000-bbbb", "20260105-030000-cccc", "20260105-030000-dddd"
    for run_id in (first, second, other):
        store.create_run(run(run_id, runbook="restore-test" if run_id != other else "disk-full"))
    verify(store, first, EPOCH, drill(verdict="BACKUP_BAD"))
    verify(store, other, EPOCH, drill())
    verify(store, second, LATER, drill("arrakis"))
    verify(store, first, LATER + MINUTE, drill(verdict="PASS"))
    verify(store, second, LATER + MINUTE, ends=False)
    found = store.verified("restore-test", limit=10)

    assert [(one.run_id, one.ended_at) for one in found] == [(first, LATER + MINUTE), (second, LATER)]
    assert [Verification.model_validate(one.reports["mentat"]) for one in found] == [
        drilled(drill(verdict="PASS")),
        drilled(drill("arrakis")),
    ]
    assert store.verified("restore-test", limit=1) == found[:1]
    assert store.verified("nothing", limit=10) == ()


def test_each_drill_is_told_to_the_trail_with_the_digest_of_its_report(
    database_or_memory: Database | None, store: Store
) -> None:
    hostile = drill("\ud800{{ 7 }}", phases=[{"name": "fetch", "seconds": 1e300, "bytes": 10**30}])
    store.create_run(run())
    verify(store, run().id, LATER, drill(), hostile)
    entries = [event.entry for event in store.trail.events()] if isinstance(store, MemoryStore) else []
    entries = trail(database_or_memory) if database_or_memory else entries
    told = [entry for entry in entries if entry.action == "drill.reported"]

    assert [(entry.subject, entry.details["digest"]) for entry in told] == [
        (f"{run().id}/drill", report_digest(drill())),
        (f"{run().id}/drill", report_digest(hostile)),
    ]
    assert told[0].details["verdict"] == "PASS"
    assert report_digest(drill()) != report_digest(drill(rto_seconds=99))
