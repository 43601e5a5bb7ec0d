"""API keys: shown once, stored hashed, never more than the one that made them."""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from api.auth import keys
from api.auth.models import ApiKey
from api.auth.scopes import every, expand
from api.cli import main
from api.core.audit import Audit
from api.core.idempotency import Idempotency
from tests.api.conftest import Rest


@pytest.fixture(autouse=True)
def fresh(app):
    """No key of another test is remembered."""
    app.extensions["keyring"].forget()


def issue(rest, **body):
    return rest.post("/api-keys", {"name": "portal", "scopes": ["*"], "brands": ["*"], **body})


def test_life_of_a_key(world):
    made = world.admin.post(
        "/api-keys", {"name": "portal", "scopes": ["zone:*", "*:read"], "brands": ["*"]}, Idempotency_Key="k"
    )
    assert made.status_code == 202
    secret, row = made.json["secret"], made.json["resource"]
    assert keys.KEY.fullmatch(secret) and "hash" not in row and secret not in str(row)
    assert "zone:write" in row["scopes"] and "tenant:read" in row["scopes"] and "tenant:write" not in row["scopes"]
    # A replay does not show it again.
    again = world.admin.post(
        "/api-keys", {"name": "portal", "scopes": ["zone:*", "*:read"], "brands": ["*"]}, Idempotency_Key="k"
    )
    assert again.json == {**made.json, "secret": None}
    rest = Rest(world.app, secret)
    assert rest.get("/zones").status_code == 200 and rest.post("/tenants", {}).status_code == 403
    with world.session() as session:
        stored = session.get(ApiKey, uuid.UUID(row["id"]))
        assert stored.last_used_at is not None and len(stored.hash) == 64
        half = secret[-43:]
        for table in (ApiKey, Audit, Idempotency):
            assert not any(half in str(found) for found in session.execute(sa.select(table.__table__)))
    gone = world.admin.delete(f"/api-keys/{row['id']}")
    assert gone.status_code == 202 and gone.json["resource"]["revoked_at"]
    assert rest.get("/zones").status_code == 401
    assert secret not in world.admin.get("/api-keys?limit=200").text


def test_revocation_elsewhere_is_noticed_in_time(world, monkeypatch):
    secret = issue(world.admin).json["secret"]
    rest = Rest(world.app, secret)
    assert rest.get("/zones").status_code == 200
    with world.session() as session, session.begin():
        session.execute(sa.update(ApiKey).where(ApiKey.name == "portal").values(revoked_at=datetime.now(UTC)))
    assert rest.get("/zones").status_code == 200
    later = time.monotonic() + keys.CACHE_SECONDS
    monkeypatch.setattr(keys.time, "monotonic", lambda: later)
    assert rest.get("/zones").status_code == 401


def test_expiry(world, monkeypatch):
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    rest = Rest(world.app, issue(world.admin, expires_at=soon).json["secret"])
    assert rest.get("/zones").status_code == 200
    refused = issue(rest)
    assert refused.status_code == 422 and list(refused.json["error"]["details"]["json"]) == ["expires_at"]
    # Also from the cache.
    monkeypatch.setattr(keys, "now", lambda: datetime.now(UTC) + timedelta(hours=2))
    assert rest.get("/zones").status_code == 401
    past = issue(world.admin, expires_at="2020-01-01T00:00:00Z")
    assert past.status_code == 422 and list(past.json["error"]["details"]["json"]) == ["expires_at"]


def test_a_key_grants_no_more_than_it_has(world):
    limited = Rest(
        world.app, issue(world.rest["acme"], scopes=["api_key:*", "zone:read"], brands=[world["acme"]]).json["secret"]
    )
    mine = [world["acme"]]
    assert issue(limited, scopes=["zone:write"], brands=mine).status_code == 403
    assert issue(limited, scopes=["zone:read"]).status_code == 403
    assert issue(limited, scopes=["zone:read"], brands=[world["other"]]).status_code == 404
    assert issue(limited, scopes=["*"], brands=mine).json["resource"]["scopes"] == [
        "api_key:delete", "api_key:read", "api_key:write", "zone:read"
    ]  # fmt: skip
    # It sees itself and what it made, and nothing else exists for it.
    assert len(limited.get("/api-keys").json["items"]) == 2
    admin = world.admin.get("/api-keys?limit=200").json["items"][-1]
    assert limited.get(f"/api-keys/{admin['id']}").status_code == 404
    assert limited.delete(f"/api-keys/{admin['id']}").status_code == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", ""), ("name", "a\nb"), ("name", 1), ("scopes", []), ("scopes", ["nope"]), ("scopes", "*"),
     ("scopes", ["zone:[a-z]*"]), ("scopes", ["zone:fly"]), ("brands", []), ("brands", ["x"]), ("brands", ["*", "x"]),
     ("expires_at", "tomorrow"), ("expires_at", "2030-01-01T00:00:00"), ("nope", 1)],
)  # fmt: skip
def test_bad_requests(world, field, value):
    refused = issue(world.admin, **{field: value})
    assert refused.status_code == 422 and field in refused.json["error"]["details"]["json"]


def test_expand():
    assert expand(["*"]) == every() and "metrics:read" in every() and "tenant:suspend" in every()
    assert expand(["tenant:suspend"]) == ["tenant:suspend"]
    assert expand(["fqdn:*"]) == ["fqdn:delete", "fqdn:read", "fqdn:retry", "fqdn:write"]
    with pytest.raises(ValueError):
        expand(["tenants:*"])


def test_the_key_of_another_prefix_does_not_fit(world):
    one, two = (issue(world.admin).json["secret"] for _ in range(2))
    mixed = one[:-43] + two[-43:]
    assert Rest(world.app, mixed).get("/zones").status_code == 401


def test_command_line(world, settings, monkeypatch):
    monkeypatch.setenv("HOSTREEVE_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("HOSTREEVE_SECRET_KEY", settings.secret_key)
    run = CliRunner().invoke
    made = run(main, ["keys", "create", "--name", "ops", "--scopes", "zone:*,*:read", "--brands", "*", "--days", "3"])
    assert made.exit_code == 0, made.output
    rest = Rest(world.app, made.output.strip())
    assert rest.get("/zones").status_code == 200
    assert run(main, ["keys", "create", "--name", "x", "--scopes", "nope", "--brands", "*"]).exit_code == 1
    line = next(line for line in run(main, ["keys", "list"]).output.splitlines() if line.endswith("ops"))
    assert "valid" in line
    assert run(main, ["keys", "revoke", line.split()[0]]).exit_code == 0
    world.app.extensions["keyring"].forget()
    assert rest.get("/zones").status_code == 401
    assert run(main, ["keys", "revoke", str(uuid.uuid4())]).exit_code == 1
    assert run(main, ["db", "upgrade"]).exit_code == 0
    assert len(run(main, ["secret-key"]).output.strip()) == 44
    assert '"openapi"' in run(main, ["openapi"]).output
