from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from remediate.domain.breaker import BreakerState, breaker_of
from remediate.domain.run import RunStatus, StartedBy
from remediate.domain.runbook import Severity
from remediate.domain.storm import (
    Admitted,
    Attempt,
    BreakerLimit,
    FleetLimit,
    Quota,
    Refusal,
    Request,
    Rule,
    Situation,
    StormPolicy,
)
from remediate.domain.storm_rules import RULES, admit, foresee
from remediate.domain.switch import Switch, breaker_switch
from remediate.testing import EPOCH
from tests.storm import DAY, HOUR, MINUTE, attempt, freeze, groups, live, pause, request, situation

POLICY = StormPolicy()
#: Nothing but the rule under test speaks.
WIDE = StormPolicy(
    attempts=Quota(most=99, within=HOUR), recurrence=Quota(most=99, within=DAY), budget=Quota(most=99, within=HOUR)
)
SECOND = timedelta(seconds=1)


def refused(asked: Request, found: Situation, policy: StormPolicy = WIDE) -> Refusal:
    answer = admit(asked, found, policy)
    assert isinstance(answer, Refusal), answer
    return answer


def admitted(asked: Request, found: Situation, policy: StormPolicy = WIDE) -> bool:
    return admit(asked, found, policy) == Admitted()


def failures(*minutes: int) -> list[Attempt]:
    return [attempt(EPOCH + minute * MINUTE, f"host{minute}", status=RunStatus.FAILED) for minute in minutes]


def test_a_quiet_site_admits() -> None:
    assert admitted(request(), situation(), POLICY)


def test_the_rules_are_asked_in_the_order_of_their_names() -> None:
    assert [rule.__name__ for rule in RULES] == [rule.value for rule in Rule]


def test_a_paused_site_admits_nothing_and_says_who_and_why() -> None:
    assert refused(request(severity=Severity.SEV1), situation(switches={"pause": pause()})) == Refusal(
        rule=Rule.PAUSED, reason="paused by omar since 2026-01-05 03:00:00Z: the rack is on fire", hard=True
    )
    assert admitted(request(), situation(switches={"pause": pause(on=False)}))


@pytest.mark.parametrize(
    ("now", "frozen"),
    [(EPOCH - SECOND, False), (EPOCH, True), (EPOCH + HOUR - SECOND, True), (EPOCH + HOUR, False)],
)
def test_a_freeze_holds_from_its_first_moment_until_just_before_its_end(now: datetime, frozen: bool) -> None:
    assert admitted(request(), situation(now=now, freezes=(freeze(),))) is not frozen


def test_a_freeze_says_its_name_its_reason_and_its_end() -> None:
    assert refused(request(), situation(freezes=(freeze(), freeze("move", lasts=DAY, reason="boxes")))) == Refusal(
        rule=Rule.FREEZE, reason="sale: people buy things; move: boxes", until=EPOCH + DAY
    )


def test_the_worst_incident_passes_a_freeze_unless_it_is_hard() -> None:
    worst = request(severity=Severity.SEV1)

    assert admitted(worst, situation(freezes=(freeze(),)))
    assert refused(worst, situation(freezes=(freeze(hard=True),))).hard


def test_a_freeze_holds_only_the_runbooks_and_groups_it_names() -> None:
    site = groups(web=("near",), db=("far",))
    of_group = situation(freezes=(freeze(groups=("web",)),), groups=site)
    of_runbook = situation(freezes=(freeze(runbooks=("tidy-shelf",)),), groups=site)

    assert refused(request("near"), of_group).rule is Rule.FREEZE
    assert admitted(request("far"), of_group)
    assert refused(request("far"), of_runbook).rule is Rule.FREEZE
    assert admitted(request("far", runbook="other"), of_runbook)


def test_a_host_that_another_run_is_changing_is_busy_for_every_runbook() -> None:
    assert refused(request(runbook="other"), situation(live=(live("r1"),))) == Refusal(
        rule=Rule.HOST_BUSY, reason="near: run r1 of tidy-shelf is fixing", runs=("r1",), hard=True
    )


def test_a_run_of_the_same_runbook_that_waits_keeps_another_from_being_asked_for() -> None:
    waiting = situation(live=(live("r1", status=RunStatus.WAITING_APPROVAL),))

    assert refused(request(), waiting).rule is Rule.HOST_BUSY
    assert admitted(request(runbook="other"), waiting)
    assert admitted(request("far"), waiting)


