"""Which failures a client may repeat: 503 with Retry-After; all others: 500. Neither shows what happened."""

from __future__ import annotations

import socket

import psycopg
import pytest
from django.db import DataError, InterfaceError, InternalError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client

from operations import errors


def caused(error: Exception, cause: Exception) -> Exception:
    """Return an error with its cause, as Django wraps psycopg's."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (OperationalError("connection refused"), True),
        (InterfaceError("the connection is closed"), True),
        (psycopg.OperationalError("server closed the connection"), True),
        (caused(OperationalError(), psycopg.errors.DeadlockDetected()), True),
        (caused(OperationalError(), psycopg.errors.LockNotAvailable()), True),
        (caused(OperationalError(), psycopg.errors.AdminShutdown()), True),
        (caused(InternalError(), psycopg.errors.ReadOnlySqlTransaction()), True),
        (caused(InternalError(), psycopg.InternalError("received 2 results from command 'COMMIT'")), True),
        (caused(InternalError(), psycopg.errors.InternalError_()), False),
        (caused(InternalError(), psycopg.errors.InvalidCursorName()), False),
        (DataError("numeric field overflow"), False),
        (ValueError("secret"), False),
        (None, False),
    ],
)
def test_is_passing(error: BaseException | None, passing: bool) -> None:  # noqa: FBT001 - a column of the table
    assert errors.is_passing(error) is passing


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (caused(OperationalError(), psycopg.OperationalError("server closed the connection")), True),
        (psycopg.InterfaceError("the connection is closed"), True),
        (caused(OperationalError(), psycopg.errors.AdminShutdown()), True),
        (caused(OperationalError(), psycopg.errors.CrashShutdown()), True),
        (caused(OperationalError(), psycopg.errors.ConnectionFailure()), True),
        (caused(InternalError(), psycopg.errors.ReadOnlySqlTransaction()), True),
        (caused(InternalError(), psycopg.InternalError("received 2 results from command 'COMMIT'")), True),
        (caused(InternalError(), psycopg.errors.InternalError_()), False),
        # It couldn't be made.
        (caused(OperationalError(), psycopg.errors.ConnectionTimeout()), False),
        # Patience is needed, or another order.
        (caused(OperationalError(), psycopg.errors.DeadlockDetected()), False),
        (caused(OperationalError(), psycopg.errors.LockNotAvailable()), False),
        (caused(OperationalError(), psycopg.errors.QueryCanceled()), False),
        (OperationalError("of no connection"), False),
        (ValueError("secret"), False),
        (None, False),
    ],
)
def test_is_connection_lost(error: BaseException | None, lost: bool) -> None:  # noqa: FBT001 - a column of the table
    assert errors.is_connection_lost(error) is lost


def test_refused_connection_is_not_a_lost_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(psycopg.OperationalError) as caught:
        psycopg.connect(host="127.0.0.1", port=port, connect_timeout=2)
    assert not errors.is_connection_lost(caught.value)
    assert errors.is_passing(caught.value)


@pytest.mark.parametrize("where", ["view", "middleware"])
@pytest.mark.parametrize(("error", "status"), [(OperationalError("password=hunter2"), 503), (KeyError("hunter2"), 500)])
def test_response(
    monkeypatch: pytest.MonkeyPatch, customer_client: Client, error: Exception, status: int, where: str
) -> None:
    def fail(*_args: object, **_kwargs: object) -> HttpResponse:
        raise error

    if where == "middleware":
        monkeypatch.setattr("django.contrib.sessions.middleware.SessionMiddleware.process_request", fail)
    else:
        monkeypatch.setattr("wallet.views.balances", fail)
    monkeypatch.setattr("django.db.connection.close", lambda: None)  # the test's own transaction
    customer_client.raise_request_exception = False
    response = customer_client.get("/wallet/", headers={"X-Request-ID": "request-1234"})
    assert response.status_code == status
    assert response.headers.get("Retry-After") == ("5" if status == 503 else None)
    assert response.headers["X-Request-ID"] == "request-1234"
    body = response.content.decode()
    assert "request-1234" in body
    assert "hunter2" not in body


def test_connection_is_dropped_after_a_passing_error(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []
    monkeypatch.setattr("django.db.connection.close", lambda: closed.append(True))
    try:
        raise OperationalError  # noqa: TRY301 - the view under test looks at what is being handled
    except OperationalError:
        assert errors.server_error(HttpRequest()).status_code == 503
    assert closed == [True]
