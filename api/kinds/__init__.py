"""The kinds. Importing this package fills the registry; a new kind is one more module here."""

from api.kinds import region, cluster, lb_address, shard, node, brand, tenant, webroot, fqdn, zone, record  # noqa: F401, I001 - parents first
