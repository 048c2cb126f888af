"""The executor: phases of runbooks as plays of Ansible."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from pydantic import ValidationError

from remediate.adapters.ansible.run_directory import (
    RunDirectory,
    ansible_version,
    collections_digest,
    inventory_digest,
    source_digest,
    write_variables,
)
from remediate.adapters.ansible.sessions import IDLE_SECONDS, Sessions
from remediate.catalog.settings import Settings
from remediate.domain.host import Host, explain
from remediate.domain.naming import role_name
from remediate.domain.report import ADDED_KEYS, REPORT_KEYS, Report, RestorePoint, WayBack
from remediate.domain.run import PhaseOutcome, TaskRecord
from remediate.domain.runbook import ParameterValue, Phase, Runbook
from remediate.domain.value import Value
from remediate.engine.executor_ports import PhaseRequest, PhaseResult, TaskObserver
from remediate.errors import ExecutorFailure, InvalidDocument, UnknownShape

_LAYOUT = "stack_layout"
#: Further names and addresses of a host, as alerts write them: a list of text.
_ADDRESSES = "remediate_addresses"

_Form = TypeVar("_Form", bound=Value)


class AnsibleExecutor:
    """Implements the port `Executor`."""

    def __init__(self, settings: Settings, *, idle_seconds: float = IDLE_SECONDS) -> None:
        self._settings = settings
        self._sessions = Sessions(settings.ansible, idle_seconds=idle_seconds)
        self._hosts: tuple[Host, ...] | None = None

    def warm_up(self) -> None:
        """Start a session now, unless there is one, so that it is ready when the first phase needs it."""
        self._sessions.warm_up()

    def close(self) -> None:
        """End all sessions and everything below them."""
        self._sessions.close()

    def hosts(self) -> tuple[Host, ...]:
        """Return the hosts of the inventory; raises InvalidDocument when it cannot be read."""
        if self._hosts is None:
            self._hosts = self._read_inventory()
        return self._hosts

    def stage(self, run_id: str, runbook: Runbook) -> dict[str, str]:
        """Give a run its copy of the content; return digests of all that decides what the run does."""
        source, collections, version = source_digest(self._settings.content), collections_digest(), ansible_version()
        run = RunDirectory(self._settings.state, run_id)
        content = run.stage(self._settings.content, source)
        run.share_packed(content, collections, version)
        return {
            "content": content,
            # The run uses its copy; a source that has changed since then says that somebody means something else now.
            "source": source,
            "collections": collections,
            "inventory": inventory_digest(self._settings.inventory),
            "ansible_core": version,
            "runbook_role": runbook.role,
        }

    def run_phase(self, request: PhaseRequest, observe: TaskObserver, stop: Event) -> PhaseResult:
        """Run one phase to its end, its time limit, or `stop`; nothing of it is alive when this returns."""
        run = RunDirectory(self._settings.state, request.run_id)
        directory = run.new_phase(request.sequence, request.phase.value)
        write_variables(directory / "variables.yml", _variables(request))
        collected = _Collected(observe, request.phase)
        play = {
            "op": "play",
            "directory": str(directory),
            "project": str(run.content),
            "playbook": f"{role_name(request.runbook.id)}.yml",
            "inventory": str(self._settings.inventory),
            "cmdline": f"--diff {'--check ' if request.check else ''}--extra-vars @{directory / 'variables.yml'}",
            "local_tmp": str(run.local_tmp),
            "timeout": request.timeout.total_seconds(),
        }
        try:
            with self._sessions.one(stop) as session:
                done = session.request(play, collected.task, stop)
        except ExecutorFailure as failure:
            return PhaseResult(
                outcome=PhaseOutcome.CRASHED,
                troubles=dict.fromkeys(request.hosts, failure.message),
                reports=collected.reports,
            )
        finally:
            run.discard_environment(directory)
        return collected.result(done, request.hosts)

    def inspect(self, hosts: Sequence[str]) -> dict[str, dict[str, object] | str]:
        """Look at whether hosts are ready: facts per host, or the message of what failed."""
        with (
            tempfile.TemporaryDirectory(prefix="remediate-doctor-") as temporary,
            self._sessions.one() as session,
        ):
            directory = Path(temporary)
            write_variables(directory / "variables.yml", {"remediate_targets": list(hosts)})
            collected = _Collected(lambda _task: None, None)
            play = {
                "op": "play",
                "directory": str(directory),
                "project": str(self._settings.content[-1]),
                "playbook": "doctor.yml",
                "inventory": str(self._settings.inventory),
                "cmdline": f"--extra-vars @{directory / 'variables.yml'}",
                "local_tmp": str(directory),
                "timeout": 120,
            }
            session.request(play, collected.task, Event())
        facts = {
            host: report["remediate_doctor"] for host, report in collected.raw.items() if "remediate_doctor" in report
        }
        return {host: facts.get(host) or collected.messages.get(host) or "it gave no answer" for host in hosts}

    def _read_inventory(self) -> tuple[Host, ...]:
        path = self._settings.inventory
        if not path.exists():
            raise InvalidDocument(
                f"The inventory {path} does not exist.",
                next_step="make one with `remediate init`, or correct `inventory:` in remediate.yml",
            )
        with (
            tempfile.TemporaryDirectory(prefix="remediate-inventory-") as temporary,
            self._sessions.one() as session,
        ):
            done = session.request(
                {"op": "inventory", "inventory": str(path), "local_tmp": temporary}, lambda _task: None, Event()
            )
        if done["rc"] != 0:
            raise InvalidDocument(
                f"The inventory {path} cannot be used: {_said(done['stderr'])}",
                next_step=f"ansible-inventory -i {path} --list shows the same",
            )
        return _hosts(json.loads(done["stdout"]))


class _Collected:
    """What a play told while it ran."""

    def __init__(self, observe: TaskObserver, phase: Phase | None) -> None:
        self._observe = observe
        self._phase = phase
        self.raw: dict[str, dict[str, Any]] = {}
        self._reports: dict[str, Report] = {}
        self._added: dict[str, dict[str, WayBack | RestorePoint]] = {}
        self.messages: dict[str, str] = {}
        self._failed: dict[str, PhaseOutcome] = {}
        self._diffs: dict[str, list[str]] = {}

    @property
    def reports(self) -> dict[str, Report]:
        """What hosts reported, each with what was added to it."""
        return {host: report.model_copy(update=self._added.get(host, {})) for host, report in self._reports.items()}

    def task(self, task: dict[str, Any]) -> None:
        """Take one task as the supervisor reduced it."""
        host, report, is_item = task["host"], task.pop("report"), task.pop("item")
        self.raw.setdefault(host, {}).update(report)
        if self._phase:
            self._take(self._phase, host, report)
        if task["outcome"] in {"failed", "unreachable"} and not is_item:
            self.messages[host] = task["message"]
            self._failed[host] = PhaseOutcome(task["outcome"])
        if task["diff"]:
            self._diffs.setdefault(host, []).append(task["diff"])
        if not is_item or task["diff"] or task["outcome"] == "failed":
            self._observe(TaskRecord.model_validate(task))

    def _take(self, phase: Phase, host: str, report: dict[str, Any]) -> None:
        key, model = REPORT_KEYS[phase]
        if key in report:
            self._reports[host] = _parsed(phase, key, model, report)
        if phase in ADDED_KEYS and ADDED_KEYS[phase][0] in report:
            key, name, added = ADDED_KEYS[phase]
            self._added[host] = {name: _parsed(phase, key, added, report)}

    def result(self, done: dict[str, Any], hosts: Sequence[str]) -> PhaseResult:
        """Return what came of the phase; a host that reported and then failed its assertion has reported."""
        silent = [host for host in hosts if host not in self._reports]
        troubles = {host: _trouble(self.messages.get(host) or _said(done["stdout"])) for host in silent}
        diffs = {host: "".join(parts) for host, parts in self._diffs.items()}
        return PhaseResult(outcome=self._outcome(done, silent), reports=self.reports, troubles=troubles, diffs=diffs)

    def _outcome(self, done: dict[str, Any], silent: Sequence[str]) -> PhaseOutcome:
        if done["status"] in {"canceled", "timeout"}:
            return PhaseOutcome(done["status"])
        if not silent:
            return PhaseOutcome.OK
        return next((self._failed[host] for host in silent if host in self._failed), PhaseOutcome.FAILED)


def _parsed(phase: Phase, key: str, model: type[_Form], report: dict[str, Any]) -> _Form:
    try:
        return model.model_validate(report[key])
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}" for detail in error.errors()[:5])
        raise UnknownShape(f"The phase {phase.value} reported {key} in an unknown form: {problems}") from error


def _variables(request: PhaseRequest) -> dict[str, ParameterValue]:
    """Every variable that a phase gets: the engine's own, and the declared parameters of the runbook."""
    return {
        **request.parameters,
        "remediate_phase": request.phase.value,
        "remediate_targets": list(request.hosts),
        f"{request.runbook.role}_run_id": request.run_id,
    }


