"""Which causes an expiring certificate has, and what is done about each: told apart by evidence."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.certificate_der import CertificateError, from_pem
from ansible.module_utils.certificate_pair import Pair
from ansible.module_utils.host_step import Done, Step
from ansible.module_utils.ssl_decision import Facts, decide, usable
from ansible.module_utils.ssl_runbook import wanted_days

from tests.certificates import NOW, make

CERTIFICATE = "/tls/current/fullchain.pem"


def pair(ends: float, *troubles: str, begins: float = -100, names: tuple[str, ...] = ("shop.example.org",)) -> Pair:
    made = from_pem(make(names, begins=begins, ends=ends).pem)
    return Pair(CERTIFICATE, "/tls/current/privkey.pem", made, 0o600, not troubles, troubles)


def facts(file: Pair, **changed: Any) -> Facts:
    given: dict[str, Any] = {
        "now": NOW,
        "renew_days": 30,
        "service": "nginx",
        "server": "https://acme.example.org/directory",
        "names": ("shop.example.org",),
        "pair": file,
        "runs": True,
        "served": file.certificate,
        "served_trouble": "",
        "spare": None,
        "webroot_trouble": "",
        "key_type": "ecdsa",
        "notes": [],
    }
    return Facts(**{**given, **changed})


def causes_and_steps(seen: Facts) -> tuple[list[str], list[tuple[str, str, str, str]]]:
    found = decide(seen)
    assert all(found.causes.values()), "a cause without evidence"
    return list(found.causes), [(step.cause, step.verb, step.target, step.undo) for step in found.steps]


def renewal(cause: str) -> list[tuple[str, str, str, str]]:
    return [(cause, "renew", CERTIFICATE, "held")]


def test_with_time_left_there_is_nothing_to_do() -> None:
    found = decide(facts(pair(90)))
    assert (found.causes, found.steps, found.notes) == ({}, [], [])
    assert "nothing to do" in found.summary


@pytest.mark.parametrize(
    ("ends", "cause"), [(30.5, ""), (29.9, "expiring"), (0.01, "expiring"), (0, "expired"), (-5, "expired")]
)
def test_expiring_and_expired_are_told_apart_by_the_dates(ends: float, cause: str) -> None:
    assert causes_and_steps(facts(pair(ends))) == (([cause], renewal(cause)) if cause else ([], []))


def test_an_expired_one_that_is_served_while_the_file_is_good_was_not_deployed() -> None:
    causes, steps = causes_and_steps(facts(pair(80), served=pair(-1).certificate))
    assert (causes, steps) == (["not_deployed"], [("not_deployed", "reload", "nginx", "not_needed")])


def test_a_newer_one_of_certbot_is_taken_over_instead_of_asking_for_another() -> None:
    causes, steps = causes_and_steps(facts(pair(3), spare=pair(80)))
    assert (causes, steps) == (["not_deployed"], [("not_deployed", "deploy", CERTIFICATE, "held")])


def test_one_that_is_served_and_newer_than_the_file_is_only_told() -> None:
    found = decide(facts(pair(40), served=pair(80).certificate))
    assert (found.causes, found.steps) == ({}, [])
    assert "it is not touched" in found.notes[0]


def test_where_nothing_is_served_though_the_file_is_good_another_runbook_is_named() -> None:
    found = decide(facts(pair(80), runs=False, served=None, served_trouble="refused"))
    assert (found.causes, found.notes) == ({}, ["nginx does not run: that is for service-outage"])


@pytest.mark.parametrize(
    ("ends", "troubles", "webroot", "causes", "of"),
    [
        (80, ("foreign",), "", ["key_must_change"], "key_must_change"),
        (-1, ("foreign",), "", ["expired", "key_must_change"], "key_must_change"),
        (-1, (), "down", ["expired", "challenge_must_change"], "challenge_must_change"),
        (3, (), "lost", ["expiring", "challenge_must_change"], "challenge_must_change"),
        (3, ("open",), "lost", ["expiring", "challenge_must_change", "key_must_change"], "challenge_must_change"),
    ],
)
def test_several_causes_are_all_named_and_the_step_asks_for_the_most(
    ends: float, troubles: tuple[str, ...], webroot: str, causes: list[str], of: str
) -> None:
    seen = facts(pair(ends, *troubles), webroot_trouble=webroot)
    assert causes_and_steps(seen) == (causes, renewal(of))
    (step,) = decide(seen).steps
    assert step.data["method"] == ("standalone" if webroot else "webroot")
    assert step.data["new_key"] is bool(troubles)


def test_a_plain_renewal_keeps_the_key_and_says_so() -> None:
    (step,) = decide(facts(pair(3))).steps
    assert "with the same key" in step.detail
    assert step.data["new_key"] is False


def test_what_is_approved_does_not_change_from_one_look_to_the_next() -> None:
    file = pair(3)
    first = decide(facts(file))
    later = decide(facts(file, now=NOW.replace(hour=13)))
    assert first.steps == later.steps
    assert first.causes == later.causes


def test_a_certificate_of_the_future_is_no_cause_but_a_question_about_the_clock() -> None:
    with pytest.raises(CertificateError, match="clock of this host"):
        decide(facts(pair(90, begins=1)))


@pytest.mark.parametrize(
    ("spare", "of_use"),
    [
        (pair(80), True),
        (pair(10), False),
        (pair(80, begins=1), False),
        (pair(80, "foreign key"), False),
        (pair(80, names=("other.example.org",)), False),
    ],
)
def test_which_other_pair_is_of_use(spare: Pair, of_use: bool) -> None:
    assert usable(spare, ("shop.example.org",), 30, NOW) is of_use


def test_more_days_are_wanted_of_what_was_renewed_than_of_what_was_there() -> None:
    def done(*verbs: str) -> Done:
        return Done(tuple(Step("x", verb, "y") for verb in verbs))

    wanted = [wanted_days(one, 30, 60) for one in (done(), done("renew"), done("deploy"), done("reload"))]
    assert wanted == [60, 60, 30, 30]
