"""What the watch says to others."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from api.core.announce import announce
from api.watch.models import ShardHealth


def tell(session: Session, topic: str, shard: Any, facts: dict[str, Any]) -> None:
    """Announce something about a shard."""
    announce(session, topic, "shard", shard.id, {"shard": shard.name, **facts})


def halt(session: Session, shard: Any, row: ShardHealth, why: str) -> None:
    """Let no failover begin by itself until the primary was moved by hand, or the shard's switch was off."""
    row.halted = why
    tell(session, "failover_failed", shard, {"reason": why})
