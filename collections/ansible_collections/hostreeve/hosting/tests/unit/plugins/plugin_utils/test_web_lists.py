"""What the action plugin hands over: variables as they are, templates only where an author wrote them."""

import json
from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleActionFail
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template
from ansible_collections.hostreeve.hosting.plugins.action.web_resources import ActionModule


def handed_over(args, variables):
    task = SimpleNamespace(args=args, async_val=0, check_mode=False, action="web_resources")
    connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/tmp"))  # only what the plugin looks at
    action = ActionModule(task, connection, None, DataLoader(), Templar(DataLoader(), variables), None)
    seen = {}
    action._execute_module = lambda module_args, task_vars: seen.update(module_args) or {}
    action.run(task_vars=variables)
    return {name: json.loads(value) if name in ActionModule.LISTS else value for name, value in seen.items()}


def test_a_variable_is_taken_by_its_name():
    rows = [{"name": "t_abcdefghij", "uid": 1, "limits": {"tasks": 5}, "label": None}]
    assert handed_over({"tenants": "mine", "purge": True}, {"mine": rows}) == {"tenants": rows, "purge": True}


def test_a_list_is_taken_as_it_is_and_an_empty_one_is_left_out():
    rows = [{"fqdn": "a.test"}]
    assert handed_over({"fqdns": rows, "tenants": [], "webroots": "none"}, {"none": []}) == {"fqdns": rows}


def test_what_a_user_typed_is_never_evaluated():
    rows = [{"env": {"A": "{{ lookup('pipe', 'id') }}", "B": "{% x %}"}}]
    assert handed_over({"webroots": "mine"}, {"mine": rows}) == {"webroots": rows}


def test_what_an_author_wrote_is_evaluated_deep_in_the_list_beside_what_a_user_typed():
    rows = [
        {"env": {"A": trust_as_template("{{ base }}.test"), "B": "{{ base }}"}},
        trust_as_template("{{ {'fqdn': base} }}"),
    ]
    assert handed_over({"webroots": "mine"}, {"mine": rows, "base": "example"}) == {
        "webroots": [{"env": {"A": "example.test", "B": "{{ base }}"}}, {"fqdn": "example"}]
    }


def test_a_list_that_is_a_template_itself():
    variables = {"mine": trust_as_template("{{ first + second }}"), "first": [{"a": "{{ x }}"}], "second": [{"b": 1}]}
    assert handed_over({"fqdns": "mine"}, variables) == {"fqdns": [{"a": "{{ x }}"}, {"b": 1}]}


def test_a_variable_that_is_not_there():
    with pytest.raises(AnsibleActionFail, match="no variable mine"):
        handed_over({"fqdns": "mine"}, {})
