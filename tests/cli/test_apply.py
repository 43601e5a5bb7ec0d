"""``hostctl apply``: the documented example, again and changed, what is refused, and what is told."""

from __future__ import annotations

import base64
import json
import os
import pty
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
SECRET = base64.b64encode(b"s" * 32).decode()


@pytest.fixture
def example(tmp_path):
    """The file of the documentation, with the secret that it names."""
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "hostctl.md").read_text(), re.DOTALL)
    (tmp_path / "tsig.key").write_text(SECRET + "\n")
    path = tmp_path / "cluster.yml"
    path.write_text(text)
    return path


def applied(cli, path, *options, code=0):
    return cli.json("apply", "-f", str(path), *options, code=code)


def by_path(result):
    return {item["path"]: item for item in result["items"]}


def rows(cli, *query):
    return cli.json(*query, "--all")


def test_the_documented_example_comes_to_life_and_again_changes_nothing(cli, worker, example):
    done = cli.run("apply", "-f", str(example))
    assert "20 created." in done.stdout
    assert re.search(r"^created  fqdn  www\.acme\.example  active$", done.stdout, re.MULTILINE), done.stdout
    before = {kind: rows(cli, kind, "list") for kind in ("nodes", "tenants", "webroots", "fqdns", "zones", "records")}
    assert {row["status"] for kind in before.values() for row in kind} == {"active"}
    (webroot,) = before["webroots"]
    assert (webroot["runtime"], webroot["public_folder"], webroot["env"]) == (
        "php", "web/public", {"APP_ENV": "production"}
    )  # fmt: skip
    again = cli.run("apply", "-f", str(example))
    assert "Nothing was changed: 20 unchanged." in again.stdout
    assert {kind: rows(cli, kind, "list") for kind in before} == before
    result = applied(cli, example)
    assert (result["changed"], result["summary"]) == (False, {"unchanged": 20})


def test_the_secret_arrives_and_is_never_shown(cli, server, example):
    done = cli.run("apply", "-f", str(example), "--no-wait")
    assert SECRET not in done.stdout + done.stderr
    inventory = httpx.get(
        f"{server.url}/inventory", params={"shard": "dns-a"}, headers={"Authorization": f"Bearer {server.key}"}
    ).json()
    assert inventory["groups"]["shard_dns_a"]["vars"]["dns_tsig_secret"] == SECRET


def test_what_differs_is_changed_and_nothing_else(cli, worker, example):
    cli.run("apply", "-f", str(example))
    text = example.read_text()
    for old, new in (
        ("memory_mb: 1024", "memory_mb: 2048"),
        ("10.0.0.11", "10.0.0.13"),
        ("192.0.2.9, ttl: 600", "192.0.2.10, ttl: 600"),
        ("10 mail.acme.example", "20 mail.acme.example."),
        ("runtime: php", "runtime: static"),
        ("[www.acme.example, acme.example]", "[www.acme.example, acme.example, shop.acme.example]"),
    ):
        assert old in text
        text = text.replace(old, new)
    example.write_text(text)
    planned = applied(cli, example, "--dry-run")
    assert planned["summary"] == {"unchanged": 15, "would update": 5, "would create": 1}
    assert rows(cli, "fqdns", "list", "--search", "shop") == []
    result = applied(cli, example)
    assert result["summary"] == {"unchanged": 15, "updated": 5, "created": 1}
    records = rows(cli, "records", "list", "--managed-by", "user")
    assert {(row["type"], row["content"]) for row in records} == {
        ("A", "192.0.2.10"), ("MX", "20 mail.acme.example.")
    }  # fmt: skip
    assert cli.json("nodes", "show", "web1")["address"] == "10.0.0.13"
    assert applied(cli, example)["changed"] is False


def test_spelling_is_no_difference(cli, example):
    text = (
        example.read_text().replace("2001:db8::1", "2001:DB8:0::1").replace(", acme.example]", ", bücher.acme.example]")
    )
    example.write_text(text.replace("10 mail.acme.example}", "10  MAIL.acme.example}"))
    applied(cli, example, "--no-wait")
    assert applied(cli, example, "--no-wait")["changed"] is False
    assert cli.json("fqdns", "show", "bücher.acme.example")["fqdn"] == "xn--bcher-kva.acme.example"


