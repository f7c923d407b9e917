"""Binds request and user to every log line, and gives each request an id that the client sees too."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Final

import structlog
from django.http import HttpRequest, HttpResponse

GetResponse = Callable[[HttpRequest], HttpResponse]
HEADER: Final = "X-Request-ID"
# What other programs send as an id; anything else could break a log line or a search.
SANE_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,127}")
# Keys of the WSGI environment, by which the access log learns what Django found out.
REQUEST_ID_KEY: Final = "exchange.request_id"
USER_ID_KEY: Final = "exchange.user_id"


def request_id(received: str | None) -> str:
    """Return the id that came with the request if it is sane, else a new one."""
    if received and SANE_REQUEST_ID.fullmatch(received):
        return received
    return uuid.uuid4().hex


class RequestContextMiddleware:
    """Gives the request its id, binds it to the log context, and returns it in a header."""

    def __init__(self, get_response: GetResponse) -> None:
        """Keep the next in line."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Handle a request."""
        identifier = request_id(request.headers.get(HEADER))
        request.META[REQUEST_ID_KEY] = identifier
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=identifier)
        try:
            response = self.get_response(request)
        finally:
            structlog.contextvars.clear_contextvars()
        response.headers[HEADER] = identifier
        return response


class UserContextMiddleware:
    """Binds the user's id, once the session tells who it is."""

    def __init__(self, get_response: GetResponse) -> None:
        """Keep the next in line."""
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Handle a request."""
        if request.user.is_authenticated:
            request.META[USER_ID_KEY] = request.user.pk
            structlog.contextvars.bind_contextvars(user_id=request.user.pk)
        response = self.get_response(request)
        # Pages of a person don't belong into anybody's cache.
        if request.user.is_authenticated:
            response.headers.setdefault("Cache-Control", "private, no-store")
        return response
