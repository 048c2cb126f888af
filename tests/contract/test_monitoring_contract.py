"""What Prometheus and Alertmanager are asked, and what is made of their published formats; the twins do the same."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from remediate.adapters import json_api
from remediate.adapters.alertmanager import Alertmanager
from remediate.adapters.json_api import JsonApi
from remediate.adapters.prometheus import Prometheus, moment
from remediate.catalog.endpoint import Endpoint
from remediate.domain.alert import Alert, AlertStatus
from remediate.domain.alert_rule import AlertRule, ScrapeTarget, Series
from remediate.domain.silence import Silence, comment
from remediate.engine.monitoring import Answer, Messenger, Monitoring
from remediate.errors import MonitoringFailed
from remediate.testing import EPOCH
from remediate.testing.monitoring import FakeMessenger, FakeMonitoring

LABELS = {"alertname": "DiskFull", "instance": "near:9100", "mountpoint": '/"{{ 7*7 }}'}
RULE = AlertRule(
    name="DiskFull",
    expression="disk_used > 90",
    holds_for=timedelta(minutes=1),
    labels={"severity": "SEV1"},
    annotations={"runbook": "disk-full"},
    group="disk",
)
BROKEN = RULE.model_copy(update={"name": "Broken", "trouble": "many-to-many matching"})
TARGET = ScrapeTarget(labels={"instance": "near:9100", "job": "node"}, up=True, last_scrape=EPOCH)
DOWN = ScrapeTarget(labels={"instance": "far:9100", "job": "node"}, up=False, last_scrape=None)
FOUND = Series(labels={"__name__": "disk_used", "instance": "near:9100"}, value=95.5)
ALERT = Alert(
    source="main",
    fingerprint="0a1b2c3d4e5f6071",
    status=AlertStatus.FIRING,
    labels=LABELS,
    annotations={"summary": "<b>"},
    starts_at=EPOCH,
    generator_url="http://prometheus/graph",
)
WANTED = Silence(
    run_id="20260105-030000-bcdf",
    source="main",
    alert="k",
    labels=LABELS,
    begins_at=EPOCH,
    ends_at=EPOCH + timedelta(minutes=20),
)


def success(data: object, **more: object) -> dict[str, object]:
    return {"status": "success", "data": data, **more}


def written(rule: AlertRule) -> dict[str, object]:
    health = {"health": "err", "lastError": rule.trouble} if rule.trouble else {"health": "ok"}
    return {
        "state": "firing",
        "name": rule.name,
        "query": rule.expression,
        "duration": 60,
        "keepFiringFor": 0,
        "labels": rule.labels,
        "annotations": rule.annotations,
        "alerts": [],
        "evaluationTime": 0.0003,
        "lastEvaluation": "2026-01-05T03:00:00.123456789Z",
        "type": "alerting",
        **health,
    }


RULES = success(
    {
        "groups": [
            {
                "name": "disk",
                "file": "/etc/prometheus/rules/disk.yml",
                "rules": [written(RULE), written(BROKEN), {"name": "a:b", "query": "sum(b)", "type": "recording"}],
                "interval": 30,
            }
        ]
    }
)
TARGETS = success(
    {
        "activeTargets": [
            {
                "discoveredLabels": {"__address__": "near:9100"},
                "labels": TARGET.labels,
                "scrapePool": "node",
                "scrapeUrl": "http://near:9100/metrics",
                "lastError": "",
                "lastScrape": "2026-01-05T03:00:00.000000000Z",
                "health": "up",
                "scrapeInterval": "15s",
            },
            {"labels": DOWN.labels, "lastError": "refused", "lastScrape": "0001-01-01T00:00:00Z", "health": "down"},
        ],
        "droppedTargets": [],
    }
)


def vector(*series: Series) -> dict[str, object]:
    found = [{"metric": one.labels, "value": [EPOCH.timestamp(), str(one.value)]} for one in series]
    return {"resultType": "vector", "result": found}


class Served:
    """A server that answers as Prometheus and Alertmanager do."""

    def __init__(self, server: HTTPServer) -> None:
        self.server = server
        self.silences: dict[str, dict[str, Any]] = {}
        server.expect_request("/api/v1/rules", query_string="type=alert").respond_with_json(RULES)
        server.expect_request("/api/v1/targets", query_string="state=active").respond_with_json(TARGETS)
        server.expect_request("/api/v1/query", method="POST").respond_with_handler(self._query)
        server.expect_request("/api/v2/alerts").respond_with_json([self._alert()])
        server.expect_request("/api/v2/silences", method="POST").respond_with_handler(self._silence)
        server.expect_request("/api/v2/silences", method="GET").respond_with_handler(lambda _: self._listed())
        config = {"original": "route:\n  receiver: nobody\n"}
        server.expect_request("/api/v2/status").respond_with_json({"config": config, "uptime": "2026-01-05T03:00:00Z"})

    def _query(self, request: Request) -> Response:
        expression = parse_qs(request.get_data(as_text=True))["query"][0]
        if expression == "time()":
            data: dict[str, object] = {"resultType": "scalar", "result": [EPOCH.timestamp(), str(EPOCH.timestamp())]}
        else:
            data = vector(FOUND) if expression == RULE.expression else vector()
        warnings = {"warnings": ["a store did not answer"]} if expression == "partial" else {}
        return Response(json.dumps(success(data, **warnings)), content_type="application/json")

    def _alert(self) -> dict[str, object]:
        return {
            "annotations": {"summary": "<b>"},
            "endsAt": "2026-01-05T03:04:00.000Z",
            "fingerprint": ALERT.fingerprint,
            "receivers": [{"name": "remediate"}],
            "startsAt": "2026-01-05T03:00:00.000Z",
            "status": {"inhibitedBy": [], "mutedBy": [], "silencedBy": ["s"], "state": "suppressed"},
            "updatedAt": "2026-01-05T03:00:00.000Z",
            "generatorURL": "http://prometheus/graph",
            "labels": ALERT.labels,
        }

    def _silence(self, request: Request) -> Response:
        external_id = f"a1b2c3d4-0000-4000-8000-{len(self.silences):012}"
        self.silences[external_id] = {**request.get_json(), "id": external_id, "status": {"state": "active"}}
        path = f"/api/v2/silence/{external_id}"
        one = self.silences[external_id]
        self.server.expect_request(path, method="GET").respond_with_handler(
            lambda _: Response(json.dumps(one), content_type="application/json")
        )
        self.server.expect_request(path, method="DELETE").respond_with_handler(lambda _: self._expire(external_id))
        return Response(json.dumps({"silenceID": external_id}), content_type="application/json")

    def _expire(self, external_id: str) -> Response:
        self.silences[external_id]["status"] = {"state": "expired"}
        return Response("", content_type="application/json")

    def _listed(self) -> Response:
        return Response(json.dumps(list(self.silences.values())), content_type="application/json")


@pytest.fixture
def server(httpserver: HTTPServer) -> Iterator[HTTPServer]:
    yield httpserver
    httpserver.check_assertions()


def endpoint(server: HTTPServer, **changes: Any) -> Endpoint:
    return Endpoint.model_validate({"url": server.url_for("/"), **changes})


@pytest.fixture(params=["twin", "real"])
def monitoring(request: pytest.FixtureRequest) -> Monitoring:
    if request.param == "real":
        served = Served(request.getfixturevalue("server"))
        return Prometheus(endpoint(served.server))
    twin = FakeMonitoring(lambda: EPOCH, (RULE, BROKEN))
    twin.scrapes(lambda: (TARGET, DOWN))
    twin.finds(RULE.expression, lambda: [FOUND])
    twin.finds("partial", list, "a store did not answer")
    return twin


@pytest.fixture(params=["twin", "real"])
def messenger(request: pytest.FixtureRequest) -> Messenger:
    if request.param == "real":
        served = Served(request.getfixturevalue("server"))
        return Alertmanager(endpoint(served.server), "main")
    twin = FakeMessenger()
    twin.held.append(ALERT)
    twin.configured = "route:\n  receiver: nobody\n"
    return twin


def test_the_alerting_rules_come_as_they_are_loaded(monitoring: Monitoring) -> None:
    assert monitoring.rules() == (RULE, BROKEN)


def test_targets_come_with_when_they_were_scraped(monitoring: Monitoring) -> None:
    assert monitoring.targets() == (TARGET, DOWN)


def test_an_expression_finds_series_or_none(monitoring: Monitoring) -> None:
    assert monitoring.ask(RULE.expression) == Answer(series=(FOUND,))
    assert monitoring.ask("absent(x)") == Answer(series=())
    assert monitoring.ask("partial") == Answer(series=(), warnings=("a store did not answer",))


def test_it_tells_its_own_time(monitoring: Monitoring) -> None:
    assert monitoring.time() == EPOCH


def test_alerts_that_have_not_resolved_come_with_those_that_are_silenced(messenger: Messenger) -> None:
    assert messenger.alerts() == (ALERT,)


def test_the_configuration_comes_as_it_is(messenger: Messenger) -> None:
    assert messenger.configuration() == "route:\n  receiver: nobody\n"


def test_a_silence_is_made_found_again_and_ended_once_and_for_all(messenger: Messenger) -> None:
    made = messenger.silence(WANTED)

    assert messenger.silences(WANTED.comment) == (made,)
    assert messenger.silences(comment("another run")) == ()
    messenger.unsilence(made)
    assert messenger.silences(WANTED.comment) == ()
    messenger.unsilence(made)


def test_a_silence_is_for_exactly_the_labels_of_the_alert(server: HTTPServer) -> None:
    served = Served(server)
    made = Alertmanager(endpoint(server), "main").silence(WANTED)

    sent = served.silences[made]
    assert sent["matchers"] == [
        {"name": name, "value": value, "isRegex": False, "isEqual": True} for name, value in sorted(LABELS.items())
    ]
    assert moment(sent["endsAt"]) == WANTED.ends_at
    assert WANTED.run_id in sent["comment"]


def test_a_silence_of_others_is_left_alone_whatever_it_says(server: HTTPServer) -> None:
    served = Served(server)
    alertmanager = Alertmanager(endpoint(server), "main")
    served.silences[alertmanager.silence(WANTED)]["createdBy"] = "omar"

    assert alertmanager.silences(WANTED.comment) == ()


def test_an_unknown_silence_is_over(server: HTTPServer) -> None:
    server.expect_request("/api/v2/silence/gone").respond_with_data("", status=404)

    Alertmanager(endpoint(server), "main").unsilence("gone")


@pytest.mark.parametrize("hostile", ["../../-/reload", "a/b", "a?b", "", "ü", "a" * 65])
def test_an_id_is_never_a_path(server: HTTPServer, hostile: str) -> None:
    with pytest.raises(MonitoringFailed, match="another form"):
        Alertmanager(endpoint(server), "main").unsilence(hostile)

    assert server.log == []


def test_who_scrapes_nothing_has_no_targets(server: HTTPServer) -> None:
    server.expect_request("/api/v1/targets").respond_with_data("404 page not found", status=404)

    assert Prometheus(endpoint(server)).targets() == ()


USES: dict[str, Callable[[Endpoint], object]] = {
    "rules": lambda at: Prometheus(at).rules(),
    "targets": lambda at: Prometheus(at).targets(),
    "ask": lambda at: Prometheus(at).ask("x"),
    "time": lambda at: Prometheus(at).time(),
    "alerts": lambda at: Alertmanager(at, "main").alerts(),
    "silence": lambda at: Alertmanager(at, "main").silence(WANTED),
    "silences": lambda at: Alertmanager(at, "main").silences("x"),
    "unsilence": lambda at: Alertmanager(at, "main").unsilence("a1"),
    "configuration": lambda at: Alertmanager(at, "main").configuration(),
}
ANY_PATH = re.compile("/.*")
NONSENSE = ["", "nonsense", "[1]", "{}", "null", '{"status": "success", "data": {"result": 1}}', "[" * 5000, "\xff"]


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
@pytest.mark.parametrize("body", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_one_error_that_names_the_service(
    server: HTTPServer, use: Callable[[Endpoint], object], body: str
) -> None:
    server.expect_request(ANY_PATH).respond_with_data(body, content_type="application/json")

    with pytest.raises(MonitoringFailed, match=f"at localhost:{server.port} cannot be used: "):
        use(endpoint(server))


@pytest.mark.parametrize("use", USES.values(), ids=list(USES))
@pytest.mark.parametrize("status", [302, 400, 401, 422, 500, 503])
def test_a_refusal_is_told_with_its_reason_and_a_redirect_is_one(
    server: HTTPServer, use: Callable[[Endpoint], object], status: int
) -> None:
    said = {"status": "error", "errorType": "execution", "error": "found duplicate series"}
    server.expect_request(ANY_PATH).respond_with_json(
        said, status=status, headers={"Location": server.url_for("/elsewhere")}
    )

    with pytest.raises(MonitoringFailed, match=f"it answered {status} found duplicate series"):
        use(endpoint(server))
    assert "/elsewhere" not in [request.path for request, _ in server.log]


def test_nobody_there_is_an_error_that_names_the_address() -> None:
    with pytest.raises(MonitoringFailed, match=r"Prometheus at 127.0.0.1:1 cannot be used: ConnectError"):
        Prometheus(Endpoint(url="http://127.0.0.1:1")).rules()


def test_a_longer_answer_than_anybody_needs_is_not_read(server: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_api, "MOST_BYTES", 1000)
    server.expect_request("/api/v2/alerts").respond_with_data(f'["{"x" * 2000}"]')

    with pytest.raises(MonitoringFailed, match="longer than 1000 bytes"):
        Alertmanager(endpoint(server), "main").alerts()


def test_an_answer_that_drips_for_ever_is_given_up(server: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    passing = iter(range(0, 10_000, 20))
    monkeypatch.setattr("remediate.adapters.json_api.time.monotonic", lambda: float(next(passing)))
    server.expect_request("/x").respond_with_data("[1, 2]")

    with pytest.raises(MonitoringFailed, match="takes too long"):
        JsonApi("Prometheus", endpoint(server)).get("/x")


def test_the_token_is_sent_and_stands_in_no_message(server: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORING_TOKEN", "hush-hush")
    server.expect_request("/api/v1/query").respond_with_handler(
        lambda request: Response(request.headers["Authorization"], status=401)
    )

    with pytest.raises(MonitoringFailed, match=r"it answered 401 Bearer \*\*\*"):
        Prometheus(endpoint(server, token="env:MONITORING_TOKEN")).time()  # noqa: S106  # the name of a variable


def test_without_its_token_nothing_is_asked(server: HTTPServer) -> None:
    with pytest.raises(MonitoringFailed, match="was not asked: The secret env:NOTHING_THERE is not set"):
        Prometheus(endpoint(server, token="env:NOTHING_THERE")).time()  # noqa: S106  # the name of a variable
    assert server.log == []


def test_a_proxy_of_the_environment_is_not_used(server: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    server.expect_request("/api/v2/alerts").respond_with_json([])

    assert Alertmanager(endpoint(server), "main").alerts() == ()


@pytest.mark.parametrize("twin", [FakeMonitoring(lambda: EPOCH).rules, FakeMessenger().alerts])
def test_a_twin_can_be_unreachable(twin: Any) -> None:
    twin.__self__.trouble = "Prometheus cannot be used"

    with pytest.raises(MonitoringFailed, match="Prometheus cannot be used"):
        twin()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-01-05T03:00:00Z", datetime(2026, 1, 5, 3, tzinfo=UTC)),
        ("2026-01-05T04:00:00.123456789+01:00", datetime(2026, 1, 5, 3, 0, 0, 123456, tzinfo=UTC)),
        ("2026-01-05T03:00:00.5Z", datetime(2026, 1, 5, 3, 0, 0, 500000, tzinfo=UTC)),
    ],
)
def test_moments_are_read_as_go_writes_them(text: str, wanted: datetime) -> None:
    assert moment(text) == wanted
