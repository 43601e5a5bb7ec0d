"""usage"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "usage",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("span", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("numbers", JSON, nullable=False),
        sa.PrimaryKeyConstraint("kind", "resource_id", "at", name=op.f("pk_usage")),
    )
    op.create_index(op.f("ix_usage_span_at"), "usage", ["span", "at"])
    op.add_column("shard", sa.Column("usage_every", sa.Integer(), server_default="15", nullable=False))
    op.add_column("shard", sa.Column("usage_at", sa.DateTime(timezone=True), nullable=True))
    shard = sa.table("shard", sa.column("role", sa.String()), sa.column("usage_at", sa.DateTime(timezone=True)))
    looked_at = shard.c.role.in_(("db", "valkey"))
    op.execute(sa.update(shard).where(looked_at).values(usage_at=datetime.now(UTC)))


def downgrade() -> None:
    """Undo."""
    # Older code knows no such jobs.
    op.execute("delete from job where purpose = 'read'")
    with op.batch_alter_table("shard") as batch:
        batch.drop_column("usage_at")
        batch.drop_column("usage_every")
    op.drop_table("usage")
