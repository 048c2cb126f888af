from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.interfaces.cli.text import moment, printable, printable_lines, size, span
from remediate.testing import EPOCH

HIDDEN = "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcödé 🔥 text\twith a tab", "plain ünïcödé 🔥 text\twith a tab"),
        ("\x1b[2J\x1b[31mred", f"{HIDDEN}[2J{HIDDEN}[31mred"),
        ("\x9b31m", f"{HIDDEN}31m"),
        ("a\rb\x00c\x7f", f"a{HIDDEN}b{HIDDEN}c{HIDDEN}"),
        ("invoice\u202efdp.exe", f"invoice{HIDDEN}fdp.exe"),
        ("zero\u200bwidth\ufeff", f"zero{HIDDEN}width{HIDDEN}"),
        ("lone \ud800", f"lone {HIDDEN}"),
        ("[bold red]not markup[/]", "[bold red]not markup[/]"),
        ("name\nApproval   level 0", f"name{HIDDEN}Approval   level 0"),
        ("u2028\u2028u2029\u2029u85\x85", f"u2028{HIDDEN}u2029{HIDDEN}u85{HIDDEN}"),
    ],
)
def test_text_from_outside_is_shown_without_what_a_terminal_would_obey(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(st.text(st.characters()))
def test_text_from_outside_never_becomes_two_lines(text: str) -> None:
    assert len(printable(text).splitlines()) <= 1
    assert "\x1b" not in printable(text)


def test_a_diff_keeps_its_lines_and_nothing_else() -> None:
    assert printable_lines("-a\n+b\x1b[0m\r\n") == f"-a\n+b{HIDDEN}[0m{HIDDEN}\n"


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (1_500_000, "1.4 MiB"),
        (3 * 1024**3, "3.0 GiB"),
        (5 * 1024**4, "5120.0 GiB"),
    ],
)
def test_sizes_are_read_by_people(count: int, words: str) -> None:
    assert size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (4.24, "4.2 s"),
        (59, "59 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (14400, "4 h"),
        (5400, "1.5 h"),
        (604800, "7 d"),
    ],
)
def test_spans_are_read_by_people(seconds: float, words: str) -> None:
    assert span(timedelta(seconds=seconds)) == words


def test_moments_say_that_they_are_utc() -> None:
    assert moment(EPOCH) == "2026-01-05 03:00:00Z"
