"""What all keepers of alerts do: the database and its twin in memory. And what only the database can do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from sqlalchemy import select

from remediate.adapters.store.alerts import DatabaseAlerts
from remediate.adapters.store.connection import Database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.tables import audit
from remediate.domain.alert import AlertAnswer, AlertDecision, AlertMode
from remediate.domain.audit import AuditEntry, read_event
from remediate.engine.alert_ports import Alerts
from remediate.errors import UnknownAlert
from remediate.testing import EPOCH, MemoryAlerts
from tests.builders import alert, resolved
from tests.contract.conftest import Place

MINUTE = timedelta(minutes=1)
LATER = EPOCH + timedelta(seconds=90, microseconds=123456)
RUN = "20260105-030000-bcdf"
OTHER = alert(fingerprint="0badcafe0badcafe")
HOSTILE = {"team": "{{ lookup('pipe', 'id') }}", "ansible_connection": "local", "note": "ü\n\x1b[31m' or '1'='1"}


class Kept:
    """Some alerts, and what the trail says about them."""

    def __init__(self, alerts: Alerts, trail: Callable[[], list[AuditEntry]]) -> None:
        self.alerts = alerts
        self.trail = trail


def trail_of(database: Database) -> list[AuditEntry]:
    with database.reading() as connection:
        rows = connection.execute(select(audit).order_by(audit.c.sequence)).all()
    return [read_event((row.sequence, row.body, row.hash)).entry for row in rows]


@pytest.fixture
def kept(database_or_memory: Database | None) -> Kept:
    if database_or_memory is None:
        entries: list[AuditEntry] = []
        return Kept(MemoryAlerts(entries.append), lambda: entries)
    database = database_or_memory
    return Kept(DatabaseAlerts(database), lambda: trail_of(database))


def test_an_alert_comes_back_as_it_was_delivered_however_hostile_it_is(kept: Kept) -> None:
    given = alert(labels=HOSTILE, annotations=HOSTILE, generator_url="https://prometheus.example/graph")
    (taken,) = kept.alerts.take([given], LATER)

    assert taken.is_new
    assert taken.record == kept.alerts.alert(given.key)
    assert taken.record.alert == given
    assert (taken.record.first_seen, taken.record.last_seen, taken.record.deliveries) == (LATER, LATER, 1)
    assert taken.record.answer == AlertAnswer(decision=AlertDecision.UNDECIDED)
    assert taken.record.is_open


def test_an_alert_is_recorded_once_and_its_deliveries_are_counted(kept: Kept) -> None:
    kept.alerts.take([alert()], EPOCH)
    again = kept.alerts.take([alert(source="twin"), alert(), OTHER], LATER)

    assert [(one.record.key, one.is_new, one.record.deliveries) for one in again] == [
        (alert().key, False, 3),
        (OTHER.key, True, 1),
    ]
    assert again[0].record.alert.source == "main"
    assert (again[0].record.first_seen, again[0].record.last_seen) == (EPOCH, LATER)


def test_an_alert_that_stands_twice_in_its_first_delivery_is_new_once(kept: Kept) -> None:
    (taken,) = kept.alerts.take([alert(), alert()], EPOCH)

    assert (taken.is_new, taken.record.deliveries) == (True, 2)


def test_nothing_is_delivered_by_an_empty_delivery(kept: Kept) -> None:
    assert kept.alerts.take([], EPOCH) == ()
    assert kept.alerts.alerts() == ()


def test_the_same_alert_that_begins_to_fire_again_is_another_one(kept: Kept) -> None:
    kept.alerts.take([alert(), alert(starts_at=EPOCH + MINUTE)], EPOCH)

    assert [one.alert.starts_at for one in kept.alerts.history(alert().fingerprint)] == [EPOCH + MINUTE, EPOCH]
    assert len(kept.alerts.history(alert().fingerprint, limit=1)) == 1
    assert kept.alerts.history(OTHER.fingerprint) == ()


def test_deliveries_that_were_no_news_are_added_and_unknown_ones_are_not(kept: Kept) -> None:
    kept.alerts.take([alert(), OTHER], EPOCH)
    kept.alerts.counted({alert().key: 40, "nothing": 2}, LATER)
    kept.alerts.counted({}, LATER)

    known = kept.alerts.alert(alert().key)
    assert (known.deliveries, known.last_seen) == (41, LATER)
    assert (kept.alerts.alert(OTHER.key).deliveries, kept.alerts.alert(OTHER.key).last_seen) == (1, EPOCH)
    assert len(kept.alerts.alerts()) == 2


def test_an_alert_ends_once_and_stays_as_it_ended(kept: Kept) -> None:
    kept.alerts.take([alert()], EPOCH)
    (over,) = kept.alerts.take([resolved(alert())], LATER)
    (again,) = kept.alerts.take([resolved(alert())], LATER + MINUTE)
    (late,) = kept.alerts.take([alert()], LATER + MINUTE)

    assert (over.has_ended, over.is_new, over.record.resolved_at) == (True, False, LATER)
    assert (again.has_ended, late.has_ended, late.is_new) == (False, False, False)
    assert late.record.resolved_at == LATER
    assert [entry.action for entry in kept.trail()] == ["alert.resolved"]


def test_an_alert_that_is_heard_of_first_when_it_is_over_is_new_and_has_ended(kept: Kept) -> None:
    (taken,) = kept.alerts.take([resolved(alert())], LATER)

    assert (taken.is_new, taken.has_ended, taken.record.resolved_at) == (True, True, LATER)


def test_an_alert_that_others_say_is_over_ends_once(kept: Kept) -> None:
    kept.alerts.take([alert()], EPOCH)
    ended = kept.alerts.resolved(alert().key, LATER)

    assert ended is not None
    assert ended.resolved_at == LATER
    assert kept.alerts.resolved(alert().key, LATER + MINUTE) is None
    assert kept.alerts.resolved("nothing", LATER) is None
    assert [entry.action for entry in kept.trail()] == ["alert.resolved"]


def test_what_was_decided_is_kept_and_stands_in_the_timeline_of_the_run(kept: Kept) -> None:
    kept.alerts.take([alert(labels=HOSTILE)], EPOCH)
    answer = AlertAnswer(
        decision=AlertDecision.ADMITTED, reason="rule 1", runbook="tidy-shelf", mode=AlertMode.ACT, run_id=RUN
    )
    record = kept.alerts.decided(alert().key, answer, LATER)

    assert record.answer == kept.alerts.alert(alert().key).answer == answer
    assert kept.alerts.of_run(RUN) == (record,)
    assert kept.trail() == [
        AuditEntry(
            at=LATER,
            actor="engine",
            action="alert.decided",
            subject=f"{RUN}/alert",
            details={
                "key": alert().key,
                "source": "main",
                "alertname": "ShelfUntidy",
                "instance": "near:9100",
                "severity": "",
                "decision": "admitted",
                "reason": "rule 1",
                "runbook": "tidy-shelf",
                "mode": "act",
            },
        )
    ]


def test_several_decisions_are_kept_and_told_in_their_order(kept: Kept) -> None:
    taken = kept.alerts.take([alert(), OTHER], EPOCH)
    made = AlertAnswer(decision=AlertDecision.ADMITTED, reason="so", runbook="x", mode=AlertMode.ASK, run_id=RUN)
    refused = AlertAnswer(decision=AlertDecision.NO_TARGET, reason="no")
    kept.alerts.decided_all([(taken[0].record, made), (taken[1].record, refused)], LATER)
    kept.alerts.decided_all([], LATER)

    assert kept.alerts.alert(alert().key).answer == made
    assert kept.alerts.alert(OTHER.key).answer == refused
    assert [entry.subject for entry in kept.trail()] == [f"{RUN}/alert", OTHER.key]


def test_a_later_decision_takes_the_place_of_an_earlier_one(kept: Kept) -> None:
    kept.alerts.take([alert()], EPOCH)
    kept.alerts.decided(alert().key, AlertAnswer(decision=AlertDecision.NO_RULE, reason="none"), EPOCH)
    refused = AlertAnswer(decision=AlertDecision.REFUSED, reason="paused")
    kept.alerts.decided(alert().key, refused, LATER)

    assert kept.alerts.alert(alert().key).answer == refused
    assert [entry.subject for entry in kept.trail()] == [alert().key, alert().key]


def test_the_alerts_of_a_run_come_oldest_first(kept: Kept) -> None:
    answer = AlertAnswer(decision=AlertDecision.ADMITTED, run_id=RUN)
    for one, when in ((OTHER, LATER), (alert(), EPOCH)):
        kept.alerts.take([one], when)
        kept.alerts.decided(one.key, answer, when)

    assert [one.key for one in kept.alerts.of_run(RUN)] == [alert().key, OTHER.key]
    assert kept.alerts.of_run("another") == ()


def test_an_alert_joins_an_incident(kept: Kept) -> None:
    kept.alerts.take([alert()], EPOCH)
    record = kept.alerts.joined(alert().key, f"inc-{RUN}")

    assert record.incident_id == kept.alerts.alert(alert().key).incident_id == f"inc-{RUN}"


def test_open_alerts_come_newest_first_and_no_more_than_are_asked_for(kept: Kept) -> None:
    third = alert(fingerprint="03")
    for one, when in ((alert(), EPOCH), (OTHER, EPOCH + MINUTE), (third, LATER)):
        kept.alerts.take([one], when)
    kept.alerts.resolved(OTHER.key, LATER)

    assert [one.key for one in kept.alerts.open_ones()] == [third.key, alert().key]
    assert [one.key for one in kept.alerts.open_ones(limit=1)] == [third.key]
    assert [one.key for one in kept.alerts.alerts()] == [third.key, OTHER.key, alert().key]
    assert [one.key for one in kept.alerts.alerts(limit=1)] == [third.key]


def test_the_alerts_of_an_incident_come_oldest_first(kept: Kept) -> None:
    kept.alerts.take([OTHER], EPOCH + MINUTE)
    kept.alerts.take([alert()], EPOCH)
    for one in (OTHER, alert()):
        kept.alerts.joined(one.key, "inc-1")

    assert [one.key for one in kept.alerts.of_incident("inc-1")] == [alert().key, OTHER.key]
    assert kept.alerts.of_incident("inc-2") == ()


@pytest.mark.parametrize("unknown", ["", "nothing", "%", "' or '1'='1"])
def test_an_unknown_alert_is_said_to_be_unknown(kept: Kept, unknown: str) -> None:
    kept.alerts.take([alert()], EPOCH)
    with pytest.raises(UnknownAlert):
        kept.alerts.alert(unknown)
    with pytest.raises(UnknownAlert):
        kept.alerts.decided(unknown, AlertAnswer(decision=AlertDecision.NO_RULE), EPOCH)
    with pytest.raises(UnknownAlert):
        kept.alerts.joined(unknown, "inc-1")
    assert kept.trail() == []


def test_what_is_taken_back_is_in_neither_the_table_nor_the_trail(database: Database) -> None:
    store, alerts = DatabaseStore(database), DatabaseAlerts(database)

    def take_and_fail() -> None:
        with store.together():
            alerts.take([alert(), resolved(OTHER)], EPOCH)
            alerts.decided(alert().key, AlertAnswer(decision=AlertDecision.NO_RULE), EPOCH)
            assert len(alerts.alerts()) == 2
            raise RuntimeError

    with pytest.raises(RuntimeError):
        take_and_fail()
    assert alerts.alerts() == ()
    assert trail_of(database) == []


def test_the_same_alert_from_two_services_at_the_same_instant_is_new_to_one_of_them(place: Place) -> None:
    keepers = [DatabaseAlerts(place.open()) for _ in range(2)]
    together, said = Barrier(len(keepers)), [False] * len(keepers)

    def take(number: int) -> None:
        together.wait()
        said[number] = keepers[number].take([alert()], EPOCH)[0].is_new

    threads = [Thread(target=take, args=(number,)) for number in range(len(keepers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(said) == [False, True]
    assert keepers[0].alert(alert().key).deliveries == 2
