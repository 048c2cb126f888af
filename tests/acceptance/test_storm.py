"""The storm policy on the record: the gate at work, two that come at once, and a week in which it rains alerts."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier, Thread

import pytest

from remediate.adapters.store.connection import open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.switches import DatabaseSwitches
from remediate.catalog.loader import Catalogue
from remediate.domain.breaker import BreakerState
from remediate.domain.freeze import Freeze
from remediate.domain.host import Host
from remediate.domain.run import Run, RunStatus, StartedBy
from remediate.domain.runbook import Severity
from remediate.domain.storm import Admitted, FleetLimit, Quota, Refusal, Rule, StormPolicy
from remediate.engine.admission import Admission
from remediate.engine.ports import Store, Switches
from remediate.engine.switchboard import Switchboard
from remediate.errors import EngineFailure, Refused, UnknownRunbook, UsageError
from remediate.testing import EPOCH, FrozenClock, MemoryStore, MemorySwitches
from tests.acceptance.conftest import CASES
from tests.builders import action, finding, plan, run, runbook
from tests.storm import DAY, HOUR, MINUTE, freeze

_S = RunStatus
TIDY = runbook().model_copy(update={"cooldown": timedelta(minutes=30), "severity": Severity.SEV2})
NOTHING = " Nothing was changed."
RESTS = "web1: tidy-shelf acted until 2026-01-05 03:00:00Z and rests 30 min"
WEB = tuple(f"web{number}" for number in range(10))


@dataclass
class Gate:
    """A site behind its storm policy."""

    store: Store
    switches: Switches
    policy: StormPolicy = field(default_factory=StormPolicy)
    freezes: tuple[Freeze, ...] = ()
    clock: FrozenClock = field(default_factory=FrozenClock)
    hosts: tuple[str, ...] = WEB
    made: int = 0

    @property
    def admission(self) -> Admission:
        known = [Host(name=host, groups=("all", "web")) for host in self.hosts]
        return Admission(self.store, self.switches, self.policy, self.freezes, self.clock, lambda: known)

    @property
    def board(self) -> Switchboard:
        return Switchboard(self.admission, self.store, self.switches, self.clock, Catalogue([CASES]))

    def check(self, *hosts: str, by: StartedBy = StartedBy.ALERT) -> Admitted | Refusal:
        return self.admission.check(run("asks", hosts=hosts, started_by=by), TIDY)

    def require(self, *hosts: str, by: StartedBy = StartedBy.ALERT, because: str = "") -> Admitted:
        return self.admission.require(run("asks", hosts=hosts, started_by=by, override_reason=because), TIDY)

    def approved(self, *hosts: str) -> Run:
        """Record a run that has come as far as its approval."""
        self.made += 1
        now = self.clock.now()
        planned = plan(0, **{host: finding(action()) for host in hosts})
        made = run(f"r{self.made}", status=_S.APPROVED, hosts=hosts, plan=planned, created_at=now, updated_at=now)
        self.store.create_run(made)
        return made

    def begin(self, made: Run, *, by: StartedBy = StartedBy.ALERT, because: str = "") -> Run:
        """Do what the walk does: the decision and the move in one transaction."""
        with self.store.together():
            asking = made.model_copy(update={"started_by": by, "override_reason": because})
            admitted = self.admission.claim(asking, TIDY)
            return self.store.move(made.id, made.status, _S.SNAPSHOTTING, admitted.note, self.clock.now())

    def end(self, moved: Run, *states: RunStatus) -> None:
        for state in states:
            moved = self.store.move(moved.id, moved.status, state, "", self.clock.now())

    def cure(self, *hosts: str) -> None:
        self.end(self.begin(self.approved(*hosts)), _S.FIXING, _S.VERIFYING, _S.SUCCEEDED)

    def fail(self, *hosts: str) -> None:
        self.end(self.begin(self.approved(*hosts)), _S.FIXING, _S.VERIFYING, _S.FAILED)


@pytest.fixture(params=["database", "memory"])
def gate(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gate]:
    if request.param == "memory":
        yield Gate(MemoryStore(), MemorySwitches())
        return
    database = open_database(tmp_path / "state")
    yield Gate(DatabaseStore(database), DatabaseSwitches(database))
    database.dispose()


def refusal(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(Refused) as refused:
        call()
    assert refused.value.exit_code == 7
    return refused.value.message, refused.value.next_step


def test_a_run_is_admitted_once_when_it_is_asked_for_and_again_when_it_begins(gate: Gate) -> None:
    assert gate.check("web1") == Admitted()
    assert gate.begin(gate.approved("web1")).status is _S.SNAPSHOTTING


def test_a_claim_outside_of_the_transaction_of_its_move_is_a_defect(gate: Gate) -> None:
    made = gate.approved("web1")

    with pytest.raises(EngineFailure):
        gate.admission.claim(made, TIDY)


def test_a_run_that_was_admitted_is_refused_later_when_the_site_was_paused_meanwhile(gate: Gate) -> None:
    made = gate.approved("web1")
    fixing = gate.begin(gate.approved("web2"))
    assert [(live.run_id, live.acting) for live in gate.board.pause("omar", "odd numbers")] == [
        ("r1", False),
        ("r2", True),
    ]

    assert refusal(lambda: gate.begin(made)) == (
        "tidy-shelf may not begin on web1 (paused): paused by omar since 2026-01-05 03:00:00Z: odd numbers." + NOTHING,
        "`remediate resume --reason TEXT` lifts the pause",
    )
    assert gate.store.run(made.id).status is _S.APPROVED
    gate.end(fixing, _S.FIXING, _S.VERIFYING, _S.SUCCEEDED)
    lifted = gate.board.resume("nadia", "they are even")
    assert lifted is not None
    assert lifted.reason == "odd numbers"
    assert gate.begin(made).status is _S.SNAPSHOTTING


def test_a_pause_that_is_not_there_is_not_lifted(gate: Gate) -> None:
    assert gate.board.resume("omar", "why not") is None
    gate.board.pause("omar", "x")
    gate.board.resume("omar", "x")
    assert gate.board.resume("omar", "x") is None


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_switch_is_not_pressed_without_a_reason(gate: Gate, reason: str) -> None:
    with pytest.raises(UsageError, match="A reason is wanted"):
        gate.board.pause("omar", reason)
    assert gate.switches.switches() == ()


def test_each_refusal_says_the_rule_the_host_the_numbers_the_end_and_what_to_type(gate: Gate) -> None:
    gate.cure("web1")
    assert refusal(lambda: gate.require("web1")) == (
        f"tidy-shelf may not begin on web1 (cooldown): {RESTS}; until 2026-01-05 03:30:00Z." + NOTHING,
        "wait, see `remediate storm`; a person may add --override-storm --reason TEXT",
    )
    acting = gate.begin(gate.approved("web2"))
    assert refusal(lambda: gate.require("web2"))[1] == f"watch it with `remediate runs show {acting.id}`"
    gate.policy = StormPolicy(fleet=FleetLimit(percent=0))
    assert "(fleet): 2 hosts of the group all would be" in refusal(lambda: gate.require("web3"))[0]
    gate.end(acting, _S.CANCELED)
    many = gate.approved("web3", "web4")
    assert refusal(lambda: gate.begin(many))[1].startswith("name fewer hosts at once with --limit")
    gate.freezes = (freeze(hard=True),)
    message, next_step = refusal(lambda: gate.require("web5"))
    assert "(freeze): sale (hard): people buy things; until 2026-01-05 04:00:00Z. Nothing was changed." in message
    assert next_step == "wait, see `remediate storm`"


def test_what_comes_back_again_and_again_calls_a_human(gate: Gate) -> None:
    for _ in range(3):
        gate.cure("web1")
        gate.clock.fast_forward(2 * HOUR)

    message, next_step = refusal(lambda: gate.require("web1"))
    assert "(recurrence)" in message
    assert next_step.startswith("a human has to find out what brings it back: `remediate runs --runbook tidy-shelf`")


def test_an_open_breaker_says_how_to_close_it_and_a_person_closes_it(gate: Gate) -> None:
    for host in ("web1", "web2", "web3"):
        gate.fail(host)
        gate.clock.fast_forward(MINUTE)
    message, next_step = refusal(lambda: gate.require("web4"))

    assert "(breaker): the last 3 ends of tidy-shelf in a row were not cured; until 2026-01-05 15:02:00Z" in message
    assert "`remediate resume --breaker tidy-shelf --reason TEXT` lets it pass again" in next_step
    assert gate.board.close_breaker("tidy-shelf", "omar", "the shelf was locked").state is BreakerState.OPEN
    assert gate.check("web4") == Admitted()
    assert gate.board.close_breaker("tidy-shelf", "omar", "again").state is BreakerState.CLOSED
    assert [pressed.reason for pressed in gate.switches.switches()] == ["the shelf was locked"]
    with pytest.raises(UnknownRunbook):
        gate.board.close_breaker("tidy-shlef", "omar", "x")


def test_an_overridden_rule_stands_in_the_history_of_the_run(gate: Gate) -> None:
    gate.cure("web1")
    gate.begin(gate.approved("web1"), by=StartedBy.PERSON, because="I watch it")

    assert gate.store.transitions("r2")[-1].reason == (
        f"STORM POLICY OVERRIDDEN, because: I watch it (cooldown: {RESTS})"
    )


def test_a_plan_that_was_only_asked_for_stands_in_nobodys_way(gate: Gate) -> None:
    gate.store.create_run(run("looks", check=True, status=_S.PLANNED, hosts=("web1",)))

    assert gate.check("web1") == Admitted()


def test_a_run_that_is_recorded_before_it_asks_does_not_stand_in_its_own_way(gate: Gate) -> None:
    made = gate.approved("web1")

    def check(run_id: str) -> Admitted | Refusal:
        asking = made.model_copy(update={"id": run_id, "started_by": StartedBy.ALERT})
        return gate.admission.check(asking, TIDY)

    assert check(made.id) == Admitted()
    assert isinstance(check("another"), Refusal)


def test_two_approved_runs_of_one_runbook_on_one_host_do_not_keep_each_other_from_acting(gate: Gate) -> None:
    first, second = gate.approved("web1"), gate.approved("web1")
    gate.begin(first)

    assert f"web1: run {first.id} of tidy-shelf is snapshotting" in refusal(lambda: gate.begin(second))[0]


def test_the_position_of_every_rule_is_told(gate: Gate) -> None:
    gate.fail("web1")
    gate.clock.fast_forward(MINUTE)
    gate.freezes = (freeze("move", EPOCH + DAY, groups=("wbe",)),)
    gate.cure("web2")
    acting = gate.begin(gate.approved("web3"))
    gate.board.pause("omar", "odd")
    found = gate.board.position()

    assert found.pause is not None
    assert [(entry.name, entry.now, entry.unknown_groups) for entry in found.freezes] == [("move", None, ("wbe",))]
    assert found.freezes[0].next is not None
    assert found.acting == (acting.id,)
    assert [(entry.host, entry.until) for entry in found.cooldowns] == [
        ("web1", EPOCH + 30 * MINUTE),
        ("web2", EPOCH + 31 * MINUTE),
    ]
    assert [(entry.host, entry.used, entry.most) for entry in found.attempts] == [
        ("web1", 1, 3),
        ("web2", 1, 3),
        ("web3", 1, 3),
    ]
    assert [(entry.host, entry.free_at) for entry in found.recurrences] == [("web2", EPOCH + MINUTE + DAY)]
    assert [(entry.group, entry.size, entry.room, entry.hosts) for entry in found.fleet] == [
        ("all", 10, 2, ("web3",)),
        ("web", 10, 2, ("web3",)),
    ]
    assert found.breakers == ()
    assert found.budget is not None
    assert (found.budget.used, found.budget.free_at) == (3, EPOCH + HOUR)


@pytest.mark.parametrize(
    ("policy", "hosts"),
    [
        (StormPolicy(fleet=FleetLimit(percent=0)), ("web1", "web2")),
        (StormPolicy(attempts=Quota(most=1, within=HOUR), fleet=FleetLimit(hosts=9)), ("web1", "web1")),
        (StormPolicy(budget=Quota(most=1, within=HOUR), fleet=FleetLimit(hosts=9)), ("web1", "web2")),
    ],
    ids=["fleet", "attempts", "budget"],
)
def test_of_two_that_come_at_the_same_instant_exactly_one_is_admitted(
    tmp_path: Path, policy: StormPolicy, hosts: tuple[str, str]
) -> None:
    database = open_database(tmp_path / "state")
    for round_ in range(10):
        gate = Gate(DatabaseStore(database), DatabaseSwitches(database), policy, made=2 * round_)
        gate.clock.fast_forward(round_ * DAY)
        runs = [gate.approved(host) for host in hosts]
        admitted, refused = at_once(gate.begin, runs)

        assert (len(admitted), len(refused)) == (1, 1)
        assert [live.run_id for live in gate.store.live({_S.SNAPSHOTTING})] == [admitted[0].id]
        gate.end(admitted[0], _S.FIXING, _S.VERIFYING, _S.SUCCEEDED)
    database.dispose()


def at_once(begin: Callable[[Run], Run], runs: Sequence[Run]) -> tuple[list[Run], list[Refused]]:
    """Begin runs from threads that start together; return those that were admitted, and the refusals."""
    barrier = Barrier(len(runs))
    admitted: list[Run] = []
    refused: list[Refused] = []

    def body(made: Run) -> None:
        barrier.wait()
        try:
            admitted.append(begin(made))
        except Refused as refusal:
            refused.append(refusal)

    threads = [Thread(target=body, args=(made,)) for made in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return admitted, refused


def test_of_a_thousand_alerts_in_one_burst_only_as_many_runs_begin_as_may(gate: Gate) -> None:
    begun = []
    for number in range(1000):
        host = WEB[number % len(WEB)]
        if isinstance(gate.check(host), Admitted):
            begun.append(gate.begin(gate.approved(host)))

    assert [made.hosts for made in begun] == [("web0",), ("web1",)]
    assert len(gate.store.attempts(EPOCH)) == 2


class Rain:
    """A week of alerts: every half hour some hosts are ill, and some of them again and again."""

    def __init__(self, gate: Gate, seed: int) -> None:
        self.gate = gate
        self.random = random.Random(seed)  # noqa: S311  # a story, not a secret
        self.acting: list[tuple[datetime, Run]] = []
        self.most_at_once = 0
        self.refusals: dict[Rule, int] = {}

    def week(self) -> None:
        while self.gate.clock.now() < EPOCH + 7 * DAY:
            for _ in range(3):
                self.alert(self.random.choice(WEB))
            self.gate.clock.fast_forward(30 * MINUTE)
            self.let_runs_end()

    def alert(self, host: str) -> None:
        answer = self.gate.check(host)
        if isinstance(answer, Refusal):
            self.refusals[answer.rule] = self.refusals.get(answer.rule, 0) + 1
            return
        begun = self.gate.begin(self.gate.approved(host))
        self.acting.append((self.gate.clock.now() + self.random.choice([5, 20, 40]) * MINUTE, begun))
        self.most_at_once = max(self.most_at_once, len(self.acting))

    def let_runs_end(self) -> None:
        due = [(when, begun) for when, begun in self.acting if when <= self.gate.clock.now()]
        for when, begun in due:
            self.acting.remove((when, begun))
            end = self.random.choices([_S.SUCCEEDED, _S.FAILED, _S.UNPROVEN], [6, 3, 1])[0]
            self.gate.end(begun, _S.FIXING, _S.VERIFYING, end)


@pytest.mark.parametrize("seed", [1, 2])
def test_in_a_week_of_alerts_no_rule_is_ever_broken_and_hosts_are_cured_all_the_same(seed: int) -> None:
    gate = Gate(MemoryStore(), MemorySwitches(), StormPolicy(budget=Quota(most=4, within=HOUR)))
    rain = Rain(gate, seed)
    rain.week()
    made = gate.store.attempts(EPOCH)

    assert rain.most_at_once == gate.policy.fleet.room(len(WEB)) == 2
    assert most_within(HOUR, [attempt.began_at for attempt in made]) <= 4
    for host in WEB:
        mine = [attempt for attempt in made if host in attempt.hosts]
        ends = [attempt.ended_at for attempt in mine if attempt.ended_at]
        cures = [attempt.began_at for attempt in mine if attempt.status is _S.SUCCEEDED]
        assert most_within(HOUR, [attempt.began_at for attempt in mine]) <= 3
        assert most_within(DAY, cures) <= 3
        for later, end in zip(mine[1:], ends, strict=False):
            assert later.began_at >= end + TIDY.cooldown
    for index in range(3, len(made)):
        if not any(attempt.status is _S.SUCCEEDED for attempt in made[index - 3 : index]):
            last = max(attempt.ended_at for attempt in made[index - 3 : index] if attempt.ended_at)
            overlapping = made[index].began_at < last
            assert overlapping or made[index].began_at >= last + gate.policy.breaker.cool
    assert len([attempt for attempt in made if attempt.status is _S.SUCCEEDED]) > 50
    assert {Rule.COOLDOWN, Rule.RECURRENCE, Rule.BREAKER} <= set(rain.refusals)


def most_within(span: timedelta, moments: list[datetime]) -> int:
    """Return the most moments that any window of this length holds."""
    return max(sum(start <= other < start + span for other in moments) for start in moments) if moments else 0