def test_a_run_does_not_stand_in_its_own_way() -> None:
    assert admitted(request(run_id="r1"), situation(live=(live("r1"),)))


@pytest.mark.parametrize(("later", "rests"), [(0, True), (30 * 60 - 1, True), (30 * 60, False)])
def test_a_runbook_rests_on_a_host_for_its_cooldown_after_any_end(later: int, rests: bool) -> None:
    acted = attempt(EPOCH, status=RunStatus.CANCELED)
    now = EPOCH + MINUTE + later * SECOND

    assert admitted(request(), situation(acted, now=now)) is not rests


def test_a_cooldown_says_since_when_how_long_and_until_when() -> None:
    assert refused(request(), situation(attempt(EPOCH), now=EPOCH + 2 * MINUTE)) == Refusal(
        rule=Rule.COOLDOWN,
        reason="near: tidy-shelf acted until 2026-01-05 03:01:00Z and rests 30 min",
        until=EPOCH + 31 * MINUTE,
    )


def test_a_cooldown_is_of_one_runbook_on_one_host() -> None:
    acted = situation(attempt(EPOCH), now=EPOCH + 2 * MINUTE)

    assert admitted(request("far"), acted)
    assert admitted(request(runbook="other"), acted)


def test_a_stale_plan_was_never_carried_out_and_needs_no_rest() -> None:
    assert admitted(request(), situation(attempt(status=RunStatus.EXPIRED), now=EPOCH + 2 * MINUTE))


def test_an_interrupted_run_goes_on_without_resting_from_itself() -> None:
    broken = attempt(run_id="mine", status=RunStatus.INTERRUPTED)

    assert admitted(request(run_id="mine"), situation(broken, now=EPOCH + 2 * MINUTE))
    assert refused(request(run_id="another"), situation(broken, now=EPOCH + 2 * MINUTE)).rule is Rule.COOLDOWN


def test_the_run_that_continues_an_interrupted_one_does_not_rest_from_it() -> None:
    broken = attempt(run_id="20260105-030000-bcdf", status=RunStatus.INTERRUPTED)

    assert admitted(request(run_id="20260105-030000-bcdf-2"), situation(broken, now=EPOCH + 2 * MINUTE))
    other = request(run_id="20260105-030000-bcdg-2")
    assert refused(other, situation(broken, now=EPOCH + 2 * MINUTE)).rule is Rule.COOLDOWN


@pytest.mark.parametrize("status", [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.EXPIRED, RunStatus.CANCELED])
def test_attempts_count_whatever_came_of_them(status: RunStatus) -> None:
    tried = [attempt(EPOCH + minute * MINUTE, status=status) for minute in (0, 10, 20)]
    asked = request(cooldown=SECOND)

    assert refused(asked, situation(*tried, now=EPOCH + 30 * MINUTE), POLICY) == Refusal(
        rule=Rule.ATTEMPTS,
        reason="near: tidy-shelf was tried 3 times within 1 h (at most 3)",
        until=EPOCH + HOUR,
    )
    assert refused(asked, situation(*tried, now=EPOCH + HOUR - SECOND), POLICY).rule is Rule.ATTEMPTS


def test_an_attempt_no_longer_counts_when_its_window_is_over() -> None:
    tried = [attempt(EPOCH + minute * MINUTE, status=RunStatus.CANCELED) for minute in (0, 10, 20)]

    assert admitted(request(cooldown=SECOND), situation(*tried, now=EPOCH + HOUR), POLICY)


def test_attempts_count_per_host_and_runbook() -> None:
    tried = [attempt(EPOCH + minute * MINUTE, status=RunStatus.CANCELED) for minute in (0, 10, 20)]
    now = EPOCH + 30 * MINUTE

    assert admitted(request("far", cooldown=SECOND), situation(*tried, now=now), POLICY)
    assert admitted(request(runbook="other", cooldown=SECOND), situation(*tried, now=now), POLICY)


def test_after_more_attempts_than_allowed_the_end_is_when_enough_of_them_are_old() -> None:
    tried = [attempt(EPOCH + minute * MINUTE, status=RunStatus.CANCELED) for minute in (0, 10, 20, 30)]

    answer = refused(request(cooldown=SECOND), situation(*tried, now=EPOCH + 40 * MINUTE), POLICY)
    assert answer.until == EPOCH + 70 * MINUTE


