from __future__ import annotations

from datetime import timedelta

from remediate.domain.run import RunStatus
from remediate.domain.storm import StormPolicy
from remediate.domain.storm_position import position
from remediate.interfaces.cli.storm import storm_lines
from remediate.testing import EPOCH
from tests.storm import HOUR, MINUTE, attempt, freeze, groups, live, pause, situation

COOLDOWNS = {"tidy-shelf": timedelta(minutes=30)}


def test_a_quiet_site_shows_every_rule_with_nothing_in_use() -> None:
    assert list(storm_lines(position(situation(), StormPolicy(), COOLDOWNS))) == [
        "Pause      -",
        "Freezes    -",
        "Acting     -",
        "Cooldown   -",
        "Attempts   -",
        "Recurrence -",
        "Fleet      -",
        "Breakers   -",
        "Budget     -",
    ]


def test_every_rule_in_use_is_shown_with_its_end() -> None:
    failed = [attempt(EPOCH - minute * MINUTE, "near", status=RunStatus.FAILED) for minute in (30, 20, 10)]
    found = situation(
        attempt(EPOCH - HOUR + MINUTE, "far"),
        *failed,
        switches={"pause": pause()},
        freezes=(freeze("s\x1b[2J", hard=True, groups=("wbe",)), freeze("move", EPOCH + HOUR, runbooks=("x",))),
        live=(live("r9", "far"),),
        groups=groups(web=("near", "far")),
    )

    assert list(storm_lines(position(found, StormPolicy(), COOLDOWNS))) == [
        "Pause      ON by omar since 2026-01-05 03:00:00Z: the rack is on fire",
        "Freezes    NOW until 2026-01-05 04:00:00Z  s\N{REPLACEMENT CHARACTER}[2J (group wbe, hard): people buy things",
        "           WARNING  s\N{REPLACEMENT CHARACTER}[2J names the group wbe, which the inventory does not have",
        "           from 2026-01-05 04:00:00Z until 2026-01-05 05:00:00Z  move (x): people buy things",
        "Acting     r9",
        "Cooldown   tidy-shelf on near until 2026-01-05 03:21:00Z",
        "Attempts   tidy-shelf on far tried 1 of 3; one more from 2026-01-05 03:01:00Z",
        "           tidy-shelf on near tried 3 of 3; USED UP, one more from 2026-01-05 03:30:00Z",
        "Recurrence tidy-shelf on far cured 1 of 3; one more from 2026-01-06 02:01:00Z",
        "Fleet      all: 1 of 1 (far; 2 hosts)",
        "           web: 1 of 1 (far; 2 hosts)",
        "Breakers   OPEN  tidy-shelf: 3 end(s) in a row without a cure; one run may try from 2026-01-05 14:51:00Z",
        "Budget     runs 4 of 12; one more from 2026-01-05 03:01:00Z",
    ]


def test_a_breaker_that_has_cooled_and_one_that_is_closed_are_told_apart() -> None:
    failed = [attempt(EPOCH + minute * MINUTE, status=RunStatus.FAILED) for minute in (0, 10, 20)]
    once = attempt(EPOCH, runbook="other", status=RunStatus.FAILED)
    lines = list(storm_lines(position(situation(once, *failed, now=EPOCH + 13 * HOUR), StormPolicy(), COOLDOWNS)))

    closed, half_open = lines[-3:-1]
    assert closed == "Breakers   other: 1 end(s) in a row without a cure"
    assert half_open == (
        "           HALF OPEN  tidy-shelf: 3 end(s) in a row without a cure; one run may try since 2026-01-05 15:21:00Z"
    )
