"""queues of regions and shards"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("region", sa.Column("queue", sa.String(length=32), nullable=False, server_default="default"))
    op.add_column("shard", sa.Column("queue", sa.String(length=32), nullable=True))


def downgrade() -> None:
    """Undo."""
    for table in ("shard", "region"):
        with op.batch_alter_table(table) as batch:
            batch.drop_column("queue")
