"""What goes wrong on our side: problem details below /api/, 503 with Retry-After if the same request may succeed."""

from __future__ import annotations

from collections.abc import Callable

import psycopg
import pytest
from django.db import IntegrityError, InternalError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings

from api.problems import ProblemMiddleware
from api.tests.conftest import Program, problem

ORDER = {"market": "BTC-USDC", "side": "sell", "quantity": "1", "price": "50000"}


def read_only() -> Exception:
    """Return what a former primary answers."""
    error = InternalError("cannot execute INSERT in a read-only transaction")
    error.__cause__ = psycopg.errors.ReadOnlySqlTransaction()
    return error


@pytest.mark.parametrize(
    "where",
    [
        "api.tokens.find",
        "api.routes.orders.place_in_transaction",
        "django.contrib.sessions.middleware.SessionMiddleware.process_request",
    ],
)
@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (lambda: OperationalError("password=hunter2"), 503, "temporarily-unavailable"),
        (read_only, 503, "temporarily-unavailable"),
        (lambda: IntegrityError("hunter2"), 500, "internal-error"),
        (lambda: KeyError("hunter2"), 500, "internal-error"),
    ],
)
def test_failures(
    alice: Program, monkeypatch: pytest.MonkeyPatch, make: Callable[[], Exception], status: int, code: str, where: str
) -> None:  # fmt: skip
    closed = []

    def fail(*_args: object, **_kwargs: object) -> None:
        raise make()

    monkeypatch.setattr(where, fail)
    monkeypatch.setattr("django.db.connection.close", lambda: closed.append(True))
    alice.client.raise_request_exception = False
    response = alice.post("/orders", ORDER)
    problem(response, status, code)
    assert response.headers.get("Retry-After") == ("5" if status == 503 else None)
    assert b"hunter2" not in response.content
    assert bool(closed) is (status == 503)


def test_no_traceback_even_in_development(alice: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.routes.orders.place_in_transaction", lambda *_: 1 / 0)
    alice.client.raise_request_exception = False
    with override_settings(DEBUG=True):
        problem(alice.post("/orders", ORDER), 500, "internal-error")


@pytest.mark.django_db
def test_wrong_host(client: Client) -> None:
    problem(client.get("/api/v1/markets", headers={"Host": "evil.example"}), 400, "malformed-request")


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/nowhere", "/apix/", "/wallet/nowhere/"])
def test_pages_stay_pages(client: Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("status", [400, 403, 404, 405, 418, 429, 500, 503])
def test_error_pages_below_api_become_problem_details(status: int) -> None:
    page = HttpResponse("<h1>secret</h1>", status=status, headers={"Retry-After": "7", "Allow": "GET", "ETag": '"x"'})
    request = HttpRequest()
    request.path = "/api/v1/markets"
    response = ProblemMiddleware(lambda _request: page)(request)
    assert response.status_code == status
    assert b"secret" not in response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    assert (response.headers["Retry-After"], response.headers["Allow"]) == ("7", "GET")
    assert response.headers["Content-Length"] == str(len(response.content))
    assert "ETag" not in response.headers
