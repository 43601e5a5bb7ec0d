"""Playbooks of project directories and git repositories: what runs is what was pinned, and nothing else is started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from api.launch.kinds.project import ref, url
from tests.launch.conftest import LOCAL

HEAD = LOCAL.format(hosts="all", python=sys.executable)


def say(text: str) -> str:
    return HEAD + f'    - ansible.builtin.debug: {{msg: "this is {text}"}}\n'


def git(path: Path, *arguments: str) -> str:
    names = [text for who in ("user.name=Test", "user.email=test@example.net") for text in ("-c", who)]
    done = subprocess.run(["git", *names, "-C", str(path), *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the tag v1 and, behind it, the branch main."""
    path = tmp_path / "repository"
    (path / "deep").mkdir(parents=True)
    git(path, "init", "--quiet", "--initial-branch=main")
    for text in ("one", "two"):
        (path / "deep" / "say.yml").write_text(say(text))
        # Neither is ever run here.
        (path / "ansible.cfg").write_text("[defaults]\ninventory = /dev/null\nroles_path = /nowhere\n")
        git(path, "add", ".")
        git(path, "commit", "--quiet", "-m", text)
        if text == "one":
            git(path, "tag", "v1")
    return path


@pytest.mark.parametrize("stage", [{"git_urls": "https://git.example.net/, file:///"}], indirect=True)
def test_a_repository_runs_at_its_revision(stage, repository):
    project = stage.rest.make("projects", name="git", source="git", url=f"file://{repository}", ref="v1")
    template = stage.template(project_id=project["id"], playbook="deep/say.yml")
    commits = {name: git(repository, "rev-parse", f"{name}^{{commit}}") for name in ("v1", "main")}

    def run(wanted: str, text: str) -> None:
        stage.rest.patch(f"/projects/{project['id']}", {"ref": wanted})
        job = stage.run(template)
        assert job.state == "successful", stage.output(job)
        assert f"this is {text}" in stage.output(job)
        commit = commits.get(wanted, wanted)
        assert stage.rest.get(f"/launches/{job.id}").json["revision"] == commit

    run("v1", "one")
    run("main", "two")
    run(commits["v1"], "one")
    (repository / "deep" / "say.yml").write_text(say("three"))
    git(repository, "commit", "--quiet", "-am", "three")
    commits["main"] = git(repository, "rev-parse", "main")
    run("main", "three")
    # A commit that is known needs no server.
    repository.rename(repository.with_name("gone"))
    run(commits["v1"], "one")
    stage.rest.patch(f"/projects/{project['id']}", {"ref": "main"})
    job = stage.run(template)
    assert job.state == "failed" and job.reason.startswith("project: git fetch: fatal:")


@pytest.mark.parametrize("stage", [{"git_urls": "file:///"}], indirect=True)
def test_what_is_not_there_fails_the_job(stage, repository):
    project = stage.rest.make("projects", name="git", source="git", url=f"file://{repository}", ref="v1")
    job = stage.run(stage.template(project_id=project["id"], playbook="deep/none.yml"))
    assert (job.state, job.reason) == ("failed", "project: there is no playbook deep/none.yml")
    stage.rest.patch(f"/projects/{project['id']}", {"ref": "nope"})
    job = stage.run(stage.template(name="Other", project_id=project["id"], playbook="deep/say.yml", inventory_id=None))
    assert job.reason == "project: its repository has no branch, tag or commit nope"


def test_a_directory_and_its_revision(stage):
    directory = stage.path / "projects" / "app"
    directory.mkdir()
    (directory / "say.yml").write_text(say("local"))
    project = stage.rest.make("projects", name="dir", source="directory", directory="app")
    template = stage.template(project_id=project["id"], playbook="say.yml")
    first = stage.run(template)
    assert first.state == "successful" and "this is local" in stage.output(first)
    (directory / "say.yml").write_text(say("changed"))
    second = stage.run(template)
    revisions = [stage.rest.get(f"/launches/{job.id}").json["revision"] for job in (first, second)]
    assert all(text.startswith("sha256:") for text in revisions) and len(set(revisions)) == 2
    (directory / "say.yml").unlink()
    directory.rmdir()
    job = stage.run(template)
    assert job.reason == "project: there is no directory app among the projects of this worker"


def test_repositories_need_the_operators_leave(stage, repository):
    answer = stage.rest.post("/projects", {"name": "x", "source": "git", "url": f"file://{repository}", "ref": "v1"})
    assert answer.status_code == 422 and answer.json["error"]["code"] == "POLICY_VIOLATION"


ADDRESSES = ["ext::sh -c id", "--upload-pack=id", "-u", "https://user:password@example.net/a", "http://example.net/a",
             "git://example.net/a", "ssh://-oProxyCommand=id/a", "ssh://a@-x/a", "https://example.net/a b",
             "https://example.net/../a", "https://example.net/-x", "file://host/a", "file:///-a", "a@b:c",
             "https://example.net", "https://EXAMPLE.net/a\n", "https://example.net/a?x=1"]  # fmt: skip


@pytest.mark.parametrize("text", ADDRESSES)
def test_no_address_is_an_option_or_a_helper(text):
    with pytest.raises(ValueError):
        url(text)


@pytest.mark.parametrize("text", ["-x", "--upload-pack=id", "a..b", "a b", "a~1", "a^{}", "a:b", "@{u}", "", "a.lock"])
def test_no_ref_is_an_option_or_an_expression(text):
    with pytest.raises(ValueError):
        ref(text)


def test_plain_addresses_are_fine():
    for text in (
        "https://git.example.net/team/app.git",
        "ssh://git@git.example.net:2222/~team/app",
        "file:///srv/git/a",
    ):
        assert url(text) == text
    for text in ("v1.2", "main", "feature/x-1", "0" * 40):
        assert ref(text) == text
