"""What is found leads to what is done: two causes have a step, and nothing is removed where something is wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from ansible.module_utils import verify_checks
from ansible.module_utils.backup_manifest import DATABASE, FILES, LOGS, REDIS
from ansible.module_utils.host_checks import CURED, NOT_CURED, worst
from ansible.module_utils.restic_repository import Snapshot
from ansible.module_utils.stream_unit import StreamState
from ansible.module_utils.verify_chain import ChainFacts
from ansible.module_utils.verify_coverage import Coverage
from ansible.module_utils.verify_decision import decide
from ansible.module_utils.verify_facts import SourceFacts

NOW = 1_795_000_000.0
HOUR = 3600.0
SETTINGS: dict[str, Any] = {
    "rpo_minutes": 15,
    "lag_seconds": 10,
    "database_hours": 36,
    "files_hours": 36,
    "redis_hours": 3,
    "postgresql_hours": 36,
    "read_parts": 4,
    "read_hours": 24,
    "metrics_file": "",
}
STREAM = StreamState("", NOW - 3, 0.1, "s", "", "")
CHAIN = ChainFacts("", NOW - 20 * HOUR, NOW - 100, NOW - 50, "mariadb-bin.000004:99")
WELL = SourceFacts(
    "a",
    NOW,
    coverage=Coverage("r", 4).after(1, NOW - HOUR, ""),
    newest={DATABASE: NOW - 20 * HOUR, LOGS: NOW - 100, FILES: NOW - HOUR, REDIS: NOW - HOUR},
    chain=CHAIN,
    stream=STREAM,
)
OLD = (Snapshot("5" * 64, "a", 5.0, (LOGS,)),)
#: The log is not shipped any more, and the stream stands still.
STILL = replace(CHAIN, shipped_until=NOW - 400, streamed_until=NOW - 400)


def decided(facts: SourceFacts) -> tuple[list[str], list[str], bool]:
    found = decide([facts], SETTINGS)
    return list(found.causes), [step.verb for step in found.steps], found.enough


def test_well_backups_need_nothing() -> None:
    assert decided(WELL) == ([], [], True)
    assert worst(verify_checks.seen([WELL], SETTINGS).checks) == CURED


@pytest.mark.parametrize(
    ("facts", "causes", "steps", "enough"),
    [
        (replace(WELL, damage="a pack is gone"), ["repository_damaged"], [], False),
        (SourceFacts("a", NOW, damage="there is no repository"), ["repository_damaged"], [], False),
        (replace(WELL, chain=replace(CHAIN, trouble="a gap")), ["chain_gap"], [], False),
        (replace(WELL, stream=replace(STREAM, unit="it is not there")), ["stream_down"], ["follow_log"], True),
        (replace(WELL, stream=replace(STREAM, point=NOW - 31)), ["stream_down"], ["follow_log"], True),
        (replace(WELL, stream=replace(STREAM, lag=11.0)), ["stream_down"], [], False),
        (replace(WELL, stream=replace(STREAM, broken="purged")), ["stream_down"], [], False),
        # It is set on the server.
        (replace(WELL, stream=replace(STREAM, semi_sync="semi-sync is off")), ["stream_down"], [], False),
        # A server that does not answer is not helped by a new start.
        (replace(WELL, stream=replace(STREAM, point=NOW - 31, error="no answer")), ["stream_down"], [], False),
        (replace(WELL, removable=OLD), ["retention_due"], ["forget_snapshots"], True),
        (replace(WELL, removable=OLD, damage="a pack is gone"), ["repository_damaged", "retention_due"], [], False),
        (
            replace(WELL, removable=OLD, chain=replace(CHAIN, trouble="a gap")),
            ["chain_gap", "retention_due"],
            [],
            False,
        ),
        (replace(WELL, stream=None, chain=STILL), ["too_old"], [], False),
        (replace(WELL, stream=None), [], [], True),
        (
            replace(WELL, chain=STILL, stream=replace(STREAM, unit="it is not there", point=NOW - 400)),
            ["stream_down", "too_old"],
            ["follow_log"],
            True,
        ),
        (replace(WELL, newest={**WELL.newest, DATABASE: NOW - 37 * HOUR}), ["too_old"], [], False),
        (replace(WELL, newest={**WELL.newest, REDIS: NOW - 4 * HOUR}), ["too_old"], [], False),
        (replace(WELL, newest={DATABASE: NOW - HOUR, LOGS: NOW}), [], [], True),
    ],
)
def test_each_cause_has_its_step_or_none_and_verification_sees_it_too(
    facts: SourceFacts, causes: list[str], steps: list[str], enough: bool
) -> None:
    assert decided(facts) == (causes, steps, enough)
    verdict = worst(verify_checks.seen([facts], SETTINGS).checks)
    assert verdict == (NOT_CURED if causes else CURED)


def test_the_stream_makes_the_point_newer_only_where_it_goes_on_from_what_was_shipped() -> None:
    assert WELL.point == NOW - 3
    assert replace(WELL, chain=replace(CHAIN, streamed_until=0.0)).point == NOW - 100
    assert replace(WELL, stream=replace(STREAM, broken="purged")).point == NOW - 100
    assert replace(WELL, stream=replace(STREAM, point=0.0)).point == NOW - 50
    assert replace(WELL, chain=None).point == 0.0


def test_a_step_is_the_same_at_every_look() -> None:
    more = replace(WELL, removable=(*OLD, *OLD), stream=replace(STREAM, unit="it is inactive"))
    first = decide([replace(more, removable=OLD)], SETTINGS).steps
    later = decide([more], SETTINGS).steps

    assert [(one.cause, one.verb, one.target, one.detail) for one in first] == [
        (one.cause, one.verb, one.target, one.detail) for one in later
    ]


def test_snapshots_of_the_future_are_spoken_of() -> None:
    assert "2 snapshots say that they are of the future" in decide([replace(WELL, future=2)], SETTINGS).notes[0]


def test_what_a_look_measures() -> None:
    measured = {one["name"]: (one["value"], one["ok"]) for one in decide([WELL], SETTINGS).measures}

    assert measured == {
        "recoverable point of a, age": (3.0, True),
        "window of a, from": (NOW - 20 * HOUR, True),
        "window of a, to": (NOW - 3, True),
        "ledger of a": (0.0, True),
        "data of a that was read": (25.0, True),
        "stream of a, lag": (0.1, True),
    }


def test_the_monitoring_is_told_of_each_source(tmp_path: Any) -> None:
    path = tmp_path / "backup.prom"
    bad = replace(WELL, name="b", damage="a pack is gone", stream=None)
    verify_checks.show([WELL, bad], {**SETTINGS, "metrics_file": str(path)})

    lines = path.read_text().splitlines()
    assert 'remediate_backup_check_ok{source="a"} 1.0' in lines
    assert 'remediate_backup_check_ok{source="b"} 0.0' in lines
    assert 'remediate_backup_stream_wanted{source="a"} 1.0' in lines
    assert f'remediate_backup_recoverable_point_timestamp_seconds{{source="b"}} {NOW - 100}' in lines
    assert not [line for line in lines if "recoverable_point" in line and '"a"' in line]
