"""Takes binary logs of MariaDB apart: events, each checked as it is read, and the transactions that they make up."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from ansible.module_utils.disk_candidate import shown

MAGIC = b"\xfebin"
QUERY, STOP, ROTATE, FORMAT, XID, EXECUTE_LOAD, TABLE_MAP, INCIDENT, XA_PREPARE = 2, 3, 4, 15, 16, 18, 19, 26, 38
CHECKPOINT, GTID, GTID_LIST, START_ENCRYPTION, QUERY_COMPRESSED = 161, 162, 163, 164, 165

#: An event begins with: time, kind, id of the server, size, where the next one begins, flags. It ends with its CRC.
HEADER = 19
_CRC = 4
_FRAME = struct.Struct("<4xB4xII")
_FORMAT = struct.Struct("<IB4xIIHH50sIB")
#: Of the event that a transaction begins with: server, number, domain.
NUMBER = struct.Struct("<5xI10xQI")
_LISTED = struct.Struct("<IIQ")
_QUERY = struct.Struct("<8xB2xH")
#: What CRC32 gives over anything that its own CRC32 follows.
_RIGHT = 0x2144DF1C
_IN_USE = 1
_STANDALONE = 1
_POSITION = 0xFFFFFFFF
_LEAST = HEADER + _CRC
#: Events up to this size are checked many at a time.
_SHORT = 512
_BLOCK = 1 << 20
#: So much of an event that is longer than a block is handed out; all of it is checked.
_HEAD = 1 << 16
_LONGEST_TEXT = 1 << 24
#: Events with rows, and what they do to them: of two versions, plain and compressed.
ROWS = {
    **dict.fromkeys((23, 30, 166, 169), "inserts into"),
    **dict.fromkeys((24, 31, 167, 170), "updates"),
    **dict.fromkeys((25, 32, 168, 171), "deletes from"),
}
OUTSIDE = frozenset({STOP, ROTATE, INCIDENT, GTID_LIST, CHECKPOINT})
#: The server ends a log with one of these when it closes it.
ENDS = {ROTATE: "rotate", STOP: "stop"}
_INSIDE = frozenset({GTID, XID, QUERY, QUERY_COMPRESSED, XA_PREPARE, EXECUTE_LOAD})
#: Different tables and kinds of rows of one transaction that are kept.
_MOST_PIECES = 64

#: What the functions below raise over an event that has the right CRC and is nothing that MariaDB writes.
NOT_UNDERSTOOD = (struct.error, IndexError, ValueError, zlib.error)

Event = tuple[int, int, int, bytes]
Found = tuple[int, int, int]
Block = tuple[bytes, int, list[Found]]
Pieces = dict[tuple[int, bytes], None]


class BinlogError(Exception):
    """A binary log cannot be read, or not be used for what is asked; the message says what to do."""


class EncryptedError(BinlogError):
    """A binary log is encrypted, and the key is the server's."""


@dataclass(frozen=True)
class Damage:
    """Where a log is not what the server wrote."""

    offset: int
    words: str
    #: The file just ends too early; what is there is right.
    torn: bool = False


class DamageError(BinlogError):
    """A binary log is not what the server wrote."""

    def __init__(self, damage: Damage) -> None:
        super().__init__(f"at offset {damage.offset}, {damage.words}")
        self.damage = damage


class Gtid(NamedTuple):
    """The number of a transaction."""

    domain: int
    server: int
    seq: int

    def __str__(self) -> str:
        return f"{self.domain}-{self.server}-{self.seq}"


@dataclass(frozen=True)
class Format:
    """What a log says about itself at its begin."""

    server_version: str
    server_id: int
    made: int
    #: The server began this log when it was started, and not because the one before was full or flushed.
    at_startup: bool
    #: The server has the log open, or was killed while it had.
    in_use: bool
    end: int


class Group(NamedTuple):
    """A whole transaction, or one event that stands outside of all (its kind is then not GTID)."""

    kind: int
    begin: int
    end: int
    first: bytes
    last: bytes
    pieces: Pieces


def read_format(source: BinaryIO) -> Format:
    """Read the begin of a log, and stand at its first event; raises DamageError."""
    if (magic := source.read(4)) != MAGIC:
        _refuse_encrypted(magic == b"\xfdbin")
        raise DamageError(Damage(0, "this is no binary log: it does not begin with its four letters", len(magic) < 4))
    head = source.read(HEADER)
    size = _FRAME.unpack_from(head)[1] if len(head) == HEADER else 0
    event = head + source.read(min(max(size - HEADER, 0), _HEAD))
    if len(head) < HEADER or len(event) < size:
        raise DamageError(Damage(4, f"the format event is torn: the file ends {len(event)} bytes later", torn=True))
    found = _format(event)
    following = source.read(HEADER)
    _refuse_encrypted(following[4:5] == bytes([START_ENCRYPTION]))
    source.seek(found.end)
    return found


def _refuse_encrypted(encrypted: bool) -> None:
    if encrypted:
        raise EncryptedError(
            "it is encrypted, and only its server can read it: set encrypt_binlog=OFF for logs to be kept"
        )


