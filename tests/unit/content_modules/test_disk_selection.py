"""Which candidates a fix takes."""

from __future__ import annotations

from typing import Any

from ansible.module_utils.disk_candidate import CAUSES, Candidate
from ansible.module_utils.disk_selection import Need, select
from hypothesis import given
from hypothesis import strategies as st


def candidate(cause: str, size: int, *, inodes: int = 1, target: str = "", age: int = 0, **details: Any) -> Any:
    name = target or f"/{cause}/{size}/{age}"
    return Candidate(cause, "delete", name, 1, size, inodes, age_key=age, details=details)


def need(size: int = 0, inodes: int = 0, *, material: int = 10, material_inodes: int = 10) -> Any:
    return Need(1, size, inodes, material, material_inodes)


def test_the_cheapest_and_safest_goes_first_and_nothing_more_than_needed() -> None:
    packages = [candidate("package_cache", 30, age=1), candidate("package_cache", 30, age=2)]
    backups = [candidate("old_backups", 100)]
    found = select([*backups, *packages], [need(40)])
    assert (found.chosen, found.enough) == (tuple(packages), True)
    assert found.causes == ("package_cache", "old_backups")


def test_the_oldest_of_a_consumer_goes_first() -> None:
    old, young = candidate("journal", 20, age=1), candidate("journal", 20, age=9)
    assert select([young, old], [need(15)]).chosen == (old,)


def test_a_consumer_that_gives_little_is_no_cause_where_another_one_suffices() -> None:
    little, much = candidate("package_cache", 5), candidate("old_backups", 90)
    found = select([little, much], [need(50)])
    assert (found.chosen, found.causes) == ((much,), ("old_backups",))


def test_little_things_count_when_only_all_of_them_together_are_enough() -> None:
    little, much = candidate("package_cache", 5), candidate("old_backups", 90)
    found = select([little, much], [need(95)])
    assert (found.chosen, found.enough) == ((little, much), True)


def test_little_things_stay_when_even_all_of_them_are_not_enough() -> None:
    found = select([candidate("package_cache", 5)], [need(95)])
    assert (found.chosen, found.causes, found.enough) == ((), (), False)


def test_where_only_inodes_are_short_bytes_do_not_count() -> None:
    big, many = candidate("old_backups", 900), candidate("inode_exhaustion", 1, inodes=50)
    found = select([big, many], [need(0, 20)])
    assert (found.chosen, found.causes) == ((many,), ("inode_exhaustion",))


def test_an_emptied_log_gives_no_inodes() -> None:
    log = candidate("live_application_log", 900, inodes=0)
    assert select([log], [need(0, 20)]).chosen == ()


def test_candidates_on_another_file_system_are_left_alone() -> None:
    elsewhere = Candidate("journal", "delete", "/elsewhere", 2, 100, 1)
    assert select([elsewhere], [need(50)]).chosen == ()


def test_the_build_cache_goes_with_the_images_that_share_it() -> None:
    image = candidate("container_images", 90)
    cache = candidate("build_cache", 0, inodes=0, follows="container_images")
    assert select([image, cache], [need(50)]).chosen == (image, cache)
    assert select([cache, candidate("journal", 90)], [need(50)]).chosen[0].cause == "journal"


CANDIDATES = st.lists(
    st.builds(
        candidate,
        st.sampled_from(CAUSES),
        st.integers(0, 500),
        inodes=st.integers(0, 5),
        age=st.integers(0, 100),
        target=st.uuids().map(str),
    ),
    max_size=30,
)


@given(CANDIDATES, st.integers(0, 2000), st.integers(0, 40))
def test_what_is_chosen_is_enough_if_it_says_so_and_never_more_than_needed(
    candidates: list[Any], size: int, inodes: int
) -> None:
    found = select(candidates, [need(size, inodes)])
    freed = sum(one.bytes for one in found.chosen)
    freed_inodes = sum(one.inodes for one in found.chosen)
    assert found.enough == (freed >= size and freed_inodes >= inodes)
    if found.chosen and found.enough:
        last = found.chosen[-1]
        assert freed - last.bytes < size or freed_inodes - last.inodes < inodes


@given(CANDIDATES, st.integers(0, 2000))
def test_the_same_candidates_in_any_order_give_the_same_selection(candidates: list[Any], size: int) -> None:
    assert select(candidates, [need(size)]) == select(list(reversed(candidates)), [need(size)])


@given(CANDIDATES, st.integers(0, 2000))
def test_actions_stand_in_the_fixed_order_of_causes(candidates: list[Any], size: int) -> None:
    positions = [CAUSES.index(one.cause) for one in select(candidates, [need(size)]).chosen]
    assert positions == sorted(positions)
