"""What every route of the API has in common: who asks, what is asked, what may go wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from remediate.domain.text import quoted
from remediate.domain.token import parts
from remediate.errors import NotAllowed, RemediateError, UsageError
from remediate.interfaces.http.api import RUN_ID, ApiRoute, Asked
from remediate.interfaces.http.bodies import Unacceptable, check_headers, read_body
from remediate.interfaces.http.logins import Logins
from remediate.interfaces.http.meters import Meters
from remediate.interfaces.http.replies import not_accepted, problem, refusal, reply
from remediate.interfaces.library import Site


class Endpoint:
    """One route of the API as starlette calls it."""

    def __init__(self, route: ApiRoute, site: Site, logins: Logins, meters: Meters, nudge: Callable[[], None]) -> None:
        self._route = route
        self._site = site
        self._logins = logins
        self._meters = meters
        self._nudge = nudge

    async def __call__(self, request: Request) -> Response:
        """Answer one request."""
        address, token = request.client.host if request.client else "", _token(request)
        name = f"token:{parts(token)[0]}"
        if self._logins.is_barred(address, name):
            return problem(429, "TooManyFailures", "Too many requests from here proved nobody. Nothing was done.")
        caller = self._site.acting_as(token)
        if not await run_in_threadpool(_is_known, caller):
            self._logins.failed(address)
            self._meters.refused_logins.labels("api").inc()
            return not_accepted()
        self._logins.let_in(address, name)
        try:
            asked, body = _asked(self._route, request, caller), await self._body(request)
            given = await run_in_threadpool(self._route.do, asked, body)
        except Unacceptable as error:
            return problem(error.status, "Unacceptable", error.message)
        except RemediateError as error:
            return refusal(error)
        if self._route.takes:
            self._nudge()
        return reply(given.model_dump(mode="json"), self._route.status)

    async def _body(self, request: Request) -> BaseModel | None:
        """Return what is asked in the body; raises UsageError with every problem of it."""
        if self._route.takes is None:
            return None
        check_headers(request)
        body = await read_body(request)
        try:
            # Not by pydantic's own parser: it takes the last of two values of one name, and others take the first.
            given = json.loads(body.decode("utf-8"), object_pairs_hook=_no_name_twice)
            return self._route.takes.model_validate_json(json.dumps(given))
        except ValidationError as error:
            raise UsageError("\n  ".join(["This cannot be done; nothing was:", *_told(error)])) from error
        except (ValueError, RecursionError) as error:
            raise UsageError(f"This is no JSON that can be used: {quoted(str(error))}. Nothing was done.") from error


def _asked(route: ApiRoute, request: Request, site: Site) -> Asked:
    """Return what path and query ask; raises UsageError for what is not known there."""
    query = dict(request.query_params)
    if len(query) != len(request.query_params.multi_items()):
        raise UsageError("A name stands twice in the query. Nothing was done.")
    for name, value in query.items():
        pattern = route.query.get(name)
        if pattern is None or not re.fullmatch(pattern, value, re.ASCII):
            raise UsageError(f"The query says {quoted(name, 40)}={quoted(value, 40)}, which means nothing here.")
    run = request.path_params.get("run", "a")
    if not re.fullmatch(RUN_ID, run):
        raise UsageError(f"{quoted(run, 40)!r} is no id of a run.")
    return Asked(site, dict(request.path_params), query)


def _token(request: Request) -> str:
    shown = request.headers.getlist("authorization")
    scheme, _, token = (shown[0] if len(shown) == 1 else "").partition(" ")
    return token if scheme.lower() == "bearer" else ""


def _is_known(caller: Site) -> bool:
    try:
        caller.principal  # noqa: B018  # asked for what it raises
    except NotAllowed:
        return False
    return True


def _no_name_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _told(error: ValidationError) -> list[str]:
    """The problems of a body, without what was sent: it may be a secret in the wrong place."""
    found = error.errors(include_input=False, include_url=False, include_context=False)
    return [f"{quoted('.'.join(map(str, one['loc'])), 80)}: {quoted(one['msg'])}" for one in found[:20]]