def _format(event: bytes) -> Format:
    if len(event) < _FORMAT.size + 1 + _CRC:
        raise DamageError(Damage(4, "the format event is too short"))
    made, kind, size, end, flags, version, server, created, header = _FORMAT.unpack_from(event)
    # The server sets this flag when it opens the log and clears it when it closes it, and leaves the CRC alone.
    cleared = event[:17] + struct.pack("<H", flags & ~_IN_USE) + event[HEADER:]
    if zlib.crc32(cleared) != _RIGHT:
        raise DamageError(Damage(4, "the format event is not what was written: its CRC does not fit"))
    if (kind, version, header, end) != (FORMAT, 4, HEADER, 4 + size):
        raise DamageError(Damage(4, "the log is of another format than MariaDB writes (version 4)"))
    if event[-1 - _CRC] != 1:
        raise DamageError(Damage(4, "its events have no CRC, so nothing proves them: set binlog_checksum=CRC32"))
    name = shown(server.rstrip(b"\0").decode("utf-8", "replace"))
    return Format(name, server_id(event), made, created != 0, bool(flags & _IN_USE), end)


def events(source: BinaryIO, at: int, wanted: frozenset[int]) -> Iterator[Event]:
    """Yield kind, begin, end and bytes of the wanted events from here on; checks all; raises DamageError."""
    for block, offset, found in blocks(source, at, wanted):
        for kind, begin, end in found:
            yield kind, offset + begin, offset + end, block[begin:end]


def blocks(source: BinaryIO, at: int, wanted: frozenset[int]) -> Iterator[Block]:
    """Yield the log from here on block by block, checked: bytes, offset, and kind, begin, end of wanted events in it.

    Of an event that is longer than a block there is only the begin. Raises DamageError behind all that is right.
    """
    block = b""
    while more := source.read(_BLOCK):
        block += more
        found, runs = _scanned(block, at, wanted)
        right, all_right = _right_until(block, runs)
        while found and found[-1][2] > right:
            found.pop()
        yield block, at, found
        at, block = at + right, block[right:]
        if not all_right:
            raise DamageError(Damage(at, "an event is not what was written: its CRC does not fit"))
        if len(block) >= HEADER and (size := _sane_size(at, block)) > _BLOCK:
            kind, head = _long_event(source, at, block, size)
            yield head, at, [(kind, 0, size)] if kind in wanted else []
            at, block = at + size, b""
    if block:
        raise _torn(at, len(block))


def _scanned(block: bytes, at: int, wanted: frozenset[int]) -> tuple[list[Found], list[list[int]]]:
    """Return kind, begin and end of the wanted events of a block, and the sizes of all, run by run.

    This is the inner loop of all that is read: a drill waits for it. What it returns is not checked yet.
    """
    unpack, most, limit, begin = _FRAME.unpack_from, _SHORT, len(block) - HEADER, 0
    found: list[Found] = []
    sizes: list[int] = []
    runs, keep, add = [sizes], found.append, sizes.append
    while begin <= limit:
        kind, size, following = unpack(block, begin)
        end = begin + size
        if kind in wanted:
            # Since 11.4 only the last event of a transaction says where it ends; the others say 0.
            if following and following != (at + end) & _POSITION:
                break
            keep((kind, begin, end))
        if _LEAST <= size <= most:
            add(size)
        elif size < _LEAST or end > len(block):
            break
        else:
            sizes = []
            runs += [[size], sizes]
            add = sizes.append
        begin = end
    if begin > len(block):
        sizes.pop()
    return found, runs


def _right_until(block: bytes, runs: list[list[int]]) -> tuple[int, bool]:
    """Return where the events of a block that have the right CRC end, and whether those are all."""
    view, at = memoryview(block), 0
    for sizes in runs:
        end = at + sum(sizes)
        if not _right(view[at:end], sizes):
            for size in sizes:
                if zlib.crc32(view[at : at + size]) != _RIGHT:
                    break
                at += size
            return at, False
        at = end
    return at, True


def _right(run: memoryview, sizes: list[int]) -> bool:
    """Whether all events of a run have the right CRC.

    The CRC over events that each end with their own CRC depends on nothing but their sizes. So it is the one over
    events of the same sizes that are all zeros: two checks of a whole run take half the time of a check of each event,
    and the chance that two wrong events hide each other is that of one hiding itself.
    """
    if len(sizes) == 1:
        return zlib.crc32(run) == _RIGHT
    return zlib.crc32(run) == zlib.crc32(b"".join(map(_ZEROS.__getitem__, sizes)))


def _zeros(size: int) -> bytes:
    body = bytes(size - _CRC)
    return body + struct.pack("<I", zlib.crc32(body))


_ZEROS = {size: _zeros(size) for size in range(_LEAST, _SHORT + 1)}


def _sane_size(at: int, head: bytes) -> int:
    """Return how long the event is that begins here and is not whole yet."""
    _, size, following = _FRAME.unpack_from(head)
    if size < _LEAST or (following and following != (at + size) & _POSITION):
        raise DamageError(Damage(at, "an event says that it ends where it cannot end"))
    return int(size)


