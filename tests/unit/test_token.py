from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from remediate.domain.identity import NotAllowedBecause, Principal
from remediate.domain.people import Person, Role
from remediate.domain.token import FLOOD, floods, parts, recognised, secret_hash, use_is_due, written
from remediate.testing import EPOCH
from tests.identities import person, token

SECRET = "x" * 43
DAY = timedelta(days=1)


def test_a_token_is_taken_apart_as_it_was_written() -> None:
    assert parts(written("bcdfghjkmn", "aZ09-_" + "x" * 37)) == ("bcdfghjkmn", "aZ09-_" + "x" * 37)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rmd",
        f"rmd_bcdfghjkm_{SECRET}",
        f"rmd_bcdfghjkmnp_{SECRET}",
        f"rmd_abcdefghij_{SECRET}",
        f"rmd_bcdfghjkmn_{SECRET}x",
        f"rmd_bcdfghjkmn_{SECRET[1:]}",
        f"rmd_bcdfghjkmn_{SECRET}\n",
        f" rmd_bcdfghjkmn_{SECRET}",
        f"rmd_bcdfghjkmn_{SECRET[1:]}é",
        f"Bearer rmd_bcdfghjkmn_{SECRET}",
        f"RMD_bcdfghjkmn_{SECRET}",
        "rmd_%_%",
        "\ud800",
    ],
)
def test_any_other_text_has_no_parts(text: str) -> None:
    assert parts(text) == ("", "")


def test_a_secret_is_kept_as_its_sha256() -> None:
    assert secret_hash("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize(
    ("shown", "holder", "same", "at", "reason"),
    [
        (None, None, False, EPOCH, "there is no such token"),
        (token(), person(), False, EPOCH, "the secret is wrong"),
        (token(revoked_at=EPOCH, revoked_by="omar"), person(), False, EPOCH, "the secret is wrong"),
        (token(revoked_at=EPOCH, revoked_by="omar"), person(), True, EPOCH, "it was revoked by omar"),
        (token(expires_at=EPOCH + DAY), person(), True, EPOCH + DAY, "it has expired"),
        (token(), None, True, EPOCH, "nadia is no longer in remediate.yml"),
    ],
)
def test_a_token_is_refused_for_a_reason(
    shown: None, holder: Person | None, same: bool, at: datetime, reason: str
) -> None:
    assert recognised(shown, holder, same_secret=same, now=at) == NotAllowedBecause(reason=reason)


def test_a_token_is_accepted_until_the_moment_it_expires_with_the_roles_that_it_carries() -> None:
    shown = token(expires_at=EPOCH + DAY, roles=(Role.VIEWER,))
    found = recognised(shown, person(), same_secret=True, now=EPOCH + DAY - timedelta(microseconds=1))

    assert found == Principal(person=person(), channel="token:bcdfghjkmn", roles=(Role.VIEWER,))


@pytest.mark.parametrize(("since", "due"), [(None, True), (timedelta(seconds=59), False), (timedelta(minutes=1), True)])
def test_a_use_is_recorded_once_a_minute_at_most(since: timedelta | None, due: bool) -> None:
    used = token(used_at=EPOCH if since is not None else None)

    assert use_is_due(used, EPOCH + (since or timedelta(0))) is due


def test_refusals_are_a_flood_from_the_twentieth_within_a_minute() -> None:
    last = [EPOCH] * (FLOOD - 1)

    assert not floods(last, EPOCH)
    assert floods([*last, EPOCH], EPOCH + timedelta(seconds=59))
    assert not floods([*last, EPOCH], EPOCH + timedelta(minutes=1))
