"""Stories of schedules, with a clock that stands still: begun once, made up once, never one over another."""

from __future__ import annotations

from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from remediate.adapters.store.database import DatabaseStore
from remediate.domain.host import Host
from remediate.domain.run import Run, RunStatus, StartedBy
from remediate.domain.runbook import Phase
from remediate.domain.schedule import Decision
from remediate.engine.schedule_book import ScheduleBook, Timetable
from remediate.engine.schedule_watch import EVERY, ScheduleWatch
from remediate.engine.watch import AGAIN_AFTER, Watch
from remediate.errors import EngineFailure, RemediateError, StateUnusable
from tests.acceptance.conftest import World
from tests.acceptance.staff import Company
from tests.acceptance.test_recovery import Killed, kill_in
from tests.acceptance.test_walks import DUST, TOY, scripted
from tests.builders import parameter, runbook
from tests.storm import pause
from tests.unit.test_schedule import schedule

#: The clock of the stories begins at 03:00; the schedule is due at 02:00.
TIDY = schedule(hosts=("near",), missed=timedelta(hours=6))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Site:
    """A world whose service looks at a schedule as well."""

    def __init__(self, world: World, **changes: Any) -> None:
        self.world = world
        self.schedule = TIDY.model_copy(update=changes)
        self.hosts: tuple[Host, ...] = world.executor.hosts()
        shelf = runbook(parameter("tidy_shelf_days", "int"))
        self.timetable = Timetable((self.schedule,), {"tidy-shelf": shelf}, lambda: self.hosts)
        self.schedules = ScheduleWatch(world.ports, self.timetable)
        self.book = ScheduleBook(world.ports, self.timetable)
        self.watch = Watch(world.ports, world.engine)
        self.schedules.look()  # it is new: it counts from now on

    def later(self, duration: timedelta) -> list[str]:
        self.world.clock.fast_forward(duration)
        return self.schedules.look()

    def carries(self) -> None:
        self.watch.look(everything=True)

    @property
    def decisions(self) -> list[str]:
        """What was decided, oldest first."""
        turns = self.world.ports.schedules.turns("tidy")
        return [f"{turn.due:%d %H:%M} {turn.decision.value}" for turn in reversed(turns)]

    def runs(self) -> list[Run]:
        return list(reversed(self.world.store.runs(limit=100)))


def test_a_new_schedule_makes_up_nothing_of_before(world: World) -> None:
    site = Site(world)

    assert site.later(timedelta(0)) == []
    assert (site.decisions, site.runs()) == (["05 03:00 taken_up"], [])


def test_what_is_due_becomes_one_run_that_walks_like_any_other(world: World) -> None:
    scripted(world, DUST)
    site = Site(world, unattended=0, parameters={"days": 3})
    assert site.later(22 * HOUR) == []
    (made,) = site.later(HOUR)
    assert site.schedules.look() == []
    run = world.store.run(made)

    assert (run.runbook, run.hosts, run.parameters) == ("tidy-shelf", ("near",), {"tidy_shelf_days": 3})
    assert (run.started_by, run.requested_by, run.carrier) == (StartedBy.SCHEDULE, "schedule:tidy", "service")
    assert (run.unattended, run.reason) == (0, "schedule tidy, due 2026-01-06 02:00:00Z")
    site.carries()
    assert world.store.run(made).status is RunStatus.SUCCEEDED
    assert site.decisions == ["05 03:00 taken_up", "06 02:00 started"]


def test_above_its_level_people_are_asked(world: World) -> None:
    company = Company()
    world.staff = company.staff()
    world.engine = world.another_process()
    scripted(world, TOY)
    site = Site(world)
    (made,) = site.later(23 * HOUR)
    site.carries()

    assert world.store.run(made).status is RunStatus.WAITING_APPROVAL
    request = world.ports.approvals.request(made)
    assert request is not None
    assert "its rule acts without a human up to level 0 only" in " ".join(request.reasons)


