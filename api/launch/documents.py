"""Inventories as documents of the inventory plugin, and as Ansible's dynamic inventory for terminals."""

from __future__ import annotations

import copy
import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.kind import registry
from api.jobs.document import inventory_of

Document = dict[str, Any]


def document_of(session: Session, inventory_id: uuid.UUID | None, resources: bool = True) -> Document:
    """Return the hosts, groups and variables of an inventory as they are now; None is the whole platform.

    Without ``resources`` only what reaches the hosts. LookupError if the inventory is gone.
    """
    if inventory_id is None:
        return inventory_of(session, _shards(session, {}), resources)
    row = session.get(registry["inventory"].model, inventory_id)
    if row is None:
        raise LookupError("the inventory is gone")
    if row.source == "static":
        body: Document = {"hosts": copy.deepcopy(row.hosts), "groups": copy.deepcopy(row.groups)}
    else:
        body = inventory_of(session, _shards(session, row.filter), resources)
        if names := row.filter.get("hosts"):
            body["hosts"] = {name: host for name, host in body["hosts"].items() if name in names}
    if row.variables:
        body["groups"].setdefault("all", {}).setdefault("vars", {}).update(row.variables)
    return body


def document_of_launch(session: Session, launch: Any, resources: bool = True) -> Document:
    """Return the inventory of a launch; that of an operation is what its shards' roles are told, and no resources."""
    if not launch.operation:
        return document_of(session, launch.inventory_id, resources)
    model = registry["shard"].model
    chosen = sa.select(model).where(model.id.in_([uuid.UUID(text) for text in launch.shards])).order_by(model.name)
    return inventory_of(session, session.scalars(chosen).all(), resources=False)


def _shards(session: Session, wanted: dict[str, list[str]]) -> Any:
    shard, cluster, region = (registry[name].model for name in ("shard", "cluster", "region"))
    query = (
        sa.select(shard)
        .join(cluster, cluster.id == shard.cluster_id)
        .join(region, region.id == cluster.region_id)
        .order_by(shard.name)
    )
    columns = {"regions": region.name, "clusters": cluster.name, "shards": shard.name, "roles": shard.role}
    for key, column in columns.items():
        if key in wanted:
            query = query.where(column.in_(wanted[key]))
    return session.scalars(query).all()


def script(document: Document) -> dict[str, Any]:
    """Return what an inventory script prints. Texts that look like templates are marked: they are data."""
    groups: dict[str, Any] = {}
    for name, group in document["groups"].items():
        groups[name] = {"hosts": [], "vars": literal(group.get("vars", {}))}
    hostvars = {}
    for name, host in sorted(document["hosts"].items()):
        hostvars[name] = literal(host.get("vars", {}))
        for member in host.get("groups") or ["ungrouped"]:
            groups.setdefault(member, {"hosts": [], "vars": {}})["hosts"].append(name)
    top = groups.pop("all", {"hosts": [], "vars": {}})
    # Every host is in `all` by way of a group; a group without hosts exists as well.
    top["children"] = sorted(groups)
    return {"_meta": {"hostvars": hostvars}, "all": top, **groups}


def literal(value: Any) -> Any:
    """Mark texts that ansible-core would evaluate as templates, in the inventory of a script and in extra-vars."""
    if isinstance(value, str):
        return {"__ansible_unsafe": value} if "{{" in value or "{%" in value or "{#" in value else value
    if isinstance(value, dict):
        return {key: literal(inner) for key, inner in value.items()}
    return [literal(inner) for inner in value] if isinstance(value, list) else value
