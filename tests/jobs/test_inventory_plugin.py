"""Values reach hosts literally: nothing that a user typed is ever a template."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PLAY = """
- hosts: all
  connection: local
  gather_facts: false
  tasks:
    - ansible.builtin.copy:
        content: "{{ web_webroots | to_json }}"
        dest: "{{ playbook_dir }}/copy.json"
        mode: "0600"
    - ansible.builtin.template:
        src: "{{ playbook_dir }}/t.j2"
        dest: "{{ playbook_dir }}/template.txt"
        mode: "0600"
    - ansible.builtin.copy:
        content: "{{ item }}"
        dest: "{{ playbook_dir }}/loop-{{ index }}.txt"
        mode: "0600"
      loop: "{{ web_webroots | map(attribute='public_folder') }}"
      loop_control: {index_var: index}
      when: item is string
    - ansible.builtin.debug:
        msg: "{{ web_webroots[0] }} {{ name_of_host }}"
    - ansible.builtin.set_fact:
        again: "{{ web_webroots[0].public_folder }}"
    - ansible.builtin.copy:
        content: "{{ again }}"
        dest: "{{ playbook_dir }}/fact.txt"
        mode: "0600"
"""


def run(path: Path, document: Any, play: str = PLAY) -> subprocess.CompletedProcess[str]:
    (path / "document.json").write_text(json.dumps(document))
    (path / "run.hostreeve.yml").write_text("plugin: hostreeve.hosting.platform\ndocument: document.json\n")
    (path / "play.yml").write_text(play)
    (path / "t.j2").write_text("{{ web_webroots[0].public_folder }}|{{ web_webroots[0].env.KEY }}|{{ name_of_host }}")
    command = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "run.hostreeve.yml", "play.yml"]
    env = {
        **os.environ,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_INVENTORY_ENABLED": "hostreeve.hosting.platform",
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
    }
    return subprocess.run(command, cwd=path, env=env, capture_output=True, text=True, check=False)


def document_of(**variables: Any) -> dict[str, Any]:
    return {"hosts": {"h1": {"groups": ["web"], "vars": variables}}, "groups": {}}


def test_a_lookup_in_any_field_arrives_as_typed(tmp_path: Path) -> None:
    evil = "{{ lookup('pipe', 'touch " + str(tmp_path / "pwned") + "') }}"
    marks = [evil, "{% raw %}{{ 1 }}", "{# gone? #}", "$(id)", "${HOME}", "!unsafe x", "a\tb\"'\\ é"]
    webroots = [
        {
            "id": mark,
            "name": mark,
            "tenant": mark,
            "runtime": mark,
            "public_folder": mark,
            "env": {"KEY": mark, mark: mark},
        }
        for mark in marks
    ]
    done = run(tmp_path, document_of(web_webroots=webroots, name_of_host=evil))
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "pwned").exists()
    assert json.loads((tmp_path / "copy.json").read_text()) == webroots
    assert (tmp_path / "template.txt").read_text() == f"{evil}|{evil}|{evil}"
    assert [(tmp_path / f"loop-{number}.txt").read_text() for number in range(len(marks))] == marks
    assert (tmp_path / "fact.txt").read_text() == evil
    assert evil in done.stdout


@pytest.mark.parametrize(
    "document",
    [
        document_of(ansible_connection="local"),
        document_of(ansible_python_interpreter="/tmp/x"),
        document_of(ansible_ssh_common_args="-oProxyCommand=id"),
        document_of(ansible_host="-oProxyCommand=id"),
        document_of(ansible_host="{{ lookup('pipe', 'id') }}"),
        document_of(ansible_user="root -o x"),
        document_of(ansible_port="22; id"),
        document_of(**{"a-b": 1}),
        {"hosts": {"-x": {}}},
        {"hosts": {"h1": {"groups": ["a b"]}}},
        {"hosts": {}, "plugin": "x"},
        [],
    ],
)
def test_what_could_make_ansible_run_something_is_refused(tmp_path: Path, document: Any) -> None:
    done = run(tmp_path, document, "- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.ping: }]\n")
    assert "platform inventory" in done.stderr
    assert "ok=1" not in done.stdout


def test_every_address_and_user_that_the_api_takes_is_taken(tmp_path: Path) -> None:
    hosts = {
        f"h{number}": {
            "groups": ["web"],
            "vars": {"ansible_host": address, "ansible_user": "deploy", "ansible_port": 22},
        }
        for number, address in enumerate(["10.0.0.1", "2001:db8::1", "::1", "web1.example.net"])
    }
    play = "- hosts: web\n  connection: local\n  gather_facts: false\n  tasks: [{ansible.builtin.meta: noop}]\n"
    done = run(tmp_path, {"hosts": hosts}, play)
    assert done.returncode == 0, done.stderr
