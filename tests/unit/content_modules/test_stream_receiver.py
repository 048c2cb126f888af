"""What a server is told to be safe is in the file, byte for byte, and on the disk; nothing else is acknowledged."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from pathlib import Path

import pytest
from ansible.module_utils import stream_receiver
from ansible.module_utils.stream_connection import ConnectionFailedError, frame
from ansible.module_utils.stream_receiver import LogWriter, Receiver

from tests import binlogs

ONE, TWO = "mariadb-bin.000001", "mariadb-bin.000002"
FULL = 0xFFFFFF
ROTATE, HEARTBEAT, ARTIFICIAL = 4, 27, 0x20


def packets(event: bytes, *, asks: bool = False, mark: bytes = b"\xef") -> bytes:
    """An event as it is sent: in one packet, or in as many as it fills."""
    body = b"\0" + mark + bytes([asks]) + event
    parts = [body[at : at + FULL] for at in range(0, len(body), FULL)]
    parts += [b""] if len(body) % FULL == 0 else []
    return b"".join(len(part).to_bytes(3, "little") + b"\7" + part for part in parts)


def made_up(kind: int, body: bytes, flags: int = ARTIFICIAL) -> bytes:
    """An event that the server makes for its replicas alone."""
    return struct.pack("<IBIIIH", 0, kind, 11, 19 + len(body) + 4, 0, flags) + body + b"\1\2\3\4"


def turn_to(name: str) -> bytes:
    return packets(made_up(ROTATE, struct.pack("<Q", 4) + name.encode()))


def answer(name: str, position: int) -> bytes:
    """The acknowledgement as it is published: its length, its number 0, the mark, the position, the name."""
    body = b"\xef" + position.to_bytes(8, "little") + name.encode()
    return len(body).to_bytes(3, "little") + b"\0" + body


class Server:
    """The other end: gives one portion after the other, and looks into the directory when it is told something."""

    def __init__(self, directory: Path, portions: Iterable[bytes]) -> None:
        self._directory = directory
        self._portions = [part for portion in portions for part in (portion, None)]
        self.told: list[bytes] = []
        #: What was in the files each time.
        self.seen: list[dict[str, bytes]] = []

    def setblocking(self, _: bool) -> None:
        pass

    def recv_into(self, room: memoryview) -> int:
        if not self._portions:
            return 0
        portion = self._portions.pop(0)
        if portion is None:
            raise BlockingIOError
        if len(portion) > len(room):
            self._portions.insert(0, portion[len(room) :])
        given = portion[: len(room)]
        room[: len(given)] = given
        return len(given)

    def sendall(self, data: bytes) -> None:
        self.told.append(data)
        self.seen.append({one.name: one.read_bytes() for one in self._directory.iterdir()})


def received(directory: Path, portions: Iterable[bytes], *, durable: bool = True) -> Server:
    """Receive all of it, to the end of the connection."""
    directory.mkdir(exist_ok=True)
    server = Server(directory, portions)
    with pytest.raises(ConnectionFailedError, match="closed the connection"):
        Receiver(server, LogWriter(str(directory), durable=durable)).run()
    return server


def life(asks: Iterable[int] = ()) -> tuple[dict[str, bytes], bytes]:
    """Two logs of a server, and how it sends them; it asks for an answer after some of the events of the second."""
    logs = {ONE: binlogs.log(1, "11.8"), TWO: binlogs.log(2, "11.8")}
    sent = b""
    for name, data in logs.items():
        sent += turn_to(name)
        for number, event in enumerate(binlogs.events(data)):
            sent += packets(event, asks=name == TWO and number in set(asks))
            sent += packets(made_up(HEARTBEAT, b"mariadb-bin.000009", flags=0))
    return logs, sent


def test_logs_are_here_as_the_server_has_them_and_what_it_makes_up_is_not(tmp_path: Path) -> None:
    logs, sent = life()
    server = received(tmp_path / "logs", [sent])

    assert {one.name: one.read_bytes() for one in (tmp_path / "logs").iterdir()} == logs
    assert server.told == []


def test_what_came_last_before_the_server_was_gone_is_here(tmp_path: Path) -> None:
    server = Server(tmp_path, [])
    event = binlogs.events(binlogs.log(2, "11.8"))[0]
    server._portions = [turn_to(TWO) + packets(event)]

    with pytest.raises(ConnectionFailedError, match="closed the connection"):
        Receiver(server, LogWriter(str(tmp_path), durable=True)).run()
    assert (tmp_path / TWO).read_bytes() == binlogs.MAGIC + event


@pytest.mark.parametrize("step", [1, 97, 4096])
def test_it_does_not_matter_where_what_comes_is_cut(tmp_path: Path, step: int) -> None:
    logs, sent = life(asks=[3, 5])
    ends = binlogs.boundaries(logs[TWO])
    server = received(tmp_path / "logs", [sent[at : at + step] for at in range(0, len(sent), step)])

    assert {one.name: one.read_bytes() for one in (tmp_path / "logs").iterdir()} == logs
    assert server.told[-1] == answer(TWO, ends[5])
    assert all(told in (answer(TWO, ends[3]), answer(TWO, ends[5])) for told in server.told)


def test_an_answer_is_given_to_what_asks_for_it_and_after_it_is_in_the_file(tmp_path: Path) -> None:
    data = binlogs.log(2, "11.8")
    portions = [turn_to(TWO)] + [packets(one, asks=at in (2, 4)) for at, one in enumerate(binlogs.events(data))]
    server = received(tmp_path / "logs", portions)
    ends = binlogs.boundaries(data)

    assert server.told == [answer(TWO, ends[2]), answer(TWO, ends[4])]
    assert [seen[TWO] for seen in server.seen] == [data[: ends[2]], data[: ends[4]]]


def test_what_has_come_together_is_written_once_and_answered_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = binlogs.log(2, "11.8")
    ends = binlogs.boundaries(data)
    forced: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda at: forced.append(os.fstat(at).st_size))
    sent = turn_to(TWO) + b"".join(packets(one, asks=True) for one in binlogs.events(data))
    server = received(tmp_path / "logs", [sent])

    assert server.told == [answer(TWO, ends[-1])]
    assert forced == [len(data)]


@pytest.mark.parametrize("durable", [True, False])
def test_the_disk_is_waited_for_before_the_answer_where_that_is_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    order: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda _: order.append("disk"))
    monkeypatch.setattr(Server, "sendall", lambda *_: order.append("answer"))
    event = binlogs.events(binlogs.log(2, "11.8"))[0]
    received(tmp_path / "logs", [turn_to(TWO), packets(event, asks=True)], durable=durable)

    assert order == (["disk", "answer"] if durable else ["answer"])


def test_a_new_log_is_in_its_directory_on_the_disk_and_the_one_before_whole_there_before_anything_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(os, "fdatasync", lambda at: order.append(str(Path(f"/proc/self/fd/{at}").readlink())))
    monkeypatch.setattr(os, "fsync", lambda at: order.append(str(Path(f"/proc/self/fd/{at}").readlink())))
    monkeypatch.setattr(Server, "sendall", lambda *_: order.append("answer"))
    event = binlogs.events(binlogs.log(2, "11.8"))[0]
    place = tmp_path / "logs"
    received(place, [turn_to(ONE) + packets(event, asks=True) + turn_to(TWO) + packets(event)])

    directories = [str(place), str(tmp_path)]
    assert order == [*directories, str(place / ONE), *directories, str(place / TWO), "answer"]


class FullDisk:
    """A log for which there is no room."""

    def write(self, _: bytes) -> int:
        raise OSError(28, "No space left on device")

    def close(self) -> None:
        pass


def test_what_cannot_be_written_is_not_answered(tmp_path: Path) -> None:
    event = binlogs.events(binlogs.log(2, "11.8"))[0]
    server = Server(tmp_path, [packets(event, asks=True)])
    writer = LogWriter(str(tmp_path), durable=True)
    writer.name, writer.position, writer._file = TWO, 4, FullDisk()

    with pytest.raises(OSError, match="No space left"):
        Receiver(server, writer).run()
    assert server.told == []


def test_what_does_not_reach_the_disk_is_not_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", broken)
    event = binlogs.events(binlogs.log(2, "11.8"))[0]
    server = Server(tmp_path, [turn_to(TWO) + packets(event, asks=True)])

    with pytest.raises(OSError, match="Input/output"):
        Receiver(server, LogWriter(str(tmp_path), durable=True)).run()
    assert server.told == []


def test_a_hole_in_the_log_is_not_answered(tmp_path: Path) -> None:
    first, second, third, *_ = binlogs.events(binlogs.log(2, "11.8"))
    assert int.from_bytes(third[13:17], "little")
    server = Server(tmp_path, [turn_to(TWO) + packets(first) + packets(third, asks=True)])

    with pytest.raises(ConnectionFailedError, match="not here as the server has it"):
        Receiver(server, LogWriter(str(tmp_path), durable=True)).run()
    assert server.told == []
    assert second


@pytest.mark.parametrize("length", [FULL - 4, FULL - 3, FULL, 2 * FULL + 5])
def test_an_event_that_is_longer_than_a_packet_is_answered_when_its_end_is_there(tmp_path: Path, length: int) -> None:
    event = struct.pack("<IBIIIH", 1, 30, 11, length, 4 + length, 0) + b"x" * (length - 19)
    sent = packets(event, asks=True)
    last = 4 if (length + 3) % FULL == 0 else (length + 3) % FULL + 4
    portions = [turn_to(TWO), sent[: -last or None], sent[-last:]] if length + 3 >= FULL else [turn_to(TWO), sent]
    server = received(tmp_path / "logs", portions, durable=False)

    assert server.told == [answer(TWO, 4 + length)]
    assert (tmp_path / "logs" / TWO).read_bytes() == binlogs.MAGIC + event


@pytest.mark.parametrize(
    ("packet", "words"),
    [
        (frame(b"\xff" + (1236).to_bytes(2, "little") + b"#HY000Could not find first log file name"), "Could not find"),
        (frame(b"\xfe\0\0\2\0"), "ended the stream"),
        (frame(b"\0" * 30), "no marks of semi-sync"),
        (frame(b"\0\xef\1"), "no event"),
        (packets(binlogs.events(binlogs.log(2))[0]), "not said of which log"),
    ],
)
def test_what_is_no_event_of_a_log_ends_the_stream(tmp_path: Path, packet: bytes, words: str) -> None:
    server = Server(tmp_path, [packet])

    with pytest.raises(ConnectionFailedError, match=words):
        Receiver(server, LogWriter(str(tmp_path), durable=True)).run()
    assert server.told == []


@pytest.mark.parametrize("name", ["../a.000001", "/etc/a.000001", "a", "", "-a.000001", "a.000001\0", "a.000001/"])
def test_a_server_cannot_choose_where_is_written(tmp_path: Path, name: str) -> None:
    place = tmp_path / "logs"
    place.mkdir()

    with pytest.raises(ConnectionFailedError, match="as none is named"):
        Receiver(Server(place, [turn_to(name)]), LogWriter(str(place), durable=True)).run()
    assert list(tmp_path.rglob("*")) == [place]


def test_a_log_that_is_there_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / TWO).write_bytes(b"before")

    with pytest.raises(FileExistsError):
        Receiver(Server(tmp_path, [turn_to(TWO)]), LogWriter(str(tmp_path), durable=True)).run()
    assert (tmp_path / TWO).read_bytes() == b"before"


def test_it_ends_with_what_has_happened(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: str) -> dict[str, str]:
        raise ConnectionFailedError("it is not so")

    monkeypatch.setattr(stream_receiver.stream_connection, "options_of", refused)
    words = ["--defaults-extra-file=/o", "--host=a", "--port=1", "--user=u", "--server-id=7", "--result-file=/r/", ""]

    assert stream_receiver.main(words) == 1
    assert capsys.readouterr().err == "it is not so\n"
