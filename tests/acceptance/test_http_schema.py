"""The OpenAPI document against the service itself: requests that fit it, and that do not, in every way."""

from __future__ import annotations

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


@pytest.mark.parametrize("operation", [route.operation for route in ROUTES])
@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
def test_no_request_gets_an_answer_that_the_document_does_not_know(
    desk: Desk, operation: str, mode: schemathesis.GenerationMode
) -> None:
    schema = schemathesis.openapi.from_dict(desk.client.get("/openapi.json").json())
    schema.app = desk.client.app
    operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
    (asked,) = [found for found in operations if found.definition.raw["operationId"] == operation]

    @given(case=asked.as_strategy(generation_mode=mode))
    @settings(max_examples=20, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def check(case: Case[Any]) -> None:
        case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"})

    check()
