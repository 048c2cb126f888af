"""Which migrations go back with a release, and which data that would drop: in doubt, it counts as a loss."""

from __future__ import annotations

import pytest
from ansible.module_utils.release_migrations import Drop, drops, losses, to_take_back
from ansible.module_utils.releases import ReleaseError

FIRST, SECOND, THIRD = "2026_01_01_a", "2026_11_20_b", "2026_11_27_c"


def test_what_only_the_newer_release_has_and_the_database_has_seen_goes_back_the_last_first() -> None:
    seen = [THIRD, SECOND, FIRST]
    assert to_take_back([FIRST, SECOND, THIRD], [FIRST], seen) == (THIRD, SECOND)
    assert to_take_back([FIRST, THIRD], [FIRST], [FIRST]) == ()
    assert to_take_back([FIRST], [FIRST], seen) == ()


def test_a_migration_below_somebody_elses_is_not_taken_back() -> None:
    with pytest.raises(ReleaseError, match=f"{THIRD} came later"):
        to_take_back([FIRST, SECOND], [FIRST], [THIRD, SECOND, FIRST])


def test_a_name_that_is_none_is_refused_not_run() -> None:
    with pytest.raises(ReleaseError, match="is no name of a migration"):
        to_take_back([FIRST, "x --path=/tmp"], [FIRST], ["x --path=/tmp", FIRST])


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("drop table if exists `coupons`", [Drop("coupons")]),
        ("DROP TABLE coupons", [Drop("coupons")]),
        ("alter table `orders` drop `customer`, drop `city`", [Drop("orders", "customer"), Drop("orders", "city")]),
        ("alter table orders drop column if exists customer", [Drop("orders", "customer")]),
        ("alter table `orders` rename column `article` to `item`", []),
        ("alter table `orders` drop foreign key `orders_fk`", []),
        ("alter table `orders` drop index `orders_index`", []),
        ("create table `x` (`drop` int)", []),
    ],
)
def test_drops_are_read_from_what_artisan_would_do(statement: str, expected: list[Drop]) -> None:
    assert drops(f"  INFO  Rolling back migrations.\n  ⇂ {statement}") == (expected, True)


def test_only_what_holds_data_is_a_loss() -> None:
    asked: list[str] = []

    def ask(question: str) -> list[str]:
        asked.append(question)
        return ["1" if "customer" in question else "0"]

    statements = "alter table `orders` drop `customer`\ndrop table `coupons`"
    assert losses((0, statements), ask) == ("column orders.customer holds data",)
    assert sorted(asked) == [
        "SELECT EXISTS(SELECT 1 FROM `coupons`)",
        "SELECT EXISTS(SELECT 1 FROM `orders` WHERE `customer` IS NOT NULL)",
    ]


def test_what_cannot_be_told_counts_as_a_loss() -> None:
    assert losses((1, ""), lambda _question: ["0"]) != ()
    assert losses((0, "delete from `orders` where `x` = 1"), lambda _question: ["0"]) != ()
    assert losses((0, "alter table a rename column b to c"), lambda _question: ["0"]) == ()
    assert losses((0, "drop table `a`"), lambda _question: []) == ("table a holds data",)
