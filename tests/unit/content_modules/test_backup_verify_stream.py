"""Streamed files go on from one start to the next, and nothing is removed before a newer start is past it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ansible.module_utils import stream_follower, stream_semi_sync, stream_unit
from ansible.module_utils.binlog_events import DamageError, Gtid
from ansible.module_utils.host_step import StepError
from ansible.module_utils.stream_files import best, first_choices, following, look, superseded
from ansible.module_utils.stream_follower import Follower, StreamError
from ansible.module_utils.stream_tail import Tail, missing
from ansible.module_utils.stream_unit import StreamState, StreamUnit, server_id

from tests import binlogs

DAY = 86400.0
NOW = 1_795_000_000.0
ONE, TWO, THREE = (f"mariadb-bin.{number:06}" for number in range(1, 4))


def put(root: Path, start: str, *files: tuple[str, int], age: float = 0.0, fill: bytes = b"x") -> None:
    (root / start).mkdir(parents=True, exist_ok=True)
    for name, size in files:
        path = root / start / name
        path.write_bytes(fill * size)
        os.utime(path, (NOW - age, NOW - age))


def names(root: Path) -> list[tuple[str, str]]:
    return [(one.start, one.name) for one in superseded(look(root.as_posix()), NOW, 3)]


def test_the_last_file_of_a_start_is_open_and_what_is_no_log_is_not_looked_at(tmp_path: Path) -> None:
    put(tmp_path, "a", (ONE, 5), (TWO, 6), ("errors", 1))
    put(tmp_path, "b")
    (tmp_path / "status.json").write_text("{}")

    assert [(one.name, one.size, one.open) for one in look(str(tmp_path))] == [(ONE, 5, False), (TWO, 6, True)]
    assert look(str(tmp_path / "missing")) == []


def test_a_start_goes_on_with_the_last_file_of_the_newest_start_that_has_one(tmp_path: Path) -> None:
    assert first_choices(look(str(tmp_path))) == []
    put(tmp_path, "a", (ONE, 5), (TWO, 6))
    put(tmp_path, "b", (TWO, 6), (THREE, 1))
    put(tmp_path, "c")

    assert first_choices(look(str(tmp_path))) == [THREE, "mariadb-bin.000004"]
    assert following("bin.999999") == "bin.1000000"


def test_an_older_copy_stays_until_the_newer_one_is_past_it(tmp_path: Path) -> None:
    put(tmp_path, "a", (ONE, 5), (TWO, 6))
    put(tmp_path, "b", (TWO, 5))
    assert names(tmp_path) == []

    put(tmp_path, "b", (TWO, 6))
    assert names(tmp_path) == [("a", TWO)]


def test_closed_files_go_when_they_are_out_of_their_time_and_the_open_one_never(tmp_path: Path) -> None:
    put(tmp_path, "a", (ONE, 5), age=4 * DAY)
    put(tmp_path, "b", (TWO, 5), (THREE, 5), age=4 * DAY)

    assert names(tmp_path) == [("b", TWO), ("a", ONE)]


def test_of_two_copies_of_a_log_the_longer_one_is_used_and_of_two_logs_the_newer_one(tmp_path: Path) -> None:
    put(tmp_path, "a", (ONE, 9))
    put(tmp_path, "b", (ONE, 5))
    assert [one.start for one in best(look(str(tmp_path)))] == ["a"]

    # After RESET MASTER.
    put(tmp_path, "b", (ONE, 5), fill=b"y")
    assert [one.start for one in best(look(str(tmp_path)))] == ["b"]


@pytest.mark.parametrize("version", binlogs.VERSIONS)
def test_a_tail_has_what_is_whole_and_goes_on_wherever_it_was_cut(tmp_path: Path, version: str) -> None:
    whole = binlogs.life(version)
    (tmp_path / "all").mkdir()
    binlogs.written(tmp_path / "all", whole)
    at_once = Tail(str(tmp_path / "all"))
    at_once.read()

    slowly = tmp_path / "slowly"
    slowly.mkdir()
    tail = Tail(str(slowly))
    for name, data in whole.items():
        for end in [*range(0, len(data), 97), len(data)]:
            (slowly / name).write_bytes(data[:end])
            tail.read()

    assert (tail.state, tail.name, tail.offset) == (at_once.state, at_once.name, at_once.offset)
    assert tail.state


def test_a_transaction_counts_when_its_last_event_is_there(tmp_path: Path) -> None:
    data = binlogs.log(2)
    last = binlogs.transactions(data)[0]
    begin = data.index(last[0])
    end = begin + sum(len(part) for part in last)
    tail = Tail(str(tmp_path))
    (tmp_path / TWO).write_bytes(data[: end - 1])
    tail.read()
    before = dict(tail.state)
    (tmp_path / TWO).write_bytes(data[:end])
    tail.read()

    assert before != tail.state


def test_a_flipped_bit_is_no_torn_end(tmp_path: Path) -> None:
    data = bytearray(binlogs.log(2))
    data[len(data) // 2] ^= 1
    (tmp_path / TWO).write_bytes(bytes(data))

    with pytest.raises(DamageError):
        Tail(str(tmp_path)).read()


def test_what_is_missing_is_told_by_domain() -> None:
    state = {0: Gtid(0, 1, 5), 1: Gtid(1, 2, 9)}

    assert missing(state, "") == []
    assert missing(state, "0-1-5,1-2-8") == []
    assert missing(state, "0-1-6, 1-2-9,2-1-1") == ["0-1-6", "2-1-1"]


def test_two_sources_and_two_machines_have_other_numbers_that_no_server_is_given_by_hand() -> None:
    found = {server_id(machine, source) for machine in ("a", "b") for source in ("x", "y")}

    assert len(found) == 4
    assert all(2**31 <= one < 2**32 for one in found)
    assert server_id("a", "x") == server_id("a", "x")


TOOL = """#!/bin/sh
for word in "$@"; do
    case "$word" in --result-file=*) place="${word#--result-file=}" ;; esac
    name="$word"
