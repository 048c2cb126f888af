"""The OpenAPI document against the service itself: requests that fit it, and that do not, in every way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.core.result import Ok

from remediate.domain.people import Role
from remediate.interfaces.http import logins
from remediate.interfaces.http.api import ROUTES
from tests.house import TOKEN, House
from tests.identities import people, person
from tests.reception import SECRET, Desk, one, posted
from tests.reception import desk as open_desk

#: In a soak other requests are tried each time, and more of them.
_SOAK = bool(os.environ.get("REMEDIATE_SOAK"))
_HOW = settings(
    max_examples=200 if _SOAK else 20,
    derandomize=not _SOAK,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("MAIN_SECRET", SECRET)
    monkeypatch.setenv("GRAFANA_SECRET", SECRET)
    # The checks guess on purpose, and more often than is looked at.
    monkeypatch.setattr(logins, "MOST_FAILURES", 1_000_000)
    house = House(tmp_path / "state", monkeypatch)
    house.add_token()
    with open_desk(house, everybody=people(person("nadia", *Role, level=4))) as opened:
        opened.post(posted(one()))
        yield opened
    house.close()


def _guesses() -> list[tuple[str, schemathesis.GenerationMode]]:
    """Every route, asked in the right way, and in wrong ways where it takes anything that could be wrong."""
    right, wrong = schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE
    taking = [route for route in ROUTES if route.takes or route.query or "{" in route.path]
    return [(route.operation, right) for route in ROUTES] + [(route.operation, wrong) for route in taking]


@pytest.mark.parametrize(("operation", "mode"), _guesses())
def test_no_request_gets_an_answer_that_the_document_does_not_know(
    desk: Desk, operation: str, mode: schemathesis.GenerationMode
) -> None:
    document = desk.client.get("/openapi.json").json()
    # The token is always shown here: a request is not wrong for the one that was left out in the guess.
    del document["security"]
    schema = schemathesis.openapi.from_dict(document)
    schema.app = desk.client.app
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    (asked,) = [found for found in operations if found.definition.raw["operationId"] == operation]

    answered: list[int] = []

    @given(case=asked.as_strategy(generation_mode=mode))
    @_HOW
    def check(case: Case[Any]) -> None:
        answer = case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"})
        answered.append(answer.status_code)

    check()
    assert answered
    assert max(answered) < 500
