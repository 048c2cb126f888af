"""The OpenAPI document of the API, made of the same table that the routes are made of."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from remediate import __version__
from remediate.interfaces.http.api import PREFIX, ROUTES, RUN_ID, ApiRoute
from remediate.interfaces.http.models import Problem

_REFERENCE = "#/components/schemas/{model}"
_PROBLEMS = {
    400: "The body broke off.",
    401: "What was shown proves nobody.",
    403: "Whoever asks may not do this.",
    404: "There is no such thing, or none that may be seen.",
    408: "The body came too slowly.",
    409: "It cannot be done as things stand.",
    413: "The body is too big.",
    415: "The body is of another kind.",
    422: "What is asked cannot be understood.",
    429: "Too many requests from here proved nobody.",
    503: "The record cannot be used now.",
}


def document() -> dict[str, Any]:
    """Return the whole document."""
    taken = [(route.takes, "validation") for route in ROUTES if route.takes]
    given = [(route.gives, "serialization") for route in ROUTES]
    models: list[Any] = [*taken, *given, (Problem, "serialization")]
    references, definitions = models_json_schema(models, ref_template=_REFERENCE)
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(f"{PREFIX}{route.path}", {})[route.method.lower()] = _operation(route, references)
    return {
        "openapi": "3.1.0",
        "info": {"title": "remediate", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _operation(route: ApiRoute, references: Any) -> dict[str, Any]:
    def content(model: type[BaseModel], mode: str) -> dict[str, Any]:
        return {"application/json": {"schema": references[model, mode]}}

    found = {
        "operationId": route.operation,
        "summary": route.summary,
        "parameters": [*_path_parameters(route), *_query_parameters(route)],
        "responses": {
            str(route.status): {"description": "Done.", "content": content(route.gives, "serialization")},
            **{
                str(status): {"description": said, "content": content(Problem, "serialization")}
                for status, said in _PROBLEMS.items()
            },
        },
    }
    if route.takes:
        found["requestBody"] = {"required": True, "content": content(route.takes, "validation")}
    return found


def _path_parameters(route: ApiRoute) -> list[dict[str, Any]]:
    schema = {"type": "string", "pattern": f"^{RUN_ID}$"}
    names = re.findall(r"\{(\w+)\}", route.path)
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _query_parameters(route: ApiRoute) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string", "pattern": f"^({pattern})$"}}
        for name, pattern in route.query.items()
    ]