def test_what_is_cured_and_comes_back_again_and_again_is_left_to_a_human() -> None:
    cured = [attempt(EPOCH + hour * HOUR) for hour in (0, 3, 6)]

    assert refused(request(), situation(*cured, now=EPOCH + 9 * HOUR), POLICY) == Refusal(
        rule=Rule.RECURRENCE,
        reason="near: tidy-shelf cured it 3 times within 1 d (at most 3) and it is back",
        until=EPOCH + DAY,
    )
    assert admitted(request(), situation(*cured, now=EPOCH + DAY), POLICY)
    assert admitted(request(), situation(*cured[1:], now=EPOCH + 9 * HOUR), POLICY)


def test_what_was_not_cured_does_not_come_back() -> None:
    tried = [attempt(EPOCH + hour * HOUR, status=RunStatus.CANCELED) for hour in (0, 3, 6)]

    assert admitted(request(), situation(*tried, now=EPOCH + 9 * HOUR), POLICY)


@pytest.mark.parametrize(
    ("size", "hosts", "percent", "room"),
    [(1, 1, 20, 1), (9, 1, 20, 1), (10, 1, 20, 2), (0, 1, 20, 1), (50, 1, 20, 10), (50, 30, 20, 30), (7, 1, 0, 1)],
)
def test_a_group_spares_a_number_or_a_share_of_its_hosts_whichever_is_more(
    size: int, hosts: int, percent: int, room: int
) -> None:
    assert FleetLimit(hosts=hosts, percent=percent).room(size) == room


def test_no_group_has_more_hosts_under_change_than_it_may_spare() -> None:
    site = groups(web=("web1", "web2", "web3"), db=tuple(f"db{number}" for number in range(12)))
    acting = (live("r1", "web1", runbook="other"),)

    assert refused(request("web2"), situation(live=acting, groups=site)) == Refusal(
        rule=Rule.FLEET,
        reason="2 hosts of the group web would be under change at once, 1 of its 3 may be (already: web1)",
        runs=("r1",),
        hard=True,
    )
    assert admitted(request("db1"), situation(live=acting, groups=site))


def test_every_group_of_a_host_is_asked_and_the_whole_site_is_one() -> None:
    site = groups(a=("a1",), b=("b1",), c=("c1",))

    assert "group all would" in refused(request("a1"), situation(live=(live("r1", "b1"),), groups=site)).reason


def test_one_request_may_not_name_more_hosts_than_a_group_may_spare() -> None:
    site = groups(web=tuple(f"web{number}" for number in range(10)))

    assert admitted(request("web1", "web2"), situation(groups=site))
    assert "(already: none yet)" in refused(request("web1", "web2", "web3"), situation(groups=site)).reason


def test_hosts_count_once_and_runs_that_only_wait_do_not_count() -> None:
    site = groups(web=("web1", "web2", "web3"))
    others = (live("r1", "web1", runbook="other", status=RunStatus.WAITING_APPROVAL),)

    assert admitted(request("web2"), situation(live=others, groups=site))


def test_hosts_that_the_inventory_does_not_know_are_under_change_all_the_same() -> None:
    assert refused(request("web2"), situation(live=(live("r1", "gone"),))).rule is Rule.FLEET


def test_the_breaker_opens_after_ends_in_a_row_without_a_cure_anywhere_on_the_site() -> None:
    assert admitted(request(), situation(*failures(0, 10), now=EPOCH + HOUR))
    assert refused(request(), situation(*failures(0, 10, 20), now=EPOCH + HOUR)) == Refusal(
        rule=Rule.BREAKER,
        reason="the last 3 ends of tidy-shelf in a row were not cured",
        until=EPOCH + 21 * MINUTE + 12 * HOUR,
    )
    assert admitted(request(runbook="other"), situation(*failures(0, 10, 20), now=EPOCH + HOUR))


