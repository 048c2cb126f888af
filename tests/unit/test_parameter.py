from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.domain.parameter import checked_parameters, choices_in_words, refuse_templates
from remediate.domain.runbook import Parameter, ParameterType, ParameterValue
from tests.builders import parameter

DECLARED = {
    entry.name: entry
    for entry in (
        parameter("tidy_shelf_text"),
        parameter("tidy_shelf_days", "int"),
        parameter("tidy_shelf_share", "float"),
        parameter("tidy_shelf_fill", "float", description="Percentage that is filled."),
        parameter("tidy_shelf_deep", "bool"),
        parameter("tidy_shelf_names", "list", elements="str"),
        parameter("tidy_shelf_numbers", "list", elements="int"),
        parameter("tidy_shelf_where", "path"),
        parameter("tidy_shelf_more", "dict"),
        parameter("tidy_shelf_side", choices=("left", "right")),
        parameter("tidy_shelf_floor", "int", choices=(1, 2)),
    )
}

#: Texts that Ansible could take for a template, or that could deceive whoever reads them.
HOSTILE_TEXTS = [
    "{{ lookup('pipe', 'touch /tmp/owned') }}",
    "a {{b}} c",
    "{% for x in y %}{% endfor %}",
    "{# hidden #}",
    "#jinja2: variable_start_string: '[%'\n[% 1 %]",
    "#JINJA2:trim_blocks:False",
    "}}{{",
    "nul\x00byte",
    "escape \x1b[31mred\x1b[0m",
    "carriage\rreturn",
    "c1 \x9b31m",
    "right to left \u202e gpj.exe",
    "isolate \u2066x\u2069",
    "line \u2028 separator",
    "lone surrogate \ud800",
]

#: Texts that look bad and are only text: no shell, no pattern and no template ever reads them.
HARMLESS_TEXTS = [
    "; rm -rf /",
    "$(reboot)",
    "`reboot`",
    "a && b | c > d",
    "two\nlines",
    "a\ttab",
    "!vault |",
    "!unsafe x",
    "<!channel>",
    "<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "'; drop table runs; --",
    "%s %n {0} ${x}",
    "*?[a-z]",
    "ünïcödé 🔥",
    "0x1f",
    "yes",
    "null",
    "",
]

HOSTILE_NAMES = [
    "ansible_connection",
    "ansible_ssh_common_args",
    "ansible_python_interpreter",
    "ansible_become_exe",
    "ansible_host",
    "__ansible_vault",
    "__ansible_unsafe",
    "__ansible_type",
    "remediate_targets",
    "remediate_phase",
    "tidy_shelf_run_id",
    "environment",
    "vars",
    "hostvars",
    "{{ x }}",
    "",
    "tidy_shelf_",
    "other_role_days",
]


def test_text_is_converted_to_the_declared_types_as_a_shell_user_writes_it() -> None:
    given_text = {
        "text": "as it is ",
        "days": " 14 ",
        "share": "0.25",
        "deep": "Yes",
        "names": "a, b,,c ",
        "numbers": "1,2",
        "where": "/var/log",
        "side": "left",
        "floor": "2",
    }

    assert checked_parameters(DECLARED, "tidy_shelf", given_text) == (
        {
            "tidy_shelf_text": "as it is ",
            "tidy_shelf_days": 14,
            "tidy_shelf_share": 0.25,
            "tidy_shelf_deep": True,
            "tidy_shelf_names": ["a", "b", "c"],
            "tidy_shelf_numbers": [1, 2],
            "tidy_shelf_where": "/var/log",
            "tidy_shelf_side": "left",
            "tidy_shelf_floor": 2,
        },
        (),
    )


def test_values_that_have_their_type_already_stay_as_they_are() -> None:
    typed = {
        "tidy_shelf_days": 300,
        "tidy_shelf_fill": 100.0,
        "tidy_shelf_deep": False,
        "tidy_shelf_more": {"a": [1, None, {"b": 0.5}]},
    }

    assert checked_parameters(DECLARED, "tidy_shelf", typed) == (typed, ())


