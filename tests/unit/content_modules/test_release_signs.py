"""When a release is a bad one: by evidence, never by a guess, and never when something else is to blame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils.answer_log import Rate
from ansible.module_utils.deployment_rollback_run import SETTINGS
from ansible.module_utils.release_facts import Facts, Reply, not_connected
from ansible.module_utils.release_migrations import Migrations
from ansible.module_utils.release_plan import Way, kept_configuration, steps
from ansible.module_utils.release_signs import DOWN, ERRORS, FULL, MIGRATION, causes, signs
from ansible.module_utils.releases import ReleaseError

NOW = 1_795_780_800.0
SET = {name: option.get("default") for name, option in SETTINGS["options"].items()}
GOOD, BAD = Reply(200, 0.1), Reply(500, 0.1)
WELL = Facts(NOW, "new", NOW - 600, (GOOD,), (GOOD,), longer=Rate(100, 0))
ILL = replace(WELL, ready=(BAD, BAD, BAD), pages=())
ERRING = replace(WELL, last_minute=Rate(40, 30), longer=Rate(100, 40))


def test_a_release_that_answers_is_not_bad() -> None:
    assert not signs(WELL, SET).bad


def test_an_application_that_never_answered_since_its_release_is_down_for_it() -> None:
    found = signs(ILL, SET)
    assert found.down[:2] == [
        "/health/ready failed 3 times in a row: 500",
        "no request to the same address was answered well since release new became current at 2026-11-27 11:50:00 UTC",
    ]
    assert not found.errors


def test_one_good_answer_among_three_is_no_outage() -> None:
    assert not signs(replace(ILL, ready=(BAD, GOOD)), SET).down


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"blame": ("mysql does not answer",)}, "mysql does not answer"),
        ({"down": {"app": "exited (0)"}}, "somebody stopped it"),
        ({"down": {"nginx": "inactive"}}, "somebody stopped it"),
        ({"switched": NOW - 3 * 3600}, "longer than 120 min"),
        ({"switched": NOW - 60}, "look again then"),
        ({"good_since": 3}, "answered well 3 times after"),
    ],
)
def test_what_something_else_is_to_blame_for_is_not_the_releases(change: dict[str, Any], said: str) -> None:
    found = signs(replace(ILL, **change), SET)
    assert not found.bad
    assert said in found.notes[0]


def test_a_service_that_falls_again_and_again_was_stopped_by_nobody() -> None:
    found = signs(replace(ILL, down={"app": "restarting", "queue": "restarting"}), SET)
    assert {"app falls again and again", "queue falls again and again"} <= set(found.down)


@pytest.mark.parametrize(
    ("change", "bad"),
    [
        ({"last_minute": Rate(20, 11), "longer": Rate(200, 11)}, True),
        ({"last_minute": Rate(20, 10), "longer": Rate(200, 10)}, False),
        ({"last_minute": Rate(5, 5), "longer": Rate(9, 9)}, False),
        ({"last_minute": Rate(0, 0), "longer": Rate(100, 11)}, True),
        ({"last_minute": Rate(0, 0), "longer": Rate(100, 10)}, False),
        ({"pages": (Reply(200, 5.1),)}, True),
        ({"pages": (Reply(200, 5.0),)}, False),
        ({"down": {"queue": "restarting"}}, True),
        ({"down": {"queue": "exited (137)"}}, False),
        ({"last_minute": Rate(20, 20), "longer": Rate(20, 20), "before": Rate(100, 11)}, False),
        ({"last_minute": Rate(20, 20), "longer": Rate(20, 20), "blame": ("redis does not answer",)}, False),
    ],
)
def test_a_release_errs_by_the_figures_and_only_if_it_was_better_before(change: dict[str, Any], bad: bool) -> None:
    found = signs(replace(WELL, **change), SET)
    assert (bool(found.errors), found.down) == (bad, [])


@pytest.mark.parametrize(
    ("facts", "kind", "release", "migrations", "expected"),
    [
        (ILL, "auto", "", (), [DOWN]),
        (ILL, "auto", "", ("m",), [DOWN, MIGRATION]),
        (ERRING, "auto", "", (), [ERRORS]),
        (ERRING, "auto", "", ("m",), [ERRORS, MIGRATION]),
        (WELL, "auto", "", ("m",), []),
        (WELL, "auto", "old", (), []),
        (ILL, "emergency", "", (), [DOWN]),
        (ERRING, "emergency", "", (), []),
        (ILL, "standard", "", (), [ERRORS]),
        (WELL, "standard", "", (), []),
        (WELL, "standard", "old", (), [ERRORS]),
        (WELL, "standard", "new", (), []),
        (WELL, "with_database", "old", ("m",), [MIGRATION]),
        (WELL, "with_database", "old", (), [ERRORS]),
        (WELL, "full", "", ("m",), []),
        (WELL, "full", "old", ("m",), [FULL]),
        (ILL, "full", "", (), [FULL]),
    ],
)
def test_the_kind_follows_from_evidence_or_from_words(
    facts: Facts, kind: str, release: str, migrations: tuple[str, ...], expected: list[str]
) -> None:
    given = SET | {"kind": kind, "release": release}
    found = causes(signs(facts, given), given, "new", migrations)
    assert list(found) == expected
    assert all(found.values())


def test_full_is_never_found_by_itself() -> None:
    for facts in (WELL, ILL, ERRING):
        assert FULL not in causes(signs(facts, SET), SET, "new", ("m",))


def test_the_plan_of_a_release_without_migrations_is_one_switch() -> None:
    (switch,) = steps(Way("new", "old", (DOWN,)), SET, {})
    assert (switch.cause, switch.verb, switch.target, switch.undo) == (DOWN, "switch", "release new to old", "held")


def test_nothing_writes_while_the_database_changes_and_it_is_copied_before() -> None:
    plan = steps(Way("new", "old", (ERRORS, MIGRATION), Migrations(("c", "b"))), SET, {})
    assert [one.verb for one in plan] == ["stop", "stop", "stop", "copy", "migrate back", "migrate back", "switch"]
    assert [one.target for one in plan[-3:-1]] == ["c", "b"]
    assert {one.cause for one in plan[:-1]} == {MIGRATION}
    assert plan[-1].cause == ERRORS


def test_a_migration_whose_way_back_drops_data_cannot_be_undone_and_says_so() -> None:
    lossy = Migrations(("c",), ("table coupons holds data",))
    back = next(one for one in steps(Way("new", "old", (MIGRATION,), lossy), SET, {}) if one.verb == "migrate back")
    assert back.undo == "none"
    assert back.note.startswith("DATA LOSS: table coupons holds data")


def test_more_migrations_than_one_release_has_are_left_to_people() -> None:
    with pytest.raises(ReleaseError, match="by hand"):
        steps(Way("new", "old", (MIGRATION,), Migrations(tuple(map(str, range(21))))), SET, {})


def test_settings_go_back_only_when_full_is_asked_for_and_only_those_that_differ(tmp_path: Any) -> None:
    now, same = tmp_path / "app.conf", tmp_path / "same.conf"
    now.write_text("secret=2")
    same.write_text("x")
    for path, content in ((now, "secret=1"), (same, "x")):
        kept = tmp_path / "kept/old" / str(path).lstrip("/")
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(content)
    given = SET | {"configuration_dir": str(tmp_path / "kept"), "configuration_files": [str(now), str(same)]}
    files = kept_configuration(given, "old")
    assert files == {str(now): "secret=1"}
    assert not [one for one in steps(Way("new", "old", (DOWN,)), given, files) if one.verb == "rewrite"]
    (rewrite,) = [one for one in steps(Way("new", "old", (FULL,)), given, files) if one.verb == "rewrite"]
    assert "secret" not in f"{rewrite.target}{rewrite.note}{rewrite.detail}"
    with pytest.raises(ReleaseError, match="are not kept"):
        kept_configuration(given, "older")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"database": {"connected": false}, "redis": {"connected": true}}', ["database"]),
        ("[1, 2]", []),
        ("<html>500</html>", []),
        ('{"database": "x", "error": {"connected": "false"}}', []),
        ("", []),
    ],
)
def test_what_the_application_says_of_its_dependencies_is_taken_only_in_its_own_form(
    body: str, expected: list[str]
) -> None:
    assert not_connected(Reply(503, 0.1, body)) == expected
