"""The published JSON schema of remediate.yml is the one that the program checks by, and explains every field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remediate.catalog.settings import SettingsFile

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "reference" / "remediate.schema.json"
SCHEMA = SettingsFile.model_json_schema()


def expected() -> str:
    dialect = "https://json-schema.org/draft/2020-12/schema"
    document = {"$schema": dialect, "title": "remediate.yml", **{k: v for k, v in SCHEMA.items() if k != "title"}}
    return json.dumps(document, indent=2) + "\n"


def fields() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, part in {"remediate.yml": SCHEMA, **SCHEMA["$defs"]}.items():
        for field, described in part.get("properties", {}).items():
            yield f"{name}: {field}", described


def test_the_published_schema_is_the_one_of_the_program() -> None:
    assert PUBLISHED.read_text() == expected(), "write what `expected()` of this test returns to the file"


@pytest.mark.parametrize(("field", "described"), [pytest.param(*one, id=one[0]) for one in fields()])
def test_every_field_says_what_it_is_for(field: str, described: dict[str, Any]) -> None:
    assert described.get("description") or "$ref" in described
