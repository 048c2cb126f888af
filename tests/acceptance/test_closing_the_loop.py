"""Stories of runs that an alert started: silence, the proof by the alert's own expression, the incident and its end."""

from __future__ import annotations

from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from remediate.adapters.store.database import DatabaseStore
from remediate.domain.alert import Alert, AlertAnswer, AlertDecision
from remediate.domain.alert_rule import AlertRule, ScrapeTarget, Series
from remediate.domain.incident import Incident, Stage
from remediate.domain.run import Origin, PhaseOutcome, Run, RunStatus, StartedBy
from remediate.domain.runbook import Phase, Severity
from remediate.domain.silence import silence_of
from remediate.engine.alert_proofs import EVERY
from remediate.engine.alert_watch import ASK_EVERY, MISSING_FOR, AlertWatch
from remediate.engine.executor_ports import PhaseRequest
from remediate.engine.incidents import IncidentDesk
from remediate.engine.intake import Policy
from remediate.engine.monitoring import Watcher
from remediate.engine.next_runbooks import NextRunbooks
from remediate.errors import IllegalTransition, RemediateError, StateUnusable, UsageError
from remediate.testing import EPOCH, FakeMessenger, FakeMonitoring, Silence
from tests.acceptance.conftest import World
from tests.acceptance.staff import Company
from tests.acceptance.test_walks import BOOK, DUST, scripted
from tests.builders import alert, resolved, tidy
from tests.contract.test_approvals_contract import trail

SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)
EXPRESSION = "dust > 90"
RULE = AlertRule(name="ShelfUntidy", expression=EXPRESSION, labels={"severity": "SEV3"})
FIRING = alert(labels={"severity": "SEV3"}, starts_at=EPOCH - MINUTE)
DUSTY = Series(labels={"instance": "near:9100"}, value=95)


