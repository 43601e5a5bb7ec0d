"""Fields that take no liberties: no conversion of types, no NUL, no number that a column cannot hold."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import marshmallow as ma

INT_MOST = 2**31 - 1
#: Whole numbers that JSON encoders and databases agree on.
NUMBER_MOST = 2**63 - 1
#: Levels of nested lists and objects.
DEPTH_MOST = 16


class Text(ma.fields.String):
    """Text that every database can store and every encoder can write."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
            raise ma.ValidationError("NUL and lone surrogates are not allowed.")
        return text


class Int(ma.fields.Integer):
    """A whole number of 32 bits; neither ``"80"``, ``1.0`` nor ``true``."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if type(value) is not int:
            raise self.make_error("invalid")
        if not -INT_MOST <= value <= INT_MOST:
            raise ma.ValidationError(f"must be from {-INT_MOST} to {INT_MOST}.")
        return value


class Whole(ma.fields.Integer):
    """A whole number in a query string: digits only."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> int:
        if not isinstance(value, str) or not value.isascii() or not value.isdigit() or len(value) > 9:
            raise self.make_error("invalid")
        return int(value)


class Bool(ma.fields.Boolean):
    """``true`` or ``false``; neither ``"yes"`` nor ``1``."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid", input=value)
        return value


class Flag(ma.fields.Boolean):
    """A boolean in a query string."""

    truthy = {"true"}  # noqa: RUF012 - marshmallow's own shape
    falsy = {"false"}  # noqa: RUF012


class Uuid(ma.fields.UUID):
    """A UUID in its usual text form."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> uuid.UUID:
        if not isinstance(value, str) or len(value) != 36:
            raise self.make_error("invalid_uuid")
        found: uuid.UUID = super()._deserialize(value, attr, data, **kwargs)
        return found


class Moment(ma.fields.AwareDateTime):
    """A time with its zone, in UTC; one that UTC has no year for is refused."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        found: datetime = super()._deserialize(value, attr, data, **kwargs)
        try:
            return found.astimezone(UTC)
        except OverflowError:
            raise self.make_error("invalid", input=value, obj_type=self.OBJ_TYPE) from None


class Object(ma.fields.Dict):
    """An object of any JSON values that every database can store and every encoder can write."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> dict[str, Any]:
        found: dict[str, Any] = super()._deserialize(value, attr, data, **kwargs)
        plain(found)
        return found


def plain(value: Any, depth: int = 0) -> None:
    """Refuse (ValidationError) what is not plain JSON: NUL, lone surrogates, endless numbers and depth."""
    if depth > DEPTH_MOST:
        raise ma.ValidationError(f"has more than {DEPTH_MOST} levels.")
    if isinstance(value, str):
        Text().deserialize(value)
    elif isinstance(value, dict):
        for key, inner in value.items():
            plain(key, depth)
            plain(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            plain(inner, depth + 1)
    elif isinstance(value, int | float) and not abs(value) <= NUMBER_MOST:
        raise ma.ValidationError("holds a number that is too large.")


#: Python type of a column → field of a body.
TYPES: dict[type, type[ma.fields.Field[Any]]] = {
    str: Text,
    int: Int,
    bool: Bool,
    uuid.UUID: Uuid,
    datetime: ma.fields.AwareDateTime,
}
