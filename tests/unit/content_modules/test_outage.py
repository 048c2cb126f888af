"""What an outage is called, from what one look at a host told, and what is done about it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils import outage, outage_facts
from ansible.module_utils.host_checks import CANNOT_TELL, CURED, NOT_CURED, check
from ansible.module_utils.host_step import Done, Step, StepError
from ansible.module_utils.outage import ServiceOutage, new_errors
from ansible.module_utils.outage_decision import ENGINE, decide
from ansible.module_utils.outage_facts import Answer, Facts, base_url, deployed, memory_available, stalled, unreachable
from ansible.module_utils.stack_program import StackError

ROLE = Path(__file__).parents[3] / "playbooks/roles/service_outage"
SETTINGS: dict[str, Any] = {
    name.removeprefix("service_outage_"): value
    for name, value in yaml.safe_load((ROLE / "defaults/main.yml").read_text()).items()
}
SERVICES = ["app", "nginx", "mysql", "redis", "queue", "scheduler"]
STACK = {"layout": "systemd", "services": SERVICES, "units": {}, "health_url": "http://127.0.0.1:8080/health/ready"}
WELL = Answer(200, "answered 200")
HEALTHY = Facts(
    states=dict.fromkeys(SERVICES, "running"), running=frozenset(SERVICES), answers={"/": WELL, "/health/ready": WELL}
)


def failing(status: int) -> dict[str, Answer]:
    return {"/health/live": WELL, "/health/ready": Answer(status, f"answered {status}" if status else "did not answer")}


def without(*names: str) -> Facts:
    states = {name: "exited (137)" if name in names else "running" for name in SERVICES}
    return replace(HEALTHY, states=states, running=frozenset(SERVICES) - {*names}, answers=failing(503))


def steps(facts: Facts) -> list[tuple[str, str]]:
    return [(step.verb, step.target) for step in decide(facts, SETTINGS, SERVICES).steps]


def causes(facts: Facts) -> list[str]:
    return list(decide(facts, SETTINGS, SERVICES).causes)


def test_a_healthy_host_has_no_cause_whatever_else_is_strange() -> None:
    strange = replace(HEALTHY, full=("/ has 1 % free",), exhausted=("the load is 99",), deployed="just now")
    assert not decide(strange, SETTINGS, SERVICES).finding()["applies"]


def test_maintenance_is_somebodys_wish_and_nothing_is_done() -> None:
    facts = replace(without("nginx", "mysql"), maintenance="/srv/down", engine_trouble="dead")
    found = decide(facts, SETTINGS, SERVICES)
    assert (list(found.causes), found.steps, found.enough) == (["maintenance"], [], False)


def test_a_dead_engine_is_revived_before_every_service_is_started() -> None:
    facts = replace(HEALTHY, engine_trouble="it does not answer", states={}, running=frozenset(), answers=failing(0))
    assert causes(facts) == ["engine_dead"]
    assert steps(facts) == [("revive", ENGINE), *(("start", name) for name in SERVICES)]


def test_stopped_services_are_started_but_for_the_database() -> None:
    assert causes(without("nginx", "mysql")) == ["database_down", "services_stopped"]
    assert steps(without("nginx", "mysql")) == [("start", "nginx")]
    assert steps(without("mysql")) == []


def test_a_service_that_falls_again_and_again_is_not_started_once_more() -> None:
    falling = replace(without("queue"), states={**HEALTHY.states, "queue": "restarting"})
    unreachable_redis = replace(falling, unreachable={"redis": "refused"})
    assert causes(unreachable_redis) == ["redis_unreachable"]
    assert causes(falling) == ["unexplained"]
    assert "queue is restarting" in decide(falling, SETTINGS, SERVICES).causes["unexplained"]


@pytest.mark.parametrize(
    ("facts", "cause"),
    [
        (replace(HEALTHY, answers=failing(503), full=("/ has 1.0 % free",)), "disk_full"),
        (replace(HEALTHY, answers=failing(503), unreachable={"database": "refused"}), "database_down"),
        (replace(HEALTHY, answers=failing(503), unreachable={"redis": "refused"}), "redis_unreachable"),
        (replace(HEALTHY, answers=failing(0), exhausted=("only 1 % is available",)), "resource_exhaustion"),
        (replace(HEALTHY, answers=failing(500), deployed="current was changed 3 minutes ago"), "recent_deployment"),
        (replace(without("queue"), deployed="current was changed 3 minutes ago"), "recent_deployment"),
    ],
)
def test_what_another_runbook_cures_is_named_with_evidence_and_nothing_is_done_here(facts: Facts, cause: str) -> None:
    card = yaml.safe_load((ROLE / "meta/runbook.yml").read_text())["causes"]
    found = decide(facts, SETTINGS, SERVICES)
    assert (list(found.causes), found.steps) == ([cause], [])
    assert all(found.causes[cause])
    assert card[cause]["hand_over"]


def test_a_recent_release_is_not_blamed_for_what_has_another_cause() -> None:
    facts = replace(HEALTHY, answers=failing(503), unreachable={"database": "refused"}, deployed="3 minutes ago")
    assert causes(facts) == ["database_down"]


@pytest.mark.parametrize("status", [502, 504, 0])
def test_a_web_server_without_an_answer_has_php_fpm_restarted_and_itself_only_if_that_does_not_help(
    status: int,
) -> None:
    found = decide(replace(HEALTHY, answers=failing(status)), SETTINGS, SERVICES)
    assert list(found.causes) == ["bad_gateway"]
    assert [(step.target, step.only_while_ill) for step in found.steps] == [("app", False), ("nginx", True)]


@pytest.mark.parametrize("status", [500, 503, 404])
def test_the_last_resort_restarts_everything_with_the_data_first(status: int) -> None:
    found = decide(replace(HEALTHY, answers=failing(status)), SETTINGS, [*SERVICES, "mailer"])
    assert list(found.causes) == ["unexplained"]
    assert [step.target for step in found.steps] == [*SETTINGS["restart_order"], "mailer"]
    assert {step.verb for step in found.steps} == {"restart"}
    assert found.notes


def test_every_cause_that_can_be_found_is_on_the_card() -> None:
    card = yaml.safe_load((ROLE / "meta/runbook.yml").read_text())["causes"]
    seen = {
        *causes(replace(without("mysql", "nginx"), full=("/",), exhausted=("x",), unreachable={"redis": "no"})),
        *causes(replace(HEALTHY, answers=failing(500), deployed="now")),
        *causes(replace(HEALTHY, answers=failing(500))),
        *causes(replace(HEALTHY, answers=failing(502))),
        *causes(replace(HEALTHY, engine_trouble="dead")),
        *causes(replace(without("nginx"), maintenance="/srv/down")),
    }
    assert seen == set(card)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b'{"database":{"connected":false,"error":"refused"},"redis":{"connected":true}}', {"database": "refused"}),
        (b'{"database":{"connected":false}}', {"database": "not connected"}),
        (b'{"database":{"connected":"no"}}', {}),
        (b'["database"]', {}),
        (b"<html>", {}),
        (b"", {}),
        (b'{"database":{"connected":false,"error":"\\u001b[2J{{ 7 * 7 }}"}}', {"database": "\\x1b[2J{{ 7 * 7 }}"}),
    ],
)
def test_what_the_application_says_about_its_dependencies_is_read_with_care(body: bytes, named: dict[str, str]) -> None:
    assert unreachable(Answer(503, "answered 503", body)) == named


def test_a_long_story_from_the_application_is_cut() -> None:
    body = json.dumps({"x" * 999: {"connected": False, "error": "y" * 99_999}}).encode()
    ((name, said),) = unreachable(Answer(503, "", body)).items()
    assert (len(name), len(said)) == (40, 160)


def test_memory_and_pressure_are_read_as_the_kernel_writes_them() -> None:
    assert memory_available("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  40 kB\n") == 4.0
    assert memory_available("MemTotal: 0 kB\nMemAvailable: 0 kB\n") is None
    assert memory_available("nonsense") is None
    pressure = "some avg10=99.00 avg60=1 avg300=0 total=1\nfull avg10=21.50 avg60=1 avg300=0 total=1\n"
    assert stalled(pressure) == 21.5
    assert stalled("full avg10=x\n") is None
    assert stalled("") is None


def test_the_newest_change_of_release_counts_and_only_when_it_is_recent(tmp_path: Path) -> None:
    link = tmp_path / "current"
    link.symlink_to("releases/1")
    moment = link.lstat().st_mtime
    paths = [str(tmp_path / "no such"), str(link)]
    assert deployed(paths, 60, moment + 120) == f"{link} was changed 2 minutes ago"
    assert deployed(paths, 60, moment + 3601) == ""
    assert deployed(paths, 0, moment + 1) == ""
    assert deployed([], 60, moment) == ""


@pytest.mark.parametrize("url", ["", "ftp://127.0.0.1/", "file:///etc/shadow", "/health/ready"])
def test_without_an_address_to_ask_nothing_is_guessed(url: str) -> None:
    with pytest.raises(StepError, match="set stack_health_url"):
        base_url(SETTINGS, {**STACK, "health_url": url})


def test_a_host_without_a_stack_is_told_so() -> None:
    with pytest.raises(StepError, match="set stack_layout and stack_services"):
        base_url(SETTINGS, {**STACK, "layout": "none"})
    assert base_url(SETTINGS, STACK) == "http://127.0.0.1:8080"


def test_errors_that_are_new_in_a_log_are_counted_and_old_ones_are_not(tmp_path: Path) -> None:
    log = tmp_path / "laravel.log"
    assert new_errors(str(log), 0)["verdict"] == CURED
    log.write_bytes(b"[2026-11-27 10:00:00] production.ERROR: old\n")
    since = log.stat().st_size
    assert new_errors(str(log), since)["verdict"] == CURED
    with log.open("ab") as target:
        target.write(b"[x] production.INFO: fine\n[x] production.CRITICAL: \x1b[2J broken\n")
    seen = new_errors(str(log), since)
    assert seen["verdict"] == NOT_CURED
    assert seen["detail"] == "1 new, the last: [x] production.CRITICAL: \\x1b[2J broken"
    log.write_bytes(b"[x] production.ERROR: rotated\n")
    assert new_errors(str(log), since + 10_000)["verdict"] == NOT_CURED


def test_a_log_behind_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("/etc/shadow")
    assert new_errors(str(tmp_path / "log"), 0)["verdict"] == CANNOT_TELL


class Host:
    """Answers in place of a real one: what `gather` and each address say, in turn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *facts: Facts) -> None:
        self.facts = list(facts)
        monkeypatch.setattr(outage, "gather", lambda *_: self.facts.pop(0) if len(self.facts) > 1 else self.facts[0])
        monkeypatch.setattr(outage, "services", lambda _stack: check("services", CURED, "all"))
        monkeypatch.setattr(outage, "ask", lambda url, _seconds: self.answer(url))
        self.answers = [WELL]

    def answer(self, _url: str) -> Answer:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def runbook(**settings: Any) -> ServiceOutage:
    fast = {"look_pause": 0, "health_wait": 0, "stable_seconds": 0.05, "stable_pause": 0.01, **settings}
    return ServiceOutage({**SETTINGS, **fast}, STACK)


