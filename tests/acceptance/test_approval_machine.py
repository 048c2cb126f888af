"""People, time, crashes and changes in any order: whatever happens, what must hold, holds."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from threading import Event
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from remediate.domain.approval import Answer
from remediate.domain.people import Person
from remediate.domain.report import Action, Finding, Undo, Verdict
from remediate.domain.run import Origin, Run, RunStatus, StartedBy
from remediate.domain.runbook import Phase
from remediate.domain.switch import PAUSE, Switch
from remediate.engine import remediation
from remediate.engine.executor_ports import PhaseRequest
from remediate.engine.watch import Watch
from remediate.errors import RemediateError
from remediate.testing import MemoryApprovals, MemoryStore
from tests.acceptance.conftest import CASES, World
from tests.acceptance.family import DOOR, DRAIN, FAMILIES, diagnoses, found
from tests.acceptance.staff import EVERYBODY, Company, principal
from tests.acceptance.test_recovery import Killed
from tests.acceptance.test_walks import BOOK, DUST, TOY, scripted
from tests.builders import action, finding, snapshot, tidy
from tests.invariants import check_invariants

PAPERS = action("/shelf/papers", "fire", Undo.NONE)
HEIRLOOM = action("/shelf/heirloom", "heirloom")
HOSTS = st.sampled_from(["near", "far"])
PEOPLE = st.sampled_from(EVERYBODY)
TROUBLES = ["kill", "well", "content", "person", "pause", "resume", "restart", "jump"]


class Days(RuleBasedStateMachine):
    """Days at a site where anything may happen."""

    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        # The same story has the same run ids, or it could not be told again.
        self.ids = mock.patch.object(
            remediation, "_suffix", side_effect=(f"{number:04d}" for number in itertools.count())
        )
        self.ids.start()
        self.world = World(MemoryStore(), MemoryApprovals())
        self.world.content = (CASES, FAMILIES)
        self.company = Company()
        self.world.staff = self.company.staff()
        self.restart()
        self.seen = 0

    def teardown(self) -> None:
        self.ids.stop()

    def restart(self) -> None:
        self.world.engine = self.world.another_process()
        self.watch = Watch(self.world.ports, self.world.engine)

    @rule(
        target=runs,
        host=HOSTS,
        ill=st.sampled_from([DUST, TOY, BOOK, PAPERS, HEIRLOOM]),
        verdict=st.sampled_from([Verdict.CURED, Verdict.CURED, *Verdict]),
        by=st.sampled_from(["nadia", "lena", "chloe", "robot"]),
        started_by=st.sampled_from([StartedBy.PERSON, *StartedBy]),
        carrier=st.sampled_from(["command", "service"]),
        says=st.sampled_from([True, False, None]),
    )
    def asks_for_a_run(
        self,
        host: str,
        ill: Action,
        verdict: Verdict,
        by: str,
        started_by: StartedBy,
        carrier: str,
        says: bool | None,
    ) -> str:
        scripted(self.world, ill, host=host, verdicts=(verdict,))
        origin = Origin.model_validate({"requested_by": by, "started_by": started_by, "carrier": carrier})
        run = self.world.engine.request("tidy-shelf", hosts=[host], parameters={}, origin=origin)
        if carrier == "command":
            self._carries(lambda: self.world.carry(run, ask=lambda _plan: says))
        return run.id

    @rule(
        target=runs,
        host=HOSTS,
        ill=st.sampled_from([DUST, TOY, BOOK]),
        verdict=st.sampled_from([Verdict.CURED, Verdict.CURED, *Verdict]),
        then=st.sampled_from([tidy(), tidy(), found("untidy"), found("flooded"), found(actions=(DOOR,))]),
        below=st.sampled_from([tidy(), found("upstairs"), found("attic"), finding(DRAIN)]),
        carrier=st.sampled_from(["command", "service"]),
        says=st.sampled_from([True, False, None]),
    )
    def asks_for_a_run_that_is_handed_over(
        self, host: str, ill: Action, verdict: Verdict, then: Finding, below: Finding, carrier: str, says: bool | None
    ) -> str:
        scripted(self.world, ill, host=host, verdicts=(verdict,))
        diagnoses(self.world, "mend-house", found("untidy"), then, host=host)
        diagnoses(self.world, "pump-cellar", below, tidy(), host=host)
        self.world.executor.says(host, Phase.DIAGNOSE, tidy(), runbook="air-attic")
        for runbook, act in (("mend-house", DOOR), ("pump-cellar", DRAIN)):
            self.world.executor.says(host, Phase.SNAPSHOT, snapshot(act), runbook=runbook)
        origin = Origin.model_validate({"requested_by": "nadia", "carrier": carrier})
        run = self.world.engine.request("mend-house", hosts=[host], parameters={}, origin=origin)
        if carrier == "command":
            self._carries(lambda: self.world.carry(run, ask=lambda _plan: says))
        return run.id

    @rule(run=runs)
    def somebody_cancels_it(self, run: str) -> None:
        self._carries(lambda: self.world.engine.ask_to_stop(self.world.store.run(run), "omar"))

    @rule()
    def somebody_goes_on_with_a_family(self) -> None:
        for run in self.world.engine.left_alone():
            self._carries(partial(self._resumes, run))

    def _resumes(self, run: Run) -> None:
        self.world.carry(self.world.engine.resumable(run))

    def waiting(self) -> tuple[Run, ...]:
        return self.world.store.runs(limit=1000, statuses={RunStatus.WAITING_APPROVAL})

    @rule(minutes=st.sampled_from([1, 5, 16, 61, 240, 1500]))
    def time_passes(self, minutes: int) -> None:
        self.world.clock.fast_forward(timedelta(minutes=minutes))

    @precondition(lambda self: self.waiting())
    @rule(which=st.integers(0, 5), person=PEOPLE, answer=st.sampled_from([Answer.APPROVED, *Answer]))
    def somebody_answers(self, which: int, person: Person, answer: Answer) -> None:
        waiting = self.waiting()
        with suppress(RemediateError):
            run = waiting[which % len(waiting)]
            self.world.engine.approvals.answer(run.id, principal(person), answer, "as I see it")

    @precondition(lambda self: self.waiting())
    @rule(which=st.integers(0, 5))
    def whoever_may_approves(self, which: int) -> None:
        waiting = self.waiting()
        run = waiting[which % len(waiting)]
        for person in EVERYBODY:
            with suppress(RemediateError):
                self.world.engine.approvals.answer(run.id, principal(person), Answer.APPROVED)

    @precondition(lambda self: self.world.engine.approved())
    @rule()
    def what_was_approved_is_carried(self) -> None:
        (run, *_) = self.world.engine.approved()
        self._carries(lambda: self.world.carry(run))

    @precondition(lambda self: self.waiting())
    @rule(person=PEOPLE, level=st.integers(1, 4), resolves=st.booleans())
    def it_resolves_or_somebody_escalates(self, person: Person, level: int, resolves: bool) -> None:
        run = self.waiting()[0]
        with suppress(RemediateError):
            if resolves:
                self.world.engine.approvals.withdraw(run.id, "it has resolved")
            else:
                self.world.engine.approvals.escalate(run.id, principal(person), level, "it is burning")

    @rule(everything=st.booleans())
    def the_watch_looks(self, everything: bool) -> None:
        self._carries(lambda: self.watch.look(everything=everything))

    @rule(run=runs)
    def somebody_carries_it_on(self, run: str) -> None:
        self._carries(lambda: self.world.carry(self.world.store.run(run)))

    @rule(run=runs)
    def somebody_resumes_it(self, run: str) -> None:
        def resume() -> None:
            self.world.carry(self.world.engine.request_resumption(self.world.store.run(run)))

        self._carries(resume)

    @rule(run=runs)
    def somebody_rolls_it_back(self, run: str) -> None:
        self._carries(lambda: self.world.roll_back(self.world.store.run(run)))

    @rule(
        trouble=st.sampled_from(["kill", "well", "content", "person", "pause", "resume", "restart", "jump"]),
        data=st.data(),
    )
    def there_is_trouble(self, trouble: str, data: st.DataObject) -> None:
        now = self.world.clock.now()
        match trouble:
            case "kill":
                self._kills_the_next_process(data.draw(st.sampled_from(Phase)))
            case "well":
                self.world.executor.says(data.draw(HOSTS), Phase.DIAGNOSE, tidy())
            case "content":
                self.world.executor.digests[data.draw(st.sampled_from(["content", "inventory"]))] = now.isoformat()
            case "person":
                self.company.away ^= {data.draw(st.sampled_from(["lena", "mara", "max", "chloe", "nadia"]))}
            case "pause" | "resume":
                on = trouble == "pause"
                self.world.switches.press(Switch(name=PAUSE, on=on, by="max", reason="audit", at=now))
            case "restart":
                self.restart()
                self.world.engine.recover()
            case "jump":
                self.world.clock.fast_forward(timedelta(minutes=data.draw(st.sampled_from([-30, 90]))))

    def _kills_the_next_process(self, phase: Phase) -> None:
        def happens(_request: PhaseRequest, _stop: Event) -> None:
            self.world.executor.during(phase, lambda _request, _stop: None)
            raise Killed

        self.world.executor.during(phase, happens)

    def _carries(self, work: Callable[[], object]) -> None:
        try:
            work()
        except RemediateError:
            pass  # refused, in words
        except Killed:
            self.restart()
            self.world.engine.recover()

    @invariant()
    def what_must_hold_holds(self) -> None:
        check_invariants(self.world.store, self.world.approvals, at_rest=False)

    @invariant()
    def nothing_acts_by_an_approval_of_something_else(self) -> None:
        """The content changes in a step of its own, so what acted in this step acted with what there is now."""
        requests, self.seen = self.world.executor.requests[self.seen :], len(self.world.executor.requests)
        for request in requests:
            plan = self.world.store.run(request.run_id).plan
            if request.phase is Phase.SNAPSHOT and plan:
                assert {name: plan.binds[name] for name in self.world.executor.digests} == self.world.executor.digests

    @invariant()
    def nothing_acts_while_it_waits(self) -> None:
        for run in self.world.store.runs(limit=1000, statuses={RunStatus.WAITING_APPROVAL}):
            acted = [request for request in self.world.executor.requests if request.run_id == run.id]
            assert not [
                one for one in acted if one.phase is Phase.SNAPSHOT or (one.phase is Phase.FIX and not one.check)
            ]


TestDays = Days.TestCase
TestDays.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
