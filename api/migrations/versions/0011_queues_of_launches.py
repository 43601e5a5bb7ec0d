"""queues of launches"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    for table in ("template", "launch"):
        op.add_column(table, sa.Column("queue", sa.String(length=32), nullable=False, server_default="default"))


def downgrade() -> None:
    """Undo."""
    for table in ("launch", "template"):
        with op.batch_alter_table(table) as batch:
            batch.drop_column("queue")
