"""What tasks ask for, whose workers are, and how often they were of no use"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NONE, GREEN = "0x" + "00" * 32, "0x80" + "00" * 31


def upgrade() -> None:
    with op.batch_alter_table("tasks", schema=None) as tasks:
        tasks.add_column(sa.Column("tag", sa.String(66), server_default=NONE, nullable=False))
        for name in ("memory_mb", "disk_mb", "cpus"):
            tasks.add_column(sa.Column(name, sa.BigInteger(), server_default="0", nullable=False))
    known = sa.table("tasks", sa.column("tag"), sa.column("green", sa.Boolean()))
    op.execute(sa.update(known).where(known.c.green).values(tag=GREEN))
    with op.batch_alter_table("tasks", schema=None) as tasks:
        tasks.drop_column("green")
    with op.batch_alter_table("workers", schema=None) as workers:
        workers.add_column(sa.Column("features", sa.JSON(), server_default="[]", nullable=False))
        workers.add_column(sa.Column("operator", sa.String(42)))
        workers.add_column(sa.Column("network", sa.String(64)))
        workers.add_column(sa.Column("faults", sa.Float(), server_default="0", nullable=False))
        workers.add_column(sa.Column("faults_at", sa.BigInteger(), server_default="0", nullable=False))


def downgrade() -> None:
    with op.batch_alter_table("workers", schema=None) as workers:
        for name in ("faults_at", "faults", "network", "operator", "features"):
            workers.drop_column(name)
    with op.batch_alter_table("tasks", schema=None) as tasks:
        tasks.add_column(sa.Column("green", sa.Boolean(), server_default=sa.false(), nullable=False))
    known = sa.table("tasks", sa.column("tag"), sa.column("green", sa.Boolean()))
    op.execute(sa.update(known).where(known.c.tag == GREEN).values(green=True))
    with op.batch_alter_table("tasks", schema=None) as tasks:
        for name in ("cpus", "disk_mb", "memory_mb", "tag"):
            tasks.drop_column(name)
