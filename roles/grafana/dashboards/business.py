"""The exchange: orders, trades, and whether markets keep up."""

from __future__ import annotations

from typing import Any

from dashboards.board import board, of_prometheus
from dashboards.links import HERE_LOGS, logs
from dashboards.panels import Limits, Query, graph, stat

# Of a CronJob check-books (docs/monitoring.md), by kube-state-metrics: a check that finds something wrong fails.
_BOOKS = 'namespace="$namespace", job_name=~".*-check-books-.*"'
_HERE = 'namespace="$namespace", market=~"$market"'


def _rate(metric: str, by: str, more: str = "") -> str:
    return f"sum by ({by}) (rate({metric}{{{_HERE}{more}}}[$__rate_interval]))"


def business() -> dict[str, Any]:
    """Return the dashboard."""
    orders = logs("${namespace}", search="order", title="Log lines about orders")
    books = logs("${namespace}", search="violations|VIOLATED", title="What checks of the books say")
    return board(
        "exchange",
        "Exchange",
        "Orders, trades, how long markets take, and whether the books balance.",
        {
            "Now": [
                stat(
                    "Orders",
                    "ops",
                    "None while people are there: look at Application for failed requests.",
                    [Query(f"sum(rate(exchange_orders_total{{{_HERE}}}[$__rate_interval]))")],
                    [orders],
                    decimals=2,
                ),
                stat(
                    "Trades",
                    "ops",
                    "Orders without trades: the book is one-sided; see orders by what became of them.",
                    [Query(f"sum(rate(exchange_trades_total{{{_HERE}}}[$__rate_interval]))")],
                    [orders],
                    decimals=2,
                ),
                stat(
                    "Orders filled at once",
                    "percentunit",
                    "Few: nobody offers at these prices; see orders by what became of them.",
                    [
                        Query(
                            f'(sum(rate(exchange_orders_total{{{_HERE}, status="filled"}}[$__range])) or vector(0)) '
                            f"/ (sum(rate(exchange_orders_total{{{_HERE}}}[$__range])) > 0)"
                        )
                    ],
                    [orders],
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
                    decimals=3,
                    nothing="no orders",
                ),
                stat(
                    "Books balanced",
                    "s",
                    "How long ago a check of all books found nothing wrong. Never: docs/monitoring.md says how.",
                    [Query(f"time() - max(kube_job_status_completion_time{{{_BOOKS}}})")],
                    [books],
                    Limits(warning=86400 + 3600, bad=2 * 86400),
                    decimals=0,
                    nothing="never checked",
                ),
                stat(
                    "Checks that failed",
                    "none",
                    "Any: stop trading, and read in the log which invariant is broken; docs/app.md explains them.",
                    [Query(f"sum(max by (job_name) (kube_job_status_failed{{{_BOOKS}}}))")],
                    [books],
                    Limits(bad=1),
                    decimals=0,
                    nothing="never checked",
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
