"""The library: a site, its runbooks, and runs that can be watched. The command line is built on it too."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Self

from remediate.bootstrap import Installation, installation
from remediate.domain.approval import Answer, ApprovalDecision, ApprovalRequest
from remediate.domain.breaker import Breaker
from remediate.domain.identity import Permission, Principal, Token, self_approves
from remediate.domain.notice import Notice
from remediate.domain.people import Role
from remediate.domain.plan import Plan
from remediate.domain.run import Origin, PhaseRecord, Run, RunStatus, Transition
from remediate.domain.runbook import Runbook
from remediate.domain.schedule import targets
from remediate.domain.storm import LiveRun as GoingRun
from remediate.domain.storm_position import StormPosition
from remediate.domain.switch import Switch
from remediate.domain.token import DEFAULT_LIFETIME
from remediate.engine.access import Access
from remediate.engine.audit import AuditTrail, HeadReport
from remediate.engine.events import Observer, RunEvent, StatusChanged
from remediate.engine.handover import Checklist
from remediate.engine.lock_names import waiting_lock
from remediate.engine.walk import AskPerson, unattended
from remediate.engine.watch import service_is_there
from remediate.errors import NotAllowed, UnknownHost
from remediate.interfaces.alert_desk import AlertDesk
from remediate.interfaces.live import FollowedRun, Going, LiveRun
from remediate.interfaces.recovery_desk import RecoveryDesk

#: What is done beside a service while it works.
BesideSite = Callable[[Installation, Callable[[], None]], AbstractContextManager[object]]


def _agreeing_to(seen: Plan | None) -> AskPerson:
    """Whoever calls `apply` has seen its plan, and no other one: not that of a run that it is handed over to."""

    def agree(plan: Plan) -> bool | None:
        return True if seen and plan.digest == seen.digest else None

    return agree


@dataclass(frozen=True)
class PlannedRun:
    """What a runbook would do, and the request that it was asked with."""

    run: Run

    @property
    def needed(self) -> bool:
        """Whether there is anything to do; also true when that could not be found out, which `apply` then refuses."""
        return self.run.status is not RunStatus.NOT_NEEDED

    @property
    def plan(self) -> Plan | None:
        """What would be done; None when nothing has to be, or when that could not be found out (see `run.outcome`)."""
        return self.run.plan


class Site(AlertDesk, RecoveryDesk):
    """One site: a `remediate.yml` with its inventory and its record. Use it as a context manager.

    Everything is done as the person that the token belongs to, or without one as the person that remediate.yml maps
    the user of this machine to. What that person may not do raises NotAllowed, and is not begun.
    """

    def __init__(
        self,
        path: Path,
        *,
        executing: bool = True,
        service: bool = False,
        token: str | None = None,
        joined: Installation | None = None,
    ) -> None:
        """Open a site, or join one that is open already, and stays so when this is closed."""
        self._stack = ExitStack()
        opened = installation(path, executing=executing, service=service)
        self._site = joined or self._stack.enter_context(opened)
        self._path = path
        self._token = token
        self._access = Access(self._site.identity, self._site.ports, self._who)
        self.settings = self._site.settings

    def acting_as(self, token: str) -> Site:
        """Return this site as whoever shows the token; it works only as long as this one is open."""
        return Site(self._path, token=token, joined=self._site)

    @property
    def principal(self) -> Principal:
        """Who is asking, and how that is known; raises NotAllowed when it is not known."""
        return self._access.principal

    def authorize(self, permission: Permission, *, runbook: str | None = None, hosts: Sequence[str] = ()) -> Principal:
        """Return who is asking; raises NotAllowed when they may not do this to the runbook on all of the hosts."""
        return self._access.require(permission, runbook=runbook, hosts=hosts)

    def allows(self, permission: Permission, *, runbook: str | None = None, hosts: Sequence[str] = ()) -> bool:
        """Return whether `authorize` would pass."""
        return self._access.allows(permission, runbook=runbook, hosts=hosts)

    def runbooks(self) -> tuple[Runbook, ...]:
        """Return all runbooks; raises InvalidDocument with every problem of their documents."""
        return self._site.catalogue.load_all()

    def plan(
        self,
        runbook: str,
        *,
        hosts: Sequence[str] = (),
        parameters: Mapping[str, object] | None = None,
        reason: str = "",
    ) -> PlannedRun:
        """Look at the hosts and say what would be done; changes nothing on any of them.

        Without hosts, those of the inventory group `<runbook>_targets` are looked at. What was found is recorded as a
        run. Raises UnknownRunbook, UnknownHost, InvalidParameter or InvalidDocument.
        """
        return PlannedRun(self.start(runbook, hosts=hosts, parameters=parameters, reason=reason, check=True).wait())

    def apply(
        self,
        planned: PlannedRun | Run | str,
        *,
        reason: str = "",
        ask: AskPerson | None = None,
        patient: bool = False,
    ) -> Going:
        """Carry out a plan, exactly that one: where anything that decides it has changed by now, the run is stale.

        Calling this is the approval of the on-call engineer: enough for level 1; a higher level waits for somebody.
        Raises IllegalTransition when there is no plan.
        """
        known = planned.run if isinstance(planned, PlannedRun) else planned
        run = self.run(known if isinstance(known, str) else known.id)
        principal = self.authorize(Permission.CARRY_OUT, runbook=run.runbook, hosts=run.hosts)
        requested = self._site.remediation.request_plan(run, self._origin(principal, reason))
        agreeing = ask or _agreeing_to(run.plan)
        return self._carried(requested, agreeing if self_approves(principal) else unattended, patient=patient)

    def start(  # noqa: PLR0913  # each is a word of the command line
        self,
        runbook: str,
        *,
        hosts: Sequence[str] = (),
        parameters: Mapping[str, object] | None = None,
        reason: str = "",
        check: bool = False,
        override_reason: str = "",
        ask: AskPerson = unattended,
        patient: bool = False,
    ) -> Going:
        """Request a run and start it; `ask` is called with the plan when the on-call engineer has to approve.

        Whoever is of no level, or a service account, is not asked: somebody else has to approve then. A `patient` run
        is waited with until they do. Where a service works for the site, it carries the run.
        """
        permission = Permission.REQUEST_RUN if check else Permission.CARRY_OUT
        principal = self.authorize(permission, runbook=runbook, hosts=hosts)
        run = self._site.remediation.request(
            runbook,
            hosts=hosts,
            parameters=parameters or {},
            origin=self._origin(principal, reason, override_reason, check=check),
            check=check,
        )
        return self._carried(run, ask if self_approves(principal) else unattended, patient=patient)

    def run_schedule(self, name: str, *, reason: str = "", ask: AskPerson = unattended, patient: bool = False) -> Going:
        """Run now what a schedule runs, as whoever asks; it is due for the next time as before.

        Raises UsageError for a schedule that there is not, UnknownHost when it has no hosts, Refused while a run of it
        goes on.
        """
        self._access.require_sight()
        book = self._site.schedule_book
        schedule = book.schedule(name)
        hosts, nowhere = targets(schedule, book.timetable.runbooks[schedule.runbook], book.timetable.hosts())
        principal = self.authorize(Permission.CARRY_OUT, runbook=schedule.runbook, hosts=hosts)
        if nowhere:
            raise UnknownHost(f"Nothing was run: {nowhere}", next_step=f"correct {schedule.written_at or name}")
        why = "; ".join(filter(None, (f"schedule {name}, by hand", reason)))
        request = partial(
            self._site.remediation.request,
            schedule.runbook,
            hosts=hosts,
            parameters=schedule.parameters,
            origin=self._origin(principal, why),
        )
        run = book.by_hand(schedule, request, principal.id)
        return self._carried(run, ask if self_approves(principal) else unattended, patient=patient)

    def request(
        self,
        runbook: str,
        *,
        hosts: Sequence[str] = (),
        parameters: Mapping[str, object] | None = None,
        reason: str = "",
        check: bool = False,
    ) -> Run:
        """Record a run for a service of this site to carry, and return it; it begins when its turn comes.

        Nobody is asked at a terminal: what needs approval waits for it.
        """
        permission = Permission.REQUEST_RUN if check else Permission.CARRY_OUT
        principal = self.authorize(permission, runbook=runbook, hosts=hosts)
        return self._site.remediation.request(
            runbook,
            hosts=hosts,
            parameters=parameters or {},
            origin=Origin(requested_by=principal.id, reason=reason, carrier="service"),
            check=check,
        )

    def _origin(self, principal: Principal, reason: str, override_reason: str = "", *, check: bool = False) -> Origin:
        """Who asks, and what carries it: a service where one is there; what only looks is done here at once."""
        served = not check and service_is_there(self._site.ports.locks)
        return Origin(
            requested_by=principal.id,
            reason=reason,
            override_reason=override_reason,
            carrier="service" if served else "command",
        )

    def _carried(self, run: Run, ask: AskPerson = unattended, *, patient: bool = False) -> Going:
        if run.carrier == "service" and service_is_there(self._site.ports.locks):
            return FollowedRun(self._site, run.id, patient=patient)
        events: queue.SimpleQueue[RunEvent | None] = queue.SimpleQueue()
        observe, ask = self._observer(run.id, events), self._asking(run, ask)
        self._site.remediation.start(run, observe=observe, ask=ask)
        return LiveRun(self._site, run.id, events, patient=patient, observe=observe, ask=ask)

    def _asking(self, run: Run, ask: AskPerson) -> AskPerson:
        """Ask about a child of another runbook only whoever may carry that one out: else somebody else approves it."""

        def asking(plan: Plan) -> bool | None:
            own = plan.runbook == run.runbook
            may = own or self.allows(Permission.CARRY_OUT, runbook=plan.runbook, hosts=tuple(plan.hosts))
            return ask(plan) if may else None

        return asking

    def carried_elsewhere(self, run: Run) -> bool:
        """Return whether something else carries a run on once it is approved: a service, or a command that waits."""
        locks = self._site.ports.locks
        return service_is_there(locks) or locks.alive(waiting_lock(run.id)) or locks.alive(run.id)

    def follow(self, run_id: str, *, patient: bool = False) -> Going:
        """Watch a run that goes on in another process, from now on."""
        return FollowedRun(self._site, self.run(run_id).id, patient=patient, known=True)

    @property
    def carried(self) -> tuple[str, ...]:
        """The runs that are worked on in this process."""
        return self._site.ports.workflows.carried()

    def serve(self, stop: Event, beside: BesideSite | None = None) -> None:
        """Work for the whole site until `stop`: carry runs, keep deadlines, send notices; raises Refused.

        The site must have been opened with `service=True`. `beside` is entered with the installation, and with what
        lets the service look at once, when it has its place; `remediate serve` answers HTTP there.
        """
        if beside is None:
            self._site.serve(stop)
        else:
            self._site.serve(stop, partial(beside, self._site))

    def rollback(self, run: Run | str) -> LiveRun:
        """Take back what a finished run did; raises IllegalTransition when there is nothing to take back."""
        recorded = self.run(run if isinstance(run, str) else run.id)
        self.authorize(Permission.ROLL_BACK, runbook=recorded.runbook, hosts=recorded.hosts)
        events: queue.SimpleQueue[RunEvent | None] = queue.SimpleQueue()
        self._site.remediation.roll_back(recorded, observe=self._observer(recorded.id, events))
        return LiveRun(self._site, recorded.id, events)

    def runs(self, *, limit: int = 20, runbook: str | None = None) -> tuple[Run, ...]:
        """Return the recorded runs that whoever asks may see, newest first."""
        return self._access.runs(limit=limit, runbook=runbook)

    def run(self, run_id: str) -> Run:
        """Return the run with this id, or the only one whose id begins or ends so; raises UnknownRun."""
        return self._access.run(run_id)

    def children(self, run_id: str) -> tuple[Run, ...]:
        """Return the runs that a run was handed over to, and that whoever asks may see, oldest first.

        Those that continue an interrupted one of them are among them.
        """
        found = self._site.ports.store.children(self.run(run_id).id)
        return tuple(one for one in found if self.allows(Permission.SEE_RUN, runbook=one.runbook, hosts=one.hosts))

    def left_alone(self) -> tuple[Run, ...]:
        """Return runs that were handed over and that nobody goes on with, as far as whoever asks may resume them."""
        if service_is_there(self._site.ports.locks):
            return ()
        found = self._site.remediation.left_alone()
        return tuple(r for r in found if self.allows(Permission.RESUME_RUN, runbook=r.runbook, hosts=r.hosts))

    def phases(self, run_id: str) -> tuple[PhaseRecord, ...]:
        """Return the phases of a run with every task, its diff and its duration."""
        return self._site.ports.store.phases(self.run(run_id).id)

    def history(self, run_id: str) -> tuple[Transition, ...]:
        """Return the states that a run went through, each with its reason."""
        return self._site.ports.store.transitions(self.run(run_id).id)

    @property
    def audit(self) -> AuditTrail:
        """The audit trail of this site: verify it, read it, sign it."""
        self.authorize(Permission.READ_AUDIT)
        return self._site.audit

    def sign_head(self) -> HeadReport:
        """Sign the newest event of the audit trail now, and send the head to its targets."""
        self.authorize(Permission.EXPORT_AUDIT)
        return self._site.audit.sign_now(self._site.ports.clock.now())

    def approvals(self) -> tuple[ApprovalRequest, ...]:
        """Return the plans that wait for somebody and that whoever asks may see, those that are due first."""
        waiting = self._site.ports.approvals.requests()
        return tuple(one for one in waiting if self.allows(Permission.SEE_RUN, runbook=one.runbook, hosts=one.hosts))

    def approval(self, run_id: str) -> tuple[ApprovalRequest | None, tuple[ApprovalDecision, ...]]:
        """Return the request of a run for approval, None where it made none, and the answers to it so far."""
        run = self.run(run_id)
        return self._site.ports.approvals.request(run.id), self._site.ports.approvals.answers(run.id)

    def answer(self, run_id: str, answer: Answer, reason: str = "", *, digest: str = "") -> Run:
        """Answer to the plan that a run waits with; raises NotAllowed or IllegalTransition when it does not count.

        `digest` says which plan was seen: any other one is not answered to.
        """
        run = self.run(run_id)
        principal = self.principal
        try:
            return self._site.remediation.approvals.answer(run.id, principal, answer, reason, digest=digest)
        except NotAllowed as refused:
            wanted = Permission.REJECT if answer is Answer.REJECTED else Permission.APPROVE
            self._site.identity.note_refusal(principal, wanted, refused.message)
            raise

    def escalate(self, run_id: str, level: int, reason: str) -> ApprovalRequest:
        """Ask a higher level at once, which anybody may who sees the run."""
        run = self.run(run_id)
        return self._site.remediation.approvals.escalate(run.id, self.principal, level, reason)

    def cancel(self, run_id: str) -> Run:
        """Ask whoever carries a run to stop it; one that waits for approval is withdrawn at once."""
        run = self.run(run_id)
        principal = self.authorize(Permission.CANCEL, runbook=run.runbook, hosts=run.hosts)
        return self._site.remediation.ask_to_stop(run, principal.id)

    def resume_run(self, run_id: str, *, ask: AskPerson = unattended, patient: bool = False) -> Going:
        """Go on with a run that was approved and is not carried, or that was interrupted; raises IllegalTransition."""
        run = self.run(run_id)
        principal = self.authorize(Permission.RESUME_RUN, runbook=run.runbook, hosts=run.hosts)
        resumed = self._site.remediation.resumable(run)
        return self._carried(resumed, ask if self_approves(principal) else unattended, patient=patient)

    def recover(self) -> tuple[Run, ...]:
        """Find runs whose process was killed, and mark them as interrupted; no fix is repeated.

        Where no service keeps the times of requests for approval, what is due for them is done now as well. Whoever
        asks makes that happen, and is told of those runs that they may see.
        """
        found = self._site.remediation.recover()
        self._site.remediation.approvals.watch(self._site.ports.clock.now())
        return tuple(run for run in found if self.allows(Permission.SEE_RUN, runbook=run.runbook, hosts=run.hosts))

    def account(self, run: Run) -> None:
        """Ask the hosts of an interrupted run, read-only, what it has done there, and record the answer."""
        recorded = self.run(run.id)
        self.authorize(Permission.ACCOUNT_FOR_RUN, runbook=recorded.runbook, hosts=recorded.hosts)
        self._site.remediation.account(recorded, observe=lambda _event: None)

    def inspect(self, hosts: Sequence[str] = ()) -> dict[str, dict[str, object] | str]:
        """Look at whether hosts are ready to be worked on: facts of each, or the message of what failed.

        Anybody may who may run the program on this machine.
        """
        return self._site.remediation.inspect(hosts)

    def pause(self, reason: str) -> tuple[GoingRun, ...]:
        """Let no run begin to change anything from now on; return the runs that are live."""
        return self._site.switchboard.pause(self.authorize(Permission.PAUSE).id, reason)

    def resume(self, reason: str) -> Switch | None:
        """Lift the pause and return it; None when there was none."""
        return self._site.switchboard.resume(self.authorize(Permission.LIFT_PAUSE).id, reason)

    def close_breaker(self, runbook: str, reason: str) -> Breaker:
        """Close the circuit breaker of a runbook and return where it stood; raises UnknownRunbook."""
        return self._site.switchboard.close_breaker(runbook, self.authorize(Permission.LIFT_PAUSE).id, reason)

    def storm(self) -> StormPosition:
        """Return where every rule of the storm policy stands now."""
        self._access.principal  # noqa: B018  # whoever is not known is not told
        return self._site.switchboard.position()

    def try_channels(self, people: Iterable[str], *, channel: str = "") -> tuple[Notice, ...]:
        """Send a test notice to people, over each of their channels or only one, and return what came of it.

        Raises UsageError for a person or channel that there is not, and where no channel reaches anybody.
        """
        self.authorize(Permission.TRY_CHANNELS)
        return self._site.trial().send(people, channel=channel)

    def notices(self, *, run: str = "", limit: int = 50) -> tuple[Notice, ...]:
        """Return what was sent, or is to be, newest first; about one run only, when it is named."""
        if not run:
            self.authorize(Permission.SEE_NOTICES)
        prefix = f"{self.run(run).id}/" if run else ""
        return self._site.ports.outbox.notices(prefix=prefix, limit=limit)

    def handover(self) -> Checklist:
        """Look at what the next one on call has to know; raises UsageError when the site has no rotation."""
        self._access.principal  # noqa: B018  # whoever is not known is not told
        rotation = self.settings.required_rotation()
        return self._site.handover.checklist(self.settings.people, rotation, self._site.ports.clock.now())

    def make_token(
        self, person: str, *, label: str = "", lifetime: timedelta = DEFAULT_LIFETIME, roles: Sequence[Role] = ()
    ) -> tuple[Token, str]:
        """Make a token for a person and return it with its text, which is never shown again."""
        return self._site.identity.make_token(self.principal, person, label=label, lifetime=lifetime, roles=roles)

    def revoke_token(self, token_id: str) -> Token:
        """Revoke a token from now on; raises UnknownToken."""
        return self._site.identity.revoke(self.principal, token_id)

    def tokens(self) -> tuple[Token, ...]:
        """Return the tokens, newest first: all of them for an admin or auditor, one's own for everybody else."""
        return self._site.identity.tokens(self.principal)

    def _who(self) -> Principal:
        identity = self._site.identity
        return identity.local(self._site.os_user) if self._token is None else identity.authenticate(self._token)

    def _observer(self, run_id: str, events: queue.SimpleQueue[RunEvent | None]) -> Observer:
        current = run_id

        def observe(event: RunEvent) -> None:
            nonlocal current
            if isinstance(event, StatusChanged):
                current = event.run.id  # what follows is that run's: a child's, and then its parent's again
            self._site.log.write(current, event)
            events.put(event)

        return observe

    def close(self) -> None:
        """End everything that was started for this site."""
        self._stack.close()

    def __enter__(self) -> Self:
        """Use the site in a `with` block."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the site."""
        self.close()


def open_site(path: str | Path = ".", *, token: str | None = None) -> Site:
    """Open the site whose `remediate.yml` is in this directory (`remediate.open`), to act as the token's person.

    Raises UsageError, InvalidDocument (every problem with its line) or StateUnusable.
    """
    return Site(Path(path).expanduser().absolute(), token=token)
