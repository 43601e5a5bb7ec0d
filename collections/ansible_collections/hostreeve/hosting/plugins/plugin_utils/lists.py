# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""How long lists of resources get from variables to a module."""

from __future__ import annotations

import json

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


class ListsAction(ActionBase):
    """Runs the module of the same name with each of LISTS as one JSON text.

    Such an argument is a list, or the name of a variable that holds it. By name, ansible-core does not look for
    templates in each of tens of thousands of values, which takes seconds; that is done here only if the list holds a
    template at all. Either way a value that an inventory plugin set is never evaluated, and one that the author of a
    YAML file wrote is.
    """

    LISTS: tuple[str, ...] = ()

    def run(self, tmp=None, task_vars=None):
        """Run the module and return its result."""
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        for name in self.LISTS:
            value = arguments.pop(name, None)
            if isinstance(value, str):
                value = self._variable(value, task_vars)
            if value:
                arguments[name] = json.dumps(plain(value))
        return {**result, **self._execute_module(module_args=arguments, task_vars=task_vars)}

    def _variable(self, name, task_vars):
        if name not in task_vars:
            raise AnsibleActionFail("there is no variable %s" % name)
        value = task_vars[name]
        return self._templar.template(value) if may_hold_template(value) else value


def may_hold_template(value):
    """Tell whether a variable's raw value may hold something to evaluate."""
    try:
        text = json.dumps(value)
    except TypeError:  # such as a value that is encrypted with a vault
        return True
    return isinstance(value, str) or any(mark in text for mark in ("{{", "{%", "{#"))


def plain(value):
    """Return plain containers: lazy ones evaluate what is read by Python, and the encoder of JSON reads below it."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value
