"""What comes from outside is never obeyed: texts, planted files, other people's settings."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from remediate.adapters.ansible.environment import ansible_environment
from remediate.adapters.ansible.executor import AnsibleExecutor
from remediate.adapters.ansible.session import Session
from remediate.adapters.ansible.supervisor import runner_settings
from remediate.catalog.loader import Catalogue
from remediate.catalog.settings import AnsibleSettings, Settings
from remediate.domain.report import Finding
from remediate.domain.runbook import Phase
from remediate.engine.executor_ports import PhaseRequest
from tests.integration.local import COMMAND, SITE, LocalSite

#: Each in a text of its own where the beginning matters; `OWNED` stands for the file that an attack would make.
ATTACKS = [
    "{{ lookup('pipe', 'touch OWNED') }} {% set x = lookup('pipe', 'touch OWNED') %} {# hidden #}",
    "#jinja2: variable_start_string: '[%', variable_end_string: '%]'\n[% lookup('pipe', 'touch OWNED') %]",
    '{"__ansible_unsafe": {"a": "{{ lookup(\'pipe\', \'touch OWNED\') }}"}, "__ansible_vault": "x"}',
    "!vault |\n  $ANSIBLE_VAULT;1.1;AES256\n  66\n$(touch OWNED) `touch OWNED`; touch OWNED && touch OWNED\n",
    "\" : !!python/object/apply:os.system ['touch OWNED']\n---\n... \x1b[3m \u202e \u2028 \x85 'quo' \\u0041 ünï 🔥",
    "0x1f",
]


@pytest.fixture
def executor(local: LocalSite) -> Iterator[AnsibleExecutor]:
    local.state.mkdir(mode=0o700)
    made = AnsibleExecutor(settings(local, SITE / "inventory"))
    yield made
    made.close()


def settings(local: LocalSite, inventory: Path) -> Settings:
    return Settings(site=SITE, inventory=inventory, state=local.state, content=(SITE / "playbooks",))


def diagnosis(executor: AnsibleExecutor, local: LocalSite, text: str = "", sequence: int = 1) -> Finding:
    """Diagnose the host `near`, past every check of what may be given as a parameter."""
    runbook = Catalogue([SITE / "playbooks"]).load("stray-file")
    if sequence == 1:
        executor.stage("run", runbook)
    request = PhaseRequest(
        run_id="run",
        sequence=sequence,
        runbook=runbook,
        phase=Phase.DIAGNOSE,
        hosts=("near",),
        parameters={"stray_file_path": str(local.file), "stray_file_text": text},
        timeout=runbook.limits(Phase.DIAGNOSE).timeout,
    )
    result = executor.run_phase(request, lambda _task: None, Event())
    found = result.reports.get("near")
    assert isinstance(found, Finding), result.troubles
    return found


def test_hostile_text_that_got_past_every_check_arrives_as_it_is_and_does_nothing(
    local: LocalSite, executor: AnsibleExecutor
) -> None:
    owned = local.directory / "owned"
    texts = [attack.replace("OWNED", str(owned)) for attack in ATTACKS]
    arrived = [diagnosis(executor, local, text, number + 1).notes for number, text in enumerate(texts)]

    assert arrived == [(text,) for text in texts]
    assert not owned.exists()


def test_what_a_host_answers_is_no_template_in_what_comes_after_it(local: LocalSite, executor: AnsibleExecutor) -> None:
    owned = local.directory / "owned"
    local.file = local.file.rename(local.directory / "{{ lookup('pipe', 'touch owned') }} {{ 7 * 191 }}")
    # The name of the file is what the task on the host said of it.
    (cause,) = diagnosis(executor, local).causes

    assert cause.evidence == (str(local.file),)
    assert not owned.exists()


def test_planted_files_and_settings_of_the_caller_are_never_read(local: LocalSite) -> None:
    planted, owned = local.directory / "planted", local.directory / "owned"
    plant(planted, owned)
    done = subprocess.run(
        [COMMAND, "stray-file", "-l", "near", "--path", str(local.file)],
        env={
            **local.environment,
            "HOME": str(planted),
            "ANSIBLE_CONFIG": str(planted / "ansible.cfg"),
            "ANSIBLE_LIBRARY": str(planted / "library"),
            "ANSIBLE_ACTION_PLUGINS": str(planted / "action_plugins"),
            "ANSIBLE_CALLBACK_PLUGINS": str(planted / "callback_plugins"),
            "ANSIBLE_STDOUT_CALLBACK": "planted",
            "ANSIBLE_CONNECTION": "planted",
        },
        cwd=planted,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert not owned.exists(), owned.read_text()
    assert not local.file.exists()


def plant(directory: Path, owned: Path) -> None:
    """Files where Ansible and Python would look for them by default; each of them would leave a trace."""
    leave_trace = f"open({str(owned)!r}, 'a').write(__file__ + '\\n')\n"
    names = ("library/stat", "library/file", "action_plugins/set_stats", "callback_plugins/planted", "yaml", "ansible")
    homes = (".ansible/plugins/modules/stat", ".ansible/plugins/action/set_stats", ".ansible/plugins/callback/planted")
    for name in (*names, *homes):
        path = directory / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(leave_trace)
    config = "[defaults]\nlibrary=./library\naction_plugins=./action_plugins\ncallback_plugins=./callback_plugins\n"
    (directory / "ansible.cfg").write_text(config)
    (directory / ".ansible.cfg").write_text(config)
    (directory / "group_vars").mkdir()
    (directory / "group_vars/all.yml").write_text("stray_file_path: /nowhere\nansible_connection: ssh\n")


def test_the_processes_of_ansible_do_not_get_the_environment_of_the_caller(tmp_path: Path) -> None:
    caller = {
        "HOME": "/root",
        "SSH_AUTH_SOCK": "/run/agent",
        "PYTHONPATH": "/evil",
        "ANSIBLE_LIBRARY": "/evil",
        "LD_PRELOAD": "/evil",
        "SECRET_TOKEN": "x",
    }
    given = ansible_environment(tmp_path, tmp_path / "cp", AnsibleSettings(), caller)

    assert {name: given.get(name) for name in caller} == {
        "HOME": "/root",
        "SSH_AUTH_SOCK": "/run/agent",
        **dict.fromkeys(["PYTHONPATH", "ANSIBLE_LIBRARY", "LD_PRELOAD", "SECRET_TOKEN"]),
    }
    assert (given["ANSIBLE_HOST_KEY_CHECKING"], given["ANSIBLE_PIPELINING"]) == ("True", "True")
    assert given["ANSIBLE_CONFIG"] == str(tmp_path / "ansible.cfg")


@pytest.fixture
def watched(local: LocalSite) -> tuple[Path, Path]:
    """An inventory that is a program, and the file in which it notes which process asked it."""
    seen = local.directory / "seen"
    inventory = local.directory / "hosts"
    hosts = '{"all": {"hosts": ["near"], "vars": {"ansible_connection": "local"}}, "_meta": {"hostvars": {}}}'
    inventory.write_text(f"#!/bin/sh\ntr '\\0' ' ' < /proc/$PPID/cmdline >> {seen}\necho >> {seen}\necho '{hosts}'\n")
    inventory.chmod(0o700)
    return inventory, seen


def test_every_command_is_a_fork_of_the_warm_parent(local: LocalSite, watched: tuple[Path, Path]) -> None:
    inventory, seen = watched
    local.state.mkdir(mode=0o700)
    executor = AnsibleExecutor(settings(local, inventory))
    names = [host.name for host in executor.hosts()]
    diagnosis(executor, local)
    executor.close()
    asked_by = seen.read_text().splitlines()

    assert names == ["near"]
    assert len(asked_by) == 2
    assert all(" -m remediate.adapters.ansible.supervisor " in process for process in asked_by), asked_by


def test_a_command_with_other_settings_is_started_cold_and_reads_them(
    local: LocalSite, watched: tuple[Path, Path]
) -> None:
    inventory, seen = watched
    session = Session(AnsibleSettings(), local.directory)
    asked = {"op": "inventory", "inventory": str(inventory), "local_tmp": str(local.directory)}
    warm = session.request(asked, lambda _task: None, Event())
    environment = {
        **ansible_environment(session._directory, local.directory, AnsibleSettings()),
        **runner_settings(),
        "REMEDIATE_LOCAL_TMP": str(local.directory),
        "ANSIBLE_FORKS": "77",
    }
    done = subprocess.run(
        [session._directory / "ansible-inventory", "--inventory", str(inventory), "--list"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    session.close()

    assert (warm["rc"], done.returncode, warm["stdout"]) == (0, 0, done.stdout)
    asked_by = seen.read_text().splitlines()
    assert ["bin/ansible-inventory" in process for process in asked_by] == [False, True], asked_by
    assert not session._directory.exists()
