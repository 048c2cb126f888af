"""What a backup host knows of the backups of each source: repository, chain, stream, and what is out of its time."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field
from typing import Any

from ansible.module_utils import stream_files, verify_chain, verify_coverage, verify_retention, verify_wal
from ansible.module_utils.backup_shelf import Shelf
from ansible.module_utils.host_step import StepError
from ansible.module_utils.postgresql_state import part_name, source_name
from ansible.module_utils.restic_repository import Repository, RepositoryError, Snapshot
from ansible.module_utils.run_state import make_private, write_whole
from ansible.module_utils.stream_unit import StreamState, StreamUnit
from ansible.module_utils.verify_chain import ChainFacts
from ansible.module_utils.verify_coverage import Coverage
from ansible.module_utils.verify_retention import kind_of
from ansible.module_utils.verify_wal import WalFacts

_TRIES = 3
_PAUSE_SECONDS = 5.0
_COVERAGE = "coverage.json"


@dataclass(frozen=True)
class SourceFacts:
    """All that is known of one source. Moments are seconds since 1970."""

    name: str
    now: float
    #: Why the repository cannot be read, or what is damaged in it; or nothing.
    damage: str = ""
    coverage: Coverage = field(default_factory=lambda: Coverage("", 1))
    #: When the newest snapshot of each kind was made, leaving out those of the future.
    newest: dict[str, float] = field(default_factory=dict)
    chain: ChainFacts | None = None
    #: None where the inventory names no stream.
    stream: StreamState | None = None
    #: What may be removed, and is late enough to be.
    removable: tuple[Snapshot, ...] = ()
    #: Snapshots that say that they are of the future.
    future: int = 0
    #: None where the source has no PostgreSQL.
    wal: WalFacts | None = None

    @property
    def point(self) -> float:
        """Everything that was committed before this moment can be restored."""
        if self.chain is None:
            return 0.0
        if self.stream is None or not self.chain.joined or self.stream.broken:
            return self.chain.shipped_until
        return max(self.chain.shipped_until, self.stream.point, self.chain.streamed_until)


def look(settings: dict[str, Any], *, read: bool = True) -> list[SourceFacts]:
    """Look at every source that is asked for; with `read`, the next part of the data is read where that is due."""
    return [_look(one, settings, read=read) for one in sources_of(settings)]


def sources_of(settings: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the sources that are asked for; raises StepError when there is none."""
    if not settings["sources"]:
        raise StepError(
            "the inventory names no backups that this host looks after; nothing was done: set "
            "backup_verify_sources for the host that holds the repositories, or --limit to that one"
        )
    sources = [one for one in settings["sources"] if source_name(settings["only"]) in ("", one["name"])]
    if not sources:
        known = ", ".join(one["name"] for one in settings["sources"])
        raise StepError(f"this host has no backups of {settings['only']}; nothing was done: it knows {known}")
    return sources


def place_of(source: dict[str, Any], settings: dict[str, Any]) -> str:
    """Return the directory of what is known of a source."""
    return os.path.join(settings["evidence_dir"], source["name"])


def repository_of(source: dict[str, Any]) -> Repository:
    """Return the repository of a source, to be read: a look keeps nobody waiting, so it takes no lock."""
    return Repository(source["name"], source["address_file"], source["password_file"], options=["--no-lock"])


def _look(source: dict[str, Any], settings: dict[str, Any], *, read: bool) -> SourceFacts:
    name, place = source["name"], place_of(source, settings)
    stream = StreamUnit(source, settings).state() if source["stream"]["address"] else None
    make_private(place)
    repository = repository_of(source)
    try:
        identity = repository.identity()
        shelf = Shelf(repository, name)
        snapshots = repository.snapshots(name)
    except RepositoryError as error:
        return SourceFacts(name, time.time(), damage=str(error), stream=stream)
    coverage, damage = _checked(repository, _coverage_of(place, identity, settings), place, settings, read=read)
    streamed = stream_files.best(stream_files.look(StreamUnit(source, settings).root))
    wal = verify_wal.look(shelf, wanted=bool(source["postgresql"]["stanza"]))
    chain = verify_chain.look(shelf, streamed, place) if source["mariadb"] else _chain_of(wal)
    now = time.time()
    past = [one for one in snapshots if one.made <= now + verify_retention.SKEW]
    facts = SourceFacts(
        name,
        now,
        damage,
        coverage,
        {kind_of(one): one.made for one in past},
        chain,
        stream,
        tuple(_removable(name, snapshots, now, settings)),
        len(snapshots) - len(past),
        wal,
    )
    if stream:
        _tell_stream(source, settings, facts)
    return facts


