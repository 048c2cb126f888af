"""Old alerts from a file: what was posted, and what the API lists."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remediate.domain.alert import AlertStatus
from remediate.domain.alert_replay import read_replay
from remediate.errors import UnreadableDelivery

LABELS = {"alertname": "ShelfUntidy", "instance": "near:9100"}


def posted(fingerprint: str = "0a", **changes: Any) -> dict[str, Any]:
    one = {"fingerprint": fingerprint, "status": "firing", "labels": LABELS, "startsAt": "2026-01-05T03:00:00Z"}
    return {"version": "4", "alerts": [{**one, **changes}]}


def listed(fingerprint: str = "0b") -> dict[str, Any]:
    """An alert as the API gives it: its status is an object there."""
    return {**posted(fingerprint)["alerts"][0], "status": {"state": "suppressed", "silencedBy": ["s"]}}


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (json.dumps(posted()), ["0a"]),
        (json.dumps([posted(), posted("0c")]), ["0a", "0c"]),
        (json.dumps([listed(), listed("0d")]), ["0b", "0d"]),
        (f"{json.dumps(posted())}\n\n{json.dumps(listed())}\n", ["0a", "0b"]),
        ("[]", []),
    ],
)
def test_deliveries_and_lists_are_read_in_their_order(content: str, wanted: list[str]) -> None:
    found = read_replay(content.encode(), "main", "alertmanager")

    assert [alert.fingerprint for alert in found.alerts] == wanted
    assert all(alert.status is AlertStatus.FIRING and alert.source == "main" for alert in found.alerts)


def test_one_that_is_wrong_does_not_hide_the_others() -> None:
    content = "\n".join([json.dumps(posted()), "nonsense \x1b[31m", json.dumps({"version": "9"})])
    found = read_replay(content.encode(), "main", "alertmanager")

    assert len(found.alerts) == 1
    assert len(found.refused) == 2
    assert "\x1b" not in "".join(found.refused)


@pytest.mark.parametrize("content", [b"7", b"nonsense", b"\xff\xfe", b"[" * 100_000, b'{"fingerprint": 7}'])
def test_a_file_of_something_else_is_one_error(content: bytes) -> None:
    with pytest.raises(UnreadableDelivery, match="Nothing in the file is an alert"):
        read_replay(content, "main", "alertmanager")


def test_a_file_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remediate.domain.alert_replay.MOST_BYTES", 10)

    with pytest.raises(UnreadableDelivery, match="longer than"):
        read_replay(b" " * 11, "main", "alertmanager")


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: json.dumps([text, {"alerts": text}]).encode()))
def test_no_file_makes_it_fail_otherwise(content: bytes) -> None:
    with suppress(UnreadableDelivery):
        assert read_replay(content, "main", "alertmanager").alerts == ()
