"""What databases cost: a thousand of them with a user each onto one server, and again, unchanged."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from typing import Any

from tests.bench import fleet
from tests.bench.table import Row, at_least, at_most, seconds

DATABASES = 1000
IN_LOOPS = 50
ROUNDS = 3
CONVERGE = "playbooks/converge.yml"
#: The distribution on PyPI that holds the collection of the rival.
RIVAL = "ansible==12.3.0"
HASH = "*" + hashlib.sha1(hashlib.sha1(b"bench bench bench").digest()).hexdigest().upper()


def names(count: int) -> list[str]:
    """Return names of databases."""
    return [f"db_{one:010d}" for one in range(count)]


def lists(count: int) -> dict[str, Any]:
    """Return the variables of a server with so many databases and users."""
    return {
        "db_databases": [{"name": name} for name in names(count)],
        "db_users": [{"name": f"{name}_app", "password_hash": HASH} for name in names(count)],
        "db_purge": True,
    }


def statements(count: int) -> str:
    """Return the SQL that makes the same."""
    return "".join(
        f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci COMMENT 'Managed by Hostreeve';\n"
        f"CREATE USER '{name}_app'@'%' IDENTIFIED VIA mysql_native_password USING '{HASH}' ACCOUNT UNLOCK;\n"
        f"GRANT ALL PRIVILEGES ON `{name.replace('_', chr(92) + '_')}`.* TO '{name}_app'@'%';\n"
        for name in names(count)
    )


def converge(name: str, variables: dict[str, Any]) -> fleet.Run:
    """Run the converge half."""
    return fleet.play("-i", fleet.inventory(name, {"db1": variables}), CONVERGE)


def clear(count: int) -> None:
    """Drop all of it, without last dumps."""
    drops = (f"DROP DATABASE `{name}`;\nDROP USER '{name}_app'@'%';\n" for name in names(count))
    fleet.python("db1", "plain_sql.py", "".join(drops))


def expect(count: int) -> None:
    """Stop the bench unless so many databases and users with a right are there."""
    queries = (
        "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'db\\_%'",
        "SELECT COUNT(*) FROM mysql.db JOIN mysql.global_priv USING (User, Host) "
        "WHERE Alter_priv = 'Y' AND Db REGEXP '^db'",
    )
    found = fleet.ssh("db1", "mariadb", "-N", stdin=";\n".join(queries) + ";\n").split()
    if found != [str(count)] * 2:
        raise SystemExit(f"db1 has {found} databases and users instead of {count}")


def rival() -> tuple[float, float]:
    """Return the seconds of 50 databases and users by community.mysql in loops, first and unchanged."""
    held = fleet.WORK / "rival"
    if not (held / "ansible_collections" / "community" / "mysql").is_dir():
        fetch = ["pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", str(held), RIVAL]
        subprocess.run([sys.executable, "-m", *fetch], check=True)
        for wheel in held.glob("ansible-*.whl"):
            with zipfile.ZipFile(wheel) as packed:
                own = [one for one in packed.namelist() if one.startswith("ansible_collections/community/mysql/")]
                packed.extractall(held, own)
            wheel.unlink()
    path = fleet.inventory("loops", {"db1": {"databases": names(IN_LOOPS), "password_hash": HASH}})
    env = {"ANSIBLE_COLLECTIONS_PATH": f"{fleet.ROOT / 'collections'}:{held}"}
    runs = [fleet.play("-i", path, str(fleet.HERE / "playbooks" / "mysql_loops.yml"), **env) for _ in range(2)]
    assert runs[0].counts["changed"] and not runs[1].counts["changed"], "the loops are not idempotent"
    expect(IN_LOOPS)
    clear(IN_LOOPS)
    return runs[0].seconds, runs[1].seconds


def first() -> tuple[float, float]:
    """Return the median seconds of the converge half and of the SQL itself, onto an empty server, in turn."""
    ours, plain = [], []
    for _ in range(ROUNDS):
        run = converge("databases", lists(DATABASES))
        assert run.counts["changed"] == 1
        ours.append(run.seconds)
        expect(DATABASES)
        clear(DATABASES)
        plain.append(fleet.python("db1", "plain_sql.py", statements(DATABASES)))
        expect(DATABASES)
        clear(DATABASES)
    return sorted(ours)[ROUNDS // 2], sorted(plain)[ROUNDS // 2]


def unchanged() -> float:
    """Return the median seconds of a converge that finds everything as it should be."""

    def once() -> float:
        run = converge("databases", lists(DATABASES))
        assert run.counts["changed"] == 0, "the converge is not idempotent"
        return run.seconds

    converge("databases", lists(DATABASES))
    return fleet.median(once, ROUNDS)


def usage() -> float:
    """Return the median seconds of a look at what all databases use."""
    path = fleet.inventory("databases", {"db1": {"usage_show": False}})
    return fleet.median(lambda: fleet.play("-i", path, "playbooks/usage.yml").seconds, ROUNDS)


def rows() -> list[Row]:
    """Measure, and return the rows."""
    fleet.say("playbooks/site.yml makes db1")
    fleet.play("-i", fleet.inventory("prepare-db", {"db1": {}}), "playbooks/site.yml")
    ping = fleet.ping("db1")
    fleet.say(f"{IN_LOOPS} databases with community.mysql in loops")
    stock, stock_again = rival()
    fleet.say(f"{DATABASES} databases with a user each onto an empty server, and by SQL there")
    ours, plain = first()
    fleet.say("the same again, unchanged, and a look at what they use")
    again, looked = unchanged(), usage()
    clear(DATABASES)
    each, stock_each = ours / DATABASES, stock / IN_LOOPS
    return [
        Row(
            f"{DATABASES:,} databases with a user each, against the SQL itself",
            seconds(ours),
            seconds(plain),
            ours / plain,
            at_most(10),
        ),
        Row("… again, unchanged", seconds(again), f"{seconds(ping)} ping", again / ping, at_most(3)),
        Row("… a look at what all use", seconds(looked), f"{seconds(ping)} ping", looked / ping, at_most(3)),
        Row(
            "… per database, against community.mysql in loops",
            f"{seconds(each)} each",
            f"{seconds(stock)} for {IN_LOOPS}, {seconds(stock_each)} each",
            stock_each / each,
            at_least(10),
        ),
        Row(
            "… unchanged, per database, against the same loops",
            f"{seconds(again / DATABASES)} each",
            f"{seconds(stock_again)} for {IN_LOOPS}, {seconds(stock_again / IN_LOOPS)} each",
            stock_again / IN_LOOPS / (again / DATABASES),
        ),
    ]
