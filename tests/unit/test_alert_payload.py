"""What is taken from a delivery, and what is refused, in bounded time and with one named error."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remediate.domain.alert import AlertStatus
from remediate.domain.alert_payload import MOST_ALERTS, MOST_BYTES, Delivery, SourceKind, read_delivery, safe_link
from remediate.errors import UnreadableDelivery

STARTED = "2026-01-05T03:00:00.123456789Z"


def one(**changes: Any) -> dict[str, Any]:
    values = {
        "status": "firing",
        "labels": {"alertname": "ShelfUntidy", "instance": "near:9100"},
        "annotations": {"summary": "the shelf is untidy"},
        "startsAt": STARTED,
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example:9090/graph?g0.expr=untidy",
        "fingerprint": "00c0ffee00c0ffee",
    }
    return {**values, **changes}


def posted(*alerts: object, **changes: Any) -> bytes:
    values = {
        "version": "4",
        "groupKey": '{}:{alertname="ShelfUntidy"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "remediate",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example:9093",
        "alerts": list(alerts),
    }
    return json.dumps({**values, **changes}).encode()


def read(body: bytes, kind: SourceKind = "alertmanager") -> Delivery:
    return read_delivery(body, "main", kind)


def refusal(body: bytes) -> str:
    with pytest.raises(UnreadableDelivery) as refused:
        read(body)
    return refused.value.message


def test_an_alert_is_read_as_it_was_posted() -> None:
    (alert,) = read(posted(one())).alerts

    assert alert.source == "main"
    assert alert.status is AlertStatus.FIRING
    assert alert.starts_at == datetime(2026, 1, 5, 3, 0, 0, 123456, tzinfo=UTC)
    assert alert.ends_at is None
    assert alert.labels == {"alertname": "ShelfUntidy", "instance": "near:9100"}
    assert alert.name == "ShelfUntidy"
    assert alert.generator_url == "http://prometheus.example:9090/graph?g0.expr=untidy"
    assert alert.key == "00c0ffee00c0ffee:2026-01-05T03:00:00.123456Z"


def test_an_alert_that_is_over_has_its_end() -> None:
    (alert,) = read(posted(one(status="resolved", endsAt="2026-01-05T04:05:00+01:00"))).alerts

    assert (alert.status, alert.ends_at) == (AlertStatus.RESOLVED, datetime(2026, 1, 5, 3, 5, tzinfo=UTC))


@pytest.mark.parametrize("started", ["2026-01-05T04:00:00.123456789+01:00", "2026-01-05T03:00:00.123456Z"])
def test_the_same_moment_in_another_zone_or_rounding_is_the_same_alert(started: str) -> None:
    assert read(posted(one(startsAt=started))).alerts[0].key == read(posted(one())).alerts[0].key


def test_grafana_posts_the_same_with_another_version() -> None:
    assert read(posted(one(), version="1"), "grafana").alerts[0].name == "ShelfUntidy"
    with pytest.raises(UnreadableDelivery, match="version: '1' is wanted, as grafana posts it"):
        read(posted(one()), "grafana")


def test_fields_that_are_not_known_are_left_alone() -> None:
    assert read(posted(one(silenceURL="x", valueString=[{}]), newField={"a": [1]})).alerts


def test_how_many_alerts_were_left_out_is_known() -> None:
    assert read(posted(one(), truncatedAlerts=7)).truncated == 7


def test_an_alert_that_is_wrong_does_not_hide_the_others() -> None:
    delivery = read(posted(one(fingerprint="../x"), one(), "nothing"))

    assert [alert.fingerprint for alert in delivery.alerts] == ["00c0ffee00c0ffee"]
    assert delivery.refused == (
        "alert 1: fingerprint: up to 64 hexadecimal digits are wanted",
        "alert 3: an object is wanted",
    )


def test_of_an_alert_that_stands_twice_the_end_counts() -> None:
    over = one(status="resolved", endsAt="2026-01-05T03:05:00Z")
    for pair in ((over, one()), (one(), over)):
        assert [alert.status for alert in read(posted(*pair)).alerts] == [AlertStatus.RESOLVED]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"fingerprint": None}, "fingerprint: "),
        ({"fingerprint": "0" * 65}, "fingerprint: "),
        ({"fingerprint": "00c0ffee\n"}, "fingerprint: "),
        ({"status": "pending"}, "status: "),
        ({"status": ["firing"]}, "status: "),
        ({"startsAt": "yesterday"}, "startsAt: a moment"),
        ({"startsAt": 1767578400}, "startsAt: a moment"),
        ({"startsAt": "2026-02-30T00:00:00Z"}, "startsAt: there is no such moment"),
        ({"startsAt": "0001-01-01T00:00:00Z"}, "startsAt: there is no such moment, or it is far away"),
        ({"startsAt": "2026-01-05T03:00:00+99:99"}, "startsAt: there is no such moment"),
        ({"status": "resolved"}, "endsAt: there is no such moment, or it is far away"),
        ({"labels": []}, "labels: an object"),
        ({"labels": {str(number): "x" for number in range(101)}}, "labels: an object of at most 100"),
        ({"labels": {"a": 1}}, "labels: 'a': text"),
        ({"labels": {"a": {"__ansible_unsafe": "x"}}}, "labels: 'a': text"),
        ({"labels": {"": "x"}}, "labels: '': text"),
        ({"labels": {"a": "x" * 4097}}, "labels: 'a': text of at most 4096"),
        ({"labels": {"a": "\ud800"}}, "labels: 'a': it holds characters that cannot be kept"),
        ({"labels": {"\udfff": "a"}}, "labels: '\N{REPLACEMENT CHARACTER}': it holds characters that cannot be kept"),
        ({"annotations": {"a": "\x00"}}, "annotations: 'a': it holds characters that cannot be kept"),
        ({"annotations": {"a": "x" * 16385}}, "annotations: 'a': text of at most 16384"),
    ],
)
def test_what_is_wrong_with_an_alert_is_said(changes: dict[str, Any], said: str) -> None:
    assert f"alert 1: {said}" in refusal(posted(one(**changes)))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "it is not JSON that can be used"),
        (b"{", "it is not JSON that can be used"),
        (b"null", "a JSON object is wanted"),
        (b"[]", "a JSON object is wanted"),
        (b"\xff\xfe", "it is not UTF-8"),
        ('{"version": "4"}'.encode("utf-16"), "it is not UTF-8"),
        (b'{"version": "4", "version": "4", "alerts": []}', "a name stands twice in an object"),
        (b'{"version": "4", "alerts": [], "x": NaN}', "NaN is no JSON"),
        (b'{"version": "4", "alerts": [], "x": -Infinity}', "-Infinity is no JSON"),
        (b'{"version": "4", "alerts": [], "x": 1' + b"0" * 5000 + b"}", "it is not JSON that can be used"),
        (b'{"version": "4", "alerts": [], "x": ' + b"[" * 200 + b"]" * 200 + b"}", "it is nested too deeply"),
        (b"[" * 500_000, "it is nested too deeply"),
        (b'{"a":' * 100_000, "it is nested too deeply"),
        (b" " * (MOST_BYTES + 1), "it has 1048577 bytes, more than 1048576"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)
def test_what_is_no_delivery_is_refused_whole(body: bytes, said: str) -> None:
    assert said in refusal(body)


def test_every_problem_of_the_envelope_is_told_at_once() -> None:
    said = refusal(json.dumps({"version": 4, "alerts": {}, "truncatedAlerts": -1}).encode())

    assert "version: '4' is wanted" in said
    assert "alerts: a list is wanted" in said
    assert "truncatedAlerts: a count is wanted" in said


def test_more_alerts_than_any_group_has_are_refused() -> None:
    said = refusal(posted(*[{}] * (MOST_ALERTS + 1)))

    assert f"alerts: {MOST_ALERTS + 1} of them, more than {MOST_ALERTS}" in said


def test_a_flood_of_problems_is_cut_short() -> None:
    said = refusal(posted(*[{}] * 100))

    assert said.endswith("and 80 more")
    assert len(said.splitlines()) == 22


@pytest.mark.parametrize(
    "link",
    [
        *("javascript:alert(1)", "data:text/html,x", "//evil.example", "https://", "http:evil", "ftp://x/", ""),
        *(
            "https://user:secret@evil.example/",
            "https://a.example/\nX: y",
            "https://a b",
            "https://[",
            "https://a\u202e",
        ),
        *(None, 7, ["https://a.example"], "https://a.example/" + "x" * 4096),
    ],
)
def test_a_link_to_anything_else_than_the_web_is_left_out(link: object) -> None:
    assert safe_link(link) == ""
    assert read(posted(one(generatorURL=link))).alerts[0].generator_url == ""


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)
ALERTS = st.fixed_dictionaries(
    {},
    optional={
        "status": st.sampled_from(["firing", "resolved"]) | ANYTHING,
        "fingerprint": st.from_regex(r"[0-9a-f]{1,64}", fullmatch=True) | ANYTHING,
        "startsAt": st.datetimes().map(lambda moment: f"{moment.isoformat()}Z") | ANYTHING,
        "endsAt": st.datetimes().map(lambda moment: f"{moment.isoformat()}Z") | ANYTHING,
        "labels": st.dictionaries(st.text(max_size=12), st.text(max_size=30), max_size=5) | ANYTHING,
        "annotations": ANYTHING,
        "generatorURL": st.text(max_size=30) | ANYTHING,
    },
)
PAYLOADS = st.fixed_dictionaries(
    {"version": st.sampled_from(["4", "1"]), "alerts": st.lists(ALERTS | ANYTHING, max_size=5) | ANYTHING},
    optional={"truncatedAlerts": ANYTHING, "groupKey": ANYTHING},
)


@given(st.binary(max_size=200) | PAYLOADS.map(lambda payload: json.dumps(payload).encode()))
@settings(max_examples=400, deadline=None)
def test_whatever_is_posted_it_is_a_delivery_or_the_one_named_error(body: bytes) -> None:
    try:
        delivery = read(body)
    except UnreadableDelivery:
        return
    for alert in delivery.alerts:
        assert alert.model_dump_json()
        assert alert.key.encode()
        assert all(text.isprintable() for text in delivery.refused)
