"""Sample data per kind: the only thing that a new kind adds to the tests.

A test in ``test_kinds.py`` fails for a kind that has no sample here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """``body(world, n)`` is the n-th creation, all different; ``change`` a valid change, or nothing can change."""

    body: Callable[[Any, int], Body]
    change: Body = field(default_factory=dict)
    #: hosts carry it, so creating it queues a job
    delivered: bool = False
    #: no host carries it, and creating it queues a job for something else
    queues: bool = False
    #: fields with a value that is well-formed and refused, beyond what types say: {field: [values]}
    wrong: dict[str, list[Any]] = field(default_factory=dict)
    #: fields that hold any JSON object, so that one is no wrong value
    free: tuple[str, ...] = ()


def letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


NAMES = ["", "A", "a;id", "$(id)", "a\nb", "-a", "a--b", "a" * 254]
HOSTS = [*NAMES, "a", "a..example", "-x.example", "WWW.acme.example", "a.acme.example.", "*.acme.example", "1.2.3.4"]

TITLES = ["", " a", "a\nb", "\x7f", "x" * 101]

APPROVAL = {"name": "ask", "type": "approval", "question": "Go on?", "timeout": 0, "converge": "all",
            "success": [], "failure": [], "always": []}  # fmt: skip


def node(world: Any, **fields: Any) -> Body:
    """Return a node of a workflow that launches the world's template."""
    return {"name": "first", "type": "launch", "template_id": world["template"], "parameters": {}, "converge": "all",
            "success": [], "failure": [], "always": [], **fields}  # fmt: skip


