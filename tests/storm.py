"""Values of the storm policy for tests, each with everything filled in that the test does not care about."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

from remediate.domain.freeze import Freeze, Once, Window
from remediate.domain.run import RunStatus, StartedBy
from remediate.domain.runbook import Severity
from remediate.domain.storm import Attempt, LiveRun, Request, Situation
from remediate.domain.switch import PAUSE, Switch
from remediate.testing import EPOCH

_sequence = count(1)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def request(*hosts: str, **changes: Any) -> Request:
    values = {
        "runbook": "tidy-shelf",
        "severity": Severity.SEV2,
        "cooldown": timedelta(minutes=30),
        "started_by": StartedBy.ALERT,
        "run_id": "mine",
    }
    return Request.model_validate({"hosts": hosts or ("near",), **values, **changes})


def attempt(began: datetime = EPOCH, *hosts: str, took: timedelta | None = MINUTE, **changes: Any) -> Attempt:
    sequence = next(_sequence)
    values = {
        "sequence": sequence,
        "run_id": f"run-{sequence}",
        "runbook": "tidy-shelf",
        "hosts": hosts or ("near",),
        "status": RunStatus.SUCCEEDED,
        "began_at": began,
        "ended_at": None if took is None else began + took,
        "requested_by": "nadia",
    }
    return Attempt.model_validate({**values, **changes})


def live(run_id: str, *hosts: str, **changes: Any) -> LiveRun:
    values = {"runbook": "tidy-shelf", "status": RunStatus.FIXING}
    return LiveRun.model_validate({"run_id": run_id, "hosts": hosts or ("near",), **values, **changes})


def situation(*attempts: Attempt, now: datetime = EPOCH, **changes: Any) -> Situation:
    return Situation.model_validate({"attempts": attempts, "now": now, **changes})


def pause(*, on: bool = True) -> Switch:
    return Switch(name=PAUSE, on=on, by="omar", reason="the rack is on fire", at=EPOCH)


def freeze(name: str = "sale", begins: datetime = EPOCH, lasts: timedelta = HOUR, **changes: Any) -> Freeze:
    when = Once(window=Window(begins=begins, ends=begins + lasts))
    return Freeze.model_validate({"name": name, "when": when, "reason": "people buy things", **changes})


def groups(**members: tuple[str, ...]) -> dict[str, frozenset[str]]:
    every = frozenset(host for hosts in members.values() for host in hosts)
    return {"all": every, **{name: frozenset(hosts) for name, hosts in members.items()}}
