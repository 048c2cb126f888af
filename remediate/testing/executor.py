"""The twin of the executor: hosts that answer as scripted."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event

from remediate.domain.host import Host
from remediate.domain.report import REPORT_KEYS, Finding, FixReport, Report
from remediate.domain.run import PhaseOutcome, TaskOutcome, TaskRecord
from remediate.domain.runbook import Phase, Runbook
from remediate.engine.executor_ports import PhaseRequest, PhaseResult, TaskObserver
from remediate.errors import UnknownShape
from remediate.testing.clock import EPOCH


@dataclass(frozen=True)
class Silence:
    """A host that gives no report, and why."""

    outcome: PhaseOutcome
    message: str = ""


#: What a host answers to a phase: its report, or none. Several are given one after the other; the last one stays.
Answer = Report | Silence


class FakeExecutor:
    """Implements the port `Executor` from a script: what each host answers to each phase."""

    def __init__(self, hosts: Sequence[Host] = ()) -> None:
        self._hosts = tuple(hosts)
        self._script: dict[tuple[str, str, Phase, bool], deque[Answer]] = {}
        self._during: dict[Phase, Callable[[PhaseRequest, Event], None]] = {}
        #: Every phase that was asked for, in order.
        self.requests: list[PhaseRequest] = []
        #: Every run whose content was copied, in order.
        self.staged: list[str] = []
        #: What `stage` says decides the work of a run.
        self.digests: dict[str, str] = {"content": "c0", "inventory": "1a"}
        #: What `inspect` says about hosts; all others are ready.
        self.ailments: dict[str, str] = {}

    def says(self, host: str, phase: Phase, *answers: Answer, check: bool = False, runbook: str = "") -> None:
        """Script what a host answers to a phase, one answer after the other; the last one stays.

        What is scripted for one runbook goes before what is scripted for all.
        """
        for answer in answers:
            if not isinstance(answer, Silence | REPORT_KEYS[phase][1]):
                raise UnknownShape(f"The phase {phase.value} does not report {type(answer).__name__}.")
        self._script[runbook, host, phase, check] = deque(answers)

    def during(self, phase: Phase, happens: Callable[[PhaseRequest, Event], None]) -> None:
        """Have something happen in the middle of a phase: a stop, a crash, time that passes."""
        self._during[phase] = happens

    @property
    def walked(self) -> list[str]:
        """The phases that were asked for, as words: `["diagnose", "fix (check)", ...]`."""
        return [request.phase.value + (" (check)" if request.check else "") for request in self.requests]

    def hosts(self) -> tuple[Host, ...]:
        """Return the hosts of the inventory."""
        return self._hosts

    def stage(self, run_id: str, runbook: Runbook) -> dict[str, str]:
        """Note the run whose content would be copied."""
        self.staged.append(run_id)
        return {**self.digests, "runbook_role": runbook.role}

    def run_phase(self, request: PhaseRequest, observe: TaskObserver, stop: Event) -> PhaseResult:
        """Answer as scripted; a phase that is stopped ends without reports, as a real one does."""
        self.requests.append(request)
        if happens := self._during.get(request.phase):
            happens(request, stop)
        if stop.is_set():
            troubles = dict.fromkeys(request.hosts, "it gave no answer")
            return PhaseResult(outcome=PhaseOutcome.CANCELED, troubles=troubles)
        answers = {host: self._answer(host, request) for host in request.hosts}
        for host, answer in answers.items():
            observe(_task(request, host, answer))
        silences = {host: answer for host, answer in answers.items() if isinstance(answer, Silence)}
        return PhaseResult(
            outcome=next((silence.outcome for silence in silences.values()), PhaseOutcome.OK),
            reports={host: answer for host, answer in answers.items() if not isinstance(answer, Silence)},
            troubles={host: silence.message or "it gave no answer" for host, silence in silences.items()},
        )

    def inspect(self, hosts: Sequence[str]) -> dict[str, dict[str, object] | str]:
        """Say that hosts are ready, but for those with an ailment."""
        return {host: self.ailments.get(host) or {"problems": []} for host in hosts}

    def warm_up(self) -> None:
        """There is nothing to warm up."""

    def _answer(self, host: str, request: PhaseRequest) -> Answer:
        script = self._scripted(host, request, request.phase, check=request.check)
        if script:
            return script.popleft() if len(script) > 1 else script[0]
        if request.phase is Phase.FIX and request.check:
            return self._predicted(host, request)
        raise LookupError(f"Nothing is scripted for {request.phase.value} on {host}.")

    def _scripted(self, host: str, request: PhaseRequest, phase: Phase, *, check: bool) -> deque[Answer] | None:
        found = (self._script.get((runbook, host, phase, check)) for runbook in (request.runbook.id, ""))
        return next((script for script in found if script), None)

    def _predicted(self, host: str, request: PhaseRequest) -> FixReport:
        """What a dry run of the fix says when nothing else is scripted: the actions that were last diagnosed."""
        script = self._scripted(host, request, Phase.DIAGNOSE, check=False)
        finding = script[0] if script else None
        return FixReport(done=finding.actions if isinstance(finding, Finding) else (), stopped="all_done")


def _task(request: PhaseRequest, host: str, answer: Answer) -> TaskRecord:
    changing = request.phase in {Phase.SNAPSHOT, Phase.FIX, Phase.ROLLBACK}
    outcome = TaskOutcome.CHANGED if changing else TaskOutcome.OK
    if isinstance(answer, Silence):
        unreachable = answer.outcome is PhaseOutcome.UNREACHABLE
        outcome = TaskOutcome.UNREACHABLE if unreachable else TaskOutcome.FAILED
    message = answer.message if isinstance(answer, Silence) else ""
    task = f"{request.phase.value} | Answer as scripted"
    return TaskRecord(
        host=host, task=task, module="fake", outcome=outcome, started_at=EPOCH, seconds=0.0, message=message
    )
