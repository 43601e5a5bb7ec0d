# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tells each host whether this run holds its lease; the callback of the same name has taken it."""

from __future__ import annotations

from ansible.errors import AnsibleActionFail, AnsibleActionSkip
from ansible.plugins.action import ActionBase
from ansible_collections.hostreeve.hosting.plugins.plugin_utils.platform import platform_of


class ActionModule(ActionBase):
    """Fails hosts that another run holds."""

    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp=None, task_vars=None):
        """Return the host's token."""
        result = super().run(tmp, task_vars)
        host = task_vars["inventory_hostname"]
        platform = platform_of(host)
        if platform is None:
            raise AnsibleActionSkip("the inventory comes from no API, or a job runs: there is no lease to take")
        if self._task.check_mode:
            raise AnsibleActionSkip("nothing is changed, so no lease is needed")
        if host in platform.refused:
            raise AnsibleActionFail("%s %s" % (host, platform.refused[host]))
        if host not in platform.tokens:
            raise AnsibleActionFail(
                "ansible.cfg must say callbacks_enabled = hostreeve.hosting.lease: it takes the leases"
            )
        return {**result, "changed": False, "token": platform.tokens[host]}