def test_a_refused_item_blocks_only_what_needs_it(cli, worker, tmp_path):
    path = tmp_path / "a.yml"
    path.write_text(
        """
regions: [Bad Name, eu-1]
clusters:
  - {name: a, region: Bad Name, shards: [{name: web-x, role: web}]}
  - {name: b, region: eu-1}
"""
    )
    result = applied(cli, path, code=1)
    found = by_path(result)
    assert {key: item["action"] for key, item in found.items()} == {
        "regions[0]": "failed",
        "regions[1]": "created",
        "clusters[0]": "blocked",
        "clusters[0].shards[0]": "blocked",
        "clusters[1]": "created",
    }
    assert found["regions[0]"]["message"].startswith("regions[0].name: must be lower-case letters")
    assert found["clusters[0]"]["message"] == "needs regions[0], which failed"
    path.write_text(path.read_text().replace("Bad Name", "eu-2"))
    assert applied(cli, path)["summary"] == {"created": 3, "unchanged": 2}


def test_what_cannot_change_is_refused(cli, tmp_path):
    path = tmp_path / "a.yml"
    text = "regions: [eu-1]\nclusters: [{name: a, region: eu-1, shards: [{name: s, role: ROLE}]}]"
    path.write_text(text.replace("ROLE", "web"))
    applied(cli, path)
    path.write_text(text.replace("ROLE", "lb"))
    item = by_path(applied(cli, path, code=1))["clusters[0].shards[0]"]
    assert item["message"] == "clusters[0].shards[0].role: is web on the server and cannot be changed"


def test_hosts_that_refuse_are_told_and_retried(cli, worker, example):
    worker.refuse["www.acme.example"] = "nginx said no"
    done = cli.run("apply", "-f", str(example), code=1)
    assert "failed on hosts" in done.stdout and "1 of 20 failed." in done.stderr
    assert "web1: nginx said no; web2: nginx said no" in done.stdout
    again = by_path(applied(cli, example, code=1))
    (failed,) = [item for item in again.values() if item["status"] == "failed"]
    assert (failed["name"], failed["action"]) == ("www.acme.example", "unchanged")
    worker.refuse.clear()
    assert applied(cli, example, "--retry-failed")["summary"] == {"unchanged": 19, "retried": 1}


def test_it_says_when_it_takes_too_long(cli, example):
    done = cli.run("apply", "-f", str(example), "--wait-timeout", "1", code=7)
    assert "20 created; 12 still under way." in done.stdout
    assert "12 of 20 resources did not end in time" in done.stderr


WRONG = """
regions: [eu-1, eu-1]
clusters:
  - name: a
    region: nowhere
    shards:
      - {name: web-a, role: web}
      - {name: x, role: mail, tsig_secret_file: missing.key}
      - role: web
        nodes: [{name: n, adress: 10.0.0.1}, {name: m, address: 10.0.0.2, ssh_port: 70000}]
brands:
  - {name: b, base_domain: 1, hostmaster: a@b.example, nameservers: ns1, tenants: [{webroots: [{runtime: php}]}]}
nope: 1
"""


def test_a_wrong_file_is_refused_as_a_whole(cli, tmp_path):
    path = tmp_path / "wrong.yml"
    path.write_text(WRONG)
    done = cli.run("apply", "-f", str(path), "--json", code=4)
    error = json.loads(done.stderr)["error"]
    assert {(item["line"], item["path"]) for item in error["details"]} == {
        (2, "regions[1]"),
        (8, "clusters[0].shards[1].role"),
        (8, "clusters[0].shards[1].tsig_secret_file"),
        (9, "clusters[0].shards[2].name"),
        (10, "clusters[0].shards[2].nodes[0].address"),
        (10, "clusters[0].shards[2].nodes[0].adress"),
        (10, "clusters[0].shards[2].nodes[1].ssh_port"),
        (12, "brands[0].base_domain"),
        (12, "brands[0].nameservers"),
        (12, "brands[0].tenants[0].label"),
        (12, "brands[0].tenants[0].webroots[0]"),
        (13, "nope"),
    }
    assert done.stdout == "" and rows(cli, "regions", "list") == []
    path.write_text("regions: [eu-1]\nclusters: [{name: a, region: nowhere}]")
    done = cli.run("apply", "-f", str(path), code=4)
    expected = f"{path}:2: clusters[0].region: there is no region called nowhere, neither in the file nor on the server"
    assert expected in done.stderr and rows(cli, "regions", "list") == []


