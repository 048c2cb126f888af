from __future__ import annotations

import re
from datetime import UTC, date, datetime, time
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from remediate.catalog.settings import Settings, read_settings
from remediate.domain.people import Grant, Person, Role
from remediate.domain.rotation import Absence, Override, Position, Rotation, Swap
from remediate.errors import InvalidDocument, UsageError
from remediate.interfaces.cli.init import init_command

PEOPLE = """\
version: 1
people:
  nadia: {name: Nadia, email: nadia@example.org, level: 1}
  omar: {name: Omar, chat: "@omar", level: 1}
  pia: {name: Pia, phone: "+49 30 1234567", level: 2}
  zoe: {name: Zoe, email: zoe@example.org}
  bot: {name: Bot, service: true}
"""
#: Its first line is the ninth of the file, what is added after it stands from line 13 on.
ROTATION = """\
on_call:
  time_zone: Europe/Berlin
  start: 2026-11-30
  order: [nadia, omar]
"""

LOW = "zoe has level 0 and could not approve anything: level 1 or higher is wanted"
MOMENT = "a moment such as 2026-12-24 18:00 is wanted"
ROLES = "'viewer', 'requester', 'operator', 'approver', 'admin' or 'auditor'"
DAYS = "'monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday' or 'sunday'"


def settings(site: Path, text: str) -> Settings:
    (site / "remediate.yml").write_text(text)
    return read_settings(site, {})


def problems(site: Path, text: str) -> list[str]:
    """The problems of a file, each as `line: field: what`."""
    with pytest.raises(InvalidDocument) as refused:
        settings(site, text)
    headline, *told = refused.value.message.split("\n  ")
    assert headline == "remediate.yml cannot be used:"
    return [problem.removeprefix(f"{site / 'remediate.yml'}:") for problem in told]


def test_people_are_read_with_all_that_is_said_about_them(tmp_path: Path) -> None:
    people = settings(
        tmp_path,
        """\
version: 1
people:
  nadia:
    name: Nadia Petrova
    email: nadia@example.org
    phone: "+49 30 1234567"
    chat: "@nadia"
    level: 1
    roles: [operator, {role: approver, runbooks: [disk-full], groups: [web]}]
    os_users: [nadia, np]
  deploy: {name: Deployment, service: true, roles: [requester]}
""",
    ).people

    assert people.by_id == {
        "nadia": Person(
            id="nadia",
            name="Nadia Petrova",
            email="nadia@example.org",
            phone="+49 30 1234567",
            chat="@nadia",
            level=1,
            grants=(
                Grant(role=Role.OPERATOR),
                Grant(role=Role.APPROVER, runbooks=("disk-full",), groups=("web",)),
            ),
            os_users=("nadia", "np"),
        ),
        "deploy": Person(id="deploy", name="Deployment", service=True, grants=(Grant(role=Role.REQUESTER),)),
    }
    assert people.by_id["nadia"].contacts == {
        "email": "nadia@example.org",
        "phone": "+49 30 1234567",
        "chat": "@nadia",
    }


def test_a_rotation_is_read_with_every_moment_in_utc(tmp_path: Path) -> None:
    rotation = settings(
        tmp_path,
        PEOPLE
        + """\
on_call:
  time_zone: Europe/Berlin
  handover: {day: friday, time: "16:30"}
  start: 2026-11-27
  order: [nadia, omar]
  secondary_order: [pia]
  overrides:
    - {from: 2026-12-24 18:00, to: 2026-12-26 09:00:00, person: pia, as: secondary, reason: Christmas}
  swaps:
    - {week: 2026-12-04, give: omar, take: nadia, in_return: 2027-01-08}
  absences:
    - {person: zoe, from: 2026-07-01 10:00+00:00, to: 2026-07-01T18:00}
""",
    ).rotation

    assert rotation == Rotation(
        zone=ZoneInfo("Europe/Berlin"),
        handover_day=4,
        handover_time=time(16, 30),
        start=date(2026, 11, 27),
        order=("nadia", "omar"),
        secondary_order=("pia",),
        overrides=(
            Override(
                start=datetime(2026, 12, 24, 17, tzinfo=UTC),
                end=datetime(2026, 12, 26, 8, tzinfo=UTC),
                person="pia",
                position=Position.SECONDARY,
                reason="Christmas",
            ),
        ),
        swaps=(Swap(week=date(2026, 12, 4), give="omar", take="nadia", in_return=date(2027, 1, 8)),),
        absences=(
            Absence(
                person="zoe",
                start=datetime(2026, 7, 1, 10, tzinfo=UTC),
                end=datetime(2026, 7, 1, 16, tzinfo=UTC),
            ),
        ),
    )


