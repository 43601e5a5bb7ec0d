"""Everything from a terminal: YAML in, no API anywhere. Web and load balancer run on Debian 12 here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.e2e.client import browse, dig
from tests.e2e.fleet import DNS, FLEET, playbook

pytestmark = pytest.mark.fleet

LB12, WEB12 = "10.89.2.33", "10.89.2.31"
TENANT, WEBROOT = "t_terminal01", "web_terminal01"
RECAP = re.compile(r"^(\w+)\s*: ok=\d+\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.M)


def inventory(path: Path, names: list[str], **fqdn: Any) -> str:
    """Write an inventory with one tenant, one webroot and these host names; ``fqdn`` goes to the first one."""
    records = [{"name": name.split(".")[0], "type": "A", "content": LB12} for name in names]
    zone = {
        "name": "terminal.test",
        "hostmaster": "hostmaster@terminal.test",
        "nameservers": ["ns1.acme.test", "ns2.acme.test"],
        "records": [*records, {"name": "@", "type": "TXT", "content": "made in a terminal"}],
    }
    fqdns = [{"fqdn": name, "webroot": WEBROOT} for name in names]
    fqdns[0].update(fqdn)
    tree = {
        "web": {
            "hosts": {"web12": {"ansible_host": WEB12}},
            "vars": {
                "web_tenants": [{"name": TENANT, "uid": 210001}],
                "web_webroots": [{"name": WEBROOT, "tenant": TENANT, "runtime": "static"}],
                "web_fqdns": fqdns,
            },
        },
        "dns": {
            "children": {
                "dns_primary": {"hosts": {"dns1": {"ansible_host": DNS["dns1"]}}, "vars": {"dns_mode": "primary"}},
                "dns_secondary": {"hosts": {"dns2": {"ansible_host": DNS["dns2"]}}, "vars": {"dns_mode": "secondary"}},
            },
            "vars": {
                "dns_primary": DNS["dns1"],
                "dns_secondaries": [DNS["dns2"]],
                "dns_tsig_name": "hostreeve",
                "dns_tsig_secret": (FLEET / "tsig").read_text().strip(),
                "dns_zones": [zone],
            },
        },
        "lb": {
            "hosts": {"lb12": {"ansible_host": LB12}},
            "vars": {
                "lb_shards": [{"name": "web-t", "nodes": [{"name": "web12", "address": WEB12}]}],
                "lb_fqdns": [{"fqdn": name, "shard": "web-t"} for name in names],
            },
        },
    }
    connection = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(FLEET / "key"),
        "ansible_ssh_common_args": f"-o UserKnownHostsFile={FLEET / 'known_hosts'} -o IdentitiesOnly=yes",
    }
    path.write_text(yaml.safe_dump({"all": {"children": tree, "vars": connection}}))
    return str(path)


def changes(*arguments: str) -> dict[str, int]:
    """Run site.yml and return the changed tasks of each host; the run must succeed."""
    done = playbook("playbooks/site.yml", *arguments)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    recap = {host: int(changed) for host, changed, *_ in RECAP.findall(done.stdout)}
    assert set(recap) == {"web12", "dns1", "dns2", "lb12"}
    return recap


def test_terminal(tmp_path: Path) -> None:
    first, second = "one.terminal.test", "two.terminal.test"
    hosts = inventory(tmp_path / "hosts.yml", [first])
    changes("-i", hosts)
    assert changes("-i", hosts) == {"web12": 0, "dns1": 0, "dns2": 0, "lb12": 0}
    assert TENANT in browse(LB12, first).text
    assert [dig(server, first) for server in DNS.values()] == [[LB12], [LB12]]
    assert browse(WEB12, second).status_code == 404

    inventory(tmp_path / "hosts.yml", [first, second])
    predicted = changes("-i", hosts, "--check", "--diff")
    assert browse(WEB12, second).status_code == 404, "check mode must not change a host"
    assert dig(DNS["dns1"], second) == []
    # What the secondary transfers counts on the primary.
    assert all(predicted[host] > 0 for host in ("web12", "dns1", "lb12")), predicted
    assert changes("-i", hosts) == predicted
    assert changes("-i", hosts, "--check") == dict.fromkeys(predicted, 0)
    assert TENANT in browse(LB12, second).text


def test_a_broken_block_keeps_its_previous_version(tmp_path: Path) -> None:
    first, second, third = "one.terminal.test", "two.terminal.test", "three.terminal.test"
    hosts = inventory(tmp_path / "hosts.yml", [first, second], directives="add_header X-Version 1;")
    changes("-i", hosts)
    assert browse(WEB12, first).headers["X-Version"] == "1"

    inventory(tmp_path / "hosts.yml", [first, second, third], directives="add_hedaer X-Version 2;")
    done = playbook("playbooks/converge.yml", "-i", hosts, "--limit", "web12")
    assert done.returncode == 2
    assert first in done.stdout
    assert "add_hedaer" in done.stdout
    assert browse(WEB12, first).headers["X-Version"] == "1"
    assert browse(WEB12, third).status_code == 200
