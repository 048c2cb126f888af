"""Stories that are killed at every point there is, told again, and looked into: what must hold holds.

A normal run walks a sample of the points, `REMEDIATE_SOAK=1` all of them (docs/reference/faults.md).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from remediate.adapters.signing import AuditKey
from remediate.adapters.store.approvals import DatabaseApprovals
from remediate.adapters.store.audit import DatabaseTrail
from remediate.adapters.store.connection import Database, open_database
from remediate.adapters.store.database import DatabaseStore
from remediate.adapters.store.incidents import DatabaseIncidents
from remediate.adapters.store.outbox import DatabaseOutbox
from remediate.adapters.store.silences import DatabaseSilences
from remediate.catalog.database import DatabaseSettings
from remediate.domain.audit_check import verify
from remediate.domain.report import Verdict
from remediate.domain.run import RunStatus
from remediate.domain.runbook import Phase
from tests.integration.crash_story import STORIES, Order
from tests.integration.local import eventually
from tests.invariants import check_invariants
from tests.postgres import PostgresServer

ROOT = Path(__file__).parents[2]
SOAK = bool(os.environ.get("REMEDIATE_SOAK"))
#: A normal run walks every so manieth point of a story; odd, so that both sides of a step have their turn.
EVERY = {"sqlite": 13, "postgres": 41}
ALL = 10_000


class Teller:
    """The process that tells stories: it has imported everything once, and forks one process for each telling."""

    def __init__(self, errors: Path) -> None:
        self.errors = errors
        with errors.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.integration.crash_story"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=out,
                cwd=ROOT,
                text=True,
            )

    def begin(self, story: str, scene: Scene, fault: str = "", **order: Any) -> int:
        """Let a process tell a story and return its id; `end` waits for it."""
        assert self._process.stdin is not None
        database = scene.settings.model_dump_json(by_alias=True)
        begun = Order(story=story, place=str(scene.place), database=database, fault=fault, **order)
        self._process.stdin.write(json.dumps(asdict(begun)) + "\n")
        self._process.stdin.flush()
        return self.end()

    def end(self) -> int:
        """Return how the process ended."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def tell(self, story: str, scene: Scene, fault: str = "", **order: Any) -> int:
        """Tell a story and return how its process ended."""
        self.begin(story, scene, fault, **order)
        return self.end()

    def close(self) -> None:
        self._process.communicate()


class Scene:
    """Where one telling happens: a host, a record, and what was delivered."""

    def __init__(self, place: Path, settings: DatabaseSettings) -> None:
        self.place = place
        self.settings = settings

    @contextmanager
    def record(self) -> Iterator[Database]:
        opened = open_database(self.place / "state", self.settings)
        yield opened
        opened.dispose()

    def lines(self, name: str) -> list[str]:
        file = self.place / name
        return file.read_text().splitlines() if file.exists() else []


@dataclass(frozen=True)
class Scenes:
    """Makes scenes, each with an empty record of one kind; and which points are walked there."""

    new: Callable[[], AbstractContextManager[Scene]]
    every: int


@pytest.fixture(scope="module")
def teller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teller]:
    made = Teller(tmp_path_factory.mktemp("teller") / "errors")
    yield made
    made.close()


@pytest.fixture(scope="module")
def another_teller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Teller]:
    made = Teller(tmp_path_factory.mktemp("another-teller") / "errors")
    yield made
    made.close()


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def scenes(request: pytest.FixtureRequest) -> Iterator[Scenes]:
    """Makes scenes. Their files are in memory where that can be: what a killed process wrote is kept there as well."""
    memory = Path("/dev/shm")  # noqa: S108  # a directory of our own is made in it
    with tempfile.TemporaryDirectory(prefix="remediate-crash-", dir=memory if memory.is_dir() else None) as made:
        empty = Path(made) / "empty"
        open_database(empty / "state").dispose()
        server: PostgresServer | None = None
        if request.param == "postgres":
            server = request.getfixturevalue("postgres_server")

        @contextmanager
        def scene() -> Iterator[Scene]:
            place = Path(tempfile.mkdtemp(dir=made))
            shutil.copytree(empty, place, dirs_exist_ok=True)
            if server is None:
                yield Scene(place, DatabaseSettings())
            else:
                with server.database() as settings:
                    yield Scene(place, settings)
            shutil.rmtree(place)

        yield Scenes(scene, 1 if SOAK else EVERY[request.param])


