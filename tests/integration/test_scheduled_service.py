"""Schedules and services as processes: what was missed is made up once, and a site that they do not fit is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.schedules import DatabaseSchedules
from remediate.catalog.database import DatabaseSettings
from remediate.domain.run import RunStatus, StartedBy
from remediate.domain.schedule import Decision
from tests.integration.local import eventually
from tests.service import Served
from tests.service import served as serving
from tests.unit.test_schedule import turn

POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)
TIDY = "schedules:\n  - {name: tidy, runbook: tidy-shelf, cron: '0 2 * * *', hosts: [near-1]}\n"


@pytest.fixture(params=["sqlite", POSTGRES])
def served(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Served]:
    """A site with a schedule, on either database, which was looked after until two days ago."""
    settings: DatabaseSettings | None = None
    if request.param == "postgres":
        settings = request.getfixturevalue("postgres")
    with serving(tmp_path / "site", settings, TIDY) as site:
        at = datetime.now(UTC) - timedelta(days=2)
        with site.record() as database:
            DatabaseSchedules(database).decide(turn(Decision.TAKEN_UP, due=at, decided_at=at))
        yield site


def test_what_was_missed_is_made_up_once_also_by_two_services_and_after_a_kill(served: Served) -> None:
    services = [served.serve()]
    if served.database.url:
        services.append(served.serve())
    assert eventually(lambda: RunStatus.SUCCEEDED in served.runs().values(), 30)
    for service in services:
        service.kill()
        service.wait()
    served.serve()
    assert not eventually(lambda: len(served.runs()) > 1, 7), "a service looks every five seconds"

    with served.record() as database:
        (run,) = DatabaseStore(database).runs(limit=9)
        newest, *_ = DatabaseSchedules(database).turns("tidy")
    assert (run.started_by, run.requested_by, run.hosts) == (StartedBy.SCHEDULE, "schedule:tidy", ("near-1",))
    assert newest.run_id == run.id
    assert newest.decision in {Decision.MADE_UP, Decision.STARTED}


def test_schedules_that_do_not_fit_the_site_keep_the_service_from_starting(tmp_path: Path) -> None:
    with serving(tmp_path / "site", more=TIDY.replace("near-1", "near-9")) as site:
        ended = site.command("serve")

        assert ended.returncode == 2
        assert "schedules.0.hosts: 'near-9' is not a host of the inventory (did you mean 'near-3'?)" in ended.stderr
        assert "remediate.yml:" in ended.stderr
        unknown = site.directory / "remediate.yml"
        unknown.write_text(unknown.read_text().replace("tidy-shelf", "tidy-shlef"))
        ended = site.command("schedule", "list")

    assert ended.returncode == 2
    assert "there is no runbook 'tidy-shlef'; did you mean tidy-shelf?" in ended.stderr
