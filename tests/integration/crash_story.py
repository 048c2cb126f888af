"""The stories of the crash matrix, each told in a process of its own that may be killed at any moment.

`python -m tests.integration.crash_story` imports everything once and reads orders from its input, a line of JSON each.
For every order it forks a process that opens the site, tells the story to its end, and goes away. Told again after a
crash, a story looks at the record and goes on from there.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any
from unittest import mock

from remediate import bootstrap
from remediate.adapters.faulty import watched
from remediate.bootstrap import Installation, installation
from remediate.catalog.database import DatabaseSettings
from remediate.catalog.settings import Settings
from remediate.catalog.storm import StormSettings
from remediate.domain.alert import Alert, AlertMode
from remediate.domain.alert_rule import AlertRule, ScrapeTarget, Series
from remediate.domain.approval import Answer
from remediate.domain.child_runs import has_ended
from remediate.domain.host import Host
from remediate.domain.identity import Principal
from remediate.domain.notice import Notice
from remediate.domain.people import Grant, People, Person, Role
from remediate.domain.plan import Plan
from remediate.domain.report import Action, Finding, FixReport, FoundCause, Report, Verdict
from remediate.domain.response_rule import ResponseRule
from remediate.domain.route import Route, Routes
from remediate.domain.run import Carrier, Origin, PhaseOutcome, Run, RunStatus
from remediate.domain.runbook import Phase
from remediate.domain.silence import Silence
from remediate.engine.dispatch import LEASE
from remediate.engine.executor_ports import PhaseRequest, PhaseResult, TaskObserver
from remediate.engine.intake import Intake, Policy
from remediate.engine.monitoring import Watcher
from remediate.engine.walk import AskPerson, unattended
from remediate.errors import HostBusy, IllegalTransition
from remediate.testing import EPOCH, FakeExecutor, FakeMonitoring
from tests.builders import action, alert, finding, person, put_back, snapshot, task, tidy, verified

CASES = Path(__file__).parents[1] / "cases" / "playbooks"
FAMILIES = Path(__file__).parents[1] / "cases" / "families"
HOST = "near"
EVERY_ROLE = tuple(Grant(role=role) for role in Role)
PEOPLE = People(
    by_id={
        one.id: one
        for one in (
            person("nadia", 1, grants=EVERY_ROLE),
            person("lena", 2, grants=EVERY_ROLE),
            person("max", 3, grants=EVERY_ROLE),
            person("chloe", 4, grants=EVERY_ROLE),
        )
    }
)
#: A story that has not ended after so many looks never will.
MOST_LOOKS = 60
#: Longer than a run may stand between its record and its lock.
A_WHILE = timedelta(seconds=11)
_S = RunStatus


class KeptClock:
    """The time of a story: it is kept in a file, and passes only when somebody waits."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> datetime:
        return datetime.fromisoformat(self._file.read_text()) if self._file.exists() else EPOCH

    def wait(self, duration: timedelta, stop: Event) -> None:
        if not stop.is_set():
            self.pass_to(self.now() + duration)

    def pass_to(self, moment: datetime) -> None:
        following = self._file.with_suffix(".new")
        following.write_text(moment.isoformat())
        following.replace(self._file)


