"""What one caller may do and see on a site: every use case asks here before it does anything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from remediate.domain.identity import Allowed, Permission, Principal, holds, may
from remediate.domain.run import Run
from remediate.engine.identity import Identity
from remediate.engine.ports import Ports
from remediate.errors import NotAllowed, UnknownRun

#: How many of the newest runs are looked through for somebody who may see only some of them.
_LOOKED_THROUGH = 1000


class Access:
    """The permissions of whoever `who` names; it is asked each time, so that a revoked token ends at once."""

    def __init__(self, identity: Identity, ports: Ports, who: Callable[[], Principal]) -> None:
        self._identity = identity
        self._ports = ports
        self._who = who

    @property
    def principal(self) -> Principal:
        """Who is asking; raises NotAllowed when that is not known."""
        return self._who()

    def require(self, permission: Permission, *, runbook: str | None = None, hosts: Sequence[str] = ()) -> Principal:
        """Return who is asking; raises NotAllowed when they may not do this to the runbook on all of the hosts."""
        principal = self._who()
        self._identity.require(principal, permission, runbook=runbook, groups=self._groups(principal, hosts))
        return principal

    def allows(self, permission: Permission, *, runbook: str | None = None, hosts: Sequence[str] = ()) -> bool:
        """Return whether `require` would pass; nothing is recorded, and nobody is allowed nothing."""
        try:
            principal = self._who()
        except NotAllowed:
            return False
        return isinstance(may(principal, permission, runbook=runbook, groups=self._groups(principal, hosts)), Allowed)

    def runs(self, *, limit: int, runbook: str | None = None) -> tuple[Run, ...]:
        """Return the newest runs that may be seen; raises NotAllowed for whoever may see none at all."""
        principal = self._who()
        if self._sees_all(principal):
            return self._ports.store.runs(limit=limit, runbook=runbook)
        found = self._ports.store.runs(limit=_LOOKED_THROUGH, runbook=runbook)
        return tuple(run for run in found if self._sees(principal, run))[:limit]

    def run(self, run_id: str) -> Run:
        """Return one run. To somebody who may not see it, it is as unknown as one that does not exist.

        Raises UnknownRun, or NotAllowed for whoever may see none at all.
        """
        principal = self._who()
        if self._sees_all(principal):
            return self._ports.store.run(run_id)
        unknown = UnknownRun(f"There is no run {run_id!r}.", next_step="see `remediate runs`")
        try:
            found = self._ports.store.run(run_id)
        except UnknownRun:
            # What the store says may name the runs of others.
            raise unknown from None
        if not self._sees(principal, found):
            raise unknown
        return found

    def require_sight(self) -> None:
        """Raise NotAllowed for whoever may see no run at all."""
        self._sees_all(self._who())

    def _sees_all(self, principal: Principal) -> bool:
        if not holds(principal, Permission.SEE_RUN):
            self._identity.require(principal, Permission.SEE_RUN)
        return isinstance(may(principal, Permission.SEE_RUN), Allowed)

    def _sees(self, principal: Principal, run: Run) -> bool:
        groups = self._groups(principal, run.hosts)
        return isinstance(may(principal, Permission.SEE_RUN, runbook=run.runbook, groups=groups), Allowed)

    def _groups(self, principal: Principal, hosts: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Return the groups of hosts. The inventory, which takes a second to read, is left alone where none matters."""
        if not any(grant.groups for grant in principal.grants):
            return dict.fromkeys(hosts, ())
        known = {host.name: host.groups for host in self._ports.executor.hosts()}
        return {host: known.get(host, ()) for host in hosts}
