"""Incidents that alerts tell of, with their runs and times; silences."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Let incidents know more, and stand without a run; keep our silences."""
    _extend_incidents()
    op.create_table(
        "incident_runs",
        sa.Column("run_id", sa.String(64), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("incident_id", sa.String(64), sa.ForeignKey("incidents.id"), nullable=False),
        sa.Column("joined_at", _MOMENT, nullable=False),
    )
    op.create_index("ix_incident_runs_incident_id", "incident_runs", ["incident_id"])
    op.execute(
        "INSERT INTO incident_runs (run_id, incident_id, joined_at) "
        "SELECT run_id, id, opened_at FROM incidents WHERE kind = 'incident'"
    )
    op.create_index("alerts_by_incident", "alerts", ["incident_id"])
    op.create_table(
        "silences",
        sa.Column("run_id", sa.String(64), sa.ForeignKey("runs.id"), primary_key=True),
        sa.Column("source", sa.String(64), primary_key=True),
        sa.Column("alert", sa.String(128), primary_key=True),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("begins_at", _MOMENT, nullable=False),
        sa.Column("ends_at", _MOMENT, nullable=False),
        sa.Column("external_id", sa.String(64), nullable=False),
        sa.Column("removed_at", _MOMENT, nullable=True),
        sa.Column("trouble", sa.Text, nullable=False),
    )
    op.create_index("silences_standing", "silences", ["removed_at"])


def _extend_incidents() -> None:
    # A constraint is loosened, which SQLite can do only by copying the table.
    with op.batch_alter_table("incidents") as table:
        table.alter_column("run_id", existing_type=sa.String(64), nullable=True)
        table.add_column(sa.Column("runbook", sa.String(64), nullable=False, server_default=""))
        table.add_column(sa.Column("hosts", sa.JSON, nullable=True))
        table.add_column(sa.Column("began_at", _MOMENT, nullable=True))
        table.add_column(sa.Column("rto", sa.Integer, nullable=True))
        table.add_column(sa.Column("acknowledged_at", _MOMENT, nullable=True))
        table.add_column(sa.Column("acknowledged_by", sa.String(128), nullable=False, server_default=""))
        table.add_column(sa.Column("level", sa.Integer, nullable=False, server_default="0"))
        table.add_column(sa.Column("escalated_at", _MOMENT, nullable=True))
        table.add_column(sa.Column("cured_at", _MOMENT, nullable=True))
        table.add_column(sa.Column("closed_by", sa.String(128), nullable=False, server_default=""))


def downgrade() -> None:
    """Migrations only add: going back means running older code on newer tables."""
    raise RuntimeError("the store is not downgraded: older code runs on newer tables")
