"""Programs that others wrote, as processes, against a running API with a platform in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cli.conftest import ROOT, Cli, Server, _clean, cli, server  # noqa: F401 - fixtures


@dataclass
class Client:
    """Runs programs as an operator would, with a home of its own."""

    path: Path
    server: Server
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *command: str, cwd: Path = ROOT, code: int = 0, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a program; its exit code must be ``code``."""
        done = subprocess.run(
            command, cwd=cwd, env={**self.env, **env}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def play(self, tasks: list[dict[str, Any]], hosts: str = "web", directory: Path | None = None) -> Path:
        """Write a playbook that runs here, whatever address its hosts have."""
        file = (directory or self.path) / "play.yml"
        variables = {"ansible_python_interpreter": sys.executable}
        play = {"hosts": hosts, "connection": "local", "gather_facts": False, "vars": variables, "tasks": tasks}
        file.write_text(yaml.safe_dump([play]))
        return file


#: What a tenant typed, and what must arrive as these characters.
EVIL = "{{ lookup('ansible.builtin.pipe', 'touch %s/owned') }}"


@pytest.fixture
def client(cli: Cli, server: Server, tmp_path: Path) -> Client:  # noqa: F811
    """The programs, and a platform of two web servers and a tenant who types templates."""
    node = {"name": "web1", "address": "10.0.0.11"}
    document = {
        "regions": ["eu-1"],
        "clusters": [
            {
                "name": "eu-1a",
                "region": "eu-1",
                "shards": [
                    {"name": "web-a", "role": "web", "nodes": [node, {"name": "web2", "address": "10.0.0.12"}]},
                    {"name": "lb-a", "role": "lb", "nodes": [{"name": "lb1", "address": "10.0.0.10"}]},
                ],
            }
        ],
        "brands": [
            {
                "name": "acme",
                "base_domain": "acme.example",
                "hostmaster": "hostmaster@acme.example",
                "nameservers": ["ns1.acme.example", "ns2.acme.example"],
                "tenants": [
                    {
                        "label": "Acme",
                        "shard": "web-a",
                        "webroots": [{"runtime": "php", "env": {"MOTTO": EVIL % tmp_path}, "fqdns": ["www.a.example"]}],
                    }
                ],
            }
        ],
    }
    (tmp_path / "platform.yml").write_text(yaml.safe_dump(document))
    cli.run("apply", "-f", str(tmp_path / "platform.yml"), "--no-wait")
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path / "home"),
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "ANSIBLE_NOCOLOR": "1",
        "HOSTREEVE_URL": server.url,
        "HOSTREEVE_API_KEY": server.issue("inventory:read"),
        "ANSIBLE_NAVIGATOR_LOG_FILE": str(tmp_path / "navigator.log"),
    }
    return Client(tmp_path, server, env)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of this repository, as a project that somebody checked out."""
    there = tmp_path / "runner" / "project"
    hidden = shutil.ignore_patterns(".git", ".venv", ".cache", ".*_cache", "__pycache__", ".hypothesis", ".ansible")
    shutil.copytree(ROOT, there, symlinks=True, ignore=hidden)
    return there
