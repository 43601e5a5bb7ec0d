"""Every kind, through the same tests: a new kind brings sample data and nothing else."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa

from api.core.audit import Audit
from api.core.kind import registry
from api.core.routes import orders_of
from api.core.schema import columns_of, create_schema, is_read_only
from tests.api.samples import SAMPLES, deletion

KINDS = list(registry)
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
owned = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.name != "brand"], ids=lambda kind: kind.name)


def make(world, kind, n=1):
    response = world.admin.post(f"/{kind.plural}", SAMPLES[kind.name].body(world, n))
    assert response.status_code == 202, response.text
    return response.json


def entries(world, id_):
    with world.session() as session:
        return session.scalars(sa.select(Audit).where(Audit.resource_id == uuid.UUID(id_)).order_by(Audit.at)).all()


@every_kind
def test_life(world, kind):
    sample = SAMPLES[kind.name]
    answer = make(world, kind)
    row = answer["resource"]
    path = f"/{kind.plural}/{row['id']}"
    secret = {column.key for column in columns_of(kind.model) if column.info.get("secret")}
    for name, value in sample.body(world, 1).items():
        assert name in secret or row[name] == value
    assert row["generation"] == 1
    assert row["status"] == ("pending" if sample.delivered else "active")
    assert bool(answer["jobs"]) is (sample.delivered or sample.queues)
    assert all(job.keys() == {"id", "state", "shard_id"} and job["state"] == "queued" for job in answer["jobs"])

    read = world.admin.get(path)
    assert read.status_code == 200 and read.json == row
    assert read.headers["ETag"] == f'"{row["revision"]}"'
    assert row in world.admin.get(f"/{kind.plural}?limit=200").json["items"]

    if kind.confirm:
        for query in ("", "?confirm=", "?confirm=nope"):
            refused = world.admin.delete(path + query)
            assert refused.status_code == 422 and refused.json["error"]["details"]["query"]["confirm"]
    gone = world.admin.delete(deletion(kind, row))
    assert gone.status_code == 202, gone.text
    assert gone.json["resource"]["status"] == ("deleting" if sample.delivered else "deleted")
    if not sample.delivered:
        assert world.admin.get(path).status_code == 404
    actions = [entry.action for entry in entries(world, row["id"])]
    assert actions == ["create", "delete"]


@every_kind
def test_change(world, kind):
    change = SAMPLES[kind.name].change
    row = make(world, kind)["resource"]
    path = f"/{kind.plural}/{row['id']}"
    same = world.admin.patch(path, {})
    assert same.status_code == 202 and same.json == {"resource": row, "jobs": []}
    if not change:
        return
    changed = world.admin.patch(path, change).json["resource"]
    secret = {column.key for column in kind.model.__table__.c if column.info.get("secret")}
    assert all(changed[name] == value for name, value in change.items() if name not in secret)
    assert changed["generation"] == 2
    again = world.admin.patch(path, change)
    assert again.json["jobs"] == [] and again.json["resource"]["generation"] == 2
    entry = entries(world, row["id"])[2]
    assert entry.action == "update" and entry.after.keys() >= change.keys()


@every_kind
def test_closed_fields(world, kind):
    row = make(world, kind)["resource"]
    columns = list(columns_of(kind.model))
    closed = [column for column in columns if is_read_only(column)]
    for column in closed:
        body = {**SAMPLES[kind.name].body(world, 2), column.key: row[column.key]}
        refused = world.admin.post(f"/{kind.plural}", body)
        assert refused.status_code == 422 and refused.json["error"]["details"]["json"] == {column.key: ["is read-only"]}
    for name in kind.derived:
        for method, path, body in (
            ("POST", f"/{kind.plural}", SAMPLES[kind.name].body(world, 2)),
            ("PATCH", f"/{kind.plural}/{row['id']}", {}),
        ):
            refused = world.admin.call(method, path, {**body, name: row[name]})
            assert refused.status_code == 422 and refused.json["error"]["details"]["json"] == {name: ["is read-only"]}
    for column in [*closed, *(column for column in columns if column.info.get("once"))]:
        refused = world.admin.patch(f"/{kind.plural}/{row['id']}", {column.key: row[column.key]})
        assert refused.status_code == 422 and column.key in refused.json["error"]["details"]["json"]


@every_kind
def test_wrong_values(world, kind):
    """Every field of every kind refuses what is not of its type or grammar, by name, and nothing is written."""
    sample = SAMPLES[kind.name]
    before = world.admin.get(f"/{kind.plural}?limit=200").json
    fields = create_schema(kind)().fields
    for name, field in fields.items():
        types = [{"a": {}}, [[]], 1.5, "\0", "\ud800"]
        types += [True] if field.__class__.__name__ != "Bool" else ["true", 1]
        types += ["1", 2**40, -(2**40)] if field.__class__.__name__ == "Int" else [1]
        types += [] if field.allow_none else [None]
        types = types[1:] if name in sample.free else types
        for value in [*types, *sample.wrong.get(name, ())]:
            refused = world.admin.post(f"/{kind.plural}", {**sample.body(world, 3), name: value})
            assert refused.status_code == 422, (name, value, refused.text)
            assert name in refused.json["error"]["details"]["json"], (name, value)
    unknown = world.admin.post(f"/{kind.plural}", {**sample.body(world, 3), "nope": 1})
    assert unknown.json["error"]["details"]["json"] == {"nope": ["Unknown field."]}
    for name, field in fields.items():
        body = sample.body(world, 3)
        if field.required:
            del body[name]
            missing = world.admin.post(f"/{kind.plural}", body)
            assert missing.status_code == 422 and name in missing.json["error"]["details"]["json"]
    assert world.admin.get(f"/{kind.plural}?limit=200").json == before


@every_kind
def test_paging(world, kind):
    for n in range(1, 8):
        make(world, kind, n)
    everything = world.admin.get(f"/{kind.plural}?limit=200").json["items"]
    assert len(everything) >= 7
    for name, order in orders_of(kind).items():
        found, cursor = [], ""
        while cursor is not None:
            answer = world.admin.get(f"/{kind.plural}?limit=3&sort={name}" + (f"&cursor={cursor}" if cursor else ""))
            assert answer.status_code == 200, answer.text
            found += answer.json["items"]
            cursor = answer.json["next_cursor"]
            assert answer.json["has_more"] is (cursor is not None)
            assert len(answer.json["items"]) <= 3
        assert sorted(row["id"] for row in found) == sorted(row["id"] for row in everything)
        keys = [row[order.columns[0].key] for row in found]
        assert keys == sorted(keys, reverse=order.descending)


@every_kind
def test_list_parameters(world, kind):
    row = make(world, kind)["resource"]
    title = row[kind.title]
    found = world.admin.get(f"/{kind.plural}?search={title[:-1]}").json["items"]
    assert row in found and all(item[kind.title].startswith(title[:-1]) for item in found)
    assert world.admin.get(f"/{kind.plural}?search=zzzz-nothing").json["items"] == []
    for name in (name for name in kind.filters if row[name] is not None):
        items = world.admin.get(f"/{kind.plural}?limit=200&{name}={row[name]}").json["items"]
        assert row in items and all(item[name] == row[name] for item in items)
    bad = ["nope=1", "limit=0", "limit=201", "limit=1.0", "limit=a", "sort=nope", "sort=uid", "search=", "search=%00",
           "status=nope", "limit=1&limit=x", "offset=5", "page=2"]  # fmt: skip
    for query in bad:
        refused = world.admin.get(f"/{kind.plural}?{query}")
        if query == "limit=1&limit=x":
            assert refused.status_code == 200
            continue
        assert refused.status_code == 422, query
        assert query.split("=")[0] in refused.json["error"]["details"]["query"]
    cursor = world.admin.get(f"/{kind.plural}?limit=1").json["next_cursor"] or "e30"
    for query in (
        f"cursor={cursor}x",
        "cursor=%F0%9F",
        "cursor=W10",
        "cursor=e30",
        f"cursor={cursor}&sort=-created_at",
    ):
        assert world.admin.get(f"/{kind.plural}?{query}").status_code == 400, query
    for path in (f"/{kind.plural}/{row['id']}?x=1",):
        assert world.admin.get(path).status_code == 422


@every_kind
def test_access(world, kind):
    row = make(world, kind)["resource"]
    path, body = f"/{kind.plural}/{row['id']}", SAMPLES[kind.name].body(world, 2)
    verbs = [("GET", f"/{kind.plural}", None), ("POST", f"/{kind.plural}", body), ("GET", path, None)]
    verbs += [("PATCH", path, {}), ("DELETE", deletion(kind, row), None)]
    verbs += [("POST", f"{path}/{verb}", None) for verb in kind.verbs]
    for method, where, json in verbs:
        anonymous = world.rest["anonymous"].call(method, where, json)
        assert anonymous.status_code == 401 and anonymous.json["error"]["code"] == "AUTHENTICATION_ERROR"
        nothing = world.rest["nothing"].call(method, where, json)
        assert nothing.status_code == 403 and nothing.json["error"]["details"]["scope"].startswith(f"{kind.name}:")
        stranger = world.rest["other"].call(method, where, json)
        listing = where == f"/{kind.plural}" and method == "GET"
        if kind.needs_every_brand("read") or (kind.platform and method != "GET"):
            assert stranger.status_code == 403, (method, where, stranger.text)
        elif listing:
            assert stranger.status_code == 200 and row["id"] not in [item["id"] for item in stranger.json["items"]]
        else:
            assert stranger.status_code == 404, (method, where, stranger.text)
            if where == path:
                absent = world.rest["other"].call(method, f"/{kind.plural}/{uuid.uuid4()}", json)
                assert absent.json["error"] | {"trace_id": ""} == stranger.json["error"] | {"trace_id": ""}
    assert world.admin.get(path).json == row


@every_kind
def test_parents(world, kind):
    """A parent that is absent or somebody else's is 404 and names the field."""
    for column in columns_of(kind.model):
        if is_read_only(column) or not column.foreign_keys:
            continue
        body = SAMPLES[kind.name].body(world, 4)
        absent = world.admin.post(f"/{kind.plural}", {**body, column.key: str(uuid.uuid4())})
        assert absent.status_code == 404 and list(absent.json["error"]["details"]["json"]) == [column.key]
        if column.key == kind.parent and not kind.platform:
            foreign = world.rest["other"].post(f"/{kind.plural}", body)
            assert foreign.status_code == 404 and list(foreign.json["error"]["details"]["json"]) == [column.key]


