"""The walk of a run: diagnose, plan, approve, snapshot, fix, verify, and roll back where the causes say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event
from typing import TypeVar

from remediate.domain.alert import AlertDecision
from remediate.domain.alert_proof import joined
from remediate.domain.approval import TERMINAL, Answer, Asking, Consent, consent, tally, unattended_consent
from remediate.domain.audit import ENGINE
from remediate.domain.child_runs import HandOver, hand_overs
from remediate.domain.identity import Principal
from remediate.domain.outcome import (
    Decision,
    after_diagnosis,
    after_failed_phase,
    after_verification,
    nothing_can_be_done,
    rolls_back_by_itself,
)
from remediate.domain.people import Person
from remediate.domain.plan import Plan, strayed
from remediate.domain.report import Action, Finding, RollbackReport, Snapshot, Verification
from remediate.domain.run import PhaseOutcome, Run, RunStatus, StartedBy
from remediate.domain.runbook import Phase, Runbook
from remediate.domain.storm import UNCURED
from remediate.engine.admission import Admission
from remediate.engine.alert_proofs import AlertProofs
from remediate.engine.approvals import ApprovalFlow
from remediate.engine.child_runs import ChildRuns
from remediate.engine.events import Observer, PlanMade, StatusChanged
from remediate.engine.executor_ports import PhaseResult
from remediate.engine.incidents import IncidentDesk
from remediate.engine.monitoring import Watchers
from remediate.engine.phase_runner import PhaseRunner
from remediate.engine.planning import Planner, host_plans
from remediate.engine.ports import Ports
from remediate.engine.schedule_news import worth_telling
from remediate.engine.silencing import Silencing
from remediate.engine.staff import News, Occasion, Staff
from remediate.errors import EngineFailure, IllegalTransition, NotAllowed, Refused, UnknownShape

#: Asks the person who typed the command whether the plan may be carried out; None means that nobody can be asked.
AskPerson = Callable[[Plan], bool | None]

#: A plan that is older than this is made again and compared before it is carried out.
_FRESH = timedelta(seconds=60)

_Report = TypeVar("_Report", Finding, Snapshot, Verification, RollbackReport)


def unattended(_plan: Plan) -> bool | None:
    """Ask nobody: there is no terminal."""
    return None


@dataclass(frozen=True)
class Surroundings:
    """What walks share: people, approvals, the policy about storms."""

    staff: Staff = field(default_factory=Staff)
    #: The policy about storms; without one everything is admitted.
    admission: Admission | None = None
    #: What there is to ask about the alerts of each source.
    watchers: Watchers = field(default_factory=dict)


class Walk:
    """Carries one run from its request to its end. Each step is recorded before the next one begins."""

    def __init__(
        self,
        ports: Ports,
        runbook: Runbook,
        surroundings: Surroundings,
        children: ChildRuns,
        observe: Observer,
        ask: AskPerson = unattended,
    ) -> None:
        self._ports = ports
        self._runbook = runbook
        self._staff = surroundings.staff
        self._admission = surroundings.admission
        self._children = children
        self._approvals = ApprovalFlow(ports, surroundings.staff)
        self._incidents = IncidentDesk(ports, surroundings.staff)
        self._proofs = AlertProofs(ports, surroundings.watchers)
        self._silencing = Silencing(ports, surroundings.watchers)
        self._observe = observe
        self._ask = ask
        self._phases = PhaseRunner(ports, runbook, observe)
        self._planner = Planner(ports, runbook, surroundings.staff)

    def go(self, run: Run, stop: Event) -> Run:
        """Walk the run until it ends or has to wait for somebody; return it as recorded."""
        staged = self._ports.executor.stage(run.id, self._runbook)
        run = self._begun(run)
        result = self._phases.run(run, Phase.DIAGNOSE, run.hosts, stop)
        if _broken(result, run.hosts):
            return self._end_broken(run, result, fixing=False)
        findings = _reports(result, Finding)
        _refuse_unknown_causes(self._runbook, findings)
        decision = after_diagnosis(findings)
        if decision.status is RunStatus.NOT_NEEDED:
            handed = self._children.hosts(run)
            return self._prove(run, handed, stop) if handed else self._nothing_wrong(run, decision, stop)
        findings = {host: found for host, found in findings.items() if found.applies}
        if not run.check and (wanted := hand_overs(self._runbook.causes, findings)):
            return self._hand_over(run, wanted, self._planner.found(run, findings, staged))
        return self._act(run, findings, staged, stop)

    def _begun(self, run: Run) -> Run:
        """Begin to look; what an alert tells of is an incident before anybody has looked."""
        with self._ports.store.together():
            moved = self._moved(run, RunStatus.DIAGNOSING, "looking at " + ", ".join(run.hosts))
            if run.started_by is StartedBy.ALERT and not run.check:
                self._incidents.open_for(run, self._runbook, self._ports.clock.now())
        return self._told(moved)

    def _nothing_wrong(self, run: Run, decision: Decision, stop: Event) -> Run:
        """End a run that found nothing wrong; where an alert says otherwise, a person has to look."""
        if run.check:
            return self._move(run, decision.status, decision.reason)
        decision = self._proven(run, decision, self._ports.clock.now(), stop)
        if decision.status is RunStatus.NOT_NEEDED:
            return self._move(run, decision.status, decision.reason)
        return self._end(run, decision.status, decision.reason)

    def _act(self, run: Run, findings: Mapping[str, Finding], staged: Mapping[str, str], stop: Event) -> Run:
        """Plan what to do about ill hosts, have it approved, and carry it out."""
        run = self._plan(run, findings, staged, stop)
        if run.status is not RunStatus.PLANNED or run.check:
            return run
        if nothing_can_be_done(findings.values()):
            reason = "not cured: nothing that is safe to do would help. " + _notes(findings)
            return self._end_early(run, RunStatus.FAILED, reason)
        if refusal := self._refused(run):
            return self._parked(run, refusal)
        run = self._seek_approval(run)
        return self.carry_out(run, stop) if run.status is RunStatus.APPROVED else run

    def take_up(self, run: Run, stop: Event) -> Run:
        """Go on with a run that was handed over, when all of its children have ended: it looks again, or ends so."""
        if decision := self._children.verdict(run):
            return self._end(run, decision.status, decision.reason)
        if stop.is_set() or self._ports.store.asked_to_stop([run.id]):
            return self._end(run, RunStatus.CANCELED, f"stopped by request; {self._children.ends(run)}")
        return self.go(run, stop)

    def _hand_over(self, run: Run, wanted: Sequence[HandOver], found: Plan) -> Run:
        """Hand over what other runbooks cure; where that goes in circles or was in vain, it is a human's."""
        children, obstacle = self._children.requested(run, wanted)
        run = run.model_copy(update={"plan": found})
        named = [f"{child.runbook} on {', '.join(child.hosts)} (run {child.id})" for child in children]
        with self._ports.store.together():
            self._ports.store.save_plan(run)
            self._incidents.open_for(run, self._runbook, self._ports.clock.now())
            if obstacle:
                run = self._ended(run, RunStatus.FAILED, f"not cured: {obstacle}")
            else:
                run = self._moved(run, RunStatus.HANDED_OVER, f"handed over to {'; '.join(named)}")
                for child in children:
                    self._ports.store.create_run(child, by=ENGINE)
        self._observe(PlanMade(found))
        return self._told(run)

    def _prove(self, run: Run, hosts: tuple[str, ...], stop: Event) -> Run:
        """Prove that hosts are cured which other runbooks have cured."""
        run = self._move(run, RunStatus.VERIFYING, "nothing is wrong any more, proving the cure")
        decision = self._proven(run, self._verify(run, hosts, stop), run.updated_at, stop)
        return self._end(run, decision.status, decision.reason)

    def resume(self, run: Run, stop: Event) -> Run:
        """Carry out a run that was approved while it waited, if it is still exactly what was approved."""
        plan = _plan_of(run)
        now = self._ports.clock.now()
        if now >= plan.expires_at:
            return self._end(run, RunStatus.EXPIRED, "the plan is no longer valid: make a new one")
        findings: Mapping[str, Finding] = {host: host_plan.finding for host, host_plan in plan.hosts.items()}
        diffs: Mapping[str, str] = {host: host_plan.diff for host, host_plan in plan.hosts.items()}
        if now - plan.made_at > _FRESH:
            looked = self._phases.run(run, Phase.DIAGNOSE, run.hosts, stop)
            if _broken(looked, run.hosts):
                return self._end_broken(run, looked, fixing=False)
            findings = {host: found for host, found in _reports(looked, Finding).items() if found.applies}
            _refuse_unknown_causes(self._runbook, findings)
            if not findings:
                return self._end(run, RunStatus.EXPIRED, "stale: nothing is wrong any more, so nothing was done")
            checked = self._dry_run(run, findings, stop)
            if _broken(checked, tuple(findings)):
                return self._end_broken(run, checked, fixing=False)
            diffs = checked.diffs
        staged = self._ports.executor.stage(run.id, self._runbook)
        if changed := self._planner.changed_since(plan, run, host_plans(run, findings, diffs), staged):
            return self._end(run, RunStatus.EXPIRED, f"stale: {changed} changed since it was approved")
        return self.carry_out(run, stop)

    def carry_out(self, run: Run, stop: Event) -> Run:
        """Snapshot, fix and verify an approved run."""
        hosts = _ill_hosts(run)
        # The claim asks for the groups of hosts, and reading an inventory must not keep others from writing.
        self._ports.executor.hosts()
        try:
            with self._ports.store.together():
                note = self._admission.claim(run, self._runbook).note if self._admission else ""
                reason = "writing down what will be touched" + (f"; {note}" if note else "")
                run = self._moved(run, RunStatus.SNAPSHOTTING, reason)
        except Refused as refused:
            return self._parked(run, f"{refused.message} {refused.next_step}".strip())
        self._told(run)
        with self._silencing.during(run, self._runbook):
            return self._carried_out(run, hosts, stop)

    def _carried_out(self, run: Run, hosts: tuple[str, ...], stop: Event) -> Run:
        result = self._phases.run(run, Phase.SNAPSHOT, hosts, stop)
        if _broken(result, hosts):
            return self._end_broken(run, result, fixing=False)
        planned = {host: plan.actions for host, plan in _plan_of(run).hosts.items()}
        if stray := _stray(planned, {host: snapshot.actions for host, snapshot in _reports(result, Snapshot).items()}):
            return self._end(run, RunStatus.EXPIRED, f"stale: the host changed since the plan was made: {stray}")
        run = self._move(run, RunStatus.FIXING, "carrying out the plan")
        result = self._phases.run(run, Phase.FIX, hosts, stop)
        if _broken(result, hosts):
            return self._end_broken(run, result, fixing=True)
        run = self._move(run, RunStatus.VERIFYING, "the fix is done, proving the cure")
        proven = {*hosts, *self._children.hosts(run)}
        decision = self._verify(run, tuple(host for host in run.hosts if host in proven), stop)
        decision = self._proven(run, decision, run.updated_at, stop)
        run = self._end(run, decision.status, decision.reason)
        if run.status in {RunStatus.FAILED, RunStatus.UNPROVEN} and self._undo_by_itself(run):
            return self.roll_back(run, Event())
        return run

    def roll_back(self, run: Run, stop: Event) -> Run:
        """Put back what the fix of this run took away."""
        hosts = _ill_hosts(run)
        run = self._move(run, RunStatus.ROLLING_BACK, "putting back what was taken")
        result = self._phases.run(run, Phase.ROLLBACK, hosts, stop)
        reports = _reports(result, RollbackReport)
        complete = [host for host in hosts if host in reports and reports[host].complete]
        if len(complete) == len(hosts):
            count = sum(len(report.restored) for report in reports.values())
            return self._move(run, RunStatus.ROLLED_BACK, f"{count} put back")
        return self._move(
            run, RunStatus.ROLLBACK_FAILED, "not rolled back: " + _rollback_troubles(hosts, result, reports)
        )

    def _plan(self, run: Run, findings: Mapping[str, Finding], staged: Mapping[str, str], stop: Event) -> Run:
        diffs: Mapping[str, str] = {}
        if not nothing_can_be_done(findings.values()):
            result = self._dry_run(run, findings, stop)
            if _broken(result, tuple(findings)):
                return self._end_broken(run, result, fixing=False)
            diffs = result.diffs
        plan, stale = self._planner.make(run, host_plans(run, findings, diffs), staged)
        run = run.model_copy(update={"plan": plan})
        if stale:
            return self._move(run, RunStatus.EXPIRED, f"stale: {stale} changed since the plan was made")
        reason = f"{', '.join(plan.causes) or 'no cause that can be fixed'}; level {plan.level}"
        with self._ports.store.together():
            self._ports.store.save_plan(run)
            run = self._moved(run, RunStatus.PLANNED, reason)
            if not run.check and not (self._runbook.routine and plan.level == 0):
                self._incidents.open_for(run, self._runbook, self._ports.clock.now())
        self._told(run)
        self._observe(PlanMade(plan))
        return run

    def _dry_run(self, run: Run, findings: Mapping[str, Finding], stop: Event) -> PhaseResult:
        hosts = tuple(host for host in run.hosts if host in findings)
        return self._phases.run(run, Phase.FIX, hosts, stop, check=True)

    def _refused(self, run: Run) -> str:
        """Why the run would not be admitted, before anybody is asked about it."""
        try:
            if self._admission:
                self._admission.require(run, self._runbook)
        except Refused as refused:
            return f"{refused.message} {refused.next_step}".strip()
        return ""

    def _parked(self, run: Run, refusal: str) -> Run:
        """Park a run that the policy about storms refuses; the alert that it was made of says so as well."""
        now = self._ports.clock.now()
        with self._ports.store.together():
            by_person = run.started_by is StartedBy.PERSON
            run = (self._moved if by_person else self._ended)(run, RunStatus.PARKED, refusal)
            for record in () if by_person else self._ports.alerts.of_run(run.id):
                answer = record.answer.model_copy(update={"decision": AlertDecision.REFUSED, "reason": refusal})
                self._ports.alerts.decided(record.key, answer, now)
        return self._told(run)

    def _seek_approval(self, run: Run) -> Run:
        plan = _plan_of(run)
        if run.started_by is not StartedBy.PERSON:
            return self._seek_unattended(run, plan)
        given = consent(plan.level, people=plan.people, requester_level=self._staff.level_of(run.requested_by))
        if given is Consent.NOT_NEEDED:
            return self._move(run, RunStatus.APPROVED, given.value)
        run = self._told(self._approvals.ask(run, plan, self._runbook))
        if inherited := self._inherited(run):
            return self._told(inherited)
        answer = self._ask(plan) if given is Consent.ASK else None
        return run if answer is None else self._told(self._answered(run, approved=answer))

    def _seek_unattended(self, run: Run, plan: Plan) -> Run:
        """Let the rule about its alert, or its schedule, approve a run where it does; ask people where it does not."""
        given = unattended_consent(plan.level, people=plan.people, unattended=run.unattended)
        if given.is_enough:
            return self._move(run, RunStatus.APPROVED, given.reason)
        asked = plan.model_copy(
            update={"level": max(plan.level, 1), "level_reasons": (*plan.level_reasons, given.reason)}
        )
        run = self._told(self._approvals.ask(run, asked, self._runbook))
        inherited = self._inherited(run)
        return self._told(inherited) if inherited else run

    def _answered(self, run: Run, *, approved: bool) -> Run:
        """Record the answer of the on-call engineer who typed the command."""
        answer = Answer.APPROVED if approved else Answer.REJECTED
        person = self._staff.people.by_id.get(run.requested_by) or _engineer(run.requested_by)
        principal = Principal(person=person, channel=TERMINAL)
        try:
            return self._approvals.answer(run.id, principal, answer, "at the terminal")
        except (IllegalTransition, NotAllowed):
            return self._ports.store.run(run.id)  # somebody else has answered meanwhile, or this answer does not count

    def _inherited(self, run: Run) -> Run | None:
        """Let the answers to the interrupted run count for this one, where they were to this very plan."""
        if not run.continues:
            return None
        given = self._ports.approvals.answers(run.continues)
        request = self._ports.approvals.request(run.id)
        if request is None or (result := tally(request, given)).state is Asking.OPEN:
            return None
        return self._approvals.conclude(request, result)

    def _verify(self, run: Run, hosts: tuple[str, ...], stop: Event) -> Decision:
        limits = self._runbook.limits(Phase.VERIFY)
        for attempt in range(limits.retries + 1):
            if attempt:
                self._ports.clock.wait(limits.delay, stop)
            result = self._phases.run(run, Phase.VERIFY, hosts, stop)
            if result.outcome is PhaseOutcome.CANCELED:
                return Decision(status=RunStatus.CANCELED, reason="stopped by request before the cure was proven")
            decision = after_verification(_reports(result, Verification), _missing(result, hosts))
            if decision.status is RunStatus.SUCCEEDED or stop.is_set():
                return decision
        return decision

    def _proven(self, run: Run, decision: Decision, fixed_at: datetime, stop: Event) -> Decision:
        """Join the runbook's own verification with what the expressions of the run's alerts say since the fix."""
        if decision.status not in {RunStatus.SUCCEEDED, RunStatus.NOT_NEEDED, RunStatus.UNPROVEN} or stop.is_set():
            return decision
        proofs = self._proofs.prove(run, fixed_at, self._runbook.limits(Phase.VERIFY).longest, stop)
        return joined(decision, proofs)

    def _end_broken(self, run: Run, result: PhaseResult, *, fixing: bool) -> Run:
        """End a run whose phase broke off; after a fix that broke off, look at what state the hosts are in."""
        status = after_failed_phase(result.outcome, fixing)
        hosts = _ill_hosts(run) if fixing else run.hosts
        reason = _broken_reason(result, hosts)
        if fixing:
            checked = self._phases.run(run, Phase.VERIFY, hosts, Event())
            verdict = after_verification(_reports(checked, Verification), _missing(checked, hosts))
            return self._end(run, status, f"{reason}. State now: {verdict.reason}")
        return self._end_early(run, status, reason)

    def _undo_by_itself(self, run: Run) -> bool:
        if Phase.ROLLBACK not in self._runbook.phases or run.plan is None:
            return False
        acting = {action.cause for plan in run.plan.hosts.values() for action in plan.actions}
        return rolls_back_by_itself(self._runbook.causes[cause] for cause in acting)

    def _end(self, run: Run, wanted: RunStatus, reason: str) -> Run:
        """End a run that was to act: a cure closes its incident, and whoever has to know is told."""
        return self._told(self._ended(run, wanted, reason))

    def _end_early(self, run: Run, wanted: RunStatus, reason: str) -> Run:
        """End a run that did nothing: whoever asked for it sees that; else somebody needs to be told."""
        return self._move(run, wanted, reason) if run.started_by is StartedBy.PERSON else self._end(run, wanted, reason)

    def _ended(self, run: Run, wanted: RunStatus, reason: str) -> Run:
        now = self._ports.clock.now()
        with self._ports.store.together():
            run = self._moved(run, wanted, reason)
            if self._runbook.routine and wanted in UNCURED and not run.check:
                self._incidents.open_for(run, self._runbook, now)
            if wanted is RunStatus.SUCCEEDED:
                self._incidents.cured(run, reason, now)
            elif run.started_by is StartedBy.ALERT and wanted in UNCURED | {RunStatus.PARKED}:
                self._incidents.call(run, reason, now)
            if worth_telling(self._ports.store, run):
                to = self._staff.named((run.requested_by,)) + self._staff.on_call(1, now)
                self._staff.announce(News(Occasion.ENDED, run, None, _once(to), reason, now))
        return run

    def _told(self, run: Run) -> Run:
        self._observe(StatusChanged(run, run.status, run.outcome))
        return run

    def _move(self, run: Run, wanted: RunStatus, reason: str) -> Run:
        return self._told(self._moved(run, wanted, reason))

    def _moved(self, run: Run, wanted: RunStatus, reason: str) -> Run:
        """Record a new state; whoever watches is told once it is on the disk."""
        return self._ports.store.move(run.id, run.status, wanted, reason, self._ports.clock.now())


