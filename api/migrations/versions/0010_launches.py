"""launches"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")
NAME = sa.String(253).with_variant(sa.String(253, collation="C"), "postgresql")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "credential",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("username", sa.String(length=32), nullable=True),
        sa.Column("vault_id", sa.String(length=32), nullable=True),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_credential")),
        sa.UniqueConstraint("name", name=op.f("uq_credential_name")),
    )
    op.create_index(op.f("ix_credential_created_at_id"), "credential", ["created_at", "id"], unique=False)

    op.create_table(
        "inventory",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("hosts", JSON, nullable=False),
        sa.Column("groups", JSON, nullable=False),
        sa.Column("filter", JSON, nullable=False),
        sa.Column("variables", JSON, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inventory")),
        sa.UniqueConstraint("name", name=op.f("uq_inventory_name")),
    )
    op.create_index(op.f("ix_inventory_created_at_id"), "inventory", ["created_at", "id"], unique=False)

    op.create_table(
        "project",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("directory", sa.String(length=64), nullable=True),
        sa.Column("url", sa.String(length=500), nullable=True),
        sa.Column("ref", sa.String(length=200), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_project")),
        sa.UniqueConstraint("name", name=op.f("uq_project_name")),
    )
    op.create_index(op.f("ix_project_created_at_id"), "project", ["created_at", "id"], unique=False)

    op.create_table(
        "template",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("playbook", sa.String(length=200), nullable=False),
        sa.Column("inventory_id", sa.Uuid(), nullable=True),
        sa.Column("credentials", JSON, nullable=False),
        sa.Column("variables", JSON, nullable=False),
        sa.Column("limit", sa.Text(), nullable=False),
        sa.Column("tags", JSON, nullable=False),
        sa.Column("skip_tags", JSON, nullable=False),
        sa.Column("check", sa.Boolean(), nullable=False),
        sa.Column("diff", sa.Boolean(), nullable=False),
        sa.Column("verbosity", sa.Integer(), nullable=False),
        sa.Column("forks", sa.Integer(), nullable=False),
        sa.Column("timeout", sa.Integer(), nullable=False),
        sa.Column("ask", JSON, nullable=False),
        sa.Column("survey", JSON, nullable=False),
        sa.Column("concurrency", sa.String(length=16), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["inventory_id"], ["inventory.id"], name=op.f("fk_template_inventory_id")),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name=op.f("fk_template_project_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_template")),
        sa.UniqueConstraint("name", name=op.f("uq_template_name")),
    )
    op.create_index(op.f("ix_template_created_at_id"), "template", ["created_at", "id"], unique=False)

    op.create_table(
        "launch",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("template_id", sa.Uuid(), nullable=True),
        sa.Column("template", sa.String(length=100), nullable=False),
        sa.Column("schedule_id", sa.Uuid(), nullable=True),
        sa.Column("turn_id", sa.Uuid(), nullable=True),
        sa.Column("relaunch_of", sa.Uuid(), nullable=True),
        sa.Column("requested_by", sa.String(length=128), nullable=False),
        sa.Column("module", sa.String(length=128), nullable=False),
        sa.Column("arguments", JSON, nullable=False),
        sa.Column("playbook", sa.String(length=200), nullable=False),
        sa.Column("project_id", sa.Uuid(), nullable=True),
        sa.Column("revision", sa.String(length=80), nullable=False),
        sa.Column("inventory_id", sa.Uuid(), nullable=True),
        sa.Column("limit", sa.Text(), nullable=False),
        sa.Column("tags", JSON, nullable=False),
        sa.Column("skip_tags", JSON, nullable=False),
        sa.Column("become", sa.Boolean(), nullable=False),
        sa.Column("check", sa.Boolean(), nullable=False),
        sa.Column("diff", sa.Boolean(), nullable=False),
        sa.Column("verbosity", sa.Integer(), nullable=False),
        sa.Column("forks", sa.Integer(), nullable=False),
        sa.Column("timeout", sa.Integer(), nullable=False),
        sa.Column("credentials", JSON, nullable=False),
        sa.Column("variables", JSON, nullable=False),
        sa.Column("secret_names", JSON, nullable=False),
        sa.Column("secrets", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_launch_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_launch")),
    )
    op.create_index(op.f("ix_launch_schedule_id"), "launch", ["schedule_id"], unique=False)
    op.create_index(op.f("ix_launch_template_id"), "launch", ["template_id"], unique=False)
    op.create_index(op.f("ix_launch_turn_id"), "launch", ["turn_id"], unique=False)
    op.create_table(
        "schedule",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("template_id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("missed", sa.String(length=16), nullable=False),
        sa.Column("overlap", sa.String(length=16), nullable=False),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("secret_answers", sa.Text(), nullable=True),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["template_id"], ["template.id"], name=op.f("fk_schedule_template_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedule")),
        sa.UniqueConstraint("name", name=op.f("uq_schedule_name")),
    )
    op.create_index(op.f("ix_schedule_created_at_id"), "schedule", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_schedule_next_at"), "schedule", ["next_at"], unique=False)
    op.create_index(
        op.f("ix_schedule_template_id_created_at_id"), "schedule", ["template_id", "created_at", "id"], unique=False
    )
    op.create_table(
        "firing",
        sa.Column("schedule_id", sa.Uuid(), nullable=False),
        sa.Column("fires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("result", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["schedule_id"], ["schedule.id"], name=op.f("fk_firing_schedule_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("schedule_id", "fires_at", name=op.f("pk_firing")),
    )
    _job(nullable=True, longest=200)


def downgrade() -> None:
    """Undo."""
    op.drop_table("firing")
    op.drop_table("schedule")
    op.drop_index(op.f("ix_launch_turn_id"), "launch")
    op.drop_index(op.f("ix_launch_template_id"), "launch")
    op.drop_index(op.f("ix_launch_schedule_id"), "launch")

    op.drop_table("launch")
    op.drop_index(op.f("ix_template_created_at_id"), "template")

    op.drop_table("template")
    op.drop_index(op.f("ix_project_created_at_id"), "project")

    op.drop_table("project")
    op.drop_index(op.f("ix_inventory_created_at_id"), "inventory")

    op.drop_table("inventory")
    op.drop_index(op.f("ix_credential_created_at_id"), "credential")

    op.drop_table("credential")
    # What ran without a shard cannot be kept in the table of before.
    op.execute("delete from job where shard_id is null")
    _job(nullable=False, longest=64)


def _job(*, nullable: bool, longest: int) -> None:
    with op.batch_alter_table("job") as batch:
        batch.alter_column("shard_id", existing_type=sa.Uuid(), nullable=nullable)
        batch.alter_column("playbook", existing_type=sa.String(), type_=sa.String(longest), existing_nullable=False)
