"""Who somebody is, and what they may do: tokens, principals, permissions, and the one decision about them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from enum import StrEnum

from remediate.domain.people import Grant, Person, Role
from remediate.domain.value import Value


class Token(Value):
    """An API token of a person, without its secret; it may carry less than the person may, never more."""

    id: str
    person: str
    label: str
    #: Narrows the person's grants to these roles; none named means all that the person has.
    roles: tuple[Role, ...] = ()
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None = None
    revoked_by: str = ""
    used_at: datetime | None = None


class Principal(Value):
    """The person that a request is made by, and how that is known."""

    person: Person
    #: `token:<id>`, or `os-user:<name>`.
    channel: str
    #: Narrows the person's grants to these roles; none named means all that the person has.
    roles: tuple[Role, ...] = ()

    @property
    def id(self) -> str:
        """What the record calls this person."""
        return self.person.id

    @property
    def level(self) -> int:
        """Up to which level of the escalation matrix this person decides; a service account decides nothing."""
        return 0 if self.person.service else self.person.level

    @property
    def grants(self) -> tuple[Grant, ...]:
        """What the person was granted and the token, if it is one, carries."""
        return tuple(grant for grant in self.person.grants if not self.roles or grant.role in self.roles)


class Permission(StrEnum):
    """One thing that somebody may or may not do."""

    SEE_RUN = "see_run"
    REQUEST_RUN = "request_run"
    CARRY_OUT = "carry_out"
    ROLL_BACK = "roll_back"
    CANCEL = "cancel"
    RESUME_RUN = "resume_run"
    #: Asks hosts, read-only, what an interrupted run has done there.
    ACCOUNT_FOR_RUN = "account_for_run"
    APPROVE = "approve"
    REJECT = "reject"
    PAUSE = "pause"
    LIFT_PAUSE = "lift_pause"
    SEE_TOKENS = "see_tokens"
    MAKE_TOKEN = "make_token"  # noqa: S105  # the name of a permission
    REVOKE_TOKEN = "revoke_token"  # noqa: S105  # the name of a permission
    #: Sends a test notice.
    TRY_CHANNELS = "try_channels"
    SEE_NOTICES = "see_notices"
    ACKNOWLEDGE_INCIDENT = "acknowledge_incident"
    RESOLVE_INCIDENT = "resolve_incident"
    #: Asks Prometheus and Alertmanager whether what they tell fits the policy about alerts.
    CHECK_ALERTS = "check_alerts"
    READ_AUDIT = "read_audit"
    EXPORT_AUDIT = "export_audit"

    @property
    def words(self) -> str:
        """The permission as it stands in a sentence: `carry out`."""
        return self.value.replace("_", " ")


class Scope(StrEnum):
    """How far the grant has to reach that a permission comes from."""

    #: The grant covers the runbook, and every one of the hosts.
    RUN = "run"
    #: It is about the whole site: a grant on some runbooks or groups is not enough.
    SITE = "site"
    #: Any grant of the role will do: to stop things is in everybody's reach.
    ANY = "any"


class Rule(Value):
    """Which roles carry a permission, and how far their grant has to reach."""

    scope: Scope
    roles: frozenset[Role]


def _rule(scope: Scope, *roles: Role) -> Rule:
    return Rule(scope=scope, roles=frozenset(roles))


#: Everything that is allowed; what stands nowhere here is refused.
RULES: Mapping[Permission, Rule] = {
    Permission.SEE_RUN: _rule(Scope.RUN, Role.VIEWER, Role.REQUESTER, Role.OPERATOR, Role.APPROVER, Role.AUDITOR),
    Permission.REQUEST_RUN: _rule(Scope.RUN, Role.REQUESTER, Role.OPERATOR),
    Permission.ACCOUNT_FOR_RUN: _rule(Scope.RUN, Role.REQUESTER, Role.OPERATOR),
    Permission.CARRY_OUT: _rule(Scope.RUN, Role.OPERATOR),
    Permission.ROLL_BACK: _rule(Scope.RUN, Role.OPERATOR),
    Permission.CANCEL: _rule(Scope.RUN, Role.OPERATOR),
    Permission.RESUME_RUN: _rule(Scope.RUN, Role.OPERATOR),
    Permission.APPROVE: _rule(Scope.RUN, Role.APPROVER),
    Permission.REJECT: _rule(Scope.RUN, Role.APPROVER),
    Permission.PAUSE: _rule(Scope.ANY, Role.OPERATOR, Role.ADMIN),
    Permission.LIFT_PAUSE: _rule(Scope.SITE, Role.ADMIN),
    Permission.SEE_TOKENS: _rule(Scope.SITE, Role.ADMIN, Role.AUDITOR),
    Permission.MAKE_TOKEN: _rule(Scope.SITE, Role.ADMIN),
    Permission.REVOKE_TOKEN: _rule(Scope.SITE, Role.ADMIN),
    Permission.TRY_CHANNELS: _rule(Scope.ANY, Role.OPERATOR, Role.ADMIN),
    Permission.SEE_NOTICES: _rule(Scope.SITE, Role.OPERATOR, Role.ADMIN, Role.AUDITOR),
    Permission.ACKNOWLEDGE_INCIDENT: _rule(Scope.RUN, Role.OPERATOR, Role.APPROVER),
    Permission.RESOLVE_INCIDENT: _rule(Scope.RUN, Role.OPERATOR),
    Permission.CHECK_ALERTS: _rule(Scope.ANY, Role.OPERATOR, Role.ADMIN, Role.AUDITOR),
    Permission.READ_AUDIT: _rule(Scope.SITE, Role.AUDITOR),
    Permission.EXPORT_AUDIT: _rule(Scope.SITE, Role.AUDITOR),
}

#: What only a human being decides. A service account that made tokens could approve as the person it made one for.
HUMAN_ONLY = frozenset({Permission.APPROVE, Permission.REJECT, Permission.LIFT_PAUSE, Permission.MAKE_TOKEN})


class Allowed(Value):
    """The principal may, by this grant."""

    grant: Grant


class NotAllowedBecause(Value):
    """The principal may not, and why."""

    reason: str


def may(
    principal: Principal,
    permission: Permission,
    *,
    runbook: str | None = None,
    groups: Mapping[str, Collection[str]] | None = None,
) -> Allowed | NotAllowedBecause:
    """Decide whether a principal may do something to a runbook on hosts, each given with its inventory groups.

    One grant has to cover the runbook and every host. No runbook named means any, no host named means any: only a
    grant that is not narrowed there covers that.
    """
    rule = RULES.get(permission)
    if rule is None:
        return NotAllowedBecause(reason=f"no rule says who may {permission.words}")
    if principal.person.service and permission in HUMAN_ONLY:
        return NotAllowedBecause(reason=f"{principal.id} is a service account; people decide this")
    held = [grant for grant in principal.grants if grant.role in rule.roles]
    if not held:
        return NotAllowedBecause(reason=_without_role(principal, rule))
    wanted = dict(groups or {})
    covering = next((grant for grant in held if _covers(grant, rule.scope, runbook, wanted)), None)
    return Allowed(grant=covering) if covering else NotAllowedBecause(reason=_not_covered(rule.scope, runbook, wanted))


def holds(principal: Principal, permission: Permission) -> bool:
    """Return whether a principal may do something at least somewhere."""
    rule = RULES.get(permission)
    human = not principal.person.service or permission not in HUMAN_ONLY
    return rule is not None and human and any(grant.role in rule.roles for grant in principal.grants)


def permissions(principal: Principal) -> tuple[tuple[Grant, tuple[Permission, ...]], ...]:
    """Return each grant of a principal with what may be done by it, where it reaches."""
    return tuple((grant, _carried(principal, grant)) for grant in principal.grants)


def self_approves(principal: Principal) -> bool:
    """Decide whether whoever types a run is the approval that level 1 asks for: a human being of level 1 or above."""
    return principal.level >= 1


def _carried(principal: Principal, grant: Grant) -> tuple[Permission, ...]:
    whole_site = not grant.runbooks and not grant.groups
    return tuple(
        permission
        for permission, rule in RULES.items()
        if grant.role in rule.roles
        and (whole_site or rule.scope is not Scope.SITE)
        and not (principal.person.service and permission in HUMAN_ONLY)
    )


def _covers(grant: Grant, scope: Scope, runbook: str | None, groups: Mapping[str, Collection[str]]) -> bool:
    if scope is Scope.ANY:
        return True
    if scope is Scope.SITE:
        return not grant.runbooks and not grant.groups
    covers_runbook = not grant.runbooks or runbook in grant.runbooks
    covers_hosts = bool(groups) and all(set(grant.groups) & set(names) for names in groups.values())
    return covers_runbook and (not grant.groups or covers_hosts)


def _without_role(principal: Principal, rule: Rule) -> str:
    """Name the roles that are missing, and whether it is the token that leaves them out."""
    wanted = " or ".join(sorted(rule.roles))
    if any(grant.role in rule.roles for grant in principal.person.grants):
        return f"this takes the role {wanted}, which {principal.id} has but the token does not carry"
    return f"this takes the role {wanted}, which {principal.id} does not have"


def _not_covered(scope: Scope, runbook: str | None, groups: Mapping[str, Collection[str]]) -> str:
    if scope is Scope.SITE:
        return "it concerns the whole site, and the role is granted on a part of it only"
    return f"the role is not granted on {runbook or 'every runbook'} for {', '.join(sorted(groups)) or 'every host'}"