class Shelf(FakeExecutor):
    """One host whose state outlives every process, with a log of what was done there."""

    def __init__(self, place: Path, ill: Action, content: str, *, curable: bool = True) -> None:
        super().__init__([Host(name=HOST, groups=("all",))])
        self.digests["content"] = content
        self._place = place
        self._ill = ill
        self._curable = curable
        self._state = place / "shelf"

    def close(self) -> None:
        """There is nothing to close."""

    def run_phase(self, request: PhaseRequest, observe: TaskObserver, stop: Event) -> PhaseResult:
        del stop  # whoever is killed is not asked to stop
        with self._alone(request):
            report = self._done(request)
            observe(task(f"{request.phase.value} | on the shelf"))
        return PhaseResult(outcome=PhaseOutcome.OK, reports={HOST: report})

    @contextmanager
    def _alone(self, request: PhaseRequest) -> Iterator[None]:
        """Say in the log what begins and ends; the lock of a process that was killed has fallen with it."""
        kind = "check" if request.check else "act"
        words = f"{request.run_id} {request.sequence} {request.phase.value} {kind} {self.digests['content']}"
        with (self._place / "at-work").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                append(self._place / "executor.log", f"twice {words}")
                raise
            append(self._place / "executor.log", f"begins {words}")
            yield
            append(self._place / "executor.log", f"ends {words}")

    def _done(self, request: PhaseRequest) -> Report:
        clean = self._state.exists()
        match request.phase:
            case Phase.DIAGNOSE if request.runbook.id == "mend-house":
                return tidy() if clean else UNTIDY
            case Phase.DIAGNOSE:
                return tidy() if clean and self._curable else finding(self._ill)
            case Phase.SNAPSHOT:
                return snapshot(self._ill)
            case Phase.FIX:
                if not request.check:
                    self._state.touch()
                return FixReport(done=(self._ill,), stopped="all_done")
            case Phase.VERIFY:
                return verified(Verdict.CURED if clean and self._curable else Verdict.NOT_CURED)
            case Phase.ROLLBACK:
                self._state.unlink(missing_ok=True)
                return put_back(self._ill.target)


