"""The application: rate, errors and duration of each view, and what is left of its error budget."""

from __future__ import annotations

from typing import Any

from dashboards.board import board, of_prometheus
from dashboards.links import HERE_LOGS, POD, POD_LOGS, logs
from dashboards.panels import Limits, Query, graph, stat

_LATENCY = 'django_http_requests_latency_seconds_by_view_method_bucket{namespace="$namespace"}'
_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")
_FAILED = logs("${namespace}", search='"status": ?5', title="Requests that failed, in the log")


def _responses(more: str = "") -> str:
    return f'django_http_responses_total_by_status_view_method_total{{namespace="$namespace"{more}}}'


def application() -> dict[str, Any]:
    """Return the dashboard."""
    rate = f"sum(rate({_responses()}[$__rate_interval]))"
    failures = _responses(', status=~"5.."')
    failed = f"sum(rate({failures}[$__rate_interval]))"
    return board(
        "application",
        "Application",
        "What users feel, view by view: how many requests, how many fail, how long they take; and the objectives.",
        {
            "All of it": [
                stat(
                    "Requests",
                    "reqps",
                    "0 while people are there: look at the ingress.",
                    [Query(rate)],
                    [HERE_LOGS],
                    decimals=1,
                ),
                stat(
                    "Requests that failed",
                    "percentunit",
                    "Red: find the view below, then its log lines.",
                    [Query(f"({failed} or vector(0)) / ({rate} > 0)")],
                    [_FAILED],
                    Limits(warning=0.001, bad=0.01),
                    decimals=2,
                    nothing="no requests",
                ),
                *(
                    stat(
                        f"{percent} of 100 answered within",
                        "s",
                        "Red: find the slow view below; all of them: look at the database.",
                        [
                            Query(
                                f"histogram_quantile(0.{percent}, sum by (le) "
                                "(rate(django_http_requests_latency_including"
                                '_middlewares_seconds_bucket{namespace="$namespace"}[$__rate_interval])))'
                            )
                        ],
                        [HERE_LOGS],
                        Limits(warning=warning, bad=bad),
                        decimals=2,
                        nothing="no requests",
                    )
                    for percent, warning, bad in ((50, 0.25, 1), (99, 0.5, 2))
                ),
                stat(
                    "Pods",
                    "none",
                    "That serve. Fewer than there should be: kubectl get pods says why.",
                    [Query('count(up{namespace="$namespace", job="pods"} == 1)')],
                    [HERE_LOGS],
                    Limits(bad=1, low=True),
                ),
                stat(
                    "Exceptions",
                    "cps",
                    "Any: the traceback is in the log, with the request's id.",
                    [
                        Query(
                            'sum(rate(django_http_exceptions_total_by_view_total{namespace="$namespace"}'
                            "[$__rate_interval])) or vector(0)"
                        )
                    ],
                    [logs("${namespace}", search="Traceback", title="Tracebacks")],
                    Limits(warning=0.001),
                    decimals=2,
                ),
            ],
            "Objectives": [
                graph(
                    "Share of requests that missed an objective, window by window",
                    "percentunit",
                    "An alert fires when a long and a short window are both far above what the objective allows; "
                    "the short one falls first when it is over.",
                    [Query(f"slo:errors:ratio_rate{window}", "{{slo}} " + window) for window in _WINDOWS],
                    [HERE_LOGS, _FAILED],
                    width=12,
                ),
                graph(
                    "Error budget left",
                    "percentunit",
                    "Of what an objective allows in its whole window. Near 0: stop what is risky, such as rollouts, "
                    "and mend what spends it; below 0 it is broken.",
                    [Query("slo:budget_left:ratio", "{{slo}}")],
                    [HERE_LOGS, _FAILED],
                    width=12,
                    below_zero=True,
                ),
            ],
            "View by view": [
                graph(
                    "Requests by view",
                    "reqps",
                    "A view that vanishes, or takes over: see what calls it in the log.",
                    [Query(f"topk(15, sum by (view) (rate({_responses()}[$__rate_interval])))", "{{view}}")],
                    [HERE_LOGS],
                ),
                graph(
                    "Failed requests by view",
                    "reqps",
                    "Click for the failed requests' lines; the request id of one leads to everything that it did.",
                    [
                        Query(
                            f"topk(15, sum by (view, status) (rate({failures}[$__rate_interval])) > 0)",
                            "{{view}} {{status}}",
                        )
                    ],
                    [_FAILED],
                ),
                graph(
                    "95 of 100 answered within, by view",
                    "s",
                    "One view: its queries; all of them: locks and longest queries of the database.",
                    [
                        Query(
                            "topk(15, histogram_quantile(0.95, sum by (le, view) "
                            f"(rate({_LATENCY}[$__rate_interval]))) > 0)",
                            "{{view}}",
                        )
                    ],
                    [HERE_LOGS],
                    Limits(bad=2),
                ),
            ],
            "Pod by pod": [
                graph(
                    "Requests by pod",
                    "reqps",
                    "One that gets none isn't ready, or the ingress doesn't know it.",
                    [Query(f"sum by (namespace, pod) (rate({_responses()}[$__rate_interval]))", "{{pod}}")],
                    [POD_LOGS, POD],
                ),
                graph(
                    "Answers by status",
                    "reqps",
                    "429: a rate limit; 503: the database, or a rollout; 4xx are the client's.",
                    [Query(f"sum by (status) (rate({_responses()}[$__rate_interval]))", "{{status}}")],
                    [HERE_LOGS],
                ),
                graph(
                    "Memory by pod",
                    "bytes",
                    "Growing without end: a leak; the limit's end is an OOM kill.",
                    [
                        Query(
                            "sum by (namespace, pod) "
                            '(container_memory_working_set_bytes{namespace="$namespace", container!=""})',
                            "{{pod}}",
                        )
                    ],
                    [POD_LOGS, POD],
                ),
            ],
        },
        [
            of_prometheus(
                "namespace", "Namespace", "django_http_requests_before_middlewares_total", "Where the application is."
            )
        ],
    )
