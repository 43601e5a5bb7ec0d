"""The inventory document: what the hosts of a shard must carry, for the inventory plugin ``platform``.

    {"hosts": {name: {"groups": [...], "vars": {...}}}, "groups": {name: {"vars": {...}}}}

It holds secrets (the TSIG key) and lives only in the private directory of a run and in the answer of GET /inventory.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.kind import Item, Kind, registry
from api.jobs.claim import SITE, Claim
from api.jobs.hosts import groups_of, reach, role_variables
from api.jobs.models import Delivery
from api.jobs.scope import belongs_to, carried_by, nested_in, parent_of
from api.jobs.sql import chunks

#: kind → ids
Wanted = dict[str, set[uuid.UUID]]


@dataclass
class Sent:
    """What one host was given: enough to hold its report against it."""

    node_id: uuid.UUID
    #: id of every item of the host's lists → kind
    items: dict[str, str] = field(default_factory=dict)
    #: id of an item that travels inside another → id of that other
    inside: dict[str, str] = field(default_factory=dict)


@dataclass
class Document:
    """The document, what each host was sent, and the hosts that cannot be put into an inventory, with the reason."""

    body: dict[str, Any]
    sent: dict[str, Sent]
    unfit: dict[str, str]


def document_for(session: Session, claim: Claim) -> Document:
    """Return the document of a run: all resources of a new node or a full converge, else what the job carries."""
    shard = session.get_one(registry["shard"].model, claim.shard_id)
    everything = claim.full or claim.playbook == SITE
    wanted = {} if everything else _carried(session, claim)
    built = _build(session, shard, claim.nodes, None if everything else wanted, purge=claim.full)
    for group in built.body["groups"].values():
        group["vars"].update(hostreeve_job_id=str(claim.job_id), hostreeve_audit_head=claim.audit_head)
        group["vars"].update(hostreeve_fail_on_resource=False)
    for name, host in built.body["hosts"].items():
        host["vars"]["hostreeve_fence"] = claim.tokens[name]
    return built


def everything(session: Session, shard: Any) -> Document:
    """Return the document of a full converge of a shard, without what belongs to one run."""
    return _build(session, shard, _nodes(session, shard), None, purge=True)


def inventory_of(session: Session, shards: Iterable[Any], resources: bool = True) -> dict[str, Any]:
    """Return the document of a run over whole shards (a terminal's, a launch's); its lists only with ``resources``."""
    body: dict[str, Any] = {"hosts": {}, "groups": {}}
    for shard in shards:
        nodes = _nodes(session, shard)
        wanted: dict[uuid.UUID, Wanted] | None = None if resources else {id_: {} for id_ in nodes.values()}
        built = _build(session, shard, nodes, wanted, purge=False)
        body["hosts"].update(built.body["hosts"])
        body["groups"].update(built.body["groups"])
    return body


def _nodes(session: Session, shard: Any) -> dict[str, uuid.UUID]:
    node = registry["node"].model
    chosen = sa.select(node.id, node.name).where(node.shard_id == shard.id, node.delete_requested.is_(False))
    return {name: id_ for id_, name in session.execute(chosen)}


def _carried(session: Session, claim: Claim) -> dict[uuid.UUID, Wanted]:
    """Return what the job carries to each node."""
    wanted: dict[uuid.UUID, Wanted] = {}
    for node_id, kind, id_ in session.execute(
        sa.select(Delivery.node_id, Delivery.kind, Delivery.resource_id).where(
            Delivery.job_id == claim.job_id, Delivery.state == "running"
        )
    ):
        wanted.setdefault(node_id, {}).setdefault(kind, set()).add(id_)
    return wanted


def _build(
    session: Session,
    shard: Any,
    nodes: dict[str, uuid.UUID],
    wanted: dict[uuid.UUID, Wanted] | None,
    *,
    purge: bool,
) -> Document:
    """Return the document of a shard; ``wanted`` None means everything."""
    node = registry["node"].model
    own = f"shard_{shard.name.replace('-', '_')}"
    result = Document({"hosts": {}, "groups": {own: {"vars": role_variables(session, shard)}}}, {}, {})
    # Nodes that need the same lists share them, and usually all do: the lists then stand in the group.
    lists: list[tuple[Wanted | None, dict[str, Any], Sent]] = []
    for row in session.scalars(sa.select(node).where(node.id.in_(nodes.values())).order_by(node.name)):
        if wanted is not None and row.id not in wanted:
            continue
        try:
            variables = reach(shard, row)
        except ValueError as error:
            result.unfit[row.name] = str(error)
            continue
        mine = None if wanted is None else wanted[row.id]
        known = next((entry for entry in lists if entry[0] == mine), None)
        if known is None:
            known = (mine, *_lists(session, shard, mine, purge))
            lists.append(known)
        _, items, sent = known
        result.sent[row.name] = Sent(row.id, sent.items, sent.inside)
        result.body["hosts"][row.name] = {"groups": [*groups_of(shard, row), own], "vars": {**variables, **items}}
    if len(lists) == 1:
        shared = lists[0][1]
        result.body["groups"][own]["vars"].update(shared)
        for host in result.body["hosts"].values():
            host["vars"] = {key: value for key, value in host["vars"].items() if key not in shared}
    return result


def _lists(session: Session, shard: Any, wanted: Wanted | None, purge: bool) -> tuple[dict[str, Any], Sent]:
    """Return the role's list variables, and what stands in them."""
    variables: dict[str, Any] = {f"{shard.role}_purge": purge}
    sent = Sent(uuid.UUID(int=0))
    kinds = carried_by(shard.role)
    if wanted is not None:
        wanted = _with_parents(session, shard.role, wanted)
    for kind in kinds:
        carry = kind.carries[shard.role]
        assert carry is not None  # noqa: S101 - carried_by returns no other
        items = []
        for row in _rows(session, kind, shard, wanted):
            item = _item(session, carry.item, row)
            items.append(item)
            sent.items[item["id"]] = kind.name
            for part in nested_in(shard.role, kind):
                for inner in item.get(part.plural, ()):
                    sent.items[inner["id"]] = part.name
                    sent.inside[inner["id"]] = item["id"]
        variables[carry.variable] = items
        if wanted is not None:
            _note_removed(session, shard.role, kind, wanted, sent)
    return variables, sent


