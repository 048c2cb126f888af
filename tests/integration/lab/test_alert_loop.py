"""Nothing simulated: a host breaks, Prometheus sees it, Alertmanager tells, a run cures it, and everything is over.

Each story prints when what happened, in seconds since the host was broken (`pytest -s`).
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.lab.hosts import ROOT, SOAK, SSH, LabHost, Remediate, fill, play, reset

pytestmark = pytest.mark.lab

_MENTAT = LabHost("mentat")
_TOKEN = ROOT / "molecule/shared/hosts/mentat/etc/prometheus/remediate.token"
#: Everything has to be over by then: rules, scrapes and ranges of two minutes have their time.
_PATIENCE = 600.0


@dataclass(frozen=True)
class Trouble:
    """A host, how it is broken and made healthy again, and the alert that tells of it."""

    host: str
    runbook: str
    alert: str
    breaks: Callable[[LabHost], None]
    mends: Callable[[LabHost], None]

    @property
    def alerts(self) -> set[str]:
        """All alerts that its runbook answers."""
        card = ROOT / "playbooks/roles" / self.runbook.replace("-", "_") / "meta/runbook.yml"
        return {one["name"] for one in yaml.safe_load(card.read_text(encoding="utf-8"))["alerts"]}


def _scenario(name: str, fault: str) -> Callable[[LabHost], None]:
    return lambda host: play(
        "molecule/shared/scenario/break.yml", host, "-e", f"scenario={name}", "-e", f"fault={fault}"
    )


def _mended(name: str) -> Callable[[LabHost], None]:
    return lambda host: play("molecule/shared/scenario/reset.yml", host, "-e", f"scenario={name}")


TROUBLES = {
    "disk": Trouble("landsraad", "disk-full", "DiskSpaceCritical", lambda host: fill(host, "demo"), reset),
    "database": Trouble(
        "landsraad-systemd",
        "database-failure",
        "DatabaseDown",
        _scenario("database_failure", "stopped"),
        _mended("database_failure"),
    ),
    "queue-worker": Trouble(
        "landsraad-systemd",
        "queue-failure",
        "QueueWorkerDown",
        _scenario("queue_failure", "workers_killed"),
        _mended("queue_failure"),
    ),
}


@dataclass
class Loop:
    """A service that listens for the alerts of the lab, and what can be asked about it."""

    site: Remediate
    began: float = field(default_factory=time.time)

    def json(self, *words: str) -> Any:
        done = self.site(*words, "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def eventually(self, what: str, found: Callable[[], Any]) -> Any:
        """Return what is there in the end; the time since the host was broken is printed."""
        deadline = time.time() + _PATIENCE
        while time.time() < deadline:
            if there := found():
                print(f"{time.time() - self.began:7.1f} s  {what}")
                return there
            time.sleep(0.5)
        raise AssertionError(f"it never came to this: {what}\n{self.site('alerts', 'list').stdout}")


def _address(host: str) -> str:
    found = subprocess.run([*SSH, "-G", host], capture_output=True, text=True, check=True).stdout
    return dict(line.split(" ", 1) for line in found.splitlines())["hostname"]


def _silences() -> list[dict[str, Any]]:
    said = json.loads(_MENTAT.run("curl -s http://127.0.0.1:9093/api/v2/silences"))
    return [one for one in said if one["status"]["state"] != "expired" and one["createdBy"] == "remediate"]


def _settings(directory: Path, trouble: Trouble) -> Path:
    """A site that answers the alerts of one runbook on the application hosts by itself."""
    mentat = _address("mentat")
    source = {
        "kind": "alertmanager",
        "token": "env:REMEDIATE_LAB_TOKEN",
        "url": f"http://{mentat}:9093",
        "prometheus": f"http://{mentat}:9090",
    }
    response = {"source": "main", "runbook": trouble.runbook, "group": "application", "mode": "act", "unattended": 1}
    written = {
        "version": 1,
        "inventory": str(ROOT / "inventory/lab"),
        "state": str(directory / "state"),
        "http": {"listen": "0.0.0.0:9180", "plain": True},
        "sources": {"main": source},
        "responses": [response],
        # What a site does by itself without these, backups among it, is another story.
        "schedules": [],
    }
    (directory / "remediate.yml").write_text(yaml.safe_dump(written), encoding="utf-8")
    return directory


@contextmanager
def _serving(site: Remediate, directory: Path) -> Iterator[None]:
    environment = {**site.environment(), "REMEDIATE_LAB_TOKEN": _TOKEN.read_text(encoding="utf-8").strip()}
    with (directory / "service.log").open("wb") as log:
        service = subprocess.Popen(site.command("serve"), env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            service.terminate()
            assert service.wait(60) == 0, (directory / "service.log").read_text(encoding="utf-8")[-4000:]


#: The rule for queue workers looks back over minutes, and so does its proof: that one is for the soak.
_TRIED = list(TROUBLES) if SOAK else ["disk", "database"]


@pytest.fixture(params=[TROUBLES[name] for name in _TRIED], ids=_TRIED)
def trouble(request: pytest.FixtureRequest, lab: None) -> Iterator[Trouble]:
    """A kind of trouble, on a host that is healthy before and after."""
    found: Trouble = request.param
    host = LabHost(found.host)
    found.mends(host)
    _fires_nothing(found)
    yield found
    found.mends(host)


def _fires_nothing(trouble: Trouble) -> None:
    """Wait until nothing of what was before is told any more; the machine of the lab may be busy with much else."""
    deadline = time.time() + _PATIENCE
    while time.time() < deadline:
        held = json.loads(_MENTAT.run("curl -s http://127.0.0.1:9093/api/v2/alerts"))
        names = trouble.alerts
        if not [
            one for one in held if one["labels"].get("host") == trouble.host and one["labels"]["alertname"] in names
        ]:
            return
        time.sleep(1)
    raise AssertionError(f"{trouble.host} is healthy, and its alerts still fire: {held}")


def test_a_real_alert_becomes_a_proven_cure_and_an_incident_with_its_times(trouble: Trouble, tmp_path: Path) -> None:
    os.environ.setdefault("REMEDIATE_LAB_TOKEN", _TOKEN.read_text(encoding="utf-8").strip())
    host, site = LabHost(trouble.host), Remediate(tmp_path / "state", _settings(tmp_path, trouble))
    with _serving(site, tmp_path):
        loop = Loop(site)
        trouble.breaks(host)
        print(f"\n{trouble.runbook} on {trouble.host}\n{time.time() - loop.began:7.1f} s  broken")
        loop.eventually("an alert was taken, and a run was made of it", lambda: _runs(loop, {trouble.alert}))
        loop.eventually("its alert is silent, and it acts", lambda: _acts(loop, trouble))
        runs = loop.eventually("all runs have ended", lambda: _ended(loop, trouble))
        # Two alerts may tell of one problem: whichever run comes first cures it, and nothing is left for the other.
        (cured,) = [one for one in runs if one["status"] == "succeeded"]
        assert "its expression finds nothing any more" in cured["outcome"]
        assert {one["status"] for one in runs} <= {"succeeded", "not_needed", "canceled"}, runs
        loop.eventually("the silence is gone", lambda: not _silences())
        loop.eventually("the alert has resolved", lambda: not _open(loop, trouble))
        (incident,) = loop.eventually("the incident is closed", lambda: _closed(loop))

    assert host.health() == 200
    shown = loop.json("incident", "show", incident["id"])
    assert shown["incident"]["times"]["kept"] is True
    assert incident["closed_by"] == "engine"
    _print_steps(shown, loop.began)


def _runs(loop: Loop, names: set[str]) -> list[dict[str, Any]]:
    """Return the runs that were made of alerts of these names."""
    ids = [
        one["answer"]["run_id"]
        for one in loop.json("alerts", "list")
        if one["alert"]["labels"]["alertname"] in names and one["answer"]["run_id"]
    ]
    return [loop.json("runs", "show", run_id, "--offline") for run_id in ids]


def _open(loop: Loop, trouble: Trouble) -> list[str]:
    names = [one["alert"]["labels"]["alertname"] for one in loop.json("alerts", "list", "--open")]
    return [name for name in names if name in trouble.alerts]


def _acts(loop: Loop, trouble: Trouble) -> bool:
    statuses = {one["status"] for one in _runs(loop, trouble.alerts)}
    begun = statuses - {"requested", "diagnosing", "planned", "canceled"}
    return "succeeded" in statuses or (bool(begun) and bool(_silences()))


def _ended(loop: Loop, trouble: Trouble) -> list[dict[str, Any]]:
    runs = _runs(loop, trouble.alerts)
    return runs if all(one["ended_at"] for one in runs) else []


def _closed(loop: Loop) -> list[dict[str, Any]] | None:
    found: list[dict[str, Any]] = loop.json("incident", "list", "--all")["incidents"]
    return found if found and all(one["stage"] == "closed" for one in found) else None


def _print_steps(shown: dict[str, Any], began: float) -> None:
    """Print what the record says about when each step was."""
    alert = min(datetime.fromisoformat(one["alert"]["starts_at"]) for one in shown["alerts"])
    print(f"{alert.timestamp() - began:7.1f} s  Prometheus says that it began")
    for event in shown["timeline"]:
        entry = event["entry"]
        at = datetime.fromisoformat(entry["at"]).astimezone(UTC).timestamp() - began
        told = entry["details"].get("to") or entry["details"].get("phase") or ""
        print(f"{at:7.1f} s  {entry['action']} {told}")
    print({name: value for name, value in shown["incident"]["times"].items() if value is not None})


def test_the_policy_fits_what_is_loaded_in_the_lab(lab: None, tmp_path: Path) -> None:
    site = Remediate(tmp_path / "state", _settings(tmp_path, TROUBLES["disk"]))
    found = json.loads(site("alerts", "check", "--json").stdout)

    # In the lab alerts fire after seconds, not minutes: that is the only thing that differs.
    assert {one["kind"] for one in found if not one["note"] and one["about"].startswith("DiskSpace")} == {"threshold"}
    assert not [one for one in found if one["kind"] in {"no rule", "broken rule", "not routed", "not asked"}]


def test_the_example_of_alertmanager_is_one(lab: None) -> None:
    example = (ROOT / "docs/examples/alertmanager.yml").read_text(encoding="utf-8")
    _MENTAT.run("cat > /tmp/example.yml", script=example)  # on the lab's host

    assert "SUCCESS" in _MENTAT.run("amtool check-config /tmp/example.yml")
