"""Conditions on labels: what they match, and that no value can keep one busy."""

from __future__ import annotations

import pytest

from remediate.domain.matcher import LONGEST_MATCHED, all_match, matcher

LABELS = {"severity": "critical", "mountpoint": "/var/lib", "empty": ""}


@pytest.mark.parametrize(
    ("written", "matches"),
    [
        ("severity=critical", True),
        ('severity = "critical"', True),
        ("severity='critical'", True),
        ("severity=critica", False),
        ("severity!=critical", False),
        ("severity!=warning", True),
        ('severity=~"critical|warning"', True),
        ('severity=~"critic"', False),
        ('severity=~"ritical"', False),
        ('severity!~"critical|warning"', False),
        ('severity!~"warn.*"', True),
        ('mountpoint=~"/(var|srv)(/.*)?"', True),
        ("missing=", True),
        ("missing=~.+", False),
        ("missing!=x", True),
        ("empty=", True),
        ('severity=~""', False),
    ],
)
def test_a_matcher_matches_as_alertmanager_does(written: str, matches: bool) -> None:
    assert matcher(written).matches(LABELS) is matches


@pytest.mark.parametrize(
    "written",
    [
        *("", "severity", "=x", "1x=y", "a-b=c", 'severity="critical', "severity=~(", "severity=~a**"),
        *("x=~(a+)+", "x=~(a|a)*", "x=~(a*){9}", r"x=~(a)\1", "x=~(?=a)b", "x=~(?P<n>a)", "x=~(?i)a", "x=~.*.*.*.*b"),
        "x=~" + "a" * 501,
    ],
)
def test_what_is_no_matcher_or_could_take_for_ever_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"matcher|quotation|regular expression|repeats"):
        matcher(written)


def test_a_value_that_is_longer_than_any_real_one_is_matched_by_no_expression() -> None:
    for written in ("x=~.*", "x!~y"):
        assert matcher(written).matches({"x": "a" * LONGEST_MATCHED})
        assert not matcher(written).matches({"x": "a" * (LONGEST_MATCHED + 1)})


def test_the_worst_expression_that_is_allowed_ends_on_the_worst_value() -> None:
    assert not matcher("x=~a*a*a*b").matches({"x": "a" * LONGEST_MATCHED})


def test_all_conditions_have_to_hold() -> None:
    assert all_match([matcher("severity=critical"), matcher("missing=")], LABELS)
    assert not all_match([matcher("severity=critical"), matcher("missing=x")], LABELS)
    assert all_match([], LABELS)