def _hosts(inventory: dict[str, Any]) -> tuple[Host, ...]:
    """Return the hosts with all their groups, the groups of groups included."""
    variables = inventory.get("_meta", {}).get("hostvars", {})
    groups: dict[str, set[str]] = {}

    def collect(group: str, around: tuple[str, ...]) -> None:
        entry = inventory.get(group, {})
        for host in entry.get("hosts", ()):
            groups.setdefault(host, set()).update((*around, group))
        for child in entry.get("children", ()):
            if child not in around:
                collect(child, (*around, group))

    collect("all", ())
    return tuple(_host(name, groups[name], variables.get(name, {})) for name in sorted(groups))


def _host(name: str, groups: set[str], variables: dict[str, Any]) -> Host:
    declared = variables.get(_ADDRESSES, [])
    given = [variables.get("ansible_host"), *(declared if isinstance(declared, list) else [declared])]
    addresses = tuple(dict.fromkeys(one for one in given if isinstance(one, str) and one))
    layout = str(variables.get(_LAYOUT, ""))
    return Host(name=name, groups=tuple(sorted(groups)), layout=layout, addresses=addresses)


def _trouble(message: str) -> str:
    """Return one line for a person: our words where we know the trouble, then what to do."""
    trouble = explain(message)
    return f"{trouble.what}; {trouble.next_step}" if trouble.next_step else trouble.what


def _said(output: str) -> str:
    """Return what Ansible complained about, from the end of its output."""
    complaints = re.findall(r"(?:\[ERROR\]|ERROR!?|fatal):?\s*(.+)", output)
    return " ".join(complaints[-3:])[:1000] or output.strip()[-500:] or "it gave no answer"
