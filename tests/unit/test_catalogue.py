from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from remediate.catalog.arguments import given_by_people, read_arguments
from remediate.catalog.card import Card
from remediate.catalog.document import Problems, read_document
from remediate.catalog.duration import parse_duration
from remediate.catalog.loader import Catalogue, playbook
from remediate.domain.runbook import Parameter, Phase
from remediate.errors import InvalidDocument, UnknownRunbook

CASES = Path(__file__).parents[1] / "cases" / "playbooks"

CARD = """\
title: The shelf is untidy
severity: SEV3
rto: 10m
causes:
  dust: {title: Dust, approval: 0, rollback: manual, evidence: It is seen}
phases:
  diagnose: {timeout: 1m}
  snapshot: {timeout: 1m}
  fix: {timeout: 1m}
  verify: {timeout: 1m}
cooldown: 30m
concurrency: one_per_host
readme: README.md
"""

SPECS = """\
argument_specs:
  diagnose: &inputs
    short_description: Look
    options:
      {role}_days: {{type: int, description: Days, default: 7}}
  snapshot: *inputs
  fix: *inputs
  verify: *inputs
"""


def role(content: Path, name: str = "tidy_shelf", card: str = CARD, specs: str | None = None) -> Path:
    meta = content / "roles" / name / "meta"
    meta.mkdir(parents=True)
    (meta / "runbook.yml").write_text(card)
    (meta / "argument_specs.yml").write_text(SPECS.format(role=name) if specs is None else specs)
    return meta


def problems_of(content: Path, runbook: str = "tidy-shelf") -> list[str]:
    with pytest.raises(InvalidDocument) as refused:
        Catalogue([content]).load(runbook)
    headline, *problems = refused.value.message.split("\n  ")
    assert headline == f"The runbook {runbook} cannot be used:"
    return [problem.replace(f"{content}/roles/", "") for problem in problems]


def test_a_card_and_its_specification_become_a_runbook() -> None:
    found = Catalogue([CASES]).load("tidy-shelf")

    assert (found.id, found.role, found.title, found.severity) == (
        "tidy-shelf",
        "tidy_shelf",
        "The shelf is untidy",
        "SEV3",
    )
    assert found.parameters["tidy_shelf_shelf"] == Parameter(
        name="tidy_shelf_shelf",
        type="str",
        description="The shelf to look at.",
        default="top",
        choices=("top", "bottom"),
    )
    assert [(cause.id, cause.approval) for cause in found.causes.values()] == [
        ("dust", 0),
        ("clutter", 1),
        ("archive", 2),
        ("heirloom", 2),
        ("fire", 0),
    ]
    verify = found.limits(Phase.VERIFY)
    assert (verify.timeout, verify.retries, verify.delay) == (timedelta(seconds=30), 3, timedelta(seconds=20))


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("1s", timedelta(seconds=1)),
        ("90s", timedelta(seconds=90)),
        ("5m", timedelta(minutes=5)),
        ("4h", timedelta(hours=4)),
        ("7d", timedelta(days=7)),
        ("9999999s", timedelta(seconds=9999999)),
    ],
)
def test_a_duration_is_a_whole_number_and_a_unit(text: str, span: timedelta) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize(
    "value", ["", "5", 5, "0s", "-1m", "1.5h", "5 m", "5M", "5w", "1h30m", "٣m", "10000000s", None]
)
def test_anything_else_is_no_duration(value: object) -> None:
    with pytest.raises(ValueError, match="a duration such as 90s, 5m, 4h or 7d is wanted, not"):
        parse_duration(value)


