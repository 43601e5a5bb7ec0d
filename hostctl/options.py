"""From a field of the description to an option of the command line, and back to a value of a body."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import yaml

from hostctl.errors import Exit, Failure
from hostctl.kinds import Field, Fields, Kinds
from hostctl.lookup import Lookup
from hostctl.output import clean

#: Options of the commands themselves; a field of such a name becomes --field-NAME.
RESERVED = {"all", "columns", "field", "help", "idempotency-key", "in", "json", "limit", "null", "sort", "wait",
            "wait-timeout", "yes"}  # fmt: skip
SECRET_MOST = 65_536


def options(fields: Iterable[Field], *, changing: bool = False) -> list[click.Parameter]:
    """Return the options of some fields; in a change none is required."""
    return [option for field in fields for option in _options(field, required=field.required and not changing)]


def _options(field: Field, *, required: bool) -> list[click.Parameter]:
    text = clean(_help(field))
    names = [f"--{_flag(name)}" for name in dict.fromkeys((field.short, field.name))]
    # With a default, even None, an option would never count as missing.
    common: dict[str, Any] = {"help": text, "required": True} if required else {"help": text, "default": None}
    if field.secret:
        flag = f"{names[0]}-file"
        common["help"] = f"File that holds it, or - for stdin: a secret does not stand on a command line. {text}"
        return [click.Option([flag, field.name], type=click.Path(allow_dash=True), **common)]
    if field.refers_to:
        return [click.Option([*names, field.name], metavar="ID|NAME", **common)]
    if field.type == "boolean":
        flag = names[0].removeprefix("--")
        return [click.Option([f"--{flag}/--no-{flag}", field.name], **common)]
    if field.type == "object":
        return [click.Option([*names, field.name], metavar="NAME=VALUE", multiple=True, **common)]
    if field.free:
        common["help"] = f"File with the list, as YAML or JSON; - is stdin. {text}".strip()
        return [click.Option([f"{names[0]}-file", field.name], metavar="FILE", **common)]
    more: dict[str, Any] = {"metavar": "VALUE", "multiple": True} if field.type == "array" else {"type": _type(field)}
    return [click.Option([*names, field.name], **more, **common)]


def _flag(name: str) -> str:
    flag = name.replace("_", "-")
    return f"field-{flag}" if flag in RESERVED else flag


def _help(field: Field) -> str:
    schema = field.schema
    parts = [str(schema.get("description", ""))]
    if field.refers_to:
        parts.append(f"One of {field.refers_to}.")
    if field.type in ("array", "object"):
        parts.append("May be repeated.")
    if "example" in schema and field.type not in ("object",):
        example = schema["example"]
        parts.append(f"e.g. {' '.join(map(str, example)) if isinstance(example, list) else example}")
    return " ".join(part for part in parts if part)


def _type(field: Field) -> click.ParamType[Any]:
    choices = [item for item in field.schema.get("enum", ()) if isinstance(item, str)]
    if choices:
        return click.Choice(choices)
    low, high = field.schema.get("minimum"), field.schema.get("maximum")
    if field.type == "integer":
        return click.INT if low is None and high is None else click.IntRange(low, high)
    if field.type == "number":
        return click.FLOAT if low is None and high is None else click.FloatRange(low, high)
    return click.STRING


def body(fields: Fields, given: dict[str, Any], lookup: Lookup) -> dict[str, Any]:
    """Return the JSON of the options that were given; names of references become ids."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        if name in fields and value is not None and value != ():
            found[name] = _value(fields[name], value, lookup)
    return found


def _value(field: Field, value: Any, lookup: Lookup) -> Any:
    if field.secret:
        return read_secret(str(value))
    if field.refers_to:
        return lookup.id(kind_of(field, lookup.kinds), str(value))
    if field.type == "object":
        return pairs_of(value, f"--{_flag(field.name)}", free=field.free)
    if field.free:
        return load(str(value))
    return list(value) if field.type == "array" else value


def pairs_of(items: Iterable[str], what: str, *, free: bool = True) -> dict[str, Any]:
    """Return the object of some ``NAME=VALUE``; if it is free, values may be JSON, and @FILE holds an object."""
    found: dict[str, Any] = {}
    for item in items:
        if free and item.startswith("@"):
            read = load(item[1:])
            if not isinstance(read, dict):
                raise Failure(f"{item[1:]} must hold an object.", Exit.USAGE)
            found |= read
            continue
        name, sign, text = str(item).partition("=")
        if not name or not sign:
            raise click.UsageError(f"{what} takes NAME=VALUE")
        found[name] = _json(text) if free else text
    return found


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def load(source: str) -> Any:
    """Return what a file of YAML or JSON, or stdin for ``-``, holds."""
    try:
        return yaml.safe_load(sys.stdin.read() if source == "-" else Path(source).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Failure(f"{source} cannot be read: {error}", Exit.USAGE) from None


def kind_of(field: Field, kinds: Kinds) -> Any:
    """Return the kind that a reference points at."""
    try:
        return kinds[str(field.refers_to)]
    except KeyError:
        raise Failure(f"The server does not describe {field.refers_to}; give the id.", Exit.USAGE) from None


def read_secret(source: str) -> str:
    """Return what a file, or stdin for ``-``, holds, without the line's end."""
    try:
        text = sys.stdin.read(SECRET_MOST) if source == "-" else Path(source).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"{source} cannot be read: {error}", Exit.USAGE) from None
    return text.rstrip("\r\n")
