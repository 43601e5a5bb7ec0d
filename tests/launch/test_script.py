"""Ansible's dynamic inventory, read by Ansible itself from a script: everything arrives, and nothing is evaluated."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from api.app import create_app
from api.auth.keys import issue
from tests.api.conftest import Rest


@pytest.fixture
def rest(engine):
    with engine.maker.begin() as session:
        key = issue(session, "operator", ["*"], ["*"])[1]
    return Rest(create_app(engine.settings), key)


def ansible(document, path: Path, *command: str) -> str:
    """Run a program of Ansible with an inventory script that prints the document."""
    (path / "document.json").write_text(json.dumps(document))
    script = path / "inventory.sh"
    script.write_text(f"#!/bin/sh\nexec cat {path}/document.json\n")
    script.chmod(0o700)
    (path / "empty.cfg").touch()
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(path),
        "ANSIBLE_CONFIG": str(path / "empty.cfg"),
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        [command[0], "-i", str(script), *command[1:]], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return done.stdout


def read(rest, inventory):
    answer = rest.get(f"/inventories/{inventory['id']}/script")
    assert answer.status_code == 200, answer.text
    return answer.json


def test_a_static_inventory_reaches_ansible_literally(rest, tmp_path):
    evil = "{{ lookup('pipe', 'touch %s/owned') }}" % tmp_path
    made = rest.make(
        "inventories",
        name="mine",
        source="static",
        hosts={"one": {"groups": ["app"], "vars": {"text": evil, "tree": {"deep": ["{%% if 1 %%}", 7]}}}, "two": {}},
        groups={"app": {"vars": {"app_port": 80}}, "empty": {}},
        variables={"everywhere": "{# x #}"},
    )
    listed = json.loads(ansible(read(rest, made), tmp_path, "ansible-inventory", "--list"))
    assert set(listed["all"]["children"]) == {"app", "ungrouped"} | ({"empty"} & set(listed["all"]["children"]))
    assert listed["app"]["hosts"] == ["one"] and listed["ungrouped"]["hosts"] == ["two"]
    local = ("-c", "local", "-e", f"ansible_python_interpreter={sys.executable}")
    shown = "{{ [text, tree, everywhere, app_port] | to_json }}"
    printed = ansible(
        read(rest, made), tmp_path, "ansible", "one", *local,
        "-m", "debug", "-a", f"msg={shown}",
    )  # fmt: skip
    told = json.loads(printed[printed.index("{") :])["msg"]
    told = json.loads(told) if isinstance(told, str) else told
    assert told == [evil, {"deep": ["{%% if 1 %%}", 7]}, "{# x #}", 80]
    assert not (tmp_path / "owned").exists()


def test_the_platform_and_what_a_filter_leaves(rest, tmp_path, engine):
    engine.add("fqdn", brand_id=engine.ids["brand"], webroot_id=engine.ids["webroot"], fqdn="www.other.example")
    platform = read(rest, rest.make("inventories", name="all of it", source="platform"))
    listed = json.loads(ansible(platform, tmp_path, "ansible-inventory", "--list"))
    hostvars = listed["_meta"]["hostvars"]
    assert set(hostvars) == {"web1", "web2", "lb1", "dns1", "dns2"}
    assert hostvars["web1"]["ansible_host"] == "10.0.0.11"
    assert [item["fqdn"] for item in hostvars["web2"]["web_fqdns"]] == ["www.other.example"]
    some = rest.make(
        "inventories", name="some", source="constructed", filter={"roles": ["web", "dns"], "regions": ["eu-1"]}
    )
    assert set(read(rest, some)["_meta"]["hostvars"]) == {"web1", "web2", "dns1", "dns2"}
    none = rest.make("inventories", name="none", source="constructed", filter={"clusters": ["elsewhere"]})
    assert read(rest, none)["_meta"]["hostvars"] == {}
    assert rest.get(f"/inventories/{uuid.uuid4()}/script").status_code == 404
