"""Who may do what: the whole table, and everything that narrows it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.domain import identity
from remediate.domain.identity import (
    HUMAN_ONLY,
    RULES,
    Allowed,
    NotAllowedBecause,
    Permission,
    Principal,
    holds,
    may,
    permissions,
    self_approves,
)
from remediate.domain.people import Grant, Role
from tests.identities import grant, principal

#: What each role may do, written down a second time: a change of the rules has to be meant.
TABLE = """
                 viewer  requester  operator  approver  admin  auditor
see_run          yes     yes        yes       yes       -      yes
request_run      -       yes        yes       -         -      -
account_for_run  -       yes        yes       -         -      -
carry_out        -       -          yes       -         -      -
roll_back        -       -          yes       -         -      -
cancel           -       -          yes       -         -      -
resume_run       -       -          yes       -         -      -
approve          -       -          -         yes       -      -
reject           -       -          -         yes       -      -
pause            -       -          yes       -         yes    -
lift_pause       -       -          -         -         yes    -
see_tokens       -       -          -         -         yes    yes
make_token       -       -          -         -         yes    -
revoke_token     -       -          -         -         yes    -
try_channels     -       -          yes       -         yes    -
see_notices      -       -          yes       -         yes    yes
acknowledge_incident - -   yes       yes       -      -
resolve_incident -       -          yes       -         -      -
check_alerts     -       -          yes       -         yes    yes
read_audit       -       -          -         -         -      yes
export_audit     -       -          -         -         -      yes
"""
_HEAD, *_ROWS = [line.split() for line in TABLE.strip().splitlines()]
CASES = [(row[0], role, word == "yes") for row in _ROWS for role, word in zip(_HEAD, row[1:], strict=True)]


def reason(decision: Allowed | NotAllowedBecause) -> str:
    assert isinstance(decision, NotAllowedBecause)
    return decision.reason


@pytest.mark.parametrize(("permission", "role", "expected"), CASES)
def test_a_role_may_exactly_what_the_table_says(permission: str, role: str, expected: bool) -> None:
    decision = may(principal(Role(role)), Permission(permission), runbook="disk-full", groups={"web1": ("web",)})

    assert isinstance(decision, Allowed) is expected


def test_the_table_names_every_permission_and_every_role_and_each_permission_has_a_rule() -> None:
    assert sorted(row[0] for row in _ROWS) == sorted(Permission)
    assert set(_HEAD) == set(Role)
    assert set(RULES) == set(Permission)
    assert all(rule.roles for rule in RULES.values())


@pytest.mark.parametrize("permission", Permission)
def test_whoever_was_granted_nothing_may_do_nothing(permission: Permission) -> None:
    assert not holds(principal(), permission)
    assert "which nadia does not have" in reason(may(principal(), permission))


def test_a_permission_without_a_rule_is_refused_to_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "RULES", {key: rule for key, rule in RULES.items() if key != Permission.SEE_RUN})

    assert reason(may(principal(*Role), Permission.SEE_RUN)) == "no rule says who may see run"
    assert not holds(principal(*Role), Permission.SEE_RUN)


@pytest.mark.parametrize("permission", Permission)
def test_a_service_account_decides_nothing_that_people_decide(permission: Permission) -> None:
    machine = principal(*Role, service=True, level=4)
    allowed = isinstance(may(machine, permission, runbook="disk-full", groups={"web1": ("web",)}), Allowed)

    assert allowed is (permission not in HUMAN_ONLY)
    assert holds(machine, permission) is allowed
    assert machine.level == 0


def test_approving_and_rejecting_are_decided_by_people() -> None:
    assert {Permission.APPROVE, Permission.REJECT} <= HUMAN_ONLY


WEB = {"web1": ("all", "web"), "web2": ("all", "web")}
MIXED = {**WEB, "db1": ("all", "db")}


@pytest.mark.parametrize(
    ("given", "runbook", "groups", "expected"),
    [
        (grant(Role.OPERATOR), "disk-full", MIXED, True),
        (grant(Role.OPERATOR), None, {}, True),
        (grant(Role.OPERATOR, runbooks=("disk-full", "ssl-expiry")), "ssl-expiry", MIXED, True),
        (grant(Role.OPERATOR, runbooks=("disk-full",)), "disk-full-2", MIXED, False),
        (grant(Role.OPERATOR, runbooks=("disk-full",)), None, MIXED, False),
        (grant(Role.OPERATOR, groups=("web",)), "disk-full", WEB, True),
        (grant(Role.OPERATOR, groups=("web",)), "disk-full", MIXED, False),
        (grant(Role.OPERATOR, groups=("web", "db")), "disk-full", MIXED, True),
        (grant(Role.OPERATOR, groups=("all",)), "disk-full", MIXED, True),
        (grant(Role.OPERATOR, groups=("web",)), "disk-full", {}, False),
        (grant(Role.OPERATOR, groups=("web",)), "disk-full", {"gone": ()}, False),
        (grant(Role.OPERATOR, ("disk-full",), ("web",)), "disk-full", WEB, True),
        (grant(Role.OPERATOR, ("disk-full",), ("web",)), "ssl-expiry", WEB, False),
        (grant(Role.OPERATOR, ("disk-full",), ("web",)), "disk-full", MIXED, False),
    ],
)
def test_a_grant_covers_its_runbooks_and_every_one_of_the_hosts(
    given: Grant, runbook: str | None, groups: Mapping[str, tuple[str, ...]], expected: bool
) -> None:
    decision = may(principal(given), Permission.CARRY_OUT, runbook=runbook, groups=groups)

    assert isinstance(decision, Allowed) is expected


def test_two_grants_are_not_added_up_to_one() -> None:
    apart = principal(grant(Role.OPERATOR, groups=("web",)), grant(Role.OPERATOR, groups=("db",)))

    assert reason(may(apart, Permission.CARRY_OUT, runbook="disk-full", groups=MIXED)) == (
        "the role is not granted on disk-full for db1, web1, web2"
    )


def test_a_grant_of_another_role_widens_nothing() -> None:
    narrow = principal(Role.VIEWER, grant(Role.OPERATOR, groups=("web",)))

    assert isinstance(may(narrow, Permission.SEE_RUN, runbook="disk-full", groups=MIXED), Allowed)
    assert isinstance(may(narrow, Permission.CARRY_OUT, runbook="disk-full", groups=MIXED), NotAllowedBecause)


@pytest.mark.parametrize("permission", [Permission.MAKE_TOKEN, Permission.LIFT_PAUSE, Permission.REVOKE_TOKEN])
def test_what_concerns_the_whole_site_takes_a_grant_on_the_whole_site(permission: Permission) -> None:
    narrow = principal(grant(Role.ADMIN, groups=("web",)))
    said = reason(may(narrow, permission, runbook="disk-full", groups=WEB))

    assert said == "it concerns the whole site, and the role is granted on a part of it only"


def test_any_operator_may_press_pause() -> None:
    narrow = principal(grant(Role.OPERATOR, ("disk-full",), ("web",)))

    assert isinstance(may(narrow, Permission.PAUSE), Allowed)


def test_a_token_that_leaves_a_role_out_does_not_carry_it() -> None:
    narrowed = principal(Role.OPERATOR, Role.VIEWER, roles=(Role.VIEWER,))

    assert isinstance(may(narrowed, Permission.SEE_RUN), Allowed)
    assert reason(may(narrowed, Permission.CARRY_OUT)) == (
        "this takes the role operator, which nadia has but the token does not carry"
    )


def test_a_token_that_names_a_role_which_its_person_lost_does_not_bring_it_back() -> None:
    assert not holds(principal(Role.VIEWER, roles=(Role.ADMIN,)), Permission.MAKE_TOKEN)


_grants = st.builds(
    Grant,
    role=st.sampled_from(Role),
    runbooks=st.sampled_from([(), ("disk-full",)]),
    groups=st.sampled_from([(), ("web",)]),
)


@given(
    grants=st.lists(_grants, max_size=4),
    roles=st.lists(st.sampled_from(Role), max_size=3),
    service=st.booleans(),
    permission=st.sampled_from(Permission),
    runbook=st.sampled_from([None, "disk-full", "ssl-expiry"]),
    groups=st.sampled_from([{}, WEB, MIXED]),
)
def test_a_token_never_carries_more_than_its_person_may(
    grants: list[Grant],
    roles: list[Role],
    service: bool,
    permission: Permission,
    runbook: str | None,
    groups: Mapping[str, tuple[str, ...]],
) -> None:
    whole = principal(*grants, service=service)
    narrowed = Principal(person=whole.person, channel="token:x", roles=tuple(roles))
    decision = may(narrowed, permission, runbook=runbook, groups=groups)

    if isinstance(decision, Allowed):
        assert isinstance(may(whole, permission, runbook=runbook, groups=groups), Allowed)
        assert holds(narrowed, permission)
        assert any(permission in carried for _, carried in permissions(narrowed))


@pytest.mark.parametrize(
    ("level", "service", "expected"), [(0, False, False), (1, False, True), (4, False, True), (4, True, False)]
)
def test_only_the_word_of_a_person_of_level_1_is_an_approval(level: int, service: bool, expected: bool) -> None:
    assert self_approves(principal(Role.OPERATOR, level=level, service=service)) is expected


def test_permissions_are_told_per_grant() -> None:
    told = permissions(principal(grant(Role.ADMIN, groups=("web",)), Role.APPROVER))

    assert [(entry.role, carried) for entry, carried in told] == [
        (Role.ADMIN, (Permission.PAUSE, Permission.TRY_CHANNELS, Permission.CHECK_ALERTS)),
        (
            Role.APPROVER,
            (Permission.SEE_RUN, Permission.APPROVE, Permission.REJECT, Permission.ACKNOWLEDGE_INCIDENT),
        ),
    ]
