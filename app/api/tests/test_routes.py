"""Each route, as the documentation promises it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.test import Client, override_settings

from accounts.freezing import freeze
from api.tests.conftest import Program, problem
from ledger.models import Asset
from ledger.services.transfers import request_deposit
from markets.models import Candle, Market, Order

BUY = {"market": "BTC-USDC", "side": "buy", "quantity": "0.4", "price": "51000"}
SELL = {"market": "BTC-USDC", "side": "sell", "quantity": "1", "price": "50000.00"}
DEPOSIT = {"asset": "BTC", "amount": "1.50"}
WITHDRAWAL = {**DEPOSIT, "destination": "bc1q 0000"}
NO_SUCH_TRANSFER = "/transfers/00000000-0000-4000-8000-000000000000"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (
            "/markets/BTC-USDC",
            {
                "code": "BTC-USDC",
                "base": "BTC",
                "quote": "USDC",
                "tick_size": "0.01",
                "lot_size": "0.0001",
                "maker_fee": "0.001",
                "taker_fee": "0.002",
                "is_open": True,
            },
        ),
        ("/markets/BTC-USDC/book", {"market": "BTC-USDC", "bids": [], "asks": []}),
        ("/markets/BTC-USDC/trades", {"items": [], "next_cursor": None}),
        ("/markets/BTC-USDC/candles", {"items": [], "next_cursor": None}),
    ],
)
def test_public_routes_need_no_token(client: Client, path: str, expected: object) -> None:
    response = client.get(f"/api/v1{path}")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    assert response.json() == expected


@pytest.mark.django_db
def test_markets(client: Client) -> None:
    body = client.get("/api/v1/markets").json()
    assert [market["code"] for market in body["items"]] == ["BTC-USDC", "ETH-BTC", "ETH-USDC", "USDC-EUR"]
    assert body["next_cursor"] is None


def test_orders_that_meet(alice: Program, bob: Program) -> None:
    resting = alice.post("/orders", SELL)
    assert resting.status_code == 201
    ask = resting.json()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", ask["created_at"])
    assert ask == {
        "id": ask["id"],
        "market": "BTC-USDC",
        "side": "sell",
        "kind": "limit",
        "price": "50000",
        "quantity": "1",
        "filled": "0",
        "status": "open",
        "reason": "",
        "created_at": ask["created_at"],
        "closed_at": None,
        "trades": [],
    }
    bid = bob.post("/orders", BUY).json()
    (fill,) = bid["trades"]
    assert (bid["status"], bid["filled"], bid["closed_at"]) == ("filled", "0.4", bid["created_at"])
    assert fill == {
        "id": fill["id"],
        "price": "50000",
        "quantity": "0.4",
        "role": "taker",
        "fee": "0.0008",
        "fee_asset": "BTC",
        "created_at": bid["created_at"],
    }
    made = alice.get(f"/orders/{ask['id']}").json()
    assert (made["status"], made["filled"]) == ("open", "0.4")
    assert made["trades"] == [{**fill, "role": "maker", "fee": "20", "fee_asset": "USDC"}]
    assert (bob.owns("BTC"), bob.owns("USDC")) == (("10.3992", "0"), ("980000", "0"))
    assert (alice.owns("BTC"), alice.owns("USDC")) == (("9", "0.6"), ("1019980", "0"))
    book = alice.get("/markets/BTC-USDC/book").json()
    assert book == {"market": "BTC-USDC", "bids": [], "asks": [{"price": "50000", "quantity": "0.6", "orders": 1}]}
    (trade,) = alice.get("/markets/BTC-USDC/trades").json()["items"]
    assert trade == {
        "id": fill["id"],
        "price": "50000",
        "quantity": "0.4",
        "taker_side": "buy",
        "created_at": bid["created_at"],
    }


def test_market_order(alice: Program, bob: Program) -> None:
    alice.post("/orders", SELL)
    body = bob.post("/orders", {"market": "BTC-USDC", "side": "buy", "quantity": "2", "price": None}).json()
    assert (body["kind"], body["price"], body["filled"]) == ("market", None, "1")
    assert (body["status"], body["reason"]) == ("cancelled", "no_liquidity")


def test_cancel(alice: Program) -> None:
    order = alice.post("/orders", SELL).json()
    assert alice.owns("BTC") == ("9", "1")
    first = alice.delete(f"/orders/{order['id']}")
    assert first.status_code == 200
    assert (first.json()["status"], first.json()["reason"]) == ("cancelled", "requested")
    assert alice.delete(f"/orders/{order['id']}").json() == first.json()
    assert alice.owns("BTC") == ("10", "0")


def test_filled_order_is_not_cancelled(alice: Program, bob: Program) -> None:
    order = alice.post("/orders", SELL | {"quantity": "0.4"}).json()
    bob.post("/orders", BUY)
    problem(alice.delete(f"/orders/{order['id']}"), 409, "order-closed")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("order_id", ["1", "0", "9" * 18, "9" * 40, "9" * 5000])
def test_unknown_orders(alice: Program, method: str, order_id: str) -> None:
    problem(alice.send(method, f"/orders/{order_id}"), 404, "not-found" if len(order_id) > 4300 else "unknown-order")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_orders_of_others_are_not_there(alice: Program, bob: Program, method: str) -> None:
    order = alice.post("/orders", SELL).json()
    problem(bob.send(method, f"/orders/{order['id']}"), 404, "unknown-order")
    assert alice.get(f"/orders/{order['id']}").json() == order
    assert bob.get("/orders").json()["items"] == []


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [4, 3, 2, 1, 0]),
        ("?market=BTC-USDC", [4, 2, 1, 0]),
        ("?market=ETH-USDC", [3]),
        ("?status=open", [4, 3, 2, 1]),
        ("?status=cancelled&market=BTC-USDC", [0]),
        ("?status=filled", []),
    ],
)
def test_order_filters(alice: Program, query: str, expected: list[int]) -> None:
    markets = ["BTC-USDC", "BTC-USDC", "BTC-USDC", "ETH-USDC", "BTC-USDC"]
    bodies = [{"market": market, "side": "buy", "quantity": "0.001", "price": "1"} for market in markets]
    ids = [alice.post("/orders", body).json()["id"] for body in bodies]
    alice.delete(f"/orders/{ids[0]}")
    found = alice.get(f"/orders{query}").json()
    assert [item["id"] for item in found["items"]] == [ids[number] for number in expected]
    assert found["next_cursor"] is None


def pages(program: Program, path: str, between: Callable[[], object] = lambda: None) -> list[list[Any]]:
    """Read a list page by page, while something happens in between."""
    found, cursor = [], ""
    while cursor is not None:
        page = program.get(
            f"{path}{'&' if '?' in path else '?'}limit=2" + (f"&cursor={cursor}" if cursor else "")
        ).json()
        found.append(page["items"])
        cursor = page["next_cursor"]
        between()
    return found


def test_pages_don_t_shift(alice: Program) -> None:
    small = SELL | {"quantity": "0.001"}
    ids = [alice.post("/orders", small).json()["id"] for _ in range(5)]
    found = pages(alice, "/orders", lambda: alice.post("/orders", small))
    assert [[item["id"] for item in page] for page in found] == [ids[:2:-1], ids[2:0:-1], ids[:1]]


def test_transfers_page_by_page(alice: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    euro = Asset.objects.get(pk="EUR")
    # Of the same moment: the id decides.
    moment = datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC)
    monkeypatch.setattr("django.utils.timezone.now", lambda: moment)
    for number in range(5):
        request_deposit(alice.user, euro, Decimal(1), f"key-{number}")
    monkeypatch.undo()
    found = pages(alice, "/transfers")
    assert [len(page) for page in found] == [2, 2, 2, 1]
    ids = [item["id"] for page in found for item in page if item["asset"] == "EUR"]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 5


def test_trades_page_by_page(alice: Program, bob: Program) -> None:
    alice.post("/orders", SELL)
    for _ in range(3):
        bob.post("/orders", BUY | {"quantity": "0.1"})
    found = pages(alice, "/markets/BTC-USDC/trades")
    assert [len(page) for page in found] == [2, 1]
    ids = [trade["id"] for page in found for trade in page]
    assert ids == sorted(ids, reverse=True)


def test_candles(alice: Program) -> None:
    market, start = Market.objects.get(pk="BTC-USDC"), datetime(2026, 1, 1, tzinfo=UTC)
    # Three of one hour, then nothing for 499 hours, two of one hour, nothing for another, and one more.
    minutes = [0, 1, 59, 30_000, 30_059, 30_121]
    for minute in minutes:
        price = Decimal(100 + minute)
        Candle.objects.create(
            market=market, start=start + timedelta(minutes=minute), open=price, high=price + 1, low=price - 1,
            close=price, volume=Decimal("0.5"), trades=2,
        )  # fmt: skip
    found = pages(alice, "/markets/BTC-USDC/candles?interval=3600")
    assert [[candle["start"] for candle in page] for page in found] == [
        ["2026-01-21T22:00:00Z"],
        ["2026-01-21T20:00:00Z"],
        ["2026-01-01T00:00:00Z"],
    ]
    assert [(page[0]["open"], page[0]["close"]) for page in found[:2]] == [("30221", "30221"), ("30100", "30159")]
    assert found[2][0] == {
        "start": "2026-01-01T00:00:00Z",
        "open": "100",
        "high": "160",
        "low": "99",
        "close": "159",
        "volume": "1.5",
        "trades": 6,
    }


def test_deposit_and_withdrawal(alice: Program) -> None:
    deposit = alice.post("/deposits", DEPOSIT).json()
    assert deposit == {
        "id": deposit["id"],
        "direction": "deposit",
        "asset": "BTC",
        "amount": "1.5",
        "destination": "",
        "state": "pending",
        "created_at": deposit["created_at"],
        "decided_at": None,
    }
    assert alice.owns("BTC") == ("10", "0")
    confirmed = alice.post(f"/transfers/{deposit['id']}/confirm").json()
    assert confirmed["state"] == "confirmed"
    assert alice.post(f"/transfers/{deposit['id']}/confirm").json() == confirmed
    assert alice.get(f"/transfers/{deposit['id']}").json() == confirmed
    withdrawal = alice.post("/withdrawals", WITHDRAWAL)
    assert withdrawal.status_code == 201
    assert withdrawal.json()["destination"] == "bc1q 0000"
    assert alice.owns("BTC") == ("10", "1.5")
    assert alice.post(f"/transfers/{withdrawal.json()['id']}/reject").json()["state"] == "rejected"
    assert alice.owns("BTC") == ("11.5", "0")
    problem(alice.post(f"/transfers/{deposit['id']}/reject"), 409, "transfer-decided")


@pytest.mark.parametrize("action", ["", "/confirm", "/reject"])
def test_transfers_of_others_are_not_there(alice: Program, bob: Program, action: str) -> None:
    deposit = alice.post("/deposits", DEPOSIT).json()
    method = "POST" if action else "GET"
    problem(bob.send(method, f"/transfers/{deposit['id']}{action}"), 404, "unknown-transfer")
    problem(bob.send(method, f"{NO_SUCH_TRANSFER}{action}"), 404, "unknown-transfer")
    problem(bob.send(method, f"/transfers/1{action}"), 404, "not-found")
    assert alice.get(f"/transfers/{deposit['id']}").json()["state"] == "pending"


@pytest.mark.parametrize("action", ["confirm", "reject"])
def test_rails_that_are_not_simulated_take_no_answer_from_customers(alice: Program, action: str) -> None:
    deposit = alice.post("/deposits", DEPOSIT).json()
    with override_settings(SIMULATED_RAILS=False):
        problem(alice.post(f"/transfers/{deposit['id']}/{action}"), 404, "unknown-transfer")
    assert alice.get(f"/transfers/{deposit['id']}").json()["state"] == "pending"


@pytest.mark.parametrize(
    ("path", "body"), [("/orders", SELL | {"quantity": "10.0001"}), ("/withdrawals", WITHDRAWAL | {"amount": "10.01"})]
)
def test_too_little_money(alice: Program, path: str, body: dict[str, str]) -> None:
    problem(alice.post(path, body), 409, "insufficient-funds")
    assert alice.owns("BTC") == ("10", "0")


def test_closed_market(alice: Program) -> None:
    order = alice.post("/orders", SELL).json()
    Market.objects.filter(pk="BTC-USDC").update(is_open=False)
    problem(alice.post("/orders", SELL), 409, "market-closed")
    assert alice.get("/markets/BTC-USDC").json()["is_open"] is False
    assert alice.delete(f"/orders/{order['id']}").json()["status"] == "cancelled"


def test_frozen_account_looks_and_cancels(alice: Program) -> None:
    order = alice.post("/orders", SELL).json()
    freeze(alice.user.pk, "tests")
    problem(alice.post("/orders", SELL), 403, "account-frozen")
    problem(alice.post("/withdrawals", WITHDRAWAL), 403, "account-frozen")
    assert alice.get("/orders").status_code == 200
    assert alice.delete(f"/orders/{order['id']}").json()["status"] == "cancelled"


@pytest.mark.parametrize("path", ["/balances", "/orders", "/transfers", "/markets", "/openapi.json"])
def test_headers(alice: Program, path: str) -> None:
    response = alice.get(path, X_Request_ID="look-for-me-1")
    assert response.headers["Cache-Control"] == "private, no-store"
    assert response.headers["X-Request-ID"] == "look-for-me-1"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in response.headers["Content-Security-Policy"]


def test_large_amounts_are_exact(alice: Program) -> None:
    amount = "999999999999.000000000000000001"
    for _ in range(3):
        deposit = alice.post("/deposits", {"asset": "ETH", "amount": amount}).json()
        assert deposit["amount"] == amount
        alice.post(f"/transfers/{deposit['id']}/confirm")
    assert alice.owns("ETH") == ("2999999999997.000000000000000003", "0")


def test_order_of_the_largest_quantity(alice: Program) -> None:
    problem(alice.post("/orders", SELL | {"quantity": "1000000000000", "price": "1"}), 409, "insufficient-funds")
    problem(alice.post("/orders", SELL | {"quantity": "1000000000000"}), 422, "invalid-order")
    assert not Order.objects.exists()


def test_lists_need_as_many_queries_for_more(alice: Program, bob: Program, django_assert_max_num_queries: Any) -> None:
    alice.post("/orders", SELL)
    for _ in range(5):
        bob.post("/orders", BUY | {"quantity": "0.1"})
        bob.post("/deposits", DEPOSIT, key=uuid.uuid4().hex)
    for path, queries in (("/orders", 2), ("/transfers", 2), ("/balances", 3), ("/markets/BTC-USDC/trades", 2)):
        with django_assert_max_num_queries(queries):
            assert bob.get(path).status_code == 200
