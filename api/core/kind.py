"""What a kind is: its model, and the little that cannot be derived from the model.

``info`` of a column describes the field, in one place, for schemas, OpenAPI, the command line and the audit:
``ro`` (only shown), ``hidden`` (not even that), ``once`` (set at creation only), ``optional`` (the platform fills it
in), ``secret`` (write-only, redacted), ``generated`` (a secret that is made up when it is left out, and shown once),
``check`` (a function that returns the canonical value or raises ValueError),
``idn`` (becomes its A-label before the check), ``choices``, ``range``, ``description``, ``example``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.db import Base

Item = dict[str, Any]


def nothing(session: Session, row: Any) -> None:
    """Do nothing: the default hook."""


def no_jobs(session: Session, row: Any) -> Iterable[Any]:
    """Do nothing: the default hook of those that may queue jobs."""
    return ()


def nowhere(session: Session, row: Any) -> Iterable[Any]:
    """Return no shard: the kind lives only in the database."""
    return ()


@dataclass(frozen=True)
class Carry:
    """How a role receives a kind: the list variable, and the item made of a row (``state`` is added)."""

    variable: str
    item: Callable[[Session, Any], Item]


@dataclass(frozen=True)
class Derived:
    """A field that answers show and nobody writes, made of other rows.

    ``values`` gets what executes statements and the rows of an answer (columns by name), all of a page at once, and
    returns a JSON object or None for each. ``schema`` is the marshmallow schema of the object.
    """

    schema: type[Any]
    values: Callable[[Any, Sequence[Item]], Iterable[Item | None]]
    description: str = ""


@dataclass(frozen=True)
class Usage:
    """What the hosts of a role tell of a kind's use (``api.usage``): the key of their report, and each number there."""

    role: str
    key: str
    #: field → what it is, with its unit; a field of which nothing is told is left out
    fields: dict[str, str]


#: rows of another kind that change with a row: the kind and the query for them
Also = tuple["Kind", sa.Select[Any]]


@dataclass(frozen=True)
class Moving:
    """How rows of a kind go to another shard (``api.moves``): the playbook, and its variable for the row's title."""

    playbook: str
    variable: str
    #: (session, row, shard, address): the node of a shard that has a row, or is to get it, ApiError if there is none;
    #: or, with an address, the node that has the copy that stayed behind, None if it is gone. By default the primary
    node: Callable[[Session, Any, Any, str], Any] | None = None
    #: (session, row, node): what else of a row changes when it is on a node of another shard
    arrives: Callable[[Session, Any, Any], None] | None = None


