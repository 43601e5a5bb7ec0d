"""What a kind is: its model, and the little that cannot be derived from the model.

``info`` of a column describes the field, in one place, for schemas, OpenAPI, the command line and the audit:
``ro`` (only shown), ``once`` (set at creation only), ``secret`` (write-only, encrypted, redacted),
``check`` (a function that returns the canonical value or raises ValueError), ``choices``, ``doc``, ``example``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

Item = dict[str, Any]


def nothing(session: Session, row: Any) -> None:
    """Do nothing: the default hook."""


def nowhere(session: Session, row: Any) -> Iterable[Any]:
    """Return no shard: the kind lives only in the database."""
    return ()


@dataclass(frozen=True)
class Carry:
    """How a role receives a kind: the list variable, and the item made of a row (``state`` is added)."""

    variable: str
    item: Callable[[Session, Any], Item]


@dataclass(frozen=True)
class Kind:
    """A type of resource. Routes, schemas, scopes, OpenAPI, variables and tests derive from it."""

    model: Any
    plural: str
    #: foreign key column of the parent; a missing or foreign parent is 404, and it goes along as context to the host
    parent: str | None = None
    #: column that ``search`` looks at, by prefix
    title: str = "name"
    filters: tuple[str, ...] = ()
    sorts: tuple[str, ...] = ("created_at",)
    #: foreign key column of the row whose status also depends on this one (a platform-managed record and its FQDN)
    part_of: str | None = None
    #: only for keys that may see every brand
    platform: bool = False
    #: verbs beyond create, read, update, delete, retry: {"suspend": function(session, row)}
    actions: dict[str, Callable[[Session, Any], None]] = field(default_factory=dict)
    #: shards whose nodes must carry a row
    shards: Callable[[Session, Any], Iterable[Any]] = nowhere
    #: role → how it receives the kind; a kind inside another's item (a record in its zone) names the parent's role only
    carries: dict[str, Carry | None] = field(default_factory=dict)
    #: may raise an ApiError; runs before the row is flushed (create, update)
    validate: Callable[[Session, Any], None] = nothing
    #: runs in the same transaction after the row was created, changed, or marked as deleting
    after_change: Callable[[Session, Any], None] = nothing

    @property
    def name(self) -> str:
        """The singular name: table, scope and path of errors."""
        return self.model.__tablename__


class Registry:
    """All kinds by name, in the order in which they were added (parents first)."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}

    def add(self, kind: Kind) -> Kind:
        """Add a kind; the same name twice is a programming error."""
        if kind.name in self._kinds:
            raise ValueError(f"kind {kind.name} is declared twice")
        self._kinds[kind.name] = kind
        return kind

    def __getitem__(self, name: str) -> Kind:
        return self._kinds[name]

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def __contains__(self, name: object) -> bool:
        return name in self._kinds


registry = Registry()
