"""The backup of a Semaphore project: objects that refer to each other by name."""

from __future__ import annotations

import argparse
import json
import re
from functools import partial
from typing import Any, NoReturn

from hostctl.importing.inventory import flat, from_text, renamed
from hostctl.importing.parts import address, each, limit, question, tags
from hostctl.importing.plan import Names, NotCarried, Plan, Ref, printable, prose
from hostctl.importing.read import Malformed, Node
from hostctl.importing.times import from_cron
from hostctl.importing.variables import carried, is_secret, parse

LISTS = {"repositories": "projects", "inventories": "inventories", "templates": "templates", "schedules": "schedules"}
TEXTS = {"static": "ini", "static-yaml": "yaml"}
TYPES = {"": "text", "string": "text", "int": "integer", "enum": "choice", "secret": "password"}
#: What a task may be asked: the field of task_params, and here.
ASK = {
    "allow_override_inventory": "inventory_id", "allow_override_limit": "limit", "allow_override_tags": "tags",
    "allow_override_skip_tags": "skip_tags", "allow_debug": "verbosity",
}  # fmt: skip


class Semaphore:
    """A backup on its way to a plan."""

    def __init__(self, top: Node, plan: Plan, prefix: str, timezone: str, branch: str) -> None:
        self.top, self.plan, self.timezone, self.branch = top, plan, timezone, branch
        self.names = {
            plural: Names(
                (("", item["name"]) for item in top.items(there)
                 if isinstance(item, dict) and isinstance(item.get("name"), str)), prefix,
            )
            for there, plural in LISTS.items()
        }  # fmt: skip
        self.prefix = prefix
        self.renamed: dict[str, dict[str, str]] = {}
        self.environments: dict[str, Node] = {}
        self._surveys: dict[str, list[dict[str, Any]]] = {}

    def read(self) -> None:
        """Fill the plan."""
        each(self.plan, self.top, "keys", "keys", self._key)
        each(self.plan, self.top, "repositories", "projects", self._repository)
        each(self.plan, self.top, "inventories", "inventories", self._inventory)
        each(self.plan, self.top, "environments", "environments", self._environment)
        each(self.plan, self.top, "templates", "templates", self._template)
        each(self.plan, self.top, "schedules", "schedules", self._schedule)
        for name, what in (("integrations", "integration"), ("views", "view")):
            each(self.plan, self.top, name, what, partial(self._other, what))

    def _other(self, what: str, node: Node) -> None:
        self.plan.note(f"{what} {node.text('name') or node.text('title')}", "is not carried over")

    def _key(self, node: Node) -> None:
        if (type_ := node.text("type")) != "none":
            todo = "exports hold no secrets. Make a credential and give it to the templates"
            self.plan.secret(f"key {node.text('name')}", f"of the type {type_}: {todo}")

    def _repository(self, node: Node) -> None:
        source = _name(node)
        with self.plan.item("projects", self.names["projects"]("", source), source) as fields:
            url = address(self.plan, f"project {source}", node.text("git_url"))
            if "://" not in url:
                raise NotCarried("it is a directory of Semaphore's machine; make a project of the source directory")
            fields |= {"source": "git", "url": url, "description": "", "ref": node.text("git_branch") or self.branch}

    def _inventory(self, node: Node) -> None:
        source = _name(node)
        name, where = self.names["inventories"]("", source), f"inventory {source}"
        with self.plan.item("inventories", name, source) as fields:
            if (kind := TEXTS.get(node.text("type"))) is None:
                raise NotCarried(f"it is of the type {node.text('type')}; make a static inventory of this name")
            made, self.renamed[name] = flat(self.plan, where, from_text(where, node.text("inventory"), kind))
            fields |= {"description": "", **made}
        for key in ("ssh_key", "become_key"):
            if node.text(key):
                self.plan.secret(f"{where}, {key} {node.text(key)}", "is left out: give it to the templates")

    def _environment(self, node: Node) -> None:
        name = _name(node)
        self.environments[name] = node
        env = parse(node.at("env"), node.text("env"))
        for variable in env:
            self.plan.secret(
                f"environment {name}, {variable}", "is left out: make a credential of the type environment with it"
            )
        if node.text("password"):
            self.plan.secret(f"environment {name}, password", "is left out")

    def _template(self, node: Node) -> None:
        source = _name(node)
        name, where = self.names["templates"]("", source), f"template {source}"
        with self.plan.item("templates", name, source) as fields:
            if node.text("app", "ansible") not in ("ansible", ""):
                raise NotCarried(f"it runs {node.text('app')}; only Ansible is run here")
            if node.text("git_branch"):
                raise NotCarried("it has a branch of its own (git_branch), which there is none of here")
            if not node.text("inventory"):
                raise NotCarried("it has no inventory, and without one it would touch all hosts")
            inventory = self.names["inventories"]("", node.text("inventory"))
            run = arguments(node.at("arguments"), node.text("arguments"))
            run = _with_params(run, node.node("task_params"))
            run["limit"] = renamed(run["limit"], self.renamed.get(inventory, {}))
            variables = {**self._variables(where, node.text("environment")), **run.pop("variables")}
            fields |= {
                "description": prose(node.text("description")),
                "project_id": Ref("projects", self.names["projects"]("", node.text("repository"))),
                "inventory_id": Ref("inventories", inventory),
                "playbook": node.text("playbook").removeprefix("./"),
                "concurrency": "parallel" if node.flag("allow_parallel_tasks") else "queue",
                "variables": carried(self.plan, where, variables),
                "survey": list(self._survey(where, node)),
                **run,
            }
        self._losses(node, where)
        if cron := node.text("cron"):
            self._add_schedule(name, f"{source}: {cron}", Ref("templates", name), cron, Node({}, node.at("cron")))

    def _variables(self, where: str, name: str) -> dict[str, Any]:
        if name and name not in self.environments:
            raise NotCarried(f"there is no environment {name} in the file")
        if not name:
            return {}
        node = self.environments[name]
        return parse(f"{where}, environment {name}", node.text("json"))

    def _survey(self, where: str, node: Node) -> Any:
        given = node.value.get("survey_vars")
        if isinstance(given, str):
            # Older backups hold it as a text.
            try:
                given = json.loads(given) if given else []
            except (ValueError, RecursionError):
                raise Malformed(f"{node.at('survey_vars')}: must be JSON") from None
        for item in Node({"survey_vars": given}, node.path).nodes("survey_vars"):
            if (type_ := TYPES.get(item.text("type"))) is None:
                raise Malformed(f"{item.at('type')}: must be one of {', '.join(TYPES)}")
            choices = [value.text("value") for value in item.nodes("values")] if type_ == "choice" else []
            default: Any = item.text("default_value") or None
            if default is not None and (type_ == "password" or is_secret(item.text("name"), default)):
                self.plan.secret(f"{where}, question {item.text('name')}", "its default is left out")
                default = None
            if default is not None and type_ == "integer":
                try:
                    default = int(default)
                except ValueError:
                    raise Malformed(f"{item.at('default_value')}: must be a whole number") from None
            yield question(
                item.text("name"), printable(item.text("title")), prose(item.text("description")), type_,
                required=item.flag("required"), choices=choices, default=default,
            )  # fmt: skip

    def _losses(self, node: Node, where: str) -> None:
        for vault in node.items("vaults"):
            name = vault.get("vault_key") or vault.get("name") if isinstance(vault, dict) else ""
            self.plan.secret(f"{where}, vault {name or ''}", "make a credential of the type vault_password")
        if node.value.get("vault_key"):
            self.plan.secret(
                f"{where}, vault {node.value['vault_key']}", "make a credential of the type vault_password"
            )
        if kind := node.text("type"):
            self.plan.note(where, f"is of the type {kind}: versions and what follows a build are not carried over")
        for name in ("autorun", "allow_override_args_in_task", "allow_override_branch_in_task", "runner_tag"):
            if node.value.get(name):
                self.plan.note(f"{where}, {name}", "is not carried over")

    def _schedule(self, node: Node) -> None:
        source, template = _name(node), self.names["templates"]("", node.text("template"))
        self._add_schedule(
            self.names["schedules"]("", source), source, Ref("templates", template), node.text("cron_format"), node
        )

    def _add_schedule(self, name: str, source: str, template: Ref, cron: str, node: Node) -> None:
        # A backup of before schedules had names says in the template when it runs; newer ones may say both.
        old = not node.value
        if old and any(item.plural == "schedules" and item.fields.get("template_id") == template
                       for item in self.plan.items):  # fmt: skip
            return
        with self.plan.item("schedules", self.prefix + printable(source) if old else name, source) as fields:
            if node.text("type") not in ("", "cron"):
                raise NotCarried(f"it is of the type {node.text('type')}; there are recurring ones here")
            params = node.node("task_params")
            if params and any(value not in (None, "", {}, [], False, 0) for value in params.value.values()):
                raise NotCarried("it says more than its template (task_params), which is not carried over")
            fields |= {
                "template_id": template,
                "description": "",
                "enabled": old or node.flag("active"),
                "parameters": {},
                **from_cron(cron, self.timezone),
            }


