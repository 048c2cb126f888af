"""A restore point is the proven end of a log that the server has closed; a server that could be hurt is left alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import log_closing
from ansible.module_utils.binlog_chain import check, newest
from ansible.module_utils.binlog_events import DamageError
from ansible.module_utils.binlog_file import read_log
from ansible.module_utils.binlog_target import at_position
from ansible.module_utils.log_closing import NotClosedError, close
from ansible.module_utils.log_position import Position

from tests import binlogs

#: Nothing was committed while the fifth one was written to.
ONE, TWO, THREE, FOUR, EMPTY, SIX = (f"mariadb-bin.{number:06}" for number in range(1, 7))
FOLLOWING = {ONE: TWO, FOUR: EMPTY, EMPTY: SIX}


class Server:
    """Says where it writes before and behind the closing of its log."""

    def __init__(self, *places: tuple[str, int]) -> None:
        self.places = places
        self.asked: list[tuple[str, float]] = []

    def rows(self, statement: str, seconds: float) -> list[list[str]]:
        self.asked.append((statement, seconds))
        return [[file, str(offset), "", ""] for file, offset in self.places]


@pytest.fixture(params=binlogs.VERSIONS)
def logs(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    binlogs.written(tmp_path, binlogs.life(request.param))
    return tmp_path


def begins(path: Path) -> list[int]:
    """Where the transactions of a log begin."""
    data = path.read_bytes()
    found = binlogs.transactions(data)
    first = data.index(found[0][0])
    sizes = [sum(map(len, one)) for one in found]
    return [first + sum(sizes[:number]) for number in range(len(sizes))]


@pytest.mark.parametrize("place", [0, -1])
def test_the_mark_is_the_place_between_the_last_transaction_and_the_end(logs: Path, place: int) -> None:
    server = Server((ONE, begins(logs / ONE)[place]), (TWO, 400))
    mark = close(server, str(logs), 5.0)
    summary = read_log(str(logs / ONE), [mark.position.offset])

    assert server.asked == [("SHOW MASTER STATUS;\nFLUSH BINARY LOGS;\nSHOW MASTER STATUS;\n", 5.0)]
    closing = binlogs.events((logs / ONE).read_bytes())[-1]
    assert (mark.position.file, mark.position.offset) == (ONE, summary.size - len(closing))
    assert summary.at(mark.position.offset) == summary.state
    assert mark.position.gtid == ",".join(str(one) for one in newest(summary.state))
    assert (mark.log_made, mark.server_id) == (summary.made, summary.server_id)


@pytest.mark.parametrize("closed", [ONE, FOUR, EMPTY])
def test_the_mark_is_a_place_that_a_restore_can_stop_at(logs: Path, closed: str) -> None:
    mark = close(Server((closed, 4), (FOLLOWING[closed], 400)), str(logs), 5.0)
    paths = [str(one) for one in logs.iterdir()]
    place = Position(mark.position.file, mark.position.offset)

    assert at_position(paths, Position(ONE, 4), mark.position).position == mark.position
    assert check(paths, Position(ONE, 4), mark.position).reach == place


def test_damage_in_what_was_just_written_is_found(logs: Path) -> None:
    data = bytearray((logs / ONE).read_bytes())
    begin = begins(logs / ONE)[-1]
    data[begin + 30] ^= 1
    (logs / ONE).write_bytes(data)

    with pytest.raises(DamageError, match="CRC"):
        close(Server((ONE, begin), (TWO, 400)), str(logs), 5.0)


def test_what_was_written_before_is_not_read_again_because_a_log_may_be_long(logs: Path) -> None:
    last = begins(logs / ONE)[-1]
    data = bytearray((logs / ONE).read_bytes())
    data[begins(logs / ONE)[0] + 30] ^= 1
    (logs / ONE).write_bytes(data)

    assert close(Server((ONE, last), (TWO, 400)), str(logs), 5.0).position.file == ONE


@pytest.mark.parametrize("ending", ["none", "another kind", "goes on", "another log"])
def test_a_log_that_does_not_end_by_going_on_in_the_next_one_is_no_restore_point(logs: Path, ending: str) -> None:
    *rest, closing = binlogs.events((logs / ONE).read_bytes())
    opening = binlogs.transactions((logs / ONE).read_bytes())[0][0]
    ends = {
        "none": [],
        "another kind": [closing[:4] + b"\x03" + closing[5:]],
        "goes on": [closing, opening],
        "another log": [closing],
    }
    (logs / ONE).write_bytes(binlogs.joined([*rest, *ends[ending]]))
    following = "other-bin.000002" if ending == "another log" else TWO

    with pytest.raises(NotClosedError, match=f"{ONE} does not end by going on in {following}"):
        close(Server((ONE, 4), (following, 400)), str(logs), 5.0)


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ((), "writes no binary log"),
        (((ONE, 4), (THREE, 4)), "closed another log at the same moment"),
        (((ONE, 4), (ONE, 4)), "closed another log at the same moment"),
        ((("../etc/mariadb-bin.000001", 4), (TWO, 4)), "is none in its directory"),
    ],
)
def test_what_the_server_says_is_looked_at_before_it_is_followed(
    logs: Path, places: tuple[tuple[str, int], ...], said: str
) -> None:
    with pytest.raises(NotClosedError, match=said):
        close(Server(*places), str(logs), 5.0)


@pytest.mark.parametrize(("room", "names", "counted"), [(15 << 20, 1000, 1000), (1 << 30, 63, 1000)])
def test_without_room_for_a_new_log_the_server_is_not_asked(
    logs: Path, monkeypatch: pytest.MonkeyPatch, room: int, names: int, counted: int
) -> None:
    monkeypatch.setattr(log_closing.os, "statvfs", lambda _: _free(room, names, counted))
    server = Server((ONE, 4), (TWO, 4))

    with pytest.raises(NotClosedError, match="no room for a new binary log"):
        close(server, str(logs), 5.0)
    assert server.asked == []


def test_a_file_system_that_counts_no_names_has_room(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_closing.os, "statvfs", lambda _: _free(1 << 30, 0, 0))

    assert close(Server((ONE, 4), (TWO, 4)), str(logs), 5.0).position.file == ONE


def _free(room: int, names: int, counted: int) -> Any:
    return os.statvfs_result((4096, 4096, 1 << 20, room >> 12, room >> 12, counted, names, names, 0, 255))
