"""What pages, API and worker read of the markets, each with a fixed number of queries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from django.db import connection
from django.db.models import Count, F, Q, QuerySet, Sum

from accounts.models import User
from ledger.models import Account
from markets.models import Market, Order, Trade

# Widths of candles, in seconds: 1 and 5 minutes, 1 hour, 1 day.
INTERVALS: Final = (60, 300, 3600, 86_400)


@dataclass(frozen=True)
class Level:
    """All open orders of one price."""

    price: Decimal
    quantity: Decimal
    orders: int


@dataclass(frozen=True)
class Book:
    """The best levels of both sides, best first."""

    bids: list[Level]
    asks: list[Level]

    @property
    def spread(self) -> Decimal | None:
        """How far the best prices are apart."""
        return self.asks[0].price - self.bids[0].price if self.asks and self.bids else None


@dataclass(frozen=True)
class CandleRow:
    """What happened from `start` until the next one's start; volume of the base asset."""

    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    trades: int


def book(market: Market, levels: int = 20) -> Book:
    """Return the best levels of the order book."""
    return Book(_levels(market, Order.Side.BUY, levels), _levels(market, Order.Side.SELL, levels))


def _levels(market: Market, side: Order.Side, levels: int) -> list[Level]:
    found = Order.objects.filter(market=market, status="open", side=side).values("price")
    found = found.annotate(total=Sum(F("quantity") - F("filled")), count=Count("id"))
    found = found.order_by("-price" if side == Order.Side.BUY else "price")[:levels]
    return [Level(row["price"] or Decimal(0), row["total"], row["count"]) for row in found]


def trades(market: Market, before: int | None = None, limit: int = 50) -> list[Trade]:
    """Return the latest trades, those with an id below `before` if it is given."""
    found = Trade.objects.filter(market=market)
    if before is not None:
        found = found.filter(pk__lt=before)
    return list(found.order_by("-pk")[:limit])


def orders(
    user: User,
    *,
    market: Market | None = None,
    status: Order.Status | None = None,
    before: int | None = None,
    limit: int = 50,
) -> list[Order]:
    """Return a customer's latest orders, those with an id below `before` if it is given."""
    wanted = Q(user=user)
    if market is not None:
        wanted &= Q(market=market)
    if status is not None:
        wanted &= Q(status=status)
    if before is not None:
        wanted &= Q(pk__lt=before)
    return list(Order.objects.filter(wanted).select_related("market").order_by("-pk")[:limit])


def trades_of(user: User) -> QuerySet[Trade]:
    """Return all trades in which an order of the customer took part, newest first, with both orders."""
    return _with_orders(
        Trade.objects.filter(
            movement__postings__account__owner=user,
            movement__postings__account__kind=Account.Kind.AVAILABLE,
            movement__postings__amount__gt=0,
        )
    )


def latest_trades_of(user: User, before: int | None, limit: int) -> list[tuple[int, Trade]]:
    """Return the latest of them, each with a number by which to ask for those before it.

    Whoever trades receives something: trades are found by the postings on the customer's accounts, each account by its
    index. PostgreSQL would look for those of a quiet customer, or of one who never takes, among everybody's.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT p.id, t.id FROM ledger_account a CROSS JOIN LATERAL (
                SELECT p.id, p.movement_id FROM ledger_posting p JOIN ledger_movement m ON m.id = p.movement_id
                WHERE p.account_id = a.id AND p.id < coalesce(%s, 9223372036854775807) AND p.amount > 0
                    AND m.kind = 'trade'
                ORDER BY p.id DESC LIMIT %s) p
            JOIN markets_trade t ON t.movement_id = p.movement_id
            WHERE a.owner_id = %s AND a.kind = 'available' ORDER BY p.id DESC LIMIT %s
            """,
            [before, limit, user.pk, limit],
        )
        numbers = dict(cursor.fetchall())
    found = {trade.pk: trade for trade in _with_orders(Trade.objects.filter(pk__in=numbers.values()))}
    return [(number, found[pk]) for number, pk in numbers.items()]


def _with_orders(found: QuerySet[Trade]) -> QuerySet[Trade]:
    return found.select_related("market__base", "market__quote", "taker_order", "maker_order").order_by("-pk")


def candles(market: Market, interval_seconds: int, limit: int = 200, before: datetime | None = None) -> list[CandleRow]:
    """Return the latest candles of a width from INTERVALS, oldest first; minutes without a trade are left out.

    They are as new as the worker made them, which is a second or two behind.
    """
    if interval_seconds not in INTERVALS:
        raise ValueError(f"candles of {interval_seconds} s; there are {INTERVALS}")
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT date_bin(%(width)s * interval '1 second', start, 'epoch') AS bin,
                (array_agg(open ORDER BY start))[1], max(high), min(low),
                (array_agg(close ORDER BY start DESC))[1], sum(volume), sum(trades)
            FROM markets_candle
            WHERE market_id = %(market)s AND start < coalesce(%(before)s::timestamptz, 'infinity')
                AND start >= (1 - %(limit)s) * %(width)s * interval '1 second' + date_bin(
                    %(width)s * interval '1 second', coalesce(%(before)s::timestamptz - interval '1 microsecond',
                    (SELECT max(start) FROM markets_candle WHERE market_id = %(market)s)), 'epoch')
            GROUP BY bin ORDER BY bin DESC LIMIT %(limit)s
            """,
            {"width": interval_seconds, "market": market.pk, "before": before, "limit": limit},
        )
        return [CandleRow(*row) for row in reversed(cursor.fetchall())]


@dataclass(frozen=True)
class Ticker:
    """How a market did in the last 24 hours; None where it did nothing."""

    market: Market
    last: Decimal | None
    change_percent: Decimal | None
    high: Decimal | None
    low: Decimal | None
    volume: Decimal


def tickers() -> list[Ticker]:
    """Return every market's last price and its last 24 hours."""
    return _tickers(Market.objects.select_related("base", "quote"))


def ticker(market: Market) -> Ticker:
    """Return a market's last price and its last 24 hours."""
    return _tickers([market])[0]


def _tickers(markets: Iterable[Market]) -> list[Ticker]:
    """The last price is the last trade's, everything else comes from the candles, as new as the worker made them."""
    found = list(markets)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT m.code, (SELECT price FROM markets_trade t WHERE t.market_id = m.code ORDER BY id DESC LIMIT 1),
                (array_agg(c.open ORDER BY c.start))[1], max(c.high), min(c.low), coalesce(sum(c.volume), 0)
            FROM markets_market m
            LEFT JOIN markets_candle c ON c.market_id = m.code AND c.start > now() - interval '24 hours'
            WHERE m.code = ANY (%s)
            GROUP BY m.code
            """,
            [[market.pk for market in found]],
        )
        rows = {row[0]: row[1:] for row in cursor.fetchall()}
    result = []
    for market in found:
        last, first, high, low, volume = rows[market.pk]
        change = (last / first - 1) * 100 if last is not None and first else None
        result.append(Ticker(market, last, change, high, low, volume))
    return result
