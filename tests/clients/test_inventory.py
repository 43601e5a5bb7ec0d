"""The platform's inventory in ansible-inventory and ansible-navigator: all of it arrives, nothing is evaluated."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT
from tests.clients.conftest import EVIL

API = str(ROOT / "inventory" / "api.yml")


def motto(hostvars):
    """Return what the tenant typed, as a client shows it."""
    return hostvars["web1"]["web_webroots"][0]["env"]["MOTTO"]


@pytest.fixture
def script(client, cli):
    """The inventory script of the documentation, for an inventory that is the whole platform."""
    made = cli.make("inventories", name="everything", source="platform")
    (text,) = re.findall(r"```sh\n(#!/bin/sh\n.*?/script\"\n)```", (ROOT / "docs" / "launch.md").read_text(), re.DOTALL)
    home = Path(client.env["HOME"])
    (home / ".hostreeve-key").write_text(client.env["HOSTREEVE_API_KEY"])
    client.env["INVENTORY"] = made["id"]
    path = client.path / "inventory.sh"
    path.write_text(text)
    path.chmod(0o700)
    return str(path)


def test_ansible_inventory_with_the_plugin(client):
    shown = json.loads(client.run("ansible-inventory", "-i", API, "--list").stdout)
    assert set(shown["_meta"]["hostvars"]) == {"web1", "web2", "lb1"}
    assert set(shown["web"]["hosts"]) == {"web1", "web2"} and shown["shard_lb_a"]["hosts"] == ["lb1"]
    assert motto(shown["_meta"]["hostvars"]) == {"__ansible_unsafe": EVIL % client.path}
    graph = client.run("ansible-inventory", "-i", API, "--graph", "shard_web_a").stdout
    assert graph.split() == ["@shard_web_a:", "|--web1", "|--web2"]
    assert "web_webroots:" in client.run("ansible-inventory", "-i", API, "--host", "web1", "--yaml").stdout


def test_ansible_inventory_with_the_script(client, script):
    shown = json.loads(client.run("ansible-inventory", "-i", script, "--list").stdout)
    assert set(shown["_meta"]["hostvars"]) == {"web1", "web2", "lb1"}
    assert motto(shown["_meta"]["hostvars"]) == {"__ansible_unsafe": EVIL % client.path}
    assert not (client.path / "owned").exists()


NAVIGATOR = ("--mode", "stdout", "--execution-environment", "false")


def test_navigator_lists_the_inventory(client):
    done = client.run("ansible-navigator", "inventory", "-i", API, "--list", *NAVIGATOR)
    shown = json.loads(done.stdout)
    assert set(shown["_meta"]["hostvars"]) == {"web1", "web2", "lb1"}
    assert motto(shown["_meta"]["hostvars"]) == {"__ansible_unsafe": EVIL % client.path}
    host = client.run("ansible-navigator", "inventory", "-i", API, "--host", "lb1", *NAVIGATOR).stdout
    assert '"ansible_host"' in host and "10.0.0.10" in host


def test_navigator_lists_the_script(client, script):
    done = client.run("ansible-navigator", "inventory", "-i", script, "--list", *NAVIGATOR)
    assert set(json.loads(done.stdout)["_meta"]["hostvars"]) == {"web1", "web2", "lb1"}


TOLD = [
    {
        "ansible.builtin.copy": {
            "content": "{{ web_webroots[0].env.MOTTO }}",
            "dest": "{{ told }}/{{ inventory_hostname }}",
        }
    }
]


@pytest.mark.parametrize("source", ["plugin", "script"])
def test_navigator_runs_a_playbook(client, source, request):
    inventory = API if source == "plugin" else request.getfixturevalue("script")
    play = client.play(TOLD)
    done = client.run(
        "ansible-navigator", "run", str(play), "-i", inventory, "-e", f"told={client.path}", *NAVIGATOR,
        "--playbook-artifact-enable", "false",
    )  # fmt: skip
    assert re.search(r"web1\s+: ok=1\s+changed=1", done.stdout) and "lb1" not in done.stdout
    assert {(client.path / host).read_text() for host in ("web1", "web2")} == {EVIL % client.path}
    assert not (client.path / "owned").exists()


def test_a_wrong_key_is_told_and_shown_nowhere(client):
    key = client.env["HOSTREEVE_API_KEY"]
    wrong = key[:-4] + ("aaaa" if not key.endswith("aaaa") else "bbbb")
    for command in (
        ("ansible-inventory", "-i", API, "--list"),
        ("ansible-navigator", "inventory", "-i", API, "--list", *NAVIGATOR),
    ):
        done = client.run(*command, HOSTREEVE_API_KEY=wrong, ANSIBLE_INVENTORY_UNPARSED_FAILED="true", code=1)
        text = done.stdout + done.stderr
        assert "the API refuses" in text and wrong not in text
    assert wrong not in (client.path / "navigator.log").read_text()
