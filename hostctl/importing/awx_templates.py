"""Job templates, surveys and schedules of ``awx export``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hostctl.importing.awx_export import Export
from hostctl.importing.inventory import renamed
from hostctl.importing.parts import each, limit, question, tags
from hostctl.importing.plan import Item, Names, NotCarried, Plan, Ref, printable, prose
from hostctl.importing.read import Malformed, Node
from hostctl.importing.times import from_rrule
from hostctl.importing.variables import carried, is_secret, parse

#: What a launch may be asked: the field there, and here.
ASK = {
    "inventory": "inventory_id", "credential": "credentials", "variables": "variables", "limit": "limit",
    "tags": "tags", "skip_tags": "skip_tags", "job_type": "check", "diff_mode": "diff", "verbosity": "verbosity",
    "forks": "forks", "timeout": "timeout",
}  # fmt: skip
NOT_ASKED = ("scm_branch", "execution_environment", "labels", "job_slice_count", "instance_groups")
#: Switches that a run does without, and what to do about it.
SWITCHES = {
    "become_enabled": "say become in the playbook",
    "force_handlers": "say force_handlers in the playbook",
    "use_fact_cache": "facts are gathered anew by each run",
}
TYPES = {
    "text": "text", "textarea": "textarea", "password": "password", "integer": "integer", "float": "float",
    "multiplechoice": "choice", "multiselect": "multiple_choice",
}  # fmt: skip
#: The inventory of templates that had none: AWX asked for one, and here none would mean all hosts.
NOBODY = "No hosts: choose at launch"
MOST_VERBOSE = 4


class Templates:
    """Job templates and their schedules on the way to a plan."""

    def __init__(self, export: Export) -> None:
        self.export, self.plan = export, export.plan
        self._made: dict[str, Item] = {}
        self._schedules: list[tuple[Node, Node | None]] = []

    def template(self, node: Node) -> None:
        """Add a job template."""
        source = node.text("name") or node.path
        name, where = self.export.own("job_templates", node), f"template {source}"
        related = node.node("related") or Node({}, node.at("related"))
        with self.plan.item("templates", name, source) as fields:
            self._must_be_plain(node)
            project = self.export.named("projects", node.node("project"))
            if not project:
                raise NotCarried("it has no project")
            fields |= {
                "description": prose(node.text("description")),
                "project_id": Ref("projects", project),
                "playbook": node.text("playbook").removeprefix("./"),
                "inventory_id": Ref("inventories", self._inventory(node)),
                "concurrency": "parallel" if node.flag("allow_simultaneous") else "queue",
                "ask": [here for there, here in ASK.items() if node.flag(f"ask_{there}_on_launch")],
                "variables": carried(
                    self.plan, where, parse(f"{where}, extra_vars", node.text("extra_vars"))
                ),
                **self._run(node),
            }  # fmt: skip
            spec = related.node("survey_spec")
            fields["survey"] = survey(self.plan, where, spec) if spec and node.flag("survey_enabled") else []
            if spec and spec.items("spec") and not node.flag("survey_enabled"):
                self.plan.note(where, "its survey is switched off, and left out")
        self._losses(node, where, related)
        if (made := self.plan.items[-1]).name == name and not made.action:
            self._made[name] = made
        for schedule in related.nodes("schedules"):
            self._schedules.append((schedule, Node({**node.value, "type": "job_template"}, node.path)))

    def _inventory(self, node: Node) -> str:
        if name := self.export.named("inventory", node.node("inventory")):
            return name
        nobody = self.export.prefix + NOBODY
        if not any(item.name == nobody for item in self.plan.items):
            fields = {"name": nobody, "source": "static", "description": "", "hosts": {}, "groups": {}, "variables": {}}
            self.plan.items.append(Item("inventories", nobody, NOBODY, fields))
        self.plan.note(f"template {node.text('name')}", f"has no inventory: it gets {nobody}")
        return nobody

    @staticmethod
    def _must_be_plain(node: Node) -> None:
        """Refuse what would do something else here than it did there."""
        for name, what in (("scm_branch", "a branch of its own"), ("start_at_task", "a task to start at")):
            if node.text(name):
                raise NotCarried(f"it has {what} ({name}), which there is none of here")
        if node.text("job_type", "run") not in ("run", "check"):
            raise NotCarried(f"{node.at('job_type')}: must be run or check")
        if node.number("job_slice_count") > 1:
            raise NotCarried("it is sliced (job_slice_count), which there is none of here")

    def _run(self, node: Node, template: Item | None = None) -> dict[str, Any]:
        """Return what a run is told; for a schedule of a template only what it says itself."""
        inventory = self.export.named("inventory", node.node("inventory"))
        if not inventory and template is not None:
            inventory = template.fields["inventory_id"].name
        here = self.export.renamed.get(inventory, {})
        found: dict[str, Any] = {
            "limit": renamed(limit(node.text("limit")), here),
            "tags": tags(node.at("job_tags"), node.text("job_tags").split(",")),
            "skip_tags": tags(node.at("skip_tags"), node.text("skip_tags").split(",")),
            "check": node.text("job_type") == "check",
            "diff": node.flag("diff_mode"),
            "verbosity": min(node.number("verbosity"), MOST_VERBOSE),
            "forks": node.number("forks"),
            "timeout": max(node.number("timeout"), 0),
        }
        if template is None:
            return found
        there = {"tags": "job_tags", "check": "job_type", "diff": "diff_mode"}
        return {name: value for name, value in found.items() if node.value.get(there.get(name, name)) not in (None, "")}

    def _losses(self, node: Node, where: str, related: Node) -> None:
        """Tell what of a template is not carried over."""
        for name, todo in SWITCHES.items():
            if node.value.get(name) is True:
                self.plan.note(f"{where}, {name}", f"is not carried over: {todo}")
        for name in NOT_ASKED:
            if node.value.get(f"ask_{name}_on_launch") is True:
                self.plan.note(f"{where}, ask_{name}_on_launch", "is not carried over")
        for name in ("execution_environment", "custom_virtualenv"):
            if node.value.get(name):
                self.plan.note(f"{where}, {name}", "is not carried over: the workers' Python runs everything")
        if node.value.get("webhook_service") or node.value.get("webhook_credential"):
            self.plan.secret(f"{where}, webhook", "is left out with its key: let the caller launch it with an API key")
        if node.value.get("host_config_key"):
            self.plan.secret(f"{where}, host_config_key", "is left out: hosts cannot call for their own configuration")
        self._attached(where, related)

    def _attached(self, where: str, related: Node) -> None:
        """Tell what hung on a template."""
        for name, items in related.value.items():
            for item in items if isinstance(items, list) else ():
                called = str(item.get("name", "")) if isinstance(item, dict) else ""
                if name == "credentials":
                    self.plan.secret(f"{where}, credential {called}", "make it, and give it to this template")
                elif name not in ("schedules", "survey_spec", "roles"):
                    self.plan.note(f"{where}, {name} {called}", "is not carried over")

    def schedules(self) -> None:
        """Add the schedules, which stand in their templates, on top, or in both."""
        each(self.plan, self.export.top, "schedules", "schedules", lambda node: self._schedules.append((node, None)))
        found: dict[tuple[str, str, str], tuple[Node, Node]] = {}
        for node, template in self._schedules:
            try:
                of = template or node.node("unified_job_template") or _of(node)
                name = node.text("name") or node.path
                found.setdefault((of.text("type"), self.export.own("job_templates", of), name), (node, of))
            except (Malformed, NotCarried) as error:
                self.plan.leave("schedules", node.path, str(error))
        names = Names(((of, name) for type_, of, name in found if type_ == "job_template"), self.export.prefix)
        for (type_, template_name, name), (node, of) in found.items():
            if type_ != "job_template":
                self.plan.leave("schedules", name, f"it launches {type_.replace('_', ' ')} {of.text('name')}")
                continue
            self._schedule(node, names(template_name, name), template_name)

    def _schedule(self, node: Node, name: str, template: str) -> None:
        source = node.text("name") or node.path
        with self.plan.item("schedules", name, source) as fields:
            fields |= {
                "template_id": Ref("templates", template),
                "description": prose(node.text("description")),
                "enabled": node.value.get("enabled") is not False,
                **from_rrule(node.text("rrule")),
            }
            if node.text("scm_branch") or node.number("job_slice_count") > 1:
                raise NotCarried("it has a branch or slices of its own, which there are none of here")
            made = self._made.get(template)
            if made is None:
                raise NotCarried(f"needs the template {template}, which is not carried over")
            parameters = self._run(node, made)
            if inventory := self.export.named("inventory", node.node("inventory")):
                parameters["inventory_id"] = Ref("inventories", inventory)
            extra = node.node("extra_data")
            parameters |= self._said(f"schedule {source}", extra.value if extra else {}, made)
            fields["parameters"] = parameters
        inner = node.node("related") or Node({}, node.at("related"))
        for item in inner.nodes("credentials"):
            self.plan.secret(
                f"schedule {source}, credential {item.text('name')}", "is left out: give it to the template"
            )

    def _said(self, where: str, extra: dict[str, Any], template: Item) -> dict[str, Any]:
        """Return answers and variables of a launch."""
        asked = {item["variable"]: item for item in template.fields["survey"]}
        answers, rest = {}, {}
        for name, value in extra.items():
            if name not in asked:
                rest[name] = value
            elif asked[name]["type"] == "password" or is_secret("", value):
                self.plan.secret(f"{where}, answer {name}", "is left out: set the schedule's secret_answers")
            else:
                answers[name] = value
        found: dict[str, Any] = {"answers": answers} if answers else {}
        kept = carried(self.plan, where, rest)
        return {**found, **({"variables": kept} if kept else {})}


def _of(node: Node) -> Node:
    key = node.node("natural_key")
    if key is None or (found := key.node("unified_job_template")) is None:
        raise NotCarried(f"{node.at('unified_job_template')}: must be an object")
    return found


def survey(plan: Plan, where: str, spec: Node) -> list[dict[str, Any]]:
    """Return the questions of a survey; a password's default is left out."""
    return list(_questions(plan, where, spec))


