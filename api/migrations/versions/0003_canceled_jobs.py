"""jobs that somebody cancels"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("job", sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("job", sa.Column("canceled_by", sa.String(length=128), nullable=False, server_default=""))


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("job") as batch:
        batch.drop_column("canceled_by")
        batch.drop_column("cancel_requested_at")
