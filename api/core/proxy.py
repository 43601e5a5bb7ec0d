"""The client's address behind a reverse proxy."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from typing import Any


class TrustedProxies:
    """WSGI middleware: ``X-Forwarded-For`` counts only from listed peers, read from the right, our side."""

    def __init__(self, app: Callable[..., Iterable[bytes]], proxies: str) -> None:
        self._app = app
        self._proxies = {str(ipaddress.ip_address(item.strip())) for item in proxies.split(",") if item.strip()}

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Replace the peer's address by the last one that no proxy of ours has."""
        for hop in reversed(environ.get("HTTP_X_FORWARDED_FOR", "").split(",")):
            if environ.get("REMOTE_ADDR") not in self._proxies:
                break
            try:
                environ["REMOTE_ADDR"] = str(ipaddress.ip_address(hop.strip()))
            except ValueError:
                break
        return self._app(environ, start_response)
