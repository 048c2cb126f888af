"""The application: which address answers what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from remediate.bootstrap import Installation, Reception
from remediate.errors import RemediateError
from remediate.interfaces.http.api import PREFIX, ROUTES
from remediate.interfaces.http.endpoint import Endpoint
from remediate.interfaces.http.health import Health
from remediate.interfaces.http.logins import Logins
from remediate.interfaces.http.meters import Meters
from remediate.interfaces.http.openapi import document
from remediate.interfaces.http.replies import of_ours, of_starlette, refusal, reply
from remediate.interfaces.http.webhook import Webhook
from remediate.interfaces.library import Site


@dataclass(frozen=True)
class Served:
    """What the application answers for."""

    site: Site
    installation: Installation
    reception: Reception
    meters: Meters
    stopping: Event
    #: Lets the service look at once at what was recorded.
    nudge: Callable[[], None]


def application(served: Served) -> Starlette:
    """Return the application. Without a source there is no webhook at all."""
    ports, logins = served.installation.ports, Logins()
    health = Health(
        served.stopping,
        {"store": lambda: ports.store.runs(limit=1), "alerts": lambda: ports.alerts.open_ones(limit=1)},
    )
    return Starlette(
        routes=[
            Route("/health/live", health.live),
            Route("/health/ready", health.ready),
            Route("/health/dependencies", health.dependencies),
            Route("/metrics", _metrics(served.meters)),
            Route("/openapi.json", _openapi()),
            *_webhooks(served, logins),
            *_api(served, logins),
        ],
        exception_handlers={HTTPException: of_starlette, RemediateError: of_ours, Exception: of_ours},
    )


def _webhooks(served: Served, logins: Logins) -> list[Route]:
    clock = served.installation.ports.clock
    return [
        Route(
            f"/webhook/{kind}/{{source}}",
            _as_function(Webhook(kind, served.reception, logins, served.meters, clock)),
            methods=["POST"],
        )
        for kind in ("alertmanager", "grafana")
        if any(key.kind == kind for key in served.reception.keys.values())
    ]


def _api(served: Served, logins: Logins) -> list[Route]:
    return [
        Route(
            f"{PREFIX}{route.path}",
            _as_function(Endpoint(route, served.site, logins, served.meters, served.nudge)),
            methods=[route.method],
        )
        for route in ROUTES
    ]


def _as_function(endpoint: Webhook | Endpoint) -> Callable[[Request], object]:
    """Starlette takes an object that can be called for an application of its own."""

    async def called(request: Request) -> Response:
        return await endpoint(request)

    return called


def _metrics(meters: Meters) -> Callable[[Request], object]:
    async def metrics(_request: Request) -> Response:
        try:
            text = await run_in_threadpool(meters.text)
        except RemediateError as error:
            return refusal(error)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")

    return metrics


def _openapi() -> Callable[[Request], object]:
    found = document()

    async def openapi(_request: Request) -> Response:
        return reply(found)

    return openapi
