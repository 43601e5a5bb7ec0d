"""The kind of docs/kinds.md, added to the API as described there, is in hostctl at once."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest

from tests.cli.conftest import ROOT, free_port, is_ready, python, until


@pytest.fixture
def start(server, tmp_path):
    """Return a function that runs a copy of the API, on one port and one database, with or without the new kind."""
    shutil.copytree(ROOT / "api", tmp_path / "api", ignore=shutil.ignore_patterns("__pycache__"))
    bind = f"127.0.0.1:{free_port()}"
    env = {
        **server.env,
        "PYTHONPATH": f"{tmp_path}:{ROOT}:{ROOT / 'collections'}",
        "HOSTREEVE_DATABASE_URL": f"sqlite:///{tmp_path}/new.db",
        "HOSTREEVE_BIND": bind,
    }
    running = []

    def stop():
        for process in running:
            process.terminate()
            process.wait(30)
        running.clear()

    def start(with_kind):
        stop()
        if with_kind:
            (code,) = re.findall(r'```python\n(""".*?)```', (ROOT / "docs" / "kinds.md").read_text(), re.DOTALL)
            (tmp_path / "api" / "kinds" / "redirect.py").write_text(code)
            python(["api", "db", "revision", "--message", "redirects"], env, cwd=tmp_path)
        python(["api", "db", "upgrade"], env, cwd=tmp_path)
        command = [sys.executable, "-m", "gunicorn", "-c", "python:api.gunicorn", "--chdir", str(tmp_path)]
        running.append(subprocess.Popen([*command, "api.app:create_app()"], cwd=tmp_path, env=env))
        until(lambda: is_ready(f"http://{bind}"), "the API is not ready")
        command = ["api", "keys", "create", "--name", "t", "--scopes", "*", "--brands", "*"]
        return f"http://{bind}", python(command, env, cwd=tmp_path).stdout.strip().splitlines()[-1]

    yield start
    stop()


SITE = """
regions: [eu-1]
clusters: [{name: a, region: eu-1, shards: [{name: web-a, role: web}]}]
brands:
  - name: acme
    base_domain: acme.example
    hostmaster: hostmaster@acme.example
    nameservers: [ns1.acme.example, ns2.acme.example]
    tenants:
      - label: Acme
        webroots:
          - fqdns:
            - fqdn: www.acme.example
              redirects: [{source: /old, target: /new}]
"""


def test_a_kind_that_is_added_to_the_api_is_there(cli, start, tmp_path):
    url, key = start(with_kind=False)
    env = {"HOSTCTL_URL": url, "HOSTCTL_KEY": key, "HOSTCTL_KEY_FILE": None}
    assert "No such command" in cli.run("redirects", "list", code=2, **env).stderr
    url, key = start(with_kind=True)
    env["HOSTCTL_KEY"] = key
    assert cli.json("redirects", "list", **env) == []
    text = cli.run("redirects", "create", "--help", **env).stdout
    assert all(option in text for option in ("--fqdn, --fqdn-id", "--source", "--target", "--status-code"))
    path = tmp_path / "site.yml"
    path.write_text(SITE)
    result = cli.json("apply", "-f", str(path), "--no-wait", **env)
    assert result["summary"] == {"created": 8}, result
    assert cli.json("apply", "-f", str(path), "--no-wait", **env)["changed"] is False
    row = cli.json("redirects", "show", "/old", **env)
    assert (row["target"], row["status_code"]) == ("/new", 301)
    made = cli.json(
        "redirects", "create", "--fqdn", "www.acme.example", "--source", "/a", "--target", "/b", "--status-code", "302",
        **env,
    )["resource"]  # fmt: skip
    assert cli.json("redirects", "update", made["id"], "--target", "/c", **env)["resource"]["target"] == "/c"
    assert cli.json("redirects", "delete", "/a", **env)["resource"]["status"] in ("deleting", "deleted")