#: Eight lines that stand for ten million values.
BOMB = "a: &a [1, 1]\n" + "".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefgh"))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("regions: [a", "stdin:1:"),
        ("regions: [a]\nregions: [b]", "stdin:2: regions stands twice"),
        ("", "must hold lists of resources"),
        ("[]", "must hold lists of resources"),
        ("regions: !!python/object/apply:os.system [id]", "could not determine a constructor"),
        (BOMB, "too large"),
        ("a: &a [*a]", "contains itself"),
    ],
)
def test_what_is_no_plain_yaml_is_refused(cli, text, reason):
    assert reason in cli.run("apply", "-f", "-", stdin=text, code=4).stderr


def test_a_run_that_was_cut_off_goes_on_where_it_was(cli, tmp_path, example):
    """What has no name of its own is not made a second time: here the webroot, whose names were still missing."""
    applied(cli, example, "--no-wait")
    (webroot,) = rows(cli, "webroots", "list")
    text = example.read_text().replace("[www.acme.example, acme.example]", "[not.a.name..example]")
    text = text.replace("public_folder: web/public", "public_folder: other")
    example.write_text(text)
    for _ in range(2):
        assert by_path(applied(cli, example, "--no-wait", code=1))["brands[0].tenants[0].webroots[0]"]["id"]
    others = [row for row in rows(cli, "webroots", "list") if row["id"] != webroot["id"]]
    assert [row["public_folder"] for row in others] == ["other"]
    # Deleted within the day that the server remembers the creation: it is wanted anew.
    cli.run("webroots", "delete", others[0]["name"])
    again = by_path(applied(cli, example, "--no-wait", code=1))["brands[0].tenants[0].webroots[0]"]
    assert again["id"] != others[0]["id"]


def test_two_at_once_make_nothing_twice(cli, example):
    processes = [cli.start("apply", "-f", str(example), "--no-wait", "--json") for _ in range(2)]
    for process in processes:
        process.communicate(timeout=60)
    assert len(rows(cli, "tenants", "list")) == 1
    assert len(rows(cli, "webroots", "list")) == 1
    assert applied(cli, example, "--no-wait")["summary"] == {"unchanged": 20}


def test_tenants_of_one_label_must_be_told_apart(cli, tmp_path, example):
    applied(cli, example, "--no-wait")
    twin = cli.make("tenants", brand="acme", label="Acme Ltd")
    item = by_path(applied(cli, example, "--no-wait", code=1))["brands[0].tenants[0]"]
    assert "is ambiguous" in item["message"] and twin["id"] in item["message"]
    example.write_text(example.read_text().replace("label: Acme Ltd", f"name: {twin['name']}\n        label: Acme Two"))
    item = by_path(applied(cli, example, "--no-wait", code=1))["brands[0].tenants[0]"]
    assert (item["id"], item["action"]) == (twin["id"], "updated")


def test_on_a_terminal_each_resource_has_one_line(cli, worker, example):
    main, other = pty.openpty()
    command = [sys.executable, "-m", "hostctl", "apply", "-f", str(example)]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**cli.env, "TERM": "xterm", "LINES": "60", "COLUMNS": "120"}, stdout=other, stderr=other
    )
    os.close(other)
    shown = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(main)
    assert process.wait(60) == 0
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", shown.decode().rpartition("\x1b[2K")[2])
    for name in ("web1", "www.acme.example", "Acme Ltd"):
        assert len(re.findall(rf"^{re.escape(name)} *$", last, re.MULTILINE)) == 1, last
    assert "20 created." in last
