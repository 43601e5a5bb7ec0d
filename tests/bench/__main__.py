"""``python -m tests.bench [part…]``: measure, print one table, exit 1 if a goal was missed.

The hosts must be up (bin/bench boots them). Parts: terminal, live, db, valkey, jobs, api, scale.
"""

from __future__ import annotations

import importlib
import os
import platform
import sys
import time

from tests.bench import fleet, table

PARTS = ("terminal", "live", "db", "valkey", "jobs", "api", "scale")


def main() -> int:
    """Run the named parts, or all."""
    parts = sys.argv[1:] or PARTS
    rows: list[table.Row] = []
    for part in parts:
        if part not in PARTS:
            sys.exit(f"unknown part: {part} ({' '.join(PARTS)})")
        began = time.monotonic()
        print(f"== {part}", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"tests.bench.{part}").rows()
        fleet.say(f"{time.monotonic() - began:.0f} s")
    where = f"{time.strftime('%Y-%m-%d %H:%M')}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
    text = f"{where}Python {platform.python_version()}\n\n{table.render(rows)}\n"
    fleet.WORK.mkdir(parents=True, exist_ok=True)
    (fleet.WORK / "table.md").write_text(text)
    print(text)
    return int(any(row.verdict == "NO" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
