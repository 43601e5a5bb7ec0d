"""What both formats need: addresses of repositories, tags, and items that are read one by one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from hostctl.importing.plan import NotCarried, Plan
from hostctl.importing.read import Malformed, Node

#: user@host:path, which git takes for SSH
SCP = re.compile(r"([A-Za-z0-9_.-]+)@([A-Za-z0-9.-]+):(?!/)(.+)")
USERINFO = re.compile(r"(https?://)[^/@]*@")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}")
#: Ansible's host patterns without regular expressions and files, as the API has them.
LIMIT = re.compile(r"[A-Za-z0-9_!&*][A-Za-z0-9_!&*?\[\]:.,-]*")


def each(plan: Plan, top: Node, name: str, plural: str, convert: Callable[[Node], None]) -> None:
    """Convert the items of a list one by one; one that is not what the format says is left out and named."""
    for number, value in enumerate(top.items(name)):
        path = f"{top.at(name)}[{number}]"
        try:
            convert(Node(value, path))
        except (Malformed, NotCarried) as error:
            plan.leave(plural, path, str(error))


def address(plan: Plan, where: str, url: str) -> str:
    """Return the address of a git repository as the API takes it: without a password, and with a scheme."""
    url = url.strip()
    if USERINFO.match(url):
        url = USERINFO.sub(r"\1", url)
        plan.secret(f"{where}, address", "held a user or password, which is left out: allow the workers to read it")
    if match := SCP.fullmatch(url):
        url = f"ssh://{match[1]}@{match[2]}/{match[3]}"
    return url


def tags(where: str, found: list[str]) -> list[str]:
    """Return tags; NotCarried if one is not allowed here, since without it a run would do something else."""
    found = [tag.strip() for tag in found if tag.strip()]
    for tag in found:
        if not TAG.fullmatch(tag):
            raise NotCarried(f"{where} holds {tag!r}, which is no tag here")
    return found


def limit(text: str) -> str:
    """Return a host pattern; NotCarried if it is not allowed here, since without it a run would touch other hosts."""
    text = re.sub(r"\s+", ",", text.strip())
    if text and not LIMIT.fullmatch(text):
        raise NotCarried(f"its limit {text!r} is no pattern here: no regular expressions, files or templates")
    return text


def question(variable: str, title: str, description: str, type_: str, **more: Any) -> dict[str, Any]:
    """Return a question of a survey with all its fields."""
    return {
        "variable": variable, "question": title or variable, "description": description, "type": type_,
        "required": True, "min": None, "max": None, "default": None, "choices": [], **more,
    }  # fmt: skip
