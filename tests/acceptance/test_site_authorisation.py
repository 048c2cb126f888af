"""Everything that a site can be asked for, by everybody who may and may not: a new method needs an entry here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remediate.adapters.store.database import DatabaseStore
from remediate.domain.approval import Answer
from remediate.domain.identity import RULES, Permission
from remediate.domain.people import Grant, People, Person, Role
from remediate.domain.run import RunStatus
from remediate.domain.runbook import Phase
from remediate.domain.token import written
from remediate.errors import NotAllowed, RemediateError, UnknownRun
from remediate.interfaces.library import PlannedRun, Site
from tests.builders import action, finding, run
from tests.house import PAST, TOKEN, TROUBLE, House
from tests.identities import grant, people, person
from tests.unit.test_schedule import schedule


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    made = House(tmp_path / "state", monkeypatch)
    made.has_trouble()
    made.more = {"schedules": (schedule(hosts=("near",)),)}
    yield made
    made.close()


#: Every public name of a site, `close` last: the permission that it takes, and one use of it.
#: None: anybody may, strangers too.
USES: dict[str, tuple[Permission | None, Callable[[Site], object]]] = {
    "account": (Permission.ACCOUNT_FOR_RUN, lambda site: site.account(PAST)),
    # Whoever shows a token is asked who they are at each use, like everybody.
    "acting_as": (None, lambda site: site.acting_as(TOKEN)),
    "alerts": (None, lambda site: site.alerts()),
    "acknowledge_incident": (Permission.ACKNOWLEDGE_INCIDENT, lambda site: site.acknowledge_incident(TROUBLE.id)),
    "alert_history": (None, lambda site: site.alert_history("00")),
    "allows": (None, lambda site: site.allows(Permission.CARRY_OUT)),
    "answer": (Permission.SEE_RUN, lambda site: site.answer(PAST.id, Answer.APPROVED)),
    "approval": (Permission.SEE_RUN, lambda site: site.approval(PAST.id)),
    "approvals": (None, lambda site: site.approvals()),
    "apply": (Permission.CARRY_OUT, lambda site: site.apply(PlannedRun(PAST)).wait()),
    "audit": (Permission.READ_AUDIT, lambda site: site.audit),
    "authorize": (Permission.PAUSE, lambda site: site.authorize(Permission.PAUSE)),
    "backups": (Permission.SEE_RUN, lambda site: site.backups()),
    "cancel": (Permission.CANCEL, lambda site: site.cancel(PAST.id)),
    "carried_elsewhere": (None, lambda site: site.carried_elsewhere(PAST)),
    "children": (Permission.SEE_RUN, lambda site: site.children(PAST.id)),
    "check_alerts": (Permission.CHECK_ALERTS, lambda site: site.check_alerts()),
    "close_breaker": (Permission.LIFT_PAUSE, lambda site: site.close_breaker("tidy-shelf", "why")),
    "drill": (Permission.SEE_RUN, lambda site: site.drill(PAST.id)),
    "drills": (Permission.SEE_RUN, lambda site: site.drills()),
    "escalate": (Permission.SEE_RUN, lambda site: site.escalate(PAST.id, 4, "why")),
    "escalate_incident": (Permission.SEE_RUN, lambda site: site.escalate_incident(TROUBLE.id, 4, "why")),
    "follow": (Permission.SEE_RUN, lambda site: site.follow(PAST.id)),
    "history": (Permission.SEE_RUN, lambda site: site.history(PAST.id)),
    "incident": (Permission.SEE_RUN, lambda site: site.incident(TROUBLE.id)),
    "incidents": (None, lambda site: site.incidents()),
    "inspect": (None, lambda site: site.inspect(["near"])),
    "left_alone": (None, lambda site: site.left_alone()),
    "make_token": (Permission.MAKE_TOKEN, lambda site: site.make_token("nadia")),
    "notices": (Permission.SEE_NOTICES, lambda site: site.notices()),
    "pause": (Permission.PAUSE, lambda site: site.pause("why")),
    "phases": (Permission.SEE_RUN, lambda site: site.phases(PAST.id)),
    "plan": (Permission.REQUEST_RUN, lambda site: site.plan("tidy-shelf", hosts=["near"])),
    "recover": (None, lambda site: site.recover()),
    "replay_alerts": (Permission.CHECK_ALERTS, lambda site: site.replay_alerts([])),
    "request": (Permission.CARRY_OUT, lambda site: site.request("tidy-shelf", hosts=["near"])),
    "resolve_incident": (Permission.RESOLVE_INCIDENT, lambda site: site.resolve_incident(TROUBLE.id, "why")),
    "resume": (Permission.LIFT_PAUSE, lambda site: site.resume("why")),
    "resume_run": (Permission.RESUME_RUN, lambda site: site.resume_run(PAST.id).wait()),
    "revoke_token": (Permission.REVOKE_TOKEN, lambda site: site.revoke_token("nothing")),
    "rollback": (Permission.ROLL_BACK, lambda site: site.rollback(PAST.id)),
    "run": (Permission.SEE_RUN, lambda site: site.run(PAST.id)),
    "runbooks": (None, lambda site: site.runbooks()),
    "run_schedule": (Permission.CARRY_OUT, lambda site: site.run_schedule("tidy").wait()),
    "runs": (Permission.SEE_RUN, lambda site: site.runs()),
    "carried": (None, lambda site: site.carried),
    # Whoever may start a service of the machine's may start this one; what it does was asked for by others.
    "serve": (None, lambda site: site.serve),
    "schedules": (Permission.SEE_RUN, lambda site: site.schedules()),
    "sign_head": (Permission.EXPORT_AUDIT, lambda site: site.sign_head()),
    "start": (Permission.CARRY_OUT, lambda site: site.start("tidy-shelf", hosts=["near"]).wait()),
    "timeline": (Permission.SEE_RUN, lambda site: site.timeline(TROUBLE.id)),
    "try_channels": (Permission.TRY_CHANNELS, lambda site: site.try_channels(["nadia"])),
    "close": (None, lambda site: site.close()),
}
#: What everybody may who is known.
KNOWN: dict[str, Callable[[Site], object]] = {
    "principal": lambda site: site.principal,
    "handover": lambda site: site.handover(),
    "storm": lambda site: site.storm(),
    "tokens": lambda site: site.tokens(),
}
GUARDED = {name: (permission, use) for name, (permission, use) in USES.items() if permission}
ALL = {**KNOWN, **{name: use for name, (_, use) in USES.items()}}
FREE = [name for name, (permission, _) in USES.items() if permission is None]


def refused(use: Callable[[Site], object], site: Site) -> bool:
    """Whether a use was not allowed; whatever else may be wrong with it is no matter here."""
    try:
        use(site)
    except NotAllowed:
        return True
    except RemediateError:
        return False
    return False


def test_every_public_name_of_a_site_has_an_entry_here() -> None:
    public = {name for kind in Site.__mro__ for name in vars(kind) if not name.startswith("_")}

    assert public == set(USES) | set(KNOWN)


@pytest.mark.parametrize("role", Role)
def test_a_role_gets_through_exactly_where_the_rules_say(house: House, role: Role) -> None:
    site = house.open(people(person("nadia", role, os_users=("nadia",), level=4)))
    barred = {name for name, (permission, _) in GUARDED.items() if role not in RULES[permission].roles}

    assert {name for name in barred if not refused(ALL[name], site)} == set()
    assert house.untouched
    assert {name for name in set(GUARDED) - barred if refused(ALL[name], site)} == set()


@pytest.mark.parametrize("os_user", ["theo", "root"])
def test_a_stranger_may_look_at_the_catalogue_and_the_hosts_and_nothing_else(house: House, os_user: str) -> None:
    site = house.open(people(person("nadia", *Role, os_users=("nadia",))), os_user)

    assert {name for name, use in ALL.items() if not refused(use, site)} == set(FREE)
    assert house.untouched


NOW = datetime.now(UTC)
BAD_TOKENS: dict[str, tuple[dict[str, object], str]] = {
    "wrong": ({}, written("bcdfghjkmn", "t" * 43)),
    "expired": ({"expires_at": NOW - timedelta(seconds=1)}, TOKEN),
    "revoked": ({"revoked_at": NOW, "revoked_by": "omar"}, TOKEN),
    "of_a_removed_person": ({"person": "gone"}, TOKEN),
    "malformed": ({}, "nadia"),
    "empty": ({}, ""),
}


@pytest.mark.parametrize("bad", BAD_TOKENS)
def test_a_bad_token_gets_through_nowhere_though_the_user_of_the_machine_would(house: House, bad: str) -> None:
    changes, shown = BAD_TOKENS[bad]
    house.add_token(**changes)
    site = house.open(people(person("nadia", *Role, os_users=("nadia",))), shown=shown)

    assert {name for name, use in ALL.items() if not refused(use, site)} == set(FREE)
    assert house.untouched


def test_a_narrowed_token_gets_through_only_with_the_roles_that_it_carries(house: House) -> None:
    house.add_token(roles=(Role.VIEWER,))
    site = house.open(people(person("nadia", *Role)), shown=TOKEN)

    assert {name for name in GUARDED if not refused(ALL[name], site)} == {
        "answer", "approval", "backups", "children", "drill", "drills", "escalate", "escalate_incident", "follow",
        "history", "incident", "phases", "run", "runs", "schedules", "timeline",
    }  # fmt: skip
    assert house.untouched


@pytest.mark.parametrize("given", [grant(Role.OPERATOR, groups=("db",)), grant(Role.OPERATOR, ("disk-full",))])
def test_the_run_of_others_is_as_unknown_as_one_that_does_not_exist(house: House, given: Grant) -> None:
    site = house.open(people(person("nadia", given, os_users=("nadia",))))
    with pytest.raises(UnknownRun) as nobodys:
        site.run("nothing")

    for name in ("account", "history", "phases", "rollback", "run"):
        with pytest.raises(UnknownRun) as theirs:
            ALL[name](site)
        assert theirs.value.message.replace(PAST.id, "nothing") == nobodys.value.message
    assert site.runs() == site.recover() == ()
    assert house.untouched


def test_an_ambiguous_id_does_not_tell_the_ids_of_others(house: House) -> None:
    with house.database() as database:
        DatabaseStore(database).create_run(run("20260105-030000-ghjk", status=RunStatus.INTERRUPTED))
    site = house.open(people(person("nadia", grant(Role.VIEWER, groups=("db",)), os_users=("nadia",))))

    with pytest.raises(UnknownRun) as refusal:
        site.run("20260105")
    assert (refusal.value.message, refusal.value.next_step) == ("There is no run '20260105'.", "see `remediate runs`")


@pytest.mark.parametrize("given", [grant(Role.OPERATOR, groups=("db",)), grant(Role.OPERATOR, ("disk-full",))])
def test_a_run_outside_of_the_grant_is_refused_and_not_recorded(house: House, given: Grant) -> None:
    site = house.open(people(person("nadia", given, os_users=("nadia",))))

    assert all(refused(ALL[name], site) for name in ("plan", "start"))
    with pytest.raises(UnknownRun):
        site.apply(PAST.id)
    assert house.untouched


def test_one_host_outside_of_the_grant_is_enough_and_no_host_named_is_every_host(house: House) -> None:
    narrow = grant(Role.OPERATOR, ("tidy-shelf",), ("web",))
    site = house.open(people(person("nadia", narrow, os_users=("nadia",))))

    for hosts in (["near", "cellar"], ["near", "unknown"], []):
        with pytest.raises(NotAllowed, match="not granted on tidy-shelf for"):
            site.plan("tidy-shelf", hosts=hosts)
    assert house.untouched
    assert site.plan("tidy-shelf", hosts=["near"]).run.requested_by == "nadia"
    assert [found.hosts for found in site.runs()] == [("near",), ("near",)]


def test_a_forged_run_is_accounted_for_as_it_was_recorded(house: House) -> None:
    narrow = grant(Role.OPERATOR, groups=("db",))
    site = house.open(people(person("nadia", narrow, os_users=("nadia",))))

    with pytest.raises(UnknownRun):
        site.account(PAST.model_copy(update={"hosts": ("cellar",)}))
    assert house.untouched


def test_a_token_that_is_revoked_while_a_site_is_open_ends_at_once(house: House) -> None:
    house.add_token()
    site = house.open(people(person("nadia", *Role)), shown=TOKEN)
    assert site.principal.channel == "token:bcdfghjkmn"
    site.revoke_token("bcdfghjkmn")

    for use in (lambda: site.principal, site.runs, lambda: site.plan("tidy-shelf", hosts=["near"])):
        with pytest.raises(NotAllowed, match="The token is not accepted"):
            use()


def test_the_person_of_the_token_wins_over_the_user_of_the_machine(house: House) -> None:
    house.add_token()
    everybody = people(person("nadia", Role.REQUESTER), person("omar", *Role, os_users=("omar",)))
    site = house.open(everybody, "omar", TOKEN)

    assert site.plan("tidy-shelf", hosts=["near"]).run.requested_by == "nadia"
    with pytest.raises(NotAllowed):
        site.make_token("nadia")


def test_a_refusal_stands_in_the_trail_with_who_what_and_why(house: House) -> None:
    site = house.open(people(person("nadia", Role.VIEWER, os_users=("nadia",))))
    with pytest.raises(NotAllowed):
        site.start("tidy-shelf", hosts=["near"])

    assert [(entry.actor, entry.action, entry.details) for entry in house.trail] == [
        (
            "nadia",
            "access.refused",
            {"permission": "carry_out", "reason": "this takes the role operator, which nadia does not have"},
        )
    ]


@pytest.mark.parametrize(
    ("who", "asked"),
    [
        (person("nadia", Role.OPERATOR, level=1, os_users=("nadia",)), True),
        (person("nadia", Role.OPERATOR, level=0, os_users=("nadia",)), False),
        (person("nadia", Role.OPERATOR, level=4, service=True, os_users=("nadia",)), False),
    ],
)
def test_whose_word_is_no_approval_is_not_asked_for_it(house: House, who: Person, asked: bool) -> None:
    house.executor.says("near", Phase.DIAGNOSE, finding(action(cause_id="clutter")))
    site = house.open(people(who))
    answers: list[str] = []

    def says_no(_plan: object) -> bool:
        answers.append("no")
        return False

    ended = site.start("tidy-shelf", hosts=["near"], ask=says_no).wait()

    assert (answers, ended.status) == ((["no"], RunStatus.REJECTED) if asked else ([], RunStatus.WAITING_APPROVAL))


def test_without_people_the_user_of_the_machine_does_what_one_person_alone_can_do(house: House) -> None:
    site = house.open(People(), "Nadia.B")

    assert site.plan("tidy-shelf", hosts=["near"]).run.requested_by == "nadia-b"
    assert site.allows(Permission.CARRY_OUT, runbook="tidy-shelf", hosts=["near"])
    assert not site.allows(Permission.APPROVE, runbook="tidy-shelf", hosts=["near"])