def test_every_problem_of_a_runbook_is_told_at_once_with_file_line_and_field(tmp_path: Path) -> None:
    card = (
        CARD.replace("SEV3", "SEV9")
        .replace("rto: 10m", "rto: soon")
        .replace("approval: 0", "approval: 5")
        .replace("cooldown: 30m\n", "colour: red\n")
    )
    role(tmp_path, card=card, specs=SPECS.format(role="tidy_shelf").replace("tidy_shelf_days", "days"))

    assert problems_of(tmp_path) == [
        "tidy_shelf/meta/runbook.yml:2: severity: input should be 'SEV1', 'SEV2', 'SEV3' or 'SEV4'",
        "tidy_shelf/meta/runbook.yml:3: rto: a duration such as 90s, 5m, 4h or 7d is wanted, not 'soon'",
        "tidy_shelf/meta/runbook.yml:5: causes.dust.approval: input should be less than or equal to 4",
        "tidy_shelf/meta/runbook.yml:1: cooldown: is missing",
        "tidy_shelf/meta/runbook.yml:11: colour: is not a known field",
        *["tidy_shelf/meta/argument_specs.yml:5: days: must begin with tidy_shelf_"] * 4,
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("approval: 0", "approval: '0'", "5: causes.dust.approval: input should be a valid integer"),
        ("approval: 0", "approval: true", "5: causes.dust.approval: input should be a valid integer"),
        ("rollback: manual", "rollback: none", "5: causes.dust: rollback: none needs a rollback_reason"),
        (
            "rollback: manual",
            "rollback: manual, effects: [explosion]",
            "5: causes.dust.effects.0: input should be 'restart', 'access', 'data_loss', 'data_disclosure' or",
        ),
        ("  fix: {timeout: 1m}\n", "", "1: phases: fix missing"),
        (
            "  fix: {",
            "  mend: {",
            "9: phases.mend.[key]: input should be 'diagnose', 'snapshot', 'fix', 'verify' or 'rollback'",
        ),
        ("one_per_host", "many", "12: concurrency: input should be 'one_per_host'"),
        ("title: The shelf", "title: The shelf\ntitle: Twice", "2: title: stands twice"),
        ("title: The shelf is untidy", "title: [", "3: is not valid YAML: "),
        ("title: The shelf is untidy", "title: !!python/object/apply:os.system [id]", "1: is not valid YAML: "),
    ],
)
def test_a_card_with_a_mistake_is_refused_with_its_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    role(tmp_path, card=CARD.replace(old, new))

    assert any(found.startswith(f"tidy_shelf/meta/runbook.yml:{problem}") for found in problems_of(tmp_path)), (
        problems_of(tmp_path)
    )


def test_a_card_says_how_many_people_a_cause_takes_and_how_soon_silence_climbs(tmp_path: Path) -> None:
    card = CARD.replace("approval: 0", "approval: 2, approvers: 2").replace(
        "cooldown", "escalation: [5m, 15m]\ncooldown"
    )
    role(tmp_path, card=card)
    found = Catalogue([tmp_path]).load("tidy-shelf")

    assert found.causes["dust"].approvers == 2
    assert found.escalation == (timedelta(minutes=5), timedelta(minutes=15))


def test_a_card_that_says_nothing_about_it_takes_one_person_and_the_times_of_its_severity(tmp_path: Path) -> None:
    role(tmp_path)
    found = Catalogue([tmp_path]).load("tidy-shelf")

    assert (found.causes["dust"].approvers, found.escalation) == (1, ())


@pytest.mark.parametrize(
    ("approvers", "problem"),
    [
        ("0", "input should be greater than or equal to 1"),
        ("6", "input should be less than or equal to 5"),
        ("'2'", "input should be a valid integer"),
        ("true", "input should be a valid integer"),
    ],
)
def test_a_cause_takes_one_to_five_people(tmp_path: Path, approvers: str, problem: str) -> None:
    role(tmp_path, card=CARD.replace("approval: 0", f"approval: 2, approvers: {approvers}"))

    assert problems_of(tmp_path) == [f"tidy_shelf/meta/runbook.yml:5: causes.dust.approvers: {problem}"]


@pytest.mark.parametrize(
    ("escalation", "problem"),
    [
        ("[15m, 5m]", "each step comes later than the one before it, or a level would have no time"),
        ("[5m, 5m]", "each step comes later than the one before it, or a level would have no time"),
        ("[1m, 2m, 3m, 4m]", "at most 3"),
        ("[soon]", "a duration such as 90s, 5m, 4h or 7d is wanted, not 'soon'"),
        ("[0m]", "a duration such as 90s, 5m, 4h or 7d is wanted, not '0m'"),
    ],
)
def test_an_escalation_that_leaves_a_level_no_time_is_a_problem(tmp_path: Path, escalation: str, problem: str) -> None:
    role(tmp_path, card=CARD.replace("cooldown", f"escalation: {escalation}\ncooldown"))
    (found,) = problems_of(tmp_path)

    assert "escalation" in found
    assert problem in found


