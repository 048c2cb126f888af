"""The approval of a plan: asked, answered, climbing by silence, withdrawn, expired; each step is one transaction."""

from __future__ import annotations

from datetime import datetime, timedelta

from remediate.domain.approval import (
    HIGHEST_LEVEL,
    Answer,
    ApprovalDecision,
    ApprovalRequest,
    Asking,
    Tally,
    may_answer,
    tally,
)
from remediate.domain.escalation import Move, following, ladder_for, next_step
from remediate.domain.identity import Principal
from remediate.domain.incident import Incident, IncidentKind
from remediate.domain.people import Person
from remediate.domain.plan import Plan
from remediate.domain.run import Run, RunStatus
from remediate.domain.runbook import Runbook
from remediate.engine.ports import Ports
from remediate.engine.staff import News, Occasion, Staff
from remediate.errors import EngineFailure, IllegalTransition, NotAllowed, UsageError

#: How the answer to a request moves its run.
_MOVES = {
    Asking.APPROVED: (RunStatus.APPROVED, Occasion.APPROVED),
    Asking.REJECTED: (RunStatus.REJECTED, Occasion.REJECTED),
    Asking.EXPIRED: (RunStatus.EXPIRED, Occasion.EXPIRED),
    Asking.WITHDRAWN: (RunStatus.WITHDRAWN, Occasion.WITHDRAWN),
}


#: So much of a digest names a plan well enough for a person who types it.
_LEAST_DIGEST = 8


