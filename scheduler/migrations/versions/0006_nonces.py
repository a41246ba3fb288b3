"""Leases of nonces: each signed transaction by its nonce and step; outbox rows that share one transaction"""

from __future__ import annotations

import rlp  # type: ignore[import-untyped]
import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "transactions",
        sa.Column("hash", sa.String(66), nullable=False),
        sa.Column("step", sa.String(80), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(8), nullable=False),
        sa.Column("block", sa.BigInteger()),
        sa.Column("cost_wei", sa.String(78)),
        sa.PrimaryKeyConstraint("hash"),
    )
    op.create_index("ix_transactions_state", "transactions", ["state"])
    op.create_index("ix_transactions_step", "transactions", ["step"])
    with op.batch_alter_table("outbox", schema=None) as outbox:
        outbox.add_column(sa.Column("step", sa.String(80)))
        outbox.add_column(sa.Column("alone", sa.Boolean(), server_default=sa.false(), nullable=False))
        outbox.create_index("ix_outbox_step", ["step"])
    _move()
    with op.batch_alter_table("outbox", schema=None) as outbox:
        outbox.drop_column("raw")


def _move() -> None:
    """What was on its way becomes a lease."""
    outbox = sa.table(
        "outbox", *(sa.column(name) for name in ("id", "kind", "status", "tx_hash", "raw", "step", "updated_at"))
    )
    transactions = sa.table(
        "transactions", *(sa.column(name) for name in ("hash", "step", "nonce", "raw", "sent_at", "state"))
    )
    db = op.get_bind()
    waiting = sa.select(outbox).where(outbox.c.status.in_(("QUEUED", "SENT")), outbox.c.raw.is_not(None))
    for row in db.execute(waiting).all():
        raw, step = bytes(row.raw), f"{row.kind}-{row.id}"
        fields = rlp.decode(raw[1:])[1:] if raw[0] < 0x80 else rlp.decode(raw)
        nonce = int.from_bytes(fields[0], "big")
        kept = {"hash": row.tx_hash, "step": step, "nonce": nonce, "raw": raw}
        db.execute(sa.insert(transactions).values(**kept, sent_at=row.updated_at, state="OPEN"))
        db.execute(sa.update(outbox).where(outbox.c.id == row.id).values(step=step, status="SENT"))


def downgrade() -> None:
    with op.batch_alter_table("outbox", schema=None) as outbox:
        outbox.drop_index("ix_outbox_step")
        outbox.drop_column("alone")
        outbox.drop_column("step")
        outbox.add_column(sa.Column("raw", sa.LargeBinary()))
    op.drop_table("transactions")
