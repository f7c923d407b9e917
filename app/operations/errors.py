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
# What a server or a pooler says that ends, before the connection does (SQLSTATE, class 08 besides).
ENDING: Final = {"57P01", "57P02", "57P03"}


class ConnectionLostResponse(HttpResponse):
    """The answer to a request whose connection broke under it: on another one it may succeed at once."""


def is_passing(error: BaseException | None) -> bool:
    """Say whether the same request may succeed in a moment: no connection, failover, lock or statement timeout."""
    if isinstance(error, (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)):
        return True
    cause = _cause(error)
    return isinstance(cause, READ_ONLY) or _is_out_of_step(cause)


def is_connection_lost(error: BaseException | None) -> bool:
    """Say whether a connection that there had been broke, or leads to a server that ends or no longer is primary.

    A connection that couldn't be made isn't meant: the next attempt would most likely fail as well.
    """
    cause = _cause(error)
    if isinstance(cause, READ_ONLY) or _is_out_of_step(cause):
        return True
    if not isinstance(cause, (psycopg.OperationalError, psycopg.InterfaceError)):
        return False
    if cause.sqlstate:
        return cause.sqlstate in ENDING or cause.sqlstate.startswith("08")
    # Only an attempt to connect leaves what it was made with.
    return cause.pgconn is None and not isinstance(cause, psycopg.errors.ConnectionTimeout)


def _cause(error: BaseException | None) -> BaseException | None:
    """Return psycopg's error, which Django's wraps."""
    return error.__cause__ if isinstance(error, (DatabaseError, InterfaceError)) else error


def _is_out_of_step(error: BaseException | None) -> bool:
    """Say whether psycopg got answers that don't fit its questions: a pooler's last words and its server's."""
    return isinstance(error, psycopg.InternalError) and error.sqlstate is None


def server_error(request: HttpRequest) -> HttpResponse:
    """Turn the exception at hand into a response: 503 with Retry-After if it passes, else 500.

    Django calls this with the exception still being handled, wherever it came from: view, template or middleware.
    """
    error = sys.exc_info()[1]
    passing, lost = is_passing(error), is_connection_lost(error)
    if passing:
        # Whatever state the connection is in, the next request on this thread gets a new one.
        connection.close()
    content = render_to_string(
        "503.html" if passing else "500.html", {"request_id": request.META.get("exchange.request_id")}
    )
    if not passing:
        return HttpResponse(content, status=500)
    answer = ConnectionLostResponse if lost else HttpResponse
    return answer(content, status=503, headers={"Retry-After": str(settings.RETRY_AFTER_SECONDS)})
