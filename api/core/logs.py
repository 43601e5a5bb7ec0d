"""Logs: one JSON object per line on stderr; readable lines on a terminal."""

from __future__ import annotations

import sys

import structlog


def configure() -> None:
    """Configure structlog, unless the process has done so."""
    if structlog.is_configured():
        return
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            # Traces without the values of variables, which may be secrets.
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