done
echo "$name" >> "$HAS/asked"
case "$name" in
    "") name="$(ls "$HAS/logs" | head -n 1)" ;;
    *) [ -e "$HAS/logs/$name" ] || { echo "ERROR: Could not find first log file name in binary log" >&2; exit 1; } ;;
esac
cp "$HAS/logs/$name" "$place$name"
exec sleep 60
"""


@pytest.fixture
def follower(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Follower:
    """One whose tool copies a log of `logs`, when that is there."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "bin" / "mariadb-binlog").write_text(TOOL)
    (tmp_path / "bin" / "mariadb-binlog").chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("HAS", str(tmp_path))
    # It is the follower that is to be nice, not all tests that come after this one.
    monkeypatch.setattr(os, "nice", lambda _more: 0)
    return fresh(tmp_path)


def fresh(tmp_path: Path) -> Follower:
    root = tmp_path / "root"
    root.mkdir(exist_ok=True)
    settings = {"directory": str(root), "address": "a", "port": 1, "user": "u", "server_id": 7, "days": 3}
    settings |= {"semi_sync": False, "semi_sync_fsync": True}
    return Follower({**settings, "options_file": "/o", "source": "a", "metrics_file": str(tmp_path / "a.prom")})


def begin(follower: Follower) -> str:
    """Begin, and end the tool again; return what is said of a break."""
    try:
        follower._begin()
    finally:
        if follower._child:
            follower._child.kill()
            follower._child.wait()
    follower._show()
    return str(follower._status["broken"])


def asked(tmp_path: Path) -> list[str]:
    return (tmp_path / "asked").read_text().split("\n")[:-1]


def test_the_first_start_begins_with_the_oldest_log_that_the_server_has(tmp_path: Path, follower: Follower) -> None:
    (tmp_path / "logs" / TWO).write_bytes(binlogs.log(2))

    assert begin(follower) == ""
    assert asked(tmp_path) == [""]
    assert [one.name for one in look(str(tmp_path / "root"))] == [TWO]


def test_a_start_goes_on_after_one_that_was_purged_where_that_was_whole(tmp_path: Path, follower: Follower) -> None:
    put(tmp_path / "root", "20200101T000000Z", (ONE, 5), (TWO, 5))
    (tmp_path / "logs" / THREE).write_bytes(binlogs.log(3))

    begin(follower)

    assert asked(tmp_path) == [TWO, THREE]


def test_where_the_server_has_purged_what_follows_the_break_is_said_until_a_look_finds_all_whole(
    tmp_path: Path, follower: Follower
) -> None:
    put(tmp_path / "root", "20200101T000000Z", (ONE, 5))
    (tmp_path / "logs" / "mariadb-bin.000009").write_bytes(binlogs.log(3))

    said = begin(follower)
    assert "purged mariadb-bin.000001" in said
    assert asked(tmp_path) == [ONE, TWO, ""]
    # The next start has nothing to do with it, and still says so.
    assert begin(fresh(tmp_path)) == said

    (tmp_path / "root" / stream_follower.JOINED).write_text('{"joined": 1.0, "covered": 5.0, "at": 99999999999.0}')
    assert begin(fresh(tmp_path)) == ""


