from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.domain.approval import (
    TERMINAL,
    Answer,
    ApprovalDecision,
    Asking,
    Consent,
    LevelRule,
    RequiredLevel,
    consent,
    may_answer,
    needed_permission,
    raised,
    required_level,
    tally,
)
from remediate.domain.identity import Permission, Principal
from remediate.domain.people import Person
from remediate.domain.report import Undo
from remediate.domain.runbook import Cause, Effect, Rollback
from remediate.testing import EPOCH
from tests.builders import action, cause, decision, finding, person, request


def named(*causes: Cause) -> Mapping[str, Cause]:
    return {entry.id: entry for entry in causes}


def test_without_an_action_nobody_has_to_approve() -> None:
    assert required_level(named(cause(approval=4)), [finding()]) == RequiredLevel(level=0, reasons=())


@pytest.mark.parametrize("level", [0, 1, 2, 3, 4])
def test_a_single_cause_asks_for_its_own_level(level: int) -> None:
    required = required_level(named(cause(approval=level)), [finding(action())])

    assert required == RequiredLevel(level=level, reasons=(f"dust asks for level {level}",))


def test_the_highest_level_of_all_causes_on_all_hosts_counts() -> None:
    causes = named(cause("dust", 0), cause("clutter", 1), cause("archive", 2))
    findings = [finding(action(cause_id="clutter"), action()), finding(action(cause_id="archive"))]

    assert required_level(causes, findings) == RequiredLevel(level=2, reasons=("archive asks for level 2",))


def test_a_cause_that_was_found_but_does_nothing_asks_for_nothing() -> None:
    causes = named(cause("dust", 0), cause("archive", 3))

    assert required_level(causes, [finding(action())]).level == 0


def test_causes_of_the_same_level_are_all_named() -> None:
    causes = named(cause("dust", 1), cause("clutter", 1))
    required = required_level(causes, [finding(action(), action(cause_id="clutter"))])

    assert required.reasons == ("dust asks for level 1", "clutter asks for level 1")


def test_a_cause_that_cannot_be_undone_asks_one_level_higher() -> None:
    burning = cause("fire", 1, rollback=Rollback.NONE, rollback_reason="burnt paper stays burnt")
    required = required_level(named(burning), [finding(action(cause_id="fire"))])

    assert required == RequiredLevel(
        level=2, reasons=("fire asks for level 1", "fire cannot be undone: burnt paper stays burnt")
    )


def test_an_action_with_nowhere_to_hold_what_it_takes_asks_one_level_higher() -> None:
    required = required_level(named(cause()), [finding(action(), action("/shelf/book", undo=Undo.NONE))])

    assert required == RequiredLevel(
        level=1, reasons=("dust asks for level 0", "dust cannot be undone: there is nowhere to hold what it takes")
    )


def test_an_action_by_which_nothing_is_lost_raises_nothing() -> None:
    assert required_level(named(cause()), [finding(action(undo=Undo.NOT_NEEDED))]).level == 0


@pytest.mark.parametrize(
    ("effect", "level"),
    [
        (Effect.RESTART, 0),
        (Effect.TRAFFIC, 0),
        (Effect.ACCESS, 2),
        (Effect.DATA_LOSS, 3),
        (Effect.DATA_DISCLOSURE, 3),
    ],
)
def test_an_effect_has_a_least_level(effect: Effect, level: int) -> None:
    assert required_level(named(cause(effects=(effect,))), [finding(action())]).level == level


def test_an_effect_never_lowers_a_level() -> None:
    assert required_level(named(cause(approval=4, effects=(Effect.ACCESS,))), [finding(action())]).level == 4


def test_no_level_is_above_the_highest() -> None:
    worst = cause(approval=4, effects=tuple(Effect), rollback=Rollback.NONE, rollback_reason="gone")

    assert required_level(named(worst), [finding(action(undo=Undo.NONE))]).level == 4


@pytest.mark.parametrize(
    ("level", "answer"),
    [(0, Consent.NOT_NEEDED), (1, Consent.ASK), (2, Consent.WAIT), (3, Consent.WAIT), (4, Consent.WAIT)],
)
def test_only_level_one_is_approved_by_whoever_typed_the_command(level: int, answer: Consent) -> None:
    assert consent(level) is answer


