"""Commands to workers, their telemetry, and sessions of operators"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "commands",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("worker", sa.String(42), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(12), nullable=False),
        sa.Column("arguments", sa.JSON(), nullable=False),
        sa.Column("issued_by", sa.String(42), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(8)),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("answered_at", sa.BigInteger()),
    )
    op.create_index("commands_by_worker", "commands", ["worker", "seq"], unique=True)
    op.create_index("ix_commands_expires_at", "commands", ["expires_at"])
    op.create_table(
        "telemetry",
        sa.Column("worker", sa.String(42), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("harvested_wh", sa.Float()),
        sa.Column("consumed_wh", sa.Float()),
        sa.Column("soc", sa.Float()),
        sa.Column("temperature_c", sa.Float()),
        sa.Column("action", sa.String(12), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("tasks", sa.Integer(), nullable=False),
        sa.Column("received_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("worker", "at"),
    )
    op.create_index("ix_telemetry_received_at", "telemetry", ["received_at"])
    op.create_table(
        "operator_sessions",
        sa.Column("token_hash", sa.String(64), primary_key=True),
        sa.Column("wallet", sa.String(42), nullable=False),
        sa.Column("expires", sa.BigInteger(), nullable=False),
    )
    op.create_index("ix_operator_sessions_wallet", "operator_sessions", ["wallet"])
    op.create_index("ix_operator_sessions_expires", "operator_sessions", ["expires"])


def downgrade() -> None:
    for table in ("operator_sessions", "telemetry", "commands"):
        op.drop_table(table)
