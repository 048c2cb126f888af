"""Receives a binary log as a semi-synchronous replica does: what is acknowledged from here lets a commit go on.

A program that the follower runs where `mariadb-binlog` would run: that tool cannot acknowledge. It writes what the
server has in its own logs, byte for byte. An acknowledgement goes out when everything before it was written, never
earlier.
"""

from __future__ import annotations

import argparse
import os
import select
import ssl
import struct
import sys
from typing import TYPE_CHECKING

from ansible.module_utils import stream_connection
from ansible.module_utils.binlog_events import HEADER, MAGIC, ROTATE
from ansible.module_utils.stream_connection import ConnectionFailedError, frame
from ansible.module_utils.stream_files import is_log

if TYPE_CHECKING:
    import io
    import socket
    from collections.abc import Sequence

_CRC = 4
_HEARTBEAT = 27
#: The flag of events that the server makes up for its replicas: they stand in no log.
_ARTIFICIAL = 0x20
#: What a packet with an event begins with: that all is well, the mark of semi-sync, whether an answer is wanted.
_FINE, _MARK, _PREFIX = 0x00, 0xEF, 3
#: An event that fills a packet goes on in the next one.
_FULL = 0xFFFFFF
_ROOM = 1 << 20
_POSITION = 0xFFFFFFFF


class LogWriter:
    """The logs that are received, one file each, in one directory."""

    def __init__(self, directory: str, *, durable: bool) -> None:
        self._directory = directory
        self._durable = durable
        self._file: io.FileIO | None = None
        self._pieces: list[bytes | memoryview] = []
        self.name = ""
        #: Where the next byte goes, with what was added and is not written yet.
        self.position = 0

    def begin(self, name: str) -> None:
        """Go on in a log of this name; raises ConnectionFailedError when the name is none, and OSError."""
        if os.path.basename(name) != name or name.startswith("-") or not is_log(name):
            raise ConnectionFailedError("the server names a log as none is named")
        self.settle()
        self.leave()
        path = os.path.join(self._directory, name)
        self._file = open(path, "xb", buffering=0)  # noqa: SIM115 - stays open until the next one
        if self._durable:
            # A file is there after a crash when its directory says so, and that one's directory.
            _to_disk(self._directory)
            _to_disk(os.path.dirname(self._directory))
        self.name, self.position = name, 0
        self.add(MAGIC)

    def add(self, piece: bytes | memoryview) -> None:
        """Add what follows; it must stay as it is until `write`."""
        self._pieces.append(piece)
        self.position += len(piece)

    def write(self) -> None:
        """Give everything that was added to the kernel."""
        if self._pieces:
            if self._file is None:
                raise ConnectionFailedError("the server has not said of which log its events are")
            left = memoryview(b"".join(self._pieces))
            while left:
                left = left[self._file.write(left) :]
            self._pieces.clear()

    def settle(self) -> None:
        """Write everything, and return when it is where an acknowledgement promises it to be."""
        self.write()
        if self._durable and self._file is not None:
            os.fdatasync(self._file.fileno())

    def leave(self) -> None:
        """Close the log, as far as it was written."""
        if self._file is not None:
            self._file.close()
            self._file = None


