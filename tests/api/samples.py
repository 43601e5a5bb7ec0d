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


def letters(number: int) -> str:
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


NAMES = ["", "A", "a;id", "$(id)", "a\nb", "-a", "a--b", "a" * 254]
HOSTS = [*NAMES, "a", "a..example", "-x.example", "WWW.acme.example", "a.acme.example.", "*.acme.example", "1.2.3.4"]

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
        },
    ),
    "node": Sample(
        lambda world, n: {"name": f"node-{letters(n)}", "shard_id": world["web"], "address": f"10.1.0.{n}"},
        change={"ssh_port": 2222},
        delivered=True,
        wrong={"name": NAMES, "address": ["", "localhost"], "ssh_port": [0, 65536], "ssh_user": ["", "-oProxy"]},
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
}
