"""Child runs on the record: made for what other runbooks cure, and found again by whoever goes on with them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime

from remediate.domain.child_runs import HandOver, after_children, has_ended, newest, obstacle, told
from remediate.domain.outcome import Decision
from remediate.domain.parameter import checked_parameters
from remediate.domain.run import Run, RunStatus
from remediate.domain.runbook import Runbook
from remediate.engine.lock_names import family_lock, waiting_lock
from remediate.engine.ports import Ports
from remediate.errors import InvalidParameter, RemediateError


class ChildRuns:
    """The runs that a run was handed over to. They belong to its incident, and are runs like any other besides."""

    def __init__(self, ports: Ports, load: Callable[[str], Runbook], new_id: Callable[[datetime], str]) -> None:
        self._ports = ports
        self._load = load
        self._new_id = new_id

    def requested(self, run: Run, wanted: Sequence[HandOver]) -> tuple[tuple[Run, ...], str]:
        """Return the children that a run has to have, not recorded yet; or why it may not have them."""
        line = [one.runbook for one in (*self.above(run), run)]
        earlier = self.of(run)
        if obstacles := [why for one in wanted if (why := obstacle(one, line, earlier))]:
            return (), "; ".join(obstacles)
        try:
            return tuple(self._child(run, one) for one in wanted), ""
        except RemediateError as error:
            return (), error.message

    def _child(self, run: Run, wanted: HandOver) -> Run:
        """Whoever asked for the run asks for its child; a reason to pass the rules about storms is not passed on."""
        runbook = self._load(wanted.runbook)
        parameters, problems = checked_parameters(runbook.parameters, runbook.role, {})
        if problems:
            raise InvalidParameter("; ".join([f"{runbook.id} cannot be handed over to", *problems]))
        now = self._ports.clock.now()
        return Run(
            id=self._new_id(now),
            runbook=runbook.id,
            status=RunStatus.REQUESTED,
            hosts=wanted.hosts,
            parameters=parameters,
            parent=run.id,
            depth=run.depth + 1,
            created_at=now,
            updated_at=now,
            requested_by=run.requested_by,
            reason=f"{run.runbook} found {', '.join(wanted.causes)} (run {run.id})",
            started_by=run.started_by,
            carrier=run.carrier,
        )

    def of(self, run: Run) -> tuple[Run, ...]:
        """Return the children of a run and of all attempts that it continues; of each child the newest attempt."""
        found = list(newest(self._ports.store.children(run.id)))
        while run.continues:
            run = self._ports.store.run(run.continues)
            found += newest(self._ports.store.children(run.id))
        return tuple(found)

    def hosts(self, run: Run) -> tuple[str, ...]:
        """Return the hosts of a run on which something was handed over."""
        handed = {host for child in self.of(run) for host in child.hosts}
        return tuple(host for host in run.hosts if host in handed)

    def above(self, run: Run) -> tuple[Run, ...]:
        """Return the runs above a run, the topmost first."""
        return tuple(reversed(list(self._upwards(run))))

    def _upwards(self, run: Run) -> Iterator[Run]:
        while run.parent:
            run = self._ports.store.run(run.parent)
            yield run

    def top(self, run: Run) -> Run:
        """Return the topmost run that waits for this one; the run itself where none does."""
        for above in self._upwards(run):
            if above.status is not RunStatus.HANDED_OVER:
                break
            run = above
        return run

    def ended(self, run: Run) -> bool:
        """Return whether all children of a run have ended."""
        return all(map(has_ended, newest(self._ports.store.children(run.id))))

    def verdict(self, run: Run) -> Decision | None:
        """Return how a run ends because of its children, which have ended; None: it looks again."""
        return after_children(self.of(run))

    def ends(self, run: Run) -> str:
        """Tell how the children of a run have ended."""
        return "; ".join(told(child) for child in self.of(run) if has_ended(child))

    def unfinished(self, run: Run) -> tuple[Run, ...]:
        """Return a run and everything below it that has not ended."""
        below = [child for child in newest(self._ports.store.children(run.id)) if not has_ended(child)]
        return (run, *(one for child in below for one in self.unfinished(child)))

    def due(self, run: Run, waited_for: Collection[str] = ()) -> Run | None:
        """Return what can be carried now of a run and of all below it; None where people or processes are awaited.

        What other commands wait for, not those that wait for the runs `waited_for`, is theirs.
        """
        if run.status in {RunStatus.REQUESTED, RunStatus.APPROVED}:
            alive = self._ports.locks.alive
            taken = alive(run.id) or (run.id not in waited_for and alive(waiting_lock(run.id)))
            return None if taken else run
        if run.status is not RunStatus.HANDED_OVER:
            return None
        children = newest(self._ports.store.children(run.id))
        if all(map(has_ended, children)):
            return run
        return next((found for child in children if (found := self.due(child, waited_for))), None)

    def are_looked_after(self, run: Run) -> bool:
        """Return whether some command carries a run or one above it, or waits for it."""
        line = (run, *self._upwards(run))
        return any(self._ports.locks.alive(name(one.id)) for one in line for name in (family_lock, waiting_lock))
