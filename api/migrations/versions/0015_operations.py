"""operations"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("launch", schema=None) as batch_op:
        batch_op.add_column(sa.Column("operation", sa.String(length=32), server_default="", nullable=False))
        batch_op.add_column(sa.Column("shards", JSON, server_default="[]", nullable=False))
        batch_op.create_index(batch_op.f("ix_launch_operation"), ["operation"], unique=False)


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("launch", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_launch_operation"))
        batch_op.drop_column("shards")
        batch_op.drop_column("operation")
