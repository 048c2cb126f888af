"""A small world for stories: one runbook, two hosts, a scripted executor, and a clock that stands still."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from remediate.adapters.store.alerts import DatabaseAlerts
from remediate.adapters.store.approvals import DatabaseApprovals
from remediate.adapters.store.connection import open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.incidents import DatabaseIncidents
from remediate.adapters.store.schedules import DatabaseSchedules
from remediate.adapters.store.silences import DatabaseSilences
from remediate.adapters.store.tables import runs
from remediate.catalog.loader import Catalogue
from remediate.catalog.storm import StormSettings
from remediate.domain.freeze import Freeze
from remediate.domain.host import Host
from remediate.domain.plan import Plan
from remediate.domain.run import Origin, Run
from remediate.engine.admission import Admission
from remediate.engine.events import RunEvent
from remediate.engine.monitoring import Watcher
from remediate.engine.ports import Approvals, Store
from remediate.engine.remediation import Remediation
from remediate.engine.staff import Staff
from remediate.engine.walk import AskPerson, Surroundings
from remediate.testing import (
    FakeExecutor,
    FrozenClock,
    InlineWorkflows,
    MemoryAlerts,
    MemoryApprovals,
    MemoryIncidents,
    MemoryLocks,
    MemorySchedules,
    MemorySilences,
    MemoryStore,
    MemorySwitches,
    ports,
)
from tests.invariants import check_invariants

CASES = Path(__file__).parents[1] / "cases" / "playbooks"
HOSTS = (
    Host(name="near", groups=("all", "tidy_shelf_targets")),
    Host(name="far", groups=("all", "tidy_shelf_targets")),
    Host(name="cellar", groups=("all",)),
)


def nobody_there(_plan: Plan) -> bool | None:
    return None


def says_yes(_plan: Plan) -> bool | None:
    return True


def says_no(_plan: Plan) -> bool | None:
    return False


class World:
    """One engine with everything around it."""

    def __init__(self, store: Store, approvals: Approvals, **kept: Any) -> None:
        self.store = store
        self.approvals = approvals
        #: The other places of the same record.
        self.kept = kept
        self.watchers: dict[str, Watcher] = {}
        self.executor = FakeExecutor(HOSTS)
        self.clock = FrozenClock()
        self.locks = MemoryLocks()
        self.events: list[RunEvent] = []
        self.staff = Staff()
        self.switches = MemorySwitches()
        self.policy = StormSettings().as_policy()
        self.freezes: list[Freeze] = []
        self.content: tuple[Path, ...] = (CASES,)
        self.engine = self.another_process()

    @property
    def routine(self) -> frozenset[str]:
        """The runbooks that are routine."""
        return Catalogue(self.content).routine

    def another_process(self) -> Remediation:
        """The engine of one more command on the same site."""
        known = Catalogue(self.content)
        asked = (self.store, self.switches, self.policy, self.freezes, self.clock)
        admission = Admission(*asked, self.executor.hosts, lambda: known.routine)
        joined = ports(
            executor=self.executor,
            store=self.store,
            approvals=self.approvals,
            switches=self.switches,
            locks=self.locks,
            clock=self.clock,
            workflows=InlineWorkflows(),
            **self.kept,
        )
        self.ports = joined
        return Remediation(joined, known, Surroundings(self.staff, admission, self.watchers))

    def request(
        self,
        *hosts: str,
        parameters: Mapping[str, object] | None = None,
        check: bool = False,
        engine: Remediation | None = None,
    ) -> Run:
        return (engine or self.engine).request(
            "tidy-shelf",
            hosts=hosts or ("near",),
            parameters=parameters or {},
            origin=Origin(requested_by="nadia"),
            check=check,
        )

    def walk(self, *hosts: str, ask: AskPerson = nobody_there, check: bool = False) -> Run:
        """Request a run, carry it to its end and return it as recorded."""
        return self.carry(self.request(*hosts, check=check), ask=ask)

    def carry(self, run: Run, *, ask: AskPerson = nobody_there) -> Run:
        """Carry a run from wherever it stands and return it as recorded."""
        self.engine.start(run, observe=self.events.append, ask=ask)
        return self.engine.wait(run.id)

    def apply(self, planned: Run, *, ask: AskPerson = says_yes) -> Run:
        """Carry out a plan that was made earlier."""
        return self.carry(self.engine.request_plan(planned, Origin(requested_by="nadia")), ask=ask)

    def tamper(self, run: Run) -> None:
        """Change what the record says about a run, as an attacker who can write to it would."""
        if isinstance(self.store, MemoryStore):
            self.store._runs[run.id] = run
            return
        assert isinstance(self.store, DatabaseStore)
        with self.store._database.engine.begin() as connection:
            change = update(runs).where(runs.c.id == run.id).values(parameters=run.parameters)
            connection.execute(change)

    def roll_back(self, run: Run) -> Run:
        self.engine.roll_back(run, observe=self.events.append)
        return self.engine.wait(run.id)

    def states(self, run: Run) -> list[str]:
        return [step.to_status.value for step in self.store.transitions(run.id)]


@pytest.fixture(params=["memory", "database"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """The world, on both stores; what must hold in every story is checked at its end."""
    if request.param == "memory":
        book = MemoryIncidents()
        kept: dict[str, Any] = {"alerts": MemoryAlerts(), "incidents": book, "silences": MemorySilences()}
        kept["schedules"] = MemorySchedules()
        made = World(MemoryStore(), MemoryApprovals(book), **kept)
        yield made
        check_invariants(made.store, made.approvals, at_rest=False, incidents=book, routine=made.routine)
        return
    database = open_database(tmp_path / "state")
    incidents = DatabaseIncidents(database)
    kept = {"alerts": DatabaseAlerts(database), "incidents": incidents, "silences": DatabaseSilences(database)}
    kept["schedules"] = DatabaseSchedules(database)
    made = World(DatabaseStore(database), DatabaseApprovals(database), **kept)
    yield made
    check_invariants(made.store, made.approvals, at_rest=False, incidents=incidents, routine=made.routine)
    database.dispose()
