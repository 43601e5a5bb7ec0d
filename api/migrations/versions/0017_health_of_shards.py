"""health of db shards"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "shard_health",
        sa.Column("shard_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told", sa.String(length=16), nullable=False),
        sa.Column("problems", JSON, nullable=False),
        sa.Column("nodes", JSON, nullable=False),
        sa.Column("looked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("covered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("gone_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("halted", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["shard_id"], ["shard.id"], name=op.f("fk_shard_health_shard_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("shard_id", name=op.f("pk_shard_health")),
    )
    with op.batch_alter_table("shard_health", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_shard_health_next_at"), ["next_at"], unique=False)
    with op.batch_alter_table("shard", schema=None) as batch_op:
        batch_op.add_column(sa.Column("automatic_failover", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("failover_after", sa.Integer(), server_default="20", nullable=False))
        batch_op.add_column(sa.Column("lag_seconds", sa.Integer(), server_default="30", nullable=False))


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("shard", schema=None) as batch_op:
        batch_op.drop_column("lag_seconds")
        batch_op.drop_column("failover_after")
        batch_op.drop_column("automatic_failover")
    with op.batch_alter_table("shard_health", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_shard_health_next_at"))
    op.drop_table("shard_health")
