"""What is answered: JSON, with the headers that keep a browser from making anything else of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from remediate.errors import RemediateError

#: When to come back, where that can help.
RETRY_AFTER_SECONDS = 5

_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
}


def reply(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer in JSON."""
    return JSONResponse(content, status, {**_HEADERS, **(headers or {})})


def refusal(error: RemediateError) -> Response:
    """Return what an error of ours means over HTTP."""
    return problem(error.http_status, type(error).__name__, error.message, error.next_step)


def problem(status: int, kind: str, message: str, next_step: str = "", **headers: str) -> Response:
    """Return an error: its kind for programs, and for people what happened and what to do."""
    later = {"retry-after": str(RETRY_AFTER_SECONDS)} if status in {429, 503} else {}
    body = {"error": kind, "message": message, "next_step": next_step}
    return reply(body, status, {**later, **headers})


def not_accepted() -> Response:
    """Return the one answer to whoever does not prove who they are, whatever is wrong."""
    said = "What was shown proves nobody. Nothing was done."
    return problem(401, "NotAccepted", said, **{"www-authenticate": "Bearer"})


async def of_starlette(_request: Request, error: Exception) -> Response:
    """Answer what the framework refuses by itself: no such route, no such method."""
    known = error if isinstance(error, HTTPException) else HTTPException(500)
    return problem(known.status_code, "NotServed", known.detail, **dict(known.headers or {}))


async def of_ours(_request: Request, error: Exception) -> Response:
    """Answer an error of ours that came through."""
    return refusal(error if isinstance(error, RemediateError) else RemediateError("This is a defect."))
