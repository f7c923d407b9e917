"""Who gets in: tokens, their scopes, and sessions with their CSRF tokens."""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from api.models import ApiToken
from api.tests.conftest import Program, problem
from api.tokens import issue, revoke
from ledger.models import Transfer
from markets.models import Order

ORDER = {"market": "BTC-USDC", "side": "sell", "quantity": "1", "price": "50000"}
DEPOSIT = {"asset": "BTC", "amount": "1"}
NOBODYS = "00000000-0000-4000-8000-000000000000"
PRIVATE = [
    ("GET", "/balances", None, "read"),
    ("GET", "/orders", None, "read"),
    ("GET", "/orders/1", None, "read"),
    ("GET", "/transfers", None, "read"),
    ("GET", f"/transfers/{NOBODYS}", None, "read"),
    ("POST", "/orders", ORDER, "trade"),
    ("DELETE", "/orders/1", None, "trade"),
    ("POST", "/deposits", DEPOSIT, "full"),
    ("POST", "/withdrawals", DEPOSIT | {"destination": "bc1q0000"}, "full"),
    ("POST", f"/transfers/{NOBODYS}/confirm", None, "full"),
    ("POST", f"/transfers/{NOBODYS}/reject", None, "full"),
]
SCOPES = ["read", "trade", "full"]


def request(client: Client, method: str, path: str, body: object, **headers: str) -> Any:
    """Send a request with a new key."""
    extra: dict[str, Any] = {"data": body, "content_type": "application/json"} if body else {}
    sent = {"Idempotency-Key": uuid.uuid4().hex} | {name.replace("_", "-"): headers[name] for name in headers}
    return getattr(client, method.lower())(f"/api/v1{path}", headers=sent, **extra)


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "path", "body", "scope"), PRIVATE)
def test_strangers(client: Client, method: str, path: str, body: object, scope: str) -> None:
    del scope
    response = request(client, method, path, body)
    problem(response, 401, "unauthorized")
    assert response.headers["WWW-Authenticate"] == "Bearer"


def good(text: str) -> str:
    """Return the token as it is."""
    return f"Bearer {text}"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "{text}",
        "Token {text}",
        "Basic {text}",
        "Bearer {text}x",
        "Bearer {text} {text}",
        "Bearer  {text}",
        "Bearer {upper}",
        "Bearer {digest}",
        "Bearer \x00",
        "Bearer ' OR 1=1 --",
        "Bearer " + "x" * 5000,
        "Bearer schlüssel",
    ],
)
def test_bad_tokens(alice: Program, header: str) -> None:
    text = alice.token
    assert request(alice.client, "GET", "/balances", None, Authorization=good(text)).status_code == 200
    sent = header.format(text=text, upper=text.upper(), digest=hashlib.sha256(text.encode()).hexdigest())
    problem(request(alice.client, "GET", "/balances", None, Authorization=sent), 401, "unauthorized")


def test_revoked_token(alice: Program) -> None:
    token, text = issue(alice.user, "other")
    revoke(token)
    problem(request(Client(), "POST", "/orders", ORDER, Authorization=good(text)), 401, "unauthorized")
    assert alice.get("/balances").status_code == 200
    assert not Order.objects.exists()


def test_token_of_somebody_who_may_not_log_in(alice: Program) -> None:
    User.objects.update(is_active=False)
    problem(alice.post("/orders", ORDER), 401, "unauthorized")


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(("method", "path", "body", "needed"), PRIVATE)
def test_scopes(alice: Program, method: str, path: str, body: object, needed: str, scope: str) -> None:
    _, text = issue(alice.user, "limited", ApiToken.Scope(scope))
    response = request(Client(), method, path, body, Authorization=good(text))
    if SCOPES.index(scope) >= SCOPES.index(needed):
        assert response.status_code in {200, 201, 404}
    else:
        details = problem(response, 403, "insufficient-scope")
        assert needed in details["detail"]
        assert f'scope="{needed}"' in response.headers["WWW-Authenticate"]
        assert (Order.objects.count(), Transfer.objects.count()) == (0, 2)


def test_the_text_is_not_kept(alice: Program) -> None:
    token = ApiToken.objects.get()
    assert alice.token.startswith(token.prefix)
    assert len(alice.token) - len(token.prefix) >= 37
    assert token.digest == hashlib.sha256(alice.token.encode()).hexdigest()
    assert alice.token not in str(vars(token))


def test_looking_a_token_up_is_one_query_by_an_index(alice: Program) -> None:
    alice.get("/balances")
    with CaptureQueriesContext(connection) as captured:
        alice.get("/orders")
    of_tokens = [query["sql"] for query in captured.captured_queries if "api_apitoken" in query["sql"]]
    assert len(of_tokens) == 1
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute(f"EXPLAIN {of_tokens[0]}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Index Scan" in plan
    assert "digest" in plan


def test_use_is_noted_once_a_minute(alice: Program) -> None:
    assert ApiToken.objects.get().last_used_at is None
    alice.get("/balances")
    first = ApiToken.objects.get().last_used_at
    assert first is not None
    alice.get("/balances")
    assert ApiToken.objects.get().last_used_at == first
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    alice.get("/balances")
    assert (ApiToken.objects.get().last_used_at or first) > first


def session(user: User) -> Client:
    """Return a browser in which somebody is logged in."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    return client


def test_session_looks_without_a_csrf_token(alice: Program) -> None:
    assert session(alice.user).get("/api/v1/balances").json() == alice.get("/balances").json()


@pytest.mark.parametrize(("method", "path", "body", "scope"), [row for row in PRIVATE if row[0] != "GET"])
def test_session_needs_a_csrf_token_to_act(alice: Program, method: str, path: str, body: object, scope: str) -> None:
    del scope
    client = session(alice.user)
    problem(request(client, method, path, body), 403, "csrf-failed")
    problem(request(client, method, path, body, X_CSRFToken="x" * 64), 403, "csrf-failed")
    assert (Order.objects.count(), Transfer.objects.count()) == (0, 2)
    page = client.get("/api/v1/docs").content.decode()
    csrf_token = page.split('data-csrf-token="')[1].split('"')[0]
    assert request(client, method, path, body, X_CSRFToken=csrf_token).status_code in {200, 201, 404}
    assert request(client, method, path, body, X_CSRFToken=csrf_token, Origin="https://evil.example").status_code == 403


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_forms_of_other_sites(alice: Program, content_type: str) -> None:
    client = session(alice.user)
    for path in ("/orders", f"/transfers/{NOBODYS}/confirm"):
        response = client.generic("POST", f"/api/v1{path}", b"a=b", content_type=content_type)
        assert response.status_code in {403, 415}
        assert response.headers["Content-Type"] == "application/problem+json"


def test_tokens_need_no_csrf_token(alice: Program) -> None:
    client = Client(enforce_csrf_checks=True)
    assert request(client, "POST", "/orders", ORDER, Authorization=good(alice.token)).status_code == 201


def test_a_bad_token_is_not_made_good_by_a_session(alice: Program) -> None:
    client = session(alice.user)
    problem(request(client, "GET", "/balances", None, Authorization="Bearer x"), 401, "unauthorized")
    assert client.get("/api/v1/balances").status_code == 200


def test_log_lines_say_whose_token_it_was(alice: Program, caplog: pytest.LogCaptureFixture) -> None:
    alice.post("/deposits", DEPOSIT)
    (record,) = [record for record in caplog.records if "transfer requested" in str(record.msg)]
    assert f"'user_id': {alice.user.pk}" in str(record.msg)
    assert alice.token not in caplog.text
