"""what changed, with each resource of a job; the history of a host"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Apply."""
    op.add_column("job_resource", sa.Column("diff", JSON, nullable=True))
    op.create_index(op.f("ix_job_host_host"), "job_host", ["host"], unique=False)


def downgrade() -> None:
    """Undo."""
    op.drop_index(op.f("ix_job_host_host"), "job_host")
    with op.batch_alter_table("job_resource") as batch:
        batch.drop_column("diff")
