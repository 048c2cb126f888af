"""Reads who asked for what from the end of an access log.

Every line is written by strangers, and believed in nothing but the peer's address, which is its first word, its moment
and its status.
"""

from __future__ import annotations

import calendar
import json
import os
import re
import stat
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from ansible.module_utils.address_guard import Address, Network, address_of
from ansible.module_utils.host_step import StepError
from ansible.module_utils.safe_files import Directory, split

#: Of a longer line only the beginning is looked at.
_MOST_OF_A_LINE = 8192
_MONTHS = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), 1
    )
}
#: The server writes a quote that came from outside as \x22, so `] "` is its own.
_HEAD = re.compile(
    r"(\S{2,45}) [^\n]{0,4096}?\[(\d\d)/([A-Z][a-z]{2})/(\d{4}):(\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\] \""
)
_REQUEST = re.compile(r'(?:[A-Z]{1,20} )?([^" ]*)[^"]*" (\d{3})\b')
_LAST_QUOTED = re.compile(r'"([^"]*)"\s*$')


class Request(NamedTuple):
    """One request; `path` is without what follows a question mark, `status` 0 where the line is too long to tell."""

    at: float
    address: Address
    path: str
    status: int
    #: Whether the address is what a trusted proxy says, and not the peer's.
    through_proxy: bool = False


class Log(NamedTuple):
    """What the end of a log says."""

    requests: list[Request]
    #: Lines that are no requests.
    unreadable: int
    #: Whether the log goes further back than what was read.
    cut: bool


def parse_line(line: str, proxies: Sequence[Network] = ()) -> Request | None:
    """Return the request that a line tells of, or nothing."""
    head = _HEAD.match(line[:_MOST_OF_A_LINE])
    if head is None:
        return None
    address, at = address_of(head[1]), _moment(head)
    if address is None or at is None:
        return None
    tail = _REQUEST.match(line, head.end(), min(len(line), _MOST_OF_A_LINE))
    path, status = (tail[1].partition("?")[0], int(tail[2])) if tail else ("", 0)
    said = _forwarded(line, proxies) if _trusted(address, proxies) else None
    return Request(at, said or address, path, status, said is not None)


def read_log(path: str, since: float, most_bytes: int, proxies: Sequence[Network] = ()) -> Log:
    """Return the requests since a moment, reading no more than so many bytes from the end."""
    text, cut = _tail(path, most_bytes)
    requests, unreadable, reached = [], 0, False
    for line in text.split("\n"):
        if not line:
            continue
        request = parse_line(_bare(line), proxies)
        if request is None:
            unreadable += 1
        elif request.at >= since:
            requests.append(request)
        else:
            reached = True
    return Log(requests, unreadable, cut and not reached)


def within(requests: Collection[Request], since: float, until: float) -> Iterator[Request]:
    """Yield the requests of a span; a clock that runs ahead by a second or two is no matter."""
    return (one for one in requests if since <= one.at <= until + 2)


def _tail(path: str, most_bytes: int) -> tuple[str, bool]:
    """Return the end of a file from the beginning of a line, and whether more stands before it."""
    parent, name = split(path)
    try:
        with Directory(parent) as directory:
            descriptor = directory.open(name)
    except OSError as error:
        raise StepError(
            f"the access log {path} cannot be read ({error.strerror}): set ddos_attack_access_log to the real path"
        ) from error
    with os.fdopen(descriptor, "rb") as source:
        status = os.fstat(source.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise StepError(f"{path} is no file: set ddos_attack_access_log to the access log")
        cut = status.st_size > most_bytes
        source.seek(max(0, status.st_size - most_bytes))
        data = source.read(most_bytes)
    if cut:
        data = data.partition(b"\n")[2]
    return data.decode("utf-8", "backslashreplace"), cut


def _bare(line: str) -> str:
    """Return a line without the wrapping that a container engine puts around it."""
    if not line.startswith('{"log":'):
        return line
    try:
        inner = json.loads(line)["log"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return inner.rstrip("\n") if isinstance(inner, str) else ""


def _moment(head: re.Match[str]) -> float | None:
    day, month, year, hour, minute, second = head[2], _MONTHS.get(head[3]), head[4], head[5], head[6], head[7]
    if month is None:
        return None
    try:
        moment = calendar.timegm((int(year), month, int(day), int(hour), int(minute), int(second), 0, 0, 0))
    except (ValueError, OverflowError):
        return None
    offset = int(head[9]) * 3600 + int(head[10]) * 60
    return float(moment - offset if head[8] == "+" else moment + offset)


def _trusted(address: Address, proxies: Sequence[Network]) -> bool:
    return any(address.version == one.version and address in one for one in proxies)


def _forwarded(line: str, proxies: Sequence[Network]) -> Address | None:
    """Return whom a trusted proxy saw: the last address of the header that is not another trusted proxy's."""
    match = _LAST_QUOTED.search(line[-1024:])
    for word in reversed(match[1].split(",") if match else []):
        address = address_of(word.strip())
        if address is None:
            return None
        if not _trusted(address, proxies):
            return address
    return None
