"""Platform-managed A and AAAA records: the addresses of a cluster, for every FQDN in a zone of its brand.

One function computes what should stand and writes the difference, for any number of FQDNs; everything that can change
the answer (an FQDN, a zone, an address, a user's own record) calls it.
"""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.db import keep, now
from api.core.kind import registry
from api.jobs import dispatch
from api.jobs.models import Job
from api.kinds import domains

#: A user's record of one of these types at a name means: I decide where this name points to.
ADDRESSES = ("A", "AAAA", "CNAME")
TTL = 300
CHUNK = 500
#: (fqdn id, zone id, name, type, content)
Key = tuple[uuid.UUID, uuid.UUID, str, str, str]


def refresh_cluster(session: Session, cluster_id: uuid.UUID) -> list[Job]:
    """Refresh all FQDNs of a cluster."""
    fqdn, webroot, tenant, shard, cluster = (
        registry[name].model for name in ("fqdn", "webroot", "tenant", "shard", "cluster")
    )
    # An FQDN that is being created has read the addresses before this change: wait for it, it is then among these.
    session.execute(sa.select(cluster.id).where(cluster.id == cluster_id).with_for_update(key_share=True))
    return _refresh_all(
        session,
        sa.select(fqdn)
        .join(webroot, webroot.id == fqdn.webroot_id)
        .join(tenant, tenant.id == webroot.tenant_id)
        .join(shard, shard.id == tenant.shard_id)
        .where(shard.cluster_id == cluster_id),
    )


def zone_changed(session: Session, zone: Any) -> list[Job]:
    """Take over the names inside a new zone; with a zone that goes, its records go, and an outer zone takes over."""
    fqdn, record = registry["fqdn"].model, registry["record"].model
    if not zone.delete_requested:
        if zone.generation > 1:
            return []
        inside = sa.or_(fqdn.fqdn == zone.name, domains.below(fqdn.reversed, zone.name))
        return _refresh_all(session, sa.select(fqdn).where(fqdn.brand_id == zone.brand_id, inside))
    mine = sa.select(record.fqdn_id).where(record.zone_id == zone.id, record.fqdn_id.is_not(None))
    names = session.scalars(sa.select(fqdn).where(fqdn.id.in_(mine))).all()
    going = session.scalars(sa.select(record.id).where(record.zone_id == zone.id, record.delete_requested.is_(False)))
    return [*_wish(session, going.all(), gone=True), *refresh(session, names)]


def record_changed(session: Session, record: Any) -> list[Job]:
    """Refresh the FQDN, if there is one, whose addresses a user's record replaces or gives back."""
    if record.type not in ADDRESSES:
        return []
    fqdn = registry["fqdn"].model
    name = record.zone.name if record.name == "@" else f"{record.name}.{record.zone.name}"
    return refresh(session, session.scalars(sa.select(fqdn).where(fqdn.fqdn == name)).all())


def refresh(session: Session, fqdns: Sequence[Any]) -> list[Job]:
    """Make the records of some FQDNs what they should be; return the jobs that carry the difference."""
    if not fqdns:
        return []
    record = registry["record"].model
    wanted = set(_wanted(session, [row for row in fqdns if not row.delete_requested]))
    ids = [row.id for row in fqdns]
    present: dict[Key, Any] = {
        (row.fqdn_id, row.zone_id, row.name, row.type, row.content): row
        for row in session.scalars(sa.select(record).where(record.fqdn_id.in_(ids)))
    }
    brands = {row.id: row.brand_id for row in fqdns}
    new = [_new(key, brands[key[0]]) for key in sorted(wanted - present.keys())]
    session.add_all(new)
    back = [present[key].id for key in wanted & present.keys() if present[key].delete_requested]
    away = [row.id for key, row in present.items() if key not in wanted and not row.delete_requested]
    return [
        *(dispatch.deliver_many(session, registry["record"], new) if new else ()),
        *_wish(session, back, gone=False),
        *_wish(session, away, gone=True),
    ]


def _refresh_all(session: Session, query: sa.Select[Any]) -> list[Job]:
    """Refresh what a query on FQDNs finds, piece by piece."""
    fqdn, jobs, last = registry["fqdn"].model, [], uuid.UUID(int=0)
    while rows := session.scalars(query.where(fqdn.id > last).order_by(fqdn.id).limit(CHUNK)).all():
        jobs += refresh(session, rows)
        last = rows[-1].id
    return jobs


