"""What a site runs by itself, and where each schedule stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from remediate.domain.child_runs import has_ended
from remediate.domain.host import Host
from remediate.domain.run import Run, RunStatus
from remediate.domain.runbook import Runbook
from remediate.domain.schedule import (
    Decision,
    Due,
    Occurrence,
    Overdue,
    Schedule,
    Turn,
    answered_at,
    due,
    extra_occurrence,
    next_occurrence,
    overdue,
    turn_of,
)
from remediate.engine.ports import Ports
from remediate.errors import Refused, UsageError


@dataclass(frozen=True)
class Timetable:
    """What is run by itself: the schedules in effect, the runbooks that they name, and the hosts of the inventory."""

    schedules: tuple[Schedule, ...]
    runbooks: Mapping[str, Runbook]
    hosts: Callable[[], Sequence[Host]]


@dataclass(frozen=True)
class ScheduleStanding:
    """Where a schedule stands: what comes next, what was last, what holds it back, and how late it is."""

    schedule: Schedule
    hosts: tuple[str, ...]
    next: Occurrence | None
    last: Turn | None
    #: The last run that was made of it, or the newest attempt at it.
    run: Run | None
    overdue: Overdue
    #: What would keep a run from beginning now, each in a sentence.
    held_back: tuple[str, ...] = ()


class ScheduleBook:
    """Answers about schedules, from the record."""

    def __init__(self, ports: Ports, timetable: Timetable) -> None:
        self._ports = ports
        self.timetable = timetable

    def schedule(self, name: str) -> Schedule:
        """Return a schedule by its name; raises UsageError when there is none."""
        found = next((one for one in self.timetable.schedules if one.name == name), None)
        if found is None:
            raise UsageError(f"There is no schedule {name!r}.", next_step="see `remediate schedule list`")
        return found

    def due(self, schedule: Schedule, now: datetime) -> Due:
        """Decide what is to be done about a schedule now."""
        last = self._ports.schedules.last(schedule.name)
        found = due(schedule, last, now)
        return due(schedule, last, now, going_on=self.going_on(schedule)) if found.occurrence else found

    def going_on(self, schedule: Schedule) -> str:
        """Return the id of a run of a schedule that has not ended, or an empty string."""
        run = self._last_run(schedule)
        return run.id if run and not has_ended(run) else ""

    def by_hand(self, schedule: Schedule, request: Callable[[], Run], by: str) -> Run:
        """Let a schedule have a turn now because a person wants it; `request` records the run.

        Raises Refused while a run of the schedule goes on.
        """
        with self._ports.store.together():
            self._ports.store.in_turn()
            if going_on := self.going_on(schedule):
                raise Refused(
                    f"Run {going_on} of schedule {schedule.name} goes on: nothing was begun.",
                    next_step=f"see `remediate runs show {going_on}`",
                )
            now, last = self._ports.clock.now(), self._ports.schedules.last(schedule.name)
            run = request()
            wanted = Due(extra_occurrence(last, now), Decision.BY_HAND, f"{by} wanted it")
            self._ports.schedules.decide(turn_of(schedule, wanted, now, run=run, by=by))
        return run

    def standing(self, schedule: Schedule, hosts: tuple[str, ...], now: datetime) -> ScheduleStanding:
        """Return where a schedule stands, as far as the record tells."""
        going_on = self.going_on(schedule)
        return ScheduleStanding(
            schedule=schedule,
            hosts=hosts,
            next=next_occurrence(schedule, now),
            last=self._ports.schedules.last(schedule.name),
            run=self._last_run(schedule),
            overdue=self.overdue(schedule, now),
            held_back=(f"run {going_on} of the time before goes on",) if going_on else (),
        )

    def overdue(self, schedule: Schedule, now: datetime) -> Overdue:
        """Return how long a schedule has been without a run that gave an answer."""
        turns = (turn for turn in self._ports.schedules.turns(schedule.name) if turn.timing == schedule.timing)
        return overdue(schedule, answered_at(self._with_ends(turns)), now)

    def _with_ends(self, turns: Iterator[Turn]) -> Iterator[tuple[Turn, RunStatus | None]]:
        """Yield turns with the ends of their runs; what is not asked for is not read."""
        return ((turn, self._newest_attempt(turn.run_id).status if turn.run_id else None) for turn in turns)

    def _last_run(self, schedule: Schedule) -> Run | None:
        turn = self._ports.schedules.last_run(schedule.name)
        return self._newest_attempt(turn.run_id) if turn else None

    def _newest_attempt(self, run_id: str) -> Run:
        """Return a run, or the one that goes on with it where it was interrupted."""
        run = self._ports.store.run(run_id)
        while run.status is RunStatus.INTERRUPTED and (later := self._ports.store.continuations(run.id)):
            run = later[-1]
        return run
