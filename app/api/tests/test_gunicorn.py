"""The API as it is served: real workers, real connections, the same request from many clients at once."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from testing.processes import APP, Answer, Gunicorn, manage

CLIENTS = 100
WITHDRAWAL = {"asset": "BTC", "amount": "60", "destination": "bc1q0000"}
ORDER = {"market": "BTC-USDC", "side": "sell", "quantity": "2", "price": "50000"}


@pytest.fixture(scope="module")
def server(served_database: dict[str, str]) -> Iterator[Gunicorn]:
    """Run one with two workers."""
    with Gunicorn(served_database) as running:
        yield running


@pytest.fixture
def token(served_database: dict[str, str]) -> str:
    """Return the token of a new customer who has 100 BTC."""
    done = subprocess.run(
        [sys.executable, "-m", "testing.api_customer", f"customer-{uuid.uuid4().hex[:8]}"],
        cwd=APP,
        env=served_database | {"LOG_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.strip()


def post(server: Gunicorn, token: str, path: str, body: Mapping[str, str], key: str) -> Answer:
    """Send a request that moves money."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Idempotency-Key": key}
    return server.send("POST", f"/api/v1{path}", headers, json.dumps(body).encode())


def get(server: Gunicorn, token: str, path: str) -> list[dict[str, Any]]:
    """Read a list."""
    items: list[dict[str, Any]] = json.loads(server.get(f"/api/v1{path}", {"Authorization": f"Bearer {token}"}).body)[
        "items"
    ]
    return items


def btc(server: Gunicorn, token: str) -> tuple[str, str]:
    """Return what is available and what is held."""
    return next((b["available"], b["held"]) for b in get(server, token, "/balances") if b["asset"] == "BTC")


@pytest.mark.parametrize(
    ("path", "body", "held"), [("/withdrawals", WITHDRAWAL, "60"), ("/orders", ORDER, "2")], ids=["withdrawal", "order"]
)
def test_identical_requests_at_once_act_once(
    server: Gunicorn, served_database: dict[str, str], token: str, path: str, body: dict[str, str], held: str
) -> None:
    key = uuid.uuid4().hex
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(lambda _: post(server, token, path, body, key), range(CLIENTS)))
    assert Counter(answer.status for answer in answers) == {201: CLIENTS}
    assert len({answer.body for answer in answers}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in answers) == 1
    assert btc(server, token) == (str(100 - int(held)), held)
    done = manage(served_database, "check_books")
    assert done.returncode == 0, done.stdout


def test_different_requests_at_once_spend_nothing_twice(
    server: Gunicorn, served_database: dict[str, str], token: str
) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: post(server, token, "/withdrawals", WITHDRAWAL, uuid.uuid4().hex), range(16)))
    assert Counter(answer.status for answer in answers) == {201: 1, 409: 15}
    assert {json.loads(answer.body)["code"] for answer in answers if answer.status == 409} == {"insufficient-funds"}
    assert btc(server, token) == ("40", "60")
    assert manage(served_database, "check_books").returncode == 0


def test_one_key_for_two_requests_at_once(server: Gunicorn, token: str) -> None:
    key = uuid.uuid4().hex
    bodies = [WITHDRAWAL | {"amount": str(1 + number % 2)} for number in range(20)]
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda body: post(server, token, "/withdrawals", body, key), bodies))
    assert Counter(answer.status for answer in answers) == {201: 10, 422: 10}
    assert len(get(server, token, "/transfers")) == 2  # with the deposit of the beginning


def test_metrics_name_the_routes(server: Gunicorn, token: str) -> None:
    get(server, token, "/orders")
    post(server, token, "/orders", ORDER, uuid.uuid4().hex)
    views = {
        line.split('view="')[1].split('"')[0]
        for line in server.metrics().splitlines()
        if line.startswith("django_http_requests_latency_seconds_by_view_method_count")
    }
    assert {"api-v1:orders", "api-v1:balances"} <= views
