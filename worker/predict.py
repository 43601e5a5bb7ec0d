"""One check-mode run whose predicted changes are wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from api.core.settings import Settings
from api.plan.prediction import Prediction
from worker.events import EventLog
from worker.playbook import NOTHING, Extras, Stop, play
from worker.reporter import Recap

log = structlog.get_logger(__name__)
CHECK = ("--check", "--diff")


@dataclass
class Found:
    """What a check-mode run found; ``problem`` says why it does not count."""

    prediction: Prediction = field(default_factory=Prediction)
    recap: Recap = field(default_factory=Recap)
    problem: str = ""


def predict(
    settings: Settings,
    playbook: str,
    directory: Path,
    stop: Stop,
    log_: EventLog,
    *,
    extras: Extras = NOTHING,
    mask: Callable[[Any], Any] = lambda event: event,
    again: bool = False,
) -> Found:
    """Run a playbook in check mode in its private directory.

    With ``again`` only its output is kept: the events of the job are those of the run that follows.
    """
    found = Found()

    def on_event(event: dict[str, Any]) -> bool:
        stop.heard()
        try:
            event = mask(event)
            if not again:
                log_.append(event)
            elif text := event.get("stdout"):
                log_.say(text)
            found.recap.take(event)
            found.prediction.take(event)
        except Exception:
            log.exception("event not understood", job=directory.name)
            log_.lost = True
        # ansible-runner keeps no file of the event.
        return False

    checking = replace(extras, options=[*extras.options, *CHECK])
    status, _ = play(settings, playbook, directory, on_event, stop, extras=checking, ident="check")
    found.problem = judge(found, status, stop, log_)
    return found


def judge(found: Found, status: str, stop: Stop, log_: EventLog) -> str:
    """Return why a run failed; what it predicted then counts for nothing, as it is not whole."""
    if stop.reason:
        return stop.reason
    if bad := found.recap.bad():
        return "host_failed: " + ", ".join(bad)
    if found.recap.stats is None or status != "successful":
        return "run_failed"
    return "events_lost" if log_.lost else ""
