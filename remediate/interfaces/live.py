"""Runs that go on, in this process or in another one, as whoever watches sees them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from typing import Protocol

from remediate.bootstrap import Installation
from remediate.domain.run import OWNED, WAITING, PhaseRecord, Run, RunStatus, Transition
from remediate.engine.events import Observer, PhaseBegan, PhaseEnded, PlanMade, RunEvent, StatusChanged, TaskEnded
from remediate.engine.lock_names import waiting_lock
from remediate.engine.walk import AskPerson, unattended
from remediate.engine.watch import EVERY, Watch, service_is_there
from remediate.errors import EngineFailure, HostBusy

#: How long a run that is followed may be without anybody who carries it: a service takes that long to start again.
ALONE_FOR = timedelta(seconds=10)

_AFTERWARDS = {
    RunStatus.REQUESTED: "start `remediate serve`, which carries it out, or `remediate cancel {run}`",
    RunStatus.APPROVED: "`remediate resume {run}` carries it out here; a service does when it is started again",
    RunStatus.HANDED_OVER: "`remediate resume {run}` goes on with it here; a service does when it is started again",
    RunStatus.WAITING_APPROVAL: "it waits on: `remediate approvals show {run}`; then `remediate resume {run}`",
}

_Events = queue.SimpleQueue[RunEvent | None]


class Going(Protocol):
    """A run that goes on somewhere."""

    id: str

    def events(self) -> Iterator[RunEvent]:
        """Yield what happens until the run ends, or has to wait for somebody that nobody waits for here."""
        ...

    def wait(self) -> Run:
        """Wait for that, and return the run as recorded."""
        ...

    def stop(self) -> None:
        """Ask the run to stop."""
        ...


class LiveRun:
    """A run that goes on in this process. A `patient` one is waited with until people answer, and carried on then.

    What it is handed over to belongs to it: that is waited for and carried on as well.
    """

    def __init__(  # all of it is how somebody attends to the run
        self,
        site: Installation,
        run_id: str,
        events: _Events,
        *,
        patient: bool = False,
        observe: Observer | None = None,
        ask: AskPerson = unattended,
    ) -> None:
        self._site = site
        self._events = events
        self._observe = observe or events.put
        self._ask = ask
        self._patient = patient
        self._stopped = threading.Event()
        self._end: Run | BaseException | None = None
        self.id = run_id
        self._watcher = threading.Thread(target=self._watch, name=f"watch-{run_id}", daemon=True)
        self._watcher.start()

    def events(self) -> Iterator[RunEvent]:
        """Yield what happens, until the run ends or has to wait for somebody; raises what broke the run off."""
        while (event := self._events.get()) is not None:
            yield event
        self.wait()

    def wait(self) -> Run:
        """Wait for the end and return the run as recorded; raises what broke the run off."""
        self._watcher.join()
        if isinstance(self._end, BaseException):
            raise self._end
        assert self._end is not None  # noqa: S101  # the watcher ends with one or the other
        return self._end

    def stop(self) -> None:
        """Ask the run to stop: the running task is ended and the state of the hosts is verified."""
        self._stopped.set()
        self._site.remediation.cancel(self.id)

    def _watch(self) -> None:
        looking = threading.Thread(target=self._keep_watch, name=f"look-{self.id}", daemon=True)
        looking.start()
        try:
            self._end = self._site.remediation.wait(self.id)
            if self._patient and self._end.status in WAITING:
                self._end = self._wait_for_people(self._end)
        except BaseException as error:  # noqa: BLE001  # carried over to whoever waits, in another thread
            self._end = error
        self._stopped.set()
        self._events.put(None)

    def _keep_watch(self) -> None:
        """Keep the deadlines of requests and heed cancellations for as long as this run is watched."""
        Watch(self._site.ports, self._site.remediation).keep(self._stopped, everything=False)

    def _wait_for_people(self, run: Run) -> Run:
        """Wait until somebody answers, and carry the run on when it is approved."""
        telling = threading.Thread(target=self._site.dispatcher().run, args=(self._stopped,), daemon=True)
        telling.start()
        with ExitStack() as held:
            mine: set[str] = set()
            while run.status in WAITING and not self._stopped.is_set():
                if not self._is_ours(run, mine, held):
                    return run  # another command waits for it already
                run = self._carried_on(run, mine)
        return run

    def _is_ours(self, run: Run, mine: set[str], held: ExitStack) -> bool:
        """Say to all others that this command carries on what waits: the run, and what it was handed over to."""
        try:
            for one in self._site.remediation.unfinished(run):
                if one.id not in mine:
                    held.enter_context(self._site.ports.locks.hold(waiting_lock(one.id), ()))
                    mine.add(one.id)
        except HostBusy:
            return False
        return True

    def _carried_on(self, run: Run, mine: set[str]) -> Run:
        """Carry on what can be carried on now, or wait a moment; return the run as it stands then."""
        remediation, store = self._site.remediation, self._site.ports.store
        if due := remediation.due(run, waited_for=mine):
            self._observe(StatusChanged(due, due.status, due.outcome))
            remediation.start(due, observe=self._observe, ask=self._ask)
            remediation.wait(due.id)
            return store.run(run.id)
        self._site.ports.clock.wait(EVERY, self._stopped)
        run = store.run(run.id)
        if run.status not in WAITING:
            self._events.put(StatusChanged(run, run.status, run.outcome))
        return run


class FollowedRun:
    """A run that goes on in another process, a service or a command that waits; all is read from the record."""

    def __init__(self, site: Installation, run_id: str, *, patient: bool = False, known: bool = False) -> None:
        self._site = site
        self._patient = patient
        self._stopped = threading.Event()
        store = site.ports.store
        self.id = run_id
        #: What was told already: a run that is followed from the middle is told from there.
        self._moves = len(store.transitions(run_id)) if known else 0
        self._phases = len(store.phases(run_id)) if known else 0
        self._tasks = 0
        self._planned = known
        #: What it was handed over to: that is told as well.
        self._children: dict[str, FollowedRun] = {}
        self._alone_since: datetime | None = None

    def events(self) -> Iterator[RunEvent]:
        """Yield what happens, until the run ends or has to wait for somebody."""
        while True:
            run = self._site.ports.store.run(self.id)
            yield from self.news(run)
            if self._is_over(run) and not self._goes_on(run):
                return
            self._require_somebody(run)
            self._site.ports.clock.wait(EVERY, self._stopped)

    def wait(self) -> Run:
        """Wait for the end and return the run as recorded."""
        for _ in self.events():
            pass
        return self._site.ports.store.run(self.id)

    def stop(self) -> None:
        """Ask whoever carries the run to stop it."""
        self._site.ports.store.ask_to_stop(self.id, self._site.os_user)

    def _is_over(self, run: Run) -> bool:
        if run.status is RunStatus.PLANNED and run.check:
            return True
        if run.status is RunStatus.WAITING_APPROVAL:
            return not self._patient
        if run.status is RunStatus.HANDED_OVER:
            return not self._patient and self._waits_for_people(run)
        return run.status not in OWNED | {RunStatus.APPROVED} and not self._site.ports.locks.alive(run.id)

    def _waits_for_people(self, run: Run) -> bool:
        """Whether all that a run was handed over to, and that has not ended, waits for people."""
        _, *below = self._site.remediation.unfinished(run)
        leaves = [one for one in below if one.status is not RunStatus.HANDED_OVER]
        stuck = {RunStatus.WAITING_APPROVAL}
        return bool(leaves) and all(one.status in stuck or self._is_left_to_people(one) for one in leaves)

    def _is_left_to_people(self, one: Run) -> bool:
        return one.status is RunStatus.INTERRUPTED and one.carrier == "command"

    def _goes_on(self, run: Run) -> bool:
        """Whether a service goes on with an interrupted run; then the run that continues it is followed from here."""
        if run.status is not RunStatus.INTERRUPTED or run.carrier != "service":
            return False
        if following := self._site.ports.store.continuations(run.id):
            self.id, self._alone_since = following[-1].id, None
            self._moves = self._phases = self._tasks = 0
            self._planned = False
            return True
        return service_is_there(self._site.ports.locks) or not self._is_left_alone()

    def _require_somebody(self, run: Run) -> None:
        """Look after a run that nobody carries: it is marked as interrupted, or whoever follows it is sent away.

        Raises EngineFailure when no service has been there for a while.
        """
        locks = self._site.ports.locks
        carried = any(locks.alive(one.id) for one in self._site.remediation.unfinished(run))
        if carried or service_is_there(locks) or locks.alive(waiting_lock(run.id)):
            self._alone_since = None
        elif self._is_left_alone() and run.status in OWNED - {RunStatus.REQUESTED}:
            self._site.remediation.recover()
        elif self._is_left_alone() and run.status in _AFTERWARDS:
            raise EngineFailure(
                f"The service that carries run {run.id} is gone; the run is {run.status.value}.",
                next_step=_AFTERWARDS[run.status].format(run=run.id),
            )

    def _is_left_alone(self) -> bool:
        now = self._site.ports.clock.now()
        self._alone_since = self._alone_since or now
        return now - self._alone_since >= ALONE_FOR

    def news(self, run: Run) -> Iterator[RunEvent]:
        """Yield what is new about the run and about those that it was handed over to, each in its order."""
        yield from self._news(run)
        for child in self._site.ports.store.children(self.id):
            if child.id not in self._children:
                self._children[child.id] = FollowedRun(self._site, child.id)
            yield from self._children[child.id].news(child)

    def _news(self, run: Run) -> Iterator[RunEvent]:
        """Yield what is new in the record, in the order in which it happened."""
        store = self._site.ports.store
        phases, moves = store.phases(self.id), store.transitions(self.id)
        while self._phases < len(phases):
            record = phases[self._phases]
            yield from self._moves_until(record.started_at, run, moves)
            yield from self._phase(record)
            if record.ended_at is None:
                break
        yield from self._moves_until(None, run, moves)

    def _moves_until(self, moment: datetime | None, run: Run, moves: tuple[Transition, ...]) -> Iterator[RunEvent]:
        while self._moves < len(moves) and (moment is None or moves[self._moves].at <= moment):
            move = moves[self._moves]
            self._moves += 1
            yield StatusChanged(run, move.to_status, move.reason)
            if move.to_status is RunStatus.PLANNED and run.plan and not self._planned:
                self._planned = True
                yield PlanMade(run.plan)

    def _phase(self, record: PhaseRecord) -> Iterator[RunEvent]:
        """Yield the tasks of a phase that were not told yet, and its end if it has ended."""
        if not self._tasks:
            yield PhaseBegan(record.phase, record.check, ())
        yield from (TaskEnded(record.phase, task) for task in record.tasks[self._tasks :])
        self._tasks = len(record.tasks)
        if record.ended_at is not None and record.outcome is not None:
            seconds = (record.ended_at - record.started_at).total_seconds()
            yield PhaseEnded(record.phase, record.check, record.outcome, seconds)
            self._phases, self._tasks = self._phases + 1, 0
