"""Takes what sources post: who it is first, then what it is; durable before it is answered with 2xx."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from functools import lru_cache

from starlette.requests import Request
from starlette.responses import Response

from remediate.bootstrap import Reception
from remediate.domain.alert_payload import Delivery, SourceKind, read_delivery
from remediate.domain.source_proof import NOBODY, SourceKey
from remediate.engine.ports import Clock
from remediate.errors import RemediateError, UnreadableDelivery
from remediate.interfaces.http.bodies import Unacceptable, check_headers, read_body
from remediate.interfaces.http.logins import Logins
from remediate.interfaces.http.meters import Meters
from remediate.interfaces.http.replies import not_accepted, problem, refusal, reply

#: Sources post the same bytes again: as long as an alert fires, after a 503, and each of two twins. What so many bodies
#: of this size hold is remembered; it depends on nothing but the bytes and the source.
REMEMBERED, REMEMBERED_BYTES = 256, 16_384


class Webhook:
    """One kind of webhook: `/webhook/<kind>/<source>`."""

    def __init__(self, kind: SourceKind, reception: Reception, logins: Logins, meters: Meters, clock: Clock) -> None:
        self._kind = kind
        self._keys: Mapping[str, SourceKey] = {n: k for n, k in reception.keys.items() if k.kind == kind}
        self._reception = reception
        self._logins = logins
        self._meters = meters
        self._clock = clock
        self._remembered = lru_cache(REMEMBERED)(read_delivery)

    async def __call__(self, request: Request) -> Response:
        """Answer one post."""
        began = time.perf_counter()
        answer = await self._answer(request)
        self._meters.posts.labels(str(answer.status_code)).inc()
        self._meters.post_seconds.observe(time.perf_counter() - began)
        return answer

    async def _answer(self, request: Request) -> Response:
        key = self._keys.get(request.path_params["source"], NOBODY)
        address, name = request.client.host if request.client else "", f"source:{key.name}"
        if self._logins.is_barred(address, name):
            return problem(429, "TooManyFailures", "Too many posts from here proved nobody. Nothing was read.")
        headers: dict[str, list[str]] = {}
        for header, value in request.headers.items():
            headers.setdefault(header, []).append(value)
        try:
            body = await self._proven_body(request, key, headers)
        except Unacceptable as error:
            return problem(error.status, "Unacceptable", error.message)
        if body is None:
            self._logins.failed(address)
            self._meters.refused_logins.labels("source").inc()
            return not_accepted()
        self._logins.let_in(address, name)
        return await self._take(key, body)

    async def _proven_body(self, request: Request, key: SourceKey, headers: Mapping[str, list[str]]) -> bytes | None:
        """Return the body, or None when nobody proves to have sent it. Where a token proves it, that comes first."""
        if not key.signs and not key.accepts_token(headers):
            return None
        check_headers(request)
        body = await read_body(request)
        return body if not key.signs or key.accepts_signature(headers, body, self._clock.now()) else None

    async def _take(self, key: SourceKey, body: bytes) -> Response:
        try:
            delivery = self._read(body, key.name)
            taken = self._reception.queue.offer(delivery.alerts)
            if not taken.done():
                await asyncio.wrap_future(taken)
            taken.result()
        except UnreadableDelivery as error:
            return refusal(error)
        except RemediateError as error:
            # Whatever it is that keeps us from recording it: a source that is told so posts it again.
            return problem(503, type(error).__name__, "The alerts could not be recorded. Nothing was taken.")
        if delivery.truncated:
            self._reception.recall.ask(key.name, delivery.truncated)
        return reply({"taken": len(delivery.alerts), "refused": list(delivery.refused)})

    def _read(self, body: bytes, source: str) -> Delivery:
        """Return what a body holds; raises UnreadableDelivery, each time anew."""
        read = self._remembered if len(body) <= REMEMBERED_BYTES else read_delivery
        return read(body, source, self._kind)