class FileChannel:
    """Delivers to a file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def send(self, notice: Notice, person: Person) -> None:
        append(self._file, f"{notice.delivery_id} {person.id}")


class FileMessenger:
    """An Alertmanager that outlives every process, a file for each silence; it holds the alert of an ill shelf."""

    def __init__(self, place: Path, ill: Callable[[], bool]) -> None:
        self._silences = place / "silences"
        self._silences.mkdir(exist_ok=True)
        self._ill = ill

    def alerts(self) -> tuple[Alert, ...]:
        return (FIRING,) if self._ill() else ()

    def silence(self, wanted: Silence) -> str:
        external_id = f"s-{len(list(self._silences.iterdir()))}-{wanted.run_id}"
        (self._silences / external_id).write_text(wanted.comment)
        return external_id

    def silences(self, comment: str) -> tuple[str, ...]:
        return tuple(one.name for one in self._silences.iterdir() if one.read_text() == comment)

    def unsilence(self, external_id: str) -> None:
        (self._silences / external_id).unlink(missing_ok=True)

    def configuration(self) -> str:
        return "route: {receiver: nobody}"


def append(file: Path, line: str) -> None:
    """Write a line in one piece, so that a crash leaves no half of it."""
    with file.open("ab", buffering=0) as out:
        out.write(f"{line}\n".encode())


class Story:
    """What the people of a story do: each step looks at the record first, and does only what is not done yet."""

    def __init__(self, site: Installation, clock: KeptClock, *, served: bool = False) -> None:
        self.site = site
        self.served = served
        self.clock = clock
        self.store = site.ports.store
        self.watch = site.watch

    @property
    def run(self) -> Run | None:
        """The newest attempt of the run that the story is about."""
        return next((run for run in self.store.runs(limit=10) if not run.parent), None)

    @property
    def child(self) -> Run | None:
        """The newest attempt of the run that it was handed over to."""
        return next((run for run in self.store.runs(limit=10) if run.parent), None)

    def request(self, carrier: Carrier, ask: AskPerson = unattended, runbook: str = "tidy-shelf") -> None:
        """Nadia asks for the run; her command carries it, or a service."""
        origin = Origin(requested_by="nadia", carrier=carrier)
        run = self.site.remediation.request(runbook, hosts=[HOST], parameters={}, origin=origin)
        if carrier == "command":
            self.carry(run, ask)

    def carry(self, run: Run, ask: AskPerson = unattended) -> None:
        self.site.remediation.start(run, ask=ask)
        self.settle()

    def fires(self) -> None:
        """An alert is delivered to a service, whose policy lets it act."""
        site = self.site
        rule = ResponseRule(source="main", runbook="tidy-shelf", group="all", mode=AlertMode.ACT)
        policy = Policy((rule,), {"tidy-shelf": site.catalogue.load("tidy-shelf")}, site.ports.executor.hosts)
        Intake(site.ports, policy, site.remediation.approvals).take([FIRING])

    def settle(self) -> None:
        """Wait for all that goes on here; the locks of a killed process may take a moment to fall."""
        for run in self.store.runs(limit=10):
            with suppress(HostBusy):
                self.site.remediation.wait(run.id)
        if self.served and self.run and self.run.status in {_S.REQUESTED, _S.APPROVED}:
            time.sleep(0.1)  # what a killed service had put on the queue is taken from it by a thread, in real time

    def look(self) -> None:
        """A service looks at everything, and what waits for its moment comes to it."""
        self.watch.look(everything=True)
        self.settle()
        self.site.dispatcher().deliver_due(Event())
        run = self.run
        if run and run.status not in {_S.WAITING_APPROVAL, _S.APPROVED}:
            self.clock.pass_to(self.clock.now() + A_WHILE)

    def nobody_answers(self, *, to_the_end: bool = False) -> None:
        """Time passes until something is due for the request that is open, or until its plan is no longer valid."""
        (request,) = self.site.ports.approvals.requests()
        self.clock.pass_to(request.expires_at if to_the_end else request.next_at)

    def answers(self, who: str, answer: Answer, run: Run | None = None) -> None:
        run = run or self.run
        assert run is not None
        principal = Principal(person=PEOPLE.by_id[who], channel="token:t1")
        self.site.remediation.approvals.answer(run.id, principal, answer, "as I see it")

    def resume(self) -> None:
        """A person goes on with a run whose command was killed, or finishes taking it back."""
        run = self.run
        assert run is not None
        if self.store.transitions(run.id)[-1].from_status is _S.ROLLING_BACK:
            self.take_back()
        else:
            self.carry(self.site.remediation.resumable(run))

    def take_back(self) -> None:
        assert self.run is not None
        self.site.remediation.roll_back(self.run)
        self.settle()

    def states(self) -> list[RunStatus]:
        assert self.run is not None
        return [step.to_status for step in self.store.transitions(self.run.id)]


def says_yes(_plan: Plan) -> bool | None:
    return True


def approved_by_the_level_above(story: Story) -> bool:
    """Level 2 is asked and silent, it climbs to level 3, Max approves, and a service carries it out."""
    run = story.run
    if run is None:
        story.request("service")
    elif run.status is _S.WAITING_APPROVAL:
        request = story.site.ports.approvals.request(run.id)
        assert request is not None
        if request.asked_level < 3:
            story.nobody_answers()
        else:
            story.answers("max", Answer.APPROVED)
    # A plan that was approved, and is another one by the time that it is carried out, has expired.
    return run is not None and run.status in {_S.SUCCEEDED, _S.NOT_NEEDED, _S.EXPIRED, _S.PARKED}


def not_cured_and_put_back(story: Story) -> bool:
    """A run of level 0 does not cure, and takes back what it did by itself."""
    run = story.run
    if run is None:
        story.request("command")
    elif run.status is _S.INTERRUPTED:
        story.resume()
    # Killed between the verdict and the rollback: what comes next is a human's decision.
    return run is not None and run.status in {_S.ROLLED_BACK, _S.FAILED}


def rejected(story: Story) -> bool:
    """Lena says no."""
    run = story.run
    if run is None:
        story.request("command")
    elif run.status is _S.WAITING_APPROVAL:
        story.answers("lena", Answer.REJECTED)
    elif run.status is _S.INTERRUPTED:
        story.resume()
    return run is not None and run.status is _S.REJECTED


def taken_back_by_hand(story: Story) -> bool:
    """A run of level 0 cures, and somebody wants the old state back."""
    run = story.run
    if run is None:
        story.request("service")
    elif run.status is _S.SUCCEEDED:
        story.take_back()
    return run is not None and run.status in {_S.ROLLED_BACK, _S.NOT_NEEDED, _S.PARKED}


def answered_at_the_terminal(story: Story) -> bool:
    """Nadia is on call, types the command, and approves its plan of level 1 herself."""
    run = story.run
    if run is None:
        story.request("command", says_yes)
    elif run.status is _S.WAITING_APPROVAL:
        story.answers("nadia", Answer.APPROVED)
    elif run.status is _S.INTERRUPTED:
        story.resume()
    return run is not None and run.status in {_S.SUCCEEDED, _S.NOT_NEEDED}


def nobody_answered(story: Story) -> bool:
    """Nobody answers for as long as the plan is valid: it expires, and the incident stays open."""
    run = story.run
    if run is None:
        story.request("service")
    elif run.status is _S.WAITING_APPROVAL:
        story.nobody_answers(to_the_end=True)
    return run is not None and run.status is _S.EXPIRED


def handed_over_to_a_run_that_is_approved(story: Story) -> bool:
    """A service hands over to a run of level 2, Max approves that one, and the first run proves that it is cured."""
    run, child = story.run, story.child
    if run is None:
        story.request("service", runbook="mend-house")
    elif child and child.status is _S.WAITING_APPROVAL:
        story.answers("max", Answer.APPROVED, child)
    return run is not None and run.status in {_S.SUCCEEDED, _S.NOT_NEEDED}


def handed_over_at_the_terminal(story: Story) -> bool:
    """Nadia's command hands over, she approves what the other runbook would do, and it carries both to the end."""
    run, child = story.run, story.child
    if run is None:
        story.request("command", says_yes, runbook="mend-house")
    elif child and child.status is _S.WAITING_APPROVAL:
        story.answers("nadia", Answer.APPROVED, child)
    elif run.status in {_S.INTERRUPTED, _S.HANDED_OVER}:
        with suppress(IllegalTransition):  # a service has gone on with it
            story.resume()
    return run is not None and run.status in {_S.SUCCEEDED, _S.NOT_NEEDED}


