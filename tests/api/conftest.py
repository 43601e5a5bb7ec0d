"""A small platform with two brands, and a client that speaks REST to the application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from api.auth.keys import issue
from api.core.state import EXTENSION


class Rest:
    """REST with a key: ``rest.post("/zones", {...})`` returns werkzeug's test response."""

    def __init__(self, app: Any, key: str | None) -> None:
        self.client = app.test_client()
        self.headers = {"Authorization": f"Bearer {key}"} if key else {}

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        kwargs: dict[str, Any] = {} if body is None else {"json": body}
        return self.client.open(path, method=method, headers={**self.headers, **extra}, **kwargs)

    def get(self, path: str, **headers: str) -> Any:
        return self.call("GET", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("POST", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("PATCH", path, body, **headers)

    def delete(self, path: str, **headers: str) -> Any:
        return self.call("DELETE", path, **headers)

    def make(self, plural: str, **fields: Any) -> dict[str, Any]:
        """Create a resource and return it."""
        response = self.post(f"/{plural}", fields)
        assert response.status_code == 202, response.text
        resource: dict[str, Any] = response.json["resource"]
        return resource


@dataclass
class World:
    """The platform: clients by key, resources by name."""

    app: Any
    rest: dict[str, Rest]
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> str:
        """Return a resource's id."""
        return str(self.rows[name]["id"])

    @property
    def admin(self) -> Rest:
        """The client with every scope and every brand."""
        return self.rest["admin"]

    def session(self) -> Any:
        """Return a database session."""
        return self.app.extensions[EXTENSION].maker()


#: The nodes of the platform's shards, by role.
SHARDS = {"web": ["web1", "web2"], "lb": ["lb1"], "dns": ["dns1", "dns2"], "db": ["db1", "db2"], "valkey": ["kv1"]}


def build(app: Any) -> World:
    """Make two brands with a tenant, webroot, FQDN and zone each, on one cluster."""
    rest = {}
    keys = [("admin", ["*"], ["*"]), ("nothing", ["metrics:read"], ["*"]), ("anonymous", None, None)]
    for name, scopes, brands in keys:
        rest[name] = Rest(app, _key(app, name, scopes, brands) if scopes else None)
    world = World(app, rest)
    admin, rows = world.admin, world.rows
    rows["region"] = admin.make("regions", name="eu-1")
    rows["cluster"] = admin.make("clusters", name="eu-1a", region_id=world["region"])
    rows["lb-address"] = admin.make("lb-addresses", address="192.0.2.1", cluster_id=world["cluster"])
    number = 10
    for role, nodes in SHARDS.items():
        rows[role] = admin.make("shards", name=f"{role}-a", role=role, cluster_id=world["cluster"])
        for name in nodes:
            number += 1
            primary = {"is_primary": True} if name == "dns1" else {}
            rows[name] = admin.make("nodes", name=name, address=f"10.0.0.{number}", shard_id=world[role], **primary)
    for brand in ("acme", "other"):
        rows[brand] = admin.make(
            "brands",
            name=brand,
            base_domain=f"{brand}.example",
            hostmaster=f"hostmaster@{brand}.example",
            nameservers=[f"ns1.{brand}.example", f"ns2.{brand}.example"],
        )
        rest[brand] = Rest(app, _key(app, brand, ["*"], [world[brand]]))
        rows[f"{brand}-zone"] = rest[brand].make("zones", name=f"{brand}.example", brand_id=world[brand])
        rows[f"{brand}-tenant"] = rest[brand].make("tenants", brand_id=world[brand])
        rows[f"{brand}-webroot"] = rest[brand].make("webroots", tenant_id=world[f"{brand}-tenant"])
        rows[f"{brand}-fqdn"] = rest[brand].make(
            "fqdns", fqdn=f"www.{brand}.example", webroot_id=world[f"{brand}-webroot"]
        )
        rows[f"{brand}-database"] = rest[brand].make("databases", tenant_id=world[f"{brand}-tenant"])
        rows[f"{brand}-record"] = rest[brand].make(
            "records", zone_id=world[f"{brand}-zone"], name="mail", type="A", content="192.0.2.9"
        )
        # A tenant of its own: what changes in the other one concerns the web shard alone.
        rows[f"{brand}-cached"] = rest[brand].make("tenants", brand_id=world[brand])
        rows[f"{brand}-valkey"] = rest[brand].make("valkey-instances", tenant_id=world[f"{brand}-cached"])
    question = {"variable": "password", "question": "Secret?", "type": "password", "required": False}
    rows["template"] = admin.make("templates", name="Everything", playbook="site.yml", survey=[question])
    return world


def _key(app: Any, name: str, scopes: list[str] | None, brands: list[str] | None) -> str:
    with app.extensions[EXTENSION].maker.begin() as session:
        return issue(session, name, scopes or [], brands or [])[1]


@pytest.fixture(scope="session")
def prepare() -> Callable[[Any], Any]:
    return build


@pytest.fixture
def world(prepared: World) -> World:
    """The platform, as new."""
    return prepared
