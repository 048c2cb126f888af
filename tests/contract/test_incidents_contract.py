"""What every record of incidents and of silences does: the database, on both kinds, and its twin in memory."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from remediate.adapters.store.approvals import DatabaseApprovals
from remediate.adapters.store.connection import Database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.incidents import DatabaseIncidents
from remediate.adapters.store.silences import DatabaseSilences
from remediate.domain.incident import Incident, IncidentKind, incident_entry
from remediate.domain.runbook import Severity
from remediate.domain.silence import Silence
from remediate.engine.incident_ports import Incidents
from remediate.engine.monitoring import Silences
from remediate.engine.ports import Approvals, Store
from remediate.errors import UnknownIncident
from remediate.testing import EPOCH, MemoryApprovals, MemoryIncidents, MemorySilences, MemoryStore
from tests.builders import run
from tests.contract.test_approvals_contract import trail

RUN, OTHER = "20260105-030000-bcdf", "20260105-030000-other"
MINUTE = timedelta(minutes=1)


@dataclass
class Kept:
    approvals: Approvals
    incidents: Incidents
    silences: Silences
    database: Database | None


@pytest.fixture
def kept(database_or_memory: Database | None) -> Kept:
    database = database_or_memory
    store: Store = DatabaseStore(database) if database else MemoryStore()
    for run_id in (RUN, OTHER):
        store.create_run(run(run_id))
    if database:
        return Kept(DatabaseApprovals(database), DatabaseIncidents(database), DatabaseSilences(database), database)
    book = MemoryIncidents()
    return Kept(MemoryApprovals(book), book, MemorySilences(), None)


def incident(incident_id: str = f"inc-{RUN}", **changes: Any) -> Incident:
    values = {
        "run_id": RUN,
        "runbook": "tidy-shelf",
        "hosts": ("near", "far"),
        "severity": Severity.SEV2,
        "title": "The shelf is untidy on near",
        "began_at": EPOCH - MINUTE,
        "opened_at": EPOCH,
        "rto": timedelta(minutes=20),
    }
    return Incident.model_validate({"id": incident_id, **values, **changes})


def test_an_incident_comes_back_whole_by_its_id_or_a_part_of_it(kept: Kept) -> None:
    kept.approvals.open_incident(incident())

    assert kept.incidents.incident(f"inc-{RUN}") == incident()
    assert kept.incidents.incident("bcdf") == incident()
    assert kept.approvals.incidents() == (incident(),)


@pytest.mark.parametrize("wanted", ["", "nothing", "%", "inc-%"])
def test_what_there_is_not_is_unknown(kept: Kept, wanted: str) -> None:
    kept.approvals.open_incident(incident())

    with pytest.raises(UnknownIncident, match="There is no incident"):
        kept.incidents.incident(wanted)


def test_a_part_that_fits_several_ids_names_them(kept: Kept) -> None:
    kept.approvals.open_incident(incident())
    kept.approvals.open_incident(incident("inc-other", run_id=OTHER))

    with pytest.raises(UnknownIncident, match=f"may be any of inc-{RUN}, inc-other"):
        kept.incidents.incident("inc-")


def test_an_incident_needs_no_run(kept: Kept) -> None:
    kept.approvals.open_incident(incident("inc-alone", run_id="", runbook="", hosts=()))

    assert kept.incidents.incident("inc-alone").run_id == ""
    assert kept.incidents.runs("inc-alone") == ()


def test_the_run_that_opened_it_belongs_to_it_and_others_join(kept: Kept) -> None:
    kept.approvals.open_incident(incident())
    kept.incidents.join(f"inc-{RUN}", OTHER, EPOCH + MINUTE)

    assert kept.incidents.runs(f"inc-{RUN}") == (RUN, OTHER)
    assert kept.incidents.of_run(OTHER) == kept.incidents.of_run(RUN) == incident()
    assert kept.incidents.of_run("nothing") is None


def test_open_incidents_of_a_runbook_come_with_their_hosts_oldest_first(kept: Kept) -> None:
    kept.approvals.open_incident(incident("inc-2", opened_at=EPOCH + MINUTE, hosts=("cellar",), run_id=OTHER))
    kept.approvals.open_incident(incident("inc-1"))
    kept.approvals.open_incident(incident("inc-3", runbook="disk-full"))
    kept.approvals.open_incident(incident("rev-1", kind=IncidentKind.REVIEW))
    kept.approvals.open_incident(incident("inc-4"))
    kept.approvals.close_incident("inc-4", "cured", EPOCH)

    assert list(kept.incidents.open_of("tidy-shelf").items()) == [("inc-1", ("near", "far")), ("inc-2", ("cellar",))]


def test_a_run_stays_in_the_incident_that_it_belongs_to(kept: Kept) -> None:
    kept.approvals.open_incident(incident())
    kept.approvals.open_incident(incident("inc-other", run_id=OTHER))
    kept.incidents.join("inc-other", RUN, EPOCH + MINUTE)

    assert kept.incidents.runs("inc-other") == (OTHER,)


def test_a_review_is_of_a_run_and_not_its_incident(kept: Kept) -> None:
    kept.approvals.open_incident(incident())
    kept.approvals.open_incident(incident("rev-1", kind=IncidentKind.REVIEW))

    assert kept.incidents.runs("rev-1") == ()
    assert kept.incidents.of_run(RUN) == incident()


def test_a_change_is_kept_whole_with_its_entry_in_the_trail(kept: Kept) -> None:
    kept.approvals.open_incident(incident())
    changed = incident(
        severity=Severity.SEV1,
        acknowledged_at=EPOCH + MINUTE,
        acknowledged_by="omar",
        level=2,
        escalated_at=EPOCH + MINUTE,
        cured_at=EPOCH + 2 * MINUTE,
        closed_at=EPOCH + 3 * MINUTE,
        closed_by="omar",
        note="cleaned",
    )
    kept.incidents.change(changed, incident_entry(changed, "incident.closed", "omar", EPOCH + 3 * MINUTE, "cleaned"))

    assert kept.incidents.incident(changed.id) == changed
    assert kept.approvals.incidents() == ()
    if kept.database:
        last = trail(kept.database)[-1]
        assert (last.action, last.actor, last.subject) == ("incident.closed", "omar", RUN)


def silence(run_id: str = RUN, **changes: Any) -> Silence:
    values = {"source": "main", "alert": "a:1", "labels": {"a": "{{ 7 }}"}, "begins_at": EPOCH}
    return Silence.model_validate({"run_id": run_id, **values, "ends_at": EPOCH + 20 * MINUTE, **changes})


def test_a_silence_stands_from_when_it_is_wanted_until_it_is_known_to_be_gone(kept: Kept) -> None:
    wanted = kept.silences.want(silence())
    assert kept.silences.standing() == (wanted,)
    made = kept.silences.made(wanted, "s-1")
    assert kept.silences.standing() == (made,)
    kept.silences.not_removed(made, "nobody there")
    assert [one.trouble for one in kept.silences.standing()] == ["nobody there"]
    kept.silences.removed(made, EPOCH + MINUTE)
    assert kept.silences.standing() == ()


def test_silences_of_one_run_are_told_apart(kept: Kept) -> None:
    kept.silences.want(silence())
    kept.silences.want(silence(alert="b:1", begins_at=EPOCH + MINUTE))
    kept.silences.want(silence(OTHER))

    assert [one.alert for one in kept.silences.standing(run_id=RUN)] == ["a:1", "b:1"]
    assert len(kept.silences.standing()) == 3


def test_a_silence_that_is_wanted_again_stands_once(kept: Kept) -> None:
    kept.silences.removed(kept.silences.want(silence()), EPOCH)
    again = kept.silences.want(silence(begins_at=EPOCH + MINUTE))

    assert kept.silences.standing() == (again,)


def test_the_trail_tells_of_silences_that_were_made(database: Database) -> None:
    DatabaseStore(database).create_run(run(RUN))
    silences = DatabaseSilences(database)
    made = silences.made(silences.want(silence()), "s-1")
    silences.removed(made, EPOCH + MINUTE)

    entries = [entry for entry in trail(database) if entry.action.startswith("silence.")]
    assert [(entry.action, entry.subject) for entry in entries] == [
        ("silence.made", f"{RUN}/silence"),
        ("silence.removed", f"{RUN}/silence"),
    ]