def test_a_name_may_carry_the_prefix_of_its_role_or_leave_it_out() -> None:
    short, _ = checked_parameters(DECLARED, "tidy_shelf", {"days": "3"})
    full, _ = checked_parameters(DECLARED, "tidy_shelf", {"tidy_shelf_days": "3"})

    assert short == full == {"tidy_shelf_days": 3}


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("days", "many", "days: a whole number is wanted, not 'many'"),
        ("days", "1.5", "days: a whole number is wanted, not '1.5'"),
        ("days", "", "days: a whole number is wanted, not ''"),
        ("days", "1e9", "days: a whole number is wanted, not '1e9'"),
        ("days", "1_000", "days: a whole number is wanted, not '1_000'"),
        ("days", "٣", "days: a whole number is wanted, not '٣'"),
        ("days", "9" * 16, f"days: a whole number is wanted, not '{'9' * 16}'"),
        ("days", True, "days: a whole number is wanted, not True"),
        ("days", None, "days: a whole number is wanted, not None"),
        ("days", "-1", "days: -1 is below 0"),
        ("share", -0.5, "share: -0.5 is below 0"),
        ("fill", "100.5", "fill: 100.5 is more than 100 percent"),
        ("days", 2**60, f"days: {2**60} is no number that can be used"),
        ("share", "nan", "share: a number is wanted, not 'nan'"),
        ("share", "inf", "share: a number is wanted, not 'inf'"),
        ("share", float("nan"), "share: nan is no number that can be used"),
        ("share", float("-inf"), "share: -inf is no number that can be used"),
        ("deep", "maybe", "deep: true or false is wanted, not 'maybe'"),
        ("deep", 2, "deep: true or false is wanted, not 2"),
        ("text", 7, "text: text is wanted, not 7"),
        ("text", ["a"], "text: text is wanted, not ['a']"),
        ("names", {"a": 1}, "names: a list (a,b,c) is wanted, not {'a': 1}"),
        ("names", ["a", 1], "names: text is wanted, not 1"),
        ("numbers", "1,b", "numbers: a whole number is wanted, not 'b'"),
        ("where", "var/log", "where: an absolute path without '..' is wanted, not 'var/log'"),
        ("where", "/var/../etc", "where: an absolute path without '..' is wanted, not '/var/../etc'"),
        ("where", "~root", "where: an absolute path without '..' is wanted, not '~root'"),
        ("more", "a", "more: a mapping is wanted, not 'a'"),
        ("more", {1: "a"}, "more: a mapping is wanted, not {1: 'a'}"),
        ("side", "up", "side: 'up' is none of left, right"),
        ("side", "{{ 'left' }}", "side: template markers are not accepted"),
        ("floor", "3", "floor: 3 is none of 1, 2"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_what_is_wanted(name: str, value: object, problem: str) -> None:
    assert checked_parameters(DECLARED, "tidy_shelf", {name: value}) == ({}, (problem,))


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
@pytest.mark.parametrize("name", ["text", "where", "names", "more"])
def test_hostile_text_is_refused_wherever_it_stands(name: str, text: str) -> None:
    wrapped: dict[str, object] = {
        "text": text,
        "where": f"/srv/{text}",
        "names": ["good", text],
        "more": {"a": [{"b": text}]},
    }
    values, problems = checked_parameters(DECLARED, "tidy_shelf", {name: wrapped[name]})

    assert values == {}
    assert [problem.partition(": ")[2] for problem in problems] in (
        ["template markers are not accepted"],
        ["control characters are not accepted"],
    )


@pytest.mark.parametrize("text", HARMLESS_TEXTS)
def test_text_that_nothing_interprets_passes_unchanged(text: str) -> None:
    assert checked_parameters(DECLARED, "tidy_shelf", {"text": text}) == ({"tidy_shelf_text": text}, ())


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_that_is_not_declared_never_passes(name: str) -> None:
    values, problems = checked_parameters(DECLARED, "tidy_shelf", {name: "x"})

    assert values == {}
    assert [problem.partition(" parameter")[0] for problem in problems] == [f"{name}: this runbook has no such"]


@pytest.mark.parametrize("name", ["ansible_connection", "__ansible_vault", "__ansible_unsafe", "ansible_host"])
@pytest.mark.parametrize("depth", [0, 2])
def test_a_mapping_may_not_hold_a_name_that_ansible_reads(name: str, depth: int) -> None:
    value: object = {name: "x"}
    for _ in range(depth):
        value = {"deeper": [value]}

    assert checked_parameters(DECLARED, "tidy_shelf", {"more": value}) == (
        {},
        (f"more: the name {name!r} is not accepted",),
    )


def test_a_mistyped_name_is_answered_with_the_right_one() -> None:
    assert checked_parameters(DECLARED, "tidy_shelf", {"dayz": "3"})[1] == (
        "dayz: this runbook has no such parameter (did you mean days?)",
    )


def test_all_problems_are_told_at_once() -> None:
    _, problems = checked_parameters(
        DECLARED, "tidy_shelf", {"days": "x", "nothing_like_it": 1, "deep": "y", "side": "left"}
    )

    assert [problem.partition(":")[0] for problem in problems] == ["days", "nothing_like_it", "deep"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    ),
    st.sampled_from(sorted(DECLARED)),
)
def test_whatever_is_given_is_either_typed_or_refused_with_one_sentence(value: object, name: str) -> None:
    values, problems = checked_parameters(DECLARED, "tidy_shelf", {name: value})

    assert (len(values), len(problems)) in {(1, 0), (0, 1)}
    for accepted in values.values():
        refuse_templates(accepted)


@pytest.mark.parametrize(
    ("kind", "value"),
    [("str", "{{ x }}"), ("list", ["{{ x }}"]), ("dict", {"{{ x }}": 1}), ("dict", {"a": {"b": "{%"}})],
)
def test_template_markers_are_found_at_any_depth(kind: ParameterType, value: ParameterValue) -> None:
    declared = {"tidy_shelf_x": parameter("tidy_shelf_x", kind)}

    assert checked_parameters(declared, "tidy_shelf", {"x": value}) == ({}, ("x: template markers are not accepted",))


def test_an_empty_choice_is_seen() -> None:
    declared = Parameter(name="tidy_shelf_side", type="str", description="Side", choices=("", "left", 0))

    assert choices_in_words(declared) == "'', left, 0"
