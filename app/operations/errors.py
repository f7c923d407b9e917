"""What a client gets when something went wrong on our side."""

from __future__ import annotations

import sys
from typing import Final

import psycopg
from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

# What an old primary answers after it became a standby, on a connection that outlived the change.
READ_ONLY: Final = psycopg.errors.ReadOnlySqlTransaction


def is_passing(error: BaseException | None) -> bool:
    """Say whether the same request may succeed in a moment: no connection, failover, lock or statement timeout."""
    if isinstance(error, (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)):
        return True
    return isinstance(error, DatabaseError) and isinstance(error.__cause__, READ_ONLY)


def server_error(request: HttpRequest) -> HttpResponse:
    """Turn the exception at hand into a response: 503 with Retry-After if it passes, else 500.

    Django calls this with the exception still being handled, wherever it came from: view, template or middleware.
    """
    error = sys.exc_info()[1]
    passing = is_passing(error)
    if passing:
        # Whatever state the connection is in, the next request on this thread gets a new one.
        connection.close()
    content = render_to_string(
        "503.html" if passing else "500.html", {"request_id": request.META.get("exchange.request_id")}
    )
    if not passing:
        return HttpResponse(content, status=500)
    return HttpResponse(content, status=503, headers={"Retry-After": str(settings.RETRY_AFTER_SECONDS)})