def _questions(plan: Plan, where: str, spec: Node) -> Iterator[dict[str, Any]]:
    for node in spec.nodes("spec"):
        variable, type_ = node.text("variable"), TYPES.get(node.text("type"))
        if type_ is None:
            raise Malformed(f"{node.at('type')}: must be one of {', '.join(TYPES)}")
        found = question(
            variable, printable(node.text("question_name")), prose(node.text("question_description")), type_,
            required=node.flag("required"),
        )  # fmt: skip
        if type_ != "choice":
            found |= {name: node.value[name] for name in ("min", "max") if node.value.get(name) not in (None, "")}
        if type_ in ("choice", "multiple_choice"):
            found["choices"] = _lines(node, "choices")
            if type_ == "multiple_choice":
                # There they bound the characters of a text.
                found |= {"min": None, "max": None}
        default = node.value.get("default")
        if default in (None, "", []):
            pass
        elif type_ == "password" or is_secret("", default):
            plan.secret(f"{where}, question {variable}", "its default is left out: it is asked at each launch")
        else:
            found["default"] = _lines(node, "default") if type_ == "multiple_choice" else default
        yield found


def _lines(node: Node, name: str) -> list[str]:
    """Return a list of texts, or the lines of a text."""
    if isinstance(node.value.get(name), str):
        return [line.strip() for line in node.text(name).splitlines() if line.strip()]
    return node.texts(name)
