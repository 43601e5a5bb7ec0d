"""What is seen of a run: one line per resource, live on a terminal, otherwise a line whenever something happened."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hostctl.apply.load import spelled
from hostctl.apply.shape import Item
from hostctl.output import STATUS_STYLES, clean
from hostctl.waiting import is_settled

ORDER = ("created", "updated", "retried", "unchanged", "failed", "blocked", "would create", "would update")
ACTION_STYLES = {"created": "green", "updated": "yellow", "failed": "red", "blocked": "red"}


class View:
    """Shows the items of a run on a console."""

    def __init__(self, console: Console, items: Iterable[Item]) -> None:
        self._console = console
        self._items = list(items)
        self._live = Live(get_renderable=self._table, console=console, refresh_per_second=4)
        self._seen: dict[int, tuple[str, str]] = {}

    def __enter__(self) -> View:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def told(self, item: Item) -> None:
        """Show an item whose state changed; the live view looks by itself."""
        state = (item.action, status_of(item))
        if not self._console.is_terminal and self._seen.get(id(item)) != state:
            self._seen[id(item)] = state
            self._console.print(Text("  ").join(cell for cell in _cells(item) if cell.plain), soft_wrap=True)

    def _table(self) -> Table:
        table = Table.grid(padding=(0, 2))
        for item in self._items:
            table.add_row(*_cells(item))
        return table


def _cells(item: Item) -> list[Text]:
    status = status_of(item)
    return [
        Text(item.action or "waiting", style=ACTION_STYLES.get(item.action, "dim")),
        Text(clean(item.kind.name)),
        Text(clean(item.name or spelled(item.path)), style="bold"),
        Text(clean(status), style=STATUS_STYLES.get(status, "")),
        Text(clean(message_of(item)), style="red" if item.is_bad else ""),
    ]


def status_of(item: Item) -> str:
    """Return the resource's status, if it has one."""
    return str((item.row or {}).get("status", ""))


def message_of(item: Item) -> str:
    """Return what there is to say: why it was refused, or which host failed."""
    return item.message or str((item.row or {}).get("status_message", ""))


def summary(items: Iterable[Item]) -> str:
    """Return ``3 created, 20 unchanged``, and whether anything changed."""
    items = list(items)
    counts = Counter(item.action or "not sent" for item in items)
    text = ", ".join(f"{counts[name]} {name}" for name in (*ORDER, "not sent") if counts[name]) or "nothing to do"
    waits = sum(1 for item in items if item.row is not None and not is_settled(item.row))
    broken = sum(1 for item in items if item.action != "failed" and status_of(item) == "failed")
    text += f"; {broken} failed on hosts" if broken else ""
    text += f"; {waits} still under way" if waits else ""
    return f"Nothing was changed: {text}." if set(counts) <= {"unchanged"} else f"{text}."


def report(items: Iterable[Item]) -> dict[str, Any]:
    """Return the result as JSON values."""
    items = list(items)
    return {
        "items": [
            {
                "path": spelled(item.path),
                "kind": item.kind.plural,
                "name": item.name,
                "id": item.id,
                "action": item.action,
                "status": status_of(item) or None,
                "message": message_of(item),
            }
            for item in items
        ],
        "summary": dict(Counter(item.action or "not sent" for item in items)),
        "changed": any(item.action in ("created", "updated", "retried") for item in items),
    }
