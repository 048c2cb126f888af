"""What is in tables is taken at one position, in turn, and compared exactly."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.content_difference import differences
from ansible.module_utils.database_content import (
    Content,
    Table,
    TableChangedError,
    columns_of,
    from_record,
    look,
)
from ansible.module_utils.mariadb_server import ServerError
from hypothesis import given
from hypothesis import strategies as st

words = st.text(max_size=8)
numbers = st.integers(0, 2**70)
tables = st.lists(st.builds(Table, words, words, numbers, numbers), max_size=6, unique_by=lambda one: one.label).map(
    tuple
)
contents = st.builds(Content, words, numbers, tables, numbers)


class Server:
    """A server with some tables, each of one row; it fails as often as it is told to."""

    def __init__(self, *labels: str, fails: int = 0, code: int = 1412) -> None:
        self.columns = [(*label.split("."), name) for label in labels for name in ("id", "we`ird")]
        self.fails = fails
        self.code = code
        self.said: list[str] = []

    def __call__(self, statement: str, _seconds: float) -> list[list[str]]:
        self.said.append(statement)
        if statement.startswith("SELECT c.table_schema"):
            return [list(one) for one in self.columns]
        if self.fails:
            self.fails -= 1
            raise ServerError("Table definition has changed", self.code)
        chosen = [
            one for one in dict.fromkeys((a, b) for a, b, _ in self.columns) if f"`{one[0]}`.`{one[1]}`" in statement
        ]
        head = [["Binlog_snapshot_file", "b.000004"], ["Binlog_snapshot_position", "99"]]
        return [*head, *([schema, table, "1", "2"] for schema, table in chosen)]


def labels(content: Content) -> list[str]:
    return [one.label for one in content.tables]


@given(content=contents)
def test_content_is_read_as_it_was_written(content: Content) -> None:
    assert from_record(content.record()) == content


def test_sums_of_an_earlier_kind_are_not_compared_with_those_of_now() -> None:
    old = {"schema": "shop", "table": "orders", "rows": 3, "xor": 1, "sum": 2}
    now = {"schema": "shop", "table": "users", "rows": 3, "checksum": 2}
    found = from_record({"file": "b.000004", "offset": 99, "tables": [old, now], "of": 2})
    assert (labels(found), found.of) == (["shop.users"], 2)


@given(content=contents)
def test_nothing_differs_from_itself_and_what_is_there_besides_does_not_matter(content: Content) -> None:
    more = Content("x", 1, (*content.tables, Table("\0", "more", 1, 1)), 9)
    assert differences(content, content) == differences(content, more) == []


@given(content=contents.filter(lambda one: bool(one.tables)), data=st.data())
def test_one_thing_that_is_not_the_same_is_told_of_one_table(content: Content, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(content.tables) - 1))
    table = content.tables[place]
    change = data.draw(st.sampled_from(["rows", "checksum", "gone"]))
    changed = [] if change == "gone" else [Table(**{**table.__dict__, change: getattr(table, change) + 1})]
    found = Content("", 0, (*content.tables[:place], *changed, *content.tables[place + 1 :]), 1)
    (said,) = differences(content, found)
    assert said.startswith(table.label)


def test_all_tables_are_taken_in_one_snapshot_without_a_lock() -> None:
    server = Server("shop.orders", "shop.users")
    found = look(server, 9.0)
    assert (found.file, found.offset, labels(found), found.of) == ("b.000004", 99, ["shop.orders", "shop.users"], 2)
    statement = server.said[1]
    assert statement.index("CONSISTENT SNAPSHOT") < statement.index("binlog_snapshot_%") < statement.index("COUNT(*)")
    assert "LOCK" not in statement.upper().replace("BLOCK", "")
    assert "COALESCE(CRC32(CAST(`we``ird` AS BINARY)), '-')" in statement


def test_a_server_without_tables_has_an_empty_content() -> None:
    found = look(Server(), 9.0)
    assert (found.tables, found.of) == ((), 0)
    assert differences(found, found) == []


@given(count=st.integers(1, 12), most=st.integers(1, 5))
def test_in_turn_every_table_comes_by(count: int, most: int) -> None:
    names = [f"s.t{number:02}" for number in range(count)]
    server, seen, last = Server(*names), [], ""
    for _ in range(-(-count // most)):
        found = look(server, 9.0, [last] if last else [], most)
        assert len(found.tables) == min(most, count)
        seen += labels(found)
        last = found.tables[-1].label
    assert set(seen) == set(names)


def test_the_turn_goes_on_although_the_last_table_is_gone() -> None:
    assert labels(look(Server("s.a", "s.b", "s.c"), 9.0, ["s.gone"], 2)) == ["s.a", "s.b"]


def test_named_tables_only_are_looked_at_and_those_that_are_gone_are_left_out() -> None:
    assert labels(look(Server("s.a", "s.b"), 9.0, ["s.b", "s.gone"])) == ["s.b"]


@pytest.mark.parametrize(
    ("fails", "code", "kind"), [(2, 1412, None), (2, 1146, None), (3, 1412, TableChangedError), (1, 2002, ServerError)]
)
def test_a_table_that_is_altered_meanwhile_is_looked_at_again(fails: int, code: int, kind: Any) -> None:
    server = Server("s.a", fails=fails, code=code)
    if kind is None:
        assert labels(look(server, 9.0)) == ["s.a"]
        return
    with pytest.raises(kind):
        look(server, 9.0)


def test_columns_come_by_table_in_their_order() -> None:
    assert columns_of(Server("s.a", "s.b"), 9.0) == {("s", "a"): ["id", "we`ird"], ("s", "b"): ["id", "we`ird"]}
