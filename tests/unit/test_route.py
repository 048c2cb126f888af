from __future__ import annotations

from remediate.domain.route import Route, Routes
from remediate.domain.runbook import Severity
from tests.builders import person

MAIL = Route(channel="mail", needs="email")
TEAM = Route(channel="team")
BOSS = Route(channel="boss", people=("nadia",))
ROUTES = Routes(
    by_channel={"mail": MAIL, "team": TEAM, "boss": BOSS},
    by_severity={Severity.SEV1: ("mail", "team"), Severity.SEV4: ("mail",)},
)


def test_a_channel_reaches_who_has_its_address_and_is_meant() -> None:
    omar, nadia, nobody = person("omar"), person("nadia"), person("rosa", email="")

    assert [MAIL.reaches(one) for one in (omar, nobody)] == [True, False]
    assert [TEAM.reaches(one) for one in (omar, nobody)] == [True, True]
    assert [BOSS.reaches(one) for one in (omar, nadia)] == [False, True]


def test_a_severity_uses_its_channels_and_one_that_is_not_named_uses_all() -> None:
    assert ROUTES.chosen(person("omar"), Severity.SEV1) == ("mail", "team")
    assert ROUTES.chosen(person("omar"), Severity.SEV4) == ("mail",)
    assert ROUTES.chosen(person("nadia"), Severity.SEV2) == ("mail", "team", "boss")


def test_a_person_whom_no_channel_of_the_severity_reaches_is_told_over_any_other() -> None:
    assert ROUTES.chosen(person("rosa", email=""), Severity.SEV4) == ("team",)


def test_the_alternatives_are_all_other_channels_that_reach_the_person() -> None:
    assert ROUTES.besides(person("nadia"), "mail") == ("team", "boss")
    assert ROUTES.besides(person("omar"), "team") == ("mail",)


def test_without_channels_nobody_is_reached() -> None:
    assert Routes().chosen(person("omar"), Severity.SEV1) == ()