def _note_removed(session: Session, role: str, kind: Kind, wanted: Wanted, sent: Sent) -> None:
    """Remember what is carried by its absence: a deleted record is gone when its zone was made as wanted."""
    for part in nested_in(role, kind):
        table = part.model.__table__
        for ids in chunks(sorted(wanted.get(part.name, ()))):
            for id_, outer in session.execute(sa.select(table.c.id, table.c[part.parent]).where(table.c.id.in_(ids))):
                sent.inside.setdefault(str(id_), str(outer))


def _item(session: Session, make: Any, row: Any) -> Item:
    item: Item = {"id": str(row.id), "state": "present", **make(session, row)}
    if row.delete_requested:
        item["state"] = "absent"
    return item


def _rows(session: Session, kind: Kind, shard: Any, wanted: Wanted | None) -> Iterable[Any]:
    model = kind.model
    if wanted is None:
        yield from session.scalars(sa.select(model).where(belongs_to(kind, shard)).order_by(model.id))
        return
    for part in chunks(sorted(wanted.get(kind.name, ()))):
        yield from session.scalars(sa.select(model).where(model.id.in_(part)).order_by(model.id))


def _with_parents(session: Session, role: str, wanted: Wanted) -> Wanted:
    """Add the parents that the role must know to carry what is wanted; their own status is not affected."""
    full: Wanted = {name: set(ids) for name, ids in wanted.items()}
    for kind in reversed([kind for kind in registry if role in kind.carries]):
        parent = parent_of(kind)
        if parent is None or parent.carries.get(role) is None:
            continue
        column = kind.model.__table__.c[kind.parent]
        for part in chunks(sorted(full.get(kind.name, ()))):
            ids = session.scalars(sa.select(column).where(kind.model.__table__.c.id.in_(part)).distinct())
            full.setdefault(parent.name, set()).update(ids)
    return full
