"""What is posted: who posts it, what it is, and what becomes of it, on a real record."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from remediate.domain.alert import AlertDecision
from remediate.domain.alert_payload import Delivery, SourceKind, read_delivery
from remediate.domain.audit_check import verify
from remediate.domain.run import RunStatus, StartedBy
from remediate.errors import StateUnusable
from remediate.interfaces.http import webhook
from remediate.interfaces.http.logins import MOST_FAILURES
from tests.house import House
from tests.reception import SECRET, Desk, a_desk, one, over, posted, rule, signature
from tests.reception import desk as open_desk
from tests.unit.test_alert_payload import PAYLOADS


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with a_desk(tmp_path, monkeypatch) as opened:
        yield opened


def test_an_alert_becomes_a_record_and_a_run_before_it_is_answered(desk: Desk) -> None:
    answer = desk.post(posted(one(labels={"severity": "warning"})))
    (run,), (record,) = desk.runs(), desk.alerts()

    assert (answer.status_code, answer.json()) == (200, {"taken": 1, "refused": []})
    assert (run.runbook, run.hosts, run.status) == ("tidy-shelf", ("near",), RunStatus.REQUESTED)
    assert (run.started_by, run.requested_by, run.carrier) == (StartedBy.ALERT, "alert:main", "service")
    assert run.unattended is None
    assert run.reason == "ShelfUntidy fires on near"
    assert (record.answer.decision, record.answer.run_id) == (AlertDecision.ADMITTED, run.id)
    subjects = [event.entry.action for event in desk.site._site.audit.trail.events(subject=run.id)]
    assert subjects == ["run.requested", "alert.decided"]


def test_one_run_whatever_the_number_of_deliveries_groups_and_twins(desk: Desk) -> None:
    for _ in range(3):
        desk.post(posted(one(), one(), groupKey="a"))
        desk.post(posted(one(), groupKey="b"), "twin")
    desk.reception.queue._add_counts()

    assert len(desk.runs()) == 1
    assert desk.alerts()[0].deliveries == 6


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sources of the bodies that were really read."""
    seen: list[str] = []

    def counted(body: bytes, source: str, kind: SourceKind) -> Delivery:
        seen.append(source)
        return read_delivery(body, source, kind)

    monkeypatch.setattr(webhook, "read_delivery", counted)
    return seen


