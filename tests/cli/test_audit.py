"""``hostctl audit``: the chain through the command line, what it remembers, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from pathlib import Path

import pytest


@pytest.fixture
def audited(cli):
    for n in range(5):
        cli.make("regions", name=f"eu-{n}")
    return cli


@pytest.fixture
def database(server):
    """The database, as somebody with its password has it."""

    def execute(*statements):
        connection = sqlite3.connect(server.settings.database_url.removeprefix("sqlite:///"), timeout=30)
        with connection:
            triggers = connection.execute("select name, sql from sqlite_master where type = 'trigger'").fetchall()
            for name, _ in triggers:
                connection.execute(f"drop trigger {name}")
            for statement in statements:
                connection.execute(statement)
            for _, sql in triggers:
                connection.execute(sql)
        connection.close()

    return execute


def memory(cli):
    (path,) = Path(cli.home).glob(".local/state/hostctl/audit/*.json")
    return path


def broken(cli, *options):
    """Return what ``--json`` tells about a chain that does not hold."""
    done = cli.run("audit", "verify", "--json", *options, code=1)
    assert done.stdout == ""
    return json.loads(done.stderr)["error"]["details"]


def test_it_holds(audited):
    done = audited.run("audit", "verify")
    assert done.stdout.startswith("The audit holds: ")
    verdict = audited.json("audit", "verify")
    assert verdict["holds"] and verdict["complete"] and verdict["records"] == verdict["seq"] > 5
    assert f"head {verdict['seq']}:{verdict['hash']}" in done.stdout
    assert memory(audited).stat().st_mode & 0o077 == 0
    audited.make("regions", name="eu-9")
    assert audited.json("audit", "verify")["seq"] == verdict["seq"] + 1


def test_an_edit(audited, database):
    database("update audit set actor_name = 'nobody' where seq = 4")
    assert broken(audited) == {"seq": 4, "reason": "its content is not what was sealed"}
    done = audited.run("audit", "verify", code=1)
    assert "The audit does not hold: record 4: its content" in done.stderr and done.stdout == ""


def test_truncation_is_found_by_memory(audited, database):
    seq = audited.json("audit", "verify")["seq"]
    database(
        f"delete from audit where seq > {seq - 2}",
        f"update audit_head set seq = {seq - 2}, hash = (select hash from audit where seq = {seq - 2})",
    )
    assert broken(audited)["seq"] == seq - 1
    # A failure is not taken for the new truth.
    assert broken(audited)["seq"] == seq - 1
    for n in range(4):
        audited.make("regions", name=f"us-{n}")
    assert broken(audited)["seq"] == seq
    assert audited.json("audit", "verify", "--forget")["seq"] == seq + 2


def test_a_head_from_a_host(audited, database):
    verdict = audited.json("audit", "verify", "--forget")
    head = f"{verdict['seq']}:{verdict['hash']}"
    audited.json("audit", "verify", "--head", head, "--head", "1:" + first_hash(audited))
    other = f"{verdict['seq'] - 1}:{verdict['hash']}"
    assert broken(audited, "--forget", "--head", other)["seq"] == verdict["seq"] - 1
    assert broken(audited, "--forget", "--head", f"{verdict['seq'] + 7}:{verdict['hash']}")["seq"] == verdict["seq"] + 1
    for wrong in ("5", "x:" + verdict["hash"], "5:abc", f"-5:{verdict['hash']}"):
        audited.run("audit", "verify", "--head", wrong, code=2)


def first_hash(cli):
    lines = map(json.loads, cli.run("audit", "export").stdout.splitlines())
    return next(line["hash"] for line in lines if line.get("seq") == 1 and line["type"] == "record")


def test_a_file(audited, tmp_path):
    path = tmp_path / "audit.jsonl"
    audited.run("audit", "export", "-o", str(path))
    verdict = audited.json("audit", "verify")
    # Without a server, and a key.
    offline = {"HOSTCTL_URL": None, "HOSTCTL_KEY_FILE": None}
    assert audited.json("audit", "verify", "--file", str(path), **offline) == verdict
    assert audited.run("audit", "verify", "--file", "-", stdin=path.read_text(), **offline)
    assert audited.json("audit", "verify", "--file", str(path), "--key", verdict["root"], **offline) == verdict
    audited.run("audit", "verify", "--file", str(path), "--key", verdict["root"][::-1], code=2, **offline)
    stranger = "0" * 8 + verdict["root"][8:]
    audited.run("audit", "verify", "--file", str(path), "--key", stranger, code=1, **offline)
    lines = path.read_text().splitlines(keepends=True)
    for damaged in (lines[:-1], lines[:-2] + lines[-1:], lines[:4] + lines[5:], ["[1]\n"], [], lines + lines[-1:]):
        path.write_text("".join(damaged))
        audited.run("audit", "verify", "--file", str(path), code=1, **offline)
    audited.run("audit", "verify", "--file", str(tmp_path / "none"), code=2, **offline)


def test_csv(audited):
    text = audited.run("audit", "export", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["seq"] for row in rows] == [str(n) for n in range(1, len(rows) + 1)]


def test_a_brands_key(audited, server, tmp_path):
    names = [text for n in (1, 2) for text in ("--nameservers", f"ns{n}.acme.example")]
    own = ("--name", "acme", "--base-domain", "acme.example", "--hostmaster", "hostmaster@acme.example")
    brand = audited.json("brands", "create", *own, *names)["resource"]
    key = tmp_path / "brand"
    key.write_text(server.issue("audit:read", brand["id"]))
    key.chmod(0o600)
    verdict = audited.json("audit", "verify", HOSTCTL_KEY_FILE=str(key))
    assert (verdict["complete"], verdict["records"]) == (False, 1)
    assert not list(Path(audited.home).glob(".local/state/hostctl/audit/*"))


def test_a_damaged_memory(audited):
    audited.json("audit", "verify")
    memory(audited).write_text("{}")
    assert "--forget" in audited.run("audit", "verify", code=2).stderr
    audited.run("audit", "verify", "--forget")
