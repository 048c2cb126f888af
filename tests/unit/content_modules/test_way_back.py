"""What going back takes is told from what lies on the host, or that it is not known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import newest_copy, restore_rates
from ansible.module_utils.backup_manifest import DATABASE, Manifest, Part
from ansible.module_utils.binlog_file import read_log
from ansible.module_utils.log_position import Position
from ansible.module_utils.way_back import look

from tests import binlogs

TWO = "mariadb-bin.000002"


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "data").mkdir()
    binlogs.written(tmp_path / "data", binlogs.life())
    places = {name: str(tmp_path / name) for name in ("backup", "restore", "data")}
    return {
        "data_dir": places["data"],
        "log_dir": "",
        "backup_dir": places["backup"],
        "restore_dir": places["restore"],
    }


@pytest.fixture
def manifest(settings: dict[str, Any]) -> Manifest:
    """A full copy that was made while the second log was written to."""
    made = float(read_log(f"{settings['data_dir']}/{TWO}").made)
    parts = (Part("full.mbstream", 500_000_000, "d"),)
    return Manifest("copy-1", DATABASE, "here", "m", made, made, position=Position(TWO, 100, "0-1-5"), files=parts)


def test_the_time_is_that_of_the_copy_of_the_logs_since_and_of_all_else(
    settings: dict[str, Any], manifest: Manifest
) -> None:
    newest_copy.remember(settings["backup_dir"], manifest)
    since = sum(len(data) for name, data in binlogs.life().items() if name >= TWO) - 100
    found = look(settings)

    assert (found.copy_id, found.copy_bytes, found.log_bytes) == ("copy-1", 500_000_000, since)
    assert found.seconds == round(500_000_000 / 50e6 + since / 10e6 + 20, 1)
    assert (found.measured, found.reason) == (False, "")


def test_what_restores_of_this_host_have_measured_counts(settings: dict[str, Any], manifest: Manifest) -> None:
    newest_copy.remember(settings["backup_dir"], manifest)
    Path(settings["restore_dir"]).mkdir()
    restore_rates.remember(settings["restore_dir"], 20.0, (100_000_000, 10.0), (1000, 4.0))
    found = look(settings)

    # The few logs tell nothing of the rate of replay: their time is a part of all else.
    assert found.seconds == pytest.approx(50 + 10, abs=0.1)
    assert found.measured


def test_a_later_restore_corrects_only_what_it_measured(settings: dict[str, Any], manifest: Manifest) -> None:
    stage = settings["restore_dir"]
    Path(stage).mkdir()
    restore_rates.remember(stage, 20.0, (100_000_000, 10.0), (0, 0.0))
    restore_rates.remember(stage, 12.0, (1000, 0.1), (40_000_000, 8.0))

    assert restore_rates.predicted(stage, 100_000_000, 10_000_000) == pytest.approx(10 + 2 + 4)


def test_without_a_copy_no_time_is_told(settings: dict[str, Any]) -> None:
    found = look(settings)

    assert found.seconds is None
    assert "remembers no full copy" in found.reason


def test_a_copy_from_which_no_moment_can_be_reached_does_not_replace_one_from_which_it_can(
    settings: dict[str, Any], manifest: Manifest
) -> None:
    newest_copy.remember(settings["backup_dir"], manifest)
    newest_copy.remember(settings["backup_dir"], replace(manifest, id="copy-2", position=None))
    known = newest_copy.known(settings["backup_dir"])

    assert known is not None
    assert known.id == "copy-1"


@pytest.mark.parametrize(
    ("gone", "said"), [((TWO,), "is not on this host any more"), (("mariadb-bin.000004",), "is missing on this host")]
)
def test_a_log_that_is_gone_ends_the_way(
    settings: dict[str, Any], manifest: Manifest, gone: tuple[str, ...], said: str
) -> None:
    newest_copy.remember(settings["backup_dir"], manifest)
    for name in gone:
        (Path(settings["data_dir"]) / name).unlink()
    found = look(settings)

    assert found.seconds is None
    assert said in found.reason


def test_a_log_that_began_anew_does_not_lead_on_from_the_copy(settings: dict[str, Any], manifest: Manifest) -> None:
    newest_copy.remember(settings["backup_dir"], replace(manifest, made=manifest.made - 1))
    found = look(settings)

    assert found.seconds is None
    assert "began anew" in found.reason


def test_logs_that_cannot_be_read_are_a_reason(settings: dict[str, Any], manifest: Manifest) -> None:
    newest_copy.remember(settings["backup_dir"], manifest)
    path = Path(settings["data_dir"]) / TWO
    path.write_bytes(path.read_bytes()[:10])
    found = look(settings)

    assert found.seconds is None
    assert "cannot be read" in found.reason


@pytest.mark.parametrize("record", ["", "[]", '{"id": "x"}', '{"position": {"file": "b.1", "offset": 4}}'])
def test_a_broken_record_of_the_copy_is_no_copy(settings: dict[str, Any], manifest: Manifest, record: str) -> None:
    newest_copy.remember(settings["backup_dir"], manifest)
    (Path(settings["backup_dir"]) / "newest_copy.json").write_text(record)

    assert newest_copy.known(settings["backup_dir"]) is None
