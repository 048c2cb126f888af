"""Alerts that were delivered to us, and how far their runs may go without a human."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add one row for each alert, however often it is delivered."""
    op.create_table(
        "alerts",
        sa.Column("key", sa.String(128), primary_key=True),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("starts_at", _MOMENT, nullable=False),
        sa.Column("source", sa.String(64), nullable=False),
        sa.Column("body", sa.JSON, nullable=False),
        sa.Column("first_seen", _MOMENT, nullable=False),
        sa.Column("last_seen", _MOMENT, nullable=False),
        sa.Column("deliveries", _NUMBER, nullable=False),
        sa.Column("decision", sa.String(32), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("runbook", sa.String(64), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("run_id", sa.String(64), nullable=False),
        sa.Column("incident_id", sa.String(64), nullable=False),
        sa.Column("resolved_at", _MOMENT, nullable=True),
    )
    op.create_index("alerts_by_fingerprint", "alerts", ["fingerprint", "starts_at"])
    op.create_index("alerts_by_run", "alerts", ["run_id"])
    op.add_column("runs", sa.Column("unattended", sa.Integer, nullable=True))
    op.create_index("alerts_open", "alerts", ["resolved_at", "first_seen"])


def downgrade() -> None:
    """Migrations only add: going back means running older code on newer tables."""
    raise RuntimeError("the store is not downgraded: older code runs on newer tables")