@pytest.mark.parametrize(
    ("status", "opens"),
    [
        (RunStatus.FAILED, True),
        (RunStatus.ROLLBACK_FAILED, True),
        (RunStatus.UNPROVEN, True),
        (RunStatus.INTERRUPTED, True),
        (RunStatus.SUCCEEDED, False),
        (RunStatus.CANCELED, False),
        (RunStatus.EXPIRED, False),
        (RunStatus.FIXING, False),
    ],
)
def test_which_ends_count_against_a_runbook(status: RunStatus, opens: bool) -> None:
    last = attempt(EPOCH + 30 * MINUTE, "elsewhere", status=status)
    found = situation(*failures(0, 10), last, now=EPOCH + HOUR)

    assert (breaker_of("tidy-shelf", found, BreakerLimit()).state is BreakerState.OPEN) is opens


def test_a_cure_closes_the_breaker_and_what_says_nothing_leaves_it() -> None:
    stopped = attempt(EPOCH + 15 * MINUTE, "x", status=RunStatus.CANCELED)
    cured = attempt(EPOCH + 15 * MINUTE, "x")
    first, *later = failures(0, 20, 30)

    def state(between: Attempt) -> BreakerState:
        found = situation(first, between, *later, now=EPOCH + HOUR)
        return breaker_of("tidy-shelf", found, BreakerLimit()).state

    assert (state(stopped), state(cured)) == (BreakerState.OPEN, BreakerState.CLOSED)


def test_a_breaker_that_a_person_closed_counts_only_what_came_after_it() -> None:
    failed = failures(0, 10, 20)
    closed = Switch(
        name=breaker_switch("tidy-shelf"), on=False, by="omar", reason="found", at=EPOCH, after=failed[-1].sequence
    )
    switches = {closed.name: closed}

    assert admitted(request(), situation(*failed, now=EPOCH + HOUR, switches=switches))
    again = situation(*failed, *failures(30, 40, 50), now=EPOCH + HOUR, switches=switches)
    assert breaker_of("tidy-shelf", again, BreakerLimit()).failures == 3


def test_after_a_long_time_one_run_may_try_and_no_second_one_beside_it() -> None:
    failed = failures(0, 10, 20)
    cooled = EPOCH + 21 * MINUTE + 12 * HOUR

    assert refused(request(), situation(*failed, now=cooled - SECOND)).rule is Rule.BREAKER
    assert admitted(request(), situation(*failed, now=cooled))
    site = groups(web=("near", "far", *(f"web{number}" for number in range(20))))
    trying = situation(*failed, now=cooled, live=(live("r9", "far"),), groups=site)
    assert refused(request(), trying) == Refusal(
        rule=Rule.BREAKER,
        reason="the last 3 ends of tidy-shelf in a row were not cured, and run r9 is trying whether it does now",
        runs=("r9",),
    )


def test_a_try_that_fails_opens_the_breaker_again() -> None:
    tried = attempt(EPOCH + 13 * HOUR, "x", status=RunStatus.FAILED)

    found = situation(*failures(0, 10, 20), tried, now=EPOCH + 14 * HOUR)
    assert refused(request(), found).until == EPOCH + 25 * HOUR + MINUTE


def test_ends_that_are_too_old_no_longer_count_against_a_runbook() -> None:
    found = situation(*failures(0, 10, 20), now=EPOCH + 7 * DAY)

    assert breaker_of("tidy-shelf", found, BreakerLimit()).failures == 2


def test_the_site_sees_no_more_runs_than_its_budget() -> None:
    tried = [attempt(EPOCH + minute * MINUTE, f"h{minute}", runbook=f"r{minute}") for minute in range(12)]

    assert admitted(request(), situation(*tried[1:], now=EPOCH + 30 * MINUTE), POLICY)
    assert refused(request(), situation(*tried, now=EPOCH + 30 * MINUTE), POLICY) == Refusal(
        rule=Rule.BUDGET,
        reason="12 runs began on this site within 1 h (at most 12)",
        until=EPOCH + HOUR,
    )
    assert admitted(request(), situation(*tried, now=EPOCH + HOUR), POLICY)


def test_the_first_rule_that_says_no_decides() -> None:
    everything = situation(attempt(), now=EPOCH + 2 * MINUTE, switches={"pause": pause()}, freezes=(freeze(),))

    assert refused(request(), everything).rule is Rule.PAUSED
    assert refused(request(), everything.model_copy(update={"switches": {}})).rule is Rule.FREEZE


