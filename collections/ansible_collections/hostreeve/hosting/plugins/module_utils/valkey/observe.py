# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What running instances say of themselves, many at a time: one that does not answer must not hold up the others."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import config
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.client import ValkeyError

AT_ONCE = 16


@dataclass
class Observed:
    """Settings that can change while it runs, the lines of ACL LIST, and bytes in use."""

    settings: dict
    users: str
    used: int


def observe(host, names):
    """Return {instance: Observed, or the error} of running instances."""
    return many(names, lambda name: _observe(host, name))


def many(names, ask):
    """Return {name: what ask(name) returned, or the error}."""
    names = sorted(names)
    if not names:
        return {}

    def one(name):
        try:
            return ask(name)
        except (ValkeyError, OSError, ValueError, KeyError, TypeError) as error:
            return error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return dict(zip(names, pool.map(one, names), strict=True))


def _observe(host, name):
    with host.admin(name) as client:
        settings = client.pairs("CONFIG", "GET", *config.LIVE)
        users = client("ACL", "LIST")
        if not isinstance(users, list):
            raise ValkeyError("the answer has not the form of one of Valkey's")
        return Observed(settings, "\n".join(map(str, users)), int(client.info("memory").get("used_memory", "0")))