def _wanted(session: Session, fqdns: Sequence[Any]) -> Iterator[Key]:
    """Yield the records that should stand."""
    # Clusters are locked before zones, here and in refresh_cluster.
    addresses = _addresses(session, [row.id for row in fqdns])
    zones = _zones(session, fqdns)
    names = {
        row.id: "@" if row.fqdn == zones[row.id].name else row.fqdn.removesuffix("." + zones[row.id].name)
        for row in fqdns
        if row.id in zones
    }
    own = _own(session, {zone.id for zone in zones.values()}, set(names.values()))
    for row in fqdns:
        if row.id not in zones or (zones[row.id].id, names[row.id]) in own:
            continue
        for address in addresses.get(row.id, ()):
            kind = "AAAA" if ipaddress.ip_address(address).version == 6 else "A"
            yield row.id, zones[row.id].id, names[row.id], kind, address


def _zones(session: Session, fqdns: Sequence[Any]) -> dict[uuid.UUID, Any]:
    """Return the innermost zone of each FQDN, where it is of the same brand; the zones are locked."""
    zone = registry["zone"].model
    names = {suffix for row in fqdns for suffix in domains.suffixes(row.fqdn)}
    # A user's record at the same name must not appear or go while we decide about it.
    query = sa.select(zone).where(zone.name.in_(names), zone.delete_requested.is_(False)).order_by(zone.id)
    found = {row.name: row for row in session.scalars(query.with_for_update(key_share=True, of=zone))}
    keep(session, *found.values())
    innermost = {}
    for row in fqdns:
        zone_row = next((found[suffix] for suffix in domains.suffixes(row.fqdn) if suffix in found), None)
        if zone_row is not None and zone_row.brand_id == row.brand_id:
            innermost[row.id] = zone_row
    return innermost


def _own(session: Session, zone_ids: Iterable[uuid.UUID], names: Iterable[str]) -> set[tuple[uuid.UUID, str]]:
    """Return (zone, name) of the users' own addresses."""
    record = registry["record"].model
    query = sa.select(record.zone_id, record.name).where(
        record.zone_id.in_(zone_ids),
        record.name.in_(names),
        record.type.in_(ADDRESSES),
        record.managed_by == "user",
        record.delete_requested.is_(False),
    )
    return {(row.zone_id, row.name) for row in session.execute(query)}


def _addresses(session: Session, fqdn_ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[str]]:
    """Return the addresses of each FQDN's cluster; they do not change until this transaction ends."""
    fqdn, webroot, tenant, shard, cluster, address = (
        registry[name].model for name in ("fqdn", "webroot", "tenant", "shard", "cluster", "lb_address")
    )
    placed = session.execute(
        sa.select(fqdn.id, shard.cluster_id)
        .join(webroot, webroot.id == fqdn.webroot_id)
        .join(tenant, tenant.id == webroot.tenant_id)
        .join(shard, shard.id == tenant.shard_id)
        .where(fqdn.id.in_(fqdn_ids))
    ).all()
    ids = {row.cluster_id for row in placed}
    session.execute(sa.select(cluster.id).where(cluster.id.in_(ids)).order_by(cluster.id).with_for_update(read=True))
    found: dict[uuid.UUID, list[str]] = {}
    for row in session.scalars(
        sa.select(address).where(address.cluster_id.in_(ids), address.delete_requested.is_(False))
    ):
        found.setdefault(row.cluster_id, []).append(row.address)
    return {row.id: found.get(row.cluster_id, []) for row in placed}


def _new(key: Key, brand_id: uuid.UUID) -> Any:
    fqdn_id, zone_id, name, kind, content = key
    return registry["record"].model(
        brand_id=brand_id,
        zone_id=zone_id,
        fqdn_id=fqdn_id,
        name=name,
        type=kind,
        ttl=TTL,
        content=content,
        managed_by="platform",
    )


def _wish(session: Session, ids: Sequence[uuid.UUID], *, gone: bool) -> list[Job]:
    """Wish records gone, or back, and deliver them."""
    kind = registry["record"]
    table, jobs = kind.model.__table__, []
    for start in range(0, len(ids), CHUNK):
        part = ids[start : start + CHUNK]
        session.execute(
            sa.update(table)
            .where(table.c.id.in_(part))
            .values(
                delete_requested=gone,
                generation=table.c.generation + 1,
                revision=table.c.revision + 1,
                updated_at=now(),
            )
        )
        rows = session.scalars(
            sa.select(kind.model).where(kind.model.id.in_(part)).execution_options(populate_existing=True)
        )
        jobs += dispatch.deliver_many(session, kind, rows)
    return jobs
