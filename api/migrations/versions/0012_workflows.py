"""workflows"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")
NAME = sa.String(253).with_variant(sa.String(253, collation="C"), "postgresql")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "workflow",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("nodes", JSON, nullable=False),
        sa.Column("secret_answers", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow")),
        sa.UniqueConstraint("name", name=op.f("uq_workflow_name")),
    )
    with op.batch_alter_table("workflow", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_workflow_created_at_id"), ["created_at", "id"], unique=False)

    op.create_table(
        "workflow_run",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("workflow_id", sa.Uuid(), nullable=False),
        sa.Column("workflow", sa.String(length=100), nullable=False),
        sa.Column("nodes", JSON, nullable=False),
        sa.Column("secret_answers", sa.Text(), nullable=True),
        sa.Column("variables", JSON, nullable=False),
        sa.Column("check", sa.Boolean(), nullable=False),
        sa.Column("requested_by", sa.String(length=128), nullable=False),
        sa.Column("schedule_id", sa.Uuid(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("resumed", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("canceled_by", sa.String(length=128), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_run")),
    )
    with op.batch_alter_table("workflow_run", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_workflow_run_created_at_id"), ["created_at", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_workflow_run_workflow_id"), ["workflow_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_workflow_run_schedule_id"), ["schedule_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_workflow_run_ended_at"), ["ended_at"], unique=False)

    op.create_table(
        "workflow_step",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("data", JSON, nullable=False),
        sa.Column("decided_by", sa.String(length=128), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"], ["workflow_run.id"], name=op.f("fk_workflow_step_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "name", name=op.f("pk_workflow_step")),
    )
    with op.batch_alter_table("workflow_step", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_workflow_step_job_id"), ["job_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_workflow_step_state_deadline"), ["state", "deadline"], unique=False)

    with op.batch_alter_table("launch", schema=None) as batch_op:
        batch_op.add_column(sa.Column("workflow_run_id", sa.Uuid(), nullable=True))
        batch_op.add_column(sa.Column("data", JSON, nullable=True))
        batch_op.create_index(batch_op.f("ix_launch_workflow_run_id"), ["workflow_run_id"], unique=False)
    # Launches of before told nothing.
    op.execute("update launch set data = '{}'")
    with op.batch_alter_table("firing", schema=None) as batch_op:
        batch_op.add_column(sa.Column("workflow_run_id", sa.Uuid(), nullable=True))
    with op.batch_alter_table("schedule", schema=None) as batch_op:
        batch_op.alter_column("template_id", existing_type=sa.Uuid(), nullable=True)
        batch_op.add_column(sa.Column("workflow_id", sa.Uuid(), nullable=True))
        batch_op.create_index(batch_op.f("ix_schedule_workflow_id"), ["workflow_id"], unique=False)
        batch_op.create_foreign_key(batch_op.f("fk_schedule_workflow_id"), "workflow", ["workflow_id"], ["id"])


def downgrade() -> None:
    """Undo."""
    # What fires a workflow cannot be kept in the table of before.
    op.execute("delete from firing where schedule_id in (select id from schedule where template_id is null)")
    op.execute("delete from schedule where template_id is null")
    with op.batch_alter_table("schedule", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_schedule_workflow_id"), type_="foreignkey")
        batch_op.drop_index(batch_op.f("ix_schedule_workflow_id"))
        batch_op.drop_column("workflow_id")
        batch_op.alter_column("template_id", existing_type=sa.Uuid(), nullable=False)
    with op.batch_alter_table("firing", schema=None) as batch_op:
        batch_op.drop_column("workflow_run_id")
    with op.batch_alter_table("launch", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_launch_workflow_run_id"))
        batch_op.drop_column("data")
        batch_op.drop_column("workflow_run_id")

    with op.batch_alter_table("workflow_step", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_workflow_step_state_deadline"))
        batch_op.drop_index(batch_op.f("ix_workflow_step_job_id"))

    op.drop_table("workflow_step")
    with op.batch_alter_table("workflow_run", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_workflow_run_ended_at"))
        batch_op.drop_index(batch_op.f("ix_workflow_run_schedule_id"))
        batch_op.drop_index(batch_op.f("ix_workflow_run_workflow_id"))
        batch_op.drop_index(batch_op.f("ix_workflow_run_created_at_id"))

    op.drop_table("workflow_run")
    with op.batch_alter_table("workflow", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_workflow_created_at_id"))

    op.drop_table("workflow")
