"""What is tried after a run of an alert that has not cured: what its rule names next, once, and nothing else."""

from __future__ import annotations

import pytest

from remediate.domain.alert import AlertAnswer, AlertDecision
from remediate.domain.host import Host
from remediate.domain.response_rule import ResponseRule
from remediate.domain.run import Run, RunStatus, StartedBy
from remediate.engine.alert_watch import ASK_EVERY, AlertWatch
from remediate.engine.approvals import ApprovalFlow
from remediate.engine.incidents import IncidentDesk
from remediate.engine.intake import Intake, Policy
from remediate.engine.next_runbooks import NextRunbooks
from remediate.engine.ports import Ports
from remediate.engine.staff import Staff
from remediate.errors import RemediateError, StateUnusable
from remediate.testing import FakeExecutor, FrozenClock, ports
from tests.builders import alert, resolved, runbook
from tests.reception import rule

HOSTS = (Host(name="near", groups=("all",)),)
SHELF = runbook()
HOUSE = runbook().model_copy(update={"id": "mend-house", "role": "mend_house"})
FIRING = alert()
RULE = rule(mode="act", unattended=1, then=("mend-house",))
#: How a run comes to each of its ends.
WAYS = {
    RunStatus.FAILED: (RunStatus.DIAGNOSING, RunStatus.FAILED),
    RunStatus.CANCELED: (RunStatus.DIAGNOSING, RunStatus.CANCELED),
    RunStatus.NOT_NEEDED: (RunStatus.DIAGNOSING, RunStatus.NOT_NEEDED),
    RunStatus.UNPROVEN: (RunStatus.DIAGNOSING, RunStatus.UNPROVEN),
}


class Story:
    """An alert that fires, and the run that was made of it."""

    def __init__(self, *rules: ResponseRule) -> None:
        self.clock = FrozenClock()
        self.ports: Ports = ports(executor=FakeExecutor(list(HOSTS)), clock=self.clock)
        self.policy = Policy(rules or (RULE,), {"tidy-shelf": SHELF, "mend-house": HOUSE}, lambda: HOSTS)
        self.intake = Intake(self.ports, self.policy, ApprovalFlow(self.ports, Staff()))
        (self.first,) = self.intake.take([FIRING]).runs
        self.next = NextRunbooks(self.ports, self.policy)

    def ends(self, run_id: str, status: RunStatus) -> None:
        for wanted in WAYS[status]:
            run = self.ports.store.run(run_id)
            self.ports.store.move(run_id, run.status, wanted, "as told", self.ports.clock.now())

    def answer(self) -> AlertAnswer:
        return self.ports.alerts.alert(FIRING.key).answer

    def run(self, run_id: str) -> Run:
        return self.ports.store.run(run_id)


def test_where_a_runbook_has_not_cured_the_next_one_of_the_rule_is_tried() -> None:
    story = Story()
    story.ends(story.first, RunStatus.FAILED)
    (second,) = story.next.look()
    made = story.run(second)

    assert (made.runbook, made.hosts, made.started_by, made.unattended) == ("mend-house", ("near",), StartedBy.ALERT, 1)
    assert made.parameters == {}
    assert made.reason == f"ShelfUntidy fires on near; tidy-shelf did not cure (run {story.first})"
    assert (story.answer().run_id, story.answer().runbook) == (second, "mend-house")
    assert story.answer().reason.startswith(f"tidy-shelf did not cure (run {story.first}); ")


def test_after_the_last_one_it_is_a_humans() -> None:
    story = Story()
    story.ends(story.first, RunStatus.FAILED)
    (second,) = story.next.look()
    assert story.next.look() == []
    story.ends(second, RunStatus.FAILED)

    assert story.next.look() == []


@pytest.mark.parametrize("status", [RunStatus.CANCELED, RunStatus.NOT_NEEDED, RunStatus.UNPROVEN])
def test_who_cannot_tell_or_was_stopped_leaves_it_to_people(status: RunStatus) -> None:
    story = Story()
    story.ends(story.first, status)

    assert story.next.look() == []


def test_nothing_is_tried_while_a_run_is_carried_or_when_the_alert_is_over() -> None:
    story = Story()
    story.ends(story.first, RunStatus.FAILED)
    with story.ports.locks.hold(story.first, ["near"]):
        assert story.next.look() == []
    story.intake.take([resolved(FIRING)])

    assert story.next.look() == []


def test_a_rule_that_names_nothing_next_tries_nothing() -> None:
    story = Story(rule(mode="act"))
    story.ends(story.first, RunStatus.FAILED)

    assert story.next.look() == []


def test_two_services_try_it_once() -> None:
    story = Story()
    story.ends(story.first, RunStatus.FAILED)
    another = NextRunbooks(story.ports, story.policy)
    seen = story.ports.alerts.alert(FIRING.key)
    story.next.look()

    assert another.look() == []
    assert story.ports.alerts.alert(FIRING.key) != seen
    assert len(story.ports.store.runs(limit=10)) == 2


def test_the_next_run_belongs_to_the_incident_of_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story()
    joined: list[tuple[str, str]] = []
    monkeypatch.setattr(story.ports.incidents, "join", lambda incident, run, _now: joined.append((incident, run)))
    story.ports.alerts.joined(FIRING.key, "inc-1")
    story.ends(story.first, RunStatus.FAILED)
    (second,) = story.next.look()

    assert joined == [("inc-1", second)]


def test_the_watch_over_alerts_tries_it_and_tries_again_what_went_wrong() -> None:
    story = Story()
    story.ends(story.first, RunStatus.FAILED)
    answers: list[RemediateError | None] = [StateUnusable("no inventory"), None]

    def hosts() -> tuple[Host, ...]:
        if error := answers.pop(0):
            raise error
        return HOSTS

    following = NextRunbooks(story.ports, Policy(story.policy.rules, story.policy.runbooks, hosts))
    desk = IncidentDesk(story.ports, Staff())
    watch = AlertWatch(story.ports, {}, desk, story.policy.runbooks.__getitem__, following)
    with pytest.raises(StateUnusable, match="no inventory"):
        watch.look()
    story.clock.fast_forward(ASK_EVERY)
    watch.look()

    assert story.answer().decision is AlertDecision.ADMITTED
    assert story.answer().runbook == "mend-house"
