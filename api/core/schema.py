"""From a model to its schemas: what a column's ``info`` says, once, becomes validation and OpenAPI."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, ClassVar

import marshmallow as ma
import sqlalchemy as sa
from marshmallow_sqlalchemy import ModelConverter

from api.core import hostnames
from api.core.db import STATUSES, JsonList, JsonMap, JsonObject, JsonObjects
from api.core.fields import TYPES, Flag, Object, Text, Uuid, Whole
from api.core.kind import Kind, registry
from api.core.paging import PageQuery


class Converter(ModelConverter):
    """marshmallow-sqlalchemy with our strict fields."""

    SQLA_TYPE_MAPPING = {  # noqa: RUF012 - marshmallow-sqlalchemy's own shape
        **ModelConverter.SQLA_TYPE_MAPPING,
        JsonMap: lambda _converter, _type: partial(ma.fields.Dict, keys=Text(), values=Text()),
        JsonList: lambda _converter, _type: partial(ma.fields.List, Text()),
        JsonObject: lambda _converter, _type: Object,
        JsonObjects: lambda _converter, _type: partial(ma.fields.List, Object()),
    }

    @property
    def type_mapping(self) -> Any:
        """Return the field of each Python type."""
        return TYPES


class KindSchema(ma.Schema):
    """A body of a kind: unknown fields are refused, and every value is checked by its column's grammar."""

    class Meta:
        """Nothing that a caller sent is dropped in silence."""

        unknown = ma.RAISE

    #: field → grammar, which returns the canonical value or raises ValueError
    checks: ClassVar[dict[str, Callable[[Any], Any]]] = {}
    #: field → why it cannot be written
    closed: ClassVar[dict[str, str]] = {}

    @ma.post_load
    def _check(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        errors: dict[str, list[str]] = {}
        for name in data.keys() & self.checks.keys():
            if data[name] is None:
                continue
            try:
                data[name] = self.checks[name](data[name])
            except ValueError as error:
                errors[name] = [getattr(error, "reason", "") or str(error)]
        if errors:
            raise ma.ValidationError(errors)
        return data

    def handle_error(self, error: ma.ValidationError, data: Any, *, many: bool, **kwargs: Any) -> None:
        """Say of a known field why it is refused, instead of calling it unknown."""
        if isinstance(error.messages, dict):
            for name in error.messages.keys() & self.closed.keys():
                error.messages[name] = [self.closed[name]]


def columns_of(model: Any) -> Iterator[sa.Column[Any]]:
    """Yield the columns of a model that callers know of, in the order in which they are shown."""
    yield from (column for column in model.__table__.columns if not column.info.get("hidden"))


def is_read_only(column: sa.Column[Any]) -> bool:
    """Tell whether callers only see the column."""
    return bool(column.primary_key or column.info.get("ro"))


def create_schema(kind: Kind) -> type[ma.Schema]:
    """Return the schema of a creation: everything that callers write."""
    columns = [column for column in columns_of(kind.model) if not is_read_only(column)]
    return _writable(kind, f"{kind.model.__name__}Create", columns, {})


def update_schema(kind: Kind) -> type[ma.Schema]:
    """Return the schema of a change: what may change after creation, nothing required."""
    columns = [column for column in columns_of(kind.model) if not is_read_only(column) and not column.info.get("once")]
    fixed = {column.key: "cannot be changed" for column in columns_of(kind.model) if column.info.get("once")}
    return _writable(kind, f"{kind.model.__name__}Update", columns, fixed, required=False, load_default=ma.missing)


def _writable(
    kind: Kind, name: str, columns: list[sa.Column[Any]], closed: dict[str, str], **kwargs: Any
) -> type[ma.Schema]:
    closed |= {column.key: "is read-only" for column in columns_of(kind.model) if is_read_only(column)}
    closed |= dict.fromkeys(kind.derived, "is read-only")
    body: dict[str, Any] = {column.key: _field(kind.model, column, **kwargs) for column in columns}
    body["checks"] = {column.key: check for column in columns if (check := _check_of(column))}
    body["closed"] = closed
    return type(name, (KindSchema,), body)


def _check_of(column: sa.Column[Any]) -> Callable[[Any], Any] | None:
    check: Callable[[Any], Any] | None = column.info.get("check")
    if check is not None and column.info.get("idn"):
        return lambda value: check(hostnames.to_ascii(value))
    return check


def _field(model: Any, column: sa.Column[Any], **kwargs: Any) -> ma.fields.Field[Any]:
    info = column.info
    metadata = {key: info[key] for key in ("example", "description") if key in info}
    for key in column.foreign_keys:
        metadata["x-refers-to"] = registry[key.column.table.name].plural
    if info.get("secret"):
        metadata["writeOnly"] = True
    if info.get("optional") or info.get("generated"):
        kwargs.setdefault("required", False)
    if "choices" in info:
        kwargs["validate"] = ma.validate.OneOf(info["choices"])
    elif "range" in info:
        kwargs["validate"] = ma.validate.Range(*info["range"])
    converter: Any = Converter()
    field: ma.fields.Field[Any] = converter.field_for(model, column.key, **kwargs)
    field.metadata = {**field.metadata, **metadata}
    return field


@cache
def view_schema(kind: Kind) -> type[ma.Schema]:
    """Return the schema of an answer, for OpenAPI; secrets are never in it."""
    fields = {
        column.key: _field(kind.model, column, required=True, load_default=ma.missing)
        for column in columns_of(kind.model)
        if not column.info.get("secret")
    }
    for name, derived in kind.derived.items():
        metadata = {"type": "object", "nullable": True, "readOnly": True, "description": derived.description}
        fields[name] = ma.fields.Nested(derived.schema, required=True, allow_none=True, metadata=metadata)
    fields["status"].validate = ma.validate.OneOf([*STATUSES, "deleted"])
    return type(f"{kind.model.__name__}Schema", (ma.Schema,), dict(fields))


def query_schema(kind: Kind, sorts: list[str]) -> type[ma.Schema]:
    """Return the schema of a list's parameters."""
    fields: dict[str, Any] = {
        "sort": Text(load_default=None, validate=ma.validate.OneOf(sorts)),
        "search": Text(
            load_default=None,
            validate=ma.validate.Length(1, 253),
            metadata={"description": f"what {kind.title} starts with"},
        ),
    }
    for name in kind.filters:
        fields[name] = _filter(kind.model.__table__.c[name])
    return type(f"{kind.model.__name__}Query", (PageQuery,), fields)


def _filter(column: sa.Column[Any]) -> Any:
    if column.key == "status":
        return Text(validate=ma.validate.OneOf(STATUSES))
    if "choices" in column.info:
        return Text(validate=ma.validate.OneOf(column.info["choices"]))
    return {uuid.UUID: Uuid, int: Whole, bool: Flag}.get(column.type.python_type, Text)()
