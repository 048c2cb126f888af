"""A world of runbooks that hand over to each other: mend-house to tidy-shelf and pump-cellar, and on from there."""

from __future__ import annotations

from pathlib import Path

from remediate.domain.report import Finding, FoundCause, Verdict
from remediate.domain.run import Carrier, Origin, Run
from remediate.domain.runbook import Phase
from remediate.engine.walk import AskPerson
from tests.acceptance.conftest import CASES, World, nobody_there
from tests.builders import action, finding, fixed, put_back, snapshot, tidy, verified

FAMILIES = Path(__file__).parents[1] / "cases" / "families"
DUST = action("/shelf/dust")
BOOK = action("/shelf/book", "archive")
DRAIN = action("/cellar/drain", "blocked")
DOOR = action("/door", "creaking")


def inhabit(world: World) -> World:
    """Let a world know the runbooks of the family."""
    world.content = (CASES, FAMILIES)
    world.engine = world.another_process()
    return world


def found(*causes: str, actions: tuple[object, ...] = ()) -> Finding:
    """What mend-house, or another one that hands over, finds: causes to hand over, and actions of its own."""
    own = finding(*actions)  # type: ignore[arg-type]  # they are actions
    handed = tuple(FoundCause(id=cause, evidence=(f"{cause} is seen",)) for cause in causes)
    return own.model_copy(update={"summary": "out of order", "causes": (*handed, *own.causes)})


def diagnoses(world: World, runbook: str, *answers: Finding, host: str = "near") -> None:
    """Script what a runbook finds on a host, time after time, and that its verification sees it cured."""
    world.executor.says(host, Phase.DIAGNOSE, *answers, runbook=runbook)
    world.executor.says(host, Phase.VERIFY, verified(Verdict.CURED), runbook=runbook)


def cures(world: World, runbook: str, *acts: object, host: str = "near", verdict: Verdict = Verdict.CURED) -> None:
    """Script a runbook that finds these, does them, and is or is not cured by that."""
    listed = tuple(act for act in acts if isinstance(act, type(DUST)))
    world.executor.says(host, Phase.DIAGNOSE, finding(*listed) if listed else tidy(), runbook=runbook)
    world.executor.says(host, Phase.SNAPSHOT, snapshot(*listed), runbook=runbook)
    world.executor.says(host, Phase.FIX, fixed(*listed), runbook=runbook)
    world.executor.says(host, Phase.VERIFY, verified(verdict), runbook=runbook)
    world.executor.says(host, Phase.ROLLBACK, put_back(*(act.target for act in listed)), runbook=runbook)


def request(
    world: World, *hosts: str, carrier: Carrier = "command", runbook: str = "mend-house", check: bool = False
) -> Run:
    origin = Origin(requested_by="nadia", carrier=carrier)
    return world.engine.request(runbook, hosts=hosts or ("near",), parameters={}, origin=origin, check=check)


def mend(world: World, *hosts: str, ask: AskPerson = nobody_there, check: bool = False) -> Run:
    """Request mend-house as an attended command, and carry it as far as that goes."""
    return world.carry(request(world, *hosts, check=check), ask=ask)


def child_of(world: World, run: Run) -> Run:
    (child,) = world.store.children(run.id)
    return child


def walked(world: World) -> list[str]:
    """The phases of all runbooks, in order, without dry runs: `mend-house diagnose`."""
    return [f"{one.runbook.id} {one.phase.value}" for one in world.executor.requests if not one.check]


def open_incidents(world: World) -> list[str]:
    return [incident.run_id for incident in world.approvals.incidents()]