@pytest.mark.parametrize("story", STORIES)
def test_whatever_is_killed_the_story_goes_on_and_what_must_hold_holds(
    teller: Teller, scenes: Scenes, story: str
) -> None:
    wrong = walked(teller, scenes, story)

    assert not wrong, "\n".join([*wrong, teller.errors.read_text()[-4000:]])


def test_a_killed_run_acts_only_with_the_content_that_was_approved(teller: Teller, scenes: Scenes) -> None:
    wrong = walked(teller, scenes, "approved", "c1")

    assert not wrong, "\n".join([*wrong, teller.errors.read_text()[-4000:]])


@pytest.mark.parametrize(
    ("story", "first", "later", "attempts"),
    [
        ("approved", "diagnose", "diagnose", 3),
        ("approved", "snapshot", "snapshot", 3),
        # When it was approved, and is looked at again because its plan is old.
        ("approved", "diagnose.before#2", "diagnose", 1),
        ("taken-back", "rollback", "rollback", 1),
    ],
)
def test_a_run_that_kills_whoever_carries_it_is_parked_after_three_attempts_and_a_human_is_called(
    teller: Teller, scenes: Scenes, story: str, first: str, later: str, attempts: int
) -> None:
    with scenes.new() as scene:
        ends = [teller.tell(story, scene, _crash_in(phase)) for phase in (first, later, later, later)]
        told_to_its_end(scene)
        with scene.record() as record:
            runs = DatabaseStore(record).runs(limit=ALL)
            still_open = {one.run_id for one in DatabaseApprovals(record).incidents()}
            told = {one.key for one in DatabaseOutbox(record).notices(prefix=runs[0].id, limit=ALL)}
            states = [step.to_status for step in DatabaseStore(record).transitions(runs[0].id)]

    assert ends == [-signal.SIGKILL] * 3 + [0], teller.errors.read_text()
    assert [run.status for run in runs] == [RunStatus.PARKED] + [RunStatus.INTERRUPTED] * (attempts - 1)
    assert runs[0].outcome.startswith("interrupted 3 times: look at what it does to whoever carries it")
    assert runs[0].id in still_open or RunStatus.SUCCEEDED in states
    assert f"{runs[0].id}/parked-1/nadia/file" in told


def _crash_in(phase: str) -> str:
    return f"executor.run_phase.{phase if '.' in phase else phase + '.before'}:crash"


def test_a_host_that_a_living_process_works_on_is_left_alone(
    teller: Teller, another_teller: Teller, scenes: Scenes
) -> None:
    with scenes.new() as scene:
        process = teller.begin("taken-back", scene, "executor.run_phase.fix.before:hang")
        assert eventually(lambda: status(scene) is RunStatus.FIXING)
        before = scene.lines("executor.log")
        assert another_teller.tell("taken-back", scene, looks=3) == 0, another_teller.errors.read_text()
        assert (status(scene), scene.lines("executor.log")) == (RunStatus.FIXING, before)
        os.kill(process, signal.SIGKILL)
        assert teller.end() == -signal.SIGKILL
        assert another_teller.tell("taken-back", scene) == 0, another_teller.errors.read_text()
        told_to_its_end(scene)


