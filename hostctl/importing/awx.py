"""What ``awx export`` writes: objects that refer to each other by natural keys (organization, name, type)."""

from __future__ import annotations

from functools import partial
from typing import Any

from hostctl.importing.awx_export import Export, name_of
from hostctl.importing.awx_templates import Templates
from hostctl.importing.inventory import Group, Tree, flat
from hostctl.importing.parts import address, each
from hostctl.importing.plan import NotCarried, prose
from hostctl.importing.read import Node
from hostctl.importing.variables import parse

#: Lists of the export that have no counterpart here, and what one of their items is called.
OTHERS = {
    "workflow_job_templates": "workflow",
    "notification_templates": "notification template",
    "inventory_sources": "inventory source",
    "execution_environments": "execution environment",
    "applications": "application",
    "users": "user",
    "teams": "team",
    "organizations": "organization",
    "credential_types": "credential type",
}
#: Of those, what a run was made of; the others are AWX's own order.
WORK = {"workflow_job_templates", "inventory_sources"}


class Awx(Export):
    """An export on its way to a plan."""

    def read(self) -> None:
        """Fill the plan."""
        each(self.plan, self.top, "projects", "projects", self._project)
        each(self.plan, self.top, "inventory", "inventories", self._inventory)
        templates = Templates(self)
        each(self.plan, self.top, "job_templates", "templates", templates.template)
        templates.schedules()
        each(self.plan, self.top, "credentials", "credentials", self._credential)
        for name, what in OTHERS.items():
            each(self.plan, self.top, name, what, partial(self._other, name))

    def _project(self, node: Node) -> None:
        name, where = self.own("projects", node), f"project {name_of(node)}"
        with self.plan.item("projects", name, name_of(node)) as fields:
            fields["description"] = prose(node.text("description"))
            type_ = node.text("scm_type")
            if type_ == "git":
                fields |= {"source": "git", "url": address(self.plan, where, node.text("scm_url"))}
                fields["ref"] = node.text("scm_branch") or self.branch
                if not node.text("scm_branch"):
                    self.plan.note(where, f"names no branch: {self.branch} is taken (--branch)")
            elif type_ == "":
                fields |= {"source": "directory", "directory": node.text("local_path")}
                self.plan.note(where, "is a directory: copy it to the workers, below HOSTREEVE_PROJECTS")
            else:
                raise NotCarried(f"its source is {type_}; there are git and directories here")
        if node.text("scm_refspec"):
            self.plan.note(where, "fetches a refspec of its own: only branches, tags and commits are fetched here")
        if credential := node.value.get("credential"):
            self.plan.secret(
                f"{where}, credential {_called(credential)}",
                "is left out: repositories are read with the workers' SSH key",
            )

    def _inventory(self, node: Node) -> None:
        source = name_of(node)
        name = self.own("inventory", node)
        with self.plan.item("inventories", name, source) as fields:
            if kind := node.text("kind"):
                raise NotCarried(f"it is a {kind} inventory; make a constructed or static one of this name")
            fields["description"] = prose(node.text("description"))
            where = f"inventory {source}"
            tree = Tree(variables=parse(f"{where}, variables", node.text("variables")))
            related = node.node("related") or Node({}, node.at("related"))
            for host in related.nodes("hosts"):
                if host.value.get("enabled") is False:
                    self.plan.note(f"{where}, host {host.text('name')}", "is left out: it is disabled")
                    continue
                tree.hosts[name_of(host)] = parse(host.at("variables"), host.text("variables"))
            for group in related.nodes("groups"):
                inner = group.node("related") or Node({}, group.at("related"))
                tree.groups[name_of(group)] = Group(
                    parse(group.at("variables"), group.text("variables")),
                    [found for item in inner.nodes("hosts") if (found := name_of(item)) in tree.hosts],
                    [name_of(item) for item in inner.nodes("children")],
                )
            made, self.renamed[name] = flat(self.plan, where, tree)
            fields.update(made)

    def _credential(self, node: Node) -> None:
        type_ = node.value.get("credential_type")
        self.plan.secret(
            f"credential {name_of(node)}",
            f"of the type {_called(type_)}: exports hold no secrets. Make a credential and give it to the templates",
        )

    def _other(self, plural: str, node: Node) -> None:
        what = OTHERS[plural]
        name = node.text("name") or node.text("username") or node.path
        if plural in WORK:
            reason = {
                "workflow_job_templates": "workflows are not imported; make one of the templates",
                "inventory_sources": "hosts that it brought are in its inventory as they were; nothing updates them",
            }[plural]
            self.plan.leave(what, name, reason)
        else:
            self.plan.note(f"{what} {name}", "is not carried over")


def _called(key: Any) -> str:
    """Return the name of a natural key, as far as there is one."""
    name = key.get("name") if isinstance(key, dict) else key
    return name if isinstance(name, str) and name else "without a name"