@dataclass(frozen=True, eq=False)
class Kind:
    """A type of resource. Routes, schemas, scopes, OpenAPI, variables and tests derive from it."""

    model: Any
    plural: str
    #: foreign key column of the parent; a missing or foreign parent is 404, and it goes along as context to the host
    parent: str | None = None
    #: column that ``search`` looks at, by prefix
    title: str = "name"
    #: fields by which people tell rows of one parent apart where the title cannot (the platform makes it up, or it is
    #: not unique); for clients that look a row up by what a person wrote down
    identity: tuple[str, ...] = ()
    #: columns that lists filter by; the title and the status are always among them
    filters: tuple[str, ...] = ()
    #: columns that lists sort by; never null. The title is always among them, and an index comes with each
    sorts: tuple[str, ...] = ("created_at",)
    #: foreign key column of the row whose status also depends on this one (a platform-managed record and its FQDN)
    part_of: str | None = None
    #: kinds whose rows are deleted with the row they refer to (the records of a zone), instead of keeping it
    takes_along: tuple[str, ...] = ()
    #: only for keys that may see every brand
    platform: bool = False
    #: data of customers goes with a row, so a deletion must repeat its title
    confirm: bool = False
    #: verbs beyond create, read, update, delete, retry: {"suspend": function}; it changes the row and returns what else
    #: must be delivered again
    actions: dict[str, Callable[[Session, Any], Iterable[Also]]] = field(default_factory=dict)
    #: shards whose nodes must carry a row
    shards: Callable[[Session, Any], Iterable[Any]] = nowhere
    #: role → how it receives the kind; a kind inside another's item (a record in its zone) names the parent's role only
    carries: dict[str, Carry | None] = field(default_factory=dict)
    #: name → field of answers that is no column
    derived: dict[str, Derived] = field(default_factory=dict)
    #: how its rows go to another shard, if they can; they then have a ``shard_id`` of their own
    move: Moving | None = None
    #: what hosts tell of its use
    usage: Usage | None = None
    #: may raise an ApiError and fill in what was left out; before a new or changed row is flushed
    validate: Callable[[Session, Any], None] = nothing
    #: may raise an ApiError; before a row is marked as deleting
    before_delete: Callable[[Session, Any], None] = nothing
    #: in the same transaction, after the row was created, changed or marked as deleting; returns jobs
    after_change: Callable[[Session, Any], Iterable[Any]] = no_jobs

    def __post_init__(self) -> None:
        for name, always in (("filters", (self.title, "status")), ("sorts", (self.title,))):
            object.__setattr__(self, name, tuple(dict.fromkeys([*getattr(self, name), *always])))
        self._index()

    @property
    def name(self) -> str:
        """The singular name: table, scope and path of errors."""
        return str(self.model.__tablename__)

    @property
    def brand(self) -> str | None:
        """Column that says whose a row is; None for kinds that belong to the platform alone."""
        return "id" if self.name == "brand" else "brand_id" if "brand_id" in self.model.__table__.c else None

    @property
    def generated(self) -> str | None:
        """Column that holds a secret which the platform can make up; such a kind has the verb ``rotate``."""
        return next((column.key for column in self.model.__table__.c if column.info.get("generated")), None)

    @property
    def verbs(self) -> tuple[str, ...]:
        """What can be asked of one row besides reading, changing and deleting it."""
        return ("retry", *(("rotate",) if self.generated else ()), *self.actions)

    def derive(self, session: Any, rows: Sequence[Item]) -> None:
        """Add the derived fields to the rows of an answer."""
        for name, derived in self.derived.items():
            for row, value in zip(rows, derived.values(session, rows), strict=True):
                row[name] = value

    def needs_every_brand(self, action: str) -> bool:
        """Tell whether an action is only for keys of all brands; a brand's key may read the brand itself."""
        return self.platform and not (action == "read" and self.brand)

    def _index(self) -> None:
        """Give the table what its lists need: an order is an index scan, for all brands, one brand, one parent."""
        column = self.model.__table__.c
        owner = [column.brand_id] if "brand_id" in column else None
        for name in self.sorts:
            order = [column[name]] if column[name].unique else [column[name], column.id]
            if len(order) > 1:
                sa.Index(None, *order)
            if owner:
                sa.Index(None, *owner, *order)
        if self.parent not in (None, "brand_id"):
            sa.Index(None, column[str(self.parent)], column.created_at, column.id)
        if owner:
            sa.Index(None, column.status, column.created_at, column.id)


class Registry:
    """All kinds by name; parents come first."""

    def __init__(self) -> None:
        self._kinds: dict[str, Kind] = {}
        self._closed = False

    def add(self, kind: Kind) -> Kind:
        """Add a kind; the same name twice, or a kind outside ``api/kinds``, is a programming error."""
        if self._closed or kind.name in self._kinds:
            raise ValueError(f"kind {kind.name} is declared twice or too late")
        self._kinds[kind.name] = kind
        return kind

    def close(self) -> None:
        """Take no more kinds, and put parents first: routes, migrations and hosts all want that order."""
        tables = [table.name for table in Base.metadata.sorted_tables]
        self._kinds = dict(sorted(self._kinds.items(), key=lambda item: tables.index(item[0])))
        self._closed = True

    def __getitem__(self, name: str) -> Kind:
        return self._kinds[name]

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def children(self, kind: Kind) -> Iterator[Kind]:
        """Yield the kinds whose parent is a row of the given one."""
        for other in self:
            if other.parent and other.model.__table__.c[other.parent].references(kind.model.__table__.c.id):
                yield other

    def below(self, kind: Kind, ids: sa.Select[Any]) -> Iterator[Also]:
        """Yield what belongs to some rows of a kind, through all generations: each kind and the query for its rows."""
        for child in self.children(kind):
            mine = child.model.__table__.c[str(child.parent)].in_(ids)
            yield child, sa.select(child.model).where(mine)
            yield from self.below(child, sa.select(child.model.id).where(mine))

    def __contains__(self, name: object) -> bool:
        return name in self._kinds


registry = Registry()
