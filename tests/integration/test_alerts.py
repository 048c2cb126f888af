"""Alerts that are posted to a service of its own process: cured, asked about, taken back; and what a crash leaves."""

from __future__ import annotations

import http.client
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from remediate.adapters.store.alerts import DatabaseAlerts
from remediate.adapters.store.approvals import DatabaseApprovals
from remediate.adapters.store.audit import DatabaseTrail
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.incidents import DatabaseIncidents
from remediate.catalog.database import DatabaseSettings
from remediate.domain.alert import AlertDecision
from remediate.domain.audit_check import verify
from remediate.domain.run import RunStatus
from remediate.testing import PlainKeys
from tests.integration.test_service import doers, overlaps, until
from tests.invariants import check_alerts, check_invariants
from tests.reception import one, over, posted
from tests.service import Served

TOKEN = "-".join(["token"] * 8)
SITE = """\
http: {listen: '127.0.0.1:0'}
storm: {fleet: {hosts: 20}, budget: {most: 1000}}
sources: {main: {kind: alertmanager, token: env:MAIN_TOKEN}, twin: {kind: alertmanager, token: env:MAIN_TOKEN}}
responses:
  - {source: main, runbook: tidy-shelf, group: all, matchers: ['alertname="ShelfUntidy"'], RULE}
  - {source: twin, runbook: tidy-shelf, group: all, matchers: ['alertname="ShelfUntidy"'], RULE}
"""
#: How often a service is killed.
ROUNDS = 50 if os.environ.get("REMEDIATE_SOAK") else 3


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Served]]:
    monkeypatch.setenv("MAIN_TOKEN", TOKEN)
    made: list[Served] = []

    def making(rule: str, database: DatabaseSettings | None = None, **files: str) -> Served:
        site = Served(tmp_path / "site", database, SITE.replace("RULE", rule))
        for name, content in files.items():
            (site.directory / name.replace("_", " ")).write_text(content)
        made.append(site)
        return site

    yield making
    for site in made:
        site.close()


