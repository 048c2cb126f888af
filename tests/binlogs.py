"""Binary logs of MariaDB for tests: the real ones of tests/cases/binlogs, and what is made from their events."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

CASES = Path(__file__).parent / "cases" / "binlogs"
VERSIONS = ("10.11", "11.8")
MAGIC = b"\xfebin"
FORMAT, GTID = 15, 162


def log(number: int, version: str = "10.11", life: str = "rows") -> bytes:
    """Return one real log."""
    return (CASES / f"{life}-{version}" / f"mariadb-bin.{number:06}").read_bytes()


def life(version: str = "10.11") -> dict[str, bytes]:
    """Return the six logs of a life: rotated, stopped, crashed, rotated, empty, open."""
    return {f"mariadb-bin.{number:06}": log(number, version) for number in range(1, 7)}


def events(data: bytes) -> list[bytes]:
    """Return the events of a log."""
    found, at = [], len(MAGIC)
    while at < len(data):
        size = int.from_bytes(data[at + 9 : at + 13], "little")
        found.append(data[at : at + size])
        at += size
    return found


def joined(parts: Iterable[bytes]) -> bytes:
    """Return a log of these events, each with its right place and CRC."""
    data = bytearray(MAGIC)
    for part in parts:
        data += placed(part, len(data))
    return bytes(data)


def placed(event: bytes, at: int) -> bytes:
    """Return an event as the server would have written it at an offset."""
    body = bytearray(event[:-4])
    struct.pack_into("<I", body, 9, len(event))
    struct.pack_into("<I", body, 13, (at + len(event)) & 0xFFFFFFFF)
    summed = body[:17] + b"\0\0" + body[19:] if event[4] == FORMAT else body
    return bytes(body) + struct.pack("<I", zlib.crc32(summed))


def at(time: int, event: bytes) -> bytes:
    """Return an event as if it had been made at this second; its CRC comes with its place."""
    return struct.pack("<I", time) + event[4:]


def transactions(data: bytes) -> list[list[bytes]]:
    """Return the transactions of a log, each as its events."""
    found: list[list[bytes]] = []
    for event in events(data):
        if event[4] == GTID:
            found.append([])
        if found and event[4] not in (3, 4):
            found[-1].append(event)
    return found


def numbered(event: bytes, seq: int, domain: int = 0, server: int = 7) -> bytes:
    """Return the first event of a transaction with another number."""
    return event[:5] + struct.pack("<I", server) + event[9:19] + struct.pack("<QI", seq, domain) + event[31:]


def written(directory: Path, logs: dict[str, bytes]) -> list[str]:
    """Write logs into a directory and return their paths, in no order."""
    for name, data in logs.items():
        (directory / name).write_bytes(data)
    return [str(directory / name) for name in sorted(logs, reverse=True)]


def flipped(data: bytes, bit: int) -> bytes:
    """Return bytes with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def boundaries(data: bytes) -> Sequence[int]:
    """Return where each event ends."""
    ends, end = [], len(MAGIC)
    for event in events(data):
        end += len(event)
        ends.append(end)
    return ends