@pytest.mark.parametrize(
    ("story", "point"),
    [
        ("approved", "workflows.start.before#1"),
        ("approved", "workflows.start.after#2"),
        ("approved", "executor.run_phase.fix.after#1"),
        ("taken-back", "executor.run_phase.rollback.before#1"),
    ],
)
def test_a_killed_service_and_the_one_after_it_hold_to_the_same(
    teller: Teller, scenes: Scenes, story: str, point: str
) -> None:
    with scenes.new() as scene:
        assert teller.tell(story, scene, f"{point}:crash", service=True) == -signal.SIGKILL, teller.errors.read_text()
        assert teller.tell(story, scene, service=True) == 0, teller.errors.read_text()
        told_to_its_end(scene)


def status(scene: Scene) -> RunStatus | None:
    with scene.record() as record:
        runs = DatabaseStore(record).runs(limit=1)
    return runs[0].status if runs else None


def walked(teller: Teller, scenes: Scenes, story: str, content: str = "c0") -> list[str]:
    """Walk the points of a story; return what was wrong, each with the point where it was killed."""
    wrong = []
    for point in traced(teller, scenes, story)[:: scenes.every]:
        try:
            killed_and_told_again(teller, scenes, story, point, content)
        except AssertionError as error:
            wrong.append(f"{story}, killed at {point}: {str(error).splitlines()[0][:300]}")
    return wrong


def traced(teller: Teller, scenes: Scenes, story: str) -> list[str]:
    """Tell a story undisturbed; return the points that it passes."""
    with scenes.new() as scene:
        trace = scene.place / "trace"
        assert teller.tell(story, scene, f"trace:{trace}") == 0, teller.errors.read_text()
        points = trace.read_text().splitlines()
        told_to_its_end(scene)
    assert len(points) == len(set(points))
    return points


def killed_and_told_again(teller: Teller, scenes: Scenes, story: str, point: str, content: str = "c0") -> None:
    with scenes.new() as scene:
        killed = teller.tell(story, scene, f"{point}:crash")
        assert killed == -signal.SIGKILL, f"the story was not killed, it ended with {killed}"
        with scene.record() as record:
            what_must_hold(scene, record, at_rest=False)
        again = teller.tell(story, scene, content=content)
        assert again == 0, f"told again, the story failed: {again}"
        told_to_its_end(scene)
        with scene.record() as record:
            assert not DatabaseStore(record).runs(limit=1, statuses={RunStatus.PARKED}), "one crash, and it is given up"


def told_to_its_end(scene: Scene) -> None:
    with scene.record() as record:
        what_must_hold(scene, record, at_rest=True)


def what_must_hold(scene: Scene, record: Database, *, at_rest: bool) -> None:
    """Check the record, the log of the host, and what was delivered."""
    store, approvals = DatabaseStore(record), DatabaseApprovals(record)
    check_invariants(store, approvals, at_rest=at_rest, incidents=DatabaseIncidents(record))
    trail = DatabaseTrail(record, AuditKey(scene.place / "state"))
    verdict = verify(trail.stored(), trail.heads())
    assert verdict.intact, f"the audit trail: {verdict.reason}"
    _asked_once(trail)
    _what_was_to_be_taken_back_is_not_done_again(store, trail)
    _acted_as_recorded(scene, store)
    _handed_over_once(store)
    _a_failure_is_taken_back_or_somebodys(store, approvals)
    _told_once(scene, DatabaseOutbox(record), at_rest=at_rest)
    _no_silence_is_left(scene, DatabaseSilences(record), at_rest=at_rest)


def _no_silence_is_left(scene: Scene, silences: DatabaseSilences, *, at_rest: bool) -> None:
    """What is silent elsewhere is on the record, and nothing is when all has ended."""
    there = list((scene.place / "silences").iterdir()) if (scene.place / "silences").exists() else []
    known = silences.standing()
    assert len(there) <= len(known), f"silences that nothing knows of: {there}"
    assert not at_rest or not (there or known), f"silences are left: {there} {known}"