def post(port: int, body: bytes, source: str = "main", token: str = TOKEN) -> int:
    """Post once; 0 where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    try:
        connection.request("POST", f"/webhook/alertmanager/{source}", body, headers)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()


def at(number: int, fingerprint: str = "") -> dict[str, object]:
    """An alert about a host of the site."""
    return one(fingerprint=fingerprint or f"{number:016x}", labels={"instance": f"near-{number}:9100"})


def ends(site: Served) -> list[RunStatus]:
    return list(site.runs().values())


def test_an_alert_is_cured_by_itself_where_its_rule_acts(make: Callable[..., Served]) -> None:
    site = make("mode: act")
    _, port = site.listen()
    assert post(port, posted(at(1))) == 200
    until(lambda: ends(site) == [RunStatus.SUCCEEDED])

    with site.record() as database:
        (run,) = DatabaseStore(database).runs(limit=9)
        steps = [step.reason for step in DatabaseStore(database).transitions(run.id)]
        check_invariants(DatabaseStore(database), DatabaseApprovals(database), incidents=DatabaseIncidents(database))
        check_alerts(DatabaseStore(database), DatabaseAlerts(database))
    assert any(reason.startswith("approved by policy: its rule acts without a human up to level 0") for reason in steps)


def test_ten_alerts_for_ten_hosts_are_cured_side_by_side(make: Callable[..., Served]) -> None:
    site = make("mode: act", hosts="10", fix_takes="1")
    _, port = site.listen()
    for number in range(1, 11):
        assert post(port, posted(at(number))) == 200
    until(lambda: ends(site) == [RunStatus.SUCCEEDED] * 10, 60)

    going: set[str] = set()
    most = 0
    for line in (site.directory / "walked").read_text().splitlines():
        _, _, what, phase, _, host = line.split()
        if phase == "fix":
            (going.add if what == "begin" else going.discard)(host)
            most = max(most, len(going))
    assert most > 4


@pytest.mark.parametrize(
    ("rule", "cause", "level"),
    [("mode: ask", "dust", 1), ("mode: act", "archive", 2), ("mode: act, unattended: 1", "archive", 2)],
)
def test_a_human_is_asked_where_the_rule_does_not_go_and_no_more_when_the_alert_is_over(
    make: Callable[..., Served], rule: str, cause: str, level: int
) -> None:
    site = make(rule, cause=cause)
    _, port = site.listen()
    post(port, posted(at(1)))
    until(lambda: ends(site) == [RunStatus.WAITING_APPROVAL])
    with site.record() as database:
        (request,) = DatabaseApprovals(database).requests()
    assert (request.level, request.requested_by) == (level, "alert:main")

    assert post(port, posted(over(at(1)))) == 200
    assert ends(site) == [RunStatus.WITHDRAWN]
    with site.record() as database:
        assert DatabaseStore(database).runs(limit=1)[0].outcome == "withdrawn: its alert is over"


def test_what_a_human_approves_is_carried_out(make: Callable[..., Served]) -> None:
    site = make("mode: ask")
    _, port = site.listen()
    post(port, posted(at(1)))
    until(lambda: ends(site) == [RunStatus.WAITING_APPROVAL])
    (run,) = site.runs()
    assert site.command("approve", run, by="lena").returncode == 0
    until(lambda: ends(site) == [RunStatus.SUCCEEDED])


def test_a_run_that_acts_when_its_alert_is_over_goes_on_and_the_trail_says_so(make: Callable[..., Served]) -> None:
    site = make("mode: act", fix_takes="2")
    _, port = site.listen()
    post(port, posted(at(1)))
    until(lambda: ends(site) == [RunStatus.FIXING])
    assert post(port, posted(over(at(1)))) == 200
    until(lambda: ends(site) == [RunStatus.SUCCEEDED])

    with site.record() as database:
        (run,) = site.runs()
        told = [event.entry.action for event in DatabaseTrail(database, PlainKeys()).events(subject=run)]
    assert told.index("alert.resolved") < len(told) - 1 - told[::-1].index("run.moved")


def test_a_rule_that_suggests_leaves_a_plan_and_touches_nothing(make: Callable[..., Served]) -> None:
    site = make("mode: suggest")
    _, port = site.listen()
    post(port, posted(at(1)))
    until(lambda: ends(site) == [RunStatus.PLANNED])

    assert [line.split()[0] for line in site.walked()] == ["diagnose", "fix-check"]


def test_while_the_site_is_paused_it_is_refused_and_the_alert_says_so(make: Callable[..., Served]) -> None:
    site = make("mode: act")
    _, port = site.listen()
    assert site.command("pause", "--reason", "hands off").returncode == 0
    post(port, posted(at(1)))
    until(lambda: ends(site) == [RunStatus.PARKED])

    with site.record() as database:
        (record,) = DatabaseAlerts(database).alerts()
    assert record.answer.decision is AlertDecision.REFUSED
    assert "hands off" in record.answer.reason


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("mode: act, group: nowhere", "is in the group 'nowhere'"),
        ("parameters: {nothing: 1}", "nothing: this runbook has no such parameter"),
        ("unattended: 5, mode: act", "unattended"),
        ("runbook: tidy-shelv", "there is no runbook 'tidy-shelv'; did you mean tidy-shelf?"),
    ],
)
def test_a_rule_that_does_not_fit_keeps_the_service_from_starting(
    make: Callable[..., Served], rule: str, said: str
) -> None:
    name = rule.partition(":")[0]
    site = make("mode: ask")
    text = (site.directory / "remediate.yml").read_text()
    usual = {"group": "group: all", "runbook": "runbook: tidy-shelf"}
    for part in rule.split(", "):
        text = text.replace(usual[part.partition(":")[0]], part) if part.partition(":")[0] in usual else text
    extra = ", ".join(part for part in rule.split(", ") if part.partition(":")[0] not in usual)
    text = text.replace("mode: ask", extra) if extra else text
    (site.directory / "remediate.yml").write_text(text)
    done = site.command("serve")

    assert done.returncode == 2, (name, done)
    assert said in done.stderr
    assert "remediate.yml:" in done.stderr
    assert not (site.directory / "walked").exists()


def test_without_its_secret_a_source_keeps_the_service_from_starting(
    make: Callable[..., Served], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = make("mode: ask")
    monkeypatch.delenv("MAIN_TOKEN")
    done = site.command("serve")

    assert done.returncode == 2
    assert "The secret env:MAIN_TOKEN is not set." in done.stderr


def test_a_port_that_is_taken_is_said_and_the_service_does_not_start(make: Callable[..., Served]) -> None:
    site = make("mode: ask")
    _, port = site.listen()
    text = (site.directory / "remediate.yml").read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}")
    other = site.directory.with_name("other")
    site.directory.joinpath("remediate.yml").write_text(text)
    done = Served(other, more=SITE.replace("RULE", "mode: ask").replace("127.0.0.1:0", f"127.0.0.1:{port}")).command(
        "serve"
    )

    assert done.returncode == 2
    assert "cannot listen at" in done.stderr


def test_a_service_that_is_told_to_stop_answers_what_it_was_asked_and_ends(make: Callable[..., Served]) -> None:
    site = make("mode: act", fix_takes="1")
    process, port = site.listen()
    assert post(port, posted(at(1))) == 200
    until(lambda: ends(site) == [RunStatus.FIXING])
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)

    assert process.returncode == 0, (out, err)
    assert "Stopped." in out
    assert post(port, posted(at(2))) == 0


def test_an_alert_that_was_answered_is_cured_after_the_service_was_killed_at_once(make: Callable[..., Served]) -> None:
    site = make("mode: act")
    process, port = site.listen()
    assert post(port, posted(at(1))) == 200
    process.kill()
    process.wait()
    site.listen()
    until(lambda: RunStatus.SUCCEEDED in ends(site) and not {RunStatus.REQUESTED} & set(ends(site)), 60)

    with site.record() as database:
        check_alerts(DatabaseStore(database), DatabaseAlerts(database))


@pytest.mark.postgres
def test_of_two_services_that_take_an_alert_one_acts_and_the_other_takes_over_when_it_is_killed(
    make: Callable[..., Served], postgres: DatabaseSettings
) -> None:
    site = make("mode: act", postgres, fix_takes="60")
    services, ports = zip(*(site.listen() for _ in range(2)), strict=True)
    # Twins of Alertmanager: both deliver what both know.
    assert [post(port, posted(at(1))) for port in (*ports, *ports)] == [200] * 4
    until(lambda: any(line.startswith("fix ") for line in site.walked()))
    (doer,) = doers(site)
    (site.directory / "fix takes").write_text("0")
    next(service for service in services if service.pid == doer).kill()
    died = time.time()
    until(lambda: RunStatus.SUCCEEDED in ends(site), 60)
    lines = [line.split() for line in (site.directory / "walked").read_text().splitlines()]
    taken_over = min(float(when) for when, process, what, *_ in lines if what == "begin" and int(process) != doer)

    assert ends(site) == [RunStatus.INTERRUPTED, RunStatus.SUCCEEDED]
    assert taken_over - died < 10
    assert overlaps(site) == []
    with site.record() as database:
        check_alerts(DatabaseStore(database), DatabaseAlerts(database))
        assert len(DatabaseAlerts(database).alerts()) == 1


class Storm:
    """Posts alerts from several connections, each until it is taken, whatever happens to the service."""

    def __init__(self, hosts: int, alerts: int) -> None:
        self.port = 0
        self.taken: set[str] = set()
        self._alerts = [at(1 + number % hosts, f"{number:016x}") for number in range(alerts)]
        self._over = Event()

    def post(self, connection: int) -> None:
        rolled = random.Random(connection)  # noqa: S311  # which alert comes next is no secret
        while not self._over.is_set():
            alert = rolled.choice(self._alerts)
            source = rolled.choice(["main", "twin"])
            status = post(self.port, posted(alert), source)
            assert status in {0, 200, 503}, status
            if status == 200:
                self.taken.add(str(alert["fingerprint"]))

    def end(self) -> None:
        self._over.set()


def test_whenever_the_service_is_killed_under_load_nothing_is_lost_and_nothing_is_doubled(
    make: Callable[..., Served],
) -> None:
    site = make("mode: act", hosts="20", fix_takes="0.05")
    storm, rolled = Storm(20, 60), random.Random(7)  # noqa: S311  # the moments are no secret
    with ThreadPoolExecutor(4) as connections:
        process, storm.port = site.listen()
        posting = [connections.submit(storm.post, number) for number in range(4)]
        for _ in range(ROUNDS):
            Event().wait(rolled.uniform(0.2, 2.0))
            process.kill()
            process.wait()
            with site.record() as database:
                check_alerts(DatabaseStore(database), DatabaseAlerts(database))
                check_invariants(
                    DatabaseStore(database),
                    DatabaseApprovals(database),
                    at_rest=False,
                    incidents=DatabaseIncidents(database),
                )
            process, storm.port = site.listen()
        until(lambda: len(storm.taken) == 60, 60)
        storm.end()
        for one_of_them in posting:
            one_of_them.result()
    going = {RunStatus.REQUESTED, RunStatus.DIAGNOSING, RunStatus.PLANNED, RunStatus.APPROVED, RunStatus.SNAPSHOTTING}
    going |= {RunStatus.FIXING, RunStatus.VERIFYING}
    until(lambda: not going & set(ends(site)), 120)

    with site.record() as database:
        store, alerts = DatabaseStore(database), DatabaseAlerts(database)
        check_alerts(store, alerts)
        check_invariants(store, DatabaseApprovals(database), at_rest=False, incidents=DatabaseIncidents(database))
        assert {record.alert.fingerprint for record in alerts.alerts(limit=1000)} == storm.taken
        assert verify(DatabaseTrail(database, PlainKeys()).stored()).flaw is None
