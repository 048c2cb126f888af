"""An alert that was delivered to us, and what the record keeps of it. Everything in an alert is hostile."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, Field

from remediate.domain.audit import ENGINE, AuditEntry
from remediate.domain.text import quoted
from remediate.domain.value import Value

#: How much of a label a message or the trail repeats.
_SHOWN = 120


class AlertStatus(StrEnum):
    """How an alert stands, as its source says."""

    FIRING = "firing"
    RESOLVED = "resolved"


class Alert(Value):
    """One alert of one source, as it was delivered."""

    #: The name of the source in remediate.yml that delivered it.
    source: str
    #: What its source calls its set of labels: the same in every source that hears of the same alert.
    fingerprint: str = Field(pattern=r"^[0-9a-f]{1,64}$")
    status: AlertStatus
    starts_at: Annotated[AwareDatetime, AfterValidator(lambda moment: moment.astimezone(UTC))]
    ends_at: AwareDatetime | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    #: A link to what computes it: http or https, or empty.
    generator_url: str = ""

    @property
    def key(self) -> str:
        """What is the same however often, by whomever and in whichever group it is delivered."""
        return alert_key(self.fingerprint, self.starts_at)

    @property
    def name(self) -> str:
        """The name of its rule; from outside, like everything in it."""
        return self.labels.get("alertname", "")


@lru_cache(4096)  # asked several times for each delivery of the same alert
def alert_key(fingerprint: str, starts_at: datetime) -> str:
    """Return the key of the alert with this fingerprint that began to fire at this moment."""
    return f"{fingerprint}:{starts_at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


class AlertDecision(StrEnum):
    """What was decided about an alert: one word for each reason."""

    #: Taken, and not decided yet.
    UNDECIDED = "undecided"
    #: A run was made of it.
    ADMITTED = "admitted"
    #: A run that only looks was made of it, because its rule says so.
    SUGGESTED = "suggested"
    #: No rule of its source matches it.
    NO_RULE = "no_rule"
    #: Its labels name no host of the inventory, or more than one.
    NO_TARGET = "no_target"
    #: Its host is not in the group of hosts that the rule is for.
    OTHER_GROUP = "other_group"
    #: A label does not fill the parameter that it is for.
    BAD_PARAMETER = "bad_parameter"
    #: It was over before anything could be done.
    RESOLVED_FIRST = "resolved_first"
    #: The policy about storms, a freeze or a pause says no.
    REFUSED = "refused"


#: The decisions after which a run exists.
WITH_RUN = frozenset({AlertDecision.ADMITTED, AlertDecision.SUGGESTED})


class AlertMode(StrEnum):
    """What the runs of a rule may do."""

    #: Act without asking, up to the level that the rule names; ask above it.
    ACT = "act"
    #: Diagnose, plan, and ask whatever the level is.
    ASK = "ask"
    #: Diagnose and plan only: record what would be done.
    SUGGEST = "suggest"


class AlertAnswer(Value):
    """What was decided about an alert, why, and the run that was made of it, if one was."""

    decision: AlertDecision
    #: The reason in words, for people.
    reason: str = ""
    runbook: str = ""
    mode: AlertMode | None = None
    run_id: str = ""


class AlertRecord(Value):
    """What the record keeps of one alert, however often it was delivered."""

    alert: Alert
    first_seen: datetime
    last_seen: datetime
    deliveries: int = Field(ge=1)
    answer: AlertAnswer = AlertAnswer(decision=AlertDecision.UNDECIDED)
    #: The incident that it belongs to; empty: to none.
    incident_id: str = ""
    resolved_at: datetime | None = None

    @property
    def key(self) -> str:
        """The key of the alert."""
        return self.alert.key

    @property
    def is_open(self) -> bool:
        """Whether it still fires, as far as we were told."""
        return self.resolved_at is None


def alert_decided(record: AlertRecord, answer: AlertAnswer, now: datetime) -> AuditEntry:
    """Return the entry of the trail that tells what was decided; it stands in the timeline of the run made of it."""
    details = {
        **_about(record.alert),
        "decision": answer.decision.value,
        "reason": answer.reason,
        "runbook": answer.runbook,
        "mode": answer.mode.value if answer.mode else "",
    }
    subject = f"{answer.run_id}/alert" if answer.run_id else record.key
    return AuditEntry(at=now, actor=ENGINE, action="alert.decided", subject=subject, details=details)


def alert_resolved(record: AlertRecord, now: datetime) -> AuditEntry:
    """Return the entry of the trail that tells that an alert is over."""
    subject = f"{record.answer.run_id}/alert" if record.answer.run_id else record.key
    return AuditEntry(at=now, actor=ENGINE, action="alert.resolved", subject=subject, details=_about(record.alert))


def _about(alert: Alert) -> dict[str, str]:
    shown = {name: quoted(alert.labels.get(name, ""), _SHOWN) for name in ("alertname", "instance", "severity")}
    return {"key": alert.key, "source": alert.source, **shown}
