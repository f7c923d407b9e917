"""What Prometheus learns of the markets."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Histogram

from markets.models import Order

ORDERS: Final = Counter(
    "exchange_orders", "Orders taken, by what became of them at once", ["market", "side", "kind", "status"]
)
CANCELS: Final = Counter("exchange_order_cancels", "Orders taken out of the book", ["market", "reason"])
TRADES: Final = Counter("exchange_trades", "Trades", ["market"])
MATCHING: Final = Histogram(
    "exchange_matching_seconds",
    "How long an order has its market to itself: from the lock to just before the commit",
    ["market"],
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, float("inf")),
)


def count_order(order: Order, trades: int, seconds: float) -> None:
    """Count an order that was committed."""
    ORDERS.labels(order.market_id, order.side, order.kind, order.status).inc()
    TRADES.labels(order.market_id).inc(trades)
    MATCHING.labels(order.market_id).observe(seconds)


def count_cancel(order: Order) -> None:
    """Count an order that was taken out of the book."""
    CANCELS.labels(order.market_id, order.reason).inc()
