"""client ports of db shards"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

NAME = "ix_shard_cluster_id_client_port"


def upgrade() -> None:
    """Apply; the shards there are get ports in the order in which they were made."""
    op.add_column("shard", sa.Column("client_port", sa.Integer(), nullable=True))
    op.create_index(NAME, "shard", ["cluster_id", "client_port"], unique=True)
    shard = sa.table(
        "shard", sa.column("id"), sa.column("cluster_id"), sa.column("role"), sa.column("created_at"),
        sa.column("client_port"),
    )  # fmt: skip
    place = sa.func.row_number().over(partition_by=shard.c.cluster_id, order_by=(shard.c.created_at, shard.c.id))
    found = sa.select(shard.c.id, place.label("place")).where(shard.c.role == "db")
    connection = op.get_bind()
    for row in connection.execute(found).all():
        connection.execute(sa.update(shard).where(shard.c.id == row.id).values(client_port=29999 + row.place))


def downgrade() -> None:
    """Undo."""
    op.drop_index(NAME, table_name="shard")
    with op.batch_alter_table("shard") as batch:
        batch.drop_column("client_port")
