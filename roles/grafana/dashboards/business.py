"""The exchange: orders, trades, and whether markets keep up."""

from __future__ import annotations

from typing import Any

from dashboards.board import board, of_prometheus
from dashboards.links import HERE_LOGS, logs
from dashboards.panels import Limits, Query, graph, stat

_HERE = 'namespace="$namespace", market=~"$market"'


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{_HERE}{more}}}[$__rate_interval]))"


def business() -> dict[str, Any]:
    """Return the dashboard."""
    orders = logs("${namespace}", search="order", title="Log lines about orders")
    return board(
        "exchange",
        "Exchange",
        "Orders, trades and how long markets take. Whether the books balance is asked of the exchange itself: "
        "manage.py check_books.",
        {
            "Now": [
                stat(
                    "Orders",
                    "ops",
                    "None while people are there: look at Application for failed requests.",
                    [Query(f"sum(rate(exchange_orders_total{{{_HERE}}}[$__rate_interval]))")],
                    [orders],
                    width=6,
                    decimals=2,
                ),
                stat(
                    "Trades",
                    "ops",
                    "Orders without trades: the book is one-sided; see orders by what became of them.",
                    [Query(f"sum(rate(exchange_trades_total{{{_HERE}}}[$__rate_interval]))")],
                    [orders],
                    width=6,
                    decimals=2,
                ),
                stat(
                    "Orders filled at once",
                    "percentunit",
                    "Few: nobody offers at these prices; see orders by what became of them.",
                    [
                        Query(
                            f'sum(rate(exchange_orders_total{{{_HERE}, status="filled"}}[$__range])) '
                            f"/ (sum(rate(exchange_orders_total{{{_HERE}}}[$__range])) > 0)"
                        )
                    ],
                    [orders],
                    width=6,
                    decimals=1,
                    nothing="no orders",
                ),
                stat(
                    "99 of 100 orders matched within",
                    "s",
                    "How long an order has its market to itself. Red: orders wait for each other; look at "
                    "locks of the database.",
                    [
                        Query(
                            "histogram_quantile(0.99, sum by (le) "
                            f"(rate(exchange_matching_seconds_bucket{{{_HERE}}}[$__range])))"
                        )
                    ],
                    [orders],
                    Limits(warning=0.1, bad=0.5),
                    width=6,
                    decimals=3,
                    nothing="no orders",
                ),
            ],
            "Orders": [
                graph(
                    "Orders by market",
                    "ops",
                    "One market that stops alone: look for its name in the log.",
                    [Query(_rate("exchange_orders_total", "market"), "{{market}}")],
                    [orders],
                ),
                graph(
                    "Orders by what became of them at once",
                    "ops",
                    "Many cancelled: market orders that nobody meets; many open: nobody trades against them.",
                    [Query(_rate("exchange_orders_total", "status, kind"), "{{kind}} {{status}}")],
                    [orders],
                ),
                graph(
                    "Orders by side",
                    "ops",
                    "One side alone for long: prices are about to move, or a market maker is gone.",
                    [Query(_rate("exchange_orders_total", "side"), "{{side}}")],
                    [orders],
                ),
            ],
            "Trades and matching": [
                graph(
                    "Trades by market",
                    "ops",
                    "None although there are orders: the books are one-sided.",
                    [Query(_rate("exchange_trades_total", "market"), "{{market}}")],
                    [orders],
                ),
                graph(
                    "Orders taken out of the book",
                    "ops",
                    "By reason; many at once: a client that gives up, see its requests.",
                    [Query(_rate("exchange_order_cancels_total", "reason"), "{{reason}}")],
                    [orders],
                ),
                graph(
                    "99 of 100 orders matched within, by market",
                    "s",
                    "A market that takes long has a deep book, or its lock is held: see locks of the database.",
                    [
                        Query(
                            f"histogram_quantile(0.99, {_rate('exchange_matching_seconds_bucket', 'le, market')})",
                            "{{market}}",
                        )
                    ],
                    [orders, HERE_LOGS],
                    Limits(bad=0.5),
                ),
            ],
        },
        [
            of_prometheus(
                "namespace", "Namespace", "django_http_requests_before_middlewares_total", "Where the exchange is."
            ),
            of_prometheus("market", "Market", "exchange_orders_total", "Which markets.", every=True),
        ],
    )