@every_kind
def test_duplicate(world, kind):
    body = SAMPLES[kind.name].body(world, 1)
    if kind.title not in body:
        return
    make(world, kind)
    twice = world.admin.post(f"/{kind.plural}", body)
    assert twice.status_code == 409, twice.text
    assert twice.json["error"]["code"] == "CONFLICT" and twice.json["error"]["details"]["json"]


@every_kind
def test_if_match(world, kind):
    row = make(world, kind)["resource"]
    path, tag = f"/{kind.plural}/{row['id']}", f'"{row["revision"]}"'
    for method in ("PATCH", "DELETE"):
        body = {} if method == "PATCH" else None
        where = path if method == "PATCH" else deletion(kind, row)
        stale = world.admin.call(method, where, body, If_Match='"0"')
        assert stale.status_code == 412 and stale.json["error"]["code"] == "PRECONDITION_FAILED"
        assert world.admin.call(method, where, body, If_Match=tag).status_code == 202


@every_kind
def test_idempotency(world, kind):
    body, key = SAMPLES[kind.name].body(world, 1), f"key-{kind.name}"
    first = world.admin.post(f"/{kind.plural}", body, Idempotency_Key=key)
    again = world.admin.post(f"/{kind.plural}", body, Idempotency_Key=key)
    once = {"secret": None} if kind.generated else {}
    assert first.status_code == again.status_code == 202 and again.json == {**first.json, **once}
    assert again.headers["Idempotency-Replayed"] == "true"
    id_ = first.json["resource"]["id"]
    assert len(entries(world, id_)) == 1
    other = world.admin.post(f"/{kind.plural}", SAMPLES[kind.name].body(world, 2), Idempotency_Key=key)
    assert other.status_code == 422 and other.json["error"]["code"] == "IDEMPOTENCY_MISMATCH"
    path = deletion(kind, first.json["resource"])
    gone = [world.admin.delete(path, Idempotency_Key=key + "-d") for _ in range(2)]
    assert gone[0].json == gone[1].json and len(entries(world, id_)) == 2