def test_up_to_its_level_nobody_is_asked(world: World) -> None:
    scripted(world, TOY)
    site = Site(world, unattended=2)
    (made,) = site.later(23 * HOUR)
    site.carries()

    assert world.store.run(made).status is RunStatus.SUCCEEDED


def test_a_paused_site_refuses_it_and_whoever_is_on_call_is_told(world: World) -> None:
    company = Company()
    world.staff = company.staff()
    world.engine = world.another_process()
    scripted(world, DUST)
    site = Site(world)
    world.switches.press(pause())
    (made,) = site.later(23 * HOUR)
    site.carries()

    assert world.store.run(made).status is RunStatus.PARKED
    assert "paused" in world.store.run(made).outcome
    assert company.heard("ended") == ["nadia"]


def test_a_schedule_that_goes_on_as_before_is_no_news(world: World) -> None:
    company = Company()
    world.staff = company.staff()
    world.engine = world.another_process()
    scripted(world, DUST)
    site = Site(world)
    site.later(23 * HOUR)
    site.carries()
    assert company.told == []
    world.switches.press(pause())
    for _ in range(3):
        site.later(DAY)
        site.carries()
    assert company.heard("ended") == ["nadia"]
    world.switches.press(pause(on=False))
    for _ in range(2):
        site.later(DAY)
        site.carries()

    assert company.heard("ended") == ["nadia", "nadia"]
    assert [run.status.value for run in site.runs()] == ["succeeded", *["parked"] * 3, *["succeeded"] * 2]


def test_of_several_that_were_missed_one_is_made_up(world: World) -> None:
    site = Site(world)
    (made,) = site.later(4 * DAY)

    assert site.later(EVERY) == []
    assert world.store.run(made).reason == "schedule tidy, due 2026-01-09 02:00:00Z, 1 h late; 3 before it are left out"
    assert site.decisions == ["05 03:00 taken_up", "09 02:00 made_up"]


def test_what_is_too_old_is_left_out_once_and_the_next_one_comes_in_its_time(world: World) -> None:
    site = Site(world)
    assert site.later(DAY + 6 * HOUR) == []
    assert site.later(EVERY) == []
    assert len(site.later(17 * HOUR)) == 1

    assert site.decisions == ["05 03:00 taken_up", "06 02:00 too_old", "07 02:00 started"]


def test_the_next_one_is_left_out_while_a_run_goes_on(world: World) -> None:
    scripted(world, DUST)
    site = Site(world)
    (made,) = site.later(23 * HOUR)
    assert site.later(DAY) == []
    assert site.decisions[-1] == "07 02:00 overlap"
    last = world.ports.schedules.last("tidy")
    assert last is not None
    assert last.reason == f"due 2026-01-07 02:00:00Z, while run {made} of the time before goes on"
    site.carries()
    assert len(site.later(DAY)) == 1

    assert site.decisions[-1] == "08 02:00 started"


def test_an_interrupted_run_goes_on_until_its_last_attempt_has_ended(world: World) -> None:
    scripted(world, DUST)
    kill_in(world, Phase.DIAGNOSE)
    site = Site(world)
    (made,) = site.later(23 * HOUR)
    for _ in range(6):
        site.world.clock.fast_forward(AGAIN_AFTER)
        with pytest.raises(Killed):
            site.carries()
        if len(site.runs()) == 3:
            break
    assert site.book.going_on(site.schedule) == f"{made}-3"
    site.world.clock.fast_forward(AGAIN_AFTER)
    site.carries()

    assert world.store.run(f"{made}-3").status is RunStatus.PARKED
    assert site.book.going_on(site.schedule) == ""


def test_two_services_begin_it_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(world)
    world.clock.fast_forward(23 * HOUR)
    second = ScheduleWatch(world.ports, site.timetable)
    targets: list[list[str]] = []

    def slow_inventory() -> tuple[Host, ...]:
        # Between its look and its transaction another service has its turn.
        monkeypatch.setattr(site.schedules, "_timetable", site.timetable)
        targets.append(site.schedules.look())
        return site.hosts

    monkeypatch.setattr(
        second, "_timetable", Timetable(site.timetable.schedules, site.timetable.runbooks, slow_inventory)
    )

    assert second.look() == []
    assert [len(made) for made in targets] == [1]
    assert len(site.runs()) == 1


