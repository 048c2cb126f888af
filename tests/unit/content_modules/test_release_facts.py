"""What is known of a host on which a release may be bad."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import release_facts
from ansible.module_utils.answer_log import Answer, Rate
from ansible.module_utils.deployment_rollback_run import SETTINGS
from ansible.module_utils.release_facts import Reply, facts
from ansible.module_utils.run_state import create, last_done

NOW = 10_000.0


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> list[Answer]:
    """Stands for the host: its log, and nothing else that could matter."""

    class Services:
        def status(self) -> dict[str, Any]:
            return {}

    answered: list[Answer] = []
    monkeypatch.setattr(release_facts, "several", lambda _url: (Reply(200, 0.1),))
    monkeypatch.setattr(release_facts, "ask", lambda _url: Reply(200, 0.1))
    monkeypatch.setattr(release_facts, "stack_of", lambda _stack: Services())
    monkeypatch.setattr(release_facts, "answers", lambda _settings, _stack: (answered, ()))
    monkeypatch.setattr(release_facts, "blame", lambda *_: [])
    monkeypatch.setattr(release_facts.time, "time", lambda: NOW)
    return answered


def before(switched: float, went_back: float) -> Rate:
    settings = {key: option.get("default") for key, option in SETTINGS["options"].items()}
    return facts(settings, {"health_url": "http://host/health/ready"}, "new", (switched, went_back)).before


def test_errors_of_the_same_release_an_hour_ago_do_not_speak_for_it(log: list[Answer]) -> None:
    bad = [Answer(NOW - 200, "/orders", 500)] * 16
    good = [Answer(NOW - 100, "/orders", 200)] * 12
    log += [*bad, *good, Answer(NOW - 40, "/orders", 500)]

    assert before(NOW - 50, 0.0) == Rate(28, 16)
    assert before(NOW - 50, NOW - 150) == Rate(12, 0)


def test_what_was_answered_longer_ago_than_the_window_does_not_count(log: list[Answer]) -> None:
    log += [Answer(NOW - 400, "/orders", 500), Answer(NOW - 200, "/orders", 200)]
    assert before(NOW - 50, NOW - 5000) == Rate(1, 0)


def test_the_last_step_that_any_run_has_finished_is_found(tmp_path: Path) -> None:
    places = [str(tmp_path / "one"), str(tmp_path / "none")]
    assert last_done(places, NOW) == 0.0
    for run, moments in (("first", (10.0, 20.0)), ("second", (15.0, 40.0))):
        state = create(places[:1], run, [])
        for item, at in enumerate(moments):
            state.append(event="begun", item=item, at=at + 1)
            state.append(event="done", item=item, at=at)

    assert [last_done(places, moment) for moment in (NOW, 40.0, 20.0, 10.0)] == [40.0, 20.0, 15.0, 0.0]
