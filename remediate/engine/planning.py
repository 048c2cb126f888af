"""Makes the plan of a run, with the digest that binds it, and tells whether a plan still holds."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta

from pydantic import JsonValue

from remediate.domain.approval import RequiredLevel, raised, required_level
from remediate.domain.escalation import ladder_for, validity
from remediate.domain.plan import HostPlan, Plan, bound, differences, digest_of
from remediate.domain.report import Finding
from remediate.domain.run import Run
from remediate.domain.runbook import Runbook
from remediate.engine.ports import Ports
from remediate.engine.staff import Staff


class Planner:
    """Makes the plans of one runbook."""

    def __init__(self, ports: Ports, runbook: Runbook, staff: Staff) -> None:
        self._ports = ports
        self._runbook = runbook
        self._staff = staff

    def make(self, run: Run, hosts: Mapping[str, HostPlan], staged: Mapping[str, str]) -> tuple[Plan, str]:
        """Return the plan for these hosts, and what makes it stale: a run that applies a plan may do exactly that one.

        A run that goes on after an interruption keeps the plan that was approved while that is still the plan; where it
        is not, it gets a plan of its own, and is asked about anew.
        """
        agreed = self._agreed(run)
        if agreed is None:
            return self._made(run, hosts, staged, secrets.token_hex(16), None), ""
        same = self._made(run, hosts, staged, str(agreed.binds["nonce"]), agreed.expires_at)
        if same.digest == agreed.digest:
            return same, ""
        if self._applies_a_plan(run):
            return same, ", ".join(differences(agreed.binds, same.binds)) or "something"
        return self._made(run, hosts, staged, secrets.token_hex(16), None), ""

    def found(self, run: Run, findings: Mapping[str, Finding], staged: Mapping[str, str]) -> Plan:
        """Return what was found as a plan that does nothing: others act first, and then it is looked at again."""
        idle = {host: finding.model_copy(update={"actions": ()}) for host, finding in findings.items()}
        return self._made(run, host_plans(run, idle, {}), staged, secrets.token_hex(16), None)

    def _made(
        self, run: Run, hosts: Mapping[str, HostPlan], staged: Mapping[str, str], nonce: str, expires: datetime | None
    ) -> Plan:
        required = self._required(hosts)
        now = self._ports.clock.now()
        expires = expires or now + self._validity(required)
        binds = self._binds(run, hosts, staged, nonce, expires)
        return Plan(
            runbook=run.runbook,
            hosts=dict(hosts),
            hand_overs=self._hand_overs(hosts),
            level=required.level,
            level_reasons=required.reasons,
            people=required.people,
            made_at=now,
            expires_at=expires,
            digest=digest_of(binds),
            binds=binds,
        )

    def _hand_overs(self, hosts: Mapping[str, HostPlan]) -> dict[str, str]:
        found = (self._runbook.causes[cause.id] for plan in hosts.values() for cause in plan.finding.causes)
        return {cause.id: cause.hand_over for cause in found if cause.hand_over}

    def _binds(
        self,
        run: Run,
        hosts: Mapping[str, HostPlan],
        staged: Mapping[str, str],
        nonce: str,
        expires: datetime,
    ) -> dict[str, JsonValue]:
        return bound(
            decided_by=staged,
            runbook=run.runbook,
            parameters=run.parameters,
            hosts=hosts,
            policy=self._staff.policy,
            nonce=nonce,
            expires_at=expires,
        )

    def _required(self, hosts: Mapping[str, HostPlan]) -> RequiredLevel:
        """The level that the causes ask for, as the rules of the site raise it."""
        required = required_level(self._runbook.causes, (plan.finding for plan in hosts.values()))
        rules = [rule for rule in self._staff.levels if rule.runbook == self._runbook.id]
        # The inventory takes a second to read: it is left alone where no rule asks for it.
        known = self._ports.executor.hosts() if any(rule.groups for rule in rules) else ()
        groups = {group for host in known if host.name in hosts for group in host.groups}
        return raised(required, self._runbook.id, groups, rules)

    def _validity(self, required: RequiredLevel) -> timedelta:
        ladder = ladder_for(self._runbook.severity, self._runbook.escalation)
        return validity(ladder, max(required.level, 1))

    def changed_since(self, plan: Plan, run: Run, hosts: Mapping[str, HostPlan], staged: Mapping[str, str]) -> str:
        """Name what differs from an approved plan; the digest over all of it decides, and nothing else."""
        binds = self._binds(run, hosts, staged, str(plan.binds["nonce"]), plan.expires_at)
        if digest_of(binds) == plan.digest:
            return ""
        return ", ".join(differences(plan.binds, binds)) or "something"

    def _agreed(self, run: Run) -> Plan | None:
        """The plan that this run was requested to carry out, or that the run it continues had."""
        return self._ports.store.run(run.continues).plan if run.continues else None

    def _applies_a_plan(self, run: Run) -> bool:
        """Whether the run may do exactly the plan it was requested with; after an interruption one may ask anew."""
        return bool(run.continues) and self._ports.store.run(run.continues).check


def host_plans(run: Run, findings: Mapping[str, Finding], diffs: Mapping[str, str]) -> dict[str, HostPlan]:
    """Return the plan per host, in the order of the run's hosts."""
    hosts = (host for host in run.hosts if host in findings)
    return {host: HostPlan(finding=findings[host], diff=diffs.get(host, "")) for host in hosts}
