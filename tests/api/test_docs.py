"""The documentation keeps up with the code."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from api.core.errors import CODES
from api.core.settings import Settings

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_routes_exist(app):
    rules = {re.sub("<[^>]+>", "*", rule.rule) for rule in app.url_map.iter_rules()}
    text = (DOCS / "api.md").read_text()
    named = re.findall(r"(?:GET|POST|PATCH|DELETE|post) (/[a-z/{}-]+)", text) + re.findall(r"\$api(/[a-z-]+)", text)
    assert len(named) > 8
    for path in named:
        assert re.sub(r"\{[^}]+\}", "*", path.rstrip("/")) in rules, path


def test_settings_and_codes_are_documented():
    text = (DOCS / "api.md").read_text()
    assert all(f"`{code}`" in text for code in set(CODES.values()) - {"RATE_LIMIT_EXCEEDED"})
    known = {"HOSTREEVE_" + field.name.upper() for field in fields(Settings)}
    known |= {"HOSTREEVE_BIND", "HOSTREEVE_WORKERS", "HOSTREEVE_THREADS"}
    named = set(re.findall(r"HOSTREEVE_[A-Z_]+", text))
    assert named <= known and {"HOSTREEVE_DATABASE_URL", "HOSTREEVE_SECRET_KEY", "HOSTREEVE_MAX_BODY"} <= named


def test_facts_of_a_column_are_documented():
    """What ``info`` may hold, wherever a kind uses it."""
    text = (DOCS / "kinds.md").read_text()
    sources = [path.read_text() for path in (Path(__file__).resolve().parents[2] / "api" / "kinds").glob("*.py")]
    used = {
        key
        for source in sources
        for found in re.findall(r"info=\{([^}]*)\}", source)
        for key in re.findall(r'"([a-z]+)":', found)
    }
    assert used >= {"ro", "once", "secret", "check"}
    for key in used:
        assert f"`{key}`" in text, key
