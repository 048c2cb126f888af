"""The services of a stack: what is asked of the tools of either layout, and what is understood from their answers."""

import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import remediate_stack, stack_compose
from ansible.module_utils.remediate_stack import ServiceState, Stack, StackError
from ansible.module_utils.stack_program import run_program

Program = Callable[[str, str], None]
UNITS = {"app": "php8.4-fpm.service", "queue": "chom-queue@1.service", "scheduler": "chom-scheduler.timer"}
RUNS = "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\n"
WAITS = "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\n"
FELL = "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\n"
GONE = "LoadState=not-found\nActiveState=inactive\nSubState=dead\nResult=success\n"


class SteadyEngine:
    """An engine whose containers stay up."""

    def inspect(self, container_id: str) -> dict[str, Any]:
        return {"State": {"StartedAt": f"the start of {container_id}"}}


class RestlessEngine:
    """An engine whose containers fall, and are started again, between any two looks."""

    def __init__(self) -> None:
        self.starts = itertools.count()

    def inspect(self, container_id: str) -> dict[str, Any]:
        return {"State": {"StartedAt": f"start {next(self.starts)} of {container_id}"}}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Puts a program into the path that notes its arguments, one call to a line, before it does its own."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(stack_compose, "_PLUGIN_DIRECTORIES", ())
    monkeypatch.setattr(remediate_stack, "_PAUSE", 0.01)

    def put(name: str, script: str) -> None:
        path = tmp_path / name
        path.write_text(f'#!/bin/sh\ncd {tmp_path}\necho "$*" >> calls\n{script}\n')
        path.chmod(0o755)

    return put


@pytest.fixture
def calls(tmp_path: Path) -> Callable[[], list[str]]:
    """Tells which calls were made, without the part that says where the project is."""
    where = f"--ansi never --project-directory {tmp_path} --file {tmp_path}/compose.yml "
    return lambda: [line.removeprefix(where) for line in (tmp_path / "calls").read_text().splitlines()]


@pytest.fixture
def compose(program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Stack]:
    """Makes a stack of two services whose project lists these containers and otherwise runs a script."""

    def make(containers: list[dict[str, Any]], script: str = "", engine: type = SteadyEngine) -> Stack:
        (tmp_path / "listed").write_text("\n".join(json.dumps(one) for one in containers))
        monkeypatch.setattr(stack_compose, "ContainerEngine", engine)
        program("docker-compose", f'case "$*" in *" ps "*) cat listed; exit;; esac\n{script}')
        return Stack("compose", ["app", "queue"], str(tmp_path), "compose.yml")

    return make


@pytest.fixture
def systemd(program: Program, tmp_path: Path) -> Callable[..., Stack]:
    """Makes a stack of units that are shown like this, one block after the other, and otherwise runs a script."""

    def make(*blocks: str, script: str = "", services: tuple[str, ...] = ("app", "queue")) -> Stack:
        (tmp_path / "shown").write_text("\n".join(blocks))
        program("systemctl", f'case "$*" in *" show "*) cat shown; exit;; esac\n{script}')
        return Stack("systemd", services, units=UNITS)

    return make


def container(service: str, state: str = "running", **more: Any) -> dict[str, Any]:
    return {
        "ID": f"id-{service}",
        "Service": service,
        "State": state,
        "ExitCode": 0,
        "Health": "",
        "Status": f"now {state}",
        **more,
    }


def test_a_host_without_a_layout_is_told_what_to_set() -> None:
    with pytest.raises(StackError, match="stack_layout is not set for this host; nothing was done"):
        Stack("", ["app"])


def test_an_unknown_layout_is_named() -> None:
    with pytest.raises(StackError, match="stack_layout is 'nomad'"):
        Stack("nomad", ["app"])


def test_a_compose_project_needs_its_place() -> None:
    with pytest.raises(StackError, match="needs stack_project_dir and stack_compose_file"):
        Stack("compose", ["app"], project_dir="/opt/chom")


def test_a_service_without_a_unit_is_named() -> None:
    with pytest.raises(StackError, match="stack_units names no unit for redis"):
        Stack("systemd", ["app", "redis"], units=UNITS)


def test_states_of_containers(compose: Callable[..., Stack]) -> None:
    stack = compose([container("app", Health="unhealthy"), container("queue", "exited", ExitCode=137)])

    assert stack.status() == {
        "app": ServiceState(True, "running (unhealthy)", "now running"),
        "queue": ServiceState(False, "exited (137)", "now exited"),
    }


def test_a_service_without_a_container_is_missing(compose: Callable[..., Stack]) -> None:
    assert compose([container("app")]).status()["queue"] == ServiceState(False, "missing", "there is no container")


