"""People at the keyboard about alerts and incidents: shown, taken on, closed; compared with what is loaded; tried."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from remediate import bootstrap
from remediate.adapters.store.alerts import DatabaseAlerts
from remediate.catalog.http import SourceEntry
from remediate.catalog.settings import Settings
from remediate.domain.alert import AlertAnswer, AlertDecision
from remediate.domain.alert_rule import AlertRule
from remediate.domain.people import People, Role
from remediate.domain.response_rule import ResponseRule
from remediate.engine.monitoring import Watcher
from remediate.testing import EPOCH, FakeMessenger, FakeMonitoring
from tests.acceptance.test_identity_commands import Terminal
from tests.builders import alert
from tests.house import CASES, PAST, TROUBLE, House
from tests.identities import people, person

NADIA = person("nadia", Role.OPERATOR, Role.VIEWER, os_users=("nadia",), level=1)
VERA = person("vera", Role.VIEWER, os_users=("vera",))
EVERYBODY = people(NADIA, VERA)
HOSTILE = alert("Shelf\x1b[31mUntidy\nRun: rm -rf /", labels={"shelf": "{{ 7*7 }}\u202e"}, fingerprint="0a")


class Desk:
    """A house with a source, its Prometheus and its Alertmanager; whoever is named types."""

    def __init__(self, house: House, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
        self.house = house
        self._terminal = terminal
        self._monkeypatch = monkeypatch
        self.messenger = FakeMessenger()
        self.monitoring = FakeMonitoring(lambda: EPOCH)
        self.sources = {"main": SourceEntry(kind="alertmanager", token="env:NOTHING")}  # noqa: S106  # a name
        self.rules: tuple[ResponseRule, ...] = (ResponseRule(source="main", runbook="tidy-shelf", group="web"),)
        watcher = Watcher(monitoring=self.monitoring, messenger=self.messenger)
        monkeypatch.setattr(bootstrap, "_watchers", lambda settings: dict.fromkeys(settings.sources, watcher))

    def types(self, who: str, *words: str, everybody: People = EVERYBODY) -> tuple[int, str, str]:
        self.house.inhabited_by(everybody, who)
        settings: Settings = vars(bootstrap)["read_settings"](self.house.state)
        with_alerts = settings.model_copy(update={"sources": self.sources, "responses": self.rules})
        self._monkeypatch.setattr(bootstrap, "read_settings", lambda _site: with_alerts)
        return self._terminal(*words)

    def delivered(self, fired: object = HOSTILE, run_id: str = "") -> None:
        with self.house.database() as database:
            alerts = DatabaseAlerts(database)
            (taken,) = alerts.take([fired], EPOCH)  # type: ignore[list-item]  # an alert
            decision = AlertDecision.ADMITTED if run_id else AlertDecision.NO_RULE
            alerts.decided(taken.record.key, AlertAnswer(decision=decision, reason="so it is", run_id=run_id), EPOCH)
            alerts.joined(taken.record.key, TROUBLE.id)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    monkeypatch.delenv("REMEDIATE_TOKEN_FILE", raising=False)
    house = House(tmp_path / "state", monkeypatch)
    house.has_trouble()
    house.content = (CASES,)
    yield Desk(house, Terminal(house, capsys), monkeypatch)
    house.close()


def test_an_incident_is_listed_shown_taken_on_and_closed(desk: Desk) -> None:
    desk.delivered(run_id=PAST.id)
    code, listed, _ = desk.types("vera", "incident", "list")
    assert code == 0
    assert f"{TROUBLE.id}  SEV3  open" in listed
    code, shown, _ = desk.types("vera", "incident", "show", "bcdf")
    assert "Alert      Shelf" in shown
    assert f"Run        {PAST.id}  tidy-shelf  interrupted" in shown
    assert "incident.opened" in shown
    assert "remediate incident ack" in shown
    assert desk.types("nadia", "incident", "ack", TROUBLE.id) == (0, f"Taken on   {TROUBLE.id} by nadia\n", "")
    code, _, said = desk.types("nadia", "incident", "ack", TROUBLE.id)
    assert (code, "was taken on by nadia already" in said) == (7, True)
    code, said, _ = desk.types("nadia", "incident", "escalate", TROUBLE.id, "--to", "3", "--reason", "data")
    assert (code, said) == (0, f"Called     level 3 for {TROUBLE.id}\n")
    code, said, _ = desk.types("nadia", "incident", "resolve", TROUBLE.id, "--reason", "cleaned")
    assert (code, said) == (0, f"Closed     {TROUBLE.id}: cleaned\n")
    assert desk.types("nadia", "incident", "list")[1] == "No incident is open.\n"
    code, shown, _ = desk.types("nadia", "incident", "list", "--all")
    assert "closed" in shown
    assert "Mean time  to acknowledge" in shown
    code, shown, _ = desk.types("nadia", "incident", "show", TROUBLE.id, "--brief")
    assert "Closed     by nadia" in shown
    assert "Timeline" not in shown
    assert "next" not in shown


def test_a_program_is_told_the_same(desk: Desk) -> None:
    document = json.loads(desk.types("nadia", "incident", "show", TROUBLE.id, "--json")[1])
    assert document["incident"]["stage"] == "open"
    assert document["incident"]["times"]["kept"] is None
    assert [event["entry"]["action"] for event in document["timeline"]] == ["run.requested", "incident.opened"]
    listed = json.loads(desk.types("nadia", "incident", "list", "--json")[1])
    assert [one["id"] for one in listed["incidents"]] == [TROUBLE.id]
    assert listed["means"]["count"] == 1


def test_whoever_only_looks_takes_nothing_on(desk: Desk) -> None:
    for words in (("ack",), ("resolve", "--reason", "why")):
        code, _, said = desk.types("vera", "incident", words[0], TROUBLE.id, *words[1:])
        assert (code, "vera" in said) == (7, True)


def test_an_incident_of_others_is_as_unknown_as_none(desk: Desk) -> None:
    from tests.identities import grant  # noqa: PLC0415  # only here somebody sees a part

    narrow = people(person("nadia", grant(Role.OPERATOR, ("disk-full",)), os_users=("nadia",)))
    for wanted in (TROUBLE.id, "inc-", "nothing"):
        code, _, said = desk.types("nadia", "incident", "show", wanted, everybody=narrow)
        assert code == 2
        assert f"There is no incident '{wanted}'" in said
    assert desk.types("nadia", "incident", "list", "--all", everybody=narrow)[1] == "No incidents.\n"


def test_alerts_are_listed_and_shown_and_harmless(desk: Desk) -> None:
    desk.delivered()
    code, listed, _ = desk.types("nadia", "alerts", "list", "--open")
    assert code == 0
    assert "no_rule" in listed
    assert len(listed.splitlines()) == 1
    code, shown, _ = desk.types("nadia", "alerts", "show", "0a")
    assert "Fired      1 time(s)" in shown
    assert "no_rule: so it is" in shown
    assert "{{ 7*7 }}" in shown
    assert not {"\x1b", "\u202e"} & set(listed + shown)
    assert "\nRun: rm" not in listed + shown
    assert desk.types("nadia", "alerts", "show", "0b")[0] == 2
    assert json.loads(desk.types("nadia", "alerts", "list", "--json")[1])[0]["incident_id"] == TROUBLE.id


def test_without_alerts_that_is_said(desk: Desk) -> None:
    assert desk.types("nadia", "alerts", "list")[1] == "No alerts were delivered yet.\n"
    assert desk.types("nadia", "alerts", "list", "--open")[1] == "No alert fires.\n"


def test_what_does_not_fit_is_told_with_its_remedy_and_ends_with_1(desk: Desk) -> None:
    desk.monitoring._rules = (AlertRule(name="Watchdog", expression="vector(1)"),)
    desk.messenger.configured = "{route: {receiver: nobody}, receivers: [{name: nobody}]}"
    code, said, _ = desk.types("nadia", "alerts", "check")

    assert code == 1
    assert "[FIX]  main  no rule: ShelfUntidy" in said
    assert "[FIX]  main  not routed: ShelfUntidy" in said
    assert "[note]  main  unmapped: Watchdog" in said
    assert said.index("[note]") > said.rindex("[FIX]")
    assert {one["kind"] for one in json.loads(desk.types("nadia", "alerts", "check", "--json")[1])} == {
        "no rule",
        "not routed",
        "unmapped",
    }


def test_what_fits_ends_with_0(desk: Desk) -> None:
    desk.monitoring._rules = (AlertRule(name="ShelfUntidy", expression="x > 1", labels={"severity": "SEV3"}),)
    desk.messenger.configured = "{route: {receiver: us}, receivers: [{name: us, webhook_configs: [{url: <secret>}]}]}"

    assert desk.types("nadia", "alerts", "check") == (0, "Everything fits.\n", "")


def test_what_cannot_be_asked_is_no_fit(desk: Desk) -> None:
    desk.monitoring.trouble = desk.messenger.trouble = "nobody there"
    code, said, _ = desk.types("nadia", "alerts", "check")

    assert (code, said.count("not asked: main")) == (1, 2)


def test_without_a_source_there_is_nothing_to_compare(desk: Desk) -> None:
    desk.sources = {}
    code, _, said = desk.types("nadia", "alerts", "check")

    assert (code, "No source of alerts is configured" in said) == (2, True)


def test_old_alerts_are_tried_and_nothing_is_done(desk: Desk, tmp_path: Path) -> None:
    one = {"fingerprint": "0a", "status": "firing", "startsAt": "2026-01-05T03:00:00Z"}
    labels = {"alertname": "ShelfUntidy", "instance": "near:9100", "room": "library", "shelf": "top"}
    file = tmp_path / "old.json"
    posted = {
        "version": "4",
        "alerts": [{**one, "labels": labels}, {**one, "labels": {"alertname": "Other"}, "fingerprint": "0b"}],
    }
    file.write_text(json.dumps(posted), encoding="utf-8")
    code, said, _ = desk.types("nadia", "alerts", "replay", str(file))

    assert code == 0
    assert "tidy-shelf on near" in said
    assert "nothing" in said
    assert "2 alert(s), 1 of them would start a run; nothing was done." in said
    assert desk.house.untouched
    with desk.house.database() as database:
        assert DatabaseAlerts(database).alerts() == ()
    document = json.loads(desk.types("nadia", "alerts", "replay", str(file), "--json")[1])
    assert document["alerts"][0]["decided"]["parameters"] == {"tidy_shelf_shelf": "top"}


def test_a_source_that_there_is_not_is_named(desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "old.json"
    file.write_text("[]", encoding="utf-8")
    assert "There is no source 'other'" in desk.types("nadia", "alerts", "replay", str(file), "--source", "other")[2]
    desk.sources = {**desk.sources, "second": desk.sources["main"]}
    assert "There are 2 sources" in desk.types("nadia", "alerts", "replay", str(file))[2]
