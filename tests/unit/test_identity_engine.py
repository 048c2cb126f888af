"""Tokens and users of the machine, from the first token to the last refusal."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable
from datetime import timedelta

import pytest

from remediate.domain.audit import AuditEntry
from remediate.domain.identity import Permission, Principal
from remediate.domain.people import People, Person, Role
from remediate.domain.token import FLOOD, LONGEST_LIFETIME, parts
from remediate.engine.identity import Identity
from remediate.errors import NotAllowed, UnknownToken, UsageError
from remediate.testing import EPOCH, FrozenClock, MemoryTokens
from tests.identities import grant, people, person

DAY = timedelta(days=1)
OMAR = person("omar", Role.ADMIN, os_users=("omar",))
NADIA = person("nadia", Role.OPERATOR, Role.VIEWER, level=2, os_users=("nadia", "nadia2"))
BOT = person("bot", Role.OPERATOR, Role.ADMIN, service=True)


class Door:
    """An identity with everything around it to be looked at."""

    def __init__(self, everybody: People) -> None:
        self.entries: list[AuditEntry] = []
        self.clock = FrozenClock()
        self.tokens = MemoryTokens(self.entries.append)
        self.identity = self.with_people(everybody)

    def with_people(self, everybody: People) -> Identity:
        """The same door once remediate.yml has changed."""
        return Identity(self.tokens, everybody, self.clock, self)

    def note(self, entry: AuditEntry) -> object:
        self.entries.append(entry)
        return None

    @property
    def omar(self) -> Principal:
        return self.identity.local("omar")

    @property
    def said(self) -> list[tuple[str, str, str]]:
        """The refusals in the trail: who, about what, why."""
        refused = [entry for entry in self.entries if entry.action.endswith(".refused")]
        return [(entry.action, entry.subject, str(entry.details["reason"])) for entry in refused]

    def made(self, holder: str = "nadia", *roles: Role, lifetime: timedelta = DAY) -> str:
        return self.identity.make_token(self.omar, holder, lifetime=lifetime, roles=roles)[1]


@pytest.fixture
def door() -> Door:
    return Door(people(OMAR, NADIA, BOT))


def test_a_token_acts_as_its_person(door: Door) -> None:
    token, text = door.identity.make_token(door.omar, "nadia", label="laptop", roles=[Role.VIEWER, Role.VIEWER])

    assert door.identity.authenticate(text) == Principal(
        person=NADIA, channel=f"token:{token.id}", roles=(Role.VIEWER,)
    )
    assert (token.created_by, token.label, token.expires_at) == ("omar", "laptop", EPOCH + timedelta(days=90))
    assert door.said == []


def test_a_token_is_written_as_agreed_and_no_two_are_alike(door: Door) -> None:
    made = {door.made() for _ in range(100)}

    assert len({parts(text) for text in made}) == 100
    assert all(re.fullmatch(r"rmd_[b-df-hj-np-tv-z2-9]{10}_[A-Za-z0-9_-]{43}", text) for text in made)


def _wrong_secret(door: Door) -> str:
    text = door.made()
    return text[:-1] + ("A" if text[-1] != "A" else "B")


def _unknown(door: Door) -> str:
    token_id, secret = parts(door.made())
    return f"rmd_{token_id[::-1]}_{secret}"


def _expired(door: Door) -> str:
    text = door.made(lifetime=DAY)
    door.clock.fast_forward(DAY)
    return text


def _revoked(door: Door) -> str:
    text = door.made()
    door.identity.revoke(door.omar, parts(text)[0])
    return text


def _removed(door: Door) -> str:
    text = door.made()
    door.identity = door.with_people(people(OMAR))
    return text


def _nobody_left(door: Door) -> str:
    text = door.made()
    door.identity = door.with_people(People())
    return text


def _malformed(_door: Door) -> str:
    return "hunter2-hunter2"


def _empty(_door: Door) -> str:
    return ""


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """The lengths of everything that was compared in constant time."""
    lengths: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def compare(shown: str, kept: str) -> bool:
        lengths.append((len(shown), len(kept)))
        return real(shown, kept)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    return lengths


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (_wrong_secret, "the secret is wrong"),
        (_unknown, "there is no such token"),
        (_malformed, "there is no such token"),
        (_empty, "there is no such token"),
        (_expired, "it has expired"),
        (_revoked, "it was revoked by omar"),
        (_removed, "nadia is no longer in remediate.yml"),
        (_nobody_left, "nadia is no longer in remediate.yml"),
    ],
)
def test_whatever_is_wrong_with_a_token_the_same_is_said_and_the_trail_knows_the_reason(
    door: Door, bad: Callable[[Door], str], reason: str, compared: list[tuple[int, int]]
) -> None:
    text = bad(door)
    with pytest.raises(NotAllowed) as refused:
        door.identity.authenticate(text)

    assert refused.value.message == "The token is not accepted. Nothing was done."
    assert door.said == [("login.refused", parts(text)[0] or "malformed", reason)]
    # Each failure compares two hashes of one length, once: there is nothing to be learnt from how long it takes.
    assert compared == [(64, 64)]
    for secret in filter(None, [text, parts(text)[1]]):
        assert secret not in f"{door.entries}{refused.value}{refused.value.next_step}"


def test_a_good_token_takes_the_same_one_comparison(door: Door, compared: list[tuple[int, int]]) -> None:
    door.identity.authenticate(door.made())

    assert compared == [(64, 64)]


def test_the_use_of_a_token_is_recorded_once_a_minute_and_not_when_it_is_refused(door: Door) -> None:
    text = door.made()
    seen = []
    for wait in (0, 59, 1):
        door.clock.fast_forward(timedelta(seconds=wait))
        door.identity.authenticate(text)
        seen.append(door.tokens.tokens()[0].used_at)
    with pytest.raises(NotAllowed):
        door.identity.authenticate(text + "x")

    assert seen == [EPOCH, EPOCH, EPOCH + timedelta(minutes=1)]


def test_a_flood_of_refusals_does_not_fill_the_record_and_keeps_nobody_out(door: Door) -> None:
    good = door.made()
    for _ in range(FLOOD * 3):
        with pytest.raises(NotAllowed):
            door.identity.authenticate("guess")
    recorded = len(door.said)
    door.clock.fast_forward(timedelta(minutes=1))
    with pytest.raises(NotAllowed):
        door.identity.authenticate("guess")

    assert recorded == FLOOD
    assert len(door.said) == FLOOD + 1
    assert door.identity.authenticate(good).id == "nadia"


@pytest.mark.parametrize("user", ["nadia", "nadia2"])
def test_a_user_of_the_machine_is_the_person_that_remediate_yml_says(door: Door, user: str) -> None:
    assert door.identity.local(user) == Principal(person=NADIA, channel=f"os-user:{user}")


@pytest.mark.parametrize("user", ["root", "theo", "Nadia", "bot", ""])
def test_any_other_user_is_nobody_root_too(door: Door, user: str) -> None:
    with pytest.raises(NotAllowed, match=f"the user {user} of this machine is nobody in remediate.yml") as refused:
        door.identity.local(user)

    assert refused.value.next_step == (
        f"name a token: `--token-file FILE` or REMEDIATE_TOKEN_FILE; or have `os_users: [{user}]` "
        "written to one person in remediate.yml"
    )


def test_a_user_that_is_mapped_twice_is_nobody(door: Door) -> None:
    both = door.with_people(people(OMAR, person("theo", os_users=("omar",))))

    with pytest.raises(NotAllowed, match="mapped to several people"):
        both.local("omar")


@pytest.mark.parametrize(
    ("user", "person_id"),
    [
        ("nadia", "nadia"),
        ("root", "root"),
        ("Nadia.B", "nadia-b"),
        ("42", "u-42"),
        ("DOMAIN\\ü", "domain--"),
        ("", "u-"),
    ],
)
def test_where_no_people_are_configured_the_user_is_the_only_person(user: str, person_id: str) -> None:
    alone = Door(People()).identity.local(user)

    assert (alone.id, alone.person.name, alone.level, alone.channel) == (person_id, user, 1, f"os-user:{user}")
    assert {entry.role for entry in alone.grants} == set(Role) - {Role.APPROVER}


def test_the_longest_user_still_is_a_person() -> None:
    assert len(Door(People()).identity.local("9" * 200).id) == 32


def test_a_site_without_people_has_nobody_to_make_a_token_for() -> None:
    alone = Door(People())

    with pytest.raises(UsageError, match="There is no person 'nadia'") as refused:
        alone.identity.make_token(alone.identity.local("nadia"), "nadia")
    assert refused.value.next_step == "people are written in remediate.yml, under `people:`"


@pytest.mark.parametrize(
    ("holder", "changes", "message"),
    [
        ("nadja", {}, "There is no person 'nadja'"),
        ("nadia", {"lifetime": LONGEST_LIFETIME + timedelta(seconds=1)}, "at most 366 days"),
        ("nadia", {"lifetime": timedelta(0)}, "at most 366 days"),
        ("nadia", {"label": "x" * 81}, "at most 80 printable characters"),
        ("nadia", {"label": "a\x1b[2Jb"}, "at most 80 printable characters"),
        ("nadia", {"roles": [Role.VIEWER, Role.APPROVER, Role.ADMIN]}, "does not have the role admin, approver"),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(
    door: Door, holder: str, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        door.identity.make_token(door.omar, holder, **changes)  # type: ignore[arg-type]  # one wrong thing at a time
    assert (door.tokens.tokens(), door.entries) == ((), [])


def test_a_token_lives_at_most_a_year_and_a_day(door: Door) -> None:
    text = door.made(lifetime=LONGEST_LIFETIME)

    assert door.identity.authenticate(text).id == "nadia"


def test_nobody_but_an_admin_makes_a_token_and_the_refusal_is_recorded(door: Door) -> None:
    with pytest.raises(NotAllowed) as refused:
        door.identity.make_token(door.identity.local("nadia"), "nadia")

    why = "this takes the role admin, which nadia does not have"
    assert refused.value.message == f"nadia may not make token: {why}. Nothing was done."
    assert door.said == [("access.refused", "os-user:nadia", why)]
    assert door.entries[0].actor == "nadia"
    assert door.tokens.tokens() == ()


def test_a_service_account_makes_no_token_though_it_is_admin(door: Door) -> None:
    bot = door.identity.authenticate(door.made("bot"))

    with pytest.raises(NotAllowed, match="bot is a service account; people decide this"):
        door.identity.make_token(bot, "nadia")


def test_an_admin_revokes_every_token_and_a_person_their_own(door: Door) -> None:
    own, other = door.made(), door.made("bot")
    nadia = door.identity.local("nadia")
    with pytest.raises(NotAllowed):
        door.identity.revoke(nadia, parts(other)[0])
    revoked = door.identity.revoke(nadia, parts(own)[0])
    door.identity.revoke(door.omar, parts(other)[0])

    assert (revoked.revoked_by, revoked.revoked_at) == ("nadia", EPOCH)
    for text in (own, other):
        with pytest.raises(NotAllowed):
            door.identity.authenticate(text)


def test_a_narrowed_token_has_no_say_over_the_other_tokens_of_its_person(door: Door) -> None:
    whole, narrow = door.made(), door.made("nadia", Role.VIEWER)
    thief = door.identity.authenticate(narrow)
    with pytest.raises(NotAllowed):
        door.identity.revoke(thief, parts(whole)[0])

    assert door.identity.tokens(thief) == ()
    assert door.identity.authenticate(whole).id == "nadia"


def test_an_unknown_token_is_unknown_to_an_admin_and_not_allowed_to_others(door: Door) -> None:
    with pytest.raises(UnknownToken):
        door.identity.revoke(door.omar, "nothing")
    with pytest.raises(NotAllowed):
        door.identity.revoke(door.identity.local("nadia"), "nothing")


def test_people_see_their_own_tokens_and_an_admin_sees_all(door: Door) -> None:
    door.made()
    door.made("bot")

    assert [entry.person for entry in door.identity.tokens(door.identity.local("nadia"))] == ["nadia"]
    assert sorted(entry.person for entry in door.identity.tokens(door.omar)) == ["bot", "nadia"]


def test_what_somebody_may_not_do_is_refused_with_the_reason_and_what_to_type(door: Door) -> None:
    narrow = Principal(person=person("theo", grant(Role.OPERATOR, ("disk-full",))), channel="os-user:theo")
    door.identity.require(narrow, Permission.CARRY_OUT, runbook="disk-full", groups={"web1": ()})
    with pytest.raises(NotAllowed) as refused:
        door.identity.require(narrow, Permission.CARRY_OUT, runbook="ssl-expiry", groups={"web1": ()})

    assert refused.value.message == (
        "theo may not carry out: the role is not granted on ssl-expiry for web1. Nothing was done."
    )
    assert refused.value.next_step == (
        "see what you may do with `remediate whoami`; grants are written in remediate.yml"
    )
    assert [entry.details["permission"] for entry in door.entries] == ["carry_out"]


def test_a_change_of_remediate_yml_holds_for_tokens_that_exist(door: Door) -> None:
    text = door.made()
    demoted: Person = person("nadia", Role.VIEWER)
    found = door.with_people(people(OMAR, demoted)).authenticate(text)

    assert (found.person, found.level) == (demoted, 0)