def test_a_failure_of_a_moment_is_no_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    Host(monkeypatch, without("app"), HEALTHY)
    assert not runbook().look().causes


def test_a_failure_that_three_looks_see_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, without("app"), without("app"), without("app"), HEALTHY)
    assert list(runbook().look().causes) == ["services_stopped"]
    assert host.facts == [HEALTHY]


def test_what_falls_again_while_it_is_watched_is_not_cured(monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(monkeypatch, HEALTHY)
    host.answers = [WELL] * 5 + [Answer(502, "answered 502")]
    seen = runbook().check(Done((), 1.0), write=True)
    assert seen.checks[-1]["name"] == "stable"
    assert seen.checks[-1]["verdict"] == NOT_CURED


def test_what_stays_well_is_cured_and_without_a_run_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    Host(monkeypatch, HEALTHY)
    watched = runbook().check(Done((), 1.0), write=True).checks
    looked = runbook(stable_seconds=3600).check(Done(), write=True).checks
    assert {one["verdict"] for one in [*watched, *looked]} == {CURED}
    assert [one["name"] for one in watched if one not in looked] == ["stable"]


def test_an_engine_that_answers_is_not_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    class Engine:
        trouble = ""
        revived = 0

        def engine_trouble(self) -> str:
            return self.trouble

        def revive_engine(self) -> None:
            self.revived += 1

    engine = Engine()
    monkeypatch.setattr(outage, "stack_of", lambda _stack: engine)
    kind = runbook().kinds["revive"]
    step = Step("engine_dead", "revive", ENGINE)
    assert not kind.do(step, {})
    engine.trouble = "dead"
    assert kind.do(step, {})
    assert engine.revived == 1


def test_a_disk_that_cannot_be_read_is_an_error_and_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stack:
        def engine_trouble(self) -> str:
            raise StackError("docker-compose is not on this host")

    monkeypatch.setattr(outage_facts, "stack_of", lambda _stack: Stack())
    with pytest.raises(StackError):
        outage_facts.gather(SETTINGS, STACK)
