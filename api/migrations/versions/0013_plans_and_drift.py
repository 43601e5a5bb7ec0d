"""plans and drift"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")
GATHERS = "state = 'queued' and purpose = ''"
BEFORE = "state = 'queued'"


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "drift",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("shard_id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=300), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=True),
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("task", sa.String(length=300), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("diff", JSON, nullable=False),
        sa.Column("first_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen", sa.DateTime(timezone=True), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_drift_job_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["node_id"], ["node.id"], name=op.f("fk_drift_node_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["shard_id"], ["shard.id"], name=op.f("fk_drift_shard_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift")),
        sa.UniqueConstraint("node_id", "key", name=op.f("uq_drift_node_id_key")),
    )
    with op.batch_alter_table("drift", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_drift_first_seen_id"), ["first_seen", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_drift_kind_resource_id"), ["kind", "resource_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_drift_shard_id"), ["shard_id"], unique=False)

    op.create_table(
        "plan",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("shard_id", sa.Uuid(), nullable=True),
        sa.Column("template_id", sa.Uuid(), nullable=True),
        sa.Column("subject", sa.String(length=253), nullable=False),
        sa.Column("origin", sa.String(length=16), nullable=False),
        sa.Column("schedule_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("moved", JSON, nullable=False),
        sa.Column("others", sa.Boolean(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("apply_job_id", sa.Uuid(), nullable=True),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("generations", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.String(length=64), nullable=False),
        sa.Column("inventory", sa.String(length=64), nullable=False),
        sa.Column("prediction", sa.String(length=64), nullable=False),
        sa.Column("hosts", JSON, nullable=False),
        sa.Column("changes", JSON, nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("cut", sa.Boolean(), nullable=False),
        sa.Column("requested_by", sa.String(length=128), nullable=False),
        sa.Column("requested_key", sa.Uuid(), nullable=True),
        sa.Column("decided_by", sa.String(length=128), nullable=False),
        sa.Column("decided_key", sa.Uuid(), nullable=True),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("applied_by", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ready_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("applied_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["apply_job_id"], ["job.id"], name=op.f("fk_plan_apply_job_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_plan_job_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["shard_id"], ["shard.id"], name=op.f("fk_plan_shard_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plan")),
    )
    with op.batch_alter_table("plan", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_plan_apply_job_id"), ["apply_job_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_plan_created_at_id"), ["created_at", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_plan_job_id"), ["job_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_plan_shard_id_state"), ["shard_id", "state"], unique=False)

    # Added as they are: to make these tables anew would take long where they are large.
    op.add_column("job", sa.Column("purpose", sa.String(length=8), nullable=False, server_default=""))
    _index(GATHERS)
    op.add_column("shard", sa.Column("drift_policy", sa.String(length=8), nullable=False, server_default="report"))
    op.add_column("shard", sa.Column("drift_every", sa.Integer(), nullable=False, server_default="1440"))
    op.add_column("shard", sa.Column("drift_at", sa.DateTime(timezone=True), nullable=True))
    # Shards that were there before are first searched a day from now, as new ones are.
    shard = sa.table("shard", sa.column("drift_at", sa.DateTime(timezone=True)))
    op.execute(sa.update(shard).values(drift_at=datetime.now(UTC) + timedelta(days=1)))
    op.add_column("template", sa.Column("approval", sa.String(length=16), nullable=False, server_default="none"))


def downgrade() -> None:
    """Undo."""
    op.drop_table("plan")
    op.drop_table("drift")
    # A job that only checks would be taken for one that makes hosts as wished.
    op.execute("delete from job where purpose <> ''")
    _index(BEFORE)
    for table, columns in (
        ("template", ("approval",)),
        ("shard", ("drift_at", "drift_every", "drift_policy")),
        ("job", ("purpose",)),
    ):
        with op.batch_alter_table(table) as batch:
            for column in columns:
                batch.drop_column(column)


def _index(where: str) -> None:
    op.drop_index("uq_job_queued_shard", "job")
    op.create_index(
        "uq_job_queued_shard",
        "job",
        ["shard_id"],
        unique=True,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )
