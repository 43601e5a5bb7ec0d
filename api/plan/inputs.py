"""What a plan was made of: the parts of its hash that can be read again without a run.

generations    of every row that the run carries; of a launch, of the rows that it is made of
revision       of the playbooks and the collection (``api.plan.revision``)
inventory      the hosts, with all variables that they get, resources included
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.crypto import keyed_hash
from api.core.errors import ApiError
from api.core.kind import registry
from api.jobs.document import everything
from api.jobs.scope import belongs_to
from api.launch.documents import document_of
from api.launch.models import Launch
from api.plan.models import Plan
from api.plan.prediction import digest
from api.plan.revision import revision_of

#: What differs from run to run.
OF_THE_RUN = {"hostreeve_job_id", "hostreeve_audit_head", "hostreeve_fence", "hostreeve_fail_on_resource"}

Parts = dict[str, str]


def of_shard(session: Session, shard: Any, document: dict[str, Any]) -> Parts:
    """Return generations and inventory of a full converge with this document."""
    return {"generations": _shard_generations(session, shard), "inventory": inventory_hash(document)}


def of_launch(session: Session, launch: Launch, document: dict[str, Any], hosts: Iterable[str]) -> Parts:
    """Return generations and inventory of a launch with this document on these hosts."""
    return {
        "generations": _launch_generations(session, launch),
        "inventory": inventory_hash(document, hosts, variables_of(launch)),
    }


def read_again(session: Session, plan: Plan, playbooks: Path) -> Parts:
    """Return what the API can read of a plan's parts, as they are now; ``playbooks`` are the platform's own.

    A host that came to a launch's limit, and what a project holds, is for the worker to see.
    """
    if plan.shard_id is not None:
        shard = session.get_one(registry["shard"].model, plan.shard_id)
        found = of_shard(session, shard, everything(session, shard).body)
        return {**found, "revision": revision_of(playbooks)}
    launch = session.get(Launch, plan.job_id) if plan.job_id else None
    if launch is None:
        raise LookupError("The job that made the plan is no longer kept.")
    found = {"generations": _launch_generations(session, launch)}
    try:
        document = document_of(session, launch.inventory_id)
        found["inventory"] = inventory_hash(document, plan.hosts, variables_of(launch))
    except (LookupError, ApiError):
        found["inventory"] = ""
    return found if launch.project_id else {**found, "revision": revision_of(playbooks)}


def variables_of(launch: Launch) -> dict[str, Any]:
    """Return the variables that a launch gives, secret ones included."""
    return {**launch.variables, **(orjson.loads(launch.secrets) if launch.secrets else {})}


def moved(plan: Plan, found: Parts) -> list[str]:
    """Return the parts that are not as they were when the plan was made."""
    return [name for name, value in found.items() if getattr(plan, name) != value]


def inventory_hash(
    document: dict[str, Any], hosts: Iterable[str] | None = None, variables: dict[str, Any] | None = None
) -> str:
    """Return the hash of an inventory document, or of what of it concerns some hosts, with a launch's variables.

    Under the platform's key: the document holds secrets, and a hash of a short one could be found by trying.
    """
    chosen = document["hosts"].keys() if hosts is None else set(hosts)
    mine = {name: document["hosts"].get(name) for name in sorted(chosen)}
    known = {"all", *(group for host in mine.values() if host for group in host.get("groups") or ())}
    groups = {name: group for name, group in document["groups"].items() if name in known}
    bare = {
        "variables": variables or {},
        "hosts": {name: {**host, "vars": _lasting(host)} if host is not None else None for name, host in mine.items()},
        "groups": {name: {**group, "vars": _lasting(group)} for name, group in groups.items()},
    }
    return keyed_hash(orjson.dumps(bare, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS))


def _lasting(of: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (of.get("vars") or {}).items() if name not in OF_THE_RUN}


def _shard_generations(session: Session, shard: Any) -> str:
    """Return the hash of the generations of the nodes, and of every row that they carry."""
    node = registry["node"].model
    nodes = sa.select(node.id, node.generation).where(node.shard_id == shard.id).order_by(node.id)
    found: list[Any] = [["node", *map(_pair, session.execute(nodes))]]
    for kind in registry:
        if shard.role in kind.carries and kind.name != "node":
            model = kind.model
            rows = sa.select(model.id, model.generation).where(belongs_to(kind, shard)).order_by(model.id)
            found.append([kind.name, *map(_pair, session.execute(rows))])
    return digest(found)


def _launch_generations(session: Session, launch: Launch) -> str:
    """Return the hash of the generations of the rows that a launch is made of; null for one that is gone."""
    ids: list[tuple[str, uuid.UUID]] = [("credential", uuid.UUID(text)) for text in sorted(launch.credentials)]
    for name in ("template", "project", "inventory"):
        if (id_ := getattr(launch, f"{name}_id")) is not None:
            ids.append((name, id_))
    found = []
    for name, id_ in ids:
        model = registry[name].model
        generation = session.scalar(sa.select(model.generation).where(model.id == id_))
        found.append([name, str(id_), generation])
    return digest(found)


def _pair(row: Any) -> list[Any]:
    return [str(row.id), row.generation]