def test_a_phase_without_an_entry_point_is_a_problem(tmp_path: Path) -> None:
    role(tmp_path, card=CARD.replace("cooldown", "  rollback: {timeout: 1m}\ncooldown"))

    assert problems_of(tmp_path) == [
        "tidy_shelf/meta/runbook.yml:11: rollback: has no entry point in argument_specs.yml"
    ]


def test_an_alert_that_fills_an_undeclared_input_is_a_problem(tmp_path: Path) -> None:
    alerts = "alerts:\n  - {name: A, severity: SEV3, parameters: {tidy_shelf_colour: colour}}\n"
    role(tmp_path, card=alerts + CARD)

    assert problems_of(tmp_path) == ["tidy_shelf/meta/runbook.yml:1: tidy_shelf_colour: is not an input of diagnose"]


def test_a_default_that_is_a_template_is_a_problem(tmp_path: Path) -> None:
    role(tmp_path, specs=SPECS.format(role="tidy_shelf").replace("default: 7", "default: '{{ x }}'"))

    assert problems_of(tmp_path) == [
        "tidy_shelf/meta/argument_specs.yml: tidy_shelf_days: default: template markers are not accepted"
    ]


@pytest.mark.parametrize("specs", ["", "[]", "argument_specs: []", "other: {}"])
def test_a_specification_without_argument_specs_is_a_problem(tmp_path: Path, specs: str) -> None:
    role(tmp_path, specs=specs)

    assert "tidy_shelf/meta/argument_specs.yml:1: argument_specs: is missing" in problems_of(tmp_path)


def test_a_missing_specification_is_a_problem(tmp_path: Path) -> None:
    (role(tmp_path) / "argument_specs.yml").unlink()

    assert problems_of(tmp_path)[0] == ("tidy_shelf/meta/argument_specs.yml: cannot be read: No such file or directory")


def test_the_problems_of_all_runbooks_are_told_at_once(tmp_path: Path) -> None:
    role(tmp_path, "tidy_desk", card=CARD.replace("SEV3", "x"))
    role(tmp_path, "tidy_shelf", card=CARD.replace("10m", "y"))

    with pytest.raises(InvalidDocument, match=r"(?s)The catalogue has problems:.*tidy_desk.*tidy_shelf"):
        Catalogue([tmp_path]).load_all()


def test_inputs_of_the_engine_are_not_given_by_people(tmp_path: Path) -> None:
    options = (
        "{ {role}_run_id: {type: str, description: Id, required: true}, {role}_days: {type: int, description: D} }"
    )
    specs = "argument_specs:\n  fix: {options: " + options.replace("{role}", "tidy_shelf") + "}\n"
    path = role(tmp_path, specs=specs) / "argument_specs.yml"
    problems = Problems()
    phases = read_arguments(path, "tidy_shelf", problems)

    assert (problems.sentences, set(phases)) == ([], {Phase.FIX})
    assert set(given_by_people(phases, "tidy_shelf")) == {"tidy_shelf_days"}


def test_an_unknown_runbook_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(UnknownRunbook, match="There is no runbook 'tidy-shlef'") as refused:
        Catalogue([CASES]).load("tidy-shlef")

    assert refused.value.next_step == "did you mean tidy-shelf? see `remediate list`"


@pytest.mark.parametrize("name", ["../../etc", "tidy_shelf", "", "/etc/passwd", "tidy-shelf/../x", "{{ x }}"])
def test_no_name_but_a_listed_one_is_a_runbook(name: str) -> None:
    with pytest.raises(UnknownRunbook):
        Catalogue([CASES]).load(name)


def test_a_runbook_of_the_site_wins_over_the_one_that_came_with_the_program(tmp_path: Path) -> None:
    role(tmp_path, card=CARD.replace("The shelf is untidy", "Our own shelf"))

    assert Catalogue([tmp_path, CASES]).load("tidy-shelf").title == "Our own shelf"


