"""The watch over schedules: what is due becomes a run, once, whoever looks and whatever was killed meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from threading import Event

from remediate.domain.parameter import checked_parameters
from remediate.domain.run import Run, RunStatus, StartedBy, new_run_id, suffix_of
from remediate.domain.schedule import Decision, Due, Schedule, targets, turn_of
from remediate.engine.ports import Ports
from remediate.engine.schedule_book import ScheduleBook, Timetable
from remediate.errors import RemediateError

#: How often it looks.
EVERY = timedelta(seconds=5)


class ScheduleWatch:
    """Looks again and again. A run and the record that its occurrence had its turn are written together.

    So a service that is killed in between has done neither, and of several services one does both. The run waits for
    its turn like one that a command has handed over: it is begun by whichever service gets to it.
    """

    def __init__(
        self, ports: Ports, timetable: Timetable, *, tell: Callable[[RemediateError], None] = lambda _error: None
    ) -> None:
        self._ports = ports
        self._timetable = timetable
        self._book = ScheduleBook(ports, timetable)
        self._tell = tell
        self._trouble = ""
        #: The schedules that were seen by this service; forgetting it takes them up once more.
        self._seen: set[str] = set()

    def keep(self, stop: Event, made: Callable[[], None] = lambda: None) -> None:
        """Look until `stop`; what goes wrong is told once, and tried again. Runs that are due are told to `made`."""
        while not stop.is_set():
            try:
                if self.look():
                    made()
                self._trouble = ""
            except RemediateError as error:
                if error.message != self._trouble:
                    self._tell(error)
                self._trouble = error.message
            self._ports.clock.wait(EVERY, stop)

    def look(self) -> list[str]:
        """Make the runs that are due, and return their ids; raises StateUnusable."""
        now = self._ports.clock.now()
        found = [one for one in self._timetable.schedules if self._is_due(one, now)]
        return [run.id for one in found if (run := self._settle(one))]

    def _is_due(self, schedule: Schedule, now: datetime) -> bool:
        """Whether something has to be decided. A schedule is taken up once by each service, when it is seen first.

        Where services have different settings, the one that was started last has the schedule: they would take it
        away from one another for ever.
        """
        found = self._book.due(schedule, now)
        is_first = schedule.name not in self._seen
        if found.occurrence is None:
            self._seen.add(schedule.name)
        return found.occurrence is not None and (is_first or found.decision is not Decision.TAKEN_UP)

    def _settle(self, schedule: Schedule) -> Run | None:
        """Decide about what is due, unless another service has, and make its run."""
        runbook = self._timetable.runbooks[schedule.runbook]
        # Read before the transaction: an inventory takes its time, and others want to write.
        hosts, nowhere = targets(schedule, runbook, self._timetable.hosts())
        with self._ports.store.together():
            self._ports.store.in_turn()
            now = self._ports.clock.now()
            found = self._book.due(schedule, now)
            if found.occurrence is None:
                return None
            if nowhere and found.decision.starts:
                found = found._replace(decision=Decision.NO_HOSTS, reason=f"{found.reason}: {nowhere}")
            run = self._run(schedule, found, hosts, now) if found.decision.starts else None
            if run:
                self._ports.store.create_runs([run])
            self._ports.schedules.decide(turn_of(schedule, found, now, run=run))
        self._seen.add(schedule.name)
        return run

    def _run(self, schedule: Schedule, found: Due, hosts: tuple[str, ...], now: datetime) -> Run:
        """Return the run of an occurrence, not recorded yet; its id follows from it."""
        runbook = self._timetable.runbooks[schedule.runbook]
        key = f"{schedule.name} {found.occurrence.due.isoformat() if found.occurrence else ''}"
        return Run(
            id=new_run_id(now, suffix_of(key)),
            runbook=runbook.id,
            status=RunStatus.REQUESTED,
            hosts=hosts,
            parameters=checked_parameters(runbook.parameters, runbook.role, schedule.parameters)[0],
            created_at=now,
            updated_at=now,
            requested_by=schedule.requester,
            reason=f"schedule {schedule.name}, {found.reason}",
            started_by=StartedBy.SCHEDULE,
            carrier="service",
            unattended=schedule.unattended,
        )