@every_kind
def test_secrets_stay(world, kind):
    """A secret is in no answer, audit row or stored answer, and not in the database in plain text."""
    secret = {column.key for column in columns_of(kind.model) if column.info.get("secret")}
    change = {name: value for name, value in SAMPLES[kind.name].change.items() if name in secret}
    if not secret:
        return
    assert change, "the sample changes no secret"
    row = make(world, kind)["resource"]
    answer = world.admin.patch(f"/{kind.plural}/{row['id']}", change, Idempotency_Key="s")
    assert answer.status_code == 202 and not secret & answer.json["resource"].keys()
    entry = entries(world, row["id"])[-1]
    assert {entry.before[name] for name in secret} == {entry.after[name] for name in secret} == {"***"}
    with world.session() as session:
        for table in (kind.model.__table__, Audit.__table__, sa.table("idempotency", sa.column("body"))):
            # The text as it is stored: the column types would decrypt it.
            for stored in session.execute(sa.text(f"select * from {table.name}")).all():
                assert not any(value in str(stored) for value in change.values())
        loaded = session.get(kind.model, uuid.UUID(row["id"]))
        assert {name: getattr(loaded, name) for name in change} == change


@every_kind
def test_secrets_are_shown_once(world, kind):
    """What the platform makes up stands in the answer that made it; what the caller gave is not repeated."""
    if not kind.generated:
        return
    answer = make(world, kind)
    path = f"/{kind.plural}/{answer['resource']['id']}"
    rotated = world.admin.post(f"{path}/rotate", Idempotency_Key="rotate")
    assert rotated.status_code == 202, rotated.text
    assert rotated.json["resource"]["generation"] == 2
    shown = [answer["secret"], rotated.json["secret"]]
    assert len(set(shown)) == 2 and all(len(secret) >= 32 for secret in shown)
    assert world.admin.post(f"{path}/rotate", Idempotency_Key="rotate").json["secret"] is None
    given = {kind.generated: SAMPLES[kind.name].change[kind.generated]}
    other = world.admin.post(f"/{kind.plural}", {**SAMPLES[kind.name].body(world, 2), **given})
    assert other.status_code == 202 and "secret" not in other.json
    texts = [world.admin.get(where).text for where in (path, f"/{kind.plural}", "/audit")]
    with world.session() as session:
        for table in (kind.model.__table__, Audit.__table__, sa.table("idempotency")):
            texts.append(str(session.execute(sa.text(f"select * from {table.name}")).all()))
        assert getattr(session.get(kind.model, uuid.UUID(answer["resource"]["id"])), kind.generated) == shown[1]
    assert not any(secret in text for secret in [*shown, *given.values()] for text in texts)


@owned
def test_children_keep_their_parent(world, kind):
    """What others still need is not deleted, and the answer names the others."""
    parents = {"region": "region", "cluster": "cluster", "web": "shard", "acme": "brand", "acme-tenant": "tenant"}
    for name, parent in {**parents, "acme-webroot": "webroot"}.items():
        if parent != kind.name:
            continue
        refused = world.admin.delete(f"/{kind.plural}/{world[name]}")
        assert refused.status_code == 409 and refused.json["error"]["details"]["has"]


def test_every_kind_has_a_sample():
    assert SAMPLES.keys() == {kind.name for kind in KINDS}
