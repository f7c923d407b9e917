"""Candles of one minute, made from trades by the worker.

Each market remembers up to which trade its candles are made. Newer trades are added to the candles of their minutes and
the mark is moved in one transaction: killed at any moment, it has counted a trade once or not yet.

No trade is missed by going past it before it is committed. A trade's id is drawn while its transaction has the market's
row locked, and the lock is kept until the commit is visible. So on one market ids become visible in their order: who
sees a trade sees all earlier ones of its market. (Across markets that isn't so, therefore each has a mark of its own.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from django.db import connection, transaction
from prometheus_client import Counter, Gauge

log = structlog.get_logger(__name__)

LAG: Final = Gauge("exchange_candles_lag_seconds", "Age of the oldest trade that was in no candle yet", ["market"])
COUNTED: Final = Counter("exchange_candles_trades", "Trades that were put into candles", ["market"])
# Trades of one transaction: it must end soon, also when a worker starts on a market with a long past.
PORTION: Final = 5_000


def make_candles(stop: Callable[[], bool] = lambda: False, portion: int = PORTION) -> int:
    """Put all trades that are in no candle yet into candles, and return how many; `stop` is asked between portions."""
    total = 0
    for market, lag_seconds in _lags():
        LAG.labels(market).set(lag_seconds or 0.0)
        while lag_seconds is not None and not stop():
            counted = _make_portion(market, portion)
            COUNTED.labels(market).inc(counted)
            total += counted
            if counted < portion:
                break
    return total


def _lags() -> list[tuple[str, float | None]]:
    """Return for each market how many seconds ago its oldest trade without a candle was; None: there is none."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT m.code, extract(epoch FROM clock_timestamp() - t.created_at)::float8
            FROM markets_market m LEFT JOIN markets_candleprogress p ON p.market_id = m.code
            LEFT JOIN LATERAL (SELECT created_at FROM markets_trade
                WHERE market_id = m.code AND id > coalesce(p.trade_id, 0) ORDER BY id LIMIT 1) t ON true
            ORDER BY m.code
            """
        )
        return [(code, lag) for code, lag in cursor.fetchall()]


@transaction.atomic
def _make_portion(market: str, portion: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO markets_candleprogress (market_id, trade_id) VALUES (%s, 0) ON CONFLICT DO NOTHING", [market]
        )
        # Another worker at the same time waits here, and then goes on where this one ended.
        cursor.execute("SELECT trade_id FROM markets_candleprogress WHERE market_id = %s FOR UPDATE", [market])
        (done,) = cursor.fetchone()
        cursor.execute(
            """
            WITH fresh AS MATERIALIZED (
                SELECT id, price, quantity, date_bin('1 minute', created_at, 'epoch') AS start FROM markets_trade
                WHERE market_id = %(market)s AND id > %(done)s ORDER BY id LIMIT %(portion)s
            ), made AS (
                INSERT INTO markets_candle AS c (market_id, start, open, high, low, close, volume, trades)
                SELECT %(market)s, start, (array_agg(price ORDER BY id))[1], max(price), min(price),
                    (array_agg(price ORDER BY id DESC))[1], sum(quantity), count(*)
                FROM fresh GROUP BY start
                ON CONFLICT (market_id, start) DO UPDATE SET high = greatest(c.high, EXCLUDED.high),
                    low = least(c.low, EXCLUDED.low), close = EXCLUDED.close, volume = c.volume + EXCLUDED.volume,
                    trades = c.trades + EXCLUDED.trades
            )
            UPDATE markets_candleprogress SET trade_id = newest
            FROM (SELECT max(id) AS newest, count(*) AS counted FROM fresh) f
            WHERE market_id = %(market)s AND counted > 0 RETURNING counted
            """,
            {"market": market, "done": done, "portion": portion},
        )
        row = cursor.fetchone()
    counted: int = row[0] if row else 0
    return counted
