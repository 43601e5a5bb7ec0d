"""The API: stores what should exist, queues the jobs that make it so, records who changed what."""

import sys
from pathlib import Path

# The grammars are shared with the host modules, and those must live in the collection.
COLLECTIONS = str(Path(__file__).resolve().parents[1] / "collections")
if COLLECTIONS not in sys.path:
    sys.path.append(COLLECTIONS)
