"""What pgBackRest reports of a repository: which copies it holds, and whether they are whole. Pure.

Its exit code says nothing of either: `verify` ends with 0 when it has found damage, `info` when there is no copy.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_LABEL = re.compile(r"\d{8}-\d{6}F(?:_\d{8}-\d{6}[DI])?")
_SAID_OF_COPY = re.compile(r"backup: (?P<label>\S+), status: (?P<status>[a-z -]+?), total files")
_SAID_OF_LOG = re.compile(
    r"archiveId: (?P<archive>\S+), total WAL checked: (?P<all>\d+), total valid WAL: (?P<good>\d+)"
)
_WRONG_SEGMENT = re.compile(r"(?P<archive>\d+(?:\.\d+)?-\d+)/[0-9A-F]{16}/(?P<name>[0-9A-F]{24})-[0-9a-f]{40}")
_STATUS = re.compile(r"^\s*status: (\w+)", re.MULTILINE)
#: What is wrong with a file is told as information.
_WRONG = re.compile(r"\bP\d+\s+(?:ERROR: |(?:INFO|WARN): (?:invalid |missing |file missing|unable ))")
OK, NO_COPY = 0, 2


class BadReportError(ValueError):
    """pgBackRest said something that this does not understand."""


@dataclass(frozen=True)
class Copy:
    """One copy: its label, its type (full, diff or incr), and those that it builds on."""

    label: str
    type: str
    #: Whether pgBackRest found pages whose checksums are wrong while it copied them.
    bad_pages: bool
    builds_on: tuple[str, ...]
    first_segment: str
    stop: str
    #: When it ended, in seconds since 1970.
    made: float


@dataclass(frozen=True)
class Info:
    """What `info` tells of a stanza."""

    code: int
    message: str
    #: Somebody makes a copy at this moment.
    locked: bool
    #: The system identifier of the cluster, and the archive of its log (`17-1`).
    system: str
    archive: str
    #: The oldest first.
    copies: tuple[Copy, ...]

    @property
    def newest(self) -> Copy | None:
        """The newest copy without damaged pages."""
        return next((one for one in reversed(self.copies) if not one.bad_pages), None)

    def full_since(self, moment: float) -> bool:
        """Whether there is a whole full copy that was made after a moment."""
        return any(one.type == "full" and not one.bad_pages and one.made >= moment for one in self.copies)


def info(text: str, stanza: str) -> Info:
    """Return what `info --output=json` says of a stanza; raises BadReportError."""
    try:
        found = [one for one in json.loads(text) if one["name"] == stanza]
        if len(found) != 1:
            raise BadReportError(f"pgBackRest knows no stanza {stanza}")
        return _info(found[0])
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        if isinstance(error, BadReportError):
            raise
        raise BadReportError(f"what pgBackRest reports of {stanza} cannot be read: {error!r}") from error


def _info(record: dict[str, Any]) -> Info:
    status = record["status"]
    # After an upgrade there are several clusters: the last one is the present one.
    cluster = max(record["db"], key=lambda one: int(one["id"]), default=None)
    number = int(cluster["id"]) if cluster else 0
    copies = [_copy(one) for one in record["backup"] if int(one["database"]["id"]) == number]
    return Info(
        int(status["code"]),
        str(status["message"]),
        bool(status.get("lock", {}).get("backup", {}).get("held", False)),
        str(cluster["system-id"]) if cluster else "",
        f"{cluster['version']}-{number}" if cluster else "",
        tuple(sorted(copies, key=lambda one: (one.made, one.label))),
    )


def _copy(record: dict[str, Any]) -> Copy:
    label = str(record["label"])
    if not _LABEL.fullmatch(label):
        raise BadReportError(f"{label[:40]!r} is no label of a copy")
    return Copy(
        label,
        str(record["type"]),
        # Whether it has looked at all depends on the cluster's checksums; then there is no word of it.
        bool(record.get("error", False)),
        tuple(str(one) for one in record.get("reference") or ()),
        str(record["archive"]["start"]),
        str(record["lsn"]["stop"]),
        float(record["timestamp"]["stop"]),
    )


@dataclass(frozen=True)
class Verified:
    """What `verify` found: what it said of each copy, and the segments that are not what was archived."""

    ok: bool
    copies: dict[str, str]
    bad_segments: tuple[str, ...]
    #: Segments that were looked at and are wrong, however many of them were named.
    bad_count: int
    words: str

    def wrong_with(self, labels: list[str]) -> str:
        """Return what is wrong with some copies, in words; nothing when all of them were found valid."""
        said = [
            f"{one} is {self.copies.get(one, 'not looked at')}" for one in labels if self.copies.get(one) != "valid"
        ]
        return "; ".join(said)


def verified(output: str, log: str = "") -> Verified:
    """Return what `verify --output=text --verbose` printed, and logged.

    Raises BadReportError where it says nothing of any copy: that is no proof of anything.
    """
    text = f"{output}\n{log}"
    copies = {found["label"]: found["status"].strip() for found in _SAID_OF_COPY.finditer(text)}
    if not copies:
        raise BadReportError(f"pgBackRest found nothing to verify: {_words(text)}")
    status = _STATUS.findall(text)
    lines = [line for line in text.splitlines() if _WRONG.search(line)]
    bad = {found["name"] for line in lines for found in _WRONG_SEGMENT.finditer(line)}
    # It may be said twice: as the output, and in the log.
    count = sum({one["archive"]: int(one["all"]) - int(one["good"]) for one in _SAID_OF_LOG.finditer(text)}.values())
    wrong = bad or count or lines or any(one != "valid" for one in copies.values())
    return Verified(not wrong and all(one == "ok" for one in status), copies, tuple(sorted(bad)), count, _words(text))


def _words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    wrong = [line.partition(": ")[2] for line in lines if _WRONG.search(line)] or lines
    return wrong[0][:300] if wrong else "it printed nothing"