def test_a_person_with_a_reason_overrides_what_the_policy_lets_a_person_override() -> None:
    asked = request(started_by=StartedBy.PERSON, override_reason="I watch it")
    answer = admit(asked, situation(attempt(), now=EPOCH + 2 * MINUTE), POLICY)

    assert isinstance(answer, Admitted)
    assert [refusal.rule for refusal in answer.overridden] == [Rule.COOLDOWN]
    assert answer.note == (
        "STORM POLICY OVERRIDDEN, because: I watch it "
        "(cooldown: near: tidy-shelf acted until 2026-01-05 03:01:00Z and rests 30 min)"
    )


def test_a_reason_that_was_not_needed_leaves_no_note() -> None:
    assert admit(request(started_by=StartedBy.PERSON, override_reason="x"), situation(), POLICY) == Admitted()


@pytest.mark.parametrize(
    ("by", "reason"),
    [
        (StartedBy.ALERT, "I watch it"),
        (StartedBy.SCHEDULE, "I watch it"),
        (StartedBy.PERSON, ""),
        (StartedBy.PERSON, " \t"),
    ],
)
def test_nothing_is_overridden_by_machines_or_without_a_reason(by: StartedBy, reason: str) -> None:
    asked = request(started_by=by, override_reason=reason)

    assert refused(asked, situation(attempt(), now=EPOCH + 2 * MINUTE)).rule is Rule.COOLDOWN


@pytest.mark.parametrize(
    ("found", "rule"),
    [
        (situation(switches={"pause": pause()}), Rule.PAUSED),
        (situation(freezes=(freeze(),)), Rule.FREEZE),
        (situation(live=(live("r1"),)), Rule.HOST_BUSY),
        (situation(live=(live("r1", "far"),)), Rule.FLEET),
        (situation(*[attempt(EPOCH, f"h{n}", runbook=f"r{n}") for n in range(12)]), Rule.BUDGET),
    ],
)
def test_a_person_overrides_nothing_else(found: Situation, rule: Rule) -> None:
    assert refused(request(started_by=StartedBy.PERSON, override_reason="now"), found, POLICY).rule is rule


def test_no_policy_lets_anybody_past_a_pause_a_busy_host_a_full_fleet_or_a_hard_freeze() -> None:
    lax = StormPolicy(override=frozenset(Rule), exempt=dict.fromkeys(StartedBy, frozenset(Rule)))
    asked = request(started_by=StartedBy.PERSON, override_reason="now")

    assert refused(asked, situation(switches={"pause": pause()}), lax).rule is Rule.PAUSED
    assert refused(asked, situation(live=(live("r1"),)), lax).rule is Rule.HOST_BUSY
    assert refused(asked, situation(live=(live("r1", "far"),)), lax).rule is Rule.FLEET
    assert refused(asked, situation(freezes=(freeze(hard=True),)), lax).rule is Rule.FREEZE
    assert admitted(asked, situation(freezes=(freeze(),)), lax)


def test_an_exempt_start_is_not_bound_and_others_are() -> None:
    policy = StormPolicy(exempt={StartedBy.SCHEDULE: frozenset({Rule.COOLDOWN})})
    acted = situation(attempt(), now=EPOCH + 2 * MINUTE)

    assert admitted(request(started_by=StartedBy.SCHEDULE), acted, policy)
    assert refused(request(started_by=StartedBy.ALERT), acted, policy).rule is Rule.COOLDOWN


@pytest.mark.parametrize("rule", [Rule.ATTEMPTS, Rule.RECURRENCE, Rule.BUDGET])
def test_what_a_schedule_does_uses_up_nothing_of_a_rule_that_does_not_bind_it(rule: Rule) -> None:
    quotas = {
        name: Quota(most=3 if name == rule.value else 99, within=HOUR) for name in ("attempts", "recurrence", "budget")
    }
    tried = [attempt(EPOCH, requested_by="schedule:backups") for _ in range(3)]
    acted = situation(*tried, now=EPOCH + HOUR / 2)
    free = StormPolicy(**quotas, exempt={StartedBy.SCHEDULE: frozenset({rule, Rule.COOLDOWN})})
    bound = StormPolicy(**quotas, exempt={StartedBy.ALERT: frozenset({Rule.COOLDOWN})})
    by_alert = request(started_by=StartedBy.ALERT, cooldown=timedelta(seconds=1))

    assert admitted(by_alert, acted, free)
    assert refused(by_alert, acted, bound).rule is rule
    assert (
        refused(by_alert, situation(*tried, *[attempt(EPOCH) for _ in range(3)], now=EPOCH + HOUR / 2), free).rule
        is rule
    )