def test_a_week_begins_on_monday_at_nine_unless_something_else_is_said(tmp_path: Path) -> None:
    rotation = settings(tmp_path, PEOPLE + ROTATION).required_rotation()

    assert (rotation.handover_day, rotation.handover_time) == (0, time(9))


@pytest.mark.parametrize(
    ("written", "read"), [("09:00", time(9)), ("10:00", time(10)), ('"10:00"', time(10)), ("23:59", time(23, 59))]
)
def test_a_time_of_day_without_quotes_is_not_the_number_that_yaml_makes_of_it(
    tmp_path: Path, written: str, read: time
) -> None:
    rotation = settings(tmp_path, f"{PEOPLE}{ROTATION}  handover: {{time: {written}}}\n").required_rotation()

    assert rotation.handover_time == read


def test_a_site_without_people_or_rotation_has_none_and_says_what_to_add(tmp_path: Path) -> None:
    found = settings(tmp_path, "version: 1\n")

    assert (found.people.by_id, found.rotation) == ({}, None)
    with pytest.raises(UsageError, match=r"Nobody is on call: .*remediate\.yml has no `on_call:`") as refused:
        found.required_rotation()
    assert refused.value.next_step == "add `people:` and `on_call:` to it, as docs/how-to/on-call.md shows"


def test_a_level_that_nobody_has_is_told_and_no_problem(tmp_path: Path) -> None:
    assert settings(tmp_path, PEOPLE).people.levels_without_anybody() == (3, 4)


@pytest.mark.parametrize(
    ("person", "told"),
    [
        ("kim: {name: Kim}", "8: people.kim: cannot be reached: an email, a phone or a chat is wanted"),
        ("kim: {email: kim@example.org}", "8: people.kim.name: is missing"),
        ('kim: {name: "", chat: k}', "8: people.kim.name: string should have at least 1 character"),
        ('kim: {name: "Kim\\nBcc: x", chat: k}', "8: people.kim.name: one line of plain text is wanted"),
        (
            "kim: {name: Kim, email: kim}",
            "8: people.kim.email: an address such as nadia@example.org is wanted",
        ),
        (
            'kim: {name: Kim, email: "kim@example.org\\nBcc: x@y"}',
            "8: people.kim.email: one line of plain text is wanted",
        ),
        (
            "kim: {name: Kim, phone: +49301234567}",
            "8: people.kim.phone: is read as a number or a yes/no: put it between quotes",
        ),
        ("kim: {name: Kim, phone: call me}", '8: people.kim.phone: a number such as "+49 30 1234567" is wanted'),
        (
            "kim: {name: Kim, chat: k, level: 5}",
            "8: people.kim.level: input should be less than or equal to 4",
        ),
        ("kim: {name: Kim, chat: k, level: '1'}", "8: people.kim.level: input should be a valid integer"),
        (
            "kim: {name: Kim, service: true, level: 2}",
            "8: people.kim.level: a service account decides nothing: its level is 0",
        ),
        (
            "kim: {name: Kim, chat: k, roles: [king]}",
            f"8: people.kim.roles.0.role: input should be {ROLES}",
        ),
        (
            "kim: {name: Kim, chat: k, roles: [{role: admin, hosts: [a]}]}",
            "8: people.kim.roles.0.hosts: is not a known field",
        ),
        ("kim: {name: Kim, chat: k, boss: omar}", "8: people.kim.boss: is not a known field"),
        (
            "Kim K: {name: Kim, chat: k}",
            "8: people.Kim K.[key]: an id of small letters, digits, - and _ is wanted, such as nadia",
        ),
        (
            "engine: {name: Kim, chat: k}",
            "8: people.engine.[key]: engine is how the record names the program itself: choose another id",
        ),
        (
            "no: {name: Kim, chat: k}",
            "2: people.0.[key]: is read as a number or a yes/no: put it between quotes",
        ),
        ("omar: {name: Kim, chat: k}", "8: people.omar: stands twice"),
    ],
)
def test_what_is_wrong_with_a_person_is_told_with_its_line(tmp_path: Path, person: str, told: str) -> None:
    assert problems(tmp_path, f"{PEOPLE}  {person}\n") == [told]


