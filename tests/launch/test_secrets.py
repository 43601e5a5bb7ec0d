"""Canaries: secrets that a run needs and uses, searched for in everything that it leaves behind."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from api.core.db import Base
from worker.handover import Mask

PLAIN = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption())
KEY = ed25519.Ed25519PrivateKey.generate().private_bytes(*PLAIN).decode()
CANARIES = {
    "become": "Canary-become-7f3a",
    "vault": "Canary-vault-91cc",
    "vaulted": "Canary-vaulted-2b6d",
    "token": 'Canary-"token"\\-5e5e',
    "answer": "Canary-answer-{{ 8d41 }}",
    "key": KEY.splitlines()[2],
}
#: Uses every secret, proves it by a file, and is as careless with them as a playbook can be.
LEAKY = """
    - ansible.builtin.copy:
        content: "{{ [vaulted, password, lookup('env', 'API_TOKEN')] | to_json }}"
        dest: "{work}/used.json"
        mode: "0600"
    - ansible.builtin.debug: {msg: "{{ password }} {{ vaulted }} {{ lookup('env', 'API_TOKEN') }}"}
    - ansible.builtin.command: {argv: [echo, "{{ password }}", "{{ lookup('env', 'API_TOKEN') }}"]}
      when: false
    - ansible.builtin.shell: "cat {{ directory.stdout }}/*password* {{ directory.stdout }}/ssh_key*; env; false"
      vars: {directory: {stdout: "{{ inventory_dir }}"}}
      ignore_errors: true
    - ansible.builtin.wait_for: {path: "{work}/go", timeout: 60, sleep: 1}
    - ansible.builtin.fail: {msg: "wrong password {{ password }}"}
"""


def found(data: bytes, where: str) -> list[str]:
    """Return which canaries are in some bytes, as they are or as JSON."""
    texts = {name: {text, text.replace("\\", "\\\\").replace('"', '\\"')} for name, text in CANARIES.items()}
    return [f"{name} in {where}" for name, forms in texts.items() if any(form.encode() in data for form in forms)]


def in_processes() -> list[str]:
    hits = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            hits += found(path.read_bytes(), str(path))
        except OSError:
            continue
    return hits


@pytest.mark.parametrize("verbosity", [0, 4])
def test_nothing_of_a_secret_is_left_behind(stage, verbosity):
    stage.playbook("play.yml", LEAKY)
    password = stage.path / "vault-password"
    password.write_text(CANARIES["vault"])
    variables = stage.path / "playbooks" / "group_vars"
    variables.mkdir()
    (variables / "all.yml").write_text(f"vaulted: {CANARIES['vaulted']}\n")
    subprocess.run(
        ["ansible-vault", "encrypt", "--vault-password-file", str(password), str(variables / "all.yml")], check=True
    )
    password.unlink()

    def credential(type_: str, secret: str, **fields: str) -> str:
        return str(stage.rest.make("credentials", name=type_, type=type_, secret=secret, **fields)["id"])

    credentials = [
        credential("ssh_key", KEY, username="deploy"),
        credential("become_password", CANARIES["become"]),
        credential("vault_password", CANARIES["vault"], vault_id="prod"),
        credential("environment", f"API_TOKEN={CANARIES['token']}\n"),
    ]
    survey = [{"variable": "password", "question": "Secret?", "type": "password"}]
    template = stage.template(credentials=credentials, survey=survey, verbosity=verbosity)
    job_id = stage.launch(template, answers={"password": CANARIES["answer"]})
    stage.work.until((stage.path / "used.json").exists)
    directory = stage.work.settings.run_dir / "jobs" / str(job_id)
    assert {path.stat().st_mode & 0o777 for path in directory.glob("*-*-*")} == {0o600}
    assert directory.stat().st_mode & 0o777 == 0o700
    for _ in range(20):
        assert in_processes() == []
    stage.work.go()
    job = stage.work.ended(job_id)
    assert job.state == "failed" and job.reason == "host_failed: one"
    used = (stage.path / "used.json").read_bytes()
    assert {hit.split()[0] for hit in found(used, "used")} == {"vaulted", "answer", "token"}
    (stage.path / "used.json").unlink()
    output = stage.output(job)
    assert "wrong password ***" in output and "***" in output

    hits = found(output.encode(), "output")
    assert not directory.exists()
    left = [stage.work.settings.data_dir / "jobs", stage.work.settings.run_dir, stage.path]
    for path in (path for folder in left for path in folder.rglob("*") if path.is_file()):
        hits += found(path.read_bytes(), str(path))
    with stage.work.engine.maker() as session:
        for table in Base.metadata.sorted_tables:
            for row in session.execute(sa.text(f'select * from "{table.name}"')).all():
                hits += found(str(tuple(row)).encode(), table.name)
    paths = ["/credentials", "/templates", "/launches", "/jobs", f"/jobs/{job_id}", f"/launches/{job_id}", "/audit",
             f"/jobs/{job_id}/events?limit=1000"]  # fmt: skip
    for path in paths:
        answer = stage.rest.get(path)
        assert answer.status_code == 200, path
        hits += found(answer.data, path)
    # What Ansible itself decrypts from a vault is the playbook's to keep; everything else was handed over by us.
    assert [hit for hit in hits if not hit.startswith("vaulted in ")] == []


def test_a_mask_hides_the_longest_first_and_what_json_makes_of_it():
    mask = Mask(["secret", "secret-and-more", 'a"b\\c', "two\nlines", "abc"])
    assert mask("secret-and-more secret") == "*** ***"
    assert mask({"x": ['say a"b\\c', 'say a\\"b\\\\c', 5, None]}) == {"x": ["say ***", "say ***", 5, None]}
    assert mask("lines of two\nlines, abc") == "*** of ***, abc"


def test_what_is_no_key_and_what_would_change_the_run_is_refused(stage):
    for body in (
        {"type": "ssh_key", "secret": "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----"},
        {"type": "environment", "secret": "LD_PRELOAD=/x"},
        {"type": "environment", "secret": "ANSIBLE_CONFIG=/x"},
        {"type": "environment", "secret": "PATH=/x"},
        {"type": "environment", "secret": "no line of this kind"},
        {"type": "vault_password", "secret": "two\nlines"},
    ):
        answer = stage.rest.post("/credentials", {"name": "x", **body})
        assert answer.status_code == 422, body
        assert "secret" in answer.json["error"]["details"]["json"]
        assert body["secret"] not in answer.text
    twice = [stage.rest.make("credentials", name=f"p{n}", type="become_password", secret="x")["id"] for n in (1, 2)]
    stage.playbook("play.yml", LEAKY)
    answer = stage.rest.post("/templates", {"name": "x", "playbook": "play.yml", "credentials": twice})
    assert "credentials" in answer.json["error"]["details"]["json"]
    stage.template(credentials=twice[:1])
    assert stage.rest.delete(f"/credentials/{twice[0]}").status_code == 409
    assert stage.rest.delete(f"/credentials/{twice[1]}").status_code == 202