def _long_event(source: BinaryIO, at: int, block: bytes, size: int) -> tuple[int, bytes]:
    """Check an event that is longer than a block piece by piece; return its kind and its begin."""
    head, crc, have = block[:_HEAD], zlib.crc32(block), len(block)
    while have < size and (more := source.read(min(_BLOCK, size - have))):
        head += more[: _HEAD - len(head)]
        crc, have = zlib.crc32(more, crc), have + len(more)
    if have < size:
        raise _torn(at, have)
    if crc != _RIGHT:
        raise DamageError(Damage(at, "an event is not what was written: its CRC does not fit"))
    return head[4], head


def _torn(at: int, have: int) -> DamageError:
    return DamageError(Damage(at, f"the last event is torn: the file ends {have} bytes later, within it", torn=True))


def groups(source: BinaryIO, at: int, extra: frozenset[int] = frozenset()) -> Iterator[Group]:
    """Yield whole transactions, and what stands between them; an unfinished one at the end is left out.

    `extra` names kinds of events that are given as pieces of their transaction: one for each table that they name.
    """
    opened: tuple[int, bytes] | None = None
    pieces: Pieces = {}
    last: tuple[int, bytes] = (0, b"")
    for kind, begin, end, event in events(source, at, OUTSIDE | _INSIDE | extra):
        if opened and (kind == GTID or kind in OUTSIDE):
            # It ended with an event of a kind that is not known here: the server writes whole transactions only.
            yield Group(GTID, opened[0], begin, opened[1], last[1] or opened[1], pieces)
            opened = None
        if kind == GTID:
            opened, pieces, last = (begin, event), {}, (end, event)
        elif opened is None:
            yield Group(kind, begin, end, event, event, {})
        else:
            last = (end, event)
            if kind in extra:
                _keep(pieces, kind, event)
            if kind == XID or _ends(kind, event, opened[1]):
                yield Group(GTID, opened[0], end, opened[1], event, pieces)
                opened = None


def _keep(pieces: Pieces, kind: int, event: bytes) -> None:
    """Keep one event of each kind and table; of rows only the number of their table."""
    if len(pieces) < _MOST_PIECES:
        whole = kind in (QUERY, QUERY_COMPRESSED, TABLE_MAP)
        pieces[kind, event[HEADER:-_CRC][:_HEAD] if whole else event[HEADER : HEADER + 6]] = None


def _ends(kind: int, event: bytes, opening: bytes) -> bool:
    """Whether an event is the last one of its transaction."""
    if kind in (XA_PREPARE, XID):
        return True
    if kind not in _INSIDE:
        return False
    if opening[HEADER + 12] & _STANDALONE:
        return True
    return kind == QUERY and query(event[HEADER:-_CRC])[1].strip().upper() in ("COMMIT", "ROLLBACK")


def when(event: bytes, begin: int = 0) -> int:
    """When an event was made: seconds since 1970, as the server's clock had it."""
    return int.from_bytes(event[begin : begin + 4], "little")


def server_id(event: bytes) -> int:
    """Which server made an event."""
    return int.from_bytes(event[5:9], "little")


def gtid(event: bytes, begin: int = 0) -> Gtid:
    """The number that a transaction begins with."""
    server, seq, domain = NUMBER.unpack_from(event, begin)
    return Gtid(domain, server, seq)


def gtid_list(event: bytes) -> list[Gtid]:
    """The last number of each domain and server before this log; of one domain, the newest is the last one."""
    body = event[HEADER:-_CRC]
    count = int.from_bytes(body[:4], "little") & 0x0FFFFFFF
    if len(body) < 4 + count * _LISTED.size:
        raise ValueError("the list of transactions is shorter than it says")
    return [Gtid(*_LISTED.unpack_from(body, 4 + number * _LISTED.size)) for number in range(count)]


def next_name(event: bytes) -> str:
    """The log that goes on where this one was rotated."""
    name: str = shown(event[HEADER + 8 : -_CRC].decode("utf-8", "surrogateescape"))
    return name


def query(body: bytes) -> tuple[str, str]:
    """The schema that was in use, and the text of a statement."""
    schema_length, status_length = _QUERY.unpack_from(body)
    begin = _QUERY.size + status_length
    end = begin + schema_length
    return _text(body[begin:end]), _text(body[end + 1 :])


def query_compressed(body: bytes) -> tuple[str, str]:
    """The same of a statement whose text was compressed."""
    schema_length, status_length = _QUERY.unpack_from(body)
    begin = _QUERY.size + status_length
    end = begin + schema_length
    packed = body[end + 1 :]
    length_bytes = packed[0] & 7
    unpacked = zlib.decompressobj().decompress(packed[1 + length_bytes :], _LONGEST_TEXT)
    return _text(body[begin:end]), _text(unpacked)


def table_map(body: bytes) -> tuple[bytes, str, str]:
    """The number, the schema and the name of a table whose rows follow."""
    schema_end = 9 + body[8]
    name_begin = schema_end + 2
    return body[:6], _text(body[9:schema_end]), _text(body[name_begin : name_begin + body[schema_end + 1]])


def _text(encoded: bytes) -> str:
    return encoded.decode("utf-8", "replace")
