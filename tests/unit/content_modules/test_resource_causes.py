"""What takes CPU and memory is told apart from evidence; what nobody can tell is said and not guessed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.database_queries import Query
from ansible.module_utils.host_pressure import Pressure
from ansible.module_utils.host_scene import Scene
from ansible.module_utils.host_step import Found, Step, StepError
from ansible.module_utils.nginx_connections import Connections, connections, is_worker, limit_in
from ansible.module_utils.process_owners import Owners
from ansible.module_utils.process_table import Process, Use
from ansible.module_utils.redis_memory import RedisUse
from ansible.module_utils.remediate_stack import StackError
from ansible.module_utils.resource_causes import CAUSES, found
from ansible.module_utils.resource_checks import depth_in, of_scene, queue_verdict

MIB = 1 << 20
ROLE = Path(__file__).parents[3] / "playbooks" / "roles" / "high_resources"
SETTINGS: dict[str, Any] = {
    name.removeprefix("high_resources_"): value
    for name, value in yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()).items()
}
SERVICES = {"app": ("fpm.service",), "queue": ("queue.service",), "nginx": ("nginx.service",), "mysql": ("db.service",)}


def use(pid: int, name: str, wanted: float = 0, memory: int = MIB, group: str = "x.slice", **more: Any) -> Use:
    values: dict[str, Any] = {
        "pid": pid, "began": 5, "parent": 1, "name": name, "command": name, "uid": 33, "kernel": False, "ran": 1.0,
        "waited": 0.0, "let_go": 0, "age": 900.0, "memory": memory, "groups": frozenset({group}), **more,
    }  # fmt: skip
    return Use(Process(**values), min(wanted, 100), wanted)


MASTER = use(10, "php-fpm8.4", group="fpm.service")
CHILD = use(11, "php-fpm8.4", group="fpm.service", parent=10)
WORKER = use(20, "php", group="queue.service", memory=60 * MIB)


def a_scene(*uses: Use, cpu: float = 90, load: float = 3, memory: float = 20, **more: Any) -> Scene:
    host = Pressure(True, 2, cpu, load, memory, 4096 * MIB)
    seen: dict[str, Any] = {"queries": [], "redis": None, "nginx": Connections({40: 5, 41: 300}, 512)}
    return Scene(host, [MASTER, CHILD, WORKER, *uses], Owners(SERVICES, frozenset({99})), **{**seen, **more})


def told(scene: Scene, worker: Callable[[], Step | None] = lambda: None) -> Found:
    return found(scene, SETTINGS, worker)


BURNING = use(12, "php-fpm8.4", 99, group="fpm.service", parent=10)
GROWN = use(12, "php-fpm8.4", 1, 600 * MIB, group="fpm.service", parent=10)
LEAKING = use(21, "php", 1, 700 * MIB, group="queue.service")
FOREIGN = use(30, "xmrig", 99)
SLOW = Query(7, 70, "chom", "chom", 0.0, "SELECT SLEEP(600)")


@pytest.mark.parametrize(
    ("scene", "causes", "verbs"),
    [
        (a_scene(BURNING), ["php_runaway"], ["reload app"]),
        (a_scene(GROWN, cpu=1), ["php_runaway"], ["reload app"]),
        (a_scene(LEAKING, cpu=1), ["worker_leak"], ["restart queue"]),
        (a_scene(nginx=Connections({40: 20, 41: 510}, 512), cpu=1), ["nginx_saturated"], ["reload nginx"]),
        (a_scene(queries=[SLOW], cpu=1), ["slow_queries"], ["end queries of database user chom"]),
        (a_scene(FOREIGN), ["foreign_process"], ["end program xmrig"]),
        (
            a_scene(BURNING, FOREIGN, LEAKING, queries=[SLOW]),
            ["php_runaway", "worker_leak", "slow_queries", "foreign_process"],
            ["reload app", "restart queue", "end queries of database user chom", "end program xmrig"],
        ),
    ],
)
def test_each_cause_is_told_by_its_own_evidence_and_has_its_own_steps(
    scene: Scene, causes: list[str], verbs: list[str]
) -> None:
    one = told(scene)
    assert list(one.causes) == causes
    assert all(one.causes.values())
    assert [f"{step.verb} {step.target}" for step in one.steps] == ["keep evidence of this host", *verbs]
    assert one.enough
    json.dumps(one.finding(), allow_nan=False)


def test_a_healthy_host_has_nothing_to_do() -> None:
    one = told(a_scene(cpu=20, load=0.5))
    assert (one.causes, one.steps, one.finding()["applies"]) == ({}, [], False)
    assert all(measure["ok"] for measure in one.measures)


@pytest.mark.parametrize(
    "greedy",
    [
        use(12, "php-fpm8.4", 99, group="fpm.service", parent=10),  # the host has CPU enough
        use(30, "xmrig", 99),
    ],
)
def test_who_takes_a_core_that_nobody_misses_is_left_alone(greedy: Use) -> None:
    assert told(a_scene(greedy, cpu=10, load=1)).causes == {}


@pytest.mark.parametrize(
    "innocent",
    [
        use(30, "gzip", 99),
        use(31, "sshd-session", 99),
        use(99, "python3", 99),
        use(33, "xmrig", 99, age=20.0),
        use(34, "xmrig", 60),
        use(35, "kworker/0:1", 99, kernel=True),
        use(36, "anything", 99, group="docker.service"),
    ],
)
def test_what_the_host_needs_and_what_is_there_for_a_moment_is_never_ended(innocent: Use) -> None:
    owners = Owners(SERVICES, frozenset({99}), tuple(SETTINGS["spared_programs"]))
    scene = a_scene(innocent, cpu=60)
    assert told(replace(scene, owners=owners)).causes == {}


def test_the_process_above_the_children_of_php_is_no_child() -> None:
    assert told(a_scene(replace(MASTER, wanted=99), cpu=60)).causes == {}


def test_memory_of_somebody_else_counts_only_where_memory_is_short() -> None:
    large = use(30, "java", 0, 2048 * MIB)
    assert told(a_scene(large, cpu=1)).causes == {}
    assert list(told(a_scene(large, cpu=1, memory=85)).causes) == ["foreign_process"]


def test_an_ill_host_without_a_known_cause_calls_a_human() -> None:
    with pytest.raises(StepError, match=r"short of CPU .* a human must look: greediest are mariadbd 150 %"):
        told(
            Scene(
                Pressure(True, 2, 95, 8, 20, MIB), [use(5, "mariadbd", 150, group="db.service")], Owners(SERVICES), []
            )
        )
    with pytest.raises(StepError, match="short of memory"):
        told(a_scene(cpu=1, memory=95))


def test_an_ill_host_that_could_not_be_looked_at_says_what_was_not_seen() -> None:
    with pytest.raises(StepError, match="mysql could not be looked at: no"):
        told(a_scene(cpu=95, queries=None, unseen={"mysql": "mysql could not be looked at: no"}))


def a_redis(used: int, **weights: int) -> RedisUse:
    return RedisUse(used * MIB, 100 * MIB, 90, True, weights={int(k[2:]): v * MIB for k, v in weights.items()})


@pytest.mark.parametrize(
    ("redis", "causes", "enough"),
    [
        (a_redis(50), [], True),
        (a_redis(95, db1=60, db3=20), ["redis_memory"], True),
        (a_redis(95, db0=3, db3=80), ["redis_memory", "redis_sessions"], True),
        (a_redis(95, db3=80), ["redis_sessions"], True),
        (a_redis(95, db1=3, db3=1), ["redis_memory"], False),
        (a_redis(95), ["redis_memory"], False),
    ],
)
def test_sessions_are_a_cause_only_where_caches_cannot_give_enough(
    redis: RedisUse, causes: list[str], enough: bool
) -> None:
    one = told(a_scene(cpu=1, redis=redis))
    assert (list(one.causes), one.enough) == (causes, enough)
    assert all("database 2" not in step.target for step in one.steps)
    assert enough or any("never emptied" in note for note in one.notes)


def test_what_could_not_be_looked_at_is_noted_and_never_proves_a_cure() -> None:
    scene = a_scene(cpu=1, queries=None, unseen={"mysql": "mysql could not be looked at: it is down"})
    assert told(scene).notes == ["mysql could not be looked at: it is down"]
    checks = {check["name"]: check["verdict"] for check in of_scene(scene, SETTINGS).checks}
    assert checks["mysql"] == "cannot_tell"


def test_a_greedy_process_that_is_never_ended_is_named() -> None:
    (note,) = told(a_scene(use(31, "sshd", 99), cpu=60)).notes
    assert "sshd (process 31)" in note


def test_a_host_is_cured_only_when_its_figures_are_low() -> None:
    verdicts = {
        check["name"]: check["verdict"] for check in of_scene(a_scene(cpu=55, load=2.5, memory=81), SETTINGS).checks
    }
    assert verdicts == {"causes": "cured", "CPU": "not_cured", "load": "not_cured", "memory": "not_cured"}
    well = of_scene(a_scene(cpu=49, load=1.9, memory=79), SETTINGS)
    assert {check["verdict"] for check in well.checks} == {"cured"}
    ill = of_scene(a_scene(cpu=1, load=0, queries=[SLOW]), SETTINGS)
    assert ill.checks[0]["verdict"] == "not_cured"
    assert "slow_queries" in ill.checks[0]["detail"]


def test_what_people_approve_does_not_move() -> None:
    first = told(a_scene(BURNING, FOREIGN, queries=[SLOW]))
    scene = a_scene(
        replace(BURNING, wanted=91), use(31, "xmrig", 95, 9 * MIB), queries=[replace(SLOW, number=71, thread=8)]
    )
    again = told(scene)
    bound = [(step.cause, step.verb, step.target, step.detail, step.undo) for step in first.steps]
    assert bound == [(step.cause, step.verb, step.target, step.detail, step.undo) for step in again.steps]


def test_every_cause_of_the_card_is_told_here_and_in_its_order() -> None:
    assert list(CAUSES) == list(yaml.safe_load((ROLE / "meta" / "runbook.yml").read_text())["causes"])


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ('chom_queue_depth{queue="default"} 3\nchom_queue_depth{queue="emails"} 4\n', 7),
        ("# HELP chom_queue_depth jobs\nchom_queue_depth 5\n", 5),
        ("chom_queue_depth_max 5\nother 1\n", None),
        ('chom_queue_depth{queue="a"} NaN\n', None),
        ("", None),
    ],
)
def test_waiting_jobs_are_read_as_the_application_counts_them(text: str, depth: int | None) -> None:
    assert depth_in(text, "chom_queue_depth") == depth


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [(5000, 4990, "cured"), (5000, 5000, "not_cured"), (5000, 5100, "not_cured"), (3, 9, "cured")],
)
def test_a_queue_has_to_fall_or_be_short(before: int, after: int, verdict: str) -> None:
    assert queue_verdict(before, after, 1000)["verdict"] == verdict


class Nginx:
    code = 0

    def exec(self, name: str, argv: list[str]) -> tuple[int, str, str]:
        return self.code, "events {\n    worker_connections 256;\n}\n", "nginx: [emerg] unknown directive"


def test_connections_of_the_workers_that_accept_new_ones_are_counted() -> None:
    names = ("nginx: master process nginx", "nginx: worker process", "nginx: worker process is shutting down")
    listed = [replace(use(pid, "nginx").process, command=name) for pid, name in enumerate((*names, names[1]), 40)]
    seen = connections(Nginx(), listed, lambda pid: pid)
    assert (seen.open, seen.per_worker, seen.fullest) == ({41: 41, 43: 43}, 256, 43)
    assert [is_worker(one) for one in listed] == [False, True, False, True]


def test_an_nginx_that_cannot_be_asked_is_said() -> None:
    with pytest.raises(StackError, match="no worker of nginx runs"):
        connections(Nginx(), [])
    broken = Nginx()
    broken.code = 1
    with pytest.raises(StackError, match="unknown directive"):
        connections(broken, [replace(use(1, "nginx").process, command="nginx: worker process")], lambda _pid: 1)


@pytest.mark.parametrize(
    ("text", "limit"),
    [("", 512), ("worker_connections 768;", 768), ("# worker_connections 9;\n\tworker_connections  64 ;", 64)],
)
def test_the_limit_is_the_one_of_the_configuration(text: str, limit: int) -> None:
    assert limit_in(text) == limit
