"""A book full of orders that wait, written in a few statements: what hours of trading leave behind."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Final

from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from ledger.models import Asset
from ledger.services.accounts import customer_accounts
from ledger.services.transfers import confirm_transfer, request_deposit
from markets.models import Market, Order
from markets.queries import book
from markets.services.lookup import BOOK, FIRST_READ

OWNERS: Final = 50
RICH: Final = Decimal(10) ** 9
# Orders of one side wait at so many prices, one percent of the middle beside it and beyond.
PRICES: Final = 1_000


def rich_user(name: str) -> User:
    """Return a customer who owns much of everything; made if there is none."""
    user, made = User.objects.get_or_create(username=name)
    if made:
        for asset in Asset.objects.all():
            confirm_transfer(request_deposit(user, asset, RICH, f"rich-{asset.pk}").pk)
    return user


@transaction.atomic
def fill_book(code: str, orders: int, middle: Decimal) -> None:
    """Let so many more orders wait, half of them on each side, at least one percent away from a price.

    They are written as an exchange writes them, only many at once, and past no guard.
    """
    market = Market.objects.select_for_update().select_related("base", "quote").get(pk=code)
    owners = [rich_user(f"maker{number}") for number in range(OWNERS)]
    for owner in owners:
        customer_accounts(owner, market.base)
        customer_accounts(owner, market.quote)
    values: dict[str, Any] = {
        "market": code,
        "orders": orders,
        "owners": [owner.pk for owner in owners],
        "middle": middle,
        "prices": PRICES,
        "tick": market.tick_size,
        "lot": market.lot_size,
    }
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute(
            """
            CREATE TEMPORARY TABLE wanted ON COMMIT DROP AS
            SELECT nextval('markets_order_id_seq') AS id, gen_random_uuid() AS hold, side, price, quantity,
                a.owner_id, a.id AS available, h.id AS held, a.asset_id AS asset,
                quantity * CASE side WHEN 'buy' THEN price ELSE 1 END AS amount
            FROM generate_series(1, %(orders)s) number
            CROSS JOIN LATERAL (SELECT CASE number %% 2 WHEN 0 THEN 'buy' ELSE 'sell' END AS side,
                %(lot)s * (1 + number %% 7) AS quantity) o
            CROSS JOIN LATERAL (SELECT CASE side WHEN 'buy' THEN -1 ELSE 1 END
                * (ceil(%(middle)s / 100 / %(tick)s) + number / 2 %% %(prices)s) * %(tick)s + %(middle)s AS price) p
            JOIN markets_market m ON m.code = %(market)s
            JOIN ledger_account a ON a.owner_id = (%(owners)s::bigint[])[1 + number / 2 %% cardinality(%(owners)s)]
                AND a.kind = 'available' AND a.asset_id = CASE side WHEN 'buy' THEN m.quote_id ELSE m.base_id END
            JOIN ledger_account h ON h.owner_id = a.owner_id AND h.asset_id = a.asset_id AND h.kind = 'held'
            """,
            values,
        )
        # Without figures the planner may look through all movements for each order.
        cursor.execute("ANALYZE wanted")
        cursor.execute(
            """
            INSERT INTO ledger_hold (id, account_id, purpose, remaining, created_at)
                SELECT hold, held, 'order', 0, clock_timestamp() FROM wanted;
            INSERT INTO markets_order (id, user_id, market_id, side, kind, price, quantity, filled, status, reason,
                    hold_id, idempotency_key, created_at)
                SELECT id, owner_id, %(market)s, side, 'limit', price, quantity, 0, 'open', '', hold, 'fill-' || id,
                    clock_timestamp() FROM wanted ORDER BY id;
            INSERT INTO ledger_movement (kind, key, lines, created_at)
                SELECT 'hold', 'order:' || id, 2, clock_timestamp() FROM wanted;
            INSERT INTO ledger_posting (movement_id, line, account_id, asset_id, amount, hold_id)
                SELECT m.id, line, account, asset, posted, posted_hold
                FROM wanted w JOIN ledger_movement m ON m.kind = 'hold' AND m.key = 'order:' || w.id
                CROSS JOIN LATERAL (VALUES (1, available, -amount, NULL), (2, held, amount, hold))
                    AS v (line, account, posted, posted_hold);
            """,
            values,
        )


def analyze() -> None:
    """Let the planner know, as autovacuum does after a while."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def book_reads(code: str) -> dict[str, tuple[str, list[Any]]]:
    """Return the statements that read a market's book, with their values: for an incoming order, and for a page."""
    found = {
        f"book read for a {side} order": (BOOK[side].format(beyond="true"), [code, code, FIRST_READ])
        for side in (Order.Side.BUY, Order.Side.SELL)
    }
    with CaptureQueriesContext(connection) as captured:
        book(Market.objects.get(pk=code))
    sides = [query["sql"] for query in captured if "markets_order" in query["sql"]]
    return found | {f"book read for a page, side {number}": (one, []) for number, one in enumerate(sides, start=1)}


def explain(statement: str, values: list[Any]) -> dict[str, Any]:
    """Run a statement and return how it went: EXPLAIN (ANALYZE, BUFFERS)."""
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", values or None)
        plan = cursor.fetchone()[0]
    found: dict[str, Any] = (json.loads(plan) if isinstance(plan, str) else plan)[0]
    return found