def started_by_an_alert(story: Story) -> bool:
    """An alert starts a run, is silenced while it acts, its expression proves the cure, and its incident closes."""
    run = story.run
    if run is None:
        story.fires()
    story.site.alert_watch.look()
    ports = story.site.ports
    still_there = (*ports.approvals.incidents(), *ports.alerts.open_ones(), *ports.silences.standing())
    return run is not None and has_ended(run) and not still_there


def around_runs(story: Story) -> bool:
    """A token is made, used and revoked, the site is paused and goes on, a head is signed."""
    site, admin = story.site, Principal(person=PEOPLE.by_id["nadia"], channel="token:t1")
    if not site.identity.tokens(admin):
        _, text = site.identity.make_token(admin, "max")
        site.identity.authenticate(text)
    for token in site.identity.tokens(admin):
        site.identity.revoke(admin, token.id)
    if not site.ports.switches.switches():
        site.switchboard.pause("nadia", "an audit")
    site.switchboard.resume("nadia", "it is over")
    site.audit.sign_now(story.clock.now())
    return bool(site.audit.trail.heads())


DUST = action()
FIRING = alert(labels={"room": "library"})
TOY = action("/shelf/toy", "clutter")
BOOK = action("/shelf/book", "archive")
#: What mend-house hands over to tidy-shelf.
UNTIDY = Finding(applies=True, summary="untidy", causes=(FoundCause(id="untidy", evidence=("it is seen",)),))


@dataclass(frozen=True)
class Told:
    """A story, what is wrong with the host, and whether its fix cures it."""

    step: Callable[[Story], bool]
    ill: Action = DUST
    curable: bool = True