def _chain_of(wal: WalFacts | None) -> ChainFacts:
    """Return what stands for the chain of a source without MariaDB; what is wrong with PostgreSQL's is told there."""
    return ChainFacts("", wal.since, wal.until, position=wal.position) if wal else ChainFacts("", 0.0, time.time())


def _checked(
    repository: Repository, coverage: Coverage, place: str, settings: dict[str, Any], *, read: bool
) -> tuple[Coverage, str]:
    """Check the repository, and the next part of its data where that is due; return what is known then."""
    if damage := _tried(repository, ""):
        return coverage, damage
    if read and coverage.is_due(time.time(), settings["read_hours"] * 3600.0):
        part = coverage.next_part()
        trouble = _tried(repository, f"{part}/{coverage.total}")
        coverage = coverage.after(part, time.time(), trouble)
        write_whole(os.path.join(place, _COVERAGE), json.dumps(coverage.record()).encode("ascii"))
    return coverage, "; ".join(coverage.bad.values())


def _tried(repository: Repository, part: str) -> str:
    """Return what a check says. A source that stores something meanwhile may look like damage: that passes."""
    said = ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE_SECONDS)
        try:
            repository.check(part)
        except RepositoryError as error:
            said = str(error)
        else:
            return ""
    return said


def _coverage_of(place: str, identity: str, settings: dict[str, Any]) -> Coverage:
    try:
        with open(os.path.join(place, _COVERAGE), encoding="ascii") as source:
            record = json.load(source)
    except (OSError, ValueError):
        record = {}
    return verify_coverage.from_record(record, identity, settings["read_parts"])


def _removable(name: str, snapshots: list[Snapshot], now: float, settings: dict[str, Any]) -> list[Snapshot]:
    rules = verify_retention.rules_of(settings)
    slack = settings["slack_hours"] * 3600.0
    return verify_retention.due(snapshots, now, rules, protected(name, snapshots, settings), slack)


def protected(name: str, snapshots: list[Snapshot], settings: dict[str, Any]) -> set[str]:
    """Return the ids of the last chains that drills have found good."""
    return _proven(name, "proven", snapshots, settings) | _proven(part_name(name), "proven-wal", snapshots, settings)


def _proven(name: str, mind_name: str, snapshots: list[Snapshot], settings: dict[str, Any]) -> set[str]:
    """Return the ids of the last chain of a source, or of its PostgreSQL, that a drill has found good.

    A report of a drill that failed names a chain that is not proven; the one before is kept in mind here.
    """
    mind = os.path.join(settings["evidence_dir"], source_name(name), f"{mind_name}.json")
    try:
        with open(os.path.join(settings["report_dir"], f"{name}.json"), encoding="ascii") as source:
            report = json.load(source)
        if report["verdict"] in {"PASS", "RTO_MISS", "RPO_MISS"} and not report.get("mutation"):
            good = {"backup": str(report["backup"]["snapshot"]), "began": float(report["began"])}
            write_whole(mind, json.dumps(good).encode("ascii"))
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        with open(mind, encoding="ascii") as source:
            good = json.load(source)
        return verify_retention.proven(snapshots, good["backup"], good["began"])
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def _tell_stream(source: dict[str, Any], settings: dict[str, Any], facts: SourceFacts) -> None:
    """Tell the stream whether it goes on from what was shipped: it shows the recoverable point all the time."""
    chain = facts.chain
    directory = StreamUnit(source, settings).root
    if chain is None or not os.path.isdir(directory):
        return
    told = {"joined": float(chain.joined), "covered": chain.shipped_until, "at": facts.now if chain.joined else 0.0}
    write_whole(os.path.join(directory, "joined.json"), json.dumps(told).encode("ascii"))
