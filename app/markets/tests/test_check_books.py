"""Markets that were tampered with, past the guards, are found out."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal

import pytest
from django.db import connection

from accounts.models import User
from ledger.checks import ALL_INVARIANTS, violations
from ledger.models import Asset
from ledger.services.transfers import confirm_transfer, request_deposit
from markets.candles import make_candles
from markets.checks import INVARIANTS
from markets.models import Order
from markets.services.orders import OrderRequest, cancel_order, place_order

CROSSED = "no book is crossed"
FILLED = "an order is filled by its trades"
BACKED = "an open order holds what it may cost, a closed one nothing"
OWN_HOLD = "an order's hold is on its owner's account in what it pays with"
HOLD_HAS_ORDER = "every hold for an order has its order"
MOVED = "a trade moved what it says"
TRADE_HAS_ONE = "every movement of a trade has its trade"
AGREED = "a trade is between two orders that agree on it"
CANDLES = "a candle says what the trades of its minute say"
GUARDS = "the markets' guards are in place"

# How a superuser who knows how to get past triggers tampers, and what is found of the markets.
TAMPERED: list[tuple[str, set[str]]] = [
    ("UPDATE markets_order SET price = 200 WHERE status = 'open' AND side = 'buy'", {CROSSED, BACKED}),
    ("UPDATE markets_order SET filled = filled + 0.1 WHERE status = 'open' AND side = 'sell'", {FILLED, BACKED}),
    ("DELETE FROM markets_trade WHERE taker_side = 'buy'", {FILLED, TRADE_HAS_ONE, CANDLES}),
    ("UPDATE markets_trade SET quantity = quantity * 2", {FILLED, MOVED, CANDLES}),
    ("UPDATE markets_order SET status = 'cancelled', reason = 'requested', closed_at = now() WHERE status = 'open' AND side = 'buy'", {BACKED}),
    ("UPDATE markets_order SET hold_id = NULL, status = 'cancelled', reason = 'requested', closed_at = now() WHERE status = 'open' AND side = 'buy'", {HOLD_HAS_ORDER}),
    ("UPDATE ledger_hold SET purpose = 'withdrawal' WHERE remaining > 0", {OWN_HOLD}),
    ("UPDATE ledger_hold SET account_id = (SELECT held.id FROM ledger_account mine JOIN ledger_account held ON held.asset_id = mine.asset_id AND held.kind = 'held' AND held.id <> mine.id WHERE mine.id = ledger_hold.account_id LIMIT 1) WHERE remaining > 0", {OWN_HOLD}),
    ("UPDATE markets_trade SET price = price + 1", {MOVED, AGREED, CANDLES}),
    ("UPDATE markets_trade SET taker_fee = taker_fee + 0.01", {MOVED}),
    ("UPDATE markets_trade SET maker_fee = 0", {MOVED}),
    ("UPDATE markets_trade SET taker_side = CASE taker_side WHEN 'buy' THEN 'sell' ELSE 'buy' END", {MOVED, AGREED}),
    ("UPDATE ledger_movement SET kind = 'hold' WHERE kind = 'trade'", {MOVED}),
    ("UPDATE ledger_posting p SET amount = amount * 2 FROM ledger_movement m WHERE m.id = p.movement_id AND m.kind = 'trade'", {MOVED}),
    ("UPDATE markets_order SET user_id = (SELECT id FROM accounts_user WHERE username = 'carol') WHERE status = 'open' AND side = 'buy'", {OWN_HOLD}),
    ("UPDATE markets_order SET price = 99 WHERE kind = 'limit' AND side = 'buy' AND status = 'filled'", {AGREED}),
    ("UPDATE markets_candle SET high = high + 1", {CANDLES}),
    ("UPDATE markets_candle SET trades = trades + 1", {CANDLES}),
    ("DELETE FROM markets_candle", {CANDLES}),
    ("ALTER TABLE markets_trade DISABLE TRIGGER append_only", {GUARDS}),
    ("ALTER TABLE markets_order DISABLE TRIGGER backed", {GUARDS}),
    ("ALTER TABLE ledger_hold DISABLE TRIGGER backs_order", {GUARDS}),
    ("ALTER TABLE markets_order ENABLE REPLICA TRIGGER guard", {GUARDS}),
    ("DROP TRIGGER guard ON markets_market", {GUARDS}),
    ("ALTER TABLE markets_order DROP CONSTRAINT order_once", {GUARDS}),
    ("ALTER TABLE markets_trade DROP CONSTRAINT trade_of_numbers", {GUARDS}),
]  # fmt: skip


@pytest.fixture
def books(make_user: Callable[[str], User]) -> None:
    """Let customers trade a little: a sell order that is met in part, one bid that waits, one that was cancelled."""
    alice, bob, carol = (make_user(name) for name in ("alice", "bob", "carol"))
    for user in (alice, bob, carol):
        for code, amount in (("BTC", 10), ("USDC", 10_000)):
            confirm_transfer(request_deposit(user, Asset.objects.get(pk=code), Decimal(amount), f"d-{code}").pk)

    def place(user: User, side: str, quantity: str, price: str | None) -> Order:
        request = OrderRequest(
            "BTC-USDC", Order.Side(side), Decimal(quantity), None if price is None else Decimal(price)
        )
        return place_order(user, request, uuid.uuid4().hex)

    place(alice, "sell", "3", "100")
    place(bob, "buy", "0.5", "101")
    place(carol, "buy", "0.5", None)
    place(bob, "buy", "1", "90")
    cancel_order(carol, place(carol, "buy", "1", "80").pk)
    make_candles()
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")
    assert violations(ALL_INVARIANTS) == []


@pytest.mark.parametrize(("statement", "expected"), TAMPERED)
def test_tampering_is_found(books: None, statement: str, expected: set[str]) -> None:
    del books
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(statement)
        assert cursor.rowcount != 0, "nothing was tampered with"
        cursor.execute("SET LOCAL session_replication_role = origin")
    assert {violation.invariant for violation in violations(INVARIANTS)} == expected


def test_every_invariant_is_tried() -> None:
    assert set().union(*(expected for _, expected in TAMPERED)) == set(INVARIANTS)


def test_the_books_check_includes_the_markets() -> None:
    assert set(INVARIANTS) < set(ALL_INVARIANTS)
