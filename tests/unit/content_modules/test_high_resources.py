"""The runbook high-resources as a whole: evidence before anything, checks that wait, and hosts that are half there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from ansible.module_utils import high_resources_runbook, host_run, host_scene, resource_checks
from ansible.module_utils.high_resources_runbook import HighResources
from ansible.module_utils.host_pressure import Pressure
from ansible.module_utils.host_run import Kind, run_phase
from ansible.module_utils.host_scene import Scene, scene
from ansible.module_utils.host_step import Done, Step, StepError
from ansible.module_utils.process_owners import Owners
from ansible.module_utils.process_table import Process, Use
from ansible.module_utils.resource_checks import of_application, quickness
from ansible.module_utils.resource_evidence import KeepEvidence, documents
from ansible.module_utils.resource_parameters import SETTINGS as SPEC
from ansible.modules import process_facts

ROLE = Path(__file__).parents[3] / "playbooks" / "roles" / "high_resources"
DEFAULTS: dict[str, Any] = {
    name.removeprefix("high_resources_"): value
    for name, value in yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()).items()
}
NO_STACK: dict[str, Any] = {
    "layout": "none", "services": [], "units": {}, "project_dir": "", "compose_file": "", "health_url": "",
}  # fmt: skip
RUN = "20261127-101500-ab12"


def child(wanted: float) -> list[Use]:
    def one(pid: int, parent: int, percent: float) -> Use:
        group = frozenset({"fpm.service"})
        return Use(
            Process(pid, 5, parent, "php-fpm8.4", "php-fpm: pool", 33, False, 1, 0, 0, 99, 1 << 20, group), 0, percent
        )

    return [one(10, 1, 0), one(11, 10, wanted)]


class Host:
    """A host with one child of PHP-FPM that burns until it is reloaded."""

    def __init__(self) -> None:
        self.burns = True
        self.looks = 0
        self.reloaded: list[str] = []

    def scene(self, _settings: dict[str, Any], _stack: dict[str, Any]) -> Scene:
        self.looks += 1
        wanted = 99.0 if self.burns else 0.0
        return Scene(
            Pressure(True, 2, wanted * 0.6, 1, 20, 1 << 30), child(wanted), Owners({"app": ("fpm.service",)}), []
        )


class Reloads(Kind):  # type: ignore[misc]  # Ansible's modules have no types for mypy
    def __init__(self, host: Host) -> None:
        self.host = host
        self.before: Callable[[], None] = lambda: None

    def do(self, step: Step, saved: dict[str, Any]) -> bool:
        self.before()
        self.host.burns = False
        self.host.reloaded.append(step.target)
        return True


class Ended(Exception):
    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer


class FakeModule:
    def __init__(self, check_mode: bool, **params: Any) -> None:
        self.check_mode = check_mode
        self.params = params

    def warn(self, text: str) -> None:
        raise AssertionError(text)

    def exit_json(self, **answer: Any) -> None:
        raise Ended(answer | {"failed": False})

    def fail_json(self, **answer: Any) -> None:
        raise Ended(answer | {"failed": True})


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    fake = Host()
    monkeypatch.setattr(high_resources_runbook, "scene", fake.scene)
    monkeypatch.setattr(high_resources_runbook, "of_application", lambda _stack, _settings: resource_checks.Seen())
    monkeypatch.setattr(high_resources_runbook, "_PAUSE", 0.0)
    monkeypatch.setattr(host_run, "stop_with_controller", lambda: None)
    return fake


@pytest.fixture
def call(host: Host, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    settings = {**DEFAULTS, "state_dirs": [str(tmp_path / "state")], "verify_wait": 0}
    reloads = Reloads(host)

    def go(phase: str, *, check_mode: bool = False, before: Callable[[], None] = lambda: None) -> dict[str, Any]:
        runbook = HighResources(settings, NO_STACK)
        reloads.before = before
        runbook.kinds = {**runbook.kinds, "reload": reloads}
        with pytest.raises(Ended) as ended:
            run_phase(FakeModule(check_mode, phase=phase, run_id=RUN, settings=settings), runbook)
        return ended.value.answer

    return go


def evidence(place: Path) -> list[Path]:
    return sorted((place / "state" / "high_resources" / "runs" / RUN / "keep" / "00000").iterdir())


def test_what_is_declared_is_what_the_role_gives() -> None:
    assert set(SPEC["options"]) == set(DEFAULTS)


def test_evidence_is_kept_before_anything_is_restarted(
    call: Callable[..., dict[str, Any]], host: Host, tmp_path: Path
) -> None:
    actions = call("diagnose")["finding"]["actions"]
    assert [one["verb"] for one in actions] == ["keep evidence of", "reload"]
    assert call("snapshot")["snapshot"]["actions"] == actions
    assert host.reloaded == []
    names = {path.name for path in evidence(tmp_path)}
    assert names == {"host.json", "queries.json", "connections.json", "processes.json", "memory.txt"}
    assert [one["wanted"] for one in json.loads(evidence(tmp_path)[3].read_text())] == [0, 99]
    assert all(path.stat().st_mode & 0o077 == 0 for path in evidence(tmp_path))


@pytest.mark.parametrize("harm", ["unlink", "change"])
def test_without_its_evidence_nothing_is_restarted(
    call: Callable[..., dict[str, Any]], host: Host, tmp_path: Path, harm: str
) -> None:
    call("snapshot")
    path = evidence(tmp_path)[0]
    path.unlink() if harm == "unlink" else path.write_text("nothing happened")
    answer = call("fix")
    assert answer["failed"]
    assert "nothing was done" in answer["msg"]
    assert host.reloaded == []


def test_it_is_cured_once_and_proven(call: Callable[..., dict[str, Any]], host: Host) -> None:
    call("snapshot")
    assert call("fix")["changed"]
    assert not call("fix")["changed"]
    assert call("verify")["verdict"]["verdict"] == "cured"
    assert not call("diagnose")["finding"]["applies"]
    assert host.reloaded == ["app"]
    assert call("rollback")["rollback"] == {"restored": [], "refused": [], "complete": True}


def test_killed_in_the_middle_it_goes_on_where_it_was(call: Callable[..., dict[str, Any]], host: Host) -> None:
    class Killed(BaseException):
        pass

    def kill() -> None:
        raise Killed

    call("snapshot")
    with pytest.raises(Killed):
        call("fix", before=kill)
    assert call("verify")["verdict"]["verdict"] == "not_cured"
    assert call("fix")["changed"]
    assert host.reloaded == ["app"]


def test_in_check_mode_nothing_is_done_or_kept(call: Callable[..., dict[str, Any]], host: Host, tmp_path: Path) -> None:
    call("snapshot", check_mode=True)
    assert call("fix", check_mode=True)["changed"]
    assert not (tmp_path / "state").exists()
    assert host.reloaded == []


def test_a_host_that_needs_a_moment_gets_it_and_no_more(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    runbook = HighResources({**DEFAULTS, "verify_wait": 30}, NO_STACK)

    def recovers(_seconds: float) -> None:
        host.burns = host.looks < 2

    monkeypatch.setattr(high_resources_runbook.time, "sleep", recovers)
    assert runbook.check(Done(), write=False).checks[0]["verdict"] == "cured"
    assert host.looks == 3
    host.burns = True
    impatient = HighResources({**DEFAULTS, "verify_wait": 0}, NO_STACK)
    assert impatient.check(Done(), write=False).checks[0]["verdict"] == "not_cured"
    assert host.looks == 4


def test_a_host_without_a_stack_is_told_what_to_set() -> None:
    with pytest.raises(StepError, match="set stack_layout and stack_services"):
        scene(DEFAULTS, NO_STACK)


class HalfStack:
    """A stack without Redis and nginx, whose database does not answer."""

    services = ("app", "queue", "mysql")

    def groups(self) -> dict[str, tuple[str, ...]]:
        return {"app": ("fpm.service",)}

    def exec(self, name: str, argv: list[str], timeout: float = 0) -> tuple[int, str, str]:
        return 1, "", "ERROR 2002 (HY000): Can't connect to server\x1b[2J"


def test_a_stack_that_is_half_there_is_told_service_by_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_scene, "stack_of", lambda _stack: HalfStack())
    monkeypatch.setattr(host_scene, "survey", lambda _window, _scope: (Pressure(True, 2, 1, 0, 1, 1), child(99), {}))
    seen = scene(DEFAULTS, {**NO_STACK, "layout": "systemd", "services": list(HalfStack.services)})
    assert (seen.queries, seen.redis, seen.nginx) == (None, None, None)
    assert seen.unseen["redis"] == "this host has no service redis: stack_services does not name it"
    assert "Can't connect to server\\x1b" in seen.unseen["mysql"]
    assert set(seen.unseen) == {"redis", "nginx", "mysql"}
    assert [use.wanted for use in seen.of("app")] == [0, 99]


def test_facts_name_the_service_of_each_process_and_are_bounded() -> None:
    seen = Scene(Pressure(True, 2, 60, 1, 20, 1 << 30), child(99)[::-1], Owners({"app": ("fpm.service",)}))
    facts = process_facts._facts(seen, 1)
    assert [one["service"] for one in facts["processes"]] == ["app"]
    assert (facts["processes"][0]["pid"], facts["host"]["scope"]) == (11, "machine")
    assert facts["services"]["app"] == {"processes": 2, "cpu": 0, "wanted": 99, "memory": 2 << 20}
    json.dumps(facts, allow_nan=False)


def test_evidence_has_a_bound(host: Host, tmp_path: Path) -> None:
    seen = host.scene({}, {})
    kind = KeepEvidence(lambda: seen, 900)
    saved = kind.save(Step("c", "keep", "x"), str(tmp_path / "keep"))
    assert sum(path.stat().st_size for path in (tmp_path / "keep").iterdir()) <= 900
    assert kind.do(Step("c", "keep", "x"), saved) is False
    assert len(list(documents(seen))) == 5


class Application(BaseHTTPRequestHandler):
    """Answers slower and slower, or not at all."""

    code, metrics = 200, ["chom_queue_depth 9"]

    def do_GET(self) -> None:
        self.send_response(self.code)
        self.end_headers()
        if self.path == "/metrics":
            self.wfile.write(f"{self.metrics.pop(0) if len(self.metrics) > 1 else self.metrics[0]}\n".encode())

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Application)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/health/ready"
    server.shutdown()
    server.server_close()


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> type[Application]:
    monkeypatch.setattr(
        resource_checks, "services", lambda _stack: resource_checks.check("services", "cured", "all run")
    )
    monkeypatch.setattr(Application, "code", 200)
    return Application


def test_an_application_that_is_quick_and_works_its_queue_off_is_well(
    url: str, application: type[Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "metrics", ["chom_queue_depth 5000", "chom_queue_depth 4000"])
    seen = of_application({**NO_STACK, "health_url": url}, {**DEFAULTS, "queue_window": 0.0})
    assert {one["name"]: one["verdict"] for one in seen.checks} == dict.fromkeys(
        ("services", "response", "queue"), "cured"
    )


def test_one_bad_answer_or_a_slow_one_is_no_cure(url: str, application: type[Application]) -> None:
    assert quickness(url, 10, 5.0)["verdict"] == "cured"
    assert quickness(url, 2, 0.0)["verdict"] == "not_cured"
    application.code = 503
    assert quickness(url, 10, 5.0)["detail"].endswith("answered 503")
    assert quickness("file:///etc/passwd", 1, 5.0)["verdict"] == "not_cured"


def test_a_queue_that_nobody_counts_cannot_be_told_unless_the_inventory_says_so(
    url: str, application: type[Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "metrics", ["other 1"])
    stack = {**NO_STACK, "health_url": url}
    assert of_application(stack, {**DEFAULTS, "queue_window": 0.0}).checks[-1]["verdict"] == "cannot_tell"
    assert len(of_application(stack, {**DEFAULTS, "metrics_url": "none"}).checks) == 2
