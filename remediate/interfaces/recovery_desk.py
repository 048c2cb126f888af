"""What a site gives about schedules, drills and backups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from remediate.bootstrap import Installation
from remediate.domain.breaker import BreakerState
from remediate.domain.drill import RESTORE_TEST, Drill, drills_of
from remediate.domain.identity import Permission
from remediate.domain.report import Verification
from remediate.domain.schedule import targets
from remediate.domain.storm_position import StormPosition
from remediate.engine.access import Access
from remediate.engine.schedule_book import ScheduleStanding
from remediate.engine.watch import service_is_there
from remediate.errors import UsageError

#: The runbooks whose verifications say how backups are.
BACKUP_RUNBOOKS = ("backup-create", "backup-verify")

#: More verifications than these are not looked through.
_MOST = 1000


@dataclass(frozen=True)
class BackupStanding:
    """What the last verification of a runbook about backups said on a host."""

    runbook: str
    host: str
    run_id: str
    ended_at: datetime
    verification: Verification


class RecoveryDesk:
    """The part of a site that is about schedules, and about what they prove of backups."""

    _site: Installation
    _access: Access

    def schedules(self) -> tuple[ScheduleStanding, ...]:
        """Return where each schedule stands that whoever asks may see, in the order of remediate.yml.

        Raises InvalidDocument when a document of one of their runbooks is wrong.
        """
        self._access.require_sight()
        book, now = self._site.schedule_book, self._site.ports.clock.now()
        hosts = book.timetable.hosts() if book.timetable.schedules else ()
        position = self._site.switchboard.position()
        found = []
        for schedule in book.timetable.schedules:
            names, nowhere = targets(schedule, book.timetable.runbooks[schedule.runbook], hosts)
            if self._access.allows(Permission.SEE_RUN, runbook=schedule.runbook, hosts=names):
                standing = book.standing(schedule, names, now)
                held = (*standing.held_back, *filter(None, (nowhere, *self._holding_back(schedule.runbook, position))))
                found.append(replace(standing, held_back=held))
        return tuple(found)

    def drills(self, *, source: str = "", limit: int = 100) -> tuple[Drill, ...]:
        """Return the drills that whoever asks may see, newest first; of one source only, when it is named."""
        self._access.require_sight()
        found = drills_of(self._site.ports.store.verified(RESTORE_TEST, limit=_MOST))
        sees = self._sees_hosts(RESTORE_TEST, (one.host for one in found))
        return tuple(one for one in found if one.host in sees and source in ("", one.report.source))[:limit]

    def drill(self, run_id: str, *, source: str = "") -> Drill:
        """Return the drill of a run, of the source that is named where it was about several.

        Raises UnknownRun, or UsageError when the run reported no drill, or not exactly one.
        """
        run = self._access.run(run_id)
        made = [one for one in self.drills(limit=_MOST) if one.run_id == run.id]
        found = [one for one in made if source in ("", one.report.source)]
        if len(found) == 1:
            return found[0]
        known = ", ".join(sorted({one.report.source for one in made}))
        if not made:
            what, step = "reported no drill", "see `remediate drill list`"
        else:
            what, step = f"is about {known}", "name one of them with --source NAME"
        raise UsageError(f"Run {run.id} {what}.", next_step=step)

    def backups(self) -> tuple[BackupStanding, ...]:
        """Return what the last verification of each runbook about backups said on each host, as far as it is seen."""
        self._access.require_sight()
        found: dict[tuple[str, str], BackupStanding] = {}
        for runbook in BACKUP_RUNBOOKS:
            for one in self._site.ports.store.verified(runbook, limit=_MOST):
                for host, report in one.reports.items():
                    verification = Verification.model_validate(report)
                    standing = BackupStanding(runbook, host, one.run_id, one.ended_at, verification)
                    found.setdefault((runbook, host), standing)
        seen = {
            (name, host) for name in BACKUP_RUNBOOKS for host in self._sees_hosts(name, (host for _, host in found))
        }
        return tuple(standing for key, standing in sorted(found.items()) if key in seen)

    def _sees_hosts(self, runbook: str, hosts: Iterable[str]) -> set[str]:
        """Return those of some hosts on which whoever asks may see runs of a runbook."""
        allows = self._access.allows
        return {host for host in set(hosts) if allows(Permission.SEE_RUN, runbook=runbook, hosts=(host,))}

    def _holding_back(self, runbook: str, position: StormPosition) -> Iterable[str]:
        """Yield what keeps everything of this site, or of this runbook, from beginning by itself."""
        if not service_is_there(self._site.ports.locks):
            yield "no service works for this site: start `remediate serve`"
        if position.pause:
            yield f"{position.pause.by} has paused the site: {position.pause.reason}"
        if any(one.runbook == runbook and one.state is BreakerState.OPEN for one in position.breakers):
            yield f"the circuit breaker of {runbook} is open: see `remediate storm`"
