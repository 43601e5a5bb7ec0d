"""databases and their users"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")
NAME = sa.String(253).with_variant(sa.String(253, collation="C"), "postgresql")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "database",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("shard_id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("label", sa.String(length=100), nullable=False),
        sa.Column("charset", sa.String(length=16), nullable=False),
        sa.Column("collation", sa.String(length=64), nullable=False, quote=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name=op.f("fk_database_brand_id")),
        sa.ForeignKeyConstraint(["shard_id"], ["shard.id"], name=op.f("fk_database_shard_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_database_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_database")),
        sa.UniqueConstraint("name", name=op.f("uq_database_name")),
    )
    with op.batch_alter_table("database") as batch_op:
        batch_op.create_index(
            batch_op.f("ix_database_brand_id_created_at_id"), ["brand_id", "created_at", "id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_database_brand_id_name"), ["brand_id", "name"], unique=False)
        batch_op.create_index(batch_op.f("ix_database_created_at_id"), ["created_at", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_database_shard_id"), ["shard_id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_database_status_created_at_id"), ["status", "created_at", "id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_database_tenant_id_created_at_id"), ["tenant_id", "created_at", "id"], unique=False
        )

    op.create_table(
        "database_user",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("database_id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("suffix", sa.String(length=16), nullable=False),
        sa.Column("privileges", sa.String(length=16), nullable=False),
        sa.Column("hosts", JSON, nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name=op.f("fk_database_user_brand_id")),
        sa.ForeignKeyConstraint(["database_id"], ["database.id"], name=op.f("fk_database_user_database_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_database_user")),
        sa.UniqueConstraint("database_id", "suffix", name=op.f("uq_database_user_database_id_suffix")),
    )
    with op.batch_alter_table("database_user") as batch_op:
        batch_op.create_index(
            batch_op.f("ix_database_user_brand_id_created_at_id"), ["brand_id", "created_at", "id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_database_user_brand_id_name_id"), ["brand_id", "name", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_database_user_created_at_id"), ["created_at", "id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_database_user_database_id_created_at_id"), ["database_id", "created_at", "id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_database_user_name_id"), ["name", "id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_database_user_status_created_at_id"), ["status", "created_at", "id"], unique=False
        )

    with op.batch_alter_table("shard") as batch_op:
        batch_op.add_column(sa.Column("replication_password", sa.Text(), nullable=True))


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("shard") as batch_op:
        batch_op.drop_column("replication_password")

    with op.batch_alter_table("database_user") as batch_op:
        batch_op.drop_index(batch_op.f("ix_database_user_status_created_at_id"))
        batch_op.drop_index(batch_op.f("ix_database_user_name_id"))
        batch_op.drop_index(batch_op.f("ix_database_user_database_id_created_at_id"))
        batch_op.drop_index(batch_op.f("ix_database_user_created_at_id"))
        batch_op.drop_index(batch_op.f("ix_database_user_brand_id_name_id"))
        batch_op.drop_index(batch_op.f("ix_database_user_brand_id_created_at_id"))

    op.drop_table("database_user")
    with op.batch_alter_table("database") as batch_op:
        batch_op.drop_index(batch_op.f("ix_database_tenant_id_created_at_id"))
        batch_op.drop_index(batch_op.f("ix_database_status_created_at_id"))
        batch_op.drop_index(batch_op.f("ix_database_shard_id"))
        batch_op.drop_index(batch_op.f("ix_database_created_at_id"))
        batch_op.drop_index(batch_op.f("ix_database_brand_id_name"))
        batch_op.drop_index(batch_op.f("ix_database_brand_id_created_at_id"))

    op.drop_table("database")
