"""The market as the chain shows it: what becomes of orders, deals; secrets of users"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("orders", schema=None) as orders:
        orders.add_column(sa.Column("status", sa.String(8), server_default="open", nullable=False))
    op.create_table(
        "deals",
        sa.Column("id", sa.String(66), primary_key=True),
        sa.Column("block", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.String(42), nullable=False) for name in ("beneficiary", "app", "dataset", "workerpool")),
        sa.Column("requester", sa.String(42), nullable=False),
        *(
            sa.Column(f"{kind}order_hash", sa.String(66), nullable=False)
            for kind in ("app", "dataset", "workerpool", "request")
        ),
        sa.Column("body", sa.JSON(), nullable=False),
    )
    op.create_index("ix_deals_block", "deals", ["block"])
    op.create_index("ix_deals_requester", "deals", ["requester"])
    op.create_table(
        "secrets",
        sa.Column("kind", sa.String(10), nullable=False),
        sa.Column("owner", sa.String(42), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("set_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "owner", "name"),
    )
    op.create_index("ix_secrets_owner", "secrets", ["owner"])


def downgrade() -> None:
    op.drop_table("secrets")
    op.drop_table("deals")
    with op.batch_alter_table("orders", schema=None) as orders:
        orders.drop_column("status")