def _once(people: tuple[Person, ...]) -> tuple[Person, ...]:
    return tuple({person.id: person for person in people}.values())


def _engineer(name: str) -> Person:
    """Whoever sits at the terminal of a site that names no people is its on-call engineer."""
    return Person.model_construct(id=name, name=name, level=1)


def _plan_of(run: Run) -> Plan:
    """Return the plan of a run that must have one; raises EngineFailure otherwise."""
    if run.plan is None:
        raise EngineFailure(f"Run {run.id} has no plan, so nothing was done that could be undone.")
    return run.plan


def _ill_hosts(run: Run) -> tuple[str, ...]:
    """Return the hosts that the plan is for."""
    return tuple(_plan_of(run).hosts)


def _reports(result: PhaseResult, kind: type[_Report]) -> dict[str, _Report]:
    reports = {host: report for host, report in result.reports.items() if isinstance(report, kind)}
    if len(reports) != len(result.reports):
        raise UnknownShape(f"A phase that reports {kind.__name__} reported something else.")
    return reports


def _refuse_unknown_causes(runbook: Runbook, findings: Mapping[str, Finding]) -> None:
    """A cause that the card does not name has no level that could approve it; one that it hands over has no actions."""
    named = {action.cause for finding in findings.values() for action in finding.actions}
    named |= {cause.id for finding in findings.values() for cause in finding.causes}
    if unknown := sorted(named - set(runbook.causes)):
        raise UnknownShape(f"{runbook.id} found causes that its card does not name: {', '.join(unknown)}.")
    acting = {action.cause for finding in findings.values() for action in finding.actions}
    if handed := sorted(cause for cause in acting if runbook.causes[cause].hand_over):
        raise UnknownShape(f"{runbook.id} would act on causes that its card hands over: {', '.join(handed)}.")


