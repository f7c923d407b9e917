"""Who sends a request: a bearer token, or the session of somebody who looks at the docs."""

from __future__ import annotations

from typing import Any, Final

import structlog
from django.conf import settings
from django.http import HttpRequest
from ninja.security import APIKeyCookie, HttpBearer
from ninja.utils import check_csrf

from accounts.models import User
from api import tokens
from api.models import ApiToken
from api.problems import Problem
from operations.requests import USER_ID_KEY


class BearerToken(HttpBearer):
    """`Authorization: Bearer <token>`; other sites can't send it, so it needs no CSRF token."""

    openapi_description = "An API token, made on the page API tokens of your account."

    def __init__(self, scope: ApiToken.Scope) -> None:
        """Say what the token must be good for."""
        super().__init__()
        self.scope = scope

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        """Return the token's owner."""
        found = tokens.find(token)
        if found is None:
            return None
        if not found.allows(self.scope):
            raise Problem(
                403,
                "insufficient-scope",
                f"This token's scope is {found.scope}; this needs {self.scope.value}.",
                {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{self.scope.value}"'},
            )
        request.META[USER_ID_KEY] = found.owner_id
        structlog.contextvars.bind_contextvars(user_id=found.owner_id, token_id=found.pk)
        return found.owner


class Session(APIKeyCookie):
    """The session cookie, with a CSRF token on whatever isn't a GET."""

    param_name = settings.SESSION_COOKIE_NAME
    openapi_description = "The session of somebody who is logged in; X-CSRFToken is needed beside it."

    def __call__(self, request: HttpRequest) -> Any | None:
        """Return who is logged in. A request with a token is judged by the token alone."""
        if "Authorization" in request.headers or not request.user.is_authenticated:
            return None
        if check_csrf(request) is not None:
            raise Problem(403, "csrf-failed", "A request with a session cookie needs its CSRF token in X-CSRFToken.")
        return request.user

    def authenticate(self, _request: HttpRequest, _key: str | None) -> None:
        """Take no part: __call__ does it all."""


READ: Final = [BearerToken(ApiToken.Scope.READ), Session()]
TRADE: Final = [BearerToken(ApiToken.Scope.TRADE), Session()]
FULL: Final = [BearerToken(ApiToken.Scope.FULL), Session()]