class Loop:
    """A world with an Alertmanager and a Prometheus, whose targets are scraped every five seconds."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.messenger = FakeMessenger()
        self.monitoring = FakeMonitoring(world.clock.now, [RULE])
        self.monitoring.scrapes(self.targets)
        self.company = Company()
        world.staff = self.company.staff()
        world.watchers = {"main": Watcher(monitoring=self.monitoring, messenger=self.messenger)}
        world.engine = world.another_process()
        self.dusty = True
        self.monitoring.finds(EXPRESSION, lambda: [DUSTY] if self.dusty else [])
        self.messenger.held.append(FIRING)
        self.seen_while_acting: list[set[str]] = []
        world.executor.during(Phase.FIX, self._fixing)
        self.cures = True
        self.takes = timedelta(0)
        self.told: list[RemediateError] = []
        self.watch = self.another_watch()

    def another_watch(self) -> AlertWatch:
        load = self.world.engine._catalogue.load
        following = NextRunbooks(self.world.ports, Policy((), {}, tuple))
        return AlertWatch(self.world.ports, self.world.watchers, self.desk, load, following, tell=self.told.append)

    @property
    def desk(self) -> IncidentDesk:
        return IncidentDesk(self.world.ports, self.world.staff)

    def targets(self, ahead: timedelta = timedelta(0)) -> list[ScrapeTarget]:
        now = self.world.clock.now()
        scraped = now - timedelta(seconds=(now - EPOCH).total_seconds() % 5)
        return [ScrapeTarget(labels={"instance": "near:9100"}, up=True, last_scrape=scraped + ahead)]

    def _fixing(self, request: PhaseRequest, _stop: Event) -> None:
        self.seen_while_acting.append(set(self.messenger.standing))
        if not request.check:
            self.world.clock.fast_forward(self.takes)
            self.dusty = self.dusty and not self.cures

    def requested(self, fired: Alert = FIRING, *hosts: str) -> Run:
        """What the intake makes of an alert."""
        ports = self.world.ports
        ports.alerts.take([fired], self.world.clock.now())
        run = self.world.engine.request(
            "tidy-shelf",
            hosts=hosts or ("near",),
            parameters={},
            origin=Origin(requested_by="alert:main", started_by=StartedBy.ALERT, unattended=0),
        )
        answer = AlertAnswer(decision=AlertDecision.ADMITTED, runbook="tidy-shelf", run_id=run.id)
        ports.alerts.decided(fired.key, answer, self.world.clock.now())
        return run

    def walk(self, fired: Alert = FIRING) -> Run:
        return self.world.carry(self.requested(fired))

    def incident(self, run: Run) -> Incident:
        found = self.world.ports.incidents.of_run(run.id)
        assert found is not None
        return found

    def resolves(self, fired: Alert = FIRING) -> None:
        self.world.ports.alerts.take([resolved(fired)], self.world.clock.now())
        self.messenger.held = [one for one in self.messenger.held if one.key != fired.key]

    def look(self, later: timedelta = ASK_EVERY) -> None:
        self.world.clock.fast_forward(later)
        self.watch.look()


@pytest.fixture
def loop(world: World) -> Loop:
    scripted(world, DUST)
    return Loop(world)


def test_a_cure_that_the_expression_confirms_is_a_cure(loop: Loop) -> None:
    run = loop.walk()

    assert run.status is RunStatus.SUCCEEDED
    assert run.outcome == "cured: near; the alert ShelfUntidy: its expression finds nothing any more"
    assert set(loop.monitoring.asked) == {EXPRESSION}


def test_the_proof_waits_until_something_was_scraped_after_the_fix(loop: Loop) -> None:
    loop.takes = SECOND
    run = loop.walk()

    # Fixed at the first second, and scraped at every fifth one.
    assert loop.world.clock.waits == [EVERY, EVERY]
    assert run.status is RunStatus.SUCCEEDED


@pytest.mark.parametrize("ahead", [timedelta(hours=1), -timedelta(hours=1)])
def test_the_moments_of_prometheus_are_by_its_own_clock(loop: Loop, ahead: timedelta) -> None:
    loop.takes = SECOND
    there = FakeMonitoring(lambda: loop.world.clock.now() + ahead, [RULE])
    there.scrapes(lambda: loop.targets(ahead))
    loop.world.watchers["main"] = Watcher(monitoring=there, messenger=loop.messenger)

    assert loop.walk().status is RunStatus.SUCCEEDED
    assert loop.world.clock.waits == [EVERY, EVERY]


def test_a_run_that_could_not_even_look_calls_a_human(loop: Loop) -> None:
    loop.world.executor.says("near", Phase.DIAGNOSE, Silence(PhaseOutcome.UNREACHABLE, "it does not answer on SSH"))
    run = loop.walk()

    assert run.status is RunStatus.UNPROVEN
    assert loop.company.heard("ended") == ["nadia"]
    assert loop.incident(run).level == 1


def test_an_expression_that_still_finds_it_is_no_cure_whatever_the_runbook_says(loop: Loop) -> None:
    loop.cures = False
    run = loop.walk()

    # The cause rolls back by itself.
    assert loop.world.states(run)[-3:] == ["failed", "rolling_back", "rolled_back"]
    reasons = [step.reason for step in loop.world.store.transitions(run.id)]
    assert any("still finds it; by itself the runbook says: cured: near" in reason for reason in reasons)
    assert sum(loop.world.clock.waits, timedelta(0)) == 3 * 50 * SECOND + 30 * SECOND


def test_a_prometheus_that_cannot_be_asked_proves_nothing(loop: Loop) -> None:
    loop.world.executor.during(Phase.FIX, lambda _request, _stop: setattr(loop.monitoring, "trouble", "nobody there"))
    run = loop.walk()

    assert "unproven" in loop.world.states(run)
    assert any("Prometheus cannot be asked (nobody there)" in s.reason for s in loop.world.store.transitions(run.id))
    assert loop.incident(run).stage is Stage.OPEN
    assert loop.company.heard("ended") != []


def test_a_rule_that_there_is_not_proves_nothing_and_is_not_waited_for(loop: Loop) -> None:
    run = loop.walk(alert("Unheard", labels={"severity": "SEV3"}))

    assert "unproven" in loop.world.states(run)
    assert loop.world.clock.waits == []


def test_what_a_person_starts_is_proven_by_the_runbook_alone(loop: Loop) -> None:
    run = loop.world.walk()

    assert run.outcome == "cured: near"
    assert loop.monitoring.asked == []
    assert loop.messenger.made == {}


def test_an_alert_that_still_fires_where_nothing_is_found_wrong_calls_a_human(loop: Loop) -> None:
    loop.world.executor.says("near", Phase.DIAGNOSE, tidy())
    run = loop.walk()

    assert run.status is RunStatus.UNPROVEN
    assert "nothing to do" in run.outcome
    assert loop.incident(run).level == 1
    assert loop.company.heard("ended") == ["nadia"]


def test_nothing_wrong_and_a_quiet_expression_end_the_run_without_ado(loop: Loop) -> None:
    loop.dusty = False
    loop.world.executor.says("near", Phase.DIAGNOSE, tidy())

    assert loop.walk().status is RunStatus.NOT_NEEDED
    assert loop.company.heard("ended") == []


def test_the_alert_is_silent_while_its_run_acts_and_no_longer(loop: Loop) -> None:
    run = loop.walk()

    during_check, during_fix = loop.seen_while_acting
    assert (during_check, during_fix) == (set(), {"silence-1"})
    made = loop.messenger.made["silence-1"]
    assert made.labels == FIRING.labels
    assert run.id in made.comment
    # Snapshot 2m, fix 3m, rollback 4m; twice the verification's 3m 0s; and a margin of 2m.
    assert made.ends_at - made.begins_at == 9 * MINUTE + 2 * 3 * MINUTE + 2 * MINUTE
    assert loop.messenger.standing == set()
    assert loop.world.ports.silences.standing() == ()


def test_what_waits_for_approval_is_not_silent(loop: Loop) -> None:
    scripted(loop.world, BOOK)
    run = loop.walk()

    assert run.status is RunStatus.WAITING_APPROVAL
    assert loop.messenger.made == {}


def test_an_alertmanager_that_cannot_be_asked_keeps_nobody_from_a_cure(loop: Loop) -> None:
    loop.messenger.trouble = "nobody there"
    run = loop.walk()

    assert run.status is RunStatus.SUCCEEDED
    (kept,) = loop.world.ports.silences.standing()
    assert kept.trouble == "nobody there"
    loop.messenger.trouble = ""
    loop.look()
    assert loop.world.ports.silences.standing() == ()


def test_a_silence_whose_run_was_killed_is_removed_even_where_its_id_was_not_recorded(loop: Loop) -> None:
    run = loop.requested()
    store = loop.world.store
    run = store.move(run.id, run.status, RunStatus.DIAGNOSING, "looking", EPOCH)
    kept = loop.world.ports.silences.want(
        _silence(loop, run)  # on the record, and made, and then the process was killed
    )
    loop.messenger.silence(kept)
    loop.look()
    assert loop.messenger.standing == {"silence-1"}  # its run may be at work, as far as the record knows
    store.move(run.id, run.status, RunStatus.INTERRUPTED, "the process is gone", EPOCH)
    loop.look()

    assert loop.messenger.standing == set()
    assert loop.world.ports.silences.standing() == ()


def _silence(loop: Loop, run: Run) -> Any:
    return silence_of(run.id, FIRING, loop.world.engine._catalogue.load("tidy-shelf"), loop.world.clock.now())


def test_an_incident_is_open_before_anybody_has_looked_and_ends_when_the_alert_resolves(loop: Loop) -> None:
    run = loop.walk()

    incident = loop.incident(run)
    assert (incident.stage, incident.severity, incident.began_at) == (Stage.CURED, Severity.SEV3, EPOCH - MINUTE)
    loop.look()
    assert loop.incident(run).stage is Stage.CURED
    loop.resolves()
    loop.look()
    closed = loop.incident(run)
    assert (closed.stage, closed.closed_by) == (Stage.CLOSED, "engine")
    assert closed.times.detected == MINUTE
    assert closed.times.resolved == MINUTE
    assert closed.times.kept is True


def test_a_run_that_waits_for_its_turn_has_an_incident_that_counts_from_its_alert(loop: Loop) -> None:
    run = loop.requested()
    assert loop.world.ports.incidents.of_run(run.id) is None
    loop.look()

    opened = loop.incident(run)
    assert (opened.stage, opened.opened_at, opened.began_at) == (Stage.OPEN, EPOCH, EPOCH - MINUTE)
    loop.look()
    assert loop.world.carry(run).status is RunStatus.SUCCEEDED
    assert loop.world.approvals.incidents() == (loop.incident(run),)


def test_an_alert_that_resolved_while_it_was_silenced_is_asked_about(loop: Loop) -> None:
    run = loop.walk()
    loop.messenger.held.clear()  # Alertmanager has forgotten it, and has told nobody
    loop.look()
    loop.look()

    assert loop.world.ports.alerts.open_ones() == ()
    assert loop.incident(run).stage is Stage.CLOSED


def test_an_alertmanager_that_was_started_anew_has_forgotten_alerts_that_are_not_over(loop: Loop) -> None:
    loop.cures = False
    loop.walk()
    loop.messenger.held.clear()
    loop.look()

    assert [record.key for record in loop.world.ports.alerts.open_ones()] == [FIRING.key]


def test_without_a_prometheus_an_alert_has_to_be_missing_for_a_while(loop: Loop) -> None:
    loop.world.watchers["main"] = Watcher(messenger=loop.messenger)
    loop.walk()
    loop.messenger.held.clear()
    loop.look()
    loop.look(MISSING_FOR - SECOND)
    assert len(loop.world.ports.alerts.open_ones()) == 1
    loop.look(ASK_EVERY)

    assert loop.world.ports.alerts.open_ones() == ()


def test_what_goes_wrong_in_the_watch_is_told_once_and_tried_again(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, stop = 0, Event()

    def failing() -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            stop.set()
        raise StateUnusable("the record cannot be read")

    monkeypatch.setattr(loop.watch, "look", failing)
    loop.watch.keep(stop)

    assert looks == 3
    assert [error.message for error in loop.told] == ["the record cannot be read"]


def test_a_second_alert_of_the_same_trouble_joins_and_may_make_it_worse(loop: Loop) -> None:
    scripted(loop.world, BOOK)
    first = loop.walk()
    second = loop.requested(alert("Worse", fingerprint="0b", starts_at=EPOCH))
    with loop.world.store.together():
        card = loop.world.engine._catalogue.load("tidy-shelf")
        mapping = card.alerts[0].model_copy(update={"name": "Worse", "severity": Severity.SEV1})
        loop.desk.open_for(second, card.model_copy(update={"alerts": (mapping,)}), EPOCH)

    assert loop.incident(second).id == loop.incident(first).id == f"inc-{first.id}"
    assert loop.incident(first).severity is Severity.SEV1
    assert {r.alert.name for r in loop.desk.view(f"inc-{first.id}").alerts} == {"ShelfUntidy", "Worse"}


def test_an_alert_that_resolves_before_anything_was_done_is_the_end_of_it(loop: Loop) -> None:
    scripted(loop.world, BOOK)
    run = loop.walk()
    loop.resolves()
    loop.world.engine.approvals.withdraw(run.id, "its alert is over")
    loop.look()

    closed = loop.incident(run)
    assert (closed.stage, closed.note) == (Stage.CLOSED, "its alerts have resolved; nothing was changed here")


def test_what_was_done_and_not_proven_stays_open_until_a_person_has_looked(loop: Loop) -> None:
    loop.cures = False
    run = loop.walk()
    loop.resolves()
    loop.look()
    assert loop.incident(run).is_open

    closed = loop.desk.resolve(loop.incident(run).id, "lena", "cleaned by hand")
    assert (closed.closed_by, closed.note) == ("lena", "cleaned by hand")
    with pytest.raises(IllegalTransition, match="is closed: cleaned by hand"):
        loop.desk.acknowledge(closed.id, "omar")


def test_silence_climbs_until_somebody_takes_it_on(loop: Loop) -> None:
    loop.cures = False
    run = loop.walk()
    assert loop.incident(run).level == 1

    loop.look(60 * MINUTE)
    assert loop.incident(run).level == 2
    assert loop.company.heard("called") == ["lena", "mara"]
    taken = loop.desk.acknowledge(loop.incident(run).id, "mara")
    assert taken.times.acknowledged == loop.world.clock.now() - taken.opened_at
    loop.look(600 * MINUTE)
    assert loop.incident(run).level == 2
    with pytest.raises(IllegalTransition, match="taken on by mara already"):
        loop.desk.acknowledge(taken.id, "omar")


def test_a_higher_level_is_called_at_once_with_a_reason(loop: Loop) -> None:
    loop.cures = False
    run = loop.walk()
    incident = loop.incident(run)
    with pytest.raises(UsageError, match="A reason is wanted"):
        loop.desk.escalate(incident.id, "omar", 4, " ")
    called = loop.desk.escalate(incident.id, "omar", 4, "data may be lost")

    assert called.level == 4
    assert loop.company.heard("called") == ["chloe"]
    with pytest.raises(UsageError, match="Level 4 was called already"):
        loop.desk.escalate(incident.id, "omar", 3, "again")


def test_a_run_that_the_storm_policy_refuses_calls_a_human(loop: Loop) -> None:
    loop.walk()
    loop.dusty = True
    again = loop.walk(alert(labels={"severity": "SEV3"}, starts_at=EPOCH))

    assert again.status is RunStatus.PARKED
    assert "nadia" in loop.company.heard("ended")
    assert loop.incident(again).is_open


def test_what_happens_to_an_incident_stands_in_the_trail(loop: Loop) -> None:
    loop.cures = False
    run = loop.walk()
    loop.desk.acknowledge(loop.incident(run).id, "mara")
    loop.desk.resolve(loop.incident(run).id, "mara", "cleaned")

    book = loop.world.kept["incidents"]
    store = loop.world.store
    entries = trail(store._database) if isinstance(store, DatabaseStore) else book.audited
    actions = [(e.action, e.actor) for e in entries if e.action.startswith("incident.") and "opened" not in e.action]
    assert actions == [
        ("incident.called", "engine"),
        ("incident.acknowledged", "mara"),
        ("incident.closed", "mara"),
    ]
