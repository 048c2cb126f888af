"""What holds for every run of every story, whatever happened in it (the record is asked, nothing else)."""

from __future__ import annotations

from itertools import pairwise

from remediate.domain.alert import WITH_RUN, AlertDecision
from remediate.domain.approval import OVERRIDE_PEOPLE, Answer, Asking
from remediate.domain.child_runs import MOST_DEPTH, has_ended, newest
from remediate.domain.incident import IncidentKind
from remediate.domain.run import OWNED, TRANSITIONS, PhaseOutcome, Run, RunStatus, StartedBy, Transition, request_id
from remediate.domain.runbook import Phase
from remediate.domain.storm import UNCURED
from remediate.engine.alert_ports import Alerts
from remediate.engine.incident_ports import Incidents
from remediate.engine.ports import Approvals, Store

ACTING = {RunStatus.SNAPSHOTTING, RunStatus.FIXING, RunStatus.VERIFYING, RunStatus.ROLLING_BACK}


def check_invariants(
    store: Store,
    approvals: Approvals,
    *,
    at_rest: bool = True,
    incidents: Incidents | None = None,
    routine: frozenset[str] = frozenset(),
) -> None:
    """Check all of it; `at_rest` says that no process is at work any more.

    `incidents` tells which runs belong to one that another run has opened; without it, every run has its own. What is
    routine has one only when it did not succeed.
    """
    runs = store.runs(limit=10_000)
    for run in runs:
        history = store.transitions(run.id)
        _history_follows_the_table(run, [step.to_status for step in history])
        _acting_was_approved(store, approvals, run, history)
        _success_was_proven(store, run, history)
        _phases_ended(store, run, history, at_rest=at_rest)
        _a_request_stands_as_its_run_does(approvals, run)
        if run.runbook not in routine or run.status in UNCURED:
            _trouble_is_somebodys(store, approvals, run, history, incidents)
        assert not at_rest or run.status not in OWNED or _only_planned(run), f"{run.id} is {run.status} and nobody's"
    _children_belong_to_their_parents(store, runs)
    _a_child_knows_its_place(runs)
    _one_run_acts_on_a_host_at_a_time(store, runs)
    _an_attempt_is_continued_once(runs)
    _a_cure_ends_the_trouble_of_all_its_attempts(approvals, runs, incidents)


def _history_follows_the_table(run: Run, states: list[RunStatus]) -> None:
    assert states[0] is RunStatus.REQUESTED
    assert states[-1] is run.status
    for current, following in pairwise(states):
        assert following in TRANSITIONS[current], f"{run.id} went from {current} to {following}"


def _acting_was_approved(store: Store, approvals: Approvals, run: Run, history: tuple[Transition, ...]) -> None:
    acted = [
        record for record in store.phases(run.id) if record.phase in {Phase.SNAPSHOT, Phase.FIX} and not record.check
    ]
    if not acted:
        return
    assert RunStatus.APPROVED in [step.to_status for step in history], f"{run.id} acted without an approval"
    assert run.plan is not None, f"{run.id} acted without a plan"
    assert not run.check, f"{run.id} was to look only, and acted"
    assert not set(run.plan.hosts) - set(run.hosts), f"{run.id} acted on hosts that were not asked for"
    if run.plan.level == 0 and run.started_by is StartedBy.PERSON:
        return
    by_rule = run.unattended is not None and run.plan.level <= run.unattended and run.plan.people == 1
    if run.started_by is not StartedBy.PERSON and by_rule:
        return
    request = approvals.request(run.id)
    assert request is not None, f"{run.id} of level {run.plan.level} acted and nobody was asked"
    assert request.digest == run.plan.digest, f"{run.id} acted by an approval of another plan"
    given = [*approvals.answers(run.id), *(approvals.answers(run.continues) if run.continues else ())]
    # Counted here anew: the decision of the program proves nothing about itself.
    mine = [one for one in given if one.digest == run.plan.digest]
    assert not [one for one in mine if one.answer is Answer.REJECTED], f"{run.id} acted though somebody rejected it"
    enough = {one.person for one in mine if one.answer is Answer.APPROVED and one.level >= run.plan.level}
    together = {one.person for one in mine}
    overridden = any(one.answer is Answer.OVERRIDDEN for one in mine) and len(together) >= OVERRIDE_PEOPLE
    assert len(enough) >= run.plan.people or overridden, f"{run.id} acted by the word of {sorted(enough)} only"
    for answer in given:
        alone = answer.person == run.requested_by and answer.answer is Answer.APPROVED and run.plan.level > 1
        assert not alone, f"{run.id} was approved by whoever asked for it"