def _asked_once(trail: DatabaseTrail) -> None:
    """Nobody is asked twice for the same plan of a run: a later request is for another digest, or of another run."""
    asked = Counter(
        (event.entry.subject, event.entry.details["digest"])
        for event in trail.events()
        if event.entry.action == "approval.asked"
    )
    assert not [key for key, times in asked.items() if times > 1], f"asked twice: {asked}"


def _what_was_to_be_taken_back_is_not_done_again(store: DatabaseStore, trail: DatabaseTrail) -> None:
    """A rollback that was interrupted is finished; no new attempt begins after it."""
    came_from: dict[str, object] = {}
    for event in trail.events():
        if event.entry.action == "run.moved":
            came_from[event.entry.subject] = event.entry.details["from"]
        if event.entry.action == "run.requested":
            before = store.run(event.entry.subject).continues
            assert came_from.get(before) != RunStatus.ROLLING_BACK, f"{event.entry.subject} does {before} again"


def _acted_as_recorded(scene: Scene, store: DatabaseStore) -> None:
    """Nothing was done on the host that is not in the record, and never two things at once."""
    acted: dict[tuple[str, int], str] = {}
    contents: dict[str, str] = {}
    for line in scene.lines("executor.log"):
        word, run_id, sequence, phase, kind, content = line.split()
        assert word != "twice", f"two processes at once on the host: {line}"
        if word == "begins":
            assert (run_id, int(sequence)) not in acted, f"a phase was begun twice: {line}"
            acted[run_id, int(sequence)] = f"{phase} {kind}"
            if (phase, kind) == ("fix", "act"):
                contents[run_id] = content
    for (run_id, number), what in acted.items():
        known = {one.sequence: f"{one.phase.value} {'check' if one.check else 'act'}" for one in store.phases(run_id)}
        assert known.get(number) == what, f"{run_id} did {what}, and nothing tells so"
        if what in {"snapshot act", "fix act"}:
            states = [step.to_status for step in store.transitions(run_id)]
            assert RunStatus.APPROVED in states, f"{run_id} did {what} without an approval"
    for run_id, used in contents.items():
        plan = store.run(run_id).plan
        assert plan is not None
        assert plan.binds["content"] == used, f"{run_id} acted with content that nobody approved"


def _a_failure_is_taken_back_or_somebodys(store: DatabaseStore, approvals: DatabaseApprovals) -> None:
    is_open = {one.run_id for one in approvals.incidents(limit=ALL)}
    for run in store.runs(limit=ALL):
        for phase in store.phases(run.id):
            failed = phase.phase is Phase.VERIFY and any(
                isinstance(report, dict) and report["verdict"] == Verdict.NOT_CURED for report in phase.reports.values()
            )
            states = [step.to_status for step in store.transitions(run.id)]
            assert not failed or RunStatus.ROLLED_BACK in states or run.id in is_open, f"{run.id} is nobody's"


def _handed_over_once(store: DatabaseStore) -> None:
    """Wherever it was killed, there is one child; whatever came after it continues that one."""
    children = [run.id for run in store.runs(limit=ALL) if run.parent and not run.continues]
    assert len(children) <= 1, f"handed over more than once: {children}"


def _told_once(scene: Scene, outbox: DatabaseOutbox, *, at_rest: bool) -> None:
    """A notice is sent again only when its sender was killed before it could say that it had arrived."""
    notices = outbox.notices(limit=ALL)
    sent = Counter(line.split()[0] for line in scene.lines("delivered"))
    assert len({(one.key.rpartition("/")[0], one.channel) for one in notices}) == len(notices)
    assert not set(sent) - {one.delivery_id for one in notices}, "something was sent that the record does not know"
    assert sum(sent.values()) - len(sent) <= 1, f"sent more than once: {sent}"
    if at_rest:
        assert {one.delivery_id for one in notices} == set(sent), "a notice never arrived"
