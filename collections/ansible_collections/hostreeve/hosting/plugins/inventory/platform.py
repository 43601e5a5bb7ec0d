# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Inventory plugin: the platform's desired state as hosts, groups and literal values."""

from __future__ import annotations

DOCUMENTATION = r"""
name: platform
short_description: Desired state of the platform, from its API or from a file
description:
  - Reads a document with hosts, groups and their variables and sets them as B(untrusted) values, so that what a user
    typed is never a template. A field that holds C({{ ... }}) arrives on the host as these characters.
  - The document is JSON, C({"hosts":{name:{"groups":[...],"vars":{...}}},"groups":{name:{"vars":{...}}}}).
  - The file that configures the plugin ends in C(.hostreeve.yml) or is named C(api.yml).
  - Of Ansible's own variables only C(ansible_host), C(ansible_port) and C(ansible_user) are accepted.
author:
  - Hostreeve maintainers
version_added: 0.1.0
options:
  plugin:
    description: Name of the plugin.
    type: str
    required: true
    choices: [hostreeve.hosting.platform]
  document:
    description: Path of a document, relative to the configuration file. The worker writes one per run.
    type: str
  url:
    description: Address of the API, without a path. Needs a key with the scope C(inventory:read).
    type: str
    env:
      - name: HOSTREEVE_URL
  shard:
    description: Name of the shard to read from the API; all of them if it is empty.
    type: str
    default: ""
    env:
      - name: HOSTREEVE_SHARD
  key:
    description: API key. Stands in the environment and in no file.
    type: str
    env:
      - name: HOSTREEVE_API_KEY
  timeout:
    description: Seconds to wait for the API.
    type: int
    default: 60
"""

EXAMPLES = r"""
# inventory/api.yml: HOSTREEVE_API_KEY=... HOSTREEVE_SHARD=web-a \
#   ansible-playbook -i inventory/api.yml playbooks/site.yml
plugin: hostreeve.hosting.platform
url: https://api.example.net
"""

import json
import os
import re
from urllib.parse import urlencode

from ansible.errors import AnsibleParserError
from ansible.module_utils.urls import open_url
from ansible.plugins.inventory import BaseInventoryPlugin

HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
GROUP = re.compile(r"[a-z][a-z0-9_]{0,99}")
VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,99}")
#: Everything else that begins with ansible_ could make Ansible run a program here.
CONNECTION = {
    "ansible_host": re.compile(r"[0-9A-Za-z][0-9A-Za-z.:-]{0,252}|::[0-9a-f.:]{0,40}"),
    "ansible_port": re.compile(r"[0-9]{1,5}"),
    "ansible_user": re.compile(r"[a-z_][a-z0-9_-]{0,31}"),
}


def checked(document):
    """Return (hosts, groups) of a document; ValueError names what does not fit."""
    if not isinstance(document, dict) or not set(document) <= {"hosts", "groups"}:
        raise ValueError("the document must hold hosts and groups, and nothing else")
    hosts, groups = document.get("hosts", {}), document.get("groups", {})
    for name, host in hosts.items():
        if not HOST.fullmatch(name):
            raise ValueError("%r cannot be the name of a host" % name)
        variables(name, host)
        for group in host.get("groups", ()):
            groups.setdefault(group, {})
    for name, group in groups.items():
        if not GROUP.fullmatch(name):
            raise ValueError("%r cannot be the name of a group" % name)
        variables(name, group)
    return hosts, groups


def variables(name, entry):
    """Check the variables of a host or group."""
    for key, value in entry.get("vars", {}).items():
        if not VARIABLE.fullmatch(key):
            raise ValueError("%s: %r cannot be the name of a variable" % (name, key))
        if key.startswith("ansible_"):
            pattern = CONNECTION.get(key)
            if pattern is None or isinstance(value, bool) or not pattern.fullmatch(str(value)):
                raise ValueError("%s: %s is refused" % (name, key))


class InventoryModule(BaseInventoryPlugin):
    """Feeds a document into Ansible's inventory."""

    NAME = "hostreeve.hosting.platform"

    def verify_file(self, path):
        """Accept files that are meant for this plugin."""
        return super().verify_file(path) and (
            path.endswith((".hostreeve.yml", ".hostreeve.yaml")) or os.path.basename(path) in ("api.yml", "api.yaml")
        )

    def parse(self, inventory, loader, path, cache=True):
        """Read the document and set what it holds; AnsibleParserError says what is wrong."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        try:
            hosts, groups = checked(self._document(path))
        except (OSError, ValueError) as exc:
            raise AnsibleParserError("platform inventory: %s" % exc) from exc
        for name, group in groups.items():
            inventory.add_group(name)
            self._set(inventory, name, group)
        for name, host in hosts.items():
            inventory.add_host(name)
            for group in host.get("groups", ()):
                inventory.add_child(group, name)
            self._set(inventory, name, host)

    @staticmethod
    def _set(inventory, name, entry):
        # json.loads makes plain strings, which ansible-core never takes for templates when they come this way.
        for key, value in entry.get("vars", {}).items():
            inventory.set_variable(name, key, value)

    def _document(self, path):
        document = self.get_option("document")
        if document:
            with open(os.path.join(os.path.dirname(os.path.abspath(path)), document), encoding="utf-8") as handle:
                return json.load(handle)
        url, key = self.get_option("url"), self.get_option("key")
        if not url or not key:
            raise ValueError("needs `document`, or `url` and a key in HOSTREEVE_API_KEY")
        query = {"shard": self.get_option("shard")} if self.get_option("shard") else {}
        with open_url(
            url.rstrip("/") + "/inventory?" + urlencode(query),
            headers={"Authorization": "Bearer " + key, "Accept": "application/json"},
            timeout=self.get_option("timeout"),
            follow_redirects="none",
        ) as answer:
            return json.load(answer)