def check_alerts(store: Store, alerts: Alerts) -> None:
    """Check that every alert was decided, and made one run where it made one: none is lost, none is doubled."""
    records = alerts.alerts(limit=100_000)
    made = [one.answer.run_id for one in records if one.answer.run_id]
    runs = {run.id for run in store.runs(limit=100_000) if run.started_by is StartedBy.ALERT}
    first = {run.id for run in store.runs(limit=100_000) if run.id in runs and not run.continues and not run.parent}
    assert len(made) == len(set(made)), "one run was made of two alerts"
    assert set(made) == first, "a run of an alert and its alert do not know each other"
    assert not [one.key for one in records if one.answer.decision is AlertDecision.UNDECIDED], "an alert was forgotten"
    for record in records:
        has_run = record.answer.decision in {*WITH_RUN, AlertDecision.REFUSED}
        assert has_run or not record.answer.run_id, f"{record.key} was {record.answer.decision} and made a run"


def _success_was_proven(store: Store, run: Run, history: tuple[Transition, ...]) -> None:
    if RunStatus.SUCCEEDED in [step.to_status for step in history]:
        proof = [record for record in store.phases(run.id) if record.phase is Phase.VERIFY][-1]
        assert {report["verdict"] for report in proof.reports.values()} == {"cured"}  # type: ignore[index]  # recorded as JSON


def _phases_ended(store: Store, run: Run, history: tuple[Transition, ...], *, at_rest: bool) -> None:
    """Every phase has an end, or its run was interrupted; the last one of a run that is owned may be going on."""
    lost = {RunStatus.INTERRUPTED, RunStatus.APPROVED} & {step.to_status for step in history}
    phases = store.phases(run.id)
    for record in phases:
        ended = record.ended_at is not None and record.outcome is not None
        going_on = not at_rest and run.status in OWNED and record is phases[-1]
        assert ended or lost or going_on, f"{run.id} lost phase {record.sequence}"
        assert not record.reports or record.outcome is not PhaseOutcome.CRASHED or ended


def _a_request_stands_as_its_run_does(approvals: Approvals, run: Run) -> None:
    request = approvals.request(run.id)
    if request is None:
        assert run.status is not RunStatus.WAITING_APPROVAL, f"{run.id} waits and nobody was asked"
        return
    waits = run.status is RunStatus.WAITING_APPROVAL
    assert (request.state is Asking.OPEN) == waits, f"{run.id} is {run.status}, its request {request.state}"
    given = [one for one in approvals.answers(run.id) if one.digest == request.digest]
    people = [one.person for one in given]
    assert len(people) == len(set(people)), f"somebody answered twice to {run.id}"


def _trouble_is_somebodys(
    store: Store, approvals: Approvals, run: Run, history: tuple[Transition, ...], joined: Incidents | None
) -> None:
    """A problem that is not proven cured has an open incident, or was taken over by the run that continued it."""
    states = {step.to_status for step in history}
    incidents = {incident.run_id: incident for incident in approvals.incidents(only_open=False, limit=10_000)}
    if joined and (found := joined.of_run(run.id)):
        incidents[run.id] = found
    if run.parent:
        opened = incidents.get(run.id)
        assert opened is None or opened.kind is IncidentKind.REVIEW, f"{run.id} is a child with its own incident"
        return
    if run.check or not states & {RunStatus.PLANNED, RunStatus.HANDED_OVER} or store.continuations(run.id):
        return
    assert run.id in incidents, f"{run.id} found something wrong and opened no incident"
    cured = RunStatus.SUCCEEDED in states
    if run.started_by is StartedBy.ALERT:
        # It stays open until its alerts have resolved, which may end it without a cure of ours as well.
        incident = incidents[run.id]
        if joined is None or _is_shared(joined, incident.id, run):
            return  # another alert may have told of it since
        assert incident.cured_at or not incident.is_open or not cured, f"{run.id} has cured, {incident.id} is open"
        return
    assert incidents[run.id].is_open is not cured, f"the incident of {run.id} is not as its run"


