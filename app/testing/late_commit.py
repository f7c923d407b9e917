"""Candles beside a transaction that takes its time: `python -m testing.late_commit` prints what was seen as JSON.

One order trades on the first market and isn't committed yet; another one trades on the second market and is; a third
one wants to trade on the first market.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable
from decimal import Decimal

import django

SLOW, FAST = "BTC-EUR", "ETH-EUR"


def main() -> None:
    """Play it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "exchange.settings")
    django.setup()
    from django.db import connection, transaction  # noqa: PLC0415 - after django.setup()

    from markets.candles import make_candles  # noqa: PLC0415
    from markets.models import Order  # noqa: PLC0415

    offers = [offer(SLOW), offer(SLOW), offer(FAST)]
    make_candles()
    seen: dict[str, int | bool] = {}
    traded, may_commit = threading.Event(), threading.Event()

    def late() -> None:
        with transaction.atomic():
            seen["late"] = take(SLOW)
            traded.set()
            may_commit.wait(30)
        connection.close()

    def following() -> None:
        seen["next"] = take(SLOW)
        connection.close()

    threads = [start(late)]
    assert traded.wait(30)
    seen["early"] = take(FAST)
    threads.append(start(following))
    seen["waits"] = somebody_waits()
    seen["counted_before"] = make_candles()
    may_commit.set()
    for thread in threads:
        thread.join(30)
    seen["counted_after"] = make_candles()
    assert Order.objects.filter(pk__in=offers, status="filled").count() == len(offers)
    print(json.dumps(seen))  # noqa: T201 - the protocol with the test


def offer(code: str) -> int:
    """Let somebody new sell one on a market of our own, and return the order's id."""
    from markets.models import Market, Order  # noqa: PLC0415
    from markets.services.orders import OrderRequest, place_order  # noqa: PLC0415
    from testing.books import rich_user  # noqa: PLC0415

    base, quote = code.split("-")
    steps = {"tick_size": Decimal("0.01"), "lot_size": Decimal(1), "maker_fee": 0, "taker_fee": 0}
    Market.objects.get_or_create(code=code, defaults={"base_id": base, "quote_id": quote, **steps})
    request = OrderRequest(code, Order.Side.SELL, Decimal(1), Decimal(100))
    return place_order(rich_user(uuid.uuid4().hex), request, "offer").pk


def take(code: str) -> int:
    """Let somebody new buy one, and return the trade's id."""
    from markets.models import Order, Trade  # noqa: PLC0415
    from markets.services.orders import OrderRequest, place_order  # noqa: PLC0415
    from testing.books import rich_user  # noqa: PLC0415

    order = place_order(rich_user(uuid.uuid4().hex), OrderRequest(code, Order.Side.BUY, Decimal(1)), "take")
    return Trade.objects.get(taker_order=order).pk


def start(work: Callable[[], None]) -> threading.Thread:
    """Let a thread do it, on a database connection of its own."""
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def somebody_waits() -> bool:
    """Wait until a transaction waits for another one, and say whether one does."""
    from django.db import connection  # noqa: PLC0415

    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            if cursor.fetchone()[0]:
                return True
        time.sleep(0.02)
    return False


if __name__ == "__main__":
    main()
