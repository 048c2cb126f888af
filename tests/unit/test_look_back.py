"""How far back an expression looks."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.domain.look_back import look_back

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ('probe_success{job="ready"} == 0', 0 * MINUTE),
        ("rate(x[5m]) > 1", 5 * MINUTE),
        ("rate(x[1h30m]) > 1", 90 * MINUTE),
        ("rate(x[90]) > 1", 1.5 * MINUTE),
        ("rate(x[500ms])", timedelta(milliseconds=500)),
        ("x offset 10m > 0", 10 * MINUTE),
        ("rate(x[5m] offset 10m)", 15 * MINUTE),
        ("rate(x[5m] offset -10m)", 5 * MINUTE),
        ("max_over_time(rate(x[5m])[10m:1m])", 16 * MINUTE),
        ("max_over_time((rate(x[5m]) + rate(y[20m]))[10m:])", 30 * MINUTE),
        ("rate(x[5m]) > 1 and y[2m]", 5 * MINUTE),
        ("sum without (a) (min_over_time(x[2m])) > 0 and increase(y[3m]) == 0", 3 * MINUTE),
        ('x{path="[5m]"} > 1', 0 * MINUTE),
        ("x{path='a)[1h]'} > 1 # [2h] (", 0 * MINUTE),
        ('{__name__=~"x.+"} > 1', 0 * MINUTE),
        ("rate(x [ 2m ])", 2 * MINUTE),
    ],
)
def test_ranges_subqueries_and_offsets_add_up_where_one_stands_in_the_other(expression: str, wanted: timedelta) -> None:
    assert look_back(expression) == wanted


@pytest.mark.parametrize(
    "expression",
    [
        "x @ 1609746000",  # a moment that never comes after a fix
        "rate(x[5m * 2])",  # a calculation
        "rate(x[$window])",
        "rate(x[5m)",
        "rate(x[5m]))",
        "(rate(x[5m])",
        "rate(x[5 parsecs])",
        "rate(x[900y])",
        "rate(x[])",
        'x{a="b',
        "x" * 20_001,
    ],
)
def test_what_cannot_be_read_is_unknown_and_never_nothing(expression: str) -> None:
    assert look_back(expression) is None


@given(st.text(alphabet="x(){}[]:@\"'#\\ 5mhoffset\n", max_size=60))
def test_no_expression_makes_it_fail(expression: str) -> None:
    found = look_back(expression)
    assert found is None or found >= timedelta(0)
