"""What hosts report in a phase, and what is added to it."""

from __future__ import annotations

from typing import Any

import pytest

from remediate.adapters.ansible.executor import _Collected
from remediate.domain.report import ADDED_KEYS, REPORT_KEYS, RestorePoint, WayBack
from remediate.domain.runbook import Phase
from remediate.errors import UnknownShape
from tests.builders import finding, snapshot

FINDING = finding().model_dump(mode="json")
SNAPSHOT = snapshot().model_dump(mode="json")


def collected(phase: Phase, *reports: dict[str, Any]) -> _Collected:
    found = _Collected(lambda _task: None, phase)
    for report in reports:
        told = {"host": "near", "task": "x", "module": "x", "outcome": "ok", "started_at": "2026-01-05T03:00:00Z"}
        found.task({**told, "seconds": 0.1, "message": "", "diff": "", "report": report, "item": False})
    return found


@pytest.mark.parametrize("turned", [False, True])
def test_what_is_added_becomes_a_part_of_the_report_whichever_comes_first(turned: bool) -> None:
    reports = [{"remediate_finding": FINDING}, {"remediate_way_back": {"seconds": 9.0, "copy_id": "copy-1"}}]
    found = collected(Phase.DIAGNOSE, *(reversed(reports) if turned else reports))

    assert found.reports == {"near": finding(way_back=WayBack(seconds=9.0, copy_id="copy-1"))}


def test_a_restore_point_becomes_a_part_of_the_snapshot() -> None:
    found = collected(Phase.SNAPSHOT, {"remediate_snapshot": SNAPSHOT}, {"remediate_restore_point": {"reason": "x"}})

    assert found.reports == {"near": snapshot().model_copy(update={"restore_point": RestorePoint(reason="x")})}


def test_what_is_added_is_no_report_by_itself() -> None:
    found = collected(Phase.SNAPSHOT, {"remediate_restore_point": {"reason": "x"}})

    assert found.reports == {}
    assert list(found.result({"status": "failed", "stdout": ""}, ["near"]).troubles) == ["near"]


def test_an_unknown_form_of_what_is_added_is_an_error() -> None:
    with pytest.raises(UnknownShape, match="remediate_way_back in an unknown form"):
        collected(Phase.DIAGNOSE, {"remediate_way_back": {"seconds": -1}})


def test_what_is_added_has_a_place_in_the_report_of_its_phase() -> None:
    for phase, (_, name, model) in ADDED_KEYS.items():
        assert model in REPORT_KEYS[phase][1].model_fields[name].annotation.__args__  # type: ignore[union-attr]  # a union
