"""The API: every route by everybody who may and may not; what it says; and that its own document is the truth."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remediate.domain.identity import RULES, Permission
from remediate.domain.people import Role
from remediate.domain.run import RunStatus
from remediate.domain.runbook import Phase
from remediate.interfaces.http.api import PREFIX, ROUTES, ApiRoute
from remediate.interfaces.http.logins import MOST_FAILURES, WINDOW_SECONDS, Logins
from tests.builders import action, finding
from tests.house import PAST, TOKEN, House
from tests.identities import people, person
from tests.reception import SECRET, Desk, one, posted
from tests.reception import desk as open_desk

#: What each route is asked with; a new route needs an entry here.
BODIES: dict[str, dict[str, Any] | None] = {
    "get_me": None,
    "get_runs": None,
    "post_runs": {"runbook": "tidy-shelf", "hosts": ["near"]},
    "get_runs_run": None,
    "post_runs_run_cancel": None,
    "get_approvals": None,
    "get_approvals_run": None,
    "post_approvals_run": {"answer": "approved", "digest": "d" * 64},
    "get_alerts": None,
    "get_incidents": None,
    "get_storm": None,
    "post_pause": {"reason": "why"},
    "post_resume": {"reason": "why"},
}
BY_ROUTE = pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation)


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("MAIN_SECRET", SECRET)
    monkeypatch.setenv("GRAFANA_SECRET", SECRET)
    made = House(tmp_path / "state", monkeypatch)
    made.add_token()
    yield made
    made.close()


@pytest.fixture
def desk(house: House) -> Iterator[Desk]:
    everybody = people(person("nadia", *Role, level=1, os_users=("nadia",)))
    with open_desk(house, everybody=everybody) as opened:
        yield opened


def call(desk: Desk, route: ApiRoute, token: str = TOKEN, run: str = PAST.id, **named: Any) -> Any:
    path = PREFIX + route.path.replace("{run}", run)
    return desk.client.request(
        route.method, path, json=BODIES[route.operation], headers={"authorization": f"Bearer {token}"}, **named
    )


def test_every_route_has_an_entry_here() -> None:
    assert {route.operation for route in ROUTES} == set(BODIES)


@BY_ROUTE
@pytest.mark.parametrize("role", Role)
def test_a_role_gets_through_exactly_where_the_rules_say(house: House, route: ApiRoute, role: Role) -> None:
    with open_desk(house, everybody=people(person("nadia", role, level=4))) as desk:
        status = call(desk, route).status_code
    allowed = route.permission is None or role in RULES[route.permission].roles

    assert (status == 403) is not allowed, status
    assert status < 500
    assert allowed or house.untouched


BAD_TOKENS = {"wrong": TOKEN[:-1] + "x", "malformed": "nadia", "empty": "", "of_a_source": SECRET}


@BY_ROUTE
@pytest.mark.parametrize("bad", BAD_TOKENS)
def test_a_bad_token_gets_through_nowhere_though_the_user_of_the_machine_would(
    desk: Desk, house: House, route: ApiRoute, bad: str
) -> None:
    answer = call(desk, route, BAD_TOKENS[bad])

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["message"] == "What was shown proves nobody. Nothing was done."
    assert house.untouched


def test_a_token_of_a_person_is_none_of_a_source(desk: Desk) -> None:
    assert desk.post(posted(one()), secret=TOKEN).status_code == 401


@pytest.mark.parametrize("field", ["user", "role", "level", "approved_by", "requested_by", "started_by", "unattended"])
@BY_ROUTE
def test_nobody_says_who_they_are_or_what_they_may_in_the_body(desk: Desk, route: ApiRoute, field: str) -> None:
    if route.takes is None:
        return
    body = {**(BODIES[route.operation] or {}), field: "admin"}
    answer = desk.client.request(
        route.method,
        PREFIX + route.path.replace("{run}", PAST.id),
        json=body,
        headers={"authorization": f"Bearer {TOKEN}"},
    )

    assert answer.status_code == 422
    assert field in answer.json()["message"]


@pytest.mark.parametrize("grant", [{"groups": ("db",)}, {"runbooks": ("disk-full",)}])
def test_the_run_of_others_is_as_unknown_as_one_that_does_not_exist(house: House, grant: dict[str, Any]) -> None:
    everybody = people(person("nadia", os_users=("nadia",)))
    narrow = tuple({"role": role.value, **grant} for role in Role)
    nadia = type(everybody.by_id["nadia"]).model_validate(
        {**everybody.by_id["nadia"].model_dump(), "grants": narrow, "level": 2}
    )
    with open_desk(house, everybody=people(nadia)) as desk:
        for route in ROUTES:
            if "{run}" not in route.path:
                continue
            theirs, nobodys = call(desk, route), call(desk, route, run="nothing")
            assert (theirs.status_code, nobodys.status_code) == (404, 404)
            assert theirs.json()["message"].replace(PAST.id, "nothing") == nobodys.json()["message"]
        assert desk.client.get(f"{PREFIX}/runs", headers=bearer()).json() == {"runs": []}


def bearer() -> dict[str, str]:
    return {"authorization": f"Bearer {TOKEN}"}


def test_a_run_is_asked_for_shown_and_canceled_as_the_person_of_the_token(desk: Desk) -> None:
    asked = desk.client.post(f"{PREFIX}/runs", json={"runbook": "tidy-shelf", "hosts": ["near"]}, headers=bearer())
    shown = desk.client.get(f"{PREFIX}/runs/{asked.json()['id']}", headers=bearer()).json()
    canceled = desk.client.post(f"{PREFIX}/runs/{asked.json()['id']}/cancel", headers=bearer()).json()

    assert asked.status_code == 202
    assert (asked.json()["requested_by"], asked.json()["status"], asked.json()["started_by"]) == (
        "nadia",
        "requested",
        "person",
    )
    assert shown["history"][0]["to_status"] == "requested"
    assert "parameters" not in shown
    assert canceled["status"] == "canceled"
    assert desk.ports.store.run(asked.json()["id"]).carrier == "service"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"runbook": "tidy-shelf", "hosts": ["all"]}, "'all' is a pattern"),
        ({"runbook": "tidy-shelf", "hosts": ["ne*"]}, "hosts.0"),
        ({"runbook": "../x"}, "runbook"),
        ({"runbook": "tidy-shelf", "parameters": {"nothing": 1}}, "no such parameter"),
        ({"runbook": "tidy-shelf", "check": "yes"}, "check"),
        ({"runbook": "tidy-shelf", "reason": "a\nb"}, "reason"),
        ([], "Input should be an object"),
    ],
)
def test_what_cannot_be_run_is_said_and_not_recorded(desk: Desk, body: Any, said: str) -> None:
    answer = desk.client.post(f"{PREFIX}/runs", json=body, headers=bearer())

    assert answer.status_code == 422
    assert said in answer.json()["message"]
    assert desk.runs() == ()


def test_a_plan_is_approved_by_its_digest_only(house: House, desk: Desk) -> None:
    house.is_ill(action(cause_id="clutter"))
    waiting = desk.site.start("tidy-shelf", hosts=["near"]).wait()
    assert waiting.status is RunStatus.WAITING_APPROVAL
    listed = desk.client.get(f"{PREFIX}/approvals", headers=bearer()).json()["approvals"]
    path = f"{PREFIX}/approvals/{waiting.id}"

    other = desk.client.post(path, json={"answer": "approved", "digest": "0" * 64}, headers=bearer())
    given = desk.client.post(path, json={"answer": "approved", "digest": listed[0]["digest"]}, headers=bearer())
    again = desk.client.post(path, json={"answer": "approved", "digest": listed[0]["digest"]}, headers=bearer())

    assert [one["run_id"] for one in listed] == [waiting.id]
    assert (other.status_code, given.status_code, again.status_code) == (409, 200, 409)
    assert given.json()["status"] == "approved"
    assert desk.client.get(path, headers=bearer()).json()["answers"][0]["channel"] == "token:bcdfghjkmn"


def test_a_pause_is_pressed_shown_and_lifted(desk: Desk) -> None:
    assert desk.client.post(f"{PREFIX}/pause", json={"reason": "I look"}, headers=bearer()).json() == {"live": []}
    assert desk.client.get(f"{PREFIX}/storm", headers=bearer()).json()["pause"]["by"] == "nadia"
    assert desk.client.post(f"{PREFIX}/resume", json={"reason": "done"}, headers=bearer()).json() == {"lifted": True}
    assert desk.client.post(f"{PREFIX}/pause", json={"reason": ""}, headers=bearer()).status_code == 422


HOSTILE = {"summary": "<script>alert(1)</script>", "link": "javascript:alert(1)"}


def test_an_alert_is_shown_with_what_was_decided_and_its_link_only_where_it_leads_to_the_web(desk: Desk) -> None:
    desk.post(posted(one(annotations=HOSTILE, generatorURL="javascript:alert(1)")))
    answer = desk.client.get(f"{PREFIX}/alerts?only_open=true", headers=bearer())
    (shown,) = answer.json()["alerts"]

    assert (shown["decision"], shown["status"], shown["runbook"]) == ("admitted", "firing", "tidy-shelf")
    assert shown["generator_url"] == ""
    assert shown["annotations"] == HOSTILE
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_who_may_see_some_runs_sees_the_alerts_of_those(house: House) -> None:
    narrow = person("nadia").model_copy(update={"grants": ()})
    nadia = type(narrow).model_validate({**narrow.model_dump(), "grants": ({"role": "viewer", "groups": ("web",)},)})
    with open_desk(house, everybody=people(nadia)) as desk:
        desk.post(
            posted(
                one(),
                one(fingerprint="01", labels={"instance": "cellar"}),
                one(fingerprint="02", labels={"instance": "x"}),
            )
        )
        shown = desk.client.get(f"{PREFIX}/alerts", headers=bearer()).json()["alerts"]

    assert [alert["fingerprint" if "fingerprint" in alert else "key"].split(":")[0] for alert in shown] == [
        "00c0ffee00c0ffee"
    ]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1000", "limit=-1", "limit=x", "limit=1&limit=2", "runbook=../x", "nothing=1", "limit=٣"]
)
def test_a_query_that_means_nothing_is_refused(desk: Desk, query: str) -> None:
    assert desk.client.get(f"{PREFIX}/runs?{query}", headers=bearer()).status_code == 422


@pytest.mark.parametrize("run", ["%", "..", "A", "a" * 65, "%00", "'", "%F0%9F%98%80"])
def test_an_id_that_is_none_is_refused(desk: Desk, run: str) -> None:
    assert desk.client.get(f"{PREFIX}/runs/{run}", headers=bearer()).status_code in {404, 422}


def test_a_name_that_stands_twice_in_a_body_is_refused(desk: Desk) -> None:
    answer = desk.client.post(
        f"{PREFIX}/pause",
        content=b'{"reason": "a", "reason": "b"}',
        headers={**bearer(), "content-type": "application/json"},
    )

    assert answer.status_code == 422


def test_whoever_guesses_tokens_is_barred_and_the_person_who_was_let_in_is_not(desk: Desk) -> None:
    assert call(desk, ROUTES[0]).status_code == 200
    answers = [call(desk, ROUTES[0], f"guess-{number}").status_code for number in range(MOST_FAILURES + 1)]

    assert answers == [401] * MOST_FAILURES + [429]
    assert call(desk, ROUTES[0]).status_code == 200


def test_a_bar_falls_when_its_time_is_over() -> None:
    now = [0.0]
    logins = Logins(lambda: now[0])
    for _ in range(MOST_FAILURES):
        logins.failed("here")

    assert logins.is_barred("here", "anybody")
    assert not logins.is_barred("there", "anybody")
    now[0] = WINDOW_SECONDS
    assert not logins.is_barred("here", "anybody")


def test_health_says_whether_alerts_can_be_taken(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk.client.get("/health/live").json() == {"status": "alive"}
    assert desk.client.get("/health/ready").json() == {"status": "ready"}
    found = desk.client.get("/health/dependencies").json()
    assert found["status"] == "ok"
    assert found["dependencies"]["store"]["connected"] is True
    assert found["dependencies"]["store"]["latency_ms"] >= 0

    desk.stopping.set()
    assert desk.client.get("/health/ready").status_code == 503
    assert desk.client.get("/health/live").status_code == 200


def test_a_record_that_cannot_be_read_is_seen_by_health_and_the_api(desk: Desk) -> None:
    desk.site._site.ports.store._database.engine.dispose()  # type: ignore[attr-defined]  # the store of this test is the database
    for file in desk.site.settings.state.glob("remediate.db*"):
        file.unlink()
    desk.site.settings.state.joinpath("remediate.db").mkdir()

    assert desk.client.get("/health/ready").status_code == 503
    assert desk.client.get("/health/dependencies").json()["dependencies"]["store"]["connected"] is False
    assert desk.client.get("/metrics").status_code == 503
    assert desk.client.get(f"{PREFIX}/runs", headers=bearer()).status_code == 503


def test_metrics_count_what_happens_and_no_label_has_a_value_from_outside(desk: Desk) -> None:
    desk.post(
        posted(
            one(labels={"alertname": "ShelfUntidy", "evil": "x\n# HELP"}),
            one(fingerprint="01", labels={"instance": "evil"}),
        )
    )
    desk.post(posted(one()), secret="wrong", source="evil")  # noqa: S106  # a wrong one
    desk.site.pause("why")
    text = desk.client.get("/metrics").text

    assert 'remediate_alerts_total{decision="admitted"} 1.0' in text
    assert 'remediate_alerts_total{decision="no_target"} 1.0' in text
    assert "remediate_alert_runs_total 1.0" in text
    assert 'remediate_posts_total{answer="401"} 1.0' in text
    assert 'remediate_runs{status="requested"} 1.0' in text
    assert 'remediate_breaker_open{runbook="tidy-shelf"} 0.0' in text
    assert "remediate_paused 1.0" in text
    assert "remediate_intake_waiting 0.0" in text
    assert "evil" not in text


def test_the_document_knows_every_route_and_nothing_else(desk: Desk) -> None:
    document = desk.client.get("/openapi.json").json()
    known = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}

    assert known == {(route.method, PREFIX + route.path) for route in ROUTES}
    assert document["security"] == [{"token": []}]


def test_every_permission_that_a_route_names_has_a_rule() -> None:
    assert {route.permission for route in ROUTES if route.permission} <= set(Permission) & set(RULES)


def test_a_run_that_only_looks_is_asked_for_with_less(house: House) -> None:
    house.executor.says("near", Phase.DIAGNOSE, finding(action()))
    with open_desk(house, everybody=people(person("nadia", Role.REQUESTER))) as desk:
        body = {"runbook": "tidy-shelf", "hosts": ["near"]}
        assert desk.client.post(f"{PREFIX}/runs", json=body, headers=bearer()).status_code == 403
        assert desk.client.post(f"{PREFIX}/runs", json={**body, "check": True}, headers=bearer()).status_code == 202
