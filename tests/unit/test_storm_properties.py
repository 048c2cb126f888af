"""Whatever has happened before: what the storm policy must hold, holds."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from remediate.domain.run import RunStatus
from remediate.domain.storm import Admitted, Attempt, BreakerLimit, FleetLimit, LiveRun, Quota, Rule, StormPolicy
from remediate.domain.storm_rules import admit
from remediate.testing import EPOCH
from tests.storm import DAY, HOUR, MINUTE, attempt, groups, live, request, situation

HOSTS = tuple(f"host{number}" for number in range(7))
SITE = groups(web=HOSTS[:5], db=HOSTS[4:])
ENDS = st.sampled_from(
    [RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.UNPROVEN, RunStatus.CANCELED, RunStatus.INTERRUPTED]
)
ATTEMPTS = st.builds(
    lambda minutes, host, runbook, status: attempt(
        EPOCH + minutes * MINUTE, host, runbook=runbook, status=status, took=MINUTE
    ),
    st.integers(-2 * 24 * 60, 24 * 60),
    st.sampled_from(HOSTS),
    st.sampled_from(["tidy-shelf", "other"]),
    ENDS,
)
POLICIES = st.builds(
    StormPolicy,
    attempts=st.builds(Quota, most=st.integers(1, 3), within=st.just(HOUR)),
    recurrence=st.builds(Quota, most=st.integers(1, 3), within=st.just(DAY)),
    fleet=st.builds(FleetLimit, hosts=st.integers(1, 3), percent=st.sampled_from([0, 20, 50])),
    breaker=st.builds(BreakerLimit, failures=st.integers(1, 3)),
    budget=st.builds(Quota, most=st.integers(1, 6), within=st.just(HOUR)),
)


@given(st.lists(ATTEMPTS, max_size=8), ATTEMPTS, st.sampled_from(HOSTS), POLICIES)
def test_one_more_attempt_never_makes_room(past: list[Attempt], more: Attempt, host: str, policy: StormPolicy) -> None:
    asked = request(host)
    before = admit(asked, situation(*past, groups=SITE), policy)
    if isinstance(before, Admitted):
        return
    after = admit(asked, situation(*past, more, groups=SITE), policy)

    # A cure is what closes a breaker.
    assert not isinstance(after, Admitted) or (before.rule is Rule.BREAKER and more.status is RunStatus.SUCCEEDED)


@given(
    st.lists(ATTEMPTS, max_size=8),
    st.sampled_from(HOSTS),
    POLICIES,
    st.integers(0, 72 * 60).map(lambda minutes: timedelta(minutes=minutes)),
)
def test_a_clock_that_is_set_back_never_makes_room(
    past: list[Attempt], host: str, policy: StormPolicy, back: timedelta
) -> None:
    asked = request(host)
    if isinstance(admit(asked, situation(*past, groups=SITE), policy), Admitted):
        return

    assert not isinstance(admit(asked, situation(*past, groups=SITE, now=EPOCH - back), policy), Admitted)


@given(
    st.lists(st.lists(st.sampled_from([*HOSTS, "unlisted"]), min_size=1, max_size=3, unique=True), max_size=30),
    st.lists(st.integers(0, 6), min_size=30, max_size=30),
    POLICIES,
)
def test_never_are_more_hosts_of_a_group_under_change_than_it_may_spare(
    wanted: list[list[str]], ending: list[int], policy: StormPolicy
) -> None:
    acting: list[LiveRun] = []
    for number, hosts in enumerate(wanted):
        asked = request(*hosts, run_id=f"r{number}")
        if isinstance(admit(asked, situation(live=tuple(acting), groups=SITE), policy), Admitted):
            acting.append(live(f"r{number}", *hosts))
        busy = [host for run in acting for host in run.hosts]
        for group, members in SITE.items():
            assert len(members.intersection(busy)) <= policy.fleet.room(len(members)), group
        assert len(busy) == len(set(busy)) <= policy.fleet.room(len(HOSTS)), "two runs on one host, or too many at all"
        if ending[number] < len(acting):
            del acting[ending[number]]
