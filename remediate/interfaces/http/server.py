"""Runs the application beside a service: listens, takes alerts, and ends with it."""

from __future__ import annotations

import ctypes
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

import uvicorn

from remediate.adapters.secret import resolve
from remediate.bootstrap import Installation, Reception
from remediate.catalog.http import HttpSettings
from remediate.engine.intake import Receipt
from remediate.errors import EngineFailure, UsageError
from remediate.interfaces.http.app import Served, application
from remediate.interfaces.http.meters import Meters
from remediate.interfaces.library import Site

#: How long what is being answered may take when the service ends.
GRACE_SECONDS = 10
#: So many connections at once; more are told to come back.
MOST_CONNECTIONS = 1000
#: How long a connection may be idle: sources keep theirs open.
IDLE_SECONDS = 75
#: How long a thread may keep the interpreter when others want it.
SWITCH_SECONDS = 0.001
#: mallopt(3): so many threads of glibc's allocator get memory of their own. A service has dozens of threads, of which
#: one at a time runs Python; what each keeps for itself is never given back (3.5 MB after 100 alerts).
_M_ARENA_MAX, ARENAS = -8, 2


@contextmanager
def serving(
    site: Site, stop: Event, listening: Callable[[str], None], installation: Installation, nudge: Callable[[], None]
) -> Iterator[None]:
    """Take alerts and answer questions until this is left; `listening` is told the address.

    Raises UsageError or InvalidDocument when the settings cannot be used here. When the server ends by itself, `stop`
    is set: whoever keeps the service running starts it anew.
    """
    settings = installation.settings.http or HttpSettings()
    # Runs are carried in this process as well: who posts must not wait for each of their threads in turn.
    sys.setswitchinterval(SWITCH_SECONDS)
    _share_memory()
    meters = Meters(lambda: reception.queue.waiting)

    def made(receipt: Receipt) -> None:
        meters.made(receipt)
        if receipt.runs:
            installation.ports.executor.warm_up()
            nudge()

    reception = installation.reception(made)
    position, book = installation.switchboard.position, installation.schedule_book
    meters.also(installation.ports, position, installation.catalogue.ids, book)
    server = _server(settings, application(Served(site, installation, reception, meters, stop, nudge)))
    bound = _bound(settings)
    ended = Event()
    workers = _workers(reception, ended)
    listener = Thread(target=_listen, args=(server, bound, stop, installation), name="http", daemon=True)
    listener.start()
    listening(_url(settings, bound))
    if not reception.keys:
        installation.log.trouble(_no_source())
    reception.recall.ask_all()
    try:
        yield
    finally:
        server.should_exit = True
        listener.join(GRACE_SECONDS + 5)
        ended.set()
        reception.queue.wake()
        reception.recall.wake()
        for worker in workers:
            worker.join(GRACE_SECONDS)


def _share_memory() -> None:
    """Have all threads allocate from few arenas; where there is no glibc, there is nothing to limit."""
    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        mallopt(_M_ARENA_MAX, ARENAS)


def _workers(reception: Reception, ended: Event) -> list[Thread]:
    workers = [
        Thread(target=work, args=(ended,), name=name, daemon=True)
        for name, work in {"intake": reception.queue.work, "recall": reception.recall.work}.items()
    ]
    for worker in workers:
        worker.start()
    return workers


def _listen(server: uvicorn.Server, bound: socket.socket, stop: Event, installation: Installation) -> None:
    server.run(sockets=[bound])
    if not stop.is_set() and not server.should_exit:
        installation.log.trouble(EngineFailure("The HTTP server ended by itself, so the service ends."))
        stop.set()


def _server(settings: HttpSettings, app: object) -> uvicorn.Server:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # starlette and uvicorn name the type of an application differently
        http="httptools",
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
        limit_concurrency=MOST_CONNECTIONS,
        ssl_certfile=settings.certificate,
        ssl_keyfile=settings.key,
    )
    if settings.key:
        resolve(f"file:{settings.key}")  # refuses a key that others can read
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"The certificate or key of http in remediate.yml cannot be used: {error}.",
            next_step=f"check {settings.certificate} and {settings.key}",
        ) from error
    return uvicorn.Server(config)


def _bound(settings: HttpSettings) -> socket.socket:
    host, port = settings.address
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only of a socket that says it is TCP does asyncio turn off Nagle's delay, which costs 40 ms an answer.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(2048)
    except OSError as error:
        bound.close()
        raise UsageError(
            f"The service cannot listen at {settings.listen}: {error.strerror}.",
            next_step="end what listens there, or change http.listen in remediate.yml",
        ) from error
    return bound


def _url(settings: HttpSettings, bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    scheme = "https" if settings.certificate else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _no_source() -> UsageError:
    return UsageError(
        "No source is configured, so no alert can be posted: the webhook does not exist.",
        next_step="name one under `sources:` in remediate.yml, with a token",
    )
