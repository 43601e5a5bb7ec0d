"""What the description says about kinds: fields, filters, verbs. Nothing here names a kind.

A kind is a path with a list (``GET /tenants``) and single resources (``GET /tenants/{id}``). What a client cannot read
from schemas comes as extensions: ``x-kind`` of the list (name, title, parent, identity) and ``x-refers-to`` of a field.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

#: Names become commands and options; anything else in a description is left out.
NAME = re.compile(r"[a-z][a-z0-9_-]{0,62}")
Schema = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """A field of a body, or a parameter of a list."""

    name: str
    schema: Schema
    required: bool = False

    @property
    def refers_to(self) -> str | None:
        """Plural of the kind whose id this is."""
        found = self.schema.get("x-refers-to")
        return found if isinstance(found, str) else None

    @property
    def type(self) -> str:
        """JSON type; text if the description does not say."""
        return str(self.schema.get("type", "string"))

    @property
    def free(self) -> bool:
        """Tell whether its values, or its items', may be any JSON."""
        schema = self.schema.get("items", {}) if self.type == "array" else self.schema
        return isinstance(schema, dict) and schema.get("additionalProperties") in ({}, True)

    @property
    def secret(self) -> bool:
        """Tell whether it is written and never shown."""
        return bool(self.schema.get("writeOnly"))

    @property
    def nullable(self) -> bool:
        """Tell whether it may be null."""
        return bool(self.schema.get("nullable"))

    @property
    def short(self) -> str:
        """The name without ``_id`` for a reference: ``brand`` for ``brand_id``."""
        return self.name.removesuffix("_id") if self.refers_to else self.name


Fields = dict[str, Field]


@dataclass(frozen=True)
class Kind:
    """A kind of resource, as the server describes it."""

    plural: str
    name: str
    #: field that names a row, and the list's filter by it if there is one
    title: str | None
    #: field that refers to the parent
    parent: str | None
    identity: tuple[str, ...]
    #: None where the verb does not exist
    view: Fields
    create: Fields | None
    update: Fields | None
    deletable: bool
    #: a deletion must repeat the title
    confirms: bool
    filters: Fields
    sorts: tuple[str, ...]
    #: POST /kind/{id}/<name> → what it does
    actions: dict[str, str] = field(default_factory=dict)
    #: GET /kind/{id}/<name> with a page as answer → what it lists
    lists: dict[str, str] = field(default_factory=dict)
    help: str = ""
    #: the server says how its rows are told apart, so a file may describe them
    applicable: bool = False

    @property
    def path(self) -> str:
        """The list's path."""
        return f"/{self.plural}"

    @property
    def key(self) -> str:
        """The plural as a field of a file: ``lb_addresses``."""
        return self.plural.replace("-", "_")

    @property
    def parent_kind(self) -> str | None:
        """Plural of the parent's kind."""
        return self.view[self.parent].refers_to if self.parent in self.view and self.parent else None

    @property
    def has_status(self) -> bool:
        """Tell whether hosts carry it out, or could."""
        return "status" in self.view


class Kinds(dict[str, Kind]):
    """All kinds of a server, by plural."""

    def __init__(self, document: dict[str, Any]) -> None:
        super().__init__()
        self._document = document
        self.paths: dict[str, Any] = document.get("paths", {})
        texts = {tag.get("name"): tag.get("description", "") for tag in document.get("tags", ())}
        for path, operations in self.paths.items():
            plural = path.removeprefix("/")
            if NAME.fullmatch(plural) and "get" in operations and "get" in self.paths.get(f"{path}/{{id}}", {}):
                self[plural] = self._kind(plural, operations, str(texts.get(plural, "")))

    def _kind(self, plural: str, many: dict[str, Any], text: str) -> Kind:
        path = f"/{plural}"
        one = self.paths[f"{path}/{{id}}"]
        view = self._answer(one["get"])
        facts = many["get"].get("x-kind", {})
        query = [self._resolve(item) for item in many["get"].get("parameters", ()) if item.get("in") == "query"]
        filters = {
            item["name"]: Field(item["name"], self._filter(item, view))
            for item in query
            if NAME.fullmatch(item["name"]) and item["name"] not in ("limit", "cursor", "sort")
        }
        sorts = next((item["schema"].get("enum", ()) for item in query if item["name"] == "sort"), ())
        return Kind(
            plural=plural,
            name=str(facts.get("name") or plural.removesuffix("s")),
            title=facts.get("title") or ("name" if "name" in view else None),
            parent=facts.get("parent"),
            identity=tuple(facts.get("identity", ())),
            view=view,
            create=self._body(many["post"]) if "post" in many else None,
            update=self._body(one["patch"]) or None if "patch" in one else None,
            deletable="delete" in one,
            confirms=any(item.get("name") == "confirm" for item in one.get("delete", {}).get("parameters", ())),
            filters=filters,
            sorts=tuple(item for item in sorts if isinstance(item, str)),
            actions=self._below(path, "post"),
            lists=self._below(path, "get"),
            help=text,
            applicable="x-kind" in many["get"],
        )

    def _below(self, path: str, method: str) -> dict[str, str]:
        """Return the verbs (post) or lists (get) of single resources."""
        found = {}
        for other, operations in self.paths.items():
            name = other.removeprefix(f"{path}/{{id}}/")
            if name == other or not NAME.fullmatch(name) or method not in operations:
                continue
            operation = operations[method]
            if method == "get" and not {"items", "next_cursor"} <= self._answer(operation).keys():
                continue
            if method == "post" and "requestBody" in operation:
                continue
            found[name] = str(operation.get("summary", ""))
        return found

    def _resolve(self, schema: Any) -> Schema:
        """Follow a reference within the document."""
        for _ in range(8):
            if not isinstance(schema, dict) or "$ref" not in schema:
                break
            found: Any = self._document
            for part in str(schema["$ref"]).removeprefix("#/").split("/"):
                found = found.get(part, {}) if isinstance(found, dict) else {}
            schema = found
        return schema if isinstance(schema, dict) else {}

    def _fields(self, schema: Any) -> Fields:
        schema = self._resolve(schema)
        required = schema.get("required", ())
        return {
            name: Field(name, self._resolve(inner), name in required)
            for name, inner in schema.get("properties", {}).items()
            if NAME.fullmatch(name)
        }

    def _answer(self, operation: dict[str, Any]) -> Fields:
        answer = self._resolve(operation.get("responses", {}).get("200", {}))
        return self._fields(answer.get("content", {}).get("application/json", {}).get("schema", {}))

    def _body(self, operation: dict[str, Any]) -> Fields:
        body = self._resolve(operation.get("requestBody", {}))
        return self._fields(body.get("content", {}).get("application/json", {}).get("schema", {}))

    def _filter(self, item: dict[str, Any], view: Fields) -> Schema:
        """Return a parameter's schema; what it refers to stands in the resource, or its name says so."""
        name, schema = item["name"], {**item.get("schema", {}), "description": item.get("description", "")}
        refers_to = view[name].refers_to if name in view else None
        plural = name.removesuffix("_id").replace("_", "-") + "s"
        if not refers_to and name.endswith("_id") and f"/{plural}" in self.paths:
            refers_to = plural
        return {**schema, "x-refers-to": refers_to} if refers_to else schema