def test_containers_may_be_listed_as_an_array(compose: Callable[..., Stack], tmp_path: Path) -> None:
    stack = compose([])
    (tmp_path / "listed").write_text(json.dumps([container("app"), container("queue")]))

    assert [state.state for state in stack.status().values()] == ["running", "running"]


def test_a_job_run_once_says_nothing_about_its_service(compose: Callable[..., Stack]) -> None:
    job = container("app", "exited", ExitCode=1, Labels="a=b,com.docker.compose.oneoff=True")

    assert compose([container("app"), job]).status()["app"].running


def test_a_service_of_several_containers_is_as_good_as_its_worst(compose: Callable[..., Stack]) -> None:
    assert compose([container("app"), container("app", "restarting")]).status()["app"].state == "restarting"


def test_a_list_nobody_understands_is_an_error(compose: Callable[..., Stack], tmp_path: Path) -> None:
    stack = compose([])
    (tmp_path / "listed").write_text("Name   Command\n")

    with pytest.raises(StackError, match="must be version 2 or later"):
        stack.status()


def test_a_start_makes_missing_containers_and_never_pulls(
    compose: Callable[..., Stack], calls: Callable[[], list[str]]
) -> None:
    compose([container("app"), container("queue")]).start(["queue", "app", "queue"])

    assert calls()[0] == "up --detach --no-recreate --no-build --pull never queue app"


def test_a_restart_starts_what_has_no_container(compose: Callable[..., Stack], calls: Callable[[], list[str]]) -> None:
    with pytest.raises(StackError, match="could not restart queue: queue is missing"):
        compose([container("app")]).restart(["app", "queue"])

    assert [call for call in calls() if not call.startswith("ps")] == [
        "restart app",
        "up --detach --no-recreate --no-build --pull never queue",
    ]


def test_a_failing_tool_is_quoted_with_its_last_line_made_safe(compose: Callable[..., Stack]) -> None:
    stack = compose([], script="printf 'first\\nno room \\033[2Jleft\\n' >&2; exit 1")

    with pytest.raises(StackError) as caught:
        stack.start(["queue"])

    assert str(caught.value) == "could not start queue: no room  [2Jleft"


def test_a_stop_that_something_undoes_is_an_error(compose: Callable[..., Stack]) -> None:
    with pytest.raises(StackError, match="could not stop queue: still running"):
        compose([container("app"), container("queue")]).stop(["queue"])


def test_a_service_in_a_container_reloads_in_its_own_way(
    compose: Callable[..., Stack], calls: Callable[[], list[str]]
) -> None:
    compose([container("app"), container("queue")]).reload(["app"])

    assert calls()[0] == "exec --no-TTY app sh -c kill -s USR2 1"


def test_a_service_that_cannot_reload_is_left_alone(
    compose: Callable[..., Stack], systemd: Callable[..., Stack], tmp_path: Path
) -> None:
    for stack in (compose([]), systemd("CanReload=no\n")):
        with pytest.raises(StackError, match="queue cannot read the configuration again while running; nothing was"):
            stack.reload(["queue"])

    assert "reload --" not in (tmp_path / "calls").read_text()


def test_an_unknown_service_is_refused_before_anything_is_done(compose: Callable[..., Stack], tmp_path: Path) -> None:
    with pytest.raises(StackError, match="no service mysql, redis; nothing was done: it has app, queue"):
        compose([]).stop(["app", "mysql", "redis"])

    assert not (tmp_path / "calls").exists()


def test_a_program_in_a_container_keeps_its_arguments_apart(compose: Callable[..., Stack]) -> None:
    stack = compose([], script='for last; do :; done; printf %s "$last"; echo trouble >&2; exit 3')

    assert stack.exec("app", ["echo", "a b; $(c) *"]) == (3, "a b; $(c) *", "trouble\n")


def test_a_program_in_a_container_may_read_from_and_write_to_open_files(
    compose: Callable[..., Stack], tmp_path: Path
) -> None:
    (tmp_path / "in").write_text("secret\n")
    with (tmp_path / "in").open() as source, (tmp_path / "out").open("w") as target:
        ended = compose([], script="cat").exec("app", ["sh"], stdin=source.fileno(), stdout=target.fileno())

    assert ended == (0, "", "")
    assert (tmp_path / "out").read_text() == "secret\n"


def test_a_program_runs_in_a_container_of_its_own_that_does_not_outlive_its_time(
    compose: Callable[..., Stack], calls: Callable[[], list[str]]
) -> None:
    compose([]).once("app", ["mariadbd", "--bootstrap"], ["/var/tmp/x"], 7)  # noqa: S108 - only named

    assert calls()[0] == (
        "run --rm --no-deps --no-TTY --volume /var/tmp/x:/var/tmp/x --entrypoint timeout app --signal=KILL 7 "
        "mariadbd --bootstrap"
    )


