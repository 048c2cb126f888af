"""The tables of the store. A change needs a migration that only adds, so that older code runs on newer tables."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
)
from sqlalchemy.types import TypeDecorator

from remediate.adapters.store.words import Text

#: The newest migration; the store is upgraded when it finds another one.
SCHEMA_VERSION = "0006"

metadata = MetaData()


class Moment(TypeDecorator[datetime]):
    """A moment, stored in UTC and given back in UTC: SQLite by itself forgets the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Convert to UTC; refuse a moment without a zone, which may mean anything."""
        del dialect
        if value is not None and value.tzinfo is None:
            raise ValueError(f"a moment needs its zone: {value}")
        return value.astimezone(UTC) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


runs = Table(
    "runs",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("runbook", String(64), nullable=False),
    Column("status", String(32), nullable=False),
    Column("hosts", JSON, nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("requested_by", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("check_only", Boolean, nullable=False),
    Column("started_by", String(16), nullable=False, server_default="person"),
    Column("override_reason", Text, nullable=False, server_default=""),
    Column("stop_asked_by", String(128), nullable=False, server_default=""),
    Column("carrier", String(16), nullable=False, server_default="command"),
    Column("unattended", Integer, nullable=True),
    Column("continues", String(64), nullable=False, server_default=""),
    Column("parent", String(64), nullable=False, server_default=""),
    Column("depth", Integer, nullable=False, server_default="0"),
    Column("outcome", Text, nullable=False),
    Column("plan", JSON, nullable=True),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("ended_at", Moment, nullable=True),
    #: The hosts that the plan is for, beside it: the plan itself is too big to be read for every decision.
    Column("planned_hosts", JSON, nullable=True),
    Index("runs_by_time", "created_at"),
    Index("runs_by_status", "status"),
    Index("runs_live", "check_only", "status"),
    Index("runs_by_continued", "continues"),
    Index("runs_by_parent", "parent"),
)

transitions = Table(
    "transitions",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(64), ForeignKey("runs.id"), nullable=False, index=True),
    Column("from_status", String(32), nullable=True),
    Column("to_status", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Index("transitions_by_time", "at", "run_id"),
)

phases = Table(
    "phases",
    metadata,
    Column("run_id", String(64), ForeignKey("runs.id"), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("phase", String(16), nullable=False),
    Column("check_only", Boolean, nullable=False),
    Column("outcome", String(16), nullable=True),
    Column("reports", JSON, nullable=False),
    Column("troubles", JSON, nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("ended_at", Moment, nullable=True),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("run_id", String(64), ForeignKey("runs.id"), nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("host", String(255), nullable=False),
    Column("task", Text, nullable=False),
    Column("module", String(128), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("started_at", Moment, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("message", Text, nullable=False),
    Column("diff", Text, nullable=False),
    Index("tasks_by_phase", "run_id", "sequence"),
)

audit = Table(
    "audit",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("body", Text, nullable=False),
    Column("hash", String(64), nullable=False),
)

heads = Table(
    "audit_heads",
    metadata,
    Column("sequence", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("hash", String(64), nullable=False),
    Column("at", Moment, nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("signature", String(128), nullable=False),
    Column("sent", JSON, nullable=False),
)

approval_requests = Table(
    "approval_requests",
    metadata,
    Column("run_id", String(64), ForeignKey("runs.id"), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("body", JSON, nullable=False),
    Column("is_open", Boolean, nullable=False),
    Column("next_at", Moment, nullable=True),
    Index("approval_requests_due", "is_open", "next_at"),
)

approval_decisions = Table(
    "approval_decisions",
    metadata,
    Column("run_id", String(64), ForeignKey("runs.id"), primary_key=True),
    Column("digest", String(64), primary_key=True),
    Column("person", String(64), primary_key=True),
    Column("answer", String(16), nullable=False),
    Column("level", Integer, nullable=False),
    Column("channel", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Moment, nullable=False),
)

incidents = Table(
    "incidents",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    #: None: no run was made of what it is about.
    Column("run_id", String(64), ForeignKey("runs.id"), nullable=True),
    Column("severity", String(8), nullable=False),
    Column("title", Text, nullable=False),
    Column("status", String(16), nullable=False),
    Column("note", Text, nullable=False),
    Column("opened_at", Moment, nullable=False),
    Column("closed_at", Moment, nullable=True),
    Column("runbook", String(64), nullable=False, server_default=""),
    Column("hosts", JSON, nullable=True),
    Column("began_at", Moment, nullable=True),
    #: In seconds.
    Column("rto", Integer, nullable=True),
    Column("acknowledged_at", Moment, nullable=True),
    Column("acknowledged_by", String(128), nullable=False, server_default=""),
    Column("level", Integer, nullable=False, server_default="0"),
    Column("escalated_at", Moment, nullable=True),
    Column("cured_at", Moment, nullable=True),
    Column("closed_by", String(128), nullable=False, server_default=""),
    Index("incidents_by_status", "status"),
)

incident_runs = Table(
    "incident_runs",
    metadata,
    Column("run_id", String(64), ForeignKey("runs.id"), primary_key=True),
    Column("incident_id", String(64), ForeignKey("incidents.id"), nullable=False, index=True),
    Column("joined_at", Moment, nullable=False),
)

silences = Table(
    "silences",
    metadata,
    Column("run_id", String(64), ForeignKey("runs.id"), primary_key=True),
    Column("source", String(64), primary_key=True),
    Column("alert", String(128), primary_key=True),
    Column("labels", JSON, nullable=False),
    Column("begins_at", Moment, nullable=False),
    Column("ends_at", Moment, nullable=False),
    Column("external_id", String(64), nullable=False),
    Column("removed_at", Moment, nullable=True),
    Column("trouble", Text, nullable=False),
    Index("silences_standing", "removed_at"),
)

notices = Table(
    "notices",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("channel", String(32), nullable=False),
    Column("person", String(64), nullable=False),
    Column("subject", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("data", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("next_at", Moment, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("delivered_at", Moment, nullable=True),
    Column("given_up_at", Moment, nullable=True),
    Column("last_error", Text, nullable=False),
    Index("notices_due", "delivered_at", "given_up_at", "next_at"),
)

tokens = Table(
    "tokens",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("person", String(64), nullable=False),
    Column("secret_hash", String(64), nullable=False),
    Column("label", Text, nullable=False),
    Column("roles", JSON, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("expires_at", Moment, nullable=False),
    Column("revoked_at", Moment, nullable=True),
    Column("revoked_by", String(64), nullable=False),
    Column("used_at", Moment, nullable=True),
)

switches = Table(
    "switches",
    metadata,
    Column("name", String(80), primary_key=True),
    Column("on", Boolean, nullable=False),
    Column("by", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", Moment, nullable=False),
    Column("after", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
)

alerts = Table(
    "alerts",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("fingerprint", String(64), nullable=False),
    Column("starts_at", Moment, nullable=False),
    Column("source", String(64), nullable=False),
    #: The alert as it was delivered first.
    Column("body", JSON, nullable=False),
    Column("first_seen", Moment, nullable=False),
    Column("last_seen", Moment, nullable=False),
    Column("deliveries", BigInteger().with_variant(Integer, "sqlite"), nullable=False),
    Column("decision", String(32), nullable=False),
    Column("reason", Text, nullable=False),
    Column("runbook", String(64), nullable=False),
    Column("mode", String(16), nullable=False),
    #: Not a foreign key: an alert that no run was made of has none.
    Column("run_id", String(64), nullable=False),
    Column("incident_id", String(64), nullable=False),
    Column("resolved_at", Moment, nullable=True),
    Index("alerts_by_fingerprint", "fingerprint", "starts_at"),
    Index("alerts_by_run", "run_id"),
    Index("alerts_by_incident", "incident_id"),
    Index("alerts_open", "resolved_at", "first_seen"),
)

schedule_turns = Table(
    "schedule_turns",
    metadata,
    #: An occurrence is decided about once, whoever looks: that is its key.
    Column("schedule", String(64), primary_key=True),
    Column("due", Moment, primary_key=True),
    Column("timing", Text, nullable=False),
    Column("decision", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    #: Not a foreign key: a turn that no run was made of has none.
    Column("run_id", String(64), nullable=False),
    Column("decided_at", Moment, nullable=False),
    Column("decided_by", String(128), nullable=False),
    Index("schedule_turns_by_run", "schedule", "run_id"),
)
