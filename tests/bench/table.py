"""Rows of the table: a figure beside its reference, their ratio, the goal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    """What a ratio must be: at least a number (``least``) or at most one."""

    ratio: float
    least: bool

    def met(self, ratio: float) -> bool:
        """Tell whether a ratio is good enough."""
        return ratio >= self.ratio if self.least else ratio <= self.ratio

    def __str__(self) -> str:
        return f"{'at least' if self.least else 'at most'} {number(self.ratio)}x"


def at_least(ratio: float) -> Goal:
    """Return a goal for a ratio that must be large: how many times better than the reference."""
    return Goal(ratio, True)


def at_most(ratio: float) -> Goal:
    """Return a goal for a ratio that must be small: how many times worse than the reference."""
    return Goal(ratio, False)


@dataclass(frozen=True)
class Row:
    """One measurement; figure and reference are texts with units; not all have a reference, a ratio or a goal."""

    name: str
    figure: str
    reference: str = ""
    ratio: float | None = None
    goal: Goal | None = None

    @property
    def verdict(self) -> str:
        """Return yes or no, or nothing without a goal."""
        return "" if self.goal is None or self.ratio is None else "yes" if self.goal.met(self.ratio) else "NO"


def number(value: float) -> str:
    """Return a number with three figures at most that matter."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def seconds(value: float) -> str:
    """Return a duration with a unit in which it is readable."""
    return f"{value:.2f} s" if value >= 0.1 else f"{value * 1000:.2f} ms"


def render(rows: list[Row]) -> str:
    """Return the rows as a Markdown table with columns of even width."""
    head = ("what", "figure", "reference", "ratio", "goal", "met")
    body = [
        (
            row.name,
            row.figure,
            row.reference,
            "" if row.ratio is None else f"{number(row.ratio)}x",
            str(row.goal or ""),
            row.verdict,
        )
        for row in rows
    ]
    width = [max(len(line[column]) for line in [head, *body]) for column in range(len(head))]
    lines = [" | ".join(cell.ljust(width[column]) for column, cell in enumerate(line)) for line in [head, *body]]
    lines.insert(1, " | ".join("-" * size for size in width))
    return "\n".join(f"| {line} |" for line in lines)
