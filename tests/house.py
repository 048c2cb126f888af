"""A site with people and a scripted executor, opened as one of them: for tests of who may do what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from remediate import bootstrap
from remediate.adapters.store.approvals import DatabaseApprovals
from remediate.adapters.store.connection import Database, open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.tables import audit
from remediate.adapters.store.tokens import DatabaseTokens
from remediate.catalog.settings import Settings
from remediate.domain.approval import LevelRule
from remediate.domain.audit import AuditEntry, read_event
from remediate.domain.host import Host
from remediate.domain.incident import Incident
from remediate.domain.people import People
from remediate.domain.report import Action, Verdict
from remediate.domain.run import RunStatus
from remediate.domain.runbook import Phase, Severity
from remediate.domain.token import secret_hash, written
from remediate.interfaces.library import Site
from remediate.testing import FakeExecutor
from tests.builders import action, finding, fixed, plan, run, snapshot, tidy, verified
from tests.identities import token

CASES = Path(__file__).parent / "cases" / "playbooks"
HOSTS = (
    Host(name="near", groups=("all", "web")),
    Host(name="far", groups=("all", "web")),
    Host(name="cellar", groups=("all", "db")),
)
SECRET = "s" * 43
TOKEN = written("bcdfghjkmn", SECRET)
#: A run that was interrupted while it diagnosed: it can be looked at, planned again, and accounted for.
PAST = run(status=RunStatus.INTERRUPTED, plan=plan(near=finding(action())))
#: The incident of that run.
TROUBLE = Incident(
    id=f"inc-{PAST.id}",
    run_id=PAST.id,
    runbook=PAST.runbook,
    hosts=PAST.hosts,
    severity=Severity.SEV3,
    title="The shelf is untidy on near",
    opened_at=PAST.created_at,
)


class Executor(FakeExecutor):
    """The scripted executor, as the bootstrap makes one."""

    def close(self) -> None:
        """There is nothing to close."""


class House:
    """A site with its people, opened as one of them."""

    def __init__(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state = state
        self.executor = Executor(HOSTS)
        self.executor.says("near", Phase.DIAGNOSE, tidy())
        self.executor.says("near", Phase.VERIFY, verified(Verdict.CURED))
        self._monkeypatch = monkeypatch
        self._opened: list[Site] = []
        self.content: tuple[Path, ...] = (CASES,)
        #: What else the settings say.
        self.more: dict[str, Any] = {}
        monkeypatch.setattr(bootstrap, "AnsibleExecutor", lambda _settings: self.executor)
        with self.database() as database:
            DatabaseStore(database).create_run(PAST)

    @contextmanager
    def database(self) -> Iterator[Database]:
        opened = open_database(self.state)
        yield opened
        opened.dispose()

    def has_trouble(self) -> None:
        """Record the incident of the past run."""
        with self.database() as database:
            DatabaseApprovals(database).open_incident(TROUBLE)

    def is_ill(self, *actions: Action, host: str = "near") -> None:
        """Script a host that is ill with these, and is cured when they are done."""
        self.executor.says(host, Phase.DIAGNOSE, finding(*actions))
        self.executor.says(host, Phase.SNAPSHOT, snapshot(*actions))
        self.executor.says(host, Phase.FIX, fixed(*actions))
        self.executor.says(host, Phase.VERIFY, verified(Verdict.CURED))

    def inhabited_by(self, everybody: People, os_user: str = "nadia", *levels: LevelRule) -> None:
        """Say who is configured, which user of the machine asks, and which levels the site raises."""
        settings = Settings(
            site=self.state,
            inventory=self.state,
            state=self.state,
            content=self.content,
            people=everybody,
            levels=levels,
            **self.more,
        )
        self._monkeypatch.setattr(bootstrap, "read_settings", lambda _site: settings)
        self._monkeypatch.setattr(bootstrap, "os_user", lambda: os_user)

    def open(self, everybody: People, os_user: str = "nadia", shown: str | None = None) -> Site:
        """Open the site as a user of the machine, or as whoever shows a token."""
        self.inhabited_by(everybody, os_user)
        site = Site(self.state, token=shown)
        self._opened.append(site)
        return site

    def add_token(self, **changes: Any) -> None:
        """Record a token of Nadia's that was made today."""
        now = datetime.now(UTC)
        values = {"created_at": now, "expires_at": now + timedelta(days=1), **changes}
        with self.database() as database:
            DatabaseTokens(database).add(token(**values), secret_hash(SECRET))

    @property
    def trail(self) -> list[AuditEntry]:
        with self.database() as database, database.reading() as connection:
            rows = connection.execute(select(audit).order_by(audit.c.sequence)).all()
        entries = [read_event((row.sequence, row.body, row.hash)).entry for row in rows]
        return [entry for entry in entries if entry.subject != PAST.id]

    @property
    def untouched(self) -> bool:
        """Whether nothing was done on any host, and no run, token or state was changed."""
        with self.database() as database:
            runs, tokens = DatabaseStore(database).runs(limit=10), DatabaseTokens(database).tokens()
        by_others = {entry.created_by for entry in tokens} | {entry.revoked_by for entry in tokens} - {""}
        return not self.executor.requests and runs == (PAST,) and by_others <= {"omar"}

    def close(self) -> None:
        for site in self._opened:
            site.close()
