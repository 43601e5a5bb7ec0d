"""Retention: the oldest records make room, and a signed checkpoint stands for them, from which the chain goes on."""

from __future__ import annotations

import uuid
from datetime import datetime, time, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core import crypto
from api.core.audit import Audit, record
from api.core.chain import CHECKPOINT, HEAD, AuditCheckpoint
from api.core.db import now
from auditchain import digest_of, text_of

TABLE = Audit.__table__
#: Records that go in one transaction; what is left goes with the next purge.
MOST = 10_000


def prune(session: Session, days: int) -> int:
    """Delete records of more than ``days`` whole days ago, if ``days`` is not 0; return how many.

    The chain goes from its beginning up to the first record that is kept, so one that is younger than those behind it
    keeps them too. Records from before the chain go all together, with the chain's first.
    """
    if not days:
        return 0
    # Whole days: otherwise each purge would prune, and note so, what the minutes since the last one have aged.
    before = datetime.combine(now().date(), time(), now().tzinfo) - timedelta(days=days)
    kept = sa.select(sa.func.min(TABLE.c.seq)).where(TABLE.c.at >= before)
    if session.scalar(sa.select(TABLE.c.id).where(TABLE.c.seq.is_(None), TABLE.c.at >= before).limit(1)) is not None:
        return 0
    first = session.scalar(sa.select(sa.func.min(TABLE.c.seq)))
    if first is None:
        return 0
    last = min((session.scalar(kept) or session.scalars(sa.select(HEAD.c.seq)).one()) - 1, first + MOST - 1)
    return 0 if last < first else _replace(session, first, last, before)


def _replace(session: Session, first: int, last: int, before: datetime) -> int:
    """Put a checkpoint in the place of the records up to ``last``, and record that."""
    signer = crypto.signers()[0]
    unsealed = session.scalar(sa.select(sa.func.count()).where(TABLE.c.seq.is_(None))) or 0
    pruned = last - first + 1 + unsealed
    former = session.scalar(sa.select(sa.func.max(CHECKPOINT.c.count))) or 0
    entry = {
        "seq": last,
        "hash": session.scalars(sa.select(TABLE.c.hash).where(TABLE.c.seq == last)).one(),
        "count": former + pruned,
        "at": now(),
        "key_id": uuid.UUID(signer.id),
    }
    told = {name: text_of(value) for name, value in entry.items()}
    # The trigger that keeps the audit lets go of what a checkpoint stands for.
    session.execute(sa.delete(AuditCheckpoint).where(CHECKPOINT.c.seq < last))
    session.execute(sa.insert(AuditCheckpoint).values(**entry, signature=signer.sign("checkpoint", digest_of(told))))
    session.execute(
        sa.delete(Audit)
        .where(sa.or_(TABLE.c.seq.is_(None), TABLE.c.seq <= last))
        .execution_options(synchronize_session=False)
    )
    record(
        session, actor="platform", action="prune", kind="audit", resource_id=uuid.UUID(int=0), before=None,
        after={"older_than": text_of(before), "records": pruned, "seq": last, "hash": told["hash"]},
        result="successful", duration_ms=0, job_ids=(),
    )  # fmt: skip
    return pruned