class Receiver:
    """What comes over one connection, and goes into one writer."""

    def __init__(self, peer: socket.socket, writer: LogWriter) -> None:
        self._peer = peer
        self._writer = writer
        self._buffer = bytearray(_ROOM)
        self._end = 0
        #: The event that was begun goes on in the next packet.
        self._continued = False
        self._asked = False
        #: Where the event ends, as the server says it in four bytes; 0 where it does not say.
        self._told = 0
        self._owed: tuple[str, int] | None = None

    def run(self) -> None:
        """Receive until the connection ends; raises ConnectionFailedError, and OSError."""
        self._peer.setblocking(False)
        try:
            while self._fill():
                self._take()
                self._acknowledge()
            self._take()
        finally:
            self._writer.leave()
        raise ConnectionFailedError("the server has closed the connection")

    def _fill(self) -> bool:
        """Wait for something, and read all that has come: it is written and acknowledged together."""
        view = memoryview(self._buffer)
        before = self._end
        while self._end < len(self._buffer):
            try:
                count = self._peer.recv_into(view[self._end :])
            except (BlockingIOError, ssl.SSLWantReadError):
                if self._end > before:
                    break
                select.select([self._peer], [], [])
                continue
            if not count:
                return False
            self._end += count
        return True

    def _take(self) -> None:
        """Take every whole packet, and write what they hold."""
        buffer, view, begin, end = self._buffer, memoryview(self._buffer), 0, self._end
        size = 0
        while end - begin >= stream_connection.FRAME:
            size = int.from_bytes(buffer[begin : begin + 3], "little")
            stop = begin + stream_connection.FRAME + size
            if stop > end:
                break
            self._packet(view[stream_connection.FRAME + begin : stop])
            begin = stop
        self._writer.write()
        self._keep(begin, stream_connection.FRAME + size)

    def _keep(self, begin: int, wanted: int) -> None:
        """Move the begin of a packet to the begin of the buffer, which is made longer where the packet is."""
        if begin or wanted > len(self._buffer):
            left = self._buffer[begin : self._end]
            if wanted > len(self._buffer):
                self._buffer = bytearray(wanted + _ROOM)
            self._buffer[: len(left)] = left
            self._end = len(left)

    def _packet(self, packet: memoryview) -> None:
        if self._continued:
            self._writer.add(packet)
        else:
            self._event(packet)
        self._continued = len(packet) == _FULL
        if self._asked and not self._continued:
            self._owe()

    def _event(self, packet: memoryview) -> None:
        """Take an event, or its begin."""
        if len(packet) < _PREFIX + HEADER or packet[0] != _FINE:
            raise ConnectionFailedError(stream_connection.refusal(bytes(packet)))
        if packet[1] != _MARK:
            raise ConnectionFailedError("the server sends no marks of semi-sync: it has none, or lost it")
        event = packet[_PREFIX:]
        kind = event[4]
        if kind == _HEARTBEAT or event[17] & _ARTIFICIAL:
            if kind == ROTATE:
                self._writer.begin(bytes(event[HEADER + 8 : -_CRC]).decode("utf-8", "surrogateescape"))
            return
        self._writer.add(event)
        self._asked = packet[2] == 1
        self._told = int.from_bytes(event[13:17], "little")

    def _owe(self) -> None:
        """Note that an answer is wanted to the event that has just ended; the last one stands for all before it."""
        if self._told and self._told != self._writer.position & _POSITION:
            raise ConnectionFailedError(
                f"{self._writer.name} is not here as the server has it: it ends at {self._told}, and here at "
                f"{self._writer.position}; logs that are encrypted cannot be streamed so: set encrypt_binlog=OFF"
            )
        self._asked = False
        self._owed = (self._writer.name, self._writer.position)

    def _acknowledge(self) -> None:
        if self._owed is not None:
            name, position = self._owed
            self._writer.settle()
            self._peer.sendall(frame(struct.pack("<BQ", _MARK, position) + os.fsencode(name)))
            self._owed = None


def _to_disk(directory: str) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    for name in ("defaults-extra-file", "host", "user", "result-file"):
        parser.add_argument(f"--{name}", required=True)
    for name in ("port", "server-id"):
        parser.add_argument(f"--{name}", required=True, type=int)
    parser.add_argument("--fsync", action="store_true")
    parser.add_argument("first")
    return parser.parse_args(words)


def main(words: Sequence[str]) -> int:
    """Receive until something ends it, which is then said; there is no good end."""
    told = _arguments(words)
    try:
        options = stream_connection.options_of(told.defaults_extra_file)
        server = stream_connection.Server(told.host, told.port, told.user, told.server_id)
        connection = stream_connection.connect(server, options, told.first)
        Receiver(connection, LogWriter(told.result_file.rstrip("/"), durable=told.fsync)).run()
    except (ConnectionFailedError, OSError) as error:
        sys.stderr.write(f"{error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
