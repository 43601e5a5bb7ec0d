"""Valkey instances and their users."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

NAME = sa.String(253).with_variant(sa.String(253, collation="C"), "postgresql")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "valkey_instance",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("shard_id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("label", sa.String(length=100), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.Column("memory_mb", sa.Integer(), nullable=False),
        sa.Column("eviction", sa.String(length=16), nullable=False),
        sa.Column("persistence", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name=op.f("fk_valkey_instance_brand_id")),
        sa.ForeignKeyConstraint(["shard_id"], ["shard.id"], name=op.f("fk_valkey_instance_shard_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_valkey_instance_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_valkey_instance")),
        sa.UniqueConstraint("name", name=op.f("uq_valkey_instance_name")),
        sa.UniqueConstraint("shard_id", "port", name=op.f("uq_valkey_instance_shard_id_port")),
    )
    with op.batch_alter_table("valkey_instance", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_valkey_instance_brand_id_created_at_id"), ["brand_id", "created_at", "id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_valkey_instance_brand_id_name"), ["brand_id", "name"], unique=False)
        batch_op.create_index(batch_op.f("ix_valkey_instance_created_at_id"), ["created_at", "id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_valkey_instance_status_created_at_id"), ["status", "created_at", "id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_valkey_instance_tenant_id_created_at_id"), ["tenant_id", "created_at", "id"], unique=False
        )

    op.create_table(
        "valkey_user",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column("suffix", sa.String(length=32), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("access", sa.String(length=16), nullable=False),
        sa.Column("rules", sa.String(length=1024), nullable=False),
        sa.Column("password", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name=op.f("fk_valkey_user_brand_id")),
        sa.ForeignKeyConstraint(["instance_id"], ["valkey_instance.id"], name=op.f("fk_valkey_user_instance_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_valkey_user")),
        sa.UniqueConstraint("instance_id", "suffix", name=op.f("uq_valkey_user_instance_id_suffix")),
        sa.UniqueConstraint("name", name=op.f("uq_valkey_user_name")),
    )
    with op.batch_alter_table("valkey_user", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_valkey_user_brand_id_created_at_id"), ["brand_id", "created_at", "id"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_valkey_user_brand_id_name"), ["brand_id", "name"], unique=False)
        batch_op.create_index(batch_op.f("ix_valkey_user_created_at_id"), ["created_at", "id"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_valkey_user_instance_id_created_at_id"), ["instance_id", "created_at", "id"], unique=False
        )
        batch_op.create_index(
            batch_op.f("ix_valkey_user_status_created_at_id"), ["status", "created_at", "id"], unique=False
        )


def downgrade() -> None:
    """Undo."""
    with op.batch_alter_table("valkey_user", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_valkey_user_status_created_at_id"))
        batch_op.drop_index(batch_op.f("ix_valkey_user_instance_id_created_at_id"))
        batch_op.drop_index(batch_op.f("ix_valkey_user_created_at_id"))
        batch_op.drop_index(batch_op.f("ix_valkey_user_brand_id_name"))
        batch_op.drop_index(batch_op.f("ix_valkey_user_brand_id_created_at_id"))

    op.drop_table("valkey_user")
    with op.batch_alter_table("valkey_instance", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_valkey_instance_tenant_id_created_at_id"))
        batch_op.drop_index(batch_op.f("ix_valkey_instance_status_created_at_id"))
        batch_op.drop_index(batch_op.f("ix_valkey_instance_created_at_id"))
        batch_op.drop_index(batch_op.f("ix_valkey_instance_brand_id_name"))
        batch_op.drop_index(batch_op.f("ix_valkey_instance_brand_id_created_at_id"))

    op.drop_table("valkey_instance")