@pytest.mark.parametrize(
    ("people", "requester_level", "answer"),
    [(2, 1, Consent.WAIT), (1, 0, Consent.WAIT), (1, 4, Consent.ASK)],
)
def test_level_one_is_not_approved_by_whoever_typed_it_where_two_are_needed_or_they_have_no_level(
    people: int, requester_level: int, answer: Consent
) -> None:
    assert consent(1, people=people, requester_level=requester_level) is answer


def test_the_greatest_number_of_people_that_any_acting_cause_asks_for_is_needed() -> None:
    causes = named(cause("dust", 1, approvers=3), cause("archive", 2), cause("fire", 2, approvers=5))
    required = required_level(causes, [finding(action(), action(cause_id="archive"))])

    assert (required.level, required.people) == (2, 3)
    assert required.reasons == ("archive asks for level 2", "dust asks for 3 people")


def rule(level: int, *groups: str, runbook: str = "tidy-shelf", reason: str = "it earns the money") -> LevelRule:
    return LevelRule(runbook=runbook, groups=groups, level=level, reason=reason)


ASKED = RequiredLevel(level=1, people=2, reasons=("dust asks for level 1",))


def test_a_rule_of_the_site_raises_the_level_and_says_why() -> None:
    assert raised(ASKED, "tidy-shelf", {"all", "web"}, [rule(2, "web")]) == RequiredLevel(
        level=2, people=2, reasons=("dust asks for level 1", "this site asks for level 2: it earns the money")
    )


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [rule(1)],
        [rule(3, runbook="disk-full")],
        [rule(3, "db")],
        [rule(3, "we"), rule(3, "web1")],
    ],
)
def test_a_rule_that_is_lower_or_about_something_else_changes_nothing(rules: list[LevelRule]) -> None:
    assert raised(ASKED, "tidy-shelf", {"all", "web"}, rules) == ASKED


def test_the_highest_of_several_rules_holds_and_only_its_reasons_are_named() -> None:
    rules = [rule(2, reason="a"), rule(4, "db", "web", reason="b"), rule(4, "all", reason="c"), rule(3, reason="d")]
    found = raised(ASKED, "tidy-shelf", {"all", "web"}, rules)

    assert found.level == 4
    assert found.reasons[1:] == ("this site asks for level 4: b", "this site asks for level 4: c")


def test_a_rule_without_groups_holds_on_hosts_that_are_in_none() -> None:
    assert raised(ASKED, "tidy-shelf", (), [rule(2)]).level == 2
    assert raised(ASKED, "tidy-shelf", (), [rule(2, "web")]).level == 1


GROUPS = st.sets(st.sampled_from(["all", "web", "db"]))


@given(
    level=st.integers(0, 4),
    groups=GROUPS,
    rules=st.lists(
        st.builds(
            LevelRule,
            runbook=st.sampled_from(["tidy-shelf", "disk-full"]),
            groups=GROUPS.map(tuple),
            level=st.integers(1, 4),
            reason=st.just("so"),
        )
    ),
)
def test_no_rule_ever_lowers_a_level(level: int, groups: set[str], rules: list[LevelRule]) -> None:
    required = RequiredLevel(level=level, reasons=())
    found = raised(required, "tidy-shelf", groups, rules)

    assert level <= found.level <= max([level, *(one.level for one in rules)])


NADIA, OMAR, LENA, MAX = person("nadia", 1), person("omar", 1), person("lena", 2), person("max", 3)
ZOE, ROBOT = person("zoe", 0), person("robot", 4, service=True)
LATE = EPOCH + timedelta(hours=24)

YES, NO, OVERRIDE = Answer.APPROVED, Answer.REJECTED, Answer.OVERRIDDEN
LOW = "it asks for level 2, and {0} has level {1}"
OWN = "nadia has asked for it, and whoever asks does not approve"