def test_a_program_on_behalf_of_a_unit_runs_beside_it(systemd: Callable[..., Stack]) -> None:
    assert systemd("User=\nWorkingDirectory=\n").once("app", ["pwd"], ["/var"]) == (0, "/\n", "")


def test_a_log_is_put_together_by_time_and_made_safe(compose: Callable[..., Stack]) -> None:
    stack = compose(
        [], script="printf '\\033[2K2026-01-01T01 one\\n2026-01-01T03 \\033]0;three\\n'; echo '2026-01-01T02 two' >&2"
    )

    assert stack.logs("app", 2) == "2026-01-01T02 two\n2026-01-01T03  ]0;three"


def test_a_log_in_files_is_read_from_them_because_the_engine_may_answer_never(
    compose: Callable[..., Stack], tmp_path: Path
) -> None:
    class LoggingEngine:
        def inspect(self, container_id: str) -> dict[str, Any]:
            return {"LogPath": str(tmp_path / container_id), "HostConfig": {"LogConfig": {"Type": "json-file"}}}

    for name, second, text in (("id-app", "02", "two\x1b"), ("id-app-2", "01", "one")):
        (tmp_path / name).write_text(json.dumps({"log": f"{text}\n", "time": f"2026-01-01T00:00:{second}Z"}) + "\n")
    both = [container("app"), {**container("app"), "ID": "id-app-2"}]
    stack = compose(both, script="exit 7", engine=LoggingEngine)

    assert stack.logs("app", 9) == "2026-01-01T00:00:01Z one\n2026-01-01T00:00:02Z two "
    (tmp_path / "id-app").unlink()
    with pytest.raises(StackError, match="the log of app cannot be read"):
        stack.logs("app", 9)


def test_the_engine_is_asked_for_a_log_that_is_in_no_file_of_json(compose: Callable[..., Stack]) -> None:
    class LocalEngine:
        def inspect(self, container_id: str) -> dict[str, Any]:
            return {"LogPath": f"/logs/{container_id}", "HostConfig": {"LogConfig": {"Type": "local"}}}

    stack = compose([container("app")], script="echo 2026-01-01T01 one", engine=LocalEngine)
    assert stack.logs("app", 2) == "2026-01-01T01 one"


def test_the_file_of_a_log_is_told_where_there_is_one(compose: Callable[..., Stack]) -> None:
    class LoggingEngine:
        def inspect(self, container_id: str) -> dict[str, Any]:
            return {"LogPath": f"/logs/{container_id}" if container_id == "id-app" else ""}

    stack = compose([container("app"), container("queue")], engine=LoggingEngine)
    assert stack.log_file("app") == "/logs/id-app"
    with pytest.raises(StackError, match="not kept in a file"):
        stack.log_file("queue")
    with pytest.raises(StackError, match="has no container"):
        compose([]).log_file("app")


def test_which_file_a_unit_logs_into_is_not_guessed(systemd: Callable[..., Stack]) -> None:
    with pytest.raises(StackError, match="name the file in the inventory"):
        systemd(RUNS, RUNS).log_file("app")


def test_states_of_units_are_told_by_position(systemd: Callable[..., Stack]) -> None:
    stack = systemd(RUNS, FELL, GONE, services=("app", "queue", "scheduler"))

    assert stack.status() == {
        "app": ServiceState(True, "running", "active, running"),
        "queue": ServiceState(False, "failed (exit-code)", "failed, failed"),
        "scheduler": ServiceState(False, "missing", "the unit is not-found"),
    }


def test_fewer_answers_than_units_are_an_error(systemd: Callable[..., Stack]) -> None:
    with pytest.raises(StackError, match="the state of app, queue cannot be told"):
        systemd(RUNS).status()


def test_only_a_failed_unit_is_forgiven_before_it_starts(
    systemd: Callable[..., Stack], calls: Callable[[], list[str]]
) -> None:
    stack = systemd(RUNS, FELL, script=f"printf '{RUNS}\\n{RUNS}' > shown")
    stack.start(["app", "queue"])

    assert [call.removeprefix("--no-ask-password ") for call in calls() if " show " not in call] == [
        "reset-failed -- chom-queue@1.service",
        "start -- php8.4-fpm.service chom-queue@1.service",
    ]


def test_a_unit_that_falls_again_at_once_has_not_started(systemd: Callable[..., Stack]) -> None:
    with pytest.raises(StackError, match=r"could not start queue: queue is failed \(exit-code\)"):
        systemd(FELL).start(["queue"])


