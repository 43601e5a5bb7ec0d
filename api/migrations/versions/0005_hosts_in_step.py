"""hosts carry the audit's head"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

NODE = {
    "last_job_id": sa.Uuid(),
    "last_audit_head": sa.String(length=84),
    "host_job_id": sa.Uuid(),
    "host_audit_head": sa.String(length=84),
    "host_seen_at": sa.DateTime(timezone=True),
    "in_step": sa.Boolean(),
}


def upgrade() -> None:
    """Apply."""
    op.add_column("job", sa.Column("audit_head", sa.String(length=84), nullable=False, server_default=""))
    for name, type_ in NODE.items():
        text = isinstance(type_, sa.String)
        op.add_column("node", sa.Column(name, type_, nullable=not text, server_default="" if text else None))


def downgrade() -> None:
    """Undo."""
    for name in reversed(NODE):
        op.execute(f"alter table node drop column {name}")
    op.execute("alter table job drop column audit_head")
