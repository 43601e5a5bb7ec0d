"""Lists are served by an index in their order, for all brands and for one: no sort, no walk through the table."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa

from api.core.kind import registry
from api.core.state import EXTENSION

ROWS = 3000


@pytest.fixture
def statements(world):
    """What is asked of the database for reading, as (statement, parameters)."""
    engine, found = world.app.extensions[EXTENSION].reader, []

    def remember(_connection, _cursor, statement, parameters, _context, _many):
        # The key is looked up now and then; that is not the list's doing.
        if "FROM api_key" not in statement:
            found.append((statement, parameters))

    sa.event.listen(engine, "before_cursor_execute", remember)
    yield found
    sa.event.remove(engine, "before_cursor_execute", remember)


@pytest.fixture
def plans(world, statements):
    """Fill the table of FQDNs; return a function that gives the plan of the list behind a path."""
    fqdn = registry["fqdn"].model
    with world.session() as session, session.begin():
        for brand in ("acme", "other"):
            rows = [
                {
                    "brand_id": uuid.UUID(world[brand]),
                    "webroot_id": uuid.UUID(world[f"{brand}-webroot"]),
                    "fqdn": f"n{n}.{brand}.test",
                    "status": "failed" if n % 500 == 0 else "active",
                }
                for n in range(ROWS)
            ]
            session.execute(sa.insert(fqdn), rows)
        session.execute(sa.text("analyze"))
    engine = world.app.extensions[EXTENSION].reader

    def plan(rest, path):
        statements.clear()
        answer = rest.get(path)
        assert answer.status_code == 200 and answer.json["items"], answer.text
        # One statement, whatever the list: no count, no query per row.
        ((statement, parameters),) = statements
        explain = "explain " if engine.dialect.name == "postgresql" else "explain query plan "
        with engine.connect() as connection:
            return "\n".join(str(row) for row in connection.exec_driver_sql(explain + statement, parameters).all())

    return plan


#: A whole brand comes in the order of an index; a handful of rows may be sorted once they are found.
LARGE = ["", "sort=-created_at", "sort=fqdn", "sort=-fqdn", "search=n", "search=n&sort=-fqdn"]
SMALL = ["search=n29", "search=n2999&sort=-fqdn", "status=failed"]


def test_lists_walk_an_index(world, plans):
    for rest in (world.admin, world.rest["acme"]):
        for query in LARGE + SMALL:
            cursor = rest.get(f"/fqdns?limit=2&{query}").json["next_cursor"]
            for page in ("", f"limit=2&cursor={cursor}&" if cursor else ""):
                plan = plans(rest, f"/fqdns?{page}{query}")
                assert "Seq Scan" not in plan and "SCAN fqdn'" not in plan, (query, plan)
                if query in LARGE:
                    assert "Sort" not in plan and "TEMP B-TREE" not in plan, (query, plan)
    plan = plans(world.admin, f"/fqdns?webroot_id={world['acme-webroot']}")
    assert "Seq Scan" not in plan and "Sort" not in plan and "TEMP B-TREE" not in plan, plan


def test_one_statement_per_read(world, statements):
    for _ in range(3):
        assert world.admin.get(f"/fqdns/{world['acme-fqdn']}").status_code == 200
    assert len(statements) == 3