STORIES: Mapping[str, Told] = {
    "approved": Told(approved_by_the_level_above, BOOK),
    "rolls-back": Told(not_cured_and_put_back, curable=False),
    "rejected": Told(rejected, BOOK),
    "taken-back": Told(taken_back_by_hand),
    "terminal": Told(answered_at_the_terminal, TOY),
    "expired": Told(nobody_answered, BOOK),
    "handed-over": Told(handed_over_to_a_run_that_is_approved, BOOK),
    "handed-over-at-terminal": Told(handed_over_at_the_terminal, TOY),
    "alerted": Told(started_by_an_alert),
    "around": Told(around_runs),
}


@dataclass(frozen=True)
class Order:
    """What one process is to do."""

    story: str
    place: str
    #: The section `database` of the settings, as JSON.
    database: str
    fault: str = ""
    #: The digest of the content of the site.
    content: str = "c0"
    #: After so many looks it may end before the story does; 0: it has to tell all of it.
    looks: int = 0
    #: Whether a service carries the work, durably.
    service: bool = False


def told(order: Order) -> None:
    """Tell a story from wherever the record says that it stands."""
    place, story = Path(order.place), STORIES[order.story]
    clock, settings = KeptClock(place / "clock"), _settings(order)
    joined: dict[str, Any] = {
        "AnsibleExecutor": lambda _settings: Shelf(place, story.ill, order.content, curable=story.curable),
        "read_settings": lambda _site: settings,
        "SystemClock": lambda: clock,
        "channels": lambda _settings, _clock: {"file": FileChannel(place / "delivered")},
        "os_user": lambda: "nadia",
        "_watchers": lambda _settings: {"main": _watcher(place, clock)},
    }
    with mock.patch.multiple(bootstrap, **joined), installation(place, service=order.service) as site:
        site.ports.workflows.launch(Event())
        teller = Story(site, clock, served=order.service)
        ended = any(_looked(teller, story) for _ in range(order.looks or MOST_LOOKS))
        assert ended or order.looks, f"the story {order.story} does not end: {teller.states()}"
        # What a killed process had in hand is delivered when its lease has ended.
        clock.pass_to(clock.now() + 2 * LEASE)
        teller.look()
        site.ports.workflows.close()


def _watcher(place: Path, clock: KeptClock) -> Watcher:
    """What there is to ask about the alert: its expression finds it while the shelf is ill."""

    def ill() -> bool:
        return not (place / "shelf").exists()

    monitoring = FakeMonitoring(clock.now, [AlertRule(name="ShelfUntidy", expression="dust > 90")])
    monitoring.finds("dust > 90", lambda: [Series(labels={"instance": "near:9100"}, value=95)] if ill() else [])
    target = {"instance": "near:9100"}
    monitoring.scrapes(lambda: [ScrapeTarget(labels=target, up=True, last_scrape=clock.now())])
    return Watcher(monitoring=monitoring, messenger=watched(FileMessenger(place, ill), "messenger"))


def _looked(teller: Story, story: Told) -> bool:
    ended = story.step(teller)
    teller.look()
    return ended


def _settings(order: Order) -> Settings:
    place = Path(order.place)
    return Settings(
        site=place,
        inventory=place,
        state=place / "state",
        content=(CASES, FAMILIES),
        database=DatabaseSettings.model_validate_json(order.database),
        storm=StormSettings().as_policy(),
        people=PEOPLE,
        routes=Routes(by_channel={"file": Route(channel="file")}),
    )


def _in_a_process_of_its_own(order: Order) -> int:
    child = os.fork()
    if child:
        print(child, flush=True)  # so that it can be killed
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    signal.alarm(60)
    if order.fault:
        os.environ["REMEDIATE_FAULT"] = order.fault
    code = 1
    try:
        told(order)
        code = 0
    except BaseException:  # noqa: BLE001  # whatever it was, it is shown, and the process ends here
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Carry out orders until there are no more."""
    gc.freeze()
    for line in sys.stdin:
        print(_in_a_process_of_its_own(Order(**json.loads(line))), flush=True)  # the answer to the order


if __name__ == "__main__":
    main()