def test_a_user_of_the_machine_is_one_person_only(tmp_path: Path) -> None:
    text = """\
version: 1
people:
  nadia: {name: Nadia, chat: n, os_users: [nadia, ops]}
  omar:
    name: Omar
    chat: o
    os_users:
      - omar
      - ops
"""

    assert problems(tmp_path, text) == ["9: people.omar.os_users.1: ops is nadia already"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("secondary_order: [who]", "12: on_call.secondary_order.0: 'who' is nobody of `people`"),
        ("secondary_order: [pia, nadia, pia]", "12: on_call.secondary_order.2: pia stands in it twice"),
        (
            "secondary_order: [zoe]",
            f"12: on_call.secondary_order.0: {LOW}",
        ),
        ("secondary_order: [bot]", "12: on_call.secondary_order.0: bot is a service account: it has no duty"),
        (
            "overrides: [{from: 2026-12-24 18:00, to: 2026-12-25 18:00, person: who, as: primary}]",
            "12: on_call.overrides.0.person: 'who' is nobody of `people`",
        ),
        (
            "overrides: [{from: 2026-12-24 18:00, to: 2026-12-25 18:00, person: zoe, as: primary}]",
            f"12: on_call.overrides.0.person: {LOW}",
        ),
        (
            "overrides: [{from: 2026-12-24 18:00, to: 2026-12-24 18:00, person: pia, as: primary}]",
            "12: on_call.overrides.0.to: ends before it begins, or at the same moment",
        ),
        (
            "overrides: [{from: 2026-12-24 18:00, to: 2026-12-24 17:30Z, person: pia, as: main}]",
            "12: on_call.overrides.0.as: input should be 'primary' or 'secondary'",
        ),
        (
            "overrides: [{from: 2026-12-24, to: 2026-12-25 18:00, person: pia, as: primary}]",
            f"12: on_call.overrides.0.from: {MOMENT}, with its time of day, not 2026-12-24",
        ),
        (
            "overrides: [{from: 2026-12-24 24:30, to: 2026-12-25 18:00, person: pia, as: primary}]",
            f"12: on_call.overrides.0.from: {MOMENT}, not '2026-12-24 24:30'",
        ),
        (
            "overrides: [{from: 1026-12-24 18:00, to: 2026-12-25 18:00, person: pia, as: primary}]",
            "12: on_call.overrides.0.from: the year 1026 cannot be meant",
        ),
        (
            "absences: [{person: who, from: 2026-12-24 18:00, to: 2026-12-25 18:00}]",
            "12: on_call.absences.0.person: 'who' is nobody of `people`",
        ),
        (
            "absences: [{person: zoe, from: 2026-12-24 18:00, to: 2026-12-24 16:59Z}]",
            "12: on_call.absences.0.to: ends before it begins, or at the same moment",
        ),
        (
            "swaps: [{week: 2026-12-07, give: nadia, take: omar}]",
            "12: on_call.swaps.0: the week of 2026-12-07 is not nadia's but omar's",
        ),
        (
            "swaps: [{week: 2026-12-01, give: nadia, take: pia}]",
            "12: on_call.swaps.0: pia has no week to give in return: use an override",
        ),
        (
            "swaps: [{week: 2026-12-01, give: nadia, take: omar}, {week: 2026-12-08, give: omar, take: nadia}]",
            "12: on_call.swaps.1: exchanges a week that swaps.0 exchanges already",
        ),
        (
            "swaps: [{week: soon, give: nadia, take: omar}]",
            "12: on_call.swaps.0.week: a date such as 2026-12-24 is wanted, not soon",
        ),
        ("handover: {time: 9am}", "12: on_call.handover.time: a time of day such as \"09:00\" is wanted, not '9am'"),
        ("handover: {time: 9}", '12: on_call.handover.time: a time of day such as "09:00" is wanted, not 9'),
        ("handover: {time: 24:00}", '12: on_call.handover.time: a time of day such as "09:00" is wanted, not 1440'),
        (
            "handover: {day: mon}",
            f"12: on_call.handover.day: input should be {DAYS}",
        ),
        ("escalate: true", "12: on_call.escalate: is not a known field"),
    ],
)
def test_what_is_wrong_with_the_rotation_is_told_with_its_line(tmp_path: Path, line: str, told: str) -> None:
    assert problems(tmp_path, f"{PEOPLE}{ROTATION}  {line}\n") == [told]


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ("[nadia, who]", "11: on_call.order.1: 'who' is nobody of `people`"),
        ("[nadia, omar, nadia]", "11: on_call.order.2: nadia stands in it twice"),
        (
            "[zoe]",
            f"11: on_call.order.0: {LOW}",
        ),
        ("[nadia, bot]", "11: on_call.order.1: bot is a service account: it has no duty"),
        ("[]", "11: on_call.order: tuple should have at least 1 item after validation, not 0"),
    ],
)
def test_an_order_that_cannot_be_kept_is_told_with_its_line(tmp_path: Path, order: str, told: str) -> None:
    assert problems(tmp_path, PEOPLE + ROTATION.replace("[nadia, omar]", order)) == [told]


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Europe/Berln", "; did you mean Europe/Berlin?"),
        ("localtime", ", such as Europe/Berlin"),
        ("right/Europe/Berlin", "; did you mean Europe/Berlin?"),
        ("../../../etc/passwd", ", such as Europe/Berlin"),
        ("Europe", "; did you mean Europe/Rome?"),
        ("MESZ", ", such as Europe/Berlin"),
    ],
)
def test_only_a_zone_of_the_database_is_a_time_zone(tmp_path: Path, zone: str, hint: str) -> None:
    assert problems(tmp_path, PEOPLE + ROTATION.replace("Europe/Berlin", zone)) == [
        f"9: on_call.time_zone: {zone!r} is no time zone of the IANA database{hint}"
    ]


