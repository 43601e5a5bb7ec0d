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
  - Hosts that come from the API are also in the group C(hostreeve_api). A run that changes them begins with the task
    M(hostreeve.hosting.lease); without it they refuse it.
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
    description: Address of the API, without a path. Needs a key with the scopes C(inventory:read) and, for a run that
      changes hosts, C(lease:write).
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

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible_collections.hostreeve.hosting.plugins.plugin_utils.document import checked, fill
from ansible_collections.hostreeve.hosting.plugins.plugin_utils.platform import Platform, platforms


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
            document = self.get_option("document")
            if document:
                with open(os.path.join(os.path.dirname(os.path.abspath(path)), document), encoding="utf-8") as handle:
                    fill(inventory, *checked(json.load(handle)))
            else:
                self._platform().fill(inventory)
        except (OSError, ValueError) as exc:
            raise AnsibleParserError("platform inventory: %s" % exc) from exc

    def _platform(self):
        """Return the API; the same one when the inventory is refreshed, since it remembers the leases."""
        url, key, shard = (self.get_option(name) for name in ("url", "key", "shard"))
        if not url or not key:
            raise ValueError("needs `document`, or `url` and a key in HOSTREEVE_API_KEY")
        if (url, shard) not in platforms:
            platforms[url, shard] = Platform(url, key, shard, self.get_option("timeout"))
        return platforms[url, shard]
