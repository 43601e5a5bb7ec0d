"""the audit becomes a chain"""

from __future__ import annotations

from datetime import UTC

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from auditchain import ZERO, content_of, fold

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    """Apply."""
    unsealed, total = _sum_up()
    # Not by copying the table, as SQLite's batch mode would: its triggers would stay behind.
    op.add_column("audit", sa.Column("seq", sa.BigInteger(), nullable=True))
    op.add_column("audit", sa.Column("prev_hash", sa.String(length=64), nullable=True))
    op.add_column("audit", sa.Column("key_id", sa.Uuid(), nullable=True))
    op.add_column("audit", sa.Column("hash", sa.String(length=64), nullable=True))
    op.add_column("audit", sa.Column("signature", sa.String(length=88), nullable=True))
    op.create_index("uq_audit_seq", "audit", ["seq"], unique=True)
    head = op.create_table(
        "audit_head",
        sa.Column("chain", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=True),
        sa.Column("unsealed", sa.Integer(), nullable=False),
        sa.Column("unsealed_hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("chain", name=op.f("pk_audit_head")),
    )
    op.bulk_insert(
        head, [{"chain": 1, "seq": 0, "hash": ZERO, "key_id": None, "unsealed": unsealed, "unsealed_hash": total}]
    )
    op.create_table(
        "audit_key",
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("public_key", sa.String(length=44), nullable=False),
        sa.Column("introduced_by", sa.Uuid(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signature", sa.String(length=88), nullable=False),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_audit_key")),
    )
    op.create_table(
        "audit_checkpoint",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key_id", sa.Uuid(), nullable=False),
        sa.Column("signature", sa.String(length=88), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_checkpoint")),
    )
    # What a checkpoint stands for may go; everything else stays.
    if op.get_bind().dialect.name == "postgresql":
        op.execute("""
            create or replace function audit_is_append_only() returns trigger language plpgsql as $$
            begin
              if tg_op = 'DELETE' and coalesce(old.seq, 0) <= (select max(seq) from audit_checkpoint) then
                return old;
              end if;
              raise exception 'the audit is append-only';
            end $$
        """)
    else:
        op.execute("drop trigger audit_append_only_delete")
        op.execute("""
            create trigger audit_append_only_delete before delete on audit
            when coalesce(old.seq, 0) > (select coalesce(max(seq), -1) from audit_checkpoint)
            begin select raise(abort, 'the audit is append-only'); end
        """)


def _sum_up() -> tuple[int, str]:
    """Return how many records there are before the chain, and the running hash over them.

    The chain's first record takes both, so that from then on they cannot be changed either.
    """
    audit = sa.table(
        "audit",
        sa.column("id", sa.Uuid()),
        sa.column("at", sa.DateTime(timezone=True)),
        sa.column("actor_id", sa.Uuid()),
        sa.column("actor_name", sa.String()),
        sa.column("action", sa.String()),
        sa.column("kind", sa.String()),
        sa.column("resource_id", sa.Uuid()),
        sa.column("brand_id", sa.Uuid()),
        sa.column("before", JSON),
        sa.column("after", JSON),
        sa.column("result", sa.String()),
        sa.column("duration_ms", sa.Integer()),
        sa.column("job_ids", JSON),
        sa.column("trace_id", sa.String()),
        sa.column("remote_addr", sa.String()),
    )
    count, total = 0, ZERO
    query = sa.select(audit).order_by(audit.c.at, audit.c.id).execution_options(yield_per=1000)
    for row in op.get_bind().execute(query).mappings():
        # SQLite knows no zones: what it holds is UTC.
        moment = row["at"] if row["at"].tzinfo else row["at"].replace(tzinfo=UTC)
        count, total = count + 1, fold(total, content_of({**row, "at": moment, "seq": None}))
    return count, total


def downgrade() -> None:
    """Undo; the proofs are lost."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("""
            create or replace function audit_is_append_only() returns trigger language plpgsql as $$
            begin raise exception 'the audit is append-only'; end $$
        """)
    else:
        op.execute("drop trigger audit_append_only_delete")
        op.execute("""
            create trigger audit_append_only_delete before delete on audit
            begin select raise(abort, 'the audit is append-only'); end
        """)
    for table in ("audit_checkpoint", "audit_key", "audit_head"):
        op.drop_table(table)
    op.drop_index("uq_audit_seq", "audit")
    for column in ("signature", "hash", "key_id", "prev_hash", "seq"):
        op.execute(f"alter table audit drop column {column}")