def _children_belong_to_their_parents(store: Store, runs: tuple[Run, ...]) -> None:
    """A run was handed over exactly to what it has as children, each of them once, and looks away until they end."""
    for run in runs:
        handed = [step for step in store.transitions(run.id) if step.to_status is RunStatus.HANDED_OVER]
        children = store.children(run.id)
        first = [child for child in children if not child.continues]
        assert all(any(child.id in step.reason for step in handed) for child in first), f"{run.id}: {handed}"
        assert bool(first) == bool(handed), f"{run.id} was handed over {len(handed)} times to {len(first)} runs"
        asked = [(child.runbook, host) for child in first for host in child.hosts]
        assert len(asked) == len(set(asked)), f"{run.id} was handed over twice to the same: {asked}"
        waits = run.status in {RunStatus.HANDED_OVER, RunStatus.CANCELED}
        going_on = [one for one in newest(children) if not has_ended(one) and not _was_rolled_back(store, one)]
        assert waits or not going_on, f"{run.id} is {run.status}, and {going_on[0].id} goes on"


def _a_child_knows_its_place(runs: tuple[Run, ...]) -> None:
    """No run stands below one of its own runbook, none too deep, none works on other hosts or for somebody else."""
    by_id = {run.id: run for run in runs}
    for run in runs:
        parent = by_id.get(run.parent)
        assert run.depth == (parent.depth + 1 if parent else 0) <= MOST_DEPTH
        assert parent is None or set(run.hosts) <= set(parent.hosts)
        assert parent is None or (run.requested_by, run.started_by) == (parent.requested_by, parent.started_by)
        while parent:
            assert run.runbook != parent.runbook, f"{run.id} stands below a run of its own runbook"
            parent = by_id.get(parent.parent)


def _was_rolled_back(store: Store, run: Run) -> bool:
    """Somebody takes a child back that had ended before."""
    return RunStatus.ROLLING_BACK in [step.to_status for step in store.transitions(run.id)]


def _one_run_acts_on_a_host_at_a_time(store: Store, runs: tuple[Run, ...]) -> None:
    spans = []
    for run in runs:
        for step, following in pairwise((*store.transitions(run.id), None)):
            if step is not None and step.to_status in ACTING and following is not None:
                spans += [(host, step.at, following.at, run.id) for host in run.hosts]
    spans.sort()
    for (host, _, end, first), (other, begin, _, second) in pairwise(spans):
        assert host != other or first == second or begin >= end, f"{first} and {second} acted on {host} at once"


def _an_attempt_is_continued_once(runs: tuple[Run, ...]) -> None:
    planned = {run.id for run in runs if run.check}
    continued = [run.continues for run in runs if run.continues and run.continues not in planned]
    assert len(continued) == len(set(continued)), "an interrupted run was continued twice"


def _a_cure_ends_the_trouble_of_all_its_attempts(
    approvals: Approvals, runs: tuple[Run, ...], joined: Incidents | None
) -> None:
    by_id = {run.id: run for run in runs}
    still_open = {incident.id for incident in approvals.incidents(limit=10_000) if not incident.cured_at}
    for run in runs:
        cured, attempt = run.status is RunStatus.SUCCEEDED, run
        while attempt.continues:
            attempt = by_id[attempt.continues]
            if joined and _is_shared(joined, f"inc-{attempt.id}", run):
                continue  # another alert may have told of it since
            assert not cured or f"inc-{attempt.id}" not in still_open, f"{run.id} has cured, {attempt.id} is open"


def _is_shared(joined: Incidents, incident_id: str, run: Run) -> bool:
    """Whether runs of other requests belong to an incident as well."""
    return any(request_id(one) != request_id(run.id) for one in joined.runs(incident_id))


def _only_planned(run: Run) -> bool:
    return run.check and run.status is RunStatus.PLANNED