@pytest.mark.parametrize(
    ("who", "answer", "level", "people", "why"),
    [
        # The level of the request or a higher one is enough, a lower one is not.
        (LENA, YES, 2, 1, ""),
        (MAX, YES, 2, 1, ""),
        (OMAR, YES, 2, 1, LOW.format("omar", 1)),
        (ZOE, YES, 2, 1, LOW.format("zoe", 0)),
        (LENA, NO, 2, 1, ""),
        (OMAR, NO, 2, 1, LOW.format("omar", 1)),
        (OMAR, YES, 1, 1, ""),
        (ZOE, YES, 1, 1, "it asks for level 1, and zoe has level 0"),
        # Whoever asks does not approve, but at level 1 alone; they may take it back.
        (NADIA, YES, 1, 1, ""),
        (NADIA, YES, 1, 2, OWN),
        (NADIA, NO, 2, 1, ""),
        (NADIA, NO, 4, 1, ""),
        # An override needs a level, whichever; whoever asks may be one of the two.
        (NADIA, OVERRIDE, 4, 1, ""),
        (OMAR, OVERRIDE, 4, 1, ""),
        (ZOE, OVERRIDE, 2, 1, "zoe has no level, and an override needs one"),
        # A service account decides nothing, whatever its level says.
        (ROBOT, YES, 2, 1, "robot is a service account, and those decide nothing"),
        (ROBOT, NO, 2, 1, "robot is a service account, and those decide nothing"),
        (ROBOT, OVERRIDE, 2, 1, "robot is a service account, and those decide nothing"),
    ],
    ids=lambda value: value.id if isinstance(value, Person) else str(value)[:24],
)
def test_who_may_answer_what(who: Person, answer: Answer, level: int, people: int, why: str) -> None:
    assert may_answer(request(level=level, people=people), who, answer, (), EPOCH) == why


@pytest.mark.parametrize("level", [2, 3, 4])
def test_whoever_asks_does_not_approve_above_level_one_however_high_they_are(level: int) -> None:
    asker = person("nadia", 4)

    assert may_answer(request(level=level), asker, YES, (), EPOCH) == OWN


@pytest.mark.parametrize("state", [one for one in Asking if one is not Asking.OPEN])
@pytest.mark.parametrize("answer", Answer)
def test_nobody_answers_to_what_is_closed(state: Asking, answer: Answer) -> None:
    assert may_answer(request(state=state), MAX, answer, (), EPOCH) == f"it was {state.value} already"


def test_the_time_of_a_request_is_over_to_the_second() -> None:
    assert may_answer(request(), LENA, YES, (), LATE - timedelta(seconds=1)) == ""
    assert may_answer(request(), LENA, YES, (), LATE) == "its time is over"


@pytest.mark.parametrize("answer", Answer)
def test_nobody_answers_twice_by_whatever_way_they_come(answer: Answer) -> None:
    before = decision("lena", YES, channel="os-user:lena")

    assert may_answer(request(people=2), LENA, answer, [before], EPOCH) == "lena has answered already"


def test_an_answer_to_another_plan_of_the_run_does_not_stand_in_the_way() -> None:
    assert may_answer(request(), LENA, YES, [decision("lena", digest="e" * 64)], EPOCH) == ""