def test_two_overrides_for_one_duty_at_one_time_are_told_and_for_two_duties_are_none(tmp_path: Path) -> None:
    overrides = """\
  overrides:
    - {from: 2026-12-24 18:00, to: 2026-12-25 18:00, person: pia, as: primary}
    - {from: 2026-12-24 18:00, to: 2026-12-25 18:00, person: omar, as: secondary}
    - {from: 2026-12-25 18:00, to: 2026-12-26 18:00, person: omar, as: primary}
    - {from: 2026-12-25 17:59, to: 2026-12-25 18:01, person: nadia, as: primary}
"""

    assert problems(tmp_path, PEOPLE + ROTATION + overrides) == [
        "16: on_call.overrides.3: is at the same time as overrides.0, for the same duty",
        "16: on_call.overrides.3: is at the same time as overrides.2, for the same duty",
    ]


def test_a_rotation_without_people_names_everybody_who_is_missing(tmp_path: Path) -> None:
    assert problems(tmp_path, "version: 1\n" + ROTATION) == [
        "5: on_call.order.0: 'nadia' is nobody of `people`",
        "5: on_call.order.1: 'omar' is nobody of `people`",
    ]


def test_what_is_wrong_elsewhere_hides_nothing_here(tmp_path: Path) -> None:
    told = problems(
        tmp_path, f"{PEOPLE}{ROTATION}  swaps: [{{week: 2026-12-07, give: nadia, take: omar}}]\ninventoy: x\n"
    )

    assert told == [
        "13: inventoy: is not a known field",
        "12: on_call.swaps.0: the week of 2026-12-07 is not nadia's but omar's",
    ]


def test_what_the_documentation_shows_can_be_written_as_it_stands(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "on-call.md").read_text()
    example = page.split("```yaml\n")[1].split("```")[0]
    exceptions = re.findall(r"`((?:overrides|swaps|absences): .*?\])`", page)

    found = settings(tmp_path, "\n  ".join(["version: 1\n" + example, *exceptions])).required_rotation()

    assert (len(found.overrides), len(found.swaps), len(found.absences)) == (1, 1, 1)


def test_the_example_that_init_writes_is_a_rotation_once_its_comments_are_taken_away(tmp_path: Path) -> None:
    init_command.main([str(tmp_path / "site")], standalone_mode=False)
    written = (tmp_path / "site" / "remediate.yml").read_text()
    assert read_settings(tmp_path / "site", {}).rotation is None

    found = settings(tmp_path, re.sub(r"(?m)^#(?=\S|  )", "", written))

    assert set(found.people.by_id) == {"nadia", "omar"}
    assert found.required_rotation().order == ("nadia", "omar")