def test_a_runbook_without_a_playbook_beside_its_role_is_refused(tmp_path: Path) -> None:
    role(tmp_path)
    runbook = Catalogue([tmp_path]).load("tidy-shelf")
    with pytest.raises(UnknownRunbook, match=r"has no playbook tidy_shelf\.yml"):
        playbook(runbook, [tmp_path])
    (tmp_path / "tidy_shelf.yml").write_text("[]")

    assert playbook(runbook, [tmp_path]) == tmp_path / "tidy_shelf.yml"


def test_a_document_knows_the_line_of_each_field_and_of_the_nearest_one_around_it(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_text("---\na:\n  - b: 1\n    c: 2\n")
    document = read_document(path, Problems())

    assert document is not None
    assert [document.line(at) for at in [("a",), ("a", 0, "c"), ("a", 0, "missing"), ("nothing",)]] == [2, 4, 3, 2]


def test_a_document_that_is_no_text_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    problems = Problems()
    for content in (b"\xff\xfe\x00", b"a: \x00", b"a: *b", b"- &a [*a]", b"? {a: 1}\n: 2", b"a: 2026-99-99"):
        path.write_bytes(content)
        if document := read_document(path, problems):
            document.parse(Card, document.data, (), problems)

    assert all(sentence.startswith(f"{path}:") for sentence in problems.sentences)
    assert len([sentence for sentence in problems.sentences if "is not valid YAML" in sentence]) == 6


def test_a_document_that_grows_by_its_aliases_is_refused_in_no_time(tmp_path: Path) -> None:
    path = tmp_path / "x.yml"
    path.write_text(
        "a: &a [x, x]\n" + "".join(f"b{n}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]\n" for n in range(20))
    )
    problems = Problems()

    assert read_document(path, problems) is None
    assert problems.sentences == [f"{path}:1: is not valid YAML: it is nested too deeply or repeats itself by aliases"]


HANDED = CARD.replace("evidence: It is seen}", "evidence: It is seen, hand_over: TO}")


def test_a_cause_may_be_handed_over_to_another_runbook_of_the_site(tmp_path: Path) -> None:
    role(tmp_path, card=HANDED.replace("TO", "air-room"))
    role(tmp_path, "air_room")

    assert Catalogue([tmp_path]).load("tidy-shelf").causes["dust"].hand_over == "air-room"


@pytest.mark.parametrize(
    ("to", "problem"),
    [
        ("air-rom", "there is no runbook 'air-rom'; did you mean air-room?"),
        ("air_room", "there is no runbook 'air_room'; did you mean air-room?"),
        ("moon", "there is no runbook 'moon'"),
        ("tidy-shelf", "is this runbook itself"),
    ],
)
def test_a_hand_over_to_what_is_no_other_runbook_is_a_problem_of_its_field(
    tmp_path: Path, to: str, problem: str
) -> None:
    role(tmp_path, card=HANDED.replace("TO", to))
    role(tmp_path, "air_room")

    assert problems_of(tmp_path) == [f"tidy_shelf/meta/runbook.yml:5: causes.dust.hand_over: {problem}"]


@pytest.mark.parametrize("more", ["approval: 1", "approval: 0, approvers: 2"])
def test_a_cause_that_is_handed_over_asks_for_no_approval_of_its_own(tmp_path: Path, more: str) -> None:
    role(tmp_path, card=HANDED.replace("TO", "air-room").replace("approval: 0", more))
    role(tmp_path, "air_room")

    wanted = "hand_over: wants approval 0 and one approver, the other runbook asks for its own"
    assert problems_of(tmp_path) == [f"tidy_shelf/meta/runbook.yml:5: causes.dust: {wanted}"]


def test_wrong_hand_overs_of_all_runbooks_are_told_at_once(tmp_path: Path) -> None:
    role(tmp_path, card=HANDED.replace("TO", "moon"))
    role(tmp_path, "air_room", card=HANDED.replace("TO", "sun"))

    with pytest.raises(InvalidDocument, match=r"no runbook 'sun'(?s:.*)no runbook 'moon'"):
        Catalogue([tmp_path]).load_all()
