# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the three lists of a web host ask for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.items import REQUIRED, TENANTS, Items, Kind, choice


@dataclass
class Webroot:
    """A folder of a tenant that is served."""

    kind = "webroot"
    id: str
    name: str
    state: str
    tenant: str = ""
    runtime: str = "static"
    public_folder: str = "public"
    env: dict = field(default_factory=dict)


@dataclass
class Fqdn:
    """A host name that a webroot answers to."""

    kind = "fqdn"
    id: str
    name: str
    state: str
    webroot: str = ""
    directives: str = ""


def _directives(value):
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("must be text")
    return value


class Wanted(Items):
    """``tenants``, ``webroots`` and ``fqdns`` by name."""

    KINDS: ClassVar = {
        "tenants": TENANTS,
        "webroots": Kind(
            Webroot,
            grammar.webroot_name,
            fields={
                "tenant": (grammar.tenant_name, REQUIRED),
                "runtime": (choice("static", "php"), "static"),
                "public_folder": (grammar.public_folder, "public"),
                "env": (grammar.environment, {}),
            },
            parent="tenant",
        ),
        "fqdns": Kind(
            Fqdn,
            grammar.fqdn,
            fields={"webroot": (grammar.webroot_name, REQUIRED), "directives": (_directives, "")},
            key="fqdn",
            parent="webroot",
        ),
    }