def test_a_service_that_is_killed_between_claim_and_start_has_done_neither(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(world.store, DatabaseStore):
        return  # what fails in memory is not taken back
    site = Site(world)

    def killed(_turn: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(world.ports.schedules, "decide", killed)
        with pytest.raises(Killed):
            site.later(23 * HOUR)
    assert site.runs() == []
    assert len(ScheduleWatch(world.ports, site.timetable).look()) == 1
    assert site.decisions[-1] == "06 02:00 started"


def test_a_service_that_is_killed_after_it_leaves_the_run_to_the_next_one(world: World) -> None:
    scripted(world, DUST)
    site = Site(world)
    (made,) = site.later(23 * HOUR)
    world.engine = world.another_process()
    after = Watch(world.ports, world.engine)
    assert ScheduleWatch(world.ports, site.timetable).look() == []
    after.look(everything=True)

    assert world.store.run(made).status is RunStatus.SUCCEEDED
    assert len(site.runs()) == 1


def test_a_host_that_is_gone_is_told_and_nothing_is_run(world: World) -> None:
    site = Site(world)
    site.hosts = tuple(host for host in site.hosts if host.name != "near")
    assert site.later(23 * HOUR) == []
    last = world.ports.schedules.last("tidy")

    assert last is not None
    assert last.decision is Decision.NO_HOSTS
    assert last.reason.startswith("due 2026-01-06 02:00:00Z: 'near' is not a host of the inventory")
    assert site.later(EVERY) == []


def test_a_changed_time_counts_from_now_on(world: World) -> None:
    scripted(world, DUST)
    site = Site(world)
    site.later(23 * HOUR)
    changed = site.schedule.model_copy(update={"cron": "0 1 * * *"})
    watch = ScheduleWatch(world.ports, Timetable((changed,), site.timetable.runbooks, lambda: site.hosts))

    assert watch.look() == []
    assert site.decisions == ["05 03:00 taken_up", "06 02:00 started", "06 02:00 taken_up"]
    # Of services with different settings the one that was started last has it, and nothing is taken up again.
    assert site.later(EVERY) == []
    site.carries()
    world.clock.fast_forward(23 * HOUR)
    assert (len(watch.look()), site.schedules.look()) == (1, [])
    assert site.decisions[3:] == ["07 01:00 started"]


def test_how_late_it_is_ends_with_an_answer_and_not_with_a_refusal(world: World) -> None:
    scripted(world, DUST)
    site = Site(world)
    world.switches.press(pause())
    site.later(23 * HOUR)
    site.carries()
    now = world.clock.now()
    assert site.book.overdue(site.schedule, now + HOUR).late == HOUR
    world.switches.press(pause(on=False))
    (made,) = site.later(DAY)
    site.carries()

    assert world.store.run(made).status is RunStatus.SUCCEEDED
    assert site.book.overdue(site.schedule, world.clock.now()).late == timedelta(0)
    standing = site.book.standing(site.schedule, ("near",), world.clock.now())
    assert standing.run is not None
    assert standing.next is not None
    assert (standing.run.id, f"{standing.next.due:%d %H:%M}", standing.held_back) == (made, "08 02:00", ())


def test_what_goes_wrong_is_told_once_and_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[RemediateError] = []
    made: list[str] = []
    site = Site(world)
    watch = ScheduleWatch(world.ports, site.timetable, tell=told.append)
    answers: list[object] = [StateUnusable("it is away"), StateUnusable("it is away"), ["run"], EngineFailure("x"), []]
    stop = Event()

    def look() -> object:
        answer = answers.pop(0)
        if not answers:
            stop.set()
        if isinstance(answer, RemediateError):
            raise answer
        return answer

    monkeypatch.setattr(watch, "look", look)
    watch.keep(stop, lambda: made.append("nudged"))

    assert [error.message for error in told] == ["it is away", "x"]
    assert made == ["nudged"]
    assert world.clock.waits[-4:] == [EVERY] * 4
