from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from remediate.domain.digest import digest
from remediate.domain.plan import HostPlan, bound, differences, digest_of, strayed
from remediate.domain.report import Undo
from remediate.testing import EPOCH
from tests.builders import action, finding, plan

DUST, BOOK = action("/shelf/dust"), action("/shelf/book", "archive", Undo.NONE)


def test_a_plan_names_what_nobody_can_undo_with_its_host() -> None:
    assert plan(near=finding(DUST), far=finding(DUST, BOOK)).irreversible == (("far", BOOK),)


def test_a_plan_names_each_cause_once_in_the_order_found() -> None:
    assert plan(near=finding(BOOK, DUST), far=finding(DUST)).causes == ("archive", "dust")


def test_a_plan_is_enough_only_when_it_is_on_every_host() -> None:
    assert plan(near=finding(DUST)).enough
    assert not plan(near=finding(DUST), far=finding(DUST, enough=False)).enough


@pytest.mark.parametrize(
    ("snapshotted", "beyond"),
    [
        ((), ()),
        ((DUST,), ()),
        ((BOOK, DUST), ()),
        ((action("/shelf/new"),), (action("/shelf/new"),)),
        ((action("/shelf/dust", verb="truncate"),), (action("/shelf/dust", verb="truncate"),)),
        ((action("/shelf/dust", "archive"),), (action("/shelf/dust", "archive"),)),
        ((action("/shelf/dust", bytes=999, undo=Undo.NONE),), ()),
    ],
)
def test_a_snapshot_strays_by_cause_verb_or_target_but_not_by_size(
    snapshotted: tuple[object, ...], beyond: tuple[object, ...]
) -> None:
    assert strayed((DUST, BOOK), snapshotted) == beyond  # type: ignore[arg-type]  # the table is of actions


DOCUMENT: dict[str, object] = {
    "content": "c0",
    "inventory": "1a",
    "parameters": {"tidy_shelf_days": 7},
    "hosts": {"near": {"finding": {"actions": [{"target": "/shelf/dust", "bytes": 5}]}, "diff": "-a"}},
}


def test_a_digest_does_not_depend_on_the_order_of_names() -> None:
    assert digest(dict(reversed(DOCUMENT.items()))) == digest(DOCUMENT)


def test_a_digest_is_the_same_for_ever() -> None:
    assert digest({"b": 1, "a": ["ü", None]}) == "4cc4e0a1ad9588d92e234998af4541c6cd0acb895df38f3526092a364d227e0d"


@pytest.mark.parametrize(
    "change",
    [
        {"content": "c1"},
        {"inventory": "1b"},
        {"parameters": {"tidy_shelf_days": 8}},
        {"parameters": {"tidy_shelf_days": "7"}},
        {"parameters": {}},
        {"hosts": {}},
        {"hosts": {"far": {"finding": {"actions": [{"target": "/shelf/dust", "bytes": 5}]}, "diff": "-a"}}},
        {"hosts": {"near": {"finding": {"actions": [{"target": "/shelf/dust", "bytes": 6}]}, "diff": "-a"}}},
        {"hosts": {"near": {"finding": {"actions": [{"target": "/shelf/dust", "bytes": 5}]}, "diff": "-b"}}},
        {"more": None},
    ],
)
def test_a_digest_changes_with_every_part(change: dict[str, object]) -> None:
    assert digest({**DOCUMENT, **change}) != digest(DOCUMENT)


def host_plan(*actions: Any, diff: str = "-dust") -> HostPlan:
    return HostPlan(finding=finding(*actions), diff=diff)


def binding(**changes: Any) -> dict[str, Any]:
    values = {
        "decided_by": {"content": "c0", "inventory": "1a", "ansible_core": "2.19.0", "collections": "12.0.0"},
        "runbook": "tidy-shelf",
        "parameters": {"tidy_shelf_days": 7},
        "hosts": {"near": host_plan(DUST), "far": host_plan(BOOK)},
        "policy": "p1",
        "nonce": "n1",
        "expires_at": EPOCH,
    }
    return bound(**{**values, **changes})


def decided(**changes: str) -> dict[str, Any]:
    known = {"content": "c0", "inventory": "1a", "ansible_core": "2.19.0", "collections": "12.0.0"}
    return {"decided_by": {**known, **changes}}


CHANGES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    (decided(content="c1"), ("the playbooks of the run",)),
    (decided(inventory="1b"), ("the inventory or its variables",)),
    (decided(ansible_core="2.19.1"), ("the version of ansible-core",)),
    (decided(collections="12.0.1"), ("the installed collections",)),
    (decided(colour="red"), ("colour",)),
    ({"runbook": "tidy-desk"}, ("runbook",)),
    ({"parameters": {"tidy_shelf_days": 8}}, ("the parameters",)),
    ({"policy": "p2"}, ("the policy in remediate.yml",)),
    ({"nonce": "n2"}, ("nonce",)),
    ({"expires_at": EPOCH + timedelta(seconds=1)}, ("the validity",)),
    ({"hosts": {"near": host_plan(DUST)}}, ("the hosts (far)",)),
    ({"hosts": {"near": host_plan(DUST), "cellar": host_plan(BOOK)}}, ("the hosts (cellar, far)",)),
    ({"hosts": {"near": host_plan(BOOK), "far": host_plan(BOOK)}}, ("what would be done on near",)),
    ({"hosts": {"near": host_plan(DUST, diff="-book"), "far": host_plan(BOOK)}}, ("what would be done on near",)),
    (
        {"hosts": {"near": host_plan(DUST, BOOK), "far": host_plan(BOOK, DUST)}},
        ("what would be done on far", "what would be done on near"),
    ),
]


@pytest.mark.parametrize(("change", "named"), CHANGES)
def test_each_part_that_a_plan_binds_changes_its_digest_and_is_named(
    change: dict[str, Any], named: tuple[str, ...]
) -> None:
    assert digest_of(binding(**change)) != digest_of(binding())
    assert set(differences(binding(), binding(**change))) == set(named)


def test_everything_that_is_bound_is_in_the_table_of_changes() -> None:
    changed = {name for change, _ in CHANGES for name in binding() if binding(**change).get(name) != binding()[name]}

    assert changed == set(binding())


def test_sizes_notes_and_the_order_of_hosts_do_not_change_a_digest() -> None:
    grown = action("/shelf/dust", bytes=2**40, note="it has grown")
    hosts = {"far": host_plan(BOOK), "near": host_plan(grown)}

    assert digest_of(binding(hosts=hosts)) == digest_of(binding())
    assert differences(binding(), binding(hosts=hosts)) == ()


def test_the_order_of_actions_is_part_of_what_would_be_done() -> None:
    one = binding(hosts={"near": host_plan(DUST, BOOK)})
    other = binding(hosts={"near": host_plan(BOOK, DUST)})

    assert digest_of(one) != digest_of(other)
