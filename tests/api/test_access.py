"""The access matrix: every route and verb, with every sort of key.

``OTHERS`` lists what is not derived from the kinds. A route that is in neither fails the test.
"""

from __future__ import annotations

import uuid

import pytest
from flask import g

from api.auth.keys import Actor
from api.core.kind import registry

PUBLIC = {"GET /healthz", "GET /readyz", "GET /openapi.json", "GET /docs", "GET /docs/<name>"}
#: route → scope, and whether it asks for a key of all brands
OTHERS = {
    "GET /api-keys": ("api_key:read", False),
    "POST /api-keys": ("api_key:write", False),
    "GET /api-keys/<uuid:id>": ("api_key:read", False),
    "DELETE /api-keys/<uuid:id>": ("api_key:delete", False),
    "GET /audit": ("audit:read", False),
    "GET /audit/head": ("audit:read", True),
    "GET /jobs/<uuid:id>/events/stream": ("job:read", True),
    "POST /jobs/<uuid:id>/cancel": ("job:cancel", True),
    "POST /jobs/<uuid:id>/relaunch": ("job:relaunch", True),
    "GET /audit/keys": ("audit:read", False),
    "GET /audit/export": ("audit:read", False),
    "GET /metrics": ("metrics:read", True),
    "GET /jobs": ("job:read", True),
    "GET /jobs/<uuid:id>": ("job:read", False),
    "GET /jobs/<uuid:id>/resources": ("job:read", False),
    "GET /jobs/<uuid:id>/events": ("job:read", True),
    "GET /jobs/<uuid:id>/output": ("job:read", True),
    "POST /shards/<uuid:id>/converge": ("shard:converge", True),
    "GET /inventory": ("inventory:read", True),
    "POST /templates/<uuid:id>/launch": ("template:launch", True),
    "POST /templates/<uuid:id>/copy": ("template:write", True),
    "POST /databases/<uuid:id>/move": ("database:move", True),
    "POST /valkey-instances/<uuid:id>/move": ("valkey_instance:move", True),
    "GET /moves": ("move:read", True),
    "GET /moves/<uuid:id>": ("move:read", True),
    "POST /moves/<uuid:id>/confirm": ("move:confirm", True),
    "POST /moves/<uuid:id>/retry": ("move:retry", True),
    "POST /ad-hoc": ("ad_hoc:launch", True),
    "GET /launches": ("job:read", True),
    "GET /launches/<uuid:id>": ("job:read", True),
    "GET /schedules/preview": ("schedule:read", True),
    "GET /schedules/<uuid:id>/preview": ("schedule:read", True),
    "GET /schedules/<uuid:id>/firings": ("schedule:read", True),
    "POST /workflows/<uuid:id>/launch": ("workflow:launch", True),
    "GET /workflow-runs": ("workflow:read", True),
    "GET /workflow-runs/<uuid:id>": ("workflow:read", True),
    "POST /workflow-runs/<uuid:id>/cancel": ("workflow:cancel", True),
    "POST /workflow-runs/<uuid:id>/resume": ("workflow:launch", True),
    "POST /workflow-runs/<uuid:id>/steps/<step>/approve": ("workflow:approve", True),
    "POST /workflow-runs/<uuid:id>/steps/<step>/deny": ("workflow:approve", True),
    "GET /inventories/<uuid:id>/script": ("inventory:read", True),
    "GET /notices": ("notice:read", False),
    "GET /notices/<uuid:id>": ("notice:read", False),
    "POST /notices/<uuid:id>/redeliver": ("notice:redeliver", False),
    "POST /callback-secret": ("callback_secret:write", False),
    "POST /shards/<uuid:id>/plan": ("plan:write", True),
    "POST /templates/<uuid:id>/plan": ("plan:write", True),
    "GET /plans": ("plan:read", True),
    "GET /plans/<uuid:id>": ("plan:read", True),
    "POST /plans/<uuid:id>/approve": ("plan:approve", True),
    "POST /plans/<uuid:id>/reject": ("plan:approve", True),
    "POST /plans/<uuid:id>/apply": ("plan:write", True),
    "GET /drift": ("drift:read", False),
    "GET /drift/<uuid:id>": ("drift:read", False),
    "POST /shards/<uuid:id>/check": ("shard:check", True),
    "GET /shards/<uuid:id>/health": ("shard:read", True),
    "POST /shards/<uuid:id>/switchover": ("shard:switchover", True),
    "POST /shards/<uuid:id>/failover": ("shard:failover", True),
    "POST /shards/<uuid:id>/rebuild": ("shard:rebuild", True),
    "GET /leases": ("lease:read", True),
    "POST /leases": ("lease:write", True),
    "POST /leases/<uuid:id>/renew": ("lease:write", True),
    "DELETE /leases/<uuid:id>": ("lease:write", True),
}


