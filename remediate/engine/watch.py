"""The watch: what has to happen while nobody types anything. It looks at the record, and needs no memory of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event

from remediate.domain.run import Run, RunStatus, Standing
from remediate.engine.events import RunEvent
from remediate.engine.lock_names import waiting_lock
from remediate.engine.ports import Locks, Ports
from remediate.engine.remediation import MOST_ATTEMPTS, STARTING, Remediation
from remediate.errors import EngineFailure, IllegalTransition, Refused, RemediateError

#: How many services may work for one site; each holds the lock of one slot.
SERVICES = 8


def service_lock(number: int) -> str:
    """Return the name of the lock of a slot, which is the id of the executor that holds it."""
    return f"service-{number}"


def service_is_there(locks: Locks) -> bool:
    """Return whether some service works for this site: then it carries what commands ask for."""
    return any(locks.alive(service_lock(number)) for number in range(1, SERVICES + 1))


#: How often things are done that need not be done at once: signing the audit trail, going on with what broke off.
ALSO_EVERY = timedelta(seconds=2)

#: How often the watch looks. A deadline is kept to within this, and a run that was approved starts within this.
EVERY = timedelta(milliseconds=300)

#: After a look the next one begins this much later at the earliest, however much happens, and so many times as long
#: as it took, but no longer than somebody waits gladly: a storm is no reason to do nothing but look.
BREATH, REST, LONGEST_REST = timedelta(milliseconds=50), 3, timedelta(milliseconds=400)

#: A run that did not begin, because its hosts are busy, is tried again after this, and given up after that.
AGAIN_AFTER = timedelta(seconds=2)
BUSY_FOR = timedelta(minutes=10)


@dataclass(frozen=True)
class _Tried:
    """Since when a run has been tried to begin, and when it is tried again."""

    since: datetime
    again_at: datetime


class Watch:
    """Keeps deadlines, and brings forward what waits for nobody.

    A command watches over its own run only; a service watches over everything: it starts runs that were handed over or
    approved, and goes on with runs whose process is gone. What it remembers only keeps it from trying too often.
    """

    def __init__(
        self,
        ports: Ports,
        remediation: Remediation,
        *,
        also: Callable[[], None] = lambda: None,
        observe: Callable[[str, RunEvent], None] = lambda _run_id, _event: None,
        tell: Callable[[RemediateError], None] = lambda _error: None,
    ) -> None:
        self._ports = ports
        self._remediation = remediation
        self._also = also
        self._also_at = datetime.min.replace(tzinfo=UTC)
        self._tried: dict[str, _Tried] = {}
        self._observe = observe
        self._tell = tell
        #: What went wrong at the last look, if anything did; it is told once, and tried again at the next one.
        self._trouble = ""
        self._nudged = Event()

    def nudge(self) -> None:
        """Look now: something was recorded that need not wait for the next look."""
        self._nudged.set()

    def keep(self, stop: Event, *, everything: bool) -> None:
        """Look again and again until `stop`. What cannot be done, such as use the record, is told and tried again."""
        while not stop.is_set():
            began = self._ports.clock.now()
            try:
                self.look(everything=everything)
                self._trouble = ""
            except RemediateError as error:
                if error.message != self._trouble:
                    self._tell(error)
                self._trouble = error.message
            if not stop.is_set():
                looked_at = self._ports.clock.now()
                self._ports.clock.wait(EVERY, self._nudged)
                self._nudged.clear()
                due = looked_at + max(BREATH, min(LONGEST_REST, REST * (looked_at - began)))
                if (rest := due - self._ports.clock.now()) > timedelta(0):
                    self._ports.clock.wait(rest, stop)

    def look(self, *, everything: bool) -> None:
        """Do everything that is due now."""
        now = self._ports.clock.now()
        self._remediation.approvals.watch(now)
        self._heed_cancellations()
        also = now >= self._also_at
        if also:
            self._also_at = now + ALSO_EVERY
            self._also()
        if everything and also:
            self._go_on_after_interruptions()
        if everything:
            self._bring_forward(now)

    def _bring_forward(self, now: datetime) -> None:
        """Begin what was handed over or approved: for each host the oldest, then the others in their turn."""
        waiting = self._ports.store.standing({RunStatus.REQUESTED, RunStatus.APPROVED})
        found = [one for one in (*waiting, *self._ports.store.handed_back()) if self._is_ours(one, now)]
        # An id begins with when a run was first asked for: one that goes on with another one has its place.
        ours = sorted(found, key=lambda one: (one.run_id[:15], one.created_at))
        self._tried = {one.run_id: self._tried[one.run_id] for one in ours if one.run_id in self._tried}
        taken: set[str] = set()
        for one in ours:
            if one.stop_asked_by and not self._ports.locks.alive(one.run_id):
                self._withdraw(one)
            elif taken.isdisjoint(one.hosts) and self._ports.workflows.has_room:
                self._try(one, now)
            taken.update(one.hosts)

    def _is_ours(self, one: Standing, now: datetime) -> bool:
        if self._ports.workflows.carries(one.run_id):
            return False
        if one.parent or one.status is RunStatus.HANDED_OVER:
            return self._is_ours_of_a_family(one, now)
        return one.carrier == "service" or (
            one.status is RunStatus.APPROVED and not self._ports.locks.alive(waiting_lock(one.run_id))
        )

    def _is_ours_of_a_family(self, one: Standing, now: datetime) -> bool:
        """Whether no command looks after the family of a run; one that has just handed over is about to."""
        if one.status is RunStatus.REQUESTED and one.carrier != "service" and now - one.created_at < STARTING:
            return False
        return not self._remediation.is_looked_after(one.run_id)

    def _try(self, one: Standing, now: datetime) -> None:
        tried = self._tried.get(one.run_id)
        if tried and now < tried.again_at:
            return
        if tried and one.status is RunStatus.REQUESTED and now - tried.since >= BUSY_FOR:
            self._give_up(one.run_id, f"{', '.join(one.hosts)} stayed busy for {BUSY_FOR}")
            return
        self._tried[one.run_id] = _Tried(tried.since if tried else now, now + AGAIN_AFTER)
        run = self._ports.store.run(one.run_id)
        if run.status is RunStatus.APPROVED and self._remediation.lost_attempts(run) >= MOST_ATTEMPTS:
            self._give_up(run.id)
            return
        try:
            self._remediation.start(run, observe=partial(self._observe, run.id), alone=True)
        except EngineFailure as failure:
            self._give_up(run.id, failure.message)

    def _withdraw(self, one: Standing) -> None:
        try:
            self._remediation.ask_to_stop(self._ports.store.run(one.run_id), one.stop_asked_by)
        except IllegalTransition:
            return  # it has begun, or ended, at this moment

    def _go_on_after_interruptions(self) -> None:
        self._remediation.recover()
        for run in self._ports.store.broken_off():
            self._go_on(run)

    def _go_on(self, run: Run) -> None:
        if self._ports.workflows.carries(run.id):
            return
        if self._remediation.lost_attempts(run) >= MOST_ATTEMPTS:
            self._give_up(run.id)
            return
        try:
            if self._remediation.lost_rollbacks(run):
                self._remediation.roll_back(run)
            else:
                self._remediation.request_resumption(run)
        except (IllegalTransition, Refused):
            return  # somebody has rolled it back, or resumed it, at this moment

    def _give_up(self, run_id: str, why: str = "") -> None:
        with suppress(IllegalTransition):  # something has gone on with it at this moment
            self._remediation.give_up(self._ports.store.run(run_id), why)

    def _heed_cancellations(self) -> None:
        carried = self._remediation.carried()
        for run_id in self._ports.store.asked_to_stop(carried) if carried else ():
            self._remediation.cancel(run_id)
