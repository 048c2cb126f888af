from __future__ import annotations

from typing import Any

import pytest

from remediate.adapters.ansible.events import reduced


def event(kind: str = "runner_on_ok", **data: Any) -> dict[str, Any]:
    base = {"host": "near", "task": "fix | Dust", "resolved_action": "ansible.builtin.file", "duration": 0.5}
    return {"event": kind, "created": "2026-01-05T03:00:00+00:00", "event_data": {**base, **data}}


def test_a_task_that_ended_is_reduced_to_what_is_recorded() -> None:
    assert reduced(event(start="2026-01-05T02:59:59+00:00", res={"changed": True, "invocation": {"secret": "x"}})) == {
        "host": "near",
        "task": "fix | Dust",
        "module": "ansible.builtin.file",
        "outcome": "changed",
        "started_at": "2026-01-05T02:59:59+00:00",
        "seconds": 0.5,
        "message": "",
        "diff": "",
        "item": False,
        "report": {},
    }


@pytest.mark.parametrize("kind", ["playbook_on_start", "runner_on_start", "verbose", "", "runner_retry"])
def test_an_event_that_ends_no_task_is_nothing(kind: str) -> None:
    assert reduced(event(kind)) is None


@pytest.mark.parametrize(
    ("kind", "data", "outcome", "message"),
    [
        ("runner_on_ok", {"res": {}}, "ok", ""),
        ("runner_on_skipped", {"res": {"msg": "skipped"}}, "skipped", ""),
        ("runner_on_failed", {"res": {"msg": "no", "stderr": "why"}}, "failed", "no\nwhy"),
        ("runner_on_failed", {"res": {"msg": "no"}, "ignore_errors": True}, "ok", "no"),
        ("runner_on_unreachable", {"res": {"msg": "away"}}, "unreachable", "away"),
        ("runner_item_on_failed", {"res": {"msg": "no"}}, "failed", "no"),
    ],
)
def test_the_outcome_and_the_message_are_those_of_ansible(
    kind: str, data: dict[str, Any], outcome: str, message: str
) -> None:
    found = reduced(event(kind, **data))

    assert found is not None
    assert (found["outcome"], found["message"]) == (outcome, message)


def test_the_report_is_what_set_stats_set_for_this_host() -> None:
    found = reduced(event(res={"ansible_stats": {"data": {"remediate_finding": {"applies": True}}, "per_host": True}}))

    assert found is not None
    assert found["report"] == {"remediate_finding": {"applies": True}}


@pytest.mark.parametrize("stats", [None, "x", {"data": None}, {"data": "{{ x }}"}, [1]])
def test_statistics_of_another_shape_are_no_report(stats: object) -> None:
    found = reduced(event(res={"ansible_stats": stats}))

    assert found is not None
    assert found["report"] == {}


@pytest.mark.parametrize(
    ("diff", "shown"),
    [
        (None, ""),
        ({"before": "a\nb\n", "after": "a\nc\n"}, "--- before\n+++ after\n@@ -1,2 +1,2 @@\n a\n-b\n+c\n"),
        ({"before": "same", "after": "same"}, ""),
        ({"prepared": "- /shelf/dust\n\n"}, "- /shelf/dust\n"),
        ([{"before": "", "after": "x\n", "after_header": "/shelf"}], "--- before\n+++ /shelf\n@@ -0,0 +1 @@\n+x\n"),
        (["nonsense", 7], ""),
        (
            {"before": {"a": 1}, "after": {"a": 2}},
            '--- before\n+++ after\n@@ -1,3 +1,3 @@\n {\n-  "a": 1\n+  "a": 2\n }\n',
        ),
    ],
)
def test_a_diff_is_shown_as_ansible_shows_it(diff: object, shown: str) -> None:
    found = reduced(event(res={"diff": diff}))

    assert found is not None
    assert found["diff"] == shown


def test_what_a_host_says_is_cut_to_a_size_and_can_always_be_recorded() -> None:
    noise = "x" * 10**6
    found = reduced(event("runner_on_failed", res={"msg": noise, "diff": {"prepared": noise}}, task="bad \udcff name"))

    assert found is not None
    assert (len(found["message"]), len(found["diff"]), found["task"]) == (4000, 200_000, "bad \\udcff name")
