"""What the access log tells, whatever strangers have sent."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.module_utils.answer_log import Rate, good_answers, parsed, rate, tail_of

NOON = 1795780800.0


def line(status: int, path: str = "/orders", clock: str = "12:00:00", zone: str = "+0000") -> str:
    return f'10.0.0.1 - - [27/Nov/2026:{clock} {zone}] "GET {path} HTTP/1.1" {status} 12 "-" "curl/8"'


def test_moments_and_statuses_are_read_in_every_time_zone() -> None:
    lines = [line(200), line(503, clock="07:00:00", zone="-0500"), line(200, clock="14:30:00", zone="+0230")]
    (utc, west, east) = parsed(lines)
    assert east.at == NOON
    assert (utc.at, utc.status, utc.path, utc.failed) == (NOON, 200, "/orders", False)
    assert (west.at, west.failed) == (NOON, True)


@pytest.mark.parametrize(
    "hostile",
    [
        "",
        "\x1b[2J",
        '10.0.0.1 - - [27/Nov/2026:12:00:00 +0000] "GET /" 999999 1',
        '10.0.0.1 - - [27/Xyz/2026:12:00:00 +0000] "GET / HTTP/1.1" 500 1',
        'x "GET / HTTP/1.1" 500 1' * 10_000,
        '[27/Nov/2026:12:00:00 +0000] "' + "A" * 100_000,
    ],
)
def test_lines_that_tell_nothing_are_left_out(hostile: str) -> None:
    assert list(parsed([hostile])) == []


def test_a_request_that_is_no_request_still_counts_as_an_answer() -> None:
    (one,) = parsed([r'1.2.3.4 - - [27/Nov/2026:12:00:00 +0000] "\x16\x03\x01" 400 150 "-" "-"'])
    assert (one.status, one.path) == (400, "")


def test_watchers_do_not_thin_the_errors_out() -> None:
    answers = list(parsed([line(500)] * 3 + [line(200)] + [line(200, "/health/ready")] * 50 + [line(500, "/old")]))
    answers[-1] = type(answers[-1])(NOON - 60, "/old", 500)
    assert rate(answers, NOON - 10, ["/health/", "/metrics"]) == Rate(4, 3)
    assert Rate(4, 3).percent == 75.0
    assert Rate(0, 0).percent == 0.0


def test_good_answers_are_those_to_one_address_after_a_moment() -> None:
    answers = list(parsed([line(200, "/health/ready?x=1"), line(500, "/health/ready"), line(200, "/favicon.ico")]))
    assert len(good_answers(answers, NOON - 1, "/health/ready")) == 1
    assert good_answers(answers, NOON, "/health/ready") == []


def test_a_log_behind_a_link_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_text(line(200) + "\n")
    (tmp_path / "link.log").symlink_to(tmp_path / "access.log")
    assert tail_of(str(tmp_path / "access.log")) == [line(200)]
    with pytest.raises(OSError, match="symbolic"):
        tail_of(str(tmp_path / "link.log"))
