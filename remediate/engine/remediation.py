"""The use cases around a run: request it, carry it out, take it back, and account for one that was interrupted."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Event

from remediate.catalog.loader import Catalogue
from remediate.domain.child_runs import has_ended
from remediate.domain.host import unknown_hosts
from remediate.domain.parameter import checked_parameters
from remediate.domain.run import ID_ALPHABET, OWNED, Origin, Run, RunStatus, Standing, new_run_id
from remediate.domain.runbook import Phase, Runbook
from remediate.engine.approvals import ApprovalFlow
from remediate.engine.child_runs import ChildRuns
from remediate.engine.events import Observer, RunEvent
from remediate.engine.incidents import IncidentDesk
from remediate.engine.lock_names import family_lock
from remediate.engine.phase_runner import PhaseRunner
from remediate.engine.ports import Ports, Work
from remediate.engine.silencing import Silencing
from remediate.engine.staff import News, Occasion
from remediate.engine.walk import AskPerson, Surroundings, Walk, unattended
from remediate.errors import HostBusy, IllegalTransition, InvalidParameter, RemediateError, UnknownHost

#: How long a run may stand between its record and its lock, on a machine under load.
STARTING = timedelta(seconds=10)

#: A run that was interrupted this often is not gone on with by itself any more.
MOST_ATTEMPTS = 3


def _nobody_watches(_event: RunEvent) -> None:
    return None


@dataclass(frozen=True)
class _Attendance:
    """Who watches the work on a run in this process, and can be asked."""

    observe: Observer = _nobody_watches
    ask: AskPerson = unattended
    #: Whether only this run is carried: what it is handed over to, or was handed over from, somebody else starts.
    alone: bool = True


class Remediation:
    """Everything that can be asked about runs."""

    def __init__(self, ports: Ports, catalogue: Catalogue, surroundings: Surroundings | None = None) -> None:
        self._ports = ports
        self._catalogue = catalogue
        self._surroundings = surroundings or Surroundings()
        self._attended: dict[str, _Attendance] = {}
        self._children = ChildRuns(ports, catalogue.load, lambda now: new_run_id(now, _suffix()))
        #: Runs of a family that are carried here within the work on another run.
        self._within: dict[str, str] = {}
        self.approvals = ApprovalFlow(ports, self._surroundings.staff)
        self.incidents = IncidentDesk(ports, self._surroundings.staff)
        self.silencing = Silencing(ports, self._surroundings.watchers)
        ports.workflows.bind(self._work)

    def request(
        self,
        runbook_id: str,
        *,
        hosts: Sequence[str],
        parameters: Mapping[str, object],
        origin: Origin,
        check: bool = False,
    ) -> Run:
        """Check what is asked for and record it as a run; nothing is executed yet.

        Raises UnknownRunbook, InvalidDocument, InvalidParameter or UnknownHost, each with every problem at once.
        """
        runbook = self._catalogue.load(runbook_id)
        values, problems = checked_parameters(runbook.parameters, runbook.role, parameters)
        if problems:
            raise InvalidParameter(
                "\n  ".join([f"{runbook.id} cannot be run like this:", *problems]),
                next_step=f"see `remediate show {runbook.id}`",
            )
        now = self._ports.clock.now()
        run = Run(
            id=new_run_id(now, _suffix()),
            runbook=runbook.id,
            status=RunStatus.REQUESTED,
            hosts=self._exact_hosts(runbook, hosts),
            parameters=values,
            check=check,
            created_at=now,
            updated_at=now,
            **origin.model_dump(),
        )
        self._ports.store.create_run(run)
        return run

    def request_plan(self, planned: Run, origin: Origin) -> Run:
        """Record a run that carries out a plan made earlier, exactly that one; raises IllegalTransition without one."""
        if planned.status is not RunStatus.PLANNED or planned.plan is None or not planned.check:
            raise IllegalTransition(
                f"There is no plan to carry out: run {planned.id} is {planned.status.value}: {planned.outcome}.",
                next_step=f"make a plan first: `remediate plan {planned.runbook}`",
            )
        now = self._ports.clock.now()
        if now >= planned.plan.expires_at:
            raise IllegalTransition(
                f"The plan {planned.id} is no longer valid; it was until {planned.plan.expires_at:%Y-%m-%d %H:%M %Z}.",
                next_step=f"make a new one: `remediate plan {planned.runbook}`",
            )
        run = _following(planned, new_run_id(now, _suffix()), now, origin)
        self._ports.store.create_run(run)
        return run

    def request_resumption(self, run: Run) -> Run:
        """Record the run that goes on where an interrupted one stopped, and return it; it is recorded once.

        It looks at the hosts again. What was approved counts only for exactly the plan that was approved.
        """
        if run.status is not RunStatus.INTERRUPTED:
            raise IllegalTransition(
                f"Run {run.id} was not interrupted; it is {run.status.value}.",
                next_step=f"see `remediate runs show {run.id}`",
            )
        if self.lost_rollbacks(run):
            # To begin anew would do again what somebody, or a failed verification, wanted back.
            raise IllegalTransition(
                f"Run {run.id} was interrupted while it was rolled back.",
                next_step=f"finish that: `remediate rollback {run.id}`",
            )
        following = _following(run, _next_id(run), self._ports.clock.now(), _origin(run), check=run.check)
        with self._ports.store.together():
            known = [one for one in self._ports.store.continuations(run.id) if one.id == following.id]
            if not known:
                self._ports.store.create_run(following)
        return known[0] if known else following

    def start(
        self, run: Run, *, observe: Observer = _nobody_watches, ask: AskPerson = unattended, alone: bool = False
    ) -> None:
        """Start to carry a run from wherever it stands. Its end is waited for with `wait`.

        The runs that it is handed over to, and the run that it was handed over from, are carried as well, one after
        the other, unless it is started `alone`.
        """
        self._attended[run.id] = _Attendance(observe, ask, alone)
        self._ports.workflows.start(run.id, Work.CARRY, self._turn(run))

    def roll_back(self, run: Run, *, observe: Observer = _nobody_watches) -> None:
        """Start the rollback of a finished run; raises IllegalTransition when it has nothing to take back."""
        runbook = self._catalogue.load(run.runbook)
        if Phase.ROLLBACK not in runbook.phases:
            raise IllegalTransition(f"{runbook.id} has no rollback.", next_step=f"see `remediate show {runbook.id}`")
        if run.plan is None or run.check or not self._was_fixed(run):
            raise IllegalTransition(f"Run {run.id} changed nothing, so there is nothing to roll back.")
        self._attended[run.id] = _Attendance(observe)
        self._ports.workflows.start(run.id, Work.ROLL_BACK, self._turn(run))

    def wait(self, run_id: str) -> Run:
        """Wait until the work on a run ends here and return the run as recorded."""
        self._ports.workflows.wait(run_id)
        return self._ports.store.run(run_id)

    def lost_attempts(self, run: Run) -> int:
        """Return how often whoever worked on a run was lost, at that which is to be done with it next."""
        if run.status is RunStatus.APPROVED:
            return sum(record.ended_at is None for record in self._ports.store.phases(run.id))
        return self.lost_rollbacks(run) or attempt(run)

    def lost_rollbacks(self, run: Run) -> int:
        """Return how often the rollback of a run was interrupted; 0 when something else was interrupted last."""
        steps = self._ports.store.transitions(run.id)
        lost = [step.from_status is RunStatus.ROLLING_BACK for step in steps if step.to_status is RunStatus.INTERRUPTED]
        return sum(lost) if lost and lost[-1] else 0

    def give_up(self, run: Run, why: str = "") -> Run:
        """Park a run that is not gone on with by itself any more, and call a human.

        Without another reason it was interrupted again and again: something about it kills whoever carries it, or it
        would have ended.
        """
        now, staff = self._ports.clock.now(), self._surroundings.staff
        interrupted = f"interrupted {self.lost_attempts(run)} times: look at what it does to whoever carries it"
        reason = why or f"{interrupted}; {run.outcome}"
        with self._ports.store.together():
            parked = self._ports.store.move(run.id, run.status, RunStatus.PARKED, reason, now)
            # One that never came to a plan has none yet.
            self.incidents.open_for(parked, self._catalogue.load(run.runbook), now)
            to = {person.id: person for person in (*staff.named((run.requested_by,)), *staff.on_call(1, now))}
            staff.announce(News(Occasion.ENDED, parked, None, tuple(to.values()), reason, now))
        return parked

    def cancel(self, run_id: str) -> None:
        """Ask work of this process to stop: the running task is ended, the state is verified.

        Work on what the run was handed over to is asked as well.
        """
        for one in self._children.unfinished(self._ports.store.run(run_id)):
            self._ports.workflows.cancel(self._within.get(one.id, one.id))

    def carried(self) -> tuple[str, ...]:
        """Return the runs that are worked on here."""
        return tuple(dict.fromkeys((*self._ports.workflows.carried(), *list(self._within))))

    def ask_to_stop(self, run: Run, by: str) -> Run:
        """Ask whoever carries a run to stop; one that waits for approval is withdrawn at once.

        With a run that was handed over, everything below it is asked to stop.
        """
        if run.status is RunStatus.HANDED_OVER:
            return self._ask_family_to_stop(run, by)
        if run.status is RunStatus.WAITING_APPROVAL:
            return self.approvals.withdraw(run.id, f"canceled by {by}")
        in_turn = run.status is RunStatus.REQUESTED and (run.carrier == "service" or bool(run.parent))
        waits = run.status is RunStatus.APPROVED or in_turn
        if waits and not self._ports.locks.alive(run.id):
            reason = f"canceled by {by} before anything was done"
            return self._ports.store.move(
                run.id, run.status, RunStatus.CANCELED, reason, self._ports.clock.now(), by=by
            )
        if run.status not in OWNED or _only_looked(run):
            raise IllegalTransition(
                f"Run {run.id} is {run.status.value}: there is nothing to stop.",
                next_step=f"see `remediate runs show {run.id}`",
            )
        self._ports.store.ask_to_stop(run.id, by)
        return run

    def _ask_family_to_stop(self, run: Run, by: str) -> Run:
        """Cancel a run that was handed over when nothing below it acts any more; else it is when that has ended."""
        self._ports.store.ask_to_stop(run.id, by)
        for below in self._children.unfinished(run)[1:]:
            with suppress(IllegalTransition):  # it has ended at this moment, or was interrupted: nothing of it acts
                self.ask_to_stop(self._ports.store.run(below.id), by)
        if any(below.status is not RunStatus.INTERRUPTED for below in self._children.unfinished(run)[1:]):
            return run
        reason = "; ".join(filter(None, (f"canceled by {by}", self._children.ends(run))))
        return self._ports.store.move(run.id, run.status, RunStatus.CANCELED, reason, self._ports.clock.now(), by=by)

    def resumable(self, run: Run) -> Run:
        """Return the run to carry for going on with this one; raises IllegalTransition when there is nothing to do."""
        if run.status is RunStatus.APPROVED:
            return run
        if run.status is RunStatus.HANDED_OVER:
            return self._resumable_family(run)
        if run.status is RunStatus.WAITING_APPROVAL:
            raise IllegalTransition(
                f"Run {run.id} waits for approval.", next_step=f"see `remediate approvals show {run.id}`"
            )
        return self.request_resumption(run)

    def _resumable_family(self, run: Run) -> Run:
        """Let everything below a run be gone on with that was interrupted, and return the run."""
        for below in self._children.unfinished(run)[1:]:
            if below.status is RunStatus.INTERRUPTED:
                self.request_resumption(below)
        if self._children.due(run) is None:
            awaited = self._children.unfinished(run)[-1]
            raise IllegalTransition(
                f"Run {run.id} was handed over to {awaited.runbook}, and run {awaited.id} is {awaited.status.value}.",
                next_step=f"see `remediate runs show {awaited.id}`",
            )
        return run

    def unfinished(self, run: Run) -> tuple[Run, ...]:
        """Return a run and everything that it was handed over to and that has not ended."""
        return self._children.unfinished(run)

    def due(self, run: Run, *, waited_for: Collection[str] = ()) -> Run | None:
        """Return what can be carried now of a run and of what it was handed over to, if anything.

        `waited_for` are the runs that whoever asks waits for: what others wait for is left to them.
        """
        return self._children.due(run, waited_for)

    def is_looked_after(self, run_id: str) -> bool:
        """Return whether a command carries a run, or one that was handed over to it, or waits for them."""
        return self._children.are_looked_after(self._ports.store.run(run_id))

    def left_alone(self) -> tuple[Run, ...]:
        """Return runs that were handed over, could be gone on with, and that no command looks after."""
        found = self._ports.store.runs(limit=200, statuses={RunStatus.HANDED_OVER})
        tops = (run for run in found if self._children.top(run) == run)
        return tuple(run for run in tops if self._can_go_on(run) and not self._children.are_looked_after(run))

    def _can_go_on(self, run: Run) -> bool:
        lost = any(below.status is RunStatus.INTERRUPTED for below in self._children.unfinished(run))
        return lost or self._children.due(run) is not None

    def recover(self) -> tuple[Run, ...]:
        """Find runs whose process is gone, mark them as interrupted and return them. No fix is repeated."""
        now = self._ports.clock.now()
        owned = [one for one in self._ports.store.standing(OWNED) if not _about_to_start(one, now)]
        lost = [one for one in owned if not self._ports.locks.alive(one.run_id)]
        return tuple(marked for one in lost if (marked := self._interrupt(one.run_id, one.status)))

    def approved(self) -> tuple[Run, ...]:
        """Return runs that were approved and that nobody carries out yet."""
        found = self._ports.store.runs(limit=200, statuses={RunStatus.APPROVED})
        return tuple(run for run in found if not self._ports.locks.alive(run.id))

    def account(self, run: Run, *, observe: Observer) -> None:
        """Ask the hosts of an interrupted run, read-only, what it has done there, and record the answer."""
        if run.status is not RunStatus.INTERRUPTED or run.plan is None:
            return
        runbook = self._catalogue.load(run.runbook)
        with self._ports.locks.hold(run.id, run.hosts):
            self._ports.executor.stage(run.id, runbook)
            PhaseRunner(self._ports, runbook, observe).run(run, Phase.VERIFY, tuple(run.plan.hosts), Event())

    def inspect(self, hosts: Sequence[str]) -> dict[str, dict[str, object] | str]:
        """Look at whether hosts (all of the inventory when none is named) are ready: facts of each, or what failed."""
        known = [host.name for host in self._ports.executor.hosts()]
        if problems := unknown_hosts(hosts, known):
            raise UnknownHost("\n  ".join(["Nothing was looked at:", *problems]), next_step=_known_hosts(known))
        return self._ports.executor.inspect(tuple(hosts) or tuple(known))

    def _work(self, run_id: str, work: Work, stop: Event) -> None:
        """Do some work with a run, and with its family where nobody else does."""
        attendance = self._attended.get(run_id, _Attendance())
        try:
            self._work_on_one(run_id, work, stop, attendance)
            if work is Work.CARRY and not attendance.alone:
                self._work_on_family(run_id, stop, attendance)
        finally:
            self._attended.pop(run_id, None)

    def _work_on_family(self, run_id: str, stop: Event, attendance: _Attendance) -> None:
        """Carry what a run was handed over to, then the run again; what waits for people is left to them."""
        top = self._children.top(self._ports.store.run(run_id))
        if top.status is not RunStatus.HANDED_OVER:
            return
        with ExitStack() as held:
            try:
                held.enter_context(self._ports.locks.hold(family_lock(top.id), ()))
            except HostBusy:
                return  # another command looks after this family
            while due := self._children.due(self._ports.store.run(top.id)):
                if stop.is_set() and due.id != top.id:
                    self._ask_family_to_stop(top, top.requested_by)
                    return
                self._work_within(run_id, due.id, stop, attendance)

    def _work_within(self, run_id: str, member: str, stop: Event, attendance: _Attendance) -> None:
        """Carry a member of a family. A child that could not be carried has ended, and its parent says so."""
        self._within[member] = run_id
        try:
            self._work_on_one(member, Work.CARRY, stop, attendance)
        except RemediateError:
            if not has_ended(self._ports.store.run(member)):
                raise
        finally:
            self._within.pop(member, None)

    def _work_on_one(self, run_id: str, work: Work, stop: Event, attendance: _Attendance) -> None:
        """Do some work with a run under its locks, from wherever the record says that it stands."""
        run = self._ports.store.run(run_id)
        try:
            runbook = self._catalogue.load(run.runbook)
            walk = Walk(self._ports, runbook, self._surroundings, self._children, attendance.observe, attendance.ask)
            # Without its locks somebody else may act on the hosts: whoever loses them stops.
            with self._ports.locks.hold(run.id, run.hosts, lost=stop):
                # Whoever has acted on these hosts until now is gone: the record has to say so before it is asked.
                self.recover()
                self._carry(walk, self._ports.store.run(run_id), work, stop)
        except HostBusy as busy:
            # A service tries it again when its hosts are free; and where the run itself is busy, it goes on.
            busy_hosts = run.carrier == "command" and not self._ports.locks.alive(run.id)
            if work is Work.CARRY and run.status is RunStatus.REQUESTED and busy_hosts:
                with suppress(IllegalTransition):  # whoever holds its lock has moved it on
                    self._ports.store.move(run.id, run.status, RunStatus.PARKED, busy.message, self._ports.clock.now())
            raise
        except RemediateError as error:
            self._break_off(run.id, error)
            raise

    def _carry(self, walk: Walk, run: Run, work: Work, stop: Event) -> None:
        if work is Work.ROLL_BACK:
            self._ports.executor.stage(run.id, self._catalogue.load(run.runbook))
            walk.roll_back(run, stop)
        elif run.status is RunStatus.REQUESTED:
            walk.go(run, stop)
        elif run.status is RunStatus.APPROVED:
            walk.resume(run, stop)
        elif run.status is RunStatus.HANDED_OVER and self._children.ended(run):
            walk.take_up(run, stop)
        elif run.status in OWNED and not _only_looked(run):
            self._interrupt(run.id, run.status)  # its lock was free: whoever carried it is gone

    def _interrupt(self, run_id: str, status: RunStatus) -> Run | None:
        """Mark a run, unless another command has done so a moment ago."""
        reason = f"the process that carried it out is gone; it was {status.value}"
        try:
            return self._ports.store.move(run_id, status, RunStatus.INTERRUPTED, reason, self._ports.clock.now())
        except IllegalTransition:
            return None

    def _break_off(self, run_id: str, error: RemediateError) -> None:
        """Record that a walk broke off, where it had not ended: content that reports nonsense, a full disk here."""
        run = self._ports.store.run(run_id)
        if run.status in OWNED:
            reason = f"broke off while it was {run.status.value}: {error.message}"
            self._ports.store.move(run_id, run.status, RunStatus.INTERRUPTED, reason, self._ports.clock.now())

    def _turn(self, run: Run) -> int:
        return len(self._ports.store.transitions(run.id))

    def _was_fixed(self, run: Run) -> bool:
        return any(record.phase is Phase.FIX and not record.check for record in self._ports.store.phases(run.id))

    def _exact_hosts(self, runbook: Runbook, requested: Sequence[str]) -> tuple[str, ...]:
        inventory = self._ports.executor.hosts()
        known = [host.name for host in inventory]
        if requested:
            if problems := unknown_hosts(requested, known):
                raise UnknownHost("\n  ".join(["Nothing was run:", *problems]), next_step=_known_hosts(known))
            return tuple(dict.fromkeys(requested))
        group = f"{runbook.role}_targets"
        targets = tuple(host.name for host in inventory if group in host.groups)
        if not targets:
            raise UnknownHost(
                f"No host was named, and the inventory has no hosts in the group {group}.",
                next_step=f"use --limit HOST; {_known_hosts(known)}",
            )
        if problems := unknown_hosts(targets, known):
            raise UnknownHost("\n  ".join(["Nothing was run:", *problems]))
        return targets


def _known_hosts(known: Sequence[str]) -> str:
    return f"hosts of the inventory: {', '.join(sorted(known)[:20])}" if known else "the inventory has no hosts"


def _suffix() -> str:
    return "".join(secrets.choice(ID_ALPHABET) for _ in range(4))


def _following(run: Run, run_id: str, now: datetime, origin: Origin, *, check: bool = False) -> Run:
    """Return a new run that asks for the same as another one, and continues it."""
    return Run(
        id=run_id,
        runbook=run.runbook,
        status=RunStatus.REQUESTED,
        hosts=run.hosts,
        parameters=run.parameters,
        check=check,
        continues=run.id,
        parent=run.parent,
        depth=run.depth,
        created_at=now,
        updated_at=now,
        **origin.model_dump(),
    )


def _origin(run: Run) -> Origin:
    return Origin.model_validate({name: getattr(run, name) for name in Origin.model_fields})


def attempt(run: Run) -> int:
    """Return the how-manieth attempt of a request a run is: `20261123-211500-k7qd-2` is the second one."""
    return int(run.id.split("-")[3]) if run.id.count("-") == 3 else 1


def _next_id(run: Run) -> str:
    """Return the id of the next attempt; it follows from that of this one, so that there is only one."""
    first = "-".join(run.id.split("-")[:3])
    return f"{first}-{attempt(run) + 1}"


def _about_to_start(one: Standing, now: datetime) -> bool:
    """A run is recorded before somebody takes its lock: its command a moment later, a service when its turn comes.

    Nothing is lost with a run that another one was handed over to, either, before it has begun.
    """
    waits = one.carrier == "service" or bool(one.parent)
    return one.status is RunStatus.REQUESTED and (waits or now - one.created_at < STARTING)


def _only_looked(run: Run) -> bool:
    """A plan or a check ends in `planned` and needs no process any more."""
    return run.check and run.status is RunStatus.PLANNED
