"""notifications"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")
NAME = sa.String(253).with_variant(sa.String(253, collation="C"), "postgresql")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "callback_secret",
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["api_key.id"], name=op.f("fk_callback_secret_key_id")),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_callback_secret")),
    )
    op.create_table(
        "notification",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=True),
        sa.Column("name", NAME, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("recipients", JSON, nullable=False),
        sa.Column("topics", JSON, nullable=False),
        sa.Column("kinds", JSON, nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=True),
        sa.Column("template_id", sa.Uuid(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("headers", JSON, nullable=False),
        sa.Column("authorization", sa.Text(), nullable=True),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name=op.f("fk_notification_brand_id")),
        sa.ForeignKeyConstraint(
            ["template_id"], ["template.id"], name=op.f("fk_notification_template_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenant.id"], name=op.f("fk_notification_tenant_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notification")),
        sa.UniqueConstraint("brand_id", "name", name=op.f("uq_notification_brand_id_name")),
    )
    op.create_index(
        op.f("ix_notification_brand_id_created_at_id"), "notification", ["brand_id", "created_at", "id"], unique=False
    )
    op.create_index(op.f("ix_notification_brand_id_name_id"), "notification", ["brand_id", "name", "id"], unique=False)
    op.create_index(op.f("ix_notification_created_at_id"), "notification", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_notification_name_id"), "notification", ["name", "id"], unique=False)
    op.create_index(
        op.f("ix_notification_status_created_at_id"), "notification", ["status", "created_at", "id"], unique=False
    )

    op.create_table(
        "notice",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("notification_id", sa.Uuid(), nullable=True),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("target", sa.String(length=300), nullable=False),
        sa.Column("topic", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=True),
        sa.Column("payload", JSON, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("tries_before", sa.Integer(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["notification_id"], ["notification.id"], name=op.f("fk_notice_notification_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notice")),
    )
    op.create_index(op.f("ix_notice_brand_id_created_at_id"), "notice", ["brand_id", "created_at", "id"], unique=False)
    op.create_index(op.f("ix_notice_created_at_id"), "notice", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_notice_ended_at"), "notice", ["ended_at"], unique=False)
    op.create_index(
        "ix_notice_due",
        "notice",
        ["target", "next_at"],
        unique=False,
        sqlite_where=sa.text("state in ('pending', 'failed')"),
        postgresql_where=sa.text("state in ('pending', 'failed')"),
    )
    op.create_index(
        op.f("ix_notice_notification_id_created_at_id"), "notice", ["notification_id", "created_at", "id"], unique=False
    )
    op.create_index(
        "ix_notice_waiting",
        "notice",
        ["kind", "resource_id"],
        unique=False,
        sqlite_where=sa.text("state = 'waiting'"),
        postgresql_where=sa.text("state = 'waiting'"),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("notice")
    op.drop_table("notification")
    op.drop_table("callback_secret")
