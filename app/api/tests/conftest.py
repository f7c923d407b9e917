"""Fixtures: programs that use the API."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from api.tokens import issue
from ledger.models import Asset
from ledger.services.transfers import confirm_transfer, request_deposit

FUNDS = {"BTC": 10, "USDC": 1_000_000}


class Program:
    """A client with a token."""

    def __init__(self, user: User, token: str) -> None:
        """Keep the token."""
        self.user, self.token, self.client = user, token, Client()

    def send(self, method: str, path: str, body: object = None, *, key: str | None = None, **headers: str) -> Any:
        """Send a request; a body is written as JSON, and requests that may move money get a key."""
        sent = {"Authorization": f"Bearer {self.token}"} | {name.replace("_", "-"): headers[name] for name in headers}
        if method == "POST":
            sent["Idempotency-Key"] = key or uuid.uuid4().hex
        extra: dict[str, Any] = {} if body is None else {"data": body, "content_type": "application/json"}
        return getattr(self.client, method.lower())(f"/api/v1{path}", headers=sent, **extra)

    def get(self, path: str, **headers: str) -> Any:
        """Read."""
        return self.send("GET", path, **headers)

    def post(self, path: str, body: object = None, *, key: str | None = None, **headers: str) -> Any:
        """Ask for something."""
        return self.send("POST", path, body, key=key, **headers)

    def delete(self, path: str) -> Any:
        """Cancel."""
        return self.send("DELETE", path)

    def owns(self, code: str) -> tuple[str, str]:
        """Return what is available and what is held of an asset."""
        items = self.get("/balances").json()["items"]
        return next((item["available"], item["held"]) for item in items if item["asset"] == code)


@pytest.fixture
def make_program(make_user: Callable[[str], User]) -> Callable[[str], Program]:
    """Return a function that makes a customer with 10 BTC and 1,000,000 USDC, and a program of theirs."""

    def make(name: str) -> Program:
        user = make_user(name)
        for code, amount in FUNDS.items():
            confirm_transfer(request_deposit(user, Asset.objects.get(pk=code), Decimal(amount), f"start-{code}").pk)
        return Program(user, issue(user, "tests")[1])

    return make


@pytest.fixture
def alice(make_program: Callable[[str], Program]) -> Program:
    """Return a customer's program."""
    return make_program("alice")


@pytest.fixture
def bob(make_program: Callable[[str], Program]) -> Program:
    """Return another customer's program."""
    return make_program("bob")


def problem(response: Any, status: int, code: str) -> dict[str, Any]:
    """Check that an answer is problem details, and return them."""
    assert (response.status_code, response.headers["Content-Type"]) == (status, "application/problem+json"), (
        response.content
    )
    details: dict[str, Any] = response.json()
    assert details["status"] == status
    assert details["code"] == code, details
    assert details["title"]
    assert details["detail"]
    assert details["request_id"] == response.headers["X-Request-ID"]
    return details
