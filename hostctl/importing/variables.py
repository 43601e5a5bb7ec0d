"""Variables of an export: which are carried over, which are secrets, and which look like templates.

AWX and Semaphore evaluate templates in variables; here they are data. Nothing is evaluated in between.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from hostctl.apply.load import File, Loader
from hostctl.errors import Failure
from hostctl.importing.plan import Plan
from hostctl.importing.read import Malformed

NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")
#: Ansible's own that hosts may have here, and what they were called before.
CONNECTION = {
    "ansible_host": re.compile(r"[0-9A-Za-z][0-9A-Za-z.:-]{0,252}|::[0-9a-f.:]{0,40}"),
    "ansible_port": re.compile(r"[0-9]{1,5}"),
    "ansible_user": re.compile(r"[a-z_][a-z0-9_-]{0,31}"),
}
OLDER = {f"ansible_ssh_{word}": f"ansible_{word}" for word in ("host", "port", "user")}
#: A text of such a name is taken for a secret.
SECRET = re.compile(r".*(password|passwd|passphrase|secret|token)|(.*_)?(pass|api_?key|private_key|credentials?)", re.I)
ENCRYPTED = "$encrypted$"
TEMPLATE = re.compile(r"\{[{%#]")
LONGEST = 4 * 1024 * 1024


class Marked(Loader):
    """YAML whose ``!vault`` and ``!unsafe`` become the marks of Ansible's JSON."""


def _vault(loader: Any, node: Any) -> dict[str, Any]:
    return {"__ansible_vault": loader.construct_scalar(node)}


def _text(loader: Any, node: Any) -> Any:
    return loader.construct_scalar(node)


Marked.add_constructor("!vault", _vault)
Marked.add_constructor("!vault-encrypted", _vault)
Marked.add_constructor("!unsafe", _text)


def parse(where: str, text: str) -> dict[str, Any]:
    """Return the variables of a text, YAML or JSON; Malformed names ``where`` if it holds something else."""
    if len(text) > LONGEST:
        raise Malformed(f"{where}: is too large")
    try:
        found = File(where, text, Marked).data
    except Failure as error:
        raise Malformed(error.message) from None
    if found is None or found == "":
        return {}
    if not isinstance(found, dict):
        raise Malformed(f"{where}: must hold variables")
    return plain(found)  # type: ignore[no-any-return]


def plain(value: Any) -> Any:
    """Return a value as JSON has it: keys are texts, dates too, and texts that were marked as data are just texts."""
    if isinstance(value, dict):
        if value.keys() == {"__ansible_unsafe"}:
            return value["__ansible_unsafe"]
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, date) else value


def carried(plan: Plan, where: str, found: dict[str, Any], *, host: bool = False) -> dict[str, Any]:
    """Return the variables that are carried over; the others are told in the plan.

    ``host``: those of a host or group, where Ansible's own for the connection are allowed.
    """
    kept: dict[str, Any] = {}
    for given, value in found.items():
        name = OLDER.get(given, given) if host else given
        place = f"{where}, variable {given}"
        if is_secret(name, value):
            plan.secret(place, "is left out: set it in a credential, a survey's password or Ansible Vault")
        elif host and name in CONNECTION and fits(name, value):
            kept.setdefault(name, value)
        elif not NAME.fullmatch(name):
            plan.note(place, "is left out: names are lower-case letters, digits and _")
        elif name.startswith(("ansible_", "hostreeve_")):
            why = "its value is not allowed" if host and name in CONNECTION else "it is not for users to set"
            plan.note(place, f"is left out: {why} here")
        else:
            kept[name] = value
            if looks_like_template(value):
                plan.note(place, "holds a template, which was evaluated there; here it stays these characters")
    return kept


def fits(name: str, value: Any) -> bool:
    """Tell whether a variable of the connection has a value that is allowed here."""
    return not isinstance(value, bool) and bool(CONNECTION[name].fullmatch(str(value)))


def is_secret(name: str, value: Any) -> bool:
    """Tell whether a value is, or is taken for, a secret: encrypted, of a vault, or a text under such a name."""
    if isinstance(value, str):
        return value.startswith(ENCRYPTED) or "$ANSIBLE_VAULT;" in value or bool(value and SECRET.fullmatch(name))
    if isinstance(value, dict):
        return "__ansible_vault" in value or any(is_secret(str(key), inner) for key, inner in value.items())
    return isinstance(value, list) and any(is_secret("", inner) for inner in value)


def looks_like_template(value: Any) -> bool:
    """Tell whether Ansible would have evaluated something in a value."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, list):
        return any(looks_like_template(inner) for inner in value)
    return isinstance(value, str) and bool(TEMPLATE.search(value))
