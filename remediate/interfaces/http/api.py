"""The API: each route with what it takes, gives, and asks of whoever calls. The same use cases as the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from remediate.domain.identity import Permission
from remediate.interfaces.http.models import (
    AlertList,
    AlertShown,
    AnswerGiven,
    ApprovalDetail,
    ApprovalList,
    IncidentList,
    Me,
    Paused,
    ReasonGiven,
    Resumed,
    RunDetail,
    RunList,
    RunShown,
    RunWanted,
    Storm,
)
from remediate.interfaces.library import Site

PREFIX = "/api/v1"
#: The id of a run, or the beginning or end of one.
RUN_ID = r"[a-z0-9-]{1,64}"
_RUNBOOK = r"[a-z][a-z0-9-]{0,62}"


@dataclass(frozen=True)
class Asked:
    """What one request asks: who asks, what the path names, and what the query says."""

    site: Site
    path: Mapping[str, str]
    query: Mapping[str, str]

    @property
    def run(self) -> str:
        """The run that the path names."""
        return self.path["run"]

    @property
    def limit(self) -> int:
        """How many are wanted."""
        return int(self.query.get("limit", "50"))

    def flag(self, name: str) -> bool:
        """Return whether a flag is set."""
        return self.query.get(name) == "true"


#: What the query may say, by name: an expression that the whole value has to match.
LIMIT = {"limit": r"[1-9][0-9]{0,2}"}
ONLY_OPEN = {"only_open": r"true|false"}


@dataclass(frozen=True)
class ApiRoute:
    """One route of the API."""

    method: str
    path: str
    summary: str
    #: What somebody has to be allowed to do; None: whoever is known may ask, and sees what they may see.
    permission: Permission | None
    gives: type[BaseModel]
    do: Callable[[Asked, Any], BaseModel]
    takes: type[BaseModel] | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    status: int = 200

    @property
    def operation(self) -> str:
        """What a generated client calls it: `get_runs_run`."""
        words = self.path.strip("/").replace("{", "").replace("}", "").replace("/", "_")
        return f"{self.method.lower()}_{words}"


def _me(asked: Asked, _body: None) -> Me:
    principal = asked.site.principal
    return Me(id=principal.id, name=principal.person.name, level=principal.level, channel=principal.channel)


def _runs(asked: Asked, _body: None) -> RunList:
    found = asked.site.runs(limit=asked.limit, runbook=asked.query.get("runbook"))
    return RunList(runs=tuple(RunShown.of(run) for run in found))


def _detail(site: Site, run_id: str) -> RunDetail:
    run = site.run(run_id)
    shown = RunShown.of(run).model_dump()
    return RunDetail.model_validate({**shown, "plan": run.plan, "history": site.history(run.id)})


def _run(asked: Asked, _body: None) -> RunDetail:
    return _detail(asked.site, asked.run)


def _request(asked: Asked, wanted: RunWanted) -> RunShown:
    return RunShown.of(
        asked.site.request(
            wanted.runbook,
            hosts=wanted.hosts,
            parameters=wanted.parameters,
            reason=wanted.reason,
            check=wanted.check,
        )
    )


def _cancel(asked: Asked, _body: None) -> RunDetail:
    return _detail(asked.site, asked.site.cancel(asked.run).id)


def _approvals(asked: Asked, _body: None) -> ApprovalList:
    return ApprovalList(approvals=asked.site.approvals())


def _approval(asked: Asked, _body: None) -> ApprovalDetail:
    request, answers = asked.site.approval(asked.run)
    return ApprovalDetail(request=request, answers=answers)


def _answer(asked: Asked, given: AnswerGiven) -> RunDetail:
    seen = given.root
    return _detail(asked.site, asked.site.answer(asked.run, given.as_answer, seen.reason, digest=seen.digest).id)


def _alerts(asked: Asked, _body: None) -> AlertList:
    found = asked.site.alerts(only_open=asked.flag("only_open"), limit=asked.limit)
    return AlertList(alerts=tuple(AlertShown.of(record) for record in found))


def _incidents(asked: Asked, _body: None) -> IncidentList:
    return IncidentList(incidents=asked.site.incidents(only_open=asked.flag("only_open")))


def _storm(asked: Asked, _body: None) -> Storm:
    return Storm.model_validate(asked.site.storm().model_dump())


def _pause(asked: Asked, given: ReasonGiven) -> Paused:
    return Paused(live=tuple(one.run_id for one in asked.site.pause(given.reason)))


def _resume(asked: Asked, given: ReasonGiven) -> Resumed:
    return Resumed(lifted=asked.site.resume(given.reason) is not None)


_SEE, _GET, _POST = Permission.SEE_RUN, "GET", "POST"

ROUTES: tuple[ApiRoute, ...] = (
    ApiRoute(_GET, "/me", "Who is asking.", None, Me, _me),
    ApiRoute(_GET, "/runs", "Runs, newest first.", _SEE, RunList, _runs, query={**LIMIT, "runbook": _RUNBOOK}),
    ApiRoute(_POST, "/runs", "Ask for a run.", Permission.CARRY_OUT, RunShown, _request, RunWanted, status=202),
    ApiRoute(_GET, "/runs/{run}", "One run, with its plan and its history.", _SEE, RunDetail, _run),
    ApiRoute(_POST, "/runs/{run}/cancel", "Stop a run, or withdraw it.", Permission.CANCEL, RunDetail, _cancel),
    ApiRoute(_GET, "/approvals", "Plans that wait for somebody.", None, ApprovalList, _approvals),
    ApiRoute(_GET, "/approvals/{run}", "A plan and the answers to it.", _SEE, ApprovalDetail, _approval),
    ApiRoute(_POST, "/approvals/{run}", "Answer to a plan.", _SEE, RunDetail, _answer, AnswerGiven),
    ApiRoute(_GET, "/alerts", "Alerts, and what was decided.", None, AlertList, _alerts, query={**LIMIT, **ONLY_OPEN}),
    ApiRoute(_GET, "/incidents", "Incidents.", None, IncidentList, _incidents, query=ONLY_OPEN),
    ApiRoute(_GET, "/storm", "Where the storm policy stands.", None, Storm, _storm),
    ApiRoute(_POST, "/pause", "Let nothing begin to change anything.", Permission.PAUSE, Paused, _pause, ReasonGiven),
    ApiRoute(_POST, "/resume", "Lift the pause.", Permission.LIFT_PAUSE, Resumed, _resume, ReasonGiven),
)
