"""The shape of every runbook: card, argument specifications, defaults, phases, playbook and page belong together."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from remediate.catalog.card import Card
from remediate.domain.report import ADDED_KEYS
from remediate.domain.runbook import Phase
from remediate.interfaces.cli.runbook import _general_options

CHECKOUT = Path(__file__).resolve().parents[2]
PLAYBOOKS = CHECKOUT / "playbooks"
ROLES = sorted(path.parent.parent for path in PLAYBOOKS.glob("roles/*/meta/main.yml"))
RUNBOOKS = [role for role in ROLES if (role / "meta" / "runbook.yml").exists()]
TASK_FILES = sorted(
    path
    for place in (PLAYBOOKS, CHECKOUT / "molecule")
    for path in place.rglob("tasks/*.yml")
    if "files" not in path.parts
)
MODULES = sorted((PLAYBOOKS / "library").glob("*.py"))
PYTHON = [*MODULES, *sorted((PLAYBOOKS / "module_utils").glob("*.py"))]
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation", "Verification", "Rollback"]
#: They change nothing of a database in production, or are a way back themselves: they take no restore point.
WITHOUT_RESTORE_POINT = {"backup_create", "backup_verify", "restore_test", "database_restore", "host_restore"}
#: What the engine fills in, or nobody needs: they have no default.
NO_DEFAULT = {"run_id"}


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def name_of(path: Path) -> str:
    return path.stem if path.suffix else path.name


def name_below(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


each_role = pytest.mark.parametrize("role", ROLES, ids=name_of)
each_runbook = pytest.mark.parametrize("role", RUNBOOKS, ids=name_of)
each_python_file = pytest.mark.parametrize("path", PYTHON, ids=name_of)


def entry_points(role: Path) -> dict[str, Any]:
    specs: dict[str, Any] = loaded(role / "meta" / "argument_specs.yml")["argument_specs"]
    return specs


def options(role: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for phase, spec in entry_points(role).items():
        for name, option in spec.get("options", {}).items():
            yield phase, name, option


def tasks_in(path: Path) -> Iterator[dict[str, Any]]:
    for task in loaded(path) or []:
        yield task
        for part in ("block", "rescue", "always"):
            yield from task.get(part, [])


def test_there_are_roles_and_runbooks() -> None:
    assert {"disk_full"} <= {role.name for role in RUNBOOKS}
    assert {"stack", "disk_full"} <= {role.name for role in ROLES}


@each_runbook
def test_a_runbook_has_the_standard_playbook(role: Path) -> None:
    (play,) = loaded(PLAYBOOKS / f"{role.name}.yml")
    assert play == {
        "name": play["name"],
        "hosts": "{{ remediate_targets | default('" + role.name + "_targets') }}",
        "gather_facts": False,
        "become": True,
        "any_errors_fatal": False,
        "environment": {"TMPDIR": "/dev/shm"},  # noqa: S108 - compared with, never written to
        "tasks": [
            {
                "name": "Run one phase",
                "ansible.builtin.include_role": {
                    "name": role.name,
                    "tasks_from": "{{ remediate_phase | default('diagnose') }}",
                },
            },
            *([] if role.name in WITHOUT_RESTORE_POINT else [restore_point_of(role.name)]),
        ],
    }


def restore_point_of(role: str) -> dict[str, Any]:
    """The last task of every runbook that changes something."""
    return {
        "name": "Mark the way back before anything is changed",
        "ansible.builtin.include_role": {
            "name": "restore_point",
            "tasks_from": "{{ remediate_phase | default('diagnose') }}",
        },
        "vars": {"restore_point_run_id": "{{ " + role + "_run_id | default('') }}"},
        "when": "remediate_phase | default('diagnose') in ['diagnose', 'snapshot']",
    }


def test_a_restore_point_is_where_the_runbooks_about_backups_look_for_it() -> None:
    """The role of restore points has no inventory of its own: its fallbacks are the defaults of those runbooks."""
    settings = loaded(PLAYBOOKS / "roles/restore_point/vars/main.yml")["__restore_point_settings"]
    fallbacks = dict(re.findall(r"(\w+) \| default\((.*?)\) \}\}", "\n".join(settings.values())))
    defaults: dict[str, Any] = {}
    for role in ("backup_create", "database_restore"):
        defaults |= loaded(PLAYBOOKS / "roles" / role / "defaults/main.yml")

    assert len(fallbacks) == len(settings) - 1
    for name, text in fallbacks.items():
        assert ast.literal_eval(text) == defaults[name], name


def test_what_is_added_to_reports_comes_under_the_keys_that_the_engine_knows() -> None:
    found = {
        phase: [
            (name, task["when"])
            for task in tasks_in(PLAYBOOKS / f"roles/restore_point/tasks/{phase}.yml")
            for name in task.get("ansible.builtin.set_stats", {}).get("data", {})
        ]
        for phase in ("diagnose", "snapshot")
    }
    wanted = {phase.value: [(key, "__restore_point_is_on")] for phase, (key, _, _) in ADDED_KEYS.items()}
    assert found == wanted


@each_runbook
def test_the_card_loads_and_its_phases_are_the_entry_points_and_the_task_files(role: Path) -> None:
    card = Card.model_validate(loaded(role / "meta" / "runbook.yml"))
    files = {path.stem for path in (role / "tasks").glob("*.yml")} - {"main"}
    phases = {phase.value for phase in Phase}
    assert {phase.value for phase in card.phases} == set(entry_points(role)) == files & phases == phases


@each_runbook
def test_the_page_that_the_card_names_has_the_six_sections(role: Path) -> None:
    page = (role / str(loaded(role / "meta" / "runbook.yml")["readme"])).read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", page, re.MULTILINE)
    assert headings[: len(SECTIONS)] == SECTIONS


@each_runbook
def test_every_cause_of_the_card_is_explained_on_its_page(role: Path) -> None:
    page = (role / "README.md").read_text(encoding="utf-8")
    assert [cause for cause in loaded(role / "meta" / "runbook.yml")["causes"] if f"`{cause}`" not in page] == []


@each_runbook
def test_labels_of_alerts_fill_inputs_that_diagnosis_has(role: Path) -> None:
    known = set(entry_points(role)["diagnose"]["options"])
    for alert in loaded(role / "meta" / "runbook.yml")["alerts"]:
        assert set(alert.get("parameters", {})) <= known, alert["name"]


@each_runbook
def test_every_alert_of_the_card_has_a_rule_and_every_rule_is_on_the_card(role: Path) -> None:
    card = {alert["name"]: alert["severity"] for alert in loaded(role / "meta" / "runbook.yml")["alerts"]}
    groups = loaded(role / "files" / "alerts.yml")["groups"]
    assert {rule["alert"]: rule["labels"]["severity"] for group in groups for rule in group["rules"]} == card


@each_runbook
def test_what_the_rules_of_a_runbook_must_say_is_tested(role: Path) -> None:
    tested = {
        case["alertname"]
        for group in loaded(CHECKOUT / "tests" / "alerts" / f"{role.name}.yml")["tests"]
        for case in group["alert_rule_test"]
        if case["exp_alerts"]
    }
    assert tested == {alert["name"] for alert in loaded(role / "meta" / "runbook.yml")["alerts"]}


@each_runbook
def test_a_runbook_has_a_scenario_on_real_hosts(role: Path) -> None:
    assert (CHECKOUT / "molecule" / role.name / "molecule.yml").exists()


@each_runbook
def test_what_acts_needs_a_run_id_and_what_looks_does_not(role: Path) -> None:
    required = {
        phase: spec["options"].get(f"{role.name}_run_id", {}).get("required", False)
        for phase, spec in entry_points(role).items()
    }
    assert required == {"diagnose": False, "snapshot": True, "fix": True, "verify": False, "rollback": True}


@each_runbook
def test_every_phase_reports_under_its_key_by_plain_reference(role: Path) -> None:
    keys = {
        "diagnose": "remediate_finding",
        "snapshot": "remediate_snapshot",
        "fix": "remediate_fix",
        "verify": "remediate_verdict",
        "rollback": "remediate_rollback",
    }
    for phase, key in keys.items():
        (report,) = [
            task["ansible.builtin.set_stats"]
            for task in tasks_in(role / "tasks" / f"{phase}.yml")
            if "ansible.builtin.set_stats" in task
        ]
        assert (report["per_host"], report["aggregate"], list(report["data"])) == (True, False, [key])
        # What hosts say is hostile: it is handed on as it is, never put into a text.
        assert re.fullmatch(r"\{\{ \w+\['\w+'\] \}\}", report["data"][key])


@each_role
def test_every_option_is_typed_described_and_begins_with_the_name_of_its_role(role: Path) -> None:
    for phase, name, option in options(role):
        assert name.startswith(f"{role.name}_"), (phase, name)
        assert option.get("type"), (phase, name)
        assert str(option.get("description", "")).strip(), (phase, name)
        assert option["type"] != "list" or option.get("elements"), (phase, name)


@each_role
def test_defaults_are_those_of_the_argument_specifications(role: Path) -> None:
    defaults = loaded(role / "defaults" / "main.yml") or {}
    declared: dict[str, Any] = {}
    for _, name, option in options(role):
        if name.removeprefix(f"{role.name}_") not in NO_DEFAULT and "default" in option:
            assert declared.setdefault(name, option["default"]) == option["default"], name
    assert defaults == declared


@each_runbook
def test_no_input_takes_the_name_of_an_option_that_every_command_has(role: Path) -> None:
    taken = {option for one in _general_options(applying=True) for option in [*one.opts, *one.secondary_opts]}
    taken |= {"--help", "--site"}
    inputs = {f"--{name.removeprefix(role.name + '_').replace('_', '-')}" for _, name, _ in options(role)}
    assert inputs & taken == set()


@each_role
def test_a_bare_role_only_looks(role: Path) -> None:
    (task,) = loaded(role / "tasks" / "main.yml")
    assert task["ansible.builtin.import_tasks"] in {"diagnose.yml", "status.yml"}


@each_role
def test_no_runbook_names_what_its_layout_hides(role: Path) -> None:
    files = [*(role / "tasks").glob("*.yml"), *(role / "vars").glob("*.yml")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    assert re.findall(r"\b(?:docker|systemd|systemctl)\b", text) == []


@pytest.mark.parametrize(
    "path", sorted(path for path in PLAYBOOKS.rglob("*.yml") if "files" not in path.parts), ids=lambda path: path.name
)
def test_no_tasks_from_has_an_extension_because_its_arguments_would_not_be_checked(path: Path) -> None:
    assert re.findall(r"tasks_from:.*\.ya?ml", path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", TASK_FILES, ids=name_below)
def test_nothing_is_given_to_a_shell(path: Path) -> None:
    used = {key.rpartition(".")[2] for task in tasks_in(path) for key in task}

    assert not used & {"shell", "raw", "script", "expect"}


@pytest.mark.parametrize("path", sorted(PLAYBOOKS.glob("roles/*/tasks/*.yml")), ids=lambda path: path.name)
def test_a_command_says_above_itself_why_there_is_no_module(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.search(r"ansible\.builtin\.(command|shell|raw|script):", line):
            assert lines[number + 1].lstrip().startswith("#") or lines[number - 1].lstrip().startswith("#"), line


@each_python_file
def test_the_first_line_of_a_module_says_what_it_is_and_no_module_is_long(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    documented = ast.get_docstring(ast.parse(text)) or ""
    assert documented.splitlines()[0].endswith(".")
    assert len(text.splitlines()) < 500


@each_python_file
def test_no_function_is_long(path: Path) -> None:
    functions = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    too_long = [one.name for one in functions if (one.end_lineno or 0) - one.lineno >= 60]
    assert too_long == []


#: What is needed only where a site asks for it (`semi_sync`), imported where it is used and named when it is missing.
ASKED_FOR = {"stream_connection": {"pymysql.connections", "pymysql.err"}}


def foreign(nodes: Sequence[ast.AST]) -> set[str]:
    """Return what is imported and belongs neither to Python nor to Ansible."""
    names = [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return {name for name in names if name.split(".")[0] not in {*sys.stdlib_module_names, "ansible"}}


@each_python_file
def test_what_runs_on_hosts_needs_nothing_but_python_unless_it_is_asked_for(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert foreign([*ast.walk(tree)]) == ASKED_FOR.get(path.stem, set())
    assert foreign(tree.body) == set()


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_documented_and_knows_check_mode(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id.isupper()
        and isinstance(node.value, ast.Constant)
    }
    documented = yaml.safe_load(blocks["DOCUMENTATION"])
    assert documented["module"] == path.stem
    assert documented["attributes"]["check_mode"]["support"] == "full"
    assert yaml.safe_load(blocks["EXAMPLES"])
    assert yaml.safe_load(blocks["RETURN"])
    assert "supports_check_mode=True" in path.read_text(encoding="utf-8")


def test_the_example_inventory_sets_only_inputs_that_exist() -> None:
    known = {name for role in ROLES for _, name, _ in options(role)} | {"stack_health_url"}
    for path in sorted((CHECKOUT / "inventory" / "example" / "group_vars").rglob("*.yml")):
        given = {name for name in loaded(path) if not name.startswith("ansible_")}
        mentioned = set(re.findall(r"^# (\w+):", path.read_text(encoding="utf-8"), re.MULTILINE))
        assert given | mentioned <= known, path
