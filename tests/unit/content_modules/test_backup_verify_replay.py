"""A restore goes on with what was streamed where that leads on from what was shipped, and is not held up where not."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.module_utils.log_chain import BrokenChainError, Chain
from ansible.module_utils.log_position import Position

from tests import binlogs

Logs = dict[str, bytes]
NAMES = [f"mariadb-bin.{number:06}" for number in range(1, 7)]
BASE = Position(NAMES[0], 4)


@pytest.fixture(params=binlogs.VERSIONS)
def life(request: pytest.FixtureRequest) -> Logs:
    return binlogs.life(request.param)


def put(directory: Path, life: Logs, *numbers: int) -> list[str]:
    directory.mkdir()
    return binlogs.written(directory, {NAMES[number - 1]: life[NAMES[number - 1]] for number in numbers})


def test_the_stream_leads_on_and_of_a_log_that_both_have_the_shipped_one_is_taken(tmp_path: Path, life: Logs) -> None:
    shipped, streamed = put(tmp_path / "a", life, 1, 2, 3), put(tmp_path / "b", life, 2, 3, 4, 5, 6)

    chain = Chain.begin(shipped, BASE, streamed=streamed)

    assert [(log.name, Path(log.path).parent.name) for log in chain.logs] == [
        *[(name, "a") for name in NAMES[:3]],
        *[(name, "b") for name in NAMES[3:]],
    ]
    assert chain.end.file == NAMES[5]


def test_a_torn_end_is_left_out_of_what_is_replayed(tmp_path: Path, life: Logs) -> None:
    shipped, streamed = put(tmp_path / "a", life, 1), put(tmp_path / "b", life, 2)
    path = tmp_path / "b" / NAMES[1]
    whole = life[NAMES[1]]
    last = whole.index(binlogs.transactions(whole)[-1][0])
    path.write_bytes(whole[: last + 30])

    chain = Chain.begin(shipped, BASE, streamed=streamed)

    assert (chain.logs[-1].path, chain.logs[-1].until, chain.end) == (str(path), last, Position(NAMES[1], last))


@pytest.mark.parametrize("streamed", [(), (5, 6), (2, 3)])
def test_a_stream_that_does_not_lead_on_changes_nothing(tmp_path: Path, life: Logs, streamed: tuple[int, ...]) -> None:
    shipped = put(tmp_path / "a", life, 1, 2, 3)

    assert Chain.begin(shipped, BASE, streamed=put(tmp_path / "b", life, *streamed)) == Chain.begin(shipped, BASE)


def test_a_damaged_stream_changes_nothing(tmp_path: Path, life: Logs) -> None:
    shipped = put(tmp_path / "a", life, 1)
    broken = bytearray(life[NAMES[1]])
    broken[len(broken) // 2] ^= 1

    assert Chain.begin(shipped, BASE, streamed=put(tmp_path / "b", {NAMES[1]: bytes(broken)}, 2)) == Chain.begin(
        shipped, BASE
    )


def test_where_nothing_was_shipped_the_stream_may_hold_everything(tmp_path: Path, life: Logs) -> None:
    assert len(Chain.begin([], BASE, streamed=put(tmp_path / "b", life, 1, 2, 3, 4, 5, 6)).logs) == 6


def test_a_gap_in_what_was_shipped_stays_one_unless_the_stream_has_the_log(tmp_path: Path, life: Logs) -> None:
    shipped = put(tmp_path / "a", life, 1, 3)

    with pytest.raises(BrokenChainError):
        Chain.begin(shipped, BASE, streamed=put(tmp_path / "b", life, 4, 5))
    assert len(Chain.begin(shipped, BASE, streamed=put(tmp_path / "c", life, 2, 3, 4)).logs) == 4