def test_waiting_for_a_service_that_keeps_falling_ends(
    systemd: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remediate_stack, "SECONDS", 0.05)

    with pytest.raises(StackError, match="could not start queue: queue is restarting"):
        systemd(WAITS).start(["queue"])


def test_a_service_that_is_started_anew_between_two_looks_has_not_started(
    compose: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remediate_stack, "SECONDS", 0.05)

    with pytest.raises(StackError, match="could not start app: app is falling again and again"):
        compose([container("app")], engine=RestlessEngine).start(["app"])


def test_a_program_beside_a_unit_runs_in_its_directory(systemd: Callable[..., Stack], tmp_path: Path) -> None:
    stack = systemd(f"User=\nWorkingDirectory=!{tmp_path}\n")

    assert stack.exec("app", ["pwd"]) == (0, f"{tmp_path}\n", "")


def test_a_unit_without_a_directory_runs_programs_at_the_root(systemd: Callable[..., Stack]) -> None:
    assert systemd("User=\nWorkingDirectory=\n").exec("app", ["pwd"]) == (0, "/\n", "")


def test_the_log_of_a_timer_is_the_one_of_what_it_starts(program: Program, calls: Callable[[], list[str]]) -> None:
    program("journalctl", "echo 2026 done")

    assert Stack("systemd", ["scheduler"], units=UNITS).logs("scheduler", 5) == "2026 done"
    assert calls()[0].endswith("--lines 5 --unit chom-scheduler.service")


def test_a_program_and_what_it_started_end_with_its_time() -> None:
    started = time.monotonic()

    with pytest.raises(StackError, match=r"did not end within 0.2 s and was stopped"):
        run_program(["sh", "-c", "sleep 60 & sleep 60"], 0.2)
    assert time.monotonic() - started < 5


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(StackError, match="no-such-program cannot be started"):
        run_program(["no-such-program"], 1)


def test_processes_of_a_service_are_told_by_its_containers(compose: Callable[..., Stack]) -> None:
    stack = compose([container("app"), container("app") | {"ID": "second"}])
    assert stack.groups() == {"app": ("id-app", "second"), "queue": ()}


def test_processes_of_a_service_are_told_by_its_unit(systemd: Callable[..., Stack]) -> None:
    stack = systemd(services=("app", "scheduler"))
    assert stack.groups() == {"app": ("php8.4-fpm.service",), "scheduler": ("chom-scheduler.service",)}


def test_what_a_runbook_has_set_is_read_wherever_it_is_there(compose: Callable[..., Stack], tmp_path: Path) -> None:
    stack = compose([container("app"), container("queue")])
    stack.start(["app"])
    assert "remediate" not in (tmp_path / "calls").read_text()
    (tmp_path / "docker-compose.remediate.yml").write_text("services: {}\n")
    stack.start(["app"])
    last = [line for line in (tmp_path / "calls").read_text().splitlines() if " up " in line][-1]
    assert f"--file {tmp_path}/compose.yml --file {tmp_path}/docker-compose.remediate.yml up" in last


def test_a_container_is_made_anew_from_its_definition_or_else_restarted(
    compose: Callable[..., Stack], calls: Callable[[], list[str]]
) -> None:
    compose([container("app"), container("queue")]).take_up("queue")
    done = [line for line in calls() if not line.startswith("ps ")]
    assert done == ["up --detach --no-build --no-deps --pull never queue", "restart queue"]


def test_a_unit_is_started_anew_from_its_definition(
    systemd: Callable[..., Stack], calls: Callable[[], list[str]]
) -> None:
    systemd(RUNS, services=("queue",)).take_up("queue")
    done = [line for line in calls() if " show " not in line]
    assert done == ["--no-ask-password daemon-reload", "--no-ask-password restart -- chom-queue@1.service"]


def test_the_command_of_a_service_is_the_one_of_its_main_process(systemd: Callable[..., Stack]) -> None:
    assert len(systemd(f"MainPID={os.getpid()}\n").command("queue")) > 0
    with pytest.raises(StackError, match="has no main process"):
        systemd("MainPID=0\n").command("queue")


def test_the_command_of_a_container_is_the_one_it_was_made_with(compose: Callable[..., Stack]) -> None:
    class Engine:
        def inspect(self, container_id: str) -> dict[str, Any]:
            return {"State": {"StartedAt": "then"}, "Config": {"Cmd": ["php", "artisan"], "Entrypoint": ["tini"]}}

    stack = compose([container("queue")], engine=Engine)
    assert stack.command("queue") == ["php", "artisan"]
    with pytest.raises(StackError, match="has no container"):
        stack.command("app")
