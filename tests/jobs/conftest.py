"""A platform in the database, and an engine that plays the worker's part by hand, step by step."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from redis import Redis
from sqlalchemy.orm import Session

from api.core.db import unit_of_work
from api.core.kind import registry
from api.core.service import _defaults
from api.core.settings import Settings
from api.core.state import EXTENSION
from api.jobs import dispatch
from api.jobs.claim import SITE, Claim, claim
from api.jobs.document import Document, document_for
from api.jobs.finish import Ending, finish
from api.jobs.models import Delivery, Job
from api.jobs.report import read
from api.jobs.settle import Run, fail_host, settle_node, settle_report
from tests.jobs.working import Work


@dataclass
class Engine:
    """The database with a platform in it, and the steps of a run as calls."""

    settings: Settings
    maker: Any
    app: Any
    #: what would have been published
    published: list[uuid.UUID] = field(default_factory=list)
    ids: dict[str, uuid.UUID] = field(default_factory=dict)

    @property
    def is_sqlite(self) -> bool:
        return self.settings.database_url.startswith("sqlite")

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        with unit_of_work(self.maker, self.published.append) as session:
            yield session

    def add(self, kind: str, **values: Any) -> uuid.UUID:
        """Create a row and deliver it, as a request would."""
        with self.transaction() as session:
            row = registry[kind].model(**{**_defaults(registry[kind]), **values})
            registry[kind].validate(session, row)
            session.add(row)
            session.flush()
            list(registry[kind].after_change(session, row))
            dispatch.deliver(session, registry[kind], row)
            return uuid.UUID(str(row.id))

    def change(self, kind: str, id_: uuid.UUID, **values: Any) -> list[Job]:
        """Change a row and deliver it."""
        with self.transaction() as session:
            row = session.get_one(registry[kind].model, id_, with_for_update={"of": registry[kind].model})
            for name, value in values.items():
                setattr(row, name, value)
            row.generation += 1
            session.flush()
            also = registry[kind].after_change(session, row)
            return [*also, *dispatch.deliver(session, registry[kind], row)]

    def delete(self, kind: str, id_: uuid.UUID) -> None:
        self.change(kind, id_, delete_requested=True)

    def retry(self, kind: str, id_: uuid.UUID) -> list[Job]:
        with self.transaction() as session:
            row = session.get_one(registry[kind].model, id_, with_for_update={"of": registry[kind].model})
            return dispatch.retry(session, registry[kind], row)

    def row(self, kind: str, id_: uuid.UUID) -> Any:
        with self.maker() as session:
            return session.get(registry[kind].model, id_)

    def status(self, kind: str, id_: uuid.UUID) -> tuple[str, str]:
        row = self.row(kind, id_)
        return ("gone", "") if row is None else (row.status, row.status_message)

    def all(self, query: Any) -> list[Any]:
        with self.maker() as session:
            return list(session.scalars(query))

    def deliveries(self, **values: Any) -> list[Delivery]:
        return self.all(sa.select(Delivery).filter_by(**values).order_by(Delivery.kind, Delivery.resource_id))

    def queued(self, shard: str) -> Job | None:
        found = self.all(sa.select(Job).where(Job.shard_id == self.ids[shard], Job.state == "queued"))
        return found[0] if found else None

    def claim(self, shard: str) -> Claim:
        job = self.queued(shard)
        assert job is not None, f"nothing is queued for {shard}"
        with self.transaction() as session:
            taken = claim(session, job.id, "test", self.settings.lease_seconds)
        assert taken is not None
        return taken

    def document(self, taken: Claim) -> Document:
        with self.transaction() as session:
            return document_for(session, taken)

    def report(
        self,
        taken: Claim,
        document: Document,
        host: str,
        *,
        failed: dict[uuid.UUID, str] | None = None,
        changed: list[uuid.UUID] | None = None,
    ) -> None:
        """Let a host report: what is not named was as wanted."""
        sent = document.sent[host]
        resources: dict[str, Any] = {
            str(id_): {"changed": False, "failed": True, "msg": text} for id_, text in (failed or {}).items()
        }
        done = {"changed": True, "failed": False, "msg": "done", "diff": DIFF}
        resources |= {str(id_): done for id_ in changed or ()}
        result = read(sent, resources, len(sent.items) - len(set(resources) & set(sent.items)))
        with self.transaction() as session:
            settle_report(session, run_of(taken), host, sent, result)
            settle_node(session, run_of(taken), sent.node_id)

    def fail(self, taken: Claim, host: str, message: str = "no report", again: bool = False) -> None:
        with self.transaction() as session:
            fail_host(session, run_of(taken), taken.nodes[host], message, again=again)

    def end(self, taken: Claim, reason: str = "") -> None:
        with self.transaction() as session:
            finish(session, taken, Ending(reason=reason))

    def run(self, shard: str) -> None:
        """One whole run in which everything succeeds."""
        taken = self.claim(shard)
        document = self.document(taken)
        for host in document.sent:
            self.report(taken, document, host)
        self.end(taken)

    def settle_all(self) -> None:
        """Run until nothing is queued."""
        for _ in range(10):
            queued = self.all(sa.select(Job.shard_id).where(Job.state == "queued"))
            if not queued:
                return
            for shard_id in queued:
                self.run(next(name for name, id_ in self.ids.items() if id_ == shard_id))
        raise AssertionError("jobs without end")


#: What a host tells of each change.
DIFF = [{"what": "/etc/some/file", "before": "", "after": "a line\n"}]


def run_of(taken: Claim) -> Run:
    return Run(taken.job_id, taken.shard_id, taken.full or taken.playbook == SITE)


NODES = {
    "web-a": ("web", {"web1": "10.0.0.11", "web2": "10.0.0.12"}),
    "lb-a": ("lb", {"lb1": "10.0.0.10"}),
    "dns-a": ("dns", {"dns1": "10.0.0.21", "dns2": "10.0.0.22"}),
}


def furnish(engine: Engine) -> None:
    """Make a platform: a cluster with web, lb and dns shards, a brand with a zone, a tenant, a webroot."""
    ids = engine.ids
    ids["region"] = engine.add("region", name="eu-1")
    ids["cluster"] = engine.add("cluster", name="eu-1a", region_id=ids["region"])
    for shard, (role, nodes) in NODES.items():
        ids[shard] = engine.add("shard", name=shard, role=role, cluster_id=ids["cluster"])
        for name, address in nodes.items():
            primary = {"is_primary": True} if name == "dns1" else {}
            ids[name] = engine.add("node", name=name, address=address, shard_id=ids[shard], **primary)
    engine.settle_all()
    ids["brand"] = engine.add(
        "brand",
        name="acme",
        base_domain="acme.example",
        hostmaster="hostmaster@acme.example",
        nameservers=["ns1.acme.example", "ns2.acme.example"],
    )
    ids["tenant"] = engine.add("tenant", brand_id=ids["brand"], shard_id=ids["web-a"])
    ids["webroot"] = engine.add("webroot", brand_id=ids["brand"], tenant_id=ids["tenant"])
    ids["zone"] = engine.add("zone", brand_id=ids["brand"], name="acme.example", shard_id=ids["dns-a"])
    engine.settle_all()
    assert engine.status("node", ids["web1"]) == ("active", "")
    assert engine.status("webroot", ids["webroot"]) == ("active", "")
    engine.published.clear()


@pytest.fixture(scope="session")
def prepare() -> Callable[[Any], Engine]:
    """Furnish the database once; every test begins with it."""

    def make(app: Any) -> Engine:
        state = app.extensions[EXTENSION]
        engine = Engine(state.settings, state.maker, app)
        furnish(engine)
        return engine

    return make


@pytest.fixture
def engine(prepared: Engine) -> Engine:
    """The furnished platform, on SQLite and on PostgreSQL."""
    prepared.published.clear()
    return prepared


@pytest.fixture
def fqdn(engine: Engine) -> Callable[[str], uuid.UUID]:
    """Make an FQDN of the platform's webroot."""
    return lambda name: engine.add("fqdn", brand_id=engine.ids["brand"], webroot_id=engine.ids["webroot"], fqdn=name)


#: What depends on the database; the other tests are run on one, as each takes seconds.
ON_BOTH = (
    "test_a_run_reports_and_inherits_no_secret",
    "test_what_comes_during_a_run_goes_with_the_next_one",
    "test_a_run_that_lost_its_lease_is_stopped",
)


@pytest.fixture
def work(engine: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Work]:
    Redis.from_url(engine.settings.redis_url).flushall()
    if engine.is_sqlite and request.node.originalname not in ON_BOTH:
        pytest.skip("the database makes no difference here")
    made = Work(engine, tmp_path, **getattr(request, "param", {}))
    made.start()
    yield made
    made.abandon()
