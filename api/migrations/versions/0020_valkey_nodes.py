"""Several nodes in a valkey shard, and instances on all of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("node") as batch:
        batch.add_column(sa.Column("memory_mb", sa.Integer(), nullable=True))
    with op.batch_alter_table("valkey_instance") as batch:
        batch.add_column(sa.Column("node_id", sa.Uuid(), nullable=True))
        batch.add_column(sa.Column("highly_available", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch.add_column(sa.Column("replication_password", sa.Text(), nullable=True))
        batch.create_foreign_key(op.f("fk_valkey_instance_node_id"), "node", ["node_id"], ["id"])
        batch.create_index(batch.f("ix_valkey_instance_node_id"), ["node_id"])
    # A valkey shard had one node until now.
    op.execute(
        "UPDATE valkey_instance SET node_id = "
        "(SELECT node.id FROM node WHERE node.shard_id = valkey_instance.shard_id ORDER BY node.name LIMIT 1)"
    )


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("valkey_instance") as batch:
        batch.drop_index(batch.f("ix_valkey_instance_node_id"))
        batch.drop_constraint(op.f("fk_valkey_instance_node_id"), type_="foreignkey")
        batch.drop_column("replication_password")
        batch.drop_column("highly_available")
        batch.drop_column("node_id")
    with op.batch_alter_table("node") as batch:
        batch.drop_column("memory_mb")
