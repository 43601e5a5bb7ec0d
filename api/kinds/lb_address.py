"""LB address: where the names of a cluster point to."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core.db import Base, Name, Resource
from api.core.kind import Kind, registry
from api.jobs.models import Job
from api.kinds import managed_records


def address(value: str) -> str:
    """Return an IPv4 or IPv6 address in canonical form."""
    try:
        found = ipaddress.ip_address(value)
        if getattr(found, "scope_id", None):
            raise ValueError
        return str(found)
    except ValueError:
        raise ValueError("must be an IPv4 or IPv6 address") from None


class LbAddress(Resource, Base):
    """A public address of a cluster's load balancers; platform-managed A and AAAA records hold it."""

    __tablename__ = "lb_address"

    cluster_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("cluster.id"), info={"once": True})
    address: Mapped[str] = mapped_column(
        Name, unique=True, info={"check": address, "once": True, "example": "192.0.2.1"}
    )


def refresh(session: Session, row: Any) -> Iterable[Job]:
    """Make the platform-managed records of the cluster's FQDNs hold its present addresses."""
    return managed_records.refresh_cluster(session, row.cluster_id)


KIND = registry.add(
    Kind(
        LbAddress,
        plural="lb-addresses",
        parent="cluster_id",
        title="address",
        platform=True,
        filters=("cluster_id",),
        after_change=refresh,
    )
)
