"""Which level of the escalation matrix must approve a plan, who may answer, and what the answers amount to."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from remediate.domain.identity import Permission, Principal
from remediate.domain.people import Person
from remediate.domain.report import Finding, Undo
from remediate.domain.runbook import Cause, Effect, Rollback, Severity
from remediate.domain.value import Value

HIGHEST_LEVEL = 4

#: So many people together may override the level that a plan asks for, in an emergency.
OVERRIDE_PEOPLE = 2

#: The least level for an effect (escalation matrix): losing or disclosing data is the engineering manager's decision,
#: shutting people out is the DevOps lead's. Restarts and traffic rules are covered by their cause's own level.
EFFECT_LEVELS: Mapping[Effect, int] = {Effect.DATA_LOSS: 3, Effect.DATA_DISCLOSURE: 3, Effect.ACCESS: 2}


class RequiredLevel(Value):
    """The level that must approve, 0 (nobody) to 4, how many people of it, and the reasons in words."""

    level: int
    people: int = 1
    reasons: tuple[str, ...]


def required_level(causes: Mapping[str, Cause], findings: Iterable[Finding]) -> RequiredLevel:
    """Return the highest level, and the greatest number of people, that any action of any finding asks for."""
    found = list(findings)
    acting = dict.fromkeys(action.cause for finding in found for action in finding.actions)
    lost = {action.cause for finding in found for action in finding.actions if action.undo is Undo.NONE}
    asked = [_cause_level(causes[cause], cause in lost) for cause in acting]
    level = max((entry.level for entry in asked), default=0)
    people = max((entry.people for entry in asked), default=1)
    reasons = [reason for entry in asked if entry.level == level for reason in entry.reasons]
    reasons += [f"{cause} asks for {causes[cause].approvers} people" for cause in acting if causes[cause].approvers > 1]
    return RequiredLevel(level=level, people=people, reasons=tuple(reasons))


def _cause_level(cause: Cause, has_lost_actions: bool) -> RequiredLevel:
    """A cause's own level, raised by one when its fix cannot be undone, and by its effects."""
    level = cause.approval
    reasons = [f"{cause.id} asks for level {cause.approval}"]
    if cause.rollback is Rollback.NONE or has_lost_actions:
        level += 1
        reasons.append(
            f"{cause.id} cannot be undone: {cause.rollback_reason or 'there is nowhere to hold what it takes'}"
        )
    for effect in cause.effects:
        if EFFECT_LEVELS.get(effect, 0) > level:
            level = EFFECT_LEVELS[effect]
            reasons.append(f"{cause.id} has the effect {effect.value}")
    return RequiredLevel(level=min(level, HIGHEST_LEVEL), people=cause.approvers, reasons=tuple(reasons))


class LevelRule(Value):
    """What a site asks for beyond the card: plans of a runbook, on some host groups, need at least this level."""

    runbook: str
    #: Groups of hosts that it is about; none named means all.
    groups: tuple[str, ...] = ()
    level: int = Field(ge=1, le=HIGHEST_LEVEL)
    reason: str


def raised(required: RequiredLevel, runbook: str, groups: Collection[str], rules: Iterable[LevelRule]) -> RequiredLevel:
    """Return the level as the rules of a site raise it, with their reasons; no rule ever lowers it.

    `groups` are those that any host of the plan is in: one host is enough for a rule to hold for the whole plan.
    """
    holding = [one for one in rules if one.runbook == runbook and (not one.groups or set(one.groups) & set(groups))]
    level = max((rule.level for rule in holding), default=0)
    if level <= required.level:
        return required
    reasons = tuple(f"this site asks for level {level}: {rule.reason}" for rule in holding if rule.level == level)
    return required.model_copy(update={"level": level, "reasons": required.reasons + reasons})


class Consent(StrEnum):
    """How a plan that somebody typed gets its approval."""

    NOT_NEEDED = "level 0: nobody has to approve"
    ASK = "ask the on-call engineer who typed it"
    WAIT = "somebody else has to approve"


def consent(level: int, *, people: int = 1, requester_level: int = 1) -> Consent:
    """Decide how a plan typed on a command line gets its approval.

    Level 0 needs none; at level 1 the on-call engineer who typed it is the approval; above, somebody else has to.
    """
    if level == 0:
        return Consent.NOT_NEEDED
    if level == 1 and people == 1 and requester_level >= 1:
        return Consent.ASK
    return Consent.WAIT


class Unattended(Value):
    """What the rule about an alert says to the plan of its run: a human is not needed, or is, and why."""

    is_enough: bool
    reason: str


def unattended_consent(level: int, *, people: int, unattended: int | None) -> Unattended:
    """Decide whether the plan of a run that an alert or a schedule started is carried out without a human.

    Where its rule does not let it act, a human is asked even at level 0. What takes two people is never left to a rule.
    """
    if unattended is None:
        return Unattended(is_enough=False, reason="its rule says to ask whatever the level is")
    if people > 1:
        return Unattended(is_enough=False, reason=f"it takes {people} people, and no rule stands for them")
    if level > unattended:
        return Unattended(is_enough=False, reason=f"its rule acts without a human up to level {unattended} only")
    said = f"approved by policy: its rule acts without a human up to level {unattended}, and it takes level {level}"
    return Unattended(is_enough=True, reason=said)


