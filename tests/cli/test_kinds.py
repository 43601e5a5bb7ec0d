"""The commands of kinds, made from what the server describes."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from tests.cli.proxy import Proxy

NOBODY = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def site(cli):
    """A web shard and a brand."""
    cli.make("regions", name="eu-1")
    cli.make("clusters", name="eu-1a", region="eu-1")
    cli.make("shards", name="web-a", role="web", cluster="eu-1a")
    cli.make("nodes", name="web1", address="10.0.0.11", shard="web-a")
    domain = {"base_domain": "acme.example", "hostmaster": "hostmaster@acme.example"}
    options = ["--name", "acme", "--nameservers", "ns1.acme.example", "--nameservers", "ns2.acme.example"]
    options += [text for name, value in domain.items() for text in (f"--{name.replace('_', '-')}", value)]
    return cli.json("brands", "create", *options)["resource"]


def test_a_resource_from_creation_to_the_end(cli, worker, site):
    tenant = cli.json("tenants", "create", "--brand", "acme", "--label", "Acme", "--wait")["resource"]
    assert (tenant["status"], tenant["brand_id"]) == ("active", site["id"])
    webroot = cli.json(
        "webroots", "create", "--tenant", "Acme", "--runtime", "php", "--public-folder", "web/public",
        "--env", "A=1", "--env", "B=x=y", "--wait",
    )["resource"]  # fmt: skip
    assert (webroot["runtime"], webroot["public_folder"], webroot["env"]) == (
        "php",
        "web/public",
        {"A": "1", "B": "x=y"},
    )
    for reference in (webroot["id"], webroot["name"], webroot["id"].upper()):
        assert cli.json("webroots", "show", reference)["id"] == webroot["id"]
    changed = cli.json("webroots", "update", webroot["name"], "--env", "C=3", "--wait")["resource"]
    assert (changed["env"], changed["runtime"], changed["generation"]) == ({"C": "3"}, "php", 2)
    assert cli.json("tenants", "suspend", tenant["name"], "--wait")["resource"]["status"] == "suspended"
    assert cli.json("tenants", "unsuspend", "Acme", "--wait")["resource"]["status"] == "active"
    refused = cli.run("tenants", "delete", "Acme", code=4)
    assert "still has webroots" in refused.stderr and "has: webroots" in refused.stderr
    done = cli.run("webroots", "delete", webroot["name"], "--wait")
    assert done.stdout.strip().endswith(f"webroot {webroot['name']}: deleted")
    cli.run("webroots", "show", webroot["id"], code=3)


def test_secrets_are_shown_once_and_data_goes_only_when_that_was_said(cli, site):
    cluster = cli.json("clusters", "list")[0]["name"]
    cli.make("shards", name="db-a", role="db", cluster=cluster)
    cli.make("tenants", brand="acme", label="Acme")
    database = cli.make("databases", tenant="Acme", label="Shop")["name"]
    made = cli.run("database-users", "create", "--database", database, "--suffix", "app")
    assert "is shown this once" in made.stderr and "secret" in made.stdout
    first = cli.json("database-users", "rotate", f"{database}_app")["secret"]
    second = cli.json("database-users", "rotate", f"{database}_app")["secret"]
    assert first != second and first not in cli.run("database-users", "show", f"{database}_app").stdout
    cli.run("database-users", "delete", f"{database}_app")
    assert "say --yes" in cli.run("databases", "delete", database, code=2).stderr
    assert cli.json("databases", "show", database)["delete_requested"] is False
    cli.run("databases", "delete", database, "--yes")
    cli.run("databases", "show", database, code=3)


def test_what_hosts_refuse(cli, worker, site):
    worker.refuse["t.acme.example"] = "no such folder"
    cli.make("tenants", brand="acme", label="Acme")
    cli.make("webroots", tenant="Acme")
    webroot = cli.json("webroots", "list")[0]["name"]
    done = cli.run("fqdns", "create", "--webroot", webroot, "--fqdn", "t.acme.example", "--wait", "--json", code=1)
    assert json.loads(done.stdout)["resource"]["status"] == "failed"
    assert "web1: no such folder" in json.loads(done.stderr.splitlines()[-1])["error"]["message"]
    worker.refuse.clear()
    assert cli.json("fqdns", "retry", "t.acme.example", "--wait")["resource"]["status"] == "active"


def test_waiting_has_an_end(cli, site):
    done = cli.run("tenants", "create", "--brand", "acme", "--wait", "--wait-timeout", "1", code=7)
    assert "did not end in time" in done.stderr
    assert len(cli.json("tenants", "list")) == 1


def test_what_stands_at_once_is_followed_through_its_jobs(cli, worker, site):
    result = cli.json("shards", "converge", "web-a", "--wait")
    assert [job["state"] for job in result["jobs"]] == ["successful"]


def test_an_ambiguous_name_is_refused(cli, site):
    twins = [cli.make("tenants", brand="acme", label="Twin")["id"] for _ in range(2)]
    done = cli.run("webroots", "create", "--tenant", "Twin", code=2)
    assert "Twin is ambiguous" in done.stderr and all(id_ in done.stderr for id_ in twins)
    assert cli.json("webroots", "list") == []
    done = cli.run("tenants", "show", "nobody", code=3)
    assert "There is no tenant called nobody." in done.stderr
    cli.make("shards", name="dns-a", role="dns", cluster="eu-1a")
    for zone in ("one.example", "two.example"):
        cli.make("zones", brand="acme", name=zone)
        cli.make("records", zone=zone, name="www", type="A", content="192.0.2.1")
    cli.run("records", "show", "www", code=2)
    record = cli.json("records", "show", "www", "--in", "two.example")
    assert record["zone_id"] == cli.json("zones", "show", "two.example")["id"]


def test_exit_codes(cli, server, site):
    cases = [
        (2, ["tenants", "create"]),
        (2, ["tenants", "create", "--brand", "acme", "--nonsense"]),
        (2, ["tenants", "create", "--brand", "acme", "--cpu-percent", "1"]),
        (2, ["tenants", "frobnicate"]),
        (2, ["nonsense"]),
        (2, ["tenants", "list", "--columns", "nope,id"]),
        (2, ["webroots", "create", "--tenant", NOBODY, "--env", "novalue"]),
        (2, ["tenants", "update", NOBODY]),
        (3, ["tenants", "show", NOBODY]),
        (3, ["webroots", "create", "--tenant", NOBODY]),
        (3, ["tenants", "create", "--brand", "nobody"]),
        (4, ["regions", "create", "--name", "Bad Name"]),
        (4, ["regions", "create", "--name", "eu-1"]),
    ]
    cli.make("tenants", brand="acme")
    for code, command in cases:
        done = cli.run(*command, code=code)
        assert "error: " in done.stderr and not done.stdout and "Traceback" not in done.stderr, (command, done.stderr)
    reader = server.issue("region:read")
    assert "region:write" in cli.run(
        "regions", "create", "--name", "x", code=5, HOSTCTL_KEY_FILE=None, HOSTCTL_KEY=reader
    ).stderr  # fmt: skip
    cli.run("regions", "list", code=5, HOSTCTL_KEY_FILE=None, HOSTCTL_KEY="hr_wrong")
    cli.run("regions", "list", code=5, HOSTCTL_KEY_FILE=None)
    cli.run("regions", "list", code=6, HOSTCTL_URL="http://127.0.0.1:9")
    cli.run("regions", "list", code=2, HOSTCTL_URL=None)
    error = json.loads(cli.run("regions", "create", "--name", "A", "--json", code=4).stderr)
    assert error["exit_code"] == 4 and error["error"]["details"]["json"]["name"] and error["error"]["trace_id"]
    assert json.loads(cli.run("--json", "regions", "show", NOBODY, code=3).stderr)["exit_code"] == 3


def test_what_is_shown_once(cli, server):
    options = ["--name", "portal", "--scopes", "tenant:*", "--scopes", "zone:read", "--brands", "*"]
    key = ["--idempotency-key", "once"]
    done = cli.run("api-keys", "create", *options, *key)
    (secret,) = re.findall(r"^secret +(hr_\S+)$", done.stdout, re.MULTILINE)
    assert "shown this once" in done.stderr
    again = cli.run("api-keys", "create", *options, *key)
    assert secret not in again.stdout + again.stderr and "and never again" in again.stderr
    assert cli.json("api-keys", "create", *options)["secret"].startswith("hr_")
    assert secret not in cli.run("api-keys", "list", "--all", "--json").stdout
    assert cli.json("tenants", "list", HOSTCTL_KEY_FILE=None, HOSTCTL_KEY=secret) == []


def test_a_secret_is_read_from_a_file_or_stdin(cli, site, tmp_path):
    secret = "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"
    cli.make("shards", name="dns-a", role="dns", cluster="eu-1a")
    done = cli.run("shards", "update", "dns-a", "--tsig-secret-file", "-", stdin=secret + "\n")
    assert secret not in done.stdout + done.stderr
    assert ["generation", "2"] in [line.split() for line in done.stdout.splitlines()]
    (tmp_path / "key").write_text(secret)
    assert (
        cli.json("shards", "update", "dns-a", "--tsig-secret-file", str(tmp_path / "key"))["resource"]["generation"]
        == 2
    )
    cli.run("shards", "update", "dns-a", "--tsig-secret-file", str(tmp_path / "none"), code=2)
    cli.run("shards", "update", "dns-a", "--tsig-secret", secret, code=2)


def test_lists(cli, idle, site):
    with idle.transaction() as session:
        from api.kinds.region import Region

        session.add_all(Region(name=f"r-{chr(97 + n // 26)}{chr(97 + n % 26)}", status="active") for n in range(250))
    done = cli.run("regions", "list", "--search", "r-", "--columns", "name,status")
    lines = done.stdout.splitlines()
    assert lines[:2] == ["name\tstatus", "r-aa\tactive"] and len(lines) == 51
    assert "There is more than 50" in done.stderr
    assert len(cli.json("regions", "list", "--all")) == 251
    names = [row["name"] for row in cli.json("regions", "list", "--all", "--sort", "-name", "--search", "r-")]
    assert len(names) == 250 and names == sorted(names, reverse=True)
    assert len(cli.json("regions", "list", "--limit", "201")) == 201
    assert cli.json("regions", "list", "--name", "r-ab")[0]["name"] == "r-ab"
    assert [row["name"] for row in cli.json("clusters", "list", "--region", "eu-1")] == ["eu-1a"]
    done = cli.run("clusters", "list", "--region", "r-ab")
    assert "none" in done.stderr


def test_a_request_that_is_sent_again_makes_nothing_twice(cli, server, site):
    """The answer of the creation is lost on the way: the client cannot know, and asks again."""
    lost = []

    def cut(answer):
        if b"202 ACCEPTED" in answer and not lost:
            lost.append(answer)
            return 0
        return None

    proxy = Proxy(server.url, cut)
    tenant = cli.json("tenants", "create", "--brand", "acme", HOSTCTL_URL=proxy.url)["resource"]
    proxy.close()
    assert lost and [row["id"] for row in cli.json("tenants", "list")] == [tenant["id"]]
    posts = [request for request in proxy.requests if request.startswith(b"POST /tenants")]
    keys = {re.search(rb"Idempotency-Key: (\S+)", request, re.IGNORECASE).group(1) for request in posts}
    assert len(posts) == 2 and len(keys) == 1


def test_the_description_is_fetched_once_and_without_the_key(cli, server):
    proxy = Proxy(server.url, lambda answer: None)
    for _ in range(2):
        cli.run("regions", "list", HOSTCTL_URL=proxy.url)
    first, second = [request for request in proxy.requests if request.startswith(b"GET /openapi.json")]
    assert b"If-None-Match" not in first and b"If-None-Match" in second
    assert all(b"Authorization" not in request for request in (first, second))
    # A broken cache is no obstacle.
    for path in (cli.home / ".cache" / "hostctl").iterdir():
        path.write_text("{")
    cli.run("regions", "list", HOSTCTL_URL=proxy.url)
    proxy.close()


def test_a_reader_that_has_seen_enough(cli, idle):
    with idle.transaction() as session:
        from api.kinds.region import Region

        session.add_all(Region(name=f"r-{n}", status="active", status_message="x" * 2000) for n in range(400))
    command = f"{sys.executable} -m hostctl regions list --all | head -n 1"
    done = subprocess.run(["bash", "-c", command], env=cli.env, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("id\tname") and "Traceback" not in done.stderr, done.stderr


def completions(cli, words):
    env = {"_HOSTCTL_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    return [line.partition(",")[2] for line in cli.run(**env).stdout.splitlines()]


def test_completion_knows_kinds_options_and_names(cli, site):
    assert completions(cli, "hostctl ten") == ["tenants"]
    assert {"list", "suspend", "retry"} <= set(completions(cli, "hostctl tenants "))
    assert completions(cli, "hostctl webroots create --pub") == ["--public-folder"]
    assert completions(cli, "hostctl regions show eu") == ["eu-1"]
    for shell in ("bash", "zsh", "fish"):
        assert "_HOSTCTL_COMPLETE" in cli.run("completion", shell, HOSTCTL_URL=None).stdout
    script = cli.run("completion", "bash").stdout
    done = subprocess.run(["bash", "-c", f"{script}\ncomplete -p hostctl"], capture_output=True, text=True, check=False)
    assert "_hostctl_completion" in done.stdout, done.stderr


def test_help_without_a_server(cli):
    text = cli.run("--help", HOSTCTL_URL=None).stdout
    assert "apply" in text and "lb-addresses" not in text
    assert "lb-addresses" in cli.run("--help").stdout
    assert "--public-folder" in cli.run("webroots", "create", "--help").stdout
    assert cli.run("--version").stdout.strip() == "0.1.0"
