"""the first schema"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(JSONB(), "postgresql")
NAME = sa.String(253).with_variant(sa.String(253, collation="C"), "postgresql")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("brands", JSON, nullable=False),
        sa.Column("created_by", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("prefix", name=op.f("uq_api_key_prefix")),
    )
    op.create_index(op.f("ix_api_key_created_at_id"), "api_key", ["created_at", "id"], unique=False)

    op.create_table(
        "audit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.Uuid(), nullable=True),
        sa.Column("actor_name", sa.String(length=128), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=True),
        sa.Column("before", JSON, nullable=True),
        sa.Column("after", JSON, nullable=True),
        sa.Column("result", sa.String(length=32), nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("job_ids", JSON, nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.Column("remote_addr", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_actor_id_at_id"), "audit", ["actor_id", "at", "id"], unique=False)
    op.create_index(op.f("ix_audit_at_id"), "audit", ["at", "id"], unique=False)
    op.create_index(op.f("ix_audit_brand_id_at_id"), "audit", ["brand_id", "at", "id"], unique=False)
    op.create_index(op.f("ix_audit_kind_at_id"), "audit", ["kind", "at", "id"], unique=False)
    op.create_index(op.f("ix_audit_resource_id_at_id"), "audit", ["resource_id", "at", "id"], unique=False)

    op.create_table(
        "counter",
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counter")),
    )
    op.create_table(
        "idempotency",
        sa.Column("actor_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("actor_id", "key", name=op.f("pk_idempotency")),
    )
    op.create_index(op.f("ix_idempotency_created_at"), "idempotency", ["created_at"], unique=False)

    op.create_table(
        "lease",
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("holder", sa.Uuid(), nullable=True),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("host", name=op.f("pk_lease")),
    )
    op.create_table(
        "region",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_region")),
        sa.UniqueConstraint("name", name=op.f("uq_region_name")),
    )
    op.create_index(op.f("ix_region_created_at_id"), "region", ["created_at", "id"], unique=False)

    op.create_table(
        "cluster",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("region_id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["region_id"], ["region.id"], name=op.f("fk_cluster_region_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cluster")),
        sa.UniqueConstraint("name", name=op.f("uq_cluster_name")),
    )
    op.create_index(op.f("ix_cluster_created_at_id"), "cluster", ["created_at", "id"], unique=False)
    op.create_index(
        op.f("ix_cluster_region_id_created_at_id"), "cluster", ["region_id", "created_at", "id"], unique=False
    )

    op.create_table(
        "lb_address",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cluster_id", sa.Uuid(), nullable=False),
        sa.Column("address", NAME, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["cluster_id"], ["cluster.id"], name=op.f("fk_lb_address_cluster_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lb_address")),
        sa.UniqueConstraint("address", name=op.f("uq_lb_address_address")),
    )
    op.create_index(
        op.f("ix_lb_address_cluster_id_created_at_id"), "lb_address", ["cluster_id", "created_at", "id"], unique=False
    )
    op.create_index(op.f("ix_lb_address_created_at_id"), "lb_address", ["created_at", "id"], unique=False)

    op.create_table(
        "shard",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cluster_id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("tsig_secret", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["cluster_id"], ["cluster.id"], name=op.f("fk_shard_cluster_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shard")),
        sa.UniqueConstraint("name", name=op.f("uq_shard_name")),
    )
    op.create_index(
        op.f("ix_shard_cluster_id_created_at_id"), "shard", ["cluster_id", "created_at", "id"], unique=False
    )
    op.create_index(op.f("ix_shard_created_at_id"), "shard", ["created_at", "id"], unique=False)

    op.create_table(
        "brand",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("base_domain", NAME, nullable=False),
        sa.Column("hostmaster", NAME, nullable=False),
        sa.Column("nameservers", JSON, nullable=False),
        sa.Column("dns_shard_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["dns_shard_id"], ["shard.id"], name=op.f("fk_brand_dns_shard_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_brand")),
        sa.UniqueConstraint("name", name=op.f("uq_brand_name")),
    )
    op.create_index(op.f("ix_brand_created_at_id"), "brand", ["created_at", "id"], unique=False)

    op.create_table(
        "job",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("shard_id", sa.Uuid(), nullable=False),
        sa.Column("playbook", sa.String(length=64), nullable=False),
        sa.Column("full", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("published", sa.Integer(), nullable=False),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("worker", sa.String(length=128), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resources", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("events_lost", sa.Boolean(), nullable=False),
        sa.Column("truncated", sa.Boolean(), nullable=False),
        sa.Column("events_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["shard_id"], ["shard.id"], name=op.f("fk_job_shard_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    op.create_index(op.f("ix_job_created_at_id"), "job", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_job_state_created_at"), "job", ["state", "created_at"], unique=False)
    op.create_index(
        "uq_job_queued_shard",
        "job",
        ["shard_id"],
        unique=True,
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )

    op.create_table(
        "node",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("shard_id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("address", NAME, nullable=False),
        sa.Column("ssh_port", sa.Integer(), nullable=False),
        sa.Column("ssh_user", sa.String(length=32), nullable=False),
        sa.Column("is_primary", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["shard_id"], ["shard.id"], name=op.f("fk_node_shard_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_node")),
        sa.UniqueConstraint("address", name=op.f("uq_node_address")),
        sa.UniqueConstraint("name", name=op.f("uq_node_name")),
    )
    op.create_index(op.f("ix_node_created_at_id"), "node", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_node_shard_id_created_at_id"), "node", ["shard_id", "created_at", "id"], unique=False)

    op.create_table(
        "delivery",
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("node_id", sa.Uuid(), nullable=False),
        sa.Column("shard_id", sa.Uuid(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("job_id", sa.Uuid(), nullable=True),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("retry_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_delivery_job_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["node_id"], ["node.id"], name=op.f("fk_delivery_node_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["shard_id"], ["shard.id"], name=op.f("fk_delivery_shard_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("kind", "resource_id", "node_id", name=op.f("pk_delivery")),
    )
    op.create_index(op.f("ix_delivery_job_id"), "delivery", ["job_id"], unique=False)
    op.create_index(op.f("ix_delivery_retry_at"), "delivery", ["retry_at"], unique=False)
    op.create_index(op.f("ix_delivery_shard_id_state"), "delivery", ["shard_id", "state"], unique=False)

    op.create_table(
        "job_host",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("ok", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("skipped", sa.Integer(), nullable=False),
        sa.Column("unreachable", sa.Boolean(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_host_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "host", name=op.f("pk_job_host")),
    )
    op.create_table(
        "job_resource",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("resource_id", sa.Uuid(), nullable=False),
        sa.Column("host", sa.String(length=64), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Boolean(), nullable=False),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_resource_job_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "kind", "resource_id", "host", name=op.f("pk_job_resource")),
    )
    op.create_index(op.f("ix_job_resource_kind_resource_id"), "job_resource", ["kind", "resource_id"], unique=False)

    op.create_table(
        "tenant",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("shard_id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("uid", sa.Integer(), nullable=False),
        sa.Column("label", sa.String(length=100), nullable=False),
        sa.Column("cpu_percent", sa.Integer(), nullable=False),
        sa.Column("memory_mb", sa.Integer(), nullable=False),
        sa.Column("tasks", sa.Integer(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name=op.f("fk_tenant_brand_id")),
        sa.ForeignKeyConstraint(["shard_id"], ["shard.id"], name=op.f("fk_tenant_shard_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant")),
        sa.UniqueConstraint("name", name=op.f("uq_tenant_name")),
        sa.UniqueConstraint("uid", name=op.f("uq_tenant_uid")),
    )
    op.create_index(op.f("ix_tenant_brand_id_created_at_id"), "tenant", ["brand_id", "created_at", "id"], unique=False)
    op.create_index(op.f("ix_tenant_brand_id_name"), "tenant", ["brand_id", "name"], unique=False)
    op.create_index(op.f("ix_tenant_created_at_id"), "tenant", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_tenant_shard_id"), "tenant", ["shard_id"], unique=False)
    op.create_index(op.f("ix_tenant_status_created_at_id"), "tenant", ["status", "created_at", "id"], unique=False)

    op.create_table(
        "zone",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("shard_id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("dnssec", sa.Boolean(), nullable=False),
        sa.Column("reversed", NAME, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name=op.f("fk_zone_brand_id")),
        sa.ForeignKeyConstraint(["shard_id"], ["shard.id"], name=op.f("fk_zone_shard_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_zone")),
        sa.UniqueConstraint("name", name=op.f("uq_zone_name")),
    )
    op.create_index(op.f("ix_zone_brand_id_created_at_id"), "zone", ["brand_id", "created_at", "id"], unique=False)
    op.create_index(op.f("ix_zone_brand_id_name"), "zone", ["brand_id", "name"], unique=False)
    op.create_index(op.f("ix_zone_created_at_id"), "zone", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_zone_reversed"), "zone", ["reversed"], unique=False)
    op.create_index(op.f("ix_zone_shard_id"), "zone", ["shard_id"], unique=False)
    op.create_index(op.f("ix_zone_status_created_at_id"), "zone", ["status", "created_at", "id"], unique=False)

    op.create_table(
        "webroot",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("tenant_id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("runtime", sa.String(length=16), nullable=False),
        sa.Column("public_folder", sa.String(length=128), nullable=False),
        sa.Column("env", JSON, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name=op.f("fk_webroot_brand_id")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("fk_webroot_tenant_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webroot")),
        sa.UniqueConstraint("name", name=op.f("uq_webroot_name")),
    )
    op.create_index(
        op.f("ix_webroot_brand_id_created_at_id"), "webroot", ["brand_id", "created_at", "id"], unique=False
    )
    op.create_index(op.f("ix_webroot_brand_id_name"), "webroot", ["brand_id", "name"], unique=False)
    op.create_index(op.f("ix_webroot_created_at_id"), "webroot", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_webroot_status_created_at_id"), "webroot", ["status", "created_at", "id"], unique=False)
    op.create_index(
        op.f("ix_webroot_tenant_id_created_at_id"), "webroot", ["tenant_id", "created_at", "id"], unique=False
    )

    op.create_table(
        "fqdn",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("webroot_id", sa.Uuid(), nullable=False),
        sa.Column("fqdn", NAME, nullable=False),
        sa.Column("reversed", NAME, nullable=False),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name=op.f("fk_fqdn_brand_id")),
        sa.ForeignKeyConstraint(["webroot_id"], ["webroot.id"], name=op.f("fk_fqdn_webroot_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fqdn")),
        sa.UniqueConstraint("fqdn", name=op.f("uq_fqdn_fqdn")),
    )
    op.create_index(op.f("ix_fqdn_brand_id_created_at_id"), "fqdn", ["brand_id", "created_at", "id"], unique=False)
    op.create_index(op.f("ix_fqdn_brand_id_fqdn"), "fqdn", ["brand_id", "fqdn"], unique=False)
    op.create_index(op.f("ix_fqdn_created_at_id"), "fqdn", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_fqdn_reversed"), "fqdn", ["reversed"], unique=False)
    op.create_index(op.f("ix_fqdn_status_created_at_id"), "fqdn", ["status", "created_at", "id"], unique=False)
    op.create_index(op.f("ix_fqdn_webroot_id_created_at_id"), "fqdn", ["webroot_id", "created_at", "id"], unique=False)

    op.create_table(
        "record",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("brand_id", sa.Uuid(), nullable=False),
        sa.Column("zone_id", sa.Uuid(), nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("type", sa.String(length=8), nullable=False),
        sa.Column("ttl", sa.Integer(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("managed_by", sa.String(length=16), nullable=False),
        sa.Column("fqdn_id", sa.Uuid(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("status_message", sa.Text(), nullable=False),
        sa.Column("delete_requested", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["brand_id"], ["brand.id"], name=op.f("fk_record_brand_id")),
        sa.ForeignKeyConstraint(["fqdn_id"], ["fqdn.id"], name=op.f("fk_record_fqdn_id"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["zone_id"], ["zone.id"], name=op.f("fk_record_zone_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_record")),
    )
    op.create_index(op.f("ix_record_brand_id_created_at_id"), "record", ["brand_id", "created_at", "id"], unique=False)
    op.create_index(op.f("ix_record_brand_id_name_id"), "record", ["brand_id", "name", "id"], unique=False)
    op.create_index(op.f("ix_record_created_at_id"), "record", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_record_fqdn_id"), "record", ["fqdn_id"], unique=False)
    op.create_index(op.f("ix_record_name_id"), "record", ["name", "id"], unique=False)
    op.create_index(op.f("ix_record_status_created_at_id"), "record", ["status", "created_at", "id"], unique=False)
    op.create_index(op.f("ix_record_zone_id_created_at_id"), "record", ["zone_id", "created_at", "id"], unique=False)

    if op.get_bind().dialect.name == "postgresql":
        op.execute("""
            create function audit_is_append_only() returns trigger language plpgsql as $$
            begin raise exception 'the audit is append-only'; end $$
        """)
        op.execute("""
            create trigger audit_append_only before update or delete on audit
            for each row execute function audit_is_append_only()
        """)
    else:
        for verb in ("update", "delete"):
            op.execute(f"""
                create trigger audit_append_only_{verb} before {verb} on audit
                begin select raise(abort, 'the audit is append-only'); end
            """)


def downgrade() -> None:
    """Undo."""
    op.drop_index(op.f("ix_record_zone_id_created_at_id"), "record")
    op.drop_index(op.f("ix_record_status_created_at_id"), "record")
    op.drop_index(op.f("ix_record_name_id"), "record")
    op.drop_index(op.f("ix_record_fqdn_id"), "record")
    op.drop_index(op.f("ix_record_created_at_id"), "record")
    op.drop_index(op.f("ix_record_brand_id_name_id"), "record")
    op.drop_index(op.f("ix_record_brand_id_created_at_id"), "record")

    op.drop_table("record")
    op.drop_index(op.f("ix_fqdn_webroot_id_created_at_id"), "fqdn")
    op.drop_index(op.f("ix_fqdn_status_created_at_id"), "fqdn")
    op.drop_index(op.f("ix_fqdn_reversed"), "fqdn")
    op.drop_index(op.f("ix_fqdn_created_at_id"), "fqdn")
    op.drop_index(op.f("ix_fqdn_brand_id_fqdn"), "fqdn")
    op.drop_index(op.f("ix_fqdn_brand_id_created_at_id"), "fqdn")

    op.drop_table("fqdn")
    op.drop_index(op.f("ix_webroot_tenant_id_created_at_id"), "webroot")
    op.drop_index(op.f("ix_webroot_status_created_at_id"), "webroot")
    op.drop_index(op.f("ix_webroot_created_at_id"), "webroot")
    op.drop_index(op.f("ix_webroot_brand_id_name"), "webroot")
    op.drop_index(op.f("ix_webroot_brand_id_created_at_id"), "webroot")

    op.drop_table("webroot")
    op.drop_index(op.f("ix_zone_status_created_at_id"), "zone")
    op.drop_index(op.f("ix_zone_shard_id"), "zone")
    op.drop_index(op.f("ix_zone_reversed"), "zone")
    op.drop_index(op.f("ix_zone_created_at_id"), "zone")
    op.drop_index(op.f("ix_zone_brand_id_name"), "zone")
    op.drop_index(op.f("ix_zone_brand_id_created_at_id"), "zone")

    op.drop_table("zone")
    op.drop_index(op.f("ix_tenant_status_created_at_id"), "tenant")
    op.drop_index(op.f("ix_tenant_shard_id"), "tenant")
    op.drop_index(op.f("ix_tenant_created_at_id"), "tenant")
    op.drop_index(op.f("ix_tenant_brand_id_name"), "tenant")
    op.drop_index(op.f("ix_tenant_brand_id_created_at_id"), "tenant")

    op.drop_table("tenant")
    op.drop_index(op.f("ix_job_resource_kind_resource_id"), "job_resource")

    op.drop_table("job_resource")
    op.drop_table("job_host")
    op.drop_index(op.f("ix_delivery_shard_id_state"), "delivery")
    op.drop_index(op.f("ix_delivery_retry_at"), "delivery")
    op.drop_index(op.f("ix_delivery_job_id"), "delivery")

    op.drop_table("delivery")
    op.drop_index(op.f("ix_node_shard_id_created_at_id"), "node")
    op.drop_index(op.f("ix_node_created_at_id"), "node")

    op.drop_table("node")
    op.drop_index(
        "uq_job_queued_shard",
        "job",
        sqlite_where=sa.text("state = 'queued'"),
        postgresql_where=sa.text("state = 'queued'"),
    )
    op.drop_index(op.f("ix_job_state_created_at"), "job")
    op.drop_index(op.f("ix_job_created_at_id"), "job")

    op.drop_table("job")
    op.drop_index(op.f("ix_brand_created_at_id"), "brand")

    op.drop_table("brand")
    op.drop_index(op.f("ix_shard_created_at_id"), "shard")
    op.drop_index(op.f("ix_shard_cluster_id_created_at_id"), "shard")

    op.drop_table("shard")
    op.drop_index(op.f("ix_lb_address_created_at_id"), "lb_address")
    op.drop_index(op.f("ix_lb_address_cluster_id_created_at_id"), "lb_address")

    op.drop_table("lb_address")
    op.drop_index(op.f("ix_cluster_region_id_created_at_id"), "cluster")
    op.drop_index(op.f("ix_cluster_created_at_id"), "cluster")

    op.drop_table("cluster")
    op.drop_index(op.f("ix_region_created_at_id"), "region")

    op.drop_table("region")
    op.drop_table("lease")
    op.drop_index(op.f("ix_idempotency_created_at"), "idempotency")

    op.drop_table("idempotency")
    op.drop_table("counter")
    op.drop_index(op.f("ix_audit_resource_id_at_id"), "audit")
    op.drop_index(op.f("ix_audit_kind_at_id"), "audit")
    op.drop_index(op.f("ix_audit_brand_id_at_id"), "audit")
    op.drop_index(op.f("ix_audit_at_id"), "audit")
    op.drop_index(op.f("ix_audit_actor_id_at_id"), "audit")

    op.drop_table("audit")
    op.drop_index(op.f("ix_api_key_created_at_id"), "api_key")

    op.drop_table("api_key")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("drop function audit_is_append_only()")