def test_any_other_error_of_the_tool_ends_the_start_and_leaves_no_directory(tmp_path: Path, follower: Follower) -> None:
    (tmp_path / "bin" / "mariadb-binlog").write_text("#!/bin/sh\necho 'Access denied' >&2\nexit 1\n")

    with pytest.raises(StreamError, match="Access denied"):
        follower.run()
    assert [one.name for one in (tmp_path / "root").iterdir() if one.is_dir()] == []
    assert "Access denied" in (tmp_path / "root" / "status.json").read_text()


@pytest.mark.parametrize(
    ("joined", "broken", "point"),
    [(1.0, "", 900.0), (0.0, "", 500.0), (1.0, "a gap", 500.0)],
)
def test_the_stream_counts_only_when_it_goes_on_from_what_was_shipped(
    tmp_path: Path, follower: Follower, joined: float, broken: str, point: float
) -> None:
    (tmp_path / "root" / stream_follower.JOINED).write_text(f'{{"joined": {joined}, "covered": 500.0, "at": 1.0}}')
    follower._status.update(point=900.0, broken=broken)
    follower._show()

    shown = (tmp_path / "a.prom").read_text().splitlines()
    assert f'remediate_backup_recoverable_point_timestamp_seconds{{source="a"}} {point}' in shown


def test_a_position_that_never_comes_ends_a_dead_connection(
    tmp_path: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "start")
    follower._tail = Tail(str(tmp_path / "start"))
    follower._wanted = ("0-1-5", 100.0, 0.0)
    monkeypatch.setattr(stream_follower.time, "monotonic", lambda: 59.0)
    follower._read()
    monkeypatch.setattr(stream_follower.time, "monotonic", lambda: 61.0)

    with pytest.raises(StreamError, match="did not come"):
        follower._read()


@pytest.mark.parametrize(("fsync", "words"), [(True, ["--fsync"]), (False, [])])
def test_semi_sync_runs_our_own_receiver_in_place_of_the_tool(tmp_path: Path, fsync: bool, words: list[str]) -> None:
    follower = fresh(tmp_path)
    assert follower._tool("/d", ONE)[0] == "mariadb-binlog"
    follower._settings |= {"semi_sync": True, "semi_sync_fsync": fsync}

    assert follower._tool("/d", ONE) == [
        *(sys.executable, "-B", "-m", "ansible.module_utils.stream_receiver"),
        *("--defaults-extra-file=/o", "--host=a", "--port=1", "--user=u", "--server-id=7", *words),
        *("--result-file=/d/", ONE),
    ]


WAITS = ["1", "AFTER_SYNC", "ON", "1", "5"]


@pytest.mark.parametrize(
    ("at", "value", "before", "words"),
    [
        (0, "1", 5, ""),
        (0, "0", 5, "set rpl_semi_sync_master_enabled=ON"),
        (1, "AFTER_COMMIT", 5, "wait_point=AFTER_SYNC"),
        (2, "OFF", 5, "no acknowledgement came in time"),
        (3, "2", 5, "2 replicas acknowledge"),
        (3, "0", 5, "0 replicas acknowledge"),
        (4, "7", 5, "not waited for 2 transactions"),
        # The server was started anew.
        (4, "0", 5, ""),
    ],
)
def test_what_lets_an_acknowledged_transaction_be_lost_is_told(at: int, value: str, before: int, words: str) -> None:
    said = stream_semi_sync.trouble([*WAITS[:at], value, *WAITS[at + 1 :]], before)

    assert (words in said) if words else (said == "")
    assert not said or said.startswith("semi-sync is off: acknowledged transactions may be lost (")


CLIENT = """#!/bin/sh
printf '%s\\n' "$@" > "$HAS/question"
printf '0-1-5\\tuid\\t%s\\n' "$(cat "$HAS/waits")"
"""


def asking(tmp_path: Path, follower: Follower, *answer: str) -> tuple[str, str]:
    """Ask the server, which answers so; return what the stream says of it, and what the monitoring is shown."""
    (tmp_path / "waits").write_text("\t".join(answer))
    follower._ask()
    follower._show()
    shown = (tmp_path / "a.prom").read_text().splitlines()
    return str(follower._status["semi_sync"]), next((one for one in shown if one.startswith(METRIC)), "")


METRIC = 'remediate_backup_stream_semi_sync{source="a"} '


def test_whether_the_server_waits_is_asked_with_where_it_is_and_shown(tmp_path: Path, follower: Follower) -> None:
    (tmp_path / "bin" / "mariadb").write_text(CLIENT)
    (tmp_path / "bin" / "mariadb").chmod(0o700)
    follower._settings["semi_sync"] = True

    # What it had not waited for before the stream was begun says nothing about now.
    assert asking(tmp_path, follower, *WAITS) == ("", f"{METRIC}1.0")
    wanted = follower._wanted
    assert wanted is not None
    said, shown = asking(tmp_path, follower, *WAITS[:4], "6")
    assert ("not waited for 1 transactions" in said, shown) == (True, f"{METRIC}0.0")
    assert asking(tmp_path, follower, *WAITS[:4], "6") == ("", f"{METRIC}1.0")
    # A stream that is late is asked about all the same, and the place that it has to reach stays.
    assert follower._wanted == wanted
    assert "rpl_semi_sync_master_no_tx" in (tmp_path / "question").read_text()


