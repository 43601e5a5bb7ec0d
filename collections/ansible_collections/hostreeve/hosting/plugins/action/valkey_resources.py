# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes the lists of valkey_resources to the host."""

from __future__ import annotations

from ansible_collections.hostreeve.hosting.plugins.plugin_utils.lists import ListsAction


class ActionModule(ListsAction):
    """Hands the three lists over."""

    LISTS = ("tenants", "instances", "users")