def test_the_same_bytes_of_the_same_source_are_read_once_and_counted_each_time(
    reads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with a_desk(tmp_path, monkeypatch) as desk:
        answers = [desk.post(posted(one())).json() for _ in range(3)]
        desk.post(posted(one()), "twin")
        desk.post(posted(over(one())))
        desk.reception.queue._add_counts()
        (record,) = desk.alerts()

    assert answers == [{"taken": 1, "refused": []}] * 3
    assert reads == ["main", "twin", "main"]
    assert (record.deliveries, record.is_open) == (5, False)


def test_a_body_that_is_none_is_refused_each_time_and_a_large_one_is_not_remembered(
    reads: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = posted(one(annotations={"text": "x" * webhook.REMEMBERED_BYTES}))
    with a_desk(tmp_path, monkeypatch) as desk:
        refused = [desk.post(b"{}").status_code for _ in range(2)]
        taken = [desk.post(large).status_code for _ in range(2)]

    assert (refused, taken) == ([422, 422], [200, 200])
    assert len(reads) == 4


def test_an_alert_that_begins_again_is_another_one(desk: Desk) -> None:
    desk.post(posted(one()))
    desk.post(posted(over(one())))
    desk.post(posted(one(startsAt="2026-01-05T04:00:00Z")))

    assert [run.status for run in desk.runs()] == [RunStatus.REQUESTED, RunStatus.CANCELED]


def test_an_alert_that_is_over_before_its_run_began_cancels_it(desk: Desk) -> None:
    desk.post(posted(one()))
    desk.post(posted(over(one())))
    (run,) = desk.runs()

    assert (run.status, run.outcome) == (RunStatus.CANCELED, "its alert is over; nothing was begun")
    assert not desk.alerts()[0].is_open


def test_an_alert_that_is_heard_of_when_it_is_over_starts_nothing_then_or_later(desk: Desk) -> None:
    desk.post(posted(over(one())))
    desk.post(posted(one()))

    assert desk.runs() == ()
    assert desk.alerts()[0].answer.decision is AlertDecision.RESOLVED_FIRST


def test_a_service_that_starts_anew_knows_what_it_took(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIN_SECRET", SECRET)
    monkeypatch.setenv("GRAFANA_SECRET", SECRET)
    house = House(tmp_path / "state", monkeypatch)
    for _ in range(3):
        with open_desk(house) as desk:
            desk.post(posted(one()))
            known = (len(desk.runs()), desk.alerts()[0].deliveries)
    house.close()

    assert known == (1, 3)


@pytest.mark.parametrize(
    ("labels", "decision"),
    [
        ({"alertname": "Unknown"}, AlertDecision.NO_RULE),
        ({"instance": "all"}, AlertDecision.NO_TARGET),
        ({"instance": "{{ lookup('pipe', 'id') }}"}, AlertDecision.NO_TARGET),
        ({"ansible_host": "evil", "__ansible_unsafe": "x", "ansible_connection": "local"}, AlertDecision.ADMITTED),
    ],
)
def test_whatever_an_alert_says_it_is_recorded_with_what_was_decided(
    desk: Desk, labels: dict[str, str], decision: AlertDecision
) -> None:
    assert desk.post(posted(one(labels=labels))).status_code == 200
    (record,) = desk.alerts()

    assert record.answer.decision is decision
    assert record.alert.labels == {**one()["labels"], **labels}
    assert [run.parameters for run in desk.runs()] == ([{}] if decision is AlertDecision.ADMITTED else [])
    assert verify(desk.site._site.audit.trail.stored()).flaw is None


def test_a_rule_that_only_suggests_makes_a_run_that_only_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_desk(tmp_path, monkeypatch, rule(mode="suggest")) as desk:
        desk.post(posted(one()))

        assert [run.check for run in desk.runs()] == [True]
        assert desk.alerts()[0].answer.decision is AlertDecision.SUGGESTED


def test_a_rule_that_acts_says_how_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_desk(tmp_path, monkeypatch, rule(mode="act", unattended=2)) as desk:
        desk.post(posted(one()))

        assert [run.unattended for run in desk.runs()] == [2]


WRONG = {
    "another token": {"authorization": "Bearer wrong"},
    "no token": {"authorization": ""},
    "no scheme": {"authorization": SECRET},
    "another scheme": {"authorization": f"Basic {SECRET}"},
    "an empty token": {"authorization": "Bearer "},
    "more than the token": {"authorization": f"Bearer {SECRET} "},
    "letters that are none": {"authorization": "Bearer \xff\xfe"},
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("source", ["main", "unknown", "graf"])
def test_whatever_is_wrong_with_who_posts_the_answer_is_the_same(desk: Desk, wrong: str, source: str) -> None:
    headers = {name.encode(): value.encode("latin-1") for name, value in WRONG[wrong].items()}
    answer = desk.client.post(f"/webhook/alertmanager/{source}", content=b"\xff not read", headers=headers)

    assert answer.status_code == 401
    assert answer.json()["message"] == "What was shown proves nobody. Nothing was done."
    assert desk.alerts() == ()


def test_two_tokens_are_no_token(desk: Desk) -> None:
    headers = [
        ("authorization", f"Bearer {SECRET}"),
        ("authorization", "Bearer x"),
        ("content-type", "application/json"),
    ]

    assert desk.client.post("/webhook/alertmanager/main", content=posted(one()), headers=headers).status_code == 401


def test_whoever_guesses_is_barred_and_bars_nobody_who_was_let_in(desk: Desk) -> None:
    assert desk.post(posted(one())).status_code == 200
    answers = [desk.post(posted(one()), secret=f"guess {number}", source="twin") for number in range(MOST_FAILURES + 1)]

    assert [answer.status_code for answer in answers] == [401] * MOST_FAILURES + [429]
    assert answers[-1].headers["retry-after"] == "5"
    assert desk.post(posted(one()), source="twin").status_code == 429
    assert desk.post(posted(one()), source="unknown").status_code == 429
    assert desk.post(posted(one())).status_code == 200


def test_without_a_source_there_is_no_webhook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with a_desk(tmp_path, monkeypatch, sources={}) as desk:
        assert desk.post(posted(one())).status_code == 404
        assert desk.client.post("/webhook/grafana/graf").status_code == 404


def sign(desk: Desk, body: bytes, source: str = "graf", **headers: str) -> int:
    shown = {"content-type": "application/json", **headers}
    return int(desk.client.post(f"/webhook/grafana/{source}", content=body, headers=shown).status_code)


def test_what_grafana_signs_is_taken_and_nothing_else(desk: Desk) -> None:
    body = posted(one(), version="1")
    good = signature(body)
    again = json.dumps(json.loads(body), indent=1).encode()

    assert sign(desk, body, **{"x-grafana-alerting-signature": good}) == 200
    assert sign(desk, body.replace(b"near", b"cave"), **{"x-grafana-alerting-signature": good}) == 401
    assert sign(desk, again, **{"x-grafana-alerting-signature": good}) == 401
    assert sign(desk, body, **{"x-grafana-alerting-signature": signature(body, key="other")}) == 401
    assert sign(desk, body, **{"x-grafana-alerting-signature": good[:-1]}) == 401
    assert sign(desk, body) == 401
    two = [("x-grafana-alerting-signature", good), ("x-grafana-alerting-signature", "0" * 64)]
    kind = [("content-type", "application/json")]
    assert desk.client.post("/webhook/grafana/graf", content=body, headers=two + kind).status_code == 401
    assert sign(desk, body, source="graf", authorization=f"Bearer {SECRET}") == 401


@pytest.mark.parametrize(("away", "status"), [(0, 200), (-290, 200), (-310, 401), (310, 401), (-86400, 401)])
def test_a_signed_time_has_to_be_now(desk: Desk, away: int, status: int) -> None:
    body, stamp = posted(one(), version="1"), str(int(time.time()) + away)

    headers = {"x-time": stamp, "x-grafana-alerting-signature": signature(body, stamp)}
    assert sign(desk, body, "timed", **headers) == status


@pytest.mark.parametrize("stamp", ["", "x", "-1", "٣", "9" * 13, "1e9"])
def test_a_time_that_is_none_is_refused(desk: Desk, stamp: str) -> None:
    body = posted(one(), version="1")
    headers = {"x-time": stamp, "x-grafana-alerting-signature": signature(body, stamp)}
    encoded = {name.encode(): value.encode() for name, value in headers.items()}
    answer = desk.client.post(
        "/webhook/grafana/timed", content=body, headers={b"content-type": b"application/json", **encoded}
    )

    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (posted(one()), {"content-type": "text/plain"}, 415),
        (posted(one()), {"content-type": ""}, 415),
        (posted(one()), {"content-type": "application/json; charset=utf-16"}, 415),
        (gzip.compress(posted(one())), {"content-encoding": "gzip"}, 415),
        (gzip.compress(b" " * 50_000_000), {"content-encoding": "gzip"}, 415),
        (b" " * (1024 * 1024 + 1), {}, 413),
        (posted(one()), {"content-length": "99999999999999999999"}, 413),
        (b"[" * 100_000, {}, 422),
        (b'{"version": "4", "version": "4", "alerts": []}', {}, 422),
        (b'{"version": "4", "alerts": [NaN]}', {}, 422),
        (b'{"version": "4", "alerts": [{"labels": {"a": "\\ud800"}}]}', {}, 422),
        (b"\xff\xfe", {}, 422),
        (posted(*[one()] * 5001), {}, 413),
    ],
)
def test_a_body_that_cannot_be_used_is_refused_and_the_next_one_is_taken(
    desk: Desk, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert desk.post(body, **headers).status_code == status
    assert desk.alerts() == ()
    assert desk.post(posted(one())).status_code == 200


def test_a_body_whose_length_nobody_told_is_read_only_so_far(desk: Desk) -> None:
    def endless() -> Iterator[bytes]:
        for _ in range(200):
            yield b" " * 65536

    headers = {"authorization": f"Bearer {SECRET}", "content-type": "application/json"}
    answer = desk.client.post("/webhook/alertmanager/main", content=endless(), headers=headers)

    assert answer.status_code == 413


def test_an_alert_that_is_wrong_does_not_keep_the_others_out(desk: Desk) -> None:
    answer = desk.post(posted(one(fingerprint="x"), one()))

    assert answer.status_code == 200
    assert answer.json() == {"taken": 1, "refused": ["alert 1: fingerprint: up to 64 hexadecimal digits are wanted"]}
    assert len(desk.runs()) == 1


def test_while_the_record_cannot_be_written_it_is_said_so_and_nothing_is_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise StateUnusable("The record cannot be written: a secret path")

    with monkeypatch.context() as patched:
        patched.setattr(desk.ports.alerts, "take", broken)
        refused = desk.post(posted(one()))
    taken = desk.post(posted(one()))

    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert "secret path" not in refused.text
    assert taken.status_code == 200
    assert len(desk.runs()) == 1


def test_a_defect_while_alerts_are_taken_is_503_and_the_writer_goes_on(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(desk.ports.alerts, "take", broken)
        assert desk.post(posted(one())).status_code == 503
    assert desk.post(posted(one())).status_code == 200


def test_other_methods_and_addresses_are_not_served(desk: Desk) -> None:
    assert desk.client.get("/webhook/alertmanager/main").status_code == 405
    assert desk.client.post("/webhook/alertmanager/main/x").status_code == 404
    assert desk.client.post("/webhook/alertmanager/..%2f..%2fetc").status_code in {401, 404}
    assert desk.client.options("/webhook/alertmanager/main", headers={"origin": "null"}).status_code == 405


def test_nothing_says_that_another_site_may_read_it(desk: Desk) -> None:
    for origin in ("null", "https://evil.example"):
        answer = desk.post(posted(one()), origin=origin)
        assert not [name for name in answer.headers if name.startswith("access-control")]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"


@given(payload=PAYLOADS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_alertmanager_would_post_the_answer_is_never_a_defect(desk: Desk, payload: dict[str, object]) -> None:
    answer = desk.post(json.dumps(payload).encode())

    assert answer.status_code in {200, 422}