class Receiving:
    """A tool that goes on for two turns."""

    def __init__(self) -> None:
        self._turns: list[int | None] = [None, None, 1]

    def poll(self) -> int | None:
        return self._turns.pop(0)


def test_the_server_is_asked_again_while_the_stream_is_late(
    tmp_path: Path, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / "root", "start")
    (tmp_path / "root" / "errors").write_text("gone")
    follower._tail = Tail(str(tmp_path / "root" / "start"))
    follower._status["start"] = "start"
    follower._wanted = ("0-1-5", 100.0, time.monotonic())
    monkeypatch.setattr(follower, "_child", Receiving())
    asked: list[int] = []
    monkeypatch.setattr(follower, "_ask", lambda: asked.append(1))

    with pytest.raises(StreamError, match="has ended: gone"):
        follower._follow()
    assert asked == [1]


def test_a_stream_that_the_server_does_not_wait_for_says_nothing_of_semi_sync(
    tmp_path: Path, follower: Follower
) -> None:
    (tmp_path / "bin" / "mariadb").write_text(CLIENT.replace("\\tuid\\t%s", "\\tuid"))
    (tmp_path / "bin" / "mariadb").chmod(0o700)

    assert asking(tmp_path, follower) == ("", "")
    assert follower._wanted is not None
    assert "semi_sync" not in (tmp_path / "question").read_text()


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StreamUnit:
    (tmp_path / "password").write_text('se"cr\\et\n')
    monkeypatch.setattr(stream_unit, "this_machine", lambda: "machine")
    stream = {"address": "db", "port": 3306, "user": "binlog", "password_file": str(tmp_path / "password")}
    stream |= {"semi_sync": False, "semi_sync_fsync": True}
    settings = {"stream_dir": str(tmp_path / "streams"), "metrics_file": "/m/backup.prom", "keep_log_days": 3}
    return StreamUnit({"name": "a", "stream": stream}, settings)


def test_the_password_is_in_one_file_alone(unit: StreamUnit) -> None:
    having = [path for path, text in unit._files().items() if "cr" in text and "et" in text and "se\\" in text]

    assert [Path(path).name for path in having] == ["options.cnf"]


def test_the_program_works_with_nothing_but_the_files_that_are_written(tmp_path: Path, unit: StreamUnit) -> None:
    for path, text in unit._files().items():
        if path.endswith(".py"):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text(text)
    environment = {"PYTHONPATH": str(tmp_path / "streams" / ".program"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["/usr/bin/python3", "-S", "-B", "-c", "from ansible.module_utils import stream_follower, stream_receiver"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_unit_that_was_changed_or_is_of_another_program_is_not_as_it_should_be(
    unit: StreamUnit, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = unit._files()
    monkeypatch.setattr(stream_unit, "_read", lambda path: files[path])
    answer = "ActiveState=active\nUnitFileState=enabled\n"
    monkeypatch.setattr(stream_unit, "run_program", lambda *_: subprocess.CompletedProcess([], 0, answer, ""))
    monkeypatch.setattr(subprocess.CompletedProcess, "output", property(lambda self: self.stdout), raising=False)
    assert unit.state().unit == ""

    changed = unit.name
    monkeypatch.setattr(stream_unit, "_read", lambda path: files[path] + ("#" if path.endswith(changed) else ""))
    assert "is not" in unit.state().unit


@pytest.mark.parametrize(("point", "semi_sync", "fails"), [(1.0, "", False), (1.0, "off", False), (-1.0, "", True)])
def test_a_stream_works_when_all_is_here_and_the_server_is_given_time_to_wait_for_it(
    unit: StreamUnit, monkeypatch: pytest.MonkeyPatch, point: float, semi_sync: str, fails: bool
) -> None:
    clock = [0.0]
    monkeypatch.setattr(stream_unit.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(stream_unit.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
    state = StreamState("", point, 0.1, "s", "refused", "", semi_sync)
    monkeypatch.setattr(StreamUnit, "state", lambda _: state)
    if fails:
        with pytest.raises(StepError, match="does not work: refused"):
            unit._await(0.0)
    else:
        unit._await(0.0)

    assert (29 < clock[0] < 31) if semi_sync or fails else (clock[0] == 0)