def test_several_hosts_are_told_at_once_until_the_last_of_them_is_free() -> None:
    acted = situation(attempt(EPOCH, "near"), attempt(EPOCH + 5 * MINUTE, "far"), now=EPOCH + 10 * MINUTE)
    answer = refused(request("near", "far", "cellar"), acted)

    assert (answer.reason.count("rests 30 min"), answer.until) == (2, EPOCH + 36 * MINUTE)


def test_before_the_diagnosis_a_request_is_refused_only_when_no_host_of_it_could_be_changed() -> None:
    acted = situation(attempt(EPOCH, "near"), now=EPOCH + 2 * MINUTE)

    assert foresee(request("near", "far"), acted, POLICY) == Admitted()
    answer = foresee(request("near"), acted, POLICY)
    assert isinstance(answer, Refusal)
    assert answer.rule is Rule.COOLDOWN


def test_a_clock_that_is_set_back_makes_no_room() -> None:
    tried = [attempt(EPOCH + minute * MINUTE, status=RunStatus.FAILED) for minute in (0, 10, 20)]
    back = EPOCH - 5 * DAY

    assert refused(request(cooldown=SECOND), situation(*tried, now=back), POLICY).rule is Rule.COOLDOWN
    exempt = StormPolicy(exempt={StartedBy.ALERT: frozenset({Rule.COOLDOWN})})
    assert refused(request(), situation(*tried, now=back), exempt).rule is Rule.ATTEMPTS
    assert breaker_of("tidy-shelf", situation(*tried, now=back), BreakerLimit()).state is BreakerState.OPEN
    cured = situation(*[attempt(EPOCH + hour * HOUR) for hour in (0, 3, 6)], now=back)
    exempt = StormPolicy(exempt={StartedBy.ALERT: frozenset({Rule.COOLDOWN, Rule.ATTEMPTS})})
    assert refused(request(), cured, exempt).rule is Rule.RECURRENCE
    busy = situation(*[attempt(EPOCH, f"h{n}", runbook=f"r{n}") for n in range(12)], now=back)
    assert refused(request(), busy, POLICY).rule is Rule.BUDGET


def test_a_clock_that_is_set_back_after_a_person_closed_a_breaker_forgives_nothing_more() -> None:
    forgiven = failures(60)
    closed = Switch(
        name=breaker_switch("tidy-shelf"),
        on=False,
        by="omar",
        reason="found",
        at=EPOCH + 2 * HOUR,
        after=forgiven[-1].sequence,
    )
    found = situation(*forgiven, *failures(0, 10, 20), now=EPOCH + 30 * MINUTE, switches={closed.name: closed})

    assert breaker_of("tidy-shelf", found, BreakerLimit()).failures == 3


ROUTINE = frozenset({"tidy-shelf"})


@pytest.mark.parametrize(
    "found",
    [
        situation(attempt(EPOCH - MINUTE), routine=ROUTINE),
        situation(*failures(-30, -20, -10), routine=ROUTINE),
        situation(*(attempt(EPOCH - number * MINUTE, f"h{number}") for number in range(2, 30)), routine=ROUTINE),
        situation(live=(live("other", "far"),), groups=groups(shop=("near", "far")), routine=ROUTINE),
    ],
    ids=["cooldown", "breaker", "budget", "fleet"],
)
def test_what_keeps_a_cure_back_does_not_keep_routine_back(found: Situation) -> None:
    assert admitted(request(), found, POLICY)
    assert not admitted(request(), found.model_copy(update={"routine": frozenset()}), POLICY)


def test_routine_waits_for_whoever_changes_its_host_and_for_a_pause() -> None:
    busy = situation(live=(live("other", runbook="wash-cup"),), routine=ROUTINE)
    assert refused(request(), busy).rule is Rule.HOST_BUSY
    assert refused(request(), situation(switches={"pause": pause()}, routine=ROUTINE)).rule is Rule.PAUSED


def test_routine_does_not_stand_in_the_way_of_a_cure_but_of_itself() -> None:
    acting = (live("backup"), live("other", "far"))
    going_on = situation(live=acting, groups=groups(shop=("near", "far")), routine=ROUTINE)

    assert admitted(request(runbook="wash-cup"), going_on, POLICY)
    assert refused(request(), going_on).rule is Rule.HOST_BUSY