class Answer(StrEnum):
    """What somebody says to a plan."""

    APPROVED = "approved"
    REJECTED = "rejected"
    #: Approves in an emergency what is above the own level; counts when enough people say so together.
    OVERRIDDEN = "overridden"


class ApprovalDecision(Value):
    """One person's answer to exactly one plan: it counts for this digest, once, and for nothing else."""

    run_id: str
    digest: str
    person: str
    answer: Answer
    #: The level that the person had when they answered.
    level: int
    #: How the person is known: `token:<id>`, `os-user:<name>`.
    channel: str
    reason: str = ""
    at: datetime


class Asking(StrEnum):
    """How a request for approval stands."""

    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class ApprovalRequest(Value):
    """A plan that waits for people: who is asked now, what happens next if nobody answers, until when it is valid."""

    run_id: str
    runbook: str
    digest: str
    severity: Severity
    #: The level that the plan asks for; a higher one may approve it as well.
    level: int = Field(ge=1, le=HIGHEST_LEVEL)
    people: int = Field(default=1, ge=1)
    reasons: tuple[str, ...] = ()
    requested_by: str
    hosts: tuple[str, ...]
    #: Host groups, by host: what a grant may be narrowed to.
    groups: dict[str, tuple[str, ...]] = {}
    #: After how long level 2, 3 and 4 are asked, and after how long nobody is asked any more, in seconds.
    climbs_after: tuple[int, int, int, int]
    remind_every: int
    asked_level: int
    asked: tuple[str, ...] = ()
    opened_at: datetime
    #: When the level that is asked now was asked.
    asked_at: datetime
    reminded_at: datetime
    expires_at: datetime
    #: When something has to happen if nobody answers.
    next_at: datetime
    state: Asking = Asking.OPEN
    version: int = 0


#: The channel of whoever was asked by the very command that they had typed, and that they were allowed to type.
TERMINAL = "terminal"


def needed_permission(request: ApprovalRequest, principal: Principal, answer: Answer) -> Permission | None:
    """Return what somebody has to be allowed to do before their answer counts; None where that was checked already.

    At level 1 the on-call engineer approves what they have asked for themselves: whoever may carry it out may do so.
    """
    if principal.channel == TERMINAL:
        return None
    if answer is Answer.REJECTED:
        return Permission.REJECT
    alone = request.level == 1 and request.people == 1 and answer is Answer.APPROVED
    own = alone and principal.id == request.requested_by
    return Permission.CARRY_OUT if own else Permission.APPROVE


def may_answer(
    request: ApprovalRequest, person: Person, answer: Answer, given: Iterable[ApprovalDecision], now: datetime
) -> str:
    """Return why a person may not give this answer to a request, or an empty string when they may.

    Whether the person has the role of an approver on this runbook and these hosts is decided before.
    """
    own = person.id == request.requested_by
    overriding = answer is Answer.OVERRIDDEN
    # Whoever has asked may take it back, and an override needs others, not a level.
    below = person.level < request.level and not overriding and not (own and answer is Answer.REJECTED)
    obstacles = {
        f"it was {request.state.value} already": request.state is not Asking.OPEN,
        "its time is over": now >= request.expires_at,
        f"{person.id} is a service account, and those decide nothing": person.service,
        f"{person.id} has answered already": any(
            one.person == person.id and one.digest == request.digest for one in given
        ),
        f"{person.id} has no level, and an override needs one": overriding and person.level < 1,
        f"it asks for level {request.level}, and {person.id} has level {person.level}": below,
        f"{person.id} has asked for it, and whoever asks does not approve": own
        and answer is Answer.APPROVED
        and (request.level > 1 or request.people > 1),
    }
    return next((obstacle for obstacle, is_there in obstacles.items() if is_there), "")


class Tally(Value):
    """What the answers to a request amount to, in words."""

    state: Asking
    reason: str


def tally(request: ApprovalRequest, given: Iterable[ApprovalDecision]) -> Tally:
    """Return how a request stands after these answers; only those to its own digest count, each person once."""
    counting = {one.person: one for one in given if one.digest == request.digest}
    if rejected := next((one for one in counting.values() if one.answer is Answer.REJECTED), None):
        return Tally(state=Asking.REJECTED, reason=f"rejected by {_who(rejected)}")
    approved = [one for one in counting.values() if one.answer is Answer.APPROVED and one.level >= request.level]
    if len(approved) >= request.people:
        return Tally(state=Asking.APPROVED, reason="approved by " + " and ".join(map(_who, approved)))
    together = [one for one in counting.values() if one.answer is not Answer.REJECTED]
    if len(together) >= OVERRIDE_PEOPLE and any(one.answer is Answer.OVERRIDDEN for one in together):
        who = " and ".join(map(_who, together))
        return Tally(state=Asking.APPROVED, reason=f"EMERGENCY OVERRIDE, to be reviewed, by {who}")
    missing = f"{len(approved)} of {request.people} approvals of level {request.level}"
    override = f", {len(together)} of {OVERRIDE_PEOPLE} for an override" if len(together) > len(approved) else ""
    return Tally(state=Asking.OPEN, reason=missing + override)


def _who(decision: ApprovalDecision) -> str:
    said = f": {decision.reason}" if decision.reason else ""
    return f"{decision.person} (level {decision.level}{said})"