def matrix():
    found = dict(OTHERS)
    for kind in registry:
        item = f"/{kind.plural}/<uuid:id>"
        verbs = {f"GET /{kind.plural}": "read", f"POST /{kind.plural}": "write", f"GET {item}": "read"}
        verbs |= {f"GET {item}/history": "read"}
        verbs |= {f"PATCH {item}": "write", f"DELETE {item}": "delete"}
        verbs |= {f"POST {item}/{action}": action for action in kind.verbs}
        if kind.usage or kind.name == "tenant":
            verbs |= {f"GET {item}/usage": "read"}
        for route, action in verbs.items():
            found[route] = (f"{kind.name}:{action}", kind.platform and not (action == "read" and kind.name == "brand"))
    return found


def routes(app):
    return {f"{method} {rule.rule}" for rule in app.url_map.iter_rules() for method in rule.methods - {"HEAD"}}


def call(rest, route):
    method, path = route.split()
    path = path.replace("<uuid:id>", str(uuid.uuid4())).replace("<name>", "start.js")
    return rest.call(method, path, {} if method in ("POST", "PATCH") else None)


def test_every_route_is_in_the_matrix(app):
    assert routes(app) == matrix().keys() | PUBLIC


def test_without_a_key(world, app):
    """401 for everything but the public routes, whatever the method, and before anything else is looked at."""
    anonymous = world.rest["anonymous"]
    methods = ["GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE", "TRACE", "CONNECT", "FOO"]
    for rule in {route.split()[1] for route in routes(app)} | {"/nope", "/zones/1", "/docs/../x"}:
        for method in methods:
            answer = call(anonymous, f"{method} {rule}")
            if f"GET {rule}" in PUBLIC and method in ("GET", "HEAD"):
                assert answer.status_code == 200, (method, rule)
                continue
            # A public page under another method is told 405: there is nothing to protect.
            assert answer.status_code == 401, (method, rule, answer.status_code)
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    # Neither the body nor the query is looked at.
    assert anonymous.client.post("/zones?x=1", data=b"{", content_type="text/plain").status_code == 401


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer ", "Basic aHI6aHI=", "Bearer hr_aaaaaaaaaa_" + "a" * 43, "Bearer hr_' or 1=1 --",
     "Bearer \x00", "Token abc", "bearer hr_"],
)  # fmt: skip
def test_bad_keys(world, header):
    answer = world.rest["anonymous"].client.get("/zones", headers={"Authorization": header})
    assert answer.status_code == 401 and answer.json["error"]["code"] == "AUTHENTICATION_ERROR"


def test_line_breaks_in_headers_do_not_arrive(world):
    with pytest.raises(ValueError):
        world.admin.get("/zones", X="a\r\nAuthorization: Bearer x")


@pytest.mark.one_engine
def test_each_route_asks_for_its_scope(world):
    """A key without the scope is refused; a key with that scope alone is let through; nothing else opens the door."""
    expected = matrix()
    for scope in sorted({scope for scope, _ in expected.values()}):
        made = world.admin.post("/api-keys", {"name": scope.replace(":", " "), "scopes": [scope], "brands": ["*"]})
        rest = type(world.admin)(world.app, made.json["secret"])
        for route, (needed, _) in expected.items():
            status = call(rest, route).status_code
            assert (status == 403) is (needed != scope), (scope, route, status)


def test_platform_routes_ask_for_all_brands(world):
    for route, (_, every_brand) in matrix().items():
        status = call(world.rest["acme"], route).status_code
        assert (status == 403) is every_brand, (route, status)


def test_a_view_without_a_rule_cannot_answer(app):
    """A view that forgot to state its scope answers 500, never data."""
    with app.test_request_context("/zones"):
        g.actor = Actor(uuid.uuid4(), "x", frozenset(), None)
        g.trace_id, g.started = "t", 0.0
        with pytest.raises(RuntimeError, match="without an authorisation"):
            app.process_response(app.make_response("secret"))


def test_scopes_in_the_description_are_the_truth(world):
    paths = world.rest["anonymous"].get("/openapi.json").json["paths"]
    for route, (scope, _) in matrix().items():
        method, path = route.split()
        if path == "/metrics":
            continue
        operation = paths[path.replace("<uuid:id>", "{id}").replace("<step>", "{step}")][method.lower()]
        assert operation["x-scope"] == scope, route
