"""The intake with twins of everything: what waits, what is too much, what was left out by its source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from threading import Event, Thread

import pytest

from remediate.domain.alert import Alert, AlertDecision
from remediate.domain.host import Host
from remediate.domain.response_rule import ResponseRule
from remediate.domain.run import RunStatus
from remediate.engine import intake as intake_module
from remediate.engine import intake_queue
from remediate.engine.alert_ports import AlertSource
from remediate.engine.approvals import ApprovalFlow
from remediate.engine.incidents import IncidentDesk
from remediate.engine.intake import Intake, Policy, Receipt
from remediate.engine.intake_queue import IntakeQueue
from remediate.engine.ports import Ports
from remediate.engine.recall import Recall
from remediate.engine.staff import Staff
from remediate.errors import EngineFailure, RemediateError, StateUnusable
from remediate.testing import FakeExecutor, FrozenClock, ports
from tests.acceptance.staff import Company
from tests.builders import alert, resolved, runbook
from tests.reception import rule

HOSTS = (Host(name="near", groups=("all",)),)


def made(joined: Ports, *rules: ResponseRule) -> Intake:
    policy = Policy(rules or (rule(),), {"tidy-shelf": runbook()}, lambda: HOSTS)
    return Intake(joined, policy, ApprovalFlow(joined, Staff()))


def twins() -> Ports:
    return ports(executor=FakeExecutor(list(HOSTS)))


def many(count: int) -> list[Alert]:
    return [alert(fingerprint=f"{number:04x}") for number in range(count)]


def test_alerts_of_one_second_make_runs_with_names_of_their_own() -> None:
    joined = twins()
    receipt = made(joined).take(many(500))

    assert len(set(receipt.runs)) == 500
    assert receipt.decisions == {AlertDecision.ADMITTED: 500}
    assert {run.id for run in joined.store.runs(limit=1000)} == set(receipt.runs)


def test_the_run_of_an_alert_has_the_same_name_whoever_makes_it() -> None:
    assert made(twins()).take(many(1)).runs == made(twins()).take(many(1)).runs


def test_what_comes_on_top_of_what_waits_already_is_recorded_and_starts_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(intake_module, "MOST_WAITING", 3)
    joined = twins()
    made(joined).take(many(2))
    receipt = made(joined).take(many(5))

    assert receipt.decisions == {AlertDecision.ADMITTED: 1, AlertDecision.REFUSED: 2}
    assert len(joined.store.runs(limit=10)) == 3
    assert [one.answer.reason for one in joined.alerts.alerts() if one.answer.decision is AlertDecision.REFUSED] == [
        "3 runs of alerts wait for their turn: somebody has to look"
    ] * 2


def test_a_run_that_somebody_carries_already_is_not_canceled_when_its_alert_is_over() -> None:
    joined = twins()
    (run_id,) = made(joined).take(many(1)).runs
    with joined.locks.hold(run_id, ["near"]):
        receipt = made(joined).take([resolved(one) for one in many(1)])

    assert receipt.ended == 1
    assert joined.store.run(run_id).status is RunStatus.REQUESTED


class Taking:
    """An intake that notes what it takes, and waits where it is told to."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.counts: list[dict[str, int]] = []
        self.go = Event()
        self.go.set()
        self.error: Exception | None = None

    def take(self, delivered: Sequence[Alert]) -> Receipt:
        self.go.wait(20)
        self.batches.append(len(delivered))
        if self.error:
            raise self.error
        return Receipt()

    def counted(self, deliveries: dict[str, int]) -> None:
        if self.error:
            raise self.error
        self.counts.append(dict(deliveries))


@contextmanager
def working(taking: object) -> Iterator[IntakeQueue]:
    queue, stop = IntakeQueue(taking), Event()  # type: ignore[arg-type]  # a stand-in
    thread = Thread(target=queue.work, args=(stop,))
    thread.start()
    try:
        yield queue
    finally:
        stop.set()
        queue.wake()
        thread.join()


def test_what_waits_is_taken_together() -> None:
    taking = Taking()
    taking.go.clear()
    with working(taking) as queue:
        first = queue.offer(many(1))
        while queue.waiting:  # the writer has it, and holds
            Event().wait(0.005)
        others = [queue.offer([one]) for one in many(20)[1:]]
        assert len(others) == 19
        taking.go.set()
        for done in (first, *others):
            done.result(20)

    assert taking.batches == [1, 19]


def test_a_delivery_that_is_no_news_is_done_at_once_and_counted() -> None:
    taking = Taking()
    with working(taking) as queue:
        queue.offer(many(2)).result(20)
        taking.go.clear()
        assert queue.offer(many(2)).done()
        assert queue.offer(many(1)).done()
        assert not queue.offer([resolved(many(1)[0])]).done()
        taking.go.set()
    with working(taking):
        pass

    first, second = many(2)
    assert taking.counts == [{first.key: 2, second.key: 1}]


def test_after_its_end_nothing_about_an_alert_is_news() -> None:
    with working(Taking()) as queue:
        queue.offer([resolved(many(1)[0])]).result(20)

        assert queue.offer(many(1)).done()
        assert queue.offer([resolved(many(1)[0])]).done()


