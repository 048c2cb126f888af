"""A site that takes alerts over HTTP, in this process: its application, called without a network."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from starlette.testclient import TestClient

from remediate.bootstrap import Reception
from remediate.catalog.http import HttpSettings, SourceEntry
from remediate.domain.alert import AlertRecord
from remediate.domain.people import People, Role
from remediate.domain.response_rule import ResponseRule
from remediate.domain.run import Run
from remediate.engine.intake import Receipt
from remediate.engine.ports import Ports
from remediate.interfaces.http.app import Served, application
from remediate.interfaces.http.meters import Meters
from remediate.interfaces.library import Site
from tests.house import PAST, House
from tests.identities import people, person

STARTED = "2026-01-05T03:00:00Z"
SECRET = "-".join(["main"] * 8)
SIGNING = "-".join(["grafana"] * 8)
MAIN, GRAFANA = "env:MAIN_SECRET", "env:GRAFANA_SECRET"
SOURCES = {
    "main": SourceEntry(kind="alertmanager", token=MAIN),
    "twin": SourceEntry(kind="alertmanager", token=MAIN),
    "graf": SourceEntry(kind="grafana", hmac=GRAFANA),
    "timed": SourceEntry(kind="grafana", hmac=GRAFANA, timestamp_header="X-Time"),
}
#: The name of the rule is its own, so that the runbook of the tests needs no alerts on its card.
RULE = {
    "runbook": "tidy-shelf",
    "group": "all",
    "matchers": ({"label": "alertname", "kind": "=", "value": "ShelfUntidy"},),
}


def rule(**changes: Any) -> ResponseRule:
    return ResponseRule.model_validate({"source": "main", **RULE, **changes})


EVERYBODY = people(
    person("nadia", *Role, level=1, os_users=("nadia",)),
    person("lena", Role.APPROVER, Role.VIEWER, level=2),
)


def one(**changes: Any) -> dict[str, Any]:
    """One alert as Alertmanager posts it."""
    labels = {"alertname": "ShelfUntidy", "instance": "near:9100", **changes.pop("labels", {})}
    values = {"status": "firing", "labels": labels, "annotations": {}, "startsAt": STARTED}
    return {"fingerprint": "00c0ffee00c0ffee", "endsAt": "0001-01-01T00:00:00Z", **values, **changes}


def over(alert: dict[str, Any]) -> dict[str, Any]:
    """The same alert, over."""
    return {**alert, "status": "resolved", "endsAt": "2026-01-05T03:09:00Z"}


def posted(*alerts: dict[str, Any], version: str = "4", **changes: Any) -> bytes:
    """A whole delivery."""
    return json.dumps(
        {"version": version, "groupKey": "{}", "truncatedAlerts": 0, "alerts": alerts, **changes}
    ).encode()


def signature(body: bytes, stamp: str | None = None, key: str = SIGNING) -> str:
    """The signature of a body, as Grafana makes one."""
    signed = body if stamp is None else f"{stamp}:".encode() + body
    return hmac.new(key.encode(), signed, hashlib.sha256).hexdigest()


class Desk:
    """The application of a site, with its record."""

    def __init__(self, site: Site, client: TestClient, reception: Reception, ended: Event) -> None:
        self.site = site
        self.client = client
        self.reception = reception
        self.stopping = ended
        self.nudged = 0

    @property
    def ports(self) -> Ports:
        return self.site._site.ports

    def post(self, body: bytes, source: str = "main", *, secret: str = SECRET, **headers: str) -> Any:
        """Post something as a source that shows a token."""
        shown = {"authorization": f"Bearer {secret}", "content-type": "application/json", **headers}
        return self.client.post(f"/webhook/alertmanager/{source}", content=body, headers=shown)

    def runs(self) -> tuple[Run, ...]:
        return tuple(run for run in self.ports.store.runs(limit=1000) if run.id != PAST.id)

    def alerts(self) -> tuple[AlertRecord, ...]:
        return self.ports.alerts.alerts(limit=1000)


@contextmanager
def desk(
    house: House,
    *rules: ResponseRule,
    sources: Mapping[str, SourceEntry] = SOURCES,
    everybody: People = EVERYBODY,
    adapt: Callable[[Site], None] = lambda _site: None,
) -> Iterator[Desk]:
    """Open a site that takes alerts."""
    house.more = {"sources": sources, "responses": rules or (rule(),), "http": HttpSettings()}
    site, ended, stopping = house.open(everybody), Event(), Event()
    adapt(site)
    meters = Meters(lambda: reception.queue.waiting)

    def made(receipt: Receipt) -> None:
        meters.made(receipt)

    reception = site._site.reception(made)
    meters.also(site._site.ports, site._site.switchboard.position, site._site.catalogue.ids, site._site.schedule_book)
    served = Served(site, site._site, reception, meters, stopping, lambda: None)
    workers = [Thread(target=work, args=(ended,)) for work in (reception.queue.work, reception.recall.work)]
    for worker in workers:
        worker.start()
    with TestClient(application(served), raise_server_exceptions=False) as client:
        yield Desk(site, client, reception, stopping)
    ended.set()
    reception.queue.wake()
    reception.recall.wake()
    for worker in workers:
        worker.join()


@contextmanager
def a_desk(directory: Path, monkeypatch: pytest.MonkeyPatch, *rules: ResponseRule, **named: Any) -> Iterator[Desk]:
    """Open a site of its own that takes alerts."""
    monkeypatch.setenv("MAIN_SECRET", SECRET)
    monkeypatch.setenv("GRAFANA_SECRET", SIGNING)
    house = House(directory / "state", monkeypatch)
    with desk(house, *rules, **named) as opened:
        yield opened
    house.close()
