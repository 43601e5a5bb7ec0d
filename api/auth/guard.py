"""Who may do what: every request is refused unless its view says otherwise.

A request without a valid key is 401 before anything else is looked at, so neither routes, methods nor grammars can be
probed. A view either is ``@public`` or states its scope with ``@require``; a success that left without either is an
error of ours and becomes a 500.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

import structlog
from flask import Flask, Response, current_app, g, request

from api.auth.keys import Actor, Keyring
from api.auth.scopes import declare
from api.core.errors import ApiError

log = structlog.get_logger()
View = TypeVar("View", bound=Callable[..., Any])

REALM = {"WWW-Authenticate": 'Bearer realm="hostreeve"'}


def public(view: View) -> View:
    """Let anybody call the view; say why where it is used."""
    view.is_public = True  # type: ignore[attr-defined]
    return view


def require(scope: str, *, every_brand: bool = False) -> Callable[[View], View]:
    """Ask for a scope, and for a key of all brands where the view is about the platform itself."""
    declare(scope)

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            allow(scope, every_brand=every_brand)
            return view(*args, **kwargs)

        guarded._apidoc = {  # type: ignore[attr-defined]
            **getattr(view, "_apidoc", {}),
            "manual_doc": {**getattr(view, "_apidoc", {}).get("manual_doc", {}), "x-scope": scope},
        }
        return cast(View, guarded)

    return decorate


def actor() -> Actor:
    """Return who asks; only within an authenticated request."""
    found: Actor = g.actor
    return found


def allow(scope: str, *, every_brand: bool = False) -> None:
    """Refuse with 403 unless the actor holds the scope (and all brands); marks the request as authorised."""
    who = actor()
    if scope not in who.scopes:
        raise _forbidden(f"This needs a key with the scope {scope}.", scope)
    if every_brand and who.brands is not None:
        raise _forbidden("This needs a key for all brands.", scope)
    g.authorised = True


def _forbidden(message: str, scope: str) -> ApiError:
    log.warning("forbidden", scope=scope, key=str(actor().id), name=actor().name)
    return ApiError(403, message, details={"scope": scope})


def install(app: Flask, keyring: Keyring) -> None:
    """Put the guard before every view and behind every answer."""

    @app.before_request
    def authenticate() -> None:
        view = current_app.view_functions.get(request.endpoint or "")
        if getattr(view, "is_public", False):
            g.authorised = True
            return
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        found = keyring.find(token.strip()) if scheme.lower() == "bearer" else None
        if found is None:
            log.warning("unauthenticated", method=request.method, path=request.path, remote=request.remote_addr)
            raise ApiError(401, "This needs a valid API key: Authorization: Bearer hr_…", headers=REALM)
        g.actor = found

    @app.after_request
    def authorised(response: Response) -> Response:
        if response.status_code < 400 and not g.get("authorised", False):
            raise RuntimeError(f"{request.endpoint} answered without an authorisation")
        return response
