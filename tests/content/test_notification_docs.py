"""What docs/how-to/notifications.md shows works as it stands there."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from remediate.adapters.notify.webhook import document, signature
from remediate.adapters.secret import Secret
from remediate.catalog.settings import read_settings
from remediate.domain.runbook import Severity
from tests.builders import notice, person

GUIDE = (Path(__file__).parents[2] / "docs" / "how-to" / "notifications.md").read_text()
BODY = document(notice(), person())


def block(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    assert found
    return found[1]


@pytest.fixture
def genuine() -> Callable[[bytes, dict[str, str], bytes], bool]:
    names: dict[str, Callable[[bytes, dict[str, str], bytes], bool]] = {}
    exec(block("python"), names)  # noqa: S102  # the documentation of this project
    return names["genuine"]


def headers(age: int = 0) -> dict[str, str]:
    return signature(Secret("s3cret"), BODY, datetime.fromtimestamp(time.time() - age, UTC))


def test_the_receiver_of_the_guide_takes_what_is_genuine(genuine: Callable[..., bool]) -> None:
    assert genuine(b"s3cret", headers(), BODY)


def test_the_receiver_of_the_guide_refuses_what_was_changed_or_is_old(genuine: Callable[..., bool]) -> None:
    later = headers() | {"X-Remediate-Timestamp": str(int(time.time()) + 1)}

    assert not genuine(b"s3cret", headers(), BODY + b" ")
    assert not genuine(b"other", headers(), BODY)
    assert not genuine(b"s3cret", later, BODY)
    assert not genuine(b"s3cret", headers(age=600), BODY)


def test_the_settings_of_the_guide_are_settings(tmp_path: Path) -> None:
    people = "version: 1\npeople:\n  nadia: {name: Nadia, chat: n}\n  omar: {name: Omar, chat: o}\n"
    (tmp_path / "remediate.yml").write_text(people + block("yaml"))
    settings = read_settings(tmp_path, {})

    assert list(settings.channels) == ["mail", "team"]
    assert settings.routes.by_severity[Severity.SEV3] == ("mail",)
