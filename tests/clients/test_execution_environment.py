"""The definition of the execution environment, read by the real ansible-builder: what goes into the image."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from tests.cli.conftest import ROOT


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """The build context of the definition."""
    there = tmp_path_factory.mktemp("builder") / "context"
    command = [str(Path(sys.executable).parent / "ansible-builder"), "create", "--context", str(there)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return there


def test_the_image_gets_this_collection(context):
    wanted = yaml.safe_load((context / "_build" / "requirements.yml").read_text())
    (collection,) = wanted["collections"]
    there = context / "_build" / collection["name"].removeprefix("/build/")
    assert collection["type"] == "dir"
    mine = ROOT / "collections" / "ansible_collections" / "hostreeve" / "hosting"
    for name in ("galaxy.yml", "plugins/inventory/platform.py", "roles/web/tasks/main.yml"):
        assert (there / name).read_bytes() == (mine / name).read_bytes()


def test_the_image_has_the_versions_of_this_checkout(context):
    text = (context / "Containerfile").read_text()
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    pinned = [item for item in ours if item.startswith(("ansible-core", "ansible-runner"))]
    assert len(pinned) == 2 and f'ARG ANSIBLE_INSTALL_REFS="{" ".join(pinned)}"' in text
    assert "USER 1000" in text and 'ARG EE_BASE_IMAGE="debian:13"' in text
    assert set((context / "_build" / "bindep.txt").read_text().split()) == {"openssh-client", "git"}


def test_navigator_takes_the_same_image(context):
    tags = yaml.safe_load((ROOT / "execution-environment.yml").read_text())["options"]["tags"]
    settings = yaml.safe_load((ROOT / "ansible-navigator.yml").read_text())["ansible-navigator"]
    assert [settings["execution-environment"]["image"]] == tags