def test_too_much_is_refused_and_what_was_there_before_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake_queue, "MOST_WAITING", 3)
    taking = Taking()
    taking.go.clear()
    with working(taking) as queue:
        first = queue.offer(many(1))
        while queue.waiting:
            Event().wait(0.005)
        waiting = queue.offer(many(4)[1:])
        with pytest.raises(StateUnusable, match="Too many alerts wait"):
            queue.offer(many(5)[4:])
        taking.go.set()
        first.result(20)
        waiting.result(20)

    assert taking.batches == [1, 3]


def test_what_waits_at_the_end_is_taken_and_nothing_after_it() -> None:
    taking = Taking()
    taking.go.clear()
    with working(taking) as queue:
        waiting = queue.offer(many(1))
        taking.go.set()
    assert waiting.result(20) is None
    with pytest.raises(StateUnusable, match="being stopped"):
        queue.offer(many(3)[2:])


@pytest.mark.parametrize("error", [StateUnusable("full"), ZeroDivisionError("x")])
def test_whatever_goes_wrong_is_told_to_whoever_waits_and_the_next_is_taken(error: Exception) -> None:
    taking = Taking()
    taking.error = error
    with working(taking) as queue:
        with pytest.raises(RemediateError) as told:
            queue.offer(many(1)).result(20)
        taking.error = None
        queue.offer(many(1)).result(20)

    assert isinstance(told.value, StateUnusable if isinstance(error, StateUnusable) else EngineFailure)


class Source:
    """A source that can be asked back."""

    def __init__(self, *answers: Sequence[Alert] | RemediateError) -> None:
        self._answers = list(answers)

    def alerts(self) -> tuple[Alert, ...]:
        answer = self._answers.pop(0)
        if isinstance(answer, RemediateError):
            raise answer
        return tuple(answer)


@contextmanager
def recalling(
    joined: Ports, sources: dict[str, AlertSource], staff: Staff | None = None
) -> Iterator[tuple[Recall, list[RemediateError]]]:
    told: list[RemediateError] = []
    with working(made(joined)) as queue:
        yield Recall(joined, sources, queue, IncidentDesk(joined, staff or Staff()), told.append), told


def ask(recall: Recall, left_out: int, source: str = "main") -> None:
    """Ask once, in this thread."""
    recall._try(source, left_out)


def test_alerts_that_were_left_out_are_fetched_and_start_what_they_would_have_started() -> None:
    joined = twins()
    with recalling(joined, {"main": Source(many(3))}) as (recall, told):
        ask(recall, 2)

    assert len(joined.store.runs(limit=10)) == 3
    assert told == []
    assert joined.approvals.incidents() == ()


def test_where_they_cannot_be_fetched_one_incident_stands_until_they_are() -> None:
    joined, down = twins(), EngineFailure("it does not answer")
    with recalling(joined, {"main": Source(down, down, many(3))}) as (recall, told):
        ask(recall, 7)
        ask(recall, 9)
        (incident,) = joined.approvals.incidents()
        ask(recall, 9)

    assert incident.title == "7 alerts of the source main are not known here"
    assert "it does not answer" in incident.note
    assert told == [down, down]
    assert joined.approvals.incidents() == ()


def test_for_an_incident_without_a_run_people_are_called_and_silence_climbs() -> None:
    clock = FrozenClock()
    joined, company = ports(executor=FakeExecutor(list(HOSTS)), clock=clock), Company()
    with recalling(joined, {"main": Source(EngineFailure("it does not answer"))}, company.staff()) as (recall, _):
        ask(recall, 7)
    (incident,) = joined.approvals.incidents()
    heard = [company.heard(f"called for {incident.id}")]
    desk = IncidentDesk(joined, company.staff())
    # SEV2: half an hour, then two hours.
    for later in (timedelta(minutes=29), timedelta(minutes=1), timedelta(hours=2)):
        clock.fast_forward(later)
        desk.look(clock.now())
        heard.append(company.heard(f"called for {incident.id}"))

    assert heard == [["nadia"], ["nadia"], ["nadia", "lena", "mara"], ["nadia", "lena", "mara", "max"]]
    assert all("it does not answer" in note or note == "nobody has taken it on" for _, _, note in company.told)


def test_a_source_that_cannot_be_asked_is_an_incident_that_says_what_to_set() -> None:
    joined = twins()
    with recalling(joined, {}) as (recall, _):
        ask(recall, 7)

    assert "set sources.main.url in remediate.yml" in joined.approvals.incidents()[0].note


def test_that_nothing_could_be_asked_at_the_start_is_told_and_no_incident() -> None:
    joined, down = twins(), EngineFailure("it does not answer")
    with recalling(joined, {"main": Source(down)}) as (recall, told):
        ask(recall, 0)

    assert told == [down]
    assert joined.approvals.incidents() == ()


def test_what_is_due_is_asked_by_its_thread_and_every_source_at_the_start() -> None:
    joined, stop = twins(), Event()
    other = alert(fingerprint="0d", source="twin")
    with recalling(joined, {"main": Source(many(1), many(2)), "twin": Source([other])}) as (recall, _):
        recall.ask_all()
        recall.ask("main", 1)
        worker = Thread(target=recall.work, args=(stop,))
        worker.start()
        while len(joined.alerts.alerts()) < 2:
            Event().wait(0.005)
        stop.set()
        recall.wake()
        worker.join()

    assert {one.alert.source for one in joined.alerts.alerts()} == {"main", "twin"}
