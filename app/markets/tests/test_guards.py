"""What the database refuses of the markets, by whatever program it is asked: plain SQL here."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction

from accounts.models import User
from ledger.models import Asset, Movement
from ledger.services.accounts import customer_accounts
from ledger.services.transfers import confirm_transfer, request_deposit
from markets.models import Order, Trade
from markets.services.orders import OrderRequest, place_order

MARKET = "BTC-USDC"


@pytest.fixture
def books(make_user: Callable[[str], User]) -> dict[str, Any]:
    """Let two customers trade a little; return the ids that statements below name."""
    alice, bob = make_user("alice"), make_user("bob")
    for user in (alice, bob):
        for code, amount in (("BTC", 10), ("USDC", 10_000)):
            confirm_transfer(request_deposit(user, Asset.objects.get(pk=code), Decimal(amount), f"d-{code}").pk)

    def place(user: User, side: str, quantity: str, price: str) -> Order:
        request = OrderRequest(MARKET, Order.Side(side), Decimal(quantity), Decimal(price))
        return place_order(user, request, uuid.uuid4().hex)

    ask = place(alice, "sell", "2", "100")
    taker = place(bob, "buy", "0.5", "100")
    bid = place(bob, "buy", "1", "90")
    late = place(alice, "sell", "1", "95")
    check_deferred()
    ids = {
        "alice": alice.pk,
        "bob": bob.pk,
        "ask": ask.pk,
        "bid": bid.pk,
        "late": late.pk,
        "filled": taker.pk,
        "ask_hold": ask.hold_id,
        "alice_btc_held": customer_accounts(alice, Asset.objects.get(pk="BTC")).held.pk,
        "alice_btc": customer_accounts(alice, Asset.objects.get(pk="BTC")).available.pk,
        "trade": Trade.objects.get().pk,
        "trade_movement": Trade.objects.get().movement_id,
        "deposit": Movement.objects.filter(kind="deposit").values_list("pk", flat=True)[0],
        "hold_movement": Movement.objects.filter(kind="hold").values_list("pk", flat=True)[0],
    }
    with connection.cursor() as cursor:
        statement = order(user_id="%(alice)s", side="'sell'", idempotency_key="'eager'")
        cursor.execute(f"{statement} RETURNING id", ids)
        ids["eager"] = cursor.fetchone()[0]
    check_deferred()
    return ids


def check_deferred() -> None:
    """Check now what would be checked at the end of the transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED")


def order(**changes: str) -> str:
    """Return a statement that inserts an order of bob's: a filled market order unless something is changed."""
    row = {
        "user_id": "%(bob)s", "market_id": "'BTC-USDC'", "side": "'buy'", "kind": "'market'", "price": "NULL",
        "quantity": "1", "filled": "1", "status": "'filled'", "reason": "''", "hold_id": "NULL",
        "idempotency_key": "'new'", "created_at": "now()", "closed_at": "now()",
    } | changes  # fmt: skip
    return f"INSERT INTO markets_order ({', '.join(row)}) VALUES ({', '.join(row.values())})"  # noqa: S608


def trade(**changes: str) -> str:
    """Return statements that insert a trade of an eager seller with bob's bid, unless something is changed."""
    row = {
        "market_id": "'BTC-USDC'", "price": "90", "quantity": "0.1", "taker_side": "'sell'",
        "taker_order_id": "%(eager)s", "maker_order_id": "%(bid)s", "taker_fee": "0", "maker_fee": "0",
        "movement_id": "currval('ledger_movement_id_seq')", "created_at": "now()",
    } | changes  # fmt: skip
    movement = "INSERT INTO ledger_movement (kind, key, lines, created_at) VALUES ('trade', 'new', 2, now())"
    return f"{movement}; INSERT INTO markets_trade ({', '.join(row)}) VALUES ({', '.join(row.values())})"  # noqa: S608


def market(**changes: str) -> str:
    """Return a statement that inserts a market for BTC and EUR unless something is changed."""
    row = {
        "code": "'BTC-EUR'", "base_id": "'BTC'", "quote_id": "'EUR'", "tick_size": "0.01", "lot_size": "1",
        "maker_fee": "0", "taker_fee": "0", "is_open": "true",
    } | changes  # fmt: skip
    return f"INSERT INTO markets_market ({', '.join(row)}) VALUES ({', '.join(row.values())})"  # noqa: S608