def _missing(result: PhaseResult, hosts: tuple[str, ...]) -> dict[str, str]:
    """Why each host that reported nothing did not."""
    silent = [host for host in hosts if host not in result.reports]
    return {host: result.troubles.get(host, f"no report ({result.outcome.value})") for host in silent}


def _broken(result: PhaseResult, hosts: tuple[str, ...]) -> bool:
    return result.outcome is not PhaseOutcome.OK or bool(_missing(result, hosts))


def _broken_reason(result: PhaseResult, hosts: tuple[str, ...]) -> str:
    words = {PhaseOutcome.CANCELED: "stopped by request", PhaseOutcome.TIMEOUT: "took longer than its time limit"}
    troubles = {**_missing(result, hosts), **result.troubles}
    listed = "; ".join(f"{host}: {trouble}" for host, trouble in sorted(troubles.items()))
    return words.get(result.outcome) or listed or result.outcome.value


def _stray(agreed: Mapping[str, tuple[Action, ...]], wanted: Mapping[str, tuple[Action, ...]]) -> str:
    """Name the targets that are wanted now and were not agreed on, or return an empty string."""
    found = [
        f"{host}: {a.verb} {a.target}"
        for host, actions in wanted.items()
        for a in strayed(agreed.get(host, ()), actions)
    ]
    return "; ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")


def _notes(findings: Mapping[str, Finding]) -> str:
    return "; ".join(f"{host}: {' '.join(finding.notes)}" for host, finding in findings.items() if finding.notes)


def _rollback_troubles(hosts: tuple[str, ...], result: PhaseResult, reports: Mapping[str, RollbackReport]) -> str:
    refused = [f"{host}: {item.target}: {item.reason}" for host, report in reports.items() for item in report.refused]
    silent = [f"{host}: {why}" for host, why in _missing(result, hosts).items()]
    return "; ".join(refused + silent) or result.outcome.value