@pytest.mark.parametrize(
    ("given", "people", "state", "reason"),
    [
        ([], 1, Asking.OPEN, "0 of 1 approvals of level 2"),
        ([decision()], 1, Asking.APPROVED, "approved by lena (level 2)"),
        ([decision("max", level=3, reason="go")], 1, Asking.APPROVED, "approved by max (level 3: go)"),
        ([decision("omar", level=1)], 1, Asking.OPEN, "0 of 1 approvals of level 2, 1 of 2 for an override"),
        ([decision()], 2, Asking.OPEN, "1 of 2 approvals of level 2"),
        ([decision(), decision("max", level=3)], 2, Asking.APPROVED, "approved by lena (level 2) and max (level 3)"),
        ([decision(), decision()], 2, Asking.OPEN, "1 of 2 approvals of level 2"),
        ([decision(), decision("omar", NO, 1, reason="no")], 1, Asking.REJECTED, "rejected by omar (level 1: no)"),
        ([decision("nadia", OVERRIDE, 1)], 1, Asking.OPEN, "0 of 1 approvals of level 2, 1 of 2 for an override"),
        (
            [decision("nadia", OVERRIDE, 1, reason="fire"), decision("omar", OVERRIDE, 1)],
            1,
            Asking.APPROVED,
            "EMERGENCY OVERRIDE, to be reviewed, by nadia (level 1: fire) and omar (level 1)",
        ),
        (
            [decision("nadia", OVERRIDE, 1), decision()],
            2,
            Asking.APPROVED,
            "EMERGENCY OVERRIDE, to be reviewed, by nadia (level 1) and lena (level 2)",
        ),
        ([decision("nadia", OVERRIDE, 1)] * 2, 1, Asking.OPEN, "0 of 1 approvals of level 2, 1 of 2 for an override"),
        # Two approvals of too low a level are no override: that is said, or it does not count.
        (
            [decision("nadia", YES, 1), decision("omar", YES, 1)],
            1,
            Asking.OPEN,
            "0 of 1 approvals of level 2, 2 of 2 for an override",
        ),
        (
            [decision("nadia", OVERRIDE, 1), decision("omar", OVERRIDE, 1), decision("max", NO, 3)],
            1,
            Asking.REJECTED,
            "rejected by max (level 3)",
        ),
    ],
)
def test_what_answers_amount_to(given: list[ApprovalDecision], people: int, state: Asking, reason: str) -> None:
    result = tally(request(people=people), given)

    assert (result.state, result.reason) == (state, reason)


@pytest.mark.parametrize("answer", Answer)
def test_answers_to_another_digest_count_for_nothing(answer: Answer) -> None:
    others = [decision(who, answer, 4, digest="e" * 64) for who in ("lena", "mara", "max")]

    assert tally(request(), others).state is Asking.OPEN


PEOPLE = st.sampled_from(["nadia", "omar", "lena", "max"])
LEVELS = {"nadia": 1, "omar": 1, "lena": 2, "max": 3}


@given(st.lists(st.tuples(PEOPLE, st.sampled_from(Answer)), max_size=8), st.integers(1, 4), st.integers(1, 3))
def test_nothing_is_approved_but_by_enough_people_or_by_two_of_whom_one_overrides(
    given: list[tuple[str, Answer]], level: int, people: int
) -> None:
    answers = dict(given)
    result = tally(
        request(level=level, people=people),
        [decision(who, answer, LEVELS[who]) for who, answer in given],
    )
    approving = [who for who, answer in answers.items() if answer is YES and LEVELS[who] >= level]
    overriding = OVERRIDE in answers.values() and len(answers) >= 2
    if NO in answers.values():
        assert result.state is Asking.REJECTED
    else:
        assert (result.state is Asking.APPROVED) == (len(approving) >= people or overriding)


@pytest.mark.parametrize(
    ("who", "answer", "level", "people", "channel", "needed"),
    [
        ("lena", YES, 2, 1, "token:t1", Permission.APPROVE),
        ("lena", OVERRIDE, 2, 1, "token:t1", Permission.APPROVE),
        ("lena", NO, 2, 1, "token:t1", Permission.REJECT),
        ("nadia", YES, 1, 1, "token:t1", Permission.CARRY_OUT),
        ("nadia", YES, 1, 2, "token:t1", Permission.APPROVE),
        ("nadia", YES, 2, 1, "token:t1", Permission.APPROVE),
        ("nadia", OVERRIDE, 1, 1, "token:t1", Permission.APPROVE),
        ("omar", YES, 1, 1, "token:t1", Permission.APPROVE),
        ("nadia", YES, 1, 1, TERMINAL, None),
    ],
)
def test_what_somebody_has_to_be_allowed_before_their_answer_counts(
    who: str, answer: Answer, level: int, people: int, channel: str, needed: Permission | None
) -> None:
    principal = Principal(person=person(who), channel=channel)

    assert needed_permission(request(level=level, people=people), principal, answer) is needed