def _name(node: Node) -> str:
    if not (name := node.text("name")):
        raise NotCarried(f"{node.at('name')}: must be a text")
    return name


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise NotCarried(f"its arguments cannot be understood: {message}")


def arguments(path: str, text: str) -> dict[str, Any]:
    """Return what the arguments of ansible-playbook (a list as JSON text) say; NotCarried for others."""
    try:
        given = json.loads(text) if text.strip() else []
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise Malformed(f"{path}: must be a list of texts as JSON")
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--check", "-C", action="store_true")
    parser.add_argument("--diff", "-D", action="store_true")
    parser.add_argument("--verbose", "-v", action="count", default=0)
    parser.add_argument("--limit", "-l", default="")
    parser.add_argument("--tags", "-t", action="append", default=[])
    parser.add_argument("--skip-tags", action="append", default=[])
    parser.add_argument("--forks", "-f", type=int, default=0)
    parser.add_argument("--extra-vars", "-e", action="append", default=[])
    found, others = parser.parse_known_args(given)
    if others:
        # Only what they are called: a value may be a secret.
        options = {re.split(r"[=\s]", item)[0] if item.startswith("--") else item[:2] for item in others}
        names = ", ".join(sorted(option for option in options if option.startswith("-"))) or "a word"
        raise NotCarried(f"its arguments hold what there is none of here: {names}")
    variables: dict[str, Any] = {}
    for item in found.extra_vars:
        variables |= _extra(path, item)
    return {
        "check": found.check, "diff": found.diff, "verbosity": min(found.verbose, 4), "limit": limit(found.limit),
        "tags": tags(path, ",".join(found.tags).split(",")),
        "skip_tags": tags(path, ",".join(found.skip_tags).split(",")),
        "forks": found.forks, "variables": variables, "ask": [],
    }  # fmt: skip


def _extra(path: str, text: str) -> dict[str, Any]:
    if text.lstrip().startswith(("{", "[")):
        return parse(path, text)
    match = re.fullmatch(r"\s*([A-Za-z_]\w*)=(\S*)\s*", text)
    if not match:
        raise NotCarried("its arguments hold extra-vars that are neither JSON nor one name=value")
    return {match[1]: match[2]}


def _with_params(run: dict[str, Any], params: Node | None) -> dict[str, Any]:
    """Return what a run is told, with what newer backups say in task_params."""
    if params is None:
        return run
    for name in ("tags", "skip_tags"):
        run[name] = list(dict.fromkeys([*run[name], *tags(params.at(name), params.texts(name))]))
    if more := limit(",".join(params.texts("limit"))):
        if run["limit"]:
            raise NotCarried("its limit stands in its arguments and in task_params")
        run["limit"] = more
    return {**run, "ask": [here for there, here in ASK.items() if params.flag(there)]}