OPEN = {
    "kind": "'limit'", "price": "90", "filled": "0", "status": "'open'", "closed_at": "NULL", "hold_id": "%(ask_hold)s"
}  # fmt: skip

REFUSED: list[tuple[str, str, str]] = [
    ("delete a market", "DELETE FROM markets_market WHERE code = 'USDC-EUR'", "markets are kept"),
    ("truncate everything", "TRUNCATE markets_market CASCADE", "are kept|append-only"),
    ("another tick", "UPDATE markets_market SET tick_size = 0.5 WHERE code = 'BTC-USDC'", "do not change"),
    ("another asset", "UPDATE markets_market SET base_id = 'ETH' WHERE code = 'BTC-USDC'", "do not change"),
    ("a market of one asset", market(quote_id="'BTC'"), "market_of_two_assets"),
    ("a market without a step", market(tick_size="0"), "market_steps"),
    ("a market with steps of NaN", market(tick_size="'NaN'"), "market_of_numbers|finer than its assets"),
    ("a market finer than its base", market(lot_size="0.000000001"), "finer than its assets"),
    ("a market finer than its quote", market(lot_size="0.1"), "finer than its assets"),
    ("a market that pays its customers", market(maker_fee="-0.001"), "market_fees"),
    ("a market that keeps a tenth", market(taker_fee="0.1"), "market_fees"),
    ("a fee of NaN", "UPDATE markets_market SET maker_fee = 'NaN' WHERE code = 'BTC-USDC'", "market_of_numbers|market_fees"),
    ("delete an order", "DELETE FROM markets_order WHERE id = %(ask)s", "orders are kept"),
    ("delete a trade", "DELETE FROM markets_trade", "trades are append-only"),
    ("update a trade", "UPDATE markets_trade SET quantity = 2", "trades are append-only"),
    ("truncate trades", "TRUNCATE markets_trade", "trades are append-only"),
    ("move an order to another price", "UPDATE markets_order SET price = 1 WHERE id = %(ask)s", "keeps what it was asked for"),
    ("make an order larger", "UPDATE markets_order SET quantity = 3 WHERE id = %(ask)s", "keeps what it was asked for"),
    ("give an order away", "UPDATE markets_order SET user_id = %(bob)s WHERE id = %(ask)s", "keeps what it was asked for"),
    ("turn an order around", "UPDATE markets_order SET side = 'buy' WHERE id = %(ask)s", "keeps what it was asked for"),
    ("change the time of an order", "UPDATE markets_order SET created_at = now() WHERE id = %(ask)s", "keeps what it was asked for"),
    ("exchange holds", "UPDATE markets_order SET hold_id = NULL WHERE id = %(ask)s", "keeps what it was asked for|order_status"),
    ("empty an order", "UPDATE markets_order SET filled = 0 WHERE id = %(ask)s", "keeps what it was asked for"),
    ("open a filled order again", "UPDATE markets_order SET status = 'cancelled', filled = 0, reason = 'requested' WHERE id = %(filled)s", "is filled and keeps"),
    ("fill more than there is", "UPDATE markets_order SET filled = 3 WHERE id = %(ask)s", "order_quantity|order_status"),
    ("fill an order without paying", "UPDATE markets_order SET filled = 1 WHERE id = %(ask)s", "is open and holds 1.5"),
    ("finish an order without paying", "UPDATE markets_order SET filled = 2, status = 'filled', closed_at = now() WHERE id = %(ask)s", "is filled and holds 1.5"),
    ("cancel an order and keep what it held", "UPDATE markets_order SET status = 'cancelled', reason = 'requested', closed_at = now() WHERE id = %(ask)s", "is cancelled and holds 1.5"),
    ("cancel without a reason", "UPDATE markets_order SET status = 'cancelled', closed_at = now() WHERE id = %(ask)s", "order_status"),
    ("an order finer than a lot", order(quantity="1.00001", filled="1.00001"), "does not fit market"),
    ("an order between ticks", order(kind="'limit'", price="90.001"), "does not fit market"),
    ("an order of NaN", order(quantity="'NaN'", filled="'NaN'"), "does not fit market|order_of_numbers"),
    ("an order at NaN", order(kind="'limit'", price="'NaN'"), "does not fit market|order_of_numbers"),
    ("an infinite order", order(quantity="'Infinity'", filled="'Infinity'"), "overflow"),
    ("a negative order", order(quantity="-1", filled="-1"), "order_quantity"),
    ("an order for nothing", order(kind="'limit'", price="0"), "order_price"),
    ("a market order with a price", order(price="90"), "order_price"),
    ("a limit order without one", order(kind="'limit'"), "order_price"),
    ("an order to rent", order(side="'rent'"), "order_side"),
    ("an order on no market", order(market_id="'BTC-DOGE'"), "does not fit market"),
    ("a market order that waits", order(**OPEN | {"kind": "'market'", "price": "NULL"}), "order_status|backed"),
    ("an order that waits without a hold", order(**OPEN | {"hold_id": "NULL"}), "order_status"),
    ("an order that waits on another one's hold", order(**OPEN), "markets_order_hold_id_key"),
    ("an order under a key that was used", order(idempotency_key="(SELECT idempotency_key FROM markets_order WHERE id = %(bid)s)"), "order_once"),
    ("a trade above the bid", trade(price="91"), "can not trade"),
    ("a trade of nothing", trade(quantity="0"), "trade_amounts"),
    ("a trade of NaN", trade(quantity="'NaN'"), "trade_of_numbers"),
    ("a trade with a fee of NaN", trade(taker_fee="'NaN'"), "trade_of_numbers"),
    ("a trade that pays its customers", trade(maker_fee="-1"), "trade_fees"),
    ("a trade below the taker's limit", trade(taker_order_id="%(late)s"), "can not trade"),
    ("a trade of one customer with himself", trade(taker_order_id="%(late)s", maker_order_id="%(ask)s", price="100", taker_side="'sell'"), "can not trade"),
    ("a trade of one order with itself", trade(taker_order_id="%(bid)s"), "can not trade"),
    ("a trade in the wrong order", trade(taker_order_id="%(bid)s", maker_order_id="%(late)s", price="95", taker_side="'buy'"), "can not trade"),
    ("a trade on another market", trade(market_id="'ETH-USDC'"), "can not trade"),
    ("a trade that names the wrong side", trade(taker_side="'buy'"), "can not trade"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_statement_is_refused(books: dict[str, Any], statement: str, message: str) -> None:
    with pytest.raises(DatabaseError, match=message), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(statement, books)
        check_deferred()


def test_what_is_changed_above_is_taken_otherwise(books: dict[str, Any]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in (order(), trade(), market()):
            cursor.execute(statement, books)
        # The movement of this trade would have no postings.
        transaction.set_rollback(True)


@pytest.mark.parametrize(
    ("movement", "message"),
    [
        ("deposit", "is not one of a trade"),
        ("hold_movement", "is not one of a trade"),
        ("trade_movement", "markets_trade_movement_id_key"),
    ],
)
def test_a_trade_has_a_movement_of_its_own(books: dict[str, Any], movement: str, message: str) -> None:
    statement = trade(movement_id=f"%({movement})s")
    with pytest.raises(DatabaseError, match=message), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, books)


def test_an_orders_hold_cannot_be_released_behind_its_back(books: dict[str, Any]) -> None:
    with pytest.raises(DatabaseError, match=r"is open and holds 1\.4"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO ledger_movement (kind, key, lines, created_at) VALUES ('release', 'new', 2, now());
                INSERT INTO ledger_posting (movement_id, line, account_id, asset_id, amount, hold_id) VALUES
                    (currval('ledger_movement_id_seq'), 1, %(alice_btc_held)s, 'BTC', -0.1, %(ask_hold)s),
                    (currval('ledger_movement_id_seq'), 2, %(alice_btc)s, 'BTC', 0.1, NULL)
                """,
                books,
            )
        check_deferred()


def test_a_hold_needs_its_order(books: dict[str, Any]) -> None:
    with pytest.raises(DatabaseError, match="holds 1"), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(
                """
                INSERT INTO ledger_hold (id, account_id, purpose, remaining, created_at)
                    VALUES ('00000000-0000-4000-8000-000000000001', %(alice_btc_held)s, 'order', 0, now());
                INSERT INTO ledger_movement (kind, key, lines, created_at) VALUES ('hold', 'new', 2, now());
                INSERT INTO ledger_posting (movement_id, line, account_id, asset_id, amount, hold_id) VALUES
                    (currval('ledger_movement_id_seq'), 1, %(alice_btc)s, 'BTC', -1, NULL),
                    (currval('ledger_movement_id_seq'), 2, %(alice_btc_held)s, 'BTC', 1,
                        '00000000-0000-4000-8000-000000000001')
                """,
                books,
            )
        check_deferred()
