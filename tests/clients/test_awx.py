"""What AWX does with this repository as a project, without AWX: the same command lines, environments and directories.

An inventory source "sourced from a project" runs ansible-inventory in the checked-out project and stores what it
prints; a job gets the stored hosts back as an inventory script. Each step is done here by the real programs.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import ROOT
from tests.clients.conftest import EVIL

#: Set by AWX for every update of an inventory source.
UPDATE = {
    "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
    "ANSIBLE_INVENTORY_EXPORT": "True",
    "ANSIBLE_VERBOSE_TO_STDERR": "True",
    "ANSIBLE_HOST_PATTERN_MISMATCH": "error",
    "INVENTORY_SOURCE_ID": "7",
    "INVENTORY_UPDATE_ID": "11",
}
HOMES = "~/.ansible/collections:/usr/share/ansible/collections"


@pytest.fixture
def awx(client):
    """The programs with what AWX injects of a credential of our type, and nothing else of ours."""
    type_ = yaml.safe_load((ROOT / "awx" / "credential-type.yml").read_text())
    given = {"url": client.env.pop("HOSTREEVE_URL"), "api_key": client.env.pop("HOSTREEVE_API_KEY")}
    assert {field["id"] for field in type_["inputs"]["fields"]} == {*given, "shard"}
    assert set(type_["inputs"]["required"]) == set(given)
    secret = [field["id"] for field in type_["inputs"]["fields"] if field.get("secret")]
    assert secret == ["api_key"]
    for name, template in type_["injectors"]["env"].items():
        # AWX renders these with its own Jinja; a plain name is all that ours need.
        field = re.match(r"\{\{ (\w+)( \| default\(''\))? \}\}$", template)
        assert field, template
        client.env[name] = given.get(field[1], "")
    return client


def stored(awx, project) -> dict:
    """Update an inventory source; return what was written."""
    output = awx.path / "output.json"
    source = project / "inventory" / "api.yml"
    awx.run(
        "ansible-inventory", "--list", "--export", "-i", str(source), "--output", str(output),
        "--playbook-dir", str(source.parent), "-vvv", cwd=project, **UPDATE,
        ANSIBLE_COLLECTIONS_PATHS=f"{project.parent}/requirements_collections:{HOMES}",
    )  # fmt: skip
    found: dict = json.loads(output.read_text())
    return found


def rows(document):
    """Return (hosts, groups, parents) as AWX's importer reads a document; what it would complain of fails."""
    hosts: dict[str, dict] = {}
    groups: dict[str, dict] = {}
    assert isinstance(document["_meta"]["hostvars"], dict)
    for name, group in document.items():
        if name == "_meta":
            continue
        assert isinstance(group, dict) and group.keys() <= {"hosts", "children", "vars"}, name
        assert all(isinstance(group.get(key, []), list) for key in ("hosts", "children")), name
        assert isinstance(group.get("vars", {}), dict), name
        # A name with one colon would be cut into host and port.
        assert all(host and ":" not in host for host in group.get("hosts", ()))
        groups[name] = {key: group[key] for key in ("hosts", "children", "vars") if key in group}
        for host in group.get("hosts", ()):
            found = document["_meta"]["hostvars"].get(host, {})
            assert isinstance(found, dict)
            hosts[host] = json.loads(json.dumps(found))
    return hosts, groups


def test_the_inventory_source_is_what_awx_stores(awx, project):
    hosts, groups = rows(stored(awx, project))
    assert set(hosts) == {"web1", "web2", "lb1"}
    assert set(groups["web"]["hosts"]) == {"web1", "web2"}
    assert groups["shard_lb_a"]["hosts"] == ["lb1"]
    assert set(groups["all"]["children"]) == set(groups) - {"all", "ungrouped"} | {"ungrouped"}
    # Not one of our hosts is touched by a job that holds no lease: they refuse this fence.
    assert {host["hostreeve_fence"] for host in hosts.values()} == {-1}
    awx.env["HOSTREEVE_SHARD"] = "lb-a"
    assert set(rows(stored(awx, project))[0]) == {"lb1"}


def test_a_source_that_cannot_be_read_fails_the_update(awx, project):
    source = project / "inventory" / "api.yml"
    done = awx.run(
        "ansible-inventory", "--list", "--export", "-i", str(source), cwd=project, code=1,
        **UPDATE, HOSTREEVE_URL="http://127.0.0.1:9",
    )  # fmt: skip
    assert "platform inventory:" in done.stderr and awx.env["HOSTREEVE_API_KEY"] not in done.stderr


def test_a_job_gets_the_stored_hosts_and_evaluates_nothing_of_them(awx, project):
    hosts, groups = rows(stored(awx, project))
    for number, name in enumerate(hosts, 1):
        hosts[name] |= {"remote_tower_enabled": "true", "remote_tower_id": number}
    document = json.dumps({**groups, "_meta": {"hostvars": hosts}})
    script = awx.path / "hosts"
    script.write_text(f"#!{sys.executable}\nprint({document!r})\n")
    script.chmod(0o700)
    told = {"content": "{{ web_webroots[0].env.MOTTO }} {{ remote_tower_id }}", "dest": "{{ told }}"}
    play = awx.play([{"ansible.builtin.copy": told}], hosts="web1", directory=project)
    there = project.parent / "requirements_collections"
    # As AWX puts them together from the project's ansible.cfg.
    paths = f"{there}:collections:.cache/collections:collections:.cache/collections:{HOMES}"
    awx.run(
        "ansible-playbook", "-i", str(script), "-u", "root", "-e", f"told={awx.path}/told", play.name, cwd=project,
        ANSIBLE_COLLECTIONS_PATH=paths, ANSIBLE_COLLECTIONS_PATHS=paths,
        ANSIBLE_ROLES_PATH=f"{project.parent}/requirements_roles:~/.ansible/roles",
        ANSIBLE_INVENTORY_UNPARSED_FAILED="True",
    )  # fmt: skip
    text = (awx.path / "told").read_text()
    assert text == f"{EVIL % awx.path} {list(hosts).index('web1') + 1}"
    assert not (awx.path / "owned").exists()


def test_a_project_update_finds_its_requirements_and_playbooks(client, project):
    there = project.parent / "requirements_collections"
    paths = {"ANSIBLE_COLLECTIONS_PATH": str(there), "ANSIBLE_ROLES_PATH": f"{project.parent}/requirements_roles"}
    client.run("ansible-galaxy", "install", "-r", "requirements.yml", cwd=project, **paths)
    client.run(
        "ansible-galaxy", "collection", "install", "-r", "collections/requirements.yml", cwd=project, **paths
    )  # fmt: skip
    assert not there.exists() or not os.listdir(there)
    # AWX offers files with such a line as playbooks.
    for file in Path(project / "playbooks").glob("*.yml"):
        assert re.search(r"^\s*-?\s*(hosts|ansible\.builtin\.import_playbook|import_playbook):", file.read_text(), re.M)
    for name in ("site.yml", "converge.yml"):
        client.run("ansible-playbook", "--syntax-check", "-i", "localhost,", f"playbooks/{name}", cwd=project)