SAMPLES: dict[str, Sample] = {
    "region": Sample(lambda world, n: {"name": f"region-{letters(n)}"}, wrong={"name": NAMES}),
    "cluster": Sample(
        lambda world, n: {"name": f"cluster-{letters(n)}", "region_id": world["region"]}, wrong={"name": NAMES}
    ),
    "lb_address": Sample(
        lambda world, n: {"address": f"198.51.100.{n}", "cluster_id": world["cluster"]},
        queues=True,
        wrong={"address": ["", "1", "1.2.3", "1.2.3.4/24", "fe80::1%eth0", "a.example", "1.2.3.4\n"]},
    ),
    "shard": Sample(
        lambda world, n: {"name": f"shard-{letters(n)}", "cluster_id": world["cluster"], "role": "dns"},
        change={"tsig_secret": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"},
        wrong={
            "name": NAMES,
            "role": ["", "Web", "mail"],
            "tsig_secret": ["", "abc", "c2hvcnQ=", "a" * 200],
            "drift_policy": ["", "always"],
            "drift_every": [4, 43201],
            "usage_every": [-1, 1441],
        },
    ),
    "node": Sample(
        lambda world, n: {"name": f"node-{letters(n)}", "shard_id": world["web"], "address": f"10.1.0.{n}"},
        change={"ssh_port": 2222},
        delivered=True,
        wrong={
            "name": NAMES,
            "address": ["", "localhost"],
            "ssh_port": [0, 65536],
            "ssh_user": ["", "-oProxy"],
            "memory_mb": [0, 15, 2**31],
        },
    ),
    "brand": Sample(
        lambda world, n: {
            "name": f"brand-{letters(n)}",
            "base_domain": f"b{n}.example",
            "hostmaster": f"hostmaster@b{n}.example",
            "nameservers": [f"ns1.b{n}.example", f"ns2.b{n}.example"],
        },
        change={"hostmaster": "dns@acme.example"},
        wrong={
            "name": NAMES,
            "base_domain": HOSTS,
            "hostmaster": ["", "a", "@a.example", "a b@a.example", "a@a.example\nx"],
            "nameservers": [[], ["ns1.a.example"], ["a.example", "a.example"], ["a.example", "$(id).example"]],
        },
    ),
    "tenant": Sample(
        lambda world, n: {"brand_id": world["acme"], "label": f"Customer {n}"},
        change={"memory_mb": 1024, "label": "Größe {{ 1 }}"},
        delivered=True,
        wrong={
            "cpu_percent": [0, 6401, -1],
            "memory_mb": [0, 2**31, 2**63],
            "tasks": [0, 1.0, 1.9],
            "label": ["a\nb", "x" * 101, "\x7f"],
        },
    ),
    "webroot": Sample(
        lambda world, n: {"tenant_id": world["acme-tenant"], "public_folder": f"public{n}"},
        change={"env": {"APP_ENV": "{{ lookup('pipe','id') }}"}, "runtime": "php"},
        delivered=True,
        wrong={
            "runtime": ["", "perl", "php8.4"],
            "public_folder": ["", "..", "../x", "/etc", "a/../b", "a//b", "a\0b", "a;b", "a b"],
            "env": [
                {"a": "b"},
                {" OPEN_BASEDIR": "x"},
                {"A": "b\nuser=root"},
                {"A": "$pool"},
                {"A": 1},
                [],
                {"A": None},
            ],
        },
    ),
    "database": Sample(
        lambda world, n: {"tenant_id": world["acme-tenant"], "label": f"Shop {n}"},
        change={"charset": "latin1", "collation": "latin1_german2_ci", "label": "Größe {{ 1 }}"},
        delivered=True,
        wrong={
            "charset": ["", "utf8", "UTF8MB4", "utf8mb4; drop", "utf8mb4\n"],
            "collation": ["", "latin1_bin", "utf8mb4_bin'", "utf8mb4_bin\0"],
            "label": ["a\nb", "x" * 101, "\x7f"],
        },
    ),
    "database_user": Sample(
        lambda world, n: {"database_id": world["acme-database"], "suffix": f"u{n}"},
        change={
            "password": "a ' \" \\ ` %s password",
            "privileges": "read-only",
            "hosts": ["10.0.0.0/24", "2001:db8::1"],
        },
        delivered=True,
        wrong={
            "suffix": ["A", "_a", "a" * 17, "a`b", "a'b", "a%", "a b", "a\n"],
            "privileges": ["", "ALL", "all privileges", "super"],
            "hosts": [
                [],
                ["%", "10.0.0.1"],
                ["10.0.0.%"],
                ["_"],
                ["localhost"],
                ["10.0.0.1/24"],
                ["0.0.0.0/0"],
                ["::/0"],
            ],
            "password": ["", "short", "x" * 129, "a password\n", "a password\0"],
        },
    ),
    "valkey_instance": Sample(
        lambda world, n: {"tenant_id": world["acme-cached"], "label": f"Cache {n}"},
        change={"memory_mb": 128, "eviction": "allkeys-lru", "persistence": "aof", "label": "{{ 1 }}"},
        delivered=True,
        wrong={
            "label": ["a\nb", "x" * 101],
            "memory_mb": [0, 15, -1, 2**31],
            "eviction": ["", "lru", "noeviction\nport 1"],
            "persistence": ["", "RDB", "aof "],
        },
    ),
    "valkey_user": Sample(
        lambda world, n: {"instance_id": world["acme-valkey"], "suffix": f"app{n}"},
        change={"access": "custom", "rules": "~app:* +@read -@write", "password": "of a customer's \" {{ 1 }}"},
        delivered=True,
        wrong={
            "suffix": ["", "A", "a b", "a\n", "-a", "a" * 33],
            "access": ["", "root", "admin"],
            "rules": ["+get nopass", "+get\nuser evil", ">secret", "(+@all)", "+@admin", "+@nosuch", "x" * 1025, "on"],
            "password": ["", "too short", "sixteen letters\n", "x" * 129],
        },
    ),
    "fqdn": Sample(
        lambda world, n: {"fqdn": f"n{n}.acme.example", "webroot_id": world["acme-webroot"]},
        delivered=True,
        wrong={"fqdn": HOSTS},
    ),
    "zone": Sample(
        lambda world, n: {"name": f"zone{n}.example", "brand_id": world["acme"]},
        change={"dnssec": True},
        delivered=True,
        wrong={"name": HOSTS},
    ),
    "record": Sample(
        lambda world, n: {"zone_id": world["acme-zone"], "name": f"r{n}", "type": "TXT", "content": f"v={n} ; \"'`$"},
        change={"content": "{{ lookup('pipe','id') }}", "ttl": 60},
        delivered=True,
        wrong={
            "name": ["", "A", "a b", "a\n", "$ORIGIN", "a" * 254],
            "type": ["", "a", "SOA", "AXFR", "HINFO"],
            "ttl": [0, 29, 604_801],
            "content": ["", "a\nb", "a\0b", "x" * 4097],
        },
    ),
    "credential": Sample(
        lambda world, n: {"name": f"Credential {n}", "type": "become_password", "secret": f"never shown {n}"},
        change={"secret": "another one, never shown", "description": "Two\nlines"},
        wrong={
            "name": TITLES,
            "type": ["", "password"],
            "secret": ["", "two\nlines"],
            "username": ["root"],
            "vault_id": ["prod", "-x"],
        },
    ),
    "project": Sample(
        lambda world, n: {"name": f"Project {n}", "source": "directory", "directory": f"app{n}"},
        change={"directory": "other"},
        wrong={
            "name": TITLES,
            "source": ["", "svn"],
            "directory": ["", "..", ".git", "a/b", "/etc", "-x"],
            "url": ["https://git.example.net/a.git", "-x", "ext::sh -c id"],
            "ref": ["main", "--upload-pack=id", "a..b", "-b"],
        },
    ),
    "inventory": Sample(
        lambda world, n: {"name": f"Inventory {n}", "source": "static", "hosts": {"web1": {"groups": ["web"]}}},
        change={"groups": {"web": {"vars": {"port": 80, "text": "{{ 1 }}"}}}},
        wrong={
            "name": TITLES,
            "source": ["", "script"],
            "hosts": [
                {"-x": {}},
                {"a": {"vars": {"ansible_connection": "local"}}},
                {"a": {"vars": {"ansible_host": "-oProxyCommand=id"}}},
                {"a": {"vars": {"hostreeve_fence": 1}}},
                {"a": {"vars": {"x": [{"__ansible_type": "_AnsibleTaggedStr", "value": "{{ 1 }}"}]}}},
                {"a": {"groups": ["hostreeve_api"]}},
                {"a": {"nope": 1}},
                {"a": []},
            ],
            "groups": [{"A": {}}, {"a": {"children": []}}, {"a": {"vars": {"ansible_user": "a b"}}}, {"all": {}}],
            "filter": [{"roles": ["web"]}, {"nope": ["web"]}, {"roles": "web"}],
            "variables": [{"ansible_shell_executable": "/bin/id"}, {"groups": 1}, {"a": 2**70}, {"a": "\0"}],
        },
        free=("hosts", "groups", "variables"),
    ),
    "template": Sample(
        lambda world, n: {"name": f"Template {n}", "playbook": "site.yml"},
        change={"limit": "web:!web2", "tags": ["a"], "variables": {"text": "{{ lookup('pipe','id') }}"}},
        wrong={
            "name": TITLES,
            "playbook": ["", "lease.yml", "none.yml", "../site.yml", "/etc/a.yml", "-e.yml", "a b.yml"],
            "limit": ["-x", "@/etc/passwd", "~web.*", "a b", "web\n"],
            "tags": [["-x"], ["a,b"], ["a b"]],
            "skip_tags": [["-x"]],
            "credentials": [["x"], ["a" * 36]],
            "variables": [{"ansible_connection": "local"}, {"hostreeve_fence": 1}, {"A b": 1}, {"vars": 1}],
            "verbosity": [-1, 5],
            "approval": ["", "never"],
            "forks": [-1, 501],
            "timeout": [-1, 86_401],
            "ask": [["name"], ["playbook"], ["limit", "limit"]],
            "survey": [
                [{}],
                [{"variable": "ansible_host", "question": "?"}],
                [{"variable": "a", "question": "?", "type": "nope"}],
                [{"variable": "a", "question": "?"}, {"variable": "a", "question": "?"}],
                [{"variable": "a", "question": "?", "type": "password", "default": "secret"}],
                [{"variable": "a", "question": "?", "type": "choice"}],
                [{"variable": "a", "question": "?", "choices": ["x"]}],
                [{"variable": "a", "question": "?", "type": "integer", "min": 3, "max": 2}],
                [{"variable": "a", "question": "?", "type": "integer", "max": 3, "default": 4}],
                [{"variable": "a", "question": "?", "nope": 1}],
            ],
            "concurrency": ["", "skip"],
        },
        free=("variables",),
    ),
    "schedule": Sample(
        lambda world, n: {
            "name": f"Schedule {n}",
            "template_id": world["template"],
            "rule": "FREQ=DAILY;BYHOUR=3;BYMINUTE=30",
            "secret_answers": '{"password": "never shown before"}',
        },
        change={"timezone": "Europe/Berlin", "secret_answers": '{"password": "never shown"}'},
        wrong={
            "name": TITLES,
            "rule": [
                *("", "x", "* * *", "60 * * * *", "0 0 30 2 *", "@nope", "FREQ=SECONDLY", "FREQ=DAILY;NOPE=1"),
                *("FREQ=DAILY;COUNT=0", "FREQ=DAILY;FREQ=DAILY", "FREQ=DAILY;UNTIL=20200101", "FREQ=DAILY;BYHOUR=25"),
                *("DTSTART:20200101T000000", "FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30", "FREQ=DAILY\nEXDATE=x"),
            ],
            "timezone": ["", "Berlin", "../../etc/passwd", "+01:00"],
            "starts_at": ["2026-01-01", "2026-01-01T00:00:00", "now"],
            "missed": ["", "all"],
            "overlap": ["", "parallel"],
            "parameters": [{"tags": ["x"]}, {"nope": 1}, {"answers": {"nope": 1}}, {"limit": "@x"}],
            "secret_answers": ["", "[]", "x", "{}x", '{"a": "\\u0000"}'],
        },
        free=("parameters",),
    ),
    "workflow": Sample(
        lambda world, n: {
            "name": f"Workflow {n}",
            "nodes": [node(world, success=["ask"]), APPROVAL],
            "secret_answers": '{"first": {"password": "never shown before"}}',
        },
        change={"secret_answers": '{"first": {"password": "never shown"}}', "description": "Two\nlines"},
        wrong={
            "name": TITLES,
            "nodes": [
                [],
                [{}],
                [APPROVAL, APPROVAL],
                [{**APPROVAL, "name": "A"}],
                [{**APPROVAL, "type": "job"}],
                [{**APPROVAL, "nope": 1}],
                [{**APPROVAL, "parameters": {}}],
                [{**APPROVAL, "timeout": -1}],
                [{**APPROVAL, "timeout": True}],
                [{**APPROVAL, "question": "\x7f"}],
                [{**APPROVAL, "converge": "some"}],
                [{**APPROVAL, "success": ["nobody"]}],
                [{**APPROVAL, "success": ["ask"]}],
                [{**APPROVAL, "success": "ask"}],
                [{"name": "a"}],
                [{"name": "a", "template_id": "x"}],
                [{"name": "a", "template_id": "00000000-0000-4000-8000-000000000001"}],
            ],
            "secret_answers": ["", "[]", '{"nobody": {}}', '{"ask": {}}', '{"first": 1}'],
        },
    ),
    "notification": Sample(
        lambda world, n: {
            "brand_id": world["acme"],
            "name": f"Portal {n}",
            "type": "webhook",
            "url": "https://portal.example.net/hooks?token=a%20b",
            "topics": ["resource_active", "resource_failed"],
            "authorization": "Bearer never shown before",
        },
        change={
            "body": '{"text": {{ name | tojson }}}',
            "kinds": ["fqdn", "record"],
            "headers": {"X-Team": "web"},
            "secret": "never shown either, 0123456789",
            "authorization": "Bearer never shown",
        },
        wrong={
            "name": TITLES,
            "type": ["", "slack"],
            "url": [
                *("", "x", "ftp://a.example/", "gopher://a.example/", "file:///etc/passwd", "http://a.example/"),
                *("https://a@127.0.0.1/", "https://@a.example/", "https://a:b@a.example/", "https://a.example\\@b/"),
                *("https://127.0.0.1/", "https://[::1]/", "https://[::ffff:10.0.0.1]/", "https://0.0.0.0/"),
                *("https://169.254.169.254/latest", "https://10.0.0.1/", "https://100.64.0.1/", "https://[fe80::1]/"),
                *("https://[fd00::1]/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/", "https://0x7f.1/"),
                *("https://2130706433/", "https://017700000001/", "https://127.1/", "https://localhost./"),
                *("https://a.example/\nX: y", "https://a.example:0/", "https://a.example:99999/", "https:///x"),
                *(
                    "https://a.example/#f",
                    "https://a.example/ x",
                    "https://bücher.example/",
                    "https://a.example/" + "x" * 2000,
                ),
            ],
            "recipients": [["a"], ["a@b.example\nBcc: c@d.example"], ["A <a@b.example>"], ["@b.example"], ["a@b"]],
            "topics": [[], ["nope"], ["resource_active", "resource_active"], ["job_failed"]],
            "kinds": [["nope"], ["A b"]],
            "body": [
                *("{{", "{% for %}", "{% include 'x' %}", "{% extends 'x' %}", "{% import 'x' as x %}", "x" * 8193),
                *("{{ " + "(" * 4000, "{{ 1 | nope }}", "{% do x %}", "{{ " + "9" * 5000 + " }}"),
            ],
            "headers": [
                *({"Host": "x"}, {"content-length": "1"}, {"Authorization": "x"}, {"X-Hostreeve-Topic": "x"}),
                *({"X": "a\r\nY: b"}, {"X: y\r\nZ": "a"}, {"": "x"}, {"X": ""}, {"Transfer-Encoding": "chunked"}),
                *({"A": "1", "a": "2"}, {"Proxy-Authorization": "x"}, {"X": "ü"}),
            ],
            "authorization": ["", "a\r\nX: y", "ü", " a"],
            "secret": ["", "short", "x" * 257, "line\n0123456789012345"],
        },
    ),
}


def deletion(kind: Any, row: dict[str, Any]) -> str:
    """Return the path of a deletion, with the confirmation that some kinds ask for."""
    path = f"/{kind.plural}/{row['id']}"
    return f"{path}?confirm={row[kind.title]}" if kind.confirm else path
