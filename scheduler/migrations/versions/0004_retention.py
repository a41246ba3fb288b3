"""Results that were removed are remembered; logs lie in files."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("results", schema=None) as batch_op:
        batch_op.add_column(sa.Column("removed_at", sa.BigInteger(), nullable=True))
    with op.batch_alter_table("reports", schema=None) as batch_op:
        batch_op.drop_column("stdout")
        batch_op.drop_column("stderr")


def downgrade() -> None:
    with op.batch_alter_table("reports", schema=None) as batch_op:
        batch_op.add_column(sa.Column("stdout", sa.Text(), server_default="", nullable=False))
        batch_op.add_column(sa.Column("stderr", sa.Text(), server_default="", nullable=False))
    with op.batch_alter_table("results", schema=None) as batch_op:
        batch_op.drop_column("removed_at")
