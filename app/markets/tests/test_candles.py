"""Candles: exact whatever the portions, made once, and no trade is passed by because it was committed late."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from django.db import connection
from prometheus_client import REGISTRY

from accounts.models import User
from ledger.checks import violations
from ledger.models import Asset
from ledger.services.transfers import confirm_transfer, request_deposit
from markets.candles import make_candles
from markets.models import Candle, CandleProgress, Order, Trade
from markets.services.orders import OrderRequest, place_in_transaction
from testing.processes import APP, manage

MARKETS = ("BTC-USDC", "ETH-USDC")
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def trade(make_user: Callable[[str], User]) -> Callable[[str, int, int, timedelta], Trade]:
    """Return a function that makes a trade: market, price, lots, and how long after START."""
    maker, taker = make_user("maker"), make_user("taker")
    for user in (maker, taker):
        for code in ("BTC", "ETH", "USDC"):
            confirm_transfer(request_deposit(user, Asset.objects.get(pk=code), Decimal(10**9), f"d-{code}").pk)

    def make(market: str, price: int, lots: int, after: timedelta) -> Trade:
        number = Order.objects.count()
        for user, side in ((maker, Order.Side.SELL), (taker, Order.Side.BUY)):
            request = OrderRequest(market, side, lots * Decimal("0.0001"), Decimal(price))
            order, _ = place_in_transaction(user, request, f"{number}-{side}", at=START + after)
        return Trade.objects.get(taker_order=order)

    return make


Trader = Callable[[str, int, int, timedelta], Trade]
Row = tuple[str, datetime, Decimal, Decimal, Decimal, Decimal, Decimal, int]


def made() -> list[Row]:
    """Return all candles."""
    fields = ("market", "start", "open", "high", "low", "close", "volume", "trades")
    return list(Candle.objects.order_by("market", "start").values_list(*fields))


def expected() -> list[Row]:
    """Make the candles of all trades in the plainest way."""
    minutes: dict[tuple[str, datetime], list[Trade]] = {}
    for item in Trade.objects.order_by("pk"):
        minutes.setdefault((item.market_id, item.created_at.replace(second=0, microsecond=0)), []).append(item)
    rows = []
    for (market, start), found in sorted(minutes.items()):
        prices = [item.price for item in found]
        volume = sum((item.quantity for item in found), Decimal(0))
        rows.append((market, start, prices[0], max(prices), min(prices), prices[-1], volume, len(found)))
    return rows


@pytest.mark.parametrize("portion", [1, 3, 1000])
def test_exact_whatever_the_portions(trade: Trader, portion: int) -> None:
    chance = Random(portion)  # noqa: S311 - repeatable on purpose
    made_so_far = 0
    for _ in range(4):
        for _ in range(8):
            # Times go back and forth, as clocks do after a failover.
            seconds = timedelta(seconds=chance.uniform(0, 240))
            trade(chance.choice(MARKETS), chance.randint(90, 110), chance.randint(1, 9), seconds)
        assert make_candles(portion=portion) == 8
        assert make_candles(portion=portion) == 0
        made_so_far += 8
        assert made() == expected()
        assert sum(row[-1] for row in made()) == made_so_far
    assert violations() == []


def test_a_trade_on_the_minute_belongs_to_the_next_one(trade: Trader) -> None:
    trade(MARKETS[0], 100, 1, timedelta(seconds=55, microseconds=-1))
    trade(MARKETS[0], 101, 1, timedelta(seconds=55))
    make_candles()
    assert [(row[1].minute, row[2]) for row in made()] == [(4, Decimal(100)), (5, Decimal(101))]


def test_stops_between_portions_and_goes_on_later(trade: Trader) -> None:
    for _ in range(5):
        trade(MARKETS[0], 100, 1, timedelta(0))
    answers = iter([False, False, True, True])
    assert make_candles(lambda: next(answers), portion=2) == 4
    assert make_candles() == 1
    assert made() == expected()


def lag() -> float | None:
    """Return what Prometheus would read."""
    return REGISTRY.get_sample_value("exchange_candles_lag_seconds", {"market": MARKETS[0]})


def test_lag_is_the_age_of_the_oldest_trade_without_a_candle(trade: Trader) -> None:
    trade(MARKETS[0], 100, 1, timedelta(0))
    make_candles()
    assert lag() == pytest.approx((datetime.now(UTC) - START).total_seconds(), abs=60)
    make_candles()
    assert lag() == 0


WRONG = [
    "UPDATE markets_candle SET volume = volume + 0.0001",
    "UPDATE markets_candle SET trades = trades + 1",
    "UPDATE markets_candle SET close = close + 1",
    "DELETE FROM markets_candle",
    "UPDATE markets_candle SET start = start + interval '1 minute'",
    "UPDATE markets_candleprogress SET trade_id = trade_id - 1",
]


@pytest.mark.parametrize("statement", WRONG)
def test_check_books_finds_a_wrong_candle(trade: Trader, statement: str) -> None:
    trade(MARKETS[0], 100, 1, timedelta(0))
    make_candles()
    assert violations() == []
    with connection.cursor() as cursor:
        cursor.execute(statement)
    assert {item.invariant for item in violations()} == {"a candle says what the trades of its minute say"}


def test_made_anew_if_they_are_thrown_away(trade: Trader) -> None:
    for number in range(3):
        trade(MARKETS[0], 100 + number, 1, timedelta(minutes=number))
    make_candles()
    before = made()
    Candle.objects.all().delete()
    CandleProgress.objects.all().delete()
    assert make_candles() == 3
    assert made() == before


def test_a_trade_that_is_committed_late_is_not_missed(served_database: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "testing.late_commit"],
        cwd=APP,
        env=served_database | {"LOG_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    # The late trade has the smaller id: one mark for all markets would have passed it by.
    assert seen["late"] < seen["early"]
    # On its own market the next order waits for it, so nothing with a greater id could be seen first.
    assert seen["waits"]
    assert seen["late"] < seen["next"]
    assert (seen["counted_before"], seen["counted_after"]) == (1, 2)
    checked = manage(served_database, "check_books")
    assert checked.returncode == 0, checked.stdout
