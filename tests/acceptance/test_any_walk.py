"""Whatever hosts answer, whoever is asked and whenever it is stopped: what must hold, holds."""

from __future__ import annotations

from threading import Event

from hypothesis import given
from hypothesis import strategies as st

from remediate.domain.plan import Plan
from remediate.domain.report import Undo, Verdict
from remediate.domain.run import OWNED, PhaseOutcome, RunStatus
from remediate.domain.runbook import Phase
from remediate.engine.executor_ports import PhaseRequest
from remediate.errors import IllegalTransition, RemediateError
from remediate.testing import Answer, MemoryApprovals, MemoryStore, Silence
from tests.acceptance.conftest import World
from tests.builders import action, finding, fixed, put_back, put_nothing_back, snapshot, tidy, verified
from tests.invariants import check_invariants

SILENCES = st.sampled_from([outcome for outcome in PhaseOutcome if outcome is not PhaseOutcome.OK]).map(Silence)
ACTIONS = st.lists(
    st.builds(
        action,
        st.sampled_from(["/shelf/a", "/shelf/b"]),
        st.sampled_from(["dust", "clutter", "archive", "fire"]),
        st.sampled_from(Undo),
    ),
    max_size=2,
)
VERIFICATIONS = st.sampled_from(Verdict).map(verified) | SILENCES
ANSWERS: dict[Phase, st.SearchStrategy[Answer]] = {
    Phase.DIAGNOSE: ACTIONS.map(lambda actions: finding(*actions)) | st.just(tidy()) | SILENCES,
    Phase.SNAPSHOT: ACTIONS.map(lambda actions: snapshot(*actions)) | SILENCES,
    Phase.FIX: st.just(fixed()) | SILENCES,
    Phase.ROLLBACK: st.just(put_back("/shelf/a")) | st.just(put_nothing_back("/shelf/a", "newer")) | SILENCES,
}
NEVER = st.just(99)


@given(data=st.data())
def test_any_walk_ends_in_a_state_that_the_design_names_and_keeps_what_must_hold(data: st.DataObject) -> None:
    world = World(MemoryStore(), MemoryApprovals())
    for host in ("near", "far"):
        for phase, answers in ANSWERS.items():
            world.executor.says(host, phase, data.draw(answers))
        world.executor.says(host, Phase.VERIFY, *data.draw(st.lists(VERIFICATIONS, min_size=1, max_size=3)))
        world.executor.says(host, Phase.FIX, data.draw(st.just(fixed()) | SILENCES), check=True)
    answer = data.draw(st.sampled_from([True, False, None]))
    stop_after = data.draw(NEVER | st.integers(1, 8))

    def happens(request: PhaseRequest, _stop: Event) -> None:
        if len(world.executor.requests) == stop_after:
            world.engine.cancel(request.run_id)

    for phase in Phase:
        world.executor.during(phase, happens)
    asked: list[Plan] = []

    def ask(plan: Plan) -> bool | None:
        asked.append(plan)
        return answer

    run = world.walk("near", "far", ask=ask)
    check_invariants(world.store, world.approvals)

    assert run.status not in OWNED
    assert [plan.level for plan in asked] in ([], [1]), "somebody was asked who may not decide"
    acted = "fix" in world.executor.walked
    assert not (acted and run.plan and run.plan.level > 1), "a plan was carried out that somebody else had to approve"
    assert not (acted and asked and answer is not True), "a plan was carried out that nobody agreed to"
    assert acted or run.exit_code != 1
    try:
        back = world.roll_back(run)
    except IllegalTransition:
        assert not acted
    except RemediateError as error:
        raise AssertionError(f"a rollback broke: {error}") from error
    else:
        assert acted
        assert back.status in {RunStatus.ROLLED_BACK, RunStatus.ROLLBACK_FAILED}
    check_invariants(world.store, world.approvals)