class ApprovalFlow:
    """Asks people for approval and takes their answers. The wait is a row with a moment, never a process."""

    def __init__(self, ports: Ports, staff: Staff) -> None:
        self._ports = ports
        self._staff = staff

    def ask(self, run: Run, plan: Plan, runbook: Runbook) -> Run:
        """Let a planned run wait for approval, and ask whoever is on call at the level that it needs."""
        now = self._ports.clock.now()
        request = _first_request(run, plan, runbook, self._groups(run.hosts), now)
        level, asked, why = self._reachable(plan.level, now)
        request = request.model_copy(update={"asked_level": level, "asked": _ids(asked)})
        request = request.model_copy(update={"next_at": following(request)})
        reason = f"level {plan.level}: {'; '.join(plan.level_reasons)}"
        with self._ports.store.together():
            waiting = self._ports.store.move(run.id, run.status, RunStatus.WAITING_APPROVAL, reason, now)
            self._ports.approvals.ask(request)
            self._staff.announce(News(Occasion.ASKED, waiting, request, asked, why, now))
        return waiting

    def answer(self, run_id: str, principal: Principal, answer: Answer, reason: str = "", *, digest: str = "") -> Run:
        """Take a person's answer to the plan that they saw; return the run as it is then.

        Raises NotAllowed or IllegalTransition when the answer does not count, UsageError when its reason is missing.
        """
        if 0 < len(digest) < _LEAST_DIGEST:
            raise UsageError(
                f"{len(digest)} characters of a digest may fit any plan; at least {_LEAST_DIGEST} are wanted.",
                next_step=f"see `remediate approvals show {run_id}`",
            )
        if answer is not Answer.APPROVED and not reason.strip():
            raise UsageError(f"Why? An answer that is {answer.value} needs a reason.", next_step="add --reason TEXT")
        run = self._ports.store.run(run_id)
        now = self._ports.clock.now()
        with self._ports.store.together():
            request = self._open_request(run.id)
            if not request.digest.startswith(digest):
                raise IllegalTransition(
                    f"The plan of run {run.id} is another one by now than the one that was seen.",
                    next_step=f"look again: `remediate approvals show {run.id}`",
                )
            given = self._ports.approvals.answers(run.id)
            if refusal := self._refusal(request, principal, answer, given, now):
                raise NotAllowed(
                    f"{principal.person.id} may not answer to run {run.id}: {refusal}. Nothing was changed.",
                    next_step=f"see `remediate approvals show {run.id}`",
                )
            decision = ApprovalDecision(
                run_id=run.id,
                digest=request.digest,
                person=principal.person.id,
                answer=answer,
                level=principal.person.level,
                channel=principal.channel,
                reason=reason,
                at=now,
            )
            self._ports.approvals.answer(decision)
            result = tally(request, [*given, decision])
            if result.state is Asking.OPEN:
                return self._ports.store.run(run.id)
            return self._close(request, result, now, overridden=self._is_override(request, [*given, decision], result))

    def conclude(self, request: ApprovalRequest, result: Tally) -> Run:
        """Close a request by answers that were given to the same plan before."""
        with self._ports.store.together():
            return self._close(request, result, self._ports.clock.now())

    def withdraw(self, run_id: str, why: str) -> Run:
        """Take a request back: what it was for is over, an alert has resolved."""
        now = self._ports.clock.now()
        with self._ports.store.together():
            request = self._open_request(self._ports.store.run(run_id).id)
            return self._close(request, Tally(state=Asking.WITHDRAWN, reason=f"withdrawn: {why}"), now)

    def escalate(self, run_id: str, principal: Principal, level: int, reason: str) -> ApprovalRequest:
        """Ask a higher level at once, which anybody may for a breach, lost data, or a concern of safety or law."""
        if not reason.strip():
            raise UsageError("Why? Asking a higher level at once needs a reason.", next_step="add --reason TEXT")
        now = self._ports.clock.now()
        with self._ports.store.together():
            request = self._open_request(self._ports.store.run(run_id).id)
            if not request.asked_level < level <= HIGHEST_LEVEL:
                raise UsageError(
                    f"Level {request.asked_level} is asked already; --to wants a higher one, up to 4.",
                    next_step=f"see `remediate approvals show {run_id}`",
                )
            return self._climb(request, level, f"{principal.person.id} asks at once: {reason}", now)

    def watch(self, now: datetime, *, limit: int = 200) -> int:
        """Do what is due for requests that nobody has answered; return for how many something was done."""
        done = 0
        for request in self._ports.approvals.requests(due_by=now, limit=limit):
            try:
                with self._ports.store.together():
                    done += self._step(request, now)
            except IllegalTransition:
                continue  # answered at this very moment: the answer counts
        return done

    def _step(self, request: ApprovalRequest, now: datetime) -> bool:
        step = next_step(request, now)
        match step.move:
            case Move.WAIT:
                return False
            case Move.EXPIRE:
                reason = f"{step.reason}; the incident stays open"
                self._close(request, Tally(state=Asking.EXPIRED, reason=reason), now)
            case Move.CLIMB:
                self._climb(request, request.asked_level + 1, step.reason, now)
            case Move.ASK_AGAIN:
                self._climb(request, request.asked_level, step.reason, now)
            case Move.REMIND:
                changed = request.model_copy(update={"reminded_at": now})
                self._change(changed, step.reason, Occasion.REMINDED, self._staff.named(request.asked), now)
        return True

    def _climb(self, request: ApprovalRequest, level: int, why: str, now: datetime) -> ApprovalRequest:
        level, asked, nobody = self._reachable(level, now)
        words = "; ".join(filter(None, (why, nobody)))
        fresh = {"asked_level": level, "asked": _ids(asked), "asked_at": now, "reminded_at": now}
        return self._change(request.model_copy(update=fresh), words, Occasion.CLIMBED, asked, now)

    def _change(
        self, changed: ApprovalRequest, why: str, occasion: Occasion, to: tuple[Person, ...], now: datetime
    ) -> ApprovalRequest:
        changed = changed.model_copy(update={"next_at": following(changed)})
        kept = self._ports.approvals.change(changed, why=why, at=now)
        run = self._ports.store.run(changed.run_id)
        self._staff.announce(News(occasion, run, kept, to, why, now))
        return kept

    def _close(self, request: ApprovalRequest, result: Tally, now: datetime, *, overridden: bool = False) -> Run:
        status, occasion = _MOVES[result.state]
        ending = request.model_copy(update={"state": result.state})
        closed = self._ports.approvals.change(ending, why=result.reason, at=now)
        run = self._ports.store.move(request.run_id, RunStatus.WAITING_APPROVAL, status, result.reason, now)
        to = self._staff.named(tuple(dict.fromkeys((*request.asked, request.requested_by))))
        if overridden:
            occasion, to = Occasion.OVERRIDDEN, self._staff.of_levels(1, 2, 3, 4)
            self._open_review(run, request, result, now)
        self._staff.announce(News(occasion, run, closed, to, result.reason, now))
        return run

    def _open_review(self, run: Run, request: ApprovalRequest, result: Tally, now: datetime) -> None:
        review = Incident(
            id=f"rev-{run.id}",
            kind=IncidentKind.REVIEW,
            run_id=run.id,
            runbook=run.runbook,
            hosts=run.hosts,
            severity=request.severity,
            title=f"Review of an emergency override: {run.runbook} on {', '.join(run.hosts)}",
            note=result.reason,
            opened_at=now,
        )
        self._ports.approvals.open_incident(review)

    def _reachable(self, level: int, now: datetime) -> tuple[int, tuple[Person, ...], str]:
        """Return the first level from this one on at which somebody is there, and why any was passed over."""
        for candidate in range(level, HIGHEST_LEVEL + 1):
            if people := self._staff.on_call(candidate, now):
                passed = f"nobody is there at level {', '.join(map(str, range(level, candidate)))}"
                return candidate, people, passed if candidate > level else ""
        return level, (), f"nobody is there from level {level} on: name people of these levels in remediate.yml"

    def _refusal(
        self,
        request: ApprovalRequest,
        principal: Principal,
        answer: Answer,
        given: tuple[ApprovalDecision, ...],
        now: datetime,
    ) -> str:
        known = self._staff.people.by_id.get(principal.person.id) if self._staff.people.by_id else principal.person
        if known is None or known != principal.person:
            return "they are not, or no longer as they were, among the people of this site"
        takes_back = answer is Answer.REJECTED and known.id == request.requested_by
        if not takes_back and (refusal := self._staff.forbids(principal, request, answer)):
            return refusal
        return may_answer(request, known, answer, given, now)

    def _is_override(self, request: ApprovalRequest, given: list[ApprovalDecision], result: Tally) -> bool:
        """Whether an approval rests on an override: without those it would not stand."""
        plain = [one for one in given if one.answer is not Answer.OVERRIDDEN]
        return result.state is Asking.APPROVED and tally(request, plain).state is not Asking.APPROVED

    def _open_request(self, run_id: str) -> ApprovalRequest:
        request = self._ports.approvals.request(run_id)
        if request is None:
            see = f"see `remediate runs show {run_id}`"
            raise IllegalTransition(f"Run {run_id} asks for no approval.", next_step=see)
        if request.state is not Asking.OPEN:
            outcome = self._ports.store.run(run_id).outcome
            raise IllegalTransition(
                f"Run {run_id} asks for no approval any more: {outcome}.",
                next_step=f"see `remediate approvals show {run_id}`",
            )
        return request

    def _groups(self, hosts: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
        return {host.name: host.groups for host in self._ports.executor.hosts() if host.name in hosts}


def _ids(people: tuple[Person, ...]) -> tuple[str, ...]:
    return tuple(person.id for person in people)


def _first_request(
    run: Run, plan: Plan, runbook: Runbook, groups: dict[str, tuple[str, ...]], now: datetime
) -> ApprovalRequest:
    if plan.level < 1:
        raise EngineFailure(f"Run {run.id} needs no approval.")
    ladder = ladder_for(runbook.severity, runbook.escalation)
    return ApprovalRequest(
        run_id=run.id,
        runbook=run.runbook,
        digest=plan.digest,
        severity=runbook.severity,
        level=plan.level,
        people=plan.people,
        reasons=plan.level_reasons,
        requested_by=run.requested_by,
        hosts=tuple(plan.hosts),
        groups=groups,
        climbs_after=tuple(int(span / timedelta(seconds=1)) for span in ladder.climbs_after),
        remind_every=int(ladder.remind_every / timedelta(seconds=1)),
        asked_level=plan.level,
        opened_at=now,
        asked_at=now,
        reminded_at=now,
        expires_at=plan.expires_at,
        next_at=now,
    )
